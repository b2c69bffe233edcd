//! The comment on the release issue. A mark that GitHub does not show identifies it, so that it is updated, not repeated.

use super::{Record, Stage};

/// The comment's text.
pub fn text(record: &Record) -> String {
    let release = &record.release;
    let what = match (record.rebuilt, &record.stage) {
        (_, Stage::TakenBack(now)) => format!("rebuilt, then taken back: `latest` is {now} again"),
        (_, Stage::ByHand) => "published by hand, see the `latest` release".to_owned(),
        (true, Stage::Decided) => "to be rebuilt".to_owned(),
        (true, Stage::Published) => "rebuilt".to_owned(),
        (false, _) => "not rebuilt, see the `latest` release".to_owned(),
    };
    let mut text =
        format!("{}\n**Images for {release}: {what}**\n\nCompared with {}.\n\n", mark(release), record.against);
    text.push_str("| Image | Decision | Reason |\n|---|---|---|\n");
    for image in &record.images {
        let decision = match (image.rebuilt, &record.stage) {
            (_, Stage::ByHand) => "unknown",
            (true, Stage::TakenBack(_)) => "taken back",
            (true, Stage::Published) => "rebuilt",
            (true, Stage::Decided) => "rebuild",
            (false, Stage::Decided) => "skip",
            (false, _) => "kept",
        };
        text.push_str(&format!("| `{}` | {decision} | {} |\n", image.name, cell(&image.reason)));
    }
    for name in &record.removed {
        text.push_str(&format!("| `{}` | removed | its template is gone |\n", cell(name)));
    }
    if !record.review.is_empty() {
        text.push_str("\nBuild scripts changed as well; check whether the change affects the images:\n\n");
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

/// For a table or a list: one line, without characters that have a meaning there.
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
            removed: vec!["old".into()],
            review: vec!["build.sh changed".into()],
            ..Record::new("v0.4", Stage::Decided, "v0.3 (123)", vec![image])
        };
        let before = text(&record);
        assert!(is_comment_for("v0.4", &before) && !is_comment_for("v0.45", &before));
        for part in ["to be rebuilt", "| `a` | rebuild | x\\|y &lt;b> |\n", "| `old` | removed |", "- build.sh changed"]
        {
            assert!(before.contains(part), "{part}: {before}");
        }
        record.stage = Stage::Published;
        assert!(text(&record).contains("**Images for v0.4: rebuilt**"));
    }
}
