//! Makes sure that an image on a host has a build record that says what was wanted.
//!
//! The engine's own record counts first; else this run's knowledge of the files before and after the build is recorded. An image
//! that is known to be made of something else is never fetched. [`super::run`] calls this between build and fetch.

use std::path::Path;

use super::Voice;
use super::listing::Remote;
use super::wanted::Wanted;
use crate::claim;
use crate::digest::Digest;
use crate::failure::{self, Advice as _, Kind};
use crate::image::local::{self, LocalImage};
use crate::image::record::{self, BaseImage, BuildRecord, Facts};
use crate::sources::BuiltFrom;
use crate::sources::base_image::Upstream;
use crate::sources::inputs::{self, Inputs};
use crate::ssh::Host;
use crate::ssh::trouble::Fault;
use crate::text;

/// How the image got onto the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Built in this run: its file is another than before.
    Built,
    /// Built in this run, from the files that `--sync` sent.
    BuiltFromCopy,
    /// The engine succeeded and left the image as it was.
    Unchanged,
    /// There before: `--skip-build`.
    Existing,
}

/// Who says what an image was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedBy {
    Engine,
    Fetch,
    Nobody,
}

impl RecordedBy {
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Engine => Some("engine"),
            Self::Fetch => Some("fetch"),
            Self::Nobody => None,
        }
    }
}

/// An image on a host, before it is fetched.
pub struct Made<'a> {
    pub host: &'a Host,
    pub image: &'a str,
    pub wanted: &'a Wanted,
    pub how: How,
    /// What the engine's own cache compares; it names no commit.
    pub cache_key: Option<Digest>,
    /// What upstream published as a base image before the build; `None` if it was not asked for.
    pub base: Option<&'a anyhow::Result<Result<Upstream, String>>>,
}

impl Made<'_> {
    /// Checks that the record names the wanted inputs; writes a record into `remote` where the engine keeps none.
    ///
    /// # Errors
    ///
    /// The image is known to be made of something else: then it must not be fetched.
    pub fn ensure_record(&self, voice: &Voice<'_>, remote: &mut Remote, images: &Path) -> Result<RecordedBy, Fault> {
        let Self { host, image, wanted, how, .. } = self;
        if remote.size == 0 {
            let error = failure::failed(format!("image {image} on {host} is empty"));
            return Err(Fault::image(error.fix("build it with `--force`, or remove it there")));
        }
        let promised = remote.promised(host, image)?;
        let record = remote.record.as_deref().map(|text| BuildRecord::parse(text.as_bytes())).transpose();
        let record = record.map_err(|error| {
            let error = error.context(format!("the build record of {image} on {host} can't be used"));
            Fault::image(error.fix("build the image again with `--force`"))
        })?;
        let record = record.filter(|record| record.sha256 == promised);
        let built_from = wanted.commit.clone().map(|commit| BuiltFrom { commit, dirty: false });
        if let Some(record) = record.as_ref().filter(|record| record.facts.inputs.is_some()) {
            self.check_inputs(record)?;
            if *how == How::BuiltFromCopy || record.facts.built_from.is_none() {
                // The copy on the host has no history; the commit with these inputs is known here.
                let facts = Facts { built_from, ..record.facts.clone() };
                write(remote, &BuildRecord { facts, ..record.clone() });
            }
            return Ok(RecordedBy::Engine);
        }
        if matches!(how, How::Built | How::BuiltFromCopy) {
            let inputs = Some(Inputs { files: wanted.files(image), base_image: None, settings: [].into() });
            let versions = remote.versions.as_deref().map(record::versions);
            let recorded_by = Some("fetch".to_owned());
            let engines = record.unwrap_or_else(|| BuildRecord::new(promised, Facts::default()));
            let base_image = engines.facts.base_image.clone().or_else(|| self.base_image(voice));
            let facts = Facts { built_from, inputs, versions, base_image, ..engines.facts };
            write(remote, &BuildRecord { facts, recorded_by, ..engines });
            voice.note("the engine does not record its inputs; this fetch recorded them, because it watched the build");
            return Ok(RecordedBy::Fetch);
        }
        // An earlier fetch may have recorded the build.
        if let Some(record) = self.record_here(images).filter(|it| it.sha256 == promised && it.facts.inputs.is_some()) {
            self.check_inputs(&record)?;
            remote.record = None;
            return Ok(RecordedBy::Fetch);
        }
        let key = self.cache_key.map(|key| format!(" (the engine's cache key is {:.12}…)", key.to_string()));
        voice.warn(format_args!(
            "no record says what {image} on {host} was built from{}, so `check` will say rebuild; build it with `--force`",
            key.unwrap_or_default()
        ));
        Ok(RecordedBy::Nobody)
    }

    /// What the build started from: what upstream published before it, if that is what it publishes still.
    fn base_image(&self, voice: &Voice<'_>) -> Option<BaseImage> {
        let why = match self.base? {
            Ok(Ok(before)) => match self.wanted.templates.get(self.image)?.ask() {
                Ok(Ok(after)) if after == *before => {
                    let Upstream { url, digest, .. } = after;
                    return digest.map(|digest| BaseImage { url, digest }).filter(|base| claim::is_text(&base.url));
                }
                Ok(Ok(after)) => format!("{} changed during the build", text::line(&after.url)),
                Ok(Err(why)) => why,
                Err(error) => failure::message_and_fix(&error).0,
            },
            Ok(Err(why)) => why.clone(),
            Err(error) => failure::message_and_fix(error).0,
        };
        voice.note(format_args!("which base image {} was built on is not recorded: {why}", self.image));
        None
    }

    fn check_inputs(&self, record: &BuildRecord) -> Result<(), Fault> {
        let Self { host, image, wanted, how, .. } = self;
        let files = wanted.files(image);
        let recorded = record.facts.inputs.iter().flat_map(|inputs| inputs::differing(&inputs.files, &files));
        let differing: Vec<String> = recorded.map(|path| path.escape_debug().to_string()).collect();
        if differing.is_empty() {
            return Ok(());
        }
        let (kind, how, fix) = match how {
            How::Built | How::BuiltFromCopy => (Kind::Failed, "was built from other files", "build it again"),
            How::Unchanged => (Kind::Failed, "was not rebuilt, although its files differ", "build it with `--force`"),
            How::Existing => {
                (Kind::Missing, "is made of other files", "build it: leave --skip-build out, or name its `--source`")
            }
        };
        let (what, files) = (&wanted.what, differing.join(", "));
        let message = format!("image {image} on {host} does not match {what}: it {how}: {files}");
        Err(Fault::image(failure::Failure::error(kind, message).fix(fix)))
    }

    fn record_here(&self, images: &Path) -> Option<BuildRecord> {
        let found = local::scan(images).ok()?.remove(self.image)?;
        LocalImage::open(images, self.image, &found).ok()?.record
    }
}

fn write(remote: &mut Remote, record: &BuildRecord) {
    // A structure of strings and numbers always serialises.
    remote.record = serde_json::to_string(record).ok().map(|text| text + "\n");
}
