//! The guided walk, on the real `gh` and `git` against a stand-in for GitHub: on a terminal, without one, and begun anywhere.

use std::path::Path;

use github_stand_in::{Action, Fault, Moment, Request, SeedRelease};
use rehearsal::terminal::Terminal;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::Value;

use crate::begun;

const FIRST: &str = "debian-12-custom";
const SEE: &str = "Images: See `latest` release";

/// `latest` is v0.44, made by the tool; v0.45 changes the first template, and has a draft and an issue.
fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release").join(test);
    let world = begun::twin("release", &dir, |dir| {
        let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
        options.sizes = vec![1 << 20, 2 << 20, 3 << 20];
        let world = World::new(dir, options).unwrap();
        world.build_all(1, Some("v0.44")).unwrap();
        world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(0, &[]);
        world
    });
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new.")).unwrap();
    world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap();
    world
}

/// What build-and-fetch leaves of the first image.
fn build(world: &World) {
    world.build(FIRST, 1 << 20, 77, Some("v0.45")).unwrap();
}

fn state(world: &World, args: &[&str]) -> Value {
    world.tool(&[&["release", "v0.45", "--json"], args].concat()).expect(0, &[]).json()
}

/// The step that is next.
fn next_step(json: &Value) -> &str {
    let steps = json["steps"].as_array().unwrap();
    let states: Vec<&str> = steps.iter().map(|step| step["state"].as_str().unwrap()).collect();
    let next = states.iter().position(|state| *state == "next").unwrap_or(states.len());
    assert!(states[..next].iter().all(|state| *state == "done"), "{json}");
    assert!(states.iter().skip(next + 1).all(|state| *state == "later"), "{json}");
    steps.get(next).map_or("", |step| step["verb"].as_str().unwrap())
}

fn changing(request: &Request) -> bool {
    request.method != "GET" && !request.path.contains("graphql")
}

/// The tool on a terminal of its own.
fn on_terminal(world: &World, columns: u16, args: &[&str]) -> Terminal {
    let tool = env!("CARGO_BIN_EXE_xtask-it");
    let line = format!("stty rows 24 cols {columns}; TERM=xterm exec {tool} packer {}", args.join(" "));
    Terminal::start(world.command("script"), &line)
}

/// Without colours.
fn plain(shown: &str) -> String {
    ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"]
        .iter()
        .fold(shown.to_owned(), |text, code| text.replace(code, ""))
}

#[test]
fn without_a_terminal_it_shows_the_state_and_the_next_command() {
    let world = world("state");
    let before = world.hub().requests().len();
    let line = "cargo xtask packer build-and-fetch --host HOST --source v0.45 debian-12-custom";
    let shown = world.tool(&["release", "v0.45"]).expect(0, &["next   build-and-fetch", "later  publish", line]);
    assert!(!shown.stdout.contains('\x1b'), "{}", shown.stdout);
    let json = state(&world, &["--dry-run"]);
    assert_eq!((next_step(&json), &json["next"]["command"]), ("build-and-fetch", &line.into()));
    assert_eq!((&json["status"], &json["executed"]), (&"success".into(), &false.into()));
    assert_eq!(json["steps"][2]["images"], serde_json::json!([{ "name": FIRST }]));
    assert!(!world.hub().requests()[before..].iter().any(changing));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
}

#[test]
fn its_next_commands_lead_to_the_end() {
    let world = world("followed");
    let mut steps = Vec::new();
    let last = loop {
        let json = state(&world, &["--issue", "1"]);
        let Some(line) = json["next"]["command"].as_str() else { break json };
        steps.push(next_step(&json).to_owned());
        if steps.last().is_some_and(|step| step == "build-and-fetch") {
            build(&world);
            continue;
        }
        let words: Vec<&str> = line.strip_prefix("cargo xtask packer ").unwrap().split(' ').collect();
        world.tool(&words).expect(0, &[]);
        assert!(steps.len() < 9, "{steps:?}");
    };
    assert_eq!(steps, ["build-and-fetch", "publish", "document"]);
    assert!(last["checklist"].as_array().unwrap().iter().all(|item| item["done"] == true), "{last}");
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
}

