//! A world for the release tool: a packer repository with tags and a bare remote, a stand-in for GitHub that serves it,
//! and a contributor's machine. The tool runs in it as it runs anywhere; only the address of GitHub is another.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use github_stand_in::{Access, GitHub, Hub, Repository, RepositoryState, SeedRelease, Settings, Token};

use crate::machine::Machine;
use crate::process::run;

/// The repository's name on the stand-in; the tool's own default.
pub const REPOSITORY: &str = "homestak-dev/packer";

/// The token of the contributor, who may push.
pub const TOKEN: &str = "rehearsal-token";

/// The bare repository's folder in a world's own.
const REMOTE: &str = "packer.git";

/// The full set.
pub const IMAGES: [&str; 3] = ["debian-12-custom", "debian-13-custom", "debian-13-pve"];

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tool's binary.
    pub tool: PathBuf,
    /// Another `gh` than the one on `PATH`.
    pub gh: Option<PathBuf>,
    /// Templates to begin with.
    pub templates: Vec<String>,
    /// Sizes of the images that [`World::build_all`] makes, in the order of the templates, over and over.
    pub sizes: Vec<u64>,
    /// The largest asset that the stand-in takes.
    pub max_asset_bytes: u64,
    /// A packer directory to begin with, in place of one that has the templates' names and little else.
    pub packer_dir: Option<PathBuf>,
}

impl Options {
    /// Three templates, images of 1 to 3 MiB, GitHub's own limit.
    pub fn new(tool: impl Into<PathBuf>) -> Self {
        Self {
            tool: tool.into(),
            gh: None,
            templates: IMAGES.map(str::to_owned).to_vec(),
            sizes: vec![1 << 20, (5 << 20) / 2, 3 << 20],
            max_asset_bytes: (2 << 30) - 1,
            packer_dir: None,
        }
    }
}

/// A world in a folder, which goes with it. The contributor's machine is what it derefs to.
pub struct World {
    github: GitHub,
    machine: Machine,
    options: Options,
    dir: PathBuf,
    keep: bool,
    /// The folder of the stand-in's socket, with a short name.
    socket: ShortDir,
}

