//! A packer repository with a real history, and what `check` says about it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A folder with a repository, whose packer directory may be below its top.
pub struct Repo {
    pub top: PathBuf,
    pub packer: PathBuf,
}

/// What the tool left.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}{}", self.out, self.err))
    }

    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in says {
            assert!(self.out.contains(text) || self.err.contains(text), "no `{text}` in:\n{}{}", self.out, self.err);
        }
        self
    }
}

impl Repo {
    /// An empty repository.
    pub fn empty(test: &str) -> Self {
        let top = folder(test);
        git(&top, &["init", "--quiet", "--initial-branch=main"]);
        Self { packer: top.clone(), top }
    }

    /// One in the layout of today, committed and tagged `v0.1`.
    pub fn new(test: &str) -> Self {
        let repo = Self::empty(test);
        repo.fill();
        repo.commit("Add all");
        repo.tag("v0.1");
        repo
    }

    /// One whose packer directory is a folder of it.
    pub fn in_folder(test: &str, folder: &str) -> Self {
        let mut repo = Self::empty(test);
        repo.packer = repo.top.join(folder);
        repo.fill();
        repo.commit("Add all");
        repo.tag("v0.1");
        repo
    }

    /// The files of the layout of today.
    pub fn fill(&self) {
        for name in ["debian-12", "pve"] {
            self.write(
                &format!("templates/{name}/template.pkr.hcl"),
                template(name, "${path.root}/../..", "shared/", "${path.root}/cleanup.sh"),
            );
            self.write(&format!("templates/{name}/cleanup.sh"), format!("#!/bin/sh\necho {name}\n"));
        }
        self.write("shared/cloud-init/user-data", "#cloud-config\npackages: []\n");
        self.write("shared/cloud-init/meta-data", "instance-id: x\n");
        self.write("shared/scripts/update.sh", "#!/bin/sh\n# Updates.\napt-get update\n");
        self.write("extras/pve.sh", "#!/bin/sh\necho pve\n");
        self.apart();
    }

    /// The files of the older layout.
    pub fn fill_flat(&self) {
        for name in ["debian-12", "pve"] {
            let cleanup = format!("${{path.root}}/../scripts/cleanup-{name}.sh");
            self.write(&format!("templates/{name}.pkr.hcl"), template(name, "${path.root}/..", "", &cleanup));
            self.write(&format!("scripts/cleanup-{name}.sh"), format!("#!/bin/sh\necho {name}\n"));
        }
        self.write("cloud-init/user-data", "#cloud-config\npackages: []\n");
        self.write("cloud-init/meta-data", "instance-id: x\n");
        self.write("scripts/update.sh", "#!/bin/sh\n# Updates.\napt-get update\n");
        self.write("scripts/publish-images.sh", "#!/bin/sh\necho publish\n");
        self.write("scripts/test-templates.sh", "#!/bin/sh\necho test\n");
        self.write("extras/pve.sh", "#!/bin/sh\necho pve\n");
        self.apart();
    }

    /// What belongs to no image.
    fn apart(&self) {
        self.write("build.sh", "#!/bin/sh\n. lib/log.sh\n./publish.sh\n");
        self.write("lib/log.sh", "log() { echo; }\n");
        self.write("publish.sh", "#!/bin/sh\n");
        self.write("README.md", "# packer\n");
        self.write("CHANGELOG.md", "# Changes\n");
        self.write("tests/build.bats", "# tests\n");
        self.write(".github/workflows/ci.yml", "on: push\n");
        self.write(".gitignore", "/images/\n*.log\n");
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.packer.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.packer.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn append(&self, path: &str, text: &str) {
        self.write(path, self.read(path) + text);
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, text.replace(from, to));
    }

    pub fn remove(&self, path: &str) {
        let path = self.packer.join(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    pub fn rename(&self, from: &str, to: &str) {
        let to = self.packer.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.packer.join(from), to).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.packer.join(path);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub fn executable(&self, path: &str) {
        fs::set_permissions(self.packer.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn commit(&self, message: &str) -> String {
        git(&self.top, &["add", "--all"]);
        git(&self.top, &["commit", "--quiet", "--allow-empty", "--message", message]);
        git(&self.top, &["rev-parse", "HEAD"])
    }

    pub fn tag(&self, tag: &str) {
        git(&self.top, &["tag", tag]);
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.top, args)
    }

    /// `check` in this repository.
    pub fn check(&self, args: &[&str]) -> Ran {
        check_in(&self.packer, args)
    }

    /// `check --base v0.1 --json`
    #[track_caller]
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.check(&["--base", "v0.1", "--json"]).expect(0, &[]).json())
    }
}

/// A template that names files below `top`, those that are shared in `shared`.
fn template(name: &str, top: &str, shared: &str, cleanup: &str) -> String {
    format!(
        r#"# The image {name}.
source "qemu" "debian" {{
  cd_files         = ["{top}/{shared}cloud-init/user-data", "{top}/{shared}cloud-init/meta-data"]
  output_directory = "{top}/images/{name}"
}}

build {{
  sources = ["source.qemu.debian"]
  provisioner "shell" {{
    scripts = [
      "{top}/{shared}scripts/update.sh",
      "{cleanup}",
    ]
  }}
}}
"#
    )
}

/// What a test wants to know of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub decision: String,
    /// Images to rebuild, with their files.
    pub rebuild: Vec<(String, Vec<String>)>,
    pub comments: Vec<String>,
    pub review: Vec<String>,
    pub removed: Vec<String>,
}

impl Verdict {
    pub fn of(json: &Value) -> Self {
        let strings = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let images = json["images"].as_array().unwrap();
        let rebuild = images.iter().filter(|image| image["decision"] == "rebuild");
        Self {
            decision: json["decision"].as_str().unwrap().to_owned(),
            rebuild: rebuild
                .map(|image| (image["name"].as_str().unwrap().to_owned(), strings(&image["files"])))
                .collect(),
            comments: json["comment_only"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file["path"].as_str().unwrap().to_owned())
                .collect(),
            review: strings(&json["review"]),
            removed: strings(&json["removed"]),
        }
    }
}

/// `check` with a packer directory of one's own.
#[track_caller]
pub fn check_in(packer: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    isolate(&mut command);
    command.args(["packer", "check", "--packer-dir"]).arg(packer).args(args);
    // Nobody is logged in, and nothing answers.
    command.env("GH_CONFIG_DIR", "/nonexistent").env_remove("GH_TOKEN").env_remove("GITHUB_TOKEN");
    let output = command.output().unwrap();
    let ran = Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let said: Vec<_> = command.get_args().collect();
    rehearsal::form::check(&said, ran.code, &ran.out, &ran.err);
    ran
}

#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    isolate(&mut command);
    let output = command.arg("-C").arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Nothing of the person's own configuration takes part.
fn isolate(command: &mut Command) {
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ann Author"),
        ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ("GIT_COMMITTER_NAME", "Ann Author"),
        ("GIT_COMMITTER_EMAIL", "ann@example.org"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "protocol.file.allow"),
        ("GIT_CONFIG_VALUE_0", "always"),
    ] {
        command.env(name, value);
    }
}

/// An empty folder for a test.
pub fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(test.replace([' ', '/'], "-"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}
