//! Asks gh and git what a simulated run asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use github_stand_in::{
    Access, AssetState, Fault, GitHub, Injection, Matches, Repository, SeedAsset, SeedBytes, SeedRelease, Settings,
    Times, Token,
};
use rehearsal::world::TOKEN;
use simulation::outside::{Ask, Locks, Told};
use simulation::{Exchange, Plan, Recorded};
use xshell::{Shell, cmd};
use xtask::console::Console;
use xtask::gh::{CallError, Download, Gh, Tries, Upload};
use xtask::git::{Git, How, Publisher, Pushed, TagRef};
use xtask::latest::TAG;
use xtask::latest::lock;
use xtask::latest::outside::{Move, Push, Refs};
use xtask::repo::{Address, Repo};

use crate::same::Ids;

const HOW: How = How { at_most: Some(Duration::from_secs(60)), heeds_signals: false };

pub struct Asking {
    github: GitHub,
    dir: PathBuf,
    remote: PathBuf,
    git: Git,
    /// Real objects by the names that they have in a simulation.
    objects: HashMap<String, String>,
    world: Option<Timeline>,
    /// How many answers were compared.
    pub count: u64,
}

/// One timeline's own repository.
struct Timeline {
    gh: Gh,
    publisher: Publisher,
    ids: Ids,
    locks: Vec<String>,
    upload_urls: HashMap<u64, xtask::gh::Release>,
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).map(PathBuf::from).expect(name)
}

impl Asking {
    pub fn start() -> Self {
        let dir = std::env::temp_dir();
        let socket = std::env::temp_dir().join("r.sock");
        assert!(socket.as_os_str().len() < 100, "{} is too long for a socket", socket.display());
        let github = GitHub::start(Settings::new(socket, dir.join("github"))).expect("a stand-in");
        github.configure_gh(&variable("GH_CONFIG_DIR")).expect("a configuration");
        let git = Git::at(&variable("SIM_REPLAY_CLONE"));
        let mut objects = HashMap::new();
        for source in 43..48 {
            let commit = format!("{source:040}");
            objects.insert(format!("a{}", &commit[1..]), object(&git, &format!("v0.{source}")));
            objects.insert(commit, object(&git, &format!("v0.{source}^{{commit}}")));
        }
        Self { github, dir, remote: variable("SIM_REPLAY_REMOTE"), git, objects, world: None, count: 0 }
    }

    /// A repository with what a plan starts from.
    pub fn begin(&mut self, plan: &Plan, recorded: &Recorded) {
        let name = format!("o/n{}", plan.seed);
        let bare = self.dir.join(format!("n{}.git", plan.seed));
        let (sh, from) = (Shell::new().unwrap(), &self.remote);
        cmd!(sh, "cp -a {from} {bare}").quiet().run().expect("a repository");
        if let Some(tag) = recorded.start.tag() {
            let object = self.real(&[], &tag.object);
            cmd!(sh, "git -C {bare} update-ref refs/tags/latest {object}").quiet().run().expect("a tag");
        }
        for (name, commit) in recorded.start.pins() {
            let object = self.real(&[], &commit);
            cmd!(sh, "git -C {bare} update-ref refs/tags/{name} {object}").quiet().run().expect("a tag");
        }
        self.github.add_repository(&name, Repository::new(&bare)).expect("a repository");
        self.github.add_token(TOKEN, Token::classic("contributor").with(&name, Access::Push));
        let repo = Repo { host: "github.com".into(), owner: "o".into(), name: format!("n{}", plan.seed) };
        let url = bare.to_str().expect("a plain path");
        let mut timeline = Timeline {
            publisher: Publisher::new(&self.git, &repo, Address::new(Some(url), &repo), Duration::from_secs(60)),
            gh: Gh::new(repo, Tries { attempts: 1, ..Tries::default() }, &Console::silent()),
            ids: Ids::default(),
            locks: Vec::new(),
            upload_urls: HashMap::new(),
        };
        for release in recorded.start.releases() {
            let assets = release.assets.iter().map(|asset| SeedAsset {
                with_digest: asset.digest.is_some(),
                starter: asset.state != AssetState::Uploaded,
                ..SeedAsset::new(&asset.name, SeedBytes::Here(recorded.start.bytes(asset.id)))
            });
            let seed = SeedRelease {
                tag: release.tag_name.clone(),
                draft: release.draft,
                prerelease: release.prerelease,
                name: release.name.clone(),
                body: release.body.clone(),
                assets: assets.collect(),
            };
            let id = self.github.seed_release(&name, seed).expect("a release");
            timeline.ids.learn(release.id, id).expect("a new release");
            let there = timeline.gh.assets(id).expect("its assets");
            for asset in &release.assets {
                let real = there.iter().find(|it| it.name == asset.name).expect("the asset");
                timeline.ids.learn(asset.id, real.id).expect("a new asset");
            }
        }
        for text in &recorded.locks {
            timeline.locks.push(timeline.publisher.commit(text).expect("a lock"));
        }
        self.world = Some(timeline);
    }

    fn real(&self, locks: &[String], object: &str) -> String {
        match Locks::number(object) {
            Some(number) => locks[number].clone(),
            None => self.objects.get(object).unwrap_or_else(|| panic!("no object {object}")).clone(),
        }
    }

    /// The same exchange, with the same answer.
    pub fn again(&mut self, exchange: &Exchange) -> Result<(), String> {
        let mut timeline = self.world.take().expect("a timeline");
        self.count += 1;
        let compared = self.compare(&mut timeline, exchange);
        self.world = Some(timeline);
        compared
    }

