//! A folder of images, and the tool run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::build_and_fetch::world::qcow2;

pub const IMAGE: &str = "debian-12-custom";
pub const WHOLE: &str = "debian-12-custom.qcow2";
pub const CHECKSUM: &str = "debian-12-custom.qcow2.sha256";

/// A packer directory with templates and an images folder.
pub struct Folder {
    pub dir: PathBuf,
}

pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Folder {
    pub fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("split-checksum-{test}"));
        let _ = fs::remove_dir_all(&dir);
        for name in [IMAGE, "debian-13-pve"] {
            let template = dir.join("packer/templates").join(name);
            fs::create_dir_all(&template).unwrap();
            fs::write(template.join("template.pkr.hcl"), "").unwrap();
        }
        fs::create_dir_all(dir.join("packer/images")).unwrap();
        Self { dir }
    }

    pub fn with_image(test: &str, size: usize) -> Self {
        let folder = Self::new(test);
        folder.write(WHOLE, &qcow2(size));
        folder
    }

    pub fn images(&self) -> PathBuf {
        self.dir.join("packer/images")
    }

    pub fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.images().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.images().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// All files in the images folder, hidden ones too.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> =
            fs::read_dir(self.images()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
        command.arg("packer").args(args).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn tool(&self, args: &[&str]) -> Ran {
        let ran = Ran::from(self.command(args).output().unwrap());
        rehearsal::form::check(args, ran.code, &ran.out, &ran.err);
        ran
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a shell line in the images folder; it must succeed.
    pub fn shell(&self, line: &str) -> String {
        let output = Command::new("sh").args(["-euc", line]).current_dir(self.images()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        let text = format!("{}{}", self.out, self.err);
        for part in says {
            assert!(text.contains(part), "expected `{part}` in: {text}");
        }
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

pub fn interrupt(child: Child) -> Ran {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap().into()
}
