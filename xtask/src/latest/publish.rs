//! A publish from the look to the reading back: what is there is healed, the plan is made, and, once it is agreed to, carried out.

use std::collections::BTreeMap;

use crate::console::size;
use crate::failure::{self, Kind};
use crate::git::TagRef;
use crate::manifest::Manifest;

use super::doors::Doors;
use super::look::{self, Look};
use super::plan::{self, Draft, Step, Want};
use super::set::Set;
use super::stage::{self, Stage};
use super::switch::{self, Change};
use super::{INCOMING, TAG, fill, heal, notes, relabel};

/// What the person asked for.
pub struct Publish {
    /// Drop drafts of other sets.
    pub discard_incoming: bool,
    /// Keep the release that is replaced as the way back.
    pub keep_previous: bool,
    /// Images sent side by side.
    pub jobs: usize,
}

/// What the verb around it knows.
pub trait Person {
    /// The set that is to be live, with what is to be said about it.
    fn want(&mut self, look: &Look) -> anyhow::Result<(Set, Vec<String>)>;
    /// Looked at before anything is healed.
    fn before_healing(&mut self, look: &Look) -> anyhow::Result<()>;
    /// Whether a plan that was shown is to be carried out.
    fn agrees(&mut self, question: &str) -> anyhow::Result<bool>;
}

/// How a publish ended.
pub enum Ended {
    /// Healing was not agreed to.
    Unhealed(String),
    /// A plan, and whether it was carried out.
    Planned(Planned),
}

pub struct Planned {
    pub set: Set,
    pub steps: Vec<Step>,
    pub warnings: Vec<String>,
    /// The release that is live now.
    pub release: Option<u64>,
    pub executed: bool,
}

impl Publish {
    pub fn run(&self, doors: Doors<'_>, person: &mut dyn Person) -> anyhow::Result<Ended> {
        let mut look = look::look(doors)?;
        let mut healed = false;
        if let Some(heal) = heal::plan(doors, &look)? {
            person.before_healing(&look)?;
            doors.line(&heal);
            if !person.agrees("Do that, then go on?")? {
                return Ok(Ended::Unhealed(heal.to_string()));
            }
            heal::heal(doors, &heal, look.tag.as_ref()).map_err(failure::after_changes)?;
            look = look::look(doors).map_err(failure::after_changes)?;
            healed = true;
        }

        let changed = |error| if healed { failure::after_changes(error) } else { error };
        let (set, warnings) = person.want(&look).map_err(changed)?;
        let (discard, drafts) = self.drafts(doors, &look, &set).map_err(changed)?;
        let steps = plan::plan(&Want { set: &set, discard, drafts, keep_previous: self.keep_previous }, &look);
        show(doors, &set, &steps, &warnings);
        let release = look.live.as_ref().map(|live| live.release.id);
        if steps.is_empty() {
            return Ok(Ended::Planned(Planned { set, steps, warnings, release, executed: true }));
        }
        if !healed && !person.agrees(&format!("Publish {} as {TAG}?", set.source))? {
            return Ok(Ended::Planned(Planned { set, steps, warnings, release, executed: false }));
        }
        let release = self.apply(doors, &set, &look, &steps).map_err(failure::after_changes)?;
        Ok(Ended::Planned(Planned { set, steps, warnings, release, executed: true }))
    }

    /// The drafts of other sets that are to be dropped, and those of this set, the fullest first.
    fn drafts(&self, doors: Doors<'_>, look: &Look, set: &Set) -> anyhow::Result<(Strangers, Vec<Draft>)> {
        let identity = set.identity();
        let live = look.live.as_ref().and_then(|live| live.manifest.as_ref());
        let (mut discard, mut drafts) = (Vec::new(), Vec::new());
        for draft in &look.incoming {
            let id = draft.release.id;
            match &draft.marker {
                Some(marker) if marker.set == identity => drafts.push(Draft { id, assets: doors.assets(id)? }),
                Some(marker) if live.is_some_and(|live| is_spent(&marker.set, live)) => {
                    discard.push((id, format!("{}, which is live", marker.set.describe())));
                }
                marker => {
                    let what =
                        marker.as_ref().map_or_else(|| "of unknown origin".to_owned(), |marker| marker.set.describe());
                    if !self.discard_incoming {
                        return Err(failure::failed(format!(
                            "a draft {INCOMING} of another set is there ({what}, release {id}): another publish is under way, or ended early. \
                             Publish that set to its end, or drop the draft with --discard-incoming"
                        )));
                    }
                    discard.push((id, what));
                }
            }
        }
        let uploaded = |draft: &Draft| {
            draft.assets.iter().filter(|asset| asset.is_uploaded()).map(|asset| asset.size).sum::<u64>()
        };
        drafts.sort_by_key(|draft| std::cmp::Reverse(uploaded(draft)));
        Ok((discard, drafts))
    }

