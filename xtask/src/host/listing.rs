//! What is in a build host's packer directory, asked with one connection.
//!
//! Only images that were asked for, under plain names below `images/`, are ever taken; what the host prints is text from outside.
//! [`super::run`] asks before and after each build, [`super::fetch`] again when bytes don't match.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::image::{checksum, name};
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
    /// The images asked for that are there, by name.
    pub images: BTreeMap<String, Remote>,
    /// Images asked for, by name: a folder or a file of the image that this account may not read.
    pub unreadable: BTreeMap<String, String>,
    /// What the engine's own cache compares, by image: shown to people, never trusted.
    pub cache_keys: BTreeMap<String, Digest>,
    /// Files beside the images, with names that no image has.
    pub odd: Vec<String>,
    /// Copies of the images in other folders, which are not taken.
    pub others: Vec<String>,
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

    /// Files that are not taken, a sentence for each kind.
    pub fn passed_over(&self, host: &Host) -> Vec<String> {
        const SHOWN: usize = 3;
        let reasons = [
            (&self.odd, "ignored: not the name of an image"),
            (&self.others, "ignored: another file of the same image is used"),
        ];
        let told = reasons.into_iter().filter(|(files, _)| !files.is_empty()).map(|(files, why)| {
            let shown: Vec<String> = files.iter().take(SHOWN).map(|path| format!("`{}`", text::line(path))).collect();
            let more = files.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{host} has {}{more}, {why}", shown.join(", "))
        });
        told.collect()
    }
}

fn denied(host: &Host, path: &str) -> anyhow::Error {
    let error = failure::missing(format!("no permission to read {} on {host}", text::line(path)));
    error.fix(trouble::readable(host))
}

/// An image on a build host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970, or before it.
    pub modified: i64,
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
            let error = failure::missing(format!("{host} has image {image} without its checksum file {file}"));
            return Err(Fault::image(error.fix(format!(
                "build the image again with `--force`, or, if it is known to be good, write the file there: `./checksums.sh {image}`"
            ))));
        };
        let written = self.written.strip_suffix(name::EXTENSION).unwrap_or(&self.written);
        checksum::parse(image, text).or_else(|error| checksum::parse(written, text).map_err(|_| error)).map_err(|error| {
            let error = error.context(format!("checksum file {file} on {host} is damaged"));
            Fault::image(error.fix(format!(
                "build the image again with `--force`, or, if it is known to be good, remove the file there and run `./checksums.sh {image}`"
            )))
        })
    }
}

/// Asks a host what it has. Only files under the names asked for are ever taken.
pub fn ask(ssh: &Ssh, dir: &RemoteDir, images: &[&str]) -> Result<Listing, Fault> {
    let dir_text = dir.to_string();
    let arguments: Vec<&str> = std::iter::once(dir_text.as_str()).chain(images.iter().copied()).collect();
    let answer = ssh.script(include_str!("listing.sh"), &arguments)?;
    parse(&ssh.host, dir, images, &answer)
}

pub fn parse(host: &Host, dir: &RemoteDir, asked: &[&str], output: &[u8]) -> Result<Listing, Fault> {
    let mut fields = Fields::of(host, dir, output)?;
    let mut listing = Listing::default();
    loop {
        match fields.next()? {
            b"end" => return Ok(listing),
            b"no-folder" => {
                let error = failure::missing(format!("{host} has no folder {dir}"));
                return Err(Fault::host(error.fix(super::folder::FIX)));
            }
            b"denied" => return Err(Fault::host(denied(host, &fields.text()?))),
            b"engine" => {
                let script = if fields.next()? == b"build" { "build" } else { "build.sh" };
                listing.engine = Some(Engine { script, knows_force: fields.next()? == b"knows" });
            }
            b"file" => listing.odd.extend(Some(fields.text()?).filter(|path| !is_image_path(path))),
            b"cache-key" => {
                let name = fields.text()?;
                let key = fields.text()?.parse().map_err(|_| fields.cut_short())?;
                listing.cache_keys.insert(name, key);
            }
            b"other" => {
                fields.next()?;
                listing.others.push(fields.text()?);
            }
            b"unreadable" => {
                let name = fields.text()?;
                listing.unreadable.insert(name, fields.text()?);
            }
            b"image" => {
                let (name, image) = fields.image()?;
                if !asked.contains(&name.as_str()) {
                    let name = name.escape_debug();
                    let error = failure::failed(format!("{host} lists image `{name}`, which was not asked for"));
                    return Err(Fault::host(error));
                }
                match image.files.iter().find(|path| !is_image_path(of_part(path))) {
                    Some(odd) => listing.odd.push(odd.clone()),
                    None => drop(listing.images.insert(name, image)),
                }
            }
            other => {
                let other = String::from_utf8_lossy(other);
                let error = format!("the listing of {dir} on {host} has the unknown field `{}`", other.escape_debug());
                return Err(Fault::host(failure::failed(error)));
            }
        }
    }
}

