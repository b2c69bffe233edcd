//! Temporary folders for files that other programs read, and unpredictable random numbers.
//!
//! Each folder is new, has a random name, and only this user may enter it: a link or file that another user of the machine
//! planted in the folder for temporary files is never followed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// 32 random hex digits.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("reading /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A folder that goes at the end, with all that is in it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        loop {
            let dir = std::env::temp_dir().join(format!("packer-{}", random_hex()?));
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(dir.clone())).with_context(|| format!("making {}", dir.display())),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a new file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        written.with_context(|| format!("writing {}", path.display())).map(|()| path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_ours_alone_and_goes() {
        let (scratch, other) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(scratch.path(), other.path());
        let file = scratch.write("a", b"x").unwrap();
        assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(scratch.write("a", b"y").is_err(), "a file that is there isn't written over");
        assert_eq!(fs::read(&file).unwrap(), b"x");
        drop(scratch);
        assert!(!file.exists());
    }
}
