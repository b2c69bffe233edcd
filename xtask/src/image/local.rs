//! The images folder: which images, parts, checksum files and records lie there, flat or one folder an image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::name::{self, Role};
use super::record::{self, BuildRecord, Facts, FileEntry};
use super::stamp::Stamp;
use super::{checksum, durable, hash, parts, qcow2};
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::suggest;
use anyhow::Context as _;

/// What lies in the images folder under one image's name. Nothing has been judged yet.
#[derive(Debug, Default, Clone)]
pub struct Files {
    pub whole: Vec<PathBuf>,
    /// By suffix.
    pub parts: BTreeMap<String, Vec<PathBuf>>,
    pub checksum: Vec<PathBuf>,
    /// What `cat <name>.qcow2.part*` would join as well, and is no part: see [`Role::stray_part_of`].
    pub strays: Vec<PathBuf>,
}

/// An image that is there, once, as a regular qcow2 file or as its parts without a gap.
#[derive(Debug, Clone)]
pub struct LocalImage {
    pub name: String,
    pub bytes: Bytes,
    /// What the checksum file promises; `None` when there is no checksum file.
    pub promised: Option<Digest>,
    /// Where the checksum file is, or is to be.
    pub checksum_path: PathBuf,
    /// The build record, if there is one and it is of the promised image.
    pub record: Option<BuildRecord>,
    /// `DEBIAN_VERSION`, `PVE_VERSION`; empty when no file has them.
    pub versions: BTreeMap<String, String>,
    /// The lists that the record names and has the digests of.
    pub lists: Vec<(FileEntry, PathBuf)>,
}

/// All that lies in the images folder, by image name. Hidden files and folders are passed over: a build or a fetch under
/// way keeps its work there. A folder that is a symlink is followed: an image can lie on another disk. What can be reached
/// in two ways is there once.
///
/// # Errors
///
/// Exit code 3 when there is no such folder.
pub fn scan(images: &Path) -> anyhow::Result<BTreeMap<String, Files>> {
    if !images.is_dir() {
        return Err(failure::missing(format!("no images folder {}", images.display())).fix(format_args!(
            "run {}, or name the folder with --images",
            suggest::command("build-and-fetch --host HOST")
        )));
    }
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (name, path) in entries(images)? {
        // A folder with a part's name holds no image, and is in the way of one.
        if path.is_dir() && !name::is_like_a_part(&name) {
            for (name, path) in entries(&path)? {
                if !path.is_dir() || name::is_like_a_part(&name) {
                    add(&mut found, &mut seen, &name, path);
                }
            }
        } else {
            add(&mut found, &mut seen, &name, path);
        }
    }
    Ok(found)
}

/// The entries of a folder that aren't hidden and have a name in UTF-8, by name.
fn entries(dir: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let reading = |error| durable::read_error(format_args!("images folder {}", dir.display()), error);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        if let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')) {
            found.insert(name.to_owned(), entry.path());
        }
    }
    Ok(found)
}

/// Adds a file to those of its image. `seen` holds the folder, by its inode, and the name of each.
fn add(found: &mut BTreeMap<String, Files>, seen: &mut BTreeSet<(u64, u64, String)>, name: &str, path: PathBuf) {
    use std::os::unix::fs::MetadataExt as _;

    let Some(image) = super::name::read_with(name) else { return };
    if let Some(Ok(dir)) = path.parent().map(fs::metadata)
        && !seen.insert((dir.dev(), dir.ino(), name.to_owned()))
    {
        return;
    }
    let files: &mut Files = found.entry(image).or_default();
    match Role::of(name) {
        Some(Role::Part { .. }) if path.is_dir() => files.strays.push(path),
        Some(Role::Whole { .. }) => files.whole.push(path),
        Some(Role::Part { suffix, .. }) => files.parts.entry(suffix).or_default().push(path),
        Some(Role::Checksum { .. }) => files.checksum.push(path),
        None => files.strays.push(path),
    }
}

/// The images among what was found that have bytes, not a checksum file alone.
pub fn present(found: &BTreeMap<String, Files>) -> BTreeSet<String> {
    found
        .iter()
        .filter(|(_, files)| !files.whole.is_empty() || !files.parts.is_empty())
        .map(|(name, _)| name.clone())
        .collect()
}

