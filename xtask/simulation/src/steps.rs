//! Stories for single steps of the protocol: with the step none of them fails, without it at least one does
//! (`scripts/simulate-without`).

use crate::cases::{ABUSE, Case, LIMIT, after, also, and, at, everywhere, few_offsets, on, plan, publish, run};
use crate::fault::{Fault, Kind, Place, Planned};
use crate::plan::{Pace, Plan, Run, Start, Verb};

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
        case("25: GitHub never publishes the new set", [Start::Ours, Start::OursOverOlder, Start::ByHand].into_iter().flat_map(|start| {
            everywhere(start, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::NeverLive], last).into_iter()
                .chain([publish(45, 3), publish(46, 2)].map(|verb| plan(start, &[run(verb, 0, 0)], &[on(0, Kind::Publishes, Fault::NeverLive)], Verb::Rollback)))
        }).collect()),
        case("32: GitHub fails three times in the same place", {
            // Between two attempts it is looked, and gh begins.
            let thrice = |it: Planned| (0..3).map(move |attempt| match it.place {
                Place::Number(number) => Planned { place: Place::Number(number + 3 * attempt), ..it },
                Place::Of(..) => it,
            });
            let once = everywhere(Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Refuse { status: 502 }], last);
            once.into_iter().map(|plan| Plan { faults: plan.faults.into_iter().flat_map(thrice).collect(), ..plan }).collect()
        }),
        case("26: the lock is deleted while a run waits, and a rival replaces the set that it was to replace", few_offsets(|offset| {
            also(everywhere(Start::Ours, &[run(publish(44, 2), 0, 0), run(publish(45, 3), offset, 1)], &[0], &[WAIT], Verb::Rollback), Fault::LockDeleted)
        })),
        case("27: the lock is deleted while a run waits, and a rival finishes the draft that it was to discard", few_offsets(|offset| {
            also(everywhere(Start::Draft, &[run(publish(45, 2), 0, 0), run(publish(46, 3), offset, 1)], &[0], &[WAIT], last), Fault::LockDeleted)
        })),
        case("28: the lock is deleted while a run is about to switch, and a rival puts the tag back", few_offsets(|offset| {
            also(everywhere(Start::Ours, &[run(publish(45, 2), 0, 0), run(publish(45, 2), offset, 1)], &[0], &[Fault::Late { served: 6_000 }], last), Fault::LockDeleted)
        })),
        case("29: somebody edits the notes of what is live", [Start::Ours, Start::OursOverOlder].into_iter().flat_map(|start| [
            everywhere(start, &[run(publish(45, 3), 0, 0)], &[0], &[Fault::NotesEdited], Verb::Rollback),
            everywhere(start, &[run(Verb::Rollback, 0, 0)], &[0], &[Fault::NotesEdited], last),
        ].concat()).collect()),
        case("30: a plan that differs from the agreed one", [Start::Ours, Start::OursOverOlder].into_iter().flat_map(|start| {
            everywhere(start, &[run(publish(45, 3), 0, 0)], &[0], &[Fault::FolderChanged], Verb::Rollback)
        }).collect()),
        case("31: a run is killed and its last request arrives up to 110 s later, in the same clone and in another", [0, 1].into_iter().flat_map(|clone| {
            let late = [20, 48, 71, 105].map(|served| Fault::KillAfterSending { served: served * 1_000 });
            let runs = |then| [run(publish(45, 3), 0, 0), after(then, clone)];
            [Verb::Rollback, publish(46, 5)].into_iter().flat_map(move |then| everywhere(Start::OursOverOlder, &runs(then), &[0], &late, last)).collect::<Vec<_>>()
        }).collect()),
        case("33: GitHub refuses the tags of pinned sets", [Start::Ours, Start::ByHand].into_iter().flat_map(|start| [
            and(everywhere(start, &[run(publish(45, 2), 0, 0), after(publish(46, 3), 1)], &[0], &[Fault::Kill, Fault::AnswerLost, LIMIT], Verb::Rollback), at(0, 0, Fault::NoPins)),
            and(everywhere(start, &[run(publish(45, 2), 0, 0), after(Verb::Rollback, 1)], &[1], &[Fault::Kill, LIMIT], Verb::Rollback), at(0, 0, Fault::NoPins)),
        ].concat()).collect()),
        case("35: PATCH 2 fails once, and what is read of the old release is stale", [
            vec![on(0, Kind::Publishes, Fault::Refuse { status: 502 })],
            vec![on(0, Kind::Publishes, Fault::Lost)],
            vec![on(0, Kind::Publishes, Fault::Never)],
            vec![on(0, Kind::Publishes, ABUSE)],
        ].into_iter().flat_map(|failed| {
            let lags = [Fault::LagById { lasting: 15_000 }, Fault::LagById { lasting: 25_000 }, Fault::Lag { lasting: 25_000 }];
            lags.into_iter().flat_map(move |lag| {
                let faults = [failed.clone(), vec![on(0, Kind::Hides, lag)]].concat();
                [Start::Ours, Start::ByHand, Start::OursOverOlder].map(|start| plan(start, &[run(publish(45, 3), 0, 0)], &faults, Verb::Rollback))
            }).collect::<Vec<_>>()
        }).collect()),
        case("36: PATCH 1 is done, repeated on its way and refused, and a limit meets the looks after it", (1..12).flat_map(|lasting| {
            [Start::Ours, Start::ByHand].map(|start| plan(start, &[run(publish(45, 3), 0, 0)], &[
                on(0, Kind::Hides, Fault::Twice { again: 3_000 }), on(0, Kind::Hides, ABUSE), on(0, Kind::Hides, Fault::Limited { lasting: lasting * 10_000 }),
            ], last))
        }).collect()),
        case("37: somebody deletes the tag during the switch", [Start::Ours, Start::OursOverOlder].into_iter().flat_map(|start| [
            everywhere(start, &[run(publish(45, 3), 0, 0)], &[0], &[Fault::TagDeleted, Fault::TagMoved], last),
            everywhere(start, &[run(Verb::Rollback, 0, 0)], &[0], &[Fault::TagDeleted], last),
        ].concat()).collect()),
        case("38: the lock is taken over while a request is under way", few_offsets(|offset| {
            let runs = [run(publish(45, 3), 0, 0), Run { take_over: true, ..run(publish(46, 5), 4_000 + offset, 1) }];
            let late = [40, 71, 105].map(|served| Fault::KillAfterSending { served: served * 1_000 });
            [Kind::Hides, Kind::Publishes, Kind::MovesTag, Kind::Deletes].into_iter().flat_map(|kind| late.map(|fault| plan(Start::OursOverOlder, &runs, &[on(0, kind, fault)], Verb::Rollback))).collect()
        })),
        case("38: the lock of a killed run is taken over at once", [publish(46, 5), publish(46, 2), Verb::Rollback].into_iter().flat_map(|next| {
            let runs = [run(publish(45, 3), 0, 0), Run { take_over: true, ..after(next, 1) }];
            let late = [20, 40, 60, 80, 105].map(|served| Fault::KillAfterSending { served: served * 1_000 });
            [Kind::Hides, Kind::Publishes, Kind::MovesTag].into_iter().flat_map(move |kind| late.map(|fault| plan(Start::OursOverOlder, &runs, &[on(0, kind, fault)], Verb::Rollback))).collect::<Vec<_>>()
        }).collect()),
        case("42: GitHub refuses another label", everywhere(
            Start::Ours, &[run(publish(45, 1), 0, 0)], &[0], &[Fault::Refuse { status: 403 }, Fault::Refuse { status: 422 }], last,
        ).into_iter().chain([Start::OursOverOlder, Start::ByHand].into_iter().flat_map(|start| {
            [403, 422].map(|status| plan(start, &[run(publish(45, 1), 0, 0)], &[on(0, Kind::Publishes, Fault::Refuse { status })], last))
        })).collect()),
        case("43: PATCH 2 is refused for good, restoring fails once, and what is read of the old release is stale", [
            Fault::Lost, Fault::Never, Fault::Refuse { status: 502 }, ABUSE,
        ].into_iter().flat_map(|failed| [Start::Ours, Start::ByHand, Start::OursOverOlder].map(|start| {
            let restores = Planned { run: 0, place: Place::Of(Kind::Publishes, 1), fault: failed };
            let faults = [on(0, Kind::Hides, Fault::LagById { lasting: 25_000 }), on(0, Kind::Publishes, Fault::NeverLive), restores];
            plan(start, &[run(publish(45, 3), 0, 0)], &faults, Verb::Rollback)
        })).collect()),
        case("44: PATCH 1 is done, repeated on its way and refused, and reads of the old release are stale", [10, 15, 20, 25].into_iter().flat_map(|lag| {
            [Start::Ours, Start::ByHand].into_iter().flat_map(move |start| [60, 120].map(|lasting| plan(start, &[run(publish(45, 3), 0, 0)], &[
                on(0, Kind::Hides, Fault::Twice { again: 3_000 }), on(0, Kind::Hides, ABUSE),
                on(0, Kind::Hides, Fault::LagById { lasting: lag * 1_000 }), on(0, Kind::Hides, Fault::Limited { lasting: lasting * 1_000 }),
            ], last))).collect::<Vec<_>>()
        }).collect()),
        case("39: a set made by hand is replaced and comes back", [
            everywhere(Start::ByHand, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Kill, Fault::LagById { lasting: 20_000 }, Fault::Signal], Verb::Rollback),
            everywhere(Start::ByHand, &[run(publish(45, 2), 0, 0), after(Verb::Rollback, 1)], &[1], &[Fault::Kill, Fault::AnswerLost], publish(45, 2)),
        ].concat()),
        case("40: another label for the same images", [
            everywhere(Start::OursOverOlder, &[run(publish(45, 1), 0, 0)], &[0], &[Fault::Kill, Fault::AnswerLost, Fault::Late { served: 6_000 }, Fault::Refuse { status: 502 }, Fault::LagById { lasting: 15_000 }], Verb::Rollback),
            everywhere(Start::OursOverOlder, &[run(publish(45, 1), 0, 0), after(publish(46, 2), 1)], &[0], &[Fault::KillAfterSending { served: 60_000 }], Verb::Rollback),
        ].concat()),
        case("41: a change is done late, the next attempt is refused, and another run comes", {
            let refusals = [ABUSE, Fault::Limited { lasting: 600_000 }, Fault::Refuse { status: 403 }, Fault::Signal];
            let runs = [publish(45, 1), publish(45, 2)].into_iter().flat_map(|first| [publish(46, 1), Verb::Rollback].map(|then| [run(first, 0, 0), after(then, 1)]));
            let all = runs.flat_map(|runs| [Kind::Publishes, Kind::Hides].map(|kind| (runs, kind))).flat_map(|it| refusals.map(|next| (it, next)));
            all.flat_map(|((runs, kind), next)| (56..=110).step_by(6).map(move |served| {
                let refused = Planned { run: 0, place: Place::Of(kind, 1), fault: next };
                plan(Start::OursOverOlder, &runs, &[on(0, kind, Fault::Late { served: served * 1_000 }), refused], publish(47, 4))
            })).collect()
        }),
        case("34: the first of the two calls is done after the run met a limit and gave up", [Start::Ours, Start::ByHand].into_iter().flat_map(|start| {
            let refusals = [ABUSE, LIMIT, Fault::Limited { lasting: 60_000 }, Fault::Refuse { status: 403 }];
            refusals.into_iter().flat_map(move |next| (56..=110).step_by(6).map(move |served| {
                let refused = Planned { run: 0, place: Place::Of(Kind::Hides, 1), fault: next };
                plan(start, &[run(publish(45, 2), 0, 0)], &[on(0, Kind::Hides, Fault::Late { served: served * 1_000 }), refused], Verb::Rollback)
            }))
        }).collect()),
        case("45: git can't be reached from the first of the two calls on, which is done late", [Start::Ours, Start::ByHand, Start::OursOverOlder].into_iter().flat_map(|start| {
            (3..11).flat_map(move |served| [run(publish(45, 3), 0, 0), run(publish(44, 2), 0, 0)].into_iter().flat_map(|first| {
                let late = [Fault::NoGit { lasting: 900_000 }, Fault::Late { served: served * 10_000 }];
                // So slow that the last renewal is too old for a second attempt.
                let slow = (4..16).map(|pace| Pace::Even(pace * 125));
                slow.map(|pace| Plan { pace, ..plan(start, &[first], &late.map(|fault| on(0, Kind::Hides, fault)), Verb::Rollback) }).collect::<Vec<_>>()
            }).collect::<Vec<_>>())
        }).collect()),
        case("46: the lock is deleted while GitHub can't be reached from the first of the two calls on", [Start::Ours, Start::ByHand].into_iter().flat_map(|start| {
            let deleted = everywhere(start, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::LockDeleted], Verb::Rollback);
            and(deleted, on(0, Kind::Hides, Fault::NoHub { lasting: 115_000 }))
        }).collect()),
    ]
}
