//! What there is at a moment: what doctor, status, verify and document say, and which local images are the release's.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{self, Line, Lines};
use crate::checklist::{Checklist, Local, Row};
use crate::console::Console;
use crate::decide::{Decision, History, Moment};
use crate::failure;
use crate::gh::Gh;
use crate::image::local::{self, LocalImage};
use crate::latest::audit;
use crate::latest::doors::Doors;
use crate::latest::fits::{self, Fit, Made};
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::latest::source::{self, Absent};
use crate::verbs::{Common, Outcome, status};

/// All that the steps follow from.
#[derive(Debug, Default)]
pub struct Seen {
    /// Why a release can't begin: what doctor found, or that its tag isn't where it must be.
    pub ill: Option<String>,
    pub tag: Option<Absent>,
    pub list: Checklist,
    /// Images that must be built for the release.
    pub to_build: Vec<String>,
    /// Images here that are to go onto `latest`.
    pub to_publish: Vec<String>,
    /// Whether `latest` already is the release's set.
    pub published: bool,
    /// verify's answer, once there is nothing more to publish.
    pub verified: Option<Result<String, String>>,
    /// document's, then.
    pub documented: Option<Result<Documented, String>>,
}

/// What document would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// Nothing is left to write.
    pub written: bool,
    /// The line in the release's notes.
    pub line: String,
    /// The images that were, or are to be, built anew.
    pub rebuilt: Vec<String>,
    /// Whether the issue was asked for.
    pub on_issue: bool,
}

impl Seen {
    /// With doctor, which needs no second answer.
    pub fn first(lines: &Lines<'_>, console: &Console) -> anyhow::Result<Self> {
        console.note("Looking at tools, login, hosts and GitHub …");
        let doctor = silently(&lines.doctor(), lines)?;
        let ill = (doctor.exit != 0).then(|| format!("not in order; `{}` tells what, with its cure", lines.doctor()));
        if ill.is_some() {
            return Ok(Self { ill, ..Self::default() });
        }
        Self::again(lines)
    }

    /// Once more, after a step.
    pub fn again(lines: &Lines<'_>) -> anyhow::Result<Self> {
        let common = lines.common;
        let silent = Console::silent();
        let mut history = History::open(&common.packer_dir())?;
        let gh = Gh::new(common.repo()?, status::TRIES, &silent);
        let address = common.address(gh.repo());
        if let Some(tag) = source::absent(&gh, history.git(), &common.remote, &address, lines.release())? {
            return Ok(Self { ill: Some(tag.to_string()), tag: Some(tag), ..Self::default() });
        }
        let commit = history.commit(&format!("refs/tags/{}", lines.release()))?;
        let moment = commit.clone().map_or(Moment::WorkTree, Moment::Commit);
        let (list, look) = status::look(common, &silent, &mut history, &moment)?;
        let mut seen = Self { list, ..Self::default() };
        let Some(latest) = &seen.list.latest else {
            seen.ill = Some(seen.list.unasked.join("\n"));
            return Ok(seen);
        };
        let live = latest.release.as_ref();
        if let Some(source) = live.and_then(|release| release.source.as_deref())
            && crate::version::is_newer(source, lines.release())
        {
            return Err(failure::failed(format!(
                "`latest` already stands for {source}, which is newer than {}; nothing is left to do for it here",
                lines.release()
            )));
        }
        seen.published = latest.heal.is_none()
            && live.is_some_and(|release| {
                release.source.as_deref() == Some(lines.release())
                    && (release.commit.is_none() || release.commit == commit)
            });
        let stale = match &commit {
            Some(commit) => stale(&mut history, common, &seen.list, commit)?,
            None => BTreeSet::new(),
        };
        seen.sort_out(&stale);
        if seen.to_build.is_empty() && !seen.must_publish(lines.release()) {
            let outside = GitHub::new(&gh, history.git(), address, &silent);
            let verified = verified(Doors::new(&outside), look.as_ref(), &seen.list)?;
            seen.documented = verified.is_ok().then(|| documented(lines));
            seen.verified = Some(verified);
        }
        Ok(seen)
    }

    /// Which images are to be built, and which of those here are to be published.
    fn sort_out(&mut self, stale: &BTreeSet<String>) {
        for row in self.list.rows.iter().filter(|row| row.template) {
            if row.is_news() && !stale.contains(&row.name) && is_wanted(row) {
                self.to_publish.push(row.name.clone());
            } else if row.published.is_none() || (!self.published && is_rebuild(row)) {
                self.to_build.push(row.name.clone());
            }
        }
    }

