//! What the images are compared with, when nobody says it: the real `gh` asks a stand-in for GitHub, the real `git` a
//! bare remote. In this world `v0.44` changes a document, and `v0.45`, at HEAD, the first template.

use std::fs;
use std::path::Path;

use github_stand_in::SeedRelease;
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

const FIRST: &str = "debian-12-custom";

/// Of `image`, which is what the images of this world are.
const SHA256: &str = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-baselines").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

/// The answer, with what it compared with and which images need a rebuild.
#[track_caller]
fn check(machine: &Machine) -> (Value, String, Vec<String>) {
    let json = machine.tool(&["check", "--json"]).expect(0, &[]).json();
    let rebuild = json["images"].as_array().unwrap().iter().filter(|image| image["decision"] == "rebuild");
    let rebuild = rebuild.map(|image| image["name"].as_str().unwrap().to_owned()).collect();
    let kind = json["baseline"]["kind"].as_str().unwrap_or("none").to_owned();
    (json, kind, rebuild)
}

/// A `latest` as people made it by hand.
fn by_hand(world: &World, notes: &str) {
    let release = IMAGES.iter().fold(SeedRelease::prerelease("latest").body(notes), |release, name| {
        let line = format!("{SHA256}  {name}.qcow2\n");
        release.asset(&format!("{name}.qcow2"), *b"image").asset(&format!("{name}.qcow2.sha256"), line)
    });
    world.hub().seed_release(REPOSITORY, release).unwrap();
}

/// A `latest` whose manifest says what each image was built from.
fn with_manifest(world: &World, source: &str, built_from: &[(&str, Value)]) {
    let image = |(name, built_from): &(&str, Value)| {
        json!({
            "name": name, "file": format!("{name}.qcow2"), "size": 5, "sha256": SHA256,
            "built_from": built_from, "versions": null, "parts": [],
        })
    };
    let images: Vec<Value> = built_from.iter().map(image).collect();
    let manifest = json!({ "schema": 1, "source": source, "commit": world.remote_commit(source), "images": images });
    let release = IMAGES
        .iter()
        .fold(SeedRelease::prerelease("latest").body("Points to v0.43"), |release, name| {
            let line = format!("{SHA256}  {name}.qcow2\n");
            release.asset(&format!("{name}.qcow2"), *b"image").asset(&format!("{name}.qcow2.sha256"), line)
        })
        .asset("packer-images.json", manifest.to_string());
    world.hub().seed_release(REPOSITORY, release).unwrap();
}

fn at(world: &World, revision: &str) -> Value {
    json!({ "commit": world.remote_commit(revision), "dirty": false })
}

fn move_latest(world: &World, to: &str) {
    world.git(&["push", "--quiet", "--force", "origin", &format!("{to}^{{commit}}:refs/tags/latest")]).unwrap();
}

#[test]
fn the_version_that_the_notes_name() {
    let world = world("notes");
    move_latest(&world, "v0.45");
    by_hand(&world, "Points to v0.44");
    let (json, kind, rebuild) = check(&world);
    assert_eq!((kind.as_str(), rebuild.as_slice()), ("notes", [FIRST.to_owned()].as_slice()), "{json}");
    assert_eq!(json["baseline"]["commit"], world.remote_commit("v0.44"));
    assert_eq!(json["images"][1]["baseline"]["commit"], world.remote_commit("v0.44"));
    world
        .tool(&["check", "--exit-code"])
        .expect(10, &["rebuild: 1 of 3 images", "v0.44, which the notes of `latest` name"]);
    world.tool(&["check", "--exit-code", "debian-13-pve"]).expect(0, &["No template changes detected"]);
    world.tool(&["check", "nonsense"]).expect(2, &["unknown image `nonsense`", FIRST]);
}

#[test]
fn the_manifest_image_by_image() {
    let world = world("manifest");
    move_latest(&world, "v0.44");
    let dirty = json!({ "commit": world.remote_commit("v0.45"), "dirty": true });
    with_manifest(
        &world,
        "v0.45",
        &[(FIRST, at(&world, "v0.45")), ("debian-13-custom", dirty), ("debian-13-pve", Value::Null)],
    );
    let (json, kind, rebuild) = check(&world);
    // Two of them nobody can tell from what they were built, so they are built again.
    assert_eq!((kind.as_str(), rebuild.len()), ("none", 2), "{json}");
    assert_eq!(json["images"][0]["decision"], "skip");
    assert_eq!(json["images"][0]["baseline"]["kind"], "manifest");
    assert!(json["images"][1]["reason"].as_str().unwrap().contains("uncommitted changes"));
    assert!(json["images"][2]["reason"].as_str().unwrap().contains("doesn't say which commit"));
}

