//! `split`: cuts images over GitHub's limit into parts, with their checksum files.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::checksum::{differs, hashed, write};
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::digest::Digest;
use crate::failure::{self, Advice as _, Problems};
use crate::image::local::{Files, LocalImage};
use crate::image::name;
use crate::image::parts::{self, PartSize};
use crate::image::selection;
use crate::image::{cut, durable};
use crate::interrupt;
use crate::text::{count, size};

/// Split each image over GitHub's limit into parts, and write its checksum file
///
/// `publish` needs no part files: it uploads ranges of the images. Use `split` to transfer parts by other means. The image stays,
/// with its parts beside it; `cat <name>.qcow2.part* > <name>.qcow2` joins them.
#[derive(clap::Args)]
pub struct Split {
    /// Images to split [default: all in the images folder]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Maximum size of a part: bytes, or a number with KiB, MiB, GiB [default: 2 GiB - 1]
    #[arg(long, value_name = "SIZE", default_value_t, hide_default_value = true)]
    part_size: PartSize,
    #[command(flatten)]
    pub common: common::Local,
}

impl Split {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let folder = common.images();
        let mut problems = Problems::default();
        let mut images = Vec::new();
        for (name, files) in selection::select(&common.packer_dir(), &folder, &self.names)? {
            let judged =
                LocalImage::open(&folder, &name, &files).and_then(|image| self.judge(&image, &files).map(|()| image));
            images.extend(problems.keep(judged));
        }
        problems.into_result()?;
        let done = images.iter().map(|image| self.one(image, console)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Outcome::done(json!({ "part_size": self.part_size.bytes(), "images": done })))
    }

    /// What can be said before an image is read.
    fn judge(&self, image: &LocalImage, files: &Files) -> anyhow::Result<()> {
        if image.bytes.in_parts() {
            let over = image.bytes.segments().find(|(_, bytes)| *bytes > self.part_size.bytes());
            return over.map_or(Ok(()), |(path, bytes)| {
                Err(failure::failed(format!(
                    "{} has {bytes} bytes, more than --part-size {}, and {} is not here whole",
                    path.display(),
                    self.part_size,
                    name::whole(&image.name)
                ))
                .fix("join it with `cat` first"))
            });
        }
        parts::ranges(&name::whole(&image.name), image.bytes.size(), self.part_size)?;
        files.no_strays(&image.name)?;
        let whole = whole(image);
        let elsewhere = files.parts.values().flatten().find(|part| part.parent() != whole.parent());
        elsewhere.map_or(Ok(()), |part| {
            Err(failure::failed(format!("part {} is not in the folder of {}", part.display(), whole.display()))
                .fix("remove it"))
        })
    }

    fn one(&self, image: &LocalImage, console: &Console) -> anyhow::Result<Value> {
        let file = name::whole(&image.name);
        let ranges = parts::ranges(&file, image.bytes.size(), self.part_size)?;
        if image.bytes.in_parts() {
            bless(image, hashed(image, console)?)?;
            console.line(format_args!("{file}: here in parts only ({})", console.green("verified")));
            let lengths: Vec<u64> = image.bytes.segments().map(|(_, bytes)| bytes).collect();
            return Ok(self.report(image, "unchanged", &lengths));
        }
        let whole = whole(image);
        let _lock = lock(&whole)?;
        let lengths: Vec<u64> = ranges.iter().map(|range| range.end - range.start).collect();
        if ranges.is_empty() {
            bless(image, hashed(image, console)?)?;
            let removed = cut::remove_leftovers(&image.name, &whole, 0)?;
            let also = if removed > 0 {
                format!("; {} from an earlier split removed", count(removed, "part"))
            } else {
                String::new()
            };
            console.line(format_args!("{file}: {} is within the limit, left whole{also}", size(image.bytes.size())));
            return Ok(self.report(image, "whole", &lengths));
        }

        let bar = console.transfer(format!("comparing {file} with its parts"), image.bytes.size());
        let same = cut::compare(&image.name, &whole, &ranges, |more| bar.moved(more));
        drop(bar);
        if let Some(digest) = same? {
            image.bytes.must_hold()?;
            bless(image, digest)?;
            cut::remove_leftovers(&image.name, &whole, ranges.len())?;
            console.line(format_args!(
                "{file}: already split into {} ({})",
                count(ranges.len(), "part"),
                console.green("verified")
            ));
            return Ok(self.report(image, "unchanged", &lengths));
        }

        cut::remove_hidden(&image.name, &whole)?;
        let bar = console.transfer(format!("splitting {file}"), image.bytes.size());
        let cut = cut::cut(&image.name, &whole, &ranges, |more| bar.moved(more));
        drop(bar);
        let cut = cut?;
        image.bytes.must_hold()?;
        bless(image, cut.digest)?;
        cut.finish(&image.name, &whole)?;
        console.line(format_args!("{file}: {} into {}", console.green("split"), count(ranges.len(), "part")));
        Ok(self.report(image, "cut", &lengths))
    }

    fn report(&self, image: &LocalImage, result: &str, lengths: &[u64]) -> Value {
        let part = |(index, bytes): (u64, &u64)| json!({ "file": name::part(&image.name, &parts::suffix(index)), "size": bytes });
        json!({
            "name": image.name,
            "size": image.bytes.size(),
            "parts": (0..).zip(lengths).map(part).collect::<Vec<_>>(),
            "checksum_file": image.checksum_path,
            "result": result,
        })
    }
}

/// The file of an image that is not in parts.
fn whole(image: &LocalImage) -> PathBuf {
    image.bytes.paths().next().map(Path::to_owned).unwrap_or_default()
}

/// The checksum file must agree; without one it is written.
fn bless(image: &LocalImage, digest: Digest) -> anyhow::Result<()> {
    match image.promised {
        None => write(image, digest),
        Some(promised) if promised == digest => Ok(()),
        Some(promised) => Err(differs(image, promised, digest)),
    }
}

/// Two runs on one image would write the same hidden files. The lock goes with the process, however that ends.
fn lock(whole: &Path) -> anyhow::Result<File> {
    let file = File::open(whole).with_context(|| format!("opening {}", whole.display()))?;
    if durable::lock(&file, whole)? {
        return Ok(file);
    }
    Err(failure::failed(format!("{} is locked: another `split` is running on this image", whole.display()))
        .fix("wait until that `split` ends"))
}
