//! Programs that a test or a rehearsal runs to their end, and what they left.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// What a finished command left.
#[derive(Debug)]
pub struct Ran {
    /// As a person would type it.
    pub command: String,
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The same, or an error with all it printed unless the exit code is 0.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn success(self) -> anyhow::Result<Self> {
        if self.code != Some(0) {
            bail!("`{}` ended with {:?}\n{}{}", self.command, self.code, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// Standard output without the line end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }

    /// The one object on standard output.
    ///
    /// # Panics
    ///
    /// When it isn't JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}`: {error}\n{}{}", self.command, self.stdout, self.stderr))
    }

    /// # Panics
    ///
    /// When the exit code is another, or one of the texts is in neither output.
    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        let all = format!("`{}` ended with {:?}\n{}{}", self.command, self.code, self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{all}");
        for text in says {
            assert!(all.contains(text), "expected `{text}`: {all}");
        }
        self
    }
}

/// The one place of rehearsals that names a program to start.
#[expect(clippy::disallowed_methods, reason = "the rule is for xtask's children; these play the people around it")]
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Sends a signal, by its name without `SIG`, to a process. Whether it was there.
///
/// # Panics
///
/// When there is no `kill`.
pub fn kill(signal: &str, process: &str) -> bool {
    program("kill").args([&format!("-{signal}"), process]).status().expect("running kill").success()
}

/// Runs to the end and keeps what it prints.
pub(crate) fn run(mut command: Command) -> anyhow::Result<Ran> {
    let shown = shown(&command);
    let output = command.output().with_context(|| format!("starting `{shown}`; run scripts/setup"))?;
    Ok(Ran {
        command: shown,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The command's words, with quotes where a shell needs them.
fn shown(command: &Command) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+^{}".contains(c);
    let word = |word: &OsStr| {
        let word = word.to_string_lossy();
        if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("{word:?}") }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(word).collect::<Vec<_>>().join(" ")
}
