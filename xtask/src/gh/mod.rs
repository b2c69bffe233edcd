//! The one file that says `gh`: REST requests through `gh api`, and what their answers mean.
//!
//! `gh api repos/…` is the same across versions of gh, where its other commands differ or use GraphQL. `--include` prints
//! the response headers, without which there is no `Retry-After` to obey.

mod gate;
mod issues;
mod releases;
mod retry;
mod rulesets;
mod transfer;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use xshell::cmd;

use crate::console::Console;
use crate::failure::{self, Advice as _};
use crate::process::{self, Cut, Patience, Stream, Streamed};
use crate::refusal::{Reason, Refusal};
use crate::repo::Repo;
use crate::testing;

use crate::refusal::call::Head;
pub use crate::refusal::call::{CallError, Http};
pub use gate::Gate;
use gate::{Closed, Gated};
pub use issues::Comment;
pub use releases::{Asset, Immutability, NewRelease, Release, Repository};
pub use transfer::{Download, SMALL, Upload};

/// How long to wait and how often to try: `--stall-timeout` is the one setting for both.
#[derive(clap::Args, Debug, Clone, Copy)]
#[command(next_help_heading = "Transfers")]
pub struct Tries {
    /// Restart gh or git after this many seconds without progress, or five times as many while GitHub accepts an upload
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..))]
    pub stall_timeout: u64,
    /// How often each request is tried.
    #[arg(skip = testing::attempts())]
    pub attempts: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self { stall_timeout: 60, attempts: testing::attempts() }
    }
}

impl Tries {
    /// How long nothing may move.
    pub fn stall(self) -> Duration {
        Duration::from_secs(self.stall_timeout)
    }
}

/// One repository on GitHub, as the contributor's `gh` reaches it.
#[derive(Clone)]
pub struct Gh {
    repo: Repo,
    tries: Tries,
    heed_signals: bool,
    console: Console,
    seen: Arc<Seen>,
}

/// What the answers of a run have shown so far.
#[derive(Default)]
struct Seen {
    /// GitHub took the token.
    good: AtomicBool,
    /// It was said that the repository has another name.
    renamed: AtomicBool,
}

/// A request below `repos/OWNER/NAME`, or to a whole URL that GitHub gave.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

const JSON: &str = "application/vnd.github+json";

impl Request {
    fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None }
    }

    fn delete(path: impl Into<String>) -> Self {
        Self { method: "DELETE", path: path.into(), body: None }
    }

    fn send(method: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method, path: path.into(), body: Some(body) }
    }
}

/// An answer with a status from 200 to 299.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Head,
    body: Vec<u8>,
}

impl Answer {
    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::Lost(format!("the answer can't be read ({error})")))
    }
}

impl Gh {
    pub fn new(repo: Repo, tries: Tries, console: &Console) -> Self {
        Self { repo, tries, heed_signals: true, console: console.clone(), seen: Arc::default() }
    }

    /// The same client for another repository.
    pub fn of(&self, repo: Repo) -> Self {
        Self::new(repo, self.tries, &self.console)
    }

    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    pub fn tries(&self) -> Tries {
        self.tries
    }

    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The same client, which tries each request this number of times.
    pub fn patient(&self, attempts: u32) -> Self {
        Self { tries: Tries { attempts, ..self.tries }, ..self.clone() }
    }

    /// The same client, which gives up a call without an answer after `at_most`, and obeys signals or not.
    pub fn like(&self, at_most: Option<Duration>, heed_signals: bool) -> Self {
        let mut tries = self.tries;
        if let Some(at_most) = at_most {
            tries.stall_timeout = at_most.as_secs().clamp(1, tries.stall_timeout);
        }
        Self { tries, heed_signals, ..self.clone() }
    }

    /// Sends a request that may be repeated without harm, as often as allowed.
    pub(crate) fn call(&self, request: &Request) -> Result<Answer, CallError> {
        let what = self.in_words(request);
        retry::repeat(&self.console, self.tries.attempts, self.heed_signals, &what, || self.once(request))
    }

