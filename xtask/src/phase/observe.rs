//! Asks GitHub, the remote and the images folder, once each, and puts the picture together.
//!
//! What cannot be asked is part of the picture and no error, so that every verb can show the rest. `publish` asks here, too,
//! what `check` decides about images that it is to carry over.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use super::latest::{self, Latest};
use super::row;
use super::{Agreement, Goal, Local, Options, Picture, Place, Standing, unasked};
use crate::decide::{self, Decision, Observed, Published};
use crate::digest::Digest;
use crate::document;
use crate::failure::{self, Advice as _, Failure};
use crate::gh::{Asset, Gh};
use crate::git::TagRef;
use crate::image::name;
use crate::image::record::Facts;
use crate::latest::audit;
use crate::latest::choose::Judged;
use crate::latest::client::Client;
use crate::latest::look::{self, Live, Look};
use crate::latest::{TAG, notes};
use crate::manifest::Image;
use crate::process::joined;
use crate::signing::Allowed;
use crate::sources::templates;
use crate::sources::{self, Fit, History, Moment, fits};
use crate::version;

/// The picture, and what is on GitHub where that could be read.
///
/// # Errors
///
/// Something here cannot be read.
pub fn observe(
    place: &Place,
    gh: &Gh,
    client: Client<'_>,
    history: &mut History,
    options: &Options,
) -> anyhow::Result<(Picture, Option<Look>)> {
    let (look, observed) = ask(gh, client, history, &place.remote)?;
    let latest = match &look {
        Ok(look) => Ok(audited(Latest::of(client, look), place, client, look)?),
        Err(unasked) => Err(unasked.clone()),
    };
    let look = look.ok();
    let at_head = |name: &&String| {
        version::is_version_tag(name) && Some(&observed.local_tags[*name].commit) == history.head.as_ref()
    };
    let version_here = observed.local_tags.keys().filter(at_head).max_by_key(|name| version::order(name)).cloned();
    let (goal, moment) = goal(history, options, latest.as_ref().ok(), version_here.as_deref(), &observed)?;
    let live = look.as_ref().and_then(|look| look.live.as_ref());
    let templates = history.templates(&moment)?;
    let report = match decide::by_latest(history, &observed, &templates, &moment) {
        Err(error) if failure::kind(&error) == failure::Kind::Missing => Err(unasked(&error)),
        decided => Ok(decided?),
    };
    let published = observed.latest.as_ref().ok().and_then(Option::as_ref);
    let altered = published.map(|published| published.altered.clone()).unwrap_or_default();
    let mut picture = Picture {
        repo: gh.repo().clone(),
        remote: place.remote.clone(),
        report,
        rows: row::rows(gh.console(), &templates, &place.images, live, altered)?,
        goal,
        latest,
        version_here,
        head: history.head.clone(),
        to_build: Vec::new(),
        to_publish: Vec::new(),
        unsummed: Vec::new(),
        uncommitted: Vec::new(),
        document: None,
        problem: None,
    };
    picture.judge(history)?;
    if let Some(look) = &look
        && (options.document || picture.is_at_rest())
    {
        let written = picture.written(gh, client, history, look, options);
        picture.document = Some(written.map_err(|error| Failure::of(&error)));
    }
    Ok((picture, look))
}

/// What is on GitHub, and what `check` compares with. The remote is asked meanwhile.
fn ask(
    gh: &Gh,
    client: Client<'_>,
    history: &History,
    remote: &str,
) -> anyhow::Result<(Result<Look, Failure>, Observed)> {
    let (look, remote_tags) = thread::scope(|scope| {
        let git = history.git().clone();
        let tags = scope.spawn(move || git.all_remote_tags(remote));
        (look::look(client), joined(tags))
    });
    let look = look.and_then(|look| look.is_not_half_swapped().map(|()| look)).map_err(|error| unasked(&error));
    let latest = match &look {
        Ok(look) => Ok(look.live.as_ref().map(|live| published(client, look, live)).transpose()?),
        Err(unasked) => Err(unasked.clone()),
    };
    let observed = compared_with(gh, history, remote, latest, remote_tags)?;
    Ok((look, observed))
}

/// What `check` compares with, once GitHub and the remote have answered.
fn compared_with(
    gh: &Gh,
    history: &History,
    remote: &str,
    latest: Result<Option<Published>, Failure>,
    remote_tags: anyhow::Result<BTreeMap<String, TagRef>>,
) -> anyhow::Result<Observed> {
    Ok(Observed {
        repo: gh.repo().to_string(),
        remote: remote.to_owned(),
        latest,
        remote_tags: remote_tags.map_err(|error| unasked(&error)),
        local_tags: if history.has_repository() { history.git().local_tags()? } else { BTreeMap::new() },
    })
}

