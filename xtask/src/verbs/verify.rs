//! `verify`: two verdicts: whether `latest` matches its manifest, its signature and the tag, and whether the images of this
//! folder are the published images.
//!
//! It only reads. Images here are read in full, never judged by their checksum files alone.

use clap::Args;
use serde_json::{Value, json};

use super::checksum::hashed;
use super::status::show_next;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _, FIX};
use crate::gh::{Gh, Tries};
use crate::interrupt;
use crate::latest::TAG;
use crate::latest::audit::{self, Audit};
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::latest::here::{self, Cure, Here};
use crate::latest::look::Live;
use crate::phase::{self, Latest, Name, Options, Step};
use crate::sources::History;
use crate::suggest;
use crate::text::count;

/// Compare `latest` with its manifest, signature and tag, and with the local images
///
/// For `latest`, GitHub's own digests are compared and nothing is downloaded. The local images are read in full. Exit code 4
/// when something differs.
#[derive(Args)]
pub struct Verify {
    /// Download all images and hash them as well
    #[arg(long)]
    download: bool,
    /// Check only `latest`, not the local images
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
        let mut history = History::open(&common.packer_dir())?;
        let git = history.git().clone();
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let client = Client::new(&outside);
        let options = Options::default();
        let (picture, look) = phase::observe(&common.place(), &gh, client, &mut history, &options)?;
        let steps = phase::steps(&picture, &options);
        let (look, mut state) = match (look, picture.latest) {
            (Some(look), Ok(state)) => (look, state),
            (None, Ok(_)) => return Err(failure::failed("cannot read `latest`").fix("run the same command again")),
            (_, Err(unasked)) => return Err(anyhow::Error::from(unasked).context("cannot read `latest`")),
        };
        let Some(live) = &look.live else { return Err(nothing_live(client, &state)) };
        let (mut audit, signed_by) = (std::mem::take(&mut state.audit), state.signed_by.take());
        if self.download {
            audit::by_bytes(client, live, &mut audit)?;
        }
        let here = if self.no_local {
            Here::default()
        } else {
            here::compare(&common.images(), &audit::digests(client, live)?, |image| hashed(image, console))?
        };
        audit.unproven.extend(state.remade.clone());
        show_latest(console, &gh, live, &audit, signed_by.as_deref());
        show_folder(console, common, &here);
        let repair = phase::next(&steps).filter(|step| step.name == Name::Publish && !audit.differences.is_empty());
        if let Some(step) = repair {
            console.line(format_args!("publish again to repair `latest`: {}", step.command.executed()));
        }
        let fields = json!({
            "source": live.manifest.as_ref().map(|manifest| &manifest.source),
            "label": state.live.as_ref().and_then(|live| live.label.as_ref()),
            "images": named(audit::images(&live.assets)),
            "signed_by": signed_by,
            "differences": audit.differences,
            "unproven": audit.unproven,
            "local": named(here.same.iter().cloned()),
            "local_differences": here.faults.iter().map(fault).collect::<Vec<_>>(),
            "next": show_next(console, &steps, 4),
        });
        Ok(match difference(&audit.differences, &here.faults, phase::next(&steps)) {
            None => Outcome::done(fields),
            Some(error) => Outcome::failed(error, fields),
        })
    }
}

/// What differs, and what to do about the first difference. `None` when all agrees.
fn difference(latest: &[String], here: &[here::Fault], next: Option<&Step>) -> Option<anyhow::Error> {
    let what = match (latest, here) {
        ([], []) => return None,
        (_, []) => "`latest` is not as it was published",
        ([], _) => "images here differ from `latest`",
        _ => "`latest` is not as it was published, and images here differ from it",
    };
    let (first, fix) = match (latest.first(), here.first()) {
        (Some(said), _) => (said, Some(repair(next))),
        (None, fault) => fault.map(|fault| (&fault.said, fix(fault)))?,
    };
    let (said, own) = failure::why_and_fix(first);
    let said = match latest.len() + here.len() {
        1 => said.to_owned(),
        more => format!("{}, the first: {said}", count(more, "difference")),
    };
    let error = failure::digest(format!("{what}: {said}"));
    Some(match fix.or(own.map(str::to_owned)) {
        Some(fix) => error.fix(fix),
        None => error,
    })
}

