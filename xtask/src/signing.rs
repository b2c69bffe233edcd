//! Signatures of a set's checksums: the one place that says `ssh-keygen`.
//!
//! The form is that of `ssh-keygen -Y sign -n file`, and who may sign stands in the file `allowed_signers` of the packer
//! directory, in the form of ssh-keygen(1), ALLOWED SIGNERS.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use xshell::cmd;

use crate::failure;
use crate::git::Git;
use crate::process::{self, Finished, Patience, Stream};

/// The file in the packer directory that says who may sign.
pub const ALLOWED: &str = "allowed_signers";

/// What `ssh-keygen` calls signatures of files.
const NAMESPACE: &str = "file";

/// Who may sign a set.
#[derive(Debug, Clone)]
pub struct Allowed(PathBuf);

/// A key to sign with.
#[derive(Debug, Clone)]
pub struct Signer {
    /// A path, or the public key itself, whose other half an agent has.
    key: String,
}

impl Allowed {
    /// `None` when no file says who may sign.
    pub fn in_dir(packer_dir: &Path) -> Option<Self> {
        let path = packer_dir.join(ALLOWED);
        let text = fs::read_to_string(&path).ok()?;
        let names_one = text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        names_one.then_some(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Who signed these bytes.
    ///
    /// # Errors
    ///
    /// Exit code 4: nobody who may, or not these bytes. 3: no `ssh-keygen`.
    pub fn who_signed(&self, bytes: &[u8], signature: &[u8]) -> anyhow::Result<String> {
        let (scratch, allowed) = (Scratch::new()?, &self.0);
        let signature = &scratch.write("signature", signature)?;
        let sh = process::shell()?;
        let found = run(cmd!(sh, "ssh-keygen -Y find-principals -s {signature} -f {allowed}"), &[])?;
        let who = found.text().lines().next().unwrap_or_default().to_owned();
        if !found.status.success() || who.is_empty() {
            return Err(failure::digest(format!(
                "the signature is by a key that {} doesn't name; use the set only if you know whose key it is, and add it there: {}",
                allowed.display(),
                said(&found)
            )));
        }
        let checked = run(cmd!(sh, "ssh-keygen -Y verify -f {allowed} -I {who} -n {NAMESPACE} -s {signature}"), bytes)?;
        if !checked.status.success() {
            return Err(failure::digest(format!(
                "SHA256SUMS is not what {who} signed, so don't use the set; publish it once more with --sign: {}",
                said(&checked)
            )));
        }
        Ok(who)
    }
}

impl Signer {
    /// The key that was named, else git's `user.signingkey` when that is an ssh key; `None` when neither is.
    pub fn choose(named: Option<&str>, git: &Git) -> anyhow::Result<Option<Self>> {
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return Ok(Some(Self { key: named.to_owned() }));
        }
        let Some(key) = git.setting("user.signingkey", true)? else { return Ok(None) };
        if let Some(literal) = key.strip_prefix("key::") {
            return Ok(Some(Self { key: literal.to_owned() }));
        }
        let is_ssh = is_literal(&key) || git.setting("gpg.format", false)?.as_deref() == Some("ssh");
        Ok(is_ssh.then_some(Self { key }))
    }

    /// Signs.
    ///
    /// # Errors
    ///
    /// Exit code 3: the key is not there or can't be used, with what `ssh-keygen` said.
    pub fn sign(&self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let scratch = Scratch::new()?;
        let file = &scratch.write("SHA256SUMS", bytes)?;
        let sh = process::shell()?;
        let signed = if is_literal(&self.key) {
            let key = &scratch.write("key.pub", format!("{}\n", self.key).as_bytes())?;
            run(cmd!(sh, "ssh-keygen -Y sign -U -n {NAMESPACE} -f {key} {file}"), &[])
        } else {
            let key = &self.key;
            run(cmd!(sh, "ssh-keygen -Y sign -n {NAMESPACE} -f {key} {file}"), &[])
        }?;
        if !signed.status.success() {
            return Err(failure::missing(format!(
                "signing with {} failed: {}; name a key that can be used with --sign KEY, or publish with --no-sign",
                self.shown(),
                said(&signed)
            )));
        }
        fs::read(scratch.0.join("SHA256SUMS.sig")).context("reading the signature")
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
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
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

/// A folder for files that `ssh-keygen` reads; nobody else can, and it goes at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("packer-sign-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::DirBuilder::new().mode(0o700).create(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self(dir))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = fs::File::create(&path).with_context(|| format!("making {}", path.display()))?;
        file.write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
