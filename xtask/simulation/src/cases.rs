//! Ways in which `latest`, its tag or its way back were lost once, or a run told what wasn't so, and more that one step of the
//! protocol prevents. Each is a family: the same story with the fault at each operation, or with each offset between the runs.

use crate::fault::{Fault, Kind, Place, Planned};
use crate::plan::{Pace, Plan, Run, Start, Verb};
use crate::steps;

/// A story and its plans.
pub struct Case {
    pub name: &'static str,
    pub plans: Vec<Plan>,
}

/// More operations than a run has before it is over.
const OPERATIONS: u64 = 130;

pub(crate) const fn publish(source: u8, images: u8) -> Verb {
    Verb::Publish { source, images }
}

pub(crate) fn run(verb: Verb, starts: u64, clone: u8) -> Run {
    Run { verb, starts, after_the_one_before: false, clone, take_over: false }
}

pub(crate) fn after(verb: Verb, clone: u8) -> Run {
    Run { verb, starts: 0, after_the_one_before: true, clone, take_over: false }
}

pub(crate) fn plan(start: Start, runs: &[Run], faults: &[Planned], last: Verb) -> Plan {
    Plan {
        seed: 1,
        start,
        runs: runs.to_vec(),
        faults: faults.to_vec(),
        latest_arrival: 110_000,
        pace: Pace::Even(125),
        last: Some(last),
    }
}

/// A fault at an operation of a run.
pub(crate) fn at(run: usize, operation: u64, fault: Fault) -> Planned {
    Planned { run, place: Place::Number(operation), fault }
}

/// A fault at a run's first request of a kind.
pub(crate) fn on(run: usize, kind: Kind, fault: Fault) -> Planned {
    Planned { run, place: Place::Of(kind, 0), fault }
}

/// Each of the faults at each operation of each run that is named.
pub(crate) fn everywhere(start: Start, runs: &[Run], which: &[usize], faults: &[Fault], last: Verb) -> Vec<Plan> {
    let mut plans = Vec::new();
    for &which in which {
        for operation in 0..OPERATIONS {
            plans.extend(faults.iter().map(|fault| plan(start, runs, &[at(which, operation, *fault)], last)));
        }
    }
    plans
}

/// With another fault, the same in each plan.
pub(crate) fn and(plans: Vec<Plan>, planned: Planned) -> Vec<Plan> {
    plans.into_iter().map(|plan| Plan { faults: [vec![planned], plan.faults].concat(), ..plan }).collect()
}

/// With another fault that meets the same operation.
pub(crate) fn also(plans: Vec<Plan>, fault: Fault) -> Vec<Plan> {
    let twice = |planned: Planned| vec![planned, Planned { fault, ..planned }];
    plans.into_iter().map(|plan| Plan { faults: plan.faults.into_iter().flat_map(twice).collect(), ..plan }).collect()
}

/// With another fault that meets an operation so many later.
pub(crate) fn then(plans: Vec<Plan>, operations: u64, fault: Fault) -> Vec<Plan> {
    let later = |it: Planned| match it.place {
        Place::Number(number) => Planned { place: Place::Number(number + operations), fault, ..it },
        Place::Of(..) => it,
    };
    let both = |it: Planned| vec![it, later(it)];
    plans.into_iter().map(|plan| Plan { faults: plan.faults.into_iter().flat_map(both).collect(), ..plan }).collect()
}

/// The second run leaves a draft, and the last one, which goes on with it, is killed at each operation.
fn over_a_draft(start: Start, runs: &[Run]) -> Vec<Plan> {
    let left = on(1, Kind::PinsTag, Fault::Kill);
    let mut plans = everywhere(start, runs, &[runs.len() - 1], &[Fault::Kill], runs[runs.len() - 1].verb);
    plans.iter_mut().for_each(|plan| plan.faults.push(left));
    plans
}

/// With each offset of the second run, in milliseconds.
fn offsets(of: impl Fn(u64) -> Vec<Plan>) -> Vec<Plan> {
    (0..48).flat_map(|step| of(step * 250)).collect()
}

pub fn few_offsets(of: impl Fn(u64) -> Vec<Plan>) -> Vec<Plan> {
    (1..9).flat_map(|step| of(step * 1_000)).collect()
}

const NO_HUB: Fault = Fault::NoHub { lasting: 400_000 };
pub(crate) const LIMIT: Fault = Fault::Limit { status: 429, retry_after: Some(6) };
pub(crate) const ABUSE: Fault = Fault::Limit { status: 403, retry_after: None };