    /// Sends a request once.
    pub(crate) fn once(&self, request: &Request) -> Result<Answer, CallError> {
        self.send(request, None)
    }

    /// Sends a request that changes something, once; its last byte when the gate allows it.
    pub(crate) fn gated(&self, gate: Gate<'_>, request: &Request) -> Result<Answer, CallError> {
        self.send(request, Some(gate))
    }

    fn send(&self, request: &Request, gate: Option<Gate<'_>>) -> Result<Answer, CallError> {
        // A request without a body gets one for its gate.
        let body = request.body.as_ref().map(ToString::to_string).or_else(|| gate.map(|_| "{}".to_owned()));
        let length = format!("Content-Length: {}", body.as_ref().map_or(0, String::len));
        let input: &[&str] =
            if body.is_some() { &["-H", "Content-Type: application/json", "-H", &length, "--input", "-"] } else { &[] };
        let stall = self.tries.stall();
        let (method, accept) = (request.method, format!("Accept: {JSON}"));
        let (host, url) = (&self.repo.host, self.url(&request.path));
        let sh = process::shell().map_err(CallError::Local)?;
        let cmd = cmd!(sh, "gh api --include --hostname {host} --method {method} -H {accept} {input...} {url}");
        let closed = Closed::default();
        let feed = body.map(|body| -> process::Feed<'_> {
            let (closed, open) = (&closed, || Ok(()));
            Box::new(move |pipe| {
                let gate: Gate<'_> = gate.unwrap_or(&open);
                Ok(Gated { to: pipe, left: body.len() as u64, gate, closed }.write_all(body.as_bytes())?)
            })
        });
        let streamed = self.stream(cmd, Patience { stall, answer: stall }, feed, None)?;
        let answer = closed.why().map_or_else(|| judge(&streamed, &self.repo), Err);
        self.heed(answer, &self.in_words(request))
    }

    /// What a request is about, for people.
    fn in_words(&self, request: &Request) -> String {
        let path = request.path.split('?').next().unwrap_or_default();
        let object = match path {
            "" => format!("the repository {}", self.repo),
            path if path.starts_with('/') => path.trim_start_matches('/').to_owned(),
            path => format!("{path} of {}", self.repo),
        };
        let verb = match request.method {
            "GET" => "reading",
            "POST" => "adding to",
            "DELETE" => "deleting",
            _ => "changing",
        };
        format!("{verb} {object}")
    }

    /// One that was let in before may be refused once by mistake.
    fn heed<T>(&self, answer: Result<T, CallError>, what: &str) -> Result<T, CallError> {
        match answer {
            Ok(answer) => {
                self.seen.good.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(CallError::Http(http)) => {
                Err(CallError::Http(http.of_request(what, self.seen.good.load(Ordering::Relaxed))))
            }
            Err(error) => Err(error),
        }
    }

    /// Says once that the repository has another name by now: GitHub leads those who read from the old one to the new one.
    fn heed_name(&self, html_url: &str) {
        let Some(now) = Repo::of_page(html_url) else { return };
        if !now.is(&self.repo) && !self.seen.renamed.swap(true, Ordering::Relaxed) {
            self.console.warn(format_args!("the repository {} was renamed to {now}; use --repo {now}", self.repo));
        }
    }

    fn stream<'a>(
        &self,
        cmd: xshell::Cmd<'_>,
        patience: Patience,
        feed: Option<process::Feed<'a>>,
        drain: Option<process::Drain<'a>>,
    ) -> Result<Streamed, CallError> {
        let stream = Stream { feed, drain, patience, heed_signals: self.heed_signals };
        let streamed = process::stream(cmd, stream).map_err(CallError::Local)?;
        self.console.detail(format_args!("{} → {}", streamed.finished.command, streamed.finished.status));
        Ok(streamed)
    }

    /// A whole URL stays, and a path from the root; another path is one below this repository, and the empty path the
    /// repository itself.
    fn url(&self, path: &str) -> String {
        let Repo { owner, name, .. } = &self.repo;
        if path.starts_with("https://") || path.starts_with('/') {
            path.to_owned()
        } else if path.is_empty() {
            format!("repos/{owner}/{name}")
        } else {
            format!("repos/{owner}/{name}/{path}")
        }
    }
}

