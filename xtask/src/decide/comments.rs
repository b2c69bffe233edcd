//! Whether two versions of a file differ in comment lines and blank lines alone.
//!
//! The answer "yes" lets a release ship without a rebuild, so everything that could make a line mean something else is
//! looked for in the whole of both versions, and any of it means "no".

/// Gives the lines of a file that are neither blank nor comments; `None` in doubt.
pub type CodeOf = fn(&[u8]) -> Option<Vec<&[u8]>>;

/// How to read a file whose comments are understood, by its name.
pub fn code_of(path: &str) -> Option<CodeOf> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    match extension {
        "hcl" => Some(hcl_code),
        "sh" => Some(shell_code),
        _ => None,
    }
}

/// Whether nothing but comment lines and blank lines differs.
pub fn only_comments_differ(code: CodeOf, old: &[u8], new: &[u8]) -> bool {
    code(old).is_some_and(|old| code(new) == Some(old))
}

/// The lines of an HCL file that are neither blank nor comments; `None` in doubt: a heredoc, a block comment, or a string
/// that goes over a line's end.
fn hcl_code(text: &[u8]) -> Option<Vec<&[u8]>> {
    if has(text, b"<<") || has(text, b"/*") || has(text, b"*/") {
        return None;
    }
    let mut code = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let start = line.trim_ascii_start();
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) || start.starts_with(b"#") || start.starts_with(b"//") {
            continue;
        }
        let quotes = (0..line.len()).filter(|at| line[*at] == b'"' && (*at == 0 || line[*at - 1] != b'\\')).count();
        let count = |wanted: u8| line.iter().filter(|byte| **byte == wanted).count();
        let template = has(line, b"${") || has(line, b"%{");
        if quotes % 2 != 0 || template && count(b'{') != count(b'}') {
            return None;
        }
        code.push(line);
    }
    Some(code)
}

