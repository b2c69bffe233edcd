//! What must never happen, looked for at each step and at the end. It knows what was live before and what must come back, and
//! reads none of the product's markers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use xtask::failure;
use xtask::latest::TAG;
use xtask::latest::client::Client;
use xtask::latest::look::Look;
use xtask::latest::outside::{Move, Outside, Push};
use xtask::latest::publish::{Person, Publish};
use xtask::latest::rollback::Rollback;
use xtask::latest::set::Set;
use xtask::trust::Policy;

use crate::chance::Chance;
use crate::fault::{Fault, Planned};
use crate::outside::Ask;
use crate::plan::{Pace, Plan, Run, Verb};
use crate::schedule::{End, shown as shown_ask};
use crate::world::{BY_A_PERSON, Held, Shown, World, commit, set};

/// One run, as it is watched.
#[derive(Clone, Default)]
struct Watched {
    end: Option<End>,
    started: bool,
    /// What was live when it began.
    at_start: Option<Rc<Shown>>,
    took_lock: bool,
    /// During it all was as it was asked for: a run that has nothing to do takes no lock, and another goes on meanwhile.
    saw_it: bool,
    /// Which others were under way together with it, a bit each.
    beside: u32,
    /// The images folder as the run finds it.
    folder: Rc<RefCell<Option<u8>>>,
    /// The images of the plan that was agreed to.
    agreed: Rc<RefCell<Option<u8>>>,
    /// What it made live, by its own change.
    made_live: Option<Rc<Shown>>,
    /// It sent PATCH 1: its tag has moved, and may be deleted or stay behind meanwhile.
    hides: bool,
    /// It read the tags after somebody changed something by hand.
    saw_what_was_changed: bool,
}

pub struct Watch {
    verbs: Vec<Run>,
    runs: Vec<Watched>,
    pub violation: Option<String>,
    /// Whether a `latest` was ever published.
    ever_live: bool,
    /// What each release held when it was first seen live: that never changes.
    was_live: BTreeMap<u64, Held>,
    /// What each release that is or was live replaced, by its id, and what that looked like.
    replaced: BTreeMap<u64, (u64, Rc<Shown>)>,
    /// The tags of pinned sets as they were made.
    pins: BTreeMap<String, String>,
    /// Since when nothing is live, whose change did that, which release gave way, and what it looked like.
    missing: Option<(u64, usize, u64, Rc<Shown>)>,
    longest_gap: u64,
    /// Runs that ended with 0 while something else was live.
    unproven: Vec<(usize, String)>,
    judges_all: bool,
    lasts: usize,
    expected_back: Option<Rc<Shown>>,
    harmed: bool,
    /// Somebody changed releases or tags by hand.
    by_hand: bool,
    /// Which runs are under way, a bit each.
    alive: u32,
    changes_in_gap: u32,
    /// The release whose notes somebody edited, and when, where nothing else went wrong.
    edited: Option<(u64, u64)>,
    edits_alone: bool,
    /// Somebody is to delete the lock, or take it over from a run that is alive.
    lock_broken: bool,
    /// All that was planned is that somebody deletes the tag once.
    tag_deleted_alone: bool,
    in_turns: bool,
    /// All that was planned is that answers are lost at once.
    loses_answers_alone: bool,
}

/// An edit this long before a change was there when the run looked last; GitHub has no change that asks for what was there.
const LOOKED: u64 = 3_000;

/// What GitHub does wrong once, between the two calls, is put right sooner.
const LONGEST_GAP: u64 = 15_000;

/// What is looked at before an operation is served.
pub struct Before {
    live: Option<u64>,
    whole: Option<usize>,
    shown: Option<Rc<Shown>>,
}

struct Asking {
    source: u8,
    folder: Option<Rc<RefCell<Option<u8>>>>,
    /// The images that were put into the plan last.
    planned: Option<u8>,
    agreed: Rc<RefCell<Option<u8>>>,
}

impl Person for Asking {
    fn want(&mut self, _look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        let images = self.folder.as_ref().and_then(|folder| *folder.borrow());
        let images = images.ok_or_else(|| failure::failed("a rollback wants no set"))?;
        self.planned = Some(images);
        Ok((set(self.source, images), Vec::new()))
    }

