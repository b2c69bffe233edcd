//! What lies in a build host's packer directory, asked for with one connection.

use std::collections::BTreeMap;

use crate::failure;
use crate::image::digest::Digest;
use crate::image::{checksum, name, record};
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{Host, RemoteDir, Ssh};
use crate::text;

/// Larger than any checksum file, version file or build record.
const SMALL: usize = 1 << 20;

/// An engine's build script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// `build.sh` or `build`.
    pub script: &'static str,
    /// It has the word `--force`.
    pub knows_force: bool,
}

/// What one host has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub engine: Option<Engine>,
    /// Those asked for that are there, by name.
    pub images: BTreeMap<String, Remote>,
    /// Of those asked for, by name: a path on the way to it, or a file of it, that this login may not read.
    pub unreadable: BTreeMap<String, String>,
    /// Files beside the images under names that no image has.
    pub odd: Vec<String>,
}

impl Listing {
    /// The image of this name, if it is there.
    ///
    /// # Errors
    ///
    /// Exit code 3 when the login may not read it.
    pub fn image(&self, host: &Host, name: &str) -> Result<Option<&Remote>, Fault> {
        match self.unreadable.get(name) {
            Some(path) => Err(Fault::image(denied(host, path))),
            None => Ok(self.images.get(name)),
        }
    }

    /// In one sentence, for those who may wonder.
    pub fn odd_files(&self, host: &Host) -> Option<String> {
        const SHOWN: usize = 3;
        let shown: Vec<String> = self.odd.iter().take(SHOWN).map(|path| format!("`{}`", text::line(path))).collect();
        let more = self.odd.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!shown.is_empty())
            .then(|| format!("{host} has {}{more}, which can't be an image by its name; passed over", shown.join(", ")))
    }
}

fn denied(host: &Host, path: &str) -> anyhow::Error {
    failure::missing(format!("no permission to read {} on {host}; {}", text::line(path), trouble::readable(host)))
}

/// An image on a build host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Inode and time to the nanosecond, of each file: another file, or other bytes in it, have another stamp.
    pub stamp: String,
    /// Below the packer directory: the image, or its parts in order.
    pub files: Vec<String>,
    /// The name that the engine gave to what the image's name links to: `deb12.13-custom.qcow2`.
    pub written: String,
    /// The checksum file's content; `None` without one.
    pub checksum: Option<String>,
    /// `image-version.txt`
    pub versions: Option<String>,
    /// The build record's content.
    pub record: Option<String>,
}

impl Remote {
    /// Whether it was built since: an engine's exit code 0 is no proof. A new file, or other bytes in the old one.
    pub fn is_another_than(&self, before: &Self) -> bool {
        let inodes =
            |remote: &Self| -> Vec<String> { remote.stamp.split_whitespace().step_by(4).map(str::to_owned).collect() };
        self.stamp != before.stamp && (inodes(self) != inodes(before) || self.checksum != before.checksum)
    }

    /// What the checksum file beside the image promises.
    ///
    /// # Errors
    ///
    /// Exit code 3 when there is none; 1 when it is damaged.
    pub fn promised(&self, host: &Host, image: &str) -> Result<Digest, Fault> {
        let file = name::checksum(image);
        let Some(text) = &self.checksum else {
            return Err(Fault::image(failure::missing(format!(
                "{host} has image {image} without its checksum file {file}, so it can't be verified; build it anew \
                 with `--force`, or write the file there (`./checksums.sh {image}`) if the image is known to be good"
            ))));
        };
        let written = self.written.strip_suffix(name::EXTENSION).unwrap_or(&self.written);
        checksum::parse(image, text).or_else(|error| checksum::parse(written, text).map_err(|_| error)).map_err(
            |error| {
                Fault::image(failure::failed(format!(
                    "checksum file {file} on {host} is damaged: {error:#}; build the image anew with \
                 `--force`, or, if it is known to be good, remove the file there and run `./checksums.sh {image}`"
                )))
            },
        )
    }
}

/// Asks a host what it has. Only files under the names asked for are ever taken.
pub fn ask(ssh: &Ssh, dir: &RemoteDir, images: &[&str]) -> Result<Listing, Fault> {
    let dir_text = dir.to_string();
    let arguments: Vec<&str> = std::iter::once(dir_text.as_str()).chain(images.iter().copied()).collect();
    let answer = ssh.script(include_str!("listing.sh"), "packer-listing\0", &arguments)?;
    parse(&ssh.host, dir, images, &answer.text)
}

