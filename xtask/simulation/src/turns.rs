//! Whose turn it is, in schedules where runs take turns: what another run asks for meanwhile waits.

use crate::outside::Asked;
use crate::plan::Pace;

#[derive(Default)]
pub struct Turns {
    /// `None`: everybody at once.
    of: Option<usize>,
    /// After so many operations, the earliest last.
    ends: Vec<u64>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    task: usize,
    waits: u64,
    run: usize,
    asked: Asked,
}

/// With nothing under way for so many milliseconds a run has no use for its turn.
const IDLE: u64 = 100;

impl Turns {
    pub fn of(pace: Pace) -> Self {
        let Pace::Turns { first, ends } = pace else { return Self::default() };
        let mut ends = ends.to_vec();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        Self { of: Some(first), ends, waiting: Vec::new() }
    }

    /// Whether a run may send an operation, after so many.
    pub fn has(&mut self, run: usize, sent: u64) -> bool {
        if self.of.is_none() {
            return true;
        }
        while self.ends.last().is_some_and(|end| *end <= sent) {
            self.ends.pop();
            // Two runs take turns; whoever comes after them is alone.
            self.of = self.of.map(|of| 1 - of.min(1));
        }
        self.of == Some(run)
    }

    pub fn park(&mut self, task: usize, waits: u64, run: usize, asked: Asked) {
        self.waiting.push(Waiting { task, waits, run, asked });
    }

    /// What is to go on now: of the run whose turn it is, or, when nothing happens soon, of the one that waited longest, whose
    /// turn it is then.
    pub fn idle(&mut self, next: impl FnOnce() -> Option<u64>, now: u64) -> Option<(usize, u64, Asked)> {
        if self.waiting.is_empty() {
            return None;
        }
        let mine = self.waiting.iter().position(|it| Some(it.run) == self.of);
        let at = match mine {
            Some(at) => at,
            None if next().is_none_or(|next| next > now + IDLE) => {
                self.of = Some(self.waiting[0].run);
                0
            }
            None => return None,
        };
        let Waiting { task, waits, asked, .. } = self.waiting.remove(at);
        Some((task, waits, asked))
    }
}
