//! Words that make a reader stumble don't come back: no message, help text or page has one of the banned words below.
//!
//! The test looks at all string literals and module heads of `xtask/src` and `xtask/rehearsal/src` without their tests, at the
//! help of each verb as it is printed, at the lines of the shell scripts that are not comments, and at all pages.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

mod lexer;
mod plain;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lexer::Kind;
use plain::Text;
use regex_lite::Regex;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(top().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files below a folder, by their path from the top.
fn files(dir: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() && wanted(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// What stands between two empty lines is one text, so that a phrase is seen across the end of a line.
fn paragraphs(file: &str) -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::new();
    let mut begins = true;
    for (number, line) in read(file).lines().enumerate() {
        if line.trim().is_empty() {
            begins = true;
        } else if std::mem::take(&mut begins) {
            texts.push(Text { place: format!("{file}:{}", number + 1), words: line.to_owned() });
        } else if let Some(text) = texts.last_mut() {
            text.words.extend(["\n", line]);
        }
    }
    texts
}

#[track_caller]
fn assert_plain(texts: &[Text]) {
    assert!(texts.len() > 10, "only {} texts", texts.len());
    let faults: Vec<String> = texts.iter().flat_map(plain::faults).collect();
    assert!(faults.is_empty(), "{} banned words:\n{}", faults.len(), faults.join("\n"));
}

/// The string literals and module heads of the tool and its rehearsal. A placeholder's name is not a word of the message.
fn literals() -> Vec<Text> {
    let is_source = |path: &str| path.ends_with(".rs") && !path.ends_with("/tests.rs");
    let files = [files("xtask/src", is_source), files("xtask/rehearsal/src", is_source)].concat();
    assert!(files.len() > 80, "{}", files.len());
    let placeholder = Regex::new(r"\{[^{}]*\}").unwrap();
    let of_file = |file: &String| {
        let pieces =
            lexer::pieces(&read(file)).into_iter().filter(|piece| piece.kind == Kind::Literal || piece.line == 1);
        let words = |text: &str| placeholder.replace_all(text, "…").into_owned();
        let text = |piece: lexer::Piece| Text { place: format!("{file}:{}", piece.line), words: words(&piece.text) };
        pieces.map(text).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

#[test]
fn messages_are_plain() {
    assert_plain(&literals());
}

#[test]
fn help_is_plain_and_each_verb_has_its_json() {
    let help = |verb: &str| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
        let output = tool.args(["packer", "help"]).args(verb.split_whitespace()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let overview = help("");
    let name = Regex::new(r"(?m)^  ([a-z-]+)  +[A-Z]").unwrap();
    let verbs: Vec<&str> = name.captures_iter(&overview).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(verbs.len() >= 14, "{verbs:?} in\n{overview}");
    let json = read("docs/json.md");
    for verb in verbs.iter().filter(|verb| **verb != "rehearse") {
        assert!(json.contains(&format!("\n## `{verb}`\n")), "docs/json.md has no section `{verb}`");
    }
    let of = |verb: &str| Text { place: format!("help {verb}"), words: help(verb) };
    assert_plain(&verbs.into_iter().chain([""]).map(of).collect::<Vec<_>>());
}

#[test]
fn scripts_are_plain() {
    let is_script = |path: &str| !path.contains("/tests/") && !path.ends_with(".md") && !path.contains("/images/");
    let mut scripts = files("packer", |path| is_script(path) && path.ends_with(".sh"));
    scripts.extend(files("scripts", is_script));
    assert!(scripts.len() > 30, "{scripts:?}");
    let of_line = |file: &String| {
        let text = read(file);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("# "));
        lines.map(|(at, line)| Text { place: format!("{file}:{}", at + 1), words: line.to_owned() }).collect::<Vec<_>>()
    };
    assert_plain(&scripts.iter().flat_map(of_line).collect::<Vec<_>>());
}

#[test]
fn pages_are_plain() {
    let mut pages = files("docs", |path| path.ends_with(".md") || path.ends_with(".svg"));
    pages.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "packer/README.md"].map(str::to_owned));
    assert!(pages.len() > 15, "{pages:?}");
    assert_plain(&pages.iter().flat_map(|file| paragraphs(file)).collect::<Vec<_>>());
}
