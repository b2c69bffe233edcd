//! Which step is done, which is next, and which is later: a pure function of the picture.
//!
//! A step is done only if its effect was observed. At most one step is next: every step before it is done, every step after
//! it is later. Typing the command of the next step again and again leads to a picture without a next step.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Agreement, Command, Latest, Options, Picture, Row, Standing};
use crate::decide::Decision;
use crate::document::{self, Stage};
use crate::suggest;
use crate::text::{self, count, shell_word};

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    Doctor,
    Check,
    BuildAndFetch,
    Publish,
    Verify,
    Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its effect was observed, or the release does not need the step.
    Done,
    Next,
    Later,
}

#[derive(Debug)]
pub struct Step {
    pub name: Name,
    pub state: State,
    /// What was done, or what the command will do, and why.
    pub reason: String,
    pub images: Vec<String>,
    pub command: Command,
}

impl Name {
    pub fn word(self) -> &'static str {
        match self {
            Self::Doctor => "doctor",
            Self::Check => "check",
            Self::BuildAndFetch => "build-and-fetch",
            Self::Publish => "publish",
            Self::Verify => "verify",
            Self::Document => "document",
        }
    }
}

impl Step {
    fn done(name: Name, reason: impl Into<String>, command: Command) -> Self {
        Self { name, state: State::Done, reason: reason.into(), images: Vec::new(), command }
    }

    fn open(name: Name, reason: impl Into<String>, command: Command) -> Self {
        Self { state: State::Next, ..Self::done(name, reason, command) }
    }

    fn about(self, images: &[String]) -> Self {
        Self { images: images.to_vec(), ..self }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "verb": self.name,
            "state": self.state,
            "reason": self.reason,
            "images": self.images.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "command": self.command.executed().to_string(),
        })
    }

    /// The field `next` of every verb's JSON.
    pub fn next_to_json(&self) -> Value {
        json!({ "verb": self.name, "command": self.command.executed().to_string(), "why": self.reason })
    }
}

/// The step to take; `None` when all is done.
pub fn next(steps: &[Step]) -> Option<&Step> {
    steps.iter().find(|step| step.state == State::Next)
}

/// All six steps.
pub fn steps(picture: &Picture, options: &Options) -> Vec<Step> {
    let mut steps: Vec<Step> =
        [doctor, check, build, publish, verify, document].map(|step| step(picture, options)).into();
    let open = steps.iter().position(|step| step.state == State::Next).unwrap_or(steps.len());
    steps.iter_mut().skip(open + 1).for_each(|step| step.state = State::Later);
    steps
}

fn doctor(picture: &Picture, options: &Options) -> Step {
    let (why, command) = match (&picture.problem, &picture.latest) {
        (Some(problem), _) => (problem.why.clone(), problem.command.clone().map(Command::Other)),
        (None, Err(unasked)) => (format!("cannot read the state of `latest`: {unasked}"), None),
        (None, Ok(Latest { stuck: Some(why), .. })) => (why.clone(), None),
        (None, Ok(_)) => return Step::done(Name::Doctor, "all checks passed", options.doctor()),
    };
    Step::open(Name::Doctor, why, command.unwrap_or_else(|| options.doctor()))
}

fn check(picture: &Picture, options: &Options) -> Step {
    let Ok(report) = &picture.report else {
        return Step::open(Name::Check, "decide whether to rebuild the images", options.check());
    };
    // Once the set is live, `check` decides for the release after this one.
    let published = picture.document.iter().flatten().find(|plan| plan.record.stage == Stage::Published);
    let decided = match published {
        Some(plan) => match plan.record.rebuilt().collect::<Vec<_>>().as_slice() {
            [] => "the images were kept".to_owned(),
            rebuilt => format!("rebuild of {}", rebuilt.join(", ")),
        },
        None => {
            let rebuilt = report.images.iter().filter(|image| image.decision == Decision::Rebuild);
            let rebuilt: Vec<_> = rebuilt.map(|image| format!("rebuild {}: {}", image.name, image.reason)).collect();
            if rebuilt.is_empty() { "skip: No template changes detected".to_owned() } else { rebuilt.join("\n") }
        }
    };
    Step::done(Name::Check, decided, options.check())
}

