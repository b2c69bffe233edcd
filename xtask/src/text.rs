//! Text from outside, made safe to show: a commit subject, a manifest, a host's words must not be able to write to the
//! title, the clipboard or the keyboard of a terminal, nor draw one line as another.
//!
//! All that people read goes through [`crate::console`], which passes each character to [`push_safe`]; the JSON object goes
//! through [`json`]. A message that quotes one name or one line takes [`line`], so that a line end in it doesn't look like one of
//! ours.

use std::fmt::{self, Write as _};

/// Adds a character as a terminal may have it: line ends and tabs as they are, and every other one that it would obey as
/// `\u{1b}`.
pub fn push_safe(out: &mut String, c: char) {
    if is_obeyed(c) && !matches!(c, '\n' | '\t') {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// On one line: line ends and tabs are escaped as well.
pub fn line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_obeyed(c) {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
        out
    })
}

/// The one of these words that another was meant to be: few letters are in the way.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| text.chars().take(100).collect::<Vec<_>>();
    let near = among.into_iter().map(|other| (distance(&letters(word), &letters(other)), other)).min()?;
    Some(near.1).filter(|other| near.0 <= 2.max(other.len() / 4))
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let cost = before + usize::from(from != to);
            before = row[j + 1];
            row[j + 1] = cost.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// JSON text whose strings hold nothing that a terminal would obey. Serialisers escape what is below a blank and leave the
/// rest.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A line that a program drew for a terminal, without what a terminal would obey; its colours stay if they are wanted.
pub fn drawn(line: &str, colour: bool) -> String {
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
        if !is_obeyed(c) || c == '\t' {
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

/// Control characters, and what turns the direction of a line, breaks it or can't be seen: a name that reads one way and
/// is another.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Noncharacters, of which the console makes its colours.
            | '\u{fdd0}'..='\u{fdef}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for the place behind a label that takes so many columns: lines after the first begin below the first.
pub fn hanging(text: &str, columns: usize, label: usize) -> String {
    wrapped(text, columns.saturating_sub(label).max(20), 0).replace('\n', &format!("\n{}", " ".repeat(label)))
}

/// Text broken at blanks into lines of at most so many columns, those after the first indented. A longer word stays whole, and
/// so does what stands in backticks: it is to be copied.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let paragraphs = text.lines().filter(|line| words(line).any(|word| !word.is_empty())).enumerate();
    // A paragraph begins on a line of its own.
    let paragraph = |(number, line)| {
        flow(words(line).filter(|word| !word.is_empty()), columns, if number == 0 { 0 } else { indent }, indent)
    };
    paragraphs.map(paragraph).collect::<Vec<_>>().join("\n")
}

/// Text for a terminal of so many columns: a longer line is broken at blanks, and goes on below the beginning of its last column.
/// A line that is to be typed stays whole; so do words, and what stands in backticks.
pub fn fitted(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| fitted_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn fitted_line(line: &str, columns: usize) -> String {
    let is_typed = line.trim_start_matches(|c| c == '$' || c == ' ' || takes_none(c)).starts_with("cargo xtask ");
    if is_typed || length(line) <= columns {
        return line.to_owned();
    }
    let lead = length(line) - length(line.trim_start());
    let last = line.rfind("  ").map_or(0, |at| length(&line[..at]) + 2);
    let indent = if last > lead && last <= columns * 5 / 8 { last } else { (lead + 2).min(columns / 4) };
    flow(words(line.trim_start()), columns, lead, indent)
}

/// Words in lines of at most so many columns: the first begins at `lead`, the others at `indent`. An empty word is one blank
/// more, except where a line is broken.
fn flow<'a>(words: impl Iterator<Item = &'a str>, columns: usize, lead: usize, indent: usize) -> String {
    let mut out = " ".repeat(lead);
    let mut column = lead;
    let mut blanks = 0;
    let mut begun = false;
    for word in words {
        if word.is_empty() {
            blanks += 1;
            continue;
        }
        if begun && column + blanks + length(word) > columns {
            out.push('\n');
            column = indent;
            blanks = indent;
        } else {
            column += blanks;
        }
        out.extend(std::iter::repeat_n(' ', blanks));
        out.push_str(word);
        column += length(word);
        blanks = 1;
        begun = true;
    }
    out
}

/// Columns that text takes.
fn length(text: &str) -> usize {
    text.chars().filter(|c| !takes_none(*c)).count()
}

/// What begins and ends the console's colours.
fn takes_none(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdd4}')
}