/// The lines of a shell script that are neither blank nor comments; `None` in doubt.
fn shell_code(text: &[u8]) -> Option<Vec<&[u8]>> {
    if !is_shell(text) || reads_itself(text) || has_text_over_lines(text) {
        return None;
    }
    let mut code: Vec<&[u8]> = Vec::new();
    let mut continued = false;
    let mut in_header = false;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let continues = line.ends_with(b"\\");
        let header = in_header;
        in_header = header_after(line, in_header);
        if is_comment_or_blank(line) && !header && !is_magic(line, number) {
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

/// Whether the header of a service goes on after this line.
fn header_after(line: &[u8], inside: bool) -> bool {
    let is = |word: &[u8]| line.trim_ascii_start().starts_with(word);
    is(b"### BEGIN INIT INFO") || inside && !is(b"### END INIT INFO")
}

fn is_comment_or_blank(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    start.is_none_or(|start| line[start] == b'#')
}

/// Whether the script may look at its own text.
fn reads_itself(text: &[u8]) -> bool {
    [&b"$0"[..], b"${0", b"BASH_SOURCE", b"LINENO"].into_iter().any(|name| has(text, name))
}

/// Comments that something reads: the first line's interpreter, cloud-init's kinds of user data, headers of services, and
/// directives of `templatefile`.
fn is_magic(line: &[u8], number: usize) -> bool {
    let kinds: [&[u8]; 7] =
        [b"#cloud-", b"#include", b"## template:", b"#part-handler", b"#upstart-job", b"#boothook", b"#!"];
    let first = number == 0 && kinds.iter().any(|kind| line.starts_with(kind));
    let directive = has(line, b"%{") || has(line, b"~}");
    let start = line.trim_ascii_start();
    first || is_read(start) || directive
}

/// `insserv`, `chkconfig` and cloud-init read these wherever they stand. Between the first two any line is one.
fn is_read(line: &[u8]) -> bool {
    let words: [&[u8]; 5] =
        [b"#cloud-config", b"### BEGIN INIT INFO", b"### END INIT INFO", b"# chkconfig:", b"# description:"];
    words.iter().any(|word| line.starts_with(word))
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

/// Whether a heredoc stands in the script, or a quoted text may go over a line's end. In doubt it may.
fn has_text_over_lines(text: &[u8]) -> bool {
    has(text, b"<<") || text.split(|byte| *byte == b'\n').any(|line| !is_comment_or_blank(line) && leaves_open(line))
}

/// Whether a quote is open at the end of a line that begins with none.
fn leaves_open(line: &[u8]) -> bool {
    let mut open = None;
    let (mut at, mut end) = (0, line.len());
    while at < end {
        let (byte, before) = (line[at], at.checked_sub(1).map(|before| line[before]));
        match (open, byte) {
            // In `'…'` a backslash is one, in `$'…'` it is not.
            (Some(b'\''), b'\\') => {}
            (_, b'\\') => at += 1,
            (None, b'\'') if before == Some(b'$') => open = Some(b'$'),
            (None, b'\'' | b'"') => open = Some(byte),
            (Some(b'$'), b'\'') => open = None,
            (Some(quote), byte) if quote == byte => open = None,
            (None, b'#') if before.is_none_or(|before| b" \t;&|()".contains(&before)) => end = at,
            _ => {}
        }
        at += 1;
    }
    let line = &line[..end];
    let count = |wanted: u8| line.iter().filter(|byte| **byte == wanted).count();
    // What is within a quoted command or parameter has quotes of its own: it must end on the line.
    let nests = has(line, b"\"") && (has(line, b"$(") || has(line, b"${") || has(line, b"`"));
    let balanced = count(b'(') == count(b')') && count(b'{') == count(b'}') && count(b'`') % 2 == 0;
    open.is_some() || nests && !(balanced && count(b'\'') == 0) || has(line, b"${") && count(b'{') != count(b'}')
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
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
            ("quotes within quotes", "x=\"$(dirname \"$1\")\"\n# a\n", "x=\"$(dirname \"$1\")\"\n"),
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
            assert!(only_comments_differ(shell_code, old.as_bytes(), new.as_bytes()), "{what}");
            assert!(only_comments_differ(shell_code, new.as_bytes(), old.as_bytes()), "{what}, reversed");
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
            ("a script that reads itself", "# a\ngrep x \"$0\"\n", "# b\ngrep x \"$0\"\n"),
            ("the same in bash", "# a\ngrep x \"${BASH_SOURCE[0]}\"\n", "# b\ngrep x \"${BASH_SOURCE[0]}\"\n"),
            (
                "the header of a service",
                "### BEGIN INIT INFO\n# Provides: a\n### END INIT INFO\nb\n",
                "### BEGIN INIT INFO\n# Provides: c\n### END INIT INFO\nb\n",
            ),
            ("that it has one", "### BEGIN INIT INFO\nb\n", "b\n"),
            ("run levels", "# chkconfig: 2 3 4\nb\n", "# chkconfig: 2 3\nb\n"),
        ];
        for (what, old, new) in different {
            assert!(!only_comments_differ(shell_code, old.as_bytes(), new.as_bytes()), "{what}");
            assert!(!only_comments_differ(shell_code, new.as_bytes(), old.as_bytes()), "{what}, reversed");
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
            ("line of a carriage return", "x = 1\n", "x = 1\n\r\n", false),
            ("interpolation", "x = \"${f(\"b\")}\" # a\n# c\n", "x = \"${f(\"b\")}\" # a\n", true),
            ("string over lines", "x = \"${\n# a\n1}\"\n", "x = \"${\n# b\n1}\"\n", false),
            ("deep string over lines", "x = \"${\"${\n# a\n1}\"}\"\n", "x = \"${\"${\n# b\n1}\"}\"\n", false),
        ] {
            assert_eq!(only_comments_differ(hcl_code, old.as_bytes(), new.as_bytes()), same, "{what}");
        }
    }

    #[test]
    fn other_files_have_no_comments() {
        for (path, has) in [
            ("a/b.sh", true),
            ("template.pkr.hcl", true),
            ("user-data", false),
            ("a.sh/user-data.yml", false),
            ("meta.yaml", false),
        ] {
            assert_eq!(code_of(path).is_some(), has, "{path}");
        }
    }
}