fn parse(host: &Host, dir: &RemoteDir, asked: &[&str], output: &[u8]) -> Result<Listing, Fault> {
    let cut_short =
        || Fault::line(failure::failed(format!("the listing of {dir} on {host} is not complete; try again")));
    // What follows the last NUL was cut short, or is somebody else's.
    let whole = output.iter().rposition(|byte| *byte == 0).ok_or_else(cut_short)?;
    let mut fields = output[..whole].split(|byte| *byte == 0);
    let mut listing = Listing::default();
    loop {
        let mut next = || fields.next().ok_or_else(cut_short);
        match next()? {
            b"end" => return Ok(listing),
            b"no-folder" => {
                return Err(Fault::host(failure::missing(format!(
                    "{host} has no folder {dir}; {}",
                    super::doctor::ENGINE
                ))));
            }
            b"engine" => {
                let script = if next()? == b"build" { "build" } else { "build.sh" };
                listing.engine = Some(Engine { script, knows_force: next()? == b"knows" });
            }
            b"denied" => {
                let path = String::from_utf8_lossy(next()?).into_owned();
                return Err(Fault::host(denied(host, &path)));
            }
            b"file" => {
                let path = String::from_utf8_lossy(next()?).into_owned();
                if !is_image_path(&path) {
                    listing.odd.push(path);
                }
            }
            b"unreadable" => {
                let name = String::from_utf8_lossy(next()?).into_owned();
                let path = String::from_utf8_lossy(next()?).into_owned();
                listing.unreadable.insert(name, path);
            }
            b"image" => {
                let name = String::from_utf8_lossy(next()?).into_owned();
                let written = String::from_utf8_lossy(next()?).into_owned();
                let mut files = Vec::new();
                let (mut size, mut modified, mut stamps) = (0_u64, 0, Vec::new());
                while next()? == b"bytes" {
                    let path = String::from_utf8_lossy(next()?).into_owned();
                    let stat = String::from_utf8_lossy(next()?).into_owned();
                    let (bytes, seconds, stamp) = stat_line(&stat).ok_or_else(|| {
                        Fault::host(failure::failed(format!(
                            "`stat` on {host} says `{}` of image {}; GNU coreutils are needed there",
                            stat.trim_end().escape_debug(),
                            name.escape_debug()
                        )))
                    })?;
                    size = size.saturating_add(bytes);
                    modified = modified.max(seconds);
                    stamps.push(stamp);
                    files.push(path);
                }
                let mut small = || match next()?.split_first() {
                    Some((b'-', [])) => Ok(None),
                    Some((b'+', content)) if content.len() <= SMALL => {
                        Ok(Some(String::from_utf8_lossy(content).into_owned()))
                    }
                    Some((b'+', _)) => Err(Fault::image(failure::failed(format!(
                        "a file beside image {} on {host} has more than {SMALL} bytes; it can't be a checksum file, \
                         {} or a build record",
                        name.escape_debug(),
                        record::VERSIONS_FILE
                    )))),
                    _ => Err(cut_short()),
                };
                let (checksum, versions, record) = (small()?, small()?, small()?);
                if !asked.contains(&name.as_str()) {
                    return Err(Fault::host(failure::failed(format!(
                        "{host} lists image `{}`, which nobody asked for",
                        name.escape_debug()
                    ))));
                }
                if let Some(odd) = files.iter().find(|path| !is_image_path(of_part(path))) {
                    listing.odd.push(odd.clone());
                    continue;
                }
                let stamp = stamps.join(" ");
                let image = Remote { size, modified, stamp, files, written, checksum, versions, record };
                listing.images.insert(name, image);
            }
            other => {
                return Err(Fault::host(failure::failed(format!(
                    "the listing of {dir} on {host} has `{}`, which is not understood",
                    String::from_utf8_lossy(other).escape_debug()
                ))));
            }
        }
    }
}

