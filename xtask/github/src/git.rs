//! The one place that starts `git`: what tags, branches and commits a repository's bare directory has right now.
//!
//! Clients push to that directory themselves, so nothing of it is remembered.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// A bare git directory.
#[derive(Clone, Copy)]
pub(crate) struct Git<'a>(pub &'a Path);

/// A tag as the ref itself says and as it peels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The ref's own object: a tag object's id where the tag is annotated.
    pub object: String,
    /// `commit` or `tag`.
    pub kind: String,
    /// The commit that it peels to.
    pub commit: String,
    /// That commit's date.
    pub date: SystemTime,
}

pub(crate) type Tags = BTreeMap<String, Tag>;

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
    /// Every tag, by name.
    pub fn tags(self) -> Result<Tags> {
        // `creatordate` would be a tag object's own date: the dates asked for are those of commits.
        let fields = "--format=%(refname:strip=2)%00%(objectname)%00%(objecttype)%00%(committerdate:unix)%00\
                      %(*objectname)%00%(*committerdate:unix)";
        let text = self.text(&["for-each-ref", fields, "refs/tags"])?;
        let tag = |line: &str| {
            let [name, object, kind, date, peeled, peeled_date] =
                line.split('\0').collect::<Vec<_>>().try_into().ok()?;
            let (commit, date) = if kind == "tag" { (peeled, peeled_date) } else { (object, date) };
            let tag = Tag { object: object.into(), kind: kind.into(), commit: commit.into(), date: unix(date) };
            Some((name.to_owned(), tag))
        };
        Ok(text.lines().filter_map(tag).collect())
    }

    /// The branch that `HEAD` names.
    pub fn default_branch(self) -> Result<String> {
        let head = self.text(&["symbolic-ref", "--short", "HEAD"])?;
        Ok(head.trim().to_owned())
    }

    /// The commit that `name` stands for: a branch, a tag or a commit id, also as `heads/NAME` and `tags/NAME`.
    pub fn commit_of(self, name: &str) -> Result<Option<String>> {
        if name.is_empty() || name.contains(['~', '^', ':', '@', '{', '\0']) {
            return Ok(None);
        }
        let hex = name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let refs = [format!("refs/heads/{name}"), format!("refs/tags/{name}"), format!("refs/{name}")];
        let known = refs.iter().map(String::as_str);
        for candidate in known.chain(hex.then_some(name)) {
            let commit = format!("{candidate}^{{commit}}");
            let output = self.run(&["rev-parse", "--verify", "--quiet", &commit])?;
            if output.status.success() {
                return Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
            }
        }
        Ok(None)
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

    /// Creates a lightweight tag, unless it came to be meanwhile.
    pub fn create_tag(self, name: &str, commit: &str) -> Result<()> {
        let name = format!("refs/tags/{name}");
        self.text(&["update-ref", &name, commit, &"0".repeat(40)])?;
        Ok(())
    }

    /// Whether git takes this as the name of a tag.
    pub fn is_tag_name(self, name: &str) -> Result<bool> {
        let name = format!("refs/tags/{name}");
        Ok(self.run(&["check-ref-format", &name])?.status.success())
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
        #[expect(
            clippy::disallowed_methods,
            reason = "the door to git on the side of the host: the variables of the process are cleared here as well"
        )]
        let mut command = std::process::Command::new("git");
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("LC_ALL", "C")]);
        command.arg("--git-dir").arg(self.0).args(arguments).output().context("starting git; install it")
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