#[rustfmt::skip]
pub fn all() -> Vec<Case> {
    let last = publish(47, 4);
    let case = |name, plans| Case { name, plans };
    let mut all = vec![
        case("1: two equal publishes", offsets(|offset| {
            vec![plan(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(45, 2), offset, 1)], &[], last)]
        })),
        case("1: two equal publishes, one is slow or told to wait", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(45, 2), offset, 1)], &[0, 1], &[LIMIT, Fault::Late { served: 6_000 }], last)
        })),
        case("2: a draft is discarded late", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(46, 3), offset, 1)], &[1], &[LIMIT, Fault::Late { served: 6_000 }], last)
        })),
        case("3: a draft that nobody chose", everywhere(
            Start::Draft, &[run(Verb::Rollback, 0, 0), after(Verb::Rollback, 1)], &[0], &[Fault::Kill], Verb::Rollback,
        )),
        case("4: killed and run again, then rolled back", everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0), after(publish(45, 2), 0)], &[0], &[Fault::Kill, Fault::AnswerLost], Verb::Rollback,
        )),
        case("4: the answer to the draft's creation is lost", [Start::Ours, Start::OursOverOlder, Start::ByHand].into_iter().flat_map(|start| {
            [publish(45, 2), publish(45, 3), publish(46, 2)].map(|verb| plan(start, &[run(verb, 0, 0)], &[on(0, Kind::Creates, Fault::AnswerLost)], Verb::Rollback))
        }).collect()),
        case("5: the same source, other images", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(45, 3), offset, 1)], &[0, 1], &[Fault::Late { served: 6_000 }, LIMIT], Verb::Rollback)
        })),
        case("6: a limit at the switch, and a rival", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(46, 3), offset, 1)], &[0], &[ABUSE, Fault::Refuse { status: 401 }], last)
        })),
        case("7: a relabelling ends half-way", [
            everywhere(Start::Ours, &[run(publish(45, 1), 0, 0), after(publish(45, 1), 0)], &[0], &[Fault::Kill, LIMIT, Fault::Refuse { status: 403 }], last),
            everywhere(Start::OursOverOlder, &[run(publish(45, 1), 0, 0), after(publish(45, 1), 0)], &[0], &[Fault::Kill, ABUSE], Verb::Rollback),
        ].concat()),
        case("8: the tag is put back late", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(46, 3), offset, 1)], &[0, 1], &[Fault::Late { served: 20_000 }, Fault::Signal], last)
        })),
        case("9: a success that is a draft", [Start::Ours, Start::OursOverOlder, Start::Draft].into_iter().flat_map(|start| {
            everywhere(start, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::DraftInstead], last).into_iter()
                .chain([publish(45, 3), publish(46, 2)].map(|verb| plan(start, &[run(verb, 0, 0)], &[on(0, Kind::Publishes, Fault::DraftInstead)], last)))
        }).collect()),
        case("9: the same over a set made by hand, and a limit after it", then(everywhere(
            Start::ByHand, &[run(publish(45, 2), 0, 0), after(publish(46, 2), 0)], &[0], &[Fault::DraftInstead], Verb::Rollback,
        ), 1, Fault::Limited { lasting: 6_000 })),
        case("10: a limit between the two calls", everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Limited { lasting: 60_000 }], last,
        )),
        case("10: the same while reads lag", [Fault::Lag { lasting: 12_000 }, Fault::LagById { lasting: 12_000 }].into_iter().flat_map(|lag| {
            let limited = Fault::Limit { status: 429, retry_after: Some(600) };
            and(everywhere(Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[limited], last), on(0, Kind::Hides, lag))
        }).collect()),
        case("11: a relabelling while listings lag, then the old version again", everywhere(
            Start::Ours, &[run(publish(45, 1), 0, 0), after(publish(44, 1), 1)], &[0], &[Fault::Lag { lasting: 20_000 }], last,
        )),
        case("11: the same, and it is killed", {
            let killed = everywhere(Start::Ours, &[run(publish(45, 1), 0, 0), after(publish(44, 1), 1)], &[0], &[Fault::Kill], last);
            and(killed, on(0, Kind::MovesTag, Fault::Lag { lasting: 20_000 }))
        }),
        case("11: a switch while listings lag, then the old version again", everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0), after(publish(44, 1), 1)], &[0], &[Fault::Lag { lasting: 20_000 }], last,
        )),
        case("12: a request never arrives, and its connection breaks", also(everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Never, Fault::Late { served: 110_000 }], last,
        ), Fault::AnswerLost)),
        case("13: a request is done, sent again on its way, and refused", also(everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[LIMIT, ABUSE, Fault::Refuse { status: 422 }], last,
        ), Fault::Twice { again: 5_000 })),
        case("14: the push of the tag arrives again on the way back", (200..400).flat_map(|again| {
            let twice = on(0, Kind::MovesTag, Fault::Twice { again: again * 100 });
            vec![plan(Start::Ours, &[run(publish(45, 2), 0, 0), after(Verb::Rollback, 1)], &[twice], last)]
        }).collect()),
        case("15: what a killed run had sent arrives in the next run of its clone", [publish(46, 3), Verb::Rollback].iter().flat_map(|&next| {
            let late: Vec<Fault> = (1..15).map(|served| Fault::KillAfterSending { served: served * 2_000 }).collect();
            everywhere(Start::OursOverOlder, &[run(publish(45, 2), 0, 0), after(next, 0)], &[0], &late, Verb::Rollback)
        }).collect()),
        case("16: a run from a set made by hand ends early", [
            everywhere(Start::ByHand, &[run(publish(45, 3), 0, 0), after(Verb::Rollback, 0), after(Verb::Rollback, 0)], &[2], &[Fault::Kill, NO_HUB], last),
            over_a_draft(Start::ByHand, &[run(publish(45, 3), 0, 0), after(publish(46, 2), 1), after(Verb::Rollback, 0), after(publish(46, 2), 1)]),
        ].concat()),
        case("17: all is as asked, while another moves the tag", few_offsets(|offset| {
            everywhere(Start::OursOverOlder, &[run(publish(46, 1), 0, 0), run(publish(44, 1), offset, 1)], &[0], &[Fault::Kill], last)
        })),
        case("18: a set made by hand comes back to one that looks", offsets(|offset| {
            vec![plan(Start::ByHand, &[run(publish(45, 1), 0, 0), after(Verb::Rollback, 1), run(publish(46, 1), 12_000 + offset / 4, 2)], &[], last)]
        })),
        case("20: three sets in turn, then back", everywhere(
            Start::OursOverOlder, &[run(publish(45, 3), 0, 0), after(publish(46, 5), 1), after(publish(47, 7), 2)], &[1],
            &[Fault::Kill, Fault::AnswerLost, LIMIT, Fault::Late { served: 6_000 }], Verb::Rollback,
        )),
        case("21: a set that was replaced is wanted again", [
            everywhere(Start::OursOverOlder, &[run(publish(46, 9), 0, 0)], &[0], &[Fault::Kill, Fault::AnswerLost, LIMIT, Fault::LagById { lasting: 20_000 }], Verb::Rollback),
            everywhere(Start::OursOverOlder, &[run(publish(43, 9), 0, 0), after(publish(44, 1), 1)], &[0, 1], &[Fault::Kill], last),
        ].concat()),
        case("22: a draft of another set is in the way", [
            everywhere(Start::Draft, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Kill, Fault::AnswerLost, LIMIT, Fault::Lag { lasting: 20_000 }], Verb::Rollback),
            everywhere(Start::Draft, &[run(publish(45, 2), 0, 0), after(publish(46, 3), 1)], &[0], &[Fault::Kill], Verb::Rollback),
        ].concat()),
        case("23: what GitHub does wrong once", [
            everywhere(Start::OursOverOlder, &[run(publish(45, 3), 0, 0)], &[0], &[Fault::DraftInstead, Fault::Limited { lasting: 60_000 }, Fault::Refuse { status: 422 }, Fault::Signal], Verb::Rollback),
            everywhere(Start::OursOverOlder, &[run(publish(45, 3), 0, 0), after(publish(45, 3), 1)], &[0], &[Fault::Corrupt, Fault::NoDigest, Fault::Starter], last),
        ].concat()),
        case("19: asleep before the last byte, and a rival", few_offsets(|offset| {
            everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(46, 3), 12_000 + offset, 1)], &[0], &[Fault::Nap { lasting: 1_200_000 }], Verb::Rollback)
        })),
    ];
    all.extend(steps::all());
    all
}