impl LocalImage {
    /// Judges what lies in the folder under this name.
    ///
    /// # Errors
    ///
    /// Exit code 3: no such image, or a part is missing. Exit code 1: it is there twice, is a symlink, empty, no qcow2,
    /// has a name that GitHub would change, or its checksum file or record is damaged.
    pub fn open(images: &Path, image: &str, files: &Files) -> anyhow::Result<Self> {
        name::check(image)?;
        let paths = files.bytes(images, image)?;
        let mut segments = Vec::new();
        for path in paths {
            segments.push(Segment { stamp: regular(&path)?, path });
        }
        // `bytes` gives at least one path.
        let dir = segments[0].path.parent().unwrap_or(images).to_owned();
        let shown = segments[0].path.display().to_string();
        let bytes = Bytes { segments };
        if bytes.in_parts() {
            files.no_strays(image)?;
        }
        qcow2::check_bytes(&shown, bytes.size(), |at, buffer| {
            bytes.reader(at..at + buffer.len() as u64)?.read_exact(buffer)
        })?;

        let checksum_path =
            one(image, "checksum file", &files.checksum)?.unwrap_or_else(|| dir.join(name::checksum(image)));
        let promised = if files.checksum.is_empty() {
            None
        } else {
            regular(&checksum_path)?;
            Some(checksum::read(image, &checksum_path)?)
        };
        let record = record::read(image, &dir)?.filter(|record| promised == Some(record.sha256));
        let versions = match &record {
            Some(BuildRecord { facts: Facts { versions: Some(known), .. }, .. }) if !known.is_empty() => known.clone(),
            _ => versions_file(&dir)?,
        };
        let lists = record.as_ref().map(|record| lists(image, &dir, record)).transpose()?.unwrap_or_default();
        Ok(Self { name: image.to_owned(), bytes, promised, checksum_path, record, versions, lists })
    }

    /// The digest of the whole image, from its file or its parts.
    ///
    /// # Errors
    ///
    /// Exit code 1 when the image can't be read, or changes while it is read.
    pub fn hash(&self, moved: impl Fn(u64)) -> anyhow::Result<Digest> {
        let file = name::whole(&self.name);
        let size = self.bytes.size();
        let reader = self.bytes.reader(0..size).with_context(|| format!("opening {file}"))?;
        let (digest, read) = hash::stream(reader, moved).with_context(|| format!("reading {file}"))?;
        self.bytes.must_hold()?;
        if read != size {
            return Err(hash::shrunk(&file, size, read));
        }
        Ok(digest)
    }
}

impl Files {
    /// The file, or the parts in order.
    fn bytes(&self, images: &Path, image: &str) -> anyhow::Result<Vec<PathBuf>> {
        if let Some(path) = one(image, "image", &self.whole)? {
            return Ok(vec![path]);
        }
        if self.parts.is_empty() {
            self.no_strays(image)?;
            return Err(failure::missing(format!("no image {} in {}", name::whole(image), images.display()))
                .fix(format_args!("run {}", suggest::command(format_args!("build-and-fetch --host HOST {image}")))));
        }
        if let Some(missing) = parts::gap(self.parts.keys().map(String::as_str)) {
            return Err(failure::missing(format!(
                "part {} is missing in {}",
                name::part(image, &missing),
                images.display()
            ))
            .fix(format_args!(
                "fetch the image again, or run {} where it is whole",
                suggest::command(format_args!("split {image}"))
            )));
        }
        self.parts.values().map(|paths| one(image, "part", paths)).filter_map(Result::transpose).collect()
    }

    /// # Errors
    ///
    /// Exit code 1, naming what `cat` would join with the parts although it is none.
    pub fn no_strays(&self, image: &str) -> anyhow::Result<()> {
        let Some(stray) = self.strays.first() else { return Ok(()) };
        let more = if self.strays.len() > 1 { format!(" (and {} more)", self.strays.len() - 1) } else { String::new() };
        Err(failure::failed(format!(
            "{}{more} is not a part as `split` makes them, and `cat {}*` would join it too",
            stray.display(),
            name::part(image, "")
        ))
        .fix("remove or rename it"))
    }
}

/// `None`, or the one path there is.
fn one(image: &str, what: &str, paths: &[PathBuf]) -> anyhow::Result<Option<PathBuf>> {
    if let [first, second, ..] = paths {
        return Err(failure::failed(format!(
            "two files for the {what} of {image}: {} and {}",
            first.display(),
            second.display()
        ))
        .fix("remove one"));
    }
    Ok(paths.first().cloned())
}