/// The words of a line, empty ones between blanks; what stands in backticks is one, and so is a line to type.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let typed = line.find("cargo xtask ").filter(|at| !line[..*at].ends_with('`')).unwrap_or(line.len());
    let (before, typed) = line.split_at(typed);
    let before = before.strip_suffix(' ').unwrap_or(before);
    let mut quoted = false;
    let words = before.split(move |c: char| {
        quoted ^= c == '`';
        !quoted && c == ' '
    });
    words.filter(move |_| !before.is_empty()).chain(Some(typed).filter(|typed| !typed.is_empty()))
}

/// A word as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The last lines of what another machine said, indented below a message.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 12;
        let lines: Vec<&str> = self.0.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        for (index, text) in lines[lines.len().saturating_sub(LINES)..].iter().enumerate() {
            if index > 0 {
                f.write_str("\n  ")?;
            }
            f.write_str(&line(text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, shown, on_one_line) in [
            ("grün\ta\nb", "grün\ta\nb", "grün\\ta\\nb"),
            ("\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("a\rb\x08\x7f\0", "a\\u{d}b\\u{8}\\u{7f}\\u{0}", "a\\rb\\u{8}\\u{7f}\\0"),
            ("c1 \u{9b}2J", "c1 \\u{9b}2J", "c1 \\u{9b}2J"),
            ("\u{202e}abc\u{200b}", "\\u{202e}abc\\u{200b}", "\\u{202e}abc\\u{200b}"),
            ("\u{fdd0}", "\\u{fdd0}", "\\u{fdd0}"),
        ] {
            let mut safe = String::new();
            text.chars().for_each(|c| push_safe(&mut safe, c));
            assert_eq!(safe, shown, "{text:?}");
            assert_eq!(line(text), on_one_line, "{text:?}");
        }
    }

    #[test]
    fn text_is_broken_at_blanks() {
        for (text, columns, indent, expected) in [
            ("", 10, 2, ""),
            ("a b\nc", usize::MAX, 2, "a b\n  c"),
            ("type `a b c d` now", 8, 0, "type\n`a b c d`\nnow"),
            ("one two three", 80, 2, "one two three"),
            ("one two three", 9, 2, "one two\n  three"),
            ("a averylongword b", 6, 2, "a\n  averylongword\n  b"),
            ("first line\nsecond", 80, 4, "first line\n    second"),
        ] {
            assert_eq!(wrapped(text, columns, indent), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        for (line, columns, expected) in [
            ("short", 10, "short"),
            ("  a  rebuild  because of this", 20, "  a  rebuild\n    because of this"),
            ("  a  because of all of this", 20, "  a  because of all\n     of this"),
            ("ok  run `a b c d e f g` now", 20, "ok  run\n    `a b c d e f g`\n    now"),
            ("  cargo xtask packer status --json", 20, "  cargo xtask packer status --json"),
            (
                "error: one two three four\n  - five six seven eight",
                20,
                "error: one two three\n  four\n  - five six seven\n    eight",
            ),
            ("\u{fdd0}$\u{fdd4} cargo xtask packer check", 20, "\u{fdd0}$\u{fdd4} cargo xtask packer check"),
            ("now: cargo xtask packer check --base v1", 20, "now:\n  cargo xtask packer check --base v1"),
            ("a word-that-is-longer-than-all", 10, "a\n  word-that-is-longer-than-all"),
        ] {
            assert_eq!(fitted(line, columns), expected, "{line}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("v0.45", "v0.45"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("~/a", "'~/a'"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "a": "\x1b[1m\u{9b}1m\u{7f}\u{202e}\u{e0001}ü\n\t\\" });
        let text = json(&format!("{value:#}"));
        assert!(text.is_ascii() || text.chars().all(|c| c == '\n' || !is_obeyed(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn of_what_another_machine_said_the_last_lines_are_shown() {
        assert_eq!(Quoted("a\x1b]0;x\x07\n\n b\u{9b}1m\r").to_string(), "a\\u{1b}]0;x\\u{7}\n   b\\u{9b}1m");
        let many: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert!(Quoted(&many).to_string().starts_with("88\n  89"));
    }

    #[test]
    fn of_a_drawn_line_text_tabs_and_colours_are_left() {
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
            assert_eq!(drawn(line, false), plain, "{line:?}");
            assert_eq!(drawn(line, true), coloured, "{line:?}");
        }
    }

    #[test]
    fn hostile_text() {
        crate::hostile::try_with(&["\x1b[1;31mred\x1b[0m\x1b]0;x\x07\r\u{202e}\u{9b}".as_bytes()], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(!line(&text).contains(is_obeyed));
            assert!(!drawn(&text, false).replace('\t', "").contains(is_obeyed));
            let colours = drawn(&text, true);
            assert!(!colours.contains(['\r', '\u{7}', '\u{9b}', '\u{202e}']), "{colours:?}");
            let json = json(&serde_json::Value::from(text.as_ref()).to_string());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        });
    }
}
