//! Build hosts: whether they are ready, the builds there, and the fetch of each image.
//!
//! A host builds only what was asked for, and an image arrives whole and verified or not at all. `build-and-fetch` calls
//! [`run`], `doctor` asks [`doctor`].

pub mod build;
pub mod doctor;
pub mod fetch;
pub mod folder;
pub mod listing;
mod lists;
pub mod made;
pub mod output;
pub mod place;
pub mod run;
pub mod schedule;
pub mod stale;
mod tar;
pub mod wanted;

use std::fmt::Display;

use crate::console::{Console, Transfer};
use crate::ssh::Host;

/// Reports what happens to one image on one host. With several hosts each line names both.
pub struct Voice<'a> {
    console: &'a Console,
    image: String,
    prefix: Option<String>,
}

impl<'a> Voice<'a> {
    pub fn new(console: &'a Console, host: &Host, image: &str, several: bool) -> Self {
        Self { console, image: image.to_owned(), prefix: several.then(|| format!("[{host} {image}] ")) }
    }

    pub fn note(&self, text: impl Display) {
        self.console.note(format_args!("{}{text}", self.prefix()));
    }

    pub fn warn(&self, text: impl Display) {
        self.console.warn(format_args!("{}{text}", self.prefix()));
    }

    /// A line that another machine printed.
    pub fn quote(&self, line: &str) {
        self.console.quote(self.prefix(), line);
    }

    /// The progress of something done with the image: `fetching debian-12-custom`.
    pub fn transfer(&self, doing: &str, bytes: u64) -> Transfer {
        let what = match &self.prefix {
            Some(prefix) => format!("{prefix}{doing}"),
            None => format!("{doing} {}", self.image),
        };
        self.console.transfer(what, bytes)
    }

    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }
}
