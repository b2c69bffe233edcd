//! Answers before they become bytes: GitHub's JSON, its errors, redirects and files.

use std::path::PathBuf;

use serde_json::{Value, json};

/// What a request is answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// A range of a file, which is never read into memory.
    File {
        path: PathBuf,
        offset: u64,
        length: u64,
    },
}

impl Content {
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl Answer {
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", value.to_string().into_bytes())
    }

    pub fn text(status: u16, content_type: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: Content::Bytes(text.into()) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Content::Bytes(Vec::new()) }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An error, in the form that GitHub's REST API gives it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub message: String,
    pub errors: Vec<Value>,
}

pub(crate) type Outcome = Result<Answer, Refusal>;

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new() }
    }

    pub fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    /// 422 with a field and a code, such as `already_exists`.
    pub fn invalid(resource: &str, code: &str, field: &str) -> Self {
        Self {
            errors: vec![json!({ "resource": resource, "code": code, "field": field })],
            ..Self::new(422, "Validation Failed")
        }
    }

    /// 422 with a sentence of its own.
    pub fn custom(resource: &str, field: Option<&str>, message: &str) -> Self {
        let mut error = json!({ "resource": resource, "code": "custom", "message": message });
        if let Some(field) = field {
            error["field"] = field.into();
        }
        Self { errors: vec![error], ..Self::new(422, "Validation Failed") }
    }

    /// 422 for a body whose fields are missing or of another type.
    pub fn schema(detail: &str) -> Self {
        Self::new(422, format!("Invalid request.\n\n{detail}"))
    }

    pub fn answer(self) -> Answer {
        let mut body = json!({ "message": self.message });
        if !self.errors.is_empty() {
            body["errors"] = Value::Array(self.errors);
        }
        body["documentation_url"] = "https://docs.github.com/rest".into();
        body["status"] = self.status.to_string().into();
        Answer::json(self.status, &body)
    }
}

/// Something that GitHub would answer with a 500: git or the file system failed.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::new(500, format!("stand-in: {error:#}"))
    }
}
