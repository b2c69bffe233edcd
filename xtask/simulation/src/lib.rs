//! Goes through schedules of the real publish protocol: two or three runs at once, on the stand-in's own rules, in a time of its
//! own, with faults as data. What must never happen is looked for after each step.
//!
//! A schedule follows from its [`Plan`] alone, so a plan that fails is told again in words, and can be made smaller.

pub mod cases;
mod chance;
mod explore;
mod fault;
mod invariants;
pub mod outside;
mod plan;
mod schedule;
mod shrink;
mod steps;
mod turns;
mod world;

pub use chance::Chance;
pub use explore::{Explored, explore};
pub use fault::{Fault, Planned};
pub use plan::{Plan, Run, Start, Verb};
pub use schedule::{Exchange, Outcome, Recorded, changes, play, record, shown, tell};
pub use shrink::shrink;
