//! Brings the list of an image's packages here, when the build record on the host names one.

use std::fs;
use std::path::Path;

use super::listing::Remote;
use crate::console::count;
use crate::failure;
use crate::gh::SMALL;
use crate::image::digest::Digest;
use crate::image::record::{BuildRecord, Listed};
use crate::image::{durable, name};
use crate::ssh::trouble::Fault;
use crate::ssh::{RemoteDir, Ssh};

/// Prints the list behind a mark: a login script may have said something before.
const SCRIPT: &str = r#"printf 'packer-packages\0'; exec cat -- "$1/images/$2/$2.cdx.json""#;
const MARK: &str = "packer-packages\0";

/// Puts the list into the folder, before the record that names it.
///
/// # Errors
///
/// Exit code 4: the host's list isn't the one that its record names.
pub fn fetch(ssh: &Ssh, dir: &RemoteDir, image: &str, to: &Path, remote: &Remote, sha256: Digest) -> Result<(), Fault> {
    let record = remote.record.as_deref().and_then(|text| serde_json::from_str::<BuildRecord>(text).ok());
    let Some(Listed { file, size, sha256: promised }) =
        record.filter(|record| record.sha256 == sha256).and_then(|record| record.packages)
    else {
        return Ok(());
    };
    let wrong = |what: String| {
        Fault::image(failure::digest(format!(
            "the list of packages of image {image} on {host} {what}; build it anew with `--force`",
            host = ssh.host
        )))
    };
    if file != name::packages(image) || size > SMALL {
        return Err(wrong(format!("is `{}` with {} in the build record", file.escape_debug(), count(size, "byte"))));
    }
    let path = to.join(&file);
    if fs::read(&path).is_ok_and(|bytes| Digest::of(&bytes) == promised) {
        return Ok(());
    }
    let bytes = ssh.script(SCRIPT, MARK, &[&dir.to_string(), image])?.text;
    let found = Digest::of(&bytes);
    if found != promised {
        return Err(wrong(format!("has sha256 {found}, its build record there promises {promised}")));
    }
    durable::write(&path, &bytes)?;
    Ok(())
}
