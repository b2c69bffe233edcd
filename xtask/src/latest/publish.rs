//! A publish from the look to the read-back: recovers a dead run first, makes the plan, asks, and carries the plan out under
//! the lock. What a person agreed to is what is carried out; a plan that differs by then ends the run.
//! The verb `publish` says which set is wanted; the simulation runs the same code.

use crate::digest::Digest;
use crate::failure::{self, Advice as _, Kind};
use crate::gh::{Asset, Release};
use crate::git::TagRef;
use crate::manifest::{FileEntry, Manifest};
use crate::text::{count, size};
use crate::trust::{self, Policy};
use crate::{suggest, version};

use super::changes::{self, Lacking};
use super::client::Client;
use super::draft::{self, Draft};
use super::face;
use super::files;
use super::held::Held;
use super::lock::Claim;
use super::look::{Contents, IncomingDraft, Live, Look, Pinned};
use super::marker::Incoming;
use super::pin;
use super::plan::{self, Drafts, Step};
use super::preview::Preview;
use super::prove;
use super::recover::{self, Ended};
use super::session;
use super::set::Set;
use super::switch::{self, Change};
use super::{INCOMING, PINNED, TAG, fill, memory, notes, relabel};

/// What the person asked for.
pub struct Publish {
    /// The version tag to publish as `latest`.
    pub source: String,
    /// Replace the lock of another run.
    pub take_over: bool,
    /// Publish an older version than the one that `latest` stands for.
    pub back: bool,
    /// Publish the set as a new one although the live one has the same images.
    pub resend: bool,
    pub policy: Policy,
    /// Security fixes that the live images were found to lack.
    pub lacking: Option<Lacking>,
}

/// What a protocol asks of the verb.
pub trait Person {
    /// The set that is to be live, with what is to be said about it.
    fn want(&mut self, look: &Look) -> anyhow::Result<(Set, Vec<String>)>;
    /// Whether a plan that was shown is to be carried out.
    fn agrees(&mut self, question: &str) -> anyhow::Result<bool>;
}

pub struct Planned {
    pub set: Set,
    pub steps: Vec<Step>,
    /// The pinned set that becomes live again.
    pinned: Option<Contents>,
    pub preview: Preview,
    pub warnings: Vec<String>,
    /// What is live under other files beside the same images.
    pub differ: Vec<String>,
    /// The release that is live now.
    pub release: Option<u64>,
    /// What it stands for.
    pub label: Option<String>,
    /// The plan was carried out, or there was nothing to do.
    pub executed: bool,
}

impl Publish {
    fn claim(&self) -> Claim {
        Claim { verb: "publish", source: Some(self.source.clone()), take_over: self.take_over }
    }

    pub fn run(&self, client: Client<'_>, person: &mut dyn Person) -> anyhow::Result<Ended<Planned>> {
        let run = |look: &Look, person: &mut dyn Person| self.run_from(client, look, person);
        recover::first(client, &self.claim(), &self.policy, person, run)
    }

    /// Publishes where nothing is to be recovered.
    fn run_from(&self, client: Client<'_>, look: &Look, person: &mut dyn Person) -> anyhow::Result<Planned> {
        let agreed = self.propose(client, look, person)?;
        show(client, &agreed);
        if agreed.steps.is_empty() {
            return Ok(Planned { executed: true, ..agreed });
        }
        if !person.agrees(&format!("Publish {} as {TAG}?", agreed.set.source))? {
            return Ok(agreed);
        }
        session::under_lock(client, &self.claim(), &self.policy, |held| {
            let look = session::look(client)?;
            let mut proposal = self.propose(client, &look, person)?;
            // Nothing left to do: another run did all of it meanwhile.
            if !proposal.steps.is_empty() && !agreed.covers(&proposal, client) {
                return Err(session::differs());
            }
            proposal.release = self.apply(held, &proposal, &look).map_err(failure::after_changes)?;
            Ok(Planned { executed: true, ..proposal })
        })
    }

    fn propose(&self, client: Client<'_>, look: &Look, person: &mut dyn Person) -> anyhow::Result<Planned> {
        let live = look.live.as_ref();
        self.goes_forward(live)?;
        let (set, warnings) = person.want(look)?;
        let is_signed = live.map_or(Ok(false), |live| self.is_signed(client, live))?;
        let differ = live.and_then(|live| plan::same_images(&set, client.repo(), live, is_signed));
        if differ.is_some() && set.signing.asked && !is_signed && !self.resend {
            return Err(failure::missing(format!(
                "{TAG} has these images without a trusted signature, and a live set never changes"
            ))
            .fix("publish the images as a new set with --resend --sign KEY"));
        }
        let stays = differ.is_some() && !self.resend;
        let pinned = if stays || self.resend { None } else { self.wanted_again(client, look, &set)? };
        let drafts = if stays || pinned.is_some() { Default::default() } else { drafts(client, look, &set)? };
        let steps = plan::plan(look, &set, stays, pinned.as_ref(), drafts);
        if let Some(live) = live.filter(|_| steps.iter().any(|step| matches!(step, Step::Pin { .. }))) {
            face::notes_fit(&live.release)?;
        }
        let preview = Preview::new(&set, live, &steps, client.outside().last_rate());
        Ok(Planned {
            steps,
            pinned,
            preview,
            warnings,
            differ: differ.filter(|_| stays).unwrap_or_default(),
            release: live.map(|live| live.release.id),
            label: live.and_then(Live::source).map(str::to_owned),
            set,
            executed: false,
        })
    }

