//! How a request to GitHub ended without a good answer, by gh or git, and what may be done about it.
//!
//! Whether the request may have been carried out is always known as yes, no or unknown. On its way into [`anyhow`] an error gets its
//! exit code and its fix. Used by gh, git and the publish protocol.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::{Reason, Refusal, date, is_unreached};
use crate::failure::{Advice as _, Failure, Kind};

/// Why a request has no good answer.
#[derive(Debug)]
pub enum CallError {
    /// GitHub answered, with a status from 300 on.
    Http(Http),
    /// No complete answer: whether the request was carried out is unknown.
    Lost(String),
    /// gh has no token for this host.
    NoLogin(String),
    /// A signal arrived.
    Interrupted,
    /// The lock was not renewed in time, so the request was not sent.
    Lapsed,
    /// A failure on this machine: gh is not installed, a file can't be read, a digest differs.
    Local(anyhow::Error),
}

/// An answer of GitHub that is not a success.
#[derive(Debug)]
pub struct Http {
    pub status: u16,
    pub message: String,
    /// `already_exists`, `missing_field`, …
    codes: Vec<String>,
    rate: Option<Duration>,
    refusal: Box<Refusal>,
    /// 401, although GitHub accepted the token for other requests of this run.
    doubtful: bool,
    /// The request, in words: `reading releases of me/packer`.
    asked: String,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
    #[serde(default)]
    documentation_url: String,
}

/// What GitHub asks for when it sends no `Retry-After`.
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const MINUTE: Duration = Duration::from_secs(60);

/// The longest that GitHub's limits last: no wait is longer, whatever an answer asks for.
const HOUR: Duration = Duration::from_secs(3600);

/// The status line and headers of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            line.split_once(':').map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        };
        Some(Self { status, headers: lines.filter_map(header).collect() })
    }

    pub fn is_page(&self) -> bool {
        self.header("content-type").is_some_and(|value| value.starts_with("text/html"))
    }

    pub fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, wanted: &str) -> Option<u64> {
        self.header(wanted)?.parse().ok()
    }

    /// Since 1970, by the clock of whoever answered: this machine's may be hours off.
    pub fn now(&self) -> Duration {
        let here = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.header("date").and_then(date::seconds).map_or_else(here, Duration::from_secs)
    }
}

impl Http {
    pub fn new(head: &Head, body: &[u8]) -> Self {
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
        let asked = head.number("retry-after").map(Duration::from_secs);
        let exhausted = head.header("x-ratelimit-remaining") == Some("0");
        let reset = head.number("x-ratelimit-reset").filter(|_| exhausted);
        let reset = reset.map(|at| Duration::from_secs(at).saturating_sub(head.now()).max(Duration::from_secs(1)));
        let words = message.to_lowercase();
        let limited = match head.status {
            429 => true,
            403 => asked.is_some() || exhausted || ["rate limit", "abuse"].iter().any(|word| words.contains(word)),
            // The answer to a release or comment that was created right after others.
            422 => words.contains("too quickly"),
            _ => false,
        };
        let rate = limited.then(|| asked.or(reset).unwrap_or(MINUTE).min(HOUR));
        let refusal = Box::new(Refusal::of_answer(&message, &head.headers, &body.documentation_url));
        Self { status: head.status, message, codes, rate, refusal, doubtful: false, asked: String::new() }
    }

    pub fn of_request(mut self, asked: &str, token_was_good: bool) -> Self {
        asked.clone_into(&mut self.asked);
        self.doubtful = token_was_good && self.status == 401;
        self
    }

    /// Whether the status is 422 because the name or tag is taken.
    pub fn already_exists(&self) -> bool {
        self.status == 422 && self.codes.iter().any(|code| code == "already_exists")
    }
}

