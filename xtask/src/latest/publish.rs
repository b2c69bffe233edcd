//! A publish from the look to the reading back: what is there is healed, the plan is made, and, once it is agreed to, carried out.

use std::collections::BTreeMap;

use crate::console::{count, size};
use crate::failure::{self, Kind};
use crate::gh::Asset;
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::manifest::Manifest;

use super::doors::Doors;
use super::face::{Face, Old};
use super::heal::{self, Heal};
use super::held::Held;
use super::lock::Claim;
use super::look::{self, Live, Look};
use super::plan::{self, Draft, Want};
use super::preview::Preview;
use super::rate;
use super::session;
use super::set::Set;
use super::stage::{self, On, Stage};
use super::step::{Step, TagMove};
use super::stock::Stock;
use super::switch::{self, Change};
use super::{INCOMING, TAG, changes, files, fill, notes, previous, relabel, swap};

/// What the person asked for.
pub struct Publish {
    /// What `latest` is to stand for.
    pub source: String,
    /// Replace the lock of somebody else.
    pub take_over: bool,
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
    /// Whether a plan that was shown is to be carried out.
    fn agrees(&mut self, question: &str) -> anyhow::Result<bool>;
}

/// How a publish ended.
pub enum Ended {
    /// Healing was not agreed to.
    Unhealed(Heal),
    /// A plan, and whether it was carried out.
    Planned(Box<Planned>),
}

pub struct Planned {
    pub set: Set,
    pub steps: Vec<Step>,
    /// What lies on the stage.
    stock: Stock,
    pub preview: Preview,
    /// Bytes a second of the last upload.
    pub rate: Option<u64>,
    pub warnings: Vec<String>,
    /// The release that is live now.
    pub release: Option<u64>,
    pub executed: bool,
}

impl Publish {
    pub fn run(&self, doors: Doors<'_>, person: &mut dyn Person) -> anyhow::Result<Ended> {
        let look = look::current(doors)?;
        let healing = heal::plan(doors, &look)?;
        let claim = Claim { verb: "publish", source: Some(self.source.clone()), take_over: self.take_over };
        if let Some(heal) = &healing {
            doors.line(heal);
        }
        // While nothing is live the plan hangs on what is healed, so it is made and shown after that.
        let agreed = match &healing {
            Some(heal @ Heal::Publish { .. }) => {
                if !person.agrees("Do that, then go on?")? {
                    return Ok(Ended::Unhealed(heal.clone()));
                }
                None
            }
            _ => {
                let proposal = match self.propose(doors, &look, person) {
                    // What stands in the way of the publish doesn't stand in the way of putting things right.
                    Err(error) if healing.is_some() => {
                        if person.agrees("Do that?")? {
                            session::under_lock(doors, &claim, |held| heal::all(held).map(drop))?;
                        }
                        return Err(error);
                    }
                    proposal => proposal?,
                };
                show(doors, &proposal);
                if proposal.steps.is_empty() && healing.is_none() {
                    return Ok(Ended::Planned(Box::new(proposal.done(true))));
                }
                if !person.agrees(&format!("Publish {} as {TAG}?", proposal.set.source))? {
                    return Ok(Ended::Planned(Box::new(proposal.done(false))));
                }
                Some(proposal)
            }
        };
        session::under_lock(doors, &claim, |held| {
            let look = look::look(doors)?;
            let found = heal::plan(doors, &look)?;
            if found.is_some() && found != healing {
                return Err(session::differs());
            }
            let look = heal::all(held).map_err(failure::after_changes)?;
            let healed = found.is_some();
            let changed = |error| if healed { failure::after_changes(error) } else { error };
            let mut proposal = self.propose(doors, &look, person).map_err(changed)?;
            match &agreed {
                // All of it is done by now, by somebody who was quicker.
                _ if proposal.steps.is_empty() => {}
                Some(agreed) if gist(&agreed.steps, healed) != gist(&proposal.steps, healed) => {
                    return Err(session::differs());
                }
                Some(_) => {}
                None => show(doors, &proposal),
            }
            proposal.release = self.apply(held, &proposal, &look).map_err(failure::after_changes)?;
            Ok(Ended::Planned(Box::new(proposal.done(true))))
        })
    }

