//! Build hosts: what lies there, who builds what, and how an image comes here whole or not at all.

pub mod build;
pub mod fetch;
pub mod listing;
pub mod output;
pub mod partial;
pub mod place;
pub mod run;
pub mod schedule;

use std::fmt::Display;

use crate::console::{Console, Transfer};
use crate::ssh::Host;

/// Says how one image fares on one host. With several hosts at work each line names both.
pub struct Voice<'a> {
    console: &'a Console,
    prefix: String,
}

impl<'a> Voice<'a> {
    pub fn new(console: &'a Console, host: &Host, image: &str, several: bool) -> Self {
        let prefix = if several { format!("[{host} {image}] ") } else { String::new() };
        Self { console, prefix }
    }

    pub fn note(&self, text: impl Display) {
        self.console.note(format_args!("{}{text}", self.prefix));
    }

    pub fn warn(&self, text: impl Display) {
        self.console.warn(format_args!("{}{text}", self.prefix));
    }

    /// A line that another machine said.
    pub fn quote(&self, line: &str) {
        self.note(output::safe(line, self.console.colour()));
    }

    pub fn transfer(&self, what: &str, bytes: u64) -> Transfer {
        self.console.transfer(format!("{}{what}", self.prefix), bytes)
    }
}
