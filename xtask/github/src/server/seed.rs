//! State made by hand, without a request.

use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::model::{Asset, AssetState, Issue, Release};
use crate::rules::Change;
use crate::server::hub::Hub;
use crate::server::json;
use crate::server::store::Store;

/// A release to be there from the start.
#[derive(Clone, Debug)]
pub struct SeedRelease {
    pub tag: String,
    pub draft: bool,
    pub prerelease: bool,
    pub name: Option<String>,
    pub body: Option<String>,
    pub assets: Vec<SeedAsset>,
}

impl SeedRelease {
    /// A published release without a word.
    pub fn published(tag: &str) -> Self {
        Self { tag: tag.to_owned(), draft: false, prerelease: false, name: None, body: None, assets: Vec::new() }
    }

    /// A published prerelease, as `latest` is.
    pub fn prerelease(tag: &str) -> Self {
        Self { prerelease: true, ..Self::published(tag) }
    }

    /// A draft prerelease.
    pub fn draft(tag: &str) -> Self {
        Self { draft: true, ..Self::prerelease(tag) }
    }

    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Adds an asset that is uploaded and has its digest.
    #[must_use]
    pub fn asset(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = SeedBytes::Here(bytes.into());
        self.assets.push(SeedAsset::new(name, bytes));
        self
    }
}

/// An asset to be there from the start.
#[derive(Clone, Debug)]
pub struct SeedAsset {
    pub name: String,
    pub bytes: SeedBytes,
    /// Assets from before June 2025 have none.
    pub with_digest: bool,
    /// Whether its upload broke: the name is held, the bytes are lost.
    pub starter: bool,
}

impl SeedAsset {
    /// An asset that is uploaded and has its digest.
    pub fn new(name: &str, bytes: SeedBytes) -> Self {
        Self { name: name.to_owned(), bytes, with_digest: true, starter: false }
    }

    /// An empty asset that a broken upload left.
    pub fn starter(name: &str) -> Self {
        Self { starter: true, ..Self::new(name, SeedBytes::Here(Vec::new())) }
    }
}

/// Where an asset's bytes come from.
#[derive(Clone, Debug)]
pub enum SeedBytes {
    Here(Vec<u8>),
    /// A file, which is copied.
    File(PathBuf),
}

impl Hub {
    /// Adds a release and returns its id. A tag that a published one needs is made in git at the default branch where it is missing.
    ///
    /// # Errors
    /// When GitHub's rules about tags forbid it, or bytes can't be stored.
    pub fn seed_release(&self, repository: &str, seed: SeedRelease) -> Result<u64> {
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        store.look(at, None)?;
        let change = Change {
            tag_name: Some(seed.tag),
            name: Some(seed.name),
            body: Some(seed.body),
            draft: Some(seed.draft),
            prerelease: Some(seed.prerelease),
            ..Change::default()
        };
        let (rules, mut git) = store.repositories[at].parts(None);
        let release = rules.create(&mut git, &change, "seed", SystemTime::now());
        let id = release.with_context(|| format!("seeding {:?}", change.tag_name))?.id;
        for asset in seed.assets {
            store.seed(at, id, asset)?;
        }
        store.look(at, None)?;
        Ok(id)
    }

    /// Adds an asset to a release, as somebody else might.
    ///
    /// # Errors
    /// When there is no such release, or bytes can't be stored.
    pub fn seed_asset(&self, repository: &str, release: u64, seed: SeedAsset) -> Result<u64> {
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        let id = store.seed(at, release, seed)?;
        store.look(at, None)?;
        Ok(id)
    }

    /// Changes a release past every rule of GitHub.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn change_release(&self, repository: &str, release: u64, change: impl FnOnce(&mut Release)) -> Result<()> {
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        change(store.repositories[at].rules.release_mut(release).context("changing a release")?);
        store.look(at, None)
    }

    /// Takes over what another stand-in has of a repository besides git: releases with their bytes, and issues.
    ///
    /// # Errors
    /// When one of the two has no such repository, or bytes can't be stored.
    pub fn take_over(&self, repository: &str, other: &Self) -> Result<()> {
        let (rules, issues) = {
            let store = other.shared.lock();
            let it = &store.repositories[store.place(repository)?];
            (it.rules.clone(), it.issues.clone())
        };
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        let mut releases = rules.releases;
        for asset in releases.iter_mut().flat_map(|release| &mut release.assets) {
            let file = store.file(asset.id);
            if asset.file.exists() {
                std::fs::copy(&asset.file, &file).with_context(|| format!("storing the asset {}", asset.name))?;
            }
            asset.file = file;
        }
        let mine = &mut store.repositories[at];
        (mine.rules.releases, mine.rules.next_id) = (releases, rules.next_id);
        (mine.rules.latest, mine.rules.retired_tags) = (rules.latest, rules.retired_tags);
        mine.issues = issues;
        store.look(at, None)
    }

    /// Opens an issue and returns its number.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn seed_issue(&self, repository: &str, title: &str) -> Result<u64> {
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        let issues = &mut store.repositories[at].issues;
        let number = issues.len() as u64 + 1;
        issues.push(Issue {
            number,
            title: title.to_owned(),
            body: String::new(),
            author: "seed".to_owned(),
            is_open: true,
            labels: Vec::new(),
            created_at: SystemTime::now(),
            comments: Vec::new(),
        });
        Ok(number)
    }
}

impl Store {
    fn seed(&mut self, at: usize, release: u64, seed: SeedAsset) -> Result<u64> {
        let id = self.repositories[at].rules.take_id();
        let file = self.file(id);
        let storing = || format!("storing the asset {}", seed.name);
        match &seed.bytes {
            SeedBytes::Here(bytes) => std::fs::write(&file, bytes).with_context(storing)?,
            SeedBytes::File(path) => {
                std::fs::copy(path, &file).with_context(storing)?;
            }
        }
        let uploaded = !seed.starter;
        let digest = if seed.with_digest && uploaded { Some(digest(&file).with_context(storing)?) } else { None };
        let now = SystemTime::now();
        let asset = Asset {
            id,
            name: seed.name,
            label: None,
            state: if uploaded { AssetState::Uploaded } else { AssetState::Starter },
            content_type: "application/octet-stream".to_owned(),
            size: std::fs::metadata(&file)?.len(),
            digest,
            download_count: 0,
            created_at: now,
            updated_at: now,
            uploader: "seed".to_owned(),
            file,
        };
        self.repositories[at].rules.release_mut(release).context("seeding an asset")?.assets.push(asset);
        Ok(id)
    }
}

/// `sha256:<hex>` of a file, which is never in memory as a whole.
fn digest(file: &PathBuf) -> Result<String> {
    let mut input = std::fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("sha256:{}", json::hex(&hash.finalize())));
        }
        hash.update(&buffer[..read]);
    }
}
