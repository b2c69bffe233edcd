//! Whether a build host has what a build needs, asked with one connection.

use std::collections::BTreeMap;

use crate::console::size;
use crate::failure;
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{Host, RemoteDir, Ssh};
use crate::text;

/// What a build takes at most besides the images: a base image, a disk of 10 GiB at work, its compressed copy.
const ROOM: u64 = 20 << 30;

/// What a need is called that `--sync` meets.
pub const FOLDER: &str = "packer directory";

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
    let answer = ssh.script(include_str!("doctor.sh"), "packer-doctor\n", &[&dir.to_string()])?;
    let facts = parse(&String::from_utf8_lossy(&answer.text))
        .ok_or_else(|| Fault::line(failure::failed(format!("the answer of {host} is not complete; try again"))))?;
    let mut needs = judge(host, &facts, &dir.to_string());
    if facts.get("build-script").is_some_and(|found| found == "yes") {
        needs.push(Need { what: "scp", found: try_scp(ssh, dir, &answer.noise), optional: true });
    }
    Ok(needs)
}

/// Whether scp works there: by letting it copy a small file.
fn try_scp(ssh: &Ssh, dir: &RemoteDir, noise: &[u8]) -> Result<String, String> {
    const WITHOUT: &str = "images are fetched without it";
    let noise = String::from_utf8_lossy(noise);
    if let Some(said) = noise.lines().find(|line| !line.trim().is_empty()) {
        return Err(format!(
            "the login there prints `{}`, and scp can't work so ({WITHOUT}); {}",
            text::line(said.trim()),
            trouble::NOISE_CURE
        ));
    }
    let to = std::env::temp_dir().join(format!("packer-doctor-{}-{}", std::process::id(), ssh.host));
    let copied = ssh.copy(&format!("{dir}/build.sh"), &to, || Some(0));
    // Without a copy there is none.
    let _ = std::fs::remove_file(&to);
    match copied {
        Ok(()) => Ok("works".to_owned()),
        Err(fault) => {
            Err(format!("doesn't work ({WITHOUT}); is `Subsystem sftp` set in sshd_config? {:#}", fault.error))
        }
    }
}

/// `None` when it was cut short.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let (body, _) = text.split_once("end\n").filter(|(body, _)| body.is_empty() || body.ends_with('\n'))?;
    Some(body.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

/// How a host comes to have an engine.
pub const ENGINE: &str =
    "build with --sync, which sends the packer directory, install it there, or name it with --remote-dir";

fn judge(host: &Host, facts: &BTreeMap<String, String>, dir: &str) -> Vec<Need> {
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    let need = |what, found: Result<String, String>| Need { what, found, optional: false };
    let mut needs = Vec::new();
    if fact("folder") == "yes" {
        needs.push(need(
            FOLDER,
            match (fact("build-script"), fact("writable")) {
                ("yes", "yes") => Ok(dir.to_owned()),
                ("yes", _) => Err(format!("no permission to write in {dir}; make it yours, or log in as its owner")),
                _ => Err(format!("no executable build.sh in {dir}; {ENGINE}")),
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
    } else if fact("folder") == "denied" {
        needs.push(need(FOLDER, Err(format!("no permission to enter {dir}; {}", trouble::readable(host)))));
    } else {
        needs.push(need(FOLDER, Err(format!("no folder {dir}; {ENGINE}"))));
    }
    for (tool, package) in [("packer", "packer"), ("qemu-img", "qemu-utils"), ("qemu-system-x86_64", "qemu-system-x86")]
    {
        needs.push(need(
            tool,
            match fact(tool) {
                "" => Err(format!("not installed; on Debian: `apt install {package}`")),
                version if tool == "packer" && !is_packer(version) => Err(format!(
                    "another program is called packer here ({}), as cracklib's is on some systems; install HashiCorp's, \
                     and let its folder come first in PATH",
                    fact("packer-path")
                )),
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
        let good = format!("folder=yes\nbuild-script=yes\nwritable=yes\nfree-kib=99999999\n{tools}kvm=yes\n");
        let answer = |text: &str| format!("{text}end\nlogout\n");
        assert_eq!(wrong(&answer(&good)), []);
        for (from, to, expected) in [
            ("folder=yes", "folder=no", ("packer directory", true)),
            ("build-script=yes", "build-script=no", ("packer directory", true)),
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
            &[b"folder=yes\nbuild-script=yes\nfree-kib=99\npacker=1.8.5\nkvm=no\nend\n"],
            |bytes| {
                if let Some(facts) = parse(&String::from_utf8_lossy(bytes)) {
                    judge(&"build1".parse().unwrap(), &facts, "/dir");
                }
            },
        );
    }
}
