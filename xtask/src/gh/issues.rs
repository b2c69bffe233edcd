//! Comments on an issue.

use serde::Deserialize;
use serde_json::json;

use super::{CallError, Gh, Request};

/// A comment on an issue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Comment {
    pub id: u64,
    #[serde(default)]
    pub body: Option<String>,
    pub html_url: String,
}

impl Comment {
    pub fn text(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
}

impl Gh {
    /// All comments, oldest first; `None` when there is no such issue.
    pub fn comments(&self, issue: u64) -> Result<Option<Vec<Comment>>, CallError> {
        match self.pages(&format!("issues/{issue}/comments")) {
            Ok(comments) => Ok(Some(comments)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sent once: two POSTs make two comments.
    pub fn create_comment(&self, issue: u64, body: &str) -> Result<Comment, CallError> {
        self.once(&Request::send("POST", format!("issues/{issue}/comments"), json!({ "body": body })))?.json()
    }

    pub fn update_comment(&self, id: u64, body: &str) -> Result<Comment, CallError> {
        self.call(&Request::send("PATCH", format!("issues/comments/{id}"), json!({ "body": body })))?.json()
    }
}
