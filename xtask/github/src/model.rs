//! What the stand-in holds: settings, repositories, tokens, releases, assets, issues. Plain data, so that a test can build it and look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How one stand-in behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Linux takes at most 107 bytes here.
    pub socket: PathBuf,
    /// A directory for the bytes of assets. It is created where it is missing.
    pub storage: PathBuf,
    /// The largest asset in bytes. GitHub wants an asset under 2 GiB, so the default is 2 GiB − 1.
    pub max_asset_bytes: u64,
    /// How many assets a release takes, 1000 on GitHub.
    pub max_assets: usize,
    /// The tag name that the timeline follows.
    pub rolling_tag: String,
    /// What an upload leaves that breaks before its last byte.
    pub broken_upload: BrokenUpload,
    /// How long the signed address of an asset works.
    pub signature_lifetime: Duration,
}

impl Settings {
    /// GitHub's own limits, on `socket`, with the bytes of assets under `storage`.
    pub fn new(socket: impl Into<PathBuf>, storage: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            storage: storage.into(),
            max_asset_bytes: (2 << 30) - 1,
            max_assets: 1000,
            rolling_tag: "latest".into(),
            broken_upload: BrokenUpload::Starter,
            signature_lifetime: Duration::from_secs(300),
        }
    }
}

/// What an upload leaves that breaks before its last byte. GitHub is known to do either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenUpload {
    /// An empty asset with the state `starter`, which holds the name.
    Starter,
    /// No trace.
    Nothing,
}

/// How a repository is set up. Releases, tags and commits are not part of this: git is asked for the latter two.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The bare git directory that clients push to.
    pub git_dir: PathBuf,
    pub archived: bool,
    pub private: bool,
    pub immutable_releases: bool,
    pub rulesets: Vec<Ruleset>,
    /// How many releases can be listed: beyond them a page is 422. 10,000 on GitHub, and 1000 on some paths (iree-org/iree#16506).
    pub listed_releases: usize,
    /// From how many releases a page on a listing is always 504 (astral-sh/rye#1475).
    pub slow_page: Option<usize>,
}

/// Rules for the refs that its patterns cover. Requests and pushes are held to `creation`, `update` and `deletion`.
#[derive(Clone, Debug)]
pub struct Ruleset {
    pub id: u64,
    pub name: String,
    /// `branch` or `tag`.
    pub target: String,
    /// `active`, `evaluate` or `disabled`.
    pub enforcement: String,
    /// Such as `~ALL` or `refs/tags/v*`.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Such as `update`.
    pub rules: Vec<String>,
    /// Whether whoever asks may pass it.
    pub bypass: bool,
}

impl Ruleset {
    /// An active one for tags.
    pub fn of_tags(name: &str, include: &str, rules: &[&str]) -> Self {
        Self {
            id: 7000,
            name: name.to_owned(),
            target: "tag".to_owned(),
            enforcement: "active".to_owned(),
            include: vec![include.to_owned()],
            exclude: Vec::new(),
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
            bypass: false,
        }
    }
}

impl Repository {
    /// A public repository with the usual settings.
    pub fn new(git_dir: impl Into<PathBuf>) -> Self {
        Self {
            git_dir: git_dir.into(),
            archived: false,
            private: false,
            immutable_releases: false,
            rulesets: Vec::new(),
            listed_releases: 10_000,
            slow_page: None,
        }
    }
}

/// What kind of token it is. GitHub answers them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A user's classic token. Its scopes stand in `X-OAuth-Scopes`.
    Classic,
    /// A user's fine-grained token.
    FineGrained,
    /// What a workflow gets: it belongs to no user, so `GET /user` is refused.
    Actions,
}

/// What a token may do in one repository. Each level holds the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Push,
    Admin,
}

/// Whose token it is and what it may do.
#[derive(Clone, Debug)]
pub struct Token {
    pub login: String,
    pub kind: TokenKind,
    /// Scopes of a classic token. Without `repo` or `public_repo` it can't write to a release.
    pub scopes: Vec<String>,
    /// The permission Workflows of a fine-grained token.
    pub workflows: bool,
    /// By `owner/name`. A public repository that isn't named can be read.
    pub repositories: BTreeMap<String, Access>,
}

impl Token {
    /// A user's classic token with the scopes that `gh auth login` asks for.
    pub fn classic(login: &str) -> Self {
        let scopes = ["gist", "read:org", "repo", "workflow"];
        Self::of(login, TokenKind::Classic, &scopes)
    }

    pub fn fine_grained(login: &str) -> Self {
        Self::of(login, TokenKind::FineGrained, &[])
    }

    /// The token of a workflow run.
    pub fn actions() -> Self {
        Self::of("github-actions[bot]", TokenKind::Actions, &[])
    }

