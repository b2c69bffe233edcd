//! A release that was live stays public under another tag: what it takes to move a name, and what a missing tag leads to.

use serde_json::Value;

use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Told};
use super::downloads::{is_hidden, is_public};
use super::{bytes, ensure, ensure_field, holds, holds_with};
use crate::conformance::Ending;

pub(super) const CHECKS: &[Check] = &[
    Check {
        assumption: "one PATCH moves a published release onto another tag that exists, with its assets and their counts",
        run: renamed,
    },
    Check {
        assumption: "its downloads are 404 under the old tag then, and work under the new one",
        run: downloads_move,
    },
    Check { assumption: "that rename frees the old tag at once, by its own answer", run: freed_at_once },
    Check { assumption: "renaming a published release onto the tag of another one is 422 already_exists", run: taken },
    Check {
        assumption: "two PATCHes make two published releases change places, and two more change them back",
        run: there_and_back,
    },
    Check { assumption: "publishing a draft sets a new published_at, a rename or an edit keeps it", run: published_at },
    Check {
        assumption: "publishing onto a missing tag makes it at the target, without one at the default branch's head",
        run: missing_tag,
    },
    Check {
        assumption: "renaming a published release onto a missing tag makes it at the default branch's head",
        run: renamed_onto_missing,
    },
    Check {
        assumption: "where a rule forbids new tags, a draft without its tag stays a draft, and one with it is published",
        run: new_tags_forbidden,
    },
];

/// The first half of a switch, which sends all fields. The webhook `release` knows `changes.tag_name.from`; FOGProject/fos#155.
fn renamed(scratch: &Scratch<'_>) -> Told {
    let (tag, pin) = (scratch.tag(&scratch.first)?, scratch.tag(&scratch.second)?);
    let live = scratch.published(&tag)?;
    let sent = bytes(19);
    let asset = scratch.asset(&live, "a.bin", &sent)?;
    scratch.download(&asset, 0).and_then(|it| it.expect(200)).map_err(Ending::while_preparing)?;
    // How long a count takes to show isn't documented.
    let counted = scratch.client.eventually(|| {
        let counted = scratch.assets(&live)?[0]["download_count"].as_u64().filter(|it| *it > 0);
        Ok(counted.ok_or_else(String::new))
    });
    let counted = match counted {
        Err(Ending::Broken(_)) => 0,
        other => other?,
    };
    let mut fields = scratch.fields(&pin, false);
    fields["body"] = "Replaced".into();
    for now in [scratch.edit(&live, &fields)?.expect(200)?.json(), scratch.read(&live)?] {
        ensure_field(&now, "id", id(&live))?;
        ensure_field(&now, "tag_name", pin.as_str())?;
        ensure_field(&now, "draft", false)?;
        ensure_field(&now, "prerelease", true)?;
        ensure_field(&now, "body", "Replaced")?;
    }
    scratch.shows_nothing(&tag)?;
    scratch.shows(&pin, id(&live))?;
    ensure_field(&scratch.listed(id(&live))?, "tag_name", pin.as_str())?;
    let assets = scratch.assets(&live)?;
    let [now] = &assets[..] else { return Err(Ending::Broken(format!("it has {} assets now", assets.len()))) };
    for field in ["id", "name", "size", "state"] {
        ensure_field(now, field, asset[field].clone())?;
    }
    ensure(now["download_count"].as_u64() >= Some(counted), || format!("its count is {} now", now["download_count"]))?;
    scratch.points(&tag, &scratch.first)?;
    scratch.points(&pin, &scratch.second)?;
    if counted == 0 { holds_with("no download was counted so far") } else { holds() }
}

