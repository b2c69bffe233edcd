//! What a request can end with, and what may be done about it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::Head;
use crate::failure;

/// Why a request has no good answer.
#[derive(Debug)]
pub enum CallError {
    /// GitHub answered, with a status from 300 on.
    Http(Http),
    /// No whole answer: whether the work was done is unknown.
    Lost(String),
    /// gh has no token for this host.
    NoLogin(String),
    /// A signal arrived.
    Interrupted,
    /// The lock wasn't renewed in time, so nothing was sent.
    Lapsed,
    /// It is not GitHub's doing: gh is not installed, a file can't be read, a digest differs.
    Local(anyhow::Error),
}

/// An answer that refuses.
#[derive(Debug)]
pub struct Http {
    pub status: u16,
    pub message: String,
    /// `already_exists`, `missing_field`, …
    codes: Vec<String>,
    rate: Option<Duration>,
    /// The token was good for other requests of this run.
    doubtful: bool,
    /// What was asked, in words.
    asked: String,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// What GitHub asks for when it sends no `Retry-After`.
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const MINUTE: Duration = Duration::from_secs(60);

/// The longest that a limit of GitHub's lasts: whoever asks for more is waited for no longer.
const HOUR: Duration = Duration::from_secs(3600);

impl Http {
    pub(super) fn new(head: &Head, body: &[u8]) -> Self {
        let header =
            |wanted: &str| head.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let mut message = if body.message.is_empty() { format!("HTTP {}", head.status) } else { body.message };
        let codes = body.errors.iter().filter_map(|error| error["code"].as_str().map(str::to_owned)).collect();
        let details: Vec<String> = body
            .errors
            .iter()
            .filter_map(|error| error["message"].as_str().or(error.as_str()).map(str::to_owned))
            .collect();
        if !details.is_empty() {
            message = format!("{message}: {}", details.join("; "));
        }
        let asked = header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let exhausted = header("x-ratelimit-remaining") == Some("0");
        let reset = header("x-ratelimit-reset").and_then(|value| value.parse().ok()).filter(|_| exhausted).map(until);
        let words = message.to_lowercase();
        let limited = match head.status {
            429 => true,
            403 => asked.is_some() || exhausted || ["rate limit", "abuse"].iter().any(|word| words.contains(word)),
            // Of a release or a comment that was made right after others.
            422 => words.contains("too quickly"),
            _ => false,
        };
        let rate = limited.then(|| asked.or(reset).unwrap_or(MINUTE).min(HOUR));
        Self { status: head.status, message, codes, rate, doubtful: false, asked: String::new() }
    }

    pub(super) fn of_request(mut self, asked: &str, token_was_good: bool) -> Self {
        asked.clone_into(&mut self.asked);
        self.doubtful = token_was_good && self.status == 401;
        self
    }

    /// 422 because the name or tag is taken.
    pub fn already_exists(&self) -> bool {
        self.status == 422 && self.codes.iter().any(|code| code == "already_exists")
    }
}

fn until(epoch: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(epoch).saturating_sub(now).max(Duration::from_secs(1))
}

impl CallError {
    /// What an answer with a status from 300 on is, its headers' names in lower case.
    pub fn answered(status: u16, headers: Vec<(String, String)>, body: &[u8]) -> Self {
        Self::Http(Http::new(&Head { status, headers }, body))
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http(http) => Some(http.status),
            _ => None,
        }
    }

    /// The status of a refusal that is meant: not one of those that a limit gives, which passes.
    pub fn refusal(&self) -> Option<u16> {
        self.status().filter(|_| self.retry_after().is_none())
    }

    /// Whether an asset of that name, or a release on that tag, is in the way.
    pub fn name_taken(&self) -> bool {
        matches!(self, Self::Http(http) if http.already_exists())
    }

    /// Whether trying again can help: no answer, the server's own failure, or a limit that passes.
    pub fn passes(&self) -> bool {
        match self {
            Self::Http(http) => http.status >= 500 || http.status == 408 || http.rate.is_some() || http.doubtful,
            Self::Lost(_) | Self::Lapsed => true,
            Self::NoLogin(_) | Self::Interrupted | Self::Local(_) => false,
        }
    }

    /// Whether it is known that nothing was done, and nothing will be.
    pub fn is_clear(&self) -> bool {
        match self {
            Self::Http(http) => http.status < 500 && http.status != 408,
            Self::Lost(_) | Self::Interrupted => false,
            Self::NoLogin(_) | Self::Lapsed | Self::Local(_) => true,
        }
    }

    /// Whether nobody could be reached at all.
    pub fn is_offline(&self) -> bool {
        const WORDS: [&str; 8] = [
            "error connecting to",
            "dial tcp",
            "dial unix",
            "no such host",
            "Could not resolve",
            "Temporary failure in name resolution",
            "Network is unreachable",
            "Failed to connect",
        ];
        matches!(self, Self::Lost(reason) if WORDS.iter().any(|word| reason.contains(word)))
    }

    /// The listing has more, and GitHub shows no more of it.
    pub fn ends_listing(&self) -> bool {
        matches!(self, Self::Http(http) if http.status == 422 && http.message.to_lowercase().contains("only the first"))
    }

