//! What a run starts from, what it is to reach, and what must hold all the while.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use github_stand_in::{AssetState, Request, SeedBytes, SeedRelease, Shown, ShownAsset, ShownRelease};
use rehearsal::image::sha256;
use rehearsal::process::Ran;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

use super::kept::{Kept, sends_nothing};
use super::reader::{Reader, is_readers};

/// Where a publish starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Neither release nor tag is there.
    First,
    /// A set of ours is live.
    OverOurs,
    /// A set made by hand is live.
    OverHandmade,
    /// The same images under a new source.
    NewSource,
    /// One image is new, two are carried over.
    OneNew,
    Rollback,
    /// The wanted images are those of a pinned set.
    Pinned,
}

impl Scenario {
    /// The richest first.
    pub const ALL: &[Self] =
        &[Self::OverOurs, Self::First, Self::OverHandmade, Self::NewSource, Self::OneNew, Self::Rollback, Self::Pinned];

    /// The set: one image in two parts, and where two are carried over all three.
    pub fn images(self) -> &'static [&'static str] {
        if self == Self::OneNew { &IMAGES } else { &IMAGES[..1] }
    }

    pub fn args(self) -> Vec<&'static str> {
        let publish = |more: &[&'static str]| {
            let base = ["publish", "--source", "v0.45", "--execute", "--allow-stale", "--part-size", "256KiB"];
            [&base, more].concat()
        };
        match self {
            Self::Rollback => vec!["rollback", "--execute"],
            Self::OneNew => publish(&["--carry", IMAGES[1], IMAGES[2]]),
            _ => publish(&[]),
        }
    }

    /// With little patience, for faults that stand still.
    pub fn impatient(self) -> Vec<&'static str> {
        [&self.args()[..], &["--stall-timeout", "2"]].concat()
    }
}

/// Images of a set by asset name and digest, without the manifest, whose bytes depend on versions.
type Set = BTreeMap<String, String>;

/// A live set, its tag's commit, and the version in its notes.
type Old = (Set, String, String);

/// What each run of a scenario starts from, made once and copied.
pub struct Start {
    pub scenario: Scenario,
    world: World,
    /// The release that is live, then the pinned ones, each replaced by the one before it; with their versions.
    releases: Vec<(SeedRelease, &'static str)>,
}

/// A world on its way from one set to another.
pub struct Run {
    pub world: World,
    pub scenario: Scenario,
    /// The set that is live at the start, with its tag's commit and the version in its notes.
    pub old: Option<Old>,
    /// The sets at the start.
    pub kept: Kept,
    /// Where in the log and the timeline the run begins.
    requests_before: usize,
    shown_before: usize,
    reader: Reader,
}

fn tag_latest(world: &World, source: &str) {
    let tag = format!("{source}^{{commit}}:refs/tags/latest");
    world.git(&["push", "--quiet", "origin", &tag]).expect("pushing the tag");
}

/// A set as the tool publishes it: the same history gives the same commits in every world.
fn ours(scenario: Scenario, seed: u64, source: &str) -> SeedRelease {
    let world = World::new(&place("ours"), options(scenario)).expect("building a world");
    world.build_all(seed, Some(source)).expect("building images");
    world.tool(&["publish", "--source", source, "--execute", "--part-size", "256KiB"]).expect(0, &[]);
    let dir = world.dir().join("published");
    let folder = dir.to_str().expect("a plain path");
    world.gh(&["release", "download", "latest", "--repo", REPOSITORY, "--dir", folder]).expect("downloading");
    let live = world.published().published("latest").expect("a release").clone();
    let mut release = SeedRelease::prerelease("latest").body(live.body.as_deref().unwrap_or_default());
    release.name = live.name;
    for asset in &live.assets {
        release = release.asset(&asset.name, std::fs::read(dir.join(&asset.name)).expect("reading an asset"));
    }
    release
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn place(name: &str) -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("matrix-{}-{name}-{number}", std::process::id()))
}

