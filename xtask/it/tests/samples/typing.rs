//! A person at a terminal, in a world where phase 64 is to be done.

use std::collections::VecDeque;
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
        let tool = Path::new(env!("CARGO_BIN_EXE_xtask-it"));
        let packer_dir = super::top().join("packer");
        let mut world =
            World::new(&dir, Options { packer_dir: Some(packer_dir.clone()), ..Options::new(tool) }).unwrap();
        let host = ready::phase(&mut world, &packer_dir, 12).unwrap();
        ready::to_type_in(&world, tool).unwrap();
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
                // What a line was at the end: progress writes over itself.
                let printed = printed.replace("\r\n", "\n").replace("\u{1b}[K", "");
                let last = |line: &str| line.rsplit('\r').next().unwrap_or_default().trim_end().to_owned();
                return printed.lines().map(last).collect();
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
