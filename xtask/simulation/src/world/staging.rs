//! A set that is staged on the way back: what readers see meanwhile, and what a rollback could still bring.

use github_stand_in::{Asset, AssetState, Release};
use xtask::image::digest::Digest;
use xtask::image::name;
use xtask::latest::marker::{self, Replaced};
use xtask::latest::naming::Named;
use xtask::latest::{PREVIOUS, TITLE};
use xtask::manifest;

use super::{Known, NAMES, Shown, WHOLE, World, asset};

impl World {
    /// An asset of the live release that readers take for an image's, and that isn't of the set.
    pub fn strange_to_readers(&self) -> Option<String> {
        let live = self.live()?;
        let (_, known) = self.judge(live);
        let of_set = |it: &Asset| match &known {
            Some(known) => known.assets.iter().any(|wanted| wanted.file == it.name),
            // Made by hand, or between two renames of a manifest.
            None => NAMES.iter().any(|name| it.name.starts_with(name)),
        };
        let seen = |it: &&Asset| name::read_with(&it.name).is_some() || it.name.contains(".qcow2.part");
        let strange = live.assets.iter().filter(seen).find(|it| !of_set(it) || it.state != AssetState::Uploaded);
        strange.map(|it| it.name.clone())
    }

    /// The draft that the live release replaced, with its stamp.
    fn way_back(&self) -> Option<(&Release, Replaced)> {
        let live = self.live()?.id;
        let previous = self.repo.releases.iter().filter(|it| it.draft && it.tag_name == PREVIOUS);
        let stamped = previous.filter_map(|it| Some((it, marker::read::<Replaced>(it.body.as_deref()?)?)));
        stamped.filter(|(_, stamp)| stamp.by == live).max_by(|a, b| a.1.at.cmp(&b.1.at))
    }

    /// Whether a rollback needs no more than the two calls: its set is there under its names.
    pub fn way_back_is_in_place(&self) -> bool {
        *self.judged.back_in_place.get_or_init(|| self.is_back_in_place())
    }

    fn is_back_in_place(&self) -> bool {
        self.way_back().is_some_and(|(release, stamp)| {
            let own = release.assets.iter().find(|it| it.name == manifest::FILE).and_then(|it| self.digest(it));
            stamp.manifest.is_some() && own == stamp.manifest && self.judge(release).0
        })
    }

    /// Whether all of another set is there as well, proven to the last byte: then it may take the names.
    pub fn next_set_is_staged(&self) -> bool {
        let Some((release, _)) = self.way_back() else { return false };
        let file = |it: &Asset| Named::file(&asset(it));
        let new = release.assets.iter().filter(|it| file(it).as_deref() == Some(manifest::FILE));
        let new = new.filter(|it| it.name != manifest::FILE);
        new.filter_map(|it| self.bytes.get(&it.id)).filter_map(|(bytes, digest)| Known::of(*digest, bytes)).any(
            |known| {
                known.assets.iter().all(|wanted| {
                    let is_that = |it: &&Asset| self.digest(it) == Some(wanted.sha256);
                    release.assets.iter().filter(is_that).any(|it| file(it).as_deref() == Some(wanted.file.as_str()))
                })
            },
        )
    }

    /// What a rollback must bring: the set of the way back, if its manifest names one and all of it is there, whatever it is
    /// called now.
    pub fn promised_back(&self) -> Option<Shown> {
        let (release, stamp) = self.way_back()?;
        let live_manifest = self.live()?.assets.iter().find(|it| it.name == manifest::FILE);
        let live_manifest = live_manifest.and_then(|it| self.digest(it));
        let own = stamp.manifest.filter(|_| stamp.names(self.live().map_or(0, |live| live.id), live_manifest))?;
        let has = |file: &str, digest: Digest| {
            let called = |it: &Asset| match Named::of(&asset(it)) {
                Named::Plain => it.name == file,
                Named::Old { file: old } => old == file,
                Named::New { .. } => false,
            };
            // A name of its own that another has taken is given back by its digest.
            release.assets.iter().find(|it| called(it) && self.digest(it) == Some(digest))
        };
        let (bytes, _) = self.bytes.get(&has(manifest::FILE, own)?.id)?;
        let known = Known::of(own, bytes)?;
        let assets: Option<Vec<&Asset>> = known.assets.iter().map(|wanted| has(&wanted.file, wanted.sha256)).collect();
        let line = assets?.into_iter().find(|it| {
            let file = format!("{}.qcow2.sha256", NAMES[0]);
            it.name == file || matches!(Named::of(&asset(it)), Named::Old { file: old } if old == file)
        })?;
        let (line, _) = self.bytes.get(&line.id)?;
        let digest: Digest = str::from_utf8(line).ok()?.split(' ').next()?.parse().ok()?;
        Some(Shown {
            source: known.source.strip_prefix("v0.").and_then(|source| source.parse().ok()),
            images: WHOLE.with_borrow(|whole| whole.get(&digest).copied()),
            whole: true,
            by_us: true,
            tag: Some(known.commit.clone()),
            commit: Some(known.commit.clone()),
            title: Some(stamp.title.unwrap_or_else(|| TITLE.to_owned())),
            prerelease: !stamp.full_release,
        })
    }

    fn digest(&self, it: &Asset) -> Option<Digest> {
        self.bytes.get(&it.id).filter(|_| it.state == AssetState::Uploaded).map(|(_, digest)| *digest)
    }
}
