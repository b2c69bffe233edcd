//! What a person sees: lines, and bars for what takes longer than a second.
//!
//! With `--json` standard output carries one object and nothing else; people's text then goes to standard error. Bars
//! show on a terminal only; elsewhere each transfer is one line when it ends. `NO_COLOR` is obeyed.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where a run's text goes.
#[derive(Clone)]
pub struct Console {
    json: bool,
    verbose: bool,
    colour: bool,
    silent: bool,
    /// Lines that wait while nothing may block; `None`: they don't.
    held: Arc<Mutex<Option<Vec<(String, bool)>>>>,
    bars: Option<MultiProgress>,
}

impl Console {
    /// One that shows nothing.
    pub fn silent() -> Self {
        Self { json: true, verbose: false, colour: false, silent: true, held: Arc::default(), bars: None }
    }

    pub fn new(json: bool, verbose: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let shown_on_terminal = if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let bars =
            std::io::stderr().is_terminal().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { json, verbose, colour: shown_on_terminal && !no_colour, silent: false, held: Arc::default(), bars }
    }

    /// A line of the result.
    pub fn line(&self, text: impl Display) {
        self.print(&text.to_string(), self.json);
    }

    /// A line about how it goes: never part of the result.
    pub fn note(&self, text: impl Display) {
        self.print(&text.to_string(), true);
    }

    /// A line for those who asked for `--verbose`.
    pub fn detail(&self, text: impl Display) {
        if self.verbose {
            self.note(text);
        }
    }

    /// A line that a person should not miss.
    pub fn warn(&self, text: impl Display) {
        let label = self.paint("33", "warning:");
        self.note(format_args!("{label} {text}"));
    }

    /// Whether colours are wanted.
    pub fn colour(&self) -> bool {
        self.colour
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    pub fn yellow(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Asks on the terminal; without one the answer is `None`.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        eprint!("{question} [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
    }

    /// Shows how a transfer of so many bytes goes.
    pub fn transfer(&self, what: impl Into<String>, bytes: u64) -> Transfer {
        let what = what.into();
        let bar = match &self.bars {
            None => ProgressBar::hidden(),
            Some(bars) => {
                let style = ProgressStyle::with_template(
                    "{msg:30!} [{bar:24}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4} left",
                );
                // The template is a constant of this file, so it parses.
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
                let bar = bars.add(ProgressBar::new(bytes).with_style(style));
                bar.set_message(what.clone());
                bar
            }
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
            // A closed pipe (`| head`) is no reason to stop a publish half-way.
            let _ =
                if to_stderr { writeln!(std::io::stderr(), "{text}") } else { writeln!(std::io::stdout(), "{text}") };
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One transfer under way: bytes, rate, time left.
pub struct Transfer {
    what: String,
    bytes: u64,
    bar: ProgressBar,
    started: Instant,
    console: Console,
}

impl Transfer {
    /// So many bytes more.
    pub fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Back to so many bytes: a retry begins there.
    pub fn restart_at(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.bar.reset_eta();
    }

    /// Takes the bar away and leaves one line.
    pub fn finish(self, how: &str) {
        self.bar.finish_and_clear();
        let took = self.started.elapsed();
        self.console.note(format_args!("{}: {how}, {} in {}", self.what, size(self.bytes), seconds(took)));
    }

    /// Takes the bar away and leaves nothing: an error tells the rest.
    pub fn abandon(self) {
        self.bar.finish_and_clear();
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
