//! The body of a request that creates or changes a release, as strictly typed as GitHub reads it.

use serde_json::Value;

use crate::answer::Refusal;
use crate::model::Release;

/// GitHub's limit on a release's notes, in characters.
const MAX_BODY: usize = 125_000;

/// What a request says; `None` where it doesn't say anything.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub tag_name: Option<String>,
    pub make_latest: Option<MakeLatest>,
    target_commitish: Option<String>,
    name: Option<Option<String>>,
    body: Option<Option<String>>,
    draft: Option<bool>,
    prerelease: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MakeLatest {
    True,
    False,
    Legacy,
}

impl Fields {
    pub fn parse(body: &Value) -> Result<Self, Refusal> {
        let fields = Self {
            tag_name: text(body, "tag_name")?.flatten(),
            make_latest: make_latest(body)?,
            target_commitish: text(body, "target_commitish")?.flatten(),
            name: text(body, "name")?,
            body: text(body, "body")?,
            draft: flag(body, "draft")?,
            prerelease: flag(body, "prerelease")?,
        };
        let notes = fields.body.iter().flatten();
        if notes.map(|it| it.chars().count()).any(|it| it > MAX_BODY) {
            let message = format!("body is too long (maximum is {MAX_BODY} characters)");
            return Err(Refusal::custom("Release", Some("body"), &message));
        }
        Ok(fields)
    }

    pub fn apply(&self, release: &mut Release) {
        set(&mut release.tag_name, self.tag_name.as_ref());
        set(&mut release.target_commitish, self.target_commitish.as_ref());
        set(&mut release.name, self.name.as_ref());
        set(&mut release.body, self.body.as_ref());
        set(&mut release.draft, self.draft.as_ref());
        set(&mut release.prerelease, self.prerelease.as_ref());
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

fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}
