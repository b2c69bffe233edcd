//! Hostile text for each parser of what comes from outside: it must give an answer or an error, never panic, never
//! loop forever, never take more memory than this process may have.
//!
//! Each target runs for a second, and for as long as `PACKER_FUZZ_SECONDS` says (`scripts/test --fuzz SECONDS`). A failure
//! prints a seed; what was found becomes a row of the parser's own table.

use std::time::Duration;

use arbtest::arbitrary::{Result, Unstructured};

/// What parsers look for, put in where it isn't expected.
const TOKENS: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"  ",
    b" *",
    b"\\",
    b"/",
    b"../",
    b"=",
    b":",
    b"\"",
    b"{}",
    b"[",
    b",",
    b"-",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e999",
    b"\0packer:ended ",
];

/// Calls the parser with changed examples of what it reads, and with anything at all.
pub fn try_with(examples: &[&[u8]], parser: impl Fn(&[u8])) {
    let seconds = std::env::var("PACKER_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    arbtest::arbtest(|source| {
        parser(&changed(examples, source)?);
        Ok(())
    })
    .size_max(16 * 1024)
    .budget(Duration::from_secs(seconds));
    let memory = peak_kib();
    assert!(memory < 64 << 10, "{memory} KiB at the most");
}

fn changed(examples: &[&[u8]], source: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if examples.is_empty() || source.ratio(1, 8)? {
        return Ok(source.bytes(source.len())?.to_vec());
    }
    let mut text = source.choose(examples)?.to_vec();
    for _ in 0..source.int_in_range(1..=8)? {
        let at = source.int_in_range(0..=text.len())?;
        let to = source.int_in_range(at..=text.len().min(at + 64))?;
        match source.int_in_range(0..=5)? {
            0 => drop(text.drain(at..to)),
            1 => drop(text.splice(at..to, source.choose(&TOKENS)?.iter().copied())),
            2 => drop(text.splice(at..to, source.arbitrary::<[u8; 8]>()?)),
            3 => text.truncate(at),
            4 => {
                let again = text[at..to].repeat(source.int_in_range(0..=40)?);
                text.splice(at..at, again);
            }
            _ => text.extend_from_slice(source.choose(examples)?),
        }
    }
    Ok(text)
}

/// The peak memory of this process in KiB; 0 where the system does not report it.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
