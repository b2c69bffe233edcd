//! What would keep the engine from building an image, said before somebody tries.

use std::path::{Component, Path, PathBuf};

use crate::decide::{History, Listing};
use crate::image::inputs::{Files, SYMLINK};

/// A line for each.
pub fn of(history: &mut History, packer_dir: &Path, image: &str, listing: &Listing) -> anyhow::Result<Vec<String>> {
    let own = format!("templates/{image}/");
    let template = listing.template(image).filter(|template| template.starts_with(&own)).map(str::to_owned);
    // Without a folder of its own it is built by an engine that takes no copy.
    let (Some(template), Some(files)) = (template, listing.of_image(image)) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (path, file) in files.iter().filter(|(path, file)| file.mode == SYMLINK || path.starts_with(&own)) {
        let text = history.read(&file.id)?;
        let Some(text) = text.as_deref().map(String::from_utf8_lossy) else { continue };
        if file.mode == SYMLINK && !is_inside(&joined(path, &text), &files, image) {
            found.push(format!("{image} can't be built: {path} is a symlink that leads out of {own} and shared/; put the file itself there"));
        }
        for named in text.split("${path.root}/").skip(1).filter(|_| path.ends_with(".hcl")) {
            let named = named.split(['"', '$', '*']).next().unwrap_or_default();
            let target = joined(&template, named);
            if !is_inside(&target, &files, image) && packer_dir.join(&target).is_file() {
                let target = target.display();
                found.push(format!(
                    "{image} can't be built: {path} names {target}, which is outside of {own} and shared/; move it into one of them"
                ));
            }
        }
    }
    Ok(found)
}

fn is_inside(path: &Path, files: &Files, image: &str) -> bool {
    path.to_str().is_some_and(|path| files.contains_key(path))
        || path.starts_with("shared")
        || path.starts_with(Path::new("templates").join(image))
}

/// A path as seen from a file's folder, without `.` and `..` in its middle.
fn joined(from: &str, path: &str) -> PathBuf {
    let mut joined = PathBuf::new();
    for part in Path::new(from).parent().unwrap_or(Path::new("")).join(path).components() {
        match part {
            Component::ParentDir if joined.file_name().is_some() => drop(joined.pop()),
            Component::CurDir => {}
            part => joined.push(part),
        }
    }
    joined
}