    fn propose(&self, doors: Doors<'_>, look: &Look, person: &mut dyn Person) -> anyhow::Result<Planned> {
        let (set, warnings) = person.want(look)?;
        let (discard, drafts) = self.drafts(doors, look, &set)?;
        let previous = previous::look_at(doors, look)?;
        if let Some(unfit) = previous.as_ref().and_then(|previous| previous.unfit.as_ref()) {
            doors.detail(format_args!("nothing is kept of the previous release: {unfit}"));
        }
        let (discard_staged, keep_previous) = (self.discard_incoming, self.keep_previous);
        let want = Want { set: &set, discard, drafts, previous, discard_staged, keep_previous };
        let (steps, stock) = plan::plan(&want, look);
        let release = look.live.as_ref().map(|live| live.release.id);
        if let Some(live) = look.live.as_ref().filter(|_| steps.iter().any(|step| matches!(step, Step::Switch { .. })))
        {
            Old::of(live, look).notes_fit()?;
        }
        let preview = Preview::new(&set, look.live.as_ref(), &steps);
        let rate = doors.outside().last_rate();
        Ok(Planned { set, steps, stock, preview, rate, warnings, release, executed: false })
    }

    /// The drafts of other sets that are to be dropped, and those of this set, the fullest first.
    fn drafts(&self, doors: Doors<'_>, look: &Look, set: &Set) -> anyhow::Result<(Strangers, Vec<Draft>)> {
        let identity = set.identity();
        let live = look.live.as_ref().and_then(|live| live.manifest.as_ref());
        let (mut discard, mut drafts) = (Vec::new(), Vec::new());
        for draft in &look.incoming {
            let id = draft.release.id;
            match &draft.marker {
                Some(marker) if marker.set == identity => {
                    drafts.push(Draft { id, stock: Stock::of_draft(doors.assets(id)?, live) });
                }
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
            draft.stock.assets.iter().filter(|asset| asset.is_uploaded()).map(|asset| asset.size).sum::<u64>()
        };
        drafts.sort_by_key(|draft| std::cmp::Reverse(uploaded(draft)));
        Ok((discard, drafts))
    }

    /// Does the steps in order. The release that is live afterwards.
    fn apply(&self, held: Held<'_>, proposal: &Planned, look: &Look) -> anyhow::Result<Option<u64>> {
        let Planned { set, steps, stock, .. } = proposal;
        let mut run = Run { stage: None, manifest: None };
        let live = look.live.as_ref();
        let change = |new, face, manifest| Change {
            old: live.map(|live| Old::of(live, look)),
            tag: look.tag.as_ref().map(|tag| tag.object.clone()),
            new,
            manifest,
            face,
            target: TagRef { object: set.commit.clone(), commit: set.commit.clone() },
        };
        let stays = |live: &Live| change(live.release.id, Face::ours(live.release.notes().to_owned()), live.digest);
        for step in steps {
            match step {
                Step::Discard { draft, .. } => stage::drop_incoming(held, *draft)?,
                Step::Drop { release, .. } => {
                    tidied(held, *release, held.delete_draft(*release, |now| now.tag_name != TAG))?;
                }
                Step::Create => run.stage = Some(Stage::create(held, set, look)?),
                Step::GoOn { draft } => run.stage = Some(Stage::go_on(held, *draft, On::Incoming, stock.clone())?),
                Step::Stage { release, .. } => {
                    run.stage = Some(Stage::go_on(held, *release, On::Previous, stock.clone())?);
                }
                Step::Restore { release, own } => swap::restore(held, *release, *own)?,
                Step::Clear { release, but } => {
                    let id = release.map_or_else(|| run.stage().map(|stage| stage.release.id), Ok)?;
                    let stays = |asset: &Asset| but.contains(&asset.id);
                    let cleared = stage::clear(held, id, stays);
                    // A release that is named is cleared before anything is staged.
                    if cleared.is_ok() && release.is_some() {
                        stage::wait_until_cleared(held, id, stays)?;
                    }
                    tidied(held, id, cleared)?;
                }
                Step::Fill(_) => {
                    let stage = run.stage()?;
                    let began = held.now();
                    let filled = fill::fill(stage, set, self.jobs);
                    let sent = Preview::new(set, live, steps).send;
                    if let Some(rate) =
                        filled.as_ref().ok().and_then(|_| rate::of(sent, held.now().saturating_sub(began)))
                    {
                        held.outside().remember_rate(rate);
                    }
                    if let Err(error) = &filled {
                        // A draft with bytes that no checksum vouches for is of no use to anybody.
                        if failure::kind(error) == Kind::Digest {
                            let _ = stage.discard();
                        }
                    }
                    run.manifest = Some(filled?);
                }
                Step::Relabel { manifest, files, .. } => {
                    if let Some(live) = live {
                        let back = look.way_back(live).map(|(draft, _)| draft);
                        let new = files::some(&files.place, &manifest.images, files.reader, &set.signing)?;
                        relabel::relabel(held, live, back, &stays(live), manifest, &new)?;
                    }
                }
                Step::Tag(_) => {
                    if let Some(live) = live {
                        switch::move_tag_only(held, &stays(live))?;
                        switch::follow(held, &stays(live))?;
                    }
                }
                Step::Switch { .. } => {
                    let stage = run.stage()?;
                    let manifest = run.manifest.as_ref();
                    let notes =
                        manifest.map(notes::text).unwrap_or_default() + &changes::section(held.doors(), live, set);
                    let digest = manifest.map(|manifest| Digest::of(&manifest.to_bytes()));
                    switch::change(held, &change(stage.release.id, Face::ours(notes), digest), || stage.look_again())?;
                }
            }
        }
        Ok(run.stage.map(|stage| stage.release.id).or_else(|| live.map(|live| live.release.id)))
    }
}

impl Planned {
    fn done(self, executed: bool) -> Self {
        Self { executed, ..self }
    }
}

/// What is of no use any more stays where it can't be deleted: the job is done without it, and the next publish does it.
/// Without the lock nobody knows whether what was done still stands.
fn tidied(held: Held<'_>, release: u64, done: anyhow::Result<()>) -> anyhow::Result<()> {
    match done {
        Err(error) if held.lease().is_lost() => Err(error),
        Err(error) => {
            held.warn(format_args!(
                "what is of no use any more on the release {release} could not be deleted: {error:#}"
            ));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// What a person agreed to. Which bytes are there already doesn't matter, nor where the tag stood that was put back.
fn gist(steps: &[Step], healed: bool) -> Vec<Step> {
    let nowhere = |tag: &TagMove| TagMove { from: tag.from.clone().filter(|_| !healed), to: tag.to.clone() };
    steps
        .iter()
        .map(|step| match step {
            Step::Fill(_) => Step::Fill(Vec::new()),
            Step::Create | Step::GoOn { .. } => Step::Create,
            Step::Stage { release, .. } => Step::Stage { release: *release, bytes: 0 },
            Step::Switch { tag, hide } => Step::Switch { tag: nowhere(tag), hide: *hide },
            Step::Relabel { manifest, tag, files } => {
                Step::Relabel { manifest: manifest.clone(), tag: nowhere(tag), files: files.clone() }
            }
            Step::Tag(tag) => Step::Tag(nowhere(tag)),
            other => other.clone(),
        })
        .collect()
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

fn show(doors: Doors<'_>, proposal: &Planned) {
    let Planned { set, steps, preview, rate, warnings, .. } = proposal;
    for warning in warnings {
        doors.warn(warning);
    }
    if steps.is_empty() {
        doors.line(format_args!("done: {TAG} of {} is {} already; nothing to do", doors.repo(), set.source));
        return;
    }
    doors.line(format_args!(
        "Plan: {TAG} of {} becomes {} ({}, {})",
        doors.repo(),
        set.source,
        count(set.images.len(), "image"),
        size(set.size())
    ));
    for line in preview.lines(*rate) {
        doors.line(line);
    }
    for (number, step) in (1..).zip(steps) {
        doors.detail(format_args!("{number:2}. {step}"));
    }
}
