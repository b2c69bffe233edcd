//! `diff`: what changed in the images between two sets: packages, files, and what grew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _};
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::local::{self, LocalImage};
use crate::image::record::{Facts, FileEntry};
use crate::image::{durable, selection};
use crate::latest::changes::{self, Listed};
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::latest::look;
use crate::latest::notes;
use crate::packages::Packages;
use crate::packages::diff::Difference;
use crate::packages::files::{Changes, Files};
use crate::packages::grown::Grown;
use crate::text::size;
use crate::{suggest, version};

/// Show which packages and files changed in the images
///
/// Compares the lists of packages and files that the builds wrote. Without options, compares `latest` with the set that it replaced.
#[derive(clap::Args)]
pub struct Diff {
    /// Images to compare [default: all images that are in both sets]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Version of the older set [default: the set that `latest` replaced; with --local, `latest`]
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,
    /// Version of the newer set [default: `latest`]
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// List every file that was added, removed or changed
    #[arg(long)]
    files: bool,
    /// Use the images in the images folder as the newer set
    #[arg(long, conflicts_with = "to")]
    local: bool,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::All,
}

impl Diff {
    /// # Errors
    ///
    /// Exit code 2 where versions stand in the place of images.
    fn names_no_versions(&self) -> anyhow::Result<()> {
        let options = match self.names.as_slice() {
            [from] => format!("--from {from}"),
            [from, to] => format!("--from {from} --to {to}"),
            _ => return Ok(()),
        };
        if !self.names.iter().all(|name| version::names_a_release(name)) {
            return Ok(());
        }
        let run = suggest::command(format_args!("diff {options}"));
        Err(failure::usage("`diff` takes images as arguments and versions as options").fix(format!("run {run}")))
    }

    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        self.names_no_versions()?;
        let gh = Gh::new(common.repo()?, self.tries, console);
        let git = Git::at(&common.packer_dir());
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let client = Client::new(&outside);
        let look = look::look(client)?;
        let find = |version: Option<&str>, before| changes::find(client, &look, version, before);
        let old = find(self.from.as_deref(), !self.local)?;
        let new = if self.local { None } else { Some(find(self.to.as_deref(), false)?) };
        let (from, to) = match &new {
            Some(new) => {
                notes::told_apart((&old.manifest.source, Some(old.digest)), (&new.manifest.source, Some(new.digest)))
            }
            None => (old.manifest.source.clone(), "the local images".to_owned()),
        };

        let folder = common.images();
        let here = if self.local { local::scan(&folder)? } else { BTreeMap::new() };
        let there = new.as_ref().map_or_else(|| local::present(&here), names);
        let known: BTreeSet<String> = names(&old).union(&there).cloned().collect();
        let chosen = selection::choose(&known, &self.names)?;
        console.line(format_args!("from {} to {to}:", console.bold(&from)));
        let mut images = Vec::new();
        for name in &chosen {
            let was = published(&gh, &old, name)?;
            let is = match &new {
                Some(new) => published(&gh, new, name)?,
                None => local(&folder, &here, name)?,
            };
            images.push(self.compare(console, name, &was, &is));
        }
        Ok(Outcome::done(json!({
            "from": old.manifest.source,
            "from_manifest": old.digest.to_string(),
            "to": new.as_ref().map(|new| &new.manifest.source),
            "to_manifest": new.as_ref().map(|new| new.digest.to_string()),
            "images": images,
        })))
    }
}

impl Diff {
    /// Shows how an image differs, and gives it for the JSON object.
    fn compare(&self, console: &Console, name: &str, was: &Side, is: &Side) -> Value {
        let (Some(old), Some(new)) = (&was.packages, &is.packages) else {
            let why = if was.packages.is_none() { &was.why } else { &is.why };
            console.line(format_args!("{name}: unknown: {why}"));
            return json!({ "name": name, "state": "unknown", "reason": why, "files": null });
        };
        let (difference, grown) = (Difference::between(old, new), Grown::between(old, new));
        let sizes = match (was.size, is.size) {
            (Some(from), Some(to)) if from != to => format!(", {} → {}", size(from), size(to)),
            _ => String::new(),
        };
        console.line(format_args!("{}: {}{sizes}", console.bold(name), difference.count()));
        for kernel in difference.of_note.iter().filter(|it| it.name == "kernel") {
            console.line(format_args!("  kernel {} → {}", kernel.from, kernel.to));
        }
        let files = was.files.as_ref().zip(is.files.as_ref()).map(|(old, new)| Changes::between(old, new));
        let lines = files.as_ref().map(|changes| changes.lines(self.files));
        for line in difference.lines().into_iter().chain(grown.lines()).chain(lines.into_iter().flatten()) {
            console.line(format_args!("  {line}"));
        }
        let mut image = json!(difference);
        image["name"] = json!(name);
        image["state"] = json!("compared");
        image["size"] = json!({ "from": was.size, "to": is.size });
        image["grew"] = json!(grown);
        image["files"] = json!(files.map(|changes| changes.to_json(self.files)));
        image
    }
}

fn names(set: &Listed) -> BTreeSet<String> {
    set.manifest.images.iter().map(|image| image.name.clone()).collect()
}

/// An image of a set.
#[derive(Default)]
struct Side {
    packages: Option<Packages>,
    files: Option<Files>,
    /// Why there is no list of packages.
    why: String,
    /// Bytes of the image; `None` where the set lacks it.
    size: Option<u64>,
}

impl Side {
    fn read(
        facts: &Facts,
        size: u64,
        of: &str,
        read: impl Fn(&FileEntry) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let (packages, files) = (facts.packages.as_ref(), facts.files.as_ref());
        Ok(Self {
            packages: packages.map(|listed| Packages::parse(&listed.file, &read(listed)?)).transpose()?,
            files: files.map(|listed| Files::read(&listed.file, read(listed)?)).transpose()?,
            why: format!("{of} has no list of its packages"),
            size: Some(size),
        })
    }

    fn absent(set: &str, name: &str) -> Self {
        Self { why: format!("{set} has no {name}"), ..Self::default() }
    }
}

fn published(gh: &Gh, set: &Listed, name: &str) -> anyhow::Result<Side> {
    let source = &set.manifest.source;
    let Some(image) = set.manifest.image(name) else { return Ok(Side::absent(source, name)) };
    let read = |listed: &FileEntry| changes::published(|asset| gh.read_asset(asset), listed, &set.assets);
    Side::read(&image.facts, image.size, source, read)
}

fn local(folder: &Path, here: &BTreeMap<String, local::Files>, name: &str) -> anyhow::Result<Side> {
    let Some(files) = here.get(name) else { return Ok(Side::absent(&folder.display().to_string(), name)) };
    let image = LocalImage::open(folder, name, files)?;
    let facts = image.record.map(|record| record.facts).unwrap_or_default();
    let read = |listed: &FileEntry| {
        let path = image.lists.iter().find(|(it, _)| it == listed).map(|(_, path)| path.clone()).unwrap_or_default();
        std::fs::read(&path).map_err(|error| durable::read_error(path.display(), error))
    };
    Side::read(&facts, image.bytes.size(), &format!("the local {name}"), read)
}
