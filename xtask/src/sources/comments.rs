//! Whether two versions of a file differ in comments and blank lines alone: such a change needs no rebuild.
//!
//! The answer is "yes" only where no line could mean something else: heredocs, text in quotes over several lines, comments
//! that a program reads and scripts that read themselves are looked for in the whole of both versions. In doubt such a
//! change counts, which costs a rebuild. Used by [`super::compare`].

/// Whether the comments of a file with this name are understood.
pub fn are_understood(path: &str) -> bool {
    rules(path).is_some()
}

pub fn only_comments_differ(path: &str, old: &[u8], new: &[u8]) -> bool {
    code(path, old).is_some_and(|old| code(path, new) == Some(old))
}

type Words = &'static [&'static str];

/// What begins a comment, and what in a file leaves doubt.
fn rules(path: &str) -> Option<(Words, Words)> {
    // `insserv`, `chkconfig` and cloud-init read such comments wherever they stand.
    const SHELL: Words =
        &["<<", "$0", "${0", "BASH_SOURCE", "LINENO", "#cloud-config", "### BEGIN INIT INFO", "# chkconfig:"];
    match path.rsplit('/').next()?.rsplit_once('.')?.1 {
        "hcl" => Some((&["#", "//"], &["<<", "/*", "*/"])),
        "sh" => Some((&["#"], SHELL)),
        _ => None,
    }
}

/// The lines that are neither blank nor comments; `None` in doubt.
fn code<'a>(path: &str, text: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let (marks, doubts) = rules(path)?;
    let interpreter = text.split(|byte| *byte == b'\n').next().filter(|line| line.starts_with(b"#!"));
    if doubts.iter().any(|word| has(text, word)) || interpreter.is_some_and(|line| !is_shell(&line[2..])) {
        return None;
    }
    let (mut code, mut continued) = (Vec::new(), false);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let start = &line[line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()..];
        let comment = marks.iter().any(|mark| start.starts_with(mark.as_bytes()));
        // An interpreter, a kind of user data; a directive of `templatefile`, or the end of one that takes the line end away.
        let is_magic = number == 0 && start.starts_with(b"#") && start.get(1) != Some(&b' ');
        let is_read = is_magic || comment && (has(start, "%{") || has(start, "~}"));
        let continues = line.ends_with(b"\\");
        if (comment || start.is_empty()) && !is_read && !continued && !continues {
            continue;
        }
        if !comment && !is_closed(line) {
            return None;
        }
        continued = continues;
        code.push(line);
    }
    Some(code)
}

/// Whether the words after `#!` name a shell, by a path or through `env`.
fn is_shell(words: &[u8]) -> bool {
    const SHELLS: [&[u8]; 5] = [b"sh", b"bash", b"dash", b"ash", b"ksh"];
    let mut words = words.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let name = |word: &[u8]| word.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
    let program = match words.next().and_then(name) {
        Some(env) if env == b"env" => words.find(|word| !word.starts_with(b"-")).and_then(name),
        program => program,
    };
    program.is_some_and(|program| SHELLS.contains(&program.as_slice()))
}

/// Whether a line that begins outside of quotes ends outside of quotes; in doubt it doesn't.
fn is_closed(line: &[u8]) -> bool {
    let count = |wanted: u8| line.iter().filter(|byte| **byte == wanted).count();
    let (quoted, parameter) = (has(line, "\""), has(line, "${") || has(line, "%{"));
    // Commands and parameters within quotes have quotes of their own.
    let nests = quoted && (parameter || has(line, "$(") || has(line, "`"));
    let balanced = count(b'(') == count(b')') && count(b'{') == count(b'}') && count(b'`') % 2 == 0;
    if (nests || parameter) && !balanced || nests && has(line, "'") {
        return false;
    }
    let (mut open, mut before) = (None, b' ');
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (open, byte) {
            (None, b'#') if b" \t;&|()".contains(&before) => return true,
            // In `'…'` a backslash is text, in `$'…'` it is not.
            (Some(b'\''), b'\\') => {}
            (_, b'\\') => drop(bytes.next()),
            (None, b'\'') if before == b'$' => open = Some(b'$'),
            (None, b'\'' | b'"') => open = Some(byte),
            (Some(b'$'), b'\'') => open = None,
            (Some(quote), byte) if quote == byte && quote != b'$' => open = None,
            _ => {}
        }
        before = byte;
    }
    open.is_none()
}

fn has(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|window| window == word.as_bytes())
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
            ("another path", "#! /usr/local/bin/bash -e\n# a\nb\n", "#! /usr/local/bin/bash -e\nb\n"),
        ];
        for (what, old, new) in same {
            assert!(only_comments_differ("a.sh", old.as_bytes(), new.as_bytes()), "{what}");
            assert!(only_comments_differ("a.sh", new.as_bytes(), old.as_bytes()), "{what}, reversed");
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
            ("a language in a folder share", "#!/usr/share/x/python\n# a\nb\n", "#!/usr/share/x/python\nb\n"),
            ("another kind of shell", "#!/usr/bin/env fish\n# a\nb\n", "#!/usr/bin/env fish\nb\n"),
            ("a shell as an argument", "#!/usr/bin/awk -f sh\n# a\nb\n", "#!/usr/bin/awk -f sh\nb\n"),
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
            ("end of a directive", "# ~}\na\n", "a\n"),
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
            assert!(!only_comments_differ("a.sh", old.as_bytes(), new.as_bytes()), "{what}");
            assert!(!only_comments_differ("a.sh", new.as_bytes(), old.as_bytes()), "{what}, reversed");
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
            assert_eq!(only_comments_differ("a.pkr.hcl", old.as_bytes(), new.as_bytes()), same, "{what}");
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
            assert_eq!(are_understood(path), has, "{path}");
        }
    }
}