/// What is published, with what older manifests record of images that a person published by hand.
fn published(client: Client<'_>, look: &Look, live: &Live) -> anyhow::Result<Published> {
    let recorded = || live.manifest.iter().flat_map(|manifest| &manifest.images);
    let mut records: BTreeMap<String, Facts> = recorded().map(|it| (it.name.clone(), it.facts.clone())).collect();
    let altered = |image: &Image| Some((image.name.clone(), audit::altered_image(image, &live.assets)?));
    let mut altered: BTreeMap<String, String> = recorded().filter_map(altered).collect();
    let names = audit::images(&live.assets);
    let mut manifest = live.manifest.as_ref().map(|manifest| format!("the manifest on `{TAG}` ({})", manifest.source));
    let mut digests = BTreeMap::new();
    if manifest.is_none() && live.damaged.is_none() {
        digests = audit::digests(client, live)?;
        let by_hand = |name: &String| Some((name.clone(), by_hand(live, name, digests.get(name))?.to_owned()));
        altered.extend(names.iter().filter_map(by_hand));
    }
    if latest::is_remade(look, live) {
        manifest = Some(format!("the manifest of the set that this image of `{TAG}` was in before"));
        for (set, _) in look.stamped() {
            let images = set.contents(client)?.manifest.into_iter().flat_map(|manifest| manifest.images);
            for image in images.filter(|image| digests.get(&image.name) == Some(&image.sha256)) {
                records.entry(image.name).or_insert(image.facts);
            }
        }
    }
    let mut images: BTreeMap<_, _> = names.into_iter().map(|name| (name, None)).collect();
    images.extend(records.into_iter().map(|(name, facts)| (name, Some(facts))));
    Ok(Published {
        version: notes::points_to(live.release.notes()).map(str::to_owned),
        images,
        manifest: live.damaged.clone().map_or(Ok(manifest), Err),
        altered,
    })
}

/// Why an image that a person published does not count as published: a publish cannot carry it over.
fn by_hand(live: &Live, name: &str, promised: Option<&Digest>) -> Option<&'static str> {
    let Some(promised) = promised else { return Some("its checksum file on `latest` is missing or damaged") };
    let there = live.asset(&name::whole(name)).and_then(Asset::digest);
    there.filter(|there| there != promised).map(|_| "the image on `latest` does not match its checksum file")
}

/// Compares the live set with its manifest, notes, tag and signature.
fn audited(mut state: Latest, place: &Place, client: Client<'_>, look: &Look) -> anyhow::Result<Latest> {
    let Some(live) = &look.live else { return Ok(state) };
    let templates = templates::names(&place.packer_dir).unwrap_or_default();
    let mut audit = audit::published(client, look, live, &templates)?;
    let plain = audit.differences.len();
    let allowed = Allowed::in_dir(&place.packer_dir)?;
    state.signed_by = audit::signature(client, live, allowed.as_ref(), &mut audit)?;
    state.unsigned = audit.differences[plain..].to_vec();
    state.audit = audit;
    Ok(state)
}

/// What the phase is for, and the moment whose files it is about.
fn goal(
    history: &mut History,
    options: &Options,
    state: Option<&Latest>,
    here: Option<&str>,
    observed: &Observed,
) -> anyhow::Result<(Goal, Moment)> {
    let label = state.and_then(|state| state.live.as_ref()?.label.as_deref());
    let overtaken = |release: &str| label.is_some_and(|label| version::is_newer(label, release));
    let taken = state.and_then(|state| state.taken_back.as_deref());
    let is_taken = |release: Option<&str>, taken: &str| {
        release.is_none_or(|it| Some(it) != label && !version::is_newer(it, taken))
    };
    let differs = state.is_some_and(|state| !state.audit.differences.is_empty());
    let release = match (&options.release, here) {
        // The set that a rollback restored is repaired first, and nothing of the set that was taken back is published.
        (asked, here) if differs && taken.is_some_and(|it| is_taken(asked.as_deref().or(here), it)) => label,
        (Some(release), _) => Some(release.as_str()),
        (None, Some(here)) if !overtaken(here) => Some(here),
        // An older version is checked out: the images here are not for publishing.
        (None, Some(_)) => label,
        (None, None) => None,
    };
    let commit = match release {
        Some(release) => history.commit(&format!("refs/tags/{release}"))?,
        None => None,
    };
    let asked = options.release.as_deref().filter(|asked| Some(*asked) == release);
    let is_here = asked.is_none() && (release == here || commit.is_none());
    let moment = match commit.clone().or_else(|| history.head.clone()) {
        Some(commit) if !is_here => Moment::Commit(commit),
        _ => Moment::WorkTree,
    };
    let standing = match (label, taken.filter(|taken| is_taken(release, taken))) {
        (Some(label), _) if release.is_some_and(overtaken) => Standing::Overtaken(label.to_owned()),
        (_, Some(taken)) => Standing::TakenBack(taken.to_owned()),
        _ => Standing::Ahead,
    };
    let known = observed.local_tags.keys().chain(observed.remote_tags.iter().flat_map(BTreeMap::keys));
    let known = known.map(String::as_str).chain(label).filter(|name| version::is_version_tag(name));
    let newest = known.max_by(|a, b| version::order(a).cmp(&version::order(b)));
    let suggestion = newest.map_or_else(|| "v0.1".to_owned(), version::after);
    Ok((Goal { release: release.map(str::to_owned), commit, standing, suggestion }, moment))
}

