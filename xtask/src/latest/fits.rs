//! Whether the images of a set fit the version that they are published for: `publish` compares what each was built from with what
//! the source has. An image that differs is refused; without a record nothing shows it, and a warning says so.

use super::set::Set;
use crate::failure::{self, Advice as _, Problems};
use crate::git::{TagRef, short};
use crate::sources::fits::fits_commit;
use crate::sources::{Fit, History};
use crate::{suggest, version};

/// An image that doesn't fit is a problem, or with `allow_stale` a warning.
pub fn judge(
    history: &mut History,
    set: &Set,
    allow_stale: bool,
    warnings: &mut Vec<String>,
    problems: &mut Problems,
) -> anyhow::Result<()> {
    let mut unrecorded = Vec::new();
    for image in &set.images {
        let (name, source) = (&image.name, &set.source);
        let made = image.facts.made();
        if made.inputs.is_none() && made.built_from.is_none() {
            unrecorded.push(name.as_str());
            continue;
        }
        match fits_commit(history, name, made, &set.commit)? {
            Fit::Same => {}
            Fit::Unknown(why) => warnings.push(format!("whether {name} fits {source} is unknown: {why}")),
            Fit::Differs(changes) => {
                let files = changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>().join(", ");
                let origin = made.built_from.filter(|origin| !origin.dirty);
                let tags = history.git().local_tags()?.into_iter();
                let is_its = |(name, tag): &(String, TagRef)| {
                    version::names_a_release(name) && origin.is_some_and(|origin| origin.commit == tag.commit)
                };
                let version = tags.filter(is_its).map(|(name, _)| name).next();
                let from = match (&version, origin) {
                    (Some(version), _) => format!("from {version}, and these files differ"),
                    (None, Some(origin)) => format!("from commit {}, and these files differ", short(&origin.commit)),
                    (None, None) => "from other files".to_owned(),
                };
                let what = format!("{name} does not fit {source}: it was built {from}: {files}");
                if allow_stale {
                    warnings.push(what);
                    continue;
                }
                let build = suggest::command(format_args!("build-and-fetch --host HOST --source {source} {name}"));
                let publish = |version| suggest::command(format_args!("publish --source {version}"));
                let newer = version.filter(|version| version::is_newer(version, source));
                let newer = newer.map(|newer| format!("publish it as that version with {}, ", publish(newer)));
                problems.push(failure::failed(what).fix(format_args!(
                    "build the image again with {build}, {}or publish it as it is with --allow-stale",
                    newer.unwrap_or_default()
                )));
            }
        }
    }
    if !unrecorded.is_empty() {
        warnings.push(format!(
            "no build record says what {} was built from, so nothing shows whether it fits {}; the next check will say rebuild, \
             unless --built-from REV names the revision",
            unrecorded.join(", "),
            set.source
        ));
    }
    Ok(())
}
