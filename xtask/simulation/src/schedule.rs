//! Plays a plan: who is resumed when, with which answer.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use github_stand_in::rules::Reads;
use xtask::gh::CallError;
use xtask::latest::outside::{Move, Outside, Push, Stop};

use crate::chance::Chance;
use crate::fault::{Fault, Kind, Place};
use crate::invariants::Watch;
use crate::outside::{Answer, Ask, Asked, Process, RunState, Shared, Told};
use crate::plan::{Pace, Plan};
use crate::turns::Turns;
use crate::world::{Meets, World};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Code(u8, String),
    Killed,
}

/// What a schedule came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The first thing that must not happen.
    pub violation: Option<String>,
    /// How many operations were asked for.
    pub operations: u64,
    /// The same of each of the plan's runs.
    pub of_runs: Vec<u64>,
    /// One line an event; empty unless asked for.
    pub timeline: Vec<String>,
}

/// What was asked and what the answer was; of a refusal its status.
pub struct Exchange {
    pub ask: Rc<Ask>,
    pub meets: Meets,
    pub answer: Result<Told, Option<u16>>,
}

/// What a plan's runs asked for.
pub struct Recorded {
    /// What was there before.
    pub start: World,
    pub exchanges: Vec<Exchange>,
    /// What the locks' commits say, by number.
    pub locks: Vec<String>,
}

type Routine = Coroutine<Answer, Asked, (u8, String), DefaultStack>;

struct Task {
    run: usize,
    routine: Option<Routine>,
    /// Counts what it waited for: an answer to something earlier is nobody's.
    waits: u64,
    sleeps: bool,
    heeds_signals: bool,
    stop: Option<Arc<Stop>>,
    /// What the run is for: it ends with this task.
    is_main: bool,
}

impl Progress {
    /// The kind of a request, and how many of that kind came before it; `None` while gh begins.
    fn count(&mut self, ask: &Ask) -> Option<(Kind, u64)> {
        if matches!(ask, Ask::Begin) {
            return None;
        }
        let kind = Kind::of(ask);
        let Some((_, count)) = self.sent.iter_mut().find(|(known, _)| *known == kind) else {
            self.sent.push((kind, 1));
            return Some((kind, 0));
        };
        *count += 1;
        Some((kind, *count - 1))
    }
}

struct Progress {
    started: u64,
    ended: Option<End>,
    operations: u64,
    frozen_until: u64,
    signalled: Option<u64>,
    /// How many requests of each kind it sent.
    sent: Vec<(Kind, u64)>,
}

enum Event {
    Start(usize),
    Serve { run: usize, ask: Rc<Ask>, meets: Meets, answer_to: Option<(usize, u64)>, answered: u64 },
    Answer { task: usize, waits: u64, answer: Answer },
    Beside { run: usize, work: xtask::latest::outside::Task },
}

/// A schedule has ended long before.
const LONGEST: u64 = 24 * 3_600_000;
const MOST_OPERATIONS: u64 = 20_000;

struct Schedule<'p> {
    plan: &'p Plan,
    shared: Rc<Shared>,
    world: World,
    watch: Watch,
    tasks: Vec<Task>,
    runs: Vec<Progress>,
    queue: Queue,
    no_hub_until: u64,
    no_git_until: u64,
    limited_until: u64,
    operations: u64,
    timeline: Option<Vec<String>>,
    stacks: &'p mut Vec<DefaultStack>,
    turns: Turns,
    /// What was served, if that is asked for.
    exchanges: Option<Vec<Exchange>>,
}

/// What is to happen: few things at a time, so the next is looked for.
#[derive(Default)]
struct Queue {
    waiting: Vec<(Moment, Event)>,
    sequence: u64,
}

/// Milliseconds since the beginning; what was put in first comes first.
type Moment = (u64, u64);

impl Queue {
    fn push(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.waiting.push(((time, self.sequence), event));
    }

