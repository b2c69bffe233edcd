//! Whether two versions of a file differ in comment lines and blank lines alone.
//!
//! The answer "yes" lets a release ship without a rebuild, so everything that could make a line mean something else is
//! looked for in the whole of both versions, and any of it means "no".

use super::hcl::Hcl;

/// Kinds of files whose comments are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Hcl,
    Shell,
}

impl Language {
    /// By the file's name.
    pub fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
        match extension {
            "hcl" => Some(Self::Hcl),
            "sh" => Some(Self::Shell),
            _ => None,
        }
    }
}

/// Whether nothing but comment lines and blank lines differs. HCL is compared by its strings as well, elsewhere.
pub fn only_comments_differ(language: Language, old: &[u8], new: &[u8]) -> bool {
    match language {
        Language::Hcl => {
            let (old, new) = (Hcl::parse(old), Hcl::parse(new));
            !old.entangled
                && !new.entangled
                && old.skeleton(true) == new.skeleton(true)
                && old.literals.iter().map(|literal| &literal.raw).eq(new.literals.iter().map(|literal| &literal.raw))
        }
        Language::Shell => match (shell_code(old), shell_code(new)) {
            (Some(old), Some(new)) => old == new,
            _ => false,
        },
    }
}

/// The lines of a shell script that are neither blank nor comments; `None` in doubt.
fn shell_code(text: &[u8]) -> Option<Vec<&[u8]>> {
    if !is_shell(text) || has_text_over_lines(text) {
        return None;
    }
    let mut code: Vec<&[u8]> = Vec::new();
    let mut continued = false;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let continues = line.ends_with(b"\\");
        if is_comment_or_blank(line) && !is_magic(line, number) {
            // After a continued line this one is part of a command; what it ends with may look continued itself.
            if continued || continues {
                return None;
            }
            continue;
        }
        continued = continues;
        code.push(line);
    }
    Some(code)
}

fn is_comment_or_blank(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    start.is_none_or(|start| line[start] == b'#')
}

/// Comments that something reads: the first line's interpreter, cloud-init's kinds of user data, and directives of
/// `templatefile`.
fn is_magic(line: &[u8], number: usize) -> bool {
    let kinds: [&[u8]; 7] =
        [b"#cloud-", b"#include", b"## template:", b"#part-handler", b"#upstart-job", b"#boothook", b"#!"];
    let first = number == 0 && kinds.iter().any(|kind| line.starts_with(kind));
    let directive = line.windows(2).any(|two| two == b"%{" || two == b"~}");
    first || line.trim_ascii_start().starts_with(b"#cloud-config") || directive
}

/// No interpreter named, or one whose comments and quotes are those of a shell.
fn is_shell(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(interpreter) = first.strip_prefix(b"#!") else { return true };
    let interpreter = String::from_utf8_lossy(interpreter);
    let mut words = interpreter.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let program = words.next().filter(|word| *word != "env").or_else(|| words.find(|word| !word.starts_with('-')));
    matches!(program, Some("sh" | "bash" | "dash" | "ash" | "ksh"))
}

/// What is open at a place in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Double,
    /// `$( … )` or a parenthesis within it.
    Command,
    /// `${ … }`
    Parameter,
    Backtick,
}

/// Whether a heredoc stands in the script, or a quoted text goes over a line's end, or its quotes can't be followed.
fn has_text_over_lines(text: &[u8]) -> bool {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut word_start = true;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let quoted = open.last() == Some(&Open::Double);
        let starts_word = std::mem::replace(&mut word_start, false);
        let mut step = 1;
        match byte {
            b'\\' if rest.starts_with(b"\\\n") && open.iter().any(|open| *open != Open::Command) => return true,
            b'\\' => step = 2,
            b'\n' if open.iter().any(|open| *open != Open::Command) => return true,
            b'"' if quoted => drop(open.pop()),
            b'"' => open.push(Open::Double),
            b'`' if open.last() == Some(&Open::Backtick) => drop(open.pop()),
            b'`' => open.push(Open::Backtick),
            b'$' if rest.starts_with(b"$(") => {
                open.push(Open::Command);
                step = 2;
                word_start = true;
            }
            b'$' if rest.starts_with(b"${") => {
                open.push(Open::Parameter);
                step = 2;
            }
            b'}' if open.last() == Some(&Open::Parameter) => drop(open.pop()),
            _ if quoted => {}
            b'$' if rest.starts_with(b"$'") => match ansi_c(&rest[2..]) {
                Some(length) => step = 2 + length,
                None => return true,
            },
            b'\'' => match rest[1..].iter().position(|byte| matches!(byte, b'\'' | b'\n')) {
                Some(end) if rest[1 + end] == b'\'' => step = end + 2,
                _ => return true,
            },
            b'<' if rest.starts_with(b"<<") => return true,
            b'(' if open.last() == Some(&Open::Command) => {
                open.push(Open::Command);
                word_start = true;
            }
            b')' if open.last() == Some(&Open::Command) => drop(open.pop()),
            b'#' if starts_word && open.last() != Some(&Open::Parameter) => {
                step = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                word_start = true;
            }
            b'\n' | b' ' | b'\t' | b';' | b'&' | b'|' | b'(' | b')' => word_start = true,
            _ => {}
        }
        at += step;
    }
    !open.is_empty()
}

