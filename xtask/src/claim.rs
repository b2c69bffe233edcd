//! What text from outside may be: versions, commits and words in manifests, markers, build records and notes.
//!
//! Whoever can write on a release or a build host chooses these, and they end up in lines to copy, in names of refs and on a
//! terminal. Text that hasn't the form below is refused where it is read, so that later code can trust it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::text;

/// Longer than any version tag.
const LONGEST_VERSION: usize = 128;

/// Longer than any field of a manifest: a path on Linux is the longest.
pub const LONGEST_TEXT: usize = 4096;

/// Whether a version tag is one that a set may be published for: `v0.45`, `release/v0.45`, `packer@0.45`. It has characters that no
/// shell looks at twice, is a name of a ref as it is, and none of those that this tool moves itself.
pub fn is_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+/@".contains(c);
    text.len() <= LONGEST_VERSION
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(plain)
        && !["..", "//", "/.", "/-", "@@", ".lock"].iter().any(|odd| text.contains(odd))
        && !text.ends_with(['.', '/', '@'])
        && !["refs/", "tags/", "heads/", "latest", "images-"].iter().any(|taken| text.starts_with(taken))
}

/// Whether this is the id of a commit, whole: 40 or 64 hex digits as git writes them.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a word or a line that a person may read.
pub fn is_text(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && !text.contains(text::is_obeyed)
}

/// Looks at each text and each name of a field.
///
/// # Errors
///
/// One is too long, or holds what a terminal would obey.
pub fn check_texts(fields: &impl Serialize) -> anyhow::Result<()> {
    match odd_text(&serde_json::to_value(fields)?) {
        Some(odd) => Err(anyhow::anyhow!("it has the invalid text {}", shown(odd))),
        None => Ok(()),
    }
}

fn odd_text(value: &Value) -> Option<&str> {
    let odd = |text: &&str| !is_text(text);
    match value {
        Value::String(text) => Some(text.as_str()).filter(odd),
        Value::Array(values) => values.iter().find_map(odd_text),
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| Some(name.as_str()).filter(odd).or_else(|| odd_text(value)))
        }
        _ => None,
    }
}

/// For `deserialize_with`.
pub fn version<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, is_version, "version tag")
}

/// For `deserialize_with`, with `default`.
pub fn maybe_commit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) if !is_commit(&text) => {
            Err(serde::de::Error::custom(format!("{} is not a commit id", shown(&text))))
        }
        commit => Ok(commit),
    }
}

/// For `deserialize_with`.
pub fn commit<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, is_commit, "commit id")
}

/// A text that `is_one` accepts.
pub fn checked<'de, D: Deserializer<'de>>(from: D, is_one: fn(&str) -> bool, what: &str) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_one(&text) { Ok(text) } else { Err(serde::de::Error::custom(format!("{} is not a {what}", shown(&text)))) }
}

