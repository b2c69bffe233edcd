//! The list of an image's packages: `<name>.cdx.json`, CycloneDX 1.6, as the build writes it (`packer/lib/sbom.sh`).
//!
//! A list is text from outside: names that cannot be shown on a terminal or in a table are refused. Used by `diff`, by
//! `check --security`, and by the notes that a publish writes.

pub mod diff;
pub mod files;
pub mod grown;
pub mod security;
pub mod version;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What is installed in an image.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Packages {
    /// Debian's name of the release, such as `trixie`.
    pub codename: String,
    /// By name; a package of two architectures is there twice.
    pub packages: Vec<Package>,
    /// Of packages, over all architectures, and of folders of a MiB and more; empty in older lists.
    pub sizes: grown::Sizes,
    pub folders: grown::Sizes,
    /// By source: each version whose changelog names CVE ids, with these. Empty in older lists.
    cves: BTreeMap<String, Vec<(String, Vec<String>)>>,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    pub name: String,
    pub architecture: String,
    pub version: String,
    pub source: String,
    #[serde(skip)]
    pub source_version: String,
}

#[derive(Deserialize)]
struct Document {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    purl: String,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
    name: String,
    value: String,
}

impl Packages {
    /// # Errors
    ///
    /// Not such a list, or one that doesn't name the release of Debian.
    pub fn parse(file: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        let document: Document =
            serde_json::from_slice(bytes).with_context(|| format!("reading the list of packages {file}"))?;
        let mut list = Self::default();
        let mut codename = None;
        for component in &document.components {
            let mut values = component.properties.iter().map(|property| &property.value);
            let plain = is_plain(&component.name) && is_plain(&component.version) && values.all(|it| is_plain(it));
            anyhow::ensure!(plain, "{file} has a package with the invalid name `{}`", component.name.escape_debug());
            if component.kind == "operating-system" {
                codename = component.property("homestak:packer:codename");
                for Property { name, value } in component.properties.iter().filter(|property| is_plain(&property.name))
                {
                    if let Some(folder) = name.strip_prefix("homestak:packer:folder:") {
                        list.folders.extend(in_bytes(value).map(|size| (folder.to_owned(), size)));
                    } else if let Some(source) = name.strip_prefix("homestak:packer:cve:") {
                        let mut parts = value.split('/').map(str::to_owned);
                        let fixed = (parts.next().unwrap_or_default(), parts.collect());
                        list.cves.entry(source.to_owned()).or_default().push(fixed);
                    }
                }
            } else if let Some(package) = component.package() {
                if let Some(size) = component.property("homestak:packer:size").and_then(in_bytes) {
                    let all = list.sizes.entry(package.name.clone()).or_default();
                    *all = size.saturating_add(*all);
                }
                list.packages.push(package);
            }
        }
        list.packages.sort();
        codename.with_context(|| format!("{file} doesn't name its release of Debian"))?.clone_into(&mut list.codename);
        Ok(list)
    }

    /// A line for each of these sources that is newer than it was, with the CVE ids that its changelog names on the way.
    pub fn fixes(&self, before: &Self, sources: &BTreeSet<String>) -> Vec<String> {
        let line = |source: &String| {
            let (from, to) = (before.newest(source)?, self.newest(source)?);
            let ids: Vec<&str> = self.cves(source, from, to).into_iter().collect();
            let ids = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
            version::compare(to, from).is_gt().then(|| format!("{source} {from} → {to}{ids}"))
        };
        sources.iter().filter_map(line).collect()
    }

    /// The highest installed version of a source package.
    fn newest(&self, source: &str) -> Option<&str> {
        let versions = self.packages.iter().filter(|it| it.source == source).map(|it| it.source_version.as_str());
        versions.max_by(|a, b| version::compare(a, b))
    }

    /// The CVE ids that the changelog of a source names for versions above `from`, up to `to`.
    fn cves(&self, source: &str, from: &str, to: &str) -> BTreeSet<&str> {
        let between = |at: &str| version::compare(at, from).is_gt() && version::compare(at, to).is_le();
        let fixed = self.cves.get(source).into_iter().flatten().filter(|(at, _)| between(at));
        fixed.flat_map(|(_, ids)| ids.iter().map(String::as_str)).collect()
    }
}

