//! Refs of the publishing repository, read and pushed at its own address: not at a remote of the clone, which can be a fork
//! or have another login.
//!
//! Pushes start from an empty bare repository of our own inside the clone's git directory, with the clone's objects as
//! alternates: no hook, mirror, push or signing setting of the clone reaches them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use xshell::cmd;

use super::words::{all_lines, cure, first_line, judge, passes};
use super::{Git, Pushed, TagRef, tag_in};
use crate::failure;
use crate::gh::CallError;
use crate::packer::{Address, Place, Repo, place, without_password};
use crate::process::{self, Cut, Feed, Finished, Patience, Stream};

/// Where the tag and the lock live.
pub struct Publisher {
    git: Git,
    address: Address,
    repo: Repo,
    bare: OnceLock<PathBuf>,
    /// The settings of the clone were looked at: reading leads to the repository.
    leads_there: OnceLock<()>,
    /// A push was let in, if only one without an effect.
    let_in: AtomicBool,
}

/// How long git may take, and whether a signal ends it.
#[derive(Clone, Copy)]
pub struct Waits {
    pub at_most: Duration,
    pub heeds_signals: bool,
}

/// One ref's way in a push: full name, object (`None`: away), and what it must be now.
pub type Update<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// On this machine it takes a moment; after a signal as well, when the lock is renewed to put the tag back.
const HERE: Waits = Waits { at_most: Duration::from_secs(60), heeds_signals: false };

/// Long enough for a slow line to list a few refs.
const OWN: Waits = Waits { at_most: Duration::from_secs(60), heeds_signals: true };

impl Publisher {
    pub fn new(git: &Git, repo: &Repo, address: Address) -> Self {
        let (bare, leads_there, let_in) = (OnceLock::new(), OnceLock::new(), AtomicBool::new(false));
        Self { git: git.clone(), address, repo: repo.clone(), bare, leads_there, let_in }
    }

    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// The tag, and the object of another ref, from one question.
    pub fn refs(&self, waits: Waits, tag: &str, other: &str) -> Result<(Option<TagRef>, Option<String>), CallError> {
        if self.leads_there.get().is_none() {
            self.reads_there(self.git.dir())?;
            self.leads_there.get_or_init(|| ());
        }
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
        match judge(&self.run(waits, &bare, &args, None)?)? {
            // One that was let in before may be refused once by mistake.
            Pushed::Refused(said) if said.contains("Authentication failed") && self.let_in.load(Ordering::Relaxed) => {
                Err(CallError::Lost(said))
            }
            pushed => Ok(pushed),
        }
    }

    /// Whether a push would be let in, as far as that shows without one: the way leads to the repository, the login is
    /// known there, and it may write at all. What GitHub holds back for rules and scopes shows only at the real push.
    ///
    /// # Errors
    ///
    /// Exit code 3: what stands in the way; or no answer.
    pub fn may_push(&self, name: &str) -> Result<(), CallError> {
        let bare = self.bare().map_err(CallError::Local)?;
        // Settings of the person reach the pushes; those of the clone don't, and mislead whoever reads there.
        for dir in [self.git.dir(), &bare] {
            self.reads_there(dir)?;
            self.pushes_there(dir)?;
        }
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
        match judge(&self.run(OWN, &bare, &args, None)?)? {
            Pushed::Refused(said) => Err(CallError::Local(failure::missing(format!(
                "a push to {} is not let in, so nothing was sent: {said}{}",
                self.address.shown(),
                cure(&said)
            )))),
            Pushed::Moved | Pushed::Already | Pushed::Stale => {
                self.let_in.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// # Errors
    ///
    /// Exit code 3: `insteadOf` leads to another repository.
    fn reads_there(&self, dir: &Path) -> Result<(), CallError> {
        let host_of = |repo: &Repo| repo.host.to_lowercase();
        match place(&self.address.url) {
            // Another host may be a way there; on the same one it is what it says.
            Place::Repo(there) if host_of(&there) == host_of(&self.repo) && !there.is(&self.repo) => {
                return Err(CallError::Local(failure::missing(format!(
                    "--git-url (HOMESTAK_PACKER_GIT_URL) names {there}, and {} publishes; name a way to that",
                    self.repo
                ))));
            }
            _ => {}
        }
        let found = self.run(OWN, dir, &["ls-remote", "--get-url", "--", &self.address.url], None)?;
        if found.status.success() { self.is_the_same(&found.text(), "insteadOf") } else { Ok(()) }
    }

    /// git has no question for the address of a push to a URL, so the longest setting that fits is found here, as git does.
    /// <https://git-scm.com/docs/git-config#Documentation/git-config.txt-urlbasepushInsteadOf>
    ///
    /// # Errors
    ///
    /// Exit code 3: `pushInsteadOf` leads to another repository.
    fn pushes_there(&self, dir: &Path) -> Result<(), CallError> {
        let asked = ["config", "-z", "--get-regexp", r"^url\..*\.pushinsteadof$"];
        let found = self.run(OWN, dir, &asked, None)?;
        let settings = String::from_utf8_lossy(&found.stdout).into_owned();
        let fits = settings.split('\0').filter_map(|setting| {
            let (key, start) = setting.split_once('\n')?;
            let base = key.strip_prefix("url.")?.strip_suffix(".pushinsteadof")?;
            Some((start.len(), format!("{base}{}", self.address.url.strip_prefix(start)?)))
        });
        fits.max_by_key(|(length, _)| *length).map_or(Ok(()), |(_, leads)| self.is_the_same(&leads, "pushInsteadOf"))
    }

    fn is_the_same(&self, leads: &str, setting: &str) -> Result<(), CallError> {
        let url = &self.address.url;
        if leads == url {
            return Ok(());
        }
        let same = match (place(leads), place(url)) {
            (Place::Repo(there), _) => there.is(&self.repo),
            (Place::Here, Place::Here) => is_same_folder(leads, url),
            _ => false,
        };
        if same {
            return Ok(());
        }
        Err(CallError::Local(failure::missing(format!(
            "git's setting `{setting}` leads {} to {}, which is another repository than {}; take the setting away \
             (`git config --show-origin --get-regexp '^url'` shows where it stands), or name the way with --git-url",
            self.address.shown(),
            without_password(leads),
            self.repo
        ))))
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
        let finished = self.run(HERE, bare, &["hash-object", "-t", kind, "-w", "--stdin"], Some(feed))?;
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
        if passes(&finished.stderr) {
            return CallError::Lost(format!("{}: {}", self.address.shown(), first_line(&finished.stderr)));
        }
        let said = all_lines(&finished.stderr);
        CallError::Local(failure::missing(format!(
            "can't read the tags of {}: {said}{}",
            self.address.shown(),
            cure(&said)
        )))
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

fn is_same_folder(one: &str, other: &str) -> bool {
    let folder = |url: &str| fs::canonicalize(url.strip_prefix("file://").unwrap_or(url)).ok();
    folder(one).is_some_and(|found| folder(other) == Some(found))
}
