//! Whether two answers say the same. Ids differ, so what is one in the simulation must always be the same one in reality.

use std::collections::HashMap;

use simulation::outside::Told;
use xtask::gh::{Asset, Release};

/// Real ids by those of the simulation.
#[derive(Default)]
pub struct Ids(HashMap<u64, u64>);

type Same = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, real: &T) -> Same {
    if expected == real { Ok(()) } else { Err(format!("{what}: the simulation had {expected:?}, gh or git {real:?}")) }
}

impl Ids {
    pub fn real(&self, id: u64) -> u64 {
        // What was never there has no id here either.
        self.0.get(&id).copied().unwrap_or(999_999_999)
    }

    pub fn learn(&mut self, id: u64, real: u64) -> Same {
        let known = *self.0.entry(id).or_insert(real);
        same(&format!("what has the id {id}"), &known, &real)
    }

    pub fn same(&mut self, expected: &Told, real: &Told) -> Same {
        match (expected, real) {
            (Told::Nothing, Told::Nothing) => Ok(()),
            (Told::Maybe(None), Told::Maybe(None)) => Ok(()),
            (Told::Maybe(Some(expected)), Told::Maybe(Some(real))) => self.same_release(expected, real),
            (Told::Release(expected), Told::Release(real)) => self.same_release(expected, real),
            (Told::Releases(expected), Told::Releases(real)) => {
                same("how many releases", &expected.len(), &real.len())?;
                expected.iter().zip(real).try_for_each(|(expected, real)| self.same_release(expected, real))
            }
            (Told::Assets(expected), Told::Assets(real)) => self.same_assets(expected, real),
            (Told::Asset(expected), Told::Asset(real)) => self.same_asset(expected, real),
            (Told::Bytes(expected), Told::Bytes(real)) => same("the bytes", expected, real),
            (Told::Refs(expected), Told::Refs(real)) => same("tag and lock", expected, real),
            (Told::Note(expected), Told::Note(real)) => {
                let text = |note: &Option<String>| note.as_ref().map(|text| text.trim().to_owned());
                same("the lock's note", &text(expected), &text(real))
            }
            (Told::Pushed(expected), Told::Pushed(real)) => same("the push", expected, real),
            // Nobody counts them down here.
            (Told::Budget(_), Told::Budget(_)) => Ok(()),
            (Told::Commit(expected), Told::Commit(real)) => same("the tag's commit", expected, real),
            (expected, real) => Err(format!("the simulation had {expected:?}, gh or git {real:?}")),
        }
    }

    fn same_release(&mut self, expected: &Release, real: &Release) -> Same {
        self.learn(expected.id, real.id)?;
        // A draft without a tag has a random name.
        let tag = |release: &Release| match release.tag_name.strip_prefix("untagged-") {
            Some(_) => "untagged-".to_owned(),
            None => release.tag_name.clone(),
        };
        let face = |it: &Release| {
            (
                tag(it),
                it.name.clone(),
                it.body.clone(),
                it.draft,
                it.prerelease,
                it.immutable,
                it.published_at.is_some(),
            )
        };
        same(&format!("release {}", expected.id), &face(expected), &face(real))?;
        let whole =
            |release: &Release| release.assets.iter().filter(|it| it.is_uploaded()).cloned().collect::<Vec<_>>();
        self.same_assets(&whole(expected), &whole(real))
    }

    fn same_assets(&mut self, expected: &[Asset], real: &[Asset]) -> Same {
        same("how many assets", &expected.len(), &real.len())?;
        expected.iter().zip(real).try_for_each(|(expected, real)| self.same_asset(expected, real))
    }

    fn same_asset(&mut self, expected: &Asset, real: &Asset) -> Same {
        self.learn(expected.id, real.id)?;
        let face = |it: &Asset| (it.name.clone(), it.size, it.state.clone(), it.digest.clone());
        same(&format!("asset {}", expected.id), &face(expected), &face(real))
    }
}