    fn next(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|at| self.waiting[*at].0)
    }

    fn time(&self) -> Option<u64> {
        self.next().map(|at| self.waiting[at].0.0)
    }

    fn pop(&mut self) -> Option<(u64, Event)> {
        self.next().map(|at| self.waiting.swap_remove(at)).map(|((time, _), event)| (time, event))
    }
}

thread_local! {
    static STACKS: std::cell::RefCell<Vec<DefaultStack>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Plays a plan to its end.
pub fn play(plan: &Plan) -> Outcome {
    let mut stacks = STACKS.take();
    let outcome = Schedule::new(plan, &mut stacks, false).run();
    STACKS.set(stacks);
    outcome
}

/// Plays a plan without more ado, for the world that it leaves.
pub fn play_to(plan: &Plan) -> World {
    let mut stacks = Vec::new();
    let mut schedule = Schedule::new(plan, &mut stacks, false);
    schedule.begin();
    schedule.go_on();
    if let Some(violation) = &schedule.watch.violation {
        panic!("making a world to start from: {violation}");
    }
    schedule.end_all();
    let mut world = schedule.world;
    world.forget_time();
    world
}

/// Plays a plan's runs, without what comes after them, and gives all that they asked for, in the order in which it was served.
pub fn record(plan: &Plan) -> Recorded {
    let mut stacks = Vec::new();
    let mut schedule = Schedule::new(plan, &mut stacks, false);
    let start = schedule.world.clone();
    schedule.exchanges = Some(Vec::new());
    schedule.begin();
    schedule.go_on();
    let exchanges = schedule.exchanges.take().unwrap_or_default();
    let locks = schedule.shared.locks.borrow().notes();
    schedule.end_all();
    Recorded { start, exchanges, locks }
}

/// Plays it again and tells what happens.
pub fn tell(plan: &Plan) -> Outcome {
    let mut stacks = STACKS.take();
    let outcome = Schedule::new(plan, &mut stacks, true).run();
    STACKS.set(stacks);
    outcome
}

impl<'p> Schedule<'p> {
    fn new(plan: &'p Plan, stacks: &'p mut Vec<DefaultStack>, tells: bool) -> Self {
        let shared = Rc::new(Shared::default());
        shared.seed.set(plan.seed);
        shared.tells.set(tells);
        let world = World::new(plan.start);
        let watch = Watch::new(plan, &world);
        Self {
            plan,
            shared,
            world,
            watch,
            tasks: Vec::new(),
            runs: Vec::new(),
            queue: Queue::default(),
            no_hub_until: 0,
            no_git_until: 0,
            limited_until: 0,
            operations: 0,
            timeline: tells.then(Vec::new),
            stacks,
            turns: Turns::of(plan.pace),
            exchanges: None,
        }
    }

    fn run(mut self) -> Outcome {
        self.begin();
        self.go_on();
        if self.watch.violation.is_none() {
            self.afterwards();
        }
        for (at, run) in self.runs.iter().enumerate() {
            if run.ended.is_none() && self.watch.violation.is_none() {
                self.watch.violation = Some(format!("run {at} never ends"));
            }
        }
        self.end_all();
        Outcome {
            violation: self.watch.violation.take(),
            operations: self.operations,
            of_runs: self.runs.iter().take(self.plan.runs.len()).map(|run| run.operations).collect(),
            timeline: self.timeline.take().unwrap_or_default(),
        }
    }

    fn begin(&mut self) {
        for at in 0..self.plan.runs.len() {
            self.add_run();
            if at == 0 || !self.plan.runs[at].after_the_one_before {
                self.at(self.plan.runs[at].starts, Event::Start(at));
            }
        }
    }

    /// What still waits is told that its process is gone, so that it ends as well.
    fn end_all(&mut self) {
        for run in self.shared.runs.borrow().iter() {
            run.dead.set(true);
        }
        for at in 0..self.tasks.len() {
            while self.tasks[at].routine.is_some() {
                self.resume(at, Err(CallError::Lost("killed".into())));
            }
        }
    }

    /// One more plain run by somebody else, without a fault; then, where that published over an older set, a rollback.
    fn afterwards(&mut self) {
        self.no_hub_until = 0;
        self.no_git_until = 0;
        self.limited_until = 0;
        while let Some(verb) = self.watch.last_verb(self.plan, &self.world) {
            let at = self.add_run();
            self.watch.last_run(verb);
            self.at(self.shared.now.get(), Event::Start(at));
            self.go_on();
            if self.watch.violation.is_none() {
                self.watch.judge_last(&self.world);
            }
            if self.watch.violation.is_some() {
                return;
            }
        }
    }

    fn add_run(&mut self) -> usize {
        let state = RunState::default();
        let at = self.runs.len();
        state.clone.set(self.plan.runs.get(at).map_or(200 + at as u8, |run| run.clone));
        self.shared.runs.borrow_mut().push(Rc::new(state));
        self.runs.push(Progress {
            started: 0,
            ended: None,
            operations: 0,
            frozen_until: 0,
            signalled: None,
            sent: Vec::new(),
        });
        self.runs.len() - 1
    }

    fn at(&mut self, time: u64, event: Event) {
        self.queue.push(time, event);
    }

    fn note(&mut self, text: fmt::Arguments<'_>) {
        let now = self.shared.now.get();
        if let Some(timeline) = &mut self.timeline {
            timeline.push(format!("{:>8}.{:03} s  {text}", now / 1000, now % 1000));
        }
    }

    fn go_on(&mut self) {
        loop {
            if self.watch.violation.is_some() {
                return;
            }
            if let Some((task, waits, asked)) = self.turns.idle(|| self.queue.time(), self.shared.now.get()) {
                self.taken_up(task, waits, asked);
                continue;
            }
            let Some((time, event)) = self.queue.pop() else { return };
            if time > LONGEST || self.operations > MOST_OPERATIONS {
                self.watch.violation =
                    Some(format!("not over after {} s and {} operations", time / 1000, self.operations));
                return;
            }
            self.shared.now.set(time.max(self.shared.now.get()));
            match event {
                Event::Start(run) => self.start(run),
                Event::Beside { run, work } => self.spawn(run, false, move |outside| {
                    work(outside);
                    (0, String::new())
                }),
                Event::Serve { run, ask, meets, answer_to, answered } => {
                    self.serve(run, &ask, meets, answer_to, answered);
                }
                Event::Answer { task, waits, answer } => {
                    let (run, current) = (self.tasks[task].run, self.tasks[task].waits == waits);
                    if !current {
                        continue;
                    }
                    let frozen = self.runs[run].frozen_until;
                    if frozen > time {
                        self.at(frozen, Event::Answer { task, waits, answer });
                        continue;
                    }
                    self.resume(task, answer);
                }
            }
        }
    }

    fn start(&mut self, run: usize) {
        self.runs[run].started = self.shared.now.get();
        let verb = self.watch.verb(run);
        self.note(format_args!("run {run} starts: {verb:?}"));
        let work = self.watch.work(run, &self.world);
        self.spawn(run, true, work);
    }

    fn spawn(&mut self, run: usize, is_main: bool, work: impl FnOnce(&dyn Outside) -> (u8, String) + 'static) {
        let stack = self.stacks.pop().unwrap_or_default();
        let shared = Rc::clone(&self.shared);
        let routine =
            Coroutine::with_stack(stack, move |yielder, _first: Answer| work(&Process::new(yielder, shared, run)));
        self.tasks.push(Task {
            run,
            routine: Some(routine),
            waits: 0,
            sleeps: false,
            heeds_signals: false,
            stop: None,
            is_main,
        });
        self.resume(self.tasks.len() - 1, Ok(Told::Nothing));
    }

    fn resume(&mut self, task: usize, mut answer: Answer) {
        loop {
            self.tasks[task].waits += 1;
            let Some(mut routine) = self.tasks[task].routine.take() else { return };
            match routine.resume(answer) {
                CoroutineResult::Return((code, said)) => {
                    self.stacks.push(routine.into_stack());
                    if self.tasks[task].is_main {
                        self.ended(self.tasks[task].run, code, said);
                    }
                    return;
                }
                CoroutineResult::Yield(asked) => {
                    self.tasks[task].routine = Some(routine);
                    match self.dispatch(task, asked) {
                        Some(at_once) => answer = at_once,
                        None => return,
                    }
                }
            }
        }
    }

    fn ended(&mut self, run: usize, code: u8, said: String) {
        if self.runs[run].ended.is_some() {
            return;
        }
        self.note(format_args!("run {run} ends with {code}: {said}"));
        self.over(run, &End::Code(code, said));
    }

    fn over(&mut self, run: usize, end: &End) {
        self.shared.runs.borrow()[run].holds_clone.set(false);
        let now = self.shared.now.get();
        let progress = &mut self.runs[run];
        progress.ended = Some(end.clone());
        let alone = self.plan.faults.len() == 1 && matches!(self.plan.pace, Pace::Even(_));
        if let Some(signalled) = progress.signalled.filter(|_| alone)
            && now - signalled > 15_000
        {
            self.watch.violation = Some(format!("run {run} heeds a signal after {} s", (now - signalled) / 1000));
        }
        self.watch.ended(run, end, &self.world);
        let next = run + 1;
        if let Some(after) = self.plan.runs.get(next).filter(|after| after.after_the_one_before) {
            self.at(now + after.starts, Event::Start(next));
        }
    }

    fn kill(&mut self, run: usize) {
        self.note(format_args!("run {run} is killed"));
        self.shared.runs.borrow()[run].dead.set(true);
        self.over(run, &End::Killed);
        for at in 0..self.tasks.len() {
            if self.tasks[at].run == run && self.tasks[at].routine.is_some() {
                let waits = self.tasks[at].waits;
                self.at(
                    self.shared.now.get(),
                    Event::Answer { task: at, waits, answer: Err(CallError::Lost("killed".into())) },
                );
            }
        }
    }

    /// What had to wait for its run's turn.
    fn taken_up(&mut self, task: usize, waits: u64, asked: Asked) {
        if self.tasks[task].waits != waits || self.tasks[task].routine.is_none() {
            return;
        }
        if let Some(at_once) = self.dispatch(task, asked) {
            self.at(self.shared.now.get(), Event::Answer { task, waits, answer: at_once });
        }
    }

    /// What an operation meets. An answer, where there is one at once.
    fn dispatch(&mut self, task: usize, asked: Asked) -> Option<Answer> {
        let Asked { ask, patience, heeds_signals } = asked;
        let (run, now) = (self.tasks[task].run, self.shared.now.get());
        let waits = self.tasks[task].waits;
        self.tasks[task].heeds_signals = heeds_signals;
        self.tasks[task].sleeps = false;
        self.tasks[task].stop = None;
        match &ask {
            Ask::Say(text) => {
                let text = text.clone();
                self.note(format_args!("run {run} says: {text}"));
                return Some(Ok(Told::Nothing));
            }
            Ask::Stop(stop) => {
                let now = self.shared.now.get();
                for at in 0..self.tasks.len() {
                    if self.tasks[at].stop.as_ref().is_some_and(|waited| Arc::ptr_eq(waited, stop)) {
                        let waits = self.tasks[at].waits;
                        self.at(now, Event::Answer { task: at, waits, answer: Ok(Told::Nothing) });
                    }
                }
                return Some(Ok(Told::Nothing));
            }
            Ask::Wait { stop, millis } => {
                self.tasks[task].stop = Some(Arc::clone(stop));
                self.at(now + millis, Event::Answer { task, waits, answer: Ok(Told::Nothing) });
                return None;
            }
            Ask::Beside(beside) => {
                if let Some(work) = beside.0.take() {
                    self.at(now, Event::Beside { run, work });
                }
                return Some(Ok(Told::Nothing));
            }
            Ask::Sleep { millis } => {
                if heeds_signals && self.runs[run].signalled.is_some() {
                    return Some(Ok(Told::Nothing));
                }
                self.tasks[task].sleeps = true;
                self.at(now + millis, Event::Answer { task, waits, answer: Ok(Told::Nothing) });
                return None;
            }
            _ => {}
        }
        if !self.turns.has(run, self.operations) {
            self.turns.park(task, waits, run, Asked { ask, patience, heeds_signals });
            return None;
        }
        let operation = self.runs[run].operations;
        self.runs[run].operations += 1;
        self.operations += 1;
        let mut chance = Chance::of(self.plan.seed, run as u64 + 1, operation);
        let (to, back) = self.latencies(&mut chance);
        let longest = self.plan.latest_arrival;
        let mut served = now + to;
        let mut answered = served.saturating_add(back);
        let mut meets = Meets::default();
        if matches!(ask, Ask::Begin) {
            (served, answered) = (now + 40, now + 40);
        }
        let (mut lost, mut again) = (false, None);
        let of_kind = self.runs[run].count(&ask);
        let here = |place: Place| match place {
            Place::Number(number) => number == operation,
            Place::Of(kind, number) => of_kind == Some((kind, number)),
        };
        let faults: Vec<Fault> = (self.plan.faults.iter())
            .filter(|planned| planned.run == run && here(planned.place))
            .map(|planned| planned.fault)
            // While gh begins nothing is under way yet.
            .filter(|fault| !matches!(ask, Ask::Begin) || fault.is_of_the_machine())
            .collect();
        if self.timeline.is_some() {
            self.note(format_args!("run {run} sends {operation}: {}", shown(&ask)));
        }
        for fault in faults {
            self.note(format_args!("run {run}, {operation}: {fault:?}"));
            match fault {
                Fault::Kill => {
                    self.kill(run);
                    return Some(Err(CallError::Lost("killed".into())));
                }
                Fault::KillAfterSending { served: later } => {
                    served = now + later.min(longest);
                    self.at(served, Event::Serve { run, ask: Rc::new(ask), meets, answer_to: None, answered: served });
                    self.kill(run);
                    return Some(Err(CallError::Lost("killed".into())));
                }
                Fault::Limit { status, retry_after } => meets.refused = Some((status, retry_after, true)),
                Fault::Limited { lasting } => self.limited_until = now + lasting,
                Fault::Refuse { status } => meets.refused = Some((status, None, false)),
                Fault::Lost => meets.lost = true,
                Fault::AnswerLost => lost = true,
                Fault::Late { served: later } => {
                    served = now + later.min(longest);
                    answered = served.saturating_add(back);
                }
                Fault::Twice { again: later } if served != u64::MAX => {
                    // Whatever sends it again is what the run waits for: it hears of the second.
                    again = Some(served);
                    served = served.max(now + later.min(longest));
                    answered = served.saturating_add(back);
                }
                Fault::Twice { .. } => {}
                Fault::Never => (served, answered) = (u64::MAX, u64::MAX),
                Fault::DraftInstead => meets.draft_instead = true,
                Fault::NeverLive => meets.never_live = true,
                Fault::Corrupt => meets.corrupt = true,
                Fault::NoDigest => meets.no_digest = true,
                Fault::Starter => meets.starter = true,
                Fault::Lag { lasting } => self.world.lag(Reads::Listings, now + lasting),
                Fault::LagById { lasting } => self.world.lag(Reads::ById, now + lasting),
                Fault::Nap { lasting } => {
                    let progress = &mut self.runs[run];
                    progress.frozen_until = now + lasting;
                    let state = Rc::clone(&self.shared.runs.borrow()[run]);
                    state.slept.set(state.slept.get() + lasting);
                    // The other side doesn't wait that long for the rest of a request; while gh begins there is none yet.
                    if !matches!(ask, Ask::Begin) && lasting > longest.saturating_sub(10_000) {
                        meets.lost = true;
                    }
                    (served, answered) = (served.saturating_add(lasting), answered.saturating_add(lasting));
                }
                Fault::Signal => self.signal(run),
                Fault::NoHub { lasting } => self.no_hub_until = now + lasting,
                Fault::NoGit { lasting } => self.no_git_until = now + lasting,
                Fault::Blocked { lasting } => self.shared.runs.borrow()[run].blocked_until.set(now + lasting),
                Fault::ClockBack { by } => self.shared.runs.borrow()[run].clock_back.set(by),
                Fault::LockDeleted => {
                    self.note(format_args!("somebody deletes the lock"));
                    self.delete_lock();
                }
                Fault::FolderChanged => self.watch.folder_changes(run),
                Fault::NoPins => self.world.refuse_pins(),
                Fault::TagDeleted
                | Fault::TagMoved
                | Fault::LiveDeleted
                | Fault::PublishedByHand
                | Fault::PinnedEdited => {
                    self.note(format_args!("somebody changes the releases by hand: {fault:?}"));
                    self.world.by_a_person(fault);
                    self.watch.changed_by_hand(&self.world, now);
                }
                Fault::NotesEdited => {
                    let edited = self.world.edit_notes();
                    self.note(format_args!("somebody edits the notes of release {edited:?}"));
                    self.watch.edited(edited, now);
                }
            }
        }
        let until = if is_git(&ask) { self.no_git_until } else { self.no_hub_until };
        if served < until {
            meets.lost = true;
            answered = now + patience.unwrap_or(20_000).min(10_000);
        }
        if served < self.limited_until && changes(&ask) {
            meets.refused = Some((429, Some((self.limited_until - served).div_ceil(1000)), true));
        }
        let ask = Rc::new(ask);
        if let Some(again) = again {
            let ask = Rc::clone(&ask);
            self.at(again, Event::Serve { run, ask, meets: Meets::default(), answer_to: None, answered: again });
        }
        let gives_up = patience.map(|patience| now + patience);
        let heard = gives_up.is_none_or(|gives_up| answered <= gives_up) && !lost;
        if served != u64::MAX {
            let answer_to = heard.then_some((task, waits));
            self.at(served, Event::Serve { run, ask, meets, answer_to, answered });
        }
        if !heard {
            let gives_up = gives_up.unwrap_or(u64::MAX);
            // Nobody waits longer for a connection to break than for an answer.
            let (when, why) = if lost && answered < gives_up {
                (answered, "the connection was closed")
            } else {
                (gives_up, "no answer")
            };
            self.at(when, Event::Answer { task, waits, answer: Err(CallError::Lost(why.into())) });
        }
        if heeds_signals && self.runs[run].signalled.is_some() {
            self.at(now + 100, Event::Answer { task, waits, answer: Err(CallError::Interrupted) });
        }
        None
    }

    fn latencies(&self, chance: &mut Chance) -> (u64, u64) {
        match self.plan.pace {
            Pace::Even(each) => (each, each),
            Pace::Turns { .. } => (1, 1),
            Pace::Uneven(most) => (chance.within(1, most), chance.within(1, most)),
            Pace::Spikes(most) => {
                let mut half = || if chance.one_in(8) { chance.within(1, most) } else { chance.within(1, 200) };
                (half(), half())
            }
        }
    }

    fn signal(&mut self, run: usize) {
        let now = self.shared.now.get();
        self.shared.runs.borrow()[run].signal.set(true);
        self.runs[run].signalled = Some(now);
        for at in 0..self.tasks.len() {
            let task = &self.tasks[at];
            if task.run == run && task.routine.is_some() && task.heeds_signals {
                let (waits, sleeps) = (task.waits, task.sleeps);
                let answer = if sleeps { Ok(Told::Nothing) } else { Err(CallError::Interrupted) };
                self.at(now + 100, Event::Answer { task: at, waits, answer });
            }
        }
    }

    fn serve(&mut self, run: usize, ask: &Rc<Ask>, mut meets: Meets, answer_to: Option<(usize, u64)>, answered: u64) {
        let now = self.shared.now.get();
        if is_git(ask) {
            // GitHub's interface has limits, git has none.
            meets.refused = None;
        }
        let before = self.watch.before(ask, &self.world);
        let mut answer = self.world.serve(ask, meets, now);
        if let (Ask::LockNote(id), Ok(told)) = (&**ask, &mut answer) {
            // A note is fetched with the ref.
            *told = Told::Note(self.shared.locks.borrow().note(id).filter(|_| self.world.lock().is_some()));
        }
        if self.timeline.is_some() {
            let said = match &answer {
                Ok(told) => told.to_string(),
                Err(error) => error.to_string(),
            };
            self.note(format_args!("    served to run {run}: {} → {said}", shown(ask)));
        }
        self.keep(ask, meets, &answer);
        self.watch.served(run, ask, &before, &self.world, now);
        if let Some((task, waits)) = answer_to {
            self.at(answered.max(now), Event::Answer { task, waits, answer });
        }
    }

    /// As somebody does who knows nothing of runs.
    fn delete_lock(&mut self) {
        let Some(there) = self.world.lock().cloned() else { return };
        let lock = Move { to: None, expected: Some(there) };
        let push = Rc::new(Ask::Push(Push { lock, tag: None }));
        let answer = self.world.serve(&push, Meets::default(), self.shared.now.get());
        self.keep(&push, Meets::default(), &answer);
    }

    /// For those who ask for what was exchanged.
    fn keep(&mut self, ask: &Rc<Ask>, meets: Meets, answer: &Answer) {
        if let Some(exchanges) = &mut self.exchanges {
            let answer = match answer {
                Ok(told) => Ok(told.clone()),
                Err(error) => Err(error.status()),
            };
            exchanges.push(Exchange { ask: Rc::clone(ask), meets, answer });
        }
    }
}

fn is_git(ask: &Ask) -> bool {
    matches!(ask, Ask::Refs | Ask::LockNote(_) | Ask::Push(_))
}

/// Whether it changes something on GitHub.
pub fn changes(ask: &Ask) -> bool {
    matches!(ask, Ask::Create(_) | Ask::Update(..) | Ask::Delete(_) | Ask::Upload { .. } | Ask::DeleteAsset(_))
}

/// An operation in a few words.
pub fn shown(ask: &Ask) -> String {
    match ask {
        Ask::Create(new) => format!("create the draft {}", new.tag_name),
        Ask::Update(id, new) => format!("change release {id}: tag {}, draft {}", new.tag_name, new.draft),
        Ask::Upload { release, name, bytes } => format!("upload {name} ({} bytes) to {release}", bytes.len()),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("done"),
            Self::Maybe(None) => f.write_str("none"),
            Self::Maybe(Some(release)) => write!(f, "release {}", release.id),
            Self::Release(release) => {
                write!(f, "release {} tag {} draft {}", release.id, release.tag_name, release.draft)
            }
            Self::Releases(all) => {
                let each: Vec<String> =
                    all.iter().map(|it| format!("{} {} draft {}", it.id, it.tag_name, it.draft)).collect();
                f.write_str(&each.join("; "))
            }
            Self::Assets(all) => {
                let each: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
                f.write_str(&each.join(", "))
            }
            Self::Asset(asset) => write!(f, "asset {} {}", asset.id, asset.name),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Refs(refs) => write!(f, "tag {:?}, lock {:?}", refs.tag.as_ref().map(|tag| &tag.object), refs.lock),
            Self::Note(note) => write!(f, "{note:?}"),
            Self::Budget(budget) => write!(f, "{budget:?}"),
            Self::Commit(commit) => write!(f, "{commit:?}"),
            Self::Pushed(pushed) => write!(f, "{pushed:?}"),
        }
    }
}
