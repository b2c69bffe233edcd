//! What GitHub answered, and what that means for a check.

use serde_json::Value;

/// How a check ended without an assumption that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// GitHub does something else than assumed.
    Broken(String),
    /// GitHub couldn't be asked, or doesn't say it to this token.
    NotTold(String),
    Interrupted,
}

impl Ending {
    /// For what only leads up to the question: that it fails says nothing about the assumption.
    pub fn while_preparing(self) -> Self {
        match self {
            Self::Broken(why) => Self::NotTold(format!("could not prepare it: {why}")),
            other => other,
        }
    }
}

/// An answer of any status, as `gh api --include` prints it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The method and path that were asked.
    pub asked: String,
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads what gh printed; `None` when that is no answer.
    pub fn parse(asked: &str, printed: &[u8]) -> Option<Self> {
        let after = |mark: &[u8]| printed.windows(mark.len()).position(|it| it == mark).map(|at| (at, at + mark.len()));
        // gh ends the status line with a line feed alone and each header with both.
        let ends = after(b"\r\n\r\n").into_iter().chain(after(b"\n\n"));
        let (head, body) = ends.min().unwrap_or((printed.len(), printed.len()));
        let text = String::from_utf8_lossy(&printed[..head]).into_owned();
        let mut lines = text.lines();
        let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        Some(Self { asked: asked.to_owned(), status, headers, body: printed[body..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// # Errors
    ///
    /// Another status: unknown where it is about the token, a limit or GitHub itself, else broken.
    pub fn expect(self, wanted: u16) -> Result<Self, Ending> {
        if self.status == wanted {
            return Ok(self);
        }
        let why = format!("{} gave {}, expected {wanted}", self.asked, self.says());
        if self.status == 401 || self.status >= 500 || self.limit().is_some() {
            return Err(Ending::NotTold(why));
        }
        Err(Ending::Broken(why))
    }

    /// # Errors
    ///
    /// Anything but 422 with this code.
    pub fn expect_code(self, code: &str) -> Result<(), Ending> {
        let answer = self.expect(422)?;
        if answer.codes().any(|it| it == code) {
            return Ok(());
        }
        Err(Ending::Broken(format!("{} gave {}, expected the code {code}", answer.asked, answer.says())))
    }

    /// The body; null where it isn't JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status, message and codes in one line.
    pub fn says(&self) -> String {
        let body = self.json();
        let message = body["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        let details = body["errors"].as_array().into_iter().flatten();
        let details: Vec<&str> = details.filter_map(|it| it["message"].as_str().or(it["code"].as_str())).collect();
        [self.status.to_string(), message, details.join(", ")]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// How many seconds a rate limit asks to wait; `None` when there is none in the way.
    /// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
    pub fn limit(&self) -> Option<u64> {
        if !matches!(self.status, 403 | 429) {
            return None;
        }
        let asked = self.header("retry-after").and_then(|it| it.parse().ok());
        let exhausted = self.header("x-ratelimit-remaining") == Some("0");
        let message = self.json()["message"].as_str().unwrap_or_default().to_lowercase();
        let limited = asked.is_some() || exhausted || self.status == 429 || message.contains("rate limit");
        limited.then(|| asked.unwrap_or(60))
    }

    fn codes(&self) -> impl Iterator<Item = String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.into_iter().filter_map(|it| it["code"].as_str().map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Ending};

    fn answer(head: &str, body: &str) -> Answer {
        Answer::parse("GET x", format!("{head}\r\n\r\n{body}").as_bytes()).unwrap()
    }

    #[test]
    fn a_printed_answer_is_read() {
        let read = answer("HTTP/2.0 404 Not Found\nContent-Type: a: b\r\nX-Y: z", "{\"message\": \"Not Found\"}\n\n");
        assert_eq!(read.status, 404);
        assert_eq!((read.header("content-type"), read.header("x-y")), (Some("a: b"), Some("z")));
        assert_eq!(read.body, b"{\"message\": \"Not Found\"}\n\n");
        assert_eq!(read.says(), "404 Not Found");
        assert!(Answer::parse("GET x", b"").is_none() && Answer::parse("GET x", b"{}").is_none());
    }

    #[test]
    fn only_a_refusal_breaks_an_assumption() {
        let limit = "{\"message\": \"You have exceeded a secondary rate limit\"}";
        let table = [
            ("HTTP/2.0 422 X", "{}", true),
            ("HTTP/2.0 200 OK", "{}", true),
            ("HTTP/2.0 403 X", "{\"message\": \"Resource not accessible\"}", true),
            ("HTTP/2.0 403 X", limit, false),
            ("HTTP/2.0 401 X", "{}", false),
            ("HTTP/2.0 429 X", "{}", false),
            ("HTTP/2.0 502 X", "<html>", false),
        ];
        for (head, body, broken) in table {
            let ending = answer(head, body).expect(201).unwrap_err();
            assert_eq!(matches!(ending, Ending::Broken(_)), broken, "{head} {body}");
        }
        assert_eq!(answer("HTTP/2.0 429 X\r\nRetry-After: 7", "{}").limit(), Some(7));
    }

    #[test]
    fn a_taken_name_is_told_from_other_refusals() {
        let body = |code: &str| format!("{{\"errors\": [{{\"code\": \"{code}\"}}]}}");
        assert_eq!(answer("HTTP/2.0 422 X", &body("already_exists")).expect_code("already_exists"), Ok(()));
        assert!(answer("HTTP/2.0 422 X", &body("custom")).expect_code("already_exists").is_err());
        assert!(answer("HTTP/2.0 409 X", &body("already_exists")).expect_code("already_exists").is_err());
    }
}
