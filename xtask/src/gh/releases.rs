//! Releases, assets and tags, as GitHub's REST interface gives them.

use serde::Deserialize;
use serde_json::{Value, json};

use std::time::Duration;

use super::{CallError, Gate, Gh, Request, retry};
use crate::digest::Digest;
use crate::failure::{self, Advice as _};

/// A release, published or draft.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    pub id: u64,
    pub tag_name: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    pub draft: bool,
    pub prerelease: bool,
    #[serde(default)]
    pub immutable: bool,
    pub upload_url: String,
    pub html_url: String,
    #[serde(default)]
    pub published_at: Option<String>,
    /// As listed with the release: the broken ones are hidden here, see [`Gh::assets`].
    #[serde(default)]
    pub assets: Vec<Asset>,
}

impl Release {
    /// Whether nothing but its assets differs from how it was.
    pub fn is_still(&self, before: &Self) -> bool {
        let face = |release: &Self| Self { assets: Vec::new(), ..release.clone() };
        face(self) == face(before)
    }

    pub fn notes(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
}

/// A file on a release. Only one in state `uploaded` is whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub size: u64,
    pub state: String,
    /// `sha256:<hex>`; absent on assets from before June 2025.
    #[serde(default)]
    pub digest: Option<String>,
    #[serde(default)]
    pub updated_at: Option<String>,
    #[serde(default)]
    pub uploader: Option<Person>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    pub login: String,
}

impl Asset {
    /// Who put it there, and when it was last touched: `ana at 2026-01-02T03:04:05Z`.
    pub fn last_touched(&self) -> String {
        let who = self.uploader.as_ref().map_or("somebody", |person| person.login.as_str());
        self.updated_at.as_ref().map_or_else(|| who.to_owned(), |at| format!("{who} at {at}"))
    }

    pub fn is_uploaded(&self) -> bool {
        self.state == "uploaded"
    }

    /// As GitHub computed it, if it did.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.as_deref().and_then(Digest::from_github)
    }
}

/// What the repository is and what the token may do there.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    /// `OWNER/NAME` as it is called now.
    #[serde(default)]
    pub full_name: String,
    #[serde(default)]
    pub archived: bool,
    #[serde(default)]
    permissions: Permissions,
    /// What a classic token may do; tokens of other kinds have none.
    #[serde(skip)]
    pub scopes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    push: bool,
}

impl Repository {
    pub fn may_push(&self) -> bool {
        self.permissions.push
    }
}

/// Whether published releases are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Immutability {
    On,
    Off,
    /// GitHub shows this to an administrator's token only.
    Unknown,
}

/// What a release is created with, or becomes. `tag_name` is always sent: a PATCH without it can untag a draft. A target
/// for the tag never is: where it adds or changes a workflow GitHub wants a permission that a workflow's token can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    pub tag_name: String,
    pub name: String,
    pub body: String,
    pub draft: bool,
    pub prerelease: bool,
    /// GitHub's own "Latest" badge, which only a full release can have.
    pub badge: bool,
}

impl NewRelease {
    fn to_json(&self) -> Value {
        json!({
            "tag_name": self.tag_name,
            "name": self.name,
            "body": self.body,
            "draft": self.draft,
            "prerelease": self.prerelease,
            "make_latest": self.make_latest().to_string(),
        })
    }

    /// Said in any case: a release that is published gets the badge unless that is declined.
    pub fn make_latest(&self) -> bool {
        self.badge && !self.draft && !self.prerelease
    }

    /// Whether a release is that: an answer of 200 alone says nothing.
    pub fn is(&self, release: &Release) -> bool {
        (release.draft, &release.tag_name) == (self.draft, &self.tag_name)
    }
}

/// Sizes of a page, GitHub's largest first; each is a divisor of the one before, so that a listing can continue at the same item.
const PAGES: [usize; 3] = [100, 50, 10];

