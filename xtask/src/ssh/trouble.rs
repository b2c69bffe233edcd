//! What ssh and scp say when it goes wrong, as an exit code and a cure.
//!
//! ssh ends with 255 for its own troubles, in English words that haven't changed in twenty years. scp passes both on, or ends
//! with 1 and says last that the connection is lost. At any other time such words are a login script's, or a build's, and
//! mean nothing: the scripts here never end with 255.

use super::Host;
use crate::failure::{self, failed, missing};
use crate::image::durable;
use crate::process::{Cut, Finished, Streamed};
use crate::text::{self, Quoted};

/// Whose fault it is, and so who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The line broke or stood still: the same again may work.
    Line,
    /// This host can't be used: another one may.
    Host,
    /// This image on this host: the host may have others.
    Image,
    /// This machine, or the person at it: no host can mend it.
    Here,
}

/// An error and whose fault it is.
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

/// What isn't blamed on anybody is of this machine: a file that can't be written, a tool that isn't there.
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
        Some(cut) => return Some(Fault::line(failed(format!("the connection to {host} stood still: {cut}")))),
        None => {}
    }
    if finished.status.success() {
        return None;
    }
    if finished.stderr.contains("No space left on device") && finished.stderr.contains("write local") {
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let file = finished.command.split_whitespace().last().unwrap_or_default();
        return Some(Fault::here(durable::write_error(std::path::Path::new(file), error)));
    }
    connection(host, finished)
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
    let full = if said.trim().is_empty() { String::new() } else { format!("\nssh said: {}", Quoted(said)) };
    let permanent = |message: String| Some(Fault::host(missing(message + &full)));
    if has(&["IDENTIFICATION HAS CHANGED", "host key for", "Host key for"]) && has(&["has changed"]) {
        let known = changed_key(said).unwrap_or_else(|| host.name.clone());
        return permanent(format!(
            "the host key of {host} has changed: it was installed anew, or somebody stands between; \
             if you know why, `ssh-keygen -R '{known}'`, then connect once by hand: `ssh {host}`"
        ));
    }
    if has(&["Host key verification failed"]) {
        return permanent(format!(
            "the host key of {host} is not known here; connect once by hand and compare its fingerprint: `ssh {host}`"
        ));
    }
    if has(&["Too many authentication failures"]) {
        return permanent(format!(
            "{host} refused the login after too many keys: your agent offers all that it has, one after the other; name \
             the one for this host in your ssh configuration: `Host {name}` with `IdentityFile ~/.ssh/KEY` and \
             `IdentitiesOnly yes`",
            name = host.name
        ));
    }
    if has(&["Permission denied (", "Permission denied, please try again"]) {
        return permanent(format!(
            "{host} refused the login; no password is asked for here: put your public key there (`ssh-copy-id {host}`), \
             load it (`ssh-add`), and see that `ssh -o BatchMode=yes {host} true` works"
        ));
    }
    if has(&[
        "Could not resolve hostname",
        "Bad configuration option",
        "Bad owner or permissions",
        "no argument after keyword",
    ]) {
        return permanent(format!("can't reach {host}; check the name and your ssh configuration (`ssh -G {host}`)"));
    }
    if has(&["Received message too long", "produces no output for non-interactive"]) {
        return Some(Fault::line(failed(format!(
            "the login on {host} prints something that nobody asked for, and scp can't work so; {NOISE_CURE}"
        ))));
    }
    let unreachable = [
        "Connection refused",
        "Connection timed out",
        "Operation timed out",
        "No route to host",
        "Network is unreachable",
        "Host is down",
    ];
    if has(&unreachable) {
        return Some(Fault::line(missing(format!(
            "can't reach {host}; is it switched on, and does `ssh {host} true` work?{full}"
        ))));
    }
    Some(Fault::line(failed(format!("the connection to {host} ended; see that `ssh {host} true` works{full}"))))
}

/// For a login script that prints where nobody looks.
pub const NOISE_CURE: &str = "on the host, let the login's shell be silent when no person is at it: in `~/.bashrc`, before \
                              anything that prints, `case $- in *i*) ;; *) return ;; esac`";

/// The host let the login in and ran no script for it.
pub fn no_shell(host: &Host, finished: &Finished) -> Fault {
    let said = if finished.stdout.is_empty() { finished.stderr.clone() } else { finished.text() };
    let said = said.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().chars().take(200).collect());
    let said: String = said.unwrap_or_else(|| format!("it ended with {}", finished.status));
    Fault::host(missing(format!(
        "the login on {host} runs no commands (`{}`), and a build host needs one that does: give that account a shell, or \
         name another one: `--host USER@{}`",
        text::line(&said),
        host.name
    )))
}

/// What a command on the host said when it failed: about a file there, as a rule.
pub fn on_the_host(host: &Host, finished: &Finished) -> Fault {
    let said = if finished.stderr.trim().is_empty() { finished.text() } else { finished.stderr.clone() };
    let denied = ["Permission denied", "no permission to read"].iter().any(|words| said.contains(words));
    let message = format!("{host} said: {}", Quoted(&said));
    Fault::image(match (denied, finished.status.code()) {
        (true, _) => missing(format!("{message}\n{}", readable(host))),
        (false, Some(3)) => missing(message),
        _ => failed(format!("`{}` failed ({}): {message}", finished.command, finished.status)),
    })
}

/// The cure for files that only another login may read.
pub fn readable(host: &Host) -> String {
    format!(
        "on {host}, let this login read what is built: `sudo chmod -R a+rX FOLDER`; or log in as the owner: \
         `--host OWNER@{}`",
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
