//! `publish`: makes the wanted set `latest`. The verb says which set that is and asks the person; `latest::publish` plans and acts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::consent::{self, Consent};
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _, Problems};
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::image::limits::{self, Verdict};
use crate::image::parts::PartSize;
use crate::image::record::Boot;
use crate::latest::choose::{self, Wish};
use crate::latest::client::Client;
use crate::latest::files::Signing;
use crate::latest::fits;
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::latest::plan::MOST_ASSETS;
use crate::latest::preview::Change;
use crate::latest::publish::{Person, Planned};
use crate::latest::recover::Ended;
use crate::latest::set::{Origin, Set, SetImage};
use crate::latest::{self, TAG, preflight, source};
use crate::phase::{self, Freshness};
use crate::repo::Repo;
use crate::signing::{Allowed, Signer};
use crate::sources::History;
use crate::suggest;
use crate::trust::Policy;

/// Publish a new set of images as `latest`
///
/// The set is uploaded to a draft and verified by its digests, and only then replaces the live set, which stays public as
/// `images-VERSION`. The same command continues an interrupted run.
#[derive(Args)]
pub struct Publish {
    /// Images to publish from the images folder; the others stay as published [default: all images in the folder]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Version tag to publish as `latest`
    #[arg(long, value_name = "TAG")]
    source: String,
    /// Take the images from the release of the source, not from the images folder
    #[arg(long)]
    copy: bool,
    /// Keep this image as it is on `latest`
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    carry: Vec<String>,
    /// Publish these images and no others
    #[arg(long, value_name = "IMAGE", num_args = 1.., conflicts_with_all = ["names", "carry"])]
    only: Vec<String>,
    /// Revision that images without a build record were built from
    #[arg(long, value_name = "REV")]
    built_from: Option<String>,
    /// Publish images although their inputs changed since they were built
    #[arg(long)]
    allow_stale: bool,
    /// Sign the set with this ssh key [default: git's user.signingkey, when it is an ssh key]
    #[arg(long, value_name = "KEY", conflicts_with = "no_sign")]
    sign: Option<String>,
    /// Publish without a signature
    #[arg(long)]
    no_sign: bool,
    /// Repository whose workflow built and attested the images, to be named in the notes
    #[arg(long, value_name = "OWNER/NAME")]
    attested_by: Option<Repo>,
    /// Take images from an unsigned release, although packer/allowed_signers names signers
    #[arg(long)]
    allow_unsigned: bool,
    /// Refuse images that were not boot-tested
    #[arg(long)]
    require_boot: bool,
    /// Publish images that are larger than their templates allow
    #[arg(long)]
    allow_large: bool,
    /// Publish a version older than the one that `latest` stands for
    #[arg(long)]
    back: bool,
    /// Publish the live images again as a new set, to replace the other files or the signature
    #[arg(long)]
    resend: bool,
    /// Replace the lock of another run
    #[arg(long)]
    take_over: bool,
    /// Maximum size of a part: bytes, or a number with KiB, MiB, GiB [default: 2 GiB - 1]
    #[arg(long, value_name = "SIZE", default_value_t, hide_default_value = true)]
    part_size: PartSize,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::All,
}

