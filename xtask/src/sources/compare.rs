//! What differs between two lists of files.
//!
//! Every path that is not the same in both lists is named once; a change of comments alone is kept apart, because it does
//! not count. Used by `decide`, by `fits`, and by those who show the changes.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::Serialize;

use super::comments;
use super::inputs::{self, Files};

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// From the packer directory.
    pub path: String,
    /// `added`, `removed`, `changed`, `mode changed` (only its permissions).
    #[serde(rename = "change")]
    pub how: &'static str,
}

impl Change {
    /// `shared/a.sh changed`
    pub fn describe(&self) -> String {
        format!("{} {}", crate::text::line(&self.path), self.how)
    }
}

/// Some changed files as the reason for a rebuild.
pub fn because(changes: &BTreeSet<Change>, since: &str) -> String {
    match (changes.first(), changes.len()) {
        (None, _) => String::new(),
        (Some(only), 1) => only.describe(),
        (Some(first), many) => format!("{many} inputs differ since {since}, the first: {}", first.describe()),
    }
}

/// What differs for one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Any of these means a rebuild.
    pub counted: BTreeSet<Change>,
    /// Comment lines and blank lines alone.
    pub comments: BTreeSet<Change>,
}

/// Every file that is not the same in both.
pub fn changes<'a>(old: &'a Files, new: &'a Files) -> impl Iterator<Item = Change> {
    inputs::differing(old, new).map(|path| {
        let how = match (old.get(path), new.get(path)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(was), Some(now)) if was.id == now.id => "mode changed",
            _ => "changed",
        };
        Change { path: path.to_owned(), how }
    })
}

/// Every file that is not the same in both, changes of comments apart where both versions can be read.
/// `read` gives a file's bytes by git's id of them.
pub fn compare(
    old: &Files,
    new: &Files,
    mut read: impl FnMut(&str) -> anyhow::Result<Option<Rc<[u8]>>>,
) -> anyhow::Result<Difference> {
    let mut difference = Difference::default();
    for change in changes(old, new) {
        let both = old.get(&change.path).zip(new.get(&change.path)).filter(|(was, now)| was.mode == now.mode);
        let mut only_comments = false;
        if let Some((was, now)) = both.filter(|_| comments::are_understood(&change.path)) {
            let texts = read(&was.id)?.zip(read(&now.id)?);
            only_comments = texts.is_some_and(|(was, now)| comments::only_comments_differ(&change.path, &was, &now));
        }
        let kind = if only_comments { &mut difference.comments } else { &mut difference.counted };
        kind.insert(change);
    }
    Ok(difference)
}
