//! `verify`: two verdicts: whether `latest` is what its manifest, its signature and the tag say, and whether the images
//! of this folder are the same.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::checksum::hashed;
use super::{Common, Outcome, common};
use crate::console::{Console, count};
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::digest::Digest;
use crate::image::templates;
use crate::interrupt;
use crate::latest::audit::{self, Audit};
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::here::{self, Cure, Here};
use crate::latest::look::{self, Live, Look};
use crate::latest::{TAG, heal};
use crate::typed;

/// Compare `latest` with its manifest, its signature and the tag, and the images here with it
///
/// Two verdicts. For `latest` nothing is downloaded: GitHub's own digests are compared. The images here are read in full.
/// Exit code 4 when something differs.
#[derive(Args)]
pub struct Verify {
    /// Download all images and hash them as well
    #[arg(long)]
    download: bool,
    /// Look at `latest` alone, not at the images here
    #[arg(long)]
    no_local: bool,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::All,
}

impl Verify {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let gh = Gh::new(common.repo()?, self.tries, console);
        let git = Git::at(&common.packer_dir());
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let doors = Doors::new(&outside);
        let look = look::look(doors)?;
        let Some(live) = &look.live else { return Err(nothing_live(doors, &look)) };
        let mut audit = audit::published(doors, live, look.tag.as_ref())?;
        audit::full_set(doors, &look, live, &templates::names(&common.packer_dir()).unwrap_or_default(), &mut audit)?;
        let signed_by = audit::signature(doors, live, common.allowed_signers().as_ref(), &mut audit);
        if self.download {
            audit::by_bytes(doors, live, &mut audit)?;
        }
        let here = if self.no_local {
            Here::default()
        } else {
            here::compare(&common.images(), &digests(doors, live)?, |image| hashed(image, console))?
        };
        tell_of_latest(console, &gh, live, &audit, signed_by.as_deref());
        tell_of_folder(console, common, &here);
        let fields = json!({
            "source": live.manifest.as_ref().map(|manifest| &manifest.source),
            "images": audit::images(&live.assets),
            "signed_by": signed_by,
            "differences": audit.differences,
            "unproven": audit.unproven,
            "local": here.same,
            "local_differences": here.faults.iter().map(fault).collect::<Vec<_>>(),
        });
        let agrees = audit.differences.is_empty() && here.faults.is_empty();
        Ok(if agrees { Outcome::done(fields) } else { Outcome::exit(4, fields) })
    }
}

/// Why there is nothing to verify: never published, or half-way through a flip.
fn nothing_live(doors: Doors<'_>, look: &Look) -> anyhow::Error {
    let repo = doors.repo();
    match heal::plan(doors, look) {
        Ok(Some(heal)) => failure::failed(format!(
            "{heal}; run {}, or {}",
            typed::line("publish --source TAG --execute"),
            typed::line("rollback --execute")
        )),
        Ok(None) => failure::missing(format!(
            "no release {TAG} is published in {repo}; publish one with {}",
            typed::line("publish --source TAG")
        )),
        Err(error) => error,
    }
}

/// The digest of each live image, by what vouches for it.
fn digests(doors: Doors<'_>, live: &Live) -> anyhow::Result<BTreeMap<String, Digest>> {
    if let Some(manifest) = &live.manifest {
        return Ok(manifest.images.iter().map(|image| (image.name.clone(), image.sha256)).collect());
    }
    let mut digests = BTreeMap::new();
    for image in audit::images(&live.assets) {
        if let Some(digest) = audit::promised(doors, live, &image)? {
            digests.insert(image, digest);
        }
    }
    Ok(digests)
}

fn tell_of_latest(console: &Console, gh: &Gh, live: &Live, audit: &Audit, signed_by: Option<&str>) {
    let source = live.manifest.as_ref().map(|manifest| manifest.source.as_str());
    let what = source.map_or_else(|| "a set made by hand".to_owned(), |source| format!("the set of {source}"));
    if audit.differences.is_empty() {
        let signed = signed_by.map(|who| format!(", signed by {who}")).unwrap_or_default();
        console.line(format_args!(
            "{} {TAG} of {} is {what}: {}, {}{signed}",
            console.green("ok:"),
            gh.repo(),
            count(audit::images(&live.assets).len(), "image"),
            count(live.assets.len(), "asset"),
        ));
    } else {
        console.line(format_args!("{} {TAG} of {} is not what it should be:", console.red("differs:"), gh.repo()));
        for difference in &audit.differences {
            console.line(format_args!("  - {difference}"));
        }
        console.line(format_args!(
            "publish again to mend it: {}",
            typed::bare(format_args!("publish --source {} --execute", source.unwrap_or("TAG")))
        ));
    }
    for unproven in &audit.unproven {
        console.line(format_args!("  not proven: {unproven}"));
    }
}

fn tell_of_folder(console: &Console, common: &Common, here: &Here) {
    let folder = common.images();
    if !here.same.is_empty() {
        console.line(format_args!(
            "{} {} in {} read, and the same as live",
            console.green("ok:"),
            count(here.same.len(), "image"),
            folder.display()
        ));
    }
    if !here.faults.is_empty() {
        console.line(format_args!("{} in {}, whatever {TAG} is:", console.red("differs:"), folder.display()));
    }
    for fault in &here.faults {
        console.line(format_args!("  - {}", fault.said));
        let fetch = typed::bare(format_args!("download --force {}", fault.image));
        match fault.cure {
            Cure::FetchAgain => console.line(format_args!("    fetch it again: {fetch}")),
            Cure::PublishOrFetch => {
                let publish = typed::bare(format_args!("publish --source TAG {}", fault.image));
                console.line(format_args!("    publish it: {publish}; or take the live one: {fetch}"));
            }
            Cure::AsSaid => {}
        }
    }
}

fn fault(fault: &here::Fault) -> Value {
    json!({ "image": fault.image, "said": fault.said })
}