    /// Adds a repository, `owner/name`.
    #[must_use]
    pub fn with(mut self, repository: &str, access: Access) -> Self {
        self.repositories.insert(repository.to_owned(), access);
        self
    }

    fn of(login: &str, kind: TokenKind, scopes: &[&str]) -> Self {
        Self {
            login: login.to_owned(),
            kind,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            workflows: false,
            repositories: BTreeMap::new(),
        }
    }

    /// Whether it may bring in workflow files: a classic one with the scope, a fine-grained one with the permission, that of a workflow
    /// never.
    pub fn may_change_workflows(&self) -> bool {
        match self.kind {
            TokenKind::Classic => self.scopes.iter().any(|it| it == "workflow"),
            TokenKind::FineGrained => self.workflows,
            TokenKind::Actions => false,
        }
    }
}

/// Everything in the stand-in at one moment.
#[derive(Clone, Debug)]
pub struct State {
    pub repositories: Vec<RepositoryState>,
}

impl State {
    /// The repository with this `owner/name`.
    ///
    /// # Panics
    /// When there is none: a test asked for the wrong one.
    pub fn repository(&self, name: &str) -> &RepositoryState {
        let found = self.repositories.iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("no repository {name} in the stand-in"))
    }
}

/// A repository's releases and issues.
#[derive(Clone, Debug)]
pub struct RepositoryState {
    /// `owner/name`.
    pub name: String,
    /// Oldest first.
    pub releases: Vec<Release>,
    pub issues: Vec<Issue>,
    /// Tag names of immutable releases, which can't be used again.
    pub retired_tags: BTreeSet<String>,
}

impl RepositoryState {
    /// The published release with this tag name.
    pub fn published(&self, tag: &str) -> Option<&Release> {
        Release::published(&self.releases, tag)
    }

    /// The drafts with this tag name.
    pub fn drafts<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Release> {
        self.releases.iter().filter(move |it| it.draft && it.tag_name == tag)
    }
}

/// A release, with the names of GitHub's fields.
#[derive(Clone, Debug)]
pub struct Release {
    pub id: u64,
    pub tag_name: String,
    pub target_commitish: String,
    pub name: Option<String>,
    pub body: Option<String>,
    pub draft: bool,
    pub prerelease: bool,
    pub immutable: bool,
    /// The date of the commit, not of the release.
    pub created_at: SystemTime,
    pub published_at: Option<SystemTime>,
    pub author: String,
    /// Of every state, in the order in which their uploads began.
    pub assets: Vec<Asset>,
}

impl Release {
    /// The published one with this tag name among `releases`.
    pub fn published<'a>(releases: &'a [Self], tag: &str) -> Option<&'a Self> {
        releases.iter().find(|it| !it.draft && it.tag_name == tag)
    }

    /// `untagged-` and 20 hex digits: how the addresses of a draft name it, and its tag name once it lost its own.
    pub fn untagged(&self) -> String {
        // As on GitHub they look like chance, and stay the same: the two factors are odd, so that different ids give different digits.
        let digits = u128::from(self.id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 48;
        format!("untagged-{digits:020x}")
    }

    /// The asset with this name, whatever its state.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|it| it.name == name)
    }

    /// The names of the assets that are `uploaded`, sorted.
    pub fn uploaded(&self) -> Vec<&str> {
        let uploaded = self.assets.iter().filter(|it| it.state == AssetState::Uploaded);
        let mut names: Vec<&str> = uploaded.map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// Whether an asset's bytes have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetState {
    /// The name is held; the bytes are under way or were lost.
    Starter,
    Uploaded,
}

impl AssetState {
    /// As GitHub writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Uploaded => "uploaded",
        }
    }
}

/// A release asset, with the names of GitHub's fields.
#[derive(Clone, Debug)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub label: Option<String>,
    pub state: AssetState,
    pub content_type: String,
    /// In bytes, 0 for a `starter`.
    pub size: u64,
    /// `sha256:<hex>`; none on assets from before June 2025 and on a `starter`.
    pub digest: Option<String>,
    pub download_count: u64,
    pub created_at: SystemTime,
    pub updated_at: SystemTime,
    pub uploader: String,
    /// Where the bytes are; empty where nobody keeps any.
    pub file: PathBuf,
}

/// An issue with its comments.
#[derive(Clone, Debug)]
pub struct Issue {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub author: String,
    pub is_open: bool,
    pub labels: Vec<String>,
    pub created_at: SystemTime,
    pub comments: Vec<Comment>,
}

/// A comment on an issue.
#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub body: String,
    pub author: String,
    pub created_at: SystemTime,
    pub updated_at: SystemTime,
}
