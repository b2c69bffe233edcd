//! Making, changing and deleting releases: which one owns a tag, and what publishing does.

use std::time::SystemTime;

use super::{Git, Refusal, Repo, Tag};
use crate::model::Release;

/// GitHub's limit on a release's notes, in characters.
const MAX_BODY: usize = 125_000;

/// What a request says about a release, with the names of GitHub's fields; `None` where it doesn't say anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub tag_name: Option<String>,
    pub target_commitish: Option<String>,
    /// `Some(None)` is null.
    pub name: Option<Option<String>>,
    /// `Some(None)` is null.
    pub body: Option<Option<String>>,
    pub draft: Option<bool>,
    pub prerelease: Option<bool>,
    pub make_latest: Option<MakeLatest>,
}

/// Whether a release becomes GitHub's own latest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MakeLatest {
    True,
    False,
    /// The newest by date.
    Legacy,
}

impl Change {
    /// Whether it does nothing but publish. `gh release create` sends just that after its uploads, without the tag's name, and GitHub
    /// keeps the tag then; with any other change of a draft it is lost.
    fn only_publishes(&self) -> bool {
        let said = self.name.is_some() || self.body.is_some() || self.target_commitish.is_some();
        self.draft == Some(false) && self.prerelease.is_none() && !said
    }

    fn check(&self) -> Result<(), Refusal> {
        let notes = self.body.iter().flatten().next().map_or("", String::as_str);
        // Counting characters takes a while, and bytes are at least as many.
        if notes.len() > MAX_BODY && notes.chars().count() > MAX_BODY {
            let message = format!("body is too long (maximum is {MAX_BODY} characters)");
            return Err(Refusal::custom("Release", Some("body"), message));
        }
        Ok(())
    }
}

/// A release as it is to become, as far as the rules about tags look at it.
struct Wanted<'a> {
    /// None for a new one.
    id: Option<u64>,
    tag: &'a str,
    target: &'a str,
    /// Whether the request names the target.
    named: bool,
    draft: bool,
    prerelease: bool,
    make_latest: Option<MakeLatest>,
}

/// What the rules found about it.
struct Settled {
    /// A tag that was made for it.
    tag: Option<Tag>,
    /// The date of its commit.
    created_at: SystemTime,
    /// Whether this publishes it.
    newly: bool,
}

impl Repo {
    /// Makes a release; published unless `change` says that it is a draft.
    ///
    /// # Errors
    /// 422 for what GitHub doesn't take.
    pub fn create(
        &mut self,
        git: &mut impl Git,
        change: &Change,
        author: &str,
        now: SystemTime,
    ) -> Result<&Release, Refusal> {
        change.check()?;
        let Some(tag) = &change.tag_name else {
            return Err(Refusal::schema("\"tag_name\" wasn't supplied."));
        };
        let target = change.target_commitish.as_ref().unwrap_or(&self.default_branch);
        let (draft, prerelease) = (change.draft.unwrap_or_default(), change.prerelease.unwrap_or_default());
        let (named, make_latest) = (change.target_commitish.is_some(), change.make_latest);
        let wanted = Wanted { id: None, tag, target, named, draft, prerelease, make_latest };
        let settled = self.settle(git, None, &wanted, now)?;
        let release = Release {
            id: self.next_id,
            tag_name: tag.clone(),
            target_commitish: target.clone(),
            name: change.name.clone().flatten(),
            body: change.body.clone().flatten(),
            draft,
            prerelease,
            immutable: false,
            created_at: now,
            published_at: None,
            author: author.to_owned(),
            assets: Vec::new(),
        };
        self.take_id();
        self.releases.push(release);
        Ok(self.become_so(self.releases.len() - 1, settled, change.make_latest, now))
    }

    /// Changes a release. A draft that is changed without its `tag_name` loses it: mongodb-js/mongosh#691.
    ///
    /// # Errors
    /// 404 without such a release, 422 for what GitHub doesn't take.
    pub fn edit(&mut self, git: &mut impl Git, id: u64, change: &Change, now: SystemTime) -> Result<&Release, Refusal> {
        let place = self.releases.iter().position(|it| it.id == id);
        let at = place.ok_or_else(Refusal::not_found)?;
        change.check()?;
        let before = &self.releases[at];
        let untagged;
        let tag = match &change.tag_name {
            Some(tag) => tag,
            None if before.draft && !change.only_publishes() => {
                untagged = before.untagged();
                &untagged
            }
            None => &before.tag_name,
        };
        let wanted = Wanted {
            id: Some(id),
            tag,
            target: change.target_commitish.as_ref().unwrap_or(&before.target_commitish),
            named: change.target_commitish.is_some(),
            draft: change.draft.unwrap_or(before.draft),
            prerelease: change.prerelease.unwrap_or(before.prerelease),
            make_latest: change.make_latest,
        };
        let locked = (wanted.tag, wanted.draft) != (before.tag_name.as_str(), before.draft);
        if before.immutable && locked {
            return Err(Refusal::new(422, "Cannot change the tag of an immutable release"));
        }
        let settled = self.settle(git, Some(before), &wanted, now)?;
        let (draft, prerelease) = (wanted.draft, wanted.prerelease);
        let renamed = (*tag != before.tag_name).then(|| tag.clone());
        let release = &mut self.releases[at];
        set(&mut release.tag_name, renamed.as_ref());
        set(&mut release.target_commitish, change.target_commitish.as_ref());
        set(&mut release.name, change.name.as_ref());
        set(&mut release.body, change.body.as_ref());
        (release.draft, release.prerelease) = (draft, prerelease);
        Ok(self.become_so(at, settled, change.make_latest, now))
    }

