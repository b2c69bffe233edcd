//! What an image is made of, as `packer/build.sh` lists it: in its build record, and from there in the manifest.
//!
//! A file is known by its path, its mode and git's id of its bytes as they reached the build: the same as in a commit
//! when nothing on the way changed them. Equality is all that the ids are for. A list is input from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

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
    /// As git records it: `100644`, `100755`, [`SYMLINK`].
    pub mode: u32,
    /// Git's id of the bytes as a blob, 40 hex digits; a symlink's bytes are its text.
    pub id: String,
}

/// All that an image is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Inputs {
    pub files: Files,
    /// `<algorithm>:<hex>`; `None` where it could not be told.
    pub base_image: Option<String>,
    /// The settings that reach the image, as they were.
    pub settings: BTreeMap<String, String>,
}

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

impl TryFrom<Written> for Inputs {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.files.len() > MOST_FILES {
            return Err(format!("a list of {} inputs is too long; {MOST_FILES} are the most", written.files.len()));
        }
        let mut files = Files::new();
        for WrittenFile { path, mode, id } in written.files {
            let refused = |why: &str| {
                let start: String = path.chars().take(200).collect();
                Err(format!("input `{}` {why}", start.escape_debug()))
            };
            if path.len() > LONGEST_PATH {
                return refused("has too long a path");
            }
            if path.chars().any(char::is_control) {
                return refused("has a control character in its path");
            }
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return refused("is no path below the packer directory");
            }
            let mode = match mode.as_str() {
                "100644" => 0o100_644,
                "100755" => 0o100_755,
                "120000" => SYMLINK,
                _ => return refused("has a mode that no file has"),
            };
            if id.len() != 40 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return refused("has no id of 40 hex digits");
            }
            if files.contains_key(&path) {
                return refused("is there twice");
            }
            files.insert(path, File { mode, id });
        }
        let texts = written.base_image.iter().chain(written.settings.keys()).chain(written.settings.values());
        if let Some(odd) = texts.into_iter().find(|text| text.len() > 1024 || text.chars().any(char::is_control)) {
            let start: String = odd.chars().take(200).collect();
            return Err(format!("`{}` is no setting and no digest of a base image", start.escape_debug()));
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
    /// As it is on disk: the bytes as they are, whatever git would make of them. `None` for what is neither a file nor a
    /// symlink.
    pub fn on_disk(path: &Path) -> io::Result<Option<Self>> {
        let metadata = path.symlink_metadata()?;
        if metadata.is_symlink() {
            return Ok(Some(Self { mode: SYMLINK, id: blob_id(path.read_link()?.as_os_str().as_bytes()) }));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut hash = Sha1::new();
        hash.update(format!("blob {}\0", metadata.len()));
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; super::hash::BUFFER];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let mode = if metadata.permissions().mode() & 0o100 != 0 { 0o100_755 } else { 0o100_644 };
        Ok(Some(Self { mode, id: hex(&hash.finalize()) }))
    }
}

/// Git's id of these bytes as a blob.
pub fn blob_id(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn ids_are_those_of_git() {
        assert_eq!(blob_id(b""), ID);
        assert_eq!(blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn a_list_that_cannot_be_is_refused_with_the_name() {
        let deep = "a/".repeat(3000) + "a";
        for (files, says) in [
            (vec![file("../shared/x")], "`../shared/x` is no path"),
            (vec![file("shared/../../x")], "`shared/../../x` is no path"),
            (vec![file("/etc/passwd")], "`/etc/passwd` is no path"),
            (vec![file("shared//x")], "is no path"),
            (vec![file("")], "is no path"),
            (vec![file("shared/a\nb")], "`shared/a\\nb` has a control character"),
            (vec![file("shared/\u{1b}[2J")], "control character"),
            (vec![file(&deep)], "too long a path"),
            (vec![file("shared/x"), file("shared/x")], "`shared/x` is there twice"),
            (vec![json!({ "path": "shared/x", "mode": "160000", "id": ID })], "`shared/x` has a mode"),
            (vec![json!({ "path": "shared/x", "mode": "100644", "id": "$(x)" })], "`shared/x` has no id"),
            ((0..5000).map(|number| file(&format!("shared/{number}"))).collect(), "5000 inputs is too long"),
        ] {
            let error = serde_json::from_value::<Inputs>(json!({ "files": files })).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let settings = json!({ "files": [], "settings": { "DISK_SIZE": "1\n2" } });
        assert!(serde_json::from_value::<Inputs>(settings).unwrap_err().to_string().contains("`1\\n2`"));
    }
}
