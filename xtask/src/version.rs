//! Version tags.

/// Whether a tag is a release's: `v0.45`.
pub fn is_one(tag: &str) -> bool {
    tag.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether a version comes after another.
pub fn is_newer(tag: &str, than: &str) -> bool {
    order(tag) > order(than)
}

/// Orders versions: numbers by value, and a prerelease (`v0.45-rc1`) before its release.
pub fn order(tag: &str) -> (Vec<u64>, bool, Vec<(String, u64)>) {
    let text = tag.strip_prefix('v').unwrap_or(tag);
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
    fn versions_are_ordered_by_number() {
        let mut tags = ["v0.10", "v0.9", "v0.45-rc2", "v0.45", "v0.45-rc10", "v0.45.1", "v1"];
        tags.sort_by_key(|tag| order(tag));
        assert_eq!(tags, ["v0.9", "v0.10", "v0.45-rc2", "v0.45-rc10", "v0.45", "v0.45.1", "v1"]);
    }
}