/// The first image is in two parts.
pub const SIZES: [u64; 3] = [400 << 10, 200 << 10, 220 << 10];

fn options(scenario: Scenario) -> Options {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.templates = scenario.images().iter().map(|&image| image.to_owned()).collect();
    options.sizes = SIZES.to_vec();
    options
}

impl Start {
    pub fn new(scenario: Scenario) -> Self {
        let mut world = World::new(&place("start"), options(scenario)).expect("building a world");
        world.set("PACKER_TEST_JOBS", "1");
        let build = |seed, source| world.build_all(seed, Some(source)).expect("building images");
        let mut releases = Vec::new();
        if scenario != Scenario::First {
            tag_latest(&world, "v0.44");
        }
        match scenario {
            Scenario::First => build(2, "v0.45"),
            Scenario::OverOurs => {
                releases.push((ours(scenario, 1, "v0.44"), "v0.44"));
                build(2, "v0.45");
            }
            Scenario::OverHandmade => {
                build(1, "v0.44");
                releases.push((world.handmade("v0.44").expect("a release made by hand"), "v0.44"));
                build(2, "v0.45");
            }
            Scenario::NewSource => {
                releases.push((ours(scenario, 1, "v0.44"), "v0.44"));
                build(1, "v0.44");
            }
            Scenario::OneNew => {
                releases.push((ours(scenario, 1, "v0.44"), "v0.44"));
                world.build(IMAGES[0], SIZES[0], 2001, Some("v0.45")).expect("building an image");
            }
            Scenario::Rollback => {
                releases
                    .extend([(1, "v0.44"), (2, "v0.45")].map(|(seed, source)| (ours(scenario, seed, source), source)));
            }
            Scenario::Pinned => {
                let sets = [(1, "v0.44"), (3, "v0.43"), (2, "v0.45")];
                releases.extend(sets.map(|(seed, source)| (ours(scenario, seed, source), source)));
                build(2, "v0.45");
            }
        }
        for (_, source) in releases.iter().skip(1) {
            let tag = format!("{source}^{{commit}}:refs/tags/images-{source}");
            world.git(&["push", "--quiet", "origin", &tag]).expect("pushing a pinned tag");
        }
        Self { scenario, world, releases }
    }
}

/// What a set becomes when another takes its place, as `order` of so many.
fn pin(world: &World, release: &mut SeedRelease, source: &str, by: (u64, &str, &SeedRelease), order: usize) {
    let manifest = |release: &SeedRelease| {
        let asset = release.assets.iter().find(|asset| asset.name == "packer-images.json");
        asset.map(|asset| match &asset.bytes {
            SeedBytes::Here(bytes) => sha256(bytes),
            _ => panic!("a manifest is held in memory"),
        })
    };
    let (id, by_source, by) = by;
    let commit = world.remote_commit(source);
    let stamp: Value = json!({
        "by": id, "by_manifest": manifest(by), "by_label": { "source": by_source, "commit": world.remote_commit(by_source) },
        "manifest": manifest(release), "tag_object": commit, "commit": commit, "order": order,
    });
    let body = release.body.take().unwrap_or_default();
    release.body = Some(format!("{body}\n\n<!-- packer-replaced {stamp} -->\n"));
    (release.tag, release.name) = (format!("images-{source}"), Some(format!("Images {source}")));
}

impl Run {
    pub fn new(start: &Start) -> Self {
        let scenario = start.scenario;
        let world = start.world.copy(&place("case")).expect("copying a world");
        let mut seeded: Vec<(u64, &str)> = Vec::new();
        for (place, (release, source)) in start.releases.iter().enumerate() {
            let mut release = release.clone();
            if let Some((by, by_source)) = seeded.last() {
                let by = (*by, *by_source, &start.releases[place - 1].0);
                pin(&world, &mut release, source, by, start.releases.len() - place);
            }
            seeded.push((world.hub().seed_release(REPOSITORY, release).expect("putting a release there"), source));
        }
        let kept = Kept::new(&world, &seeded);
        let shown = world.hub().timeline();
        let live = shown.last().and_then(|shown| Some((shown.release.as_ref()?, shown.tag.as_ref()?)));
        let old = live.map(|(release, tag)| (set(release), tag.commit.clone(), version(release)));
        let requests_before = world.hub().requests().len();
        let reader = Reader::start(world.hub().socket(), scenario.images().len());
        Self { scenario, old, kept, requests_before, shown_before: shown.len(), reader, world }
    }

