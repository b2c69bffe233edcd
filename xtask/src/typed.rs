//! Lines for a person to type next. All are made here, with the options that this run was given, so that they are about the
//! same folders and the same repository.

use std::fmt::Display;
use std::sync::OnceLock;

use clap::CommandFactory as _;

use crate::verbs::Common;
use crate::{Cli, packer, text};

/// What this run was given; errors are made in places that no verb's options reach.
static GIVEN: OnceLock<Common> = OnceLock::new();

/// Says once, before a verb begins, what the person gave.
pub fn given(common: &Common) {
    // A second one would be the same command line's.
    let _ = GIVEN.set(common.clone());
}

/// A verb and its words, as a line in backticks: `` `cargo xtask packer status --repo me/packer` ``.
pub fn line(command: impl Display) -> String {
    format!("`{}`", bare(command))
}

/// The same without backticks.
pub fn bare(command: impl Display) -> String {
    let command = command.to_string();
    let verb = command.split(' ').next().unwrap_or_default();
    let options = GIVEN.get().map(|common| options(common, verb)).unwrap_or_default();
    let options = options.iter().map(|option| format!(" {}", word(option)));
    format!("cargo xtask packer {command}{}", options.collect::<String>())
}

/// A line for git, about the packer directory's clone.
pub fn git(command: impl Display) -> String {
    match GIVEN.get().and_then(|common| common.packer_dir.as_ref()) {
        Some(dir) => format!("git -C {} {command}", word(&dir.to_string_lossy())),
        None => format!("git {command}"),
    }
}

/// Those of the common options that a verb takes, as words. What stands in the environment stands there next time as well.
pub fn options(common: &Common, verb: &str) -> Vec<String> {
    let told = |name: &str, value: &Option<String>| {
        let environment = std::env::var(name).ok();
        value.clone().filter(|value| !value.is_empty() && Some(value) != environment.as_ref())
    };
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let all = [
        ("packer-dir", path(&common.packer_dir)),
        ("images", path(&common.images)),
        ("repo", told("HOMESTAK_PACKER_REPO", &common.repo)),
        ("remote", Some(common.remote.clone()).filter(|remote| !matches!(remote.as_str(), "" | "origin"))),
        ("git-url", told("HOMESTAK_PACKER_GIT_URL", &common.git_url)),
    ];
    let cli = Cli::command();
    let packer = cli.find_subcommand("packer");
    let verb = packer.and_then(|packer| packer.find_subcommand(verb));
    let takes = |long: &str| verb.is_some_and(|verb| verb.get_arguments().any(|it| it.get_long() == Some(long)));
    let given = all.into_iter().filter(|(long, _)| takes(long));
    given.filter_map(|(long, value)| Some(option(&format!("--{long}"), &value?))).flatten().collect()
}

/// A word as it is shown: for a shell, and without a password in an address.
pub fn word(word: &str) -> String {
    text::shell_word(&text::line(&packer::without_password(word)))
}

/// An option and its value as words: in one where the value begins with a dash.
pub fn option(name: &str, value: &str) -> Vec<String> {
    if value.starts_with('-') { vec![format!("{name}={value}")] } else { vec![name.into(), value.into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is made elsewhere lacks the person's options.
    #[test]
    fn no_other_file_makes_one() {
        // The help's, the notes of a release, and the walk's own lines, which have them.
        const OTHERS: [&str; 4] = ["typed.rs", "help.rs", "latest/changes.rs", "verbs/release/line.rs"];
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

    #[test]
    fn a_verb_gets_those_options_that_it_takes() {
        let common = Common {
            packer_dir: Some("-p".into()),
            images: Some("/my images".into()),
            repo: Some("me/packer".into()),
            remote: "origin".into(),
            git_url: Some("https://example.org/packer".into()),
            ..Common::default()
        };
        let words = |verb| options(&common, verb).join(" ");
        assert_eq!(words("split"), "--packer-dir=-p --images /my images");
        assert_eq!(words("check"), "--packer-dir=-p --repo me/packer");
        assert!(
            words("publish").ends_with("--repo me/packer --git-url https://example.org/packer"),
            "{}",
            words("publish")
        );
        assert_eq!(words("build"), words("split"));
        assert_eq!(words("nosuch"), "");
        assert_eq!(word("https://me:secret@example.org/a packer"), "'https://example.org/a packer'");
    }
}
