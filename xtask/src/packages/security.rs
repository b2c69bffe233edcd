//! Whether an archive has fixes for what is in an image: the recorded packages against the archive's index of today.
//!
//! Binary names alone say nothing about kernels, whose packages have their version in the name and no successor by that
//! name. Sources alone would report an old kernel beside a new one. So a package counts when the index has its name with a
//! higher version; or, where the name is gone at its source's newest version, when that is higher than every installed
//! version of the source. Used by `check --security`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::version::compare;
use super::{Package, Packages};

/// An archive's index: what a line of `package-index.sh` says about each package.
#[derive(Debug, Default, Clone)]
pub struct Index {
    /// Each binary package in its highest version.
    binaries: BTreeMap<String, Package>,
    /// Each source's highest version, with the names of the binary packages that have it.
    sources: BTreeMap<String, (String, BTreeSet<String>)>,
}

impl Index {
    pub fn add(&mut self, package: Package) {
        let Package { name, source, source_version, .. } = &package;
        let (newest, names) = self.sources.entry(source.clone()).or_default();
        if names.is_empty() || compare(source_version, newest).is_gt() {
            source_version.clone_into(newest);
            names.clear();
        }
        if source_version == newest {
            names.insert(name.clone());
        }
        if self.binaries.get(name).is_none_or(|highest| compare(&package.version, &highest.version).is_gt()) {
            self.binaries.insert(name.clone(), package);
        }
    }

    /// What the index has for an image, by source.
    pub fn findings(&self, image: &Packages, reason: Reason) -> Vec<Finding> {
        let mut installed: BTreeMap<&str, &str> = BTreeMap::new();
        for package in &image.packages {
            let highest = installed.entry(&package.source).or_insert(&package.source_version);
            if compare(&package.source_version, highest).is_gt() {
                *highest = &package.source_version;
            }
        }
        let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
        for package in &image.packages {
            let Some((version, fixed)) = self.newer(package, installed[package.source.as_str()]) else { continue };
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

    /// The installed version and the newer version in the index; `installed` is the highest installed version of its source.
    fn newer<'a>(&'a self, package: &'a Package, installed: &'a str) -> Option<(&'a str, &'a str)> {
        let offer = self.binaries.get(&package.name).filter(|offer| compare(&offer.version, &package.version).is_gt());
        match (offer, self.sources.get(&package.source)) {
            (Some(offer), _) if offer.source == package.source && compare(&offer.source_version, installed).is_gt() => {
                Some((installed, &offer.source_version))
            }
            // A package that moved to another source, or was built again from the same one.
            (Some(offer), _) => Some((&package.version, &offer.version)),
            (None, Some((newest, names))) if !names.contains(&package.name) && compare(newest, installed).is_gt() => {
                Some((installed, newest))
            }
            _ => None,
        }
    }
}

/// Why an archive has something newer, in words.
pub type Reason = &'static str;
pub const SECURITY_FIXES: Reason = "security fixes";
pub const POINT_RELEASE: Reason = "point release";
pub const PROXMOX_UPDATES: Reason = "proxmox updates";

/// One source package that an archive has a newer version of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
        Packages { codename: "trixie".into(), packages: packages.iter().map(package).collect(), ..Packages::default() }
    }

    fn found(
        index: &[(&str, &str, &str, &str)],
        packages: &[(&str, &str, &str, &str)],
    ) -> Vec<(String, String, String)> {
        let mut read = Index::default();
        image(index).packages.into_iter().for_each(|package| read.add(package));
        let findings = read.findings(&image(packages), SECURITY_FIXES);
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
