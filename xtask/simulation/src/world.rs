//! GitHub and the git repository of a simulation: the stand-in's own rules, with what they hold in memory.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use github_stand_in::AssetState;
use github_stand_in::rules::{self, Change, Lag, MakeLatest, Reads, Refusal, Repo, Tag, Target};
use xtask::digest::Digest;
use xtask::gh::{Asset, CallError, NewRelease, Release};
use xtask::git::{Pushed, TagRef};
use xtask::image::checksum;
use xtask::image::parts::PartSize;
use xtask::latest::TAG;
use xtask::latest::files::Signing;
use xtask::latest::outside::{Budget, Move, Push, Refs};
use xtask::latest::set::{Facts, Origin, Piece, Set, SetImage};
use xtask::manifest::{self, FileEntry, Manifest};

use crate::fault::{Fault, Kind, Place, Planned};
use crate::outside::{Answer, Ask, Told};
use crate::plan::{Pace, Plan, Run, Start, Verb};
use crate::schedule;

/// What an operation meets on GitHub's side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meets {
    /// Status, `Retry-After`, and whether it is a limit.
    pub refused: Option<(u16, Option<u64>, bool)>,
    pub lost: bool,
    pub draft_instead: bool,
    pub never_live: bool,
    pub corrupt: bool,
    pub no_digest: bool,
    pub starter: bool,
}

/// Bytes and their digest.
type Stored = (Rc<[u8]>, Digest);

#[derive(Clone)]
pub struct World {
    repo: Repo,
    /// What assets hold, by id, and its digest.
    bytes: HashMap<u64, Stored>,
    lock: Option<String>,
    /// A draft that is never published.
    refuses: Option<u64>,
    refuses_pins: bool,
    /// What reads show instead, until then.
    stale: Lag<u64>,
    now: u64,
    judged: Judged,
}

/// What was found out since the last change: it is asked for before each operation and after it.
#[derive(Clone, Default)]
struct Judged {
    shown: OnceCell<Option<Rc<Shown>>>,
}

/// What a reader sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The version that the notes name, `v0.<label>`.
    pub label: Option<u8>,
    /// Which images, if they are one of the sets that runs publish.
    pub images: Option<u8>,
    pub whole: bool,
    /// Whether it has a manifest.
    pub by_us: bool,
    pub tag: Option<String>,
    pub title: Option<String>,
    pub prerelease: bool,
}

/// What a release holds: each asset's name and digest.
pub type Held = Vec<(u64, String, Option<Digest>)>;

/// A commit's id in this world.
pub fn commit(source: u8) -> String {
    format!("{source:040}")
}

/// The tag object that an annotated tag has here.
fn annotated(commit: &str) -> String {
    format!("a{}", &commit[1..])
}

/// What an object peels to.
fn peel(object: &str) -> String {
    object.strip_prefix('a').map_or_else(|| object.to_owned(), |rest| format!("0{rest}"))
}

/// What somebody writes below the notes of what is live.
pub const BY_A_PERSON: &str = "\n\nMind the step.";

const NAMES: [&str; 2] = ["alpha", "beta"];
const PART: u64 = 8;

/// `alpha` is in two parts, `beta` is whole.
fn image_bytes(name: &str, images: u8) -> Vec<u8> {
    // Every other set has the same `beta`.
    let images = if name == NAMES[0] { images } else { images % 2 };
    let size = if name == NAMES[0] { 12 } else { 5 };
    (0..size).map(|at| at * 7 + images).collect()
}

thread_local! {
    static SETS: RefCell<HashMap<(u8, u8), Set>> = RefCell::new(HashMap::new());
    static STARTS: RefCell<HashMap<u8, World>> = RefCell::new(HashMap::new());
    static WHOLE: RefCell<HashMap<Digest, u8>> = RefCell::new(HashMap::new());
    static STORED: RefCell<HashMap<usize, Vec<Stored>>> = RefCell::new(HashMap::new());
    static KNOWN: RefCell<HashMap<Digest, Option<Rc<Known>>>> = RefCell::new(HashMap::new());
}

