//! Stories for single steps of the protocol: with the step none of them fails, without it at least one does
//! (`scripts/simulate-without`).

use crate::cases::{Case, also, everywhere, publish, run};
use crate::fault::Fault;
use crate::plan::Start;

#[rustfmt::skip]
pub fn all() -> Vec<Case> {
    let last = publish(47, 4);
    let case = |name, plans| Case { name, plans };
    vec![
        case("20: a byte is spoilt, and nobody hears of it", also(everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::Corrupt], last,
        ), Fault::AnswerLost)),
        case("21: GitHub never publishes the new set", everywhere(
            Start::Ours, &[run(publish(45, 2), 0, 0)], &[0], &[Fault::NeverLive], last,
        )),
    ]
}