    /// How long GitHub asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http(http) => http.rate,
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) if http.codes.is_empty() => write!(f, "{} (HTTP {})", http.message, http.status),
            Self::Http(http) => write!(f, "{} (HTTP {}, {})", http.message, http.status, http.codes.join(", ")),
            Self::Lost(reason) => write!(f, "no answer: {reason}"),
            Self::NoLogin(host) => {
                write!(f, "gh is not logged in to {host}; run `gh auth login --hostname {host}`, or set GH_TOKEN")
            }
            Self::Lapsed => write!(f, "the lock was not renewed in time, so nothing was sent"),
            Self::Interrupted => write!(f, "interrupted; run the same command again to go on"),
            Self::Local(error) => write!(f, "{error:#}"),
        }
    }
}

// Not an `Error` itself: on the way into `anyhow` it gets its exit code and its cure.
impl From<CallError> for anyhow::Error {
    fn from(error: CallError) -> Self {
        let cure = match error.status() {
            Some(401) => "; the token was refused: run `gh auth login`, or set GH_TOKEN to a valid one",
            Some(403) => "; the token may not do this: it needs the `repo` scope, or Contents: read and write",
            Some(404) => "; there is no such thing, or the token may not see it: check --repo and `gh auth status`",
            _ if error.is_offline() => "; check the network, then run the same command again",
            _ => "; run the same command again to go on",
        };
        let asked = match &error {
            CallError::Http(http) if !http.asked.is_empty() => format!("{}: ", http.asked),
            _ => String::new(),
        };
        let missing = |error: CallError| failure::missing(format!("{asked}{error}{cure}"));
        match error {
            CallError::Local(error) => error,
            CallError::Interrupted => failure::interrupted(error.to_string()),
            CallError::NoLogin(_) | CallError::Http(Http { status: 401 | 403 | 404, rate: None, .. }) => missing(error),
            _ if error.is_offline() => missing(error),
            _ if error.retry_after().is_some() => failure::failed(format!(
                "{asked}{error}; wait until GitHub takes more, then run the same command again"
            )),
            _ => failure::failed(format!("{asked}{error}{cure}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, headers: &[(&str, &str)], body: &str) -> Http {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Http::new(&Head { status, headers }, body.as_bytes())
    }

    #[test]
    fn limits_are_told_from_refusals() {
        let seconds = |error: Http| CallError::Http(error).retry_after().map(|wait| wait.as_secs());
        assert_eq!(seconds(http(403, &[("retry-after", "7")], "{}")), Some(7));
        assert_eq!(seconds(http(429, &[], "{}")), Some(60));
        let never = u64::MAX.to_string();
        assert_eq!(seconds(http(429, &[("retry-after", &never)], "{}")), Some(3600));
        let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", never.as_str())];
        assert_eq!(seconds(http(403, &reset, "{}")), Some(3600));
        assert_eq!(seconds(http(403, &[], r#"{"message": "You have exceeded a secondary rate limit"}"#)), Some(60));
        assert_eq!(
            seconds(http(403, &[], r#"{"message": "You have triggered an abuse detection mechanism."}"#)),
            Some(60)
        );
        let quick = r#"{"message": "Validation Failed", "errors": [{"code": "custom", "message": "was submitted too quickly"}]}"#;
        assert_eq!(seconds(http(422, &[], quick)), Some(60));
        assert_eq!(seconds(http(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "{}")), Some(1));
        assert_eq!(
            seconds(http(403, &[("x-ratelimit-remaining", "12")], r#"{"message": "Must have admin rights"}"#)),
            None
        );
    }

    #[test]
    fn a_taken_name_is_told_from_other_422() {
        assert!(
            http(422, &[], r#"{"message": "Validation Failed", "errors": [{"code": "already_exists"}]}"#)
                .already_exists()
        );
        assert!(
            !http(422, &[], r#"{"message": "Validation Failed", "errors": [{"code": "custom", "message": "x"}]}"#)
                .already_exists()
        );
        assert!(!http(500, &[], "<html>").already_exists());
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for (status, passes) in
            [(401, false), (403, false), (404, false), (422, false), (429, true), (500, true), (502, true)]
        {
            assert_eq!(CallError::Http(http(status, &[], "{}")).passes(), passes, "{status}");
        }
        assert!(CallError::Lost("EOF".into()).passes());
        let after_good_answers = http(401, &[], "{}").of_request("reading", true);
        assert!(CallError::Http(after_good_answers).passes());
    }

    #[test]
    fn hostile_refusals() {
        let examples: [&[u8]; 2] = [
            b"HTTP/2.0 403 Forbidden\r\nRetry-After: 7\r\nX-Ratelimit-Remaining: 0\r\nX-Ratelimit-Reset: 99\r\n\r\n{\"message\": \"x\"}",
            b"HTTP/2.0 429 Too Many\nretry-after: 18446744073709551615\n\n{\"message\": \"m\", \"errors\": [{\"code\": \"c\"}, \"e\"]}",
        ];
        crate::hostile::try_with(&examples, |bytes| {
            let (head, body) = super::super::split_head(bytes);
            let Some(head) = Head::parse(&head) else { return };
            let error = CallError::Http(Http::new(&head, body));
            assert!(error.retry_after().is_none_or(|wait| wait <= HOUR));
            assert!(!error.to_string().is_empty());
        });
    }
}
