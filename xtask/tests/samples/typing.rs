//! A person at a terminal, in a world where phase 64 is to be done.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rehearsal::host::BuildHost;
use rehearsal::ready;
use rehearsal::terminal::Terminal;
use rehearsal::world::{Options, World};

use super::page::QUESTION;

/// What nothing prints but the shell.
const PROMPT: &str = "\u{2}ready ";

pub struct Person {
    terminal: Terminal,
    /// They end after the terminal.
    _host: BuildHost,
    _world: World,
}

impl Person {
    pub fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples").join(name);
        let tool = Path::new(env!("CARGO_BIN_EXE_xtask"));
        let packer_dir = super::top().join("packer");
        let mut world =
            World::new(&dir, Options { packer_dir: Some(packer_dir.clone()), ..Options::new(tool) }).unwrap();
        let host = ready::phase(&mut world, &packer_dir, 12).unwrap();
        ready::to_type_in(&world, tool).unwrap();
        let curl = world.bin().join("curl");
        // curl knows no socket by a variable, and the stand-in no TLS.
        let script = format!(
            "#!/bin/bash\nexec {} --unix-socket '{}' \"${{@/#https:/http:}}\"\n",
            real("curl"),
            world.hub().socket().display()
        );
        fs::write(&curl, script).unwrap();
        fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = world.command("script");
        script.env("TERM", "dumb").env("PS1", PROMPT).env("PS2", "");
        let mut terminal =
            Terminal::start(script, "stty -echo cols 80 rows 50; exec bash --norc --noprofile --noediting");
        terminal.until(PROMPT);
        Self { terminal, _host: host, _world: world }
    }

    /// Types a command and answers its questions; the lines that came.
    pub fn types(&mut self, command: &str, answers: &[&str]) -> Vec<String> {
        let mut answers: VecDeque<&str> = answers.iter().copied().collect();
        self.terminal.types(&format!("{command}\n"));
        let mut came = String::new();
        loop {
            came += &self.terminal.until(" ");
            if let Some(printed) = came.strip_suffix(PROMPT) {
                let printed = printed.replace('\r', "");
                return printed.lines().map(|line| line.trim_end().to_owned()).collect();
            }
            if came.ends_with(QUESTION) {
                let answer = answers.pop_front().unwrap_or("n");
                self.terminal.types(&format!("{answer}\n"));
                came += &format!("{answer}\n");
            }
        }
    }

    /// Types what must succeed.
    pub fn must(&mut self, command: &str) {
        let printed = self.types(&format!("{{ {command}; }} && echo 'that is done'"), &[]);
        assert_eq!(printed.last().map(String::as_str), Some("that is done"), "{command}: {}", printed.join("\n"));
    }
}

/// Where a program is.
fn real(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("no {program}; run scripts/setup")).display().to_string()
}
