//! What a person sees: lines, questions, and bars for what takes longer than a second.
//!
//! With `--json` standard output carries one object and nothing else; text for people then goes to standard error. Bars show
//! on a terminal only; elsewhere each transfer is one line when it ends. `NO_COLOR` and `TERM=dumb` are obeyed.
//!
//! Every line may hold text from outside, so each character passes [`text::push_safe`] on its way to the terminal; colours are
//! put in afterwards. Used by all that shows something.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::{seconds, size};
use crate::{failure, interrupt, text};

/// A line that waits, and whether it goes to standard error.
type Kept = (String, bool);

/// Where a run's text goes.
#[derive(Clone, Default)]
pub struct Console {
    json: bool,
    verbose: bool,
    colour: bool,
    silent: bool,
    /// Lines that wait while nothing may block; `None`: they don't.
    held: Arc<Mutex<Option<Vec<Kept>>>>,
    bars: Option<MultiProgress>,
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
    /// A console that shows nothing.
    pub fn silent() -> Self {
        Self { json: true, silent: true, ..Self::default() }
    }

    pub fn new(json: bool, verbose: bool) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let draws = set("TERM").is_some_and(|term| term != "dumb");
        let shown_on_terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let bars = (draws && io::stderr().is_terminal())
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let colour = draws && shown_on_terminal && set("NO_COLOR").is_none();
        Self { json, verbose, colour, bars, ..Self::default() }
    }

    /// A line of the result.
    pub fn line(&self, text: impl Display) {
        self.print(&self.fitted(&text.to_string(), self.json), self.json);
    }

    /// A line about how it goes: never part of the result.
    pub fn note(&self, text: impl Display) {
        self.print(&self.fitted(&text.to_string(), true), true);
    }

    /// A line that another program printed, without its colours.
    pub fn quote(&self, before: &str, line: &str) {
        self.print(&self.shown(&format!("{before}{}", text::plain(line))), true);
    }

    /// Why a run failed: what and why, then what to do on a line of its own, then the words of other programs.
    pub fn error(&self, error: &anyhow::Error) {
        let mut text = self.red("error: ");
        for line in format!("{error:#}").split_inclusive('\n') {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            match rest.strip_prefix(failure::FIX) {
                Some(fix) => text.push_str(&format!("{indent}{}{fix}", self.bold(failure::FIX))),
                None => text.push_str(line),
            }
        }
        self.note(text);
    }

    /// The one object on standard output, with `--json`.
    ///
    /// # Errors
    ///
    /// When standard output doesn't take it.
    pub fn object(&self, object: &serde_json::Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text::json(&text::without_logins(&format!("{object:#}")))).and_then(|()| out.flush())
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

    /// A line that is said at once, also while others are kept. It can block where the terminal was stopped, so nothing waits
    /// for it.
    pub fn urgent(&self, text: impl Display) {
        if !self.silent {
            let _ = writeln!(io::stderr(), "{}", self.shown(&text.to_string()));
        }
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
        // What was typed before the question was shown is no answer to it.
        let _ = rustix::termios::tcflush(&stdin, rustix::termios::QueueSelector::IFlush);
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

    /// Shows the progress of a transfer of this number of bytes.
    pub fn transfer(&self, what: impl Into<String>, bytes: u64) -> Transfer {
        let what = text::line(&what.into());
        let bar = ProgressBar::hidden().with_style(bar_style(columns_of(io::stderr()).unwrap_or(80)));
        bar.set_length(bytes);
        let bar = self.bars.as_ref().map_or(bar.clone(), |bars| bars.add(bar)).with_message(what.clone());
        bar.tick();
        Transfer { what, bar, started: Instant::now(), console: self.clone() }
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
                // The terminal is gone, so there is no reader for an error.
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
        for c in text::without_logins(text).chars() {
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

/// Name, share, amount, rate and time left; on a narrow terminal the name and the share.
fn bar_style(columns: usize) -> ProgressStyle {
    let template = if columns < 80 {
        "{wide_msg}  {percent:>3} % "
    } else {
        "{wide_msg}  {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left "
    };
    // The templates are constants of this file, so they parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One transfer under way.
pub struct Transfer {
    what: String,
    bar: ProgressBar,
    started: Instant,
    console: Console,
}

impl Transfer {
    /// Adds this number of bytes.
    pub fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Sets the number of bytes, where a retry begins, or where earlier bytes are here already.
    pub fn restart_at(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.bar.reset_eta();
    }

    /// Takes the bar away and leaves one line. Dropping a transfer leaves nothing, except after a signal.
    pub fn finish(self, how: &str) {
        self.bar.finish_and_clear();
        let bytes = self.bar.length().unwrap_or_default();
        let (what, time) = (&self.what, seconds(self.started.elapsed()));
        self.console.note(format_args!("{what}: {how}, {} in {time}", size(bytes)));
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.bar.is_finished() {
            return;
        }
        self.bar.finish_and_clear();
        let (at, bytes) = (self.bar.position(), self.bar.length().unwrap_or_default());
        if interrupt::seen().is_some() && at < bytes {
            self.console.note(format_args!("{}: stopped after {} of {}", self.what, size(at), size(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_consoles_own() {
        let console = |colour| Console { colour, ..Console::default() };
        let painted = console(true);
        assert_eq!(painted.shown(&painted.red("a\x1b[1mb\n")), "\x1b[31ma\\u{1b}[1mb\n\x1b[0m");
        let plain = console(false);
        assert_eq!(plain.shown(&plain.red("a\u{fdd0}b")), "a\\u{fdd0}b");
    }
}
