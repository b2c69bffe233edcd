//! What lies on a release already and can be part of the next set: an asset is known by its digest and a manifest that
//! vouches for it, or was sent for the same image before and is hashed.

use crate::gh::Asset;
use crate::image::digest::Digest;
use crate::image::name;
use crate::manifest::{Image, Manifest};

use super::naming::{self, Named};
use super::set::{Piece, SetImage};

/// The assets of a release, and what vouches for them.
#[derive(Debug, Clone, Default)]
pub struct Stock {
    pub assets: Vec<Asset>,
    /// Images as manifests describe them.
    known: Vec<Image>,
    /// All that has a name of its own was sent for the same set.
    same_set: bool,
}

/// What can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// By its digest.
    Right(&'a Asset),
    /// By its name and size: its bytes must be compared.
    Perhaps(&'a Asset),
}

impl<'a> Found<'a> {
    pub fn asset(self) -> &'a Asset {
        match self {
            Self::Right(asset) | Self::Perhaps(asset) => asset,
        }
    }
}

impl Stock {
    pub fn new<'m>(assets: Vec<Asset>, manifests: impl IntoIterator<Item = &'m Manifest>) -> Self {
        let known = manifests.into_iter().flat_map(|manifest| manifest.images.iter().cloned()).collect();
        Self { assets, known, same_set: false }
    }

    /// Of a draft that is for this set and no other.
    pub fn of_draft<'m>(assets: Vec<Asset>, manifests: impl IntoIterator<Item = &'m Manifest>) -> Self {
        Self { same_set: true, ..Self::new(assets, manifests) }
    }

    /// The same for other assets of the release.
    pub fn with(&self, assets: Vec<Asset>) -> Self {
        Self { assets, ..self.clone() }
    }

    /// One piece of an image.
    pub fn piece(&self, image: &SetImage, index: usize) -> Option<Found<'_>> {
        let piece = &image.pieces[index];
        let mut digests = vec![];
        digests.extend(known_digest(image, piece));
        let described = self.known.iter().filter(|known| image.is_cut_like(known));
        digests.extend(described.filter_map(|known| match known.parts.as_slice() {
            [] => Some(known.sha256),
            parts => parts.get(index).map(|part| part.sha256),
        }));
        self.find(&piece.file, piece.size(), &digests, hint(image, piece))
    }

    /// A small file.
    pub fn file(&self, file: &str, size: u64, sha256: Digest) -> Option<&Asset> {
        match self.find(file, size, &[sha256], sha256) {
            Some(Found::Right(asset)) => Some(asset),
            _ => None,
        }
    }

    fn find(&self, file: &str, size: u64, digests: &[Digest], hint: Digest) -> Option<Found<'_>> {
        let fits =
            |asset: &&Asset| asset.is_uploaded() && asset.size == size && Named::file(asset).as_deref() == Some(file);
        let all = || self.assets.iter().filter(fits);
        let right = |asset: &&Asset| asset.digest().is_some_and(|digest| digests.contains(&digest));
        if let Some(asset) = all().find(right) {
            return Some(Found::Right(asset));
        }
        // Nothing tells a part's digest before it is read: then its image's stands in the name.
        let perhaps = |asset: &&Asset| match (Named::of(asset), asset.digest()) {
            (Named::New { hex, .. }, None) => hex == naming::hex(hint),
            (Named::New { hex, .. }, Some(_)) => digests.is_empty() && hex == naming::hex(hint),
            (Named::Plain, _) => self.same_set && digests.is_empty(),
            (Named::Old { .. }, _) => false,
        };
        all().find(perhaps).map(Found::Perhaps)
    }
}

/// The digest of a piece, as far as it is known before it is read.
pub fn known_digest(image: &SetImage, piece: &Piece) -> Option<Digest> {
    piece.sha256.or((piece.file == name::whole(&image.name)).then_some(image.sha256))
}

/// The digest in the name of a piece that is on its way.
pub fn hint(image: &SetImage, piece: &Piece) -> Digest {
    piece.sha256.unwrap_or(image.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latest::set::{Facts, Origin};

    #[test]
    fn a_part_is_perhaps_there_by_its_images_digest_and_by_nothing_else() {
        let (ours, others) = (Digest::of(b"ours"), Digest::of(b"another's"));
        let piece = |file: &str, range| Piece { file: file.to_owned(), range, sha256: None };
        let image = SetImage {
            name: "a".to_owned(),
            size: 12,
            sha256: ours,
            pieces: vec![piece("a.qcow2.partaa", 0..8), piece("a.qcow2.partab", 8..12)],
            origin: Origin::Memory(Vec::new()),
            facts: Facts::default(),
        };
        let is_found = |name: String, digest: Option<Digest>| {
            let digest = digest.map(|digest| format!("sha256:{digest}"));
            let asset =
                Asset { id: 1, name, size: 8, state: "uploaded".into(), digest, updated_at: None, uploader: None };
            Stock::new(vec![asset], []).piece(&image, 0).is_some()
        };
        let named = |digest| naming::new_name(digest, "a.qcow2.partaa");
        assert!(is_found(named(ours), Some(others)));
        assert!(is_found(named(ours), None));
        // As a part is called that had its name, and lost it again.
        assert!(!is_found(named(others), Some(others)));
        assert!(!is_found("a.qcow2.partaa".to_owned(), Some(others)));
    }
}
