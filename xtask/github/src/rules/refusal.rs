//! How GitHub says no.

use std::borrow::Cow;
use std::fmt;

/// A refusal with what GitHub's REST API says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the answer, such as 422.
    pub status: u16,
    pub message: Cow<'static, str>,
    /// What is wrong with which field. GitHub has a list of them, in which one stands at most here.
    pub detail: Option<Detail>,
}

/// An entry of the list `errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Such as `Release`.
    pub resource: &'static str,
    /// Such as `already_exists`.
    pub code: &'static str,
    pub field: Option<&'static str>,
    /// A sentence, which goes with the code `custom`.
    pub message: Option<Cow<'static, str>>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), detail: None }
    }

    pub fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    /// For a target that changes workflows, asked for with a token that may not. GitHub's description of the two requests says 404; the
    /// token of an app, such as a workflow's own, is told 403: cli/cli#9514, axodotdev/cargo-dist#2415.
    pub fn workflows(of_app: bool) -> Self {
        if of_app { Self::new(403, "Resource not accessible by integration") } else { Self::not_found() }
    }

    /// 422 with a field and a code, such as `already_exists`.
    pub fn invalid(resource: &'static str, code: &'static str, field: &'static str) -> Self {
        let detail = Detail { resource, code, field: Some(field), message: None };
        Self { detail: Some(detail), ..Self::new(422, "Validation Failed") }
    }

    /// 422 with a sentence of its own.
    pub fn custom(resource: &'static str, field: Option<&'static str>, message: impl Into<Cow<'static, str>>) -> Self {
        let detail = Detail { resource, code: "custom", field, message: Some(message.into()) };
        Self { detail: Some(detail), ..Self::new(422, "Validation Failed") }
    }

    /// 422 for a body whose fields are missing or of another type.
    pub fn schema(detail: &str) -> Self {
        Self::new(422, format!("Invalid request.\n\n{detail}"))
    }

    /// The code of what is wrong, where GitHub gives one.
    pub fn code(&self) -> Option<&'static str> {
        self.detail.as_ref().map(|it| it.code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        match &self.detail {
            Some(Detail { message: Some(message), .. }) => write!(f, ": {message}"),
            Some(Detail { code, field, .. }) => write!(f, ": {} {code}", field.unwrap_or_default()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
