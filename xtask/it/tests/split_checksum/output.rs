//! Where the tool's words go: a terminal or none, a disk that is full, a reader that has gone.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::folder::{Folder, IMAGE, Ran, WHOLE};

/// A line of a shell in the folder; `$T` is the tool with `packer`.
fn shell(folder: &Folder, line: &str, env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("T=\"{} packer\"; {line}", env!("CARGO_BIN_EXE_xtask-it"))]);
    command.current_dir(&folder.dir).stdin(Stdio::null()).env_remove("NO_COLOR").envs(env.iter().copied());
    command.output().unwrap().into()
}

#[test]
fn nobody_who_goes_away_makes_it_panic() {
    let folder = Folder::with_image("readers", 100_000);
    for (line, code) in [
        ("$T checksum --json >/dev/full", 1),
        ("$T checksum >/dev/full", 1),
        ("$T checksum --help >/dev/full", 1),
        ("$T checksum nonsense --json >/dev/full", 2),
        ("$T checksum nonsense >/dev/full", 2),
        ("$T checksum 2>/dev/full", 0),
        ("$T checksum --json 2>&-", 0),
        ("$T checksum --json 2>&- >&-", 0),
        ("$T nonsense 2>/dev/full", 2),
        ("$T checksum nonsense 2>&-", 2),
        // A reader that has gone before the first byte, in a way that doesn't depend on who is quicker.
        ("exec 3> >(exec true); wait $!; $T checksum --json >&3", 1),
        ("exec 3> >(exec true); wait $!; $T checksum >&3", 0),
    ] {
        let ran = shell(&folder, line, &[]);
        assert_eq!(ran.code, Some(code), "{line}: {}{}", ran.out, ran.err);
        assert!(!ran.err.contains("panicked"), "{line}: {}", ran.err);
        if line.ends_with(">/dev/full") && code == 1 && !line.contains("--help") {
            assert!(ran.err.contains("standard output"), "{line}: {}", ran.err);
        }
    }
}

#[test]
fn with_json_there_is_one_object_on_every_way_out() {
    let folder = Folder::with_image("objects", 100_000);
    for (args, code) in [
        (&["checksum"][..], 0),
        (&["checksum", "no-such-image"], 2),
        (&["checksum", "--no-such-option"], 2),
        (&["split", "--part-size", "0"], 2),
        (&["split", "--part-size", "1"], 2),
        (&["split", "--part-size", "18446744073709551615"], 2),
        (&["build-and-fetch"], 2),
        (&["no-such-verb"], 2),
        (&["checksum", "--images", "nowhere"], 3),
    ] {
        let ran = folder.tool(&[args, &["--json"]].concat());
        let object = ran.json();
        let status = if code == 0 { "success" } else { "error" };
        assert_eq!((ran.code, &object["status"]), (Some(code), &status.into()), "{args:?}: {object}");
        if code != 0 {
            assert_eq!(object["exit_code"], code);
            assert!(object["error"]["message"].as_str().is_some_and(|error| !error.is_empty()), "{args:?}: {object}");
        }
    }
    // A name is no option.
    let ran = folder.tool(&["checksum", "--no-such-option", "--", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
}

#[test]
fn names_that_a_terminal_would_obey_reach_neither_a_terminal_nor_json() {
    let folder = Folder::new("escapes");
    let odd = "\u{1b}]0;title\u{7}\u{9b}31m\u{202e}x";
    folder.write(&format!("{odd}.qcow2"), b"x");
    for args in [&["checksum"][..], &["checksum", "--json"], &["checksum", odd, "--json"], &["status", "--repo", "a/b"]]
    {
        let ran = folder.tool(args);
        for c in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
            assert!(!ran.out.contains(c) && !ran.err.contains(c), "{args:?}: {:?} {:?}", ran.out, ran.err);
        }
        if args.contains(&"--json") {
            assert!(ran.json()["error"]["message"].as_str().unwrap().contains("title"));
        }
    }
}

#[test]
fn colours_are_for_terminals_that_have_them() {
    let folder = Folder::with_image("colours", 100_000);
    folder.tool(&["checksum"]).expect(0, &[]);
    let on_a_terminal = "script -qec \"$T checksum --verify\" /dev/null </dev/null";
    for (env, coloured) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "")], false),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
    ] {
        let ran = shell(&folder, on_a_terminal, env);
        assert!(ran.out.contains("verified"), "{env:?}: {:?}", ran.out);
        assert_eq!(ran.out.contains("\u{1b}[32m"), coloured, "{env:?}: {:?}", ran.out);
    }
    let ran = shell(&folder, on_a_terminal, &[("TERM", "dumb")]);
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

#[test]
fn a_size_that_nothing_has_is_a_usage_error_and_no_memory() {
    let folder = Folder::with_image("sizes", 100_000);
    let image = fs::File::options().append(true).open(folder.images().join(WHOLE)).unwrap();
    image.set_len(5_000_000_000).unwrap();
    folder.tool(&["split", "--part-size", "1"]).expect(2, &["5000000000 parts", "give at least 5010021"]);
    let object: Value = folder.tool(&["split", "--part-size", "1", IMAGE, "--json"]).json();
    assert_eq!(object["exit_code"], 2);
}

#[test]
fn what_is_drawn_fits_the_terminal() {
    let folder = Folder::with_image("narrow", 40_000_000);
    for columns in [20, 40, 80] {
        let line = format!("script -qec \"stty cols {columns} rows 12; $T checksum --force\" typescript");
        let ran = shell(&folder, &line, &[("TERM", "xterm")]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        // Escape sequences move the cursor and colour: they take no room.
        let mut drawn = String::new();
        let mut rest = ran.out.as_str();
        while let Some(at) = rest.find('\x1b') {
            drawn.push_str(&rest[..at]);
            drawn.push('\n');
            let end = rest[at..].find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
            rest = &rest[at + end + 1..];
        }
        drawn.push_str(rest);
        let bars: Vec<&str> = drawn.split(['\r', '\n']).filter(|line| line.contains("hashing")).collect();
        assert!(!bars.is_empty(), "{drawn}");
        for line in bars {
            // The two lines are padded to the terminal's width and written one after the other.
            assert!(line.chars().count() <= 2 * columns, "{columns} columns: {line:?}");
            assert!(line.chars().nth(columns - 1).is_none_or(|last| last == ' '), "{columns} columns: {line:?}");
        }
    }
}
