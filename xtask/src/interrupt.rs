//! Signals that ask the run to stop.
//!
//! Once [`watch`] was called, SIGINT, SIGTERM and SIGHUP no longer end the process where it stands: long work asks
//! [`check`] between two chunks, so that a tag already moved is put back and a child is ended with its parent. Between
//! the two PATCHes of a switch no code asks: a signal waits there.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

use crate::failure::{self, Advice as _};

static SEEN: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on a signal is kept until [`check`] is called.
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

static STOPS: OnceLock<[Arc<AtomicBool>; 2]> = OnceLock::new();

/// While held, Ctrl-Z and a terminal's stop of a background job wait; afterwards they take effect.
pub fn hold_job_control(hold: bool) {
    let [free, came] = STOPS.get_or_init(|| {
        let (free, came) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
            // Registration fails only for signals that can't be caught, and these three can.
            let _ = signal_hook::flag::register(signal, Arc::clone(&came));
            let _ = signal_hook::flag::register_conditional_default(signal, Arc::clone(&free));
        }
        [free, came]
    });
    if hold {
        came.store(false, Ordering::SeqCst);
        free.store(false, Ordering::SeqCst);
    } else {
        free.store(true, Ordering::SeqCst);
        if came.swap(false, Ordering::SeqCst) {
            let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        }
    }
}

/// The signal that arrived, if any.
pub fn seen() -> Option<usize> {
    SEEN.get().map(|seen| seen.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// An error if a signal asked to stop. Exit code 130.
pub fn check() -> anyhow::Result<()> {
    match seen() {
        None => Ok(()),
        Some(signal) => Err(failure::interrupted(format!("interrupted by signal {signal}"))
            .fix("run the same command again to continue")),
    }
}

/// An error if a signal asked to stop, where nothing was changed yet. Exit code 130.
pub fn check_before_changes() -> anyhow::Result<()> {
    match seen() {
        None => Ok(()),
        Some(signal) => Err(failure::interrupted(format!("interrupted by signal {signal}: nothing was changed"))),
    }
}
