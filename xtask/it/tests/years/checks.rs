//! What must hold of the world between commands, and on copies of it.

use std::collections::BTreeMap;
use std::fs;

use rehearsal::image::sha256;
use rehearsal::world::IMAGES;
use serde_json::Value;

use super::maintainer::{Face, Maintainer};
use super::oracle::{self, Said, State};

/// How many commands may lead from anywhere to the end.
const STEPS: usize = 6;

impl Maintainer {
    /// On copies of the world: what is printed leads to the end, and `rollback` leads back.
    pub fn ways_lead_on(&mut self) {
        self.on_a_copy("what is printed is typed until all is done", Self::reaches_the_end);
        if self.live().is_some() {
            self.on_a_copy("a rollback", |copy| {
                copy.rolls_back();
                copy.verbs_agree();
            });
        }
    }

    /// Following what is printed ends with all done, within a command a step.
    pub fn reaches_the_end(&mut self) {
        let (mut status, mut lines) = (self.verbs_agree(), Vec::new());
        while let Some(line) = status["next"]["command"].as_str() {
            self.types(line);
            lines.push(format!("{line}\n    because {}", status["next"]["why"]));
            if lines.len() > STEPS {
                self.fails(&format!("the printed commands don't end:\n  {}", lines.join("\n  ")));
            }
            status = self.verbs_agree();
        }
        let verify = self.run(&["verify", "--no-local"]);
        if verify.code != Some(0) {
            self.fails(&format!("all is done, and verify says:\n{}{}", verify.stdout, verify.stderr));
        }
        self.notes_are_true();
    }

    /// What `status` says is next, typed.
    pub fn follows_next(&mut self) {
        let status = self.asked(&["status"]);
        if let Some(line) = status["next"]["command"].as_str() {
            self.types(line);
        }
    }

    /// The digest of an image's inputs at a revision: of git's ids of its files, as the walk's engine makes it.
    pub fn key(&self, revision: &str, name: &str) -> String {
        let template = format!("templates/{name}");
        let listed = self.world.git(&["ls-tree", "-r", revision, "--", &template, "shared"]).unwrap();
        self.key_of(&listed)
    }

    fn key_of(&self, listed: &str) -> String {
        let file = |line: &str| {
            let (facts, path) = line.split_once('\t').unwrap();
            (path.to_owned(), facts.split(' ').nth(2).unwrap().to_owned())
        };
        let files: BTreeMap<String, String> = listed.lines().map(file).collect();
        let ids: String = files.into_values().map(|id| id + "\n").collect();
        sha256(ids)
    }

    /// Whether the host's clone has other files for an image.
    pub fn host_differs(&self, revision: &str, name: &str) -> bool {
        let clone = self.host.clone_of(&self.world);
        let template = format!("templates/{name}");
        let words = ["-C", clone.to_str().unwrap(), "ls-tree", "-r", "HEAD", "--", &template, "shared"];
        self.key_of(&self.world.git(&words).unwrap()) != self.key(revision, name)
    }

    /// The inputs that an image from the host ends with.
    pub fn key_here(&self, name: &str) -> Option<String> {
        let files = self.files(name);
        let image = files.iter().find(|file| file.extension().is_some_and(|it| it == "qcow2"))?;
        key_in(&fs::read(image).unwrap())
    }

    /// What stands in the notes of the version that is live: which images differ from the version before.
    pub fn notes_are_true(&self) {
        let (Some(now), Some(before)) = (self.face(), self.life.before.clone()) else { return };
        let Some(label) = now.label() else { return };
        let state = self.world.published();
        let release = state.published(label).or_else(|| state.drafts(label).next());
        let Some(notes) = release.and_then(|release| release.body.clone()) else { return };
        let lines: Vec<&str> = notes.lines().filter(|line| line.starts_with("Images: ")).collect();
        if lines.len() > 1 {
            self.fails(&format!("the notes of {label} have two lines about the images:\n{notes}"));
        }
        // An upgrade of one version's set, or a set of which somebody changed something, is compared with what nobody here knows.
        if before.label() == now.label()
            || self.life.by_hand
            || before.assets.is_empty()
            || self.life.taken != Some(None)
        {
            return;
        }
        let changed = changed(&before, &now);
        let Some(line) = lines.first() else { return };
        let rebuilt = line.starts_with("Images: rebuilt for");
        let all = changed.len() == now.images().len();
        let named = rebuilt && !all && changed.iter().any(|name| !line.contains(&format!("{name}: ")));
        let kept = rebuilt
            && IMAGES.iter().any(|name| line.contains(&format!("{name}: ")) && !changed.iter().any(|it| it == name));
        if rebuilt == changed.is_empty() || named || kept {
            self.fails(&format!("the notes of {label} say:\n{notes}\nand rebuilt were {changed:?} since {before:#?}"));
        }
    }

    /// Asks all verbs, and holds what they say against the model and one another.
    pub fn verbs_agree(&mut self) -> Value {
        let before = self.everything();
        let status = self.asked(&["status"]);
        let release = status["release"].as_str().map(str::to_owned);
        let release = release.filter(|release| Some(release.as_str()) == status["version_here"].as_str());
        let said = Said {
            check: self.asked(&["check"]),
            doctor: self.asked(&["doctor"]),
            verify: self.asked(&["verify", "--no-local"]),
            release: release.map(|release| self.asked(&["release", &release])),
            status,
        };
        if self.everything() != before {
            self.fails("a command that reads changed something");
        }
        let faults = oracle::faults(&self.state(), &said);
        if !faults.is_empty() {
            let Said { status, check, doctor, verify, .. } = &said;
            self.fails(&format!(
                "{}\nstatus: {status}\ncheck: {check}\ndoctor: {doctor}\nverify: {verify}",
                faults.join("\n")
            ));
        }
        said.status
    }

    fn state(&self) -> State {
        let live = self.live();
        let face = self.face();
        let bytes = |name: &str| {
            let asset = live.as_ref()?.asset(&format!("{name}.qcow2"))?;
            let digest = asset.digest.clone()?;
            let key = key_in(&fs::read(&asset.file).unwrap()).or_else(|| self.life.origins.get(&digest).cloned())?;
            (!self.life.unstated.contains(&digest)).then(|| key == self.key("HEAD", name))
        };
        let written = face.as_ref().and_then(Face::label).is_some_and(|label| {
            let state = self.world.published();
            state.published(label).is_some() || state.drafts(label).next().is_some()
        });
        State {
            live: live.is_some(),
            managed: live.as_ref().is_some_and(|live| live.asset("packer-images.json").is_some()),
            by_hand: self.life.by_hand,
            label: face.as_ref().and_then(Face::label).map(str::to_owned),
            taken: self.life.taken.clone(),
            fits: IMAGES.into_iter().filter_map(|name| Some((name.to_owned(), bytes(name)?))).collect(),
            has_release: written,
        }
    }
}

/// The images that are others now.
fn changed(before: &Face, now: &Face) -> Vec<String> {
    let was = before.images();
    now.images().into_iter().filter(|(name, digest)| was.get(name) != Some(digest)).map(|(name, _)| name).collect()
}

fn key_in(bytes: &[u8]) -> Option<String> {
    let tail = bytes.len().checked_sub(64).map(|at| &bytes[at..])?;
    let is_hex = tail.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| String::from_utf8_lossy(tail).into_owned())
}
