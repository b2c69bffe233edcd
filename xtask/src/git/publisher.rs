//! Refs of the publishing repository, read and pushed at its own address: not at a remote of the clone, which can be a fork
//! or have another login.
//!
//! Pushes start from an empty bare repository of our own inside the clone's git directory, with the clone's objects as
//! alternates: no hook, mirror, push or signing setting of the clone reaches them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use xshell::cmd;

use super::{Git, Pushed, TagRef, tag_in};
use crate::failure;
use crate::gh::CallError;
use crate::packer::Address;
use crate::process::{self, Cut, Feed, Finished, Patience, Stream};

/// Where the tag and the lock live.
pub struct Publisher {
    git: Git,
    address: Address,
    bare: OnceLock<PathBuf>,
}

/// How long git may take, and whether a signal ends it.
#[derive(Clone, Copy)]
pub struct Waits {
    pub at_most: Duration,
    pub heeds_signals: bool,
}

/// One ref's way in a push: full name, object (`None`: away), and what it must be now.
pub type Update<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Long enough for a slow line to list a few refs.
const OWN: Waits = Waits { at_most: Duration::from_secs(60), heeds_signals: true };

impl Publisher {
    pub fn new(git: &Git, address: Address) -> Self {
        Self { git: git.clone(), address, bare: OnceLock::new() }
    }

    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// The tag, and the object of another ref, from one question.
    pub fn refs(&self, waits: Waits, tag: &str, other: &str) -> Result<(Option<TagRef>, Option<String>), CallError> {
        let (full, peeled) = (format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{}}"));
        let args = ["ls-remote", "--end-of-options", &self.address.url, &full, &peeled, other];
        let finished = self.run(waits, self.git.dir(), &args, None)?;
        if !finished.status.success() {
            return Err(self.refused_to_read(&finished));
        }
        let listing = finished.text();
        let object = |line: &str| line.split_once('\t').filter(|(_, name)| *name == other).map(|(id, _)| id.to_owned());
        Ok((tag_in(&listing, tag), listing.lines().find_map(object)))
    }

