//! What ssh and scp say when a connection or a transfer fails, as an exit code and a fix.
//!
//! ssh ends with 255 for its own failures, with English words that haven't changed in twenty years. scp passes both on, or ends
//! with 1 and says last that the connection is lost. With any other exit code such words come from a login script or a build
//! and mean nothing: no script here ends with 255. `ssh` and `host` make their errors with this module.

use super::host::Host;
use crate::failure::{self, Advice as _, failed, missing};
use crate::process::{Cut, Finished, Streamed};
use crate::refusal;
use crate::text::{self, last_lines};

/// Where a fault lies, and so what may be tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The connection broke or stalled: the same command may work the next time.
    Line,
    /// This host can't be used; another host may.
    Host,
    /// This image on this host: other images of the host may be good.
    Image,
    /// This machine, or the person using it: no other host helps.
    Here,
}

/// An error, and where it lies.
#[derive(Debug)]
pub struct Fault {
    pub blame: Blame,
    pub error: anyhow::Error,
}

impl Fault {
    pub fn line(error: anyhow::Error) -> Self {
        Self { blame: Blame::Line, error }
    }

    pub fn host(error: anyhow::Error) -> Self {
        Self { blame: Blame::Host, error }
    }

    pub fn image(error: anyhow::Error) -> Self {
        Self { blame: Blame::Image, error }
    }

    pub fn here(error: anyhow::Error) -> Self {
        Self { blame: Blame::Here, error }
    }
}

/// An error without blame is of this machine: a file that can't be written, a tool that isn't installed.
impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::here(error)
    }
}

/// Trouble with the connection or the transfer, if that is what ended the command.
pub fn of(host: &Host, streamed: &Streamed) -> Option<Fault> {
    let finished = &streamed.finished;
    match streamed.cut {
        Some(Cut::Interrupted) => return Some(Fault::here(interrupted())),
        Some(cut) => return Some(Fault::line(failed(format!("the connection to {host} stalled: {cut}")))),
        None => {}
    }
    if finished.status.success() {
        return None;
    }
    if let Some(error) = not_written_here(finished) {
        return Some(Fault::here(error));
    }
    connection(host, finished)
}

/// What scp could not write on this machine: `scp: write local "FILE": WHY`, or of older ones `FILE: WHY`. It calls itself by the
/// path that it was started by.
fn not_written_here(finished: &Finished) -> Option<anyhow::Error> {
    let file = finished.command.strip_prefix("scp ")?.split_whitespace().last()?;
    let line = finished.stderr.lines().rev().find(|line| {
        let line = line.split_once("scp: ").map_or(*line, |(_, said)| said);
        line.starts_with("write local ") || line.starts_with("open local ") || line.starts_with(file)
    })?;
    let why = line.rsplit(": ").next().unwrap_or(line);
    let error = format!("writing {file}: {}", text::line(why));
    Some(match is_full(why) {
        true => {
            failed(format!("{error}: the disk is full")).fix("free space there, or name another folder with --images")
        }
        false => failed(error),
    })
}

fn is_full(said: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "Quota exceeded"].iter().any(|words| said.contains(words))
}

/// Trouble with the connection itself, by ssh's words.
pub fn connection(host: &Host, finished: &Finished) -> Option<Fault> {
    let said = finished.stderr.as_str();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let scp_lost_it = finished.command.starts_with("scp ")
        && (last == "lost connection" || last.starts_with("scp: Connection closed"));
    if finished.status.code() != Some(255) && !scp_lost_it {
        return None;
    }
    let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let about = |text: &str, key: &str| {
        text.replace("{host}", &host.to_string()).replace("{name}", &host.name).replace("{key}", key)
    };
    let key = changed_key(said).unwrap_or_else(|| host.name.clone());
    if let Some((_, what, fix)) = REFUSALS.iter().find(|(words, ..)| has(words)) {
        let error = missing(about(what, &key)).fix(about(fix, &key));
        return Some(Fault::host(error.quote("ssh", last_lines(said))));
    }
    if has(&["Received message too long", "produces no output for non-interactive"]) {
        let what = format!("scp can't work: the login on {host} prints something");
        return Some(Fault::line(failed(what).fix(NOISE_FIX)));
    }
    let (what, fix) = if refusal::is_unreached(said) {
        (missing(format!("can't reach {host}")), "check that the host is switched on and that")
    } else {
        (failed(format!("the connection to {host} ended")), "check that")
    };
    Some(Fault::line(what.fix(format!("{fix} `ssh {host} true` works")).quote("ssh", last_lines(said))))
}

