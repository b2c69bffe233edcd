//! What a template starts from, by its own HCL, and what upstream publishes for that today.
//!
//! For engines that have no script which asks, and keep no record of it. Only plain strings and plain defaults of variables are
//! read; nothing is evaluated, and a template that needs more is an error. Used by `decide` and `host`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use xshell::cmd;

use super::hcl::{self, Attribute};
use super::{History, Listing};
use crate::failure::{self, Advice as _};
use crate::process::{self, Patience, Stream};
use crate::text;

/// The engine's own script that asks.
pub const SCRIPT: &str = "base-images.sh";

/// Bytes of a list of digests.
const LARGEST: u64 = 1 << 20;

/// What upstream publishes for a template today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub url: String,
    /// `sha512:<hex>`; `None` without an answer.
    pub digest: Option<String>,
    pub version: Option<String>,
}

/// A base image as a template names it.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    url: String,
    checksum: String,
}

/// An image's template, as packer reads it: several files, and values beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    image: String,
    attributes: Vec<Attribute>,
}

impl Template {
    /// As it is in a listing. A file whose bytes this clone lacks is passed over.
    pub fn read(history: &mut History, listing: &Listing, image: &str) -> anyhow::Result<Self> {
        let own = listing.template(image).unwrap_or_default();
        let is_flat = own == format!("templates/{image}.pkr.hcl");
        let folder = Path::new(&own).parent();
        let is_read = |path: &str| {
            Path::new(path).parent() == folder
                && (path.ends_with(".auto.pkrvars.hcl")
                    || if is_flat { path == own } else { path.ends_with(".pkr.hcl") })
        };
        let mut attributes = Vec::new();
        for (_, file) in listing.files.iter().filter(|(path, _)| is_read(path)) {
            if let Some(bytes) = history.read(&file.id)? {
                attributes.extend(hcl::attributes(&String::from_utf8_lossy(&bytes)));
            }
        }
        Ok(Self { image: image.to_owned(), attributes })
    }

    /// Asks upstream. The inner error: no answer, which a later call may get.
    ///
    /// # Errors
    ///
    /// Exit code 3: the template doesn't say what to ask for.
    pub fn ask(&self) -> anyhow::Result<Result<Upstream, String>> {
        let cannot = |why| {
            failure::missing(format!("the base image of {} cannot be asked for: {why}", self.image))
                .fix("leave --base-images out, or write the URL and its checksum into the template")
        };
        let named = named(&self.attributes).map_err(cannot)?;
        let digest = match checksum(&named.checksum).map_err(cannot)? {
            Checksum::Digest(digest) => Ok(digest),
            Checksum::List(list) => read(&list)?.and_then(|sums| {
                let file = file_of(&named.url);
                digest_in(&sums, file)
                    .ok_or_else(|| format!("{} has no digest for {file}", text::without_logins(&list)))
            }),
        };
        let (url, version) = (text::without_logins(&named.url), version(&named.url));
        Ok(digest.map(|digest| Upstream { url, digest: Some(digest), version }))
    }
}

/// The one base image of all sources.
fn named(attributes: &[Attribute]) -> Result<Named, String> {
    let in_source = |it: &&Attribute| it.blocks.iter().any(|block| block.starts_with("source "));
    let the = |name: &str| {
        let found: BTreeSet<&str> =
            attributes.iter().filter(in_source).filter(|it| it.name == name).map(|it| it.value.as_str()).collect();
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(value), None) => literal(attributes, value).ok_or_else(|| {
                let value = text::line(&text::without_logins(value));
                format!("its {name} is `{value}`, which is neither a plain string nor a variable with a plain default")
            }),
            (Some(_), Some(_)) => Err(format!("its template has several {name}")),
            (None, _) => Err(format!("no source in its template has {name}")),
        }
    };
    Ok(Named { url: the("iso_url")?, checksum: the("iso_checksum")? })
}

