//! Whether Debian's and Proxmox's archives have newer packages than an image: no diff shows that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use xshell::cmd;

use super::report::Report;
use crate::failure;
use crate::gh::Gh;
use crate::latest::{TAG, changes, look};
use crate::process;
use crate::sbom::Packages;
use crate::sbom::security::{Finding, Index, Reason};

/// The script in the packer directory that reads the archives and checks their signatures.
const SCRIPT: &str = "package-index.sh";

/// An image's packages compared with the archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityReport {
    /// An error says why nobody can tell. Never taken for "nothing to fix".
    pub findings: Result<Vec<Finding>, String>,
}

impl SecurityReport {
    /// `4 security fixes, the first: openssl 3.0.17-1, fixed in 3.0.19-1`; for each reason that there is.
    pub fn reasons(&self) -> Vec<String> {
        let Ok(findings) = &self.findings else { return Vec::new() };
        let mut by_reason: BTreeMap<Reason, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            by_reason.entry(finding.reason).or_default().push(finding);
        }
        let reason = |(reason, findings): (Reason, Vec<&Finding>)| {
            let names: Vec<&str> = findings.iter().take(3).map(|finding| finding.name.as_str()).collect();
            let more = findings.len().saturating_sub(3);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{}: {}{more}", reason.word(), names.join(", "))
        };
        by_reason.into_iter().map(reason).collect()
    }

    /// A line for each finding.
    pub fn lines(&self) -> Vec<String> {
        match &self.findings {
            Err(why) => vec![format!("security fixes unknown: {why}")],
            Ok(findings) if findings.is_empty() => vec!["no security fixes, nothing newer".to_owned()],
            Ok(findings) => findings
                .iter()
                .map(|it| format!("{}: {} {}, now {}", it.reason.word(), it.name, it.version, it.fixed))
                .collect(),
        }
    }

    pub fn to_json(&self) -> Value {
        let (state, reason, findings) = match &self.findings {
            Err(why) => ("unknown", Some(why), Vec::new()),
            Ok(findings) if findings.is_empty() => ("none", None, Vec::new()),
            Ok(findings) => ("fixes", None, findings.iter().map(Finding::to_json).collect()),
        };
        json!({ "state": state, "reason": reason, "findings": findings })
    }
}

/// Asks the archives about each published image, and makes a reason of what they have.
///
/// # Errors
///
/// Exit code 3: an archive, its signature or what checks it can't be had, or what is published can't be read.
pub fn add(report: &mut Report, packer_dir: &Path, gh: &Gh) -> anyhow::Result<()> {
    let live = match gh.release_by_tag(TAG)? {
        None => None,
        Some(release) => {
            let assets = gh.assets(release.id)?;
            look::read_manifest(&assets, |asset| gh.read_asset(asset))?.map(|manifest| (manifest, assets))
        }
    };
    let mut lists: BTreeMap<String, Result<Packages, String>> = BTreeMap::new();
    for image in &report.images {
        let manifest = live.as_ref().and_then(|(manifest, assets)| Some((manifest.image(&image.name)?, assets)));
        let list = match manifest {
            None => Err("no manifest tells what is published".to_owned()),
            Some((image, assets)) => changes::published(|asset| gh.read_asset(asset), image, assets)?
                .ok_or_else(|| "the published image has no list of its packages".to_owned()),
        };
        lists.insert(image.name.clone(), list);
    }
    let wanted: BTreeSet<String> = lists
        .iter()
        .filter_map(|(name, list)| Some((name, list.as_ref().ok()?)))
        .flat_map(|(name, list)| indexes(name, list).map(|(index, _)| index))
        .collect();
    let read = if wanted.is_empty() { BTreeMap::new() } else { ask(packer_dir, &wanted)? };
    for image in &mut report.images {
        let findings = match lists.remove(&image.name) {
            Some(Ok(list)) => Ok(findings(&image.name, &list, &read)),
            Some(Err(why)) => Err(why),
            None => continue,
        };
        let found = SecurityReport { findings };
        for reason in found.reasons() {
            image.rebuild_for(&reason);
        }
        image.security = Some(found);
    }
    Ok(())
}

/// Whether the packages of Proxmox VE are in an image.
fn has_proxmox(list: &Packages) -> bool {
    list.packages.iter().any(|package| package.name == "pve-manager")
}

/// The indexes that an image is compared with, the strongest reason first. The list's own release names them: another
/// release's would call every package old.
fn indexes(image: &str, list: &Packages) -> impl Iterator<Item = (String, Reason)> {
    let codename = &list.codename;
    let proxmox = has_proxmox(list).then(|| (format!("proxmox:{image}"), Reason::ProxmoxUpdate));
    [
        (format!("security:{codename}"), Reason::SecurityFix),
        (format!("main:{codename}"), Reason::PointRelease),
        (format!("updates:{codename}"), Reason::PointRelease),
    ]
    .into_iter()
    .chain(proxmox)
}

/// By source, each once, for its strongest reason.
fn findings(image: &str, list: &Packages, read: &BTreeMap<String, Index>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (name, reason) in indexes(image, list) {
        for finding in read.get(&name).map(|index| index.findings(list, reason)).unwrap_or_default() {
            if !found.iter().any(|known| known.name == finding.name) {
                found.push(finding);
            }
        }
    }
    found
}

fn ask(packer_dir: &Path, wanted: &BTreeSet<String>) -> anyhow::Result<BTreeMap<String, Index>> {
    // A bare name would be looked for in PATH.
    let script = packer_dir.canonicalize().unwrap_or_else(|_| packer_dir.to_owned()).join(SCRIPT);
    if !script.is_file() {
        return Err(failure::missing(format!(
            "no {}, which reads the archives; leave --security out, or take it from a newer version",
            script.display()
        )));
    }
    let sh = process::shell()?;
    let finished = process::output(cmd!(sh, "{script} {wanted...}"))?;
    if !finished.status.success() {
        return Err(failure::missing(format!(
            "the archives can't be asked for security fixes, so nobody can tell; mend this, or leave --security out: {}",
            finished.stderr.trim()
        )));
    }
    let read = parse(&finished.text());
    match wanted.iter().find(|name| !read.contains_key(*name)) {
        Some(missing) => Err(failure::missing(format!("`{}` said nothing about {missing}", finished.command))),
        None => Ok(read),
    }
}

/// For each index a line `index`, its name, suite and date, which is all of it for an archive that is empty: security before
/// the first fix, updates after a point release. Then lines of index, package, version, source and its version. With TAB
/// between the fields.
fn parse(text: &str) -> BTreeMap<String, Index> {
    let mut read: BTreeMap<String, Index> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["index", name, _, _] => {
                read.entry(name.to_owned()).or_default();
            }
            [name, package, version, source, source_version] => {
                read.entry(name.to_owned()).or_default().add(package, version, source, source_version);
            }
            _ => {}
        }
    }
    read
}
