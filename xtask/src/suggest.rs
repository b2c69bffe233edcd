//! Commands that a message suggests, as a person can paste them.
//!
//! Each command repeats the options of this run, so that it concerns the same folders and the same repository. Every module
//! may suggest a command; the command line calls [`set`] once to say which options to repeat.

use std::fmt::Display;
use std::sync::OnceLock;

use crate::text;

/// From a verb to the options of this run that it takes, as words.
type Options = dyn Fn(&str) -> Vec<String> + Send + Sync;

/// What the command line of this run adds to suggested commands.
pub struct Given {
    pub options: Box<Options>,
    /// The directory for `git -C`, where the clone is not the current directory.
    pub git_dir: Option<String>,
}

static GIVEN: OnceLock<Given> = OnceLock::new();

/// Sets what suggestions repeat. Called once, before a verb begins; a second call changes nothing.
pub fn set(given: Given) {
    let _ = GIVEN.set(given);
}

/// A verb and its words as a command in backticks: `` `cargo xtask packer status --repo me/packer` ``.
pub fn command(words: impl Display) -> String {
    format!("`{}`", bare(words))
}

/// A verb and its words as a command, without backticks.
pub fn bare(words: impl Display) -> String {
    let words: Vec<String> = words.to_string().split(' ').map(str::to_owned).collect();
    line(&words)
}

/// A verb and its words as a command, without backticks; a word may hold spaces.
pub fn line(words: &[String]) -> String {
    // A name or a version may come from outside.
    let all: Vec<String> = with_options(words).iter().map(|text| word(text)).collect();
    format!("cargo xtask packer {}", all.join(" "))
}

/// A verb and its words, and the options of this run that the verb takes.
pub fn with_options(words: &[String]) -> Vec<String> {
    let verb = words.first().map_or("", String::as_str);
    let options = GIVEN.get().map(|given| (given.options)(verb)).unwrap_or_default();
    words.iter().cloned().chain(options).collect()
}

/// A git command for the clone that holds the packer directory, without backticks.
pub fn git(command: impl Display) -> String {
    match GIVEN.get().and_then(|given| given.git_dir.as_deref()) {
        Some(dir) => format!("git -C {} {command}", word(dir)),
        None => format!("git {command}"),
    }
}

/// A word as it is shown: for a shell, and without a password in an address.
pub fn word(word: &str) -> String {
    text::shell_word(&text::line(&text::without_logins(word)))
}

/// An option and its value as words: in one where the value begins with a dash.
pub fn option(name: &str, value: &str) -> Vec<String> {
    if value.starts_with('-') { vec![format!("{name}={value}")] } else { vec![name.into(), value.into()] }
}

#[cfg(test)]
mod tests {
    /// A command that is put together elsewhere lacks the person's options.
    #[test]
    fn no_other_file_puts_a_command_together() {
        // The help, and the notes of a release, whose readers have no options.
        const OTHERS: [&str; 3] = ["suggest.rs", "help.rs", "latest/changes.rs"];
        let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = walkdir::WalkDir::new(&src).into_iter().map(Result::unwrap);
        let mut read = 0;
        for file in files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs")) {
            let name = file.path().strip_prefix(&src).unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let made =
                code.lines().any(|line| line.contains("cargo xtask packer") && !line.trim_start().starts_with("//"));
            assert!(!made || OTHERS.contains(&name), "{name}");
            read += 1;
        }
        assert!(read > 100, "{read} files");
    }
}