    /// # Errors
    ///
    /// Exit code 3: the version is older than the one that is live.
    fn goes_forward(&self, live: Option<&Live>) -> anyhow::Result<()> {
        let Some(label) = live.and_then(Live::source) else { return Ok(()) };
        if self.back || version::is_older(&self.source, label) != Some(true) {
            return Ok(());
        }
        Err(goes_back(label, &self.source))
    }

    /// Whether the live set has a trusted signature; where no signer is named, any signature counts.
    fn is_signed(&self, client: Client<'_>, live: &Live) -> anyhow::Result<bool> {
        match trust::verdict(self.policy.allowed.as_ref(), live.by_name(client)) {
            Err(error) if failure::kind(&error) == Kind::Digest => Ok(false),
            verdict => verdict.map(|_| live.asset(files::SIGNATURE).is_some_and(Asset::is_uploaded)),
        }
    }

    /// The pinned set that is the wanted one, proven.
    fn wanted_again(&self, client: Client<'_>, look: &Look, set: &Set) -> anyhow::Result<Option<Contents>> {
        // The digests of checksum files tell images apart without reading any.
        let files: Vec<FileEntry> = set.images.iter().map(|image| image.checksum_file().part).collect();
        let has = |pinned: &&Pinned| files.iter().all(|file| prove::is_there(file, &pinned.release.assets));
        for pinned in look.pinned.iter().filter(has) {
            let Ok(whole) = pinned.prove(client)? else { continue };
            let is_signed = whole.asset(files::SIGNATURE).is_some();
            if plan::same_images(set, client.repo(), &whole, is_signed).is_some_and(|differ| differ.is_empty()) {
                pin::is_signed(client, &self.policy, &whole)?;
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// Carries out the steps in order. Returns the release that is live afterwards.
    fn apply(&self, held: Held<'_>, proposal: &Planned, look: &Look) -> anyhow::Result<Option<u64>> {
        let (set, live, label) = (&proposal.set, look.live.as_ref(), proposal.set.label());
        let target = TagRef::lightweight(&set.commit);
        let mut draft = None;
        for step in &proposal.steps {
            match step {
                Step::Delete { release_id, .. } => draft::drop_incoming(held, *release_id)?,
                Step::Create => draft = Some(Draft::create(held, set, live)?),
                Step::Continue { release_id } => draft = Some(Draft::go_on(held, *release_id)?),
                Step::Label { .. } => live.map_or(Ok(()), |live| relabel::relabel(held, look, live, &label))?,
                // The draft is filled as a whole, and the switch is one change.
                Step::Transfer(_) | Step::Tag { .. } | Step::Pin { .. } | Step::Publish | Step::Restore { .. } => {}
            }
        }
        if let Some(set) = &proposal.pinned {
            let face = face::of(held.repo(), set, Some(&label));
            let change = Change::of(look, set.release.id, set.digest, face, target);
            switch::change(held, &change, || still_pinned(held, set))?;
            return Ok(Some(set.release.id));
        }
        let Some(draft) = draft else { return Ok(live.map(|live| live.release.id)) };
        let manifest = fill_and_say(&draft, proposal)?;
        let notes = notes::text(&manifest, held.repo(), &set.source)
            + &changes::section(held.client(), live, set, self.lacking.as_ref());
        let (new, digest) = (draft.release.id, Some(Digest::of(&manifest.to_bytes())));
        let change = Change::of(look, new, digest, face::ours(&notes, &label), target);
        switch::change(held, &change, || draft.look_again())?;
        Ok(Some(new))
    }
}

/// Exit code 3: `latest` stands for a newer version than `source`.
pub fn goes_back(label: &str, source: &str) -> anyhow::Error {
    let back = suggest::command(format_args!("rollback --to {PINNED}{source}"));
    failure::missing(format!("{TAG} stands for {label}, and {source} is older"))
        .fix(format_args!("restore the older set with {back}, or publish the images as the older version with --back"))
}

/// Fills the draft; where that fails, says what is live.
fn fill_and_say(draft: &Draft<'_>, proposal: &Planned) -> anyhow::Result<Manifest> {
    let held = draft.held;
    let began = held.now();
    let filled = fill::fill(draft, &proposal.set);
    let Err(error) = &filled else {
        if let Some(rate) = memory::rate_of(proposal.preview.bytes.send, held.now().saturating_sub(began)) {
            held.outside().remember_rate(rate);
        }
        return filled;
    };
    let kept = if failure::kind(error) == Kind::Digest {
        // Bytes without a matching digest are useless, so the draft goes.
        let _ = draft::drop_incoming(held, draft.release.id);
        ""
    } else {
        "; the draft keeps what was uploaded"
    };
    let is = proposal.label.as_ref().map_or_else(|| "as it was".to_owned(), |label| format!("still {label}"));
    held.note(format_args!("`{TAG}` is {is}{kept}"));
    filled
}

/// # Errors
///
/// Somebody changed the pinned set since it was proven.
pub fn still_pinned(held: Held<'_>, set: &Contents) -> anyhow::Result<()> {
    let Release { id, tag_name, .. } = &set.release;
    if held.release(*id)? == set.release {
        return Ok(());
    }
    Err(session::changed(format_args!("the set {tag_name} changed since the plan was made; nothing was switched")))
}

/// Continues with the fullest draft of this set.
///
/// # Errors
///
/// Exit code 3: a draft of that name is not this tool's.
fn drafts(client: Client<'_>, look: &Look, set: &Set) -> anyhow::Result<Drafts> {
    let identity = set.identity(client.repo());
    let (mut ours, mut deletes) = (Vec::new(), Vec::new());
    let delete = |release_id, reason, assets: &[Asset]| {
        let bytes = assets.iter().map(|asset| asset.size).sum();
        Step::Delete { release_id, reason, bytes }
    };
    for IncomingDraft { release, marker } in &look.incoming {
        let Some(Incoming { set, created }) = marker else {
            return Err(failure::missing(format!(
                "the draft {} is named {INCOMING} and was not made by this tool: {}",
                release.id, release.html_url
            ))
            .fix("give the draft another tag name, or delete it"));
        };
        if *set == identity {
            ours.push((release.id, client.assets(release.id)?));
            continue;
        }
        let begun = created.as_deref().filter(|at| humantime::parse_rfc3339(at).is_ok());
        let begun = begun.map(|at| format!(", begun {at}")).unwrap_or_default();
        deletes.push(delete(release.id, format!("of another set: {}{begun}", set.describe()), &release.assets));
    }
    let uploaded = |(_, assets): &(u64, Vec<Asset>)| {
        assets.iter().filter(|asset| asset.is_uploaded()).map(|asset| asset.size).sum::<u64>()
    };
    ours.sort_by_key(|draft| std::cmp::Reverse(uploaded(draft)));
    let mut ours = ours.into_iter();
    let fullest = ours.next();
    deletes.extend(ours.map(|(id, assets)| delete(id, "a second draft of this set".to_owned(), &assets)));
    Ok((fullest, deletes))
}

impl Planned {
    /// Whether a plan that is made now is the one that was agreed to: the same set under the same label, by the same steps.
    fn covers(&self, now: &Self, client: Client<'_>) -> bool {
        let identity = |planned: &Self| (planned.set.identity(client.repo()), planned.set.commit.clone());
        let mut deletes = now.steps.iter().filter(|step| matches!(step, Step::Delete { .. }));
        identity(self) == identity(now)
            && deletes.all(|step| self.steps.contains(step))
            && gist(&self.steps) == gist(&now.steps)
    }
}

/// What a person agreed to. Which draft and which bytes are there already doesn't matter.
fn gist(steps: &[Step]) -> Vec<&Step> {
    let kept = steps.iter().filter(|step| !matches!(step, Step::Delete { .. } | Step::Transfer(_)));
    kept.map(|step| if matches!(step, Step::Continue { .. }) { &Step::Create } else { step }).collect()
}

fn show(client: Client<'_>, proposal: &Planned) {
    let Planned { set, steps, preview, warnings, .. } = proposal;
    for warning in warnings {
        client.warn(warning);
    }
    if steps.is_empty() {
        client.line(format_args!("done: {TAG} of {} is {} already; nothing to do", client.repo(), set.source));
    } else {
        client.line(format_args!(
            "Plan: {TAG} of {} becomes {} ({}, {})",
            client.repo(),
            set.source,
            count(set.images.len(), "image"),
            size(set.size())
        ));
        for line in preview.lines() {
            client.line(line);
        }
    }
    if !proposal.differ.is_empty() {
        client.line(format_args!(
            "  the live set has the same images, but another {}; to replace it, publish a new set with --resend",
            proposal.differ.join(", ")
        ));
    }
    // What is lost is part of what is agreed to.
    for step in steps.iter().filter(|step| matches!(step, Step::Delete { .. })) {
        client.line(format_args!("  {step}"));
    }
    for (number, step) in (1..).zip(steps) {
        client.detail(format_args!("{number:2}. {step}"));
    }
}
