//! The renames by which a set that is staged takes its names, and gives them back to the set that had them.

use std::collections::{BTreeMap, BTreeSet};

use crate::gh::{Asset, CallError, Release};
use crate::image::digest::Digest;
use crate::manifest::{self, Expected, Manifest};

use super::doors::Doors;
use super::held::Held;
use super::look;
use super::naming::{Named, new_name, old_name};

/// One asset's other name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub id: u64,
    pub to: String,
}

/// The renames by which `placed`, assets by the name that they are to have, take their names. What stands in the way is
/// set aside, and so is what has a plain name of its own and is `spare`.
pub fn swap(assets: &[Asset], placed: &BTreeMap<String, u64>, spare: impl Fn(&Asset) -> bool) -> Vec<Rename> {
    let in_the_way = |asset: &&Asset| match placed.get(&asset.name) {
        Some(id) => *id != asset.id,
        None => Named::is_plain(asset) && spare(asset),
    };
    let aside = assets.iter().filter(in_the_way);
    let aside = aside.map(|asset| (asset.name.clone(), Rename { id: asset.id, to: old_name(asset.id, &asset.name) }));
    let named = |id: u64, file: &str| assets.iter().any(|asset| asset.id == id && asset.name == file);
    let into = placed.iter().filter(|(file, id)| !named(**id, file));
    let into = into.map(|(file, id)| (file.clone(), Rename { id: *id, to: file.clone() }));
    in_order(aside.collect(), into.collect())
}

/// Out of their names first, the manifest before all; then into them, the manifest after all. So a manifest that has its
/// name is always that of what is there.
fn in_order(mut out: Vec<(String, Rename)>, mut into: Vec<(String, Rename)>) -> Vec<Rename> {
    out.sort_by_key(|(file, _)| file != manifest::FILE);
    into.sort_by_key(|(file, _)| file == manifest::FILE);
    out.into_iter().chain(into).map(|(_, rename)| rename).collect()
}

/// The set that a release held before another was staged on it.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its manifest, whatever that is called now.
    pub asset: Asset,
    pub manifest: Manifest,
    pub digest: Digest,
}

impl Own {
    /// Finds the set with this manifest among a release's assets.
    pub fn find(doors: Doors<'_>, assets: &[Asset], wanted: Digest) -> Result<Option<Self>, CallError> {
        let is_manifest = |asset: &&Asset| asset.is_uploaded() && Named::is_or_was(asset, manifest::FILE);
        for asset in assets.iter().filter(is_manifest) {
            if asset.digest().is_some_and(|digest| digest != wanted) {
                continue;
            }
            if let Some((manifest, digest)) = read(doors, asset)?
                && digest == wanted
            {
                return Ok(Some(Self { asset: asset.clone(), manifest, digest }));
            }
        }
        Ok(None)
    }

    /// Whether no swap began, or all of it was taken back: the manifest leaves its name first and gets it back last.
    pub fn is_in_place(&self) -> bool {
        self.asset.name == manifest::FILE
    }

    fn expected(&self) -> Vec<Expected> {
        let size = self.asset.size;
        let manifest = Expected { file: manifest::FILE.to_owned(), size, sha256: self.digest };
        self.manifest.assets().into_iter().chain([manifest]).collect()
    }

    /// The renames by which it gets all of its names back. What took them keeps its bytes, on its way in again.
    pub fn back(&self, assets: &[Asset]) -> Vec<Rename> {
        if self.is_in_place() {
            return Vec::new();
        }
        let (mut out, mut into) = (Vec::new(), Vec::new());
        let mut wanted = BTreeSet::new();
        for expected in self.expected() {
            let fits = |asset: &&Asset| {
                Named::is_or_was(asset, &expected.file)
                    && asset.is_uploaded()
                    && asset.size == expected.size
                    && asset.digest().is_none_or(|digest| digest == expected.sha256)
            };
            // One that GitHub gives no digest of may be another's that has the name now: what was set aside is its own.
            let sureness = |asset: &&Asset| (asset.digest().is_some(), !Named::is_plain(asset));
            let own = if expected.file == manifest::FILE {
                Some(&self.asset)
            } else {
                assets.iter().filter(fits).max_by_key(sureness)
            };
            let Some(own) = own else { continue };
            if own.name != expected.file {
                into.push((expected.file.clone(), Rename { id: own.id, to: expected.file.clone() }));
            }
            wanted.insert(own.id);
        }
        for asset in assets.iter().filter(|asset| Named::is_plain(asset) && !wanted.contains(&asset.id)) {
            let new = asset.digest().filter(|_| asset.is_uploaded()).map(|digest| new_name(digest, &asset.name));
            // Another has that name with the same bytes: this one is of no use.
            let new = new.filter(|name| assets.iter().all(|other| other.name != *name));
            let to = new.unwrap_or_else(|| old_name(asset.id, &asset.name));
            out.push((asset.name.clone(), Rename { id: asset.id, to }));
        }
        in_order(out, into)
    }

