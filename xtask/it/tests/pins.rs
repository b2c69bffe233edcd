//! A set that was live never changes: it stays public under `images-…`, and what is wanted again becomes live without a byte sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use github_stand_in::{Action, Fault, Injection, Matches, Moment, Request, Ruleset, SeedRelease, Times};
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::Value;

use crate::begun;

const SIZES: [u64; 3] = [400 << 10, 250 << 10, 200 << 10];
const MANIFEST: &str = "packer-images.json";

fn args(source: &str) -> Vec<&str> {
    vec!["publish", "--source", source, "--part-size", "256KiB", "--allow-stale", "--execute"]
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn plan_of(world: &World, source: &str) -> Value {
    world.tool(&["publish", "--source", source, "--part-size", "256KiB", "--allow-stale", "--json"]).json()
}

fn does(plan: &Value) -> Vec<&str> {
    plan["plan"].as_array().unwrap().iter().map(|step| step["do"].as_str().unwrap()).collect()
}

/// With v0.43 live.
fn first(name: &str) -> World {
    begun::twin("pins-v0.43", &place(name), |dir| {
        let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
        options.sizes = SIZES.to_vec();
        let world = World::new(dir, options).unwrap();
        world.build_all(1, Some("v0.43")).unwrap();
        world.tool(&args("v0.43")).expect(0, &[]);
        world
    })
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pins-{name}"))
}

/// With v0.44 live and v0.43 pinned, which differ in the first image; that is rebuilt once more, for v0.45.
fn world(name: &str) -> World {
    begun::twin("pins-v0.44", &place(name), |dir| {
        let world = first("of-v0.44").twin(dir).unwrap();
        rebuild(&world, 2, "v0.44");
        world.tool(&args("v0.44")).expect(0, &[]);
        rebuild(&world, 3, "v0.45");
        world
    })
}

fn rebuild(world: &World, seed: u64, source: &str) {
    world.build(IMAGES[0], SIZES[0], 1000 + seed, Some(source)).unwrap();
}

fn live(world: &World) -> u64 {
    world.published().published("latest").unwrap().id
}

/// The public release of that tag.
fn pinned(world: &World, tag: &str) -> u64 {
    world.published().published(tag).unwrap_or_else(|| panic!("no {tag} is public")).id
}

/// The assets of each release by name and id.
fn assets(world: &World) -> BTreeMap<u64, Vec<(String, u64)>> {
    let of = |release: &github_stand_in::Release| release.assets.iter().map(|it| (it.name.clone(), it.id)).collect();
    world.published().releases.iter().map(|release| (release.id, of(release))).collect()
}

/// Those releases have the assets that they had, to the id.
fn unchanged(world: &World, before: &BTreeMap<u64, Vec<(String, u64)>>) {
    let now = assets(world);
    for (release, assets) in before {
        assert_eq!(now.get(release), Some(assets), "release {release}");
    }
}

fn is_upload(request: &Request) -> bool {
    request.method == "POST" && request.host.starts_with("uploads")
}

/// PATCH of a release.
fn is_flip(request: &Request) -> bool {
    request.method == "PATCH" && request.path.contains("/releases/") && !request.path.contains("/assets/")
}

/// Nothing was sent, asset or release, since so many requests.
fn nothing_sent(world: &World, since: usize) {
    let requests = world.hub().requests().split_off(since);
    let sent = |it: &&Request| is_upload(it) || (it.method != "GET" && it.path.contains("/releases") && !is_flip(it));
    let sent: Vec<String> = requests.iter().filter(sent).map(|it| format!("{} {}", it.method, it.path)).collect();
    assert_eq!(sent, [] as [String; 0]);
}

/// What is live is whole, under its label and with its tag.
fn is_tidy(world: &World, source: &str) {
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
    let body = world.published().published("latest").unwrap().body.clone().unwrap_or_default();
    assert_eq!(body.lines().next(), Some(&*format!("Points to {source}")));
    assert_eq!(world.remote_commit("latest"), world.remote_commit(source));
}

#[test]
fn a_set_that_was_live_stays_as_it_was_and_is_public() {
    let world = world("stays");
    let (v43, v44) = (pinned(&world, "images-v0.43"), live(&world));
    let before = assets(&world);
    let plan = plan_of(&world, "v0.45");
    assert_eq!(
        does(&plan).iter().rev().take(3).rev().copied().collect::<Vec<_>>(),
        ["tag", "pin", "publish"],
        "{plan}"
    );
    world.tool(&args("v0.45")).expect(0, &["done: latest is v0.45"]);
    let v45 = live(&world);
    assert_eq!((pinned(&world, "images-v0.43"), pinned(&world, "images-v0.44")), (v43, v44));
    for source in ["v0.43", "v0.44"] {
        assert_eq!(world.remote_commit(&format!("images-{source}")), world.remote_commit(source));
    }
    is_tidy(&world, "v0.45");
    // A reader of the pinned set gets what that set had.
    let folder = world.dir().join("read");
    let image = format!("{}.qcow2", IMAGES[1]);
    let read = ["release", "download", "images-v0.44", "--repo", REPOSITORY, "--pattern", &image, "--dir"];
    world.gh(&with(&read, &[folder.to_str().unwrap()])).unwrap();
    assert!(fs::read(folder.join(&image)).unwrap() == fs::read(world.images().join(IMAGES[1]).join(&image)).unwrap());

    // Back, to a set by its tag and by its version, and back from there: names move, and nothing else does.
    let since = world.hub().requests().len();
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.45")), (v44, v45));
    is_tidy(&world, "v0.44");
    world
        .tool(&["rollback", "--to", "images-v0.43", "--execute"])
        .expect(0, &["latest is v0.43 again, rolled back from v0.44"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.44")), (v43, v44));
    is_tidy(&world, "v0.43");
    world
        .tool(&["rollback", "--to", "v0.45", "--execute"])
        .expect(0, &["latest is v0.45 again, rolled back from v0.43"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.43")), (v45, v43));
    world.tool(&["rollback", "--to", "v0.45", "--execute"]).expect(0, &["nothing to do"]);
    // What v0.45 replaced last.
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.43 again, rolled back from v0.45"]);
    world.tool(&["rollback", "--to", "v0.12", "--execute"]).expect(3, &["v0.12", "images-v0.44", "images-v0.45"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.44")), (v43, v44));
    is_tidy(&world, "v0.43");
    nothing_sent(&world, since);
    unchanged(&world, &before);
}

#[test]
fn a_pinned_set_that_is_wanted_again_becomes_live_without_a_byte_sent() {
    let world = world("again");
    let (v43, v44) = (pinned(&world, "images-v0.43"), live(&world));
    let before = assets(&world);
    let since = world.hub().requests().len();
    // The images of v0.43, under another label.
    rebuild(&world, 1, "v0.43");
    let plan = plan_of(&world, "v0.45");
    assert_eq!(does(&plan), ["tag", "pin", "publish"], "{plan}");
    assert_eq!(plan["preview"]["bytes"]["send"], 0, "{plan}");
    world.tool(&args("v0.45")).expect(0, &["nothing to upload", "done: latest is v0.45"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.44")), (v43, v44));
    is_tidy(&world, "v0.45");

    // And those of v0.44 under their own, which is going back: that is said, and has to be meant. Also where the images here were
    // built from other files than v0.44 has.
    rebuild(&world, 3, "v0.45");
    let older = ["publish", "--source", "v0.44", "--execute"];
    world.tool(&older).expect(3, &["latest stands for v0.45", "--back", "rollback --to"]);
    rebuild(&world, 2, "v0.44");
    let refused = world.tool(&args("v0.44")).expect(3, &["latest stands for v0.45", "--back", "rollback --to"]);
    assert!(!refused.stdout.contains("Plan:"), "{refused:?}");
    assert_eq!(live(&world), v43);
    world.tool(&with(&args("v0.44"), &["--back"])).expect(0, &["nothing to upload", "done: latest is v0.44"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.43")), (v44, v43));
    is_tidy(&world, "v0.44");
    nothing_sent(&world, since);
    unchanged(&world, &before);
}

/// GitHub refuses the pinned tag: the set is kept all the same, hidden.
#[test]
fn a_tag_that_is_refused_leaves_a_hidden_draft() {
    let world = world("refused");
    let (v44, before) = (live(&world), assets(&world));
    let rules = vec![Ruleset::of_tags("pins", "refs/tags/images-*", &["creation"])];
    world.hub().change_repository(REPOSITORY, |it| it.rulesets = rules).unwrap();
    world.tool(&args("v0.45")).expect(0, &["creating the tag images-v0.44 failed", "done: latest is v0.45"]);
    let hidden = |id: u64, tag: &str| world.published().drafts(tag).any(|draft| draft.id == id);
    assert!(hidden(v44, "images-v0.44"), "{:?}", world.published().releases);
    assert_eq!(world.remote_commit("images-v0.44"), "");
    let v45 = live(&world);
    // A draft can be rolled back to, and to it again, by its name as well.
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.44 again"]);
    assert!(live(&world) == v44 && hidden(v45, "images-v0.45"));
    is_tidy(&world, "v0.44");
    world.tool(&["rollback", "--to", "images-v0.45", "--execute"]).expect(0, &["latest is v0.45 again"]);
    assert!(live(&world) == v45 && hidden(v44, "images-v0.44"));
    world.hub().change_repository(REPOSITORY, |it| it.rulesets.clear()).unwrap();
    // And one that is wanted again, once tags are welcome.
    rebuild(&world, 2, "v0.44");
    world.tool(&with(&args("v0.44"), &["--back"])).expect(0, &["nothing to upload"]);
    assert_eq!((live(&world), pinned(&world, "images-v0.45")), (v44, v45));
    is_tidy(&world, "v0.44");
    unchanged(&world, &before);
}

/// In whatever way the live set is named, it is live already.
#[test]
fn a_publish_of_what_is_live_changes_nothing() {
    let world = world("twice");
    world.tool(&args("v0.45")).expect(0, &[]);
    let same = |what: &[&str]| {
        let (since, lock) = (world.hub().requests().len(), world.dir().join("pushed"));
        let _ = fs::remove_file(&lock);
        world.hook("pre-receive", &format!("cat >> '{}'", lock.display())).unwrap();
        world.tool(&with(&args("v0.45"), what)).expect(0, &["latest of", "is v0.45 already; nothing to do"]);
        let changes = world.hub().requests().split_off(since).into_iter().filter(|it| it.method != "GET").count();
        assert_eq!((changes, fs::read_to_string(&lock).ok()), (0, None), "{what:?}");
    };
    let [a, b, c] = IMAGES;
    same(&[]);
    same(&[a]);
    same(&[c, a]);
    same(&["--only", c, b, a]);
    same(&["--carry", b]);
    same(&["--no-sign"]);
    for gone in [b, c] {
        fs::remove_dir_all(world.images().join(gone)).unwrap();
        same(&[]);
    }
    same(&[a]);
    // What is pinned is live for nobody: the same images again are a switch, and one that is done.
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.44 again"]);
    world.tool(&args("v0.45")).expect(0, &["nothing to upload", "done: latest is v0.45"]);
    same(&[]);
}

#[test]
fn a_draft_of_somebody_is_left_alone() {
    let world = first("foreign");
    rebuild(&world, 3, "v0.45");
    let before = live(&world);
    for body in ["", "of mine", "<!-- packer-incoming {\"set\": 1} -->"] {
        let draft = SeedRelease::draft("latest-incoming").body(body).asset("notes.txt", b"of mine".to_vec());
        let draft = world.hub().seed_release(REPOSITORY, draft).unwrap();
        let (since, assets) = (world.hub().requests().len(), assets(&world));
        let number = draft.to_string();
        world.tool(&args("v0.45")).expect(3, &["latest-incoming", &number, "was not made by this tool"]);
        let changed = world.hub().requests().split_off(since).into_iter().find(|it| it.method != "GET");
        assert!(changed.is_none(), "{changed:?}");
        unchanged(&world, &assets);
        world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/{draft}")]).unwrap();
    }
    assert_eq!(live(&world), before);
    world.tool(&args("v0.45")).expect(0, &["done: latest is v0.45"]);
}

/// The manifest is refused, so the run ends with a full draft.
fn ended_half_way(world: &World, source: &str) -> u64 {
    let refused =
        Injection { matches: Matches::upload(MANIFEST), times: Times::Forever, fault: Fault::status(403, "not now") };
    world.hub().inject(refused);
    world.tool(&args(source)).expect(1, &["not now", "the draft keeps what was uploaded"]);
    world.hub().reset_faults();
    let state = world.published();
    let mut drafts = state.drafts("latest-incoming");
    let draft = drafts.next().unwrap();
    assert!(drafts.next().is_none() && !draft.assets.is_empty());
    draft.id
}

#[test]
fn a_draft_of_another_set_is_named_and_replaced() {
    let world = first("another");
    rebuild(&world, 3, "v0.45");
    let draft = ended_half_way(&world, "v0.45");
    let status = world.tool(&["status", "--json"]).expect(0, &[]).json();
    let (begun, all) = (&status["incoming"][0], SIZES.iter().sum::<u64>());
    assert_eq!((begun["uploaded"].as_u64(), begun["bytes"].as_u64()), (Some(all), Some(all)), "{status}");
    // Of the same set it is gone on with, and what is there is not sent again.
    let plan = plan_of(&world, "v0.45");
    assert_eq!((&plan["plan"][0]["do"], &plan["plan"][0]["release_id"]), (&"continue".into(), &draft.into()), "{plan}");
    assert!(does(&plan).contains(&"keep") && !does(&plan).contains(&"send"), "{plan}");

    rebuild(&world, 4, "v0.45");
    let plan = plan_of(&world, "v0.45");
    let first = &plan["plan"][0];
    assert_eq!((&first["do"], &first["release_id"]), (&"delete".into(), &draft.into()), "{plan}");
    assert!(first["bytes"].as_u64().unwrap() >= SIZES.iter().sum(), "{plan}");
    let named = format!("the draft {draft} (of another set: v0.45: {}", IMAGES[0]);
    world.tool(&args("v0.45")).expect(0, &[&named, ", which loses ", "done: latest is v0.45"]);
    assert!(!assets(&world).contains_key(&draft) && live(&world) != draft);
    is_tidy(&world, "v0.45");
    assert!(world.published().drafts("latest-incoming").next().is_none());
}

/// What was agreed to is what becomes live: while the lock is taken the images folder changes.
#[test]
fn a_set_that_changes_before_the_lock_is_held_is_not_published() {
    let world = first("changes");
    let old = live(&world);
    let other = world.dir().join("other");
    let swapped = |image: &str| {
        let once = world.dir().join(format!("once-{image}"));
        let (here, there) = (world.images().join(image), other.join(image));
        let script = format!(
            "grep -q refs/packer/lock || exit 0\n[ -e '{0}' ] && exit 0\n: > '{0}'\nrm -rf '{1}'\ncp -a '{2}' '{1}'",
            once.display(),
            here.display(),
            there.display()
        );
        world.hook("pre-receive", &script).unwrap();
        world.tool(&args("v0.45")).expect(1, &["changed since the plan was made"]);
        assert!(once.exists());
        assert_eq!(live(&world), old);
        assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.43"));
        fs::remove_file(world.remote().join("hooks/pre-receive")).unwrap();
    };
    let put = |image: &str, size: u64, seed: u64| {
        world.build(image, size, seed, Some("v0.45")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::rename(world.images().join(image), other.join(image)).unwrap();
    };
    // Another build of an image.
    put(IMAGES[0], SIZES[0], 4004);
    rebuild(&world, 3, "v0.45");
    swapped(IMAGES[0]);
    // One image more, that was to be carried over.
    put(IMAGES[2], SIZES[2], 4005);
    rebuild(&world, 3, "v0.45");
    swapped(IMAGES[2]);
    world.tool(&args("v0.45")).expect(0, &["done: latest is v0.45"]);
    is_tidy(&world, "v0.45");
}

/// GitHub makes the tag anew, at the default branch, when it publishes a release that has none.
#[test]
fn a_tag_that_is_deleted_during_the_switch_is_put_right() {
    let world = first("tag");
    rebuild(&world, 2, "v0.44");
    let (rival, flips) = (Arc::new(world.another_machine("rival").unwrap()), AtomicUsize::new(0));
    world.hub().on_request(move |request, moment| {
        // The second of the two calls publishes.
        if moment == Moment::Before && is_flip(request) && flips.fetch_add(1, Ordering::Relaxed) == 1 {
            rival.git(&["push", "--quiet", "--delete", "origin", "refs/tags/latest"]).unwrap();
        }
        Action::Proceed
    });
    world.tool(&args("v0.44")).expect(0, &["somebody changed it during the switch", "done: latest is v0.44"]);
    world.hub().reset_faults();
    assert_ne!(world.remote_commit("main"), world.remote_commit("v0.44"));
    is_tidy(&world, "v0.44");
}

/// Exactly when a rollback is needed.
#[test]
fn a_live_manifest_that_is_damaged_or_gone_does_not_prevent_a_rollback() {
    for name in ["damaged", "removed"] {
        let world = world(name);
        let (v43, v44) = (pinned(&world, "images-v0.43"), live(&world));
        if name == "removed" {
            world.gh(&["release", "delete-asset", "latest", MANIFEST, "--repo", REPOSITORY, "--yes"]).unwrap();
        } else {
            let file = world.dir().join(MANIFEST);
            fs::write(&file, "{ no manifest").unwrap();
            let file = file.to_str().unwrap();
            world.gh(&["release", "upload", "latest", "--repo", REPOSITORY, "--clobber", file]).unwrap();
        }
        let before = assets(&world);
        world.tool(&["verify", "--images", "/nonexistent"]).expect(4, &[MANIFEST]);
        world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.43 again, rolled back from v0.44"]);
        assert_eq!((live(&world), pinned(&world, "images-v0.44")), (v43, v44));
        is_tidy(&world, "v0.43");
        unchanged(&world, &before);
    }
}

/// Tags were moved by hand, and git forgot the commit of the live set.
#[test]
fn a_commit_of_the_live_set_that_is_gone_blocks_nothing() {
    for verb in ["publish", "rollback"] {
        let world = first(&format!("gone-{verb}"));
        world.git(&["checkout", "--quiet", "-B", "lost", "v0.43"]).unwrap();
        world.git(&["commit", "--quiet", "--allow-empty", "--message", "Lost later"]).unwrap();
        world.git(&["tag", "v0.44.1"]).unwrap();
        world.git(&["push", "--quiet", "origin", "v0.44.1"]).unwrap();
        rebuild(&world, 2, "v0.43");
        world.tool(&args("v0.44.1")).expect(0, &[]);
        let (v43, lost) = (pinned(&world, "images-v0.43"), live(&world));
        let commit = world.remote_commit("v0.44.1");
        world.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).unwrap();
        world.git(&["push", "--quiet", "origin", "--delete", "v0.44.1"]).unwrap();
        let remote = format!("--git-dir={}", world.remote().display());
        world.git(&[&remote, "gc", "--quiet", "--prune=now"]).unwrap();
        assert_eq!(world.remote_commit(&commit), "", "git still has it");

        let fresh = world.another_machine("fresh").unwrap();
        for ((image, size), seed) in IMAGES.iter().zip(SIZES).zip(2001..) {
            fresh.build(image, size, seed, Some("v0.45")).unwrap();
        }
        let wanted = if verb == "publish" {
            fresh.tool(&args("v0.45")).expect(0, &["done: latest is v0.45"]);
            "v0.45"
        } else {
            fresh.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.43 again, rolled back from v0.44.1"]);
            assert_eq!(live(&world), v43);
            "v0.43"
        };
        assert_eq!(world.remote_commit("latest"), world.remote_commit(wanted));
        fresh.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:", wanted]);
        // There is no commit for its tag, so it is hidden.
        assert!(world.published().drafts("images-v0.44.1").any(|draft| draft.id == lost));
    }
}

/// A manifest is text from outside: it alone never says where the tag goes.
#[test]
fn the_tag_goes_only_to_a_commit_that_a_version_tag_has() {
    let world = world("elsewhere");
    // The pinned set's own tag goes, which makes a draft of its release, and its version tag moves.
    world.git(&["push", "--quiet", "--delete", "origin", "images-v0.43"]).unwrap();
    world.git(&["push", "--quiet", "--force", "origin", "v0.44^{commit}:refs/tags/v0.43"]).unwrap();
    let (old, tag) = (live(&world), world.remote_commit("latest"));
    world.tool(&["rollback", "--execute"]).expect(
        4,
        &["the set names commit", "but no version tag in homestak-dev/packer is at that commit", "was not moved"],
    );
    assert_eq!((live(&world), world.remote_commit("latest")), (old, tag));
}

/// As earlier versions of this tool kept what was replaced.
#[test]
fn a_draft_of_the_earlier_kind_can_be_rolled_back_to() {
    for wanted in [&["rollback", "--execute"][..], &["rollback", "--to", "latest-previous", "--execute"]] {
        let world = world(&format!("earlier-{}", wanted.len()));
        let (v43, v44) = (pinned(&world, "images-v0.43"), live(&world));
        let commit = world.remote_commit("v0.43");
        let manifest = |id: u64| {
            let state = world.published();
            let release = state.releases.iter().find(|it| it.id == id).unwrap();
            release.asset(MANIFEST).unwrap().digest.as_deref().unwrap()["sha256:".len()..].to_owned()
        };
        let stamp = serde_json::json!({
            "by": v44, "by_manifest": manifest(v44), "by_tag": world.remote_commit("v0.44"), "manifest": manifest(v43),
            "tag_object": commit, "commit": commit, "at": "2026-01-02T03:04:05Z",
        });
        let body = format!("Points to v0.43\n\n<!-- packer-replaced {stamp} -->\n");
        let earlier = |it: &mut github_stand_in::Release| {
            (it.tag_name, it.draft, it.body) = ("latest-previous".to_owned(), true, Some(body));
        };
        world.hub().change_release(REPOSITORY, v43, earlier).unwrap();
        world.git(&["push", "--quiet", "--delete", "origin", "images-v0.43"]).unwrap();
        let before = assets(&world);
        world.tool(wanted).expect(0, &["latest is v0.43 again, rolled back from v0.44"]);
        assert_eq!((live(&world), pinned(&world, "images-v0.44")), (v43, v44));
        is_tidy(&world, "v0.43");
        unchanged(&world, &before);
    }
}

/// Wherever a publish ended, the set that was replaced is told by its own manifest.
#[test]
fn what_was_before_is_the_replaced_set_wherever_a_publish_ended() {
    let world = world("before");
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.44")).unwrap();
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.44").unwrap().to_string();
    let told = || {
        let args = ["document", "--release", "v0.44", "--issue", &issue];
        let said = world.tool(&args).expect(0, &["the images published for v0.43"]);
        assert!(!said.text().contains("v0.45"), "{}", said.text());
        world.tool(&["diff"]).expect(0, &["from v0.43 to v0.44"]);
        world.tool(&["diff", "--from", "v0.43", "--to", "v0.44"]).expect(0, &["from v0.43 to v0.44"]);
    };
    told();
    ended_half_way(&world, "v0.45");
    told();
    let matches = Matches::on("PATCH", "/repos/*/releases/#");
    world.hub().inject(Injection { matches, times: Times::Forever, fault: Fault::status(403, "not now") });
    world.tool(&args("v0.45")).expect(1, &["not now", "stays live"]);
    world.hub().reset_faults();
    told();
    is_tidy(&world, "v0.44");
}

/// One version twice: what is printed says which of the two sets is meant.
#[test]
fn two_sets_of_one_version_are_told_apart() {
    let world = world("one-version");
    let manifest = |release: u64| {
        let state = world.published();
        let release = state.releases.iter().find(|it| it.id == release).unwrap();
        let asset = release.asset(MANIFEST).unwrap();
        format!("v0.44 (manifest {})", &asset.digest.as_deref().unwrap()["sha256:".len()..][..12])
    };
    let first = live(&world);
    rebuild(&world, 7, "v0.44");
    world.tool(&args("v0.44")).expect(0, &[]);
    let second = live(&world);
    let name = |id: u64| format!("images-v0.44-{id}");
    assert_eq!(pinned(&world, &name(first)), first);
    assert_eq!(world.remote_commit(&name(first)), world.remote_commit("v0.44"));
    let (new, old) = (manifest(second), manifest(first));
    assert_ne!(new, old);
    world.tool(&["diff"]).expect(0, &[&format!("from {old} to {new}:")]);
    let plan = format!("latest goes back from {new} to {old}, which is kept as {}", name(first));
    world.tool(&["rollback"]).expect(0, &[&plan, &format!("keep the live set as {}", name(second))]);
    let done = format!("latest is {old} again, rolled back from {new}");
    world.tool(&["rollback", "--execute"]).expect(0, &[&plan, &done]);
    assert_eq!((live(&world), pinned(&world, &name(second))), (first, second));
    world
        .tool(&["rollback", "--to", &name(second), "--execute"])
        .expect(0, &[&format!("latest is {new} again, rolled back from {old}")]);
    // Of two versions the version says it all.
    rebuild(&world, 3, "v0.45");
    world.tool(&args("v0.45")).expect(0, &[]);
    world.tool(&["diff"]).expect(0, &["from v0.44 to v0.45:"]);
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!(live(&world), second);
    let all: BTreeSet<u64> = [first, second, pinned(&world, "images-v0.45"), pinned(&world, "images-v0.43")].into();
    assert_eq!(all.len(), 4, "each set has a release of its own");
}

/// It comes while images are sent, and is told by the renewal before the switch that somebody is at work.
#[test]
fn a_rollback_of_somebody_else_is_kept_out_of_the_switch() {
    let world = world("rival");
    let was_live = live(&world);
    let rival = world.another_machine("rival").unwrap();
    let (came, told) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let (child, answer) = (Arc::clone(&came), Arc::clone(&told));
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && is_upload(request) {
            let mut child = child.lock().unwrap();
            if child.is_none() && answer.lock().unwrap().is_none() {
                let mut command = rival.tool_command(&["rollback", "--execute"]);
                let mut started = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                let mut said = BufReader::new(started.stderr.take().unwrap());
                let mut line = String::new();
                while !line.contains("another run has the lock") {
                    assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
                }
                *child = Some((started, said, line));
            }
        }
        if moment == Moment::Before && is_flip(request) {
            // The lock was renewed just now; with it this run goes on when the other one has seen that.
            if let Some((mut started, mut said, mut text)) = child.lock().unwrap().take() {
                said.read_to_string(&mut text).unwrap();
                *answer.lock().unwrap() = Some((started.wait().unwrap().code(), text));
            }
        }
        Action::Proceed
    });
    world.tool(&args("v0.45")).expect(0, &["done: latest is v0.45"]);
    world.hub().reset_faults();
    let (code, text) = told.lock().unwrap().take().expect("the other one came and went");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another run has the lock: publish of v0.45"), "{text}");
    assert_eq!(pinned(&world, "images-v0.44"), was_live);
    is_tidy(&world, "v0.45");
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.44"]);
    assert_eq!(live(&world), was_live);
    is_tidy(&world, "v0.44");
}
