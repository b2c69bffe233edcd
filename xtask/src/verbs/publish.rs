//! `publish`: makes `latest` the new set. Look, stage, prove, tag, flip, read back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::consent::Consent;
use super::{Common, Outcome};
use crate::console::{Console, size};
use crate::decide::{self, Decision, Fit, History};
use crate::failure::{self, Kind, Problems};
use crate::gh::{Gh, Tries};
use crate::git::{Git, TagRef};
use crate::image::parts::PartSize;
use crate::interrupt;
use crate::latest::changes;
use crate::latest::choose::{self, Chosen, Wish};
use crate::latest::fill;
use crate::latest::heal;
use crate::latest::look::{self, Look};
use crate::latest::plan::{self, Draft, Step, Want};
use crate::latest::relabel;
use crate::latest::set::{Set, SetImage};
use crate::latest::stage::{self, Stage};
use crate::latest::switch::{self, Change, Doors};
use crate::latest::{self, TAG, notes, preflight, source};
use crate::manifest::Manifest;

/// Make `latest` the new set of images
///
/// The set is staged on a draft, proven by its digests, and only then takes the place of what is live. A run that ended
/// anywhere is started again with the same command.
#[derive(Args)]
pub struct Publish {
    /// Take these from the images folder; others are carried over [default: all that are there]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// The version tag that `latest` is to stand for
    #[arg(long, value_name = "TAG")]
    source: String,
    /// Take the images from the source's own release instead of the images folder
    #[arg(long)]
    copy: bool,
    /// Keep the published image of this name
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    carry: Vec<String>,
    /// Publish these images and no others
    #[arg(long, value_name = "IMAGE", num_args = 1.., conflicts_with_all = ["names", "carry"])]
    only: Vec<String>,
    /// Publish images whose inputs differ between their build and the source
    #[arg(long)]
    allow_stale: bool,
    /// Refuse images that were not booted when they were built
    #[arg(long)]
    require_boot: bool,
    /// Drop a draft of another set that stands in the way
    #[arg(long)]
    discard_incoming: bool,
    /// Don't keep the replaced release as the way back
    #[arg(long)]
    no_keep_previous: bool,
    /// Bytes a part may have, or a number with KiB, MiB, GiB [default: 2 GiB - 1]
    #[arg(long, value_name = "SIZE", default_value_t, hide_default_value = true)]
    part_size: PartSize,
    /// Upload so many images side by side
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=16))]
    jobs: u16,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: Common,
}

/// GitHub takes 1000 assets on a release; one more than the set's is needed while a manifest is replaced.
const MOST_ASSETS: usize = 999;

impl Publish {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let gh = Gh::new(common.repo()?, self.tries, console);
        let packer_dir = common.packer_dir();
        if !packer_dir.is_dir() {
            return Err(failure::missing(format!(
                "no packer directory {}; name it with --packer-dir",
                packer_dir.display()
            )));
        }
        let git = Git::at(&packer_dir);
        let doors = Doors { gh: &gh, git: &git, remote: &common.remote, console };

        for warning in preflight::repository(&gh)?.warnings {
            console.note(warning);
        }
        let mut look = look::look(&gh, &git, &common.remote)?;
        let mut healed = false;
        if let Some(heal) = heal::plan(&gh, &look)? {
            source::same_repository(&gh, &common.remote, &look)?;
            console.line(&heal);
            if !self.consent.given(console, "Do that, then go on?")? {
                return Ok(Outcome::done(json!({ "executed": false, "plan": [heal.to_string()] })));
            }
            heal::heal(doors, &heal, look.tag.as_ref()).map_err(failure::after_changes)?;
            look = look::look(&gh, &git, &common.remote).map_err(failure::after_changes)?;
            healed = true;
        }

