//! Recovery: restores `latest` after a run that died, perhaps on a machine that is gone. What is on GitHub is enough; no local
//! image is needed.
//!
//! Nothing is live: the newest marker of a pinned set names the release that was to become live, else the pinned set itself
//! returns. Something is live: its tag returns to the commit of its label. The tag always moves first. Publish and rollback begin
//! with it, and a run that fails under the lock ends with it.

use serde_json::{Value, json};

use crate::failure::{self, Advice as _};
use crate::gh::NewRelease;
use crate::git::{TagRef, short};
use crate::trust::Policy;

use super::client::Client;
use super::exchange;
use super::face;
use super::held::Held;
use super::lock::{self, Claim};
use super::look::{self, Contents, Live, Look};
use super::marker::{self, Label, Replaced};
use super::pin::{self, Unfit};
use super::publish::Person;
use super::rollback::ROLLBACK;
use super::session;
use super::switch::{self, Change};
use super::{TAG, notes};

const WAS_LIVE: &str = " again, which was live before";

/// One thing to recover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing is live: this release becomes live. `why` is a sentence.
    Publish { release: u64, face: Box<NewRelease>, tag: Option<TagRef>, why: String },
    /// The tag is not where the live set belongs.
    Tag { from: Option<String>, to: TagRef },
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish { why, .. } => f.write_str(why),
            Self::Tag { to, .. } => write!(
                f,
                "the tag {TAG} is not at the commit of the live set: a run ended during the switch; first move the tag back to {}",
                short(&to.commit)
            ),
        }
    }
}

impl Recovery {
    /// The release was live before.
    fn again(release: u64, face: NewRelease, tag: Option<TagRef>, which: &str) -> Self {
        let why =
            format!("{TAG} has no release: a run ended during the switch; first publish the release {release}{which}");
        Self::Publish { release, face: Box::new(face), tag, why }
    }

    /// The release was about to become live.
    fn chosen(client: Client<'_>, whole: &Contents, label: Option<&Label>, tag: Option<TagRef>) -> Self {
        let complete = |label: &Label| format!(", which has the complete set of {}", label.source);
        let which = label.map_or_else(|| WAS_LIVE.to_owned(), complete);
        Self::again(whole.release.id, face::of(client.repo(), whole, label), tag, &which)
    }

    /// As a step of a plan: `kind` is `publish` or `tag`.
    pub fn to_json(&self) -> Value {
        let mut step = match self {
            Self::Publish { release, tag, .. } => {
                json!({ "kind": "publish", "release_id": release, "tag": tag.as_ref().map(|tag| &tag.commit) })
            }
            Self::Tag { from, to } => json!({ "kind": "tag", "from": from, "to": to.object }),
        };
        step["do"] = "recover".into();
        step["said"] = self.to_string().into();
        step
    }
}

/// What there is to recover; `None` when the last run ended well.
pub fn plan(client: Client<'_>, look: &Look) -> anyhow::Result<Option<Recovery>> {
    if let Some(live) = &look.live {
        return beside_live(client, look, live);
    }
    let Some((newest, stamp)) = look.stamped().next() else { return never_replaced(client, look) };
    // A draft named `latest` wins if the newest marker names it, or if the release that the marker names is gone.
    match pin::prove(client, stamp.by, Some(stamp.by_manifest))? {
        Ok(whole) if look.fallen.iter().any(|fallen| fallen.id == stamp.by) => return lost_its_tag(client, &whole),
        Ok(whole) => {
            let own = Replaced::of(whole.release.notes());
            let label = stamp.by_label.clone().or_else(|| whole.label());
            // A set made by hand is taken as its own marker has it.
            if label.is_some() || own.is_some() {
                let tag = Label::tag(label.as_ref(), own.as_ref().and_then(Replaced::tag));
                return Ok(Some(Recovery::chosen(client, &whole, label.as_ref(), tag)));
            }
        }
        Err(Unfit::Gone) => {
            if let [fallen] = look.fallen.as_slice()
                && let Ok(whole) = pin::prove(client, fallen.id, None)?
            {
                return lost_its_tag(client, &whole);
            }
        }
        Err(_) => {}
    }
    if newest.prove(client)?.is_err() {
        client.warn(format_args!("the set {}, which was live before, is no longer complete", newest.describe()));
    }
    let face = face::before(&newest.release);
    Ok(Some(Recovery::again(newest.release.id, face, stamp.tag(), WAS_LIVE)))
}

