//! `publish`: makes `latest` the new set. Look, stage, prove, tag, flip, read back.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use super::consent::Consent;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::decide::{self, Decision, History};
use crate::failure::{self, Problems};
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::parts::PartSize;
use crate::interrupt;
use crate::latest::choose::{self, Chosen, Wish};
use crate::latest::doors::Doors;
use crate::latest::files::{self, Signed, Signing};
use crate::latest::fits;
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::latest::plan::MOST_ASSETS;
use crate::latest::preview::Change;
use crate::latest::publish::{Ended, Person, Planned};
use crate::latest::set::{Set, SetImage};
use crate::latest::step::Step;
use crate::latest::{self, TAG, preflight, source};
use crate::packer::Repo;
use crate::signing::{Allowed, Signer};

/// Make `latest` the new set of images
///
/// The set is staged on a draft, or on the release that was replaced last where that holds more of it, proven by its
/// digests, and only then takes the place of what is live. A run that ended anywhere is started again with the same command.
#[derive(Args)]
pub struct Publish {
    /// Take these from the images folder; others are carried over [default: all that are there]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// The version tag that `latest` is to stand for
    #[arg(long, value_name = "TAG")]
    source: String,
    /// Take the images, those named or all, from the source's own release instead of the images folder
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
    /// Sign the set with this ssh key [default: git's user.signingkey, when it is an ssh key]
    #[arg(long, value_name = "KEY", conflicts_with = "no_sign")]
    sign: Option<String>,
    /// Publish without a signature
    #[arg(long)]
    no_sign: bool,
    /// Say in the notes that this repository's workflow attests what it built
    #[arg(long, value_name = "OWNER/NAME")]
    attested_by: Option<Repo>,
    /// Take images over from a release that is not signed, although allowed_signers names who signs
    #[arg(long)]
    allow_unsigned: bool,
    /// Refuse images that were not booted when they were built
    #[arg(long)]
    require_boot: bool,
    /// Drop a draft of another set that stands in the way, and what other sets left on the previous release
    #[arg(long)]
    discard_incoming: bool,
    /// Don't keep the replaced release as the way back
    #[arg(long)]
    no_keep_previous: bool,
    /// Replace a lock that somebody else left, whatever it says
    #[arg(long)]
    take_over: bool,
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
    pub common: common::All,
}

impl Publish {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let gh = Gh::new(common.repo()?, self.tries, console);
        common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
        let packer_dir = common.packer_dir();
        if !packer_dir.is_dir() {
            return Err(failure::missing(format!(
                "no packer directory {}; name it with --packer-dir",
                packer_dir.display()
            )));
        }
        let git = Git::at(&packer_dir);
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let doors = Doors::new(&outside);

