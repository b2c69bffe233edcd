//! Version tags such as `v0.45`: which tags are versions, and which version is older.

/// Whether a tag is a release's: `v0.45`.
pub fn is_version_tag(tag: &str) -> bool {
    let numbered = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    tag.strip_prefix('v').is_some_and(numbered) && crate::claim::is_version(tag)
}

/// Whether `tag` is an older version than `than`; `None` where the two can't be compared.
pub fn is_older(tag: &str, than: &str) -> Option<bool> {
    (is_version_tag(tag) && is_version_tag(than)).then(|| order(tag) < order(than))
}

/// Whether a tag names a release, also where a repository calls them `release/v0.45` or `packer@0.45`.
pub fn names_a_release(tag: &str) -> bool {
    let last = tag.rsplit(['/', '@']).next().unwrap_or_default();
    let numbered = last.starts_with(|first: char| first.is_ascii_digit()) && last != tag;
    (is_version_tag(last) || numbered) && crate::claim::is_version(tag)
}

/// Whether a version comes after another.
pub fn is_newer(tag: &str, than: &str) -> bool {
    order(tag) > order(than)
}

/// The version proposed after this one when none was given: its last number plus 1.
pub fn after(tag: &str) -> String {
    let digits = tag.len() - tag.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (words, number) = tag.split_at(tag.len() - digits);
    number.parse::<u64>().map_or_else(|_| format!("{tag}.1"), |number| format!("{words}{}", number.saturating_add(1)))
}

/// Orders versions: numbers by value, and a prerelease (`v0.45-rc1`) before its release.
pub fn order(tag: &str) -> (Vec<u64>, bool, Vec<(String, u64)>) {
    let text = tag.rsplit(['/', '@']).next().unwrap_or(tag);
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, rest) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len()));
    let mut numbers: Vec<u64> = numbers.split('.').filter_map(|number| number.parse().ok()).collect();
    // `v1.0` and `v1.0.0` are one version.
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    let rest = rest.trim_start_matches(['-', '+', '.']);
    let pieces = rest.split(['.', '-', '_']).filter(|piece| !piece.is_empty()).map(|piece| {
        let word = piece.trim_end_matches(|c: char| c.is_ascii_digit());
        (word.to_owned(), piece[word.len()..].parse().unwrap_or(0))
    });
    let pieces: Vec<(String, u64)> = pieces.collect();
    (numbers, pieces.is_empty(), pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_several_forms_of_names() {
        for good in ["v0.45", "v0.45-rc1", "v1.2.3+build.4", "release/v0.46", "packer@0.48", "packer@v0.48", "a/b@1"] {
            assert!(names_a_release(good), "{good}");
        }
        for bad in [
            "",
            "0.45",
            "nightly",
            "latest",
            "latest/v1",
            "images-v0.45",
            "images-/v1",
            "refs/tags/v0.45",
            "-v0.45",
            "v0.45;x",
            "v0..45",
            "v0.45.",
            "v0.45.lock",
            "../v0.45",
            "a/../v1",
            "a/.v1",
            "v0.45 ",
            "v0.45^{}",
            "release/",
            "@",
            "packer@x",
        ] {
            assert!(!names_a_release(bad), "{bad}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let mut tags = ["v0.10", "v0.9", "v0.45-rc2", "v0.45", "v0.45-rc10", "v0.45.1", "v1"];
        tags.sort_by_key(|tag| order(tag));
        assert_eq!(tags, ["v0.9", "v0.10", "v0.45-rc2", "v0.45-rc10", "v0.45", "v0.45.1", "v1"]);
    }
}
