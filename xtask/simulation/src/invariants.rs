//! What must never happen, looked for at each step and at the end.

use std::rc::Rc;

use xtask::failure;
use xtask::latest::doors::Doors;
use xtask::latest::look::Look;
use xtask::latest::outside::{Move, Outside, Push};
use xtask::latest::publish::{Person, Publish};
use xtask::latest::rollback;
use xtask::latest::set::Set;
use xtask::latest::{PREVIOUS, TAG};

use crate::chance::Chance;
use crate::fault::{Fault, Planned};
use crate::outside::Ask;
use crate::plan::{Pace, Plan, Verb};
use crate::schedule::{End, shown as shown_ask};
use crate::world::{BY_A_PERSON, Shown, World, commit, set};

pub struct Watch {
    verbs: Vec<Verb>,
    ends: Vec<Option<End>>,
    pub violation: Option<String>,
    /// Whether a `latest` was ever published.
    ever_live: bool,
    /// Since when nothing is live, and whose change did that.
    missing: Option<(u64, usize)>,
    longest_gap: u64,
    /// Runs that ended with 0 while something else was live.
    unproven: Vec<(usize, String)>,
    /// Runs that took the lock: what they say is so when they end.
    took_lock: Vec<bool>,
    /// Runs during which all was as they were asked for: one that has nothing to do takes no lock, and another goes on meanwhile.
    saw_it: Vec<bool>,
    started: Vec<bool>,
    /// What was live when each run began.
    at_start: Vec<Option<Rc<Shown>>>,
    /// What each run took back to a draft last.
    hidden: Vec<Option<Rc<Shown>>>,
    /// The last run that changed what readers see.
    last_changed_by: Option<usize>,
    judges_all: bool,
    lasts: usize,
    expected_back: Option<Rc<Shown>>,
    harmed: bool,
    /// Which runs are under way, a bit each.
    alive: u32,
    /// Of each run, which others were under way together with it.
    beside: Vec<u32>,
    changes_in_gap: u32,
    /// The release whose notes somebody edited, and when, where nothing else went wrong.
    edited: Option<(u64, u64)>,
    edits_alone: bool,
    /// Somebody is to delete the lock.
    lock_deleted: bool,
    in_turns: bool,
    /// All that was planned is that answers are lost at once.
    loses_answers_alone: bool,
}

/// An edit this long before a change was there when the run looked last; GitHub has no change that asks for what was there.
const LOOKED: u64 = 3_000;

/// What GitHub does wrong once, between the two calls, is mended sooner.
const LONGEST_GAP: u64 = 15_000;

/// What is looked at before an operation is served.
pub struct Before {
    live: Option<u64>,
    whole: Option<usize>,
    shown: Option<Rc<Shown>>,
    /// A rollback needs no more than the two calls.
    back_in_place: bool,
    /// All of the next set is there as well.
    staged: bool,
    /// What is live is what its manifest says.
    is_whole: bool,
}

struct Asking {
    set: Option<Set>,
}

impl Person for Asking {
    fn want(&mut self, _look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        self.set.clone().map(|set| (set, Vec::new())).ok_or_else(|| failure::failed("a rollback wants no set"))
    }

    fn agrees(&mut self, _question: &str) -> anyhow::Result<bool> {
        Ok(true)
    }
}

impl Watch {
    pub fn new(plan: &Plan, world: &World) -> Self {
        let verbs: Vec<Verb> = plan.runs.iter().map(|run| run.verb).collect();
        // An answer that lies, or a store that changes bytes, is GitHub's harm: the promise is then that it is found out.
        let harmed = plan.faults.iter().any(|it| matches!(it.fault, Fault::Corrupt | Fault::NoDigest));
        Self {
            ends: vec![None; verbs.len()],
            started: vec![false; verbs.len()],
            at_start: vec![None; verbs.len()],
            hidden: vec![None; verbs.len()],
            alive: 0,
            beside: vec![0; verbs.len()],
            took_lock: vec![false; verbs.len()],
            saw_it: vec![false; verbs.len()],
            verbs,
            violation: None,
            ever_live: world.live().is_some(),
            missing: None,
            longest_gap: 0,
            unproven: Vec::new(),
            last_changed_by: None,
            judges_all: plan.latest_arrival <= 110_000,
            lasts: 0,
            expected_back: None,
            harmed,
            changes_in_gap: 0,
            edited: None,
            in_turns: matches!(plan.pace, Pace::Turns { .. }),
            lock_deleted: plan.faults.iter().any(|it| matches!(it.fault, Fault::LockDeleted)),
            edits_alone: matches!(plan.faults[..], [Planned { fault: Fault::NotesEdited, .. }])
                && matches!(plan.pace, Pace::Even(_)),
            loses_answers_alone: plan.faults.iter().all(|it| matches!(it.fault, Fault::AnswerLost)),
        }
    }

