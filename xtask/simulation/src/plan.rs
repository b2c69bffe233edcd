//! What a schedule is made of.

use crate::chance::Chance;
use crate::fault::{Fault, Kind, Place, Planned};

/// What is there when the runs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Nothing,
    /// A set of ours, v0.44, that replaced nothing.
    Ours,
    /// v0.44, which replaced v0.43.
    OursOverOlder,
    /// Made by hand, with another title, not a prerelease.
    ByHand,
    /// v0.44 over v0.43, and a complete draft of v0.46 that was never switched.
    Draft,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Publish {
        /// `v0.<source>`.
        source: u8,
        /// Which bytes its images have.
        images: u8,
    },
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub verb: Verb,
    /// Milliseconds after the beginning, or after the end of the run before it.
    pub starts: u64,
    pub after_the_one_before: bool,
    /// Runs of one clone share its git directory.
    pub clone: u8,
    /// It replaces a lock that it finds.
    pub take_over: bool,
}

/// All that a schedule follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub start: Start,
    pub runs: Vec<Run>,
    pub faults: Vec<Planned>,
    /// The longest time that a request may take to arrive after it was sent.
    pub latest_arrival: u64,
    /// How requests take their time.
    pub pace: Pace,
    /// What somebody else runs in the end; drawn from the seed unless it is given.
    pub last: Option<Verb>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each half of a request takes this long.
    Even(u64),
    /// Up to this long.
    Uneven(u64),
    /// Mostly quick, now and then so slow.
    Spikes(u64),
    /// All but at once, one run at a time: this one begins, and the turn goes to the next when so many operations were sent by
    /// all, and whenever whose turn it is has nothing under way.
    Turns { first: usize, ends: [u64; 2] },
}

/// What an upload, a change or a push can meet, drawn for random plans.
pub fn fault(chance: &mut Chance, latest_arrival: u64) -> Fault {
    let late = |chance: &mut Chance| match chance.below(3) {
        0 => chance.within(1_000, 8_000),
        1 => chance.within(8_000, 40_000),
        _ => chance.within(1_000, latest_arrival),
    };
    match chance.below(28) {
        0..3 => Fault::Kill,
        3..5 => Fault::KillAfterSending { served: late(chance) },
        5 => Fault::Limit { status: 429, retry_after: Some(chance.of_list(&[1, 6, 60, 600])) },
        6 => Fault::Limit { status: 403, retry_after: None },
        7 if chance.one_in(2) => Fault::Limited { lasting: chance.of_list(&[6_000, 60_000, 600_000]) },
        7 => Fault::Refuse { status: chance.of_list(&[401, 404, 422, 500, 502, 503]) },
        8 => Fault::Lost,
        9..11 => Fault::AnswerLost,
        11..15 => Fault::Late { served: late(chance) },
        15..17 => Fault::Twice { again: late(chance) },
        17 => Fault::Never,
        18 => Fault::DraftInstead,
        19 => Fault::Corrupt,
        20 => chance.of_list(&[Fault::NoDigest, Fault::Starter]),
        21 if chance.one_in(2) => Fault::LagById { lasting: chance.within(500, 25_000) },
        21 => Fault::Lag { lasting: chance.within(500, 25_000) },
        22..24 => Fault::Nap { lasting: chance.of_list(&[5_000, 60_000, 150_000, 1_200_000]) },
        24 => Fault::Signal,
        25 => Fault::NoHub { lasting: chance.within(5_000, 900_000) },
        26 => Fault::NoGit { lasting: chance.within(5_000, 900_000) },
        _ => chance.of_list(&[
            Fault::Blocked { lasting: 300_000 },
            Fault::ClockBack { by: 86_400_000 },
            Fault::LockDeleted,
            Fault::NotesEdited,
            Fault::FolderChanged,
            Fault::NoPins,
            Fault::TagDeleted,
            Fault::TagMoved,
            Fault::LiveDeleted,
            Fault::PublishedByHand,
            Fault::PinnedEdited,
        ]),
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn random(seed: u64, latest_arrival: u64) -> Self {
        let mut chance = Chance::new(seed);
        let start = chance.of_list(&[
            Start::Nothing,
            Start::Ours,
            Start::Ours,
            Start::OursOverOlder,
            Start::OursOverOlder,
            Start::ByHand,
            Start::Draft,
        ]);
        let count = chance.within(2, 3) as usize;
        let one_clone = chance.one_in(4);
        let runs: Vec<Run> = (0..count)
            .map(|at| Run {
                verb: verb(&mut chance),
                starts: chance.of_list(&[0, 100, 1_000, 2_000, 3_000, 4_000, 8_000, 20_000, 60_000]),
                after_the_one_before: at > 0 && chance.one_in(2),
                clone: if one_clone { 0 } else { at as u8 },
                take_over: chance.one_in(30),
            })
            .collect();
        let faults = (0..chance.below(4))
            .map(|_| Planned {
                run: chance.below(count as u64) as usize,
                place: place(&mut chance),
                fault: fault(&mut chance, latest_arrival),
            })
            .collect();
        let pace = match chance.below(4) {
            0 => Pace::Even(125),
            1 => Pace::Uneven(300),
            2 => Pace::Uneven(3_000),
            _ => Pace::Spikes(8_000),
        };
        Self { seed, start, runs, faults, latest_arrival, pace, last: None }
    }
}

/// Half of the faults come where the protocol is at its most delicate.
fn place(chance: &mut Chance) -> Place {
    if chance.one_in(2) {
        return Place::Number(chance.below(120));
    }
    let kind = chance.of_list(&[
        Kind::PinsTag,
        Kind::MovesTag,
        Kind::Hides,
        Kind::Hides,
        Kind::Publishes,
        Kind::Publishes,
        Kind::Creates,
        Kind::Deletes,
    ]);
    Place::Of(kind, chance.below(2))
}

fn verb(chance: &mut Chance) -> Verb {
    match chance.below(10) {
        0..2 => Verb::Rollback,
        _ => Verb::Publish {
            source: chance.of_list(&[44, 45, 45, 45, 46, 46]),
            images: chance.of_list(&[1, 2, 2, 3, 5]),
        },
    }
}