impl CallError {
    /// The error for an answer with a status from 300 on; header names are in lower case.
    pub fn answered(status: u16, headers: Vec<(String, String)>, body: &[u8]) -> Self {
        Self::Http(Http::new(&Head { status, headers }, body))
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http(http) => Some(http.status),
            _ => None,
        }
    }

    /// The status of a refusal that will not pass by itself, as a rate limit does.
    pub fn refusal(&self) -> Option<u16> {
        self.status().filter(|_| self.retry_after().is_none())
    }

    /// Whether an asset of that name, or a release on that tag, exists already.
    pub fn name_taken(&self) -> bool {
        matches!(self, Self::Http(http) if http.already_exists())
    }

    /// Whether another attempt can succeed: after no answer, a failure of the server, or a rate limit.
    pub fn passes(&self) -> bool {
        match self {
            Self::Http(http) => http.status >= 500 || http.status == 408 || http.rate.is_some() || http.doubtful,
            Self::Lost(_) | Self::Lapsed => true,
            Self::NoLogin(_) | Self::Interrupted | Self::Local(_) => false,
        }
    }

    /// Whether it is certain that GitHub did not and will not carry the request out.
    pub fn is_clear(&self) -> bool {
        match self {
            Self::Http(http) => http.status < 500 && http.status != 408,
            Self::Lost(_) | Self::Interrupted => false,
            Self::NoLogin(_) | Self::Lapsed | Self::Local(_) => true,
        }
    }

    /// Whether no connection was made.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Lost(said) if is_unreached(said))
    }

    /// Why GitHub refused, as far as that is known.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Http(http) => http.refusal.reason,
            Self::NoLogin(_) => Reason::NoLogin,
            Self::Lost(said) if is_unreached(said) => Reason::Unreached,
            _ => Reason::Unknown,
        }
    }

    /// What the person can do, if that is known. The same command again is proposed only for trouble that passes.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Http(http) if http.rate.is_some() => {
                Some("wait until GitHub accepts requests again, then run the same command again".to_owned())
            }
            Self::Lost(said) if is_unreached(said) => Some(Refusal::of(said).fix(true)),
            Self::NoLogin(host) => Some(format!("run `gh auth login --hostname {host}`, or set GH_TOKEN")),
            Self::Local(_) => None,
            Self::Http(http) if !self.passes() => Some(http.refusal.fix(true)),
            Self::Http(_) | Self::Lost(_) | Self::Lapsed | Self::Interrupted => {
                Some("run the same command again to continue".to_owned())
            }
        }
    }

    /// Whether GitHub shows no more of a listing that has more.
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
            Self::NoLogin(host) => write!(f, "gh is not logged in to {host}"),
            Self::Lapsed => write!(f, "the lock was not renewed in time, so nothing was sent"),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Local(error) => write!(f, "{error:#}"),
        }
    }
}

// `CallError` is no `std::error::Error`: on its way into `anyhow` it gets its exit code and its fix.
impl From<CallError> for anyhow::Error {
    fn from(error: CallError) -> Self {
        let error = match error {
            CallError::Local(error) => return error,
            error => error,
        };
        let kind = match &error {
            CallError::Interrupted => Kind::Interrupted,
            CallError::NoLogin(_) => Kind::Missing,
            CallError::Http(http) if http.rate.is_none() && matches!(http.status, 401 | 403 | 404 | 410 | 451) => {
                Kind::Missing
            }
            _ if error.is_offline() => Kind::Missing,
            _ => Kind::Failed,
        };
        let asked = match &error {
            CallError::Http(http) if !http.asked.is_empty() => format!("{}: ", http.asked),
            _ => String::new(),
        };
        let failure = Failure::error(kind, format!("{asked}{error}"));
        match error.fix() {
            Some(fix) => failure.fix(fix),
            None => failure,
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
            let text = String::from_utf8_lossy(bytes);
            let (head, body) = text.split_once("\n\n").or_else(|| text.split_once("\r\n\r\n")).unwrap_or((&text, ""));
            let Some(head) = Head::parse(head) else { return };
            let error = CallError::Http(Http::new(&head, body.as_bytes()));
            assert!(error.retry_after().is_none_or(|wait| wait <= HOUR));
            assert!(!error.to_string().is_empty());
        });
    }
}
