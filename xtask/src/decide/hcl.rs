//! Reads HCL as far as deciding needs it: which strings a template holds and where, and what else it says.
//!
//! A whole parser would have to know the language's every form to be of use. This one needs only to tell strings,
//! comments and heredocs apart: all the rest is compared as it stands.

use std::collections::BTreeMap;
use std::ops::Range;

use super::paths::{is_path_attribute, is_path_function};

/// A quoted string with what governs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Where it stands, quotes included.
    pub span: Range<usize>,
    /// What stands between the quotes, as written.
    pub raw: String,
    /// The attribute whose value it is part of: `script` in `script = "…"`.
    pub attribute: Option<String>,
    /// The function that it is the first argument of: `file` in `file("…")`.
    pub call: Option<String>,
}

/// An HCL file, told apart into strings and the rest.
#[derive(Debug, Default)]
pub struct Hcl {
    text: Vec<u8>,
    /// Outside of comments, in order, none within another.
    pub literals: Vec<Literal>,
    /// `variable "x" { default = "…" }`
    pub variables: BTreeMap<String, String>,
    /// `locals { x = "…" }`
    pub locals: BTreeMap<String, String>,
    /// Declares a `source` or a `build`.
    pub builds: bool,
    /// A path attribute or function whose value is no string of this file: `script = var.x`, `file(join(…))`.
    pub computed: bool,
    /// Holds a heredoc, a block comment or a string over several lines: a line can't be judged by itself.
    pub entangled: bool,
}

impl Hcl {
    pub fn parse(text: &[u8]) -> Self {
        let hcl = Self { text: text.to_owned(), ..Self::default() };
        let mut lexer =
            Lexer { hcl, at: 0, frames: vec![Frame { block: true, ..Frame::default() }], quotes: 0, call: None };
        lexer.code(None);
        lexer.hcl
    }

    /// The file with a mark in the place of each string, so that what is left can be compared and the strings one by
    /// one. Without comment lines and blank lines if asked for.
    pub fn skeleton(&self, without_comments: bool) -> Vec<u8> {
        let mut skeleton = Vec::with_capacity(self.text.len());
        let mut at = 0;
        for literal in &self.literals {
            skeleton.extend_from_slice(&self.text[at..literal.span.start]);
            // No text file holds this byte, so nothing that is written can be taken for it.
            skeleton.push(0);
            at = literal.span.end;
        }
        skeleton.extend_from_slice(&self.text[at..]);
        if !without_comments {
            return skeleton;
        }
        let lines = skeleton.split(|byte| *byte == b'\n').filter(|line| !is_comment_or_blank(line));
        lines.flat_map(|line| [line, b"\n"]).flatten().copied().collect()
    }
}

/// Blank means spaces and tabs alone: a carriage return counts.
fn is_comment_or_blank(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    start.is_none_or(|start| line[start] == b'#' || line[start..].starts_with(b"//"))
}

/// What an opening bracket began.
#[derive(Debug, Default)]
struct Frame {
    /// Words and strings on the line before the bracket: `variable`, `x`.
    header: Vec<String>,
    /// The attribute that a string would belong to now.
    attribute: Option<String>,
    /// Lists and arguments go on over line ends; a block's attribute ends with its line.
    block: bool,
}

struct Lexer {
    hcl: Hcl,
    at: usize,
    frames: Vec<Frame>,
    /// How many quotes are open around the code being read.
    quotes: usize,
    /// The function whose argument list has just opened.
    call: Option<String>,
}