    /// Moves refs, all or none, each only from where it is expected.
    ///
    /// # Errors
    ///
    /// No answer. A refusal is no error.
    pub fn push(&self, waits: Waits, updates: &[Update<'_>]) -> Result<Pushed, CallError> {
        let bare = self.bare().map_err(CallError::Local)?;
        let mut args: Vec<String> =
            ["push", "--porcelain", "--atomic", "--no-verify", "--no-follow-tags", "--no-signed"]
                .map(str::to_owned)
                .to_vec();
        for (name, _, expected) in updates {
            args.push(format!("--force-with-lease={name}:{}", expected.unwrap_or_default()));
        }
        args.extend(["--".to_owned(), self.address.url.clone()]);
        args.extend(updates.iter().map(|(name, object, _)| format!("{}:{name}", object.unwrap_or_default())));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let finished = self.run(waits, &bare, &args, None)?;
        judge(&finished)
    }

    /// Whether a push would be let in, as far as that shows without one: the login, and its right to write at all.
    ///
    /// # Errors
    ///
    /// No answer.
    pub fn may_push(&self, name: &str) -> Result<Pushed, CallError> {
        let bare = self.bare().map_err(CallError::Local)?;
        let id = self.commit("{}").map_err(CallError::Local)?;
        let refspec = format!("{id}:{name}");
        let args = [
            "push",
            "--dry-run",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--force",
            "--",
            &self.address.url,
            &refspec,
        ];
        judge(&self.run(OWN, &bare, &args, None)?)
    }

    /// A parentless commit on the empty tree with this message; it says nothing of who makes it.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        let bare = self.bare()?;
        let tree = self.hash(&bare, "tree", "")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let who = format!("packer <packer@localhost> {now} +0000");
        self.hash(&bare, "commit", &format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n"))
    }

    fn hash(&self, bare: &Path, kind: &str, content: &str) -> anyhow::Result<String> {
        let feed: Feed<'_> = Box::new(|pipe| Ok(pipe.write_all(content.as_bytes())?));
        let finished = self.run(OWN, bare, &["hash-object", "-t", kind, "-w", "--stdin"], Some(feed))?;
        Ok(finished.success()?.text())
    }

    /// The message of a commit that a ref there points to; `None` when it is no commit, or another by now.
    pub fn message(&self, waits: Waits, name: &str, id: &str) -> Result<Option<String>, CallError> {
        let bare = self.bare().map_err(CallError::Local)?;
        let args =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", &self.address.url, name];
        let fetched = self.run(waits, &bare, &args, None)?;
        if !fetched.status.success() {
            return Ok(None);
        }
        let text = self.run(waits, &bare, &["cat-file", "commit", id], None)?;
        let text = Some(text).filter(|text| text.status.success()).map(|text| text.text());
        Ok(text.and_then(|text| text.split_once("\n\n").map(|(_, message)| message.to_owned())))
    }

    fn refused_to_read(&self, finished: &Finished) -> CallError {
        let said = first_line(&finished.stderr);
        if passes(&finished.stderr) {
            return CallError::Lost(said);
        }
        CallError::Local(failure::missing(format!("can't read the tags of {} ({said})", self.address.shown())))
    }

    /// Made when it is first needed.
    fn bare(&self) -> anyhow::Result<PathBuf> {
        if let Some(bare) = self.bare.get() {
            return Ok(bare.clone());
        }
        let common = self.git.common_dir()?;
        let bare = common.join("packer").join("publish.git");
        if !bare.join("HEAD").is_file() {
            let parent = bare.parent().unwrap_or(&common);
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            let sh = process::shell()?;
            process::read(cmd!(sh, "git init --quiet --bare --template= -- {bare}"))?;
        }
        let info = bare.join("objects").join("info");
        let alternates = format!("{}\n", common.join("objects").display());
        fs::create_dir_all(&info)
            .and_then(|()| fs::write(info.join("alternates"), alternates))
            .with_context(|| format!("writing {}", info.join("alternates").display()))?;
        // Where the clone's history ends early, ours does as well.
        match fs::read(common.join("shallow")) {
            Ok(shallow) => fs::write(bare.join("shallow"), shallow).context("writing the shallow list")?,
            Err(_) => drop(fs::remove_file(bare.join("shallow"))),
        }
        Ok(self.bare.get_or_init(|| bare).clone())
    }

    /// With gh as the only helper for a login, no prompt, no hook, and an end to silence.
    fn run(&self, waits: Waits, dir: &Path, args: &[&str], feed: Option<Feed<'_>>) -> Result<Finished, CallError> {
        let sh = process::shell().map_err(CallError::Local)?;
        let login: &[String] = &self.address.login();
        let cmd = cmd!(sh, "git -C {dir} -c core.hooksPath=/dev/null -c core.askPass= {login...} {args...}")
            .env("GIT_TERMINAL_PROMPT", "0");
        let patience = Patience { stall: waits.at_most, answer: waits.at_most };
        let streamed = process::stream(cmd, Stream { feed, drain: None, patience, heed_signals: waits.heeds_signals })
            .map_err(CallError::Local)?;
        match streamed.cut {
            Some(Cut::Interrupted) => Err(CallError::Interrupted),
            Some(cut) => Err(CallError::Lost(format!("git: {cut}"))),
            None => Ok(streamed.finished),
        }
    }
}

/// What a push came to: the porcelain lines say it a ref, standard error what the other side said.
fn judge(finished: &Finished) -> Result<Pushed, CallError> {
    if finished.status.success() {
        return Ok(Pushed::Moved);
    }
    let text = finished.text();
    let rejected: Vec<&str> = text.lines().filter(|line| line.starts_with('!')).collect();
    // "cannot lock ref" is a rival that moved it while this push was under way.
    const STALE: [&str; 5] =
        ["stale info", "cannot lock ref", "fetch first", "reference already exists", "failed to update ref"];
    if rejected.iter().any(|line| STALE.iter().any(|word| line.contains(word))) {
        return Ok(Pushed::Stale);
    }
    let reasons = rejected.iter().filter(|line| !line.contains("atomic")).filter_map(|line| line.split('\t').nth(2));
    let remote = finished.stderr.lines().filter_map(|line| line.strip_prefix("remote:"));
    let said = on_one_line(reasons.chain(remote));
    if !said.is_empty() {
        return Ok(Pushed::Refused(said));
    }
    let said = on_one_line(finished.stderr.lines());
    if passes(&finished.stderr) || said.is_empty() {
        return Err(CallError::Lost(first_line(&finished.stderr)));
    }
    Ok(Pushed::Refused(said))
}

/// On one line, without what is none.
fn on_one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
    lines.map(plain).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Words of a connection that didn't hold, which another try can mend.
fn passes(stderr: &str) -> bool {
    const WORDS: [&str; 10] = [
        "Could not resolve",
        "timed out",
        "Connection re",
        "Failed to connect",
        "hung up",
        "early EOF",
        "RPC failed",
        "Temporary failure",
        "returned error: 5",
        "returned error: 429",
    ];
    WORDS.iter().any(|word| stderr.contains(word))
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no answer");
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            command: "git push".to_owned(),
            status: std::process::ExitStatus::from_raw(code << 8),
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn what_a_push_came_to_is_told_apart() {
        let stale = "To x\n!\ta:refs/packer/lock\t[rejected] (stale info)\n!\tb:refs/tags/latest\t[rejected] (atomic push failed)\nDone";
        let declined = "To x\n!\ta:refs/packer/lock\t[remote rejected] (pre-receive hook declined)";
        for (code, stdout, stderr, expected) in [
            (0, "To x\n*\ta:refs/packer/lock\t[new reference]\nDone", "", Some(Pushed::Moved)),
            (1, stale, "", Some(Pushed::Stale)),
            (1, "!\ta:refs/packer/lock\t[remote rejected] (cannot lock ref 'x')", "", Some(Pushed::Stale)),
            (
                1,
                declined,
                "remote: not here\nerror: failed to push some refs",
                Some(Pushed::Refused("[remote rejected] (pre-receive hook declined); not here".to_owned())),
            ),
            (
                128,
                "",
                "fatal: unable to access 'x': The requested URL returned error: 403",
                Some(Pushed::Refused("fatal: unable to access 'x': The requested URL returned error: 403".to_owned())),
            ),
            (128, "", "fatal: Could not resolve host: x", None),
            (128, "", "", None),
            (1, "!\ta:refs/packer/lock\t", "", None),
            (1, "!\ta:refs/packer/lock\t\u{1b}", "fatal: no", Some(Pushed::Refused("fatal: no".to_owned()))),
        ] {
            assert_eq!(judge(&ended(code, stdout, stderr)).ok(), expected, "{stdout} {stderr}");
        }
    }

    #[test]
    fn hostile_porcelain() {
        let stale: &[u8] = b"To x\n!\ta:refs/packer/lock\t[rejected] (stale info)\n!\tb:refs/tags/latest\t[rejected] (atomic push failed)\nDone";
        let declined: &[u8] =
            b"remote: not here\x1b[2J\nerror: failed to push some refs\n!\ta:b\t[remote rejected] (hook declined)";
        crate::hostile::try_with(&[stale, declined], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for (stdout, stderr) in [(text.as_ref(), ""), ("", text.as_ref()), (text.as_ref(), text.as_ref())] {
                match judge(&ended(1, stdout, stderr)) {
                    Ok(Pushed::Refused(said)) => assert!(!said.is_empty() && !said.contains(char::is_control)),
                    Ok(pushed) => assert_eq!(pushed, Pushed::Stale, "it failed"),
                    Err(error) => assert!(!error.to_string().contains(char::is_control)),
                }
            }
            super::super::tag_in(&text, "latest");
        });
    }
}
