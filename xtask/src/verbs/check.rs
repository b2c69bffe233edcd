//! `check`: decides rebuild or skip, for each image, and says why.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use super::status::{TRIES, show_next};
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::decide::{self, Decision, Report};
use crate::failure::{self, Advice as _};
use crate::gh::Gh;
use crate::git::short;
use crate::image::selection;
use crate::latest::changes;
use crate::latest::look::{Live, Look};
use crate::phase::{self, Freshness, Options, Picture};
use crate::sources::{Change, History, Moment, obstacles, templates};
use crate::suggest;
use crate::text::count;

/// Decide whether the images need a rebuild, and say why
///
/// The inputs of an image are its template's folder and shared/, without *.md, tests and limits: the engine builds from a copy
/// of these alone. The local files are compared with the list that was recorded when the published image was built, else with the
/// files of its commit. Uncommitted changes count; changes of comments or blank lines alone in .hcl and .sh files do not. A
/// changed build script is listed for review.
#[derive(clap::Args)]
pub struct Check {
    /// Images to check [default: all]
    #[arg(value_name = "IMAGE")]
    pub names: Vec<String>,
    /// Compare with this revision; needs no network, unless --base-images is given
    #[arg(long, value_name = "REV")]
    pub base: Option<String>,
    /// Also look for new base images upstream, as a reason to rebuild
    #[arg(long)]
    pub base_images: bool,
    /// Also look for newer packages in Debian's and Proxmox's archives: security fixes, a point release and Proxmox updates
    /// are reasons to rebuild
    #[arg(long, conflicts_with = "base")]
    pub security: bool,
    /// Same as --base-images --security
    #[arg(long, conflicts_with = "base")]
    pub upstream: bool,
    /// Exit with 10 when an image needs a rebuild
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub common: common::All,
}

impl Check {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let dir = common.packer_dir();
        let mut history = History::open(&dir)?;
        let known = history.templates(&Moment::WorkTree)?;
        if known.is_empty() {
            if !history.has_repository() {
                let error =
                    failure::missing(format!("{} is not in a git work tree and has no template", dir.display()));
                return Err(error.fix("name the packer directory with `--packer-dir`"));
            }
            templates::names(&dir)?;
        }
        let images = selection::choose(&known, &self.names)?;
        let (mut report, seen) = match &self.base {
            Some(revision) => {
                if history.git().is_ignored()? {
                    let error = failure::missing(format!(
                        "git tracks no template in {}: the directory is ignored",
                        dir.display()
                    ));
                    return Err(error.fix("leave out --base, or name another packer directory with `--packer-dir`"));
                }
                let seen = if self.base_images { Some(Seen::of(common, console, &mut history)?) } else { None };
                (decide::by_revision(&mut history, revision, &common.remote, &images)?, seen)
            }
            None => {
                let seen = Seen::of(common, console, &mut history)?;
                let mut report = seen.picture.report.clone()?;
                report.images.retain(|image| images.contains(&image.name));
                (report, Some(seen))
            }
        };
        let now = history.listing(&Moment::WorkTree)?;
        for image in &images {
            report.notes.extend(obstacles::of(&mut history, &dir, image, &now)?);
        }
        self.ask_upstream(&mut report, &mut history, seen.as_ref(), &dir)?;
        let all = (self.upstream || self.security) && self.names.is_empty();
        if let Some(live) = seen.as_ref().and_then(Seen::live).filter(|_| all)
            && let Some(found) = Freshness::of(&report, live.release.id, SystemTime::now())
        {
            found.remember(&history.git().common_dir()?);
        }
        show(&report, console);
        let mut fields = report.to_json();
        if let Some(seen) = &seen {
            fields["next"] = show_next(console, &phase::steps(&seen.picture, &Options::default()), 4);
        }
        match report.decision() {
            Decision::Unknown => {
                let unknown = report.images.iter().filter(|image| image.decision == Decision::Unknown);
                let names = unknown.map(|image| image.name.as_str()).collect::<Vec<_>>().join(", ");
                let error = failure::missing(format!(
                    "asking upstream for the base images of {names} failed, so it is unknown whether they changed"
                ));
                let again = suggest::command("check --base-images");
                Ok(Outcome::failed(error.fix(format!("solve the problems above, then run {again}")), fields))
            }
            Decision::Rebuild if self.exit_code => Ok(Outcome::answer(10, fields)),
            _ => Ok(Outcome::answer(0, fields)),
        }
    }

    /// Adds the reasons that no file shows, as far as they were asked for.
    fn ask_upstream(
        &self,
        report: &mut Report,
        history: &mut History,
        seen: Option<&Seen>,
        packer_dir: &Path,
    ) -> anyhow::Result<()> {
        let live = seen.and_then(Seen::live);
        if self.base_images || self.upstream {
            if let Some(Err(unasked)) = seen.map(|seen| &seen.picture.latest) {
                return Err(anyhow::Error::from(unasked.clone()).context("could not ask which base images were used"));
            }
            let manifest = live.and_then(|live| live.manifest.as_ref());
            decide::add_base_images(report, history, packer_dir, manifest)?;
        }
        if let Some(Seen { gh, .. }) = seen.filter(|_| self.security || self.upstream) {
            decide::add_security(report, packer_dir, &packages(report, live, gh)?)?;
        }
        Ok(())
    }
}

