//! What a person sees: lines, and bars for what takes longer than a second.
//!
//! With `--json` standard output carries one object and nothing else; people's text then goes to standard error. Bars
//! show on a terminal only; elsewhere each transfer is one line when it ends. `NO_COLOR` and `TERM=dumb` are obeyed.
//!
//! Whatever is printed here may hold text from outside, so nothing in it reaches the terminal as a control character: see
//! [`crate::text`]. Colours are put in afterwards.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use progress::{Bar, Progress};

use crate::{interrupt, text};

mod progress;

/// A line that waits, and whether it goes to standard error.
type Kept = (String, bool);

/// Where a run's text goes.
#[derive(Clone)]
pub struct Console {
    json: bool,
    verbose: bool,
    colour: bool,
    silent: bool,
    /// Lines that wait while nothing may block; `None`: they don't.
    held: Arc<Mutex<Option<Vec<Kept>>>>,
    bars: Option<Progress>,
    /// Why standard output didn't take a line.
    lost: Arc<OnceLock<String>>,
}

/// Begins a colour, by its number in an escape sequence. Noncharacters, which nothing but this file gets to the terminal
/// with: text from outside that has one can't do more than take one of these colours.
const COLOURS: [(char, &str); 4] = [('\u{fdd0}', "1"), ('\u{fdd1}', "31"), ('\u{fdd2}', "32"), ('\u{fdd3}', "33")];
const BOLD: char = COLOURS[0].0;
const RED: char = COLOURS[1].0;
const GREEN: char = COLOURS[2].0;
const YELLOW: char = COLOURS[3].0;
/// Ends it.
const PLAIN: char = '\u{fdd4}';

impl Console {
    /// One that shows nothing.
    pub fn silent() -> Self {
        Self {
            json: true,
            verbose: false,
            colour: false,
            silent: true,
            held: Arc::default(),
            bars: None,
            lost: Arc::default(),
        }
    }

    pub fn new(json: bool, verbose: bool) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let draws = set("TERM").is_some_and(|term| term != "dumb");
        let shown_on_terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let bars = (draws && io::stderr().is_terminal()).then(Progress::new);
        let colour = draws && shown_on_terminal && set("NO_COLOR").is_none();
        Self { json, verbose, colour, silent: false, held: Arc::default(), bars, lost: Arc::default() }
    }

    /// A line of the result.
    pub fn line(&self, text: impl Display) {
        self.print(&self.fitted(&text.to_string(), self.json), self.json);
    }

    /// A line about how it goes: never part of the result.
    pub fn note(&self, text: impl Display) {
        self.print(&self.fitted(&text.to_string(), true), true);
    }

    /// A line that another program drew; of what a terminal would obey its colours alone are left.
    pub fn quote(&self, before: &str, line: &str) {
        let line = text::drawn(line, self.colour);
        self.print(&format!("{}{line}", self.shown(before)), true);
    }

    /// The one object on standard output, with `--json`.
    ///
    /// # Errors
    ///
    /// When standard output doesn't take it.
    pub fn object(&self, object: &serde_json::Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text::json(&format!("{object:#}"))).and_then(|()| out.flush())
    }

    /// Why a line of the result didn't reach standard output. A pipe that was closed (`| head`) is no such reason: its
    /// reader has seen enough.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// A line for those who asked for `--verbose`.
    pub fn detail(&self, text: impl Display) {
        if self.verbose {
            self.note(text);
        }
    }

    /// A line that a person should not miss.
    pub fn warn(&self, text: impl Display) {
        let label = self.paint(YELLOW, "warning:");
        self.note(format_args!("{label} {text}"));
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint(BOLD, text)
    }

    pub fn green(&self, text: &str) -> String {
        self.paint(GREEN, text)
    }

    pub fn red(&self, text: &str) -> String {
        self.paint(RED, text)
    }

    pub fn yellow(&self, text: &str) -> String {
        self.paint(YELLOW, text)
    }

    /// Whether somebody sits at a terminal to be asked, and sees there what the question is about: through a pipe the
    /// plan may come after it.
    pub fn can_ask(&self) -> bool {
        let plan = self.json || io::stdout().is_terminal();
        !self.silent && plan && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks on the terminal; without one the answer is `None`.
    ///
    /// # Errors
    ///
    /// Exit code 130, at once, when a signal arrives in place of an answer.
    pub fn ask(&self, question: &str) -> anyhow::Result<Option<bool>> {
        if !self.can_ask() {
            return Ok(None);
        }
        let stdin = io::stdin();
        interrupt::watch();
        let _ = write!(io::stderr(), "{} [y/N] ", self.shown(question));
        let _ = io::stderr().flush();
        // A read goes on after a signal; so it begins when there is a line to read.
        let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        loop {
            if let Err(error) = interrupt::check_before_changes() {
                let _ = writeln!(io::stderr());
                return Err(error);
            }
            let mut ready = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut ready, Some(&moment)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => break,
                Err(_) => return Ok(None),
            }
        }
        let mut answer = String::new();
        if stdin.read_line(&mut answer).is_err() {
            return Ok(None);
        }
        Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES")))
    }

    /// Shows how a transfer of so many bytes goes.
    pub fn transfer(&self, what: impl Into<String>, bytes: u64) -> Transfer {
        let what = what.into();
        let bar = match &self.bars {
            None => Bar::hidden(bytes),
            Some(bars) => bars.begin(&what, bytes),
        };
        Transfer { what, bytes, bar, started: Instant::now(), console: self.clone() }
    }

    /// While it holds, lines are kept: a terminal that was stopped with Ctrl-S takes none. They are printed after.
    pub fn hold(&self, hold: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if hold {
            held.get_or_insert_default();
            return;
        }
        let lines = held.take().unwrap_or_default();
        drop(held);
        for (text, to_stderr) in lines {
            self.print(&text, to_stderr);
        }
    }

    fn print(&self, text: &str, to_stderr: bool) {
        if self.silent {
            return;
        }
        if let Some(lines) = &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            lines.push((text.to_owned(), to_stderr));
            return;
        }
        let write = || {
            if to_stderr {
                // Nobody is left to be told.
                let _ = writeln!(io::stderr(), "{text}");
            } else if let Err(error) = writeln!(io::stdout(), "{text}") {
                // No reason to stop a publish half-way.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.lost.get_or_init(|| error.to_string());
                }
            }
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// The same, broken into lines that fit where it goes.
    fn fitted(&self, text: &str, to_stderr: bool) -> String {
        let columns = if to_stderr { columns_of(io::stderr()) } else { columns() };
        self.shown(&columns.map_or_else(|| text.to_owned(), |columns| text::fitted(text, columns)))
    }

    /// Text as the terminal gets it.
    fn shown(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            let code = COLOURS.iter().find_map(|(colour, code)| (*colour == c).then_some(*code));
            match code.or((c == PLAIN).then_some("0")).filter(|_| self.colour) {
                Some(code) => out.push_str(&format!("\x1b[{code}m")),
                None => text::push_safe(&mut out, c),
            }
        }
        out
    }

    fn paint(&self, colour: char, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

/// Columns of the terminal that standard output is, if it is one.
pub fn columns() -> Option<usize> {
    columns_of(io::stdout())
}

fn columns_of(stream: impl AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0).max(20))
}