    /// Deletes a release with its assets and returns it. Its tag stays.
    ///
    /// # Errors
    /// 404 without such a release.
    pub fn delete(&mut self, id: u64) -> Result<Release, Refusal> {
        let place = self.releases.iter().position(|it| it.id == id);
        Ok(self.releases.remove(place.ok_or_else(Refusal::not_found)?))
    }

    /// Holds a release as it is to become against GitHub's rules: whose tag it is, what publishing does.
    fn settle(
        &self,
        git: &mut impl Git,
        before: Option<&Release>,
        wanted: &Wanted<'_>,
        now: SystemTime,
    ) -> Result<Settled, Refusal> {
        if !self.tags.contains_key(wanted.tag) && !git.is_tag_name(wanted.tag)? {
            return Err(Refusal::custom("Release", Some("tag_name"), "tag_name is not a valid tag"));
        }
        if wanted.make_latest == Some(MakeLatest::True) && (wanted.draft || wanted.prerelease) {
            return Err(Refusal::custom("Release", None, "Latest release cannot be draft or prerelease"));
        }
        self.check_target(git, wanted)?;
        let tag = if wanted.draft { None } else { self.own_tag(git, before, wanted)? };
        let created_at = match tag.as_ref().or_else(|| self.tags.get(wanted.tag)) {
            Some(tag) => tag.date,
            None => self.target(git, wanted.target)?.map_or(now, |it| it.date),
        };
        let newly = !wanted.draft && before.is_none_or(|it| it.draft);
        Ok(Settled { tag, created_at, newly })
    }

    /// Looks at the target, which is in force although it does nothing where the tag exists: a wrong one is refused on drafts as well
    /// (release-drafter#1125), and so is one that changes workflows, also when it came with an earlier request.
    fn check_target(&self, git: &impl Git, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        // The default branch exists, unless the repository is empty, and doesn't differ from itself.
        if wanted.target == self.default_branch {
            return Ok(());
        }
        match self.target(git, wanted.target)? {
            Some(target) => git.allow(&target.commit),
            None if wanted.named => Err(Refusal::invalid("Release", "invalid", "target_commitish")),
            None => Ok(()),
        }
    }

    /// Makes the tag of a release that is published its own: no other published release may have it, and git must. Returns the tag where
    /// it was made for that.
    fn own_tag(
        &self,
        git: &mut impl Git,
        before: Option<&Release>,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Tag>, Refusal> {
        let tag = wanted.tag;
        let mut others = self.releases.iter().filter(|it| Some(it.id) != wanted.id);
        if others.any(|it| !it.draft && it.tag_name == tag) {
            return Err(Refusal::invalid("Release", "already_exists", "tag_name"));
        }
        let had_it = before.is_some_and(|it| !it.draft && it.tag_name == tag);
        if self.retired_tags.contains(tag) && !had_it {
            let message = "tag_name was used by an immutable release";
            return Err(Refusal::custom("Release", Some("tag_name"), message));
        }
        if self.tags.contains_key(tag) {
            return Ok(None);
        }
        let Some(target) = self.target(git, wanted.target)? else {
            return Err(Refusal::invalid("Release", "invalid", "target_commitish"));
        };
        self.check_new_tag(tag)?;
        git.create_tag(tag, &target.commit)?;
        Ok(Some(Tag { object: target.commit.clone(), commit: target.commit, date: target.date }))
    }

    /// What follows for a release from what the rules found about it.
    fn become_so(&mut self, at: usize, settled: Settled, make_latest: Option<MakeLatest>, now: SystemTime) -> &Release {
        let release = &mut self.releases[at];
        release.created_at = settled.created_at;
        if settled.newly {
            release.published_at = Some(now);
            if self.immutable_releases {
                release.immutable = true;
                self.retired_tags.insert(release.tag_name.clone());
            }
        }
        if release.draft {
            release.published_at = None;
            // A draft has no badge, and gets none back by being published again.
            self.latest = self.latest.filter(|it| *it != release.id);
        } else {
            // A release that is published becomes the latest one unless that is declined; an edit doesn't do it by itself.
            match make_latest.or(settled.newly.then_some(MakeLatest::True)) {
                Some(MakeLatest::True) if !release.prerelease => self.latest = Some(release.id),
                Some(MakeLatest::Legacy) => self.latest = None,
                Some(MakeLatest::False) => self.latest = self.latest.filter(|it| *it != release.id),
                _ => {}
            }
        }
        if let Some(tag) = settled.tag {
            self.tags.insert(release.tag_name.clone(), tag);
        }
        release
    }
}

fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}
