//! Everything the stand-in remembers, behind one lock, and what every kind of request needs of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::model::{Issue, Release, Repository, RepositoryState, Settings, State, Token, TokenKind};
use crate::rules::{self, Lag, Reads, Refusal, Target};
use crate::server::faults::Lasting;
use crate::server::git::{Asked, Git, RefFiles};
use crate::server::injection::Armed;
use crate::server::log::{Logged, Request, Shown, ShownAsset, ShownRelease, ShownTag};

/// How many requests a user has in an hour.
pub(crate) const RATE: u64 = 5000;

pub(crate) struct Store {
    pub settings: Settings,
    pub started: Instant,
    pub repositories: Vec<Repo>,
    pub tokens: BTreeMap<String, Token>,
    pub requests: Vec<Logged>,
    pub unexpected: Vec<Request>,
    pub timeline: Vec<Shown>,
    pub armed: Vec<Armed>,
    /// How many requests are left of the hour's, which nothing here counts down.
    pub remaining: u64,
    /// The header `Date` of every answer; `None`: the time.
    pub date: Option<String>,
    /// How often waiting requests and stale listings were let go.
    pub releases_of_faults: u64,
}

/// A repository with all that isn't in git.
pub(crate) struct Repo {
    /// What GitHub's rules are about. Its tags are as of the last look.
    pub rules: rules::Repo,
    pub config: Repository,
    pub issues: Vec<Issue>,
    pub lag: Lag<Until>,
    /// Releases that are 404 by their id.
    pub hidden: Vec<(Until, u64)>,
    /// Names that it had before, each `owner/name`.
    pub former: Vec<String>,
    /// Whose pushes are held to the rule for workflows.
    pub pushers: Option<TokenKind>,
    /// Whether a hook holds pushes to rules.
    pub hooked: bool,
    branches: BTreeMap<String, Target>,
    files: RefFiles,
}

/// When something ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Time(Instant),
    /// As soon as the store's count of releases differs.
    Released(u64),
}

impl Until {
    /// `released` is the store's count.
    fn is_over(self, released: u64) -> bool {
        match self {
            Self::Time(time) => Instant::now() >= time,
            Self::Released(count) => count != released,
        }
    }
}

