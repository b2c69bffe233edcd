//! The change of places of two releases, one of them a draft: what one PATCH does.

use serde_json::{Value, json};

use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Told};
use super::downloads::{is_hidden, is_public};
use super::{bytes, ensure, ensure_field, holds, holds_with};
use crate::conformance::Ending;

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "one PATCH takes a published release back to a draft under another tag name", run: taken_back },
    Check { assumption: "that one PATCH frees the tag at once, by its own answer", run: freed_at_once },
    Check { assumption: "a release that is taken back to a draft keeps its assets", run: keeps_assets },
    Check { assumption: "its public downloads stop", run: downloads_stop },
    Check {
        assumption: "one PATCH publishes a draft on a tag that exists, and the tag stays where it is",
        run: published,
    },
    Check { assumption: "target_commitish does nothing where the tag exists", run: target_ignored },
    Check { assumption: "publishing a second release on a tag is 422 already_exists", run: second },
    Check {
        assumption: "two PATCHes make two releases change places, and two more change them back",
        run: there_and_back,
    },
    Check { assumption: "a PATCH with tag_name and body alone leaves a release published as it was", run: notes_alone },
    Check { assumption: "a prerelease with make_latest false is never GitHub's own latest release", run: not_latest },
];

/// `gh release edit --draft` does it; here with the tag's name in the same call, so that `latest` is free at once.
fn taken_back(scratch: &Scratch<'_>) -> Told {
    let (tag, aside) = (scratch.tag(&scratch.first)?, scratch.name());
    let live = scratch.published(&tag)?;
    for release in [scratch.edit(&live, &scratch.fields(&aside, true))?.expect(200)?.json(), scratch.read(&live)?] {
        ensure_field(&release, "draft", true)?;
        ensure_field(&release, "tag_name", aside.as_str())?;
        ensure_field(&release, "prerelease", true)?;
    }
    scratch.shows_nothing(&tag)?;
    ensure_field(&scratch.listed(id(&live))?, "tag_name", aside.as_str())?;
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.first), || format!("the tag points to {now:?} now"))?;
    let other = scratch.tag_object(&aside)?;
    ensure(other.is_none(), || format!("a tag {aside} came to be"))?;
    holds()
}

/// Of draft and tag name together nothing is documented. What counts is the answers' own words: a look could come too early.
fn freed_at_once(scratch: &Scratch<'_>) -> Told {
    let (tag, aside) = (scratch.tag(&scratch.first)?, scratch.name());
    let (live, next) = (scratch.published(&tag)?, scratch.draft(&scratch.name())?);
    let left = scratch.edit(&live, &scratch.fields(&aside, true))?.expect(200)?.json();
    let came = scratch.edit(&next, &scratch.fields(&tag, false))?.expect(200)?.json();
    ensure_field(&left, "draft", true)?;
    ensure_field(&left, "tag_name", aside.as_str())?;
    ensure_field(&came, "draft", false)?;
    ensure_field(&came, "tag_name", tag.as_str())?;
    let address = text(&came["html_url"]);
    ensure(address.ends_with(&format!("/{tag}")), || format!("its address is {address}"))?;
    holds()
}

/// The way back depends on it.
fn keeps_assets(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let sent = bytes(16);
    let asset = scratch.asset(&live, "a.bin", &sent)?;
    let face = |all: &[Value]| -> Vec<Value> {
        all.iter().map(|it| json!([it["id"], it["name"], it["size"], it["state"]])).collect()
    };
    let before = face(&scratch.assets(&live)?);
    scratch.edit(&live, &scratch.fields(&scratch.name(), true))?.expect(200)?;
    let after = face(&scratch.assets(&live)?);
    ensure(before == after && after.len() == 1, || format!("the assets were {before:?} and are {after:?}"))?;
    let got = scratch.download(&asset, 0)?.expect(200)?;
    ensure(got.body == sent, || "other bytes are downloaded".to_owned())?;
    holds()
}

/// Readers get an error that they can try again, and never a mix of two sets.
fn downloads_stop(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let sent = bytes(17);
    scratch.asset(&live, "a.bin", &sent)?;
    is_public(scratch, &tag, "a.bin", &sent).map_err(Ending::while_preparing)?;
    scratch.edit(&live, &scratch.fields(&scratch.name(), true))?.expect(200)?;
    is_hidden(scratch, &tag, "a.bin")?;
    holds()
}

