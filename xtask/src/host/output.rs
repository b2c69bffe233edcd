//! A build's output as lines.

/// Longer than any line that a person reads; what is longer comes in pieces.
const LONGEST: usize = 16 * 1024;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes more bytes; gives each line that is complete now.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' || self.rest.len() >= LONGEST {
                self.flush(&mut line);
            }
            if *byte != b'\n' {
                self.rest.push(*byte);
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
        // A line that draws itself anew, as progress does, ends as its last drawing.
        line(text.rsplit('\r').find(|drawn| !drawn.is_empty()).unwrap_or_default());
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
    fn an_endless_line_comes_in_pieces() {
        let mut lines = Lines::default();
        let mut longest = 0;
        lines.push(&vec![b'x'; LONGEST * 3 + 1], |line| longest = longest.max(line.len()));
        assert_eq!(longest, LONGEST);
    }

    #[test]
    fn hostile_output() {
        crate::hostile::try_with(&[b"one\ntwo\r\n10%\r50%\r\n"], |bytes| {
            let mut lines = Lines::default();
            let mut longest = 0;
            lines.push(bytes, |line| longest = longest.max(line.len()));
            lines.end(|line| longest = longest.max(line.len()));
            // What is no UTF-8 takes three bytes.
            assert!(longest <= 3 * LONGEST);
        });
    }
}