/// What is stored, with its digest. Schedules store the same few contents over and over, and comparing is quicker than hashing.
fn stored(bytes: &[u8]) -> Stored {
    STORED.with_borrow_mut(|stored| {
        let alike = stored.entry(bytes.len()).or_default();
        if let Some(known) = alike.iter().find(|(known, _)| **known == *bytes) {
            return known.clone();
        }
        alike.push((bytes.into(), Digest::of(bytes)));
        alike[alike.len() - 1].clone()
    })
}

/// A manifest that was read before, by its digest: schedules meet the same few over and over.
struct Known {
    assets: Vec<FileEntry>,
}

impl Known {
    fn of(digest: Digest, bytes: &[u8]) -> Option<Rc<Self>> {
        let read = || {
            let manifest = Manifest::parse(bytes).ok()?;
            Some(Rc::new(Self { assets: manifest.assets() }))
        };
        KNOWN.with_borrow_mut(|known| known.entry(digest).or_insert_with(read).clone())
    }
}

/// The set of `v0.<source>` with these images.
pub fn set(source: u8, images: u8) -> Set {
    SETS.with_borrow_mut(|sets| sets.entry((source, images)).or_insert_with(|| new_set(source, images)).clone())
}

fn new_set(source: u8, images: u8) -> Set {
    let part_size: PartSize = PART.to_string().parse().expect("a part size");
    let image = |name: &str| {
        let bytes = image_bytes(name, images);
        let size = bytes.len() as u64;
        let piece = |file: String, range: std::ops::Range<u64>| Piece { file, range, sha256: None };
        let pieces = if size > PART {
            vec![piece(format!("{name}.qcow2.partaa"), 0..PART), piece(format!("{name}.qcow2.partab"), PART..size)]
        } else {
            vec![piece(format!("{name}.qcow2"), 0..size)]
        };
        let sha256 = Digest::of(&bytes);
        WHOLE.with_borrow_mut(|whole| whole.insert(sha256, images));
        SetImage {
            name: name.to_owned(),
            size,
            sha256,
            pieces,
            origin: Origin::Memory(bytes),
            facts: Facts::default(),
            lists: Vec::new(),
        }
    };
    Set {
        source: format!("v0.{source}"),
        commit: commit(source),
        part_size,
        images: NAMES.map(image).to_vec(),
        signing: Signing::default(),
    }
}

struct NoGit;

impl rules::Git for NoGit {
    // A tag that publishing makes is at the head of the default branch: see `World::serve`.
    fn is_tag_name(&self, _name: &str) -> Result<bool, Refusal> {
        Ok(true)
    }

    fn target(&self, name: &str) -> Result<Option<Target>, Refusal> {
        Ok((name == "main" || name.len() == 40).then(|| Target { commit: commit(99), date: UNIX_EPOCH }))
    }

