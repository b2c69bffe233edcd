//! A rollback: the set that the live set replaced becomes `latest` again, or the pinned set that is named. The set is proven
//! before anything changes, and the set that was live is kept in its turn. `verbs/rollback.rs` uses it.

use std::fmt;

use crate::failure::{self, Advice as _};
use crate::git::TagRef;
use crate::suggest;
use crate::trust::Policy;

use super::client::Client;
use super::face;
use super::lock::Claim;
use super::look::{Contents, Live, Look, Pinned};
use super::marker::{Label, Replaced};
use super::pin::{self, Unfit};
use super::plan::{self, Step};
use super::publish::{Person, still_pinned};
use super::recover::{self, Ended};
use super::session;
use super::switch::{self, Change};
use super::{TAG, notes};

/// What the person asked for.
pub struct Rollback {
    /// A pinned set by its tag or its version, in place of the set that the live one replaced.
    pub to: Option<String>,
    /// Replace the lock of somebody else.
    pub take_over: bool,
    pub policy: Policy,
}

/// The verb, as the lock names it.
pub const ROLLBACK: &str = "rollback";

/// What a rollback does.
#[derive(Debug)]
pub struct Plan {
    pub live: Live,
    pub set: Contents,
    change: Change,
    pub steps: Vec<Step>,
    /// The plan was carried out.
    pub executed: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((now, back), kept) = (self.names(), &self.set.release.tag_name);
        write!(f, "Plan: {TAG} goes back from {now} to {back}, which is kept as {kept}")?;
        (1..).zip(&self.steps).try_for_each(|(number, step)| write!(f, "\n {number}. {step}"))
    }
}

impl Plan {
    /// The set that is live and the set that comes back, by their versions.
    pub fn names(&self) -> (String, String) {
        const UNKNOWN: &str = "a set of unknown version";
        let (now, back) = (self.live.source().unwrap_or(UNKNOWN), self.source());
        notes::told_apart((now, self.live.digest), (back.as_deref().unwrap_or(UNKNOWN), self.set.digest))
    }

    /// The version that comes back.
    pub fn source(&self) -> Option<String> {
        face::source(&self.change.face)
    }

    /// Whether a plan that is made now is the plan that was agreed to: the same sets and tags.
    fn covers(&self, now: &Self) -> bool {
        let digests = |plan: &Self| (plan.live.digest, plan.set.digest);
        self.steps == now.steps && digests(self) == digests(now)
    }
}

impl Rollback {
    fn claim(&self) -> Claim {
        Claim { verb: ROLLBACK, source: self.to.clone(), take_over: self.take_over }
    }

    /// `None`: the set that was named is live.
    pub fn run(&self, client: Client<'_>, person: &mut dyn Person) -> anyhow::Result<Ended<Option<Plan>>> {
        let run = |look: &Look, person: &mut dyn Person| self.run_from(client, look, person);
        recover::first(client, &self.claim(), &self.policy, person, run)
    }

    /// Rolls back where nothing is to be recovered.
    fn run_from(&self, client: Client<'_>, look: &Look, person: &mut dyn Person) -> anyhow::Result<Option<Plan>> {
        let Some(agreed) = self.plan(client, look)? else {
            let name = self.to.as_deref().unwrap_or_default();
            client.line(format_args!("done: {TAG} is the set of {name} already; nothing to do"));
            return Ok(None);
        };
        client.line(&agreed);
        if !person.agrees("Roll back?")? {
            return Ok(Some(agreed));
        }
        session::under_lock(client, &self.claim(), &self.policy, |held| {
            let look = session::look(client)?;
            let plan = self.plan(client, &look).map_err(failure::after_changes)?;
            let plan = plan.filter(|plan| agreed.covers(plan)).ok_or_else(session::differs)?;
            switch::change(held, &plan.change, || still_pinned(held, &plan.set)).map_err(failure::after_changes)?;
            Ok(Some(Plan { executed: true, ..plan }))
        })
    }

    /// `None`: the set that was named is the live one.
    fn plan(&self, client: Client<'_>, look: &Look) -> anyhow::Result<Option<Plan>> {
        let Some(live) = look.live.clone() else {
            let why = format!("no release {TAG} is published in {}, so there is nothing to roll back", client.repo());
            return Err(failure::missing(why).fix(format_args!("see {}", suggest::command("status"))));
        };
        let Some(pinned) = self.wanted(client, look, &live)? else { return Ok(None) };
        let set = prove(client, pinned)?;
        pin::is_signed(client, &self.policy, &set)?;
        let label = set.label();
        let before = Replaced::of(set.release.notes()).and_then(|stamp| stamp.tag());
        let target = Label::tag(label.as_ref(), before);
        let target = target.ok_or_else(|| {
            publish_again(failure::missing(format!(
                "the set {} had no tag, so there is no commit for {TAG} to go back to",
                pinned.describe()
            )))
        })?;
        let face = face::of(client.repo(), &set, label.as_ref());
        let source = face::source(&face);
        pin::may_be_tagged(client, look, source.as_deref(), &target)?;
        let object = client.outside().bring(&target)?;
        face::notes_fit(&live.release)?;
        let steps = plan::switch(look, &source.unwrap_or_default(), &object, Step::restore(&set.release));
        let change = Change::of(look, set.release.id, set.digest, face, TagRef { object, ..target });
        Ok(Some(Plan { live, set, change, steps, executed: false }))
    }

    /// The set that becomes live; `None`: the set that was named is live already.
    fn wanted<'l>(&self, client: Client<'_>, look: &'l Look, live: &Live) -> anyhow::Result<Option<&'l Pinned>> {
        if let Some(name) = &self.to {
            return match pin::find(client, look, name) {
                Err(_) if pin::was_named(live, name) => Ok(None),
                found => found.map(Some),
            };
        }
        let previous = look.way_back(live).map(|(pinned, _)| pinned);
        previous.map(Some).ok_or_else(|| {
            let why = format!("no pinned set in {} is the set that {TAG} replaced", client.repo());
            let publish = suggest::command("publish --source TAG");
            failure::missing(why)
                .fix(format_args!("name a set with --to, or publish the older version again: {publish}"))
        })
    }
}

fn publish_again(error: anyhow::Error) -> anyhow::Error {
    error.fix(format_args!("publish the older version again: {}", suggest::command("publish --source TAG")))
}

/// The old set must be complete before it takes the place of a set that is.
fn prove(client: Client<'_>, pinned: &Pinned) -> anyhow::Result<Contents> {
    let why = match pinned.prove(client)? {
        Ok(whole) if whole.manifest.is_some() || pinned.marker.is_some() => return Ok(whole),
        Ok(_) => "has no manifest, so its images are unknown".to_owned(),
        Err(Unfit::Gone) => "was deleted".to_owned(),
        Err(Unfit::Another) => "holds another set than when it was replaced".to_owned(),
        Err(Unfit::Broken(differences)) => format!("is not whole:\n  - {}", differences.join("\n  - ")),
    };
    Err(publish_again(failure::digest(format!("nothing was changed: the set {} {why}", pinned.describe()))))
}
