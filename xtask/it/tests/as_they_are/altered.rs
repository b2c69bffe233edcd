//! What is done by hand to a release beside the replacing and removing of single assets: assets added, the manifest taken
//! away, images taken away from a set that people made, notes that must come back as they were.

use github_stand_in::{Fault, Injection, Matches, SeedAsset, SeedBytes, SeedRelease, Times};
use rehearsal::world::{IMAGES, REPOSITORY, World};

use super::{PUBLISH, ROLLBACK, api, by_hand, live, published_twice, sends_nothing, verify_and_roll_back};

/// What is published alone: what lies here is newer.
const VERIFY: &[&str] = &["verify", "--images", "/nonexistent"];

fn add(world: &World, name: &str) {
    let asset = SeedAsset::new(name, SeedBytes::Here(b"other bytes".to_vec()));
    world.hub().seed_asset(REPOSITORY, live(world), asset).unwrap();
}

fn delete(world: &World, which: impl Fn(&str) -> bool) {
    let assets = world.published().published("latest").unwrap().assets.clone();
    for asset in assets.iter().filter(|asset| which(&asset.name)) {
        world.gh(&["api", "--method", "DELETE", &api(&format!("releases/assets/{}", asset.id))]).unwrap();
    }
}

/// `cat IMAGE.part*` takes a part too many along, and who looks for the whole image finds other bytes.
#[test]
fn an_asset_that_was_added_to_an_image_is_named() {
    let (world, old) = published_twice("added");
    let image = IMAGES[1];
    for (number, name) in
        [format!("{image}.qcow2.partac"), format!("{image}.qcow2.partaa.old"), format!("{image}.qcow2")]
            .iter()
            .enumerate()
    {
        add(&world, name);
        let words = [name.as_str(), "is not in the manifest", "last touched by seed at"];
        let checked = world.tool(&["check"]).expect(0, &words);
        assert!(checked.stdout.contains("rebuild: 1 of 3 images"), "{checked:?}");
        world.tool(&["status"]).expect(0, &[&words[..], &["restore what was changed by hand"]].concat());
        world.tool(&["verify"]).expect(4, &words);
        // What the manifest promises is there, and is had.
        let reader = world.another_machine(&format!("reader-{number}")).unwrap();
        reader.tool(&["download", image]).expect(0, &["verified"]);
        world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
        world.tool(&["verify"]).expect(0, &["ok:"]);
        world.tool(&["check"]).expect(0, &["No template changes detected"]);
    }
    let pinned = world.published().releases.iter().filter(|it| it.tag_name.starts_with("images-v0.45")).count();
    assert_eq!(pinned, 3, "each publish replaced a set");
    assert!(world.published().releases.iter().any(|it| it.id == old), "and none was deleted");
    world.tool(ROLLBACK).expect(4, &["is not whole", &format!("{image}.qcow2")]);
}

/// An earlier version exchanged sets by the names of their files, and put the old ones aside.
#[test]
fn what_an_earlier_version_left_of_a_switch_is_named() {
    let (world, _) = published_twice("left-behind");
    let aside = format!("packer-old.7.{}.qcow2", IMAGES[0]);
    add(&world, &aside);
    world.tool(VERIFY).expect(4, &[&aside, "is not in the manifest"]);
    world.tool(&["status"]).expect(0, &[&aside]);
    // Half-way: the old manifest is aside, and the new one not there yet.
    let rename = |release: &mut github_stand_in::Release| {
        let manifest = release.assets.iter_mut().find(|asset| asset.name == "packer-images.json").unwrap();
        manifest.name = "packer-old.7.packer-images.json".to_owned();
    };
    world.hub().change_release(REPOSITORY, live(&world), rename).unwrap();
    let says = ["an earlier version of this tool ended", "`packer-old.…`", "fix: run that version once more"];
    for verb in [PUBLISH, ROLLBACK, VERIFY, &["check"], &["doctor"], &["status"]] {
        let ran = sends_nothing(&world, verb).expect(3, &says);
        assert!(!ran.stdout.contains("publish again"), "{ran:?}");
    }
}

#[test]
fn a_manifest_that_somebody_removed_is_missed() {
    let (world, old) = published_twice("no-manifest");
    delete(&world, |name| name == "packer-images.json");
    world.tool(&["verify"]).expect(4, &["packer-images.json was removed since the publish"]);
    world.tool(ROLLBACK).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!(live(&world), old);
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
}

#[test]
fn a_manifest_that_somebody_replaced_vouches_for_nothing() {
    let (world, _) = published_twice("other-manifest");
    let id = live(&world);
    let asset = world.published().published("latest").unwrap().asset("packer-images.json").unwrap().clone();
    let text = std::fs::read_to_string(&asset.file).unwrap();
    delete(&world, |name| name == "packer-images.json");
    let bytes = SeedBytes::Here(format!("{text}\n").into_bytes());
    world.hub().seed_asset(REPOSITORY, id, SeedAsset::new("packer-images.json", bytes)).unwrap();
    world
        .tool(&["verify"])
        .expect(4, &["SHA256SUMS has sha256", "packer-images.json is not the file that the publish sent"]);
}

