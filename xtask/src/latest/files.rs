//! What a set has beside its images: the script that fetches and checks them, the digests of all, and their signature.
//!
//! The digests are of images, parts, lists of packages and script. The manifest isn't among them, so that another source for the same images
//! leaves digests and signature as they are.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::failure;
use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::image::name;
use crate::manifest::{Image, Manifest, Part};
use crate::signing::{Allowed, Signer};
use crate::typed;

use super::look::Live;
use super::prove;
use super::set::SetImage;

pub const READER: &str = "get-images.sh";
pub const SUMS: &str = "SHA256SUMS";
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// So many go onto a release beside its images, the manifest among them.
pub const MOST: usize = 4;

const READER_BYTES: &[u8] = include_bytes!("../../../packer/get-images.sh");
static READER_DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(READER_BYTES));

/// How a set is signed and attested.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    pub signer: Option<Signer>,
    /// Whether what is live is signed by somebody who may.
    pub live_is_signed: bool,
    /// The repository whose workflow attests what it built of the set.
    pub attested_by: Option<String>,
}

/// A small file, as it is to be on the release.
pub struct File {
    pub part: Part,
    pub bytes: Cow<'static, [u8]>,
}

impl File {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let part = Part { file: name.into(), size: bytes.len() as u64, sha256: Digest::of(&bytes) };
        Self { part, bytes: bytes.into() }
    }

    fn reader() -> Self {
        let part = Part { file: READER.to_owned(), size: READER_BYTES.len() as u64, sha256: *READER_DIGEST };
        Self { part, bytes: READER_BYTES.into() }
    }
}

/// The digests of a set, as `sha256sum -c --ignore-missing` takes them: each image, its parts and the list of its
/// packages after it, then the script.
pub fn sums(images: &[Image], reader: Digest) -> String {
    let mut text = String::new();
    for image in images {
        text.push_str(&format!("{}  {}\n", image.sha256, image.file));
        for part in &image.parts {
            text.push_str(&format!("{}  {}\n", part.sha256, part.file));
        }
        if let Some(packages) = &image.packages {
            text.push_str(&format!("{}  {}\n", packages.sha256, packages.file));
        }
    }
    text + &format!("{reader}  {READER}\n")
}

/// All files of a new set.
pub fn all(images: &[Image], signing: &Signing) -> anyhow::Result<Vec<File>> {
    let names: &[&'static str] = if signing.signer.is_some() { &[READER, SUMS, SIGNATURE] } else { &[READER, SUMS] };
    some(names, images, *READER_DIGEST, signing)
}

/// These files, in an order in which each fits those before it.
///
/// # Errors
///
/// The key can't be used.
pub fn some(names: &[&'static str], images: &[Image], reader: Digest, signing: &Signing) -> anyhow::Result<Vec<File>> {
    let sums = sums(images, reader).into_bytes();
    let mut files = Vec::new();
    for name in names.iter().copied() {
        files.push(match (name, &signing.signer) {
            (READER, _) => File::reader(),
            (SIGNATURE, Some(signer)) => File::new(name, signer.sign(&sums)?),
            (SIGNATURE, None) => continue,
            _ => File::new(name, sums.clone()),
        });
    }
    Ok(files)
}

/// What is to become of a live release's files while its images stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub kept: Vec<Part>,
    /// Missing, or not what they should be.
    pub place: Vec<&'static str>,
    /// Of the script, as it will be there.
    pub reader: Digest,
}

/// Judges them by what GitHub says.
pub fn judge(live: &Live, images: &[Image], signing: &Signing) -> Judged {
    let good = |name: &str| {
        let listed = live.manifest.as_ref()?.files.iter().find(|file| file.file == name)?;
        prove::compare(&listed.expected(), live.asset(name)).is_none().then(|| listed.clone())
    };
    let reader = good(READER);
    let digest = reader.as_ref().map_or(*READER_DIGEST, |reader| reader.sha256);
    let right = Digest::of(sums(images, digest).as_bytes());
    let sums = good(SUMS).filter(|sums| sums.sha256 == right);
    let signature = good(SIGNATURE).filter(|_| sums.is_some() && (signing.signer.is_none() || signing.live_is_signed));
    let mut judged = Judged { kept: Vec::new(), place: Vec::new(), reader: digest };
    for (name, found) in [(READER, reader), (SUMS, sums), (SIGNATURE, signature)] {
        match found {
            Some(found) => judged.kept.push(found),
            None if name == SIGNATURE && signing.signer.is_none() => {}
            None => judged.place.push(name),
        }
    }
    judged
}

/// Why the manifest's list of digests can't be right.
pub fn differs(manifest: &Manifest) -> Option<String> {
    let listed = |name: &str| manifest.files.iter().find(|file| file.file == name).map(|file| file.sha256);
    let (sums_there, reader) = (listed(SUMS)?, listed(READER)?);
    let right = Digest::of(sums(&manifest.images, reader).as_bytes());
    (sums_there != right).then(|| format!("{SUMS} on the release doesn't have the digests that the manifest has"))
}

/// What a signature says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// By whom, as `allowed_signers` calls them, and the digests.
    By(String, String),
    /// There is a signature, and nothing here says who may sign.
    Unknown,
    Not,
}

