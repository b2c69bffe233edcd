//! Debian's order of versions, as `dpkg --compare-versions` has it: `[epoch:]upstream[-revision]`.
//!
//! A crate for it differs from dpkg in some real versions and brings two dozen others.

use std::cmp::Ordering;

/// Compares two versions of one package.
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, upstream_a, revision_a), (epoch_b, upstream_b, revision_b)) = (split(a), split(b));
    fragment(epoch_a, epoch_b)
        .then_with(|| fragment(upstream_a, upstream_b))
        .then_with(|| fragment(revision_a, revision_b))
}

/// Epoch, upstream version, revision; what is absent is empty, which counts as 0.
fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// By turns what is no digit, character by character, and what is, as a number of any length.
fn fragment(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        while first(a).is_some_and(|c| !c.is_ascii_digit()) || first(b).is_some_and(|c| !c.is_ascii_digit()) {
            match weight(first(a)).cmp(&weight(first(b))) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                other => return other,
            }
        }
        let (number_a, number_b) = (number(&mut a), number(&mut b));
        match number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

fn first(text: &[u8]) -> Option<u8> {
    text.first().copied()
}

/// `~` before the end, the end and digits before letters, letters before the rest.
fn weight(c: Option<u8>) -> i32 {
    match c {
        None => 0,
        Some(b'~') => -1,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => c.into(),
        Some(c) => i32::from(c) + 256,
    }
}

/// Takes the digits at the beginning; leading zeros don't count.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().take_while(|c| **c == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dpkg_says() {
        // As `dpkg --compare-versions` judges them.
        for (a, order, b) in [
            ("1.0", "=", "1.0"),
            ("1.0", "=", "1.00"),
            ("1.0", "=", "1.0-0"),
            ("0:1.0", "=", "1.0"),
            ("1:1.0", ">", "2.0"),
            ("1.0~rc1", "<", "1.0"),
            ("1.0~~", "<", "1.0~"),
            ("1.0~", "<", "1.0~rc1"),
            ("1.0", "<", "1.0a"),
            ("1.0a", "<", "1.0+"),
            ("1.0+deb12u1", "<", "1.0+deb12u2"),
            ("1.0+deb12u9", "<", "1.0+deb12u10"),
            ("1.0-1~deb12u1", "<", "1.0-1"),
            ("1.0-1", "<", "1.0-1+b1"),
            ("1.0-1", "<", "1.0-1.1"),
            ("1.0-1-1", ">", "1.0-1"),
            ("2.36-9+deb12u10", ">", "2.36-9+deb12u9"),
            ("20240203~deb12u1", "<", "20240203"),
            ("9.2p1-2+deb12u7", "<", "9.2p1-2+deb12u10"),
            ("1:9.2p1-2", ">", "9.9p1-2"),
            ("6.12.107-1", ">", "6.12.94-1"),
            ("1.0.99999999999999999999999", ">", "1.0.9999999999999999999999"),
            ("1.a", "<", "1.b"),
            ("1.0.", ">", "1.0"),
            ("", "<", "0a"),
        ] {
            let expected = match order {
                "<" => Ordering::Less,
                ">" => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(compare(a, b), expected, "{a} {order} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn real_versions_are_in_dpkgs_order() {
        let Some(path) = std::env::var_os("DPKG_PAIRS") else {
            println!(
                "skipped: dpkg's judgement of real versions; scripts/test --images asks for it (scripts/dpkg-pairs)"
            );
            return;
        };
        let text = std::fs::read_to_string(path).unwrap();
        let mut differ = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [a, order, b] = words[..] else { panic!("{line}") };
            let found = match compare(a, b) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            if found != order {
                differ.push(line);
            }
        }
        println!("{} real pairs of versions in dpkg's order", text.lines().count() - differ.len());
        assert!(text.lines().count() > 1000 && differ.is_empty(), "{differ:?}");
    }
}
