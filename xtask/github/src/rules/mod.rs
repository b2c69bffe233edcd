//! GitHub's rules about releases, their assets and their tags, without a socket, a file, a process or a clock.
//!
//! The HTTP server and a simulation share them. The time and what only git can tell come from outside; ids are counted here. An
//! operation is refused before it changes anything, and takes no memory but for what it keeps.

mod assets;
mod lag;
mod refusal;
mod releases;
mod rulesets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

pub use assets::clean_name;
pub use lag::{Lag, Reads};
pub use refusal::{Detail, Refusal};
pub use releases::{Change, MakeLatest};

use crate::model::{Asset, Release, Ruleset};

/// A repository, as far as its releases need it.
#[derive(Clone, Debug)]
pub struct Repo {
    pub id: u64,
    /// `owner/name`.
    pub name: String,
    /// Oldest first.
    pub releases: Vec<Release>,
    /// The release that was made the latest one explicitly.
    pub latest: Option<u64>,
    /// Tag names of immutable releases, which can't be used again.
    pub retired_tags: BTreeSet<String>,
    /// By their short names. After a change from outside call [`Repo::tags_changed`].
    pub tags: BTreeMap<String, Tag>,
    pub default_branch: String,
    /// Whether a release is locked when it is published.
    pub immutable_releases: bool,
    pub rulesets: Vec<Ruleset>,
    /// The largest asset in bytes.
    pub max_asset_bytes: u64,
    /// How many assets a release takes, whatever their state.
    pub max_assets: usize,
    /// The id of what is made next, a release or an asset.
    pub next_id: u64,
}

/// A tag as its ref says and as it peels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The ref's own object: a tag object's id where the tag is annotated.
    pub object: String,
    /// The commit that it peels to.
    pub commit: String,
    /// That commit's date.
    pub date: SystemTime,
}

/// What a name stands for in git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub commit: String,
    /// The commit's date.
    pub date: SystemTime,
}

/// What only git can tell, and do.
pub trait Git {
    /// Whether a tag may be called so. Tags that exist aren't asked about.
    ///
    /// # Errors
    /// When git fails.
    fn is_tag_name(&self, name: &str) -> Result<bool, Refusal>;

    /// What a branch or the id of a commit stands for; tags aren't asked about.
    ///
    /// # Errors
    /// When git fails.
    fn target(&self, name: &str) -> Result<Option<Target>, Refusal>;

    /// Makes a lightweight tag that isn't there. It is in [`Repo::tags`] afterwards.
    ///
    /// # Errors
    /// When git fails.
    fn create_tag(&mut self, name: &str, commit: &str) -> Result<(), Refusal>;

    /// Refuses a commit that adds or changes a file under `.github/workflows/` against the default branch, when whoever asks may not
    /// change workflows: with [`Refusal::workflows`].
    ///
    /// # Errors
    /// That refusal, or when git fails.
    fn allow(&self, _commit: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Repo {
    /// An empty repository, `owner/name`, with the branch `main` and GitHub's limits.
    pub fn new(id: u64, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            releases: Vec::new(),
            latest: None,
            retired_tags: BTreeSet::new(),
            tags: BTreeMap::new(),
            default_branch: "main".to_owned(),
            immutable_releases: false,
            rulesets: Vec::new(),
            max_asset_bytes: (2 << 30) - 1,
            max_assets: 1000,
            next_id: 1,
        }
    }

    /// The published release with this tag name.
    ///
    /// # Errors
    /// 404 without one: the lookup by tag finds no drafts.
    pub fn published(&self, tag: &str) -> Result<&Release, Refusal> {
        Release::published(&self.releases, tag).ok_or_else(Refusal::not_found)
    }

    /// The release with this id, also a draft.
    ///
    /// # Errors
    /// 404 without one.
    pub fn release(&self, id: u64) -> Result<&Release, Refusal> {
        self.releases.iter().find(|it| it.id == id).ok_or_else(Refusal::not_found)
    }

    /// The same, to be changed past every rule.
    ///
    /// # Errors
    /// 404 without one.
    pub fn release_mut(&mut self, id: u64) -> Result<&mut Release, Refusal> {
        self.releases.iter_mut().find(|it| it.id == id).ok_or_else(Refusal::not_found)
    }

    /// An asset of any state, and the release that holds it.
    ///
    /// # Errors
    /// 404 without one.
    pub fn asset(&self, id: u64) -> Result<(&Release, &Asset), Refusal> {
        let find = |release: &'_ Release| release.assets.iter().position(|it| it.id == id);
        let mut all = self.releases.iter();
        let found = all.find_map(|release| find(release).map(|at| (release, &release.assets[at])));
        found.ok_or_else(Refusal::not_found)
    }

    /// The same, to be changed past every rule.
    ///
    /// # Errors
    /// 404 without one.
    pub fn asset_mut(&mut self, id: u64) -> Result<&mut Asset, Refusal> {
        let mut all = self.releases.iter_mut().flat_map(|it| &mut it.assets);
        all.find(|it| it.id == id).ok_or_else(Refusal::not_found)
    }

    /// GitHub's own latest release among these: the one made so, else the newest by the date of its commit. Never a draft or a prerelease.
    pub fn latest_of<'a>(&self, releases: &'a [Release]) -> Option<&'a Release> {
        let full = || releases.iter().filter(|it| !it.draft && !it.prerelease);
        full().find(|it| Some(it.id) == self.latest).or_else(|| full().max_by_key(|it| (it.created_at, it.id)))
    }

    /// What a branch, a tag or the id of a commit stands for; branches and tags also as `heads/NAME` and `tags/NAME`.
    ///
    /// # Errors
    /// When git fails.
    pub fn target(&self, git: &impl Git, name: &str) -> Result<Option<Target>, Refusal> {
        if let Some(target) = git.target(name)? {
            return Ok(Some(target));
        }
        let tag = self.tags.get(name).or_else(|| self.tags.get(name.strip_prefix("tags/")?));
        Ok(tag.map(|it| Target { commit: it.commit.clone(), date: it.date }))
    }

    /// Lets go of releases whose tag is gone: each becomes a draft, which keeps the tag's name (spinframework/spin#1611, neovim#14140).
    pub fn tags_changed(&mut self) {
        for release in &mut self.releases {
            if !release.draft && !self.tags.contains_key(&release.tag_name) {
                release.draft = true;
                release.published_at = None;
            }
        }
    }

    /// A number that nothing else here has.
    pub fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