    pub fn verb(&self, run: usize) -> Verb {
        self.verbs[run]
    }

    /// What a run does, to an exit code and what it said.
    pub fn work(&mut self, run: usize, world: &World) -> impl FnOnce(&dyn Outside) -> (u8, String) + 'static + use<> {
        self.started[run] = true;
        self.at_start[run] = world.shown();
        self.beside[run] = self.alive;
        let here = 1 << run;
        (0..self.beside.len()).filter(|at| self.alive & (1 << at) != 0).for_each(|at| self.beside[at] |= here);
        self.alive |= here;
        let verb = self.verbs[run];
        move |outside| {
            let doors = Doors::new(outside);
            let ended = match verb {
                Verb::Rollback => rollback::run(doors, false, &mut Asking { set: None }).map(drop),
                Verb::Publish { source, images, discard_incoming, keep_previous } => {
                    let wish = Publish {
                        source: format!("v0.{source}"),
                        take_over: false,
                        discard_incoming,
                        keep_previous,
                        jobs: 1,
                    };
                    wish.run(doors, &mut Asking { set: Some(set(source, images)) }).map(drop)
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
            Ask::Update(..) | Ask::Rename(..) => true,
            _ => deletes,
        };
        let back_in_place = touches_assets(ask) && world.way_back_is_in_place();
        Before {
            back_in_place,
            staged: back_in_place && matches!(ask, Ask::Rename(..)) && world.next_set_is_staged(),
            is_whole: touches_assets(ask) && is_whole(world),
            live: world.live().map(|live| live.id),
            whole: deletes.then(|| world.whole_sets()),
            shown: if ends_what_is { world.shown() } else { None },
        }
    }

    pub fn served(&mut self, run: usize, ask: &Ask, before: &Before, world: &World, now: u64) {
        if let Ask::Push(Push { lock: Move { to: Some(_), .. }, .. }) = ask {
            self.took_lock[run] = true;
        }
        if let Some(shown) = &before.shown {
            for (other, verb) in self.verbs.iter().enumerate() {
                let under_way = self.started[other] && self.ends[other].is_none();
                self.saw_it[other] |= other != run && under_way && fails(*verb, Some(shown)).is_none();
            }
        }
        let live = world.live().map(|live| live.id);
        if live != before.live {
            self.last_changed_by = Some(run);
        }
        match (before.live, live) {
            (Some(_), None) => {
                if matches!(ask, Ask::Update(_, new) if new.draft && new.tag_name == PREVIOUS) {
                    self.missing = Some((now, run));
                    self.hidden[run] = before.shown.as_deref().map(settled);
                    self.changes_in_gap = 0;
                } else {
                    self.violated_in_time(format!("`latest` is lost by run {run}: {}", shown_ask(ask)));
                }
            }
            (None, Some(_)) => {
                self.ever_live = true;
                if let Some((since, hider)) = self.missing.take() {
                    self.longest_gap = self.longest_gap.max(now - since);
                    self.judge_chosen(run, hider, world);
                }
            }
            _ => {}
        }
        if let (Ask::Update(id, new), Some((edited, when))) = (ask, self.edited)
            && *id == edited
            && !new.body.contains(BY_A_PERSON.trim())
        {
            self.edited = None;
            // A publish of the same images writes the notes anew, and its plan says so; what was replaced and filled with
            // another set has that set's notes.
            if now - when > LOOKED && Some(edited) == before.live && new.draft {
                self.violated(format!("run {run} undoes what somebody wrote: {}", shown_ask(ask)));
            }
        }
        if self.missing.is_some() && matches!(ask, Ask::Update(..)) {
            self.changes_in_gap += 1;
            if self.changes_in_gap > 30 {
                self.violated_in_time(format!("run {run} sends PATCH after PATCH while nothing is live"));
            }
        }
        if let Ask::Create(new) = ask
            && self.loses_answers_alone
            && world.releases().iter().filter(|it| it.draft && it.body.as_ref() == Some(&new.body)).count() > 1
        {
            self.violated_in_time(format!("run {run} makes a second draft of the same set"));
        }
        if before.whole.is_some_and(|whole| whole > 0) && world.whole_sets() == 0 {
            self.violated(format!("run {run} deleted the only whole set: {}", shown_ask(ask)));
        }
        if (touches_assets(ask) || matches!(ask, Ask::Update(..)))
            && let Some(name) = world.strange_to_readers()
        {
            self.violated(format!("readers find {name}, which is not of the set, after run {run}: {}", shown_ask(ask)));
        }
        let nobody_waits = self.nobody_waits(run);
        if before.is_whole && !is_whole(world) && !self.harmed && !nobody_waits {
            self.violated_in_time(format!(
                "what is live is not what its manifest says, after run {run}: {}",
                shown_ask(ask)
            ));
        }
        if before.back_in_place && !before.staged && !world.way_back_is_in_place() && !nobody_waits {
            self.violated_in_time(format!("the way back is poorer by run {run}: {}", shown_ask(ask)));
        }
        if let Ask::Upload { release, name, .. } = ask
            // One that was sent before the switch and arrives after it is refused, and sends nothing anew.
            && world.live().is_none_or(|live| live.id != *release)
            // What has no digest is sent again rather than believed.
            && !self.harmed
            && name.contains("qcow2")
            && !name.ends_with(".sha256")
            && let Verb::Publish { images, .. } = self.verbs[run]
            && self.at_start[run].as_ref().is_some_and(|shown| shown.by_us && shown.images == Some(images))
            // Nothing but its bytes tells what a set made by hand holds.
            && world.shown().is_some_and(|shown| shown.by_us && shown.images == Some(images))
        {
            self.violated_in_time(format!("run {run} sends {name}, which is live"));
        }
    }

    /// Nothing holds back what a run had sent when it died, or what it says may still be done, once somebody deletes its lock.
    /// The next run puts it right. Where runs take turns, a whole publish by another fits between a look and the change that
    /// rests on it.
    fn nobody_waits(&self, run: usize) -> bool {
        self.lock_deleted
            && match &self.ends[run] {
                Some(End::Killed) => true,
                Some(End::Code(_, said)) => said.contains("may still be done"),
                None => self.in_turns,
            }
    }

    /// What becomes live after a gap is what was live before it, or what the run that began it was to publish.
    fn judge_chosen(&mut self, run: usize, hider: usize, world: &World) {
        let which = |shown: &Rc<Shown>| (shown.source, shown.images);
        let Verb::Publish { source, images, .. } = self.verbs[hider] else { return };
        let Some(now) = world.shown().as_ref().map(which) else { return };
        let before = self.hidden[hider].as_ref().map(which);
        if now != (Some(source), Some(images)) && Some(now) != before {
            self.violated_in_time(format!(
                "run {run} makes {now:?} live, which nobody chose; before it was {before:?}"
            ));
        }
    }

    pub fn ended(&mut self, run: usize, end: &End, world: &World) {
        self.ends[run] = Some(end.clone());
        self.alive &= !(1 << run);
        let End::Code(0, _) = end else { return };
        if self.saw_it[run] && !self.took_lock[run] {
            return;
        }
        let shown = world.shown();
        if let Some(what) = fails(self.verbs[run], shown.as_deref()) {
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
                let published: Vec<Verb> =
                    self.verbs.iter().copied().filter(|verb| matches!(verb, Verb::Publish { .. })).collect();
                let plain =
                    |source, images| Verb::Publish { source, images, discard_incoming: false, keep_previous: true };
                let verb = match chance.below(4) {
                    _ if plan.last.is_some() => plan.last.unwrap_or(Verb::Rollback),
                    0 if !published.is_empty() => match chance.of_list(&published) {
                        Verb::Publish { source, images, .. } => plain(source, images),
                        Verb::Rollback => Verb::Rollback,
                    },
                    0 | 1 => plain(47, 4),
                    _ => Verb::Rollback,
                };
                // A rollback that is told that nothing is live puts right what it is told, and no more.
                if verb == Verb::Rollback && !world.lags() {
                    let promised = || world.promised_back().map(Rc::new).filter(|_| !self.harmed);
                    self.expected_back = self.way_back(world).or_else(promised);
                }
                Some(verb)
            }
            2 => {
                let run = self.verbs.len() - 1;
                let done = matches!(self.ends[run], Some(End::Code(0, _)));
                let replaced = self.hidden[run].clone().filter(|_| done && self.verbs[run] != Verb::Rollback);
                self.expected_back = replaced.clone();
                replaced.filter(|shown| shown.whole).map(|_| Verb::Rollback)
            }
            _ => None,
        }
    }

