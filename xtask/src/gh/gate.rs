//! Holds a request's last byte back until somebody allows it: with a `Content-Length` nothing happens on GitHub's side
//! before that byte.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use super::CallError;

/// Asked once, before the last byte.
pub type Gate<'a> = &'a (dyn Fn() -> Result<(), CallError> + Sync);

/// Why a gate stayed closed.
#[derive(Default)]
pub(super) struct Closed(Mutex<Option<CallError>>);

impl Closed {
    pub fn why(&self) -> Option<CallError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Hands on what is written, and asks before the last of this number of bytes.
pub(super) struct Gated<'a> {
    pub to: &'a mut (dyn Write + Send),
    pub left: u64,
    pub gate: Gate<'a>,
    pub closed: &'a Closed,
}

impl Write for Gated<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let before_last = usize::try_from(self.left.saturating_sub(1)).unwrap_or(usize::MAX);
        let now = if before_last == 0 {
            if self.left == 1 {
                self.to.flush()?;
                if let Err(why) = (self.gate)() {
                    *self.closed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    return Err(io::Error::other("the request was held back"));
                }
            }
            bytes
        } else {
            &bytes[..bytes.len().min(before_last)]
        };
        let written = self.to.write(now)?;
        self.left = self.left.saturating_sub(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_waits_for_the_gate() {
        for (pieces, open) in [(vec![&b"abc"[..]], true), (vec![&b"a"[..], b"bc"], true), (vec![&b"abc"[..]], false)] {
            let mut to = Vec::new();
            let gate = || if open { Ok(()) } else { Err(CallError::Lapsed) };
            let closed = Closed::default();
            let mut gated = Gated { to: &mut to, left: 3, gate: &gate, closed: &closed };
            let result = pieces.iter().try_for_each(|piece| gated.write_all(piece));
            assert_eq!(result.is_ok(), open);
            assert_eq!(to, if open { &b"abc"[..] } else { b"ab" });
            assert_eq!(closed.why().is_some(), !open);
        }
    }
}
