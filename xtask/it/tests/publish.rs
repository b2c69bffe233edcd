//! `publish`, `verify` and `rollback` through the real gh and git, against the stand-in for GitHub.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use github_stand_in::{Access, Action, Moment, Release, Ruleset, SeedRelease, Token};
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};

const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--part-size", "1MiB"];

fn options() -> Options {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![300 << 10, (5 << 20) / 2, 400 << 10];
    options
}

fn world(name: &str) -> World {
    World::new(&place(name), options()).unwrap()
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("publish-{name}"))
}

/// A world with the whole set in its images folder, built at v0.45.
fn built(name: &str) -> World {
    let world = world(name);
    world.build_all(1, Some("v0.45")).unwrap();
    world
}

fn execute<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, &["--execute"], more].concat()
}

fn live(world: &World) -> Release {
    world.published().published("latest").expect("latest is live").clone()
}

fn names(release: &Release) -> Vec<&str> {
    let mut names: Vec<&str> = release.assets.iter().map(|asset| asset.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_first_publish_ever() {
    let world = built("first");
    world.tool(&execute(PUBLISH, &["--verbose"])).expect(0, &["make the tag latest", "latest is v0.45 now"]);

    let live = live(&world);
    assert!(live.prerelease);
    assert_eq!(live.name.as_deref(), Some("Latest Images"));
    let notes = live.body.clone().unwrap();
    assert!(notes.starts_with("Points to v0.45\n\n| Image | Size | Debian | PVE | sha256 |"), "{notes}");
    assert_eq!(
        names(&live),
        [
            "SHA256SUMS",
            "debian-12-custom.qcow2",
            "debian-12-custom.qcow2.sha256",
            "debian-13-custom.qcow2.partaa",
            "debian-13-custom.qcow2.partab",
            "debian-13-custom.qcow2.partac",
            "debian-13-custom.qcow2.sha256",
            "debian-13-pve.qcow2",
            "debian-13-pve.qcow2.sha256",
            "get-images.sh",
            "packer-images.json",
        ]
    );
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
    assert_eq!(world.git(&["rev-parse", "refs/tags/latest"]).unwrap(), world.remote_commit("v0.45"));
    world
        .tool(&["verify"])
        .expect(0, &["3 images, 11 assets", "3 images in packer/images match the published images (read in full)"]);
    assert!(world.hub().unexpected().is_empty(), "{:?}", world.hub().unexpected());
}

#[test]
fn readers_put_the_parts_together() {
    let world = built("readers");
    world.tool(&execute(PUBLISH, &[])).expect(0, &[]);
    let dir = world.dir().join("reader");
    fs::create_dir_all(&dir).unwrap();
    let dir = dir.to_str().unwrap();
    world
        .gh(&["release", "download", "latest", "--repo", REPOSITORY, "--dir", dir, "--pattern", "debian-13-custom*"])
        .unwrap();
    let script =
        "cat debian-13-custom.qcow2.part* > debian-13-custom.qcow2 && sha256sum -c debian-13-custom.qcow2.sha256";
    let output = world.command("sh").current_dir(dir).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn over_a_set_made_by_hand_and_with_the_newest_gh() {
    let Some(newest) = std::env::var_os("GH_NEWEST") else {
        println!("skipped: GH_NEWEST does not name the newest gh; scripts/test sets it where it can be had");
        return;
    };
    let world = World::new(&place("newest"), Options { gh: Some(newest.into()), ..options() }).unwrap();
    world.build_all(1, Some("v0.44")).unwrap();
    let by_hand = world.publish_by_hand("v0.44").unwrap();
    world.build_all(2, Some("v0.45")).unwrap();
    world.tool(&execute(PUBLISH, &[])).expect(0, &["latest is v0.45 now"]);
    world.tool(&["verify", "--download"]).expect(0, &["ok:"]);
    let previous = world.published().releases.iter().find(|release| release.id == by_hand).cloned().unwrap();
    assert!(!previous.draft && previous.tag_name == "images-v0.44", "{previous:?}");
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    assert_eq!(live(&world).id, by_hand);
    assert_eq!(live(&world).body.as_deref(), Some("Points to v0.44"));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
}

#[test]
fn a_plan_is_shown_and_nothing_done() {
    let world = built("preview");
    let before = world.published();
    let plan = world.tool(PUBLISH).expect(0, &["debian-13-custom", "upload ", "--execute"]);
    assert!(!plan.text().contains("create the draft"), "steps are for --verbose: {}", plan.text());
    let dry = world.tool(&[PUBLISH, &["--dry-run"]].concat()).expect(0, &["upload "]);
    assert!(plan.stdout.starts_with(&dry.stdout), "{} {}", plan.stdout, dry.stdout);
    let steps = ["create the draft", "debian-13-custom.qcow2.partac", "publish the draft as latest"];
    world.tool(&[PUBLISH, &["--verbose"]].concat()).expect(0, &steps);
    let json = world.tool(&[PUBLISH, &["--json"]].concat()).expect(0, &[]).json();
    let steps = json["plan"].as_array().unwrap();
    let first = (&steps[0]["do"], &steps[1]["do"], &steps[1]["file"]);
    assert_eq!(first, (&"create".into(), &"send".into(), &"debian-12-custom.qcow2".into()), "{json}");
    let sent: u64 = steps.iter().filter(|step| step["do"] == "send").map(|step| step["bytes"].as_u64().unwrap()).sum();
    assert_eq!((&json["preview"]["bytes"]["send"], &json["preview"]["bytes"]["fetch"]), (&sent.into(), &0.into()));
    assert_eq!(json["status"], "success");
    assert_eq!(json["executed"], false);
    assert_eq!(json["source"], "v0.45");
    assert_eq!(format!("{:?}", world.published()), format!("{before:?}"));
    assert!(world.hub().requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn twice_sends_nothing_the_second_time() {
    let world = built("twice");
    world.tool(&execute(PUBLISH, &[])).expect(0, &[]);
    let before = world.hub().requests().len();
    let json = world.tool(&execute(PUBLISH, &["--json"])).expect(0, &["already"]).json();
    assert_eq!(json["executed"], true);
    assert!(world.hub().requests()[before..].iter().all(|request| request.method == "GET"));
}

#[test]
fn verify_needs_few_requests_and_no_download() {
    let world = built("requests");
    world.tool(&execute(PUBLISH, &[])).expect(0, &[]);
    let before = world.hub().requests().len();
    world.tool(&["verify"]).expect(0, &[]);
    let requests = world.hub().requests().split_off(before);
    let sent: u64 = requests.iter().map(|request| request.bytes_sent).sum();
    // The listing, `latest` by its tag, its assets and its manifest from where GitHub keeps it; and for the next step the release of
    // v0.45, which may be a draft.
    assert!(requests.len() <= 7, "{requests:?}");
    assert!(sent < 100_000, "{sent} bytes");
}

#[test]
fn verify_names_what_differs() {
    let world = built("differs");
    world.tool(&execute(PUBLISH, &[])).expect(0, &[]);
    world.build(IMAGES[0], 300 << 10, 77, Some("v0.45")).unwrap();
    world.tool(&["verify"]).expect(4, &["debian-12-custom.qcow2 here has sha256"]);
    fs::remove_dir_all(world.images()).unwrap();

    let live = live(&world);
    let asset = live.assets.iter().find(|asset| asset.name == "debian-13-custom.qcow2.partab").unwrap();
    world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/assets/{}", asset.id)]).unwrap();
    world.git(&["push", "--force", "origin", "v0.44^{commit}:refs/tags/latest"]).unwrap();
    let ran = world.tool(&["verify", "--json"]).expect(4, &["partab is missing", "tag latest is at"]);
    assert_eq!(ran.json()["status"], "error");
    assert_eq!(ran.json()["differences"].as_array().unwrap().len(), 2);
}

#[test]
fn an_image_that_is_not_here_is_never_taken_over_in_silence() {
    let world = world("absent");
    world.build_all(1, Some("v0.44")).unwrap();
    world.tool(&execute(&["publish", "--source", "v0.44"], &[])).expect(0, &[]);
    fs::remove_dir_all(world.images().join(IMAGES[0])).unwrap();
    // The first template's script changed between v0.44 and v0.45.
    world.tool(PUBLISH).expect(3, &["no image debian-12-custom.qcow2", "--carry debian-12-custom"]);
    world.tool(&[PUBLISH, &["--carry", IMAGES[0]]].concat()).expect(1, &["debian-12-custom does not fit v0.45"]);
}

#[test]
fn carried_images_keep_their_bytes_and_parts() {
    let world = world("carry");
    world.build_all(1, Some("v0.44")).unwrap();
    let small: &[&str] = &["publish", "--source", "v0.44", "--part-size", "512KiB"];
    world.tool(&execute(small, &[])).expect(0, &[]);
    let before = live(&world);
    fs::remove_dir_all(world.images()).unwrap();
    world.build(IMAGES[0], 300 << 10, 9, Some("v0.45")).unwrap();
    let plan = world.tool(PUBLISH).expect(0, &["rebuilt", "unchanged (carried over)", "after downloading"]);
    assert!(plan.text().contains("undo: `cargo xtask packer rollback --execute` restores v0.44"), "{}", plan.text());
    world.tool(&execute(PUBLISH, &["--verbose"])).expect(0, &["copy from latest debian-13-custom.qcow2.partae"]);
    let after = live(&world);
    for name in names(&before).into_iter().filter(|name| name.contains("debian-13")) {
        let digest = |release: &Release| release.assets.iter().find(|asset| asset.name == name).unwrap().digest.clone();
        assert_eq!(digest(&before), digest(&after), "{name}");
    }
    world.tool(&["verify", "--download"]).expect(0, &["ok:"]);
}

#[test]
fn copy_takes_the_source_releases_assets() {
    let world = built("copy");
    let mut release = SeedRelease::published("v0.45");
    for image in IMAGES {
        for file in [format!("{image}.qcow2"), format!("{image}.qcow2.sha256")] {
            release = release.asset(&file, fs::read(world.images().join(image).join(&file)).unwrap());
        }
    }
    world.hub().seed_release(REPOSITORY, release).unwrap();
    fs::remove_dir_all(world.images()).unwrap();
    world.tool(&execute(PUBLISH, &["--copy", "--verbose"])).expect(0, &["copy from v0.45", "latest is v0.45 now"]);
    assert_eq!(names(&live(&world)).len(), 9);
    world.tool(&["verify", "--download"]).expect(0, &["ok:"]);
}

#[test]
fn copy_publishes_nothing_that_nothing_vouches_for() {
    let world = built("unvouched");
    let bytes = |image: &str| fs::read(world.images().join(image).join(format!("{image}.qcow2"))).unwrap();
    let line = |image: &str| fs::read(world.images().join(image).join(format!("{image}.qcow2.sha256"))).unwrap();
    let release = SeedRelease::published("v0.45")
        .asset("debian-12-custom.qcow2", bytes(IMAGES[0]))
        .asset("debian-13-custom.qcow2.partab", bytes(IMAGES[1]))
        .asset("debian-13-custom.qcow2.sha256", line(IMAGES[1]))
        .asset("debian-13-pve.qcow2", bytes(IMAGES[0]))
        .asset("debian-13-pve.qcow2.sha256", line(IMAGES[2]));
    world.hub().seed_release(REPOSITORY, release).unwrap();
    world.tool(&execute(PUBLISH, &["--copy"])).expect(
        4,
        &[
            "debian-12-custom.qcow2 on release v0.45 has no digest",
            "debian-13-custom.qcow2.partaa is missing",
            "debian-13-pve.qcow2 on release v0.45 has sha256",
        ],
    );
    assert_eq!(world.published().releases.len(), 1, "no draft was made");
}

#[test]
fn only_is_said_loudly() {
    let world = built("only");
    world.tool(&execute(PUBLISH, &["--only", IMAGES[0]])).expect(0, &["will NOT have debian-13-custom, debian-13-pve"]);
    assert_eq!(names(&live(&world)).len(), 5);
}

#[test]
fn a_draft_that_somebody_else_made_is_not_touched() {
    let world = built("another-set");
    let draft = world.hub().seed_release(REPOSITORY, SeedRelease::draft("latest-incoming").body("mine")).unwrap();
    let ran = world.tool(&execute(PUBLISH, &[]));
    ran.expect(3, &["was not made by this tool", &draft.to_string(), "latest-incoming"]);
    assert!(world.published().releases.iter().any(|release| release.id == draft), "it is left alone");
}

#[test]
fn local_files_that_are_wrong_end_the_publish_before_a_byte_is_sent() {
    type Damage = fn(&Path);
    let table: &[(&str, i32, &str, Damage)] = &[
        ("no-folder", 3, "no images folder", |dir| fs::remove_dir_all(dir).unwrap()),
        ("no-image", 3, "no image debian-12-custom.qcow2", |dir| {
            fs::remove_dir_all(dir.join("debian-12-custom")).unwrap();
        }),
        ("no-checksum", 3, "no checksum file", |dir| {
            fs::remove_file(dir.join("debian-12-custom/debian-12-custom.qcow2.sha256")).unwrap();
        }),
        ("not-qcow2", 1, "is not a qcow2 image", |dir| {
            fs::write(dir.join("debian-12-custom/debian-12-custom.qcow2"), "hello").unwrap();
        }),
        ("empty", 1, "is empty", |dir| fs::write(dir.join("debian-12-custom/debian-12-custom.qcow2"), "").unwrap()),
        ("twice", 1, "two files", |dir| {
            fs::copy(dir.join("debian-12-custom/debian-12-custom.qcow2"), dir.join("debian-12-custom.qcow2"))
                .map(drop)
                .unwrap();
        }),
        ("symlink", 1, "is a symlink", |dir| {
            let path = dir.join("debian-12-custom/debian-12-custom.qcow2");
            fs::rename(&path, dir.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(dir.join("elsewhere"), path).unwrap();
        }),
        ("renamed-by-github", 1, "which GitHub replaces", |dir| {
            fs::copy(dir.join("debian-12-custom/debian-12-custom.qcow2"), dir.join("my image.qcow2"))
                .map(drop)
                .unwrap();
        }),
        ("part-missing", 3, "partaa is missing", |dir| {
            let path = dir.join("debian-12-custom/debian-12-custom.qcow2");
            fs::rename(&path, path.with_file_name("debian-12-custom.qcow2.partab")).unwrap();
        }),
        ("bad-checksum", 1, "expected one line", |dir| {
            fs::write(dir.join("debian-12-custom/debian-12-custom.qcow2.sha256"), "hello\n").unwrap();
        }),
    ];
    for (name, code, says, damage) in table {
        let world = built(&format!("wrong-{name}"));
        damage(&world.images());
        world.tool(&execute(PUBLISH, &[])).expect(*code, &[says]);
        assert!(world.hub().requests().iter().all(|request| request.method == "GET"), "{name}");
    }
}

#[test]
fn a_digest_that_differs_ends_with_4_and_the_draft_goes() {
    let world = built("digest");
    let path = world.images().join("debian-13-custom/debian-13-custom.qcow2");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let checksum = fs::read_to_string(path.with_file_name("debian-13-custom.qcow2.sha256")).unwrap();
    world.tool(&execute(PUBLISH, &[])).expect(4, &["debian-13-custom.qcow2 has sha256", &checksum[..64]]);
    assert!(world.published().releases.is_empty());
    assert_eq!(world.remote_commit("latest"), "");
}

#[test]
fn what_is_asked_for_wrongly_is_exit_2() {
    let world = built("usage");
    for (args, says) in [
        (&["publish", "--source", "v0.45", "--part-size", "0"][..], "0 bytes"),
        (&["publish", "--source", "v0.45", "--part-size", "2GiB"], "2147483648 bytes"),
        (
            &["publish", "--source", "v0.45", "debian-11"],
            "unknown image `debian-11`; did you mean `debian-13-pve`? known images: debian-12-custom",
        ),
        (&["publish", "--source", "v0.45", "--carry", "debian-11"], "unknown image"),
        (&["publish", "--source", "latest"], "is not a version tag"),
        (&["publish", "--source", "v0.45", "--repo", "x"], "is not a repository"),
        (&["publish"], "--source"),
        (&["publish", "--source", "v0.45", "--execute", "--dry-run"], "cannot be used with"),
        (&["publish", "--source", "v0.45", "--yes", "--dry-run"], "cannot be used with"),
    ] {
        world.tool(args).expect(2, &[says]);
    }
}

#[test]
fn yes_is_consent_as_well() {
    let world = built("yes");
    world.tool(&[PUBLISH, &["--yes"]].concat()).expect(0, &["done: latest is v0.45"]);
    let document = ["document", "--release", "v0.45", "--execute", "--yes"];
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    world.tool(&document).expect(0, &["Images: "]);
    assert!(world.published().published("v0.45").unwrap().body.clone().unwrap().contains("Images: "));
    world.tool(&execute(PUBLISH, &["--yes", "--yes"])).expect(0, &["nothing to do"]);
}

#[test]
fn a_source_tag_must_be_the_same_everywhere() {
    let world = built("source");
    let ran = world.tool(&["publish", "--source", "v0.99"]);
    let ran = ran.expect(3, &["no tag v0.99, neither here nor on origin"]);
    assert_eq!(ran.stderr.matches("no tag").count(), 1, "{}", ran.stderr);
    world.git(&["tag", "v0.99"]).unwrap();
    world
        .tool(&["publish", "--source", "v0.99"])
        .expect(3, &["tag v0.99 is missing on origin", "git -C packer push origin v0.99"]);
    world.git(&["push", "--quiet", "origin", "v0.99"]).unwrap();
    world.git(&["tag", "--delete", "v0.99"]).unwrap();
    world
        .tool(&["publish", "--source", "v0.99"])
        .expect(3, &["no tag v0.99 here", "git -C packer fetch origin tag v0.99"]);
    world.git(&["tag", "v0.99", "v0.43"]).unwrap();
    world.tool(&["publish", "--source", "v0.99"]).expect(3, &["git -C packer fetch --force origin tag v0.99"]);
}

#[test]
fn permissions_and_settings_are_found_before_any_change() {
    let world = built("permissions");
    let hub = world.hub();
    hub.change_repository(REPOSITORY, |repository| repository.archived = true).unwrap();
    world.tool(&execute(PUBLISH, &[])).expect(3, &["is archived", "unarchive"]);
    hub.change_repository(REPOSITORY, |repository| repository.archived = false).unwrap();

    hub.change_repository(REPOSITORY, |repository| repository.immutable_releases = true).unwrap();
    hub.add_token(rehearsal::world::TOKEN, Token::classic("contributor").with(REPOSITORY, Access::Admin));
    world.tool(&execute(PUBLISH, &[])).expect(3, &["immutable releases", "Settings"]);
    hub.change_repository(REPOSITORY, |repository| repository.immutable_releases = false).unwrap();

    let protect = |ruleset: Ruleset| hub.change_repository(REPOSITORY, |it| it.rulesets = vec![ruleset]).unwrap();
    for (include, rule) in [("~ALL", "update"), ("refs/tags/l*", "creation")] {
        protect(Ruleset::of_tags("no moves", include, &["deletion", rule]));
        world.tool(&execute(PUBLISH, &[])).expect(3, &["`no moves`", "refs/tags/latest", "bypass list"]);
    }
    // These don't stand in the way: for other tags, not in force, and one that lets this token pass.
    for ruleset in [
        Ruleset::of_tags("versions", "refs/tags/v*", &["update"]),
        Ruleset { enforcement: "evaluate".to_owned(), ..Ruleset::of_tags("a trial", "~ALL", &["update"]) },
        Ruleset { bypass: true, ..Ruleset::of_tags("for others", "~ALL", &["update"]) },
    ] {
        protect(ruleset);
        world.tool(PUBLISH).expect(0, &["Plan:"]);
    }
    protect(Ruleset::of_tags("forwards only", "~ALL", &["non_fast_forward"]));
    world.tool(PUBLISH).expect(0, &["`forwards only` blocks force pushes", "Plan:"]);
    hub.change_repository(REPOSITORY, |repository| repository.rulesets.clear()).unwrap();

    hub.add_token(rehearsal::world::TOKEN, Token::classic("contributor").with(REPOSITORY, Access::Read));
    world.tool(&execute(PUBLISH, &[])).expect(3, &["may not push to homestak-dev/packer"]);
    hub.remove_token(rehearsal::world::TOKEN);
    world.tool(&execute(PUBLISH, &[])).expect(3, &["gh auth login"]);
    hub.add_token(rehearsal::world::TOKEN, Token::actions().with(REPOSITORY, Access::Push));
    world
        .tool(&execute(PUBLISH, &["--repo", "homestak-dev/nothing"]))
        .expect(3, &["no repository homestak-dev/nothing"]);
    assert!(hub.requests().iter().all(|request| request.method == "GET"));
    // A workflow's token belongs to no user, and may publish.
    // GitHub doesn't tell what it may do.
    world.tool(&execute(PUBLISH, &[])).expect(0, &["needs Contents: write", "latest is v0.45 now"]);
}

/// A rival with the same set comes in the middle of an upload: it sees that this run is alive, and leaves all to it.
#[test]
fn a_publish_that_is_alive_is_left_alone() {
    let world = built("alive");
    let mut rival = world.another_machine("rival").unwrap();
    world.hub().add_token("rival-token", Token::classic("rival").with(REPOSITORY, Access::Push));
    rival.set("GH_TOKEN", "rival-token");
    for (name, (size, seed)) in IMAGES.iter().zip(options().sizes.into_iter().zip(1001..)) {
        rival.build(name, size, seed, Some("v0.45")).unwrap();
    }
    let (sends, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (first, hook) = (AtomicBool::new(true), (Arc::clone(&sends), Arc::clone(&goes_on)));
    world.hub().on_request(move |request, moment| {
        let upload = moment == Moment::Before && request.host.starts_with("uploads");
        if upload && first.swap(false, Ordering::Relaxed) {
            hook.0.wait();
            hook.1.wait();
        }
        Action::Proceed
    });
    let publish = execute(PUBLISH, &[]);
    let mine = thread::scope(|scope| {
        let mine = scope.spawn(|| world.tool(&publish));
        sends.wait();
        let theirs = rival.tool(&publish);
        goes_on.wait();
        theirs.expect(1, &["another run has the lock: publish of v0.45, since 20", "this run changed nothing"]);
        mine.join().unwrap()
    });
    mine.expect(0, &["latest is v0.45 now"]);
    assert_eq!(live(&world).assets.len(), 11);
    world.tool(&["verify"]).expect(0, &[]);
    let changes = world.hub().requests();
    let mut changes = changes.iter().filter(|request| request.method != "GET");
    assert!(changes.all(|request| request.login.as_deref() != Some("rival")), "the rival changed something");
    assert_eq!(world.remote_commit("refs/packer/lock"), "", "the lock was given back");
}

/// Somebody changes what is live while the new set is on its way: the release by hand, or the tag.
#[test]
fn a_latest_that_changed_since_the_plan_is_not_replaced() {
    let world = world("changed");
    world.build_all(2, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    let rival = Arc::new(world.another_machine("rival").unwrap());
    let edit = |rival: &Machine| {
        let args = ["release", "edit", "latest", "--repo", REPOSITORY, "--notes", "Do not replace"];
        rival.gh(&args).map(drop)
    };
    let push = |rival: &Machine| {
        rival.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).map(drop)
    };
    let before = live(&world).id;
    type Change = fn(&Machine) -> anyhow::Result<()>;
    for (change, why) in [(edit as Change, "the live release changed"), (push, "what there is to do changed")] {
        let (rival, changed) = (Arc::clone(&rival), AtomicBool::new(false));
        let live_assets = format!("/{before}/");
        world.hub().on_request(move |request, moment| {
            let draft = request.path.ends_with("/assets") && !request.path.contains(&live_assets);
            if moment == Moment::Before && draft && !changed.swap(true, Ordering::Relaxed) {
                change(&rival).expect("changing what is live");
            }
            Action::Proceed
        });
        world.tool(&execute(PUBLISH, &[])).expect(1, &[why, "since the plan was made", "nothing was switched"]);
        assert_eq!(live(&world).id, before);
        world.hub().reset_faults();
    }
    // The plan is made anew, and what lies on the draft is kept.
    world.tool(&execute(PUBLISH, &["--verbose"])).expect(0, &["keep", "latest is v0.45 now"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
}

#[test]
fn no_login_and_no_gh_say_so() {
    let mut world = built("login");
    world.unset("GH_TOKEN");
    world.tool(PUBLISH).expect(3, &["gh auth login --hostname github.com"]);
    world.set("GH_TOKEN", "x");
    let bin = world.dir().join("only");
    fs::create_dir_all(&bin).unwrap();
    {
        let tool = "git";
        let found = world.command("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        std::os::unix::fs::symlink(path, bin.join(tool)).unwrap();
    }
    world.set("PATH", bin.as_os_str());
    world.tool(PUBLISH).expect(3, &["gh is not installed", "apt install gh"]);
    fs::remove_file(bin.join("git")).unwrap();
    world.tool(PUBLISH).expect(3, &["is not installed", "apt install"]);
}

#[test]
fn variables_that_lead_astray_do_not_reach_the_children() {
    let mut world = built("astray");
    for (name, value) in [
        ("GIT_DIR", "/nonexistent"),
        ("GIT_WORK_TREE", "/nonexistent"),
        ("GH_REPO", "other/repo"),
        ("GH_HOST", "example.org"),
        ("GH_DEBUG", "api"),
        ("GH_FORCE_TTY", "80"),
        ("CLICOLOR_FORCE", "1"),
    ] {
        world.set(name, value);
    }
    let ran = world.tool(&execute(PUBLISH, &[])).expect(0, &["latest is v0.45 now"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(rehearsal::world::TOKEN));
}

#[test]
fn more_assets_than_a_release_takes() {
    let world = built("many");
    world.tool(&["publish", "--source", "v0.45", "--part-size", "3KiB"]).expect(3, &["GitHub allows 1000"]);
}