    fn create_tag(&mut self, _name: &str, _commit: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

fn play_first(start: Start, verbs: &[Verb], faults: &[Planned]) -> World {
    let runs = verbs
        .iter()
        .map(|verb| Run { verb: *verb, starts: 0, after_the_one_before: true, clone: 0, take_over: false })
        .collect();
    let plan = Plan {
        seed: 0,
        start,
        runs,
        faults: faults.to_vec(),
        latest_arrival: 110_000,
        pace: Pace::Even(1),
        last: None,
    };
    schedule::play_to(&plan)
}

fn publish(source: u8, images: u8) -> Verb {
    Verb::Publish { source, images }
}

impl World {
    /// The world that a plan starts from: made once by the code itself, then copied.
    pub fn new(start: Start) -> Self {
        if let Some(known) = STARTS.with_borrow(|starts| starts.get(&(start as u8)).cloned()) {
            return known;
        }
        let world = match start {
            Start::Nothing => Self::empty(),
            Start::Ours => play_first(Start::Nothing, &[publish(44, 1)], &[]),
            Start::OursOverOlder => play_first(Start::Nothing, &[publish(43, 9), publish(44, 1)], &[]),
            Start::ByHand => Self::by_hand(),
            Start::Draft => {
                let kill = Planned { run: 0, place: Place::Of(Kind::PinsTag, 0), fault: Fault::Kill };
                play_first(Start::OursOverOlder, &[publish(46, 3)], &[kill])
            }
        };
        STARTS.with_borrow_mut(|starts| starts.insert(start as u8, world.clone()));
        world
    }

    fn empty() -> Self {
        let mut repo = Repo::new(1, "o/n");
        for source in 40..60 {
            let commit = commit(source);
            repo.tags.insert(format!("v0.{source}"), Tag { object: commit.clone(), commit, date: UNIX_EPOCH });
        }
        Self {
            repo,
            bytes: HashMap::new(),
            lock: None,
            refuses: None,
            refuses_pins: false,
            stale: Lag::default(),
            now: 0,
            judged: Judged::default(),
        }
    }

    fn by_hand() -> Self {
        let mut world = Self::empty();
        world.set_tag(TAG, annotated(&commit(44)));
        world.publish_by_hand().expect("a release");
        world
    }

    /// As somebody publishes who knows nothing of this tool.
    fn publish_by_hand(&mut self) -> Result<(), Refusal> {
        let moment = self.moment();
        let change = Change {
            tag_name: Some(TAG.to_owned()),
            name: Some(Some("Our images".to_owned())),
            body: Some(Some("Points to v0.44".to_owned())),
            draft: Some(false),
            prerelease: Some(false),
            ..Change::default()
        };
        let id = self.repo.create(&mut NoGit, &change, "ana", moment)?.id;
        for image in &set(44, 1).images {
            let bytes = image_bytes(&image.name, 1);
            for piece in &image.pieces {
                self.store(id, &piece.file, &bytes[piece.range.start as usize..piece.range.end as usize]);
            }
            self.store(
                id,
                &format!("{}.qcow2.sha256", image.name),
                checksum::line(&image.name, image.sha256).as_bytes(),
            );
        }
        Ok(())
    }

    /// What somebody does by hand.
    pub fn by_a_person(&mut self, what: Fault) {
        self.judged = Judged::default();
        match what {
            Fault::TagDeleted => {
                self.repo.tags.remove(TAG);
                self.repo.tags_changed();
            }
            Fault::TagMoved => self.set_tag(TAG, commit(59)),
            Fault::LiveDeleted => {
                if let Some(id) = self.live().map(|live| live.id) {
                    let _ = self.repo.delete(id);
                }
            }
            Fault::PublishedByHand if self.live().is_none() => {
                self.set_tag(TAG, commit(44));
                let _ = self.publish_by_hand();
            }
            Fault::PinnedEdited => {
                let pinned = self.repo.releases.iter().rev().find(|it| it.tag_name.starts_with("images-"));
                if let Some((id, notes)) = pinned.map(|it| (it.id, it.body.clone().unwrap_or_default())) {
                    let body = Some(Some(format!("{notes}{BY_A_PERSON}")));
                    let moment = self.moment();
                    let _ = self.repo.edit(&mut NoGit, id, &Change { body, ..Change::default() }, moment);
                }
            }
            _ => {}
        }
    }

    /// From now on the repository refuses the tags of pinned sets.
    pub fn refuse_pins(&mut self) {
        self.refuses_pins = true;
    }

    /// What a release holds, by its id; `None`: it is gone.
    pub fn holds(&self, release: u64) -> Option<Held> {
        let digest = |id: u64| self.bytes.get(&id).map(|(_, digest)| *digest);
        let assets = &self.repo.releases.iter().find(|it| it.id == release)?.assets;
        Some(assets.iter().map(|it| (it.id, it.name.clone(), digest(it.id))).collect())
    }

    /// The commits of tags of pinned sets, by name.
    pub fn pins(&self) -> BTreeMap<String, String> {
        let pins = self.repo.tags.iter().filter(|(name, _)| name.starts_with("images-"));
        pins.map(|(name, tag)| (name.clone(), tag.commit.clone())).collect()
    }

    fn store(&mut self, release: u64, name: &str, bytes: &[u8]) {
        let meets = Meets::default();
        self.upload(release, name, bytes, meets).expect("an asset");
    }

    fn set_tag(&mut self, name: &str, object: String) {
        let commit = peel(&object);
        self.repo.tags.insert(name.to_owned(), Tag { object, commit, date: UNIX_EPOCH });
    }

    pub fn tag(&self) -> Option<TagRef> {
        self.tag_of(TAG)
    }

    fn tag_of(&self, name: &str) -> Option<TagRef> {
        self.repo.tags.get(name).map(|tag| TagRef { object: tag.object.clone(), commit: tag.commit.clone() })
    }

    /// All releases, the oldest first.
    pub fn releases(&self) -> &[github_stand_in::Release] {
        &self.repo.releases
    }

    /// What an asset holds.
    pub fn bytes(&self, asset: u64) -> Vec<u8> {
        self.bytes.get(&asset).map_or_else(Vec::new, |(bytes, _)| bytes.to_vec())
    }

    pub fn live(&self) -> Option<&github_stand_in::Release> {
        self.repo.published(TAG).ok()
    }

    pub fn lag(&mut self, reads: Reads, until: u64) {
        let now = self.now;
        self.stale.begin(reads, &self.repo, until, |until| *until <= now);
    }

    /// Whether reads lack what was done.
    pub fn lags(&self) -> bool {
        let same =
            |reads| std::ptr::eq(self.stale.shown(reads, &self.repo, |until| *until <= self.now), &*self.repo.releases);
        !same(Reads::Listings) || !same(Reads::ById)
    }

    pub fn lock(&self) -> Option<&String> {
        self.lock.as_ref()
    }

    /// The clock begins anew.
    pub fn forget_time(&mut self) {
        (self.now, self.stale, self.lock) = (0, Lag::default(), None);
    }

    fn listed(&self) -> &[github_stand_in::Release] {
        self.stale.shown(Reads::Listings, &self.repo, |until| *until <= self.now)
    }

    fn moment(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + self.now)
    }

    /// Does what is asked, or refuses it.
    pub fn serve(&mut self, ask: &Ask, meets: Meets, now: u64) -> Answer {
        self.now = self.now.max(now);
        if schedule::changes(ask) || matches!(ask, Ask::Push(_)) {
            self.judged = Judged::default();
        }
        if meets.lost {
            return Err(CallError::Lost("the connection broke".into()));
        }
        if let Some((status, retry_after, limit)) = meets.refused {
            let header = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
            let message: &[u8] =
                if limit { br#"{"message": "secondary rate limit"}"# } else { br#"{"message": "no"}"# };
            return Err(CallError::answered(status, header.into_iter().collect(), message));
        }
        self.answer(ask, meets).map_err(|refusal| refused(&refusal))
    }

    fn answer(&mut self, ask: &Ask, meets: Meets) -> Result<Told, Refusal> {
        let moment = self.moment();
        Ok(match ask {
            Ask::ByTag(tag) => {
                Told::Maybe(github_stand_in::Release::published(self.listed(), tag).map(release).map(Box::new))
            }
            Ask::Releases => Told::Releases(self.listed().iter().rev().map(release).collect()),
            Ask::Release(id) => {
                let found = self.stale.release(&self.repo, *id, |until| *until <= self.now)?;
                Told::Release(Box::new(release(found)))
            }
            Ask::Assets(id) => {
                let current = self.repo.release(*id)?;
                let listed = self.listed().iter().find(|it| it.id == current.id);
                Told::Assets(listed.map(|it| it.assets.iter().map(asset).collect()).unwrap_or_default())
            }
            Ask::Read { asset, .. } => {
                let (_, found) = self.repo.asset(*asset)?;
                if found.state != AssetState::Uploaded {
                    return Err(Refusal::not_found());
                }
                Told::Bytes(self.bytes.get(asset).map_or_else(|| Rc::from([]), |(bytes, _)| Rc::clone(bytes)))
            }
            Ask::Create(new) => {
                Told::Release(Box::new(release(self.repo.create(&mut NoGit, &change(new), "ana", moment)?)))
            }
            Ask::Update(id, new) => {
                let publishes = self.repo.release(*id)?.draft && !new.draft;
                if publishes && meets.never_live {
                    self.refuses = Some(*id);
                }
                if publishes && self.refuses == Some(*id) {
                    return Err(Refusal::new(422, "Validation Failed"));
                }
                let mut changed = release(self.repo.edit(&mut NoGit, *id, &change(new), moment)?);
                // Publishing makes a tag that isn't there, at the head of the default branch.
                if !changed.draft && !self.repo.tags.contains_key(&changed.tag_name) {
                    self.set_tag(&changed.tag_name.clone(), commit(99));
                }
                if meets.draft_instead && publishes {
                    let untagged = self.repo.release(*id)?.untagged();
                    let lost = self.repo.release_mut(*id)?;
                    (lost.draft, lost.published_at, lost.tag_name) = (true, None, untagged);
                    changed = release(lost);
                }
                Told::Release(Box::new(changed))
            }
            // What is gone already is no error to gh.
            Ask::Delete(id) => gone(self.repo.delete(*id).map(drop))?,
            Ask::Upload { release, name, bytes } => self.upload(*release, name, bytes, meets)?,
            Ask::DeleteAsset(id) => gone(self.repo.delete_asset(*id).map(drop))?,
            Ask::Refs => {
                let pinned = self.pins().into_keys().filter_map(|name| Some((name.clone(), self.tag_of(&name)?)));
                Told::Refs(Refs { tag: self.tag(), lock: self.lock.clone(), pinned: pinned.collect() })
            }
            // The notes of locks are where the runs keep them.
            Ask::LockNote(_) => Told::Note(None),
            Ask::Push(push) => Told::Pushed(self.push(push)),
            Ask::Budget => {
                Told::Budget(Budget { remaining: 5_000, renews_in: Duration::from_secs(3_600), date: moment })
            }
            Ask::CommitOfTag(name) => Told::Commit(self.tag_of(name).map(|tag| tag.commit)),
            Ask::Begin | Ask::Sleep { .. } | Ask::Wait { .. } | Ask::Stop(_) | Ask::Beside(_) | Ask::Say(_) => {
                Told::Nothing
            }
        })
    }

    /// Both refs, or none.
    fn push(&mut self, push: &Push) -> Pushed {
        // git compares nothing where a ref is what it is to be.
        let stands = |there: Option<String>, it: &Move| there == it.to || there == it.expected;
        let tag = push.tag.as_ref().map(|(name, it)| (self.tag_of(name).map(|tag| tag.object), it));
        if !stands(self.lock.clone(), &push.lock) || !tag.is_none_or(|(there, it)| stands(there, it)) {
            return Pushed::Stale;
        }
        if self.refuses_pins && push.tag.as_ref().is_some_and(|(name, _)| name != TAG) {
            return Pushed::Refused("GH013: Repository rule violations found".to_owned());
        }
        self.lock.clone_from(&push.lock.to);
        if let Some((name, Move { to: Some(object), .. })) = &push.tag {
            self.set_tag(name, object.clone());
            self.repo.tags_changed();
        }
        Pushed::Moved
    }

    fn upload(&mut self, release: u64, name: &str, bytes: &[u8], meets: Meets) -> Result<Told, Refusal> {
        let moment = self.moment();
        let id = self.repo.begin_upload(release, name, bytes.len() as u64, moment)?;
        if meets.starter {
            self.repo.abandon_upload(id, true);
            return Err(Refusal::new(502, "Server Error"));
        }
        let (kept, holds) = if meets.corrupt {
            let mut spoilt = bytes.to_vec();
            spoilt[0] ^= 1;
            stored(&spoilt)
        } else {
            stored(bytes)
        };
        let digest = (!meets.no_digest).then(|| format!("sha256:{holds}"));
        let size = kept.len() as u64;
        self.bytes.insert(id, (kept, holds));
        Ok(Told::Asset(Box::new(asset(self.repo.finish_upload(id, size, digest, moment)?))))
    }

    /// What a reader sees; `None` while nothing is live.
    pub fn shown(&self) -> Option<Rc<Shown>> {
        self.judged.shown.get_or_init(|| self.look().map(Rc::new)).clone()
    }

    fn look(&self) -> Option<Shown> {
        let live = self.live()?;
        let (whole, manifest) = self.judge(live);
        let line = live.assets.iter().find(|it| it.name == "alpha.qcow2.sha256").and_then(|it| self.bytes.get(&it.id));
        let images = line.and_then(|(line, _)| {
            let digest: Digest = str::from_utf8(line).ok()?.split(' ').next()?.parse().ok()?;
            WHOLE.with_borrow(|known| known.get(&digest).copied())
        });
        let notes = live.body.as_deref().unwrap_or_default();
        let named = notes.lines().find_map(|line| line.strip_prefix("Points to v0."));
        Some(Shown {
            label: named.and_then(|version| version.split_whitespace().next()?.parse().ok()),
            images,
            whole,
            by_us: manifest.is_some(),
            tag: self.tag().map(|tag| tag.commit),
            title: live.name.clone(),
            prerelease: live.prerelease,
        })
    }

    /// What a release that is not live shows, as it would if it were.
    pub fn is_whole(&self, release: u64) -> bool {
        self.repo.releases.iter().find(|it| it.id == release).is_some_and(|it| self.judge(it).0)
    }

    /// Whether all of a set is there by its bytes, and its manifest.
    fn judge(&self, release: &github_stand_in::Release) -> (bool, Option<Rc<Known>>) {
        let bytes_of = |name: &str| {
            let found = release.assets.iter().find(|it| it.name == name && it.state == AssetState::Uploaded);
            found.and_then(|it| self.bytes.get(&it.id))
        };
        let Some((bytes, digest)) = bytes_of(manifest::FILE) else {
            let by_hand = NAMES.iter().all(|name| {
                let whole: Vec<u8> = ["", ".partaa", ".partab"]
                    .iter()
                    .filter_map(|end| bytes_of(&format!("{name}.qcow2{end}")))
                    .flat_map(|(bytes, _)| bytes.iter().copied())
                    .collect();
                bytes_of(&format!("{name}.qcow2.sha256"))
                    .is_some_and(|(line, _)| String::from_utf8_lossy(line).starts_with(&Digest::of(&whole).to_string()))
            });
            return (by_hand, None);
        };
        let Some(known) = Known::of(*digest, bytes) else { return (false, None) };
        let right = |wanted: &FileEntry| bytes_of(&wanted.file).is_some_and(|(_, digest)| *digest == wanted.sha256);
        (known.assets.iter().all(right), Some(known))
    }

    /// As somebody does on GitHub's page: the release that is live, if one is.
    pub fn edit_notes(&mut self) -> Option<u64> {
        let (id, notes) = self.live().map(|live| (live.id, live.body.clone().unwrap_or_default()))?;
        let body = Some(Some(format!("{notes}{BY_A_PERSON}")));
        let moment = self.moment();
        self.judged = Judged::default();
        self.repo.edit(&mut NoGit, id, &Change { body, ..Change::default() }, moment).ok().map(|edited| edited.id)
    }

    /// How many whole sets there are, live or as drafts of ours.
    pub fn whole_sets(&self) -> usize {
        self.repo.releases.iter().filter(|release| self.judge(release).0).count()
    }
}

fn change(new: &NewRelease) -> Change {
    Change {
        tag_name: Some(new.tag_name.clone()),
        target_commitish: None,
        name: Some(Some(new.name.clone())),
        body: Some(Some(new.body.clone())),
        draft: Some(new.draft),
        prerelease: Some(new.prerelease),
        make_latest: Some(MakeLatest::False),
    }
}

fn gone(deleted: Result<(), Refusal>) -> Result<Told, Refusal> {
    match deleted {
        Err(refusal) if refusal.status != 404 => Err(refusal),
        _ => Ok(Told::Nothing),
    }
}

/// Through the same reading as an answer of gh.
fn refused(refusal: &Refusal) -> CallError {
    let codes: Vec<serde_json::Value> =
        refusal.detail.iter().map(|it| serde_json::json!({ "code": it.code, "message": it.message })).collect();
    let body = serde_json::json!({ "message": refusal.message, "errors": codes });
    CallError::answered(refusal.status, Vec::new(), body.to_string().as_bytes())
}

fn release(from: &github_stand_in::Release) -> Release {
    Release {
        id: from.id,
        tag_name: from.tag_name.clone(),
        name: from.name.clone(),
        body: from.body.clone(),
        draft: from.draft,
        prerelease: from.prerelease,
        immutable: from.immutable,
        upload_url: String::new(),
        html_url: String::new(),
        published_at: from.published_at.map(|_| String::new()),
        assets: from.assets.iter().filter(|it| it.state == AssetState::Uploaded).map(asset).collect(),
    }
}

fn asset(from: &github_stand_in::Asset) -> Asset {
    Asset {
        id: from.id,
        name: from.name.clone(),
        size: from.size,
        state: from.state.name().to_owned(),
        digest: from.digest.clone(),
        updated_at: None,
        uploader: None,
    }
}
