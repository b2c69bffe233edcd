//! The comment on the release issue: known again by a mark that GitHub doesn't show.

use super::Record;

/// The comment's text.
pub fn text(record: &Record) -> String {
    let release = &record.release;
    let what = match (record.rebuilt, record.published) {
        (true, true) => "rebuilt",
        (true, false) => "to be rebuilt",
        (false, _) => "not rebuilt, see the `latest` release",
    };
    let mut text =
        format!("{}\n**Images for {release}: {what}**\n\nCompared with {}.\n\n", mark(release), record.against);
    text.push_str("| Image | Decision | Reason |\n|---|---|---|\n");
    for image in &record.images {
        let decision = match (image.rebuilt, record.published) {
            (true, true) => "rebuilt",
            (true, false) => "rebuild",
            (false, true) => "kept",
            (false, false) => "skip",
        };
        text.push_str(&format!("| `{}` | {decision} | {} |\n", image.name, cell(&image.reason)));
    }
    for name in &record.removed {
        text.push_str(&format!("| `{}` | removed | it has no template now |\n", cell(name)));
    }
    if !record.review.is_empty() {
        text.push_str("\nBuild scripts differ too, which decides nothing by itself:\n\n");
        for file in &record.review {
            text.push_str(&format!("- {}\n", cell(file)));
        }
    }
    text
}

/// Whether a comment is the one about this release's images.
pub fn is_comment_for(release: &str, text: &str) -> bool {
    text.trim_start().starts_with(&mark(release))
}

fn mark(release: &str) -> String {
    format!("<!-- packer-images {} -->", release.replace('>', ""))
}

/// In a table and a list alike: one line, and nothing that begins something else.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::ImageRecord;
    use super::*;

    #[test]
    fn a_comment_is_found_again_and_shows_each_image() {
        let image = ImageRecord { name: "a".into(), rebuilt: true, reason: "x|y\n<b>".into() };
        let mut record = Record {
            release: "v0.4".into(),
            rebuilt: true,
            published: false,
            against: "v0.3 (123)".into(),
            images: vec![image],
            removed: vec!["old".into()],
            review: vec!["build.sh changed".into()],
        };
        let before = text(&record);
        assert!(is_comment_for("v0.4", &before) && !is_comment_for("v0.45", &before));
        for part in ["to be rebuilt", "| `a` | rebuild | x\\|y &lt;b> |\n", "| `old` | removed |", "- build.sh changed"]
        {
            assert!(before.contains(part), "{part}: {before}");
        }
        record.published = true;
        assert!(text(&record).contains("**Images for v0.4: rebuilt**"));
    }
}
