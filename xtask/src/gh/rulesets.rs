//! Rulesets: which changes of tags an administrator forbids. <https://docs.github.com/rest/repos/rules>

use serde::Deserialize;

use super::{CallError, Gh, Request};

/// An active ruleset of the repository or its organization that covers a tag and that this token can't pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRuleset {
    pub name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    enforcement: String,
    /// Servers that don't know the filter list the rulesets of branches as well.
    #[serde(default)]
    target: Option<String>,
}

#[derive(Deserialize)]
struct Details {
    name: String,
    #[serde(default)]
    conditions: Conditions,
    #[serde(default)]
    rules: Vec<Rule>,
    /// `always`, `exempt`, `pull_requests_only`, `never`.
    #[serde(default)]
    current_user_can_bypass: Option<String>,
}

#[derive(Deserialize, Default)]
struct Conditions {
    #[serde(default)]
    ref_name: Option<RefName>,
}

#[derive(Deserialize)]
struct RefName {
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Rule {
    r#type: String,
}

impl Gh {
    /// The rulesets that stand between this token and a tag. None where the server or the plan has no rulesets.
    pub fn tag_rulesets(&self, tag: &str) -> Result<Vec<TagRuleset>, CallError> {
        let listed: Vec<Listed> = match self.pages("rulesets?targets=tag") {
            // 403: a private repository on a plan without them. <https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/about-rulesets>
            Err(error) if matches!(error.refusal(), Some(403 | 404)) => return Ok(Vec::new()),
            listed => listed?,
        };
        let of_tags = |listed: &Listed| listed.target.as_deref().is_none_or(|target| target == "tag");
        let mut found = Vec::new();
        for listed in listed.iter().filter(|listed| listed.enforcement == "active" && of_tags(listed)) {
            let details: Details = self.call(&Request::get(format!("rulesets/{}", listed.id)))?.json()?;
            let passes = matches!(details.current_user_can_bypass.as_deref(), Some("always" | "exempt"));
            if !passes && details.conditions.ref_name.is_some_and(|names| names.cover(&format!("refs/tags/{tag}"))) {
                found.push(TagRuleset { name: details.name, rules: details.rules });
            }
        }
        Ok(found)
    }
}

impl TagRuleset {
    /// Whether it has this rule: `creation`, `update`, `deletion`, `non_fast_forward`, and others that say nothing of a tag's
    /// moves.
    pub fn forbids(&self, rule: &str) -> bool {
        self.rules.iter().any(|it| it.r#type == rule)
    }
}

impl RefName {
    fn cover(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| pattern == "~ALL" || matches(pattern, name));
        any(&self.include) && !any(&self.exclude)
    }
}

/// As GitHub compares names of refs: `*` and `?` stay within a segment, `**/` stands for any number of them.
/// <https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/creating-rulesets-for-a-repository#using-fnmatch-syntax>
fn matches(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**/") {
        let here = matches(rest, name);
        return here || name.split_once('/').is_some_and(|(_, name)| matches(pattern, name));
    }
    match (pattern.split_once('/'), name.split_once('/')) {
        (Some((pattern, patterns)), Some((name, names))) => segment(pattern, name) && matches(patterns, names),
        (None, None) => segment(pattern, name),
        _ => false,
    }
}

fn segment(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    let Some(first) = chars.next() else { return name.is_empty() };
    let rest = chars.as_str();
    let mut names = name.chars();
    match first {
        '*' => segment(rest, name) || (names.next().is_some() && segment(pattern, names.as_str())),
        '[' if rest.contains(']') => {
            let (set, rest) = rest.split_once(']').unwrap_or_default();
            names.next().is_some_and(|c| in_set(set, c)) && segment(rest, names.as_str())
        }
        '?' => names.next().is_some() && segment(rest, names.as_str()),
        first => names.next() == Some(first) && segment(rest, names.as_str()),
    }
}

/// `a-z`, `abc`, `!a-z` or `^a-z`.
fn in_set(set: &str, c: char) -> bool {
    let (set, wanted) = set.strip_prefix(['!', '^']).map_or((set, true), |set| (set, false));
    let chars: Vec<char> = set.chars().collect();
    let mut left = chars.as_slice();
    while let Some((&from, rest)) = left.split_first() {
        let (to, rest) = match rest {
            ['-', to, rest @ ..] => (*to, rest),
            _ => (from, rest),
        };
        if (from..=to).contains(&c) {
            return wanted;
        }
        left = rest;
    }
    !wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_refs() {
        let name = "refs/tags/latest";
        for pattern in [
            name,
            "refs/tags/*",
            "refs/tags/l*t",
            "refs/*/latest",
            "**/latest",
            "refs/**/latest",
            "refs/tags/lates?",
            "refs/tags/[a-m]atest",
            "refs/tags/[!v]*",
        ] {
            assert!(matches(pattern, name), "{pattern}");
        }
        for pattern in ["refs/tags/v*", "refs/*", "latest", "refs/tags/latest/*", "refs/tags/[v-z]*", "refs/tags/", "*"]
        {
            assert!(!matches(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_covered() {
        let names = |include: &[&str], exclude: &[&str]| RefName {
            include: include.iter().map(|&name| name.to_owned()).collect(),
            exclude: exclude.iter().map(|&name| name.to_owned()).collect(),
        };
        assert!(names(&["~ALL"], &["refs/tags/v*"]).cover("refs/tags/latest"));
        assert!(!names(&["~ALL"], &["refs/tags/latest"]).cover("refs/tags/latest"));
        assert!(!names(&[], &[]).cover("refs/tags/latest"));
    }
}