        for warning in preflight::repository(&gh, outside.publisher())?.warnings {
            console.note(warning);
        }
        let wish = latest::publish::Publish {
            source: self.source.clone(),
            take_over: self.take_over,
            discard_incoming: self.discard_incoming,
            keep_previous: !self.no_keep_previous,
            jobs: self.jobs.into(),
        };
        let mut person = Asked { verb: &self, common, gh: &gh, git: &git, console };
        match wish.run(doors, &mut person)? {
            Ended::Unhealed(heal) => Ok(Outcome::done(json!({ "executed": false, "plan": [heal.to_json()] }))),
            Ended::Planned(planned) => {
                if planned.executed && !planned.steps.is_empty() {
                    console.line(format_args!("{} {TAG} is {} now", console.green("done:"), planned.set.source));
                }
                let executed = planned.executed && (!planned.steps.is_empty() || self.consent.in_advance());
                Ok(Outcome::done(to_json(&planned, executed)))
            }
        }
    }

    /// What `latest` is to become. All that is wrong is reported at once.
    fn want(&self, common: &Common, gh: &Gh, git: &Git, look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        let mut problems = Problems::default();
        let source = source::find(gh, git, &common.remote, &common.address(gh.repo()), &self.source, &mut problems);
        let mut history = History::open(&common.packer_dir())?;
        let wish = Wish {
            packer_dir: common.packer_dir(),
            images: common.images(),
            source: source.as_ref().map(|source| (self.source.clone(), source.commit.clone())),
            part_size: self.part_size,
            names: self.names.clone(),
            carry: self.carry.clone(),
            only: self.only.clone(),
            allowed: common.allowed_signers(),
            allow_unsigned: self.allow_unsigned,
        };
        let signing = problems
            .keep(self.signing(gh, git, look, wish.allowed.as_ref()))
            .map(|signing| Signing { attested_by: self.attested_by.as_ref().map(ToString::to_string), ..signing });
        let chosen = if self.copy {
            choose::from_source(gh, &wish, &self.source, look.live.as_ref())
        } else {
            choose::from_folder(gh, &wish, look.live.as_ref(), |absent| {
                differs(&mut history, gh, &common.remote, absent)
            })
        };
        let (Some(Chosen { images, mut warnings }), Some(source), Some(signing)) =
            (problems.keep(chosen), source, signing)
        else {
            problems.into_result()?;
            return Err(failure::failed("the set could not be put together"));
        };
        let set =
            Set { source: self.source.clone(), commit: source.commit, part_size: self.part_size, images, signing };
        let assets = set.asset_names().len();
        if assets > MOST_ASSETS {
            problems.push(failure::missing(format!(
                "the set needs {assets} assets, and GitHub takes 1000 on a release; make the parts larger with --part-size"
            )));
        }
        fits::judge(&mut history, &set, self.allow_stale, &mut warnings, &mut problems)?;
        let unbooted = set.images.iter().filter(|image| image.facts.boot.is_none()).map(|image| image.name.as_str());
        let unbooted = unbooted.collect::<Vec<_>>().join(", ");
        if !unbooted.is_empty() {
            let what = format!("nothing proves that these images boot: {unbooted}");
            if self.require_boot {
                problems.push(failure::missing(format!(
                    "{what}; build them again without BOOT_TEST=no (--force, since nothing else changed), or leave out --require-boot"
                )));
            } else {
                warnings.push(what);
            }
        }
        problems.into_result()?;
        Ok((set, warnings))
    }

    /// How the set is signed. The key is tried before a byte is sent.
    fn signing(&self, gh: &Gh, git: &Git, look: &Look, allowed: Option<&Allowed>) -> anyhow::Result<Signing> {
        if self.no_sign {
            return Ok(Signing::default());
        }
        let signer = Signer::choose(self.sign.as_deref(), git)?;
        match (&signer, allowed) {
            (None, Some(allowed)) => {
                return Err(failure::missing(format!(
                    "{} names who signs, and there is no key to sign with; name one with --sign KEY, or publish with --no-sign, \
                     which `verify` and readers then refuse",
                    allowed.path().display()
                )));
            }
            (None, None) => return Ok(Signing::default()),
            (Some(signer), allowed) => {
                let signature = signer.sign(b"trial")?;
                if let Some(allowed) = allowed {
                    allowed.who_signed(b"trial", &signature).map_err(|error| {
                        failure::missing(format!(
                            "the key {} can't sign for readers: {error:#}; add its public half there, or name another with --sign KEY",
                            signer.shown()
                        ))
                    })?;
                }
            }
        }
        let signed = look
            .live
            .as_ref()
            .map(|live| files::signed(allowed, &live.assets, live.manifest.as_ref(), |asset| gh.read_asset(asset)));
        // Without a list of who may, any signature stays.
        let live_is_signed = matches!(signed, Some(Ok(Signed::By(..) | Signed::Unknown)));
        Ok(Signing { signer, live_is_signed, attested_by: None })
    }
}

/// What the protocol asks of the verb.
struct Asked<'a> {
    verb: &'a Publish,
    common: &'a Common,
    gh: &'a Gh,
    git: &'a Git,
    console: &'a Console,
}

impl Person for Asked<'_> {
    fn want(&mut self, look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        self.verb.want(self.common, self.gh, self.git, look)
    }

    fn agrees(&mut self, question: &str) -> anyhow::Result<bool> {
        self.verb.consent.given(self.console, question)
    }
}

/// Why `check` doesn't say skip, for each of these images for which it doesn't.
fn differs(
    history: &mut History,
    gh: &Gh,
    remote: &str,
    images: &BTreeSet<String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let observed = decide::observe(history, Ok(gh.clone()), remote)?;
    let bases = decide::choose(&observed, images)?;
    let report = decide::decide(history, &bases, remote)?;
    let rebuild = report.images.into_iter().filter(|image| image.decision == Decision::Rebuild);
    Ok(rebuild.map(|image| (image.name, image.reason)).collect())
}

fn to_json(planned: &Planned, executed: bool) -> Value {
    let image = |image: &SetImage| {
        let line = planned.preview.images.iter().find(|line| line.name == image.name);
        let mut object =
            json!({ "name": image.name, "size": image.size, "sha256": image.sha256, "parts": image.pieces.len() });
        if let (Some(object), Some(Value::Object(change))) =
            (object.as_object_mut(), line.map(|line| line.change.to_json()))
        {
            object.extend(change);
        }
        object
    };
    let dropped = planned.preview.images.iter().filter(|line| line.change == Change::Dropped).map(|line| &line.name);
    json!({
        "executed": executed,
        "source": planned.set.source,
        "commit": planned.set.commit,
        "images": planned.set.images.iter().map(image).collect::<Vec<_>>(),
        "dropped": dropped.collect::<Vec<_>>(),
        "plan": planned.steps.iter().flat_map(Step::to_json).collect::<Vec<_>>(),
        "preview": planned.preview.to_json(planned.rate),
        "warnings": planned.warnings,
        "release": planned.release,
    })
}