/// The second half of a switch, with all its fields: no target is among them.
fn published(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(18);
    scratch.asset(&draft, "a.bin", &sent)?;
    let release = scratch.edit(&draft, &scratch.fields(&tag, false))?.expect(200)?.json();
    for release in [release, scratch.read(&draft)?] {
        ensure_field(&release, "draft", false)?;
        ensure_field(&release, "prerelease", true)?;
        ensure_field(&release, "tag_name", tag.as_str())?;
        ensure(release["published_at"].is_string(), || "it has no published_at".to_owned())?;
    }
    scratch.shows(&tag, id(&draft))?;
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.first), || format!("the tag points to {now:?} now"))?;
    if !scratch.private {
        is_public(scratch, &tag, "a.bin", &sent)?;
    }
    holds()
}

/// <https://docs.github.com/rest/releases/releases#update-a-release>: unused if the tag exists.
fn target_ignored(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    // A tag leads to the other commit too, so that GitHub knows it.
    scratch.tag(&scratch.second)?;
    let draft = scratch.draft(&scratch.name())?;
    let mut fields = scratch.fields(&tag, false);
    fields["target_commitish"] = scratch.second.as_str().into();
    scratch.edit(&draft, &fields)?.expect(200)?;
    scratch.shows(&tag, id(&draft))?;
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.first), || format!("the tag points to {now:?} now"))?;
    holds()
}

/// Of two publishers one loses here. <https://docs.github.com/rest/overview/troubleshooting> names the code.
fn second(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let aside = scratch.name();
    let draft = scratch.draft(&aside)?;
    scratch.edit(&draft, &scratch.fields(&tag, false))?.expect_code("already_exists")?;
    let after = scratch.read(&draft)?;
    ensure_field(&after, "draft", true)?;
    ensure_field(&after, "tag_name", aside.as_str())?;
    scratch.create(&scratch.fields(&tag, false))?.expect_code("already_exists")?;
    scratch.shows(&tag, id(&live))?;
    holds()
}

/// A publish that hides what it replaces, and its rollback.
fn there_and_back(scratch: &Scratch<'_>) -> Told {
    let (tag, aside) = (scratch.tag(&scratch.first)?, scratch.name());
    let (old, new) = (scratch.published(&tag)?, scratch.draft(&scratch.name())?);
    let began = std::time::Instant::now();
    for (leaves, comes) in [(&old, &new), (&new, &old)] {
        scratch.edit(leaves, &scratch.fields(&aside, true))?.expect(200)?;
        scratch.edit(comes, &scratch.fields(&tag, false))?.expect(200)?;
        scratch.shows(&tag, id(comes))?;
        ensure_field(&scratch.read(leaves)?, "draft", true)?;
        ensure_field(&scratch.read(comes)?, "draft", false)?;
    }
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.first), || format!("the tag points to {now:?} now"))?;
    holds_with(format!("{:.1} s for all, the waits between two changes included", began.elapsed().as_secs_f64()))
}

/// How the same images get another source's notes.
fn notes_alone(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let before = scratch.read(&live)?;
    let fields = json!({ "tag_name": tag, "body": "Points to v0.46" });
    for now in [scratch.edit(&live, &fields)?.expect(200)?.json(), scratch.read(&live)?] {
        ensure_field(&now, "body", "Points to v0.46")?;
        for field in
            ["id", "tag_name", "name", "draft", "prerelease", "immutable", "html_url", "upload_url", "published_at"]
        {
            ensure_field(&now, field, before[field].clone())?;
        }
    }
    scratch.shows(&tag, id(&live))?;
    holds()
}

/// <https://docs.github.com/rest/releases/releases#get-the-latest-release>: never a draft or a prerelease.
fn not_latest(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let latest = scratch.client.get("releases/latest")?;
    if latest.status == 404 {
        return holds();
    }
    let latest = latest.expect(200)?.json();
    ensure(id(&latest) != id(&live), || format!("{} is", text(&latest["tag_name"])))?;
    holds()
}
