//! A throwaway repository in which the checks create releases, tags and refs, and its clean-up.
//!
//! Each release, tag and ref of a run begins with the run's own prefix, `conformance-<16 hex digits>-`; nothing else is touched.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::time::Instant;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::answer::{Answer, Ending};
use super::client::{Body, Client};
use super::push::Pusher;

/// Why a repository isn't used: nothing was changed there.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The repository, and what was made in it.
pub struct Scratch<'a> {
    pub client: &'a Client,
    /// The head of the default branch.
    pub first: String,
    /// A commit after it, which no branch leads to.
    pub second: String,
    pub private: bool,
    pub admin: bool,
    next: Cell<u32>,
    releases: RefCell<BTreeSet<u64>>,
    tags: RefCell<BTreeSet<String>>,
    /// Under `refs/packer/`, by their full names.
    packer_refs: RefCell<BTreeSet<String>>,
    has_rulesets: Cell<bool>,
    closed: bool,
}

impl Drop for Scratch<'_> {
    /// After a panic as well nothing is left behind.
    fn drop(&mut self) {
        for command in self.close() {
            let _ = writeln!(std::io::stderr(), "left behind; delete it with: {command}");
        }
    }
}

impl<'a> Scratch<'a> {
    /// Looks whether the repository is one to try things in. `confirmed` stands for a name with `scratch` in it, and for nothing else.
    ///
    /// # Errors
    ///
    /// [`Refused`], or another error when it can't be read.
    pub fn open(client: &'a Client, confirmed: bool) -> anyhow::Result<Self> {
        let repo = &client.repo;
        let refuse = |why: String| Err(Refused(why).into());
        let facts = match client.get("") {
            Err(Ending::NotTold(why)) if why.contains("gh auth login") => {
                let host = &repo.host;
                return refuse(format!("gh is not logged in to {host}; run `gh auth login --hostname {host}`"));
            }
            other => other.map_err(unread)?,
        };
        if facts.status == 401 {
            return refuse("the token was refused; run `gh auth login`, or set GH_TOKEN to a valid one".to_owned());
        }
        if facts.status == 404 {
            return refuse(format!("no repository {repo}, or the token may not see it; see `gh auth status`"));
        }
        let facts = facts.expect(200).map_err(unread)?.json();
        if facts["full_name"].as_str().is_none_or(|name| !name.eq_ignore_ascii_case(&repo.to_string())) {
            return refuse(format!("{repo} is called {} now; give that name", facts["full_name"]));
        }
        if !confirmed && !repo.name.to_lowercase().contains("scratch") {
            return refuse(format!(
                "{repo} doesn't have `scratch` in its name; releases and tags come and go there during the run: add --yes if it is a throwaway repository"
            ));
        }
        if facts["archived"] == true {
            return refuse(format!("{repo} is archived; unarchive it in its settings, or make another"));
        }
        if facts["permissions"]["push"] != true {
            return refuse(format!(
                "the token may not push to {repo}; it needs the `repo` scope, or Contents: read and write"
            ));
        }
        let live = client.get("releases/tags/latest").map_err(unread)?;
        if live.status == 200 {
            return refuse(format!("{repo} publishes `latest`, so it has readers; make a repository to throw away"));
        }
        live.expect(404).map_err(unread)?;
        let immutable = client.get("immutable-releases").map_err(unread)?;
        if immutable.status == 200 && immutable.json()["enabled"] == true {
            return refuse(format!("{repo} has immutable releases; turn them off under Settings, Releases"));
        }
        let branch = facts["default_branch"].as_str().unwrap_or("main");
        let head = client.get(&format!("commits/{branch}")).map_err(unread)?;
        if matches!(head.status, 404 | 409 | 422) {
            return refuse(format!(
                "{repo} has no commit on {branch}; make one: gh api --method PUT repos/{repo}/contents/README.md -f message=Start -f content=c2NyYXRjaAo="
            ));
        }
        let head = head.expect(200).map_err(unread)?.json();
        let first = text(&head["sha"]);
        let commit = json!({ "message": "conformance", "tree": head["commit"]["tree"]["sha"], "parents": [first] });
        let commit = client.post("git/commits", &commit).and_then(|it| it.expect(201)).map_err(unread)?;
        Ok(Self {
            client,
            second: text(&commit.json()["sha"]),
            first,
            private: facts["private"] == true,
            admin: facts["permissions"]["admin"] == true,
            next: Cell::new(1),
            releases: RefCell::default(),
            tags: RefCell::default(),
            packer_refs: RefCell::default(),
            has_rulesets: Cell::default(),
            closed: false,
        })
    }