/// One transfer under way: bytes, rate, time left.
pub struct Transfer {
    what: String,
    bytes: u64,
    bar: Bar,
    started: Instant,
    console: Console,
}

impl Transfer {
    /// So many bytes more.
    pub fn moved(&self, bytes: u64) {
        self.bar.moved(bytes);
    }

    /// Back to so many bytes: a retry begins there.
    pub fn restart_at(&self, bytes: u64) {
        self.bar.restart_at(bytes);
    }

    /// Takes the bar away and leaves one line. Dropping it leaves nothing.
    pub fn finish(self, how: &str) {
        let Self { what, bytes, bar, started, console } = self;
        drop(bar);
        console.note(format_args!("{what}: {how}, {} in {}", size(bytes), seconds(started.elapsed())));
    }
}

/// `2.0 GiB`, `512.0 MiB`, `17 B`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 image`, `3 images`.
pub fn count<N: Copy + Display + PartialEq + From<bool>>(number: N, what: &str) -> String {
    let many = if number == N::from(true) { "" } else { "s" };
    format!("{number} {what}{many}")
}

/// `0.3 s`, `42 s`, `3 min 05 s`.
pub fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_consoles_own() {
        let console = |colour| Console {
            json: false,
            verbose: false,
            colour,
            silent: false,
            held: Arc::default(),
            bars: None,
            lost: Arc::default(),
        };
        let painted = console(true);
        assert_eq!(painted.shown(&painted.red("a\x1b[1mb\n")), "\x1b[31ma\\u{1b}[1mb\n\x1b[0m");
        let plain = console(false);
        assert_eq!(plain.shown(&plain.red("a\u{fdd0}b")), "a\\u{fdd0}b");
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_576, "1.0 MiB"), (2_147_483_647, "2.0 GiB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn times_read_well() {
        for (millis, shown) in [(300, "0.3 s"), (42_000, "42 s"), (185_000, "3 min 05 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), shown);
        }
    }
}
