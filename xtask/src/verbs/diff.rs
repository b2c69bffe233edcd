//! `diff`: what changed in the images' packages between two sets.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::local::{self, LocalImage};
use crate::image::templates;
use crate::latest::changes::{self, Listed};
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look;
use crate::latest::notes;
use crate::sbom::Packages;
use crate::sbom::diff::Difference;

/// Show what changed in the images' packages
///
/// Compares the lists that builds made. Without options: what is published as `latest` with what it replaced.
#[derive(clap::Args)]
pub struct Diff {
    /// Images to compare [default: all that both have]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// The older set, by its version [default: what `latest` replaced; with --local, `latest`]
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,
    /// The newer set, by its version [default: `latest`]
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Take the images in the images folder as the newer set
    #[arg(long, conflicts_with = "to")]
    local: bool,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::All,
}

impl Diff {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let gh = Gh::new(common.repo()?, self.tries, console);
        let git = Git::at(&common.packer_dir());
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let doors = Doors::new(&outside);
        let look = look::look(doors)?;
        let find = |version: Option<&str>, before| changes::find(doors, &gh, &look, version, before);
        let old = find(self.from.as_deref(), !self.local)?;
        let new = if self.local { None } else { Some(find(self.to.as_deref(), false)?) };
        let (from, to) = match &new {
            Some(new) => notes::told_apart((&old.source, Some(old.digest)), (&new.source, Some(new.digest))),
            None => (old.source.clone(), "the images here".to_owned()),
        };

        let there: BTreeSet<String> = match &new {
            Some(new) => names(new),
            None => local::present(&local::scan(&common.images())?),
        };
        let known: BTreeSet<String> = names(&old).union(&there).cloned().collect();
        let chosen = templates::choose(&known, &self.names)?;
        console.line(format_args!("from {} to {to}:", console.bold(&from)));
        let mut images = Vec::new();
        for name in &chosen {
            let was = of(&gh, &old, name)?;
            let is = match &new {
                Some(new) => of(&gh, new, name)?,
                None => here(common, name)?,
            };
            images.push(match (was, is) {
                (Ok(was), Ok(is)) => {
                    let difference = Difference::between(&was, &is);
                    show(console, name, &difference);
                    let mut image = json!({ "name": name, "state": "compared" });
                    if let (Some(image), Some(fields)) = (image.as_object_mut(), difference.to_json().as_object()) {
                        image.extend(fields.clone());
                    }
                    image
                }
                (Err(why), _) | (_, Err(why)) => {
                    console.line(format_args!("{name}: not known: {why}"));
                    json!({ "name": name, "state": "unknown", "reason": why })
                }
            });
        }
        Ok(Outcome::done(json!({
            "from": old.source,
            "from_manifest": old.digest.to_string(),
            "to": new.as_ref().map(|new| &new.source),
            "to_manifest": new.as_ref().map(|new| new.digest.to_string()),
            "images": images,
        })))
    }
}

fn names(set: &Listed) -> BTreeSet<String> {
    set.manifest.images.iter().map(|image| image.name.clone()).collect()
}

/// A list, or why there is none.
type Known = Result<Packages, String>;

fn of(gh: &Gh, set: &Listed, name: &str) -> anyhow::Result<Known> {
    let Some(image) = set.manifest.image(name) else { return Ok(Err(format!("{} has no {name}", set.source))) };
    Ok(changes::published(|asset| gh.read_asset(asset), image, &set.assets)?
        .ok_or_else(|| format!("{} has no list of its packages", set.source)))
}

fn here(common: &Common, name: &str) -> anyhow::Result<Known> {
    let folder = common.images();
    let found = local::scan(&folder)?;
    let Some(files) = found.get(name) else { return Ok(Err(format!("no {name} is here"))) };
    let Some((listed, path)) = LocalImage::open(&folder, name, files)?.packages else {
        return Ok(Err(format!("the {name} here has no list of its packages")));
    };
    let bytes =
        std::fs::read(&path).map_err(|error| failure::failed(format!("reading {}: {error}", path.display())))?;
    Ok(Ok(Packages::parse(&listed.file, &bytes)?))
}

fn show(console: &Console, name: &str, difference: &Difference) {
    console.line(format_args!("{}: {}", console.bold(name), difference.count()));
    for (of, from, to) in difference.of_note.iter().filter(|(of, ..)| of == "kernel") {
        console.line(format_args!("  {of} {from} → {to}"));
    }
    for line in difference.lines() {
        console.line(format_args!("  {line}"));
    }
}