impl World {
    /// Builds it in `dir`, which is emptied first. Three commits, each pushed: `v0.43` (lightweight) has the templates,
    /// `v0.44` (annotated) changes a document alone, and `v0.45` (annotated, at HEAD) a script of the first template.
    ///
    /// # Errors
    ///
    /// When git or a folder fails.
    pub fn new(dir: &Path, options: Options) -> anyhow::Result<Self> {
        // One that is empty was made for this, for one user alone.
        if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let remote = dir.join(REMOTE);
        let machine = Machine::new(&dir, &options.tool)?;
        let mut init = machine.command("git");
        init.args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&remote);
        run(init)?.success()?;
        clone(&machine, &remote)?;
        commits(&machine, &options)?;
        Self::start(dir, machine, options)
    }

    /// Another world with the same history, clone and images: quicker than to build one. Its stand-in begins without a release.
    ///
    /// # Errors
    ///
    /// When git or a folder fails.
    pub fn copy(&self, dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let machine = Machine::new(&dir, &self.options.tool)?;
        let mut copy = machine.command("cp");
        copy.args(["-a", "--reflink=auto"]).args([self.remote(), self.machine.packer_dir()]).arg(&dir);
        run(copy)?.success()?;
        let world = Self::start(dir, machine, self.options.clone())?;
        let remote = world.remote();
        world.git(&["config".as_ref(), "remote.origin.url".as_ref(), remote.as_os_str()])?;
        Ok(world)
    }

    /// Another world in the same state, with all that lies in this one's folder, and its releases and issues.
    ///
    /// # Errors
    ///
    /// When git, a folder or the stand-in fails.
    pub fn twin(&self, dir: &Path) -> anyhow::Result<Self> {
        let _ = fs::remove_dir_all(dir);
        // The folder that it is copied to must not be there, and the one above must.
        dir.parent().map_or(Ok(()), fs::create_dir_all).with_context(|| format!("making {}", dir.display()))?;
        let mut copy = self.machine.command("cp");
        copy.args(["-a", "--reflink=auto"]).args([&self.dir, dir]);
        run(copy)?.success()?;
        let dir = dir.canonicalize()?;
        let world = Self::start(dir.clone(), Machine::new(&dir, &self.options.tool)?, self.options.clone())?;
        let remote = world.remote();
        world.git(&["config".as_ref(), "remote.origin.url".as_ref(), remote.as_os_str()])?;
        world.github.take_over(REPOSITORY, &self.github)?;
        Ok(world)
    }

    /// Starts the stand-in for the remote in `dir`, and logs the machine in there.
    fn start(dir: PathBuf, mut machine: Machine, options: Options) -> anyhow::Result<Self> {
        let socket = ShortDir::new()?;
        let settings = Settings {
            max_asset_bytes: options.max_asset_bytes,
            ..Settings::new(socket.0.join("github.sock"), dir.join("github"))
        };
        let github = GitHub::start(settings)?;
        github.add_repository(REPOSITORY, Repository::new(dir.join(REMOTE)))?;
        github.add_token(TOKEN, Token::classic("contributor").with(REPOSITORY, Access::Push));
        equip(&mut machine, &github, &dir.join(REMOTE), options.gh.as_deref())?;
        Ok(Self { github, machine, options, dir, keep: false, socket })
    }

    /// No program reaches the stand-in any more: for a world of which only twins are made.
    pub fn close(self) -> Self {
        self.socket.remove();
        self
    }

    /// Gives the remote a hook, a shell script that git runs there: `pre-receive`, `update`.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn hook(&self, name: &str, script: &str) -> anyhow::Result<()> {
        let path = self.remote().join("hooks").join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("writing the hook {name}"))
    }

    /// Leaves the folder there at the end, and says which it is.
    pub fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.dir
    }

    /// The stand-in for GitHub.
    pub fn hub(&self) -> &Hub {
        &self.github
    }

    /// The bare repository that all clones push to.
    pub fn remote(&self) -> PathBuf {
        self.dir.join(REMOTE)
    }

    /// The repository's releases and issues at this moment.
    pub fn published(&self) -> RepositoryState {
        self.github.state().repository(REPOSITORY).clone()
    }

    /// The commit that a revision names in the remote; empty when there is none.
    pub fn remote_commit(&self, revision: &str) -> String {
        let remote = format!("--git-dir={}", self.remote().display());
        let revision = format!("{revision}^{{commit}}");
        self.machine.git(&[&remote, "rev-parse", "--verify", "--quiet", &revision]).unwrap_or_default()
    }

    /// Another machine with a clone of its own and no images, logged in as the same contributor.
    ///
    /// # Errors
    ///
    /// When git fails.
    pub fn another_machine(&self, name: &str) -> anyhow::Result<Machine> {
        let mut machine = Machine::new(&self.dir.join(name), &self.options.tool)?;
        clone(&machine, &self.remote())?;
        equip(&mut machine, &self.github, &self.remote(), self.options.gh.as_deref())?;
        Ok(machine)
    }

    /// Puts the whole set into the machine's images folder, built at `revision`. Other seeds give other bytes.
    ///
    /// # Errors
    ///
    /// See [`Machine::build`].
    pub fn build_all(&self, seed: u64, revision: Option<&str>) -> anyhow::Result<()> {
        let sizes = self.options.sizes.iter().cycle();
        for ((name, size), number) in self.options.templates.iter().zip(sizes).zip(1..) {
            self.machine.build(name, *size, seed * 1000 + number, revision)?;
        }
        Ok(())
    }

    /// Makes `latest` as people made it by hand: the images that lie in the images folder, whole, with their checksum
    /// files, no manifest, and the tag at `source`. Returns the release's id.
    ///
    /// # Errors
    ///
    /// When git or the stand-in fails.
    pub fn publish_by_hand(&self, source: &str) -> anyhow::Result<u64> {
        self.machine.git(&["tag", "-f", "latest", &format!("{source}^{{commit}}")])?;
        self.machine.git(&["push", "--quiet", "--force", "origin", "refs/tags/latest"])?;
        self.github.seed_release(REPOSITORY, self.handmade(source)?)
    }

    /// The release of [`World::publish_by_hand`] alone.
    ///
    /// # Errors
    ///
    /// When an image isn't there.
    pub fn handmade(&self, source: &str) -> anyhow::Result<SeedRelease> {
        let mut release = SeedRelease::prerelease("latest").body(&format!("Points to {source}"));
        release.name = Some("Latest Images".to_owned());
        for name in &self.options.templates {
            for file in [format!("{name}.qcow2"), format!("{name}.qcow2.sha256")] {
                let images = self.machine.images();
                let path = images.join(name).join(&file);
                let path = if path.exists() { path } else { images.join(&file) };
                let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                release = release.asset(&file, bytes);
            }
        }
        Ok(release)
    }
}

