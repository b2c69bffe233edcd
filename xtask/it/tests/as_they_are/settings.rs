//! Settings of git that people have: none of them keeps a publish from going through, and none leads it elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use rehearsal::world::World;

use super::https::{Server, server};
use super::{PUBLISH, ROLLBACK, by_hand, published_twice, verify_and_roll_back, world};

/// Keys with values that are somebody's, and that a tool which heeds them stumbles over.
const SETTINGS: &str = include_str!("settings.txt");

/// Where a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Person,
    Clone,
    Environment,
}

const PLACES: [Place; 3] = [Place::Person, Place::Clone, Place::Environment];

type Setting = (&'static str, &'static str);

fn all() -> Vec<Setting> {
    let lines = SETTINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("a key and a value")).collect()
}

/// Puts settings in a place, and the way to the server among the clone's own.
fn put(world: &mut World, server: &Server, settings: &[(Place, Setting)]) {
    let of = |place| settings.iter().filter(move |(there, _)| *there == place).map(|(_, setting)| *setting);
    let person = world.dir().join("gitconfig");
    fs::write(&person, "").unwrap();
    for (key, value) in of(Place::Person) {
        world.git(&["config", "--file", person.to_str().unwrap(), "--add", key, value]).unwrap();
    }
    for (key, value) in server.way.iter().map(|(key, value)| (*key, value.as_str())).chain(of(Place::Clone)) {
        world.git(&["config", "--add", key, value]).unwrap();
    }
    world.set("GIT_CONFIG_GLOBAL", person);
    let mut count = 0;
    for (key, value) in of(Place::Environment) {
        world.set(format!("GIT_CONFIG_KEY_{count}"), key);
        world.set(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    world.set("GIT_CONFIG_COUNT", count.to_string());
}

/// What goes wrong in a world with these settings.
fn fault(name: &str, settings: &[(Place, Setting)], whole: bool) -> Option<String> {
    let (mut world, _) = by_hand(name);
    let server = server(&mut world);
    put(&mut world, &server, settings);
    let mut runs: Vec<&[&str]> = vec![PUBLISH];
    if whole {
        runs.extend([&["check"][..], ROLLBACK]);
    }
    for args in runs {
        let ran = world.tool(args);
        if ran.code != Some(0) {
            return Some(format!("{ran:?}"));
        }
    }
    // What is asked here is not to be led astray by the same settings.
    let plain = BTreeMap::from([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_COUNT", "0")]);
    let tag = |tag: &str| {
        let mut git = world.command("git");
        git.args(["rev-parse", &format!("{tag}^{{commit}}")]).current_dir(world.remote()).envs(&plain);
        String::from_utf8(git.output().unwrap().stdout).unwrap()
    };
    let expected = if whole { "v0.44" } else { "v0.45" };
    (tag("latest") != tag(expected)).then(|| "the tag is elsewhere".to_owned())
}

/// Of the settings that are each in one place, those that stop something, or lead it astray.
fn faults(settings: &[(Place, Setting)], whole: bool) -> Vec<String> {
    let one = |(number, place): (usize, Place)| {
        let here: Vec<_> = settings.iter().filter(|(there, _)| *there == place).copied().collect();
        let said = fault(&format!("matrix-{number}"), &here, whole)?;
        eprintln!("of the {place:?}, together: {said}");
        let alone = here.iter().filter(|it| fault("matrix-alone", &[**it], whole).is_some());
        Some(format!("of the {place:?}: {:?}\n{said}", alone.collect::<Vec<_>>()))
    };
    PLACES.into_iter().enumerate().filter_map(one).collect()
}

/// Each key once, in a place that changes from day to day. `GIT_SETTINGS_MATRIX=groups`: each in every place, with a rollback and
/// a check, and `full`: each also by itself, of which `GIT_SETTINGS_ONLY=core.` takes those that begin so.
#[test]
fn whatever_is_set_a_publish_goes_through() {
    let settings = all();
    let turned = |by: usize| -> Vec<(Place, Setting)> {
        settings.iter().enumerate().map(|(at, setting)| (PLACES[(at + by) % 3], *setting)).collect()
    };
    let asked = std::env::var("GIT_SETTINGS_MATRIX").unwrap_or_default();
    let wrong: Vec<String> = match asked.as_str() {
        "full" => {
            let only = std::env::var("GIT_SETTINGS_ONLY").unwrap_or_default();
            let some = (0..3).flat_map(turned).filter(|(_, (key, _))| key.starts_with(&only));
            some.filter_map(|it| Some(format!("{it:?}: {}", fault("matrix-one", &[it], true)?))).collect()
        }
        "groups" => (0..3).flat_map(|by| faults(&turned(by), true)).collect(),
        _ => {
            let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
            faults(&turned(usize::try_from(today).unwrap()), false)
        }
    };
    println!("settings matrix: {} keys {}", settings.len(), if asked.is_empty() { "once each" } else { &asked });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A repository of our own that is of another kind than the clone is made anew, whenever it became so.
#[test]
fn a_repository_of_our_own_that_is_wrong_is_made_anew() {
    let (mut world, old) = by_hand("format");
    world.set("GIT_DEFAULT_HASH", "sha256");
    world.tool(&["doctor"]).expect(0, &["may push tag and lock"]);
    world.unset("GIT_DEFAULT_HASH");
    let ours: PathBuf = world.packer_dir().join(".git/packer/publish.git");
    fs::remove_dir_all(&ours).unwrap();
    world.git(&["init", "--quiet", "--bare", "--object-format=sha256", ours.to_str().unwrap()]).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    verify_and_roll_back(&world, old);
    fs::write(ours.join("HEAD"), "").unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
}

/// The way that holds for the clone holds for the push: also from a file that it includes under a condition.
#[test]
fn the_clones_own_way_is_the_pushs() {
    let (mut world, old) = by_hand("way");
    let server = server(&mut world);
    let [(_, proxy), (_, ca)] = &server.way;
    let file = world.dir().join("way.conf");
    fs::write(&file, format!("[http]\n\tsslCAInfo = {ca}\n[remote \"origin\"]\n\tproxy = {proxy}\n")).unwrap();
    let condition = format!("includeIf.gitdir:{}.path", world.packer_dir().join(".git").display());
    world.git(&["config", &condition, file.to_str().unwrap()]).unwrap();
    // A proxy of the remote is one for the same repository.
    world.git(&["remote", "add", "page", "git@github.com:homestak-dev/packer.git"]).unwrap();
    world.git(&["config", "remote.page.proxy", proxy]).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    verify_and_roll_back(&world, old);
}

/// Signing because of git's settings for commits: with git's own program, or not at all.
#[test]
fn a_key_of_gits_settings_that_can_not_sign_stops_nothing() {
    let world = world("signing");
    for (key, value) in [("gpg.format", "ssh"), ("user.signingKey", "/nonexistent/key"), ("commit.gpgSign", "true")] {
        world.git(&["config", key, value]).unwrap();
    }
    world.tool(PUBLISH).expect(0, &["the set is not signed", "done: latest is v0.45 now"]);
    world.tool(&[PUBLISH, &["--sign", "/nonexistent/key"]].concat()).expect(3, &["/nonexistent/key"]);
    // A program in place of ssh-keygen, as password managers have it.
    let key = world.dir().join("key");
    let done = world.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(done.success());
    let program = world.bin().join("sign-for-me");
    fs::write(
        &program,
        format!("#!/bin/sh\necho used >>{}\nexec ssh-keygen \"$@\"\n", world.dir().join("used").display()),
    )
    .unwrap();
    let mut mode = fs::metadata(&program).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&program, mode).unwrap();
    world.git(&["config", "gpg.ssh.program", program.to_str().unwrap()]).unwrap();
    world.git(&["config", "user.signingKey", key.to_str().unwrap()]).unwrap();
    world.build_all(5, Some("v0.45")).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert!(world.dir().join("used").exists());
}

#[test]
fn traces_and_templates_of_the_environment_do_no_harm() {
    let (mut world, old) = published_twice("environment");
    for (name, value) in [
        ("GIT_TRACE", "1"),
        ("GIT_TRACE_SETUP", "1"),
        ("GIT_TRACE2", "1"),
        ("GIT_TRACE2_EVENT", "1"),
        ("GIT_TEMPLATE_DIR", "/nonexistent"),
        ("GIT_DEFAULT_REF_FORMAT", "reftable"),
        ("GIT_ASKPASS", "/nonexistent"),
    ] {
        world.set(name, value);
    }
    world.tool(ROLLBACK).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!(super::live(&world), old);
}