    fn agrees(&mut self, _question: &str) -> anyhow::Result<bool> {
        *self.agreed.borrow_mut() = self.planned;
        Ok(true)
    }
}

impl Watch {
    pub fn new(plan: &Plan, world: &World) -> Self {
        // An answer that lies, or a store that changes bytes, is GitHub's harm: the promise is then that it is found out.
        let harmed = plan.faults.iter().any(|it| matches!(it.fault, Fault::Corrupt | Fault::NoDigest));
        let watch = Self {
            runs: plan.runs.iter().map(|_| Watched::default()).collect(),
            verbs: plan.runs.clone(),
            alive: 0,
            violation: None,
            ever_live: world.live().is_some(),
            was_live: BTreeMap::new(),
            replaced: BTreeMap::new(),
            pins: world.pins(),
            missing: None,
            longest_gap: 0,
            unproven: Vec::new(),
            judges_all: plan.latest_arrival <= 110_000,
            lasts: 0,
            expected_back: None,
            harmed,
            by_hand: plan.faults.iter().any(|it| it.fault.is_of_a_person()),
            changes_in_gap: 0,
            edited: None,
            in_turns: matches!(plan.pace, Pace::Turns { .. }),
            lock_broken: plan.faults.iter().any(|it| matches!(it.fault, Fault::LockDeleted))
                || plan.runs.iter().enumerate().any(|(at, run)| {
                    let before_is_over = at == 1 && run.after_the_one_before && plan.runs.len() == 2;
                    run.take_over && !before_is_over
                }),
            tag_deleted_alone: matches!(plan.faults[..], [Planned { fault: Fault::TagDeleted, .. }]),
            edits_alone: matches!(plan.faults[..], [Planned { fault: Fault::NotesEdited, .. }])
                && matches!(plan.pace, Pace::Even(_)),
            loses_answers_alone: plan.faults.iter().all(|it| matches!(it.fault, Fault::AnswerLost)),
        };
        Self { was_live: held_by_live(world).into_iter().collect(), ..watch }
    }

    pub fn verb(&self, run: usize) -> Verb {
        self.verbs[run].verb
    }