impl Gh {
    pub fn repository(&self) -> Result<Repository, CallError> {
        let answer = self.call(&Request::get(""))?;
        let mut repository: Repository = answer.json()?;
        let scopes = answer.head.header("x-oauth-scopes");
        repository.scopes = scopes.map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect());
        Ok(repository)
    }

    /// Whether the token is one of an app's installation, such as a workflow has. GitHub doesn't report what it may do: a
    /// repository's `permissions` are all false for it. <https://github.com/semantic-release/github/issues/182>
    pub fn is_of_installation(&self) -> Result<bool, CallError> {
        match self.call(&Request::get("/installation/repositories?per_page=1")) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.refusal(), Some(401 | 403 | 404)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whose token it is; `None` for one that is no person's.
    pub fn login(&self) -> Result<Option<String>, CallError> {
        match self.call(&Request::get("/user")) {
            Ok(answer) => answer.json().map(|person: Person| Some(person.login)),
            Err(error) if matches!(error.refusal(), Some(401 | 403 | 404)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn immutability(&self) -> Result<Immutability, CallError> {
        #[derive(Deserialize)]
        struct Setting {
            enabled: bool,
        }
        match self.call(&Request::get("immutable-releases")) {
            Ok(answer) => {
                let setting: Setting = answer.json()?;
                Ok(if setting.enabled { Immutability::On } else { Immutability::Off })
            }
            Err(error) => match error.refusal() {
                Some(404) => Ok(Immutability::Off),
                Some(403) => Ok(Immutability::Unknown),
                _ => Err(error),
            },
        }
    }

    /// All releases, drafts among them where the token may push.
    pub fn releases(&self) -> Result<Vec<Release>, CallError> {
        let releases: Vec<Release> = self.pages("releases")?;
        releases.first().inspect(|release| self.heed_name(&release.html_url));
        Ok(releases)
    }

    /// The release that GitHub calls the repository's latest one.
    pub fn newest(&self) -> Result<Option<u64>, CallError> {
        match absent(self.call(&Request::get("releases/latest")))? {
            Some(answer) => answer.json().map(|release: Release| Some(release.id)),
            None => Ok(None),
        }
    }

    pub fn release(&self, id: u64) -> Result<Release, CallError> {
        self.call(&Request::get(format!("releases/{id}")))?.json()
    }

    /// The published release on a tag: a draft is never found here.
    pub fn release_by_tag(&self, tag: &str) -> Result<Option<Release>, CallError> {
        match absent(self.call(&Request::get(format!("releases/tags/{}", escape(tag)))))? {
            Some(answer) => {
                let release: Release = answer.json()?;
                self.heed_name(&release.html_url);
                Ok(Some(release))
            }
            None => Ok(None),
        }
    }

    /// The release of a version: published, else a draft.
    ///
    /// # Errors
    ///
    /// Exit code 1: it has several drafts.
    pub fn release_or_draft(&self, tag: &str) -> anyhow::Result<Option<Release>> {
        if let Some(release) = self.release_by_tag(tag)? {
            return Ok(Some(release));
        }
        let mut drafts: Vec<Release> = self.releases()?.into_iter().filter(|release| release.tag_name == tag).collect();
        match (drafts.pop(), drafts.len()) {
            (draft, 0) => Ok(draft),
            (None, _) => Ok(None),
            (Some(_), more) => {
                Err(failure::failed(format!("{} has {} drafts of release {tag}", self.repo(), more + 1))
                    .fix("delete all but one"))
            }
        }
    }

    pub fn create_release(&self, gate: Gate<'_>, new: &NewRelease) -> Result<Release, CallError> {
        self.gated(gate, &Request::send("POST", "releases", new.to_json()))?.json()
    }

    pub fn update_release(&self, gate: Gate<'_>, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        self.gated(gate, &Request::send("PATCH", format!("releases/{id}"), new.to_json()))?.json()
    }

    /// Changes only the notes of a release that keeps its tag.
    pub fn update_notes(&self, release: &Release, body: &str) -> Result<Release, CallError> {
        let fields = json!({ "tag_name": release.tag_name, "body": body });
        self.call(&Request::send("PATCH", format!("releases/{}", release.id), fields))?.json()
    }

    /// Its assets go with it, its tag stays. One that is gone already is no error.
    pub fn delete_release(&self, gate: Gate<'_>, id: u64) -> Result<(), CallError> {
        absent(self.gated(gate, &Request::delete(format!("releases/{id}")))).map(drop)
    }

    /// All assets, the broken ones among them, which the release itself hides.
    pub fn assets(&self, release: u64) -> Result<Vec<Asset>, CallError> {
        self.pages(&format!("releases/{release}/assets"))
    }

    /// One that is gone already is no error.
    pub fn delete_asset(&self, gate: Gate<'_>, id: u64) -> Result<(), CallError> {
        absent(self.gated(gate, &Request::delete(format!("releases/assets/{id}")))).map(drop)
    }

    /// How many requests the token has left, how long until the limit resets, and the time since 1970 by GitHub's clock. Asking
    /// costs none.
    pub fn rate_limit(&self) -> Result<(u64, Duration, Duration), CallError> {
        #[derive(Deserialize)]
        struct Limits {
            resources: Resources,
        }
        #[derive(Deserialize)]
        struct Resources {
            core: Core,
        }
        #[derive(Deserialize)]
        struct Core {
            remaining: u64,
            reset: u64,
        }
        let answer = self.call(&Request::get("/rate_limit"))?;
        let Limits { resources } = answer.json()?;
        let now = answer.head.now();
        Ok((resources.core.remaining, Duration::from_secs(resources.core.reset).saturating_sub(now), now))
    }

    /// The commit that a tag peels to. An annotated tag points to a tag object, which points on.
    pub fn commit_of_tag(&self, tag: &str) -> Result<Option<String>, CallError> {
        #[derive(Deserialize)]
        struct Pointer {
            object: Object,
        }
        #[derive(Deserialize)]
        struct Object {
            sha: String,
            r#type: String,
        }
        let mut path = format!("git/ref/tags/{}", escape(tag));
        loop {
            let answer = match self.call(&Request::get(path)) {
                Ok(answer) => answer,
                // 409: a repository without a commit.
                Err(error) if matches!(error.status(), Some(404 | 409)) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Pointer { object } = answer.json()?;
            match object.r#type.as_str() {
                "commit" => return Ok(Some(object.sha)),
                "tag" => path = format!("git/tags/{}", object.sha),
                _ => return Ok(None),
            }
        }
    }

    pub(super) fn pages<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CallError> {
        let and = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut size = PAGES[0];
        loop {
            let at = all.len();
            let what = format!("listing {path} of {}", self.repo);
            let answer = retry::repeat(&self.console, self.tries.attempts, self.heed_signals, &what, || {
                loop {
                    let page = format!("{path}{and}per_page={size}&page={}", at / size + 1);
                    let answer = self.once(&Request::get(page));
                    // A page that takes GitHub too long takes it too long again: a smaller one is asked for at once.
                    match PAGES.into_iter().find(|smaller| *smaller < size) {
                        Some(smaller) if matches!(&answer, Err(error) if error.status() >= Some(500)) => size = smaller,
                        _ => return answer,
                    }
                }
            });
            let answer = match answer {
                Err(error) if error.ends_listing() => break,
                answer => answer?,
            };
            let items: Vec<T> = answer.json()?;
            let last = items.len() < size;
            all.extend(items);
            if last {
                break;
            }
        }
        Ok(all)
    }
}

/// `None` for 404.
fn absent<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A tag name as it stands in a URL's path.
fn escape(name: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    name.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
