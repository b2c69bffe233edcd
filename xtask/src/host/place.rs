//! Where a fetched image goes, and the files that describe it: checksum, build record and versions.
//!
//! An image that is here already stays where it is; a record of another build is never written. [`super::fetch`] uses this.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Voice;
use super::listing::Remote;
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::image::durable;
use crate::image::local::{self, LocalImage};
use crate::image::record::{self, BuildRecord};
use crate::image::{checksum, hash, name};
use crate::suggest;

/// The folder of an image, here already or to be fetched.
pub struct Place {
    pub dir: PathBuf,
    image: String,
    /// The image, if it lies here as parts alone.
    parts: Option<LocalImage>,
    /// The image has the folder to itself: in a flat folder `image-version.txt` could be another image's.
    alone: bool,
}

impl Place {
    /// Where the image lies already, or its checksum file alone, else a folder of its own.
    ///
    /// # Errors
    ///
    /// Exit code 1: it is there twice, or something other than a file has its name.
    pub fn find(images: &Path, image: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(images).map_err(|error| durable::write_error(images, error))?;
        let found = local::scan(images)?.remove(image).unwrap_or_default();
        if let [first, second, ..] = found.whole.as_slice() {
            return Err(failure::failed(format!(
                "two files for image {image}: {} and {}",
                first.display(),
                second.display()
            ))
            .fix("remove one of them"));
        }
        // Parts with a gap are no image: then the whole image is fetched.
        let split = found.whole.is_empty() && !found.parts.is_empty();
        let parts = if split { LocalImage::open(images, image, &found).ok() } else { None };
        let own = images.join(image);
        let there = found.whole.first().map(PathBuf::as_path).or_else(|| parts.as_ref()?.bytes.paths().next());
        // A second checksum file in another folder would leave open which one counts.
        let there = there.or_else(|| found.checksum.first().map(PathBuf::as_path));
        let dir = there.and_then(Path::parent).map_or(own, Path::to_owned);
        fs::create_dir_all(&dir).map_err(|error| durable::write_error(&dir, error))?;
        let place = Self { alone: dir != images, dir, image: image.to_owned(), parts };
        let path = place.path();
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            return Err(failure::failed(format!("{} is not a regular file", path.display())).fix("move it away"));
        }
        Ok(place)
    }

    /// The image under its final name.
    pub fn path(&self) -> PathBuf {
        self.dir.join(name::whole(&self.image))
    }

    /// Whether the image is here with these bytes, whole or as parts. Reads it if the size is right.
    pub fn has(&self, voice: &Voice<'_>, size: u64, digest: Digest) -> anyhow::Result<bool> {
        if let Some(parts) = &self.parts {
            if parts.bytes.size() != size {
                return Ok(false);
            }
            let bar = voice.transfer("verifying", size);
            let found = parts.hash(|more| bar.moved(more));
            drop(bar);
            return Ok(found? == digest);
        }
        let path = self.path();
        if fs::metadata(&path).map_or(true, |meta| meta.len() != size) {
            return Ok(false);
        }
        Ok(hashed(voice, &path)? == digest)
    }

    /// Writes what describes the image: its checksum file, record and versions. Beside a new image (`replaced`), a file that the
    /// host doesn't have describes an older image and is removed.
    pub fn describe(&self, voice: &Voice<'_>, digest: Digest, remote: &Remote, replaced: bool) -> anyhow::Result<()> {
        for (path, content) in self.small_files(voice, digest, remote) {
            match content {
                Some(content) if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) => {
                    durable::write(&path, content.as_bytes())?;
                }
                None if replaced => drop(fs::remove_file(path)),
                _ => {}
            }
        }
        if replaced && self.parts.is_some() {
            voice.warn(format_args!("the parts here are of an older image; run {}", suggest::command("split")));
        }
        Ok(())
    }

    /// What lies beside an image, in the order in which it appears; `None` is what the host doesn't have.
    fn small_files(&self, voice: &Voice<'_>, digest: Digest, remote: &Remote) -> Vec<(PathBuf, Option<String>)> {
        let record = remote.record.clone().filter(|text| match BuildRecord::parse(text.as_bytes()) {
            Ok(record) if record.sha256 == digest => true,
            Ok(_) => {
                voice.warn("the build record on the host belongs to another build; it is not fetched");
                false
            }
            Err(error) => {
                voice.warn(format_args!("the build record on the host is damaged and is not fetched: {error:#}"));
                false
            }
        });
        let mut files = vec![
            (name::checksum(&self.image), Some(checksum::line(&self.image, digest))),
            (record::file_name(&self.image), record),
        ];
        if self.alone {
            files.push((record::VERSIONS_FILE.to_owned(), remote.versions.clone()));
        }
        files.into_iter().map(|(file, content)| (self.dir.join(file), content)).collect()
    }
}

/// The digest of a file, with a bar while it is read.
pub fn hashed(voice: &Voice<'_>, path: &Path) -> anyhow::Result<Digest> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).with_context(reading)?;
    let bar = voice.transfer("verifying", file.metadata().with_context(reading)?.len());
    let result = hash::stream(file, |more| bar.moved(more));
    drop(bar);
    Ok(result.with_context(reading)?.0)
}
