//! The list of an image's packages: `<name>.cdx.json`, CycloneDX 1.6, as the build writes it (`packer/lib/sbom.sh`).

pub mod diff;
pub mod security;
pub mod version;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

/// What is installed in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// Debian's name of the release, such as `trixie`.
    pub codename: String,
    /// `13.2`
    pub release: String,
    /// By name; one that is there for two architectures is there twice.
    pub packages: Vec<Package>,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    pub architecture: String,
    pub version: String,
    pub source: String,
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
    /// Not such a list, or one that doesn't tell the release.
    pub fn parse(file: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        let document: Document =
            serde_json::from_slice(bytes).with_context(|| format!("reading the list of packages {file}"))?;
        let mut system = None;
        let mut packages = Vec::new();
        for component in &document.components {
            let plain = [&component.name, &component.version].iter().all(|text| is_plain(text))
                && component.properties.iter().all(|property| is_plain(&property.value));
            anyhow::ensure!(plain, "{file} has a package `{}` that is none", component.name.escape_debug());
            if component.kind == "operating-system" {
                let codename = component.property("homestak:packer:codename");
                system = codename.map(|codename| (codename.to_owned(), component.version.clone()));
            } else if let Some(package) = component.package() {
                packages.push(package);
            }
        }
        let (codename, release) =
            system.with_context(|| format!("{file} doesn't tell which release of Debian it is of"))?;
        packages.sort();
        Ok(Self { codename, release, packages })
    }
}

impl Component {
    fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|property| property.name == name).map(|property| property.value.as_str())
    }

    /// A Debian package; `None` for anything else.
    fn package(&self) -> Option<Package> {
        let qualifiers = self.purl.strip_prefix("pkg:deb/")?.split_once('?').map_or("", |(_, qualifiers)| qualifiers);
        let architecture = qualifiers.split('&').find_map(|qualifier| qualifier.strip_prefix("arch=")).unwrap_or("");
        let trivy = |name: &str| self.property(&format!("aquasecurity:trivy:{name}"));
        let source_version = trivy("SrcVersion").map_or_else(
            || self.version.clone(),
            |upstream| {
                let epoch = trivy("SrcEpoch").map(|epoch| format!("{epoch}:")).unwrap_or_default();
                let revision = trivy("SrcRelease").map(|revision| format!("-{revision}")).unwrap_or_default();
                format!("{epoch}{upstream}{revision}")
            },
        );
        Some(Package {
            name: self.name.clone(),
            architecture: architecture.to_owned(),
            version: self.version.clone(),
            source: trivy("SrcName").unwrap_or(&self.name).to_owned(),
            source_version,
        })
    }
}

/// Names and versions of packages; a terminal and a table bear them.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:~_-/".contains(&byte))
}

/// Each source package with the highest version of it that is installed.
fn sources(packages: &[Package]) -> BTreeMap<&str, &str> {
    let mut sources: BTreeMap<&str, &str> = BTreeMap::new();
    for package in packages {
        let highest = sources.entry(&package.source).or_insert(&package.source_version);
        if version::compare(&package.source_version, highest).is_gt() {
            *highest = &package.source_version;
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = r#"{"components":[
            {"bom-ref":"os","type":"operating-system","name":"debian","version":"12.11","properties":[{"name":"homestak:packer:codename","value":"bookworm"}]},
            {"type":"library","name":"bsdutils","version":"1:2.38.1-5+b1","purl":"pkg:deb/debian/bsdutils@1:2.38.1-5%2Bb1?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5","properties":[{"name":"aquasecurity:trivy:SrcName","value":"util-linux"},{"name":"aquasecurity:trivy:SrcVersion","value":"2.38.1"},{"name":"aquasecurity:trivy:SrcRelease","value":"5"}]},
            {"type":"library","name":"other","purl":"pkg:npm/other@1"}
        ]}"#;
        let read = Packages::parse("a.cdx.json", text.as_bytes()).unwrap();
        assert_eq!((read.codename.as_str(), read.release.as_str()), ("bookworm", "12.11"));
        let package = Package {
            name: "bsdutils".into(),
            architecture: "amd64".into(),
            version: "1:2.38.1-5+b1".into(),
            source: "util-linux".into(),
            source_version: "2.38.1-5".into(),
        };
        assert_eq!(read.packages, [package]);
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
