//! A contributor's machine: a clone of the packer repository, and an environment in which the real `gh` and `git` reach
//! nothing but the stand-ins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::image;
use crate::process::{Ran, program, run};

/// A machine with a clone.
#[derive(Clone, Debug)]
pub struct Machine {
    dir: PathBuf,
    tool: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Machine {
    pub(crate) fn new(dir: &Path, tool: &Path) -> anyhow::Result<Self> {
        for folder in ["home", "bin", "tmp"] {
            fs::create_dir_all(dir.join(folder)).with_context(|| format!("making {}", dir.display()))?;
        }
        let mut machine = Self { dir: dir.to_owned(), tool: tool.to_owned(), env: BTreeMap::new() };
        // Nothing of the person's own configuration takes part, and nothing asks.
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_AUTHOR_NAME", "A Contributor"),
            ("GIT_AUTHOR_EMAIL", "contributor@example.org"),
            // With the dates fixed, two worlds with the same history have the same commits.
            ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
            ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
            ("GIT_COMMITTER_NAME", "A Contributor"),
            ("GIT_COMMITTER_EMAIL", "contributor@example.org"),
            ("LANG", "C.UTF-8"),
            // gh is written in Go, and most of its processes live for 20 ms: they collect no garbage before there is much.
            ("GOGC", "off"),
            ("GOMEMLIMIT", "512MiB"),
        ] {
            machine.set(name, value);
        }
        // git's settings of the person are in this home. GIT_CONFIG_GLOBAL=/dev/null would not do: `git config --global`, typed
        // by root, replaces that device by a file.
        machine.set("HOME", dir.join("home"));
        // A world can lie in somebody's own clone, and no command that is run in it is for that one.
        machine.set("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
        machine.set("TMPDIR", dir.join("tmp"));
        machine.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        machine.first_on_path(&dir.join("bin"))?;
        Ok(machine)
    }

    /// The folder in which commands run; the clone is `packer` in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn packer_dir(&self) -> PathBuf {
        self.dir.join("packer")
    }

    /// The default of `--images`.
    pub fn images(&self) -> PathBuf {
        self.packer_dir().join("images")
    }

    /// The folder that is first on `PATH`: what a test puts here is found before the real program.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Sets a variable for every command from now on.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.env.insert(name.into(), value.into());
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.env.remove(OsStr::new(name));
    }

    /// Puts a folder in front of `PATH`.
    ///
    /// # Errors
    ///
    /// When the folder's name can't stand in `PATH`.
    pub fn first_on_path(&mut self, folder: &Path) -> anyhow::Result<()> {
        let old = self.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&old));
        let path = std::env::join_paths(folders).with_context(|| format!("adding {} to PATH", folder.display()))?;
        self.set("PATH", path);
        Ok(())
    }

    /// Runs another version of a program than the one installed.
    ///
    /// # Errors
    ///
    /// When the link can't be made.
    pub fn install(&self, name: &str, program: &Path) -> anyhow::Result<()> {
        let link = self.bin().join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(program, &link).with_context(|| format!("linking {}", link.display()))
    }

    /// A command of this machine, without input, in its folder.
    pub fn command(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = program(self.find(name.as_ref()));
        command.env_clear().envs(&self.env).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// The program on this machine's `PATH`. Looked for here, since a child that must look for itself starts as a copy of
    /// this whole process.
    pub(crate) fn find(&self, name: &OsStr) -> PathBuf {
        if Path::new(name).components().count() > 1 {
            return name.into();
        }
        let path = self.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|place| place.is_file());
        found.unwrap_or_else(|| name.into())
    }

    /// `cargo xtask packer …`, ready to start.
    pub fn tool_command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.command(&self.tool);
        command.arg("packer").args(args);
        command
    }

    /// Runs `cargo xtask packer …` to its end, and checks the [form](crate::form) of its messages.
    ///
    /// # Panics
    ///
    /// When it can't be started: it was compiled just before. When what it says hasn't the form.
    #[track_caller]
    pub fn tool<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let ran = run(self.tool_command(args)).expect("starting the tool");
        crate::form::check(args, ran.code, &ran.stdout, &ran.stderr);
        ran
    }

    /// Runs `gh` to its end.
    ///
    /// # Errors
    ///
    /// When it isn't installed or fails.
    pub fn gh<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<Ran> {
        let mut command = self.command("gh");
        command.args(args);
        run(command)?.success()
    }

    /// Runs `git` in the clone and gives what it prints.
    ///
    /// # Errors
    ///
    /// When it isn't installed or fails.
    pub fn git<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<String> {
        let mut command = self.command("git");
        command.current_dir(self.packer_dir()).args(args);
        Ok(run(command)?.success()?.text().to_owned())
    }

    /// Puts an image into the images folder as a build at `revision` leaves it, in a folder of its own: the file, its
    /// checksum file, versions, and the build record. Without a revision there is no record. Returns its digest.
    ///
    /// # Errors
    ///
    /// When `qemu-img` is missing or the revision unknown.
    pub fn build(&self, name: &str, size: u64, seed: u64, revision: Option<&str>) -> anyhow::Result<String> {
        let dir = self.images().join(name);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let path = dir.join(format!("{name}.qcow2"));
        image::write(&path, size, seed)?;
        let commit =
            revision.map(|revision| self.git(&["rev-parse", &format!("{revision}^{{commit}}")])).transpose()?;
        image::describe(&path, name, commit.as_deref())
    }
}
