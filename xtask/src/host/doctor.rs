//! Whether a build host has what a build needs, asked with one connection.

use std::collections::BTreeMap;

use crate::console::size;
use crate::failure;
use crate::ssh::trouble::Fault;
use crate::ssh::{RemoteDir, Ssh};

/// What a build takes at most besides the images: a base image, a disk of 10 GiB at work, its compressed copy.
const ROOM: u64 = 20 << 30;

/// One thing that a build needs: what was found, or what is wrong with its cure.
pub struct Need {
    pub what: &'static str,
    pub found: Result<String, String>,
    /// Without it a build is slow or may run out, and yet may work.
    pub optional: bool,
}

/// Asks the host.
pub fn ask(ssh: &Ssh, dir: &RemoteDir) -> Result<Vec<Need>, Fault> {
    let host = &ssh.host;
    let output = ssh.script(include_str!("doctor.sh"), &[&dir.to_string()])?;
    let facts = parse(&String::from_utf8_lossy(&output))
        .ok_or_else(|| Fault::line(failure::failed(format!("the answer of {host} is not complete; try again"))))?;
    Ok(judge(&facts, &dir.to_string()))
}

/// `None` when it was cut short.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let (_, body) = text.split_once("packer-doctor\n")?;
    let body = body.strip_suffix("end\n")?;
    Some(body.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

fn judge(facts: &BTreeMap<String, String>, dir: &str) -> Vec<Need> {
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    let need = |what, found: Result<String, String>| Need { what, found, optional: false };
    let mut needs = Vec::new();
    if fact("folder") == "yes" {
        needs.push(need(
            "packer directory",
            match (fact("build-script"), fact("writable")) {
                ("yes", "yes") => Ok(dir.to_owned()),
                ("yes", _) => Err(format!("no permission to write in {dir}; make it yours, or log in as its owner")),
                _ => Err(format!(
                    "no executable build.sh in {dir}; install the packer engine there, or name it with --remote-dir"
                )),
            },
        ));
        let free = fact("free-kib").parse::<u64>().ok().map(|kib| kib.saturating_mul(1024));
        needs.push(Need {
            what: "disk space",
            optional: true,
            found: match free {
                Some(free) if free >= ROOM => Ok(format!("{} free", size(free))),
                Some(free) => Err(format!("{} free, {} are safe; make room in {dir}", size(free), size(ROOM))),
                None => Err(format!("nobody can tell how much is free in {dir}; look with `df`")),
            },
        });
    } else {
        let cure = "install the packer engine there, or name it with --remote-dir";
        needs.push(need("packer directory", Err(format!("no folder {dir}; {cure}"))));
    }
    for (tool, package) in [("packer", "packer"), ("qemu-img", "qemu-utils"), ("qemu-system-x86_64", "qemu-system-x86")]
    {
        needs.push(need(
            tool,
            match fact(tool) {
                "" => Err(format!("not installed; on Debian: `apt install {package}`")),
                version => Ok(version.to_owned()),
            },
        ));
    }
    needs.push(Need {
        what: "KVM",
        optional: true,
        found: match fact("kvm") {
            "yes" => Ok("/dev/kvm".to_owned()),
            "denied" => {
                Err("no permission for /dev/kvm, and without it a build takes hours; `adduser USER kvm`".to_owned())
            }
            _ => {
                Err("no /dev/kvm, and without it a build takes hours; turn virtualisation on in the firmware"
                    .to_owned())
            }
        },
    });
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong, and whether a build can't run for it.
    fn wrong(answer: &str) -> Vec<(&'static str, bool)> {
        let needs = judge(&parse(answer).unwrap(), "/dir");
        needs.iter().filter(|need| need.found.is_err()).map(|need| (need.what, !need.optional)).collect()
    }

    #[test]
    fn an_answer_is_judged() {
        let tools = "packer=1\nqemu-img=1\nqemu-system-x86_64=1\n";
        let good = format!("folder=yes\nbuild-script=yes\nwritable=yes\nfree-kib=99999999\n{tools}kvm=yes\n");
        let answer = |text: &str| format!("motd\npacker-doctor\n{text}end\n");
        assert_eq!(wrong(&answer(&good)), []);
        for (from, to, expected) in [
            ("folder=yes", "folder=no", ("packer directory", true)),
            ("build-script=yes", "build-script=no", ("packer directory", true)),
            ("writable=yes", "writable=no", ("packer directory", true)),
            ("free-kib=99999999", "free-kib=5", ("disk space", false)),
            ("packer=1", "packer=", ("packer", true)),
            ("qemu-img=1", "qemu-img=", ("qemu-img", true)),
            ("kvm=yes", "kvm=denied", ("KVM", false)),
        ] {
            assert_eq!(wrong(&answer(&good.replace(from, to))), [expected], "{to}");
        }
        assert!(parse("packer-doctor\nfolder=yes\n").is_none());
    }
}
