//! What the publish assumes of GitHub, as a list of small checks through the real `gh api`.
//!
//! The tests run the list against the stand-in, a maintainer against a throwaway repository on GitHub: as long as both hold, what the
//! tests show of the tool is true of GitHub as well. An assumption that the tool newly leans on becomes a check here first.

mod answer;
mod checks;
mod child;
mod client;
mod push;
mod scratch;
pub mod stand_in;

use std::fmt;

use anyhow::Context as _;

pub use answer::Ending;
pub use checks::all;
pub use client::{Client, Repo};
pub use scratch::{Refused, Scratch};

/// One assumption and how to look whether it holds.
#[derive(Clone, Copy)]
pub struct Check {
    /// A sentence, or for what is only shown a question.
    pub assumption: &'static str,
    pub run: fn(&Scratch<'_>) -> Told,
}

/// What GitHub did: it holds, with what else was seen (empty for nothing), or how the check ended without that.
pub type Told = Result<Seen, Ending>;

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The assumption holds.
    Holds(String),
    /// Nothing leans on it; it is good to know.
    Information(String),
}

/// The end of one check.
#[derive(Clone, Debug)]
pub struct Line {
    pub assumption: &'static str,
    pub told: Told,
}

/// What came of all checks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub lines: Vec<Line>,
    pub interrupted: bool,
    /// What was made and could not be deleted again, each as the command that deletes it.
    pub left: Vec<String>,
}

/// Runs checks one after the other, calls `show` with the end of each, and deletes all that they made, also after an interruption.
///
/// # Errors
///
/// [`Refused`] when the repository isn't one to try things in; another error when it can't be read.
pub fn run(client: &Client, checks: &[Check], confirmed: bool, mut show: impl FnMut(&Line)) -> anyhow::Result<Report> {
    let mut scratch = Scratch::open(client, confirmed).with_context(|| format!("preparing {}", client.repo))?;
    let mut report = Report::default();
    for check in checks {
        let told = (check.run)(&scratch);
        if matches!(told, Err(Ending::Interrupted)) {
            report.interrupted = true;
            break;
        }
        let line = Line { assumption: check.assumption, told };
        show(&line);
        report.lines.push(line);
    }
    if report.interrupted {
        eprintln!("interrupted: deleting what was made, which takes a while");
    }
    report.left = scratch.close();
    Ok(report)
}

impl Report {
    /// Whether everything held that could be told, and nothing is left behind.
    pub fn is_good(&self) -> bool {
        !self.interrupted && self.left.is_empty() && self.count(|told| matches!(told, Err(Ending::Broken(_)))) == 0
    }

    fn count(&self, which: impl Fn(&Told) -> bool) -> usize {
        self.lines.iter().filter(|line| which(&line.told)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hold = self.count(|told| matches!(told, Ok(Seen::Holds(_))));
        let shown = self.count(|told| matches!(told, Ok(Seen::Information(_))));
        let broken = self.count(|told| matches!(told, Err(Ending::Broken(_))));
        let not_told = self.lines.len() - hold - shown - broken;
        let end = if self.interrupted { "; interrupted, the rest was not looked at" } else { "" };
        write!(f, "conformance: {hold} hold, {broken} do not, {not_told} unknown, {shown} for information{end}")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assumption = self.assumption;
        match &self.told {
            Ok(Seen::Holds(seen)) if seen.is_empty() => write!(f, "holds: {assumption}"),
            Ok(Seen::Holds(seen)) => write!(f, "holds: {assumption} ({seen})"),
            Ok(Seen::Information(seen)) => write!(f, "seen: {assumption} {seen}"),
            Err(Ending::Broken(why)) => write!(f, "DOES NOT HOLD: {assumption}: {why}"),
            Err(Ending::NotTold(why)) => write!(f, "unknown: {assumption}: {why}"),
            Err(Ending::Interrupted) => write!(f, "unknown: {assumption}: interrupted"),
        }
    }
}