fn build(picture: &Picture, options: &Options) -> Step {
    const NAME: Name = Name::BuildAndFetch;
    let goal = &picture.goal;
    let is_here = options.release.is_none() && (goal.release == picture.version_here || goal.commit.is_none());
    let source = goal.release.as_deref().filter(|_| !is_here);
    let command = |images: &[String]| options.build(source, &named(picture, images));
    if picture.report.is_err() {
        return Step::open(NAME, "build the images that `check` names", command(&[]));
    }
    if let Some(why) = idle(picture) {
        return Step::done(NAME, why, command(&[]));
    }
    if picture.latest.as_ref().is_ok_and(|latest| latest.recovery.is_some()) {
        return Step::done(NAME, "nothing is built before `latest` is recovered", command(&[]));
    }
    if !picture.uncommitted.is_empty() {
        let files: Vec<_> = picture.uncommitted.iter().map(|file| text::line(file)).collect();
        let why = format!("commit the changed inputs first, because builds use committed files: {}", files.join(", "));
        let commit = suggest::git("commit --message 'Change the images'");
        return Step::open(NAME, why, Command::Other(suggest::git(format_args!("add --all . && {commit}"))));
    }
    if !picture.unsummed.is_empty() {
        let why = format!("write the missing checksum files of {}", picture.unsummed.join(", "));
        return Step::open(NAME, why, options.checksum(&picture.unsummed)).about(&picture.unsummed);
    }
    if picture.to_build.is_empty() {
        let here = &picture.to_publish;
        let done = if here.is_empty() { "nothing to build".to_owned() } else { format!("here: {}", here.join(", ")) };
        return Step::done(NAME, done, command(&[]));
    }
    let why = |row: &Row| {
        let why = row.reason.as_deref().unwrap_or("not published yet");
        let here = row.unfit.as_ref().map(|why| format!("; the image here: {why}"));
        format!("{}: {why}{}", row.name, here.unwrap_or_default())
    };
    let rows = || picture.rows.iter().filter(|row| picture.to_build.contains(&row.name));
    let why: Vec<_> = rows().map(why).collect();
    let command = command(&picture.to_build);
    let command = if rows().any(|row| row.is_of_goal) { command.with("--force") } else { command };
    Step::open(NAME, why.join("\n"), command).about(&picture.to_build)
}

/// Why a release needs neither build nor publish, although `check` may say rebuild.
fn idle(picture: &Picture) -> Option<String> {
    let release = picture.goal.release.as_deref().unwrap_or("the set");
    match &picture.goal.standing {
        Standing::Ahead => None,
        Standing::TakenBack(taken) => {
            let back = suggest::command(format_args!("publish --source {taken}"));
            Some(format!("{taken} was taken back; {back} puts it back"))
        }
        Standing::Overtaken(newer) => Some(format!("`latest` stands for {newer}, which is newer than {release}")),
    }
}

fn publish(picture: &Picture, options: &Options) -> Step {
    let (release, label) = (picture.goal.release.as_deref(), picture.label());
    let version = release.or(label).unwrap_or("TAG");
    let carried = carried(picture);
    let open = |why: String, source: &str, carried: &[String]| {
        Step::open(Name::Publish, why, options.publish(source, &[], carried))
    };
    let done = |why: String| Step::done(Name::Publish, why, options.publish(version, &[], &carried));
    let Ok(latest) = &picture.latest else { return open("publish the new set".to_owned(), version, &carried) };
    if let Some(recovery) = &latest.recovery {
        let why = format!("recover `latest`: {recovery}");
        // A publish of the version that is live recovers, and leaves the live set as it is.
        if let Some(label) = label {
            return open(why, label, &kept(picture));
        }
        let begun = latest.incoming.iter().find_map(|draft| draft.source.as_deref());
        return open(why, release.or(begun).unwrap_or(version), &carried);
    }
    let idle = idle(picture);
    if idle.is_none() && !picture.to_publish.is_empty() {
        return publish_images(picture, latest, options);
    }
    let coming = [picture.to_build.as_slice(), &picture.unsummed].concat();
    if idle.is_none() && !coming.is_empty() {
        return open(new_set(picture, release.unwrap_or("the next version"), &coming), version, &[]);
    }
    if let Some(why) = repairs(picture, latest) {
        let command = options.publish(label.unwrap_or(version), &[], &kept(picture));
        let is_signature = latest.audit.differences.first().is_some_and(|said| latest.unsigned.contains(said));
        let command = if is_signature { command.with("--resend") } else { command };
        return Step::open(Name::Publish, format!("repair `latest`: {why}"), command);
    }
    let is_begun = |release: &str| latest.incoming.iter().any(|draft| draft.source.as_deref() == Some(release));
    match (release, label) {
        _ if idle.is_some() => done(idle.unwrap_or_default()),
        (Some(release), label) if label != Some(release) && is_begun(release) => {
            open(format!("continue the publish of {release}, which was interrupted"), release, &[])
        }
        (Some(release), Some(label)) if release == label => done(format!("`latest` is {label}")),
        (_, Some(label)) => done(format!("nothing to publish, `latest` stays {label}")),
        (_, None) => done("nothing to publish".to_owned()),
    }
}

