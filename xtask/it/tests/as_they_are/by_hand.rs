//! What people do to a release by hand, or did before there was this tool.

use std::fs;

use github_stand_in::{SeedAsset, SeedBytes, SeedRelease};
use rehearsal::world::{IMAGES, REPOSITORY, World};

use super::{PUBLISH, ROLLBACK, api, by_hand, live, published, published_twice, sends, verify_and_roll_back};

fn delete_tag(world: &World) {
    world.git(&["push", "--quiet", "origin", ":refs/tags/latest"]).unwrap();
    assert!(world.published().published("latest").is_none(), "its release is a draft now");
}

#[test]
fn a_tag_that_somebody_deleted_is_put_back() {
    let (world, old) = published_twice("tag-gone");
    let (live_before, tag) = (live(&world), world.remote_commit("latest"));
    for heals in [PUBLISH, ROLLBACK] {
        delete_tag(&world);
        let words = "somebody deleted the tag latest";
        world.tool(&["status"]).expect(0, &[words]);
        world.tool(&["doctor"]).expect(3, &[words]);
        world.tool(&["verify"]).expect(1, &[words]);
        let before = world.hub().requests().len();
        world.tool(heals).expect(0, &[words, "latest is live again"]);
        assert!(world.hub().requests()[before..].iter().all(|request| !sends(request)), "something was sent");
        assert_eq!((live(&world), world.remote_commit("latest")), (live_before, tag.clone()));
        world.tool(&["verify"]).expect(0, &["ok:"]);
    }
    verify_and_roll_back(&world, old);
}

#[test]
fn a_hand_made_latest_that_lost_its_tag() {
    let (world, old) = by_hand("tag-gone-by-hand");
    delete_tag(&world);
    world.tool(&["status"]).expect(0, &["somebody deleted the tag latest"]);
    world.tool(ROLLBACK).expect(0, &["latest is live again"]);
    assert_eq!((live(&world), world.remote_commit("latest")), (old, world.remote_commit("v0.44")));
    delete_tag(&world);
    world.tool(PUBLISH).expect(0, &["latest is live again", "done: latest is v0.45 now"]);
    verify_and_roll_back(&world, old);

    // Nothing tells where its tag was: somebody must.
    world.hub().change_release(REPOSITORY, old, |it| it.body = Some("images".to_owned())).unwrap();
    delete_tag(&world);
    world.tool(PUBLISH).expect(3, &["its tag is deleted", "git push", "its notes name no version that has a tag"]);
    world.tool(&["status"]).expect(0, &["its notes name no version that has a tag"]);
}

/// Somebody put a `latest` of their own in the place of ours, and then its tag went.
#[test]
fn the_older_set_does_not_come_back_in_place_of_a_hand_made_one() {
    let (world, _) = published_twice("replaced-by-hand");
    world.gh(&["api", "--method", "DELETE", &api(&format!("releases/{}", live(&world)))]).unwrap();
    let by_hand = world.hub().seed_release(REPOSITORY, world.handmade("v0.45").unwrap()).unwrap();
    delete_tag(&world);
    world.tool(ROLLBACK).expect(0, &["somebody deleted the tag latest", "latest is live again"]);
    assert_eq!((live(&world), world.remote_commit("latest")), (by_hand, world.remote_commit("v0.45")));
}

#[test]
fn title_kind_and_badge_of_a_hand_made_latest_come_back() {
    let (world, old) = by_hand("badge");
    let version = world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    let badge = || {
        let answer = world.gh(&["api", &api("releases/latest"), "--jq", ".id"]).unwrap();
        answer.text().parse::<u64>().unwrap()
    };
    let path = api(&format!("releases/{old}"));
    let edit = |badge: &str| {
        let fields = ["-f", "tag_name=latest", "-f", "name=Images, autumn", "-F", "prerelease=false", "-f", badge];
        world.gh(&[&["api", "--method", "PATCH", &path][..], &fields].concat()).unwrap();
    };
    for (make_latest, holder) in [("make_latest=true", old), ("make_latest=false", version)] {
        if holder == version {
            let path = api(&format!("releases/{version}"));
            let fields = ["-f", "tag_name=v0.45", "-f", "make_latest=true"];
            world.gh(&[&["api", "--method", "PATCH", &path][..], &fields].concat()).unwrap();
        }
        edit(make_latest);
        assert_eq!(badge(), holder);
        world.tool(PUBLISH).expect(0, &[]);
        assert_eq!(badge(), version, "ours has it never");
        world.tool(ROLLBACK).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
        let now = world.published().published("latest").unwrap().clone();
        assert_eq!((now.id, now.name.as_deref(), now.prerelease), (old, Some("Images, autumn"), false));
        assert_eq!(badge(), holder);
    }
}

