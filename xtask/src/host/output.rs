//! Cuts a build's output into lines.
//!
//! A line never takes more than 64 KiB of memory, and of a line that is drawn again and again the last drawing counts.
//! [`super::build`] uses this.

/// The longest line, in bytes; the rest of a longer line is left out.
const LONGEST: usize = 64 * 1024;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    /// Bytes of the same line that were left out.
    more: u64,
}

impl Lines {
    /// Takes more bytes; gives each line that is complete now.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for byte in bytes {
            // A line that draws itself again, as a progress bar does, may never end.
            if self.rest.last() == Some(&b'\r') && !matches!(byte, b'\r' | b'\n') {
                self.rest.clear();
            }
            match byte {
                b'\n' => self.flush(&mut line),
                _ if self.rest.len() < LONGEST => self.rest.push(*byte),
                _ => self.more += 1,
            }
        }
    }

    /// What came after the last line end.
    pub fn end(&mut self, line: impl FnOnce(&str)) {
        if !self.rest.is_empty() {
            self.flush(line);
        }
    }

    fn flush(&mut self, line: impl FnOnce(&str)) {
        let bytes = std::mem::take(&mut self.rest);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let drawn = text.rsplit('\r').find(|drawn| !drawn.is_empty()).unwrap_or_default();
        match std::mem::take(&mut self.more) {
            0 => line(drawn),
            more => line(&format!("{drawn} … and {more} bytes more in this line")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_becomes_lines() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["one\ntw", "o\r\n", "10%\r50%\r100%\r\n\n", "half"] {
            lines.push(piece.as_bytes(), |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "100%", "", "half"]);
    }

    #[test]
    fn of_an_endless_line_the_beginning_is_shown() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for _ in 0..100 {
            lines.push(&vec![b'x'; LONGEST], |line| seen.push(line.to_owned()));
        }
        assert!(lines.rest.len() <= LONGEST && lines.rest.capacity() <= 2 * LONGEST);
        lines.push(b"\nnext\n", |line| seen.push(line.to_owned()));
        let left_out = 99 * LONGEST;
        assert_eq!(
            seen,
            [format!("{} … and {left_out} bytes more in this line", "x".repeat(LONGEST)), "next".to_owned()]
        );
    }

    #[test]
    fn what_draws_itself_anew_for_ever_ends_as_its_last_drawing() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for percent in 0..100_000 {
            lines.push(format!("\r{percent} of 100000").as_bytes(), |line| seen.push(line.to_owned()));
        }
        lines.push(b"\rdone\n", |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["done"]);
    }

    #[test]
    fn hostile_output() {
        crate::hostile::try_with(&[b"one\ntwo\r\n10%\r50%\r\n"], |bytes| {
            let mut lines = Lines::default();
            let mut longest = 0;
            lines.push(bytes, |line| longest = longest.max(line.len()));
            lines.end(|line| longest = longest.max(line.len()));
            // What is no UTF-8 takes three bytes.
            assert!(longest <= 3 * LONGEST + 100);
        });
    }
}
