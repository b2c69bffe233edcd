//! Whether Debian's and Proxmox's archives have newer packages than a published image: no diff shows that.
//!
//! The published lists of packages are handed in; the engine's script reads the archives and checks their signatures. An
//! archive that cannot be read is an error, never "no fixes". Used by `check --security`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::report::Report;
use crate::failure::{self, Advice as _};
use crate::packages::security::{Finding, Index, POINT_RELEASE, PROXMOX_UPDATES, Reason, SECURITY_FIXES};
use crate::packages::{Package, Packages};

const SCRIPT: &str = "package-index.sh";

/// An image's list of packages, or why there is none.
pub type List = Result<Packages, String>;

/// Asks the archives about each published image, and makes a reason of what they have.
///
/// # Errors
///
/// Exit code 3: an archive, its signature or the script that checks it can't be had.
pub fn add(report: &mut Report, packer_dir: &Path, lists: &BTreeMap<String, List>) -> anyhow::Result<()> {
    let known = lists.iter().filter_map(|(name, list)| Some((name, list.as_ref().ok()?)));
    let wanted: BTreeSet<String> = known.flat_map(|(name, list)| indexes(name, list)).map(|(index, _)| index).collect();
    let read = if wanted.is_empty() { BTreeMap::new() } else { ask(packer_dir, &wanted)? };
    for image in &mut report.images {
        let Some(list) = lists.get(&image.name) else { continue };
        let found = list.as_ref().map(|list| findings(&image.name, list, &read)).map_err(Clone::clone);
        reasons(found.as_deref().unwrap_or_default()).iter().for_each(|reason| image.rebuild_for(reason));
        image.security = Some(found);
    }
    Ok(())
}

/// `security fixes: openssl, systemd`, for each reason that there is.
fn reasons(findings: &[Finding]) -> Vec<String> {
    let reason = |findings: &[Finding]| {
        let named = findings.iter().take(3).map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        let more = findings.len().checked_sub(3).filter(|more| *more > 0);
        let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
        format!("{}: {named}{more}", findings[0].reason)
    };
    findings.chunk_by(|a, b| a.reason == b.reason).map(reason).collect()
}

/// A line for each finding.
pub fn lines(found: &Result<Vec<Finding>, String>) -> Vec<String> {
    let line = |it: &Finding| format!("{}: {} {}, now {}", it.reason, it.name, it.version, it.fixed);
    match found {
        Err(why) => vec![format!("security fixes unknown: {why}")],
        Ok(findings) if findings.is_empty() => vec!["no security fixes, nothing newer".to_owned()],
        Ok(findings) => findings.iter().map(line).collect(),
    }
}

/// The indexes that an image is compared with, the strongest reason first. The list's own release names them: another
/// release's would call every package old.
fn indexes(image: &str, list: &Packages) -> Vec<(String, Reason)> {
    let codename = &list.codename;
    let mut indexes = vec![
        (format!("security:{codename}"), SECURITY_FIXES),
        (format!("main:{codename}"), POINT_RELEASE),
        (format!("updates:{codename}"), POINT_RELEASE),
    ];
    if list.packages.iter().any(|package| package.name == "pve-manager") {
        indexes.push((format!("proxmox:{image}"), PROXMOX_UPDATES));
    }
    indexes
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
    let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let Some(finished) = super::script(packer_dir, SCRIPT, &names)? else {
        let error = failure::missing(format!(
            "the engine in {} has no {SCRIPT}, which reads the archives",
            packer_dir.display()
        ));
        return Err(error.fix("leave out --security (--upstream includes it), or use an engine that has this script"));
    };
    if !finished.status.success() {
        let said = finished.stderr.replace(&format!("{SCRIPT}: "), "");
        let error =
            failure::missing("could not ask the archives for security fixes, so whether there are any is unknown");
        return Err(error
            .fix("run it again later, or leave out --security (--upstream includes it)")
            .quote(SCRIPT, said));
    }
    let read = parse(&finished.text());
    match wanted.iter().find(|name| !read.contains_key(*name)) {
        Some(missing) => Err(failure::missing(format!("`{}` did not answer about {missing}", finished.command))),
        None => Ok(read),
    }
}

/// For each index a line `index`, its name, suite and date, which is all of it for an archive that is empty: security before
/// the first fix, updates after a point release. Then lines of index, package, version, source and its version. With TAB
/// between the fields.
fn parse(text: &str) -> BTreeMap<String, Index> {
    let mut read: BTreeMap<String, Index> = BTreeMap::new();
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["index", name, _, _] => drop(read.entry(name.to_owned()).or_default()),
            [name, package, version, source, source_version] => {
                let [version, source, source_version] = [version, source, source_version].map(str::to_owned);
                let (name, architecture) = (name.to_owned(), String::new());
                let package = Package { name: package.to_owned(), architecture, version, source, source_version };
                read.entry(name).or_default().add(package);
            }
            _ => {}
        }
    }
    read
}