    /// What the set consists of.
    pub fn images(&self) -> &'static [&'static str] {
        self.scenario.images()
    }

    pub fn tool(&self) -> Ran {
        self.world.tool(&self.scenario.impatient())
    }

    /// With patience, where nothing stands still: beside many others an answer takes its time.
    pub fn again(&self) -> Ran {
        self.world.tool(&self.scenario.args())
    }

    pub fn requests(&self) -> Vec<Request> {
        let requests = self.world.hub().requests().split_off(self.requests_before);
        requests.into_iter().filter(|request| !is_readers(request)).collect()
    }

    /// What a publish of this scenario is to leave.
    fn is_new(&self, shown: &Shown) -> Result<(), String> {
        let (Some(release), Some(tag)) = (&shown.release, &shown.tag) else {
            return Err("nothing is live, or the tag is missing".to_owned());
        };
        if tag.commit != self.world.remote_commit("v0.45") {
            return Err(format!("the tag is at {}, not at v0.45", tag.commit));
        }
        complete(release, self.images())?;
        if version(release) != "v0.45" {
            return Err(format!("the notes are {:?}", release.body));
        }
        if self.kept.wanted(self.scenario).is_some_and(|wanted| wanted != release.id) {
            return Err(format!("the release {} is live, and not the pinned one", release.id));
        }
        let same_images = self.old.as_ref().is_some_and(|(old, ..)| *old == set(release));
        if same_images != (self.scenario == Scenario::NewSource) {
            return Err(format!("the set is {:?}, before it was {:?}", set(release), self.old));
        }
        Ok(())
    }

    fn is_old(&self, shown: &Shown) -> Result<(), String> {
        let now = shown.release.as_ref().zip(shown.tag.as_ref());
        let now = now.map(|(release, tag)| (set(release), tag.commit.clone(), version(release)));
        // The tag of a first publish stays where it is: a tag is never deleted.
        if now != self.old {
            return Err(format!("expected what was live before, {:?}, found {now:?}, tag {:?}", self.old, shown.tag));
        }
        shown.release.as_ref().map_or(Ok(()), |release| complete(release, self.images()))
    }

    /// The new set is live, nothing was lost on the way.
    pub fn finished(&self, ran: &Ran) -> Result<(), String> {
        self.reached(ran).and_then(|()| self.never_lost().map_err(|error| format!("{error}: {}", self.tell(ran))))
    }

    /// The new set is live.
    pub fn reached(&self, ran: &Ran) -> Result<(), String> {
        if ran.code != Some(0) {
            return Err(format!("the run failed: {}", self.tell(ran)));
        }
        self.is_new(&self.now())
            .and_then(|()| self.kept.check(&self.world, self.scenario))
            .and_then(|()| sends_nothing(self.scenario, &self.requests()))
            .map_err(|error| format!("{error}: {}", self.tell(ran)))
    }

    /// Whatever the run's end: `latest` is one of the two sets with its tag, and nothing was lost on the way. With an exit
    /// code of 0 it is the new one.
    pub fn sound(&self, ran: &Ran) -> Result<(), String> {
        if ran.code == Some(0) {
            return self.finished(ran);
        }
        let shown = self.now();
        let either = self
            .is_old(&shown)
            .or_else(|old| self.is_new(&shown).map_err(|new| format!("{old}; nor the new set: {new}")));
        let explained = if ran.stderr.contains("error:") { Ok(()) } else { Err("the error is not told".to_owned()) };
        either.and(explained).and_then(|()| self.never_lost()).map_err(|error| format!("{error}: {}", self.tell(ran)))
    }

    /// Whether the new set is live, complete, with its tag.
    pub fn is_done(&self) -> bool {
        self.is_new(&self.now()).is_ok()
    }

    /// `latest` lacks a complete set only between the two calls of a flip, between which only calls of a flip are made, and
    /// the tag stays where it is.
    pub fn never_lost(&self) -> Result<(), String> {
        self.readers_are_well_served()?;
        self.kept.check(&self.world, self.scenario)?;
        let shown = self.world.hub().timeline();
        let requests = self.world.hub().requests();
        let mut since = None;
        let shown = &shown[self.shown_before.saturating_sub(1)..];
        let moved = |two: &&[Shown]| two[0].release.is_none() && two[0].tag != two[1].tag;
        if let Some(two) = shown.windows(2).find(moved).filter(|_| self.old.is_some()) {
            return Err(format!("while nothing was live the tag moved from {:?} to {:?}", two[0].tag, two[1].tag));
        }
        for shown in shown {
            match (&shown.release, since) {
                (Some(release), began) => {
                    complete(release, self.images())?;
                    let ended = shown.request.unwrap_or(requests.len());
                    let between = began.map_or(&[][..], |began: usize| slice(&requests, began, ended));
                    if let Some(other) = between.iter().find(|request| !is_flip(request) && !is_readers(request)) {
                        return Err(format!("while nothing was live: {} {}", other.method, other.path));
                    }
                    since = None;
                }
                (None, None) if self.old.is_some() => since = shown.request,
                (None, _) => {}
            }
        }
        Ok(())
    }

    pub fn readers_are_well_served(&self) -> Result<(), String> {
        self.reader.violation().map_or(Ok(()), Err)
    }

    pub fn now(&self) -> Shown {
        self.world.hub().timeline().pop().expect("a timeline has a beginning")
    }

    pub fn tell(&self, ran: &Ran) -> String {
        format!("exit {:?}\n{}{}", ran.code, ran.stdout, ran.stderr)
    }
}

