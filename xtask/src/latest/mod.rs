//! The rolling release `latest`: what is there, how a new set is staged and proven beside it, and how the two change
//! places. Nothing is deleted before its replacement is proven.

pub mod audit;
pub mod changes;
pub mod choose;
pub mod doors;
pub mod face;
pub mod files;
mod fill;
pub mod fits;
pub mod github;
pub mod heal;
pub mod held;
pub mod here;
pub mod lease;
pub mod lock;
pub mod look;
pub mod marker;
pub mod naming;
pub mod notes;
pub mod outside;
mod own_clone;
pub mod plan;
pub mod preflight;
pub mod preview;
pub mod previous;
pub mod prove;
pub mod publish;
mod rate;
pub mod relabel;
pub mod rollback;
mod send;
mod session;
pub mod set;
pub mod source;
pub mod stage;
pub mod step;
pub mod stock;
pub mod swap;
pub mod switch;

/// The tag that readers download from.
pub const TAG: &str = "latest";
/// The tag name of the draft that a publish fills.
pub const INCOMING: &str = "latest-incoming";
/// The tag name of the draft that the last publish replaced.
pub const PREVIOUS: &str = "latest-previous";
/// The title of the published release.
pub const TITLE: &str = "Latest Images";
