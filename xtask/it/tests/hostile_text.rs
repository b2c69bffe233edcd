//! Text that others wrote, on its way to a terminal: what a terminal would obey arrives as an escape, in words and in JSON.

use std::path::Path;

use github_stand_in::{SeedAsset, SeedBytes, SeedRelease};
use rehearsal::world::{Options, REPOSITORY, World};

/// Sets the title, clears the screen, begins a colour in one byte, turns the line round.
const EVIL: &str = "\u{1b}]0;evil\u{7}\u{1b}[2J\u{9b}31m\u{202e}";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-text").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

/// Runs each with and without `--json`; all of it must be shown safely, some of it must show the text.
#[track_caller]
fn shown_safely(world: &World, commands: &[&[&str]]) -> bool {
    let mut shown = 0;
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let ran = world.tool(&[command, json].concat());
            let all = format!("{}{}", ran.stdout, ran.stderr);
            for c in EVIL.chars().filter(|c| !c.is_ascii() || c.is_control()) {
                assert!(!all.contains(c), "{command:?} {json:?}: {c:?} in {all:?}");
            }
            if !json.is_empty() {
                ran.json();
            }
            shown += usize::from(all.contains("0;evil"));
        }
    }
    shown > 0
}

const READERS: &[&[&str]] = &[
    &["check"],
    &["status"],
    &["verify"],
    &["download", "--images", "here"],
    &["document", "--release", "v0.45"],
    &["rollback"],
    &["publish", "--source", "v0.45"],
    &["doctor"],
];

#[test]
fn of_a_release() {
    let world = world("release");
    world.build_all(1, Some("v0.45")).unwrap();
    let release = SeedRelease::prerelease("latest")
        .body(&format!("Points to v0.44{EVIL}\n\n{EVIL}\n"))
        .asset("debian-12-custom.qcow2", b"x".to_vec());
    let id = world.hub().seed_release(REPOSITORY, release).unwrap();
    world.git(&["push", "--force", "origin", "v0.44^{commit}:refs/tags/latest"]).unwrap();
    world
        .hub()
        .change_release(REPOSITORY, id, |release| {
            release.name = Some(format!("Latest{EVIL}"));
            release.assets[0].name = format!("debian{EVIL}.qcow2");
        })
        .unwrap();
    assert!(shown_safely(&world, READERS), "nobody showed it");
}

#[test]
fn of_a_manifest() {
    let world = world("manifest");
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    let (live, manifest) = {
        let published = world.published();
        let live = published.published("latest").unwrap();
        let asset = live.assets.iter().find(|asset| asset.name == "packer-images.json").unwrap();
        let query = format!("repos/{REPOSITORY}/releases/assets/{}", asset.id);
        let manifest = world.gh(&["api", "-H", "Accept: application/octet-stream", &query]).unwrap().stdout;
        world.gh(&["api", "--method", "DELETE", &query]).unwrap();
        (live.id, manifest)
    };
    // Not only where a reader may refuse it: also as a field that nobody knows.
    let manifest = manifest.replace("\"v0.45\"", &serde_json::to_string(&format!("v0.45{EVIL}")).unwrap());
    let seed = SeedAsset::new("packer-images.json", SeedBytes::Here(manifest.into_bytes()));
    world.hub().seed_asset(REPOSITORY, live, seed).unwrap();
    assert!(shown_safely(&world, READERS), "nobody showed it");
}

#[test]
fn of_a_lock_and_a_tag() {
    let world = world("lock");
    let tree = world.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]).unwrap();
    let note = serde_json::json!({
        "verb": format!("publish{EVIL}"), "source": EVIL, "started": EVIL, "token": "0", "nonce": "0", "run": EVIL,
    });
    let commit = world.git(&["commit-tree", "-m", &note.to_string(), &tree]).unwrap();
    world.git(&["push", "origin", &format!("{commit}:refs/packer/lock")]).unwrap();
    world.git(&["tag", "-m", EVIL, "v0.46"]).unwrap();
    // A lock whose note is odd is shown without the note.
    assert!(!shown_safely(&world, &[&["status"], &["doctor"]]));
    world.tool(&["status"]).expect(0, &["lock"]);
}
