//! The body of a request that creates or changes a release, as strictly typed as GitHub reads it.

use serde_json::Value;

use crate::rules::{Change, MakeLatest, Refusal};

impl Change {
    pub(crate) fn parse(body: &Value) -> Result<Self, Refusal> {
        Ok(Self {
            tag_name: text(body, "tag_name")?.flatten(),
            make_latest: make_latest(body)?,
            target_commitish: text(body, "target_commitish")?.flatten(),
            name: text(body, "name")?,
            body: text(body, "body")?,
            draft: flag(body, "draft")?,
            prerelease: flag(body, "prerelease")?,
        })
    }
}

/// A text that may be null.
pub(crate) fn text(body: &Value, key: &str) -> Result<Option<Option<String>>, Refusal> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(other) => Err(wrong_type(key, other, "string")),
    }
}

fn flag(body: &Value, key: &str) -> Result<Option<bool>, Refusal> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong_type(key, other, "boolean")),
    }
}

fn make_latest(body: &Value) -> Result<Option<MakeLatest>, Refusal> {
    match body.get("make_latest") {
        None => Ok(None),
        Some(Value::String(text)) if text == "true" => Ok(Some(MakeLatest::True)),
        Some(Value::String(text)) if text == "false" => Ok(Some(MakeLatest::False)),
        Some(Value::String(text)) if text == "legacy" => Ok(Some(MakeLatest::Legacy)),
        Some(other) => Err(Refusal::schema(&format!(
            "For 'properties/make_latest', {other} is not a member of [\"true\", \"false\", \"legacy\"]."
        ))),
    }
}

fn wrong_type(key: &str, value: &Value, wanted: &str) -> Refusal {
    Refusal::schema(&format!("For 'properties/{key}', {value} is not a {wanted}."))
}
