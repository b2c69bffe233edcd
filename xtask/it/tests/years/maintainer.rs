//! The maintainer in a world of their own, and what they do there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use github_stand_in::{Release, SeedRelease};
use rehearsal::process;
use rehearsal::world::{IMAGES, REPOSITORY, World};

use super::deeds::Deed;
use super::place::{self, Host};

/// What readers see of `latest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    pub title: Option<String>,
    pub notes: String,
    pub assets: Vec<(String, u64, Option<String>)>,
    pub tag: String,
}

impl Face {
    /// Digests by image; the images of the walk are too small for parts.
    pub fn images(&self) -> BTreeMap<String, String> {
        let images = self.assets.iter().filter_map(|(name, _, digest)| Some((name.strip_suffix(".qcow2")?, digest)));
        images.map(|(name, digest)| (name.to_owned(), digest.clone().unwrap_or_default())).collect()
    }

    /// The version in the notes.
    pub fn label(&self) -> Option<&str> {
        self.notes.lines().next()?.strip_prefix("Points to ")
    }
}

/// The number of a version of the walk: `v0.45` is 45.
pub fn number(label: Option<&str>) -> Option<u64> {
    label?.strip_prefix("v0.")?.parse().ok()
}

/// What the model knows, in the tool's place.
#[derive(Clone)]
pub struct Life {
    /// The newest version.
    pub version: u64,
    /// Seeds of images: other ones, other bytes.
    built: u64,
    pub commands: u64,
    /// The last publish, as it was typed.
    typed: Option<Vec<String>>,
    /// What was live before what is live now.
    pub before: Option<Face>,
    /// Somebody changed `latest` by hand since the last publish or rollback.
    pub by_hand: bool,
    /// The version that the last rollback took from `latest`; the outer `None`: not known.
    pub taken: Option<Option<String>>,
    /// The digests of the inputs of recorded builds, by the digest of the image.
    pub origins: BTreeMap<String, String>,
    /// Digests of images that were published without a word about their origin.
    pub unstated: BTreeSet<String>,
    /// Whether the images are in one folder.
    pub flat: bool,
    /// Whether the host's engine keeps records.
    records: bool,
    pub told: Vec<String>,
}

pub struct Maintainer {
    pub world: World,
    pub host: Rc<Host>,
    pub life: Life,
}

impl Maintainer {
    pub fn new(dir: &Path) -> Self {
        let (world, host) = place::settle(dir);
        let life = Life {
            version: 45,
            built: 100,
            commands: 0,
            typed: None,
            before: None,
            by_hand: false,
            taken: Some(None),
            origins: BTreeMap::new(),
            unstated: BTreeSet::new(),
            flat: false,
            records: true,
            told: Vec::new(),
        };
        Self { world, host: Rc::new(host), life }
    }

    /// Lets a copy of the maintainer, in a copy of the world, do something.
    pub fn on_a_copy(&mut self, what: &str, does: impl FnOnce(&mut Self)) {
        let dir = self.world.dir().with_extension("copy");
        let world = place::copy(&self.world, &self.host, &dir);
        let mut copy = Self { world, host: Rc::clone(&self.host), life: self.life.clone() };
        copy.life.told.push(format!("  on a copy of the world, {what}:"));
        does(&mut copy);
        self.life.commands = copy.life.commands;
    }

