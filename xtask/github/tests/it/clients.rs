//! The real `gh`, each version there is, as people and the release tool use it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use github_stand_in::{SeedAsset, SeedRelease};
use serde_json::{Value, json};

use crate::world::{Got, OWNER, REPO, STRANGER, WRITER, World, each_gh};

/// What `gh` printed, after making sure that it succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(world: &World, gh: &OsStr, dir: &Path, arguments: &[&str]) -> Output {
    let arguments = [arguments, &["-R", REPO]].concat();
    world.gh(gh, dir, OWNER, &arguments)
}

#[test]
fn a_release_is_made_read_and_fetched_by_hand() {
    for gh in each_gh() {
        let world = World::new();
        let dir = world.path("images");
        std::fs::create_dir(&dir).unwrap();
        for (name, bytes) in [("a.qcow2", "image"), ("a.qcow2.sha256", "sum"), ("readme.txt", "text")] {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        let gh = |dir: &Path, arguments: &[&str]| said(&run(&world, &gh, dir, arguments));
        let files = ["a.qcow2", "a.qcow2.sha256", "readme.txt"];
        let create = ["release", "create", "latest", "--prerelease", "--title", "Latest Images", "--notes", "N"];
        gh(&dir, &[create.as_slice(), &files].concat());
        let state = world.state();
        let release = state.published("latest").unwrap();
        assert_eq!(release.uploaded(), files);
        assert_eq!((release.name.as_deref(), release.prerelease), (Some("Latest Images"), true));

        let viewed = gh(&dir, &["release", "view", "latest"]);
        assert!(viewed.contains("asset:\ta.qcow2.sha256") && viewed.contains("prerelease:\ttrue"), "{viewed}");
        let listed = gh(&dir, &["release", "list"]);
        assert!(listed.starts_with("Latest Images\tPre-release\tlatest\t"), "{listed}");
        let fields = gh(&dir, &["release", "view", "latest", "--json", "assets,isDraft,tagName"]);
        let fields: Value = serde_json::from_str(&fields).unwrap();
        assert_eq!(json!([fields["tagName"], fields["isDraft"]]), json!(["latest", false]));

        let fetched = world.path("fetched");
        std::fs::create_dir(&fetched).unwrap();
        gh(&fetched, &["release", "download", "latest", "-p", "*.qcow2", "-p", "*.sha256"]);
        let mut names: Vec<_> = std::fs::read_dir(&fetched).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, files[..2]);
        assert_eq!(std::fs::read(fetched.join("a.qcow2")).unwrap(), b"image");

        std::fs::write(dir.join("a.qcow2"), "another").unwrap();
        gh(&dir, &["release", "upload", "latest", "a.qcow2", "--clobber"]);
        gh(&dir, &["release", "edit", "latest", "--draft", "--notes", "M"]);
        assert!(gh(&dir, &["release", "view", "latest"]).contains("draft:\ttrue"));
        gh(&dir, &["release", "edit", "latest", "--draft=false"]);
        let published = world.state().published("latest").unwrap().clone();
        assert_eq!((published.body.as_deref(), published.asset("a.qcow2").unwrap().size), (Some("M"), 7));
        gh(&dir, &["release", "delete", "latest", "--yes"]);
        assert!(world.state().releases.is_empty());
        assert!(world.hub.unexpected().is_empty(), "{:?}", world.hub.unexpected());
    }
}

#[test]
fn who_is_logged_in_is_told() {
    for gh in each_gh() {
        let world = World::new();
        let output = world.gh(&gh, &world.path("."), OWNER, &["auth", "status"]);
        assert!(output.status.success());
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("Logged in to github.com") && text.contains("olga"), "{text}");
        assert!(world.hub.unexpected().is_empty());
    }
}

#[test]
fn the_api_command_reads_pages_and_streams_uploads() {
    for gh in each_gh() {
        let world = World::new();
        let id = world.seed(SeedRelease::draft("latest-incoming"));
        let source = world.write("source", vec![7; 3 << 20]);
        let mut command = world.gh_command(&gh, WRITER);
        let url = format!("https://uploads.github.com/repos/{REPO}/releases/{id}/assets?name=a.qcow2");
        command.args(["api", "-i", "--method", "POST", "--input", "-", &url]);
        command.args(["-H", "Content-Length: 3145728", "-H", "Content-Type: application/octet-stream"]);
        let output = command.stdin(std::fs::File::open(source).unwrap()).output().unwrap();
        let asset = Got::of(&output).ok(201);
        assert_eq!(json!([asset["size"], asset["content_type"]]), json!([3_145_728, "application/octet-stream"]));

        for number in 0..4 {
            world.hub.seed_asset(REPO, id, SeedAsset::starter(&format!("{number}"))).unwrap();
        }
        let path = format!("repos/{REPO}/releases/{id}/assets?per_page=2");
        let arguments = ["api", "--paginate", path.as_str(), "--jq", ".[].name"];
        let names = said(&world.gh(&gh, &world.path("."), WRITER, &arguments));
        assert_eq!(names.lines().collect::<Vec<_>>(), ["a.qcow2", "0", "1", "2", "3"]);
        assert!(world.hub.unexpected().is_empty());
    }
}

#[test]
fn a_refusal_is_heard_while_the_body_is_under_way() {
    for gh in each_gh() {
        let world = World::with(|it| it.max_asset_bytes = 10);
        let id = world.seed(SeedRelease::draft("t"));
        let source = world.write("source", vec![7; 64 << 20]);
        let mut command = world.gh_command(&gh, WRITER);
        let url = format!("https://uploads.github.com/repos/{REPO}/releases/{id}/assets?name=a.qcow2");
        command.args(["api", "-i", "--method", "POST", "--input", "-", "-H", "Content-Length: 67108864", &url]);
        let output = command.stdin(std::fs::File::open(source).unwrap()).output().unwrap();
        assert_eq!(Got::of(&output).invalid(), "size must be less than 11");
    }
}

#[test]
fn errors_reach_people_with_their_reason() {
    for gh in each_gh() {
        let world = World::new();
        world.seed(SeedRelease::prerelease("latest"));
        let path = format!("repos/{REPO}/releases");
        let arguments = ["api", "-X", "POST", path.as_str(), "-f", "tag_name=latest"];
        let output = world.gh(&gh, &world.path("."), WRITER, &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("HTTP 422"), "{error}");
    }
}

#[test]
fn a_person_can_start_it_by_hand() {
    let world = World::new();
    let socket = world.path("by-hand");
    let mut command = crate::world::command(env!("CARGO_BIN_EXE_github-stand-in"));
    let repository = format!("{REPO}={}", world.path("packer.git").display());
    command.args(["--repository", &repository, "--socket"]).arg(&socket);
    command.arg("--storage").arg(world.path("by-hand-storage")).env("GH_TOKEN", "secret");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told: Vec<String> = lines.take(5).map(Result::unwrap).collect();
    assert!(told[1].starts_with("GH_CONFIG_DIR="), "{told:?}");
    let options = ["--unix-socket", socket.to_str().unwrap()];
    let url = format!("http://api.github.com/repos/{REPO}");
    let got = world.curl(STRANGER, "GET", &url, &options, None);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(got.ok(200)["full_name"], REPO);
}
