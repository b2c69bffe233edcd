//! Whether a build host has what a build needs, asked with one connection.
//!
//! Each need is found, or missing with its fix; only what makes a build impossible is an error. `doctor --host` shows the needs.

use std::collections::BTreeMap;

use crate::failure::{self, Advice as _};
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{Host, Ssh};
use crate::text::size;

use super::folder::{self, FIX, PackerDir};

/// The most that a build takes besides the images, in bytes: a base image, a disk of 10 GiB, its compressed copy.
const ROOM: u64 = 20 << 30;

/// The need that `--sync` meets.
pub const FOLDER: &str = "packer directory";

/// One thing that a build needs: what was found, or what is wrong and its fix.
pub struct Need {
    pub what: &'static str,
    pub found: Result<String, String>,
    /// A build may work without it.
    pub optional: bool,
}

/// Asks the host.
pub fn ask(ssh: &Ssh, folder: &PackerDir) -> Result<Vec<Need>, Fault> {
    let host = &ssh.host;
    let found = folder.find(ssh)?;
    // Without a packer directory the tools and KVM are asked for all the same.
    let places = folder::USUAL.join(", ");
    let (dir, shown) = match &found {
        Some(dir) => (dir.to_string(), dir.to_string()),
        None => (folder::USUAL[0].trim_start_matches("~/").to_owned(), places),
    };
    let answer = ssh.script(include_str!("doctor.sh"), &[&dir])?;
    let facts = parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| {
        Fault::line(failure::failed(format!("the answer from {host} is incomplete")).fix("try again"))
    })?;
    Ok(judge(host, &facts, &shown))
}

/// `None` when it was cut short.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let (body, _) = text.split_once("end\n").filter(|(body, _)| body.is_empty() || body.ends_with('\n'))?;
    Some(body.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

fn judge(host: &Host, facts: &BTreeMap<String, String>, dir: &str) -> Vec<Need> {
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    let need = |what, found: Result<String, String>| Need { what, found, optional: false };
    let mut needs = Vec::new();
    if fact("folder") == "yes" {
        needs.push(need(
            FOLDER,
            match (fact("engine"), fact("writable")) {
                ("", _) => Err(format!("no executable build.sh or build in {dir}; {FIX}")),
                (_, "yes") => Ok(dir.to_owned()),
                _ => Err(format!("no permission to write in {dir}; change its owner, or log in as its owner")),
            },
        ));
        if let Some(packages) = facts.get("missing").filter(|packages| !packages.is_empty()) {
            let said =
                format!("some programs that the engine calls are not installed; on Debian: `apt install {packages}`");
            // A template need not use all of it.
            needs.push(Need { what: "tools", optional: true, found: Err(said) });
        }
        let free = fact("free-kib").parse::<u64>().ok().map(|kib| kib.saturating_mul(1024));
        needs.push(Need {
            what: "disk space",
            optional: true,
            found: match free {
                Some(free) if free >= ROOM => Ok(format!("{} free", size(free))),
                Some(free) => Err(format!("{} free, {} are recommended; make room in {dir}", size(free), size(ROOM))),
                None => Err(format!("the free space in {dir} is unknown; look with `df`")),
            },
        });
    } else if fact("folder") == "denied" {
        needs.push(need(FOLDER, Err(format!("no permission to enter {dir}; {}", trouble::readable(host)))));
    } else {
        needs.push(need(FOLDER, Err(format!("no folder {dir}; {FIX}"))));
    }
    for (tool, package) in [("packer", "packer"), ("qemu-img", "qemu-utils"), ("qemu-system-x86_64", "qemu-system-x86")]
    {
        needs.push(need(
            tool,
            match fact(tool) {
                "" => Err(format!("not installed; on Debian: `apt install {package}`")),
                version if tool == "packer" && !is_packer(version) => Err(format!(
                    "`packer` is another program here ({}; on some systems it is cracklib's); install HashiCorp's packer, \
                     and put its folder first in PATH",
                    fact("packer-path")
                )),
                version => Ok(version.to_owned()),
            },
        ));
    }
    needs.push(kvm(fact("kvm"), fact("only-kvm") == "yes"));
    needs
}

/// Our engine builds without KVM; a template that asks for KVM alone does not.
fn kvm(found: &str, only_kvm: bool) -> Need {
    let without = if only_kvm { "the templates build only with KVM" } else { "without it a build takes hours" };
    let found = match found {
        "yes" => Ok("/dev/kvm".to_owned()),
        "denied" => Err(format!("no permission for /dev/kvm, and {without}; run `adduser USER kvm` there")),
        _ => Err(format!("no /dev/kvm, and {without}; turn on virtualisation in the firmware")),
    };
    Need { what: "KVM", optional: true, found }
}

/// `Packer v1.11.2`, or `1.8.5` from older ones.
fn is_packer(version: &str) -> bool {
    let version = version.strip_prefix("Packer ").unwrap_or(version);
    let mut numbers = version.strip_prefix('v').unwrap_or(version).split('.');
    (0..2).all(|_| numbers.next().is_some_and(|number| number.bytes().next().is_some_and(|byte| byte.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong, and whether a build can't run for it.
    fn wrong(answer: &str) -> Vec<(&'static str, bool)> {
        let needs = judge(&"build1".parse().unwrap(), &parse(answer).unwrap(), "/dir");
        needs.iter().filter(|need| need.found.is_err()).map(|need| (need.what, !need.optional)).collect()
    }

    #[test]
    fn an_answer_is_judged() {
        let tools = "packer=1.8.5\nqemu-img=1\nqemu-system-x86_64=1\n";
        let good = format!("folder=yes\nengine=build.sh\nwritable=yes\nfree-kib=99999999\n{tools}kvm=yes\n");
        let answer = |text: &str| format!("{text}end\nlogout\n");
        assert_eq!(wrong(&answer(&good)), []);
        for (from, to, expected) in [
            ("folder=yes", "folder=no", ("packer directory", true)),
            ("engine=build.sh\n", "", ("packer directory", true)),
            ("engine=build.sh", "engine=build.sh\nmissing=xorriso", ("tools", false)),
            ("kvm=yes", "kvm=no\nonly-kvm=yes", ("KVM", false)),
            ("writable=yes", "writable=no", ("packer directory", true)),
            ("free-kib=99999999", "free-kib=5", ("disk space", false)),
            ("folder=yes", "folder=denied", ("packer directory", true)),
            ("packer=1.8.5", "packer=", ("packer", true)),
            ("packer=1.8.5", "packer=0 0", ("packer", true)),
            ("packer=1.8.5", "packer=another program", ("packer", true)),
            ("packer=1.8.5", "packer=skipping line: 1", ("packer", true)),
            ("qemu-img=1", "qemu-img=", ("qemu-img", true)),
            ("kvm=yes", "kvm=denied", ("KVM", false)),
        ] {
            assert_eq!(wrong(&answer(&good.replace(from, to))), [expected], "{to}");
        }
        assert!(parse("folder=yes\n").is_none());
        assert!(is_packer("Packer v1.11.2") && is_packer("1.6.6") && is_packer("v1.7.0-dev"));
    }

    #[test]
    fn hostile_answers_to_doctor() {
        crate::hostile::try_with(
            &[b"folder=yes\nengine=build.sh\nfree-kib=99\npacker=1.8.5\nkvm=no\nend\n"],
            |bytes| {
                if let Some(facts) = parse(&String::from_utf8_lossy(bytes)) {
                    judge(&"build1".parse().unwrap(), &facts, "/dir");
                }
            },
        );
    }
}
