//! What differs between two lists of files.

use std::collections::BTreeSet;

use super::comments;
use super::history::History;
use crate::image::inputs::{self, Files};

/// How an input differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Added,
    Removed,
    Changed,
    /// Only its permissions.
    Mode,
}

impl How {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Mode => "mode changed",
        }
    }
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// From the packer directory.
    pub path: String,
    pub how: How,
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
            (None, _) => How::Added,
            (_, None) => How::Removed,
            (Some(was), Some(now)) if was.id == now.id => How::Mode,
            _ => How::Changed,
        };
        Change { path: path.to_owned(), how }
    })
}

/// The same, where a change of comments alone doesn't count; it is told when both versions can be read.
pub fn compare(history: &mut History, old: &Files, new: &Files) -> anyhow::Result<Difference> {
    let mut difference = Difference::default();
    for change in changes(old, new) {
        let both = old.get(&change.path).zip(new.get(&change.path)).filter(|(was, now)| was.mode == now.mode);
        let mut only_comments = false;
        if let (Some((was, now)), Some(code)) = (both, comments::code_of(&change.path)) {
            let texts = history.read(&was.id)?.zip(history.read(&now.id)?);
            only_comments = texts.is_some_and(|(was, now)| comments::only_comments_differ(code, &was, &now));
        }
        if only_comments {
            difference.comments.insert(change)
        } else {
            difference.counted.insert(change)
        };
    }
    Ok(difference)
}