/// A plain string, or the plain string that a variable or a local stands for.
fn literal(attributes: &[Attribute], value: &str) -> Option<String> {
    let plain = |it: &Attribute| it.literal().map(str::to_owned);
    if let Some(name) = value.strip_prefix("var.") {
        // Something else may come from a file of values, which packer reads by itself.
        let set = |it: &Attribute| it.blocks.is_empty() && it.name == name;
        let block = [format!("variable {name}")];
        let default = attributes.iter().find(|it| it.blocks == block && it.name == "default");
        return default.filter(|_| !attributes.iter().any(set)).and_then(plain);
    }
    if let Some(name) = value.strip_prefix("local.") {
        return attributes.iter().find(|it| it.blocks == ["locals"] && it.name == name).and_then(plain);
    }
    let written = Attribute { blocks: Vec::new(), name: String::new(), value: value.to_owned() };
    written.literal().map(str::to_owned)
}

#[derive(Debug, PartialEq, Eq)]
enum Checksum {
    Digest(String),
    /// The URL of a list of digests.
    List(String),
}

/// packer's forms: `sha256:HEX`, `HEX` alone, `file:URL`.
fn checksum(text: &str) -> Result<Checksum, String> {
    if let Some(list) = text.strip_prefix("file:") {
        let path = list.strip_prefix("file://").unwrap_or(list.strip_prefix("//").unwrap_or(list));
        return match list {
            _ if path.starts_with('/') => Ok(Checksum::List(format!("file://{path}"))),
            _ if list.starts_with("http://") || list.starts_with("https://") => Ok(Checksum::List(list.to_owned())),
            _ => Err(format!(
                "its iso_checksum `{}` is not an absolute path and not an http or https URL",
                text::line(text)
            )),
        };
    }
    let hex = ["sha256:", "sha512:"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    digest(hex)
        .filter(|digest| !text.contains(':') || digest.eq_ignore_ascii_case(text))
        .map(Checksum::Digest)
        .ok_or_else(|| format!("its iso_checksum `{}` is not a SHA-256, a SHA-512 or a `file:` list", text::line(text)))
}

/// `sha512:HEX` or `sha256:HEX`, by its length.
fn digest(hex: &str) -> Option<String> {
    let kind = match hex.len() {
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{kind}:{}", hex.to_ascii_lowercase()))
}

/// The name that a list of digests has for what a URL leads to.
fn file_of(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// Of `HEX  NAME` lines, or of `SHA512 (NAME) = HEX`.
fn digest_in(sums: &str, file: &str) -> Option<String> {
    sums.lines().find_map(|line| {
        let (hex, name) = match line.split_once(") = ") {
            Some((begin, hex)) => (hex.trim(), begin.split_once(" (")?.1),
            None => line.split_once(char::is_whitespace).map(|(hex, name)| (hex, name.trim()))?,
        };
        let name = name.trim_start_matches('*').trim_start_matches("./");
        if name == file { digest(hex) } else { None }
    })
}

/// As Debian has it in a folder's name: `20250703-2162`.
fn version(url: &str) -> Option<String> {
    let is_version = |part: &&str| {
        part.split_once('-').is_some_and(|(date, build)| {
            date.len() == 8
                && !build.is_empty()
                && [date, build].iter().all(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    url.split('/').find(is_version).map(str::to_owned)
}

/// Reads a small file. The inner error: why it cannot be read now.
fn read(url: &str) -> anyhow::Result<Result<String, String>> {
    let sh = process::shell()?;
    let limits = ["--connect-timeout", "15", "--max-time", "60", "--proto", "=http,https,file"];
    // Where everybody on the way can answer, no redirect leads.
    let redirects = if url.to_ascii_lowercase().starts_with("https:") { "=https" } else { "=http,https" };
    // The URL may hold a password: arguments are for all to see, standard input isn't.
    let config = format!("url = \"{url}\"\n");
    let patience = Patience { stall: Duration::from_secs(60), answer: Duration::from_secs(60) };
    let feed: process::Feed<'_> = Box::new(move |input| Ok(input.write_all(config.as_bytes())?));
    let mut bytes = Vec::new();
    let drain: process::Drain<'_> = Box::new(|output| {
        output.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(())
    });
    let stream = Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: true };
    let finished = process::stream(cmd!(sh, "curl -fsSL {limits...} --proto-redir {redirects} -K -"), stream)?.finished;
    let why = match bytes.len() as u64 {
        ..=LARGEST if finished.status.success() => return Ok(Ok(String::from_utf8_lossy(&bytes).into_owned())),
        ..=LARGEST => finished.stderr.trim().to_owned(),
        _ => format!("it has more than {LARGEST} bytes"),
    };
    Ok(Err(format!("cannot read {}: {why}", text::without_logins(url))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of(source: &str, beside: &str) -> Result<Named, String> {
        named(&hcl::attributes(&format!("source \"qemu\" \"a\" {{\n{source}\n}}\n{beside}\n")))
    }

    #[test]
    fn plain_strings_and_defaults_are_read() {
        let expected = Ok(Named { url: "https://x/a".into(), checksum: "file:https://x/S".into() });
        let checksum = "iso_checksum = \"file:https://x/S\"";
        for (url, beside) in [
            ("iso_url = \"https://x/a\" # the base", ""),
            ("iso_url = var.u", "variable \"u\" {\n  type = string\n  default = \"https://x/a\"\n}"),
            ("iso_url = local.u", "locals {\n  u = \"https://x/a\"\n}"),
            ("iso_url = \"https://x/a\"", "source \"qemu\" \"b\" {\n  iso_url = \"https://x/a\"\n}"),
        ] {
            assert_eq!(of(&format!("{url}\n{checksum}"), beside), expected, "{url}");
        }
        for (url, beside) in [
            ("iso_url = \"${var.m}/a\"", "variable \"m\" { default = \"https://x\" }"),
            ("iso_url = format(\"https://%s\", \"x/a\")", ""),
            ("iso_url = var.u", "variable \"u\" {\n  type = string\n}"),
            ("iso_url = var.u", "variable \"u\" { default = env(\"U\") }"),
            ("iso_url = var.u", "variable \"u\" { default = \"https://x/a\" }\nu = \"https://y/a\""),
            ("iso_urls = [\"https://x/a\"]", ""),
            ("iso_url = \"https://x/a\"", "source \"qemu\" \"b\" {\n  iso_url = \"https://x/b\"\n}"),
            ("# iso_url = \"https://x/a\"", ""),
        ] {
            assert!(of(&format!("{url}\n{checksum}"), beside).is_err(), "{url} {beside}");
        }
    }

    #[test]
    fn checksums_are_read_in_packers_forms() {
        let list = |url: &str| Ok(Checksum::List(url.to_owned()));
        let sha256 = || Ok(Checksum::Digest(format!("sha256:{HEX}")));
        for (text, expected) in [
            ("file:https://x/S", list("https://x/S")),
            ("file:///srv/S", list("file:///srv/S")),
            ("file:/srv/S", list("file:///srv/S")),
            ("file:file:///srv/S", list("file:///srv/S")),
            (HEX, sha256()),
            (&format!("sha256:{}", HEX.to_uppercase()), sha256()),
        ] {
            assert_eq!(checksum(text), expected, "{text}");
        }
        for text in ["none", "", "md5:0123", &format!("sha512:{HEX}"), "file:./S", "file://host/S", "file:ftp://x/S"] {
            assert!(checksum(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_has_a_line_for_the_file() {
        let sums = format!("{HEX}  other\n{HEX} *./a.qcow2\nSHA256 (b c.qcow2) = {HEX}\nshort  d\n");
        for (url, found) in
            [("https://x/a.qcow2?y=z", true), ("https://x/b c.qcow2", true), ("d", false), ("qcow2", false)]
        {
            assert_eq!(digest_in(&sums, file_of(url)).is_some(), found, "{url}");
        }
        assert_eq!(version("https://x/20250703-2162/a"), Some("20250703-2162".to_owned()));
        assert_eq!(version("https://x/latest/a-20250703"), None);
    }
}