/// No redirect leads from the old address to the new one: win-acme/win-acme#617, FOGProject/fos#155.
fn downloads_move(scratch: &Scratch<'_>) -> Told {
    let (tag, pin) = (scratch.tag(&scratch.first)?, scratch.tag(&scratch.first)?);
    let live = scratch.published(&tag)?;
    let sent = bytes(20);
    scratch.asset(&live, "a.bin", &sent)?;
    is_public(scratch, &tag, "a.bin", &sent).map_err(Ending::while_preparing)?;
    scratch.edit(&live, &scratch.fields(&pin, false))?.expect(200)?;
    is_hidden(scratch, &tag, "a.bin")?;
    is_public(scratch, &pin, "a.bin", &sent)?;
    holds()
}

/// Between the two calls of a switch the tool waits for nothing, so the answers' own words count.
fn freed_at_once(scratch: &Scratch<'_>) -> Told {
    let (tag, pin) = (scratch.tag(&scratch.first)?, scratch.tag(&scratch.first)?);
    let (live, next) = (scratch.published(&tag)?, scratch.draft(&scratch.name())?);
    let left = scratch.edit(&live, &scratch.fields(&pin, false))?.expect(200)?.json();
    let came = scratch.edit(&next, &scratch.fields(&tag, false))?.expect(200)?.json();
    for (release, tag) in [(left, pin), (came, tag)] {
        ensure_field(&release, "draft", false)?;
        ensure_field(&release, "tag_name", tag.as_str())?;
        let address = text(&release["html_url"]);
        ensure(address.ends_with(&format!("/{tag}")), || format!("its address is {address}"))?;
    }
    holds()
}

/// Who comes second learns it from this answer, and has lost nothing.
fn taken(scratch: &Scratch<'_>) -> Told {
    let (tag, pin) = (scratch.tag(&scratch.first)?, scratch.tag(&scratch.first)?);
    let (live, pinned) = (scratch.published(&tag)?, scratch.published(&pin)?);
    scratch.edit(&pinned, &scratch.fields(&tag, false))?.expect_code("already_exists")?;
    let after = scratch.read(&pinned)?;
    ensure_field(&after, "tag_name", pin.as_str())?;
    ensure_field(&after, "draft", false)?;
    scratch.shows(&tag, id(&live))?;
    holds()
}

/// A publish that pins what it replaces, and its rollback: nothing is a draft on the way back.
fn there_and_back(scratch: &Scratch<'_>) -> Told {
    let (tag, pins) = (scratch.tag(&scratch.first)?, [scratch.tag(&scratch.first)?, scratch.tag(&scratch.second)?]);
    let (old, new) = (scratch.published(&tag)?, scratch.draft(&scratch.name())?);
    for (leaves, pin, comes) in [(&old, &pins[0], &new), (&new, &pins[1], &old)] {
        scratch.edit(leaves, &scratch.fields(pin, false))?.expect(200)?;
        scratch.edit(comes, &scratch.fields(&tag, false))?.expect(200)?;
        scratch.shows(&tag, id(comes))?;
        scratch.shows(pin, id(leaves))?;
        for release in [leaves, comes] {
            ensure_field(&scratch.read(release)?, "draft", false)?;
        }
    }
    scratch.points(&tag, &scratch.first)?;
    scratch.points(&pins[1], &scratch.second)?;
    holds()
}

/// NathanNeurotic/Open-PS2-Loader#579, LBALab/lba2#465. Whoever watches a repository is told of what is published.
fn published_at(scratch: &Scratch<'_>) -> Told {
    let (tag, pin) = (scratch.tag(&scratch.first)?, scratch.tag(&scratch.first)?);
    let live = scratch.published(&tag)?;
    let first = scratch.read(&live)?["published_at"].clone();
    let mut edited = scratch.fields(&pin, false);
    edited["body"] = "edited".into();
    let hidden = scratch.fields(&pin, true);
    // It is told in seconds.
    let next_second = || scratch.client.pause(std::time::Duration::from_millis(1_100));
    next_second()?;
    for fields in [scratch.fields(&pin, false), edited] {
        ensure_field(&scratch.edit(&live, &fields)?.expect(200)?.json(), "published_at", first.clone())?;
    }
    scratch.edit(&live, &hidden)?.expect(200)?;
    next_second()?;
    let again = scratch.edit(&live, &scratch.fields(&tag, false))?.expect(200)?.json()["published_at"].clone();
    let later = again.as_str().is_some_and(|again| again > first.as_str().unwrap_or_default());
    ensure(later, || format!("it was {first} and is {again}"))?;
    holds()
}