    /// The assets as they are called when its names are given back.
    pub fn view(&self, assets: &[Asset]) -> Vec<Asset> {
        let back: BTreeMap<u64, String> = self.back(assets).into_iter().map(|it| (it.id, it.to)).collect();
        let named = |asset: &Asset| match back.get(&asset.id) {
            Some(name) => Asset { name: name.clone(), ..asset.clone() },
            None => asset.clone(),
        };
        assets.iter().map(named).collect()
    }
}

/// A manifest and its digest; `None` for one that can't be read.
pub fn read(doors: Doors<'_>, asset: &Asset) -> Result<Option<(Manifest, Digest)>, CallError> {
    if asset.size > crate::gh::SMALL {
        return Ok(None);
    }
    let bytes = doors.read_asset(asset)?;
    Ok(Manifest::parse(&bytes).ok().map(|manifest| (manifest, Digest::of(&bytes))))
}

/// Gives assets of a release their other names, in this order. `assets` is what a look found just now.
pub fn rename(held: Held<'_>, release: &Release, assets: &[Asset], renames: &[Rename]) -> anyhow::Result<()> {
    if !renames.is_empty() {
        // A permit is good for a while after somebody deleted the lock, and two that rename on one release undo each other's work.
        held.lease().renew_now(held.doors())?;
    }
    for Rename { id, to } in renames {
        // One that a listing lacks by now is missed when the names are proven.
        if let Some(asset) = assets.iter().find(|asset| asset.id == *id) {
            held.rename_asset(release, asset, to)?;
        }
    }
    Ok(())
}

/// Gives the set with this manifest its names back on the release that another was staged on.
pub fn restore(held: Held<'_>, release: u64, own: Digest) -> anyhow::Result<()> {
    let (release, assets) = look::now(held.doors(), release)?;
    let Some(own) = Own::find(held.doors(), &assets, own)? else { return Ok(()) };
    rename(held, &release, &assets, &own.back(&assets))
}

#[cfg(test)]
mod tests {
    use super::super::naming::tests::asset;
    use super::*;

    fn told(assets: &[Asset], renames: &[Rename]) -> Vec<String> {
        let name = |id: u64| assets.iter().find(|asset| asset.id == id).map_or("?", |asset| asset.name.as_str());
        renames.iter().map(|rename| format!("{} > {}", name(rename.id), rename.to)).collect()
    }

    #[test]
    fn a_swap_takes_the_manifest_away_first_and_puts_the_new_one_there_last() {
        let new = |id: u64, file: &str| asset(id, &new_name(Digest::of(&id.to_le_bytes()), file));
        let assets = [
            asset(1, "a.qcow2"),
            asset(2, "kept.qcow2"),
            asset(3, "packer-images.json"),
            asset(4, "gone.qcow2"),
            new(5, "a.qcow2"),
            new(6, "packer-images.json"),
            asset(7, "packer-old.9.x"),
        ];
        let placed = [("a.qcow2", 5), ("kept.qcow2", 2), ("packer-images.json", 6)];
        let placed = placed.map(|(file, id)| (file.to_owned(), id)).into();
        let renames = swap(&assets, &placed, |asset| asset.id == 4);
        let done = told(&assets, &renames);
        assert_eq!(
            done,
            [
                "packer-images.json > packer-old.3.packer-images.json".to_owned(),
                "a.qcow2 > packer-old.1.a.qcow2-".to_owned(),
                "gone.qcow2 > packer-old.4.gone.qcow2-".to_owned(),
                format!("{} > a.qcow2", assets[4].name),
                format!("{} > packer-images.json", assets[5].name),
            ]
        );
        // From any place in between the rest is done, and a second time nothing.
        let mut now = assets.to_vec();
        for (at, rename) in renames.iter().enumerate() {
            assert_eq!(swap(&now, &placed, |asset| asset.id == 4), renames[at..]);
            now.iter_mut().find(|asset| asset.id == rename.id).unwrap().name.clone_from(&rename.to);
        }
        assert_eq!(swap(&now, &placed, |_| false), []);
    }

