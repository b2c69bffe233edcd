//! What an image is made of, as the engine lists it: in its build record, and from there in the manifest.
//!
//! A file is known by its path, its mode and git's id of its bytes as they reached the build, so that a list can be compared
//! with any commit. A list is text from outside: [`Inputs`] can only be read from one that an engine can have written. Used
//! by records, manifests, and all that compares what images are made of.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use crate::claim;

/// What a symlink has as its mode.
pub const SYMLINK: u32 = 0o120_000;

/// Many times what an image is made of.
const MOST_FILES: usize = 4096;

/// Bytes, as on Linux.
const LONGEST_PATH: usize = 4096;

/// By path, from the packer directory.
pub type Files = BTreeMap<String, File>;

/// A file's mode and content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// As git records it: `100644`, `100755`, [`SYMLINK`]; `160000` for a submodule.
    pub mode: u32,
    /// Git's id of the bytes as a blob, 40 hex digits; a symlink's bytes are its text.
    pub id: String,
}

/// Whether a build sees what is at this path at all: an image's tests (`tests`) and its size limit (`limits`) are no inputs,
/// as in the engine's `lib/inputs.sh`.
pub fn is_input(path: &str) -> bool {
    let mut parts = path.split('/');
    !(parts.next() == Some("templates") && matches!(parts.nth(1), Some("tests" | "limits")))
}

/// The state of the packer directory that an image was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFrom {
    /// 40 (or 64) hex digits.
    #[serde(deserialize_with = "claim::commit")]
    pub commit: String,
    /// Whether inputs differed from that commit.
    pub dirty: bool,
}

/// All that an image is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Inputs {
    pub files: Files,
    /// `<algorithm>:<hex>`; `None` where the engine could not tell.
    pub base_image: Option<String>,
    /// The settings that reach the image, as they were.
    pub settings: BTreeMap<String, String>,
}

/// The list in JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    files: Vec<WrittenFile>,
    #[serde(default)]
    base_image: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenFile {
    path: String,
    mode: String,
    id: String,
}

impl WrittenFile {
    /// Why no engine can have written this.
    fn fault(&self) -> Option<&'static str> {
        let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let faults = [
            (self.path.len() > LONGEST_PATH, "has too long a path"),
            (self.path.chars().any(char::is_control), "has a control character in its path"),
            (
                self.path.split('/').any(|part| matches!(part, "" | "." | "..")),
                "is not a path below the packer directory",
            ),
            (!matches!(self.mode.as_str(), "100644" | "100755" | "120000"), "has a mode that git does not use"),
            (self.id.len() != 40 || !self.id.bytes().all(hex), "has no id of 40 hex digits"),
        ];
        faults.into_iter().find(|(found, _)| *found).map(|(_, why)| why)
    }
}

impl TryFrom<Written> for Inputs {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let shown = |text: &str| text.chars().take(200).collect::<String>().escape_debug().to_string();
        if written.files.len() > MOST_FILES {
            return Err(format!("the list has {} inputs, more than the limit of {MOST_FILES}", written.files.len()));
        }
        let mut files = Files::new();
        for file in written.files {
            let twice = files.contains_key(&file.path).then_some("is listed twice");
            if let Some(why) = file.fault().or(twice) {
                return Err(format!("input `{}` {why}", shown(&file.path)));
            }
            let mode = u32::from_str_radix(&file.mode, 8).map_err(|error| error.to_string())?;
            files.insert(file.path, File { mode, id: file.id });
        }
        // An older engine listed these as well.
        files.retain(|path, _| is_input(path));
        let texts = written.base_image.iter().chain(written.settings.keys()).chain(written.settings.values());
        if let Some(odd) = texts.into_iter().find(|text| text.len() > 1024 || text.chars().any(char::is_control)) {
            return Err(format!("`{}` is neither a setting nor a digest of a base image", shown(odd)));
        }
        Ok(Self { files, base_image: written.base_image, settings: written.settings })
    }
}

impl From<Inputs> for Written {
    fn from(inputs: Inputs) -> Self {
        let file = |(path, File { mode, id })| WrittenFile { path, mode: format!("{mode:06o}"), id };
        let files = inputs.files.into_iter().map(file).collect();
        Self { files, base_image: inputs.base_image, settings: inputs.settings }
    }
}

