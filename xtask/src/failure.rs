//! What can go wrong, as the exit code says it.
//!
//! An [`anyhow::Error`] that holds a [`Failure`] anywhere in its chain ends the run with that failure's code; any other
//! error ends it with 1. So context can be added on the way up without losing the code.

use std::fmt;

/// Why a run ended, and so with which exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A step failed, a race was lost, a file is bad.
    Failed = 1,
    /// The command line asks for something that can't be: an unknown name, a bad size.
    Usage = 2,
    /// Something that the job needs is missing, and nothing was changed.
    Missing = 3,
    /// The bytes are not those that a digest promised.
    Digest = 4,
    /// Ctrl-C, or another signal that asks to stop.
    Interrupted = 130,
}

/// An error that knows its exit code. The message says what was being done to which object, then the cure.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    /// What the message lists, when it lists several problems.
    several: Vec<Failure>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub fn error(kind: Kind, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        Self { kind, message, several: Vec::new() }.into()
    }
}

/// Exit code 1.
pub fn failed(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Kind::Failed, message)
}

/// Exit code 2.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Kind::Usage, message)
}

/// Exit code 3.
pub fn missing(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Kind::Missing, message)
}

/// Exit code 4.
pub fn digest(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Kind::Digest, message)
}

/// Exit code 130.
pub fn interrupted(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Kind::Interrupted, message)
}

/// The exit code for an error.
pub fn kind(error: &anyhow::Error) -> Kind {
    error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).map_or(Kind::Failed, |failure| failure.kind)
}

/// "Missing" promises that nothing was changed; from the first change on that is no longer so.
pub fn after_changes(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        Kind::Missing => failed(format!("{error:#}")),
        _ => error,
    }
}

/// Collects all that is wrong, so that a person can mend it in one go.
#[derive(Debug, Default)]
pub struct Problems(Vec<anyhow::Error>);

impl Problems {
    /// Adds one. Of a list each is added, so that there is one list.
    pub fn push(&mut self, problem: anyhow::Error) {
        match problem.downcast_ref::<Failure>() {
            Some(list) if !list.several.is_empty() => self.0.extend(list.several.iter().cloned().map(Into::into)),
            _ => self.0.push(problem),
        }
    }

    /// The value, or `None` with the error kept for the end.
    pub fn keep<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &anyhow::Error> {
        self.0.iter()
    }

    /// One error that lists them all. Its exit code: a signal, then usage before digest before failed before missing, so that 3 keeps
    /// its meaning of "nothing but absences".
    pub fn into_result(mut self) -> anyhow::Result<()> {
        // One signal ends all that was under way: it is said once, as fully as somebody said it.
        let stopped = |problem: &anyhow::Error| kind(problem) == Kind::Interrupted;
        if let Some(fullest) =
            self.0.iter().filter(|it| stopped(it)).map(|it| format!("{it:#}")).max_by_key(String::len)
        {
            let mut said = false;
            self.0.retain(|it| !stopped(it) || (format!("{it:#}") == fullest && !std::mem::replace(&mut said, true)));
        }
        if self.0.len() < 2 {
            return self.0.pop().map_or(Ok(()), Err);
        }
        let rank = |kind: Kind| match kind {
            Kind::Interrupted => 4,
            Kind::Usage => 3,
            Kind::Digest => 2,
            Kind::Failed => 1,
            Kind::Missing => 0,
        };
        let worst = self.0.iter().map(kind).max_by_key(|kind| rank(*kind)).unwrap_or(Kind::Failed);
        let mut message = format!("{} problems:", self.0.len());
        for problem in &self.0 {
            message.push_str(&format!("\n  - {}", format!("{problem:#}").replace('\n', "\n    ")));
        }
        let one = |problem: &anyhow::Error| Failure {
            kind: kind(problem),
            message: format!("{problem:#}"),
            several: Vec::new(),
        };
        Err(Failure { kind: worst, message, several: self.0.iter().map(one).collect() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn context_keeps_the_exit_code() {
        let error = Err::<(), _>(digest("differs")).context("verifying").unwrap_err();
        assert_eq!(kind(&error), Kind::Digest);
        assert_eq!(kind(&anyhow::anyhow!("plain")), Kind::Failed);
    }

    #[test]
    fn problems_are_reported_together_under_the_gravest_code() {
        let mut problems = Problems::default();
        problems.push(missing("no checksum file"));
        problems.push(digest("wrong digest"));
        let error = problems.into_result().unwrap_err();
        assert_eq!(kind(&error), Kind::Digest);
        assert_eq!(error.to_string(), "2 problems:\n  - no checksum file\n  - wrong digest");
    }

    #[test]
    fn no_problem_is_no_error_and_one_stays_itself() {
        assert!(Problems::default().into_result().is_ok());
        let mut one = Problems::default();
        one.push(missing("no gh"));
        assert_eq!(one.into_result().unwrap_err().to_string(), "no gh");
    }

    #[test]
    fn a_list_in_a_list_is_one_list() {
        let mut inner = Problems::default();
        inner.push(missing("a"));
        inner.push(digest("b"));
        let mut outer = Problems::default();
        outer.push(inner.into_result().unwrap_err());
        outer.push(failed("c"));
        let error = outer.into_result().unwrap_err();
        assert_eq!(error.to_string(), "3 problems:\n  - a\n  - b\n  - c");
        assert_eq!(kind(&error), Kind::Digest);
    }

    #[test]
    fn an_interruption_is_said_once() {
        let mut problems = Problems::default();
        problems.push(interrupted("interrupted"));
        problems.push(interrupted("reading a: interrupted; run it again"));
        problems.push(interrupted("interrupted"));
        let error = problems.into_result().unwrap_err();
        assert_eq!(format!("{error:#}"), "reading a: interrupted; run it again");
        assert_eq!(kind(&error), Kind::Interrupted);
        let mut problems = Problems::default();
        problems.push(interrupted("interrupted"));
        problems.push(digest("b differs"));
        problems.push(interrupted("interrupted"));
        let error = format!("{:#}", problems.into_result().unwrap_err());
        assert_eq!(error, "2 problems:\n  - interrupted\n  - b differs");
    }
}
