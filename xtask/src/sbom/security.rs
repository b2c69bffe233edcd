//! Whether an archive has fixes for what is in an image: the recorded packages against the archive's index of today.
//!
//! Binary names alone say nothing about kernels, whose packages bear their version in the name and have no successor by
//! it. Sources alone call an old kernel beside a new one a finding. So a package counts when the index has its name with a
//! higher version; or, where the name is gone at its source's newest version, when that is higher than every installed
//! version of the source.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::version::compare;
use super::{Packages, sources};

/// An archive's index: what a line of `package-index.sh` says about each package.
#[derive(Debug, Default, Clone)]
pub struct Index {
    /// Each binary package's highest version, with its source.
    binaries: BTreeMap<String, Offer>,
    /// Each source's highest version, with the names of the binary packages that have it.
    sources: BTreeMap<String, (String, BTreeSet<String>)>,
}

#[derive(Debug, Clone)]
struct Offer {
    version: String,
    source: String,
    source_version: String,
}

impl Index {
    pub fn add(&mut self, name: &str, version: &str, source: &str, source_version: &str) {
        let offer = || Offer { version: version.into(), source: source.into(), source_version: source_version.into() };
        let highest = self.binaries.entry(name.to_owned()).or_insert_with(offer);
        if compare(version, &highest.version).is_gt() {
            *highest = offer();
        }
        let (newest, names) = self.sources.entry(source.to_owned()).or_default();
        let order = compare(source_version, newest);
        if names.is_empty() || order.is_gt() {
            source_version.clone_into(newest);
            names.clear();
        }
        if source_version == newest {
            names.insert(name.to_owned());
        }
    }

    /// What the index has for an image, by source.
    pub fn findings(&self, image: &Packages, reason: Reason) -> Vec<Finding> {
        let installed = sources(&image.packages);
        let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
        for package in &image.packages {
            let highest = installed.get(package.source.as_str()).copied().unwrap_or(&package.source_version);
            let by_name =
                self.binaries.get(&package.name).filter(|offer| compare(&offer.version, &package.version).is_gt());
            // Under another source the name is another package's history: its versions still tell.
            let (version, fixed) = if let Some(offer) = by_name {
                if offer.source == package.source && compare(&offer.source_version, highest).is_gt() {
                    (highest, offer.source_version.as_str())
                } else {
                    (package.version.as_str(), offer.version.as_str())
                }
            } else if let Some((newest, names)) = self.sources.get(&package.source)
                && !names.contains(&package.name)
                && compare(newest, highest).is_gt()
            {
                (highest, newest.as_str())
            } else {
                continue;
            };
            let finding = findings.entry(&package.source).or_insert_with(|| Finding {
                reason,
                name: package.source.clone(),
                version: version.to_owned(),
                fixed: fixed.to_owned(),
                packages: BTreeSet::new(),
            });
            finding.packages.insert(package.name.clone());
        }
        findings.into_values().collect()
    }
}

/// Why an archive has something newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    SecurityFix,
    PointRelease,
    ProxmoxUpdate,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Self::SecurityFix => "security fixes",
            Self::PointRelease => "point release",
            Self::ProxmoxUpdate => "proxmox updates",
        }
    }
}

/// One source package that an archive has a newer version of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub reason: Reason,
    /// Of the source package.
    pub name: String,
    /// In the image.
    pub version: String,
    /// In the archive.
    pub fixed: String,
    /// The binary packages in the image.
    pub packages: BTreeSet<String>,
}

impl Finding {
    pub fn to_json(&self) -> Value {
        json!({
            "reason": self.reason.word(),
            "name": self.name,
            "version": self.version,
            "fixed": self.fixed,
            "packages": self.packages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Package;
    use super::*;

    fn image(packages: &[(&str, &str, &str, &str)]) -> Packages {
        let package = |(name, version, source, source_version): &(&str, &str, &str, &str)| Package {
            name: (*name).into(),
            architecture: "amd64".into(),
            version: (*version).into(),
            source: (*source).into(),
            source_version: (*source_version).into(),
        };
        Packages { codename: "trixie".into(), release: "13.2".into(), packages: packages.iter().map(package).collect() }
    }

    fn found(
        index: &[(&str, &str, &str, &str)],
        packages: &[(&str, &str, &str, &str)],
    ) -> Vec<(String, String, String)> {
        let mut read = Index::default();
        for (name, version, source, source_version) in index {
            read.add(name, version, source, source_version);
        }
        let findings = read.findings(&image(packages), Reason::SecurityFix);
        findings.into_iter().map(|found| (found.name, found.version, found.fixed)).collect()
    }

    #[test]
    fn what_is_higher_by_name_or_gone_by_name_is_a_finding() {
        let openssl = ("libssl3", "3.0.19-1", "openssl", "3.0.19-1");
        let kernel = |version: &'static str, name: &'static str| (name, version, "linux-signed-amd64", version);
        let newest = kernel("6.12.107+1", "linux-image-6.12.107-amd64");
        let old = kernel("6.12.94+1", "linux-image-6.12.94-amd64");
        type Rows<'a> = &'a [(&'a str, &'a str, &'a str, &'a str)];
        type Case<'a> = (&'a str, Rows<'a>, Rows<'a>, &'a [(&'a str, &'a str, &'a str)]);
        let table: &[Case<'_>] = &[
            ("the same", &[openssl], &[openssl], &[]),
            ("newer in the image", &[openssl], &[("libssl3", "3.0.20-1", "openssl", "3.0.20-1")], &[]),
            (
                "a fix",
                &[openssl],
                &[("libssl3", "3.0.17-1", "openssl", "3.0.17-1")],
                &[("openssl", "3.0.17-1", "3.0.19-1")],
            ),
            ("not in the index", &[openssl], &[("bash", "5.2-1", "bash", "5.2-1")], &[]),
            ("a kernel", &[newest], &[old], &[("linux-signed-amd64", "6.12.94+1", "6.12.107+1")]),
            ("an old kernel beside the newest", &[newest], &[old, newest], &[]),
            ("an old kernel whose name is still there", &[newest, old], &[old, newest], &[]),
            (
                "a rebuild of the same source",
                &[("libssl3", "3.0.19-1+b1", "openssl", "3.0.19-1")],
                &[openssl],
                &[("openssl", "3.0.19-1", "3.0.19-1+b1")],
            ),
            (
                "the index has an older version beside",
                &[("libssl3", "3.0.18-1", "openssl", "3.0.18-1"), openssl],
                &[("libssl3", "3.0.18-1", "openssl", "3.0.18-1")],
                &[("openssl", "3.0.18-1", "3.0.19-1")],
            ),
        ];
        for (what, index, packages, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
            assert_eq!(found(index, packages), expected, "{what}");
        }
    }
}
