//! Settings that only tests use, read from the environment: `PACKER_TEST_ATTEMPTS` (attempts per request or transfer) and
//! `PACKER_TEST_JOBS` (images that are uploaded at the same time).
//!
//! Both have a default that suits real use, so there is no option for them. A value that is not a positive number is
//! ignored.

use std::num::NonZeroU16;

/// Attempts per request or transfer before the run gives up.
pub fn attempts() -> u32 {
    number("PACKER_TEST_ATTEMPTS", 5).into()
}

/// Images that are uploaded at the same time.
pub fn jobs() -> usize {
    number("PACKER_TEST_JOBS", 3).into()
}

fn number(variable: &str, default: u16) -> u16 {
    let set = std::env::var(variable).ok().and_then(|value| value.parse::<NonZeroU16>().ok());
    set.map_or(default, NonZeroU16::get)
}
