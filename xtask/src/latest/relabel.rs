//! Another label for the live set: the tag moves, then the release's body names the version. No asset changes, and a change that
//! somebody else makes meanwhile is not overwritten. Publish uses it.

use crate::gh::{NewRelease, Release};
use crate::git::TagRef;

use super::TAG;
use super::face;
use super::held::Held;
use super::look::{self, Live, Look};
use super::marker::{self, Label};
use super::notes;
use super::session;
use super::switch;

/// Gives the live release another label, and its tag.
///
/// # Errors
///
/// Exit code 1: somebody else changed the release.
pub fn relabel(held: Held<'_>, look: &Look, live: &Live, to: &Label) -> anyhow::Result<()> {
    let id = live.release.id;
    let target = TagRef::lightweight(&to.commit);
    let changed = |what| session::changed(format_args!("labelling {TAG}: somebody else changed the {what}"));
    if !held.release(id)?.is_still(&live.release) {
        return Err(changed("release"));
    }
    switch::move_tag_only(held, look.refs.tag.as_ref(), &target)?;
    // The tag has moved: from here on a signal waits.
    let held = held.ignoring_signals();
    let notes = notes::pointing_to(&marker::strip::<Label>(live.release.notes()), &to.source);
    let title = live.release.name.clone().unwrap_or_default();
    let wanted = NewRelease { name: title, ..face::ours(&notes, to) };
    let is_done = |now: &Release| {
        let names = notes::points_to(now.notes()) == Some(to.source.as_str());
        look::is_live(now) && now.prerelease && names && marker::read::<Label>(now.notes()).as_ref() == Some(to)
    };
    held.change(
        format_args!("labelling {TAG}"),
        || match held.release(id)? {
            now if is_done(&now) => Ok(Some(())),
            now if now.is_still(&live.release) => Ok(None),
            _ => Err(changed("release")),
        },
        |outside, how, permit| {
            let now = outside.update_release(how, permit, id, &wanted)?;
            Ok(is_done(&now).then_some(()))
        },
    )?;
    if held.refs()?.tag.is_none_or(|tag| tag.commit != to.commit) {
        return Err(changed("tag"));
    }
    switch::set_local_tag(held, &target.object);
    Ok(())
}