    /// What a run does, to an exit code and what it said.
    pub fn work(&mut self, run: usize, world: &World) -> impl FnOnce(&dyn Outside) -> (u8, String) + 'static + use<> {
        let (here, alive, take_over) = (1 << run, self.alive, self.verbs[run].take_over);
        for (at, other) in self.runs.iter_mut().enumerate().filter(|(at, _)| alive & (1 << at) != 0) {
            debug_assert_ne!(at, run);
            other.beside |= here;
        }
        self.alive |= here;
        let verb = self.verbs[run].verb;
        let watched = &mut self.runs[run];
        (watched.started, watched.at_start, watched.beside) = (true, world.shown(), alive);
        if let Verb::Publish { images, .. } = verb {
            *watched.folder.borrow_mut() = Some(images);
        }
        let (folder, agreed) = (Rc::clone(&watched.folder), Rc::clone(&watched.agreed));
        let asking = move |source, folder| Asking { source, folder, planned: None, agreed };
        move |outside| {
            let client = Client::new(outside);
            let policy = Policy::default();
            let ended = match verb {
                Verb::Rollback => {
                    let wish = Rollback { to: None, take_over, policy };
                    wish.run(client, &mut asking(0, None)).map(drop)
                }
                Verb::Publish { source, .. } => {
                    let version = format!("v0.{source}");
                    let wish = Publish { source: version, take_over, back: true, resend: false, policy, lacking: None };
                    wish.run(client, &mut asking(source, Some(folder))).map(drop)
                }
            };
            match ended {
                Ok(()) => (0, String::new()),
                Err(error) => (failure::kind(&error) as u8, format!("{error:#}")),
            }
        }
    }

    pub fn edited(&mut self, release: Option<u64>, now: u64) {
        self.edited = release.map(|release| (release, now)).filter(|_| self.edits_alone);
    }

    /// The images folder of a run has another build of its images from now on.
    pub fn folder_changes(&mut self, run: usize) {
        if let Some(images) = &mut *self.runs[run].folder.borrow_mut() {
            *images = 8;
        }
    }

    /// What somebody did by hand is how it is now.
    pub fn changed_by_hand(&mut self, world: &World, now: u64) {
        let there: Vec<u64> = world.releases().iter().map(|it| it.id).collect();
        self.was_live.retain(|id, _| there.contains(id));
        self.was_live.extend(held_by_live(world));
        if let Some((since, ..)) = self.missing.take_if(|_| world.live().is_some()) {
            self.longest_gap = self.longest_gap.max(now - since);
        }
        self.replaced.clear();
        self.runs.iter_mut().for_each(|run| run.saw_what_was_changed = false);
    }

    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// What is promised only where requests arrive in time.
    fn violated_in_time(&mut self, what: String) {
        if self.judges_all {
            self.violated(what);
        }
    }

    pub fn before(&self, ask: &Ask, world: &World) -> Before {
        let deletes = matches!(ask, Ask::Delete(_) | Ask::DeleteAsset(_));
        let ends_what_is = match ask {
            Ask::Push(push) => push.tag.is_some(),
            Ask::Update(..) => true,
            _ => deletes,
        };
        Before {
            live: world.live().map(|live| live.id),
            whole: deletes.then(|| world.whole_sets()),
            shown: if ends_what_is { world.shown() } else { None },
        }
    }

    pub fn served(&mut self, run: usize, ask: &Ask, before: &Before, world: &World, now: u64) {
        if let Ask::Push(Push { lock: Move { to: Some(_), .. }, .. }) = ask {
            self.runs[run].took_lock = true;
        }
        self.runs[run].saw_what_was_changed |= matches!(ask, Ask::Refs);
        if let Some(shown) = &before.shown {
            for (other, it) in self.runs.iter_mut().enumerate() {
                let under_way = it.started && it.end.is_none();
                it.saw_it |= other != run && under_way && fails(self.verbs[other].verb, Some(shown)).is_none();
            }
        }
        if let Ask::Update(_, new) = ask {
            self.runs[run].hides |= new.tag_name.starts_with("images-");
        }
        let live = world.live().map(|live| live.id);
        match (before.live, live) {
            (Some(old), None) => self.gives_way(run, ask, old, before, now),
            (before, Some(new)) if before != live => self.becomes_live(run, ask, before, new, world, now),
            _ => {}
        }
        if crate::schedule::changes(ask) || matches!(ask, Ask::Push(_)) {
            self.never_changes(run, ask, world);
        }
        if let (Ask::Update(id, new), Some((edited, when))) = (ask, self.edited)
            && *id == edited
            && !new.body.contains(BY_A_PERSON.trim())
        {
            self.edited = None;
            if now - when > LOOKED {
                self.violated(format!("run {run} undoes what somebody wrote: {}", shown_ask(ask)));
            }
        }
        if self.missing.is_some() && matches!(ask, Ask::Update(..)) {
            self.changes_in_gap += 1;
            if self.changes_in_gap > 60 {
                self.violated_in_time(format!("run {run} sends PATCH after PATCH while nothing is live"));
            }
        }
        if let Ask::Create(new) = ask
            && self.loses_answers_alone
            && world.releases().iter().filter(|it| it.draft && it.body.as_ref() == Some(&new.body)).count() > 1
        {
            self.violated_in_time(format!("run {run} makes a second draft of the same set"));
        }
        // A draft that was never live goes when another set is wanted.
        let ever = self.ever_live && !self.by_hand;
        if ever && before.whole.is_some_and(|whole| whole > 0) && world.whole_sets() == 0 {
            self.violated(format!("run {run} deleted the only whole set: {}", shown_ask(ask)));
        }
        if let Ask::Upload { name, .. } = ask
            // What has no digest is sent again rather than believed.
            && !self.harmed
            && name.contains("qcow2")
            && !name.ends_with(".sha256")
            && let Verb::Publish { images, .. } = self.verbs[run].verb
            && self.runs[run].at_start.as_ref().is_some_and(|shown| shown.by_us && shown.images == Some(images))
            // Nothing but its bytes tells what a set made by hand holds.
            && world.shown().is_some_and(|shown| shown.by_us && shown.images == Some(images))
            && *self.runs[run].folder.borrow() == Some(images)
        {
            self.violated_in_time(format!("run {run} sends {name}, which is live"));
        }
    }

    /// Nothing is live any more: that is allowed to PATCH 1 alone.
    fn gives_way(&mut self, run: usize, ask: &Ask, old: u64, before: &Before, now: u64) {
        match (ask, before.shown.as_deref()) {
            (Ask::Update(id, new), Some(shown)) if *id == old && new.tag_name.starts_with("images-") => {
                self.missing = Some((now, run, old, settled(shown)));
                self.changes_in_gap = 0;
            }
            _ => self.violated_in_time(format!("`latest` is lost by run {run}: {}", shown_ask(ask))),
        }
    }

    fn becomes_live(&mut self, run: usize, ask: &Ask, before: Option<u64>, new: u64, world: &World, now: u64) {
        self.ever_live = true;
        let Some(shown) = world.shown() else { return };
        if !shown.whole && !self.harmed {
            self.violated(format!("run {run} makes a set live that is not whole: {}", shown_ask(ask)));
        }
        if before.is_some() {
            self.violated(format!("run {run} replaces a release that is live: {}", shown_ask(ask)));
        }
        // What lost its tag is published when the tag is back: GitHub makes a missing one at the default branch.
        // A request that was under way when the tag was deleted can't know.
        let knows = self.tag_deleted_alone && self.runs[run].saw_what_was_changed;
        if knows && !self.runs[run].hides && shown.tag != settled(&shown).tag {
            self.violated_in_time(format!("run {run} publishes a release whose tag is at {:?}", shown.tag));
        }
        self.was_live.entry(new).or_insert_with(|| world.holds(new).unwrap_or_default());
        self.runs[run].made_live = Some(Rc::clone(&shown));
        let Some((since, hider, old, was)) = self.missing.take() else { return };
        self.longest_gap = self.longest_gap.max(now - since);
        if old == new {
            // It is as it was, whatever was tried meanwhile.
            if *settled(&shown) != *was && !self.by_hand {
                self.violated_in_time(format!("run {run} restores {shown:?}, it was {was:?}"));
            }
            return;
        }
        self.replaced.insert(new, (old, Rc::clone(&was)));
        if let Verb::Publish { source, .. } = self.verbs[hider].verb {
            let agreed = (Some(source), *self.runs[hider].agreed.borrow());
            if (shown.label, shown.images) != agreed && !self.by_hand {
                self.violated_in_time(format!(
                    "run {run} makes {shown:?} live, and run {hider} agreed to {agreed:?} in the place of {was:?}"
                ));
            }
        }
    }

    /// A set that was live never changes, and no tag of a pinned set moves.
    fn never_changes(&mut self, run: usize, ask: &Ask, world: &World) {
        let changed = self.was_live.iter().find(|(id, held)| world.holds(**id).as_ref() != Some(*held));
        if let Some((id, _)) = changed {
            let what = format!("run {run} changes the release {id}, which was live: {}", shown_ask(ask));
            self.was_live.remove(&{ *id });
            self.violated_in_time(what);
        }
        let pins = world.pins();
        if let Some((name, _)) = self.pins.iter().find(|(name, commit)| pins.get(*name) != Some(*commit)) {
            let what = format!("run {run} moves or deletes the tag {name}: {}", shown_ask(ask));
            self.violated(what);
        }
        let strange = pins.values().find(|it| **it == commit(99));
        if strange.is_some() && !self.by_hand {
            self.violated_in_time(format!("run {run} has a pinned tag made at the default branch: {}", shown_ask(ask)));
        }
        self.pins = pins;
    }

    /// Nothing holds back what a run had sent when it died, or what it says may still take effect, once somebody deletes its lock.
    /// The next run recovers it. Where runs take turns, a whole publish by another fits between a look and the change that
    /// rests on it.
    fn nobody_waits(&self, run: usize) -> bool {
        self.lock_broken
            && match &self.runs[run].end {
                Some(End::Killed) => true,
                Some(End::Code(_, said)) => said.contains("may still take effect"),
                None => self.in_turns,
            }
    }

    pub fn ended(&mut self, run: usize, end: &End, world: &World) {
        self.runs[run].end = Some(end.clone());
        self.alive &= !(1 << run);
        let End::Code(0, _) = end else { return };
        if self.runs[run].saw_it && !self.runs[run].took_lock {
            return;
        }
        let shown = world.shown();
        let verb = match self.verbs[run].verb {
            // A folder that changed before the plan was made is what was asked for.
            Verb::Publish { source, images } => {
                Verb::Publish { source, images: self.runs[run].agreed.borrow().unwrap_or(images) }
            }
            Verb::Rollback => Verb::Rollback,
        };
        if let Some(what) = fails(verb, shown.as_deref()) {
            self.unproven.push((run, what));
        }
    }

    /// What is run at the end by somebody else: drawn from the seed.
    pub fn last_verb(&mut self, plan: &Plan, world: &World) -> Option<Verb> {
        self.lasts += 1;
        match self.lasts {
            1 => {
                self.judge_end(plan, world);
                let mut chance = Chance::of(plan.seed, 77, 7);
                let all = self.verbs.iter().map(|run| run.verb);
                let published: Vec<Verb> = all.filter(|verb| matches!(verb, Verb::Publish { .. })).collect();
                let verb = match chance.below(4) {
                    _ if plan.last.is_some() => plan.last.unwrap_or(Verb::Rollback),
                    0 if !published.is_empty() => chance.of_list(&published),
                    0 | 1 => Verb::Publish { source: 47, images: 4 },
                    _ => Verb::Rollback,
                };
                if verb == Verb::Rollback {
                    self.expected_back = self.way_back(world);
                }
                Some(verb)
            }
            2 => {
                let run = self.verbs.len() - 1;
                let done = matches!(self.runs[run].end, Some(End::Code(0, _)));
                self.expected_back = self.way_back(world).filter(|_| done);
                self.expected_back.as_ref().map(|_| Verb::Rollback)
            }
            _ => None,
        }
    }

    /// What a rollback must bring back: what the live set replaced.
    fn way_back(&self, world: &World) -> Option<Rc<Shown>> {
        let (old, was) = self.replaced.get(&world.live()?.id)?;
        // Without a lock another run's PATCH 1 may come last, and its marker names another release.
        let judged = !world.lags() && !self.by_hand && !self.harmed && !self.lock_broken;
        Some(Rc::clone(was)).filter(|was| judged && world.is_whole(*old) && was.whole)
    }

    pub fn last_run(&mut self, verb: Verb) {
        self.verbs.push(Run { verb, starts: 0, after_the_one_before: false, clone: 0, take_over: false });
        self.runs.push(Watched::default());
    }

    fn judge_end(&mut self, plan: &Plan, world: &World) {
        let killed = self.runs.iter().any(|it| it.end == Some(End::Killed));
        let gave_up = plan.faults.iter().any(|it| matches!(it.fault, Fault::NoHub { lasting } if lasting >= 500_000))
            || plan.faults.iter().any(|it| matches!(it.fault, Fault::Nap { .. }));
        // After ten minutes without a way out it gives up, and says the commands to type. A switch that has begun needs no git.
        let is_of_git = |it: &Planned| matches!(it.fault, Fault::NoGit { .. } | Fault::Late { .. });
        let stranded = !plan.faults.iter().all(is_of_git)
            && (self.runs.iter())
                .any(|it| matches!(&it.end, Some(End::Code(1, said)) if said.contains("NO RELEASE NOW")));
        let unlocked = (0..self.runs.len()).any(|run| self.nobody_waits(run));
        let gave_up = gave_up || stranded || unlocked || self.by_hand;
        if self.judges_all && self.ever_live && world.live().is_none() && !killed && !gave_up {
            self.violated("at the end nothing is live, and nobody was killed".to_owned());
        }
        let only_that = matches!(plan.faults[..], [Planned { fault: Fault::DraftInstead | Fault::NeverLive, .. }]);
        if only_that && matches!(plan.pace, Pace::Even(_)) && self.longest_gap > LONGEST_GAP {
            self.violated_in_time(format!("nothing was live for {} s", self.longest_gap / 1000));
        }
        // A run that gives up takes back what it did.
        let gives_up = |it: &Planned| match it.fault {
            Fault::Signal | Fault::NeverLive | Fault::DraftInstead | Fault::Limited { .. } => true,
            Fault::Refuse { status } => status == 502,
            _ => false,
        };
        let refused_once = matches!(plan.faults[..], [Planned { fault: Fault::Refuse { status: 403 | 422 }, .. }]);
        let all_give_up = (refused_once || plan.faults.iter().all(gives_up)) && !self.lock_broken;
        if let Some(shown) = world.shown().filter(|shown| all_give_up && shown.tag != settled(shown).tag) {
            self.violated_in_time(format!("nobody was killed, and the tag is left at {:?}", shown.tag));
        }
        for (run, what) in std::mem::take(&mut self.unproven) {
            // One that was under way as well may have done it differently; one that ended before can't have.
            let beside = |other: usize| self.runs[run].beside & (1 << other) != 0;
            let ended = |it: &Watched| matches!(it.end, Some(End::Code(0, _)));
            let others = self.runs.iter().enumerate().any(|(at, it)| beside(at) && ended(it));
            if self.judges_all && !others && !unlocked && !self.by_hand {
                self.violated(format!("run {run} ended with 0, but {what}"));
            }
        }
    }

    /// After a last run: a whole set is live, with its tag.
    pub fn judge_last(&mut self, world: &World) {
        let run = self.verbs.len() - 1;
        let verb = self.verbs[run].verb;
        let end = self.runs[run].end.clone();
        let said = match &end {
            Some(End::Code(code, said)) => format!("exit {code} {said}"),
            other => format!("{other:?}"),
        };
        if !self.ever_live {
            return;
        }
        // Somebody deleted the only set, or made one that nothing tells of: then a rollback has nothing to bring.
        if self.by_hand && verb == Verb::Rollback && !matches!(end, Some(End::Code(0, _))) {
            return;
        }
        match world.shown() {
            None => self.violated(format!("after one more {verb:?} nothing is live ({said})")),
            Some(shown) if !shown.whole && !self.harmed => {
                self.violated(format!("after one more {verb:?} the live set is not whole ({said})"));
            }
            // Of a set made by hand nothing tells where its tag belongs.
            Some(shown) if shown.tag != settled(&shown).tag && (shown.by_us || !self.by_hand) => {
                self.violated(format!(
                    "after one more {verb:?} the tag {TAG} is at {:?}, and the notes say {:?} ({said})",
                    shown.tag, shown.label
                ));
            }
            Some(shown) => {
                if let Some(expected) = self.expected_back.take().filter(|_| self.judges_all)
                    && verb == Verb::Rollback
                    && expected != shown
                {
                    self.violated(format!("a rollback brings {shown:?}, not {expected:?} ({said})"));
                }
            }
        }
    }
}

fn held_by_live(world: &World) -> Option<(u64, Held)> {
    let live = world.live()?.id;
    Some((live, world.holds(live)?))
}

/// With the tag of the version that it stands for: the tag moves before its release does.
fn settled(shown: &Shown) -> Rc<Shown> {
    Rc::new(Shown { tag: shown.label.map(commit), ..shown.clone() })
}

/// What is not as a run that ended with 0 promises.
fn fails(verb: Verb, shown: Option<&Shown>) -> Option<String> {
    let Some(shown) = shown else { return Some("nothing is live".to_owned()) };
    if !shown.whole {
        return Some("the live set is not whole".to_owned());
    }
    if shown.tag != settled(shown).tag {
        return Some(format!("the tag is at {:?}, and the notes say v0.{:?}", shown.tag, shown.label));
    }
    match verb {
        Verb::Publish { source, images } => (shown.label != Some(source) || shown.images != Some(images))
            .then(|| format!("live is v0.{:?} with images {:?}", shown.label, shown.images)),
        Verb::Rollback => None,
    }
}