impl Store {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            started: Instant::now(),
            repositories: Vec::new(),
            tokens: BTreeMap::new(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            timeline: Vec::new(),
            armed: Vec::new(),
            remaining: RATE - 1,
            date: None,
            releases_of_faults: 0,
        }
    }

    /// Adds a repository without a look at its git directory.
    pub fn add(&mut self, name: &str, config: Repository) -> usize {
        let id = 1001 + self.repositories.len() as u64;
        let rules = rules::Repo {
            max_asset_bytes: self.settings.max_asset_bytes,
            max_assets: self.settings.max_assets,
            // Ids differ between repositories as well: the host of the bytes knows assets by nothing else.
            next_id: id * 1_000_000,
            ..rules::Repo::new(id, name)
        };
        let (issues, branches, files) = (Vec::new(), BTreeMap::new(), RefFiles::new());
        let (lag, hidden, former) = (Lag::default(), Vec::new(), Vec::new());
        let (pushers, hooked) = (None, false);
        self.repositories.push(Repo { rules, config, issues, lag, hidden, former, pushers, hooked, branches, files });
        self.repositories.len() - 1
    }

    /// Where the bytes of an asset are.
    pub fn file(&self, asset: u64) -> PathBuf {
        self.settings.storage.join(asset.to_string())
    }

    /// The repository's place; names differ by more than case.
    pub fn find(&self, name: &str) -> Option<usize> {
        let mut all = self.repositories.iter();
        all.position(|it| it.rules.name.eq_ignore_ascii_case(name))
    }

    /// The repository that had this name once.
    pub fn find_former(&self, name: &str) -> Option<usize> {
        let mut all = self.repositories.iter();
        all.position(|it| it.is_or_was(name))
    }

    pub fn rename(&mut self, at: usize, new: &str) {
        let repo = &mut self.repositories[at];
        let old = std::mem::replace(&mut repo.rules.name, new.to_owned());
        repo.former.retain(|it| !it.eq_ignore_ascii_case(new));
        repo.former.push(old);
    }

    /// Reads the tags of a repository, lets go of releases whose tag is gone, and notes what is shown now.
    pub fn look(&mut self, at: usize, request: Option<usize>) -> Result<()> {
        let repo = &mut self.repositories[at];
        repo.rules.immutable_releases = repo.config.immutable_releases;
        repo.rules.rulesets.clone_from(&repo.config.rulesets);
        if let Some(refs) = repo.git().look(&repo.files)? {
            repo.rules.tags = refs.tags;
            repo.rules.default_branch = refs.default_branch.unwrap_or_else(|| "main".to_owned());
            (repo.branches, repo.files) = (refs.branches, refs.files);
        }
        repo.rules.tags_changed();
        let shown = Shown { at: self.started.elapsed(), request, ..repo.shown(&self.settings.rolling_tag) };
        let mut earlier = self.timeline.iter().rev();
        let last = earlier.find(|it| it.repository == shown.repository);
        if last.is_none_or(|it| (&it.tag, &it.release) != (&shown.tag, &shown.release)) {
            self.timeline.push(shown);
        }
        Ok(())
    }

    /// The releases as listings and the lookup by tag show them.
    pub fn listed(&self, at: usize) -> &[Release] {
        let repo = &self.repositories[at];
        repo.lag.shown(Reads::Listings, &repo.rules, |until| self.is_over(*until))
    }

    /// A release as reading it by its id shows it.
    pub fn by_id(&self, at: usize, id: u64) -> Result<&Release, Refusal> {
        let repo = &self.repositories[at];
        repo.lag.release(&repo.rules, id, |until| self.is_over(*until))
    }

    /// From now on some reads show what is there now, before the work of this request.
    pub fn keep_view(&mut self, at: usize, reads: Reads, lasting: Lasting) {
        let until = self.until(lasting);
        let released = self.releases_of_faults;
        let repo = &mut self.repositories[at];
        repo.lag.begin(reads, &repo.rules, until, |until| until.is_over(released));
    }

    /// From now on a release is 404 by its id.
    pub fn hide(&mut self, at: usize, release: u64, lasting: Lasting) {
        let until = self.until(lasting);
        self.repositories[at].hidden.push((until, release));
    }

    /// Refuses a release that is hidden.
    pub fn require_shown(&self, at: usize, release: u64) -> Result<(), Refusal> {
        let mut hidden = self.repositories[at].hidden.iter();
        match hidden.any(|(until, id)| *id == release && !self.is_over(*until)) {
            true => Err(Refusal::not_found()),
            false => Ok(()),
        }
    }

    fn until(&self, lasting: Lasting) -> Until {
        match lasting {
            Lasting::For(time) => Until::Time(Instant::now() + time),
            Lasting::UntilReleased => Until::Released(self.releases_of_faults),
        }
    }

    fn is_over(&self, until: Until) -> bool {
        until.is_over(self.releases_of_faults)
    }

    pub fn snapshot(&self) -> State {
        let each = self.repositories.iter().map(|it| RepositoryState {
            name: it.rules.name.clone(),
            releases: it.rules.releases.clone(),
            issues: it.issues.clone(),
            retired_tags: it.rules.retired_tags.clone(),
        });
        State { repositories: each.collect() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Repo {
    /// Notes that the bytes of an asset were asked for.
    pub fn count_download(&mut self, id: u64) {
        if let Ok(asset) = self.rules.asset_mut(id) {
            asset.download_count += 1;
        }
    }

    /// Whether it has this name, or had it.
    pub fn is_or_was(&self, name: &str) -> bool {
        [&self.rules.name].into_iter().chain(&self.former).any(|it| it.eq_ignore_ascii_case(name))
    }

    pub fn git(&self) -> Git<'_> {
        Git(&self.config.git_dir)
    }

    /// The rules, and the git that they ask. `workflows` is what a request is told that may not change workflows and would.
    pub fn parts(&mut self, workflows: Option<Refusal>) -> (&mut rules::Repo, Asked<'_>) {
        let head = self.branches.get(&self.rules.default_branch).map(|it| it.commit.as_str());
        let asked = Asked { git: Git(&self.config.git_dir), branches: &self.branches, head, workflows };
        (&mut self.rules, asked)
    }

    /// The commit that a name or an id stands for.
    pub fn commit_of(&self, name: &str) -> Result<Option<String>, Refusal> {
        let git = Asked { git: self.git(), branches: &self.branches, head: None, workflows: None };
        Ok(self.rules.target(&git, name)?.map(|it| it.commit))
    }

    /// Whether it has neither a branch nor a tag.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty() && self.rules.tags.is_empty()
    }

    fn shown(&self, tag: &str) -> Shown {
        let tag_now = self.rules.tags.get(tag);
        Shown {
            at: Duration::ZERO,
            repository: self.rules.name.clone(),
            request: None,
            tag: tag_now.map(|it| ShownTag { object: it.object.clone(), commit: it.commit.clone() }),
            release: Release::published(&self.rules.releases, tag).map(shown_release),
        }
    }
}

fn shown_release(release: &Release) -> ShownRelease {
    let each = release.assets.iter().map(|it| ShownAsset {
        name: it.name.clone(),
        size: it.size,
        digest: it.digest.clone(),
        state: it.state,
    });
    let mut assets: Vec<ShownAsset> = each.collect();
    assets.sort_by(|a, b| a.name.cmp(&b.name));
    ShownRelease {
        id: release.id,
        name: release.name.clone(),
        body: release.body.clone(),
        prerelease: release.prerelease,
        assets,
    }
}
