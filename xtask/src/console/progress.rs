//! Transfers under way, on a terminal: one line for all of them, with bytes, rate and time left, and one for each where the
//! terminal has the rows. No line is ever as wide as the terminal, which is asked anew each time: what wraps can't be drawn over.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{seconds, size};
use crate::text;

/// What a terminal has that doesn't say.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// All transfers of a run.
#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    all: Arc<Mutex<All>>,
}

/// The line for all.
#[derive(Default)]
struct All {
    bar: Option<ProgressBar>,
    running: u16,
    bytes: u64,
    at: u64,
    /// Without those that were there before.
    moved: u64,
    since: Option<Instant>,
}

/// The lines of one transfer.
pub struct Bar {
    own: ProgressBar,
    progress: Option<Progress>,
    bytes: u64,
}

impl Progress {
    pub fn new() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), all: Arc::default() }
    }

    /// Does something that prints, with the lines out of its way.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }

    pub fn begin(&self, what: &str, bytes: u64) -> Bar {
        let what = text::line(what);
        let mut all = self.lock();
        if all.bar.is_none() {
            let shared = Arc::clone(&self.all);
            let line = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A draw while somebody counts shows the count before.
                let Ok(all) = shared.try_lock() else { return };
                let time = all.since.map(|since| since.elapsed()).unwrap_or_default();
                let _ = out.write_str(&line_of_all(columns(), all.at, all.bytes, all.moved, time));
            };
            all.bar = Some(self.bars.add(ProgressBar::new(0).with_style(style(line))));
            all.since = Some(Instant::now());
        }
        all.running += 1;
        all.bytes += bytes;
        let has_room = rows() > all.running + 2;
        drop(all);
        let own = if has_room {
            let line = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&line_of_one(columns(), &what, state.pos(), state.len().unwrap_or(0)));
            };
            self.bars.add(ProgressBar::new(bytes).with_style(style(line)))
        } else {
            ProgressBar::hidden()
        };
        own.tick();
        Bar { own, progress: Some(self.clone()), bytes }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts, then draws.
    fn count(&self, count: impl FnOnce(&mut All)) {
        let mut all = self.lock();
        count(&mut all);
        let bar = all.bar.clone();
        drop(all);
        if let Some(bar) = bar {
            bar.tick();
        }
    }
}

impl Bar {
    /// One that shows nothing.
    pub fn hidden(bytes: u64) -> Self {
        Self { own: ProgressBar::hidden(), progress: None, bytes }
    }

    pub fn moved(&self, bytes: u64) {
        self.own.inc(bytes);
        if let Some(progress) = &self.progress {
            progress.count(|all| {
                all.at += bytes;
                all.moved += bytes;
            });
        }
    }

    /// Back to so many bytes, or on to them when they are there already.
    pub fn restart_at(&self, bytes: u64) {
        let before = self.own.position();
        self.own.set_position(bytes);
        if let Some(progress) = &self.progress {
            progress.count(|all| all.at = (all.at + bytes).saturating_sub(before));
        }
    }
}

impl Drop for Bar {
    /// Takes its lines away, whatever ended the transfer; with the last one that for all goes as well.
    fn drop(&mut self) {
        self.own.finish_and_clear();
        let Some(progress) = &self.progress else { return };
        let mut all = progress.lock();
        all.running = all.running.saturating_sub(1);
        // What isn't counted by now isn't coming.
        all.at += self.bytes.saturating_sub(self.own.position());
        let bar = if all.running == 0 { std::mem::take(&mut *all).bar } else { None };
        drop(all);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            progress.bars.remove(&bar);
        }
        progress.bars.remove(&self.own);
    }
}

fn style(line: impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Clone + Send + Sync + 'static) -> ProgressStyle {
    // The template is a constant of this file, so it parses.
    ProgressStyle::with_template("{line}").unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("line", line)
}