#[test]
fn an_image_that_was_taken_from_a_hand_made_set_is_missed_by_its_checksum_file() {
    let (world, _) = by_hand("image-gone");
    delete(&world, |name| name == format!("{}.qcow2", IMAGES[2]));
    let reader = world.another_machine("reader").unwrap();
    let missing = format!("{}.qcow2 is missing on release latest, although its checksum file is there", IMAGES[2]);
    reader.tool(&["download"]).expect(3, &[&missing]);
    reader.tool(&["download", IMAGES[2]]).expect(3, &[&missing]);
    reader.tool(&["download", IMAGES[0]]).expect(0, &["verified"]);
    world.tool(&["verify"]).expect(4, &[&format!("{}.qcow2 is missing on the release", IMAGES[2])]);
}

/// Nothing but its bytes tells whether the last part of an image is there.
#[test]
fn a_hand_made_image_in_parts_is_not_proven_without_its_bytes() {
    let (world, _) = by_hand("parts");
    let name = format!("{}.qcow2", IMAGES[0]);
    let release = world.published().published("latest").unwrap().clone();
    let bytes = std::fs::read(&release.asset(&name).unwrap().file).unwrap();
    delete(&world, |asset| asset == name);
    let (first, rest) = bytes.split_at(100 << 10);
    for (part, bytes) in [("aa", first), ("ab", rest)] {
        let asset = SeedAsset::new(&format!("{name}.part{part}"), SeedBytes::Here(bytes.to_vec()));
        world.hub().seed_asset(REPOSITORY, release.id, asset).unwrap();
    }
    let words = ["not verified", "verify --download"];
    world.tool(VERIFY).expect(0, &words);
    let ran = world.tool(&[VERIFY, &["--download"]].concat()).expect(0, &["ok:"]);
    assert!(!ran.stdout.contains("verify --download"), "{ran:?}");
    delete(&world, |asset| asset == format!("{name}.partab"));
    world.tool(VERIFY).expect(0, &words);
    world.tool(&[VERIFY, &["--download"]].concat()).expect(4, &["as downloaded"]);
}

#[test]
fn a_file_that_is_joined_into_a_hand_made_image_is_named() {
    let (world, _) = by_hand("stray");
    let stray = format!("{}.qcow2.part00", IMAGES[1]);
    add(&world, &stray);
    world.tool(&["verify"]).expect(4, &[&stray, "would include it", "last touched by seed at"]);
}

#[test]
fn without_templates_nobody_can_tell_whether_a_set_is_full() {
    let (world, _) = by_hand("no-templates");
    std::fs::remove_dir_all(world.packer_dir().join("templates")).unwrap();
    world
        .tool(VERIFY)
        .expect(0, &["not verified: there is no template here, so whether the set is complete is unknown"]);
}

/// The new set can't go live, so the old one does again: as what it was.
#[test]
fn a_badge_outlives_a_publish_that_fails_between_its_two_calls() {
    let (world, old) = by_hand("badge-restored");
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    let path = api(&format!("releases/{old}"));
    let fields = ["-f", "tag_name=latest", "-f", "name=Images", "-F", "prerelease=false", "-f", "make_latest=true"];
    world.gh(&[&["api", "--method", "PATCH", &path][..], &fields].concat()).unwrap();
    world.hub().inject(Injection {
        matches: Matches::on("PATCH", "/repos/*/releases/#").nth(2),
        times: Times::Count(2),
        fault: Fault::status(500, "no"),
    });
    world.tool(PUBLISH).expect(1, &["the old set is live again"]);
    let now = world.published().published("latest").unwrap().clone();
    assert_eq!((now.id, now.name.as_deref(), now.prerelease), (old, Some("Images"), false));
    let badge = world.gh(&["api", &api("releases/latest"), "--jq", ".id"]).unwrap();
    assert_eq!(badge.text().parse::<u64>().unwrap(), old);
}

/// As `gh release create --notes-file` and GitHub's page write them.
#[test]
fn notes_come_back_to_the_letter() {
    for (name, notes) in [
        ("line-end", "Points to v0.44\n"),
        ("page", "Points to v0.44\r\n\r\nMade by hand.\r\n\r\n"),
        ("comment", "Points to v0.44 <!-- ask ana -->\n\n\n"),
    ] {
        let (world, old) = by_hand(&format!("notes-{name}"));
        world.hub().change_release(REPOSITORY, old, |it| it.body = Some(notes.to_owned())).unwrap();
        world.tool(PUBLISH).expect(0, &[]);
        verify_and_roll_back(&world, old);
        assert_eq!(world.published().published("latest").unwrap().body.as_deref(), Some(notes), "{name}");
    }
}
