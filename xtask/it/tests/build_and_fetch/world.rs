//! A contributor's folder and a network of build hosts; the tool is run in it as a person runs it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rehearsal::host::{BuildHost, Network};
use serde_json::Value;

use super::running::Running;

pub const IMAGE: &str = "debian-12-custom";

/// In a folder that goes when this is dropped.
pub struct World {
    pub dir: PathBuf,
    pub network: Network,
}

/// What a run of the tool left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// With templates of these names.
    pub fn with(templates: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("packer-fetch-{}-{number}", std::process::id()));
        for template in templates {
            let folder = dir.join("packer/templates").join(template);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("template.pkr.hcl"), "# a template\n").unwrap();
        }
        fs::create_dir_all(dir.join("packer/shared/scripts")).unwrap();
        fs::write(dir.join("packer/shared/scripts/update.sh"), "apt-get update\n").unwrap();
        let network = Network::create(&dir.join("network")).unwrap();
        Self { dir, network }
    }

    pub fn new() -> Self {
        Self::with(&[IMAGE])
    }

    /// A build host with the files that are here.
    pub fn host(&self, alias: &str) -> BuildHost {
        let host = self.network.host(alias).unwrap();
        self.put_files(&host.packer_dir());
        host
    }

    /// Puts what the images are made of into another packer directory.
    pub fn put_files(&self, packer: &Path) {
        for folder in ["templates", "shared"] {
            copy(&self.dir.join("packer").join(folder), &packer.join(folder));
        }
    }

    pub fn images(&self) -> PathBuf {
        self.dir.join("packer/images")
    }

    pub fn image(&self, name: &str) -> PathBuf {
        self.images().join(name).join(format!("{name}.qcow2"))
    }

    /// `build-and-fetch` with these arguments, ready to start.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.tool(&[&["build-and-fetch"], arguments].concat())
    }

    /// The tool with these arguments, ready to start, in a process group of its own as a shell's job is.
    #[expect(
        clippy::disallowed_methods,
        reason = "the rule is for the tool's children; here the tool itself is started"
    )]
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
        let path = std::env::var("PATH").unwrap();
        command
            .arg("packer")
            .args(arguments)
            .current_dir(&self.dir)
            .env("PATH", format!("{}:{path}", self.network.bin().display()))
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("HOMESTAK_PACKER_REPO")
            .env_remove("HOMESTAK_BUILD_HOST")
            .env_remove("HOMESTAK_PACKER_REMOTE_DIR")
            .env_remove("HOMESTAK_PACKER_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let ran = Ran::from(command.output().unwrap());
        rehearsal::form::check(&command.get_args().collect::<Vec<_>>(), ran.code, &ran.stdout, &ran.stderr);
        ran
    }

    /// The arguments that name a host and its packer folder.
    pub fn at<'a>(alias: &'a str, host: &'a BuildHost, more: &[&'a str]) -> Vec<String> {
        let dir = host.packer_dir().display().to_string();
        ["--host", alias, "--remote-dir", &dir].iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    pub fn run_at(&self, alias: &str, host: &BuildHost, more: &[&str]) -> Ran {
        let arguments = Self::at(alias, host, more);
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same, with two attempts for each transfer.
    pub fn twice_at_most(&self, alias: &str, host: &BuildHost, more: &[&str]) -> Ran {
        let arguments = Self::at(alias, host, more);
        let mut command = self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        Ran::from(command.env("PACKER_TEST_ATTEMPTS", "2").output().unwrap())
    }

    pub fn start_at(&self, alias: &str, host: &BuildHost, more: &[&str]) -> Running {
        let arguments = Self::at(alias, host, more);
        Running::start(&mut self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// The build record that is here.
    pub fn record(&self, image: &str) -> Value {
        let text = fs::read_to_string(self.images().join(image).join(format!("{image}.build.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// All files in the images folder, hidden ones too.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.images(), &self.images(), &mut found);
        found.sort();
        found
    }

    /// The image is here whole, with all that lies beside it on the host.
    pub fn assert_fetched(&self, host: &BuildHost, image: &str) {
        for file in [format!("{image}.qcow2"), format!("{image}.qcow2.sha256"), "image-version.txt".to_owned()] {
            let (here, there) = (self.images().join(image).join(&file), host.image_dir(image).join(&file));
            assert!(fs::read(&here).unwrap() == fs::read(&there).unwrap(), "{file} differs");
        }
        let left: Vec<_> = self.files().into_iter().filter(|file| file.contains("/.")).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The exit code, and what the message must name.
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{}", self.stderr);
        }
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // What a build of the person who runs this left is no part of a packer directory.
        if ["images", "logs", ".cache"].iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn collect(top: &Path, dir: &Path, into: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, into);
        } else {
            into.push(path.strip_prefix(top).unwrap().display().to_string());
        }
    }
}

/// Waits for something that another process does. It looks often: what is waited for may be there for moments.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < end, "{what}: it didn't happen in 60 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The smallest qcow2, and then bytes of which no two blocks are alike.
pub fn qcow2(size: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15 ^ size as u64;
    let mut bytes = rehearsal::image::smallest();
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
