//! Whether upstream publishes a newer base image than an image was built on: no diff shows that.
//!
//! The engine's script asks upstream; for an engine without it, [`Template`] reads the templates. A base image that could
//! not be asked for leaves a skip undecided. Used by `check --base-images`.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::{BaseImageReport, Decision, Report};
use crate::failure::Problems;
use crate::manifest::Manifest;
use crate::sources::base_image::{SCRIPT, Template, Upstream};
use crate::sources::{History, Moment};

/// Adds what upstream publishes as a base image today: a new base image is a reason to rebuild.
///
/// # Errors
///
/// Exit code 3 when a template doesn't say what to ask for.
pub fn add(
    report: &mut Report,
    history: &mut History,
    packer_dir: &Path,
    manifest: Option<&Manifest>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = report.images.iter().map(|image| image.name.as_str()).collect();
    let (upstream, notes) = ask(history, packer_dir, &names)?;
    for image in &mut report.images {
        let found = compare(&image.name, manifest, upstream.get(&image.name));
        if found.state == "differs" {
            image.rebuild_for(&found.describe());
        }
        if found.upstream.is_none() {
            image.decision = image.decision.max(Decision::Unknown);
        }
        image.base_image = Some(found);
    }
    report.notes.extend(notes);
    Ok(())
}

/// What upstream publishes for each template, and what was said about failures.
fn ask(
    history: &mut History,
    packer_dir: &Path,
    names: &[&str],
) -> anyhow::Result<(BTreeMap<String, Upstream>, Vec<String>)> {
    if let Some(finished) = super::script(packer_dir, SCRIPT, names)? {
        let mut notes: Vec<String> = finished.stderr.lines().map(str::to_owned).collect();
        if !finished.status.success() {
            notes.push(format!("`{}` failed ({})", finished.command, finished.status));
        }
        return Ok((parse(&finished.text()), notes));
    }
    let now = history.listing(&Moment::WorkTree)?;
    let (mut found, mut notes, mut problems) = (BTreeMap::new(), Vec::new(), Problems::default());
    for name in names {
        match Template::read(history, &now, name)?.ask() {
            Ok(Ok(upstream)) => drop(found.insert((*name).to_owned(), upstream)),
            Ok(Err(why)) => notes.push(format!("{name}: {why}")),
            Err(error) => problems.push(error),
        }
    }
    problems.into_result()?;
    Ok((found, notes))
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
fn compare(name: &str, manifest: Option<&Manifest>, upstream: Option<&Upstream>) -> BaseImageReport {
    let built_on = manifest.and_then(|manifest| manifest.image(name)).and_then(|image| image.facts.base_image.as_ref());
    let digest = upstream.and_then(|upstream| upstream.digest.as_deref());
    let algorithm = |digest: &str| digest.split(':').next().map(str::to_owned);
    let (state, reason) = match (built_on.map(|base| base.digest.as_str()), digest) {
        (None, _) => ("unknown", Some("the manifest doesn't say which base image it was built on")),
        (_, None) => ("unknown", Some("upstream doesn't say what it publishes")),
        (Some(was), Some(now)) if was.eq_ignore_ascii_case(now) => ("same", None),
        (Some(was), Some(now)) if algorithm(was) != algorithm(now) => {
            ("unknown", Some("the manifest and upstream have digests of different kinds"))
        }
        _ => ("differs", None),
    };
    BaseImageReport {
        state,
        reason,
        url: upstream.map(|upstream| upstream.url.clone()).or_else(|| built_on.map(|base| base.url.clone())),
        built_on: built_on.map(|base| base.digest.clone()),
        upstream: digest.map(str::to_owned),
        version: upstream.and_then(|upstream| upstream.version.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
            serde_json::from_value(json!({ "schema": 1, "source": "v1", "commit": "c".repeat(40), "images": [image] }))
                .unwrap()
        };
        let upstream =
            |digest: Option<&str>| Upstream { url: "u".into(), digest: digest.map(str::to_owned), version: None };
        let state =
            |manifest: Option<&Manifest>, upstream: Option<Upstream>| compare("a", manifest, upstream.as_ref()).state;
        let built = manifest("sha512:1");
        assert_eq!(state(Some(&built), Some(upstream(Some("sha512:1")))), "same");
        assert_eq!(state(Some(&built), Some(upstream(Some("sha512:2")))), "differs");
        for (manifest, upstream) in [
            (Some(&built), Some(upstream(None))),
            (Some(&built), None),
            (Some(&built), Some(upstream(Some("sha256:1")))),
            (None, Some(upstream(Some("sha512:1")))),
        ] {
            assert_eq!(state(manifest, upstream.clone()), "unknown", "{upstream:?}");
        }
    }
}
