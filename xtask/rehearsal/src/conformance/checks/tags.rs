//! A tag, the release on it, and the commit it leads to.

use serde_json::json;

use super::super::client::Body;
use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Told};
use super::{bytes, ensure, ensure_field, holds};
use crate::conformance::Ending;

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "deleting a release leaves its tag", run: release_deleted },
    Check { assumption: "moving the tag under a published release leaves the release published", run: tag_moved },
    Check {
        assumption: "`git/ref/tags/NAME` and `git/tags/SHA` lead from an annotated tag to its commit",
        run: followed,
    },
    Check { assumption: "a tag that doesn't exist is 404, also where another's name begins so", run: no_tag },
    Check { assumption: "`commits/tags/NAME` gives the commit of an annotated tag, peeled", run: peeled },
    Check {
        assumption: "a published release whose tag is deleted becomes a draft that keeps its name and assets",
        run: tag_deleted,
    },
];

/// <https://docs.github.com/rest/releases/releases#delete-a-release>. `gh release delete` keeps the tag too.
fn release_deleted(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    scratch.client.delete(&format!("releases/{}", id(&live)))?.expect(204)?;
    scratch.shows_nothing(&tag)?;
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.first), || format!("the tag points to {now:?} now"))?;
    holds()
}

/// A publish moves the tag by a push while the old set is live, and compares that release with as it was.
fn tag_moved(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let before = scratch.read(&live)?;
    let moved = json!({ "sha": scratch.second, "force": true });
    scratch
        .client
        .patch(&format!("git/refs/tags/{tag}"), &moved)
        .and_then(|it| it.expect(200))
        .map_err(Ending::while_preparing)?;
    // GitHub notices a push some time after it.
    scratch.client.pause(scratch.client.lag / 5)?;
    let after = scratch.read(&live)?;
    for field in
        ["tag_name", "name", "body", "draft", "prerelease", "immutable", "html_url", "upload_url", "published_at"]
    {
        ensure_field(&after, field, before[field].clone())?;
    }
    scratch.shows(&tag, id(&live))?;
    let now = scratch.tag_object(&tag)?;
    ensure(now.as_ref() == Some(&scratch.second), || format!("the tag points to {now:?} now"))?;
    holds()
}

/// <https://docs.github.com/rest/git/tags#get-a-tag>. The tool compares the source's commit in two repositories so.
fn followed(scratch: &Scratch<'_>) -> Told {
    let (annotated, object) = annotated(scratch)?;
    let light = scratch.tag(&scratch.first)?;
    for (tag, sha, kind) in [(&annotated, &object, "tag"), (&light, &scratch.first, "commit")] {
        let found = scratch.client.eventually(|| {
            let found = scratch.client.get(&format!("git/ref/tags/{tag}"))?;
            Ok(if found.status == 404 { Err("the ref isn't found".to_owned()) } else { Ok(found) })
        })?;
        let pointer = found.expect(200)?.json();
        ensure_field(&pointer["object"], "type", kind)?;
        ensure_field(&pointer["object"], "sha", sha.as_str())?;
    }
    let pointer = scratch.client.get(&format!("git/tags/{object}"))?.expect(200)?.json();
    ensure_field(&pointer["object"], "type", "commit")?;
    ensure_field(&pointer["object"], "sha", scratch.first.as_str())?;
    holds()
}

/// <https://docs.github.com/rest/git/refs#get-a-reference>. An address before it, `git/refs/…`, answered with all that begin so.
fn no_tag(scratch: &Scratch<'_>) -> Told {
    let beginning = scratch.name();
    scratch.tag_named(&format!("{beginning}-longer"), &scratch.first)?;
    for name in [scratch.name(), beginning] {
        scratch.client.get(&format!("git/ref/tags/{name}"))?.expect(404)?;
    }
    holds()
}

/// <https://docs.github.com/rest/commits/commits#get-a-commit>, with the media type that gives the id alone.
fn peeled(scratch: &Scratch<'_>) -> Told {
    let (tag, _) = annotated(scratch)?;
    scratch.client.eventually(|| {
        let kind = ["Accept: application/vnd.github.sha"];
        let answer = scratch.client.send("GET", &format!("commits/tags/{tag}"), &kind, Body::None)?;
        let got = String::from_utf8_lossy(&answer.body).trim().to_owned();
        let right = answer.status == 200 && got == scratch.first;
        Ok(if right { Ok(()) } else { Err(format!("it gives {} {got}, not {}", answer.status, scratch.first)) })
    })?;
    holds()
}

/// Why the tool updates the tag and never deletes it, and how it puts right what others did: the tag comes back first, then the release.
/// spinframework/spin#1611, neovim/neovim#14140.
fn tag_deleted(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let asset = scratch.asset(&live, "a.bin", &bytes(21))?;
    scratch
        .client
        .delete(&format!("git/refs/tags/{tag}"))
        .and_then(|it| it.expect(204))
        .map_err(Ending::while_preparing)?;
    scratch.client.eventually(|| {
        let now = scratch.read(&live)?;
        let became = now["draft"] == true && now["tag_name"] == tag.as_str();
        Ok(if became { Ok(()) } else { Err(format!("draft is {}, tag_name {}", now["draft"], now["tag_name"])) })
    })?;
    scratch.shows_nothing(&tag)?;
    scratch.tag_named(&tag, &scratch.first)?;
    let again = scratch.edit(&live, &scratch.fields(&tag, false))?.expect(200)?.json();
    ensure_field(&again, "draft", false)?;
    ensure_field(&again["assets"][0], "id", id(&asset))?;
    scratch.shows(&tag, id(&live))?;
    holds()
}

/// An annotated tag of the first commit, and the id of its object.
fn annotated(scratch: &Scratch<'_>) -> Result<(String, String), Ending> {
    let object = json!({ "tag": scratch.name(), "message": "conformance", "object": scratch.first, "type": "commit" });
    let made = scratch.client.post("git/tags", &object).and_then(|it| it.expect(201));
    let object = text(&made.map_err(Ending::while_preparing)?.json()["sha"]);
    Ok((scratch.tag(&object)?, object))
}
