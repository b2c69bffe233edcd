//! The attributes of a template, as they are written: enough of HCL to see what a path is for, and what a template starts
//! from.
//!
//! Nothing is evaluated, and a file that isn't HCL gives some attributes or none. Used by `decide` and `host`.

/// `NAME = VALUE`, with the blocks that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// From the outermost: a block's type and its labels, `["variable base_image_url"]`.
    pub blocks: Vec<String>,
    pub name: String,
    /// As written, without comments.
    pub value: String,
}

impl Attribute {
    /// The value where it is a string that nothing is put into.
    pub fn literal(&self) -> Option<&str> {
        let text = self.value.strip_prefix('"')?.strip_suffix('"')?;
        (!text.contains(['"', '\\', '\n']) && !text.contains("${") && !text.contains("%{")).then_some(text)
    }
}

/// All attributes of a file, in their order. An object's own `name = value` lines are part of its value.
pub fn attributes(text: &str) -> Vec<Attribute> {
    let (mut found, mut blocks, mut header) = (Vec::new(), Vec::new(), String::new());
    let mut rest = text;
    while let Some(length) = token(rest) {
        let (piece, after) = rest.split_at(length);
        rest = after;
        match piece {
            "{" => blocks.push(words(&std::mem::take(&mut header))),
            "}" => {
                blocks.pop();
                header.clear();
            }
            "=" => {
                let (value, after) = value(rest);
                found.push(Attribute { blocks: blocks.clone(), name: words(&header), value });
                header.clear();
                rest = after;
            }
            "\n" => header.clear(),
            _ if is_comment(piece) => {}
            _ => header.push_str(piece),
        }
    }
    found
}

/// What a value reads as up to its end, the end of a line that no bracket is open in, and what follows.
fn value(text: &str) -> (String, &str) {
    let (mut value, mut open, mut rest) = (String::new(), 0_usize, text);
    while let Some(length) = token(rest) {
        let (piece, after) = rest.split_at(length);
        match piece {
            "\n" if open == 0 => break,
            "}" if open == 0 => break,
            "{" | "[" | "(" => open += 1,
            "}" | "]" | ")" => open = open.saturating_sub(1),
            _ => {}
        }
        if !is_comment(piece) {
            value.push_str(piece);
        }
        rest = after;
    }
    (value.trim().to_owned(), rest)
}

fn is_comment(token: &str) -> bool {
    token.starts_with('#') || token.starts_with("//") || token.starts_with("/*")
}

/// A header's words, labels without their quotes.
fn words(header: &str) -> String {
    header.split_whitespace().map(|word| word.trim_matches('"')).collect::<Vec<_>>().join(" ")
}

/// Bytes of the first token: a comment, a string, a heredoc, or a single character.
fn token(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let line = text.find('\n').unwrap_or(text.len());
    Some(match first {
        '#' => line,
        '/' if text.starts_with("//") => line,
        '/' if text.starts_with("/*") => text.find("*/").map_or(text.len(), |end| end + 2),
        '"' => string(text),
        '<' if text.starts_with("<<") => heredoc(text, line),
        first => first.len_utf8(),
    })
}

/// Bytes of a string with its quotes; what is put into it may have strings of its own.
fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    // What is open: a string, or code within one.
    let (mut at, mut in_code) = (1, vec![false]);
    while let (Some(byte), Some(code)) = (bytes.get(at), in_code.last()) {
        match (byte, code) {
            (b'\\', false) => at += 1,
            (b'$' | b'%', false) if bytes.get(at + 1) == Some(&b'{') => {
                in_code.push(true);
                at += 1;
            }
            (b'{', true) => in_code.push(true),
            (b'"', true) => in_code.push(false),
            (b'"', false) | (b'}', true) => drop(in_code.pop()),
            _ => {}
        }
        at += 1;
    }
    // A backslash may be the last byte.
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Bytes of `<<NAME` or `<<-NAME` with its lines, without the end of the last one.
fn heredoc(text: &str, line: usize) -> usize {
    let name = text[..line].trim_start_matches(['<', '-']).trim();
    let mut at = line;
    for line in text[line..].split_inclusive('\n').filter(|_| !name.is_empty()) {
        at += line.len();
        if line.trim() == name {
            return at - usize::from(line.ends_with('\n'));
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_with_their_blocks() {
        let text = r#"
            # a = "comment"
            variable "url" { default = "https://x/a" }
            locals {
              name = "a" // b = 1
              list = [ "}", "{", # c = 2
                "d", ]
            }
            /* source = "${path.root}/x"
            */
            build {
              sources = ["source.qemu.a"]
              provisioner "file" {
                source = "${path.root}/../${lookup(var.m, "k}")}/a"
                destination   =   "/tmp/a"
              }
              provisioner "shell" {
                inline = [<<-EOT
                  e = "f }"
                  EOT
                ]
                environment_vars = { "A" = "b" }
              }
            }
            last = 1"#;
        let read: Vec<String> = attributes(text)
            .iter()
            .map(|it| {
                format!("{}|{}|{}", it.blocks.join("/"), it.name, it.value.split_whitespace().collect::<String>())
            })
            .collect();
        assert_eq!(
            read,
            [
                r#"variable url|default|"https://x/a""#,
                r#"locals|name|"a""#,
                r#"locals|list|["}","{","d",]"#,
                r#"build|sources|["source.qemu.a"]"#,
                r#"build/provisioner file|source|"${path.root}/../${lookup(var.m,"k}")}/a""#,
                r#"build/provisioner file|destination|"/tmp/a""#,
                r#"build/provisioner shell|inline|[<<-EOTe="f}"EOT]"#,
                r#"build/provisioner shell|environment_vars|{"A"="b"}"#,
                "|last|1",
            ]
        );
        let literals: Vec<_> = attributes(text).iter().filter_map(|it| it.literal().map(str::to_owned)).collect();
        assert_eq!(literals, ["https://x/a", "a", "/tmp/a"]);
    }

    #[test]
    fn hostile_templates() {
        let example = b"a \"b\" {\n c = \"${d(\"e\")}\" # f\n g = <<H\nH\n}\n";
        crate::hostile::try_with(&[example], |bytes| {
            for attribute in attributes(&String::from_utf8_lossy(bytes)) {
                let _ = attribute.literal();
            }
        });
    }
}