    /// What a rollback must bring back: the set that the last publish replaced, if that publish ended well and nobody did
    /// anything since.
    fn way_back(&self, world: &World) -> Option<Rc<Shown>> {
        let last = self.last_changed_by?;
        let alone = self.ends.iter().enumerate().all(|(run, end)| run == last || !matches!(end, Some(End::Code(0, _))));
        let Verb::Publish { keep_previous: true, .. } = self.verbs[last] else { return None };
        let well = matches!(self.ends[last], Some(End::Code(0, _)))
            && fails(self.verbs[last], world.shown().as_deref()).is_none();
        self.hidden[last].clone().filter(|shown| well && alone && shown.whole)
    }

    pub fn last_run(&mut self, verb: Verb) {
        self.verbs.push(verb);
        self.ends.push(None);
        self.at_start.push(None);
        self.hidden.push(None);
        self.beside.push(0);
        self.took_lock.push(false);
        self.saw_it.push(false);
        self.started.push(false);
    }

    fn judge_end(&mut self, plan: &Plan, world: &World) {
        let killed = self.ends.contains(&Some(End::Killed));
        let gave_up = plan.faults.iter().any(|it| matches!(it.fault, Fault::NoHub { lasting } if lasting >= 500_000))
            || plan.faults.iter().any(|it| matches!(it.fault, Fault::Nap { .. }));
        // After ten minutes without a way out it gives up, and says the commands to type.
        let stranded = (self.ends.iter())
            .any(|end| matches!(end, Some(End::Code(1, said)) if said.contains("HAS NO RELEASE NOW")));
        let unlocked = (0..self.ends.len()).any(|run| self.nobody_waits(run));
        let gave_up = gave_up || stranded || unlocked;
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
        let all_give_up = plan.faults.iter().all(gives_up);
        if let Some(shown) = world.shown().filter(|shown| all_give_up && shown.tag != settled(shown).tag) {
            self.violated_in_time(format!("nobody was killed, and the tag is left at {:?}", shown.tag));
        }
        for (run, what) in std::mem::take(&mut self.unproven) {
            // One that was under way as well may have done it differently; one that ended before can't have.
            let beside = |other: usize| self.beside[run] & (1 << other) != 0;
            let others =
                self.ends.iter().enumerate().any(|(at, end)| beside(at) && matches!(end, Some(End::Code(0, _))));
            if self.judges_all && !others && !unlocked {
                self.violated(format!("run {run} ended with 0, but {what}"));
            }
        }
    }

