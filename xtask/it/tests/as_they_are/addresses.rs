//! Which repository is meant, and whether git goes there.

use std::fs;

use github_stand_in::{Access, Repository, Token};
use rehearsal::host::Network;
use rehearsal::world::{REPOSITORY, TOKEN, World};

use super::{
    PUBLISH, PUBLISH_OLD, ROLLBACK, by_hand, live, published_twice, sends_nothing, verify_and_roll_back, world,
};

/// A second bare repository with the same tags, such as a fork is.
fn fork(world: &World) -> String {
    let (remote, fork) = (world.remote(), world.dir().join("fork.git"));
    world.git(&["clone", "--quiet", "--mirror", remote.to_str().unwrap(), fork.to_str().unwrap()]).unwrap();
    fork.to_str().unwrap().to_owned()
}

/// The person's own settings of git.
fn settings(world: &mut World, text: &str) {
    let path = world.dir().join("gitconfig");
    fs::write(&path, text).unwrap();
    world.set("GIT_CONFIG_GLOBAL", path);
}

#[test]
fn a_push_url_of_the_clone_leads_nowhere() {
    let (world, old) = by_hand("pushurl");
    let fork = fork(&world);
    world.git(&["config", "remote.origin.pushurl", &fork]).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
    assert_ne!(world.git(&["--git-dir", &fork, "rev-parse", "latest"]).unwrap(), world.remote_commit("v0.45"));
    verify_and_roll_back(&world, old);
}

#[test]
fn settings_that_lead_to_another_repository_are_named_with_both() {
    let (mut world, old) = by_hand("instead");
    let (fork, remote) = (fork(&world), world.remote().to_str().unwrap().to_owned());
    for setting in ["insteadOf", "pushInsteadOf"] {
        settings(&mut world, &format!("[url \"{fork}\"]\n\t{setting} = {remote}\n"));
        sends_nothing(&world, PUBLISH).expect(3, &[setting, &fork, &remote, "which is not homestak-dev/packer"]);
        sends_nothing(&world, ROLLBACK).expect(3, &[setting, &fork, &remote]);
        world.tool(&["doctor"]).expect(3, &[setting, &fork]);
        // In the clone alone it misleads those who read.
        settings(&mut world, "");
        let name = format!("url.{fork}.{setting}");
        world.git(&["config", &name, &remote]).unwrap();
        sends_nothing(&world, PUBLISH).expect(3, &[setting, &fork, &remote]);
        world.git(&["config", "--unset", &name]).unwrap();
    }
    assert_eq!(live(&world), old);

    // The same repository by another name is none of these.
    let other_name = world.dir().join("link.git");
    std::os::unix::fs::symlink(world.remote(), &other_name).unwrap();
    settings(&mut world, &format!("[url \"{}\"]\n\tinsteadOf = {remote}\n", other_name.display()));
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    verify_and_roll_back(&world, old);
}

#[test]
fn a_repository_with_a_new_name_is_read_and_not_written() {
    let (world, old) = published_twice("renamed");
    world.hub().rename_repository(REPOSITORY, "homestak-dev/images").unwrap();
    world.hub().add_token(TOKEN, Token::classic("contributor").with("homestak-dev/images", Access::Push));
    let (renamed, cure) = ("renamed to homestak-dev/images", "use --repo homestak-dev/images");
    world.hub().seed_release("homestak-dev/images", github_stand_in::SeedRelease::published("v0.45")).unwrap();
    let document = ["document", "--release", "v0.45", "--execute"];
    for changes in [PUBLISH, PUBLISH_OLD, ROLLBACK, &document] {
        sends_nothing(&world, changes).expect(3, &[renamed, cure]);
    }
    for reads in [&["verify"][..], &["status"], &["check"]] {
        world.tool(reads).expect(0, &[renamed, cure]);
    }
    let reader = world.another_machine("reader").unwrap();
    reader.tool(&["download", "debian-12-custom"]).expect(0, &[renamed, cure, "verified"]);
    world.tool(&["doctor"]).expect(3, &[renamed, cure]);
    let verify = world.tool(&["verify", "--repo", "homestak-dev/images"]).expect(0, &["ok:"]);
    assert!(!verify.stderr.contains("renamed"), "{verify:?}");
    // Large and small letters are the same name.
    let verify = world.tool(&["verify", "--repo", "Homestak-Dev/Images"]).expect(0, &["ok:"]);
    assert!(!verify.stderr.contains("renamed"), "{verify:?}");
    world
        .tool(&[ROLLBACK, &["--repo", "homestak-dev/images"]].concat())
        .expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert!(world.hub().state().repository("homestak-dev/images").published("latest").is_some_and(|it| it.id == old));
}

#[test]
fn every_form_of_origin_is_understood_or_refused() {
    let mut world = world("origin");
    world.unset("HOMESTAK_PACKER_REPO");
    let network = Network::create(&std::env::temp_dir().join(format!("origin-{}", std::process::id()))).unwrap();
    let config = fs::read_to_string(network.config()).unwrap();
    fs::write(network.config(), format!("Host github-work\n  HostName github.com\n\n{config}")).unwrap();
    world.first_on_path(&network.bin()).unwrap();
    world.hub().add_repository("fork/packer", Repository::new(world.remote())).unwrap();
    let both = Token::classic("contributor").with("fork/packer", Access::Push).with(REPOSITORY, Access::Push);
    world.hub().add_token(TOKEN, both);
    for origin in [
        "git@github-work:fork/packer.git",
        "ssh://git@github-work/fork/packer",
        "git@github.com:/fork/packer.git",
        "ssh://git@github.com//fork/packer.git",
        "ssh://git@ssh.github.com:443/fork/packer.git",
        "https://github.com:443/fork/packer",
        "https://ana:secret@github.com/fork/packer.git/",
    ] {
        world.git(&["remote", "set-url", "origin", origin]).unwrap();
        world.tool(&["download"]).expect(3, &["no release latest is published in fork/packer"]);
    }
    for origin in ["git@github-home:fork/packer.git", "https://github.com/packer", "https://me:secret@github.com/a/b/c"]
    {
        world.git(&["remote", "set-url", "origin", origin]).unwrap();
        for verb in [&["download"][..], &["verify"], PUBLISH] {
            let ran = world.tool(verb).expect(3, &["the remote `origin` is", "--repo"]);
            assert!(!ran.stderr.contains("secret"), "{ran:?}");
        }
    }
    world
        .tool(&["download", "--repo", REPOSITORY])
        .expect(3, &["no release latest is published in homestak-dev/packer"]);
    let _ = fs::remove_dir_all(network.bin().parent().unwrap());
}