    /// A number that comes once.
    pub fn count(&self) -> u32 {
        self.next.replace(self.next.get() + 1)
    }

    /// A name for a tag that nobody else has.
    pub fn name(&self) -> String {
        format!("{}{}", self.client.prefix, self.count())
    }

    /// The full name of a ref beside the lock, `refs/packer/lock`, which may be somebody's. It goes at the end.
    pub fn packer_ref(&self) -> String {
        let name = format!("refs/packer/{}", self.name());
        self.packer_refs.borrow_mut().insert(name.clone());
        name
    }

    /// The name of a tag that a push may make. It goes at the end.
    pub fn pushed_tag(&self) -> String {
        let name = self.name();
        self.tags.borrow_mut().insert(name.clone());
        name
    }

    /// A new tag that points straight to `object`.
    pub fn tag(&self, object: &str) -> Result<String, Ending> {
        let name = self.name();
        self.tag_named(&name, object)?;
        Ok(name)
    }

    /// A new tag of this name, which begins as all names here do.
    pub fn tag_named(&self, name: &str, object: &str) -> Result<(), Ending> {
        self.tags.borrow_mut().insert(name.to_owned());
        let body = json!({ "ref": format!("refs/tags/{name}"), "sha": object });
        self.client.post("git/refs", &body).and_then(|it| it.expect(201)).map_err(Ending::while_preparing).map(drop)
    }