    /// After a last run: a whole set is live, with its tag.
    pub fn judge_last(&mut self, world: &World) {
        let run = self.verbs.len() - 1;
        let said = match &self.ends[run] {
            Some(End::Code(code, said)) => format!("exit {code} {said}"),
            other => format!("{other:?}"),
        };
        if !self.ever_live {
            return;
        }
        match world.shown() {
            None => self.violated(format!("after one more {:?} nothing is live ({said})", self.verbs[run])),
            Some(shown) if !shown.whole && !self.harmed => {
                self.violated(format!("after one more {:?} the live set is not whole ({said})", self.verbs[run]));
            }
            Some(shown) if shown.by_us && shown.tag != shown.commit => self.violated(format!(
                "after one more {:?} the tag {TAG} is at {:?}, the manifest at {:?} ({said})",
                self.verbs[run], shown.tag, shown.commit
            )),
            Some(shown) => {
                if let Some(expected) = self.expected_back.take().filter(|_| self.judges_all)
                    && self.verbs[run] == Verb::Rollback
                    && expected != shown
                {
                    self.violated(format!("a rollback brings {shown:?}, not {expected:?} ({said})"));
                }
            }
        }
    }
}

/// Whether what is live is what its manifest says, where it has one.
fn is_whole(world: &World) -> bool {
    world.shown().is_none_or(|shown| shown.whole || !shown.by_us)
}

fn touches_assets(ask: &Ask) -> bool {
    matches!(ask, Ask::Upload { .. } | Ask::Rename(..) | Ask::DeleteAsset(_))
}

/// With the tag of its own set: the tag moves before its release does.
fn settled(shown: &Shown) -> Rc<Shown> {
    let tag = if shown.by_us { shown.commit.clone() } else { Some(commit(44)) };
    Rc::new(Shown { tag, ..shown.clone() })
}

/// What is not as a run that ended with 0 promises.
fn fails(verb: Verb, shown: Option<&Shown>) -> Option<String> {
    let Some(shown) = shown else { return Some("nothing is live".to_owned()) };
    if !shown.whole {
        return Some("the live set is not whole".to_owned());
    }
    if shown.by_us && shown.tag != shown.commit {
        return Some(format!("the tag is at {:?}, the live set's commit is {:?}", shown.tag, shown.commit));
    }
    match verb {
        Verb::Publish { source, images, .. } => (shown.source != Some(source) || shown.images != Some(images))
            .then(|| format!("live is the set of v0.{:?} with images {:?}", shown.source, shown.images)),
        Verb::Rollback => None,
    }
}
