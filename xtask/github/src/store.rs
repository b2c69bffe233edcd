//! Everything the stand-in remembers, behind one lock, and what every kind of request needs of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::answer::Refusal;
use crate::faults::{Armed, Lasting};
use crate::git::{Git, Refs};
use crate::log::{Logged, Request, Shown, ShownAsset, ShownRelease, ShownTag};
use crate::model::{Asset, Issue, Release, Repository, RepositoryState, Settings, State, Token};

pub(crate) struct Store {
    pub settings: Settings,
    pub started: Instant,
    pub repositories: Vec<Repo>,
    pub tokens: BTreeMap<String, Token>,
    pub requests: Vec<Logged>,
    pub unexpected: Vec<Request>,
    pub timeline: Vec<Shown>,
    pub armed: Vec<Armed>,
    /// How often waiting requests and stale listings were let go.
    pub releases_of_faults: u64,
    last_id: u64,
}

/// A repository with all that isn't in git.
pub(crate) struct Repo {
    pub id: u64,
    /// `owner/name`.
    pub name: String,
    pub config: Repository,
    pub releases: Vec<Release>,
    pub issues: Vec<Issue>,
    /// The release that was made the latest one explicitly.
    pub latest: Option<u64>,
    pub retired_tags: BTreeSet<String>,
    /// What listings show instead of `releases`.
    pub stale: Option<(Until, Vec<Release>)>,
    /// As of the last look.
    pub refs: Refs,
}

/// When something ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Time(Instant),
    /// As soon as the store's count of releases differs.
    Released(u64),
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
            releases_of_faults: 0,
            last_id: 1000,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Where the bytes of an asset are.
    pub fn file(&self, asset: u64) -> PathBuf {
        self.settings.storage.join(asset.to_string())
    }

    /// The repository's place; names differ by more than case.
    pub fn find(&self, name: &str) -> Option<usize> {
        let mut all = self.repositories.iter();
        all.position(|it| it.name.eq_ignore_ascii_case(name))
    }

    /// Reads the tags of a repository, lets go of releases whose tag is gone, and notes what is shown now.
    pub fn look(&mut self, at: usize, request: Option<usize>) -> Result<()> {
        let repo = &mut self.repositories[at];
        repo.refs = repo.git().look(&repo.refs)?;
        for release in &mut repo.releases {
            if !release.draft && !repo.refs.tags.contains_key(&release.tag_name) {
                release.draft = true;
                release.published_at = None;
                release.tag_name.clone_from(&release.untagged);
            }
        }
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
        match &repo.stale {
            Some((until, releases)) if !self.is_over(*until) => releases,
            _ => &repo.releases,
        }
    }

    /// From now on listings show what is there now, before the work of this request. A view that is older stays.
    pub fn keep_view(&mut self, at: usize, lasting: Lasting) {
        let until = match lasting {
            Lasting::For(time) => Until::Time(Instant::now() + time),
            Lasting::UntilReleased => Until::Released(self.releases_of_faults),
        };
        let view = self.listed(at).to_vec();
        self.repositories[at].stale = Some((until, view));
    }

    fn is_over(&self, until: Until) -> bool {
        match until {
            Until::Time(time) => Instant::now() >= time,
            Until::Released(count) => count != self.releases_of_faults,
        }
    }

    pub fn snapshot(&self) -> State {
        let each = self.repositories.iter().map(|it| RepositoryState {
            name: it.name.clone(),
            releases: it.releases.clone(),
            issues: it.issues.clone(),
            retired_tags: it.retired_tags.clone(),
        });
        State { repositories: each.collect() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Repo {
    pub fn git(&self) -> Git<'_> {
        Git(&self.config.git_dir)
    }

    pub fn release(&self, id: u64) -> Option<&Release> {
        self.releases.iter().find(|it| it.id == id)
    }

    pub fn release_mut(&mut self, id: u64) -> Result<&mut Release, Refusal> {
        let mut all = self.releases.iter_mut();
        all.find(|it| it.id == id).ok_or_else(Refusal::not_found)
    }

    /// An asset and the release that holds it.
    pub fn asset(&self, id: u64) -> Option<(&Release, &Asset)> {
        let mut all = self.releases.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
        all.find(|(_, asset)| asset.id == id)
    }

    /// The commit that a name or an id stands for.
    pub fn commit_of(&self, name: &str) -> Result<Option<String>> {
        match self.refs.find(name) {
            Some(found) => Ok(Some(found.commit.clone())),
            None => self.git().commit_id(name),
        }
    }

    /// The date of the commit that a release of this tag stands for.
    pub fn commit_date(&self, tag: &str, target: &str) -> Result<SystemTime> {
        if let Some(found) = self.refs.tags.get(tag).or_else(|| self.refs.find(target)) {
            return Ok(found.date);
        }
        Ok(match self.git().commit_id(target)? {
            Some(commit) => self.git().commit(&commit)?.committer.date,
            None => SystemTime::now(),
        })
    }

    fn shown(&self, tag: &str) -> Shown {
        let release = self.releases.iter().find(|it| !it.draft && it.tag_name == tag);
        Shown {
            at: Duration::ZERO,
            repository: self.name.clone(),
            request: None,
            tag: self.refs.tags.get(tag).map(|it| ShownTag { object: it.object.clone(), commit: it.commit.clone() }),
            release: release.map(shown_release),
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
