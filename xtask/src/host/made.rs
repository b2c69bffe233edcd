//! What a fetched image was made of: as its engine recorded it, else as it was seen before and after the build.

use std::path::Path;

use super::Voice;
use super::listing::Remote;
use super::wanted::Wanted;
use crate::failure::{self, Kind};
use crate::image::inputs::{self, Inputs};
use crate::image::local::{self, LocalImage};
use crate::image::record::{self, BuildRecord, BuiltFrom};
use crate::ssh::Host;
use crate::ssh::trouble::Fault;

/// How the image on the host came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Its file is another than before: it was built, from what was wanted.
    Built,
    /// The same from a copy that this tool sent.
    BuiltFromCopy,
    /// The engine ended well and left the image as it was.
    Left,
    /// `--skip-build`
    Found,
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
}

impl Made<'_> {
    /// Sees that the record says what is wanted, and gives the image one where its engine keeps none.
    ///
    /// # Errors
    ///
    /// It is known to be made of something else: nothing is fetched then.
    pub fn settle(&self, voice: &Voice<'_>, remote: &mut Remote, images: &Path) -> Result<RecordedBy, Fault> {
        let Self { host, image, wanted, how } = self;
        if remote.size == 0 {
            return Err(Fault::image(failure::failed(format!(
                "image {image} on {host} is empty; build it with `--force`, or remove it there"
            ))));
        }
        let promised = remote.promised(host, image)?;
        let there = match remote.record.as_deref().map(serde_json::from_str::<BuildRecord>).transpose() {
            Ok(record) => record.filter(|record| record.sha256 == promised),
            Err(error) => {
                return Err(Fault::image(failure::failed(format!(
                    "the build record of {image} on {host} is damaged: {error}; build it anew with `--force`"
                ))));
            }
        };
        if let Some(record) = there.as_ref().filter(|record| record.inputs.is_some()) {
            self.is_wanted(record.inputs.as_ref())?;
            if *how == How::BuiltFromCopy {
                // The copy has no history; what it is a copy of is known here.
                let built_from = wanted.commit.clone().map(|commit| BuiltFrom { commit, dirty: false });
                write(remote, &BuildRecord { built_from, ..record.clone() });
            }
            return Ok(RecordedBy::Engine);
        }
        if matches!(how, How::Built | How::BuiltFromCopy) {
            let inputs = Inputs { files: wanted.files(image), base_image: None, settings: [].into() };
            let record = BuildRecord {
                sha256: promised,
                built_from: wanted.commit.clone().map(|commit| BuiltFrom { commit, dirty: false }),
                inputs: Some(inputs),
                base_image: there.as_ref().and_then(|record| record.base_image.clone()),
                versions: remote.versions.as_deref().map(record::versions).unwrap_or_default(),
                packages: there.as_ref().and_then(|record| record.packages.clone()),
                boot: there.as_ref().and_then(|record| record.boot.clone()),
                built_at: there.and_then(|record| record.built_at),
                recorded_by: Some("fetch".to_owned()),
            };
            write(remote, &record);
            voice.note("its engine keeps no list of inputs; recorded by this fetch, which saw it being built");
            return Ok(RecordedBy::Fetch);
        }
        // An earlier fetch may have seen it being built.
        let here = self.record_here(images).filter(|record| record.sha256 == promised && record.inputs.is_some());
        if let Some(record) = here {
            self.is_wanted(record.inputs.as_ref())?;
            remote.record = None;
            return Ok(RecordedBy::Fetch);
        }
        voice.warn(format_args!(
            "nobody recorded what {image} on {host} was made of; the next check will say rebuild: build it with `--force`"
        ));
        Ok(RecordedBy::Nobody)
    }

    fn is_wanted(&self, inputs: Option<&Inputs>) -> Result<(), Fault> {
        let Self { host, image, wanted, how } = self;
        let files = wanted.files(image);
        let differing: Vec<String> = inputs
            .map(|inputs| {
                inputs::differing(&inputs.files, &files).map(|path| path.escape_debug().to_string()).collect()
            })
            .unwrap_or_default();
        if differing.is_empty() {
            return Ok(());
        }
        let (what, files) = (&wanted.what, differing.join(", "));
        let (kind, how) = match how {
            How::Built | How::BuiltFromCopy => (Kind::Failed, "was built from something else; build it again"),
            How::Left => (Kind::Failed, "was not rebuilt, although it is made of something else; use `--force`"),
            How::Found => (Kind::Missing, "is made of something else; leave --skip-build away, or name its `--source`"),
        };
        let message = format!("image {image} on {host} is not that of {what}: it {how}; different: {files}");
        Err(Fault::image(failure::Failure::error(kind, message)))
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
