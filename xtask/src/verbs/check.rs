//! `check`: decides rebuild or skip, for each image, and says why.

use super::{Common, Outcome, common};
use crate::console::{Console, count};
use crate::decide::{self, Decision, FileChange, History, Moment, Report};
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::host::obstacles;
use crate::image::templates;

/// Decide whether the images need a rebuild, and say why
///
/// An image is made of its template's folder and of shared/, without *.md: build.sh copies these and builds from the copy
/// alone. The files that are here now are compared with the list that was recorded when the published image was built, else
/// with those of its commit. Comment lines and blank lines in .hcl and .sh files don't count; uncommitted changes do. A build
/// script is named for a person to judge.
#[derive(clap::Args)]
pub struct Check {
    /// Images to decide for [default: all]
    #[arg(value_name = "IMAGE")]
    pub names: Vec<String>,
    /// Compare with this revision; nothing is asked of GitHub or the network, unless --base-images is given
    #[arg(long, value_name = "REV")]
    pub base: Option<String>,
    /// Ask upstream for the base images as well: another one than an image was built on is a reason to rebuild
    #[arg(long)]
    pub base_images: bool,
    /// Ask Debian's archives, and Proxmox's for an image with its packages, for newer ones than an image has: security
    /// fixes, a point release or Proxmox's updates are a reason to rebuild
    #[arg(long, conflicts_with = "base")]
    pub security: bool,
    /// --base-images and --security
    #[arg(long, conflicts_with = "base")]
    pub upstream: bool,
    /// End with 10 when an image needs a rebuild
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub common: common::Asking,
}

/// Reading what is published is worth a second try and no more: without an answer there is still what is here.
const TRIES: Tries = Tries { stall_timeout: 30, answer_timeout: 30, attempts: 2 };

impl Check {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let mut history = History::open(&common.packer_dir())?;
        let known = history.templates(&Moment::WorkTree)?;
        if known.is_empty() {
            if !history.has_repository() {
                return Err(failure::missing(format!(
                    "{} is in no git work tree and has no template; name the packer directory with --packer-dir",
                    common.packer_dir().display()
                )));
            }
            templates::names(&common.packer_dir())?;
        }
        let images = templates::choose(&known, &self.names)?;
        let gh = || common.repo().map(|repo| Gh::new(repo, TRIES, console));
        let mut observed = None;
        let bases = match &self.base {
            Some(revision) => {
                if history.git().is_ignored()? {
                    return Err(failure::missing(format!(
                        "git knows no template in {}: it is ignored; leave --base out, or name another packer directory",
                        common.packer_dir().display()
                    )));
                }
                decide::given(&mut history, revision, &common.remote, &images)?
            }
            None => {
                let differs = common.repo().ok().and_then(|repo| common.remote_differs(&repo));
                differs.iter().for_each(|said| console.note(said));
                let asked = observed.insert(decide::observe(&history, gh(), &common.remote)?);
                decide::choose(asked, &images)?
            }
        };
        let mut report = decide::decide(&mut history, &bases, &common.remote)?;
        let now = history.listing(&Moment::WorkTree)?;
        for image in &images {
            report.notes.extend(obstacles::of(&mut history, &common.packer_dir(), image, &now)?);
        }
        if self.base_images || self.upstream {
            let observed = match observed {
                Some(observed) => observed,
                None => decide::observe(&history, gh(), &common.remote)?,
            };
            if let Err(error) = &observed.latest {
                report.notes.push(format!("could not ask {} which base images were used: {error}", observed.repo));
            }
            decide::add_base_images(&mut report, &common.packer_dir(), &observed)?;
        }
        if self.security || self.upstream {
            decide::add_security(&mut report, &common.packer_dir(), &gh()?)?;
        }
        show(&report, console);
        let exit = if self.exit_code && report.decision() == Decision::Rebuild { 10 } else { 0 };
        Ok(Outcome::exit(exit, report.to_json()))
    }
}

/// The decision first, then each image, then the files.
fn show(report: &Report, console: &Console) {
    for note in &report.notes {
        console.warn(note);
    }
    let to_build = report.images.iter().filter(|image| image.decision == Decision::Rebuild).count();
    let against = report.against();
    match report.decision() {
        Decision::Skip => {
            console.line(format_args!("{}: No template changes detected since {against}", console.green("skip")));
        }
        Decision::Rebuild => console.line(format_args!(
            "{}: {to_build} of {}, compared with {against}",
            console.yellow("rebuild"),
            count(report.images.len(), "image")
        )),
    }
    let width = report.images.iter().map(|image| image.name.chars().count()).max().unwrap_or(0);
    for image in &report.images {
        console.line(format_args!("  {:width$}  {:7}  {}", image.name, image.decision.word(), image.reason));
        if let Some(base_image) = &image.base_image {
            console.line(format_args!("  {:width$}  {:7}  {}", "", "", base_image.describe()));
        }
    }
    if report.baseline().is_none() {
        for image in &report.images {
            if let Some(base) = &image.baseline {
                console.line(format_args!(
                    "  {:width$}  compared with {}{}",
                    image.name,
                    base.what,
                    base.commit_in_brackets()
                ));
            }
        }
    }
    for image in &report.images {
        let Some(security) = &image.security else { continue };
        console.line(format_args!("{}:", image.name));
        for line in security.lines() {
            console.line(format_args!("  {line}"));
        }
    }
    for name in &report.removed {
        console.line(format_args!("  {name:width$}  removed  it was published or built, and has no template now"));
    }
    let files = report.files();
    if !files.is_empty() {
        console.line("files that count:");
        for (file, images) in files {
            let whose = if images.len() == report.images.len() { "all images".to_owned() } else { images.join(", ") };
            console.line(format_args!("  {} [{whose}]{}", file.describe(), last(report, file)));
        }
    }
    section(
        report,
        console,
        "review (a build script changed; only a person can tell whether images do):",
        &mut report.review.iter(),
    );
    section(report, console, "comments and blank lines alone, not counted:", &mut report.comments().into_iter());
}

fn section(report: &Report, console: &Console, title: &str, files: &mut dyn Iterator<Item = &FileChange>) {
    let mut files = files.peekable();
    if files.peek().is_some() {
        console.line(title);
    }
    for file in files {
        console.line(format_args!("  {}{}", file.describe(), last(report, file)));
    }
}

/// Who changed a file last.
fn last(report: &Report, file: &FileChange) -> String {
    match report.authors.get(&file.change.path) {
        Some(last) if !file.uncommitted => {
            let commit = decide::short(&last.commit);
            format!(" — {commit} {} {}: {}", last.date, last.author, last.subject)
        }
        _ => String::new(),
    }
}
