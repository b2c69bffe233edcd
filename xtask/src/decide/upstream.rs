//! Whether upstream publishes another base image than the one that an image was built on: no diff shows that.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use xshell::cmd;

use crate::failure;
use crate::manifest::Manifest;
use crate::process;

/// The script in the packer directory that asks upstream.
const SCRIPT: &str = "base-images.sh";

/// What upstream publishes for a template today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub url: String,
    /// `sha512:<hex>`; `None` when nobody answers.
    pub digest: Option<String>,
    pub version: Option<String>,
}

/// An image's base compared with upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImageReport {
    pub state: State,
    pub url: Option<String>,
    /// What the image was built on.
    pub built_on: Option<String>,
    pub upstream: Option<String>,
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Same,
    /// A reason to rebuild.
    Differs,
    /// Nobody can tell, and why. Never taken for "the same".
    Unknown(String),
}

/// Asks upstream for each template's base image; what it says about failures comes along.
///
/// # Errors
///
/// Exit code 3 when the script is missing.
pub fn ask(packer_dir: &Path, names: &[&str]) -> anyhow::Result<(BTreeMap<String, Upstream>, Vec<String>)> {
    // A bare name would be looked for in PATH.
    let script = packer_dir.canonicalize().unwrap_or_else(|_| packer_dir.to_owned()).join(SCRIPT);
    if !script.is_file() {
        return Err(failure::missing(format!(
            "no {}, which asks upstream for the base images; leave --base-images out, or take it from a newer version",
            script.display()
        )));
    }
    let sh = process::shell()?;
    let finished = process::output(cmd!(sh, "{script} {names...}"))?;
    let mut notes: Vec<String> = finished.stderr.lines().map(str::to_owned).collect();
    if !finished.status.success() {
        notes.push(format!("`{}` failed ({})", finished.command, finished.status));
    }
    Ok((parse(&finished.text()), notes))
}

/// Lines of template, URL, digest and version, with TAB between them.
fn parse(text: &str) -> BTreeMap<String, Upstream> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let (name, url, digest) = (fields.next()?, fields.next()?, fields.next()?);
        let digest = Some(digest.to_owned()).filter(|digest| digest.contains(':'));
        let version = fields.next().filter(|version| !version.is_empty() && *version != "-").map(str::to_owned);
        Some((name.to_owned(), Upstream { url: url.to_owned(), digest, version }))
    };
    text.lines().filter_map(line).collect()
}

/// Compares what an image was built on with what upstream publishes.
pub fn compare(name: &str, manifest: Option<&Manifest>, upstream: Option<&Upstream>) -> BaseImageReport {
    let built_on = manifest.and_then(|manifest| manifest.image(name)).and_then(|image| image.base_image.as_ref());
    let digest = upstream.and_then(|upstream| upstream.digest.as_deref());
    let unknown = |why: &str| State::Unknown(why.to_owned());
    let state = match (built_on.map(|base| base.digest.as_str()), digest) {
        (None, _) => unknown("the manifest doesn't say which base image it was built on"),
        (_, None) => unknown("upstream doesn't say what it publishes"),
        (Some(was), Some(now)) if was.eq_ignore_ascii_case(now) => State::Same,
        (Some(was), Some(now)) if algorithm(was) != algorithm(now) => {
            unknown("the manifest and upstream have digests of different kinds")
        }
        _ => State::Differs,
    };
    BaseImageReport {
        state,
        url: upstream.map(|upstream| upstream.url.clone()).or_else(|| built_on.map(|base| base.url.clone())),
        built_on: built_on.map(|base| base.digest.clone()),
        upstream: digest.map(str::to_owned),
        version: upstream.and_then(|upstream| upstream.version.clone()),
    }
}

fn algorithm(digest: &str) -> &str {
    digest.split(':').next().unwrap_or(digest)
}

impl BaseImageReport {
    /// `new base image 20260101-1 upstream`
    pub fn describe(&self) -> String {
        let version = self.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
        match &self.state {
            State::Same => format!("base image{version} unchanged"),
            State::Differs => format!("upstream has another base image{version}"),
            State::Unknown(why) => format!("base image unknown: {why}"),
        }
    }

    pub fn to_json(&self) -> Value {
        let (state, reason) = match &self.state {
            State::Same => ("same", None),
            State::Differs => ("differs", None),
            State::Unknown(why) => ("unknown", Some(why)),
        };
        json!({
            "state": state,
            "reason": reason,
            "url": self.url,
            "built_on": self.built_on,
            "upstream": self.upstream,
            "version": self.version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = parse("a\thttp://x/a.qcow2\tsha512:1\t12.11\nb\thttp://x/b\tunknown\t-\nc\n");
        let a =
            Upstream { url: "http://x/a.qcow2".into(), digest: Some("sha512:1".into()), version: Some("12.11".into()) };
        let b = Upstream { url: "http://x/b".into(), digest: None, version: None };
        assert_eq!(read, BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]));
    }

    #[test]
    fn what_is_not_known_is_not_the_same() {
        let manifest = |digest: &str| -> Manifest {
            let image = json!({
                "name": "a", "file": "a.qcow2", "size": 1, "sha256": "0".repeat(64), "built_from": null,
                "versions": null, "base_image": { "url": "u", "digest": digest }, "parts": [],
            });
            serde_json::from_value(json!({ "schema": 1, "source": "v1", "commit": "c", "images": [image] })).unwrap()
        };
        let upstream =
            |digest: Option<&str>| Upstream { url: "u".into(), digest: digest.map(str::to_owned), version: None };
        let state =
            |manifest: Option<&Manifest>, upstream: Option<Upstream>| compare("a", manifest, upstream.as_ref()).state;
        let built = manifest("sha512:1");
        assert_eq!(state(Some(&built), Some(upstream(Some("sha512:1")))), State::Same);
        assert_eq!(state(Some(&built), Some(upstream(Some("sha512:2")))), State::Differs);
        for (manifest, upstream) in [
            (Some(&built), Some(upstream(None))),
            (Some(&built), None),
            (Some(&built), Some(upstream(Some("sha256:1")))),
            (None, Some(upstream(Some("sha512:1")))),
        ] {
            assert!(matches!(state(manifest, upstream.clone()), State::Unknown(_)), "{upstream:?}");
        }
    }
}