/// Moves the tag of the live release back to where it belongs.
fn beside_live(client: Client<'_>, look: &Look, live: &Live) -> anyhow::Result<Option<Recovery>> {
    if let (Some(label), Some(tag)) = (&live.label, &look.refs.tag)
        && label.commit == tag.commit
    {
        return Ok(None);
    }
    // The run that moved the tag noted where it was: an annotated tag is an object of its own, and a set made by hand has no label.
    let object = look.refs.tag.as_ref().map(|tag| tag.object.as_str());
    let intent = lock::intent(client, look.refs.lock.as_deref())?;
    let moved = intent.filter(|it| it.hide == Some(live.release.id) && Some(it.tag_to.as_str()) == object);
    let from = moved.and_then(|intent| intent.tag_from);
    let Some(to) = Label::tag(live.label.as_ref(), from) else { return Ok(None) };
    if !look.is_current(client)? {
        return Ok(None);
    }
    let source = live.label.as_ref().map(|label| label.source.as_str());
    let may = pin::may_be_tagged(client, look, source, &to).and_then(|()| client.outside().bring(&to).map(drop));
    if let Err(why) = may {
        client.warn(format_args!("the tag {TAG} stays where it is: {why:#}"));
        return Ok(None);
    }
    Ok(Some(Recovery::Tag { from: look.refs.tag.as_ref().map(|tag| tag.object.clone()), to }))
}

/// No marker: nothing was ever replaced. A complete draft was about to become live if the tag is at its commit.
fn never_replaced(client: Client<'_>, look: &Look) -> anyhow::Result<Option<Recovery>> {
    if let Some(fallen) = look.fallen.first() {
        return match pin::prove(client, fallen.id, None)? {
            Ok(whole) => lost_its_tag(client, &whole),
            // Somebody began this draft, and it was never live.
            Err(_) => Ok(None),
        };
    }
    let (Some(tag), true) = (&look.refs.tag, look.pinned.is_empty()) else { return Ok(None) };
    for draft in &look.incoming {
        if let Ok(whole) = pin::prove(client, draft.release.id, None)?
            && let Some(label) = whole.label().filter(|label| label.commit == tag.commit)
        {
            return Ok(Some(Recovery::chosen(client, &whole, Some(&label), Some(tag.clone()))));
        }
    }
    Ok(None)
}

/// A draft named `latest`, as a release becomes when somebody deletes its tag.
fn lost_its_tag(client: Client<'_>, whole: &Contents) -> anyhow::Result<Option<Recovery>> {
    let fallen = &whole.release;
    let mut label = whole.label();
    if let (None, Some(source)) = (&label, notes::points_to(fallen.notes())) {
        label = client.commit_of_tag(source)?.map(|commit| Label { source: source.to_owned(), commit });
    }
    let Some(label) = label else {
        let id = fallen.id;
        let publish = exchange::by_hand(client.repo(), id, &face::kept(fallen, None));
        return Err(failure::missing(format!(
            "release {id} is a draft named {TAG} (GitHub makes a release a draft when its tag is deleted), and its notes name no \
             version that has a tag"
        ))
        .fix(format_args!(
            "if the release was live, push the tag again (`git push URL COMMIT:refs/tags/{TAG}`) and publish the release \
             (`{publish}`); otherwise delete the draft"
        )));
    };
    let tag = TagRef::lightweight(&label.commit);
    let why = format!(
        "somebody deleted the tag {TAG}, so its release {} became a draft; first restore both; nothing is uploaded",
        fallen.id
    );
    let face = Box::new(face::kept(fallen, Some(&label)));
    Ok(Some(Recovery::Publish { release: fallen.id, face, tag: Some(tag), why }))
}