    /// Does the steps in order. The release that is live afterwards.
    fn apply(&self, doors: Doors<'_>, set: &Set, look: &Look, steps: &[Step]) -> anyhow::Result<Option<u64>> {
        let mut run = Run { stage: None, manifest: None };
        let target = TagRef { object: set.commit.clone(), commit: set.commit.clone() };
        let change = |draft, notes| Change {
            old: look.live.as_ref().map(|live| live.release.clone()),
            tag: look.tag.clone(),
            draft,
            notes,
            target: target.clone(),
        };
        let live = look.live.as_ref();
        for step in steps {
            match step {
                Step::Discard { draft, .. } => stage::drop_draft(doors, *draft)?,
                // The job is done without it, and the next publish drops it.
                Step::Drop { release, .. } => {
                    if let Err(error) = stage::drop_draft(doors, *release) {
                        doors.warn(format_args!("the release {release} could not be dropped: {error:#}"));
                    }
                }
                Step::Create => run.stage = Some(Stage::create(doors, set)?),
                Step::TakeOver { draft } => run.stage = Some(Stage::take_over(doors, set, *draft)?),
                Step::Fill(_) => {
                    let stage = run.stage()?;
                    let filled = fill::fill(stage, set, self.jobs);
                    if let Err(error) = &filled {
                        // A draft with bytes that no checksum vouches for is of no use to anybody.
                        if failure::kind(error) == Kind::Digest {
                            let _ = stage.discard();
                        }
                    }
                    run.manifest = Some(filled?);
                }
                Step::Relabel { manifest, .. } => {
                    if let Some(live) = live {
                        relabel::relabel(doors, live, &change(live.release.id, notes::text(manifest)), manifest)?;
                    }
                }
                Step::Tag(_) => {
                    if let Some(live) = live {
                        let change = change(live.release.id, live.release.notes().to_owned());
                        switch::move_tag_only(doors, &change)?;
                        switch::follow(doors, &change)?;
                    }
                }
                Step::Switch { .. } => {
                    let stage = run.stage()?;
                    let notes = run.manifest.as_ref().map(notes::text).unwrap_or_default();
                    switch::change(doors, &change(stage.release.id, notes), || stage.assert_own())?;
                }
            }
        }
        Ok(run.stage.map(|stage| stage.release.id).or_else(|| live.map(|live| live.release.id)))
    }
}

/// Drafts of other sets, with what they are.
type Strangers = Vec<(u64, String)>;

/// What a run has made so far.
struct Run<'a> {
    stage: Option<Stage<'a>>,
    manifest: Option<Manifest>,
}

impl<'a> Run<'a> {
    fn stage(&self) -> anyhow::Result<&Stage<'a>> {
        // A plan makes or takes over the draft before it uses it.
        self.stage.as_ref().ok_or_else(|| failure::failed("the plan fills no draft"))
    }
}

/// Whether a draft's set is what is live already.
fn is_spent(set: &super::marker::Identity, live: &Manifest) -> bool {
    let images: BTreeMap<&str, _> = live.images.iter().map(|image| (image.name.as_str(), image.sha256)).collect();
    set.source == live.source
        && set.images.len() == images.len()
        && set.images.iter().all(|image| images.get(image.name.as_str()) == Some(&image.sha256))
}

fn show(doors: Doors<'_>, set: &Set, steps: &[Step], warnings: &[String]) {
    for warning in warnings {
        doors.warn(warning);
    }
    if steps.is_empty() {
        doors.line(format_args!("done: {TAG} of {} is {} already; nothing to do", doors.repo(), set.source));
        return;
    }
    doors.line(format_args!(
        "Plan: {TAG} of {} becomes {} ({} images, {})",
        doors.repo(),
        set.source,
        set.images.len(),
        size(set.size())
    ));
    for (number, step) in (1..).zip(steps) {
        doors.line(format_args!("{number:2}. {step}"));
    }
}
