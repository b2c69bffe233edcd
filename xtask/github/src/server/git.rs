//! The one place that starts `git`: what tags, branches and commits a repository's bare directory has right now.
//!
//! Clients push to that directory themselves, so each look reads the files of its refs again. Git itself is asked only when they
//! differ: a process for each request would cost more than all the rest of the stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::rules::{self, Refusal, Tag, Target};

/// A bare git directory.
#[derive(Clone, Copy)]
pub(crate) struct Git<'a>(pub &'a Path);

/// The refs of a repository at one moment, by their short names.
#[derive(Debug, Default)]
pub(crate) struct Refs {
    pub tags: BTreeMap<String, Tag>,
    pub branches: BTreeMap<String, Target>,
    /// The branch that `HEAD` names; none while it has no commit.
    pub default_branch: Option<String>,
    pub files: RefFiles,
}

/// The files that refs were read from.
pub(crate) type RefFiles = BTreeMap<PathBuf, Vec<u8>>;

/// What the rules ask of git, with the branches as of the last look.
pub(crate) struct Asked<'a> {
    pub git: Git<'a>,
    pub branches: &'a BTreeMap<String, Target>,
    /// The commit of the default branch.
    pub head: Option<&'a str>,
    /// What a request is told that brings in other workflows than that commit has; none where it may.
    pub workflows: Option<Refusal>,
}