/// The fields of a listing, in the order in which the host wrote them.
struct Fields<'a> {
    host: &'a Host,
    dir: &'a RemoteDir,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(host: &'a Host, dir: &'a RemoteDir, output: &'a [u8]) -> Result<Self, Fault> {
        // What follows the last NUL was cut short, or is another program's.
        let whole = output.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1);
        Ok(Self { host, dir, rest: &output[..whole] })
    }

    fn cut_short(&self) -> Fault {
        let error = failure::failed(format!("the listing of {} on {} is incomplete", self.dir, self.host));
        Fault::line(error.fix("try again"))
    }

    fn next(&mut self) -> Result<&'a [u8], Fault> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.cut_short())?;
        let field = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(field)
    }

    fn text(&mut self) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(self.next()?).into_owned())
    }

    /// An image and its name.
    fn image(&mut self) -> Result<(String, Remote), Fault> {
        let (name, written) = (self.text()?, self.text()?);
        let (mut size, mut modified, mut stamps, mut files) = (0_u64, i64::MIN, Vec::new(), Vec::new());
        while self.next()? == b"bytes" {
            files.push(self.text()?);
            let stat = self.text()?;
            let (bytes, seconds, stamp) = stat_line(&stat).ok_or_else(|| {
                let (stat, name) = (stat.trim_end().escape_debug(), name.escape_debug());
                let error = failure::failed(format!("`stat` on {} printed `{stat}` for image {name}", self.host));
                Fault::host(error.fix("install GNU coreutils on the host"))
            })?;
            size = size.saturating_add(bytes);
            modified = modified.max(seconds);
            stamps.push(stamp);
        }
        let (checksum, versions, record) = (self.small(&name)?, self.small(&name)?, self.small(&name)?);
        let stamp = stamps.join(" ");
        Ok((name, Remote { size, modified, stamp, files, written, checksum, versions, record }))
    }

    /// The content of a small file, if it is there.
    fn small(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.next()?.split_first() {
            Some((b'-', [])) => Ok(None),
            Some((b'+', content)) if content.len() <= SMALL => Ok(Some(String::from_utf8_lossy(content).into_owned())),
            Some((b'+', _)) => Err(Fault::image(
                failure::failed(format!(
                    "the checksum file, version file or build record of image {} on {} has more than {SMALL} bytes",
                    name.escape_debug(),
                    self.host
                ))
                .fix("build the image again there with `--force`"),
            )),
            _ => Err(self.cut_short()),
        }
    }
}

/// `size seconds inode time`
fn stat_line(line: &str) -> Option<(u64, i64, String)> {
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
            "cache-key",
            "a",
            &"0a".repeat(32),
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
        assert_eq!(listing.cache_keys["a"].to_string(), "0a".repeat(32));
        assert!(listed(&["cache-key", "a", "x", "end"]).is_err());
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
            let said = listed(&["file", path, "file", "images/a/b.qcow2", "end"]).unwrap().passed_over(&host);
            assert!(said.len() == 1 && said[0].contains(shown), "{said:?}");
        }
        assert!(Listing::default().passed_over(&host).is_empty());
        let said = listed(&["other", "a", "images/old/a.qcow2", "end"]).unwrap().passed_over(&host);
        assert!(said.len() == 1 && said[0].contains("`images/old/a.qcow2`"), "{said:?}");
    }

    #[test]
    fn what_may_not_be_read_is_said_with_its_path() {
        let host: Host = "build1".parse().unwrap();
        let fault = listed(&["denied", "/srv/packer", "end"]).unwrap_err();
        assert!(fault.error.to_string().contains("no permission to read /srv/packer on build1"), "{}", fault.error);
        let listing = listed(&["unreadable", "a", "/srv/packer/images/a/a.qcow2.sha256", "end"]).unwrap();
        let error = listing.image(&host, "a").unwrap_err().error;
        assert!(
            error.to_string().contains("images/a/a.qcow2.sha256 on build1\nfix: on build1, let this account"),
            "{error}"
        );
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
                let said = listing.passed_over(&host).concat();
                assert!(!said.contains(crate::text::is_obeyed), "{said:?}");
            }
        });
    }
}
