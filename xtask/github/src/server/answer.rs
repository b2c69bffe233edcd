//! Answers before they become bytes: GitHub's JSON, its errors, redirects and files.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::rules::Refusal;

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

    /// With another body.
    pub fn with_json(self, value: &Value) -> Self {
        let Self { headers, body, .. } = Self::json(self.status, value);
        Self { status: self.status, headers: [self.headers, headers].concat(), body }
    }

    pub fn text(status: u16, content_type: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: Content::Bytes(text.into()) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Content::Bytes(Vec::new()) }
    }

    /// 201, with the address of what was made.
    pub fn created(value: &Value) -> Self {
        Self::json(201, value).with("Location", value["url"].as_str().unwrap_or_default())
    }

    /// The body where it is JSON.
    pub fn json_body(&self) -> Option<Value> {
        match &self.body {
            Content::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
            Content::File { .. } => None,
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

pub(crate) type Outcome = Result<Answer, Refusal>;

impl Refusal {
    /// In the form that GitHub's REST API gives it.
    pub(crate) fn answer(self) -> Answer {
        let mut body = json!({ "message": self.message });
        if let Some(detail) = self.detail {
            let mut error = json!({ "resource": detail.resource, "code": detail.code });
            let more = [("field", detail.field), ("message", detail.message.as_deref())];
            for (key, value) in more.into_iter().filter_map(|(key, value)| Some((key, value?))) {
                error[key] = value.into();
            }
            body["errors"] = json!([error]);
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