/// The stamp of a regular file.
fn regular(path: &Path) -> anyhow::Result<Stamp> {
    let meta = fs::symlink_metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if meta.is_symlink() {
        return Err(failure::failed(format!("{} is a symlink", path.display())).fix("put the file itself there"));
    }
    if !meta.is_file() {
        return Err(failure::failed(format!("{} is not a regular file", path.display())).fix("remove it"));
    }
    Ok(Stamp::from(&meta))
}

/// The lists that a record names, which must be what it says.
fn lists(image: &str, dir: &Path, record: &BuildRecord) -> anyhow::Result<Vec<(FileEntry, PathBuf)>> {
    let wrong = |what: String| failure::digest(what).fix(format_args!("fetch {image} again, or build it again"));
    record
        .facts
        .check_lists(image)
        .map_err(|what| wrong(format!("in the build record in {}: {what}", dir.display())))?;
    let list = |listed: &FileEntry| {
        let path = dir.join(&listed.file);
        match fs::read(&path) {
            Ok(bytes) if bytes.len() as u64 == listed.size && Digest::of(&bytes) == listed.sha256 => {
                Ok((listed.clone(), path))
            }
            Ok(_) => Err(wrong(format!("the list {} is not the one of the build record", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(wrong(format!("the list {} is missing", path.display())))
            }
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    };
    record.facts.lists().map(list).collect()
}

/// `image-version.txt` of a folder that holds one image. In a flat folder the file could belong to any image.
fn versions_file(dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut images = BTreeSet::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry.with_context(|| format!("reading {}", dir.display()))?;
        images.extend(entry.file_name().to_str().and_then(Role::of).map(|role| role.image().to_owned()));
    }
    if images.len() != 1 {
        return Ok(BTreeMap::new());
    }
    match fs::read_to_string(dir.join(record::VERSIONS_FILE)) {
        Ok(text) => Ok(record::versions(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(durable::read_error(dir.join(record::VERSIONS_FILE).display(), error)),
    }
}

/// The bytes of an image, from one file or from its parts one after the other.
#[derive(Debug, Clone)]
pub struct Bytes {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    path: PathBuf,
    /// As it was when the image was opened.
    stamp: Stamp,
}

impl Segment {
    fn size(&self) -> u64 {
        self.stamp.size
    }
}

impl Bytes {
    pub fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// Whether the image lies there as parts.
    pub fn in_parts(&self) -> bool {
        !matches!(self.segments.as_slice(), [only] if only.path.extension().is_some_and(|extension| extension == "qcow2"))
    }

    /// The files in order, with their sizes.
    pub fn segments(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.segments.iter().map(|segment| (segment.path.as_path(), segment.size()))
    }

    /// The files in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.segments.iter().map(|segment| segment.path.as_path())
    }

    /// Whether the files are still those that were opened. Asked after the last byte was read, before anything is made of
    /// them.
    ///
    /// # Errors
    ///
    /// Exit code 1, naming the file that changed.
    pub fn must_hold(&self) -> anyhow::Result<()> {
        self.segments.iter().try_for_each(|segment| segment.stamp.must_hold(&segment.path))
    }

    /// Reads a range of the image. A file that has become shorter meanwhile ends the reading early.
    pub fn reader(&self, range: Range<u64>) -> io::Result<impl Read + Send> {
        let mut start = 0;
        let mut reader: Box<dyn Read + Send> = Box::new(io::empty());
        for segment in &self.segments {
            let (from, to) = (range.start.max(start), range.end.min(start + segment.size()));
            if from < to {
                let mut file = File::open(&segment.path)?;
                file.seek(SeekFrom::Start(from - start))?;
                reader = Box::new(reader.chain(file.take(to - from)));
            }
            start += segment.size();
        }
        Ok(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_one() {
        let dir = std::env::temp_dir().join(format!("packer-bytes-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut segments = Vec::new();
        for (file, content) in [("a", "abc"), ("b", "de"), ("c", "fghi")] {
            fs::write(dir.join(file), content).unwrap();
            segments.push(Segment { stamp: Stamp::of(&dir.join(file)).unwrap(), path: dir.join(file) });
        }
        let bytes = Bytes { segments };
        assert_eq!(bytes.size(), 9);
        for (range, expected) in [(0..9, "abcdefghi"), (2..4, "cd"), (3..5, "de"), (4..9, "efghi"), (5..5, "")] {
            let mut text = String::new();
            bytes.reader(range).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