impl Publish {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let packer_dir = common.packer_dir();
        if !packer_dir.is_dir() {
            return Err(failure::missing(format!("there is no packer directory {}", packer_dir.display()))
                .fix("name the packer directory with --packer-dir"));
        }
        let policy = Policy { allowed: common.allowed_signers()?, allow_unsigned: self.allow_unsigned };
        let (gh, git) = consent::open(common, self.tries, console)?;
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        let client = Client::new(&outside);
        preflight::repository(&gh, outside.publisher())?;
        let wish = latest::publish::Publish {
            source: self.source.clone(),
            take_over: self.take_over,
            back: self.back,
            resend: self.resend,
            policy,
            lacking: git.common_dir().ok().and_then(|dir| Freshness::last(&dir, SystemTime::now())).map(Into::into),
        };
        let allowed = wish.policy.allowed.clone();
        let mut person = Asked { verb: &self, common, gh: &gh, git: &git, client, allowed, console };
        match wish.run(client, &mut person)? {
            Ended::Recovered { recovery, executed } => {
                Ok(Outcome::done(json!({ "executed": executed, "plan": [recovery.to_json()] })))
            }
            Ended::Planned(planned) => {
                if planned.executed && !planned.steps.is_empty() {
                    console.line(format_args!("{} {TAG} is {} now", console.green("done:"), planned.set.source));
                }
                let executed = planned.executed && (!planned.steps.is_empty() || self.consent.in_advance());
                Ok(Outcome::done(to_json(&planned, executed)))
            }
        }
    }

    /// Whether GitHub and readers take the set, and whether each image was boot-tested and fits its template's limit.
    fn judge(
        &self,
        packer_dir: &Path,
        set: &Set,
        warnings: &mut Vec<String>,
        problems: &mut Problems,
    ) -> anyhow::Result<()> {
        let assets = set.assets();
        if assets > MOST_ASSETS {
            problems.push(
                failure::missing(format!("the set needs {assets} assets, and GitHub allows 1000 on a release"))
                    .fix("make the parts larger with --part-size"),
            );
        }
        problems.keep(set.check_readable());
        for image in set.images.iter().filter(|image| matches!(image.origin, Origin::Local(_))) {
            match limits::judge(packer_dir, &image.name, image.size)? {
                Verdict::Fits => {}
                Verdict::Above(what) if !self.allow_large => {
                    let diff = suggest::command(format_args!("diff --local {}", image.name));
                    problems.push(
                        failure::missing(what).fix(format_args!("see what grew with {diff}, or add --allow-large")),
                    );
                }
                Verdict::Close(what) | Verdict::Above(what) => warnings.push(what),
            }
        }
        let untested = untested(&set.images);
        if !self.require_boot {
            warnings.extend(untested);
            return Ok(());
        }
        let fix =
            "build the images again with --force, without BOOT_TEST=no and BOOT_FIRMWARE, or leave out --require-boot";
        untested.into_iter().for_each(|what| problems.push(failure::missing(what).fix(fix)));
        Ok(())
    }

    /// `--built-from`: the revision and its commit.
    fn built_from(&self, history: &mut History, remote: &str) -> anyhow::Result<Option<(String, String)>> {
        let Some(revision) = &self.built_from else { return Ok(None) };
        match history.commit(revision)? {
            Some(commit) => Ok(Some((format!("{revision}, as given with --built-from"), commit))),
            None => Err(failure::missing(format!(
                "there is no revision `{}` in this clone for --built-from",
                revision.escape_debug()
            ))
            .fix(history.how_to_fetch(remote))),
        }
    }

    /// How the set is signed. The key is tried before a byte is sent.
    fn signing(&self, gh: &Gh, git: &Git, allowed: Option<&Allowed>) -> anyhow::Result<Signing> {
        let attested_by = self.attested_by.as_ref().map(ToString::to_string);
        let signing = |signer: Option<Signer>| Signing {
            asked: signer.is_some() && self.sign.is_some(),
            signer,
            attested_by: attested_by.clone(),
        };
        let required = |what: &str, fix: &str| {
            let names = allowed.map(|allowed| allowed.path().display().to_string()).unwrap_or_default();
            failure::missing(format!("{names} lists signers, so the set must be signed: {what}")).fix(fix)
        };
        if self.no_sign {
            return match allowed.filter(|_| !self.allow_unsigned) {
                None => Ok(signing(None)),
                Some(_) => Err(required("--no-sign was given", "add --allow-unsigned to publish an unsigned set")),
            };
        }
        let Some(signer) = Signer::choose(self.sign.as_deref(), git)? else {
            return match allowed {
                None => Ok(signing(None)),
                Some(_) => Err(required(
                    "no key to sign with is configured",
                    "name a key with --sign KEY; with --no-sign --allow-unsigned the set is published unsigned, which `verify` and \
                     readers refuse",
                )),
            };
        };
        let signature = match signer.sign(b"trial") {
            // Only git's settings, which are for commits, ask for a signature.
            Err(error) if self.sign.is_none() && allowed.is_none() => {
                gh.console().note(format_args!("the set is not signed: {error:#}"));
                return Ok(signing(None));
            }
            signature => signature?,
        };
        if let Some(allowed) = allowed {
            allowed.who_signed(b"trial", &signature).map_err(|error| {
                let (why, _) = failure::message_and_fix(&error);
                required(
                    &format!("the key {} is not accepted: {why}", signer.shown()),
                    "add its public half to that file, or name another key with --sign KEY",
                )
            })?;
        }
        Ok(signing(Some(signer)))
    }
}