impl Component {
    fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|property| property.name == name).map(|property| property.value.as_str())
    }

    /// A Debian package; `None` for anything else.
    fn package(&self) -> Option<Package> {
        let (_, qualifiers) = self.purl.strip_prefix("pkg:deb/")?.split_once('?').unwrap_or_default();
        let architecture = qualifiers.split('&').find_map(|qualifier| qualifier.strip_prefix("arch=")).unwrap_or("");
        let trivy = |name: &str| self.property(&format!("aquasecurity:trivy:{name}"));
        let source_version = trivy("SrcVersion").map(|upstream| {
            let epoch = trivy("SrcEpoch").map(|epoch| format!("{epoch}:")).unwrap_or_default();
            let revision = trivy("SrcRelease").map(|revision| format!("-{revision}")).unwrap_or_default();
            format!("{epoch}{upstream}{revision}")
        });
        Some(Package {
            name: self.name.clone(),
            architecture: architecture.to_owned(),
            version: self.version.clone(),
            source: trivy("SrcName").unwrap_or(&self.name).to_owned(),
            source_version: source_version.unwrap_or_else(|| self.version.clone()),
        })
    }
}

/// A size in KiB; at most a few TiB, so that sums cannot overflow.
fn in_bytes(kibibytes: &str) -> Option<u64> {
    kibibytes.parse().ok().filter(|size: &u64| *size < 1 << 32).map(|size| size << 10)
}

/// Whether a name or version can be shown on a terminal and in a table.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:~_-/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = r#"{"components":[
            {"bom-ref":"os","type":"operating-system","name":"debian","version":"12.11","properties":[{"name":"homestak:packer:codename","value":"bookworm"},
                {"name":"homestak:packer:cve:util-linux","value":"2.38.1-4/CVE-2026-1"},
                {"name":"homestak:packer:cve:util-linux","value":"2.38.1-5/CVE-2026-22/CVE-2026-3"}]},
            {"type":"library","name":"bsdutils","version":"1:2.38.1-5+b1","purl":"pkg:deb/debian/bsdutils@1:2.38.1-5%2Bb1?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5","properties":[{"name":"aquasecurity:trivy:SrcName","value":"util-linux"},{"name":"aquasecurity:trivy:SrcVersion","value":"2.38.1"},{"name":"aquasecurity:trivy:SrcRelease","value":"5"}]},
            {"type":"library","name":"other","purl":"pkg:npm/other@1"}
        ]}"#;
        let read = Packages::parse("a.cdx.json", text.as_bytes()).unwrap();
        assert_eq!(read.codename, "bookworm");
        let package = Package {
            name: "bsdutils".into(),
            architecture: "amd64".into(),
            version: "1:2.38.1-5+b1".into(),
            source: "util-linux".into(),
            source_version: "2.38.1-5".into(),
        };
        assert_eq!(read.packages, [package]);
        let cves = |from, to| read.cves("util-linux", from, to).into_iter().collect::<Vec<_>>();
        assert_eq!(cves("2.38.1-4", "2.38.1-5"), ["CVE-2026-22", "CVE-2026-3"]);
        assert_eq!(cves("2.38.1-3", "2.38.1-4"), ["CVE-2026-1"]);
        assert!(cves("2.38.1-5", "2.38.1-6").is_empty() && read.cves("openssl", "1", "2").is_empty());

        let mut before = read.clone();
        before.packages[0].source_version = "2.38.1-3".into();
        let named = ["openssl", "util-linux"].map(str::to_owned).into();
        let fixes = ["util-linux 2.38.1-3 → 2.38.1-5 (CVE-2026-1, CVE-2026-22, CVE-2026-3)"];
        assert_eq!(read.fixes(&before, &named), fixes);
        assert!(before.fixes(&read, &named).is_empty() && read.fixes(&read, &named).is_empty());
    }

    #[test]
    fn what_is_no_list_or_would_reach_a_terminal_raw_is_refused() {
        for text in [
            "[]",
            r#"{"components":[]}"#,
            r#"{"components":[{"type":"library","name":"a\u001b[2J","purl":"pkg:deb/debian/a@1"}]}"#,
        ] {
            assert!(Packages::parse("a.cdx.json", text.as_bytes()).is_err(), "{text}");
        }
    }
}