#[test]
fn an_asset_that_is_not_what_the_manifest_says_is_named() {
    let world = published("altered");
    world.tool(&["check"]).expect(0, &["No template changes detected"]);
    let reader = world.another_machine("reader").unwrap();
    let release = || world.published().published("latest").unwrap().clone();
    let id_of = |name: &str| release().assets.iter().find(|asset| asset.name == name).unwrap().id;
    let delete = |name: &str| {
        world.gh(&["api", "--method", "DELETE", &api(&format!("releases/assets/{}", id_of(name)))]).unwrap();
    };
    let whole = format!("{}.qcow2", IMAGES[0]);
    let part = format!("{}.qcow2.partab", IMAGES[1]);
    let sum = format!("{}.qcow2.sha256", IMAGES[2]);
    for (name, image, replaced) in [(&whole, IMAGES[0], true), (&part, IMAGES[1], false), (&sum, IMAGES[2], true)] {
        delete(name);
        if replaced {
            let file = world.dir().join(name);
            fs::write(&file, "other bytes").unwrap();
            let id = release().id;
            let url = format!("https://uploads.github.com/repos/{REPOSITORY}/releases/{id}/assets?name={name}");
            world.gh(&["api", "--method", "POST", &url, "--input", file.to_str().unwrap()]).unwrap();
        }
        let mut words = vec![name.as_str()];
        if replaced {
            words.push("last touched by contributor at");
        }
        world.tool(&["check"]).expect(0, &words).stdout.contains("rebuild");
        world
            .tool(&["status"])
            .expect(0, &[&words[..], &["restore what was changed by hand", "--source v0.45"]].concat());
        world.tool(&["verify"]).expect(4, &words);
        reader.tool(&["download"]).expect(if replaced { 4 } else { 1 }, &words);
        assert!(!reader.images().join(image).join(format!("{image}.qcow2")).exists());
        world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
        world.tool(&["verify"]).expect(0, &["ok:"]);
        world.tool(&["check"]).expect(0, &["No template changes detected"]);
    }
    // What is whole can still be had while another is not.
    delete(&part);
    reader.tool(&["download", IMAGES[0]]).expect(0, &["verified"]);
    reader.tool(&["download", IMAGES[1]]).expect(1, &[&part]);
}

#[test]
fn a_hand_made_latest_must_hold_the_full_set() {
    let (world, old) = by_hand("full-set");
    world
        .tool(&["verify", "--images", "/nonexistent"])
        .expect(0, &["made by hand", "not verified", "what the images were built from"]);
    let assets = world.published().published("latest").unwrap().assets.clone();
    for asset in assets.iter().filter(|asset| asset.name.starts_with(IMAGES[2])) {
        world.gh(&["api", "--method", "DELETE", &api(&format!("releases/assets/{}", asset.id))]).unwrap();
    }
    let missing = format!("{}.qcow2 is missing on the release, and there is a template for it", IMAGES[2]);
    world.tool(&["verify"]).expect(4, &[&missing]);
    let stray = SeedAsset::new("notes.txt", SeedBytes::Here(b"x".to_vec()));
    world.hub().seed_asset(REPOSITORY, old, stray).unwrap();
    world.tool(&["verify"]).expect(4, &[&missing]);
    for asset in assets.iter().filter(|asset| !asset.name.starts_with(IMAGES[2])) {
        world.gh(&["api", "--method", "DELETE", &api(&format!("releases/assets/{}", asset.id))]).unwrap();
    }
    let ran = world.tool(&["verify"]).expect(4, &[&missing]);
    assert!(!ran.stdout.contains("ok:"), "{ran:?}");
}

#[test]
fn a_hand_made_latest_whose_tag_is_on_another_version() {
    let (world, _) = by_hand("other-tag");
    world.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).unwrap();
    world.tool(&["verify"]).expect(4, &["tag latest is at", "the notes say v0.44 at"]);
}