    /// What a tag points to; `None` without it.
    pub fn tag_object(&self, name: &str) -> Result<Option<String>, Ending> {
        let answer = self.client.get(&format!("git/ref/tags/{name}"))?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(text(&answer.expect(200)?.json()["object"]["sha"])))
    }

    /// Waits until a tag points to this.
    pub fn points(&self, tag: &str, object: &str) -> Result<(), Ending> {
        self.client.eventually(|| {
            let now = self.tag_object(tag)?;
            let right = now.as_deref() == Some(object);
            Ok(if right { Ok(()) } else { Err(format!("the tag {tag} points to {now:?}, not {object}")) })
        })
    }

    /// Forbids something with these tags, to everybody, until what is returned is deleted; at the latest that is done at the end.
    pub fn ruleset(&self, tags: &[&str], rule: &str) -> Result<String, Ending> {
        if !self.admin {
            return Err(Ending::NotTold("only an administrator may make a ruleset".to_owned()));
        }
        self.has_rulesets.set(true);
        let include: Vec<String> = tags.iter().map(|tag| format!("refs/tags/{tag}")).collect();
        let ruleset = json!({
            "name": self.name(),
            "target": "tag",
            "enforcement": "active",
            "conditions": { "ref_name": { "include": include, "exclude": [] } },
            "rules": [{ "type": rule }],
        });
        let made = self.client.post("rulesets", &ruleset).and_then(|it| it.expect(201));
        made.map(|it| format!("rulesets/{}", id(&it.json()))).map_err(Ending::while_preparing)
    }

    /// The fields that the tool sends with each change of a release.
    pub fn fields(&self, tag: &str, draft: bool) -> Value {
        json!({
            "tag_name": tag,
            "name": format!("{}release", self.client.prefix),
            "body": "Made by scripts/conformance, which deletes it again.",
            "draft": draft,
            "prerelease": true,
            "make_latest": "false",
        })
    }

    /// Asks for a release, and remembers it where there is one.
    pub fn create(&self, fields: &Value) -> Result<Answer, Ending> {
        let answer = self.client.post("releases", fields)?;
        self.releases.borrow_mut().extend(answer.json()["id"].as_u64().filter(|_| answer.status == 201));
        Ok(answer)
    }

    /// A draft with this tag name, for a check to begin with.
    pub fn draft(&self, tag: &str) -> Result<Value, Ending> {
        let made = self.create(&self.fields(tag, true)).and_then(|it| it.expect(201));
        made.map(|it| it.json()).map_err(Ending::while_preparing)
    }

    /// A published prerelease on a tag that is there, for a check to begin with; readers find it.
    pub fn published(&self, tag: &str) -> Result<Value, Ending> {
        let made =
            self.create(&self.fields(tag, false)).and_then(|it| it.expect(201)).map_err(Ending::while_preparing)?;
        let release = made.json();
        if release["immutable"] == true {
            let why = "releases are immutable here; turn that off under Settings, Releases";
            return Err(Ending::NotTold(why.to_owned()));
        }
        self.shows(tag, id(&release)).map_err(Ending::while_preparing)?;
        Ok(release)
    }

    pub fn edit(&self, release: &Value, fields: &Value) -> Result<Answer, Ending> {
        self.client.patch(&format!("releases/{}", id(release)), fields)
    }

    pub fn read(&self, release: &Value) -> Result<Value, Ending> {
        Ok(self.client.get(&format!("releases/{}", id(release)))?.expect(200)?.json())
    }

    /// Waits until the lookup by tag finds this release.
    pub fn shows(&self, tag: &str, release: u64) -> Result<(), Ending> {
        self.client.eventually(|| {
            let found = self.client.get(&format!("releases/tags/{tag}"))?;
            Ok(match found.json()["id"].as_u64() {
                Some(found) if found == release => Ok(()),
                Some(found) => Err(format!("the lookup by tag finds release {found} instead of {release}")),
                None => Err(format!("the lookup by tag gives {}", found.says())),
            })
        })
    }

    /// Waits until the lookup by tag finds nothing.
    pub fn shows_nothing(&self, tag: &str) -> Result<(), Ending> {
        self.client.eventually(|| {
            let found = self.client.get(&format!("releases/tags/{tag}"))?;
            let still = || format!("the lookup by tag gives {} with release {}", found.says(), found.json()["id"]);
            Ok(if found.status == 404 { Ok(()) } else { Err(still()) })
        })
    }

    /// Waits until the listing shows a release, and gives it as listed.
    pub fn listed(&self, release: u64) -> Result<Value, Ending> {
        self.client.eventually(|| {
            let all = self.client.pages("releases")?;
            let found = all.into_iter().find(|it| id(it) == release);
            Ok(found.ok_or_else(|| format!("the listing doesn't show release {release}")))
        })
    }

    /// Sends an asset from a pipe, as the tool does. `name` stands in the address as it is.
    pub fn upload(&self, release: &Value, name: &str, bytes: &[u8]) -> Result<Answer, Ending> {
        self.client.send("POST", &upload_url(release, name), &[], Body::Bytes(bytes))
    }

    /// An asset for a check to begin with.
    pub fn asset(&self, release: &Value, name: &str, bytes: &[u8]) -> Result<Value, Ending> {
        let sent = self.upload(release, name, bytes).and_then(|it| it.expect(201));
        sent.map(|it| it.json()).map_err(Ending::while_preparing)
    }

    /// All assets of a release, the broken ones among them.
    pub fn assets(&self, release: &Value) -> Result<Vec<Value>, Ending> {
        self.client.pages(&format!("releases/{}/assets", id(release)))
    }

    /// The bytes of an asset by its id, from byte `from` on.
    pub fn download(&self, asset: &Value, from: usize) -> Result<Answer, Ending> {
        let range = format!("Range: bytes={from}-");
        let mut headers = vec!["Accept: application/octet-stream"];
        headers.extend((from > 0).then_some(range.as_str()));
        self.client.send("GET", &format!("releases/assets/{}", id(asset)), &headers, Body::None)
    }

    /// Deletes all that was made. What could not be deleted is returned, as the commands that do it.
    pub fn close(&mut self) -> Vec<String> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        self.client.close_to_signals();
        let mut left = Vec::new();
        let mut gone = BTreeSet::new();
        let mut delete = |path: &str, absent: &[u16]| {
            let deleted = self.client.delete(path);
            if !deleted.is_ok_and(|it| it.status == 204 || absent.contains(&it.status)) {
                left.push(format!("gh api --method DELETE repos/{}/{path}", self.client.repo));
            }
        };
        let rulesets =
            if self.has_rulesets.get() { self.client.pages("rulesets").unwrap_or_default() } else { Vec::new() };
        for ruleset in rulesets.iter().filter(|it| self.is_own(it)) {
            delete(&format!("rulesets/{}", id(ruleset)), &[404]);
        }
        // Releases go first: one that loses its tag becomes a draft.
        let began = Instant::now();
        let mut found = self.releases.borrow().clone();
        loop {
            for release in found.difference(&gone) {
                delete(&format!("releases/{release}"), &[404]);
            }
            gone.extend(found);
            // Those whose making got no answer show sooner or later.
            let all = self.client.pages("releases").unwrap_or_default();
            found = all.iter().filter(|it| self.is_own(it)).map(id).filter(|it| !gone.contains(it)).collect();
            let waits = self.client.is_unclear() && began.elapsed() < self.client.lag;
            if found.is_empty() && (!waits || self.client.pause(self.client.lag / 15).is_err()) {
                break;
            }
        }
        let mut tags = self.tags.borrow().clone();
        let matching = self.client.get(&format!("git/matching-refs/tags/{}", self.client.prefix));
        let matching = matching.map(|it| it.json().as_array().cloned().unwrap_or_default()).unwrap_or_default();
        tags.extend(matching.iter().filter_map(|it| it["ref"].as_str()?.strip_prefix("refs/tags/").map(str::to_owned)));
        for tag in tags.iter().filter(|it| it.starts_with(&self.client.prefix)) {
            delete(&format!("git/refs/tags/{tag}"), &[404, 422]);
        }
        left.extend(self.delete_packer_refs());
        left
    }

    /// The API knows no refs of this kind, so they are deleted by a push; what is left, as the commands that do it.
    fn delete_packer_refs(&self) -> Vec<String> {
        let names = self.packer_refs.take();
        if names.is_empty() {
            return Vec::new();
        }
        let found = Pusher::new(self.client, self.count()).map(|pusher| {
            let there = names.iter().filter(|name| pusher.remote(name).map_or(true, |it| it.is_some()));
            let left = there.filter(|name| !pusher.push(&[&format!(":{name}")]).is_ok_and(|it| it.done));
            left.cloned().collect()
        });
        // Where git couldn't be asked all of them may be there.
        let left: BTreeSet<String> = found.unwrap_or(names);
        left.iter().map(|name| format!("git push {} :{name}", self.client.git_url())).collect()
    }

    /// Whether a release or a ruleset was made here.
    fn is_own(&self, it: &Value) -> bool {
        let mut names = ["tag_name", "name"].into_iter().filter_map(|key| it[key].as_str());
        names.any(|it| it.starts_with(&self.client.prefix))
    }
}

/// The number of a release or an asset.
pub fn id(of: &Value) -> u64 {
    of["id"].as_u64().unwrap_or_default()
}

/// A text of an answer; empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where the assets of a release are sent.
pub fn upload_url(release: &Value, name: &str) -> String {
    let template = text(&release["upload_url"]);
    let address = template.split_once('{').map_or(template.as_str(), |(address, _)| address);
    format!("{address}?name={name}")
}

fn unread(ending: Ending) -> anyhow::Error {
    match ending {
        Ending::Broken(why) | Ending::NotTold(why) => anyhow!(why),
        Ending::Interrupted => anyhow!("interrupted; nothing was changed"),
    }
}
