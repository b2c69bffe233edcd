//! The string literals and comments of a Rust file, without those of its test module.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Literal,
    /// Comment lines that follow each other are one.
    Comment,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub kind: Kind,
    /// The number of its first line.
    pub line: usize,
    pub text: String,
}

pub fn pieces(source: &str) -> Vec<Piece> {
    let source = without_tests(source);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last_comment = 0;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let line = source[..source.len() - rest.len()].matches('\n').count() + 1;
        if rest.starts_with("//") {
            let (comment, after) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
            let text = comment.trim_start_matches(['/', '!']).trim();
            match pieces.last_mut() {
                Some(piece) if piece.kind == Kind::Comment && last_comment + 1 == line => {
                    piece.text.extend([" ", text]);
                }
                _ => pieces.push(Piece { kind: Kind::Comment, line, text: text.to_owned() }),
            }
            last_comment = line;
            rest = after;
        } else if let Some((text, after)) = literal(rest) {
            pieces.push(Piece { kind: Kind::Literal, line, text });
            rest = after;
        } else {
            rest = &rest[code(rest, first)..];
        }
    }
    pieces
}

/// How many bytes of code to pass over: a name, so that the `r` of `for"` begins no raw string; a character; or one sign.
fn code(rest: &str, first: char) -> usize {
    let mut chars = rest.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
    match (first, rest.chars().nth(1), rest.chars().nth(2)) {
        ('\'', Some('\\'), _) => chars.skip(3).find(|(_, c)| *c == '\'').map_or(rest.len(), |(end, _)| end),
        ('\'', _, Some('\'')) => chars.nth(2).map_or(rest.len(), |(end, _)| end),
        _ => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()).max(first.len_utf8()),
    }
}

/// A string literal at the beginning: its text as it is printed, and what follows.
fn literal(rest: &str) -> Option<(String, &str)> {
    let body = rest.strip_prefix('b').unwrap_or(rest);
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let raw = raw[hashes..].strip_prefix('"')?;
        let (text, after) = raw.split_once(&format!("\"{}", "#".repeat(hashes)))?;
        return Some((text.to_owned(), after));
    }
    let body = body.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &body[at + 1..])),
            '\\' => match chars.next()?.1 {
                '"' => text.push('"'),
                // The text goes on at the next line's first word.
                '\n' => {}
                _ => text.push(' '),
            },
            c => text.push(c),
        }
    }
    None
}

/// The test module is the last of its file.
fn without_tests(source: &str) -> &str {
    let mut modules = source.match_indices("#[cfg(test)]\nmod ").map(|(at, _)| at);
    let end = modules.find(|at| source[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{')));
    &source[..end.unwrap_or(source.len())]
}

#[test]
fn literals_and_comments_are_found() {
    let source = r##"//! Head
//! continues.
use x; // beside
fn a<'a>(c: char) -> &'a str {
    let _ = ('"', '\'', b'"', '\u{1b}', 'ü');
    "one \"two\" \
three\nfour {name}"
}
const R: &str = r#"raw "text" // here"#;
for"five"
#[cfg(test)]
mod tests;
const B: &[u8] = b"six";
#[cfg(test)]
mod tests {
    const NOT: &str = "seven";
}
"##;
    use Kind::{Comment, Literal};
    let expected = [
        (Comment, 1, "Head continues. beside"),
        (Literal, 6, "one \"two\" three four {name}"),
        (Literal, 9, "raw \"text\" // here"),
        (Literal, 10, "five"),
        (Literal, 13, "six"),
    ];
    assert_eq!(pieces(source), expected.map(|(kind, line, text)| Piece { kind, line, text: text.to_owned() }));
}