/// How `latest` becomes what was published. The steps don't know what only a download shows.
fn repair(next: Option<&Step>) -> String {
    match next.filter(|step| step.name <= Name::Publish) {
        Some(step) => format!("run `{}`", step.command.executed()),
        None => format!("publish the images as a new set: {}", suggest::command("publish --source TAG --resend")),
    }
}

/// What helps an image here, where its message doesn't say so.
fn fix(fault: &here::Fault) -> Option<String> {
    let fetch = suggest::command(format_args!("download --force {}", fault.image));
    match fault.cure {
        Cure::FetchAgain => Some(format!("fetch it again: {fetch}")),
        Cure::PublishOrFetch => {
            let publish = suggest::command(format_args!("publish --source TAG {}", fault.image));
            Some(format!("publish it: {publish}, or take the published image: {fetch}"))
        }
        Cure::AsSaid => None,
    }
}

/// Images as every verb's object has them.
fn named(names: impl IntoIterator<Item = String>) -> Vec<Value> {
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

/// Why there is nothing to verify: never published, or in the middle of a switch.
fn nothing_live(client: Client<'_>, state: &Latest) -> anyhow::Error {
    let repo = client.repo();
    match &state.recovery {
        Some(recovery) => failure::failed(recovery.to_string()).fix(format_args!(
            "run {}, or {}",
            suggest::command("publish --source TAG --execute"),
            suggest::command("rollback --execute")
        )),
        None => failure::missing(format!("release {TAG} does not exist in {repo}"))
            .fix(format_args!("publish the first set with {}", suggest::command("publish --source TAG"))),
    }
}

fn show_latest(console: &Console, gh: &Gh, live: &Live, audit: &Audit, signed_by: Option<&str>) {
    let source = live.manifest.as_ref().map(|manifest| manifest.source.as_str());
    let label = live.label.as_ref().map(|label| label.source.as_str()).filter(|label| Some(*label) != source);
    let label = label.filter(|_| source.is_some()).map(|label| format!(" and stands for {label}")).unwrap_or_default();
    let what = source.map_or_else(|| "a set made by hand".to_owned(), |source| format!("the set of {source}{label}"));
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
        console.line(format_args!(
            "{} {TAG} of {} does not match what was published:",
            console.red("differs:"),
            gh.repo()
        ));
        for difference in &audit.differences {
            console.line(format_args!("  - {}", indented(difference)));
        }
    }
    for unproven in &audit.unproven {
        console.line(format_args!("  not verified: {unproven}"));
    }
}

fn show_folder(console: &Console, common: &Common, here: &Here) {
    let folder = common.images();
    if !here.same.is_empty() {
        console.line(format_args!(
            "{} {} in {} {} the published images (read in full)",
            console.green("ok:"),
            count(here.same.len(), "image"),
            folder.display(),
            if here.same.len() == 1 { "matches" } else { "match" }
        ));
    }
    if !here.faults.is_empty() {
        console.line(format_args!("{} images in {}:", console.red("differs:"), folder.display()));
    }
    for fault in &here.faults {
        console.line(format_args!("  - {}", indented(&fault.said)));
        fix(fault).iter().for_each(|fix| console.line(format_args!("    {FIX}{fix}")));
    }
}

/// Its lines stay below each other in a list.
fn indented(said: &str) -> String {
    said.replace('\n', "\n    ")
}

fn fault(fault: &here::Fault) -> Value {
    json!({ "image": fault.image, "said": fault.said })
}
