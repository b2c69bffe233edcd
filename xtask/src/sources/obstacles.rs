//! What keeps an image from being built from its inputs alone, found before a build.
//!
//! A symlink or a template that names a file outside of the inputs is an error for every engine: a change of that file would
//! never be seen. `check` notes such files, and `build-and-fetch` refuses to build.

use std::path::{Component, Path, PathBuf};

use super::inputs::{Files, SYMLINK, is_input};
use super::{History, Listing, hcl};

/// A sentence for each obstacle.
pub fn of(history: &mut History, packer_dir: &Path, image: &str, listing: &Listing) -> anyhow::Result<Vec<String>> {
    let own = format!("templates/{image}/");
    let template = listing.template(image).filter(|template| template.starts_with(&own));
    // Without a folder of its own it is built by an engine that takes no copy.
    let (Some(template), Some(files)) = (template, listing.of_image(image)) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (path, file) in files.iter().filter(|(path, file)| file.mode == SYMLINK || path.starts_with(&own)) {
        let text = history.read(&file.id)?;
        let Some(text) = text.as_deref().map(String::from_utf8_lossy) else { continue };
        if file.mode == SYMLINK && !is_inside(&joined(path, &text), &files, image) {
            found.push(format!("{image} can't be built: {path} is a symlink that leads out of {own} and shared/, or to its tests; put the file itself there"));
        }
        for named in read_by(&text).filter(|_| path.ends_with(".hcl")) {
            let target = joined(&template, &named);
            if !is_inside(&target, &files, image) && packer_dir.join(&target).is_file() {
                let target = target.display();
                found.push(format!(
                    "{image} can't be built: {path} names {target}, which is not an input: it is outside of {own} and shared/, or one of its tests; move it to {own} or shared/"
                ));
            }
        }
    }
    Ok(found)
}

/// What a template reads beside itself: the paths from its folder on, which packer calls `path.root`.
fn read_by(template: &str) -> impl Iterator<Item = String> {
    // What a build writes: downloads from the guest, disks, the base image's copy, what post-processors make.
    const OUTPUT: [&str; 5] = ["destination", "iso_target_path", "output", "output_directory", "output_filename"];
    let read = hcl::attributes(template).into_iter().filter(|attribute| !OUTPUT.contains(&attribute.name.as_str()));
    let paths = |attribute: hcl::Attribute| -> Vec<String> {
        let named = attribute.value.split("${path.root}/").skip(1);
        named.map(|named| named.split(['"', '$', '*']).next().unwrap_or_default().to_owned()).collect()
    };
    read.flat_map(paths)
}

fn is_inside(path: &Path, files: &Files, image: &str) -> bool {
    path.to_str().is_some_and(|path| files.contains_key(path))
        || path.starts_with("shared")
        || path.starts_with(Path::new("templates").join(image)) && path.to_str().is_none_or(is_input)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_writes_is_not_read() {
        for line in [
            r#"source = "${path.root}/../../a""#,
            r#"sources = ["b", "${path.root}/../../a"]"#,
            r#"script = "${path.root}/../../a" # why"#,
            r#"iso_url = "file://${path.root}/../../a""#,
            r#"cd_content = { "user-data" = file("${path.root}/../../a") }"#,
        ] {
            assert_eq!(read_by(&format!("build {{\n{line}\n}}\n")).collect::<Vec<_>>(), ["../../a"], "{line}");
        }
        for line in [
            r#"destination = "${path.root}/../../a""#,
            r#"output_directory = "${path.root}/../../images/a""#,
            r#"output = "${path.root}/../../images/a.json""#,
            r#"iso_target_path = "${path.root}/../../cache/a.qcow2""#,
            r#"# source = "${path.root}/../../a""#,
            r#"// source = "${path.root}/../../a""#,
        ] {
            assert_eq!(read_by(&format!("build {{\n{line}\n}}\n")).count(), 0, "{line}");
        }
    }
}
