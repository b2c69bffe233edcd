//! Where a fetched image goes, and how it gets there: verified bytes first, then what describes them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Voice;
use super::listing::Remote;
use super::partial::Partial;
use crate::failure;
use crate::image::digest::Digest;
use crate::image::durable::{self, Pending};
use crate::image::local::{self, LocalImage};
use crate::image::record::{self, BuildRecord};
use crate::image::{checksum, hash, name};
use crate::typed;

/// The folder that an image is, or is to be, in.
pub struct Place {
    pub dir: PathBuf,
    image: String,
    /// The image, if it lies here as parts alone.
    parts: Option<LocalImage>,
    /// In a flat folder `image-version.txt` would be taken for another image's.
    alone: bool,
}

impl Place {
    /// Where the image lies already, else a folder of its own.
    ///
    /// # Errors
    ///
    /// Exit code 1: it is there twice, or something other than a file has its name.
    pub fn find(images: &Path, image: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(images).map_err(|error| durable::write_error(images, error))?;
        let found = local::scan(images)?.remove(image).unwrap_or_default();
        if let [first, second, ..] = found.whole.as_slice() {
            return Err(failure::failed(format!(
                "two files for image {image}: {} and {}; remove one",
                first.display(),
                second.display()
            )));
        }
        // Parts with a gap are no image; a whole one is fetched then.
        let split = found.whole.is_empty() && !found.parts.is_empty();
        let parts = if split { LocalImage::open(images, image, &found).ok() } else { None };
        let own = images.join(image);
        let there = found.whole.first().map(PathBuf::as_path).or_else(|| parts.as_ref()?.bytes.paths().next());
        let dir = there.and_then(Path::parent).map_or(own, Path::to_owned);
        fs::create_dir_all(&dir).map_err(|error| durable::write_error(&dir, error))?;
        let place = Self { alone: dir != images, dir, image: image.to_owned(), parts };
        let path = place.path();
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            return Err(failure::failed(format!("{} is not a regular file; move it away", path.display())));
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
            let found = hash::image(parts, |more| bar.moved(more));
            drop(bar);
            return Ok(found? == digest);
        }
        let path = self.path();
        if fs::metadata(&path).map_or(true, |meta| meta.len() != size) {
            return Ok(false);
        }
        Ok(hashed(voice, &path)? == digest)
    }

    /// Gives verified bytes their name, then the small files theirs. They are on the disk before the first rename, so
    /// what a power cut can leave between two renames is a checksum file that doesn't fit, which everything notices.
    pub fn install(&self, voice: &Voice<'_>, partial: Partial, digest: Digest, remote: &Remote) -> anyhow::Result<()> {
        let small = self.small_files(voice, digest, remote);
        let mut pending = Vec::new();
        for (path, content) in &small {
            if let Some(content) = content {
                let (file, mut open) = Pending::create(path)?;
                open.write_all(content.as_bytes())
                    .and_then(|()| open.sync_all())
                    .map_err(|error| durable::write_error(path, error))?;
                pending.push(file);
            }
        }
        let (from, to) = (&partial.path, self.path());
        fs::set_permissions(from, fs::Permissions::from_mode(0o644))
            .and_then(|()| File::open(from)?.sync_all())
            .map_err(|error| durable::write_error(from, error))?;
        fs::rename(from, &to).with_context(|| format!("renaming to {}", to.display()))?;
        pending.into_iter().try_for_each(Pending::finish)?;
        // What described the image before describes it no longer.
        for (path, _) in small.iter().filter(|(_, content)| content.is_none()) {
            let _ = fs::remove_file(path);
        }
        partial.end();
        if self.parts.is_some() {
            voice.warn(format_args!("the parts here are of an older image; run {} again", typed::line("split")));
        }
        durable::sync_dir_of(&to)
    }

    /// Brings the small files of an image that is here; those that the host doesn't have stay.
    pub fn refresh(&self, voice: &Voice<'_>, digest: Digest, remote: &Remote) -> anyhow::Result<()> {
        for (path, content) in self.small_files(voice, digest, remote) {
            let Some(content) = content else { continue };
            if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                durable::write(&path, content.as_bytes())?;
            }
        }
        Ok(())
    }

    /// What lies beside an image, in the order in which it appears; `None` is what the host doesn't have.
    fn small_files(&self, voice: &Voice<'_>, digest: Digest, remote: &Remote) -> Vec<(PathBuf, Option<String>)> {
        let record = remote.record.clone().filter(|text| match serde_json::from_str::<BuildRecord>(text) {
            Ok(record) if record.sha256 == digest => true,
            Ok(_) => {
                voice.warn("its build record on the host is of another build and stays there");
                false
            }
            Err(error) => {
                voice.warn(format_args!("its build record on the host is damaged and stays there: {error}"));
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
