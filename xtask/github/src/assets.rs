//! Reading, renaming and deleting release assets. Uploads are in `upload`, the bytes in `download`.

use std::time::SystemTime;

use serde_json::Value;

use crate::answer::{Answer, Outcome, Refusal};
use crate::call::Call;
use crate::download;
use crate::fields::text;
use crate::json;
use crate::model::{Asset, AssetState, Release};
use crate::pages::page;
use crate::releases;
use crate::store::{Repo, Store};

/// Every asset of a release, those that broke included.
pub(crate) fn list(store: &Store, call: &Call, at: usize, release: u64) -> Outcome {
    let repo = &store.repositories[at];
    let current = releases::visible(call, repo, release)?;
    let listed = store.listed(at).iter().find(|it| it.id == release);
    // A release that is newer than the view has no asset there.
    let assets = listed.map(|it| it.assets.as_slice()).unwrap_or_default();
    let each = assets.iter().map(|it| json::asset(repo, current, it));
    Ok(page(call, repo, each.collect::<Vec<Value>>()))
}

/// An asset as JSON, or the way to its bytes.
pub(crate) fn by_id(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let (release, asset) = visible(call, &store.repositories[at], id)?;
    let wants_bytes = call.header("accept").is_some_and(|it| it.contains("application/octet-stream"));
    if !wants_bytes {
        let json = json::asset(&store.repositories[at], release, asset);
        return Ok(Answer::json(200, &json));
    }
    if asset.state != AssetState::Uploaded {
        return Err(Refusal::not_found());
    }
    let address = download::signed(store, at, asset);
    count_download(&mut store.repositories[at], id);
    Ok(download::redirect(call, &address))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let (release, before) = visible(call, repo, id)?;
    let body = call.object()?;
    let mut asset = before.clone();
    if let Some(name) = text(&body, "name")?.flatten() {
        asset.name = clean_name(&name);
    }
    if let Some(label) = text(&body, "label")? {
        asset.label = label;
    }
    if release.immutable {
        let message = "Cannot update assets of an immutable release";
        return Err(Refusal::new(422, message));
    }
    if asset.name.is_empty() {
        return Err(Refusal::invalid("ReleaseAsset", "missing_field", "name"));
    }
    let mut others = release.assets.iter().filter(|it| it.id != id);
    if others.any(|it| it.name == asset.name) {
        return Err(taken());
    }
    asset.updated_at = SystemTime::now();
    let json = json::asset(repo, release, &asset);
    let release = release.id;
    let assets = repo.release_mut(release)?.assets.iter_mut();
    assets.filter(|it| it.id == id).for_each(|it| *it = asset.clone());
    Ok(Answer::json(200, &json))
}

pub(crate) fn delete(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let (release, asset) = visible(call, repo, id)?;
    if release.immutable {
        let message = "Cannot delete assets from an immutable release";
        return Err(Refusal::new(422, message));
    }
    // One that never got a byte has no file.
    let _ = std::fs::remove_file(&asset.file);
    let release = release.id;
    repo.release_mut(release)?.assets.retain(|it| it.id != id);
    Ok(Answer::empty(204))
}

pub(crate) fn taken() -> Refusal {
    Refusal::invalid("ReleaseAsset", "already_exists", "name")
}

pub(crate) fn count_download(repo: &mut Repo, id: u64) {
    let assets = repo.releases.iter_mut().flat_map(|it| &mut it.assets);
    assets.filter(|it| it.id == id).for_each(|it| it.download_count += 1);
}

/// The name that GitHub gives an asset: runs of other characters than letters, digits, `-`, `_`, `+`, `@` become one dot, and no dot is
/// left at either end.
pub(crate) fn clean_name(name: &str) -> String {
    let kept = |character: char| character.is_ascii_alphanumeric() || "-_+@".contains(character);
    let dotted = name.replace(|character| !kept(character), ".");
    let parts: Vec<&str> = dotted.split('.').filter(|part| !part.is_empty()).collect();
    let cleaned = parts.join(".");
    // What was nothing but an ending gets a beginning.
    if parts.len() == 1 && cleaned != name {
        return format!("default.{cleaned}");
    }
    cleaned
}

/// An asset that this request may see, with its release.
fn visible<'a>(call: &Call, repo: &'a Repo, id: u64) -> Result<(&'a Release, &'a Asset), Refusal> {
    let (release, asset) = repo.asset(id).ok_or_else(Refusal::not_found)?;
    releases::visible(call, repo, release.id)?;
    Ok((release, asset))
}

#[cfg(test)]
mod tests {
    use super::clean_name;

    #[test]
    fn names_as_github_keeps_them() {
        let table = [
            ("debian-12-custom.qcow2", "debian-12-custom.qcow2"),
            ("debian-13-pve.qcow2.partaa", "debian-13-pve.qcow2.partaa"),
            ("a_b+c@d.txt", "a_b+c@d.txt"),
            ("a b.txt", "a.b.txt"),
            ("a (1).txt", "a.1.txt"),
            ("a~rc1.deb", "a.rc1.deb"),
            (".a.txt.", "a.txt"),
            ("a..b", "a.b"),
            (".profile", "default.profile"),
            ("noending", "noending"),
            ("///", ""),
        ];
        for (name, kept) in table {
            assert_eq!(clean_name(name), kept, "{name}");
        }
    }
}