#[test]
fn on_a_terminal_it_asks_before_each_change_and_leaves_what_the_verbs_leave() {
    let world = world("walked");
    build(&world);
    let before = world.hub().requests().len();
    let mut terminal = on_terminal(&world, 100, &["release", "v0.45", "--issue", "1"]);
    let plan = terminal.until("[y/N] ");
    for says in ["next   publish", "$ cargo xtask packer publish --source v0.45", "Plan: latest of"] {
        assert!(self::plain(&plan).contains(says), "{says}: {plan}");
    }
    assert!(!world.hub().requests()[before..].iter().any(changing));
    terminal.types("y\n");
    let plan = terminal.until("Write this? [y/N] ");
    assert!(plan.contains("Images: rebuilt for v0.45"), "{plan}");
    assert!(world.published().drafts("v0.45").all(|draft| draft.body.as_deref() == Some("What is new.")));
    terminal.types("y\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let (_, last) = shown.rsplit_once("Checklist of phase 64").unwrap_or_else(|| panic!("no checklist: {shown}"));
    for item in ["debian-13-pve.qcow2 (3.0 MiB) + .sha256", "decision in the notes of v0.45", "on the release issue"] {
        assert!(last.contains(item), "{item}: {last}");
    }
    assert!(!last.contains("[ ]"), "{last}");

    // Once more: all is done, and nothing is asked.
    let before = world.hub().requests().len();
    let (code, shown) = on_terminal(&world, 100, &["release", "v0.45", "--issue", "1"]).end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("[x]") && !shown.contains("[y/N]"), "{shown}");
    assert!(!world.hub().requests()[before..].iter().any(changing));

    let by_verbs = self::world("by-verbs");
    build(&by_verbs);
    by_verbs.tool(&["publish", "--source", "v0.45", "--execute", FIRST]).expect(0, &[]);
    by_verbs.tool(&["document", "--release", "v0.45", "--issue", "1", "--execute"]).expect(0, &[]);
    assert_eq!(trace(&world), trace(&by_verbs));
}

/// What is there, without the numbers and times that GitHub gives.
fn trace(world: &World) -> Vec<String> {
    let state = world.published();
    // The manifest has the time of each build.
    let mut trace: Vec<String> = state
        .releases
        .iter()
        .map(|release| {
            // What stands in markers has digests of manifests.
            let notes = release.body.as_deref().unwrap_or("").split("<!-- packer-").next().unwrap_or("").trim_end();
            let flags = (release.draft, release.prerelease);
            let assets = release.assets.iter().filter(|asset| !asset.name.ends_with(".json"));
            let mut assets: Vec<String> = assets.map(|asset| format!("{} {}", asset.name, asset.size)).collect();
            assets.sort();
            format!("{} {:?} {flags:?} {notes:?} {assets:?}", release.tag_name, release.name)
        })
        .collect();
    trace.sort();
    trace.extend(state.issues.iter().flat_map(|issue| issue.comments.iter().map(|comment| comment.body.clone())));
    trace.extend(["latest", "v0.45"].map(|tag| world.remote_commit(tag)));
    trace
}

