//! What stays as it is whatever a run does: each set that is or was live keeps its release, its assets and its tag, in public.

use std::collections::HashMap;

use github_stand_in::{AssetState, Request};
use rehearsal::world::World;

use super::case::Scenario;

/// The sets that are there at the start: the live one first, then pinned ones.
pub struct Kept(Vec<Was>);

struct Was {
    release: u64,
    /// What it is called while it is pinned.
    pin: String,
    /// What that tag points to.
    commit: String,
    assets: Vec<(u64, String)>,
}

impl Kept {
    pub fn new(world: &World, releases: &[(u64, &str)]) -> Self {
        let was = |&(release, source): &(u64, &str)| Was {
            release,
            pin: format!("images-{source}"),
            commit: world.remote_commit(source),
            assets: assets(world, release).expect("it was put there just now"),
        };
        Self(releases.iter().map(was).collect())
    }

    /// Their releases by id, as requests are told apart by them.
    pub fn names(&self) -> HashMap<u64, String> {
        let name =
            |(place, was): (usize, &Was)| (was.release, if place == 0 { "OLD".to_owned() } else { was.pin.clone() });
        self.0.iter().enumerate().map(name).collect()
    }

    /// The pinned set that a scenario makes live again.
    pub fn wanted(&self, scenario: Scenario) -> Option<u64> {
        let again = matches!(scenario, Scenario::Rollback | Scenario::Pinned);
        self.0.iter().find(|was| again && was.pin == "images-v0.45").map(|was| was.release)
    }

    pub fn check(&self, world: &World, scenario: Scenario) -> Result<(), String> {
        let state = world.published();
        for (place, was) in self.0.iter().enumerate() {
            let Some(now) = state.releases.iter().find(|it| it.id == was.release) else {
                return Err(format!("the set {} was deleted", was.pin));
            };
            if assets(world, was.release).as_ref() != Some(&was.assets) {
                return Err(format!("the assets of the set {} are others than before", was.pin));
            }
            if now.draft {
                return Err(format!("the set {} is hidden", was.pin));
            }
            let moves = place == 0 || self.wanted(scenario) == Some(was.release);
            if now.tag_name != was.pin && !(moves && now.tag_name == "latest") {
                return Err(format!("the set {} is called {}", was.pin, now.tag_name));
            }
            let tag = world.remote_commit(&was.pin);
            if tag != was.commit && (place > 0 || now.tag_name == was.pin) {
                return Err(format!("the tag {} is at {tag:?}, not at {}", was.pin, was.commit));
            }
        }
        Ok(())
    }
}

/// By id and name; those that are broken are none.
fn assets(world: &World, release: u64) -> Option<Vec<(u64, String)>> {
    let state = world.published();
    let release = state.releases.iter().find(|it| it.id == release)?;
    let whole = release.assets.iter().filter(|asset| asset.state == AssetState::Uploaded);
    Some(whole.map(|asset| (asset.id, asset.name.clone())).collect())
}

/// Scenarios in which all images are on GitHub already send nothing.
pub fn sends_nothing(scenario: Scenario, requests: &[Request]) -> Result<(), String> {
    let there = matches!(scenario, Scenario::Rollback | Scenario::Pinned | Scenario::NewSource);
    let sends = |it: &&Request| matches!(it.method.as_str(), "POST" | "DELETE") && it.path.contains("/releases");
    match requests.iter().find(sends).filter(|_| there) {
        Some(sent) => Err(format!("nothing was to be sent, and {} {} came", sent.method, sent.path)),
        None => Ok(()),
    }
}