impl rules::Git for Asked<'_> {
    fn is_tag_name(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.git.is_tag_name(name)?)
    }

    fn target(&self, name: &str) -> Result<Option<Target>, Refusal> {
        let branch = self.branches.get(name).or_else(|| self.branches.get(name.strip_prefix("heads/")?));
        if branch.is_some() {
            return Ok(branch.cloned());
        }
        let Some(commit) = self.git.commit_id(name)? else {
            return Ok(None);
        };
        let date = self.git.commit(&commit)?.committer.date;
        Ok(Some(Target { commit, date }))
    }

    fn create_tag(&mut self, name: &str, commit: &str) -> Result<(), Refusal> {
        Ok(self.git.create_tag(name, commit)?)
    }

    fn allow(&self, commit: &str) -> Result<(), Refusal> {
        match (&self.workflows, self.head) {
            (Some(refusal), Some(head)) if self.git.brings_workflows(head, commit)? => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}

/// A person and a date as git writes them.
pub(crate) struct Signature {
    pub name: String,
    pub email: String,
    pub date: SystemTime,
}

pub(crate) struct Commit {
    pub sha: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub author: Signature,
    pub committer: Signature,
    pub message: String,
}

pub(crate) struct TagObject {
    pub tag: String,
    pub object: String,
    pub kind: String,
    pub tagger: Option<Signature>,
    pub message: String,
}

impl Git<'_> {
    /// Every branch and tag; none when no file of a ref has changed since they were read from those that are `known`.
    pub fn look(self, known: &RefFiles) -> Result<Option<Refs>> {
        // Read before git is asked: a push that comes between the two shows in the next look.
        let files = self.ref_files().with_context(|| format!("reading the refs in {}", self.0.display()))?;
        if files == *known {
            return Ok(None);
        }
        // `creatordate` would be a tag object's own date: the dates asked for are those of commits.
        let fields = "--format=%(refname)%00%(HEAD)%00%(objectname)%00%(committerdate:unix)%00\
                      %(*objectname)%00%(*committerdate:unix)";
        let text = self.text(&["for-each-ref", fields, "refs/heads", "refs/tags"])?;
        let mut refs = Refs { files, ..Refs::default() };
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\0').collect();
            let [name, head, object, date, peeled, peeled_date] = fields[..] else {
                bail!("reading the refs in {}: not understood: {line}", self.0.display());
            };
            let (commit, date) = if peeled.is_empty() { (object, date) } else { (peeled, peeled_date) };
            let (commit, date) = (commit.to_owned(), unix(date));
            if let Some(tag) = name.strip_prefix("refs/tags/") {
                refs.tags.insert(tag.to_owned(), Tag { object: object.to_owned(), commit, date });
            } else if let Some(branch) = name.strip_prefix("refs/heads/") {
                if head == "*" {
                    refs.default_branch = Some(branch.to_owned());
                }
                refs.branches.insert(branch.to_owned(), Target { commit, date });
            }
        }
        Ok(Some(refs))
    }

    /// `HEAD`, the packed refs, and each branch and tag that isn't packed.
    fn ref_files(self) -> io::Result<RefFiles> {
        let mut files = BTreeMap::new();
        let mut left = ["HEAD", "packed-refs", "refs/heads", "refs/tags"].map(|name| self.0.join(name)).to_vec();
        while let Some(path) = left.pop() {
            let read = if path.is_dir() {
                fs::read_dir(&path).and_then(|entries| {
                    left.extend(entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?);
                    Ok(())
                })
            } else {
                fs::read(&path).map(|bytes| drop(files.insert(path, bytes)))
            };
            // A ref may go, or be packed, while its folder is read.
            match read {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(files)
    }

    /// The commit with this id, which may be shortened.
    pub fn commit_id(self, id: &str) -> Result<Option<String>> {
        if id.len() < 4 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let output = self.run(&["rev-parse", "--verify", "--quiet", &format!("{id}^{{commit}}")])?;
        let known = output.status.success();
        Ok(known.then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    pub fn commit(self, sha: &str) -> Result<Commit> {
        let text = self.text(&["cat-file", "commit", sha])?;
        let (headers, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let all = |name: &str| -> Vec<&str> {
            let lines = headers.lines();
            lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect()
        };
        let signed = |name: &str| all(name).first().and_then(|line| signature(line));
        Ok(Commit {
            sha: sha.to_owned(),
            tree: all("tree").concat(),
            parents: all("parent").into_iter().map(str::to_owned).collect(),
            author: signed("author").context("a commit without an author")?,
            committer: signed("committer").context("a commit without a committer")?,
            message: message.trim_end().to_owned(),
        })
    }

    /// An annotated tag by its own id, or none when the id is of something else.
    pub fn tag_object(self, sha: &str) -> Result<Option<TagObject>> {
        if sha.len() != 40 || !sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let output = self.run(&["cat-file", "tag", sha])?;
        if !output.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (headers, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let header = |name: &str| headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(Some(TagObject {
            tag: header("tag").unwrap_or_default().to_owned(),
            object: header("object").unwrap_or_default().to_owned(),
            kind: header("type").unwrap_or_default().to_owned(),
            tagger: header("tagger").and_then(signature),
            message: message.trim_end().to_owned(),
        }))
    }

    /// Every ref that begins with `prefix`, such as `refs/tags/v1`: name, object, type of the object.
    pub fn refs(self, prefix: &str) -> Result<Vec<(String, String, String)>> {
        let fields = "--format=%(refname)%00%(objectname)%00%(objecttype)";
        let text = self.text(&["for-each-ref", fields])?;
        let each = text.lines().filter_map(|line| {
            let mut fields = line.split('\0').map(str::to_owned);
            Some((fields.next()?, fields.next()?, fields.next()?))
        });
        Ok(each.filter(|(name, ..)| name.starts_with(prefix)).collect())
    }

    /// Sets a variable of its configuration.
    pub fn set(self, name: &str, value: &str) -> Result<()> {
        self.text(&["config", name, value]).map(drop)
    }

    pub fn unset(self, name: &str) -> Result<()> {
        self.text(&["config", "--unset", name]).map(drop)
    }

    /// Creates a lightweight tag, unless it came to be meanwhile.
    pub fn create_tag(self, name: &str, commit: &str) -> Result<()> {
        self.set_ref(&format!("refs/tags/{name}"), commit, Some(&"0".repeat(40)))
    }

    /// Points a ref, by its full name, to an object, if it still points to `old`.
    pub fn set_ref(self, name: &str, object: &str, old: Option<&str>) -> Result<()> {
        let mut arguments = vec!["update-ref", name, object];
        arguments.extend(old);
        self.text(&arguments).map(drop)
    }

    /// Points refs to objects, all or none: each a full name, the new object and the old one, which is looked at where it isn't empty.
    /// Zeros stand for no ref. Returns why not.
    pub fn set_refs(self, updates: &[[String; 3]]) -> Result<Option<String>> {
        let mut input = String::new();
        for [name, new, old] in updates {
            let quoted = if old.is_empty() { String::new() } else { format!(" {old}") };
            input += &format!("update {name} {new}{quoted}\n");
        }
        let done = self.run_with(&["update-ref", "--stdin"], input.as_bytes())?;
        Ok((!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).trim().to_owned()))
    }

    /// Deletes a ref, if it still points to `old`.
    pub fn delete_ref(self, name: &str, old: &str) -> Result<()> {
        self.text(&["update-ref", "-d", name, old]).map(drop)
    }

    /// `commit`, `tag`, `tree` or `blob`; none without such an object.
    pub fn kind(self, id: &str) -> Result<Option<String>> {
        let output = self.run(&["cat-file", "-t", id])?;
        let known = output.status.success();
        Ok(known.then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    /// Whether the commit of `new` has that of `old` among its ancestors.
    pub fn is_forward(self, old: &str, new: &str) -> Result<bool> {
        Ok(self.run(&["merge-base", "--is-ancestor", old, new])?.status.success())
    }

    /// Whether a commit has a workflow that another hasn't, or has otherwise.
    pub fn brings_workflows(self, than: &str, commit: &str) -> Result<bool> {
        let folder = ".github/workflows";
        let changed = ["diff-tree", "-r", "--no-renames", "--diff-filter=d", "--name-only", than, commit, "--", folder];
        Ok(!self.text(&changed)?.is_empty())
    }

    /// Writes the object of an annotated tag, which no ref points to yet.
    pub fn write_tag(self, tag: &str, object: &str, kind: &str, login: &str, message: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = format!(
            "object {object}\ntype {kind}\ntag {tag}\ntagger {login} <{login}@example.org> {now} +0000\n\n{message}\n"
        );
        let written = self.run_with(&["mktag"], text.as_bytes())?;
        anyhow::ensure!(
            written.status.success(),
            "writing the tag {tag}: {}",
            String::from_utf8_lossy(&written.stderr)
        );
        Ok(String::from_utf8_lossy(&written.stdout).trim().to_owned())
    }

    /// Writes a commit, which no ref leads to yet.
    pub fn write_commit(self, tree: &str, parents: &[String], login: &str, message: &str) -> Result<String> {
        let (name, email) = (format!("user.name={login}"), format!("user.email={login}@example.org"));
        let mut arguments = vec!["-c", &name, "-c", &email, "commit-tree", tree, "-m", message];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        Ok(self.text(&arguments)?.trim().to_owned())
    }

    /// Whether git takes this as the name of a tag.
    pub fn is_tag_name(self, name: &str) -> Result<bool> {
        self.is_ref_name(&format!("refs/tags/{name}"))
    }

    /// Whether git takes this as a ref's full name.
    pub fn is_ref_name(self, name: &str) -> Result<bool> {
        Ok(self.run(&["check-ref-format", name])?.status.success())
    }

    fn text(self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("running git {} in {}: {}", arguments.join(" "), self.0.display(), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(self, arguments: &[&str]) -> Result<Output> {
        self.run_with(arguments, b"")
    }

    fn run_with(self, arguments: &[&str], input: &[u8]) -> Result<Output> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the door to git on the side of the host: the variables of the process are cleared here as well"
        )]
        let mut command = std::process::Command::new("git");
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("LC_ALL", "C")]);
        command.arg("--git-dir").arg(self.0).args(arguments);
        if input.is_empty() {
            return command.output().context("starting git; install it");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting git; install it")?;
        // Smaller than a pipe holds, so nobody waits; where git ended first its output says why.
        let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input));
        child.wait_with_output().context("waiting for git")
    }
}

/// `Name <mail> 1700000000 +0100`.
fn signature(line: &str) -> Option<Signature> {
    let (name, rest) = line.split_once(" <")?;
    let (email, when) = rest.split_once("> ")?;
    Some(Signature { name: name.to_owned(), email: email.to_owned(), date: unix(when.split(' ').next()?) })
}

fn unix(seconds: &str) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.parse().unwrap_or_default())
}
