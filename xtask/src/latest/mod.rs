//! The rolling release `latest`: what is there, how a new set is filled and proven beside it, and how the two change places. A set
//! that was live is never changed: only the tags that name sets move, and only drafts that were never live are deleted. The verbs
//! publish and rollback change it, all others read it.

pub mod audit;
pub mod changes;
pub mod choose;
pub mod client;
mod draft;
pub mod exchange;
pub mod face;
pub mod files;
mod fill;
pub mod fits;
mod gap;
pub mod github;
pub mod held;
pub mod here;
pub mod lease;
pub mod lock;
pub mod look;
pub mod marker;
mod memory;
pub mod notes;
pub mod outside;
mod own_clone;
pub mod permit;
pub mod pin;
pub mod plan;
pub mod preflight;
pub mod preview;
pub mod prove;
pub mod publish;
pub mod recover;
mod relabel;
pub mod rollback;
mod send;
mod session;
pub mod set;
pub mod source;
pub mod switch;
mod times;

/// The rolling release, and the tag that readers download from.
pub use crate::repo::LATEST as TAG;
/// The tag name of the draft that a publish fills.
pub const INCOMING: &str = "latest-incoming";
/// How the tag names of pinned sets begin.
pub const PINNED: &str = "images-";
/// The tag name of the draft in which earlier versions of this tool kept the set that was replaced.
pub const PREVIOUS: &str = "latest-previous";
/// The title of the published release.
pub const TITLE: &str = "Latest Images";
