//! How an image is split into parts: GNU `split` names and byte ranges, so that
//! `cat <name>.qcow2.part* > <name>.qcow2` joins them.

use std::ops::Range;
use std::str::FromStr;

use crate::failure;

/// The largest asset that GitHub takes: it must be under 2 GiB.
/// <https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas>
pub const LARGEST: u64 = 2 * 1024 * 1024 * 1024 - 1;

/// Bytes a part may have, from 1 to [`LARGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSize(u64);

impl PartSize {
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for PartSize {
    fn default() -> Self {
        Self(LARGEST)
    }
}

impl std::fmt::Display for PartSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PartSize {
    type Err = anyhow::Error;

    /// Bytes (`1048576`), or a number with `KiB`, `MiB` or `GiB`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (digits, factor) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
            .into_iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), factor)))
            .unwrap_or((text, 1));
        let bytes = Some(digits)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok())
            .and_then(|number| number.checked_mul(factor))
            .ok_or_else(|| {
                failure::usage(format!("`{text}` is not a size: give bytes, or a number with KiB, MiB or GiB"))
            })?;
        if bytes == 0 || bytes > LARGEST {
            return Err(failure::usage(format!(
                "a part of {bytes} bytes can't be published: GitHub takes 1 to {LARGEST} bytes (2 GiB - 1) an asset"
            )));
        }
        Ok(Self(bytes))
    }
}

/// The suffix of part number `index`, as GNU `split` counts: `aa` … `yz`, `zaaa` … `zyzz`, `zzaaaa` …
/// Each longer run begins with one more `z`, so the names sort in order.
pub fn suffix(index: u64) -> String {
    let mut rest = index;
    let mut letters = 2;
    let mut count = 25 * 26;
    while rest >= count {
        rest -= count;
        letters += 1;
        count *= 26;
    }
    let mut name = vec![b'z'; letters - 2];
    for place in (0..letters as u32).rev() {
        // The first digit stays below `z`, because `rest` is below `count`.
        name.push(b'a' + (rest / 26u64.pow(place) % 26) as u8);
    }
    name.into_iter().map(char::from).collect()
}

/// Whether GNU `split` would give this suffix: each `z` in front brings one more letter behind.
pub fn is_suffix(text: &str) -> bool {
    let ahead = text.bytes().take_while(|byte| *byte == b'z').count();
    text.len() == 2 + 2 * ahead && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A release takes 1000 assets, and an image brings its checksum file and the set its manifest.
const MOST: u64 = 1000 - 2;

/// The byte ranges of an image's parts; empty when it stays whole.
///
/// # Errors
///
/// Exit code 2 when they would be more than a release takes.
pub fn ranges(file: &str, size: u64, part: PartSize) -> anyhow::Result<Vec<Range<u64>>> {
    if size <= part.bytes() {
        return Ok(Vec::new());
    }
    let count = size.div_ceil(part.bytes());
    if count > MOST {
        return Err(failure::usage(format!(
            "--part-size {part} cuts {file} into {count} parts, and a release takes 1000 assets; give at least {}",
            size.div_ceil(MOST)
        )));
    }
    Ok((0..count).map(|n| n * part.bytes()..size.min((n + 1).saturating_mul(part.bytes()))).collect())
}

/// The first suffix that is missing in a sorted list, if the list isn't `aa`, `ab`, … without a gap.
pub fn gap<'a>(suffixes: impl IntoIterator<Item = &'a str>) -> Option<String> {
    suffixes.into_iter().zip(0..).find_map(|(found, index)| Some(suffix(index)).filter(|expected| expected != found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_those_of_gnu_split() {
        for (index, expected) in [
            (0, "aa"),
            (1, "ab"),
            (26, "ba"),
            (649, "yz"),
            (650, "zaaa"),
            (651, "zaab"),
            (17549, "zyzz"),
            (17550, "zzaaaa"),
        ] {
            assert_eq!(suffix(index), expected, "{index}");
        }
    }

    #[test]
    fn suffixes_sort_in_order() {
        let names: Vec<String> = (0..2000).map(suffix).collect();
        assert!(names.is_sorted());
        assert!(names.iter().all(|name| is_suffix(name)));
        for other in ["", "a", "aaa", "ial", "zaa", "zz", "a1", "AA", "zaaaa"] {
            assert!(!is_suffix(other), "{other}");
        }
    }

    #[test]
    fn ranges_cover_the_image_once() {
        let part: PartSize = "10".parse().unwrap();
        for (size, expected) in [
            (9, vec![]),
            (10, vec![]),
            (11, vec![0..10, 10..11]),
            (20, vec![0..10, 10..20]),
            (25, vec![0..10, 10..20, 20..25]),
        ] {
            assert_eq!(ranges("a", size, part).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn more_parts_than_a_release_takes_are_refused_before_they_are_counted_out() {
        for (size, part, least) in
            [(5_000_000_000, "1", "5010021"), (u64::MAX, "1", "give at least"), (9990, "10", "11")]
        {
            let error = ranges("a", size, part.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(least), "{error}");
            assert_eq!(failure::kind(&error), failure::Kind::Usage);
        }
        assert_eq!(ranges("a", 9980, "10".parse().unwrap()).unwrap().len(), 998);
        assert!(ranges("a", u64::MAX, PartSize::default()).is_err());
    }

    #[test]
    fn sizes_are_read_or_refused() {
        for (text, bytes) in
            [("1", 1), ("512MiB", 512 << 20), ("1 GiB", 1 << 30), ("2147483647", LARGEST), ("4KiB", 4096)]
        {
            assert_eq!(text.parse::<PartSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["0", "", "2GiB", "2147483648", "-1", "1.5GiB", "1 TB", "MiB", "99999999999999999999", "+5"] {
            let error = text.parse::<PartSize>().unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Usage, "{text}");
        }
    }

    #[test]
    fn a_gap_is_named() {
        assert_eq!(gap(["aa", "ab"]), None);
        assert_eq!(gap(["aa", "ac"]), Some("ab".into()));
        assert_eq!(gap(["ab"]), Some("aa".into()));
    }
}