        let changed = |error| if healed { failure::after_changes(error) } else { error };
        let (set, warnings) = self.want(common, &gh, &git, &look).map_err(changed)?;
        let (discard, drafts) = self.drafts(&gh, &look, &set).map_err(changed)?;
        let steps =
            plan::plan(&Want { set: &set, discard, drafts, keep_previous: !self.no_keep_previous }, &look);
        self.show(console, &gh, &set, &steps, &warnings);
        let report = Report { set: &set, steps: &steps, warnings: &warnings, release: look.live.as_ref().map(|live| live.release.id) };
        if steps.is_empty() {
            return Ok(Outcome::done(report.to_json(self.consent.in_advance())));
        }
        if !healed && !self.consent.given(console, &format!("Publish {} as {TAG}?", set.source))? {
            return Ok(Outcome::done(report.to_json(false)));
        }
        let release = self.apply(doors, &set, &look, &steps).map_err(failure::after_changes)?;
        console.line(format_args!("{} {TAG} is {} now", console.green("done:"), set.source));
        Ok(Outcome::done(Report { release, ..report }.to_json(true)))
    }

    /// What `latest` is to become. All that is wrong is reported at once.
    fn want(&self, common: &Common, gh: &Gh, git: &Git, look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        let mut problems = Problems::default();
        let source = source::find(gh, git, &common.remote, &self.source, look, &mut problems);
        let mut history = History::open(&common.packer_dir())?;
        let wish = Wish {
            packer_dir: common.packer_dir(),
            images: common.images(),
            part_size: self.part_size,
            names: self.names.clone(),
            carry: self.carry.clone(),
            only: self.only.clone(),
        };
        let chosen = if self.copy {
            choose::from_source(gh, &wish, &self.source)
        } else {
            choose::from_folder(gh, &wish, look.live.as_ref(), |absent| {
                unchanged(&mut history, gh, &common.remote, absent)
            })
        };
        let Some((Chosen { images, mut warnings }, source)) = problems.keep(chosen).zip(source) else {
            problems.into_result()?;
            return Err(failure::failed("the set could not be put together"));
        };
        let set = Set { source: self.source.clone(), commit: source.commit, part_size: self.part_size, images };
        let assets = set.asset_names().len();
        if assets > MOST_ASSETS {
            problems.push(failure::missing(format!(
                "the set needs {assets} assets, and GitHub takes 1000 on a release; make the parts larger with --part-size"
            )));
        }
        for image in &set.images {
            match fits(&mut history, image, &set.commit)? {
                Fit::Same => {}
                Fit::Unknown(why) => {
                    warnings.push(format!("whether {} fits {} is unknown: {why}", image.name, self.source));
                }
                Fit::Differs(files) => {
                    let (name, source, files) = (&image.name, &self.source, files.join(", "));
                    let what = format!("{name} does not fit {source}: changed since it was built: {files}");
                    if self.allow_stale {
                        warnings.push(what);
                    } else {
                        problems.push(failure::failed(format!(
                            "{what}; build it again, or publish it as it is with --allow-stale"
                        )));
                    }
                }
            }
        }
        let unbooted = set.images.iter().filter(|image| image.facts.boot.is_none()).map(|image| image.name.as_str());
        let unbooted = unbooted.collect::<Vec<_>>().join(", ");
        if !unbooted.is_empty() {
            let what = format!("nothing proves that these images boot: {unbooted}");
            if self.require_boot {
                problems.push(failure::missing(format!(
                    "{what}; build them without BOOT_TEST=no, or leave out --require-boot"
                )));
            } else {
                warnings.push(what);
            }
        }
        problems.into_result()?;
        Ok((set, warnings))
    }

    /// The drafts of other sets that are to be dropped, and those of this set, the fullest first.
    fn drafts(&self, gh: &Gh, look: &Look, set: &Set) -> anyhow::Result<(Strangers, Vec<Draft>)> {
        let identity = set.identity();
        let live = look.live.as_ref().and_then(|live| live.manifest.as_ref());
        let (mut discard, mut drafts) = (Vec::new(), Vec::new());
        for draft in &look.incoming {
            let id = draft.release.id;
            match &draft.marker {
                Some(marker) if marker.set == identity => drafts.push(Draft { id, assets: gh.assets(id)? }),
                Some(marker) if live.is_some_and(|live| is_spent(&marker.set, live)) => {
                    discard.push((id, format!("{}, which is live", marker.set.describe())));
                }
                marker => {
                    let what = marker.as_ref().map_or_else(|| "of unknown origin".to_owned(), |marker| marker.set.describe());
                    if !self.discard_incoming {
                        return Err(failure::failed(format!(
                            "a draft {} of another set is there ({what}, release {id}): another publish is under way, or ended early. \
                             Publish that set to its end, or drop the draft with --discard-incoming",
                            latest::INCOMING
                        )));
                    }
                    discard.push((id, what));
                }
            }
        }
        let uploaded = |draft: &Draft| draft.assets.iter().filter(|asset| asset.is_uploaded()).map(|asset| asset.size).sum::<u64>();
        drafts.sort_by_key(|draft| std::cmp::Reverse(uploaded(draft)));
        Ok((discard, drafts))
    }

    fn show(&self, console: &Console, gh: &Gh, set: &Set, steps: &[Step], warnings: &[String]) {
        for warning in warnings {
            console.warn(warning);
        }
        if steps.is_empty() {
            console.line(format_args!("{} {TAG} of {} is {} already; nothing to do", console.green("done:"), gh.repo(), set.source));
            return;
        }
        console.line(console.bold(&format!(
            "Plan: {TAG} of {} becomes {} ({} images, {})",
            gh.repo(),
            set.source,
            set.images.len(),
            size(set.size())
        )));
        for (number, step) in (1..).zip(steps) {
            console.line(format_args!("{number:2}. {step}"));
        }
    }

    /// Does the steps in order. The release that is live afterwards.
    fn apply(&self, doors: Doors<'_>, set: &Set, look: &Look, steps: &[Step]) -> anyhow::Result<Option<u64>> {
        let Doors { gh, console, .. } = doors;
        let mut run = Run { stage: None, manifest: None };
        let target = TagRef { object: set.commit.clone(), commit: set.commit.clone() };
        let change = |draft, notes| Change {
            old: look.live.as_ref().map(|live| live.release.clone()),
            tag: look.tag.clone(),
            draft,
            notes,
            target: target.clone(),
        };
        let live = look.live.as_ref();
        for step in steps {
            match step {
                Step::Discard { draft, .. } => stage::drop_draft(gh, *draft)?,
                // The job is done without it, and the next publish drops it.
                Step::Drop { release, .. } => {
                    if let Err(error) = stage::drop_draft(gh, *release) {
                        console.warn(format_args!("the release {release} could not be dropped: {error:#}"));
                    }
                }
                Step::Create => run.stage = Some(Stage::create(gh, console, set)?),
                Step::TakeOver { draft } => run.stage = Some(Stage::take_over(gh, console, set, *draft)?),
                Step::Fill(_) => {
                    let stage = run.stage()?;
                    let filled = fill::fill(stage, set, self.jobs.into());
                    if let Err(error) = &filled {
                        // A draft with bytes that no checksum vouches for is of no use to anybody.
                        if failure::kind(error) == Kind::Digest {
                            let _ = stage.discard();
                        }
                    }
                    run.manifest = Some(filled?);
                }
                Step::Relabel { manifest, .. } => {
                    if let Some(live) = live {
                        relabel::relabel(doors, live, &change(live.release.id, notes::text(manifest) + changes::kept(live.release.notes())), manifest)?;
                    }
                }
                Step::Tag(_) => {
                    if let Some(live) = live {
                        let change = change(live.release.id, live.release.notes().to_owned());
                        switch::move_tag_only(doors, &change)?;
                        switch::follow(doors, &change)?;
                    }
                }
                Step::Switch { .. } => {
                    let stage = run.stage()?;
                    let changed = changes::section(gh, console, live, set);
                    let notes = run.manifest.as_ref().map(notes::text).unwrap_or_default() + &changed;
                    switch::change(doors, &change(stage.release.id, notes), || stage.assert_own())?;
                }
            }
        }
        Ok(run.stage.map(|stage| stage.release.id).or_else(|| live.map(|live| live.release.id)))
    }
}

