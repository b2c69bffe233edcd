//! Checksum files: one line as `sha256sum` writes it, `<64 hex>  <name>.qcow2`, always of the whole image.

use std::path::Path;

use anyhow::Context as _;

use super::digest::Digest;
use super::name;
use crate::failure;

/// The content of `<name>.qcow2.sha256`.
pub fn line(image: &str, digest: Digest) -> String {
    format!("{digest}  {}\n", name::whole(image))
}

/// Reads the content of an image's checksum file.
///
/// # Errors
///
/// Exit code 1: not one line, no digest, or the line is for another file.
pub fn parse(image: &str, text: &str) -> anyhow::Result<Digest> {
    let file = name::whole(image);
    let expected = || {
        failure::failed(format!(
            "expected one line `<64 hex>  {file}`; write it anew with `cargo xtask packer checksum --force {image}`"
        ))
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    // sha256sum separates with two blanks, or with ` *` in binary mode.
    let (digest, named) = line.split_once("  ").or_else(|| line.split_once(" *")).ok_or_else(expected)?;
    if named != file {
        return Err(expected()).with_context(|| format!("it names `{}`", named.escape_debug()));
    }
    digest.parse().map_err(|_| expected())
}

/// Reads an image's checksum file.
pub fn read(image: &str, path: &Path) -> anyhow::Result<Digest> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(image, &text).with_context(|| format!("checksum file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let digest = Digest::of(b"x");
        assert_eq!(parse("a", &line("a", digest)).unwrap(), digest);
        assert_eq!(parse("a", &format!("{digest} *a.qcow2\r\n")).unwrap(), digest);
    }

    #[test]
    fn anything_else_is_refused() {
        let digest = Digest::of(b"x");
        for text in [
            String::new(),
            format!("{digest}\n"),
            format!("{digest}  b.qcow2\n"),
            format!("{digest}  a.qcow2\n{digest}  b.qcow2\n"),
            "xyz  a.qcow2\n".to_owned(),
            format!("{digest}  ../a.qcow2\n"),
        ] {
            assert!(parse("a", &text).is_err(), "{text:?}");
        }
    }
}