#[test]
fn it_ends_at_any_question_and_goes_on_from_there() {
    let world = world("ended");
    build(&world);
    for (typed, code) in [("n\n", 1), ("\n", 1), ("\x03", 130)] {
        let before = world.hub().requests().len();
        let mut terminal = on_terminal(&world, 100, &["release", "v0.45"]);
        terminal.until("[y/N] ");
        terminal.types(typed);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{typed:?}: {shown}");
        assert!(shown.contains("To continue from here: cargo xtask packer release v0.45"), "{typed:?}: {shown}");
        assert!(!world.hub().requests()[before..].iter().any(changing), "{typed:?}");
    }
    // Somebody did a step by hand meanwhile.
    world.tool(&["publish", "--source", "v0.45", "--execute", FIRST]).expect(0, &[]);
    let mut terminal = on_terminal(&world, 100, &["release", "v0.45"]);
    let shown = terminal.until("[y/N] ");
    assert!(shown.contains("Write this?") && !shown.contains("Plan: latest of"), "{shown}");
    terminal.types("n\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("[ ] decision in the notes of v0.45"), "{shown}");
}

#[test]
fn a_publish_that_was_begun_is_gone_on_with() {
    let world = world("begun");
    build(&world);
    let publish = ["publish", "--source", "v0.45", "--execute", FIRST];
    let manifest = |request: &Request| request.method == "POST" && request.query.contains("packer-images.json");
    world.hub().on_request(move |request, moment| match moment {
        Moment::Before if manifest(request) => Action::Fault(Fault::status(403, "Must have admin rights")),
        _ => Action::Proceed,
    });
    assert_ne!(world.tool(&publish).code, Some(0));
    world.hub().reset_faults();
    let json = state(&world, &[]);
    assert_eq!(next_step(&json), "publish", "{json}");
    world.tool(&["release", "v0.45", "--execute"]).expect(0, &["done   document"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
}

#[test]
fn a_release_without_changes_keeps_its_images() {
    let world = world("skip");
    build(&world);
    world.tool(&["release", "v0.45", "--execute"]).expect(0, &["done   document"]);
    world.git(&["commit", "--quiet", "--allow-empty", "--message", "Nothing for images"]).unwrap();
    world.git(&["tag", "v0.46"]).unwrap();
    world.git(&["push", "--quiet", "--tags", "origin", "HEAD:main"]).unwrap();
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.46").body("What is new.")).unwrap();
    // An image of an earlier release lies here, which nobody wants any more.
    world.build("debian-13-pve", 3 << 20, 5, Some("v0.43")).unwrap();
    let json = world.tool(&["release", "v0.46", "--json"]).expect(0, &[]).json();
    assert_eq!(json["steps"][1]["reason"], "skip: No template changes detected", "{json}");
    assert_eq!(json["steps"][3]["reason"], "nothing to publish, `latest` stays v0.45", "{json}");
    assert_eq!(next_step(&json), "document", "{json}");
    assert!(json["steps"][4]["reason"].as_str().unwrap().ends_with("other images here: debian-13-pve"), "{json}");
    world.tool(&["release", "v0.46", "--execute"]).expect(0, &["[x] template changes checked: none"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
    assert!(world.published().published("v0.46").unwrap().body.as_deref().unwrap().ends_with(&format!("{SEE}\n")));
    // And what came after it is not for an older release to take back.
    world.tool(&["release", "v0.44"]).expect(3, &["stands for v0.45, and v0.44 is older", "rollback --to", "--back"]);
}

#[test]
fn what_was_forced_for_no_diff_is_published_too() {
    let world = world("forced");
    build(&world);
    world.tool(&["release", "v0.45", "--execute"]).expect(0, &[]);
    world.build("debian-13-custom", 2 << 20, 99, Some("v0.45")).unwrap();
    // Its record says when it was built; the world's own images have none.
    let record = world.images().join("debian-13-custom/debian-13-custom.build.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    json["built_at"] = "2099-01-01T00:00:00Z".into();
    std::fs::write(&record, json.to_string()).unwrap();
    let json = state(&world, &[]);
    assert_eq!(next_step(&json), "publish", "{json}");
    assert!(
        json["next"]["command"].as_str().unwrap().ends_with("publish --source v0.45 debian-13-custom --execute"),
        "{json}"
    );
}

#[test]
fn a_release_that_is_not_made_yet_is_named_at_the_end() {
    let world = world("no-release");
    build(&world);
    let draft = world.published().drafts("v0.45").next().unwrap().id;
    world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/{draft}")]).unwrap();
    let says =
        ["done: latest is v0.45 now", "Checklist of phase 64", "[ ] decision in the notes", "has no release v0.45"];
    // The code 3 would say that nothing was changed.
    world.tool(&["release", "v0.45", "--execute"]).expect(1, &says);
    world.tool(&["release", "v0.45", "--execute"]).expect(3, &says[1..]);
    let json = state(&world, &[]);
    assert_eq!(next_step(&json), "document", "{json}");
    assert!(json["steps"][5]["reason"].as_str().unwrap().contains("has no release v0.45"), "{json}");
}

#[test]
fn what_somebody_took_from_latest_is_put_back() {
    let world = world("damaged");
    build(&world);
    world.tool(&["release", "v0.45", "--execute"]).expect(0, &[]);
    world
        .gh(&["release", "delete-asset", "latest", "debian-13-pve.qcow2.sha256", "--yes", "--repo", REPOSITORY])
        .unwrap();
    let json = state(&world, &[]);
    assert_eq!(next_step(&json), "publish", "{json}");
    assert!(json["steps"][4]["reason"].as_str().unwrap().contains("debian-13-pve.qcow2.sha256"), "{json}");
    world.tool(&["release", "v0.45", "--execute"]).expect(0, &["restore what was changed by hand", "done   document"]);
    world.tool(&["verify"]).expect(0, &[]);
}

#[test]
fn an_image_of_other_files_is_built_again() {
    let world = world("stale");
    for built_from in [Some("v0.43"), None] {
        std::fs::remove_dir_all(world.images().join(FIRST)).unwrap();
        world.build(FIRST, 1 << 20, 5, built_from).unwrap();
        assert_eq!(next_step(&state(&world, &[])), "build-and-fetch", "{built_from:?}");
    }
}

#[test]
fn what_is_missing_is_said_with_the_line_that_mends_it() {
    let mut world = world("missing");
    world.tool(&["release", "0.45"]).expect(2, &["`0.45` is not a version tag"]);
    world.tool(&["release"]).expect(2, &["<VERSION>"]);
    let line = "git -C packer tag v0.46 && git -C packer push origin v0.46";
    let json = world.tool(&["release", "v0.46", "--json"]).expect(3, &[]).json();
    assert_eq!(
        (&json["next"]["command"], &json["status"], next_step(&json)),
        (&line.into(), &"error".into(), "doctor")
    );
    world.tool(&["release", "v0.46", "--execute"]).expect(3, &[line]);
    world.tool(&["release", "v0;reboot"]).expect(2, &["`v0;reboot` is not a version tag"]);
    world.git(&["tag", "v0.46"]).unwrap();
    world.tool(&["release", "v0.46"]).expect(3, &["next: git -C packer push origin v0.46"]);
    // A terminal, a build to be done, and no host.
    let (code, shown) = on_terminal(&world, 100, &["release", "v0.45"]).end();
    assert_eq!(code, Some(3), "{shown}");
    assert!(shown.contains("no build host is named"), "{shown}");
    world.unset("GH_TOKEN");
    world.tool(&["release", "v0.45"]).expect(3, &["next: cargo xtask packer doctor"]);
    let ran = world.tool(&["release", "v0.45", "--execute"]).expect(3, &["gh auth login"]);
    assert_eq!(ran.stderr.matches("\nfix: ").count(), 1, "{}", ran.stderr);
}

#[test]
fn its_lines_have_the_persons_options() {
    let world = world("options");
    let elsewhere = world.dir().join("it's here");
    std::fs::rename(world.packer_dir(), &elsewhere).unwrap();
    let place = elsewhere.to_str().unwrap();
    let more = ["--packer-dir", place, "--repo", REPOSITORY, "--images", place, "--host", "-x", "--remote-dir", "~/a"];
    let json = world.tool(&[&["release", "v0.45", "--json"], &more[..6]].concat()).expect(0, &[]).json();
    let quoted = format!("'{}'", place.replace('\'', r"'\''"));
    let line = format!(
        "cargo xtask packer build-and-fetch --host HOST --source v0.45 --packer-dir {quoted} --images {quoted}"
    );
    // Without names: the folder that was named has no image, and all are built.
    assert!(json["next"]["command"].as_str().unwrap().starts_with(&line[..60]), "{json}");
    assert!(
        json["next"]["command"].as_str().unwrap().contains(&format!("--packer-dir {quoted} --images {quoted}")),
        "{json}"
    );
    let document = json["steps"][5]["command"].as_str().unwrap();
    assert!(
        document.ends_with(&format!("--execute --packer-dir {quoted} --images {quoted} --repo {REPOSITORY}")),
        "{document}"
    );
    world.tool(&[&["release", "v0.45"], &more[..]].concat()).expect(2, &["-x"]);
}

#[test]
fn its_screens_fit_a_narrow_terminal() {
    let world = world("narrow");
    build(&world);
    for columns in [40, 80] {
        let (code, shown) = on_terminal(&world, columns, &["release", "v0.45", "--dry-run"]).end();
        assert_eq!(code, Some(0), "{shown}");
        let screen = shown.split_once("Release v0.45").unwrap().1;
        let (screen, _) = screen.split_once("next:").unwrap();
        for line in plain(screen).lines() {
            // A path stays whole, so that it can be copied.
            let one_word = line.split_whitespace().count() == 1;
            assert!(one_word || line.chars().count() <= usize::from(columns), "{columns}: {line:?}");
        }
    }
}