    /// Whether `latest` is to change, once all is built.
    pub fn must_publish(&self, release: &str) -> bool {
        let latest = self.list.latest.as_ref();
        let begun = |latest: &crate::checklist::Latest| {
            latest.heal.is_some() || latest.incoming.iter().any(|draft| draft.source.as_deref() == Some(release))
        };
        !self.to_publish.is_empty() || latest.is_some_and(begun)
    }
}

fn is_rebuild(row: &Row) -> bool {
    matches!(row.decision, Some((Decision::Rebuild, _)))
}

/// An image here that check wants, or that was built after the published one arrived: on purpose, for what no diff shows.
/// An older one is what an earlier release left behind.
fn is_wanted(row: &Row) -> bool {
    let Some(published) = row.published.as_ref().filter(|_| !is_rebuild(row)) else { return true };
    let Local::Present { built_at: Some(built), .. } = &row.local else { return false };
    let time = |text: &str| humantime::parse_rfc3339(text).ok();
    time(built).zip(published.updated_at.as_deref().and_then(time)).is_some_and(|(built, there)| built > there)
}

/// The images here that are made of something else than the release. Where nothing tells, they are taken for what an earlier
/// release left behind, if there was one that published them.
fn stale(history: &mut History, common: &Common, list: &Checklist, commit: &str) -> anyhow::Result<BTreeSet<String>> {
    let images = common.images();
    let found = if images.is_dir() { local::scan(&images)? } else { BTreeMap::new() };
    let mut stale = BTreeSet::new();
    for row in list.rows.iter().filter(|row| row.template && row.is_news()) {
        let Some(files) = found.get(&row.name) else { continue };
        let record = LocalImage::open(&images, &row.name, files)?.record;
        let made = Made {
            inputs: record.as_ref().and_then(|record| record.inputs.as_ref()),
            built_from: record.as_ref().and_then(|record| record.built_from.as_ref()),
        };
        let is_stale = match fits::fits_commit(history, &row.name, made, commit)? {
            Fit::Same => false,
            Fit::Differs(_) => true,
            Fit::Unknown(_) => row.published.is_some(),
        };
        if is_stale {
            stale.insert(row.name.clone());
        }
    }
    Ok(stale)
}

/// What a verb that changes nothing says, without showing it.
fn silently(line: &Line, lines: &Lines<'_>) -> anyhow::Result<Outcome> {
    line::verb(line.words().unwrap_or_default())?.run(lines.common, &Console::silent())
}

/// Whether `latest` is as it should be. An image here that an earlier release left behind is no fault of it.
fn verified(doors: Doors<'_>, look: Option<&Look>, list: &Checklist) -> anyhow::Result<Result<String, String>> {
    let Some((look, live)) = look.and_then(|look| Some((look, look.live.as_ref()?))) else {
        return Ok(Err("nothing is published".to_owned()));
    };
    let audit = audit::published(doors, live, look.tag.as_ref())?;
    if !audit.differences.is_empty() {
        return Ok(Err(audit.differences.join("\n")));
    }
    let left: Vec<&str> = list.rows.iter().filter(|row| row.is_news()).map(|row| row.name.as_str()).collect();
    let left = if left.is_empty() { String::new() } else { format!("; other ones here: {}", left.join(", ")) };
    Ok(Ok(match audit::images(&live.assets).len() {
        1 => format!("the image on `latest` is as it should be{left}"),
        images => format!("all {images} images on `latest` are as they should be{left}"),
    }))
}

fn documented(lines: &Lines<'_>) -> Result<Documented, String> {
    let Line::Verb { mut words, .. } = lines.document() else { return Err(String::new()) };
    words.push("--dry-run".into());
    let line = Line::Verb { words, asks: false };
    let outcome = silently(&line, lines).map_err(|error| format!("{error:#}"))?;
    let fields = &outcome.fields;
    let unchanged = |field: &str| fields[field].is_null() || fields[field] == "unchanged";
    let images = fields["images"].as_array().into_iter().flatten();
    Ok(Documented {
        written: unchanged("notes") && unchanged("comment"),
        line: fields["line"].as_str().unwrap_or_default().to_owned(),
        rebuilt: images
            .filter(|image| image["rebuilt"] == true)
            .filter_map(|image| image["name"].as_str().map(str::to_owned))
            .collect(),
        on_issue: !fields["comment"].is_null(),
    })
}