/// What the protocol asks of the verb.
struct Asked<'a> {
    verb: &'a Publish,
    common: &'a Common,
    gh: &'a Gh,
    git: &'a Git,
    client: Client<'a>,
    /// Who may sign, as read at the start.
    allowed: Option<Allowed>,
    console: &'a Console,
}

impl Person for Asked<'_> {
    /// What `latest` is to become. All that is wrong is reported at once.
    fn want(&mut self, look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        let Self { verb, common, gh, git, client, allowed, .. } = self;
        let mut problems = Problems::default();
        let source = source::find(gh, git, &common.remote, &common.address(gh.repo()), &verb.source, &mut problems);
        let mut history = History::open(&common.packer_dir())?;
        let wish = Wish {
            packer_dir: common.packer_dir(),
            images: common.images(),
            source: source.as_ref().map(|source| (verb.source.clone(), source.commit.clone())),
            part_size: verb.part_size,
            names: verb.names.clone(),
            carry: verb.carry.clone(),
            only: verb.only.clone(),
            policy: Policy { allowed: allowed.clone(), allow_unsigned: verb.allow_unsigned },
            built_from: problems.keep(verb.built_from(&mut history, &common.remote)).flatten(),
        };
        let signing = problems.keep(verb.signing(gh, git, allowed.as_ref()));
        let chosen = if verb.copy {
            choose::from_source(gh, &wish, &verb.source, look.live.as_ref())
        } else {
            choose::from_folder(gh, &wish, look.live.as_ref(), |absent| {
                let commit = source.as_ref().map(|source| source.commit.clone());
                phase::differs(&common.remote, gh, *client, &mut history, look, (absent, commit))
            })
        };
        let (Some((images, mut warnings)), Some(source), Some(signing)) = (problems.keep(chosen), source, signing)
        else {
            problems.into_result()?;
            return Err(failure::failed("the set could not be assembled"));
        };
        let (version, part_size) = (verb.source.clone(), verb.part_size);
        let set = Set { source: version, commit: source.commit, part_size, images, signing };
        fits::judge(&mut history, &set, verb.allow_stale, &mut warnings, &mut problems)?;
        verb.judge(&common.packer_dir(), &set, &mut warnings, &mut problems)?;
        problems.into_result()?;
        Ok((set, warnings))
    }

    fn agrees(&mut self, question: &str) -> anyhow::Result<bool> {
        self.verb.consent.given(self.console, question)
    }
}

/// One line for each firmware, or for none at all, that images should have been booted with.
fn untested(images: &[SetImage]) -> Vec<String> {
    let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for image in images {
        let firmwares = image.facts.boot.as_ref().map_or_else(|| vec![""], Boot::unproven);
        firmwares.into_iter().for_each(|firmware| lacking.entry(firmware).or_default().push(&image.name));
    }
    let with =
        |firmware: &str| if firmware.is_empty() { String::new() } else { format!(" with {}", firmware.to_uppercase()) };
    lacking
        .into_iter()
        .map(|(firmware, names)| format!("not boot-tested{}: {}", with(firmware), names.join(", ")))
        .collect()
}

fn to_json(planned: &Planned, executed: bool) -> Value {
    let lines = &planned.preview.images;
    let image = |image: &SetImage| {
        let mut object =
            json!({ "name": image.name, "size": image.size, "sha256": image.sha256, "parts": image.parts().len() });
        let change = lines.iter().find(|line| line.name == image.name).map(|line| json!(line.change));
        if let (Some(object), Some(Value::Object(change))) = (object.as_object_mut(), change) {
            object.extend(change);
        }
        object
    };
    let dropped = lines.iter().filter(|line| line.change == Change::Dropped).map(|line| &line.name);
    json!({
        "executed": executed,
        "source": planned.set.source,
        "label": planned.label,
        "commit": planned.set.commit,
        "differ": planned.differ,
        "images": planned.set.images.iter().map(image).collect::<Vec<_>>(),
        "dropped": dropped.collect::<Vec<_>>(),
        "plan": planned.steps,
        "preview": planned.preview,
        "warnings": planned.warnings,
        "release_id": planned.release,
    })
}
