//! Several hosts share the work.

use std::collections::BTreeSet;
use std::fs;

use rehearsal::host::BuildHost;

use super::world::{Ran, World, qcow2};

const IMAGES: [&str; 3] = ["debian-12-custom", "debian-13-custom", "debian-13-pve"];

fn hosts<const N: usize>(world: &World, aliases: [&str; N]) -> [BuildHost; N] {
    aliases.map(|alias| world.host(alias))
}

/// `packer` in the home of each host's login.
fn run(world: &World, aliases: &[&str], more: &[&str]) -> Ran {
    let mut arguments = Vec::new();
    for alias in aliases {
        arguments.extend(["--host", alias]);
    }
    arguments.extend(["--remote-dir", "packer"]);
    arguments.extend(more);
    world.run(&arguments)
}

fn names(host: &BuildHost, file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(host.packer_dir().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn images_are_spread_over_the_hosts() {
    let world = World::with(&IMAGES);
    let [one, two] = hosts(&world, ["one", "two"]);
    for host in [&one, &two] {
        host.set("SLEEP", "1").unwrap();
    }
    let ran = run(&world, &["one", "two"], &["--json"]);
    ran.expect(0, &["[one debian-1", "[two debian-1"]);
    let (by_one, by_two) = (names(&one, "started"), names(&two, "started"));
    assert!(!by_one.is_empty() && !by_two.is_empty() && by_one.is_disjoint(&by_two), "{by_one:?} {by_two:?}");
    for image in ran.json()["images"].as_array().unwrap() {
        let host = if image["host"] == "one" { &one } else { &two };
        world.assert_fetched(host, image["name"].as_str().unwrap());
    }
    assert_eq!(ran.json()["images"].as_array().unwrap().len(), IMAGES.len());
}

#[test]
fn an_image_is_fetched_while_the_next_is_built() {
    let world = World::with(&IMAGES[..2]);
    let [host] = hosts(&world, ["one"]);
    let settings = format!("case $1 in {}) ;; *) SLEEP=300 ;; esac\n", IMAGES[0]);
    fs::write(host.packer_dir().join("stand-in.env"), settings).unwrap();
    let mut tool = world.start_at("one", &host, &[]);
    tool.until("the second build begins", || names(&host, "started").len() == 2);
    tool.until("the first image is here", || world.image(IMAGES[0]).exists());
    tool.signal("INT");
    tool.wait().expect(130, &["interrupted by signal 2", "[1/2] building", "[2/2] building"]);
    world.assert_fetched(&host, IMAGES[0]);
    assert_eq!(names(&host, "stopped"), BTreeSet::from([IMAGES[1].to_owned()]));
}

#[test]
fn a_host_that_fails_gives_its_image_to_another() {
    let world = World::with(&IMAGES);
    let [good, bad] = hosts(&world, ["good", "bad"]);
    good.set("SLEEP", "1").unwrap();
    bad.set("FAIL", "9").unwrap();
    let ran = run(&world, &["bad", "good"], &["--json"]);
    ran.expect(0, &["exit code 9", "another host will try"]);
    assert_eq!(names(&good, "started").len(), IMAGES.len());
    assert!(!names(&bad, "started").is_empty());
    for name in IMAGES {
        world.assert_fetched(&good, name);
    }
}

#[test]
fn a_host_that_cannot_be_reached_leaves_its_work_to_the_others() {
    let world = World::with(&IMAGES);
    let [good, mut gone] = hosts(&world, ["good", "gone"]);
    gone.stop();
    run(&world, &["gone", "good"], &[]).expect(0, &["can't reach gone", "the other hosts build its images"]);
    for name in IMAGES {
        world.assert_fetched(&good, name);
    }
}

#[test]
fn an_image_that_fails_everywhere_is_told_with_both_reasons() {
    let world = World::with(&IMAGES[..1]);
    let [one, two, three] = hosts(&world, ["one", "two", "three"]);
    for (host, code) in [(&one, "7"), (&two, "8"), (&three, "9")] {
        host.set("FAIL", code).unwrap();
    }
    let ran = run(&world, &["one", "two", "three"], &[]);
    ran.expect(1, &["2 problems", "build.sh on"]);
    let tries: usize = [&one, &two, &three].iter().map(|host| names(host, "started").len()).sum();
    assert_eq!(tries, 2, "one host, and one more");
}

#[test]
fn what_succeeded_is_kept_and_told_when_another_image_fails() {
    let world = World::with(&IMAGES[..2]);
    let [host] = hosts(&world, ["one"]);
    host.put(IMAGES[0], &qcow2(300_000)).unwrap();
    let ran = run(&world, &["one"], &["--skip-build", "--json"]);
    ran.expect(3, &["no image debian-13-custom"]);
    world.assert_fetched(&host, IMAGES[0]);
    assert_eq!(ran.json()["images"][0]["name"], IMAGES[0]);
    assert_eq!(ran.json()["status"], "error");
}

#[test]
fn the_newest_is_fetched_when_nothing_is_built() {
    let world = World::with(&IMAGES[..1]);
    let [old, new] = hosts(&world, ["old", "new"]);
    old.put(IMAGES[0], &qcow2(300_000)).unwrap();
    new.put(IMAGES[0], &qcow2(400_000)).unwrap();
    let path = old.image_dir(IMAGES[0]).join(format!("{}.qcow2", IMAGES[0]));
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    fs::File::options().append(true).open(path).unwrap().set_modified(yesterday).unwrap();
    run(&world, &["old", "new"], &["--skip-build"]).expect(0, &[]);
    world.assert_fetched(&new, IMAGES[0]);
}
