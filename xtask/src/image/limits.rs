//! A template's size limit for its image: `templates/<name>/limits`, lines of `max_size = 2G`, as `packer/lib/limits.sh`
//! reads them before a build ends.

use std::io;
use std::path::Path;

use super::durable;
use crate::failure::{self, Advice as _};
use crate::text::size;

/// What a size comes to beside its limit.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    /// Nine tenths of the limit and more, in words.
    Close(String),
    /// In words.
    Above(String),
}

/// # Errors
///
/// The template's limits can't be read.
pub fn judge(packer_dir: &Path, image: &str, bytes: u64) -> anyhow::Result<Verdict> {
    let path = packer_dir.join("templates").join(image).join("limits");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Verdict::Fits);
        }
        Err(error) => return Err(durable::read_error(path.display(), error)),
    };
    let limit = max_size(&text).map_err(|line| {
        failure::usage(format!("{}: not a limit: {}", path.display(), crate::text::line(line)))
            .fix("write for example `max_size = 2G`")
    })?;
    let Some(limit) = limit else { return Ok(Verdict::Fits) };
    let words = |how: &str| format!("{image} has {}, {how} its limit of {}", size(bytes), size(limit));
    Ok(match bytes {
        _ if bytes > limit => Verdict::Above(words("above")),
        _ if u128::from(bytes) * 10 > u128::from(limit) * 9 => Verdict::Close(words("close to")),
        _ => Verdict::Fits,
    })
}

/// The limit in bytes, or the line that is none.
fn max_size(text: &str) -> Result<Option<u64>, &str> {
    let mut limit = None;
    for line in text.lines() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let value = content.strip_prefix("max_size").and_then(|rest| rest.trim_start().strip_prefix('='));
        limit = Some(value.and_then(|value| bytes(value.trim())).ok_or(line)?);
    }
    Ok(limit)
}

/// `1500M`, in units of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_engine_reads_them() {
        for (text, limit) in [
            ("", Ok(None)),
            ("# nothing\n\n", Ok(None)),
            ("max_size = 2G\n", Ok(Some(2 << 30))),
            ("max_size=1500M # of the first build\r\n", Ok(Some(1500 << 20))),
            ("  max_size =  12345", Ok(Some(12345))),
            ("max_size = 1G\nmax_size = 2G", Ok(Some(2 << 30))),
            ("max_size = 0", Err("max_size = 0")),
            ("max_size = 2g", Err("max_size = 2g")),
            ("max_size = +2G", Err("max_size = +2G")),
            ("max_size = 2GG", Err("max_size = 2GG")),
            ("max_size = 99999999999999T", Err("max_size = 99999999999999T")),
            ("max_size", Err("max_size")),
            ("size = 2G", Err("size = 2G")),
        ] {
            assert_eq!(max_size(text), limit, "{text}");
        }
        crate::hostile::try_with(&[b"max_size = 2G # x\n"], |bytes| {
            let _ = max_size(&String::from_utf8_lossy(bytes));
        });
    }
}