    pub fn does(&mut self, deed: &Deed) {
        self.life.told.push(deed.to_string());
        match deed {
            Deed::BeginByHand => {
                self.world.build_all(1, Some("v0.44")).unwrap();
                self.notes_origins(&IMAGES, Some("v0.44"));
                self.world.publish_by_hand("v0.44").unwrap();
            }
            Deed::BeginManaged => {
                self.world.build_all(1, Some("v0.44")).unwrap();
                self.notes_origins(&IMAGES, Some("v0.44"));
                self.publishes(&["publish", "--source", "v0.44", "--execute"]);
            }
            Deed::BeginWithNothing => {}
            Deed::EditTemplate(image) => {
                let file = format!("templates/{}/cleanup.sh", IMAGES[*image]);
                self.commit(&file, &format!("echo {}\n", self.life.told.len()));
            }
            Deed::EditDocument => self.commit("README.md", "More words.\n"),
            Deed::Tag { release } => self.tag(*release),
            Deed::MakeRelease => self.make_release(),
            Deed::Build { images, recorded } => self.build(&named(images), if *recorded { Some("HEAD") } else { None }),
            Deed::BuildOnHost { images, sync, forced, mends } => {
                let mut words = vec!["build-and-fetch"];
                words.extend(sync.then_some("--sync"));
                words.extend(forced.then_some("--force"));
                words.extend(images.iter().map(|image| IMAGES[*image]));
                self.builds_on_host(&words, *mends);
            }
            Deed::OtherEngine => {
                self.life.records = !self.life.records;
                self.host.keeps_records(self.life.records);
            }
            Deed::Publish { images, only } => {
                let source = self.version();
                let mut words = vec!["publish", "--source", &source, "--execute"];
                if *only && !images.is_empty() {
                    words.push("--only");
                }
                words.extend(images.iter().map(|image| IMAGES[*image]));
                self.publishes(&words);
            }
            Deed::PublishAgain => {
                if let Some(words) = self.life.typed.clone() {
                    self.publishes(&words.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
            Deed::PublishCopy => self.publish_copy(),
            Deed::PublishCarry(image) => {
                let source = self.version();
                self.publishes(&["publish", "--source", &source, "--execute", "--carry", IMAGES[*image]]);
            }
            Deed::PublishOlder => self.publish_older(),
            Deed::OtherLayout => self.other_layout(),
            Deed::Rollback => self.rolls_back(),
            Deed::Document => {
                let release = self.version();
                self.documents(&["document", "--release", &release, "--execute"]);
            }
            Deed::FollowNext => self.follows_next(),
            Deed::ReachTheEnd => self.reaches_the_end(),
            Deed::DeleteLocal(image) => self.delete(IMAGES[*image]),
            Deed::DamageLocal(image) => self.damage(*image),
            Deed::DropChecksum(image) => {
                let _ = fs::remove_file(self.local(*image).with_extension("qcow2.sha256"));
            }
            Deed::LeaveChecksum(image) => {
                let _ = fs::remove_file(self.local(*image));
            }
            Deed::CloneAnew => {
                let _ = fs::remove_dir_all(self.world.images());
                self.life.flat = false;
            }
            Deed::Interrupt { after } => self.interrupted(*after),
            Deed::DeleteAsset(_)
            | Deed::ReplaceAsset(_)
            | Deed::AddAsset
            | Deed::EditNotes
            | Deed::FullRelease
            | Deed::MoveTag
            | Deed::RemakeByHand => self.meddles(deed),
        }
        self.verbs_agree();
    }

    pub fn version(&self) -> String {
        format!("v0.{}", self.life.version)
    }

    fn meddles(&mut self, deed: &Deed) {
        let Some(live) = self.live() else { return };
        self.life.by_hand = true;
        if matches!(deed, Deed::EditNotes | Deed::MoveTag) && live.asset("packer-images.json").is_none() {
            // Notes and tag of a set that was made by hand are all that says what its images were built from.
            let digests = live.assets.iter().filter_map(|asset| asset.digest.clone());
            self.life.unstated.extend(digests);
        }
        let gh = |words: &[&str]| drop(self.world.gh(&[words, &["--repo", REPOSITORY]].concat()).unwrap());
        let pick = |number: u64| live.assets.get(usize::try_from(number).unwrap() % live.assets.len().max(1));
        let file = |name: &str, bytes: &[u8]| -> String {
            let path = self.world.dir().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        match deed {
            Deed::DeleteAsset(number) => {
                if let Some(asset) = pick(*number) {
                    gh(&["release", "delete-asset", "latest", &asset.name, "--yes"]);
                }
            }
            Deed::ReplaceAsset(number) => {
                if let Some(asset) = pick(*number).filter(|asset| asset.name.contains(".qcow2")) {
                    gh(&["release", "upload", "latest", "--clobber", &file(&asset.name, b"by hand")]);
                }
            }
            Deed::AddAsset => gh(&["release", "upload", "latest", "--clobber", &file("strange.qcow2", b"by hand")]),
            Deed::EditNotes => gh(&["release", "edit", "latest", "--notes", "By hand."]),
            Deed::FullRelease => gh(&["release", "edit", "latest", "--prerelease=false"]),
            Deed::MoveTag => {
                self.world.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).unwrap();
            }
            _ => {
                gh(&["release", "delete", "latest", "--yes", "--cleanup-tag"]);
                (self.life.before, self.life.taken) = (None, None);
                self.life.built += 10;
                self.build(&IMAGES, Some("v0.43"));
                // Their notes say another version than their records.
                self.life.origins.clear();
                self.world.publish_by_hand(&self.version()).unwrap();
            }
        }
    }

    pub fn live(&self) -> Option<Release> {
        self.world.published().published("latest").cloned()
    }

    pub fn face(&self) -> Option<Face> {
        let live = self.live()?;
        let notes = live.body.clone().unwrap_or_default();
        let notes: Vec<&str> = notes.lines().filter(|line| !line.starts_with("<!--")).collect();
        let mut assets: Vec<_> =
            live.assets.iter().map(|asset| (asset.name.clone(), asset.size, asset.digest.clone())).collect();
        assets.sort();
        Some(Face {
            title: live.name.clone(),
            notes: notes.join("\n").trim().to_owned(),
            assets,
            tag: self.world.remote_commit("latest"),
        })
    }

    fn local(&self, image: usize) -> PathBuf {
        self.folder(IMAGES[image]).join(format!("{}.qcow2", IMAGES[image]))
    }

    fn folder(&self, name: &str) -> PathBuf {
        if self.life.flat { self.world.images() } else { self.world.images().join(name) }
    }

    /// The files of an image, wherever they are: what is fetched for the first time has a folder of its own, also beside others
    /// that have none.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let listed = |folder: PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_file())
        };
        let flat = listed(self.world.images());
        let flat = flat.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
        listed(self.world.images().join(name)).chain(flat).collect()
    }

    fn delete(&self, name: &str) {
        self.files(name).iter().for_each(|file| fs::remove_file(file).unwrap());
    }

    fn other_layout(&mut self) {
        let all: Vec<(&str, Vec<PathBuf>)> = IMAGES.iter().map(|name| (*name, self.files(name))).collect();
        self.life.flat = !self.life.flat;
        for (name, files) in all {
            fs::create_dir_all(self.folder(name)).unwrap();
            for file in files {
                fs::rename(&file, self.folder(name).join(file.file_name().unwrap())).unwrap();
            }
        }
    }

    /// What a person who has no build host does: the images come from the version's own release. What they were built from is
    /// stated where that is true.
    fn publish_copy(&mut self) {
        self.make_release();
        let tag = self.version();
        let mut is_known = true;
        for (image, name) in IMAGES.iter().enumerate() {
            let (image, sum) = (self.local(image), self.local(image).with_extension("qcow2.sha256"));
            if image.is_file() && sum.is_file() {
                let files = [image.to_str().unwrap(), sum.to_str().unwrap()];
                self.world
                    .gh(&[&["release", "upload", &tag, "--clobber", "--repo", REPOSITORY][..], &files].concat())
                    .unwrap();
                let digest = format!("sha256:{}", &fs::read_to_string(&sum).unwrap()[..64]);
                let key = self.key_here(name).or_else(|| self.life.origins.get(&digest).cloned());
                is_known &= key == Some(self.key(&tag, name));
            } else {
                is_known = false;
            }
        }
        let mut words = vec!["publish", "--copy", "--source", &tag, "--execute"];
        if is_known {
            words.extend(["--built-from", &tag]);
        }
        let ran = self.publishes(&words);
        if ran.code == Some(0) && !is_known {
            let live = self.face().into_iter().flat_map(|face| face.images().into_values());
            self.life.unstated.extend(live);
        }
    }

    /// An older version than the one that is live is refused, and nothing changes.
    fn publish_older(&mut self) {
        let label = self.face().and_then(|face| face.label()?.strip_prefix("v0.")?.parse::<u64>().ok());
        let older = self.life.version - 1;
        let source = format!("v0.{older}");
        let ran = self.publishes(&["publish", "--source", &source, "--execute"]);
        if label.is_some_and(|label| label > older) && ran.code != Some(3) {
            self.fails(&format!("{source} is older than what is live, and publish ended with {:?}", ran.code));
        }
    }

    fn damage(&self, image: usize) {
        let Ok(mut file) = fs::File::options().write(true).open(self.local(image)) else { return };
        file.seek(SeekFrom::Start(198 << 10)).unwrap();
        file.write_all(b"damaged").unwrap();
    }

    fn commit(&self, file: &str, text: &str) {
        let path = self.world.packer_dir().join(file);
        fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
        self.world.git(&["commit", "--quiet", "--all", "--message", "A change"]).unwrap();
        self.world.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
    }

    fn tag(&mut self, release: bool) {
        self.life.version += 1;
        let tag = self.version();
        self.world.git(&["tag", &tag]).unwrap();
        self.world.git(&["push", "--quiet", "origin", &tag]).unwrap();
        if release {
            self.make_release();
        }
    }

    fn make_release(&self) {
        let tag = self.version();
        let state = self.world.published();
        if state.published(&tag).is_none() && state.drafts(&tag).next().is_none() {
            self.world.hub().seed_release(REPOSITORY, SeedRelease::draft(&tag).body("What is new.")).unwrap();
        }
    }

    /// Puts images here as a build leaves them that nobody watched.
    fn build(&mut self, names: &[&str], revision: Option<&str>) {
        for name in names {
            self.life.built += 1;
            self.delete(name);
            self.world.build(name, (200 + self.life.built % 50) << 10, self.life.built, revision).unwrap();
            if self.life.flat {
                self.life.flat = false;
                let files = self.files(name);
                self.life.flat = true;
                for file in files {
                    fs::rename(&file, self.folder(name).join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        self.notes_origins(names, revision);
    }

    fn notes_origins(&mut self, names: &[&str], revision: Option<&str>) {
        let Some(revision) = revision else { return };
        for name in names {
            let sum = self.files(name).into_iter().find(|file| file.extension().is_some_and(|it| it == "sha256"));
            let digest = fs::read_to_string(sum.unwrap()).unwrap()[..64].to_owned();
            self.life.origins.insert(format!("sha256:{digest}"), self.key(revision, name));
        }
    }

    fn interrupted(&mut self, after: u64) {
        let source = self.version();
        let words = ["publish", "--source", &source, "--execute"];
        self.life.commands += 1;
        self.life.told.push(format!("  $ {} (Ctrl-C after {after} ms)", words.join(" ")));
        let (before, old, all) = (self.face(), self.live().map(|live| live.id), self.everything());
        let mut command = self.world.tool_command(&words);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut running = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        process::kill("INT", &running.id().to_string());
        let code = running.wait().unwrap().code();
        self.went_live(before, old);
        if !matches!(code, Some(0 | 1 | 3 | 4 | 130)) || (code == Some(3) && self.everything() != all) {
            self.fails(&format!("after Ctrl-C it ended with {code:?}"));
        }
        if old.is_some() && self.live().is_none() {
            self.fails(&format!("after Ctrl-C ({code:?}) nothing is live"));
        }
    }

    /// Takes note of what a command made of `latest`, which was `before`.
    pub fn went_live(&mut self, before: Option<Face>, old: Option<u64>) {
        if self.live().map(|live| live.id) != old {
            let (was, now) = (before.as_ref().and_then(Face::label).map(str::to_owned), self.face());
            let now = now.as_ref().and_then(Face::label);
            self.life.taken = match (number(was.as_deref()), number(now)) {
                // Labels that somebody may have edited say nothing.
                _ if self.life.by_hand => None,
                (was, now) if was == now => self.life.taken.take(),
                (older, newer) if older < newer => Some(None),
                _ => Some(was),
            };
            // A set that somebody changed by hand may not be whole, and then no rollback takes it.
            self.life.before = before.filter(|_| !self.life.by_hand);
            self.life.by_hand = false;
        } else if self.face() != before {
            // Another label, or a repair of what somebody changed by hand.
            let assets = |face: Option<Face>| face.map(|face| face.assets);
            self.life.by_hand |= assets(self.face()) != assets(before);
            self.life.taken = None;
        }
    }

    pub fn remembers(&mut self, words: &[&str]) {
        self.life.typed = Some(words.iter().map(|word| (*word).to_owned()).collect());
    }

    pub fn fails(&self, why: &str) -> ! {
        panic!("{}\n{why}", self.life.told.join("\n"))
    }
}

fn named(images: &[usize]) -> Vec<&'static str> {
    if images.is_empty() { IMAGES.to_vec() } else { images.iter().map(|image| IMAGES[*image]).collect() }
}
