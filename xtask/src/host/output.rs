//! A build's output as lines that are safe to show: a build host, or a package in a build, must not be able to write to
//! the title, the clipboard or the keyboard of the terminal.

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

/// Without control characters other than tabs; colours stay if they are wanted.
pub fn safe(line: &str, colour: bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut coloured = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some((code, after)) = escape(rest) {
            if colour && is_colour(code) {
                out.push_str(code);
                coloured = true;
            }
            rest = after;
            continue;
        }
        if !c.is_control() || c == '\t' {
            out.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured && !out.ends_with("\x1b[0m") {
        out.push_str("\x1b[0m");
    }
    out
}

/// A terminal's escape sequence at the start, and what follows it: `ESC [ … letter`, `ESC ] … BEL` or `ESC ] … ESC \`.
fn escape(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('\x1b')?;
    let end = if let Some(parameters) = rest.strip_prefix('[') {
        parameters.find(|c: char| ('@'..='~').contains(&c)).map_or(rest.len(), |at| at + 2)
    } else if rest.starts_with(']') {
        let bell = rest.find('\x07').map(|at| at + 1);
        let string_end = rest.find("\x1b\\").map(|at| at + 2);
        bell.into_iter().chain(string_end).min().unwrap_or(rest.len())
    } else {
        0
    };
    Some(text.split_at(1 + end))
}

/// `ESC [ 1;31 m`
fn is_colour(code: &str) -> bool {
    let numbers = code.strip_prefix("\x1b[").and_then(|rest| rest.strip_suffix('m'));
    numbers.is_some_and(|numbers| numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
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
    fn only_text_tabs_and_colours_reach_a_terminal() {
        for (line, plain, coloured) in [
            ("a\tb", "a\tb", "a\tb"),
            ("\x1b[1;31mred\x1b[0m", "red", "\x1b[1;31mred\x1b[0m"),
            ("\x1b[31mred", "red", "\x1b[31mred\x1b[0m"),
            ("a\x1b[2Jb\x1b[10;10Hc", "abc", "abc"),
            ("\x1b]0;title\x07x\x1b]52;c;aGk=\x1b\\y", "xy", "xy"),
            ("bell\x07 back\x08 nul\0 c1\u{9b}2J del\x7f", "bell back nul c12J del", "bell back nul c12J del"),
            ("\x1b", "", ""),
            ("\x1b[31", "", ""),
            ("\x1bcx", "cx", "cx"),
            ("grün", "grün", "grün"),
        ] {
            assert_eq!(safe(line, false), plain, "{line:?}");
            assert_eq!(safe(line, true), coloured, "{line:?}");
        }
    }
}