/// The decisions of `check` about some images on `latest`, for a publish of a commit.
pub fn differs(
    remote: &str,
    gh: &Gh,
    client: Client<'_>,
    history: &mut History,
    look: &Look,
    (images, commit): (&BTreeSet<String>, Option<String>),
) -> anyhow::Result<Judged> {
    let latest = look.live.as_ref().map(|live| published(client, look, live)).transpose()?;
    let remote_tags = history.git().all_remote_tags(remote);
    let observed = compared_with(gh, history, remote, Ok(latest), remote_tags)?;
    let other = commit.filter(|commit| history.head.as_ref() != Some(commit));
    let moment = other.map_or(Moment::WorkTree, Moment::Commit);
    let report = decide::by_latest(history, &observed, images, &moment)?;
    let mut judged = Judged::default();
    for image in report.images {
        match (image.decision, image.baseline) {
            (Decision::Skip, Some(base)) => {
                let commit = base.commit.as_deref().map_or(Ok(None), |commit| history.commit(commit))?;
                judged.origins.extend(commit.map(|commit| (image.name, (base.what, commit))));
            }
            _ => drop(judged.reasons.insert(image.name, image.reason)),
        }
    }
    Ok(judged)
}

impl Picture {
    /// The decisions of `check`, and from them what must be built, and what here must be published.
    fn judge(&mut self, history: &mut History) -> anyhow::Result<()> {
        let Ok(report) = &self.report else { return Ok(()) };
        let head = self.goal.commit.clone().or_else(|| history.head.clone());
        let is_label = self.label().is_some() && self.label() == self.goal.release.as_deref();
        let mut uncommitted = BTreeSet::new();
        for image in &report.images {
            if let Some(row) = self.rows.iter_mut().find(|row| row.name == image.name) {
                (row.decision, row.reason) = (Some(image.decision), Some(image.reason.clone()));
            }
            let files = image.files.iter().filter(|file| report.uncommitted.contains(&file.path));
            uncommitted.extend(files.map(|file| file.path.clone()));
        }
        self.uncommitted = uncommitted.into_iter().collect();
        for row in self.rows.iter_mut().filter(|row| row.template) {
            // What a person changed on `latest` is restored.
            let restores = row.altered.is_some() && row.agreement == Agreement::Same;
            match &row.local {
                Local::Present { sha256: None, .. } if row.is_wanted() => {
                    self.unsummed.push(row.name.clone());
                    continue;
                }
                Local::Present { record, .. } if row.is_wanted() || row.is_news() || restores => {
                    let made = record.as_ref().map(|record| record.facts.made()).unwrap_or_default();
                    let fit =
                        head.as_deref().map(|head| fits::fits_commit(history, &row.name, made, head)).transpose()?;
                    row.is_of_goal = !matches!(fit, Some(Fit::Differs(_)));
                    let fit = fit.filter(|_| row.is_news() || restores);
                    row.unfit = fit.and_then(|fit| unfit(fit, restores && is_label));
                }
                Local::Unusable { problem, .. } => row.unfit = Some(problem.clone()),
                _ => {}
            }
            let publishes = restores || (row.is_news() && (row.is_wanted() || row.is_forced()));
            if publishes && row.unfit.is_none() {
                self.to_publish.push(row.name.clone());
            } else if row.is_wanted() {
                self.to_build.push(row.name.clone());
            }
        }
        Ok(())
    }

    /// Whether no image must be built or published, and `latest` needs no repair.
    fn is_at_rest(&self) -> bool {
        let idle = self.goal.standing != Standing::Ahead;
        let lists = [&self.to_build, &self.to_publish, &self.unsummed, &self.uncommitted];
        let done = idle || lists.iter().all(|list| list.is_empty());
        done && self.latest.as_ref().is_ok_and(|state| state.recovery.is_none() && state.audit.differences.is_empty())
    }

    /// What `document` writes.
    fn written(
        &self,
        gh: &Gh,
        client: Client<'_>,
        history: &mut History,
        look: &Look,
        options: &Options,
    ) -> anyhow::Result<document::Plan> {
        let Some(release) = self.documented(options) else {
            return Err(
                failure::missing("it is unknown which release to document").fix("name the release with --release")
            );
        };
        let report = self.report.as_ref().map_err(Clone::clone)?;
        let taken_back = self.latest.as_ref().is_ok_and(|state| state.taken_back.as_deref() == Some(release));
        let record = document::record(client, history, look, report, (self.label(), taken_back), release)?;
        document::Plan::of(gh, record, options.issue.map(|issue| (issue, options.issue_repo.as_deref())))
    }
}

/// Why an image here must not be published. `again`: it was published for this very version before.
fn unfit(fit: Fit, again: bool) -> Option<String> {
    match fit {
        Fit::Same => None,
        Fit::Unknown(_) if again => None,
        Fit::Differs(changes) => Some(sources::because(&changes, "it was built")),
        Fit::Unknown(why) => Some(format!("{why}; `publish --built-from REV` states the revision")),
    }
}