/// Checks the signature of a release.
///
/// # Errors
///
/// Exit code 4: it is not by somebody who may, or not of these digests; or nothing is signed where it was before.
pub fn signed(
    allowed: Option<&Allowed>,
    assets: &[Asset],
    manifest: Option<&Manifest>,
    mut read: impl FnMut(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<Signed> {
    let find = |name: &str| assets.iter().find(|asset| asset.name == name && asset.is_uploaded());
    let was_signed = manifest.is_some_and(|manifest| manifest.files.iter().any(|file| file.file == SIGNATURE));
    let (sums, signature) = match (find(SUMS), find(SIGNATURE)) {
        (Some(sums), Some(signature)) => (sums, signature),
        _ if was_signed => {
            return Err(failure::digest(
                "the set was signed and is not any more: somebody removed the signature or what it signs; \
                 publish it once more with --sign",
            ));
        }
        (_, Some(_)) => {
            return Err(failure::digest(format!(
                "{SIGNATURE} is there, and {SUMS}, which it signs, is not; publish the set once more with --sign"
            )));
        }
        _ => return Ok(Signed::Not),
    };
    let Some(allowed) = allowed else { return Ok(Signed::Unknown) };
    let (sums, signature) = (read(sums)?, read(signature)?);
    let who = allowed.who_signed(&sums, &signature)?;
    Ok(Signed::By(who, String::from_utf8_lossy(&sums).into_owned()))
}

/// Whether signed digests have this image.
pub fn vouches(sums: &str, image: &str, digest: Digest) -> bool {
    has(sums, &name::whole(image), digest)
}

fn has(sums: &str, file: &str, digest: Digest) -> bool {
    let line = format!("{digest}  {file}");
    sums.lines().any(|there| there == line)
}

/// Whether images may be taken over from a release.
pub enum Trust {
    /// Nothing here says who may sign, or it was said that an unsigned one is good enough.
    Asked,
    /// These digests are signed.
    Sums { who: String, sums: String },
}

impl Trust {
    /// Looks at the release `from`.
    ///
    /// # Errors
    ///
    /// Exit code 4: its signature is wrong, or there is none where there must be one.
    pub fn of(
        allowed: Option<&Allowed>,
        allow_unsigned: bool,
        from: &str,
        assets: &[Asset],
        manifest: Option<&Manifest>,
        read: impl FnMut(&Asset) -> Result<Vec<u8>, CallError>,
    ) -> anyhow::Result<Self> {
        match (signed(allowed, assets, manifest, read), allowed) {
            (Err(error), _) => Err(error.context(format!("release {from} can't be trusted"))),
            (Ok(Signed::By(who, sums)), _) => Ok(Self::Sums { who, sums }),
            (Ok(_), Some(allowed)) if !allow_unsigned => Err(failure::digest(format!(
                "release {from} is not signed, and {} names who signs; take its images all the same with --allow-unsigned",
                allowed.path().display()
            ))),
            (Ok(_), _) => Ok(Self::Asked),
        }
    }

    /// # Errors
    ///
    /// Exit code 4: the image is another one than was signed.
    pub fn check(&self, image: &SetImage, from: &str) -> anyhow::Result<()> {
        match self {
            Self::Sums { who, sums } if !vouches(sums, &image.name, image.sha256) => Err(failure::digest(format!(
                "{} on release {from} has sha256 {}, which is not what {who} signed; look with {}",
                name::whole(&image.name),
                image.sha256,
                typed::line("verify")
            ))),
            _ => Ok(()),
        }
    }

    /// Whether the digests of an image's pieces are signed as well, or nobody asked for that.
    pub fn vouches_for_parts(&self, image: &SetImage) -> bool {
        match self {
            Self::Sums { sums, .. } => {
                image.pieces.iter().all(|piece| piece.sha256.is_some_and(|digest| has(sums, &piece.file, digest)))
            }
            Self::Asked => true,
        }
    }

    /// Who signed, where that is known.
    pub fn who(&self) -> Option<&str> {
        match self {
            Self::Sums { who, .. } => Some(who),
            Self::Asked => None,
        }
    }
}
