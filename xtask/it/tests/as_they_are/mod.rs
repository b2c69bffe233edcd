//! GitHub and git as they are: addresses that lead elsewhere, logins that may not push, names that changed, answers that
//! aren't meant, and what people do to a release by hand. Real gh and git; only GitHub is a stand-in.

mod addresses;
mod altered;
mod answers;
mod by_hand;
mod https;
mod refusals;
mod restored;
mod settings;
mod told;
mod words;

use std::path::{Path, PathBuf};

use github_stand_in::Request;
use rehearsal::process::Ran;
use rehearsal::world::{Options, REPOSITORY, World};

use crate::begun;

pub const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--part-size", "1MiB", "--execute"];
pub const PUBLISH_OLD: &[&str] = &["publish", "--source", "v0.44", "--part-size", "1MiB", "--execute"];
pub const ROLLBACK: &[&str] = &["rollback", "--execute"];

/// A world with the whole set in its images folder, built at v0.45.
pub fn world(name: &str) -> World {
    begun::twin("images-of-v0.45", &place(name), begin)
}

fn begin(dir: &Path) -> World {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![300 << 10, (3 << 20) / 2, 400 << 10];
    let world = World::new(dir, options).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("as-they-are").join(name)
}

/// One where v0.45 was published.
pub fn published(name: &str) -> World {
    begun::twin("v0.45", &place(name), |dir| {
        let world = begin(dir);
        world.tool(PUBLISH).expect(0, &[]);
        world
    })
}

/// One where people made `latest` by hand for v0.44; what is in the images folder is newer. The id of that release.
fn by_hand(name: &str) -> (World, u64) {
    let world = world(name);
    world.build_all(2, Some("v0.44")).unwrap();
    let id = world.publish_by_hand("v0.44").unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    (world, id)
}

/// One where v0.44 was published, then v0.45. The id of the release that was replaced.
pub fn published_twice(name: &str) -> (World, u64) {
    let world = begun::twin("v0.44-v0.45", &place(name), |dir| {
        let world = begin(dir);
        world.build_all(2, Some("v0.44")).unwrap();
        world.tool(PUBLISH_OLD).expect(0, &[]);
        world.build_all(1, Some("v0.45")).unwrap();
        world.tool(PUBLISH).expect(0, &[]);
        world
    });
    let replaced = world.published().published("images-v0.44").unwrap().id;
    (world, replaced)
}

#[track_caller]
pub fn live(world: &World) -> u64 {
    world.published().published("latest").expect("latest is live").id
}

fn sends(request: &Request) -> bool {
    request.method == "POST"
}

/// Runs the tool, which must send nothing: no draft, no asset.
#[track_caller]
fn sends_nothing(world: &World, args: &[&str]) -> Ran {
    let before = world.hub().requests().len();
    let ran = world.tool(args);
    let sent: Vec<String> =
        world.hub().requests()[before..].iter().filter(|it| sends(it)).map(|it| it.path.clone()).collect();
    assert!(sent.is_empty(), "{sent:?}: {ran:?}");
    ran
}

/// What is live is right, and the way back leads to what was live before.
#[track_caller]
fn verify_and_roll_back(world: &World, before: u64) {
    verify_and_roll_back_from(world, "v0.45", before);
}

#[track_caller]
fn verify_and_roll_back_from(world: &World, live_now: &str, before: u64) {
    world.tool(&["verify"]).expect(0, &["ok:"]);
    world.tool(ROLLBACK).expect(0, &[&format!("latest is v0.44 again, rolled back from {live_now}")]);
    assert_eq!(live(world), before);
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
}

fn api(path: &str) -> String {
    format!("repos/{REPOSITORY}/{path}")
}