/// The step while images here must be published.
fn publish_images(picture: &Picture, latest: &Latest, options: &Options) -> Step {
    let images = &picture.to_publish;
    let open = |why: String, command| Step::open(Name::Publish, why, command);
    if let Some(draft) = latest.incoming.iter().find(|draft| draft.source.is_none()) {
        let id = draft.release_id;
        let why = format!(
            "draft {id} has the name of this tool's drafts, but a person made it, so it blocks a publish: look at the draft, \
             then delete it"
        );
        return open(why, Command::Other(picture.repo.delete_release(id)));
    }
    let Some(release) = picture.goal.release.as_deref() else {
        let (tag, remote) = (&picture.goal.suggestion, shell_word(&picture.remote));
        let push = suggest::git(format_args!("push {remote} {tag}"));
        let why = format!("tag HEAD with the release's version, to publish {}", images.join(", "));
        return open(why, Command::Other(suggest::git(format_args!("tag {tag} && {push}"))));
    };
    let altered = picture.rows.iter().filter(|row| images.contains(&row.name)).find_map(|row| row.altered.as_ref());
    let why = match altered {
        Some(altered) => format!("restore what was changed by hand: {altered}"),
        None => new_set(picture, release, images),
    };
    open(why, options.publish(release, &named(picture, images), &[])).about(images)
}

fn new_set(picture: &Picture, version: &str, images: &[String]) -> String {
    let previous = picture.label().filter(|label| *label != version);
    let previous = previous.map(|label| format!("; {label} is kept for rollback")).unwrap_or_default();
    format!("make `latest` {version} with {}{previous}", images.join(", "))
}

/// What a publish of the live images would repair.
fn repairs(picture: &Picture, latest: &Latest) -> Option<String> {
    let live = latest.live.as_ref()?;
    let label = live.label.as_deref().unwrap_or_default();
    let is_release = picture.goal.release == live.label && picture.goal.commit.is_some() && live.commit.is_some();
    let moved = is_release && picture.goal.commit != live.commit;
    latest.audit.differences.first().cloned().or(moved.then(|| format!("{label} is at another commit now")))
}

/// Images here that no publish must take: a command without names takes all images that are here.
fn carried(picture: &Picture) -> Vec<String> {
    let other = |row: &&Row| {
        row.template && row.published.is_some() && row.is_news() && !picture.to_publish.contains(&row.name)
    };
    picture.rows.iter().filter(other).map(|row| row.name.clone()).collect()
}

/// Images that a repair takes from `latest`: the images folder does not have them.
fn kept(picture: &Picture) -> Vec<String> {
    let other = |row: &&Row| row.template && row.published.is_some() && row.agreement != Agreement::Same;
    picture.rows.iter().filter(other).map(|row| row.name.clone()).collect()
}

/// The names for a command; none when it is about all images.
fn named(picture: &Picture, images: &[String]) -> Vec<String> {
    let templates = picture.rows.iter().filter(|row| row.template).count();
    if images.len() == templates { Vec::new() } else { images.to_vec() }
}

fn verify(picture: &Picture, options: &Options) -> Step {
    let open = |why: &str| Step::open(Name::Verify, why, options.verify());
    let unneeded = idle(picture).is_some() || (picture.to_build.is_empty() && picture.to_publish.is_empty());
    match &picture.latest {
        Ok(Latest { audit, .. }) if !audit.differences.is_empty() => open(&audit.differences.join("\n")),
        Ok(Latest { live: Some(live), .. }) if unneeded => {
            let others = carried(picture);
            let others =
                if others.is_empty() { String::new() } else { format!("; other images here: {}", others.join(", ")) };
            let done = format!("`latest` has {}, as published{others}", count(live.images, "image"));
            Step::done(Name::Verify, done, options.verify())
        }
        _ => open("compare `latest` with its manifest, its tag and the images here"),
    }
}

fn document(picture: &Picture, options: &Options) -> Step {
    let release = picture.documented(options).unwrap_or("TAG");
    let command = options.document(release);
    let plan = match &picture.document {
        Some(Ok(plan)) => plan,
        Some(Err(error)) => return Step::open(Name::Document, error.to_string(), command),
        None => {
            let why = format!("write the decision into the notes of {release}");
            return Step::open(Name::Document, why, command);
        }
    };
    let (why, command) = match (&plan.release, plan.changes()) {
        (Some(_), false) => return Step::done(Name::Document, format!("written: {}", plan.line), command),
        (Some(_), true) => (format!("write into the notes of {release}: {}", plan.line), command),
        (None, true) => (format!("write the decision for {release} onto the issue"), command),
        (None, false) => (document::no_release(&picture.repo, release), Command::Other(picture.repo.draft(release))),
    };
    Step::open(Name::Document, why, command)
}