/// `1.2 GiB of 4.1 GiB  3.4 MiB/s  14 min 05 s left  [=====>    ]`; what has no room is left out, from the end.
fn line_of_all(columns: u16, at: u64, bytes: u64, moved: u64, time: Duration) -> String {
    let room = usize::from(columns.saturating_sub(1));
    let mut line = String::new();
    let mut add = |text: String| {
        let gap = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + gap.len() + text.chars().count() <= room {
            line.push_str(gap);
            line.push_str(&text);
        }
        room.saturating_sub(line.chars().count())
    };
    let both = format!("{} of {}", size(at), size(bytes));
    add(if both.len() <= room { both } else { percent(at, bytes) });
    let rate = moved as f64 / time.as_secs_f64().max(0.001);
    if rate >= 1.0 {
        let left = bytes.saturating_sub(at) as f64 / rate;
        add(format!("{}/s", size(rate as u64)));
        let left = add(format!("{} left", seconds(Duration::from_secs_f64(left.min(1e9)))));
        if left >= 16 {
            let cells = (left - 4).min(40);
            let full = if bytes == 0 { cells } else { (cells as f64 * (at as f64 / bytes as f64)) as usize }.min(cells);
            add(format!("[{}{}]", "=".repeat(full), " ".repeat(cells - full)));
        }
    }
    line
}

/// `  debian-12-custom.qcow2  45 %`, the name cut where it has to be.
fn line_of_one(columns: u16, what: &str, at: u64, bytes: u64) -> String {
    let share = format!("  {}", percent(at, bytes));
    let room = usize::from(columns.saturating_sub(1)).saturating_sub(share.len() + 2);
    let mut line = "  ".to_owned();
    if what.chars().count() <= room {
        line.push_str(what);
    } else {
        line.extend(what.chars().take(room.saturating_sub(1)));
        line.push('…');
    }
    let _ = write!(line, "{share}");
    line.chars().take(usize::from(columns.saturating_sub(1))).collect()
}

fn percent(at: u64, bytes: u64) -> String {
    let share = if bytes == 0 { 100 } else { u128::from(at.min(bytes)) * 100 / u128::from(bytes) };
    format!("{share} %")
}

fn columns() -> u16 {
    window().map_or(COLUMNS, |window| window.ws_col)
}

fn rows() -> u16 {
    window().map_or(ROWS, |window| window.ws_row)
}

fn window() -> Option<rustix::termios::Winsize> {
    let window = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    (window.ws_col > 0 && window.ws_row > 0).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_as_wide_as_the_terminal() {
        for columns in 1..200 {
            for (at, bytes, moved) in
                [(0, 0, 0), (1 << 20, 5 << 30, 1 << 20), (u64::MAX, u64::MAX, u64::MAX), (7, 3, 1)]
            {
                for time in [0, 1, 86_400] {
                    let all = line_of_all(columns, at, bytes, moved, Duration::from_secs(time));
                    assert!(all.chars().count() < usize::from(columns), "{columns}: {all}");
                }
                let one = line_of_one(columns, "downloading debian-13-custom.qcow2", at, bytes);
                assert!(one.chars().count() < usize::from(columns), "{columns}: {one}");
            }
        }
    }

    #[test]
    fn what_matters_most_has_room_first() {
        let line = |columns| line_of_all(columns, 1 << 30, 4 << 30, 1 << 30, Duration::from_secs(256));
        assert_eq!(line(12), "25 %");
        assert_eq!(line(20), "1.0 GiB of 4.0 GiB");
        assert_eq!(line(40), "1.0 GiB of 4.0 GiB  4.0 MiB/s");
        assert_eq!(line(80), "1.0 GiB of 4.0 GiB  4.0 MiB/s  12 min 48 s left  [=======                     ]");
        assert_eq!(line_of_one(80, "debian-12-custom.qcow2", 9, 20), "  debian-12-custom.qcow2  45 %");
        assert_eq!(line_of_one(20, "debian-12-custom.qcow2", 9, 20), "  debian-12-…  45 %");
    }
}
