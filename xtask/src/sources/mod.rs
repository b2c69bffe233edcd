//! What an image is made of: the files of a template and of `shared/`, on disk and in any commit.
//!
//! [`History`] lists the packer directory at a moment, [`Listing`] says which of its files an image is made of, and
//! [`compare`] and [`fits`] name the files that differ, comments aside. Used by all that judges an image: `decide`, `host`,
//! `latest`, `phase` and `document`.

pub mod base_image;
mod comments;
pub mod compare;
pub mod fits;
pub mod hcl;
mod history;
pub mod inputs;
mod listing;
pub mod obstacles;
pub mod templates;

pub use compare::{Change, Difference, because};
pub use fits::{Fit, Made};
pub use history::{History, Moment};
pub use inputs::{BuiltFrom, File, Files, Inputs};
pub use listing::{FOLDERS, Listing, is_build_script};
