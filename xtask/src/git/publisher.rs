//! Refs of the publishing repository, read and pushed at its own address: not at a remote of the clone, which can be a fork
//! or have another login.
//!
//! Pushes start from an empty bare repository of our own inside the clone's git directory, with the clone's objects as
//! alternates; only the settings for the [connection](super::transport) reach it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xshell::cmd;

use super::objects::{remote_refs, remote_tags, tag_patterns};
use super::place::{Place, place};
use super::transport::{self, Settings};
use super::words::{all_lines, first_line, judge};
use super::{Git, Pushed, TagRef, not_writable, object_format};
use crate::failure::{self, Advice as _};
use crate::process::{self, Cut, Feed, Finished, Patience, Stream};
use crate::refusal::call::CallError;
use crate::refusal::{Reason, Refusal, passes};
use crate::repo::{Address, Repo};
use crate::text::without_logins;

/// Where the tag and the lock live.
pub struct Publisher {
    git: Git,
    address: Address,
    repo: Repo,
    /// How long git may make no progress.
    stall: Duration,
    bare: OnceLock<PathBuf>,
    /// All of the clone's, and those for the connection.
    settings: OnceLock<(Settings, Settings)>,
    /// A push was let in, if only one without an effect.
    let_in: AtomicBool,
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Given up after so long without an answer, if that is shorter than what the person allows.
    pub at_most: Option<Duration>,
    /// Ended when a signal arrives.
    pub heeds_signals: bool,
}

/// One ref in a push: full name, new object (`None`: delete it), and what it must be now.
pub type Update<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// On this machine it takes a moment; after a signal as well, when the lock is renewed to put the tag back.
const HERE: How = How { at_most: Some(Duration::from_secs(60)), heeds_signals: false };

/// Where no repository is: reading needs none, and so nothing is written for it.
const NOWHERE: &str = "/dev/null";

impl Publisher {
    pub fn new(git: &Git, repo: &Repo, address: Address, stall: Duration) -> Self {
        let (bare, settings, let_in) = (OnceLock::new(), OnceLock::new(), AtomicBool::new(false));
        Self { git: git.clone(), address, repo: repo.clone(), stall, bare, settings, let_in }
    }

    fn own(&self) -> How {
        How { at_most: None, heeds_signals: true }
    }

