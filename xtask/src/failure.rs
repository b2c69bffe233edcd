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

/// An error that knows its exit code, and what to do about it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: Kind,
    /// What failed, and why.
    pub message: String,
    /// What the person can do, with commands in backticks.
    pub fix: Option<String>,
    /// What another program or GitHub said, with its name.
    quote: Option<String>,
    /// The failures that the message lists, if it lists several.
    several: Vec<Failure>,
}

/// What begins the line of a message that says what to do.
pub const FIX: &str = "fix: ";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(fix) = &self.fix {
            write!(f, "\n{FIX}{fix}")?;
        }
        self.quote.iter().flat_map(|quote| quote.lines()).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Says more about an error than what failed. An error without a [`Failure`] becomes one, with exit code 1.
pub trait Advice {
    /// Adds what the person can do: an imperative sentence without a full stop, commands in backticks.
    fn fix(self, fix: impl fmt::Display) -> anyhow::Error;
    /// Adds what another program or GitHub said, as `gh: …`.
    fn quote(self, from: &str, words: impl fmt::Display) -> anyhow::Error;
}

impl Advice for anyhow::Error {
    fn fix(self, fix: impl fmt::Display) -> anyhow::Error {
        change(&self, |failure| failure.fix = Some(fix.to_string()))
    }

    fn quote(self, from: &str, words: impl fmt::Display) -> anyhow::Error {
        let words = words.to_string();
        let lines = words.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{from}: {line}"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        change(&self, |failure| failure.quote = Some(lines).filter(|lines| !lines.is_empty()))
    }
}

fn change(error: &anyhow::Error, change: impl FnOnce(&mut Failure)) -> anyhow::Error {
    let mut failure = Failure::of(error);
    change(&mut failure);
    failure.into()
}

impl std::error::Error for Failure {}

impl Failure {
    pub fn error(kind: Kind, message: impl Into<String>) -> anyhow::Error {
        Self::new(kind, message.into()).into()
    }

    fn new(kind: Kind, message: String) -> Self {
        Self { kind, message, fix: None, quote: None, several: Vec::new() }
    }

    /// What an error says, as a value that can be kept and copied. The message begins with the error's contexts.
    pub fn of(error: &anyhow::Error) -> Self {
        let Some(known) = error.chain().find_map(|cause| cause.downcast_ref::<Self>()) else {
            return Self::new(Kind::Failed, format!("{error:#}"));
        };
        let contexts = error.chain().take_while(|cause| !cause.is::<Self>()).map(|context| format!("{context}: "));
        Self { message: contexts.collect::<String>() + &known.message, ..known.clone() }
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

/// What failed and why, without the line that says what to do; and that line: its command alone, if it names one.
pub fn message_and_fix(error: &anyhow::Error) -> (String, Option<String>) {
    let mut failure = Failure::of(error);
    let fix = failure.fix.take();
    let message = failure.to_string();
    let named = command(fix.as_deref().unwrap_or(&message)).map(str::to_owned);
    (message, named.or(fix))
}

/// Of the text of an error: what failed and why, and what to do, each on one line, for another error to take over.
pub fn why_and_fix(text: &str) -> (&str, Option<&str>) {
    (text.lines().next().unwrap_or_default(), text.lines().find_map(|line| line.strip_prefix(FIX)))
}

/// The first command in backticks that a text tells a person to type.
fn command(text: &str) -> Option<&str> {
    const PROGRAMS: [&str; 7] = ["cargo ", "git ", "gh ", "ssh-", "ssh ", "sudo ", "apt "];
    let mut pieces = text.split('`').skip(1);
    let mut found = None;
    while let (None, Some(quoted)) = (found, pieces.next()) {
        let after = pieces.next().unwrap_or_default();
        let named = PROGRAMS.iter().any(|program| quoted.starts_with(program)) && !after.starts_with(" failed");
        found = named.then_some(quoted);
    }
    found
}

/// "Missing" promises that nothing was changed; from the first change on that is no longer so.
pub fn after_changes(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        Kind::Missing => change(&error, |failure| failure.kind = Kind::Failed),
        _ => error,
    }
}

/// Collects all that is wrong, so that a person can fix it in one go.
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
    /// its meaning: something needed is missing, and nothing was changed.
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
        let several = self.0.iter().map(Failure::of).collect();
        Err(Failure { several, ..Failure::new(worst, message) }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_fix_is_the_command_that_a_message_names() {
        for (message, expected) in [
            ("no `a`; run `cargo xtask packer checksum a`, or `git push`", Some("cargo xtask packer checksum a")),
            ("`git push` failed (1); run `gh auth login`", Some("gh auth login")),
            ("the tag `latest` is gone", None),
            ("an odd ` one", None),
        ] {
            assert_eq!(command(message), expected, "{message}");
        }
    }

    #[test]
    fn a_fix_has_a_line_of_its_own_and_a_quote_follows() {
        let error =
            failed("publishing v0.45: GitHub refused it").fix("run `gh auth login`").quote("gh", "HTTP 401\n\nBad");
        let error = error.context("step 2");
        let text = "step 2: publishing v0.45: GitHub refused it\nfix: run `gh auth login`\n  gh: HTTP 401\n  gh: Bad";
        assert_eq!(format!("{error:#}"), text);
        let (message, fix) = message_and_fix(&error);
        assert_eq!(message, "step 2: publishing v0.45: GitHub refused it\n  gh: HTTP 401\n  gh: Bad");
        assert_eq!(fix.as_deref(), Some("gh auth login"));
        let both = ("step 2: publishing v0.45: GitHub refused it", Some("run `gh auth login`"));
        assert_eq!(why_and_fix(text), both);
        let (message, fix) = message_and_fix(&missing("no images").fix("build them first"));
        assert_eq!((message.as_str(), fix.as_deref()), ("no images", Some("build them first")));
        assert_eq!(kind(&after_changes(missing("no images").context("a"))), Kind::Failed);
        assert_eq!(kind(&anyhow::anyhow!("plain").fix("try again")), Kind::Failed);
    }

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
