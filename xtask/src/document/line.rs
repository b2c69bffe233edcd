//! The line about the images in a release's notes. Its form identifies it, so the notes need no mark, and the rest of the
//! notes stays as it is.

/// What most releases say.
pub const SEE: &str = "Images: See `latest` release";

const BEGIN: &str = "Images: rebuilt for ";
const END: &str = ", see `latest` release";
const BEFORE: &str = "Images: to be rebuilt for ";

/// What a release with new images says.
pub fn rebuilt(release: &str, reason: &str) -> String {
    format!("{BEGIN}{release} ({}){END}", one_line(reason))
}

/// What a release says until its images are published.
pub fn to_be_rebuilt(release: &str, reason: &str) -> String {
    format!("{BEFORE}{release} ({})", one_line(reason))
}

/// A file's name may have line breaks.
fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_ours(line: &str) -> bool {
    line == SEE || (line.starts_with(BEGIN) && line.ends_with(END)) || (line.starts_with(BEFORE) && line.ends_with(')'))
}

/// The notes with this line: in place of an earlier line of this form, else at the end.
pub fn put(notes: &str, line: &str) -> String {
    let mut text = String::with_capacity(notes.len() + line.len() + 2);
    let mut done = false;
    for old in notes.split_inclusive('\n') {
        let content = old.trim_end_matches(['\n', '\r']);
        if !done && is_ours(content.trim()) {
            let indent = &content[..content.len() - content.trim_start().len()];
            text.push_str(indent);
            text.push_str(line);
            text.push_str(&old[content.len()..]);
            done = true;
        } else {
            text.push_str(old);
        }
    }
    if !done {
        // As the notes end their lines, and an empty line before.
        let end = if notes.contains("\r\n") { "\r\n" } else { "\n" };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(end);
        }
        if !text.trim().is_empty() && !text.ends_with(&format!("{end}{end}")) {
            text.push_str(end);
        }
        text.push_str(line);
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_line_changes() {
        let rebuilt = rebuilt("v2", "a changed");
        for (notes, expected) in [
            ("", format!("{rebuilt}\n")),
            ("Words.", format!("Words.\n\n{rebuilt}\n")),
            ("Words.\n", format!("Words.\n\n{rebuilt}\n")),
            ("Words.\r\nMore.", format!("Words.\r\nMore.\r\n\r\n{rebuilt}\r\n")),
            ("A\n\nImages: See `latest` release\n\nB", format!("A\n\n{rebuilt}\n\nB")),
            ("A\r\nImages: See `latest` release\r\nB\r\n", format!("A\r\n{rebuilt}\r\nB\r\n")),
            ("Images: rebuilt for v1 (x), see `latest` release", rebuilt.clone()),
            (
                "Images: see the `latest` release page\n",
                format!("Images: see the `latest` release page\n\n{rebuilt}\n"),
            ),
            ("- Images: See `latest` release", format!("- Images: See `latest` release\n\n{rebuilt}\n")),
        ] {
            let put_once = put(notes, &rebuilt);
            assert_eq!(put_once, expected, "{notes:?}");
            assert_eq!(put(&put_once, &rebuilt), put_once, "{notes:?}, again");
        }
    }
}