/// Drafts of other sets, with what they are.
type Strangers = Vec<(u64, String)>;

/// What a run has made so far.
struct Run<'a> {
    stage: Option<Stage<'a>>,
    manifest: Option<Manifest>,
}

impl<'a> Run<'a> {
    fn stage(&self) -> anyhow::Result<&Stage<'a>> {
        // A plan makes or takes over the draft before it uses it.
        self.stage.as_ref().ok_or_else(|| failure::failed("the plan fills no draft"))
    }
}

/// Whether a draft's set is what is live already.
fn is_spent(set: &latest::marker::Identity, live: &Manifest) -> bool {
    let images: BTreeMap<&str, _> = live.images.iter().map(|image| (image.name.as_str(), image.sha256)).collect();
    set.source == live.source
        && set.images.len() == images.len()
        && set.images.iter().all(|image| images.get(image.name.as_str()) == Some(&image.sha256))
}

/// Whether an image's inputs are at the source what they were when it was built.
fn fits(history: &mut History, image: &SetImage, source: &str) -> anyhow::Result<Fit> {
    match &image.facts.built_from {
        None => Ok(Fit::Unknown("no build record tells what it was built from".to_owned())),
        Some(built_from) if built_from.dirty => {
            Ok(Fit::Unknown(format!("it was built from uncommitted changes on top of {}", built_from.commit)))
        }
        Some(built_from) => decide::fits(history, &image.name, &built_from.commit, source),
    }
}

/// Which of these images `check` says skip for.
fn unchanged(
    history: &mut History,
    gh: &Gh,
    remote: &str,
    images: &BTreeSet<String>,
) -> anyhow::Result<BTreeSet<String>> {
    let observed = decide::observe(history, Ok(gh.clone()), remote)?;
    let bases = decide::choose(&observed, images);
    let report = decide::decide(history, &bases, remote)?;
    let skipped = report.images.into_iter().filter(|image| image.decision == Decision::Skip);
    Ok(skipped.map(|image| image.name).collect())
}

struct Report<'a> {
    set: &'a Set,
    steps: &'a [Step],
    warnings: &'a [String],
    release: Option<u64>,
}

impl Report<'_> {
    fn to_json(&self, executed: bool) -> Value {
        let image = |image: &SetImage| {
            json!({ "name": image.name, "size": image.size, "sha256": image.sha256, "parts": image.pieces.len() })
        };
        json!({
            "executed": executed,
            "source": self.set.source,
            "commit": self.set.commit,
            "images": self.set.images.iter().map(image).collect::<Vec<_>>(),
            "plan": self.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "warnings": self.warnings,
            "release": self.release,
        })
    }
}
