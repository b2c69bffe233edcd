//! A stand-in with one repository, and the clients that talk to it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use github_stand_in::{
    Access, GitHub, Release, Repository, RepositoryState, SeedAsset, SeedBytes, SeedRelease, Settings, Token,
};
use serde_json::Value;
use tempfile::TempDir;

pub const REPO: &str = "homestak-dev/packer";

use crate::described::{self, Description};

/// The tokens there are. Each is called as what it may do; the last belongs to nobody.
pub const OWNER: Who = Who(Some("owner-secret"));
pub const WRITER: Who = Who(Some("writer-secret"));
pub const READER: Who = Who(Some("reader-secret"));
pub const SCOPELESS: Who = Who(Some("scopeless-secret"));
pub const WORKFLOW: Who = Who(Some("workflow-secret"));
pub const STRANGER: Who = Who(None);
pub const FORGER: Who = Who(Some("forged-secret"));

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Who(Option<&'static str>);

pub struct World {
    pub hub: GitHub,
    dir: TempDir,
    gh_variables: Vec<(&'static str, PathBuf)>,
}

/// An answer that curl got.
#[derive(Debug)]
pub struct Got {
    /// 0 without an answer.
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether all of it arrived.
    pub whole: bool,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world whose settings are changed.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path().join("sock"), dir.path().join("storage"));
        change(&mut settings);
        let hub = GitHub::start(settings).unwrap();
        let gh_variables = hub.configure_gh(&dir.path().join("gh")).unwrap();
        let world = Self { hub, dir, gh_variables };
        // What is made once is copied: starting git dozens of times a test takes longer than all else.
        let copied = command("cp").args(["-R", "."]).arg(world.dir.path()).current_dir(origin()).status();
        assert!(copied.unwrap().success());
        world.hub.add_repository(REPO, Repository::new(world.path("packer.git"))).unwrap();
        let tokens = [
            (OWNER, Token::classic("olga").with(REPO, Access::Admin)),
            (WRITER, Token::fine_grained("wim").with(REPO, Access::Push)),
            (READER, Token::fine_grained("rita").with(REPO, Access::Read)),
            (SCOPELESS, Token { scopes: vec!["gist".into()], ..Token::classic("sam").with(REPO, Access::Push) }),
            (WORKFLOW, Token::actions().with(REPO, Access::Push)),
        ];
        for (Who(secret), token) in tokens {
            world.hub.add_token(secret.unwrap(), token);
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A request to the API with a JSON body, or without one.
    pub fn api(&self, who: Who, method: &str, path: &str, body: Option<&Value>) -> Got {
        let url = format!("http://api.github.com/{path}");
        let body = body.map(|it| it.to_string().into_bytes());
        self.curl(who, method, &url, &[], body.as_deref())
    }

    pub fn get(&self, who: Who, path: &str) -> Got {
        self.api(who, "GET", path, None)
    }

    /// A request to this repository's part of the API.
    pub fn repo(&self, who: Who, method: &str, path: &str, body: &Value) -> Got {
        let body = (!body.is_null()).then_some(body);
        self.api(who, method, &format!("repos/{REPO}{path}"), body)
    }

    /// An upload in one request.
    pub fn upload(&self, who: Who, release: u64, name: &str, bytes: &[u8]) -> Got {
        self.curl(who, "POST", &upload_url(release, name), &[], Some(bytes))
    }

    /// Any request. The body and the token don't stand among the arguments.
    pub fn curl(&self, who: Who, method: &str, url: &str, options: &[&str], body: Option<&[u8]>) -> Got {
        let mut child = self.curl_child(who, method, url, options, body);
        if let (Some(mut input), Some(body)) = (child.stdin.take(), body) {
            // The stand-in may close the connection before it has read everything.
            let _ = input.write_all(body);
        }
        Got::of(&child.wait_with_output().unwrap())
    }

    /// A request that is under way. Its body, if there is one, is what is written to the child's standard input.
    pub fn curl_child(&self, who: Who, method: &str, url: &str, options: &[&str], body: Option<&[u8]>) -> Child {
        let mut command = command("curl");
        command.args(["-sS", "-i", "-X", method, "--unix-socket"]);
        command.arg(self.hub.socket()).args(options).arg(url);
        if let Some(secret) = who.0 {
            let header = format!("Authorization: Bearer {secret}");
            let file = self.write(&format!("header-{secret}"), header);
            command.arg("-H").arg(prefixed("@", &file));
        }
        if body.is_some() {
            command.args(["-H", "Content-Type: application/octet-stream"]);
            command.args(["-H", "Expect:", "--data-binary", "@-"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a `gh` in `dir`.
    pub fn gh(&self, gh: &OsStr, dir: &Path, who: Who, arguments: &[&str]) -> Output {
        self.gh_command(gh, who).current_dir(dir).args(arguments).output().unwrap()
    }

    pub fn gh_command(&self, gh: &OsStr, who: Who) -> Command {
        let mut command = command(gh);
        command.envs(self.gh_variables.iter().map(|(name, value)| (name, value)));
        for name in ["GITHUB_TOKEN", "GH_REPO", "GH_HOST", "GH_DEBUG"] {
            command.env_remove(name);
        }
        command.envs(who.0.map(|secret| ("GH_TOKEN", secret)));
        command
    }

    /// Runs git in the work tree and returns what it says.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.path("work"), arguments)
    }

    /// The releases and issues now.
    pub fn state(&self) -> RepositoryState {
        self.hub.state().repository(REPO).clone()
    }

    pub fn release(&self, id: u64) -> Release {
        let state = self.state();
        state.releases.into_iter().find(|it| it.id == id).unwrap()
    }

    pub fn seed(&self, seed: SeedRelease) -> u64 {
        self.hub.seed_release(REPO, seed).unwrap()
    }

    pub fn seed_asset(&self, release: u64, name: &str, bytes: &[u8]) -> u64 {
        let seed = SeedAsset::new(name, SeedBytes::Here(bytes.to_vec()));
        self.hub.seed_asset(REPO, release, seed).unwrap()
    }
}

impl Drop for World {
    /// Holds each answer of the stand-in against GitHub's description.
    fn drop(&mut self) {
        let Some(description) = Description::get().filter(|_| !std::thread::panicking()) else {
            return;
        };
        let differences = description.differences(&self.hub.requests());
        described::leave_count();
        assert!(differences.is_empty(), "not as GitHub describes it:\n{}", differences.join("\n"));
    }
}

impl Got {
    /// Reads what `curl -i` printed.
    pub fn of(output: &Output) -> Self {
        let mut rest = output.stdout.as_slice();
        let mut got = Self { status: 0, headers: Vec::new(), body: Vec::new(), whole: output.status.success() };
        while rest.starts_with(b"HTTP/") {
            let end = rest.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            let status = head.split(' ').nth(1).unwrap();
            got.status = status.parse().unwrap();
            let headers = head.lines().skip(1).filter_map(|it| it.split_once(": "));
            got.headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            rest = &rest[end + 4..];
        }
        got.body = rest.to_vec();
        got
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| *key == name.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body, after making sure of the status.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The code of the first error of a 422, or its message where it has no code of its own.
    #[track_caller]
    pub fn invalid(&self) -> String {
        let body = self.ok(422);
        assert_eq!(body["documentation_url"], "https://docs.github.com/rest");
        let error = &body["errors"][0];
        let text = match error["code"].as_str() {
            Some("custom") => &error["message"],
            Some(_) => &error["code"],
            None => &body["message"],
        };
        text.as_str().unwrap().to_owned()
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// `packer.git` and a work tree with two commits. The annotated tag v0.44 is at the first, the light one v0.45 at the second.
fn origin() -> &'static Path {
    static ORIGIN: OnceLock<TempDir> = OnceLock::new();
    let dir = ORIGIN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "--template=", "--bare", "-b", "main", "packer.git"]);
        git(dir.path(), &["init", "-q", "--template=", "-b", "main", "work"]);
        let work = |arguments: &[&str]| git(&dir.path().join("work"), arguments);
        work(&["remote", "add", "origin", "../packer.git"]);
        work(&["commit", "-q", "--allow-empty", "-m", "first"]);
        work(&["tag", "-a", "-m", "the release", "v0.44"]);
        work(&["commit", "-q", "--allow-empty", "-m", "second"]);
        work(&["tag", "v0.45"]);
        work(&["push", "-q", "origin", "main", "v0.44", "v0.45"]);
        dir
    });
    dir.path()
}

/// Every `gh` to try: the one that is installed, and the one that `GH_NEWEST` names.
pub fn each_gh() -> Vec<std::ffi::OsString> {
    let newest = std::env::var_os("GH_NEWEST");
    if newest.is_none() {
        println!("only the installed gh is tried: GH_NEWEST names no other");
    }
    ["gh".into()].into_iter().chain(newest).collect()
}

/// Waits until something is so, and fails when it isn't within a minute.
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 60, "it didn't come to be");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

pub fn upload_url(release: u64, name: &str) -> String {
    format!("http://uploads.github.com/repos/{REPO}/releases/{release}/assets?name={name}")
}

pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = command("git");
    let person = [
        ("GIT_AUTHOR_NAME", "Ana"),
        ("GIT_AUTHOR_EMAIL", "ana@example.org"),
        ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_COMMITTER_NAME", "Ana"),
        ("GIT_COMMITTER_EMAIL", "ana@example.org"),
        ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ];
    let output = command.current_dir(dir).args(arguments).envs(person).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

pub fn command(program: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one place of these tests that starts clients")]
    Command::new(program)
}

fn prefixed(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}