#[test]
fn the_manifest_with_several_commits_and_images() {
    let world = world("manifest-several");
    with_manifest(
        &world,
        "v0.44",
        &[(FIRST, at(&world, "v0.43")), ("debian-13-custom", at(&world, "v0.45")), ("old-image", at(&world, "v0.43"))],
    );
    let (json, _, rebuild) = check(&world);
    assert_eq!(rebuild, [FIRST, "debian-13-pve"], "{json}");
    assert_eq!(json["images"][0]["files"], json!(["templates/debian-12-custom/cleanup.sh"]));
    assert!(json["images"][2]["reason"].as_str().unwrap().starts_with("not in the manifest"), "{json}");
    assert_eq!(json["removed"], json!(["old-image"]));
}

#[test]
fn right_after_the_tag_was_made_and_after_the_images_were_published() {
    let world = world("phase");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    assert_eq!(check(&world).2, [FIRST]);
    world.build_all(2, Some("v0.45")).unwrap();
    world.tool(&["checksum"]).expect(0, &[]);
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    let (json, kind, rebuild) = check(&world);
    assert_eq!((kind.as_str(), rebuild.len()), ("manifest", 0), "{json}");
    // Another clone, of a contributor who has no images, says the same.
    assert_eq!(check(&world.another_machine("another").unwrap()).0["decision"], "skip");
}