/// What follows when a tag is deleted just before its release is published: cli/cli#7628, airyhq/airy#1394.
fn missing_tag(scratch: &Scratch<'_>) -> Told {
    // A tag leads to the other commit, so that GitHub knows it.
    scratch.tag(&scratch.second)?;
    for (target, commit) in [(None, &scratch.first), (Some(&scratch.second), &scratch.second)] {
        let (by_post, by_patch) = (scratch.pushed_tag(), scratch.pushed_tag());
        let draft = scratch.draft(&by_patch)?;
        let fields = |tag: &str| -> Value {
            let mut fields = scratch.fields(tag, false);
            if let Some(target) = target {
                fields["target_commitish"] = target.as_str().into();
            }
            fields
        };
        scratch.create(&fields(&by_post))?.expect(201)?;
        let published = scratch.edit(&draft, &fields(&by_patch))?.expect(200)?.json();
        ensure_field(&published, "draft", false)?;
        for tag in [by_post, by_patch] {
            scratch.points(&tag, commit)?;
        }
    }
    holds()
}

/// So the tool reads the ref before the PATCH, and again afterwards.
fn renamed_onto_missing(scratch: &Scratch<'_>) -> Told {
    // Its own tag is elsewhere, and doesn't say where the new one comes to be.
    let (tag, missing) = (scratch.tag(&scratch.second)?, scratch.pushed_tag());
    let live = scratch.published(&tag)?;
    let now = scratch.edit(&live, &scratch.fields(&missing, false))?.expect(200)?.json();
    ensure_field(&now, "draft", false)?;
    ensure_field(&now, "tag_name", missing.as_str())?;
    scratch.points(&missing, &scratch.first)?;
    scratch.points(&tag, &scratch.second)?;
    holds()
}

/// safe-global/safe-deployments#682, softprops/action-gh-release#722. Only an administrator may make such a rule.
fn new_tags_forbidden(scratch: &Scratch<'_>) -> Told {
    let (there, missing) = (scratch.tag(&scratch.first)?, scratch.pushed_tag());
    let drafts = [scratch.draft(&there)?, scratch.draft(&missing)?];
    let renamed = scratch.published(&scratch.tag(&scratch.first)?)?;
    let ruleset = scratch.ruleset(&[&there, &missing], "creation")?;
    scratch.client.eventually(|| {
        let refused = scratch.edit(&drafts[1], &scratch.fields(&missing, false))?;
        // A rule may come into force a while after it was made: once published, it is taken back.
        if refused.status == 200 {
            scratch.edit(&drafts[1], &scratch.fields(&missing, true))?.expect(200)?;
            scratch.client.delete(&format!("git/refs/tags/{missing}"))?;
            return Ok(Err("it is published".to_owned()));
        }
        Ok(Ok(refused.expect(422)?))
    })?;
    let refused = scratch.edit(&renamed, &scratch.fields(&missing, false))?.expect(422)?;
    for (release, draft) in [(&drafts[1], true), (&renamed, false)] {
        ensure_field(&scratch.read(release)?, "draft", draft)?;
    }
    ensure(scratch.tag_object(&missing)?.is_none(), || format!("the tag {missing} is there"))?;
    let published = scratch.edit(&drafts[0], &scratch.fields(&there, false))?.expect(200)?.json();
    ensure_field(&published, "draft", false)?;
    scratch.client.delete(&ruleset)?.expect(204)?;
    holds_with(refused.says())
}
