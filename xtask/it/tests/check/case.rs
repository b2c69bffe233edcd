//! A table's line: a change between two releases, committed or not, and what `check` is to say.

use super::repo::{Repo, Verdict};

/// One change between two releases and what it means.
pub struct Case {
    pub what: &'static str,
    pub edit: fn(&Repo),
    pub rebuild: &'static [(&'static str, &'static [&'static str])],
    pub comments: &'static [&'static str],
    pub review: &'static [&'static str],
    pub removed: &'static [&'static str],
}

pub const NOTHING: Case = Case { what: "", edit: |_| {}, rebuild: &[], comments: &[], review: &[], removed: &[] };

impl Case {
    fn expected(&self) -> Verdict {
        let strings = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        Verdict {
            decision: if self.rebuild.is_empty() { "skip" } else { "rebuild" }.to_owned(),
            rebuild: self.rebuild.iter().map(|(name, files)| ((*name).to_owned(), strings(files))).collect(),
            comments: strings(self.comments),
            review: strings(self.review),
            removed: strings(self.removed),
        }
    }
}

#[track_caller]
pub fn run(table: &str, start: fn(&str) -> Repo, cases: &[Case]) {
    for case in cases {
        let repo = start(&format!("{table}-{}", case.what));
        (case.edit)(&repo);
        // Before it is committed, and after: the same files count.
        if !repo.git(&["status", "--porcelain"]).is_empty() {
            let uncommitted = repo.verdict();
            assert_eq!(uncommitted, case.expected(), "{}, uncommitted", case.what);
        }
        repo.commit(case.what);
        repo.tag("v0.2");
        assert_eq!(repo.verdict(), case.expected(), "{}", case.what);
    }
}
