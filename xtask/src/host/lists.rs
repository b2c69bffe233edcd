//! Fetches the lists of an image's packages and files that the build record on the host names.
//!
//! Each list must have the digest in the record: exit 4 otherwise. [`super::fetch`] calls this before an image gets its name.

use std::fs;
use std::path::Path;

use super::listing::Remote;
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::image::durable;
use crate::image::record::BuildRecord;
use crate::ssh::trouble::Fault;
use crate::ssh::{RemoteDir, Ssh};

const SCRIPT: &str = r#"exec cat -- "$1/images/$2/$3""#;

/// Writes the lists into the folder, before the record that names them.
///
/// # Errors
///
/// Exit code 4: a list on the host isn't the one that its record names.
pub fn fetch(ssh: &Ssh, dir: &RemoteDir, image: &str, to: &Path, remote: &Remote, sha256: Digest) -> Result<(), Fault> {
    let found = remote.record.as_deref().and_then(|text| BuildRecord::parse(text.as_bytes()).ok());
    let Some(record) = found.filter(|record| record.sha256 == sha256) else { return Ok(()) };
    let wrong = |what: String| {
        Fault::image(
            failure::digest(format!("on {host}, {what}", host = ssh.host)).fix("build the image again with `--force`"),
        )
    };
    record.facts.check_lists(image).map_err(wrong)?;
    for listed in record.facts.lists() {
        let path = to.join(&listed.file);
        if fs::read(&path).is_ok_and(|bytes| Digest::of(&bytes) == listed.sha256) {
            continue;
        }
        let bytes = ssh.script(SCRIPT, &[&dir.to_string(), image, &listed.file])?;
        let found = Digest::of(&bytes);
        if found != listed.sha256 {
            let promised = listed.sha256;
            return Err(wrong(format!(
                "the list {} of image {image} has sha256 {found}, but the build record there says {promised}",
                listed.file
            )));
        }
        durable::write(&path, &bytes)?;
    }
    Ok(())
}
