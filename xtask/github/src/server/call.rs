//! One request as its handler sees it: whose it is, what it asks for, and what it may do.

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::model::{Access, Token, TokenKind};
use crate::rules::Refusal;
use crate::server::faults::Faults;
use crate::server::store::{Repo, Store};

/// A request with its body read, except for uploads, whose body never is in one piece.
pub(crate) struct Call {
    pub number: usize,
    pub method: String,
    pub host: String,
    /// As sent.
    pub path: String,
    /// The path's parts, decoded.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    /// As sent, without `?`.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub token: Option<Token>,
    pub body: Vec<u8>,
    pub faults: Faults,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter();
        all.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as a JSON object. GitHub takes no body for an empty object.
    pub fn object(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        match serde_json::from_slice(&self.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Refusal::new(400, "Body should be a JSON object")),
            Err(_) => Err(Refusal::new(400, "Problems parsing JSON")),
        }
    }

    /// What the token may do with a repository; none for a private one that it doesn't reach.
    pub fn access(&self, repo: &Repo) -> Option<Access> {
        let token = self.token.as_ref();
        let granted = token.and_then(|token| {
            let mut all = token.repositories.iter();
            all.find(|(name, _)| repo.is_or_was(name))
        });
        match granted {
            Some((_, access)) => Some(*access),
            None => (!repo.config.private).then_some(Access::Read),
        }
    }

    pub fn can_push(&self, repo: &Repo) -> bool {
        self.token.is_some() && self.access(repo) >= Some(Access::Push)
    }

    /// The place of a repository that this request may read.
    pub fn repository(&self, store: &Store, name: &str) -> Result<usize, Refusal> {
        let at = store.find(name).ok_or_else(Refusal::not_found)?;
        match self.access(&store.repositories[at]) {
            Some(_) => Ok(at),
            None => Err(Refusal::not_found()),
        }
    }

    /// Refuses whoever can't change the releases of a repository.
    pub fn require_push(&self, repo: &Repo) -> Result<(), Refusal> {
        let token = self.require_token()?;
        let writes = |scope: &String| scope == "repo" || scope == "public_repo";
        if token.kind == TokenKind::Classic && !token.scopes.iter().any(writes) {
            return Err(Refusal::not_found());
        }
        if !self.can_push(repo) {
            return Err(self.forbidden());
        }
        self.require_unarchived(repo)
    }

    pub fn require_unarchived(&self, repo: &Repo) -> Result<(), Refusal> {
        if repo.config.archived {
            let message = "Repository was archived so is read-only.";
            return Err(Refusal::new(403, message));
        }
        Ok(())
    }

    pub fn require_token(&self) -> Result<&Token, Refusal> {
        let none = || Refusal::new(401, "Requires authentication");
        self.token.as_ref().ok_or_else(none)
    }

    /// 403 in the words for this kind of token.
    pub fn forbidden(&self) -> Refusal {
        let what = match self.token.as_ref().map(|it| it.kind) {
            Some(TokenKind::Actions) => "integration",
            _ => "personal access token",
        };
        Refusal::new(403, format!("Resource not accessible by {what}"))
    }

    /// What this request is told where it would bring in workflows; none where it may.
    pub fn workflows(&self) -> Option<Refusal> {
        let token = self.token.as_ref().filter(|it| !it.may_change_workflows())?;
        Some(Refusal::workflows(token.kind == TokenKind::Actions))
    }

    pub fn login(&self) -> String {
        let login = self.token.as_ref().map(|it| it.login.clone());
        login.unwrap_or_default()
    }
}

/// The token of an `Authorization` header: none without the header, an error for one that isn't known.
pub(crate) fn identify(store: &Store, headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let Some(header) = headers.get("authorization") else {
        return Ok(None);
    };
    let secret = header.to_str().ok().and_then(|text| {
        let (scheme, secret) = text.split_once(' ')?;
        let known = ["token", "bearer"].contains(&scheme.to_ascii_lowercase().as_str());
        known.then(|| secret.trim())
    });
    let token = secret.and_then(|secret| store.tokens.get(secret));
    match token {
        Some(token) => Ok(Some(token.clone())),
        None => Err(Refusal::new(401, "Bad credentials")),
    }
}

/// The parts of a path between slashes, decoded.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let parts = path.trim_start_matches('/').split('/');
    let decoded = parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    decoded.filter(|part| !part.is_empty()).collect()
}
