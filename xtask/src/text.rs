//! Text from outside, made safe to show: a commit subject, a manifest, a host's words must not be able to write to the
//! title, the clipboard or the keyboard of a terminal, nor draw one line as another.
//!
//! All that people read goes through [`crate::console`], which passes each character to [`push_safe`]; the JSON object goes
//! through [`json`]. A message that quotes a name or a line takes [`line`], so that a line end in it doesn't look like ours.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// Adds a character as a terminal may have it: line ends and tabs as they are, others that it would obey as `\u{1b}`.
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

/// In lines of 76 characters, for a script's here-document.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 8);
    for line in bytes.chunks(57) {
        for three in line.chunks(3) {
            let number =
                three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = (number >> (18 - 6 * place) & 63) as usize;
                text.push(if place > three.len() { '=' } else { char::from(ALPHABET[digit]) });
            }
        }
        text.push('\n');
    }
    text
}

/// Text in which no address has a login: all of it goes from `http` addresses, where a token can stand for the name, and from
/// others where there is a password.
pub fn without_logins(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let ends = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`<>\\".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let scheme = before[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or_default();
        out.push_str(before);
        rest = after;
        if let Some((login, _)) = authority.rsplit_once('@') {
            let name = login.split(':').next().unwrap_or_default();
            if !scheme.to_ascii_lowercase().starts_with("http") {
                out.push_str(name);
                out.push('@');
            }
            rest = &after[login.len() + 1..];
        }
    }
    out + rest
}

/// The known word that an unknown one most likely stands for, if one is close.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE: f64 = 0.8;
    let word: String = word.chars().take(100).collect();
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(&word, known), known));
    scored.filter(|(score, _)| *score >= CLOSE).max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, known)| known)
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

/// A line that a program printed for a terminal, without colours, escape sequences and control characters.
pub fn plain(line: &str) -> String {
    let printed = anstream::adapter::strip_str(line).to_string();
    printed.chars().filter(|c| !is_obeyed(*c) || *c == '\t').collect()
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

/// Text for a terminal of this width in columns. A longer line is broken at blanks and continues below the start of its last
/// column. Words and quotes in backticks stay whole; a command that is longer than the terminal breaks before an option, with ` \`, so
/// that it can still be pasted.
pub fn fitted(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| fitted_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn fitted_line(line: &str, columns: usize) -> String {
    if length(line) <= columns {
        return line.to_owned();
    }
    let lead = length(line) - length(line.trim_start());
    let last = line.rfind("  ").map_or(0, |at| length(&line[..at]) + 2);
    let indent = if last > lead && last <= columns * 5 / 8 { last } else { (lead + 2).min(columns / 4) };
    let (mut out, mut column) = (String::new(), 0);
    for piece in pieces(line) {
        let mut piece = piece;
        // The command behind a prompt stays there.
        let is_typed = column < 3 && piece.starts_with(" cargo xtask ");
        if column > lead && !is_typed && column + length(piece) > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (column, piece) = (indent, piece.trim_start());
        }
        for (number, part) in before_options(piece, columns.saturating_sub(column)).into_iter().enumerate() {
            // Two columns are for ` \`.
            if number > 0 && column + length(part) + 2 > columns {
                out.push_str(" \\\n");
                out.push_str(&" ".repeat(indent + 2));
                column = indent + 2 + length(part.trim_start());
                out.push_str(part.trim_start());
            } else {
                column += length(part);
                out.push_str(part);
            }
        }
    }
    out
}

/// The words of a line with the blanks before them. What stands in backticks is one word, and so is a command from its start to
/// the end of the line.
fn pieces(line: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let word = rest.trim_start_matches(' ');
        let mut quoted = false;
        let blank = |c| {
            quoted ^= c == '`';
            !quoted && c == ' '
        };
        let end = if word.starts_with("cargo xtask ") { None } else { word.find(blank) };
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| rest.len() - word.len() + end));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// A command in parts that begin with its options, if it doesn't fit the room; else the whole piece.
fn before_options(piece: &str, room: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), piece);
    let is_command = piece.trim_start_matches(' ').trim_start_matches('`').contains(' ');
    while let Some(at) = rest.match_indices(" --").map(|(at, _)| at).find(|at| {
        // Not within a word that is quoted for the shell, in which `'\''` is a quote.
        *at > 0 && rest[..*at].replace(r"'\''", "").matches('\'').count() % 2 == 0
    }) {
        if !is_command || length(piece) <= room {
            break;
        }
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// Columns that text takes. What begins and ends the console's colours takes none.
fn length(text: &str) -> usize {
    text.chars().filter(|c| !matches!(c, '\u{fdd0}'..='\u{fdd4}')).count()
}

/// A word as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    // zsh takes `=ls` for the path of a program.
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
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

/// `1 image`, `3 images`.
pub fn count<N: Copy + Display + PartialEq + From<bool>>(number: N, what: &str) -> String {
    let many = if number == N::from(true) { "" } else { "s" };
    format!("{number} {what}{many}")
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

/// The last lines of what another machine said, safe to show.
pub fn last_lines(said: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<String> = said.lines().map(str::trim_end).filter(|said| !said.is_empty()).map(line).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
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
    fn the_word_that_was_meant_is_found() {
        let known = ["debian-12-custom", "debian-13-custom", "debian-13-pve"];
        for (word, meant) in [
            ("debian-12", Some("debian-12-custom")),
            ("debian-13-pvee", Some("debian-13-pve")),
            ("debian-13-cusotm", Some("debian-13-custom")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        for (line, columns, expected) in [
            ("short", 10, "short"),
            ("  a  rebuild  because of this", 20, "  a  rebuild\n    because of this"),
            ("  a  because of all of this", 20, "  a  because of all\n     of this"),
            ("ok  run `a b c d e f g` now", 20, "ok  run\n    `a b c d e f g`\n    now"),
            ("  cargo xtask packer status --json", 20, "  cargo xtask packer status \\\n      --json"),
            (
                "error: one two three four\n  - five six seven eight",
                20,
                "error: one two three\n  four\n  - five six seven\n    eight",
            ),
            (
                "  cargo xtask packer publish --source v1 --repo me/packer --execute",
                40,
                "  cargo xtask packer publish \\\n      --source v1 --repo me/packer \\\n      --execute",
            ),
            (
                "\u{fdd0}$\u{fdd4} cargo xtask packer check --base v1",
                26,
                "\u{fdd0}$\u{fdd4} cargo xtask packer check \\\n    --base v1",
            ),
            ("now: cargo xtask packer check --base v1", 27, "now:\n  cargo xtask packer check \\\n    --base v1"),
            (
                "fix: run `cargo xtask packer check --base v1 --repo 'a --b'` first",
                40,
                "fix: run\n  `cargo xtask packer check --base v1 \\\n    --repo 'a --b'` first",
            ),
            (
                r"fix: run `cargo xtask packer diff 'it'\''s --x' 'y'` first",
                30,
                "fix: run\n  `cargo xtask packer diff 'it'\\''s --x' 'y'`\n  first",
            ),
            (
                r"fix: run `cargo xtask packer diff 'it'\''s --x' --base 'v'` first",
                30,
                "fix: run\n  `cargo xtask packer diff 'it'\\''s --x' \\\n    --base 'v'` first",
            ),
            ("a word-that-is-longer-than-all", 10, "a\n  word-that-is-longer-than-all"),
        ] {
            assert_eq!(fitted(line, columns), expected, "{line}");
        }
    }

    #[test]
    fn no_address_shows_a_login() {
        for (text, expected) in [
            ("https://x:secret@github.com/a", "https://github.com/a"),
            ("at 'HTTPS://secret@github.com': no, ssh://git@h/a", "at 'HTTPS://github.com': no, ssh://git@h/a"),
            ("socks5://u:p@h:1 and http://a:b@c@d", "socks5://u@h:1 and http://d"),
            ("https://h/a@b?c=d:e@f https://h", "https://h/a@b?c=d:e@f https://h"),
            ("://@ :// https://@", "://@ :// https://"),
        ] {
            assert_eq!(without_logins(text), expected);
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
            ("=ls", "'=ls'"),
            ("a;b", "'a;b'"),
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
        assert_eq!(last_lines("a\x1b]0;x\x07\n\n b\u{9b}1m\r"), "a\\u{1b}]0;x\\u{7}\n b\\u{9b}1m");
        let many: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert!(last_lines(&many).starts_with("88\n89"));
    }

    #[test]
    fn of_a_line_for_a_terminal_text_and_tabs_are_left() {
        for (line, expected) in [
            ("a\tb", "a\tb"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("a\x1b[2Jb\x1b[10;10Hc", "abc"),
            ("\x1b]0;title\x07x\x1b]52;c;aGk=\x1b\\y", "xy"),
            ("bell\x07 back\x08 nul\0 del\x7f", "bell back nul del"),
            ("\x1b", ""),
            ("\x1b[31", ""),
            ("grün", "grün"),
        ] {
            assert_eq!(plain(line), expected, "{line:?}");
        }
    }

    #[test]
    fn hostile_text() {
        crate::hostile::try_with(&["\x1b[1;31mred\x1b[0m\x1b]0;x\x07\r\u{202e}\u{9b}".as_bytes()], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(!line(&text).contains(is_obeyed));
            assert!(!plain(&text).replace('\t', "").contains(is_obeyed));
            let json = json(&serde_json::Value::from(text.as_ref()).to_string());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        });
    }

    #[test]
    fn bytes_become_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("foob", "Zm9vYg==\n")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[255; 58]).lines().map(str::len).collect::<Vec<_>>(), [76, 4]);
    }

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