impl Deref for World {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After a failure the folder stays, to be looked at.
        if !self.keep && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn clone(machine: &Machine, remote: &Path) -> anyhow::Result<()> {
    let mut clone = machine.command("git");
    clone.args(["clone", "--quiet"]).arg(remote).arg(machine.packer_dir());
    run(clone)?.success().map(drop)
}

/// Logs the machine in at the stand-in.
fn equip(machine: &mut Machine, github: &Hub, remote: &Path, gh: Option<&Path>) -> anyhow::Result<()> {
    machine.set("HOMESTAK_PACKER_GIT_URL", remote);
    machine.set("HOMESTAK_PACKER_REPO", REPOSITORY);
    for (name, value) in github.configure_gh(&machine.dir().join("gh"))? {
        machine.set(name, value);
    }
    machine.set("GH_TOKEN", TOKEN);
    gh.map_or(Ok(()), |gh| machine.install("gh", gh))
}

fn commits(machine: &Machine, options: &Options) -> anyhow::Result<()> {
    let packer = machine.packer_dir();
    let commit = |message: &str, tag: &[&str]| -> anyhow::Result<()> {
        machine.git(&["add", "--all"])?;
        machine.git(&["commit", "--quiet", "--message", message])?;
        machine.git(&[&["tag"], tag].concat()).map(drop)
    };
    match &options.packer_dir {
        Some(dir) => copy(dir, &packer)?,
        None => small_packer_dir(&packer, &options.templates)?,
    }
    append(&packer.join("README.md"), "# packer\n")?;
    commit("Add the templates", &["v0.43"])?;
    append(&packer.join("README.md"), "\nBuilds images.\n")?;
    commit("Say what this is", &["--annotate", "--message", "v0.44", "v0.44"])?;
    if let Some(name) = options.templates.first() {
        append(&packer.join(format!("templates/{name}/cleanup.sh")), "rm -f /var/log/wtmp\n")?;
    }
    commit("Remove the log of logins too", &["--annotate", "--message", "v0.45", "v0.45"])?;
    machine.git(&["push", "--quiet", "--tags", "origin", "HEAD:main"]).map(drop)
}

/// The least that the tool takes for a packer directory.
fn small_packer_dir(packer: &Path, templates: &[String]) -> anyhow::Result<()> {
    append(&packer.join(".gitignore"), "/images/\n/logs/\n")?;
    append(&packer.join("build.sh"), "#!/bin/sh\n")?;
    append(&packer.join("shared/scripts/update.sh"), "#!/bin/sh\napt-get update\n")?;
    for name in templates {
        let dir = packer.join("templates").join(name);
        append(&dir.join("template.pkr.hcl"), &format!("source \"qemu\" \"{name}\" {{}}\n"))?;
        append(&dir.join("cleanup.sh"), "#!/bin/sh\ncloud-init clean\n")?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let appending = || format!("writing {}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).with_context(appending)?;
    let mut file = File::options().append(true).create(true).open(path).with_context(appending)?;
    file.write_all(text.as_bytes()).with_context(appending)
}

/// Copies a packer directory without what builds and people leave in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    const LEFT: [&str; 5] = [".cache", ".git", "build.env", "images", "logs"];
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry.with_context(|| format!("reading {}", from.display()))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if LEFT.iter().any(|left| entry.file_name() == *left) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

/// A folder with a path that leaves room for a socket's name in the 107 bytes that Linux takes.
struct ShortDir(PathBuf);

impl ShortDir {
    fn new() -> anyhow::Result<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rehearsal-{}-{number}", std::process::id()));
        // A process of the same number may have been killed here.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self(dir))
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for ShortDir {
    fn drop(&mut self) {
        self.remove();
    }
}
