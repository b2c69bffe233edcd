//! Signatures of a set's checksums: the one place that runs `ssh-keygen`. The form is that of `ssh-keygen -Y sign -n file`; who may
//! sign stands in the file `allowed_signers` of the packer directory, as in ssh-keygen(1), ALLOWED SIGNERS. `publish` signs with
//! it, and all that reads a release verifies with it.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use xshell::cmd;

use crate::failure::{self, Advice as _};
use crate::git::Git;
use crate::process::{self, Finished, Patience, Stream};
use crate::scratch::Scratch;
use crate::text;

/// The file in the packer directory that says who may sign.
pub const ALLOWED: &str = "allowed_signers";

/// What `ssh-keygen` calls signatures of files.
const NAMESPACE: &str = "file";

/// Larger than any list of people.
const LARGEST: u64 = 1 << 20;

/// Who may sign a set, as the file said when it was read.
#[derive(Debug, Clone)]
pub struct Allowed {
    path: PathBuf,
    text: String,
}

/// A key to sign with.
#[derive(Debug, Clone)]
pub struct Signer {
    /// A path, or the public key itself, whose other half an agent has.
    key: String,
    /// `ssh-keygen`, or what git signs with in its place.
    program: String,
}

impl Allowed {
    /// `None` when there is no such file, or the file names no signer.
    ///
    /// # Errors
    ///
    /// Exit code 3: the file is there and can't be read, so whether a signature is required is unknown.
    pub fn in_dir(packer_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = packer_dir.join(ALLOWED);
        let unreadable = |why: String| {
            failure::missing(format!("reading {}, which says who may sign the images, failed: {why}", path.display()))
                .fix(format_args!("restore the file with `git checkout HEAD -- {ALLOWED}` in its folder"))
        };
        let text = match path.symlink_metadata() {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(unreadable(error.to_string())),
            Ok(_) => read_list(&path).map_err(unreadable)?,
        };
        let names_one = text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        Ok(names_one.then_some(Self { path, text }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with a set that has no signature.
    pub fn unsigned(&self) -> String {
        format!("it is not signed, but {} lists signers", self.path.display())
    }

    /// Who signed these bytes.
    ///
    /// # Errors
    ///
    /// Exit code 4: no named signer signed, or other bytes were signed. 3: no `ssh-keygen` that checks signatures.
    pub fn who_signed(&self, bytes: &[u8], signature: &[u8]) -> anyhow::Result<String> {
        let scratch = Scratch::new()?;
        // The text that was read, even if the file changed since.
        let allowed = &scratch.write(ALLOWED, self.text.as_bytes())?;
        let signature = &scratch.write("signature", signature)?;
        let sh = process::shell()?;
        let found = run(cmd!(sh, "ssh-keygen -Y find-principals -s {signature} -f {allowed}"), &[])?;
        // A key may stand there several times, and the first line alone is found.
        let mut names: Vec<String> = match found.status.success() {
            true => found.text().lines().map(str::to_owned).collect(),
            false => Vec::new(),
        };
        let others = self.names().filter(|name| !names.contains(name)).collect::<Vec<_>>();
        names.extend(others);
        let (mut first, mut all) = (None, said(&found));
        for who in &names {
            let checked =
                run(cmd!(sh, "ssh-keygen -Y verify -f {allowed} -I {who} -n {NAMESPACE} -s {signature}"), bytes)?;
            if checked.status.success() {
                return Ok(who.clone());
            }
            all = format!("{all}\n{}", said(&checked));
            first.get_or_insert((who, checked));
        }
        Err(self.refused(&found, first, &all))
    }

    /// The first name of each line.
    fn names(&self) -> impl Iterator<Item = String> {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.filter_map(|line| {
            line.split(|c: char| c == ',' || c.is_whitespace())
                .map(|name| name.trim_matches('"'))
                .find(|name| !name.is_empty())
                .map(str::to_owned)
        })
    }

    /// Why no allowed signer signed, from the output of `ssh-keygen`.
    fn refused(&self, found: &Finished, first: Option<(&String, Finished)>, all: &str) -> anyhow::Error {
        let path = self.path.display();
        let line = |words: &[&str]| all.lines().find(|line| words.iter().any(|word| line.contains(word)));
        if line(&["unknown option", "illegal option", "nsupported operation", "usage:"]).is_some() {
            return failure::missing("the ssh-keygen here can't check signatures")
                .fix("install openssh-client 8.2 or newer")
                .quote("ssh-keygen", said(found));
        }
        if let Some(why) = line(&["expired", "not yet valid", "not permitted"]) {
            let why = why.rsplit_once(&format!("{ALLOWED}:")).map_or(why, |(_, why)| why);
            let what = format!(
                "SHA256SUMS is signed by a key that {path} does not allow to sign it: line {}",
                text::line(why)
            );
            return failure::digest(what).fix("if the key may sign, change that line; else do not use the set");
        }
        if let Some(why) = line(&["armor", "parse signature"]) {
            let what = "SHA256SUMS.sig is not a signature";
            return failure::digest(what)
                .fix("do not use the set; publish it again with --resend --sign KEY")
                .quote("ssh-keygen", why);
        }
        match first.filter(|_| found.status.success()) {
            Some((who, checked)) => failure::digest(format!("SHA256SUMS is not what {who} signed"))
                .fix("do not use the set; publish it again with --resend --sign KEY")
                .quote("ssh-keygen", said(&checked)),
            None => failure::digest(format!("the signature is by a key that {path} doesn't name"))
                .fix("if you know whose key it is, add the key to that file; else do not use the set")
                .quote("ssh-keygen", said(found)),
        }
    }
}

impl Signer {
    /// The key that was named, else git's `user.signingkey` when that is an ssh key; `None` when neither is.
    pub fn choose(named: Option<&str>, git: &Git) -> anyhow::Result<Option<Self>> {
        let with = |key: String| -> anyhow::Result<Option<Self>> {
            let program = git.setting("gpg.ssh.program", true)?.unwrap_or_else(|| "ssh-keygen".to_owned());
            Ok(Some(Self { key, program }))
        };
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return with(named.to_owned());
        }
        let Some(key) = git.setting("user.signingkey", true)? else { return Ok(None) };
        if let Some(literal) = key.strip_prefix("key::") {
            return with(literal.to_owned());
        }
        let is_ssh = is_literal(&key) || git.setting("gpg.format", false)?.as_deref() == Some("ssh");
        if is_ssh { with(key) } else { Ok(None) }
    }

    /// Signs.
    ///
    /// # Errors
    ///
    /// Exit code 3: the key is not there or can't be used, with what `ssh-keygen` said.
    pub fn sign(&self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let scratch = Scratch::new()?;
        let file = &scratch.write("SHA256SUMS", bytes)?;
        let (sh, program) = (process::shell()?, &self.program);
        let signed = if is_literal(&self.key) {
            let key = &scratch.write("key.pub", format!("{}\n", self.key).as_bytes())?;
            run(cmd!(sh, "{program} -Y sign -U -n {NAMESPACE} -f {key} {file}"), &[])
        } else {
            let key = &self.key;
            run(cmd!(sh, "{program} -Y sign -n {NAMESPACE} -f {key} {file}"), &[])
        }?;
        if !signed.status.success() {
            return Err(failure::missing(format!("signing with {} failed", self.shown()))
                .fix("name another key with --sign KEY, or publish with --no-sign")
                .quote("ssh-keygen", said(&signed)));
        }
        fs::read(scratch.path().join("SHA256SUMS.sig")).context("reading the signature")
    }

    pub fn shown(&self) -> String {
        if is_literal(&self.key) {
            self.key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        } else {
            self.key.clone()
        }
    }
}

fn is_literal(key: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|kind| key.starts_with(kind)) && key.contains(' ')
}

fn said(finished: &Finished) -> String {
    let text = if finished.stderr.trim().is_empty() { finished.text() } else { finished.stderr.clone() };
    let lines: Vec<&str> =
        text.lines().map(|line| line.trim().trim_end_matches('.')).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// A passphrase is asked for on the terminal, and a key on a token waits for a touch.
const PATIENCE: Patience = Patience { stall: Duration::from_secs(120), answer: Duration::from_secs(120) };

fn run(cmd: xshell::Cmd<'_>, input: &[u8]) -> anyhow::Result<Finished> {
    let feed = Box::new(|pipe: &mut (dyn std::io::Write + Send)| Ok(pipe.write_all(input)?));
    let stream = Stream { feed: Some(feed), drain: None, patience: PATIENCE, heed_signals: true };
    let streamed = process::stream(cmd, stream)?;
    match streamed.cut {
        Some(cut) => Err(failure::failed(format!("`{}`: {cut}", streamed.finished.command))),
        None => Ok(streamed.finished),
    }
}

/// The file as text, or why not.
fn read_list(path: &Path) -> Result<String, String> {
    // Not opened before it is known to be a file: a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    let line_of = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| format!("line {} is not UTF-8 text", line_of(error.valid_up_to())))?;
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.find(odd) {
        Some(at) => Err(format!("line {} has a control character", line_of(at))),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "me@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzX0000000000000000000000000000000000000000\n";

    #[test]
    fn a_list_that_is_there_and_cannot_be_read_is_no_empty_list() {
        let scratch = Scratch::new().unwrap();
        let (dir, path) = (scratch.path(), scratch.path().join(ALLOWED));
        assert!(Allowed::in_dir(dir).unwrap().is_none() && Allowed::in_dir(&path).unwrap().is_none());
        let refused = |what: &str, says: &str| {
            let error = Allowed::in_dir(dir).unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Missing, "{what}");
            assert!(error.to_string().contains(says), "{what}: {error}");
        };
        for (text, says) in [
            (b"# caf\xe9\n".to_vec(), "line 1 is not UTF-8"),
            ([LINE.as_bytes(), b"# caf\xe9\n"].concat(), "line 2 is not UTF-8"),
            ([LINE.as_bytes(), b"\0\n"].concat(), "line 2 has a control"),
            ("#\0 \0m\0e\0".into(), "control character"),
            (vec![b'#'; LARGEST as usize + 1], "more than"),
        ] {
            fs::write(&path, &text).unwrap();
            refused(&String::from_utf8_lossy(&text[..text.len().min(30)]), says);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("a folder", "not a file");
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        refused("a link that leads nowhere", "No such file");
        std::os::unix::fs::symlink(ALLOWED, scratch.path().join("x")).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("x", &path).unwrap();
        refused("a link to itself", "symbolic links");
        fs::remove_file(&path).unwrap();
        let sh = process::shell().unwrap();
        process::read(cmd!(sh, "mkfifo {path}")).unwrap();
        refused("a pipe", "not a file");
    }

    #[test]
    fn only_a_line_that_is_no_comment_names_a_signer() {
        let scratch = Scratch::new().unwrap();
        for (text, named) in [("", false), ("# me\n \n\t# you\n", false), (LINE, true), ("\u{feff}# me\n", true)] {
            fs::write(scratch.path().join(ALLOWED), text).unwrap();
            assert_eq!(Allowed::in_dir(scratch.path()).unwrap().is_some(), named, "{text:?}");
        }
    }
}