    /// The settings for the connection, read once. Checks that reading leads to the repository.
    fn settings(&self) -> Result<&(Settings, Settings), CallError> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let all = transport::all(&self.git).map_err(CallError::Local)?;
        self.check_target(&all, "insteadOf")?;
        let connection = transport::for_connection(&all, &self.address, &self.repo);
        Ok(self.settings.get_or_init(|| (all, connection)))
    }

    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// The clone's own git directory.
    pub fn git_dir(&self) -> anyhow::Result<PathBuf> {
        self.git.common_dir()
    }

    /// Refs below these, which keep them from being made.
    pub fn in_the_way(&self, refs: &[&str]) -> Result<Vec<String>, CallError> {
        let below: Vec<String> = refs.iter().map(|name| format!("{name}/*")).collect();
        let listing = self.list(self.own(), &below)?;
        let names = remote_refs(&listing).map(|(_, name)| name).filter(|name| !name.ends_with("^{}"));
        let is_below = |name: &&str| below.iter().any(|below| name.starts_with(below.trim_end_matches('*')));
        Ok(names.filter(is_below).map(str::to_owned).collect())
    }

    /// Tags, by patterns of git's, and the object of another ref, from one question.
    pub fn refs(
        &self,
        how: How,
        tags: &[&str],
        other: &str,
    ) -> Result<(BTreeMap<String, TagRef>, Option<String>), CallError> {
        let patterns = [tag_patterns(tags), vec![other.to_owned()]].concat();
        let listing = self.list(how, &patterns)?;
        let object = remote_refs(&listing).find(|(_, name)| *name == other).map(|(id, _)| id.to_owned());
        Ok((remote_tags(&listing), object))
    }

    /// What `git ls-remote` prints.
    fn list(&self, how: How, patterns: &[String]) -> Result<String, CallError> {
        let mut args = vec!["ls-remote", "--end-of-options", &self.address.url];
        args.extend(patterns.iter().map(String::as_str));
        let finished = self.run(how, Path::new(NOWHERE), &args, None)?;
        if finished.status.success() { Ok(finished.text()) } else { Err(self.refused_to_read(&finished)) }
    }

    /// Has an object where pushes start from, fetched from the repository where it isn't here.
    pub fn bring(&self, id: &str) -> anyhow::Result<bool> {
        let bare = self.bare()?;
        let is_here = || self.run(HERE, &bare, &["cat-file", "-e", id], None).is_ok_and(|it| it.status.success());
        // By its id, where the server allows it; else the tags of the repository lead to all released commits.
        for refspec in [id, "+refs/tags/*:refs/fetched/*"] {
            if is_here() {
                return Ok(true);
            }
            let args = ["fetch", "--quiet", "--no-tags", "--end-of-options", &self.address.url, refspec];
            let _ = self.run(self.own(), &bare, &args, None)?;
        }
        Ok(is_here())
    }

    /// Moves refs, all or none, each only from where it is expected.
    ///
    /// # Errors
    ///
    /// No answer. A refusal is no error.
    pub fn push(&self, how: How, updates: &[Update<'_>]) -> Result<Pushed, CallError> {
        let bare = self.bare().map_err(CallError::Local)?;
        let mut args: Vec<String> = PUSH.iter().chain(&["--atomic"]).map(|word| (*word).to_owned()).collect();
        for (name, _, expected) in updates {
            args.push(format!("--force-with-lease={name}:{}", expected.unwrap_or_default()));
        }
        args.extend(["--".to_owned(), self.address.url.clone()]);
        args.extend(updates.iter().map(|(name, object, _)| format!("{}:{name}", object.unwrap_or_default())));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match judge(&self.run(how, &bare, &args, None)?)? {
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
        self.check_target(&self.settings()?.0, "pushInsteadOf")?;
        let id = self.commit("{}").map_err(CallError::Local)?;
        let refspec = format!("{id}:{name}");
        let args = [PUSH, &["--dry-run", "--force", "--", &self.address.url, &refspec]].concat();
        match judge(&self.run(self.own(), &bare, &args, None)?)? {
            Pushed::Refused(said) => {
                let fix = Refusal::of(&said).fix(!self.address.is_given());
                let error =
                    failure::missing(format!("{} refuses the push, so nothing was sent: {said}", self.address.shown()));
                Err(CallError::Local(error.fix(fix)))
            }
            Pushed::Moved | Pushed::Already | Pushed::Stale => {
                self.let_in.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// # Errors
    ///
    /// Exit code 3: the address, or a setting for it, leads to another repository.
    fn check_target(&self, all: &Settings, setting: &str) -> Result<(), CallError> {
        let host_of = |repo: &Repo| repo.host.to_lowercase();
        match place(&self.address.url) {
            // A URL of another host may lead to the repository; a URL of the same host must name it.
            Place::Repo(there) if host_of(&there) == host_of(&self.repo) && !there.is(&self.repo) => {
                let error = failure::missing(format!(
                    "--git-url (HOMESTAK_PACKER_GIT_URL) is a URL of {there}, not of {}",
                    self.repo
                ));
                return Err(CallError::Local(
                    error.fix(format!("give a URL of {}, or leave --git-url out", self.repo)),
                ));
            }
            _ => {}
        }
        transport::redirected(all, &self.address.url, setting).map_or(Ok(()), |url| self.is_the_same(&url, setting))
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
        let error = failure::missing(format!(
            "git's setting `{setting}` redirects {} to {}, which is not {}",
            self.address.shown(),
            without_logins(leads),
            self.repo
        ));
        Err(CallError::Local(error.fix(
            "remove the setting (`git config --show-origin --get-regexp '^url'` shows its file), or name the URL with --git-url",
        )))
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
        if Refusal::of(&finished.stderr).reason == Reason::NotWritable {
            return Err(not_writable(bare, all_lines(&finished.stderr)));
        }
        Ok(finished.success()?.text())
    }

    /// The message of a commit that a ref there points to; `None` when it is no commit, or another by now.
    pub fn message(&self, how: How, name: &str, id: &str) -> Result<Option<String>, CallError> {
        // Who may only read the clone sees no more of the lock than that it is there.
        let Ok(bare) = self.bare() else { return Ok(None) };
        let args =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", &self.address.url, name];
        let fetched = self.run(how, &bare, &args, None)?;
        if !fetched.status.success() {
            return Ok(None);
        }
        let text = self.run(how, &bare, &["cat-file", "commit", id], None)?;
        let text = Some(text).filter(|text| text.status.success()).map(|text| text.text());
        Ok(text.and_then(|text| text.split_once("\n\n").map(|(_, message)| message.to_owned())))
    }

    fn refused_to_read(&self, finished: &Finished) -> CallError {
        if passes(&finished.stderr) {
            return CallError::Lost(format!("{}: {}", self.address.shown(), first_line(&finished.stderr)));
        }
        let said = all_lines(&finished.stderr);
        let fix = Refusal::of(&said).fix(!self.address.is_given());
        CallError::Local(failure::missing(format!("reading the tags of {}: {said}", self.address.shown())).fix(fix))
    }

    /// Created when it is first needed, and again when its object format isn't the clone's.
    fn bare(&self) -> anyhow::Result<PathBuf> {
        if let Some(bare) = self.bare.get() {
            return Ok(bare.clone());
        }
        let common = self.git.common_dir()?;
        let (folder, bare) = (common.join("packer"), common.join("packer/publish.git"));
        let format = self.git.object_format()?;
        if bare.exists() && object_format(&bare)?.as_ref() != Some(&format) {
            fs::remove_dir_all(&bare).map_err(|error| not_writable(&bare, error))?;
        }
        fs::create_dir_all(&folder).map_err(|error| not_writable(&folder, error))?;
        if !bare.exists() {
            let sh = process::shell()?;
            let init = cmd!(sh, "git init --quiet --bare --template= --object-format={format} -- {bare}");
            let made = process::output(init.env("GIT_CONFIG_GLOBAL", NOWHERE).env("GIT_DEFAULT_REF_FORMAT", "files"))?;
            if !made.status.success() {
                return Err(not_writable(&bare, all_lines(&made.stderr)));
            }
        }
        self.lend_objects(&common, &bare).map_err(|error| not_writable(&bare, error))?;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file()) {
            let opened = fs::OpenOptions::new().append(true).open(entry.path());
            opened.map_err(|error| not_writable(&entry.path(), error))?;
        }
        Ok(self.bare.get_or_init(|| bare).clone())
    }

    /// The clone's objects are ours as well, and where its history ends early, ours does.
    fn lend_objects(&self, common: &Path, bare: &Path) -> std::io::Result<()> {
        let info = bare.join("objects/info");
        fs::create_dir_all(&info)?;
        fs::write(info.join("alternates"), format!("{}\n", common.join("objects").display()))?;
        let ours = bare.join("shallow");
        match fs::read(common.join("shallow")) {
            Ok(shallow) => fs::write(ours, shallow),
            Err(_) if ours.exists() => fs::remove_file(ours),
            Err(_) => Ok(()),
        }
    }

    /// With gh as the only helper for a login, no prompt, no hook, and an end to silence.
    fn run(&self, how: How, dir: &Path, args: &[&str], feed: Option<Feed<'_>>) -> Result<Finished, CallError> {
        let sh = process::shell().map_err(CallError::Local)?;
        let (all, connection) = self.settings()?;
        let mut cmd = cmd!(sh, "git --git-dir={dir} {args...}")
            .env("GIT_CONFIG_PARAMETERS", transport::parameters(connection))
            .env_remove("GIT_CONFIG_COUNT")
            .env("GIT_TERMINAL_PROMPT", "0");
        if !self.address.is_given() {
            cmd = cmd.env("GIT_ASKPASS", "");
        }
        // A server that is a folder here trusts whom the person trusts, and reads that from these files alone.
        let trusts = all.iter().any(|(key, _)| key == "safe.directory") && place(&self.address.url) == Place::Here;
        if !trusts {
            cmd = cmd.env("GIT_CONFIG_GLOBAL", NOWHERE).env("GIT_CONFIG_NOSYSTEM", "1");
        }
        let at_most = how.at_most.unwrap_or(self.stall).min(self.stall);
        let patience = Patience { stall: at_most, answer: at_most };
        let streamed = process::stream(cmd, Stream { feed, drain: None, patience, heed_signals: how.heeds_signals })
            .map_err(CallError::Local)?;
        match streamed.cut {
            Some(Cut::Interrupted) => Err(CallError::Interrupted),
            Some(cut) => Err(CallError::Lost(format!("git: {cut}"))),
            None => Ok(streamed.finished),
        }
    }
}

/// Options of every push; they override the settings.
const PUSH: &[&str] = &[
    "push",
    "--porcelain",
    "--no-verify",
    "--no-follow-tags",
    "--no-signed",
    "--no-recurse-submodules",
    "--no-force-if-includes",
];

fn is_same_folder(one: &str, other: &str) -> bool {
    let folder = |url: &str| fs::canonicalize(url.strip_prefix("file://").unwrap_or(url)).ok();
    folder(one).is_some_and(|found| folder(other) == Some(found))
}
