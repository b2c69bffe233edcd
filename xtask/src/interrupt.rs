//! Signals, seen as a question that the work asks when it can stop.
//!
//! Once [`watch`] was called, SIGINT, SIGTERM and SIGHUP no longer end the process where it stands: long work asks
//! [`check`] between two chunks, so that a tag already moved is put back and a child is ended with its parent. Between
//! the two calls of a flip nobody asks: a signal waits there.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure;

static SEEN: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on signals wait until [`check`] is asked.
pub fn watch() {
    SEEN.get_or_init(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Registration fails only for signals that can't be caught, and these three can.
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&seen), signal as usize);
        }
        seen
    });
}

/// The signal that arrived, if one did.
pub fn seen() -> Option<usize> {
    SEEN.get().map(|seen| seen.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// An error if a signal asked to stop. Exit code 130.
pub fn check() -> anyhow::Result<()> {
    match seen() {
        None => Ok(()),
        Some(signal) => {
            Err(failure::interrupted(format!("interrupted by signal {signal}; run the same command again to go on")))
        }
    }
}

/// The same, where nothing was changed yet.
pub fn check_before_changes() -> anyhow::Result<()> {
    match seen() {
        None => Ok(()),
        Some(signal) => Err(failure::interrupted(format!("interrupted by signal {signal}. Nothing was changed."))),
    }
}