/// ssh's words for what no second attempt changes, the first that fits first: what failed, and the fix. `{host}` stands for the host as
/// it was named, `{name}` for its name alone, `{key}` for the name under which ssh keeps a key that has changed.
const REFUSALS: [(&[&str], &str, &str); 10] = [
    (
        &["IDENTIFICATION HAS CHANGED", "has changed and you have requested strict checking"],
        "the host key of {host} has changed: {host} was installed again, or somebody intercepts the connection",
        "if you know why the key changed, run `ssh-keygen -R '{key}'`, then connect once by hand: `ssh {host}`",
    ),
    // Before what ssh says after each of them: that the verification failed.
    (
        &["REVOKED HOST KEY", "marked as revoked", "was revoked", "revoked by file"],
        "the host key of {host} is revoked: somebody may use a stolen key to pose as {host}",
        "don't connect; ask whoever runs {host} for its new key",
    ),
    (
        &["Certificate invalid", "Host certificate"],
        "the host certificate of {host} is not valid: it has expired, is not valid yet, or is for another name",
        "ask whoever runs {host} to have the certificate signed again",
    ),
    (
        &["Host key verification failed"],
        "the host key of {host} is not known here",
        "connect once by hand and compare the key's fingerprint: `ssh {host}`",
    ),
    (
        &["Too many authentication failures"],
        "{host} refused the login after too many keys: your agent offers all its keys, one after the other",
        "name the key for this host in your ssh configuration: `Host {name}` with `IdentityFile ~/.ssh/KEY` and `IdentitiesOnly yes`",
    ),
    (
        &["UNPROTECTED PRIVATE KEY FILE"],
        "ssh doesn't use your private key for {host}: other users may read the file",
        "make the file private: `chmod 600 FILE`",
    ),
    (
        &["agent refused operation"],
        "your ssh agent has the key for {host} and refused to use it",
        "unlock the key, or confirm its use when the agent asks",
    ),
    (&["no matching "], "ssh here and the server on {host} have no algorithm in common", "update the older of the two"),
    (
        &["Permission denied (", "Permission denied, please try again"],
        "{host} refused the login, and a password is never asked for here",
        "put your public key there (`ssh-copy-id {host}`), load it (`ssh-add`), and check that `ssh -o BatchMode=yes {host} true` works",
    ),
    (
        &[
            "Could not resolve hostname",
            "Bad configuration option",
            "Bad owner or permissions",
            "no argument after keyword",
        ],
        "can't reach {host}",
        "check the name and your ssh configuration: `ssh -G {host}`",
    ),
];

/// For a login script that prints although no person is logged in.
pub const NOISE_FIX: &str = "on the host, keep the login silent when no person uses it: in `~/.bashrc`, before anything that \
                             prints, add `case $- in *i*) ;; *) return ;; esac`";

/// The host let the login in and ran no script for it.
pub fn no_shell(host: &Host, finished: &Finished) -> Fault {
    let said = if finished.stdout.is_empty() { finished.stderr.clone() } else { finished.text() };
    let said = said.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().chars().take(200).collect());
    let said: String = said.unwrap_or_else(|| format!("it ended with {}", finished.status));
    let error = missing(format!("the login on {host} runs no commands: `{}`", text::line(&said)));
    Fault::host(error.fix(format!("give that account a shell, or name another account: `--host USER@{}`", host.name)))
}

/// What a command on the host said when it failed; usually about a file there.
pub fn on_the_host(host: &Host, finished: &Finished) -> Fault {
    let said = if finished.stderr.trim().is_empty() { finished.text() } else { finished.stderr.clone() };
    let quoted = |error: anyhow::Error| error.quote(&host.to_string(), last_lines(&said));
    if is_full(&said) {
        let full = failed(format!("the disk of {host} is full, or a quota is reached")).fix("free space there");
        return Fault::host(quoted(full));
    }
    if ["Permission denied", "no permission to read"].iter().any(|words| said.contains(words)) {
        return Fault::image(quoted(missing(format!("{host} refused to read a file")).fix(readable(host))));
    }
    Fault::image(quoted(match finished.status.code() {
        Some(3) => missing(format!("{host} can't send the file")),
        _ => failed(format!("`{}` failed: {}", finished.command, finished.status)),
    }))
}

/// The fix for files that only another account may read.
pub fn readable(host: &Host) -> String {
    format!(
        "on {host}, let this account read what is built: `sudo chmod -R a+rX FOLDER`; or log in as the owner: `--host OWNER@{}`",
        host.name
    )
}

