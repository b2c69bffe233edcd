//! Whether the images of a set fit the version that they are published for: `publish` compares what each was built from with what
//! the source has. An image that differs is refused; without a record nothing shows it, and a warning says so.

use super::set::Set;
use crate::failure::{self, Advice as _, Problems};
use crate::sources::fits::fits_commit;
use crate::sources::{Fit, History};

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
                let what = format!("{name} does not fit {source}: changed since it was built: {files}");
                if allow_stale {
                    warnings.push(what);
                } else {
                    problems.push(
                        failure::failed(what).fix("build the image again, or publish it as it is with --allow-stale"),
                    );
                }
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