#[test]
fn a_commit_that_is_not_here_means_rebuild() {
    let world = world("unknown-commit");
    let nowhere = json!({ "commit": "0123456789012345678901234567890123456789", "dirty": false });
    with_manifest(
        &world,
        "v0.45",
        &[(FIRST, nowhere), ("debian-13-custom", at(&world, "v0.43")), ("debian-13-pve", at(&world, "v0.45"))],
    );
    let (json, _, rebuild) = check(&world);
    assert_eq!(rebuild, [FIRST], "{json}");
    let reason = json["images"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not in this clone") && reason.contains("fetch --tags origin"), "{reason}");

    let shallow = world.another_machine("shallow").unwrap();
    fs::remove_dir_all(shallow.packer_dir()).unwrap();
    let url = format!("file://{}", world.remote().display());
    world.git(&["clone", "--quiet", "--depth=1", &url, shallow.packer_dir().to_str().unwrap()]).unwrap();
    let (json, _, rebuild) = check(&shallow);
    assert_eq!(rebuild, [FIRST, "debian-13-custom"], "{json}");
    assert!(json["images"][1]["reason"].as_str().unwrap().contains("fetch --unshallow --tags origin"), "{json}");
    assert_eq!(json["images"][2]["decision"], "skip");
}

#[test]
fn a_manifest_that_cannot_be_read_means_rebuild() {
    let world = world("bad-manifest");
    let release =
        SeedRelease::prerelease("latest").body("Points to v0.45").asset("packer-images.json", *b"{\"schema\": 9}");
    world.hub().seed_release(REPOSITORY, release).unwrap();
    let (json, _, rebuild) = check(&world);
    assert_eq!(rebuild.len(), 3, "{json}");
    assert!(json["images"][0]["reason"].as_str().unwrap().contains("cannot be read"), "{json}");
}

/// Makes the tag `latest` here or on the remote.
type Tagging = fn(&World);

#[test]
fn the_tag_on_the_remote_in_all_its_forms() {
    let cases: [(&str, Tagging, &str, &str, usize, &str); 7] = [
        ("lightweight", |world| move_latest(world, "v0.44"), "latest-tag", "v0.44", 3, ""),
        (
            "annotated",
            |world| {
                world.git(&["tag", "--annotate", "--message", "x", "latest", "v0.43^{commit}"]).unwrap();
                world.git(&["push", "--quiet", "origin", "refs/tags/latest"]).unwrap();
            },
            "latest-tag",
            "v0.43",
            3,
            "",
        ),
        (
            "with the object of another tag",
            |world| {
                // v0.44's tag object, which says that its name is v0.44.
                world.git(&["push", "--quiet", "origin", "refs/tags/v0.44:refs/tags/latest"]).unwrap();
                world.git(&["update-ref", "refs/tags/latest", "refs/tags/v0.44"]).unwrap();
            },
            "latest-tag",
            "v0.44",
            3,
            "",
        ),
        ("at HEAD", |world| move_latest(world, "v0.45"), "latest-tag", "v0.45", 3, ""),
        (
            "another one here",
            |world| {
                move_latest(world, "v0.44");
                world.git(&["tag", "latest", "v0.45^{commit}"]).unwrap();
            },
            "latest-tag",
            "v0.44",
            3,
            "the remote counts",
        ),
        (
            "only here",
            |world| drop(world.git(&["tag", "latest", "v0.45^{commit}"]).unwrap()),
            "version-tag",
            "v0.44",
            3,
            "but not on origin",
        ),
        ("nowhere", |_| {}, "version-tag", "v0.44", 3, ""),
    ];
    for (what, tag, kind, baseline, rebuild, says) in cases {
        let world = world(&format!("tag-{}", what.replace(' ', "-")));
        tag(&world);
        let (json, found, images) = check(&world);
        assert_eq!((found.as_str(), images.len()), (kind, rebuild), "{what}: {json}");
        assert_eq!(json["baseline"]["commit"], world.remote_commit(baseline), "{what}");
        assert!(json["images"][2]["reason"].as_str().unwrap().contains("not published"), "{what}: {json}");
        let notes: Vec<&str> = json["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
        assert_eq!(notes[0], "homestak-dev/packer has no release `latest`", "{what}");
        let said = notes.get(1).copied().unwrap_or_default();
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{what}: {notes:?}");
    }
}

#[test]
fn offline_it_says_what_it_could_not_ask_and_decides_nothing() {
    let mut world = world("offline");
    by_hand(&world, "Points to v0.44");
    move_latest(&world, "v0.44");
    world.git(&["fetch", "--quiet", "--tags", "origin"]).unwrap();
    // The remote can't be asked, GitHub can: a manifest would do, notes don't.
    let url = world.git(&["remote", "get-url", "origin"]).unwrap();
    world.git(&["remote", "set-url", "origin", "/nonexistent/packer.git"]).unwrap();
    world.tool(&["check"]).expect(3, &["could not ask origin for its tags", "--base REV"]);
    world.git(&["remote", "set-url", "origin", &url]).unwrap();
    // No login: the remote can be asked, and that is not enough.
    world.unset("GH_TOKEN");
    let ran = world.tool(&["check", "--json"]).expect(3, &[]);
    assert_eq!((&ran.json()["status"], &ran.json()["decision"]), (&"error".into(), &Value::Null));
    let says =
        ["could not ask homestak-dev/packer", "fix: run `gh auth login", "or compare with a revision in this clone"];
    let ran = world.tool(&["check"]).expect(3, &says);
    assert_eq!(ran.stderr.matches("fix: ").count(), 1, "{}", ran.stderr);
    let json = world.tool(&["check", "--base", "v0.44", "--json"]).expect(0, &[]).json();
    assert_eq!(json["decision"], "rebuild");
    // No gh at all.
    world.set("PATH", "/nonexistent");
    world.tool(&["check"]).expect(3, &["git is not installed"]);
}

#[test]
fn with_a_base_nobody_is_asked() {
    let world = world("base");
    by_hand(&world, "Points to v0.45");
    world.git(&["remote", "set-url", "origin", "/nonexistent/packer.git"]).unwrap();
    let before = world.hub().requests().len();
    let json = world.tool(&["check", "--base", "v0.44", "--json"]).expect(0, &[]).json();
    assert_eq!((&json["decision"], &json["notes"]), (&json!("rebuild"), &json!([])));
    assert_eq!(world.hub().requests().len(), before);
    world.tool(&["check", "--base", "v0.99"]).expect(3, &["there is no revision `v0.99`", "fetch --tags"]);
}

#[test]
fn github_is_asked_for_what_is_published_and_no_more() {
    let world = world("questions");
    with_manifest(&world, "v0.45", &[(FIRST, at(&world, "v0.45"))]);
    let before = world.hub().requests().len();
    check(&world);
    let asked: Vec<String> = world.hub().requests()[before..].iter().map(|request| request.path.clone()).collect();
    // The listing and the release are asked for side by side; the last is where GitHub sends a reader of an asset.
    let [one, other, assets, manifest, storage, version] = asked.as_slice() else { panic!("{asked:?}") };
    for path in ["/releases", "/releases/tags/latest"] {
        assert!(one.ends_with(path) || other.ends_with(path), "{asked:?}");
    }
    assert!(assets.ends_with("/assets"), "{assets}");
    assert!(manifest.contains("/releases/assets/"), "{manifest}");
    assert!(storage.starts_with("/github-production-release-asset/"), "{storage}");
    assert!(version.ends_with("/git/ref/tags/v0.43"), "the version that the notes name: {version}");
}

#[test]
fn a_clone_without_tags_takes_them_from_the_remote() {
    let world = world("no-tags");
    by_hand(&world, "Points to v0.44");
    for tag in ["v0.43", "v0.44", "v0.45"] {
        world.git(&["tag", "--delete", tag]).unwrap();
    }
    let (json, kind, rebuild) = check(&world);
    assert_eq!((kind.as_str(), rebuild.as_slice()), ("notes", [FIRST.to_owned()].as_slice()), "{json}");
}