/// As an error quotes it.
pub fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    format!("`{}`{}", text::line(&start), if start.len() < text.len() { " and more" } else { "" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::listing;
    use crate::image::record::BuildRecord;
    use crate::latest::marker::{self, Incoming};
    use crate::latest::notes;
    use crate::manifest::Manifest;
    use crate::suggest;

    #[test]
    fn versions_are_told_from_attacks() {
        for good in ["v0.45", "v1", "v0.45-rc1", "v1.2.3+build.4", "0.45", "release/v0.45", "packer@0.45"] {
            assert!(is_version(good), "{good}");
        }
        let long = "v".repeat(200);
        for bad in [
            "",
            "v0.45; touch /tmp/x #",
            "v0.45\n",
            "$(x)",
            "`x`",
            "v0.45'x",
            "-v0.45",
            "--upload-pack=x",
            "../v0.45",
            "v0..45",
            "v0.45/../../heads/main",
            "refs/tags/v0.45",
            "heads/main",
            "release/../v1",
            "release/.v1",
            "v1/",
            "v1@{0}",
            "v0.45.lock",
            "v0.45.",
            ".v0.45",
            "v0.45~1",
            "v0.45^{}",
            "v0.45:latest",
            "v0.45 v0.46",
            "v0.45\u{202e}",
            "\u{1b}[2J",
            "latest",
            "latest-incoming",
            "images-v0.45",
            &long,
        ] {
            assert!(!is_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn commits_are_whole_ids() {
        assert!(is_commit(&"0a".repeat(20)) && is_commit(&"0a".repeat(32)));
        for bad in ["", "0a0a", "main", &"0A".repeat(20), &"0a".repeat(21), &format!("{}\n", "0a".repeat(20))] {
            assert!(!is_commit(bad), "{bad:?}");
        }
    }

    /// What a POSIX shell makes of a word.
    fn unquoted(word: &str) -> Option<String> {
        let (mut out, mut quoted, mut chars) = (String::new(), false, word.chars());
        while let Some(c) = chars.next() {
            match c {
                '\'' => quoted = !quoted,
                '\\' if !quoted => out.push(chars.next()?),
                c if quoted || c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c) => out.push(c),
                _ => return None,
            }
        }
        (!quoted).then_some(out)
    }

    /// A name: one word of a shell without quotes, one step of a path, no option, nothing that a terminal obeys.
    fn assert_name(name: &str) {
        assert_eq!(unquoted(name).as_deref(), Some(name));
        let steps: Vec<_> = std::path::Path::new(name).components().collect();
        assert!(matches!(steps[..], [std::path::Component::Normal(_)]), "{name}");
        assert!(!name.starts_with('-') && !name.contains(text::is_obeyed), "{name:?}");
    }

    fn assert_ref(version: &str) {
        assert_eq!(unquoted(version).as_deref(), Some(version));
        version.split('/').for_each(assert_name);
        for name in [format!("refs/tags/{version}"), format!("refs/tags/images-{version}")] {
            let odd = ["..", "@{", "//", "~", "^", ":", "?", "*", "[", "\\"];
            assert!(!odd.iter().any(|odd| name.contains(odd)) && !name.ends_with(".lock"), "{name}");
        }
        assert!(!version.starts_with("images-") && version != "latest", "{version}");
    }

    fn assert_texts(fields: &impl Serialize) {
        assert_eq!(odd_text(&serde_json::to_value(fields).unwrap()), None);
    }

    /// Any text in a manifest, a marker, a build record, a host's listing or a list of digests: what passes the reader is no
    /// part of a shell's line, leads out of no folder, names no other ref, and moves no terminal.
    #[test]
    fn hostile_text_from_outside_leads_nowhere() {
        let (digest, commit) = ("a".repeat(64), "c".repeat(40));
        let built = json!({ "commit": commit, "dirty": false });
        let listed = json!({ "file": "a.cdx.json", "size": 1, "sha256": digest });
        let manifest = json!({
            "schema": 1, "source": "v0.45", "commit": commit, "attested_by": "me/packer",
            "files": [{ "file": "get-images.sh", "size": 1, "sha256": digest }],
            "images": [{
                "name": "a", "file": "a.qcow2", "size": 3, "sha256": digest, "built_from": built, "versions": { "A": "1; x" },
                "base_image": { "url": "https://x/$(x)", "digest": "sha512:1" }, "packages": listed, "parts": [
                    { "file": "a.qcow2.partaa", "size": 3, "sha256": digest },
            ] }],
        })
        .to_string();
        let record = json!({ "sha256": digest, "built_from": built, "versions": { "A": "`x`" }, "packages": listed })
            .to_string();
        let marker = format!(
            "Points to v0.44\n\n<!-- packer-incoming {} -->",
            json!({ "set": { "source": "v0.45", "part_size": 5, "images": [{ "name": "a", "size": 1, "sha256": digest }] } })
        );
        let sums = format!("{digest}  a.qcow2\n{digest}  packer-images.json\n");
        let listing =
            "file\0images/x y/a.qcow2\0image\0a\0a.qcow2\0bytes\0images/a/a.qcow2\x0012 17 99 x\0small\0-\0-\0-\0end\0";
        let (host, dir) = ("build1".parse().unwrap(), "/srv/packer".parse().unwrap());
        let examples = [manifest.as_bytes(), record.as_bytes(), marker.as_bytes(), sums.as_bytes(), listing.as_bytes()];
        crate::hostile::try_with(&examples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(manifest) = Manifest::parse(bytes) {
                assert_ref(&manifest.source);
                assert!(is_commit(&manifest.commit));
                manifest.images.iter().for_each(|image| assert_name(&image.name));
                manifest.assets().iter().for_each(|asset| assert_name(&asset.file));
                assert_texts(&manifest);
            }
            if let Ok(record) = BuildRecord::parse(bytes) {
                assert!(record.facts.built_from.iter().all(|built| is_commit(&built.commit)));
                assert_texts(&record);
            }
            if let Some(marker) = marker::read::<Incoming>(&text) {
                assert_ref(&marker.set.source);
                marker.set.images.iter().for_each(|image| assert_name(&image.name));
            }
            if let Some(version) = notes::points_to(&text) {
                assert_ref(version);
            }
            if let Ok(listing) = listing::parse(&host, &dir, &["a"], bytes) {
                for path in listing.images.values().flat_map(|image| &image.files) {
                    let mut steps = path.split('/');
                    assert_eq!(steps.next(), Some("images"));
                    steps.for_each(assert_name);
                }
                assert!(listing.passed_over(&host).iter().all(|said| !said.contains(text::is_obeyed)));
            }
            let line: String = text.chars().take(200).collect();
            assert_eq!(unquoted(&text::shell_word(&line)).as_deref(), Some(line.as_str()));
            assert!(!suggest::word(&line).contains(text::is_obeyed));
            let command = suggest::bare(format_args!("publish --source {line}"));
            assert!(command.split(' ').all(|word| unquoted(word).is_some() || word.contains('\'')), "{command}");
        });
    }

    #[test]
    fn hostile_claims() {
        crate::hostile::try_with(&[b"v0.45-rc1", b"v0.45; touch x"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if is_version(&text) {
                assert_eq!(text::shell_word(&text), text, "it needs no quotes");
                assert!(!text.starts_with(['-', '.', '/']) && !text.contains(".."), "{text}");
            }
            assert!(!shown(&text).contains(text::is_obeyed) && shown(&text).len() < 2000);
        });
    }
}