impl Lexer {
    /// Reads code up to its end, or to the brace that closes an interpolation.
    fn code(&mut self, until: Option<u8>) {
        let depth = self.frames.len();
        let mut header: Vec<String> = Vec::new();
        while let Some(&byte) = self.hcl.text.get(self.at) {
            if until == Some(byte) && self.frames.len() == depth {
                self.at += 1;
                return;
            }
            match byte {
                b'\n' => {
                    self.newline();
                    header.clear();
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'#' => self.skip_line(),
                b'/' if self.follows(b"//") => self.skip_line(),
                b'/' if self.follows(b"/*") => self.block_comment(),
                b'"' => {
                    if let Some(raw) = self.quoted() {
                        header.push(raw);
                    }
                }
                b'<' if self.follows(b"<<") => self.heredoc(),
                b'{' | b'[' | b'(' => self.open(byte, &mut header),
                b'}' | b']' | b')' => {
                    self.at += 1;
                    if self.frames.len() > depth {
                        self.frames.pop();
                    }
                    self.call = None;
                }
                _ if byte.is_ascii_alphanumeric() || byte == b'_' => self.word(&mut header),
                _ => {
                    self.at += 1;
                    self.call = None;
                }
            }
        }
    }

    fn open(&mut self, bracket: u8, header: &mut Vec<String>) {
        self.at += 1;
        let block = bracket == b'{';
        let opens = header.first().is_some_and(|first| first == "source" || first == "build");
        self.hcl.builds |= block && opens && self.frames.len() == 1;
        let attribute = if block { None } else { self.frames.last().and_then(|frame| frame.attribute.clone()) };
        self.frames.push(Frame { header: std::mem::take(header), attribute, block });
        if bracket != b'(' {
            self.call = None;
        }
    }

    /// A name: of a function, of an attribute, or neither.
    fn word(&mut self, header: &mut Vec<String>) {
        let start = self.at;
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        while self.hcl.text.get(self.at).is_some_and(part) {
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.hcl.text[start..self.at]).into_owned();
        self.call = None;
        let mut next = self.at;
        while self.hcl.text.get(next).is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            next += 1;
        }
        let after = self.hcl.text.get(next..).unwrap_or_default();
        if after.starts_with(b"(") {
            self.call = is_path_function(&word).then(|| word.clone());
            if self.call.is_some() && first_code(&after[1..]) != Some(b'"') {
                self.hcl.computed = true;
            }
        } else if after.starts_with(b"=") && !after.starts_with(b"==") && !after.starts_with(b"=>") {
            if is_path_attribute(&word) && !first_code(&after[1..]).is_some_and(|byte| matches!(byte, b'"' | b'[')) {
                self.hcl.computed = true;
            }
            if let Some(frame) = self.frames.last_mut() {
                frame.attribute = Some(word.clone());
            }
        } else if let Some(frame) = self.frames.last().filter(|frame| !frame.block) {
            self.hcl.computed |= frame.attribute.as_deref().is_some_and(is_path_attribute);
        }
        header.push(word);
    }

    /// Reads a string; gives back what stands in it unless another string stands in it.
    fn quoted(&mut self) -> Option<String> {
        let start = self.at;
        let before = self.hcl.literals.len();
        let call = self.call.take();
        self.at += 1;
        self.quotes += 1;
        self.template(Some(b'"'));
        self.quotes -= 1;
        if self.hcl.literals.len() > before {
            return None;
        }
        let end = self.at.saturating_sub(1).max(start + 1);
        let raw = String::from_utf8_lossy(&self.hcl.text[start + 1..end]).into_owned();
        let frame = self.frames.last();
        let attribute = frame.and_then(|frame| frame.attribute.clone());
        if let (Some(frame), Some(name)) = (frame, &attribute) {
            match frame.header.as_slice() {
                [kind, variable] if kind == "variable" && name == "default" => {
                    self.hcl.variables.insert(variable.clone(), raw.clone());
                }
                [kind] if kind == "locals" => {
                    self.hcl.locals.insert(name.clone(), raw.clone());
                }
                _ => {}
            }
        }
        self.hcl.literals.push(Literal { span: start..self.at, raw: raw.clone(), attribute, call });
        Some(raw)
    }

    /// Reads text with interpolations up to the closing quote; for a heredoc's text, up to its end.
    fn template(&mut self, until: Option<u8>) {
        while let Some(&byte) = self.hcl.text.get(self.at) {
            match byte {
                _ if until == Some(byte) => {
                    self.at += 1;
                    return;
                }
                b'\\' if until.is_some() => self.at = (self.at + 2).min(self.hcl.text.len()),
                b'$' | b'%' if self.hcl.text.get(self.at + 1) == Some(&byte) => self.at += 2,
                b'$' | b'%' if self.hcl.text.get(self.at + 1) == Some(&b'{') => {
                    self.at += 2;
                    self.frames.push(Frame { block: true, ..Frame::default() });
                    self.code(Some(b'}'));
                    self.frames.pop();
                }
                b'\n' => self.newline(),
                _ => self.at += 1,
            }
        }
        self.at = self.hcl.text.len();
    }