/// Carries a recovery out.
pub fn recover(held: Held<'_>, found: &Recovery, look: &Look, policy: &Policy) -> anyhow::Result<()> {
    let (release, face, tag) = match found {
        Recovery::Tag { to, .. } => {
            put_tag(held, look, to)?;
            held.line(format_args!("tag {TAG} is back at {}", to.object));
            return Ok(());
        }
        Recovery::Publish { release, face, tag, .. } => (*release, (**face).clone(), tag),
    };
    // A set made by hand is taken as it is, unless somebody is named who signs.
    if let Ok(whole) = pin::prove(held.client(), release, None)? {
        pin::is_signed(held.client(), policy, &whole)?;
    } else if policy.allowed.is_some() && !policy.allow_unsigned {
        return Err(failure::digest(format!("release {release} is not complete, so its signature proves nothing")));
    }
    let target = tag.clone().or_else(|| look.refs.tag.clone()).unwrap_or_default();
    if tag.is_some() && look.refs.tag.as_ref().is_none_or(|now| now.commit != target.commit) {
        let source = marker::read::<Label>(&face.body).map(|label| label.source);
        pin::may_be_tagged(held.client(), look, source.as_deref(), &target)?;
        put_tag(held, look, &target)?;
    }
    let change = Change { old: None, tag: Some(target.clone()), new: release, face, target };
    exchange::exchange(held, &change, false)?;
    held.line(format_args!("{TAG} is live again: release {release}"));
    Ok(())
}

fn put_tag(held: Held<'_>, look: &Look, target: &TagRef) -> anyhow::Result<()> {
    let object = held.outside().bring(target)?;
    let target = TagRef { object, commit: target.commit.clone() };
    switch::move_tag_only(held, look.refs.tag.as_ref(), &target)?;
    switch::set_local_tag(held, &target.object);
    Ok(())
}

/// How a verb ended.
pub enum Ended<P> {
    /// A run ended during a switch: recovering is all that is done.
    Recovered {
        recovery: Recovery,
        executed: bool,
    },
    Planned(P),
}

/// Recovers in a session of its own, if the person agrees; the verb then plans from what is there afterwards. A rollback ends where
/// nothing was live: the next run decides what to roll back to.
pub fn first<P>(
    client: Client<'_>,
    claim: &Claim,
    policy: &Policy,
    person: &mut dyn Person,
    run: impl FnOnce(&Look, &mut dyn Person) -> anyhow::Result<P>,
) -> anyhow::Result<Ended<P>> {
    let look = look::current(client)?;
    look.is_not_half_swapped()?;
    let Some(recovery) = plan(client, &look)? else { return run(&look, person).map(Ended::Planned) };
    client.line(&recovery);
    if !person.agrees("Recover `latest` first?")? {
        return Ok(Ended::Recovered { recovery, executed: false });
    }
    let look = session::under_lock(client, claim, policy, |held| {
        let found = plan(client, &look::look(client)?)?;
        if found.is_some_and(|found| found != recovery) {
            return Err(session::differs());
        }
        all(held, policy).map_err(failure::after_changes)
    })?;
    if claim.verb == ROLLBACK && matches!(recovery, Recovery::Publish { .. }) {
        return Ok(Ended::Recovered { recovery, executed: true });
    }
    run(&look, person).map(Ended::Planned).map_err(failure::after_changes)
}

/// More recoveries than a run can leave behind.
const MOST: u32 = 4;

/// Recovers until nothing is left to recover, and gives what is there then.
pub fn all(held: Held<'_>, policy: &Policy) -> anyhow::Result<Look> {
    let mut look = look::current(held.client())?;
    for _ in 0..MOST {
        let Some(found) = plan(held.client(), &look)? else { break };
        recover(held, &found, &look, policy)?;
        look = look::current(held.client())?;
    }
    Ok(look)
}