/// The length of a `$'…'` text with its closing quote; `None` when it goes over a line's end.
fn ansi_c(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'\'' => return Some(at + 1),
            b'\n' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_comments_are_told_from_code() {
        let same = [
            ("comment added", "#!/bin/sh\na\n", "#!/bin/sh\n# don't \"worry\"\na\n"),
            ("comment changed", "a\n  # b\nc\n", "a\n\t# d\nc\n"),
            ("blank line", "a\nb\n", "a\n\n \t\nb\n"),
            ("last line's end", "a", "a\n"),
            ("continued line elsewhere", "a \\\n  b\n# c\n", "a \\\n  b\n# d\n"),
            ("quotes within quotes", "x=\"$(dirname \"$0\")\"\n# a\n", "x=\"$(dirname \"$0\")\"\n"),
            (
                "number of arguments",
                "[ $# -gt 0 ] && x=${#y} z=${y#\"a\"}\n# a\n",
                "[ $# -gt 0 ] && x=${#y} z=${y#\"a\"}\n",
            ),
            ("command over lines", "x=$(\n  a\n  # b\n)\n", "x=$(\n  a\n)\n"),
            ("escaped quotes", "echo \\\" $'it\\'s' 'a\"b'\n# c\n", "echo \\\" $'it\\'s' 'a\"b'\n"),
            ("env", "#!/usr/bin/env -S bash -e\n# a\nb\n", "#!/usr/bin/env -S bash -e\nb\n"),
        ];
        for (what, old, new) in same {
            assert!(only_comments_differ(Language::Shell, old.as_bytes(), new.as_bytes()), "{what}");
            assert!(only_comments_differ(Language::Shell, new.as_bytes(), old.as_bytes()), "{what}, reversed");
        }
    }

    #[test]
    fn shell_changes_in_doubt_count() {
        let different = [
            ("code", "a\n", "b\n"),
            ("comment after code", "a # b\n", "a # c\n"),
            ("indentation", "a\n", " a\n"),
            ("interpreter", "#!/bin/sh\na\n", "#!/bin/bash\na\n"),
            ("interpreter's options", "#!/bin/sh\na\n", "#!/bin/sh -e\na\n"),
            ("another language", "#!/usr/bin/python3\n# a\nb\n", "#!/usr/bin/python3\nb\n"),
            ("cloud-init's kind", "#cloud-config\na: b\n", "a: b\n"),
            ("heredoc", "cat <<EOF\n# a\nEOF\n", "cat <<EOF\n# b\nEOF\n"),
            ("heredoc elsewhere", "cat <<EOF\nx\nEOF\n# a\n", "cat <<EOF\nx\nEOF\n# b\n"),
            ("single quotes", "x='\n# a\n'\n", "x='\n# b\n'\n"),
            ("double quotes", "x=\"\n# a\n\"\n", "x=\"\n# b\n\"\n"),
            ("quoted command over lines", "x=\"$(\n# a\n)\"\n", "x=\"$(\n# b\n)\"\n"),
            ("comment after a continued line", "a \\\n# b\nc\n", "a \\\nc\n"),
            ("blank line after a continued line", "a \\\n\nc\n", "a \\\nc\n"),
            ("continued comment", "# a \\\nb\n", "b\n"),
            ("carriage return", "a\n", "a\r\n"),
            ("line of a carriage return", "a\n", "a\n\r\n"),
            ("directive of templatefile", "# %{ if x }\na\n", "a\n"),
            ("quote in a comment-like word", "a#'\n# b\n'\n", "a#'\n# c\n'\n"),
            ("order of lines", "a\nb\n", "b\na\n"),
        ];
        for (what, old, new) in different {
            assert!(!only_comments_differ(Language::Shell, old.as_bytes(), new.as_bytes()), "{what}");
            assert!(!only_comments_differ(Language::Shell, new.as_bytes(), old.as_bytes()), "{what}, reversed");
        }
    }

    #[test]
    fn hcl_comments_are_told_from_code() {
        for (what, old, new, same) in [
            ("comment", "# a\nx = \"b\"\n", "// c\n\nx = \"b\"\n", true),
            ("string", "x = \"b\"\n", "x = \"c\"\n", false),
            ("comment after code", "x = 1 # a\n", "x = 1 # b\n", false),
            ("hash in a string", "x = \"# a\"\n", "x = \"# b\"\n", false),
            ("heredoc", "x = <<E\n# a\nE\n", "x = <<E\n# b\nE\n", false),
            ("block comment", "/* a */\nx = 1\n", "/* b */\nx = 1\n", false),
            ("carriage return", "x = 1\n", "x = 1\r\n", false),
        ] {
            assert_eq!(only_comments_differ(Language::Hcl, old.as_bytes(), new.as_bytes()), same, "{what}");
        }
    }

    #[test]
    fn other_files_have_no_comments() {
        for (path, language) in [
            ("a/b.sh", Some(Language::Shell)),
            ("template.pkr.hcl", Some(Language::Hcl)),
            ("user-data", None),
            ("a.sh/user-data.yml", None),
            ("meta.yaml", None),
        ] {
            assert_eq!(Language::of(path), language, "{path}");
        }
    }
}
