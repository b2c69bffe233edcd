//! Checksum files: one line as `sha256sum` writes it, `<64 hex>  <name>.qcow2`, always of the whole image.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::durable;
use super::name;
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::{suggest, text};

/// The content of `<name>.qcow2.sha256`.
pub fn line(image: &str, digest: Digest) -> String {
    format!("{digest}  {}\n", name::whole(image))
}

/// Reads the content of an image's checksum file: what `sha256sum -c`, called in the image's folder, accepts for the image.
/// That is its own lines, those of `sha256sum --tag` and of `openssl dgst`, capital digits, comments, and lines for other
/// files beside the image's.
///
/// # Errors
///
/// Exit code 1: no line is for the image, or two contradict each other. Says what is there instead; the fix is the
/// caller's, since it depends on where the file lies.
pub fn parse(image: &str, content: &str) -> anyhow::Result<Digest> {
    let file = name::whole(image);
    let expected = format!("expected one line `<64 hex>  {file}`");
    // What is no UTF-8 was replaced on the way here.
    if content.contains('\0') || content.starts_with("\u{fffd}\u{fffd}") {
        return Err(failure::failed(format!("it is UTF-16, as PowerShell writes with `>`; {expected}")));
    }
    if content.starts_with('\u{feff}') {
        return Err(failure::failed(format!(
            "it begins with a byte order mark, which sha256sum doesn't read; {expected}"
        )));
    }
    let mut found = None;
    let mut other = None;
    for line in content.lines().filter(|line| !line.starts_with('#')) {
        let Some((digest, named)) = entry(line) else { continue };
        if in_the_folder(&named) != file {
            other = other.or(Some(named));
        } else if found.is_some_and(|found| found != digest) {
            return Err(failure::failed(format!("it has two digests for {file}; {expected}")));
        } else {
            found = Some(digest);
        }
    }
    match (found, other) {
        (Some(digest), _) => Ok(digest),
        (None, Some(other)) if other.rsplit('/').next() == Some(&file) => {
            Err(failure::failed(format!("it names the path `{}`; {expected}", text::line(&other))))
        }
        (None, Some(other)) => Err(failure::failed(format!("it names `{}`; {expected}", text::line(&other)))),
        (None, None) if content.trim().is_empty() => Err(failure::failed(format!("it is empty; {expected}"))),
        (None, None) => Err(failure::failed(format!("it has no sha256 of a file; {expected}"))),
    }
}

/// One line's digest and the file that it is for.
fn entry(line: &str) -> Option<(Digest, String)> {
    let line = line.trim_start_matches([' ', '\t']);
    let line = line.strip_suffix('\r').unwrap_or(line);
    // A backslash in front says that the name has escapes.
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (digest, named) = match line.strip_prefix("SHA256").map(|rest| rest.strip_prefix(' ').unwrap_or(rest)) {
        Some(rest) => {
            let (named, digest) = rest.strip_prefix('(')?.rsplit_once(')')?;
            let digest = digest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
            (digest.trim_start_matches([' ', '\t']), named)
        }
        None => {
            let (digest, named) = line.split_once([' ', '\t'])?;
            // A blank for text, a star for bytes; `md5 -r` and similar tools write neither.
            (digest, named.strip_prefix([' ', '*']).unwrap_or(named))
        }
    };
    let named = if escaped { unescaped(named)? } else { named.to_owned() };
    Some((digest.parse().ok()?, named)).filter(|(_, named)| !named.is_empty())
}

/// Without the `./` in front, which leads nowhere.
fn in_the_folder(mut named: &str) -> &str {
    while let Some(rest) = named.strip_prefix("./") {
        named = rest.trim_start_matches('/');
    }
    named
}

/// As `sha256sum` escapes names: `\\`, `\n` and `\r`.
fn unescaped(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        out.push(if c != '\\' {
            c
        } else {
            match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            }
        });
    }
    Some(out)
}

/// Reads an image's checksum file.
pub fn read(image: &str, path: &Path) -> anyhow::Result<Digest> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| durable::read_error(path.display(), error))?;
    parse(image, &String::from_utf8_lossy(&bytes)).map_err(|error| {
        error
            .context(format!("checksum file {}", path.display()))
            .fix(format_args!("write it again with {}", suggest::command(format_args!("checksum --force {image}"))))
    })
}

/// No checksum file has more bytes; what comes after them is not read.
const LARGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sha256sum_accepts_is_read() {
        let digest = Digest::of(b"x");
        let other = Digest::of(b"y");
        let capital = digest.to_string().to_uppercase();
        for text in [
            line("a", digest),
            format!("{digest} *a.qcow2\r\n"),
            format!("{digest} a.qcow2"),
            format!("{digest}  ./a.qcow2\n"),
            format!("{digest}  .//./a.qcow2\n"),
            format!("{digest}\ta.qcow2\n"),
            format!("  {capital}  a.qcow2\n"),
            format!("SHA256 (a.qcow2) = {digest}\n"),
            format!("SHA256(a.qcow2)= {digest}\n"),
            format!("\\{digest}  a.qcow2\n"),
            format!("# by hand\n\n{digest}  a.qcow2\n"),
            format!("{other}  b.qcow2\n{digest}  a.qcow2\n{digest}  a.qcow2\n"),
            format!("nothing\n{digest}  a.qcow2\n"),
        ] {
            assert_eq!(parse("a", &text).unwrap(), digest, "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_it_is() {
        let digest = Digest::of(b"x");
        let utf16: Vec<u8> =
            format!("\u{feff}{digest}  a.qcow2\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = String::from_utf8_lossy(&utf16).into_owned();
        for (text, why) in [
            (String::new(), "it is empty"),
            ("\n".to_owned(), "it is empty"),
            (format!("{digest}\n"), "no sha256"),
            ("xyz  a.qcow2\n".to_owned(), "no sha256"),
            (format!("SHA512 (a.qcow2) = {digest}\n"), "no sha256"),
            (format!("{digest}  b.qcow2\n"), "it names `b.qcow2`"),
            (format!("{digest}  ../a.qcow2\n"), "it names the path `../a.qcow2`"),
            (format!("{digest}  /srv/images/a.qcow2\n"), "it names the path"),
            (format!("{digest}  a.qcow2\n{}  a.qcow2\n", Digest::of(b"y")), "two digests"),
            (utf16.clone(), "UTF-16"),
            (utf16.replace('\0', ""), "UTF-16"),
            (format!("\u{feff}{digest}  a.qcow2\n"), "byte order mark"),
            (format!("{digest}  \u{1b}[2J.qcow2\n"), "\\u{1b}[2J"),
        ] {
            let error = parse("a", &text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("`<64 hex>  a.qcow2`"), "{text:?}: {error}");
        }
    }

    #[test]
    fn hostile_checksum_files() {
        let line = format!("{0}  a.qcow2\n{0} *b.qcow2\r\n# x\n", Digest::of(b"x"));
        let tagged = format!("SHA256 (a.qcow2) = {}\n\\{}  a\\\\.qcow2\n", Digest::of(b"x"), Digest::of(b"y"));
        crate::hostile::try_with(&[line.as_bytes(), tagged.as_bytes()], |bytes| {
            let _ = parse("a", &String::from_utf8_lossy(bytes));
        });
    }
}