#[test]
fn a_clone_that_git_refuses_is_not_the_default_repository() {
    let mut world = world("dubious");
    world.unset("HOMESTAK_PACKER_REPO");
    world.set("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    for verb in [&["download"][..], &["verify"], &["check"], PUBLISH, ROLLBACK, &["doctor"]] {
        world.tool(verb).expect(3, &["dubious ownership", "safe.directory"]);
    }
    world.unset("GIT_TEST_ASSUME_DIFFERENT_OWNER");
    fs::write(world.packer_dir().join(".git/config"), "[remote \"origin\"\n").unwrap();
    world.tool(&["download"]).expect(3, &["bad config"]);
}

#[test]
fn a_remote_that_is_another_repository_is_told() {
    let world = world("told");
    world.git(&["remote", "add", "mine", "https://github.com/fork/packer"]).unwrap();
    let told = "homestak-dev/packer publishes, but the remote `mine` is fork/packer";
    let args = ["--remote", "mine", "--repo", REPOSITORY];
    world.tool(&[&["status"], &args[..]].concat()).expect(0, &[told]);
    assert!(world.tool(&[&["doctor"], &args[..]].concat()).stdout.contains(told));
    assert!(!world.tool(&["status", "--repo", REPOSITORY]).stderr.contains("the remote `"));
}

/// What changes something never takes the project's own repository because nobody named another.
#[test]
fn what_changes_something_asks_which_repository() {
    let (mut world, old) = by_hand("unnamed");
    world.unset("HOMESTAK_PACKER_REPO");
    world.hub().seed_release(REPOSITORY, github_stand_in::SeedRelease::published("v0.45")).unwrap();
    let document = ["document", "--release", "v0.45", "--execute"];
    world.tool(&["release", "v0.45"]).expect(3, &["the repository to change is unknown"]);
    for changes in [PUBLISH, ROLLBACK, &document] {
        sends_nothing(&world, changes)
            .expect(3, &["the repository to change is unknown", "--repo", "HOMESTAK_PACKER_REPO"]);
    }
    world.tool(&["doctor"]).expect(3, &["the repository to change is unknown"]);
    world.tool(&["status"]).expect(0, &["v0.44"]);

    // The only remote that there is, by another name: a fork.
    world.hub().add_repository("somebody/fork", Repository::new(world.remote())).unwrap();
    let both = Token::classic("contributor").with("somebody/fork", Access::Push).with(REPOSITORY, Access::Push);
    world.hub().add_token(TOKEN, both);
    world.git(&["remote", "rename", "origin", "upstream"]).unwrap();
    world.git(&["remote", "set-url", "upstream", "https://github.com/somebody/fork"]).unwrap();
    for changes in [ROLLBACK, &document] {
        let ran = sends_nothing(&world, changes).expect(3, &["`upstream`, the only one", "somebody/fork"]);
        assert!(!ran.stderr.contains(REPOSITORY), "{ran:?}");
    }
    world.git(&["remote", "add", "mine", "https://github.com/ana/packer"]).unwrap();
    sends_nothing(&world, ROLLBACK).expect(3, &["the repository to change is unknown"]);
    assert_eq!(live(&world), old);
}

/// Readers of a fork's release get the fork's images: the script there asks the fork by itself.
#[test]
fn the_script_on_a_forks_release_reads_from_the_fork() {
    let world = world("fork");
    world.hub().add_repository("somebody/fork", Repository::new(world.remote())).unwrap();
    let both = Token::classic("contributor").with("somebody/fork", Access::Push).with(REPOSITORY, Access::Push);
    world.hub().add_token(TOKEN, both);
    world.tool(&[PUBLISH, &["--repo", "somebody/fork"]].concat()).expect(0, &["done: latest is v0.45 now"]);
    let state = world.hub().state();
    let script = state.repository("somebody/fork").published("latest").unwrap().asset("get-images.sh").unwrap().clone();
    let script = fs::read_to_string(script.file).unwrap();
    assert!(
        script.contains("\nrepo=${HOMESTAK_PACKER_REPO:-somebody/fork}\n") && !script.contains(REPOSITORY),
        "{script}"
    );
    world.tool(&["verify", "--repo", "somebody/fork"]).expect(0, &["ok:"]);
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let world = world("password");
    let address = "https://x:SECRET@127.0.0.1:1/homestak-dev/packer";
    let says = |args: &[&str]| {
        let ran = world.tool_command(args).output().unwrap();
        let all = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!all.is_empty() && !all.contains("SECRET"), "{args:?}: {all}");
    };
    for verb in [&["status"][..], &["check"], PUBLISH, &["doctor"], &["release", "v0.45"], &["check", "--json"]] {
        for option in [["--remote", address], ["--repo", address]] {
            says(&[verb, &option].concat());
        }
    }
    says(&["doctor", "--git-url", address]);
}