/// What was observed.
struct Seen {
    gh: Gh,
    picture: Picture,
    look: Option<Look>,
}

impl Seen {
    fn of(common: &Common, console: &Console, history: &mut History) -> anyhow::Result<Self> {
        let gh = Gh::new(common.repo()?, TRIES, console);
        common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
        let (picture, look) = common.observe(&gh, history, &Options::default())?;
        Ok(Self { gh, picture, look })
    }

    fn live(&self) -> Option<&Live> {
        self.look.as_ref()?.live.as_ref()
    }
}

/// The published list of each image's packages, or why there is none.
fn packages(report: &Report, live: Option<&Live>, gh: &Gh) -> anyhow::Result<BTreeMap<String, decide::List>> {
    let mut lists = BTreeMap::new();
    for name in report.images.iter().map(|image| &image.name) {
        let recorded = live.and_then(|live| Some((live.manifest.as_ref()?.image(name)?, &live.assets)));
        let list = match recorded {
            None => Err("no manifest says what is published".to_owned()),
            Some((image, assets)) => changes::packages(|asset| gh.read_asset(asset), image, assets)?
                .ok_or_else(|| "the published image has no list of its packages".to_owned()),
        };
        lists.insert(name.clone(), list);
    }
    Ok(lists)
}

/// The decision first, then each image, then the files.
fn show(report: &Report, console: &Console) {
    for note in &report.notes {
        console.warn(note);
    }
    let against = report.against();
    match report.decision() {
        Decision::Unknown => {}
        Decision::Skip => {
            console.line(format_args!("{}: No template changes detected since {against}", console.green("skip")));
        }
        Decision::Rebuild => {
            let to_build = report.images.iter().filter(|image| image.decision == Decision::Rebuild).count();
            let of = count(report.images.len(), "image");
            console.line(format_args!("{}: {to_build} of {of}, compared with {against}", console.yellow("rebuild")));
        }
    }
    let width = report.images.iter().map(|image| image.name.chars().count()).max().unwrap_or(0);
    for image in &report.images {
        console.line(format_args!("  {:width$}  {:7}  {}", image.name, image.decision.word(), image.reason));
        if let Some(base_image) = &image.base_image {
            console.line(format_args!("  {:width$}  {:7}  {}", "", "", base_image.describe()));
        }
    }
    if report.baseline().is_none() {
        for (image, base) in report.images.iter().filter_map(|image| Some((image, image.baseline.as_ref()?))) {
            console.line(format_args!("  {:width$}  compared with {}", image.name, base.describe()));
        }
    }
    for (image, security) in report.images.iter().filter_map(|image| Some((image, image.security.as_ref()?))) {
        console.line(format_args!("{}:", image.name));
        for line in decide::security_lines(security) {
            console.line(format_args!("  {line}"));
        }
    }
    for name in &report.removed {
        console.line(format_args!(
            "  {name:width$}  removed  was published or built before, and has no template any more"
        ));
    }
    let whose = |images: Vec<&str>| match images.len() == report.images.len() {
        true => " [all images]".to_owned(),
        false => format!(" [{}]", images.join(", ")),
    };
    let files = report.files().into_iter().map(|(change, images)| (change, whose(images)));
    section(report, console, "changed inputs:", files);
    let review = "review (build scripts changed; check whether the change affects the images):";
    section(report, console, review, report.review.iter().map(|change| (change, String::new())));
    let comments = report.comments().into_iter().map(|change| (change, String::new()));
    section(report, console, "changed only in comments or blank lines, ignored:", comments);
}

fn section<'a>(report: &Report, console: &Console, title: &str, changes: impl Iterator<Item = (&'a Change, String)>) {
    for (number, (change, images)) in changes.enumerate() {
        if number == 0 {
            console.line(title);
        }
        let last = report.authors.get(&change.path).filter(|_| !report.uncommitted.contains(&change.path));
        let last = last.map(|it| format!(" — {} {} {}: {}", short(&it.commit), it.date, it.author, it.subject));
        console.line(format_args!("  {}{images}{}", report.describe(change), last.unwrap_or_default()));
    }
}