    fn compare(&self, timeline: &mut Timeline, exchange: &Exchange) -> Result<(), String> {
        let real = self.ask(timeline, exchange);
        match (&exchange.answer, real) {
            (Ok(expected), Ok(real)) => timeline.ids.same(expected, &real),
            (Err(Some(status)), Err(error)) if error.status() == Some(*status) => Ok(()),
            (expected, real) => Err(format!("the simulation had {expected:?}, gh or git {real:?}")),
        }
    }

    fn ask(&self, timeline: &mut Timeline, exchange: &Exchange) -> Result<Told, CallError> {
        let open = || Ok(());
        let id = |id: &u64, ids: &Ids| ids.real(*id);
        let Timeline { gh, publisher, ids, locks, upload_urls } = timeline;
        let object = |name: &String| self.real(locks, name);
        let told = match &*exchange.ask {
            Ask::ByTag(tag) => Told::Maybe(gh.release_by_tag(tag)?.map(Box::new)),
            Ask::Releases => Told::Releases(gh.releases()?),
            Ask::Release(of) => Told::Release(Box::new(gh.release(id(of, ids))?)),
            Ask::Assets(of) => Told::Assets(gh.assets(id(of, ids))?),
            Ask::Read { asset } => {
                let mut bytes = Vec::new();
                gh.download(&Download { asset: id(asset, ids), start: 0 }, |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
                Told::Bytes(bytes.into())
            }
            Ask::Create(new) => Told::Release(Box::new(gh.create_release(&open, new)?)),
            Ask::Update(of, new) => Told::Release(Box::new(gh.update_release(&open, id(of, ids), new)?)),
            Ask::Delete(of) => {
                gh.delete_release(&open, id(of, ids))?;
                Told::Nothing
            }
            Ask::Upload { release, name, bytes } => {
                let fault = match exchange.meets {
                    meets if meets.starter => Some(Fault::BadGateway { leave_starter: true }),
                    meets if meets.no_digest => Some(Fault::NullDigest),
                    _ => None,
                };
                if let Some(fault) = fault {
                    self.github.inject(Injection { matches: Matches::upload(name), times: Times::Once, fault });
                }
                let of = id(release, ids);
                // Where to send it stays as it is; whether the release is there is for the upload to say.
                let known = match upload_urls.entry(of) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(gh.release(of)?),
                };
                let upload = Upload { release: known, name, size: bytes.len() as u64 };
                Told::Asset(Box::new(gh.upload(&open, &upload, |pipe| Ok(pipe.write_all(bytes)?))?))
            }
            Ask::DeleteAsset(of) => {
                gh.delete_asset(&open, id(of, ids))?;
                Told::Nothing
            }
            Ask::Refs => {
                let (mut pinned, lock) = publisher.refs(HOW, &[TAG, "images-*"], lock::REF)?;
                Told::Refs(Refs { tag: pinned.remove(TAG), lock, pinned })
            }
            Ask::LockNote(of) => Told::Note(publisher.message(HOW, lock::REF, &object(of))?),
            Ask::Push(Push { lock, tag }) => {
                let real = |it: &Move| (it.to.as_ref().map(object), it.expected.as_ref().map(object));
                let lock = real(lock);
                let tag = tag.as_ref().map(|(name, it)| (format!("refs/tags/{name}"), real(it)));
                let mut updates = vec![(lock::REF, lock.0.as_deref(), lock.1.as_deref())];
                updates.extend(tag.as_ref().map(|(name, it)| (name.as_str(), it.0.as_deref(), it.1.as_deref())));
                Told::Pushed(match publisher.push(HOW, &updates)? {
                    Pushed::Already => Pushed::Moved,
                    pushed => pushed,
                })
            }
            Ask::Budget => {
                let (remaining, renews_in, now) = gh.rate_limit()?;
                Told::Budget(xtask::latest::outside::Budget { remaining, renews_in, date: std::time::UNIX_EPOCH + now })
            }
            Ask::CommitOfTag(tag) => Told::Commit(gh.commit_of_tag(tag)?),
            Ask::Begin | Ask::Sleep { .. } | Ask::Wait { .. } | Ask::Stop(_) | Ask::Beside(_) | Ask::Say(_) => {
                Told::Nothing
            }
        };
        Ok(self.in_their_words(locks, told))
    }

    /// With the names that objects have in a simulation.
    fn in_their_words(&self, locks: &[String], told: Told) -> Told {
        let name = |object: String| {
            if let Some(number) = locks.iter().position(|lock| *lock == object) {
                return format!("lock{number}");
            }
            let known = self.objects.iter().filter(|(_, real)| **real == object).map(|(name, _)| name.clone());
            // A lightweight tag's object is its commit.
            known.min().unwrap_or(object)
        };
        match told {
            Told::Refs(Refs { tag, lock, pinned }) => {
                let named = |tag: TagRef| TagRef { object: name(tag.object), commit: name(tag.commit) };
                Told::Refs(Refs {
                    tag: tag.map(named),
                    lock: lock.map(name),
                    pinned: pinned.into_iter().map(|(tag_name, tag)| (tag_name, named(tag))).collect(),
                })
            }
            Told::Commit(commit) => Told::Commit(commit.map(name)),
            told => told,
        }
    }
}

fn object(git: &Git, revision: &str) -> String {
    git.resolve(revision).expect("a clone").unwrap_or_else(|| panic!("no {revision} in {}", shown(git.dir())))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
