//! `rehearse --shell` as a newcomer uses it: a terminal, the lines that it shows, and the whole phase through the walk.

use std::fs;
use std::path::Path;
use std::process::Command;

use rehearsal::terminal::Terminal;

const PROMPT: &str = "rehearsal$ ";

/// Types a line at the prompt; what came until the next one.
#[track_caller]
fn runs(terminal: &mut Terminal, line: &str) -> String {
    terminal.types(&format!("{line}\n"));
    terminal.until(PROMPT)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it starts the tool")]
fn a_newcomer_takes_a_set_from_nothing_to_latest() {
    let temporary = std::env::temp_dir().join(format!("rehearsal-shell-{}", std::process::id()));
    fs::create_dir_all(&temporary).unwrap();
    let typed =
        format!("stty rows 24 cols 100; exec {} packer rehearse --shell --mib 3", env!("CARGO_BIN_EXE_xtask-it"));
    let mut command = Command::new("script");
    command.env("TMPDIR", &temporary).env("TERM", "xterm");
    // As `cargo xtask` starts it: the stand-ins are found beside that package.
    command.env("CARGO_MANIFEST_DIR", Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let mut terminal = Terminal::start(command, &typed);
    let shown = terminal.until(PROMPT);
    let (_, lines) = shown.split_once("Try:").unwrap_or_else(|| panic!("no lines to try: {shown}"));
    let lines: Vec<&str> =
        lines.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' ')).collect();
    let (walk, others) = lines.split_first().unwrap();
    assert!(walk.starts_with("cargo xtask packer release v0.45 --host builder"), "{lines:?}");

    terminal.types(&format!("{walk}\n"));
    for (question, before) in [("A build takes", "next"), ("", "Plan: latest of"), ("Write this?", "Images: rebuilt")] {
        let shown = terminal.until("[y/N] ");
        assert!(shown.contains(question) && shown.contains(before), "{question}: {shown}");
        terminal.types("y\n");
    }
    let shown = terminal.until(PROMPT);
    assert!(shown.contains("Checklist of phase 64") && !shown.contains("[ ]"), "{shown}");
    assert!(shown.contains("decision on the release issue"), "{shown}");

    for line in others.iter().filter(|line| **line != "exit") {
        if line.ends_with(" rollback") {
            terminal.types(&format!("{line}\n"));
            terminal.until("[y/N] ");
            runs(&mut terminal, "n");
            continue;
        }
        let shown = runs(&mut terminal, &format!("{line}; echo \"ended with $?\""));
        assert!(shown.contains("ended with 0"), "{line}: {shown}");
    }
    // A Ctrl-C is for what runs in the shell, not for the world around it.
    // The shell shows its prompt a moment before it listens to keys: one that comes between gets no new prompt.
    std::thread::sleep(std::time::Duration::from_secs(2));
    terminal.types("\x03");
    terminal.until(PROMPT);
    let shown = runs(&mut terminal, "cargo build");
    assert!(shown.contains("has only `cargo xtask`"), "{shown}");
    terminal.types("false; exit\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    fs::remove_dir(&temporary).unwrap();
}