    /// A heredoc: its text is read for strings in interpolations and otherwise compared as it stands.
    fn heredoc(&mut self) {
        self.at += 2;
        if self.hcl.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let start = self.at;
        self.hcl.entangled = true;
        while self.hcl.text.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            self.at += 1;
        }
        let tag = self.hcl.text[start..self.at].to_vec();
        if tag.is_empty() {
            return;
        }
        self.skip_line();
        let body = self.at;
        let mut end = body;
        for line in self.hcl.text[body..].split_inclusive(|byte| *byte == b'\n') {
            if line.trim_ascii() == tag {
                break;
            }
            end += line.len();
        }
        // What follows the heredoc must not be taken for part of its text.
        let rest = self.hcl.text.split_off(end);
        self.template(None);
        self.hcl.text.extend(rest);
        self.at = end;
        self.skip_line();
    }

    fn block_comment(&mut self) {
        self.hcl.entangled = true;
        let rest = &self.hcl.text[self.at + 2..];
        let length = rest.windows(2).position(|two| two == b"*/").map_or(rest.len(), |at| at + 2);
        self.at += 2 + length;
    }

    fn newline(&mut self) {
        self.at += 1;
        self.hcl.entangled |= self.quotes > 0;
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.block) {
            frame.attribute = None;
        }
    }

    /// To the line's end, which stays to be read.
    fn skip_line(&mut self) {
        let rest = &self.hcl.text[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    fn follows(&self, text: &[u8]) -> bool {
        self.hcl.text[self.at..].starts_with(text)
    }
}

/// The first byte that is no space.
fn first_code(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(text: &str) -> Vec<(String, Option<String>, Option<String>)> {
        let hcl = Hcl::parse(text.as_bytes());
        hcl.literals.into_iter().map(|literal| (literal.raw, literal.attribute, literal.call)).collect()
    }

    #[test]
    fn strings_know_what_governs_them() {
        let text = r#"
            # script = "in a comment"
            build { // "too"
              provisioner "shell" {
                scripts = [
                  "${path.root}/a.sh", # "and here"
                  "b \" c.sh",
                ]
                execute_command = "sudo '{{ .Path }}'"
              }
              data = templatefile("${path.root}/user-data", { x = "y" })
              text = "${file("inner")}"
            } /* "hidden" */
            text = <<-EOT
              "not a string" ${file("in-heredoc")}
              EOT
            last = "z"
        "#;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            literals(text),
            [
                ("shell".into(), None, None),
                ("${path.root}/a.sh".into(), some("scripts"), None),
                ("b \\\" c.sh".into(), some("scripts"), None),
                ("sudo '{{ .Path }}'".into(), some("execute_command"), None),
                ("${path.root}/user-data".into(), some("data"), some("templatefile")),
                ("y".into(), some("x"), None),
                ("inner".into(), None, some("file")),
                ("in-heredoc".into(), None, some("file")),
                ("z".into(), some("last"), None),
            ]
        );
    }

    #[test]
    fn defaults_and_locals_are_kept() {
        let hcl = Hcl::parse(
            b"variable \"dir\" {\n  type = string\n  default = \"shared\"\n}\nlocals {\n  x = \"${var.dir}/x\"\n}\n",
        );
        assert_eq!(hcl.variables, BTreeMap::from([("dir".to_owned(), "shared".to_owned())]));
        assert_eq!(hcl.locals, BTreeMap::from([("x".to_owned(), "${var.dir}/x".to_owned())]));
    }

    #[test]
    fn what_a_line_does_not_show_is_noticed() {
        for (text, entangled, computed) in [
            ("a = \"b # c\" # d\n", false, false),
            ("a = \"*/x/*\"\n", false, false),
            ("a = 1 /* b */\n", true, false),
            ("a = <<EOT\n# b\nEOT\n", true, false),
            ("a = \"${\n  b}\"\n", true, false),
            ("script = var.a\n", false, true),
            ("scripts = [var.a]\n", false, true),
            ("scripts = [\"a\", \"b\"]\n", false, false),
            ("x = file(join(\"/\", [a]))\n", false, true),
            ("x = file(\"a\")\n", false, false),
            ("a = \"unfinished \\", false, false),
            ("a = \"${unfinished", false, false),
        ] {
            let hcl = Hcl::parse(text.as_bytes());
            assert_eq!((hcl.entangled, hcl.computed), (entangled, computed), "{text}");
        }
    }

    #[test]
    fn a_skeleton_is_what_stands_between_strings() {
        let hcl = Hcl::parse(b"# one\na = \"b\"\n\n  // two \"c\"\nd = \"e\" # three\n");
        assert_eq!(hcl.skeleton(true), b"a = \0\nd = \0 # three\n");
        assert_eq!(hcl.skeleton(false), b"# one\na = \0\n\n  // two \"c\"\nd = \0 # three\n");
    }
}