pub fn interrupted() -> anyhow::Error {
    crate::interrupt::check().err().unwrap_or_else(|| failure::failed("interrupted"))
}

/// The name under which ssh keeps a key that has changed: `Host key for NAME has changed`.
fn changed_key(said: &str) -> Option<String> {
    let rest = &said[said.find("ost key for ")? + "ost key for ".len()..];
    let name = rest.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%');
    Some(name.to_owned()).filter(|name| name.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use std::os::unix::process::ExitStatusExt as _;

    fn finished(code: i32, stderr: &str) -> Finished {
        Finished {
            command: "ssh".into(),
            status: std::process::ExitStatus::from_raw(code << 8),
            stdout: Vec::new(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn sshs_words_become_an_exit_code_and_a_cure() {
        let host: Host = "build1".parse().unwrap();
        for (code, said, blame, kind, cure) in [
            (255, "ssh: connect to host build1 port 22: Connection refused", Blame::Line, Kind::Missing, "switched on"),
            (
                255,
                "ssh: Could not resolve hostname build1: Name or service not known",
                Blame::Host,
                Kind::Missing,
                "ssh -G",
            ),
            (255, "me@build1: Permission denied (publickey).", Blame::Host, Kind::Missing, "ssh-copy-id build1"),
            (
                255,
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key for [10.0.0.1]:2222 has changed and you \
                 have requested strict checking.\nHost key verification failed.",
                Blame::Host,
                Kind::Missing,
                "ssh-keygen -R '[10.0.0.1]:2222'",
            ),
            (
                255,
                "No ED25519 host key is known for build1 and you have requested strict checking.\n\
                 Host key verification failed.",
                Blame::Host,
                Kind::Missing,
                "fingerprint",
            ),
            (
                255,
                "@ WARNING: REVOKED HOST KEY DETECTED! @\nThe ED25519 host key for build1 is marked as revoked.\n\
                 Host key verification failed.",
                Blame::Host,
                Kind::Missing,
                "don't connect",
            ),
            (
                255,
                "Certificate invalid: expired\nNo ED25519 host key is known for build1 and you have requested strict \
                 checking.\nHost key verification failed.",
                Blame::Host,
                Kind::Missing,
                "signed again",
            ),
            (255, "Connection to build1 closed by remote host.", Blame::Line, Kind::Failed, "ssh build1 true"),
            (255, "scp: Connection closed", Blame::Line, Kind::Failed, "ssh build1 true"),
            (255, "", Blame::Line, Kind::Failed, "ssh build1 true"),
            (
                255,
                "Received disconnect from ::1 port 22:2: Too many authentication failures\nDisconnected from ::1 port 22",
                Blame::Host,
                Kind::Missing,
                "`IdentitiesOnly yes`",
            ),
            (
                255,
                "scp: Received message too long 1751477356\nscp: Connection closed",
                Blame::Line,
                Kind::Failed,
                "case $- in",
            ),
        ] {
            let fault = connection(&host, &finished(code, said)).unwrap();
            assert_eq!((fault.blame, failure::kind(&fault.error)), (blame, kind), "{said}");
            let message = fault.error.to_string();
            assert!(message.contains(cure) && message.contains("build1"), "{message}");
        }
        let lost = Finished {
            command: "scp x".into(),
            ..finished(1, "Connection to ::1 closed by remote host.\nlost connection\n")
        };
        assert_eq!(connection(&host, &lost).unwrap().blame, Blame::Line);
        for words in [
            "lost connection",
            "Connection refused",
            "Host key verification failed.",
            "x: Permission denied (publickey).",
        ] {
            assert!(connection(&host, &finished(1, words)).is_none(), "{words}: a login script said so");
        }
    }

    #[test]
    fn hostile_words() {
        let host: Host = "build1".parse().unwrap();
        let examples: [&[u8]; 3] = [
            b"Host key for [10.0.0.1]:2222 has changed and you have requested strict checking.\n",
            b"Received disconnect from ::1 port 22:2: Too many authentication failures\n",
            b"This service allows sftp connections only.\n",
        ];
        crate::hostile::try_with(&examples, |bytes| {
            let mut finished = finished(255, &String::from_utf8_lossy(bytes));
            finished.stdout = bytes.to_vec();
            let faults =
                [connection(&host, &finished), Some(no_shell(&host, &finished)), Some(on_the_host(&host, &finished))];
            for fault in faults.into_iter().flatten() {
                let said = fault.error.to_string();
                assert!(!said.replace('\n', "").contains(text::is_obeyed), "{said:?}");
            }
        });
    }
}
