//! What a repository's rulesets forbid to do with a branch or a tag.

use super::{Refusal, Repo};
use crate::model::Ruleset;

impl Repo {
    /// Holds the creation, the update or the deletion of a ref, by its full name, against the rulesets.
    ///
    /// # Errors
    /// 422 where one forbids it.
    pub fn check_rulesets(&self, reference: &str, rule: &str) -> Result<(), Refusal> {
        if !self.rulesets.iter().any(|it| it.forbids(reference, rule)) {
            return Ok(());
        }
        let what = match rule {
            "creation" => "Cannot create ref due to creations being restricted.",
            "deletion" => "Cannot delete this protected ref.",
            _ => "Cannot update this protected ref.",
        };
        Err(Refusal::new(422, format!("Repository rule violations found\n\n{what}\n\n")))
    }

    /// The same for the tag that publishing a release would make. googleapis/release-please-action#1194 has the words.
    pub(super) fn check_new_tag(&self, tag: &str) -> Result<(), Refusal> {
        let refused = self.check_rulesets(&format!("refs/tags/{tag}"), "creation");
        refused.map_err(|it| Refusal::custom("Release", Some("pre_receive"), format!("pre_receive {}", it.message)))
    }
}

impl Ruleset {
    /// Whether it binds whoever asks.
    pub(crate) fn is_in_force(&self) -> bool {
        self.enforcement == "active" && !self.bypass
    }

    fn forbids(&self, reference: &str, rule: &str) -> bool {
        let covers = |patterns: &[String]| patterns.iter().any(|it| it == "~ALL" || fits(it, reference));
        let of_kind = match self.target.as_str() {
            "tag" => reference.starts_with("refs/tags/"),
            _ => reference.starts_with("refs/heads/"),
        };
        let has_rule = self.rules.iter().any(|it| it == rule);
        self.is_in_force() && of_kind && has_rule && covers(&self.include) && !covers(&self.exclude)
    }
}

/// As GitHub's `fnmatch` takes the two signs that are common: `*` is any run of characters but `/`, `?` one of them.
fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let run = text.find('/').unwrap_or(text.len());
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).take_while(|at| *at <= run);
            ends.any(|at| fits(rest.as_str(), &text[at..]))
        }
        Some(sign) => {
            let mut left = text.chars();
            let same = left.next().is_some_and(|it| it == sign || (sign == '?' && it != '/'));
            same && fits(rest.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ruleset;

    #[test]
    fn a_ruleset_forbids_what_it_says_for_what_it_covers() {
        let tags = |include: &str| Ruleset::of_tags("r", include, &["creation"]);
        let table = [
            (tags("~ALL"), true),
            (tags("refs/tags/images-*"), true),
            (tags("refs/tags/images-v0.4?"), true),
            (tags("refs/tags/*"), true),
            (tags("refs/tags/v*"), false),
            (tags("refs/*"), false),
            (Ruleset { exclude: vec!["refs/tags/images-*".to_owned()], ..tags("~ALL") }, false),
            (Ruleset { enforcement: "evaluate".to_owned(), ..tags("~ALL") }, false),
            (Ruleset { bypass: true, ..tags("~ALL") }, false),
            (Ruleset { target: "branch".to_owned(), ..tags("~ALL") }, false),
            (Ruleset::of_tags("r", "~ALL", &["update", "deletion"]), false),
        ];
        for (ruleset, forbids) in table {
            assert_eq!(ruleset.forbids("refs/tags/images-v0.44", "creation"), forbids, "{ruleset:?}");
        }
    }
}
