//! Uploading, renaming and deleting assets.

use std::borrow::Cow;
use std::time::SystemTime;

use super::{Refusal, Repo};
use crate::model::{Asset, AssetState, Release};

impl Repo {
    /// Begins an upload of `size` bytes: from now on a `starter` asset holds the name. Returns its id.
    ///
    /// # Errors
    /// 404 without such a release, 422 for what GitHub doesn't take.
    pub fn begin_upload(&mut self, release: u64, name: &str, size: u64, now: SystemTime) -> Result<u64, Refusal> {
        let (max_assets, max_bytes, id) = (self.max_assets, self.max_asset_bytes, self.next_id);
        let release = self.release_mut(release)?;
        if release.immutable {
            return Err(Refusal::new(422, "Cannot upload assets to an immutable release."));
        }
        let name = free_name(release, None, name)?;
        let wrong_size = |message: Cow<'static, str>| Err(Refusal::custom("ReleaseAsset", Some("size"), message));
        if size == 0 {
            return wrong_size("size must be greater than or equal to 1".into());
        }
        if size > max_bytes {
            return wrong_size(format!("size must be less than {}", max_bytes + 1).into());
        }
        if release.assets.len() >= max_assets {
            let message = format!("file_count limit is {max_assets} files");
            return Err(Refusal::custom("ReleaseAsset", None, message));
        }
        release.assets.push(Asset {
            id,
            name: name.into_owned(),
            label: None,
            state: AssetState::Starter,
            content_type: String::new(),
            size: 0,
            digest: None,
            download_count: 0,
            created_at: now,
            updated_at: now,
            uploader: String::new(),
            file: std::path::PathBuf::new(),
        });
        Ok(self.take_id())
    }

    /// Ends an upload: all its bytes are there. `digest` is `sha256:<hex>`.
    ///
    /// # Errors
    /// 404 when the asset or its release was deleted meanwhile.
    pub fn finish_upload(
        &mut self,
        asset: u64,
        size: u64,
        digest: Option<String>,
        now: SystemTime,
    ) -> Result<&Asset, Refusal> {
        let asset = self.asset_mut(asset)?;
        asset.state = AssetState::Uploaded;
        asset.size = size;
        asset.digest = digest;
        asset.updated_at = now;
        Ok(asset)
    }

    /// Gives an upload up. Where a `starter` is left the name stays held.
    pub fn abandon_upload(&mut self, asset: u64, leave_starter: bool) {
        if !leave_starter {
            // It or its release may have been deleted meanwhile.
            let _ = self.take_asset(asset);
        }
    }

    /// Gives an asset another name, which GitHub cleans as that of an upload.
    ///
    /// # Errors
    /// 404 without such an asset, 422 for what GitHub doesn't take.
    pub fn rename_asset(&mut self, id: u64, name: &str, now: SystemTime) -> Result<&Asset, Refusal> {
        self.edit_asset(id, Some(name), None, now)
    }

    /// Changes the name of an asset, its label, or both. A label of `Some(None)` is null.
    ///
    /// # Errors
    /// 404 without such an asset, 422 for what GitHub doesn't take.
    pub fn edit_asset(
        &mut self,
        id: u64,
        name: Option<&str>,
        label: Option<Option<String>>,
        now: SystemTime,
    ) -> Result<&Asset, Refusal> {
        let (release, at) = self.place_of_asset(id)?;
        let release = &mut self.releases[release];
        if release.immutable {
            return Err(Refusal::new(422, "Cannot update assets of an immutable release"));
        }
        let name = name.map(|name| free_name(release, Some(id), name)).transpose()?;
        let asset = &mut release.assets[at];
        if let Some(name) = name {
            asset.name = name.into_owned();
        }
        if let Some(label) = label {
            asset.label = label;
        }
        asset.updated_at = now;
        Ok(asset)
    }

    /// Deletes an asset and returns it.
    ///
    /// # Errors
    /// 404 without such an asset, 422 on an immutable release.
    pub fn delete_asset(&mut self, id: u64) -> Result<Asset, Refusal> {
        if self.asset(id)?.0.immutable {
            return Err(Refusal::new(422, "Cannot delete assets from an immutable release"));
        }
        self.take_asset(id)
    }

    fn take_asset(&mut self, id: u64) -> Result<Asset, Refusal> {
        let (release, at) = self.place_of_asset(id)?;
        Ok(self.releases[release].assets.remove(at))
    }

    fn place_of_asset(&self, id: u64) -> Result<(usize, usize), Refusal> {
        let mut all = self.releases.iter().enumerate();
        let found = all.find_map(|(at, release)| Some((at, release.assets.iter().position(|it| it.id == id)?)));
        found.ok_or_else(Refusal::not_found)
    }
}

/// A name as GitHub keeps it, if no asset but `own` has it.
fn free_name<'a>(release: &Release, own: Option<u64>, name: &'a str) -> Result<Cow<'a, str>, Refusal> {
    let name = clean_name(name);
    if name.is_empty() {
        return Err(Refusal::invalid("ReleaseAsset", "missing_field", "name"));
    }
    if release.assets.iter().any(|it| Some(it.id) != own && it.name == name) {
        return Err(Refusal::invalid("ReleaseAsset", "already_exists", "name"));
    }
    Ok(name)
}

/// The name that GitHub gives an asset: runs of other characters than letters, digits, `-`, `_`, `+`, `@` become one dot, and no dot is
/// left at either end.
pub fn clean_name(name: &str) -> Cow<'_, str> {
    let kept = |character: char| character.is_ascii_alphanumeric() || "-_+@".contains(character);
    let parts = || name.split(|character| !kept(character)).filter(|part| !part.is_empty());
    let length = parts().map(|part| part.len() + 1).sum::<usize>().saturating_sub(1);
    // As long as before means that each gap is one character of one byte, which may not be a dot yet.
    if length == name.len() && name.chars().all(|it| it == '.' || kept(it)) {
        return name.into();
    }
    let mut cleaned = String::with_capacity(length);
    for part in parts() {
        if !cleaned.is_empty() {
            cleaned.push('.');
        }
        cleaned.push_str(part);
    }
    // What was nothing but an ending gets a beginning.
    if parts().count() == 1 {
        cleaned.insert_str(0, "default.");
    }
    cleaned.into()
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
            ("", ""),
        ];
        for (name, kept) in table {
            assert_eq!(clean_name(name), kept, "{name}");
        }
    }
}