/// The paths that are not the same in both.
pub fn differing<'a>(old: &'a Files, new: &'a Files) -> impl Iterator<Item = &'a str> {
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    gone.chain(new.iter().filter(|(path, file)| old.get(*path) != Some(*file)).map(|(path, _)| path))
        .map(String::as_str)
}

impl File {
    /// As it is on disk: the bytes as they are, whether or not git would change them. `None` for what is neither a file nor
    /// a symlink.
    pub fn on_disk(path: &Path) -> io::Result<Option<Self>> {
        let metadata = path.symlink_metadata()?;
        if metadata.is_symlink() {
            let target = path.read_link()?;
            let target = target.as_os_str().as_bytes();
            return Ok(Some(Self { mode: SYMLINK, id: blob_id(target.len() as u64, target)? }));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        let mode = if metadata.permissions().mode() & 0o100 != 0 { 0o100_755 } else { 0o100_644 };
        Ok(Some(Self { mode, id: blob_id(metadata.len(), fs::File::open(path)?)? }))
    }
}

/// Git's id of these bytes as a blob, 40 hex digits.
fn blob_id(length: u64, mut bytes: impl io::Read) -> io::Result<String> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {length}\0"));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match bytes.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

    fn file(path: &str) -> Value {
        json!({ "path": path, "mode": "100644", "id": ID })
    }

    #[test]
    fn a_list_is_read_and_written() {
        let list = json!({
            "files": [file("shared/grüße \"a\".txt"), { "path": "templates/a/x", "mode": "100755", "id": ID }],
            "base_image": "sha512:1",
            "settings": { "DISK_SIZE": "" },
        });
        let inputs: Inputs = serde_json::from_value(list.clone()).unwrap();
        assert_eq!(inputs.files["templates/a/x"], File { mode: 0o100_755, id: ID.into() });
        assert_eq!(serde_json::to_value(&inputs).unwrap(), list);
    }

    #[test]
    fn tests_and_limits_are_no_inputs() {
        let paths = ["templates/a/tests/x.sh", "templates/a/tests", "templates/a/limits", "templates/a/limits/x"];
        assert!(!paths.into_iter().any(is_input));
        let inputs = [
            "templates/tests/x.sh",
            "templates/a/limits.sh",
            "templates/a/b/tests/x",
            "shared/a/tests/x",
            "shared/limits",
        ];
        assert!(inputs.into_iter().all(is_input));
        let files: Vec<Value> = paths.into_iter().chain(inputs).map(file).collect();
        let read: Inputs = serde_json::from_value(json!({ "files": files })).unwrap();
        assert_eq!(read.files.len(), inputs.len());
    }

    #[test]
    fn ids_are_those_of_git() {
        assert_eq!(blob_id(0, &b""[..]).unwrap(), ID);
        assert_eq!(blob_id(6, &b"hello\n"[..]).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn a_list_that_cannot_be_is_refused_with_the_name() {
        let deep = "a/".repeat(3000) + "a";
        for (files, says) in [
            (vec![file("../shared/x")], "`../shared/x` is not a path"),
            (vec![file("shared/../../x")], "`shared/../../x` is not a path"),
            (vec![file("/etc/passwd")], "`/etc/passwd` is not a path"),
            (vec![file("shared//x")], "is not a path"),
            (vec![file("")], "is not a path"),
            (vec![file("shared/a\nb")], "`shared/a\\nb` has a control character"),
            (vec![file("shared/\u{1b}[2J")], "control character"),
            (vec![file(&deep)], "too long a path"),
            (vec![file("shared/x"), file("shared/x")], "`shared/x` is listed twice"),
            (vec![json!({ "path": "shared/x", "mode": "160000", "id": ID })], "`shared/x` has a mode"),
            (vec![json!({ "path": "shared/x", "mode": "100644", "id": "$(x)" })], "`shared/x` has no id"),
            ((0..5000).map(|number| file(&format!("shared/{number}"))).collect(), "the list has 5000 inputs"),
        ] {
            let error = serde_json::from_value::<Inputs>(json!({ "files": files })).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let settings = json!({ "files": [], "settings": { "DISK_SIZE": "1\n2" } });
        assert!(serde_json::from_value::<Inputs>(settings).unwrap_err().to_string().contains("`1\\n2`"));
    }
}
