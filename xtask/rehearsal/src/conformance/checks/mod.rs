//! The list.

mod answers;
mod assets;
mod downloads;
mod drafts;
mod flip;
mod names;
mod pins;
mod refs;
mod tags;
mod uploads;

use serde_json::Value;

use super::answer::Ending;
use super::{Check, Seen, Told};

/// Every check, in the order in which a publish comes to lean on them.
pub fn all() -> Vec<Check> {
    let lists = [
        answers::CHECKS,
        drafts::CHECKS,
        uploads::CHECKS,
        names::CHECKS,
        assets::CHECKS,
        downloads::CHECKS,
        flip::CHECKS,
        pins::CHECKS,
        tags::CHECKS,
        refs::CHECKS,
    ];
    lists.concat()
}

fn holds() -> Told {
    Ok(Seen::Holds(String::new()))
}

fn holds_with(seen: impl Into<String>) -> Told {
    Ok(Seen::Holds(seen.into()))
}

/// # Errors
///
/// The assumption is broken, unless it is so.
fn ensure(is_so: bool, why: impl FnOnce() -> String) -> Result<(), Ending> {
    if is_so { Ok(()) } else { Err(Ending::Broken(why())) }
}

/// # Errors
///
/// The assumption is broken, unless a field of an answer is this.
fn ensure_field(of: &Value, field: &str, wanted: impl Into<Value>) -> Result<(), Ending> {
    let wanted = wanted.into();
    ensure(of[field] == wanted, || format!("{field} is {}, expected {wanted}", of[field]))
}

/// A few KB that differ from those of another seed and don't compress to nothing.
fn bytes(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(next).take(4096).collect()
}

/// As GitHub writes a digest.
fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", crate::image::sha256(bytes))
}
