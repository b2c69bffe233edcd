//! Stories for single steps of the protocol: with the step none of them fails, without it at least one does
//! (`scripts/simulate-without`).

use crate::cases::{ABUSE, Case, after, also, and, discarding, everywhere, few_offsets, publish, run, then};
use crate::fault::{Fault, Planned};
use crate::plan::{Plan, Start, Verb};

/// Operations of a publish that is staged on the way back, from the push of the tag to the second PATCH.
const SWITCH: std::ops::Range<u64> = 65..76;

/// An operation of it in the renames, when the files before have their names.
const HALF_SWAPPED: u64 = 65;

/// Long enough for another run to come and go, and shorter than a permit.
const WAIT: Fault = Fault::Limit { status: 429, retry_after: Some(20) };

#[rustfmt::skip]
pub fn all() -> Vec<Case> {
    let last = publish(47, 4);
    let case = |name, plans| Case { name, plans };
    vec![
        case("24: a byte is spoilt, and nobody hears of it", also(everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Corrupt], last,
        ), Fault::AnswerLost)),
        case("25: GitHub never publishes the new set", everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::NeverLive], last,
        )),
        case("32: GitHub fails three times in the same place", {
            // Between two attempts it is looked, and gh begins.
            let thrice = |it: Planned| (0..3).map(move |attempt| Planned { operation: it.operation + 3 * attempt, ..it });
            let once = everywhere(Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Refuse { status: 502 }], last);
            once.into_iter().map(|plan| Plan { faults: plan.faults.into_iter().flat_map(thrice).collect(), ..plan }).collect()
        }),
        case("26: the lock is deleted while a run waits, and a rival replaces the set that it was to replace", few_offsets(|at| {
            also(everywhere(Start::Ours, &[run(publish(44, 2), 0, 0), run(discarding(45, 3), at, 1)], &[0], &[WAIT], Verb::Rollback), Fault::LockDeleted)
        })),
        case("27: the lock is deleted while a run waits, and a rival finishes the draft that it was to discard", few_offsets(|at| {
            also(everywhere(Start::Draft, &[run(discarding(45, 2), 0, 0), run(publish(46, 3), at, 1)], &[0], &[WAIT], last), Fault::LockDeleted)
        })),
        case("28: the lock is deleted while a run is about to switch, and a rival puts the tag back", few_offsets(|at| {
            also(everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(45, 2), at, 1)], &[0], &[Fault::Late { served: 6_000 }], last), Fault::LockDeleted)
        })),
        case("29: somebody edits the notes of what is live", [Start::Ours, Start::OursOverOlder].into_iter().flat_map(|start| [
            everywhere(start, &[run(publish(45, 3), 0, 0)], &[0], &[Fault::NotesEdited], Verb::Rollback),
            everywhere(start, &[run(Verb::Rollback, 0, 0)], &[0], &[Fault::NotesEdited], last),
        ].concat()).collect()),
        case("30: the lock is deleted before a switch that is killed half-way, and a rival gives a staged set's names back", few_offsets(|at| {
            let runs = [run(publish(45, 3), 0, 0), run(publish(46, 5), 16_000 + at, 1)];
            let late: Vec<Fault> = (7..12).map(|served| Fault::Late { served: served * 1_000 }).collect();
            let deleted = also(everywhere(Start::OursOverOlder, &runs, &[0], &late, Verb::Rollback), Fault::LockDeleted);
            let in_the_switch = |plan: &Plan| plan.faults.iter().all(|it| SWITCH.contains(&it.operation));
            let killed = |plan: Plan| SWITCH.map(move |kill| {
                let kill = Planned { run: 0, operation: kill, fault: Fault::Kill };
                Plan { faults: [plan.faults.clone(), vec![kill]].concat(), ..plan.clone() }
            });
            deleted.into_iter().filter(in_the_switch).flat_map(killed).collect()
        })),
        case("31: listings still show what was deleted of another set that was staged", (34..42).flat_map(|killed| {
            let runs = [run(publish(45, 3), 0, 0), after(discarding(46, 3), 1)];
            and(everywhere(Start::OursOverOlder, &runs, &[1], &[Fault::Lag { lasting: 22_000 }], last), killed, Fault::Kill)
        }).collect()),
        case("33: a rename that was sent again is done late, after the next one of the same asset", [publish(46, 5), discarding(45, 5)].into_iter().flat_map(|other| {
            let late: Vec<Fault> = (22..32).map(|served| Fault::Late { served: served * 1_000 }).collect();
            let runs = [run(publish(45, 3), 0, 0), after(other, 1)];
            and(everywhere(Start::OursOverOlder, &runs, &[1], &late, Verb::Rollback), HALF_SWAPPED, Fault::Kill)
        }).collect()),
        case("34: the first of the two calls is done after the run met a limit and gave up", {
            let late = [24, 30, 60, 100].map(|served| Fault::Late { served: served * 1_000 });
            let once = [Start::Ours, Start::ByHand].map(|start| everywhere(start, &[run(publish(45, 2), 0, 0)], &[0], &late, Verb::Rollback)).concat();
            // Between two attempts it is looked, the lock is renewed, and gh begins.
            then(once, 4, ABUSE)
        }),
    ]
}
