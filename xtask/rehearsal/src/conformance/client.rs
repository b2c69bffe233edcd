//! How the checks reach GitHub: `gh api` with the person's own login, and `curl` for readers without a login.

use std::cell::Cell;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::answer::{Answer, Ending};
use super::child::{Ended, finish};

/// A repository, `[HOST/]OWNER/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    pub host: String,
    pub owner: String,
    pub name: String,
}

impl FromStr for Repo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (host, owner, name) = match parts[..] {
            [owner, name] => ("github.com", owner, name),
            [host, owner, name] => (host, owner, name),
            _ => return Err("write OWNER/NAME".to_owned()),
        };
        let plain = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && !part.starts_with(['-', '.']) && part.bytes().all(known)
        };
        if ![host, owner, name].into_iter().all(plain) {
            return Err("write OWNER/NAME, in letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(Self { host: host.to_owned(), owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A command by its program's name, with the environment that it is to have.
type Start = dyn Fn(&str) -> Command;

/// What a request carries.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    None,
    Json(&'a Value),
    Bytes(&'a [u8]),
    /// Fewer bytes than are announced.
    Cut {
        bytes: &'a [u8],
        announced: usize,
    },
}

/// How the checks reach one repository.
pub struct Client {
    pub repo: Repo,
    /// How everything begins that is made there: `conformance-<16 random hex digits>-`.
    pub prefix: String,
    start: Box<Start>,
    /// Where `curl` finds the stand-in.
    socket: Option<PathBuf>,
    /// Where git finds the repository; none at GitHub's own address.
    remote: Option<PathBuf>,
    /// The least time between two changes. GitHub asks for a second.
    pace: Duration,
    /// How long a listing may lag behind what was done.
    pub lag: Duration,
    interrupted: Arc<AtomicBool>,
    last_change: Cell<Option<Instant>>,
    /// Set while what was made is deleted again, which no signal ends.
    deaf: Cell<bool>,
    /// A change got no clear answer, so that it may have been made all the same.
    unclear: Cell<bool>,
    longest_lag: Cell<Duration>,
}

impl Client {
    /// A repository on GitHub. Signals set `interrupted`.
    ///
    /// # Errors
    ///
    /// When there is no `/dev/urandom`.
    pub fn github(repo: Repo, interrupted: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let start = |name: &str| {
            let mut command = crate::process::program(name);
            // What would lead gh to another repository, or have it print more than the answer.
            for variable in ["GH_REPO", "GH_HOST", "GH_DEBUG", "DEBUG", "GH_FORCE_TTY", "CLICOLOR_FORCE"] {
                command.env_remove(variable);
            }
            command.envs([("GH_PROMPT_DISABLED", "1"), ("GH_NO_UPDATE_NOTIFIER", "1"), ("NO_COLOR", "1")]);
            command
        };
        let client = Self::new(repo, Box::new(start), None, interrupted)?;
        Ok(client.with_times(Duration::from_secs(1), Duration::from_secs(15)))
    }

    pub(super) fn new(
        repo: Repo,
        start: Box<Start>,
        socket: Option<PathBuf>,
        interrupted: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            repo,
            prefix: format!("conformance-{}-", random()?),
            start,
            socket,
            remote: None,
            pace: Duration::ZERO,
            lag: Duration::ZERO,
            interrupted,
            last_change: Cell::new(None),
            deaf: Cell::new(false),
            unclear: Cell::new(false),
            longest_lag: Cell::new(Duration::ZERO),
        })
    }

    /// The least time between two changes, and how long a listing may lag.
    #[must_use]
    pub fn with_times(self, pace: Duration, lag: Duration) -> Self {
        Self { pace, lag, ..self }
    }

    /// Another way for git to the repository.
    #[must_use]
    pub(super) fn with_remote(self, remote: PathBuf) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// The longest time that something took to show.
    pub fn longest_lag(&self) -> Duration {
        self.longest_lag.get()
    }

    pub(super) fn is_unclear(&self) -> bool {
        self.unclear.get()
    }

    /// From now on signals end nothing.
    pub(super) fn close_to_signals(&self) {
        self.deaf.set(true);
    }

    pub fn get(&self, path: &str) -> Result<Answer, Ending> {
        self.send("GET", path, &[], Body::None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Ending> {
        self.send("POST", path, &[], Body::Json(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Answer, Ending> {
        self.send("PATCH", path, &[], Body::Json(body))
    }

    pub fn delete(&self, path: &str) -> Result<Answer, Ending> {
        self.send("DELETE", path, &[], Body::None)
    }

    /// Every item of a listing.
    pub fn pages(&self, path: &str) -> Result<Vec<Value>, Ending> {
        let mut all = Vec::new();
        for page in 1.. {
            let answer = self.get(&format!("{path}?per_page=100&page={page}"))?.expect(200)?;
            let items = answer.json().as_array().cloned().unwrap_or_default();
            let last = items.len() < 100;
            all.extend(items);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Sends a request below the repository, or to a whole URL. A GET is tried again, a rate limit waited for.
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: Body<'_>) -> Result<Answer, Ending> {
        let mut tries = 0;
        loop {
            tries += 1;
            let end = match self.exchange(method, path, headers, body)? {
                Ok(answer) if answer.limit().is_none() && answer.status < 500 => return Ok(answer),
                other => other,
            };
            let limit = end.as_ref().ok().and_then(Answer::limit);
            let wait = match limit {
                Some(seconds) if tries < 4 => Duration::from_secs(seconds.min(900)),
                None if tries < 4 && method == "GET" => self.step(),
                _ => return end.map_err(Ending::NotTold),
            };
            if limit.is_some() {
                eprintln!("GitHub asks to wait: continuing in {} s", wait.as_secs());
            }
            self.pause(wait)?;
        }
    }

    /// Sends a request once; without an answer, gh's reason.
    pub fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Body<'_>,
    ) -> Result<Result<Answer, String>, Ending> {
        self.keep_pace(method)?;
        let mut command = (self.start)("gh");
        let Repo { host, .. } = &self.repo;
        command.args(["api", "--include", "--hostname", host, "--method", method]);
        let json;
        let (kind, bytes, length) = match body {
            Body::None => ("", None, 0),
            Body::Json(value) => {
                json = value.to_string().into_bytes();
                ("application/json", Some(json.as_slice()), json.len())
            }
            Body::Bytes(bytes) => ("application/octet-stream", Some(bytes), bytes.len()),
            Body::Cut { bytes, announced } => ("application/octet-stream", Some(bytes), announced),
        };
        if bytes.is_some() {
            command.args(["-H", &format!("Content-Type: {kind}"), "-H", &format!("Content-Length: {length}")]);
            command.args(["--input", "-"]);
        }
        if !headers.iter().any(|header| header.starts_with("Accept:")) {
            command.args(["-H", "Accept: application/vnd.github+json"]);
        }
        for header in headers {
            command.args(["-H", header]);
        }
        let url = self.url(path);
        command.arg(&url);
        let ended = finish(command, bytes).map_err(Ending::NotTold)?;
        let asked = format!("{method} {}", url.trim_start_matches("https://"));
        let answer = Answer::parse(&asked, &ended.stdout);
        let clear = answer.as_ref().is_some_and(|it| it.status < 500);
        if method != "GET" && !clear {
            self.unclear.set(true);
        }
        let said = || ended.stderr.lines().next().unwrap_or("gh ended without an answer").to_owned();
        Ok(answer.ok_or_else(|| format!("{asked}: no answer: {}", said())))
    }

    /// What somebody without a login gets from an address of the website: status and bytes.
    pub fn stranger(&self, path: &str) -> Result<(u16, Vec<u8>), Ending> {
        if self.is_interrupted() {
            return Err(Ending::Interrupted);
        }
        let mut command = (self.start)("curl");
        // First of all: the person's own curlrc takes no part.
        command.args(["--disable", "--silent", "--show-error", "--location", "--max-time", "60"]);
        command.args(["--write-out", "\n%{http_code}"]);
        let scheme = match &self.socket {
            Some(socket) => {
                command.arg("--unix-socket").arg(socket);
                "http"
            }
            None => "https",
        };
        let Repo { host, owner, name } = &self.repo;
        command.arg(format!("{scheme}://{host}/{owner}/{name}/{path}"));
        let ended = finish(command, None).map_err(Ending::NotTold)?;
        let end = ended.stdout.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
        let status = std::str::from_utf8(&ended.stdout[end..]).ok().and_then(|it| it.trim().parse().ok());
        match status {
            Some(status) if (200..500).contains(&status) => Ok((status, ended.stdout[..end].to_vec())),
            _ => Err(Ending::NotTold(format!("downloading {path}: {}", ended.stderr.trim()))),
        }
    }

    /// The repository's address for git.
    pub(super) fn git_url(&self) -> String {
        let Repo { host, owner, name } = &self.repo;
        let own = || format!("https://{host}/{owner}/{name}.git");
        self.remote.as_ref().map_or_else(own, |remote| remote.display().to_string())
    }

    /// Runs git in a bare repository, with gh's login and nobody else's.
    pub(super) fn git(&self, dir: &Path, arguments: &[&str]) -> Result<Git, Ending> {
        self.keep_pace(if arguments.contains(&"push") { "PUSH" } else { "GET" })?;
        let mut command = (self.start)("git");
        command.args(["-c", "credential.helper=", "-c", "credential.helper=!gh auth git-credential"]);
        command.arg("--git-dir").arg(dir).args(arguments).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        let Ended { stdout, stderr, done } = finish(command, Some(b"")).map_err(Ending::NotTold)?;
        Ok(Git { done, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr })
    }

    /// Looks again and again until `look` finds what it wants, for as long as GitHub may lag.
    ///
    /// # Errors
    ///
    /// What it found instead, at the end.
    pub fn eventually<T>(&self, mut look: impl FnMut() -> Result<Result<T, String>, Ending>) -> Result<T, Ending> {
        let began = Instant::now();
        // What shows at the first look doesn't lag, however long the look takes.
        let mut lag = Duration::ZERO;
        loop {
            let why = match look()? {
                Ok(found) => {
                    self.longest_lag.set(self.longest_lag.get().max(lag));
                    return Ok(found);
                }
                Err(why) => why,
            };
            lag = began.elapsed();
            if lag >= self.lag {
                return Err(Ending::Broken(format!("{why}, for {} s", self.lag.as_secs())));
            }
            self.pause(self.step())?;
        }
    }

    pub(super) fn pause(&self, time: Duration) -> Result<(), Ending> {
        let until = Instant::now() + time;
        loop {
            if self.is_interrupted() {
                return Err(Ending::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn is_interrupted(&self) -> bool {
        !self.deaf.get() && self.interrupted.load(Ordering::Relaxed)
    }

    /// Between two looks.
    fn step(&self) -> Duration {
        (self.lag / 15).max(Duration::from_millis(20))
    }

    fn keep_pace(&self, method: &str) -> Result<(), Ending> {
        let since = self.last_change.get().map_or(self.pace, |last| last.elapsed());
        let wait = if method == "GET" { Duration::ZERO } else { self.pace.saturating_sub(since) };
        self.pause(wait)?;
        if method != "GET" {
            self.last_change.set(Some(Instant::now()));
        }
        Ok(())
    }

    /// A whole URL stays, the empty path is the repository itself.
    fn url(&self, path: &str) -> String {
        if path.starts_with("https://") || path == "graphql" || path.starts_with('/') {
            return path.to_owned();
        }
        let whole = format!("repos/{}/{path}", self.repo);
        whole.trim_end_matches('/').to_owned()
    }
}

/// What git said.
pub(super) struct Git {
    pub done: bool,
    pub stdout: String,
    pub stderr: String,
}

/// 16 random hex digits.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("reading /dev/urandom for the names of this run")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::Repo;

    #[test]
    fn repositories_are_read() {
        let repo = |text: &str| text.parse::<Repo>().map(|it| (it.host, it.owner, it.name)).ok();
        let of = |host: &str| Some((host.to_owned(), "ana".to_owned(), "a.scratch_1".to_owned()));
        assert_eq!(repo("ana/a.scratch_1"), of("github.com"));
        assert_eq!(repo("ghe.example.org/ana/a.scratch_1"), of("ghe.example.org"));
        for text in ["", "ana", "ana/", "/x", "ana/a b", "ana/../x", "a/b/c/d", "--x/y", "ana/x?y", "https://x/y"] {
            assert_eq!(repo(text), None, "{text}");
        }
    }
}