/// The token that gh has for a host; `None` without one, and for one that no header can carry.
pub fn token(host: &str) -> Option<String> {
    let sh = process::shell().ok()?;
    let token = process::read(cmd!(sh, "gh auth token --hostname {host}")).ok()?;
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
}

/// What an ended `gh api --include` says.
fn judge(streamed: &Streamed, repo: &Repo) -> Result<Answer, CallError> {
    let finished = &streamed.finished;
    let (head, body) = split_head(&finished.stdout);
    let head = Head::parse(&head);
    match head {
        // A web page from a proxy: whether the request was carried out is unknown.
        Some(head) if (200..300).contains(&head.status) && head.is_page() => {
            Err(CallError::Lost("a web page came in place of GitHub's answer".to_owned()))
        }
        Some(head) if (200..300).contains(&head.status) && finished.status.success() => {
            Ok(Answer { head, body: body.to_vec() })
        }
        Some(head) if !(200..300).contains(&head.status) => Err(CallError::Http(Http::new(&head, body))),
        _ => Err(no_answer(streamed, repo)),
    }
}

/// Why there was no whole answer.
fn no_answer(streamed: &Streamed, repo: &Repo) -> CallError {
    let finished = &streamed.finished;
    match streamed.cut {
        Some(Cut::Interrupted) => return CallError::Interrupted,
        Some(cut) => return CallError::Lost(cut.to_string()),
        None => {}
    }
    let said = finished.stderr.trim();
    // gh's exit status for "not logged in", since 2.0.
    if finished.status.code() == Some(4) || said.contains("gh auth login") {
        return CallError::NoLogin(repo.host.clone());
    }
    if said.contains("invalid header field value") {
        let host = &repo.host;
        let error =
            failure::missing(format!("gh can't send its token for {host}: the token holds a control character"));
        return CallError::Local(error.fix(format!("set GH_TOKEN again, or run `gh auth login --hostname {host}`")));
    }
    let refusal = Refusal::of(said);
    let said = said.lines().next().unwrap_or_default();
    if matches!(refusal.reason, Reason::Certificate | Reason::Proxy) {
        return CallError::Local(failure::missing(format!("asking {}: {said}", repo.host)).fix(refusal.fix(true)));
    }
    CallError::Lost(if said.is_empty() { format!("gh ended with {}", finished.status) } else { said.to_owned() })
}

/// What stands before and after the first empty line.
fn split_head(bytes: &[u8]) -> (String, &[u8]) {
    let crlf = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at, at + 4));
    let lf = bytes.windows(2).position(|two| two == b"\n\n").map(|at| (at, at + 2));
    let (head, body) = crlf.into_iter().chain(lf).min().unwrap_or((bytes.len(), bytes.len()));
    (String::from_utf8_lossy(&bytes[..head]).into_owned(), &bytes[body..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_told_apart() {
        for text in [
            "HTTP/2.0 201 Created\r\nRetry-After: 7\r\n\r\n{\"a\": \"\n\n\"}",
            "HTTP/2.0 201 Created\nRetry-After: 7\n\n{\"a\": \"\n\n\"}",
        ] {
            let (head, body) = split_head(text.as_bytes());
            let head = Head::parse(&head).unwrap();
            assert_eq!(head.status, 201);
            assert_eq!(head.headers, [("retry-after".to_owned(), "7".to_owned())]);
            assert_eq!(body, b"{\"a\": \"\n\n\"}");
        }
    }

    #[test]
    fn no_head_is_no_answer() {
        assert!(Head::parse("").is_none());
        assert!(Head::parse("{\"message\": \"x\"}").is_none());
    }
}
