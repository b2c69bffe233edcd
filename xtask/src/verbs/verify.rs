//! `verify`: holds `latest` against its manifest, the tag and the local images.

use clap::Args;
use serde_json::json;

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::local::{self, LocalImage};
use crate::image::templates;
use crate::interrupt;
use crate::latest::audit::{self, Audit};
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look::{self, Live, Look};
use crate::latest::{TAG, heal};

/// Compare `latest` with its manifest, the tag and the local images
///
/// Nothing is downloaded: GitHub's own digests are compared. Exit code 4 when something differs.
#[derive(Args)]
pub struct Verify {
    /// Download all images and hash them as well
    #[arg(long)]
    download: bool,
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
        if self.download {
            audit::by_bytes(doors, live, &mut audit)?;
        }
        let compared = compare_local(common, live, &mut audit)?;
        Ok(report(console, &gh, live, &audit, &compared))
    }
}

/// Why there is nothing to verify: never published, or half-way through a flip.
fn nothing_live(doors: Doors<'_>, look: &Look) -> anyhow::Error {
    let repo = doors.repo();
    match heal::plan(doors, look) {
        Ok(Some(heal)) => failure::failed(format!("{heal}; run `cargo xtask packer publish --source TAG --execute`, or `rollback --execute`")),
        Ok(None) => failure::missing(format!("no release {TAG} is published in {repo}; publish one with `cargo xtask packer publish --source TAG`")),
        Err(error) => error,
    }
}

/// Local images against the published ones, by their checksum files. How many were compared.
fn compare_local(common: &Common, live: &Live, audit: &mut Audit) -> anyhow::Result<Vec<String>> {
    let images = common.images();
    let (true, Some(manifest)) = (images.is_dir(), &live.manifest) else { return Ok(Vec::new()) };
    let found = local::scan(&images)?;
    let mut compared = Vec::new();
    for published in &manifest.images {
        let Some(files) = found.get(&published.name).filter(|_| local::present(&found).contains(&published.name)) else {
            continue;
        };
        match LocalImage::open(&images, &published.name, files) {
            Err(error) => audit.differences.push(format!("{error:#}")),
            Ok(local) => match local.promised {
                None => audit.unproven.push(format!("{} has no checksum file here", published.file)),
                Some(digest) if digest != published.sha256 => audit.differences.push(format!(
                    "{} here has sha256 {digest}, published is {}",
                    published.file, published.sha256
                )),
                Some(_) => compared.push(published.name.clone()),
            },
        }
    }
    Ok(compared)
}

fn report(console: &Console, gh: &Gh, live: &Live, audit: &Audit, compared: &[String]) -> Outcome {
    let source = live.manifest.as_ref().map(|manifest| manifest.source.clone());
    let what = source.as_ref().map_or_else(|| "a set made by hand".to_owned(), |source| format!("the set of {source}"));
    let images = audit::images(&live.assets);
    if audit.differences.is_empty() {
        let ok = console.green("ok:");
        let local = if compared.is_empty() { String::new() } else { format!("; {} local images agree", compared.len()) };
        console.line(format_args!(
            "{ok} {TAG} of {} is {what}: {} images, {} assets{local}",
            gh.repo(),
            images.len(),
            live.assets.len()
        ));
    } else {
        console.line(format_args!("{} {TAG} of {} is not what it should be:", console.red("differs:"), gh.repo()));
        for difference in &audit.differences {
            console.line(format_args!("  - {difference}"));
        }
        console.line("publish again to mend it: cargo xtask packer publish --source TAG");
    }
    for unproven in &audit.unproven {
        console.line(format_args!("  not proven: {unproven}"));
    }
    let fields = json!({
        "source": source,
        "images": images,
        "local": compared,
        "differences": audit.differences,
        "unproven": audit.unproven,
    });
    if audit.differences.is_empty() { Outcome::done(fields) } else { Outcome::exit(4, fields) }
}