/// The requests after number `began` and before number `ended`.
fn slice(requests: &[Request], began: usize, ended: usize) -> &[Request] {
    let from = requests.partition_point(|request| request.number <= began);
    let to = requests.partition_point(|request| request.number < ended);
    requests.get(from..to).unwrap_or_default()
}

fn is_flip(request: &Request) -> bool {
    let by_id = request.path.contains("/releases/") && !request.path.contains("/assets");
    matches!(request.method.as_str(), "PATCH" | "GET") && by_id
}

/// The version in the notes of a release.
fn version(release: &ShownRelease) -> String {
    let line = release.body.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    line.trim_start_matches("Points to ").to_owned()
}

/// All images of a release, by asset.
fn set(release: &ShownRelease) -> Set {
    let images = release.assets.iter().filter(|asset| asset.name.contains(".qcow2"));
    images.map(|asset| (asset.name.clone(), asset.digest.clone().unwrap_or_default())).collect()
}

/// Each image is there, whole or in parts without a gap, with its checksum file, and nothing is broken.
pub fn complete(release: &ShownRelease, images: &[&str]) -> Result<(), String> {
    let broken = |asset: &&ShownAsset| asset.name.contains(".qcow2") && asset.state != AssetState::Uploaded;
    if let Some(broken) = release.assets.iter().find(broken) {
        return Err(format!("{} is live and broken", broken.name));
    }
    let names = release.names();
    for image in images {
        let whole = names.contains(&format!("{image}.qcow2").as_str());
        let parts = names.iter().filter(|name| name.starts_with(&format!("{image}.qcow2.part"))).count();
        let first = names.contains(&format!("{image}.qcow2.partaa").as_str());
        if !names.contains(&format!("{image}.qcow2.sha256").as_str()) || whole == first || (!whole && parts != 2) {
            return Err(format!("{image} is live and not complete: {names:?}"));
        }
    }
    Ok(())
}
