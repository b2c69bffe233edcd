//! `checksum`: writes checksum files, or checks them.

use serde_json::json;

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::digest::Digest;
use crate::failure::{self, Advice as _, Problems};
use crate::image::local::{Files, LocalImage};
use crate::image::{checksum, durable, hash, name, selection};
use crate::interrupt;
use crate::suggest;
use crate::text::size;

/// Write each image's checksum file, or check it
///
/// Hashes several images at once. An existing checksum file with another digest is never overwritten: it came from the build
/// host, so the image may be damaged. No checksum file is written for an image that changes while it is read, or that other
/// machines cannot use: with a backing file, encrypted or truncated.
#[derive(clap::Args)]
pub struct Checksum {
    /// Images to hash [default: all in the images folder]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Compare the images, whole or in parts, with their checksum files, and write nothing
    #[arg(long)]
    verify: bool,
    /// Replace a checksum file that has another digest
    #[arg(long, conflicts_with = "verify")]
    force: bool,
    #[command(flatten)]
    pub common: common::Local,
}

impl Checksum {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let folder = common.images();
        let mut problems = Problems::default();
        let mut images = Vec::new();
        for (name, files) in selection::select(&common.packer_dir(), &folder, &self.names)? {
            let opened = self.open(&folder, &name, &files);
            images.extend(problems.keep(opened));
        }
        if !self.verify {
            // Nothing was written yet, and nothing is until all is there.
            std::mem::take(&mut problems).into_result()?;
        }
        let results = hash::in_parallel(&images, |image| self.one(image, console));
        let done: Vec<_> = results.into_iter().filter_map(|result| problems.keep(result)).collect();
        problems.into_result()?;
        Ok(Outcome::done(json!({ "images": done })))
    }

    fn open(&self, folder: &std::path::Path, name: &str, files: &Files) -> anyhow::Result<LocalImage> {
        if self.force {
            // What is to be replaced need not be readable.
            let mut image = LocalImage::open(folder, name, &Files { checksum: Vec::new(), ..files.clone() })?;
            if let [path] = files.checksum.as_slice() {
                image.checksum_path.clone_from(path);
                image.promised = checksum::read(name, path).ok();
            }
            return Ok(image);
        }
        let image = LocalImage::open(folder, name, files)?;
        if self.verify && image.promised.is_none() {
            return Err(failure::missing(format!("no checksum file {}", image.checksum_path.display())).fix(
                format_args!(
                    "fetch it from the build host, or write it with {}",
                    suggest::command(format_args!("checksum {name}"))
                ),
            ));
        }
        Ok(image)
    }

    fn one(&self, image: &LocalImage, console: &Console) -> anyhow::Result<serde_json::Value> {
        let digest = hashed(image, console)?;
        let result = match image.promised {
            Some(promised) if promised == digest => {
                if self.verify {
                    "verified"
                } else {
                    "unchanged"
                }
            }
            None => "written",
            Some(_) if self.force => "replaced",
            Some(promised) => return Err(differs(image, promised, digest)),
        };
        if matches!(result, "written" | "replaced") {
            write(image, digest)?;
        }
        console.line(format_args!("{}: {}", name::whole(&image.name), console.green(result)));
        Ok(json!({
            "name": image.name,
            "file": name::whole(&image.name),
            "size": image.bytes.size(),
            "sha256": digest,
            "checksum_file": image.checksum_path,
            "in_parts": image.bytes.in_parts(),
            "result": result,
        }))
    }
}

/// The image's digest, with a bar while it is read.
pub fn hashed(image: &LocalImage, console: &Console) -> anyhow::Result<Digest> {
    let bytes = image.bytes.size();
    let bar = console.transfer(format!("hashing {}", name::whole(&image.name)), bytes);
    let digest = image.hash(|more| bar.moved(more));
    drop(bar);
    let digest = digest?;
    console.detail(format_args!("{}: {} hashed, {digest}", name::whole(&image.name), size(bytes)));
    Ok(digest)
}

/// Writes the image's checksum file.
pub fn write(image: &LocalImage, digest: Digest) -> anyhow::Result<()> {
    durable::write(&image.checksum_path, checksum::line(&image.name, digest).as_bytes())
}

/// Exit code 4, naming both digests.
pub fn differs(image: &LocalImage, promised: Digest, found: Digest) -> anyhow::Error {
    failure::digest(format!(
        "{} has digest {found}, but {} says {promised}",
        name::whole(&image.name),
        image.checksum_path.display()
    ))
    .fix(format_args!(
        "fetch the image again, or, if the image is right, replace its checksum file with {}",
        suggest::command(format_args!("checksum --force {}", image.name))
    ))
}