    #[test]
    fn the_way_back_ends_where_the_swap_began() {
        let part =
            |id: u64, file: &str| manifest::Part { file: file.into(), size: 1, sha256: Digest::of(&id.to_le_bytes()) };
        let mut own = Manifest::new("v0.1".into(), String::new(), Vec::new());
        own.files = vec![part(1, "SHA256SUMS"), part(2, "get-images.sh"), part(4, "gone")];
        let assets = [
            asset(1, "SHA256SUMS"),
            asset(2, "get-images.sh"),
            asset(3, "packer-images.json"),
            asset(4, "gone"),
            asset(5, &new_name(Digest::of(&5_u64.to_le_bytes()), "SHA256SUMS")),
            asset(6, &new_name(Digest::of(&6_u64.to_le_bytes()), "packer-images.json")),
            asset(7, &new_name(Digest::of(&7_u64.to_le_bytes()), "more")),
        ];
        let placed = [("SHA256SUMS", 5), ("get-images.sh", 2), ("more", 7), ("packer-images.json", 6)];
        let placed = placed.map(|(file, id)| (file.to_owned(), id)).into();
        let swaps = swap(&assets, &placed, |_| true);
        for ended in 0..=swaps.len() {
            let mut now = assets.to_vec();
            let rename = |now: &mut Vec<Asset>, it: &Rename| {
                assert!(now.iter().all(|asset| asset.name != it.to), "{} is taken", it.to);
                now.iter_mut().find(|asset| asset.id == it.id).unwrap().name.clone_from(&it.to);
            };
            swaps[..ended].iter().for_each(|it| rename(&mut now, it));
            let at = |now: &[Asset]| Own {
                asset: now.iter().find(|asset| asset.id == 3).unwrap().clone(),
                manifest: own.clone(),
                digest: Digest::of(&3_u64.to_le_bytes()),
            };
            let back = at(&now).back(&now);
            assert_eq!(at(&now).view(&now), assets, "{ended}");
            // Ended on the way back as well, and begun anew.
            for again in 0..back.len() {
                let mut there = now.clone();
                back[..again].iter().for_each(|it| rename(&mut there, it));
                at(&there).back(&there).iter().for_each(|it| rename(&mut there, it));
                assert_eq!(there, assets, "{ended}, {again}");
            }
        }
    }

    #[test]
    fn what_has_the_name_without_a_digest_is_not_taken_for_what_was_set_aside() {
        let mut own = Manifest::new("v0.1".into(), String::new(), Vec::new());
        own.files =
            vec![manifest::Part { file: "SHA256SUMS".into(), size: 1, sha256: Digest::of(&1_u64.to_le_bytes()) }];
        for digest_of_its_own in [true, false] {
            let mut assets = vec![
                asset(9, "SHA256SUMS"),
                asset(1, &old_name(1, "SHA256SUMS")),
                asset(3, &old_name(3, "packer-images.json")),
            ];
            assets[0].digest = None;
            if !digest_of_its_own {
                assets[1].digest = None;
            }
            let digest = Digest::of(&3_u64.to_le_bytes());
            let own = Own { asset: assets[2].clone(), manifest: own.clone(), digest };
            let names: Vec<String> = own.view(&assets).into_iter().map(|asset| asset.name).collect();
            assert_eq!(names, ["packer-old.9.SHA256SUMS", "SHA256SUMS", "packer-images.json"]);
        }
    }
}