/// `size seconds inode time`
fn stat_line(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.trim_end().splitn(3, ' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned()))
}

/// The image's path, of the path of one of its parts.
fn of_part(path: &str) -> &str {
    path.rsplit_once(".part").filter(|(_, letters)| letters.len() == 2).map_or(path, |(whole, _)| whole)
}

/// Only `images/FOLDER/FILE.qcow2` in plain characters.
fn is_image_path(path: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let file = path.strip_prefix("images/").and_then(|rest| rest.split_once('/'));
    file.and_then(|(folder, file)| Some((folder, file.strip_suffix(name::EXTENSION)?)))
        .is_some_and(|(folder, image)| plain(folder) && plain(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(fields: &[&str]) -> Result<Listing, Fault> {
        let mut output = Vec::new();
        for field in fields {
            output.extend_from_slice(field.as_bytes());
            output.push(0);
        }
        parse(&"build1".parse().unwrap(), &"/srv/packer".parse().unwrap(), &["a"], &output)
    }

    #[test]
    fn a_listing_is_read() {
        let stat = "12 1700000000 99 2023-11-14 22:13:20.5 +0000\n";
        let listing = listed(&[
            "engine",
            "build",
            "knows",
            "file",
            "images/a/a.qcow2",
            "file",
            "images/old/b.qcow2",
            "image",
            "a",
            "deb.qcow2",
            "bytes",
            "images/old/deb.qcow2.partaa",
            stat,
            "bytes",
            "images/old/deb.qcow2.partab",
            "8 1700000002 7 later",
            "small",
            "+x\n",
            "-",
            "+",
            "end",
        ])
        .unwrap();
        assert_eq!(listing.engine, Some(Engine { script: "build", knows_force: true }));
        let expected = Remote {
            size: 20,
            modified: 1_700_000_002,
            stamp: "99 2023-11-14 22:13:20.5 +0000 7 later".into(),
            files: vec!["images/old/deb.qcow2.partaa".into(), "images/old/deb.qcow2.partab".into()],
            written: "deb.qcow2".into(),
            checksum: Some("x\n".into()),
            versions: None,
            record: Some(String::new()),
        };
        assert_eq!(listing.images, BTreeMap::from([("a".to_owned(), expected)]));
    }

    #[test]
    fn names_that_lead_elsewhere_are_passed_over_and_shown_escaped() {
        let host: Host = "build1".parse().unwrap();
        for (path, shown) in [
            ("images/a/../b.qcow2", "images/a/../b.qcow2"),
            ("images/../../etc/x.qcow2", "images/../../etc/x.qcow2"),
            ("images/a/b\nc.qcow2", "b\\nc"),
            ("images/a/b'c.qcow2", "b'c"),
            ("images/a\"b/c.qcow2", "a\"b"),
            ("images/a/-x.qcow2", "-x"),
            ("images/a/..qcow2", "..qcow2"),
            ("/etc/x.qcow2", "/etc/x.qcow2"),
            ("images/a/\u{1b}[2J.qcow2", "\\u{1b}[2J"),
        ] {
            let said = listed(&["file", path, "file", "images/a/b.qcow2", "end"]).unwrap().odd_files(&host).unwrap();
            assert!(said.contains(shown), "{said}");
        }
        assert_eq!(Listing::default().odd_files(&host), None);
    }

    #[test]
    fn what_may_not_be_read_is_said_with_its_path() {
        let host: Host = "build1".parse().unwrap();
        let fault = listed(&["denied", "/srv/packer", "end"]).unwrap_err();
        assert!(fault.error.to_string().contains("no permission to read /srv/packer on build1"), "{}", fault.error);
        let listing = listed(&["unreadable", "a", "/srv/packer/images/a/a.qcow2.sha256", "end"]).unwrap();
        let error = listing.image(&host, "a").unwrap_err().error;
        assert!(error.to_string().contains("images/a/a.qcow2.sha256 on build1; on build1, let this login"), "{error}");
        assert_eq!(failure::kind(&error), failure::Kind::Missing);
        assert!(listing.image(&host, "b").unwrap().is_none());
    }

    #[test]
    fn a_listing_that_breaks_off_is_not_believed() {
        let stat = "12 1700000000 99 x";
        let image = |name, stat| ["image", name, "a.qcow2", "bytes", "images/a/a.qcow2", stat, "small"];
        let good = image("a", stat);
        assert!(listed(&[&good[..], &["-", "-", "-", "end"]].concat()).is_ok());
        for fields in [
            &[][..],
            &["engine"],
            &["engine", "build.sh", "-"],
            &good,
            &[&good[..], &["+"]].concat(),
            &[&good[..], &["+", "-", ""]].concat(),
        ] {
            assert!(listed(fields).is_err(), "{fields:?}");
        }
        let rest = ["-", "-", "-", "end"];
        assert!(listed(&[&image("b", stat)[..], &rest].concat()).is_err(), "not asked for");
        assert!(listed(&[&image("a", "")[..], &rest].concat()).is_err(), "no stat");
    }

    #[test]
    fn an_image_whose_file_leads_elsewhere_is_passed_over() {
        for path in ["images/../x/a.qcow2", "/etc/passwd", "images/a/b c.qcow2.partaa", "images/a/a.qcow2.part../x"] {
            let fields = ["image", "a", "a.qcow2", "bytes", path, "12 1700000000 99 x", "small", "-", "-", "-", "end"];
            let listing = listed(&fields).unwrap();
            assert!(listing.images.is_empty() && listing.odd == [path], "{listing:?}");
        }
    }

    #[test]
    fn hostile_listings() {
        let example: &[u8] =
            b"engine\0build.sh\0knows\0file\0images/a/a.qcow2\0image\0a\0a.qcow2\0bytes\0images/a/a.qcow2\x0012 \
            1700000000 99 x\n\0small\0+x\n\0-\0+\0unreadable\0b\0/x\0end\0";
        crate::hostile::try_with(&[example], |bytes| {
            let host = "build1".parse().unwrap();
            if let Ok(listing) = parse(&host, &"/srv/packer".parse().unwrap(), &["a", "b"], bytes) {
                assert!(listing.images.keys().all(|name| name == "a" || name == "b"));
                let said = listing.odd_files(&host).unwrap_or_default();
                assert!(!said.contains(crate::text::is_obeyed), "{said:?}");
            }
        });
    }
}
