//! How the checks push: `git push`, from an empty repository, with the login that gh has.

use std::path::PathBuf;

use super::answer::Ending;
use super::client::Client;

/// A bare repository of its own, so that neither hooks nor settings of another take part. It goes with this.
pub struct Pusher<'a> {
    client: &'a Client,
    dir: PathBuf,
}

/// What became of a push.
pub struct Pushed {
    pub asked: String,
    pub done: bool,
    /// What git said of the refs that were refused, or in general.
    pub said: String,
}

impl Drop for Pusher<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl<'a> Pusher<'a> {
    /// `number` is one that no other has.
    pub fn new(client: &'a Client, number: u32) -> Result<Self, Ending> {
        let dir = std::env::temp_dir().join(format!("{}git-{number}", client.prefix));
        let pusher = Self { client, dir };
        pusher.ask(&["init", "--quiet", "--bare", "--template="])?;
        Ok(pusher)
    }

    /// A commit without parents on the empty tree, whose message differs from all others.
    pub fn commit(&self, message: &str) -> Result<String, Ending> {
        let tree = self.ask(&["mktree"])?;
        let (name, mail) = ("user.name=conformance", "user.email=conformance@example.org");
        let message = format!("{message} {}", self.client.prefix);
        self.ask(&["-c", name, "-c", mail, "commit-tree", "-m", &message, &tree])
    }

    /// Pushes with these options and refspecs.
    pub fn push(&self, arguments: &[&str]) -> Result<Pushed, Ending> {
        let url = self.client.git_url();
        let mut all = vec!["push", "--porcelain", "--no-signed", "--no-verify"];
        let (options, refs): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|it| it.starts_with('-'));
        all.extend(options);
        all.push(&url);
        all.extend(refs);
        let ended = self.client.git(&self.dir, &all)?;
        let said = ended.stdout.lines().filter(|line| line.starts_with('!')).collect::<Vec<_>>().join("; ");
        let said = if said.is_empty() { ended.stderr } else { said };
        if !ended.done && !ended.stdout.lines().any(|line| line.starts_with('!')) {
            return Err(Ending::NotTold(format!("git push: {}", said.trim())));
        }
        Ok(Pushed { asked: arguments.join(" "), done: ended.done, said })
    }

    /// What a ref on the other side points to.
    pub fn remote(&self, name: &str) -> Result<Option<String>, Ending> {
        let listed = self.ask(&["ls-remote", &self.client.git_url(), name])?;
        Ok(listed.split_whitespace().next().map(str::to_owned))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, Ending> {
        let ended = self.client.git(&self.dir, arguments)?;
        if !ended.done {
            return Err(Ending::NotTold(format!("git {}: {}", arguments[0], ended.stderr.trim())));
        }
        Ok(ended.stdout.trim().to_owned())
    }
}
