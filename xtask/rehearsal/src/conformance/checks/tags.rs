//! A tag, the release on it, and the commit it leads to.

use serde_json::json;

use super::super::client::Body;
use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Seen, Told};
use super::{ensure, ensure_field, holds, holds_with};
use crate::conformance::Ending;

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "deleting a release leaves its tag", run: release_deleted },
    Check { assumption: "moving the tag under a published release leaves the release published", run: tag_moved },
    Check { assumption: "`commits/tags/NAME` gives the commit of an annotated tag, peeled", run: peeled },
    Check { assumption: "a tag that doesn't exist has no commit: 404 or 422", run: no_commit },
    Check { assumption: "a published release whose tag is deleted", run: tag_deleted },
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

/// <https://docs.github.com/rest/commits/commits#get-a-commit>, with the media type that gives the id alone. The tool compares
/// the source's commit in two repositories so.
fn peeled(scratch: &Scratch<'_>) -> Told {
    let name = scratch.name();
    let object = json!({ "tag": name, "message": "conformance", "object": scratch.first, "type": "commit" });
    let made =
        scratch.client.post("git/tags", &object).and_then(|it| it.expect(201)).map_err(Ending::while_preparing)?;
    let object = text(&made.json()["sha"]);
    let annotated = scratch.tag(&object)?;
    let light = scratch.tag(&scratch.first)?;
    for tag in [annotated, light] {
        scratch.client.eventually(|| {
            let answer = commit(scratch, &tag)?;
            let got = String::from_utf8_lossy(&answer.body).trim().to_owned();
            let right = answer.status == 200 && got == scratch.first;
            Ok(if right { Ok(()) } else { Err(format!("it gives {} {got}, not {}", answer.status, scratch.first)) })
        })?;
    }
    holds()
}

fn no_commit(scratch: &Scratch<'_>) -> Told {
    let answer = commit(scratch, &scratch.name())?;
    ensure(matches!(answer.status, 404 | 422), || format!("it gives {}", answer.says()))?;
    holds_with(answer.says())
}

/// Why the tool updates the tag and never deletes it: cli/cli#5024.
fn tag_deleted(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    scratch
        .client
        .delete(&format!("git/refs/tags/{tag}"))
        .and_then(|it| it.expect(204))
        .map_err(Ending::while_preparing)?;
    let became = scratch.client.eventually(|| {
        let now = scratch.read(&live)?;
        Ok(if now["draft"] == true { Ok(text(&now["tag_name"])) } else { Err(String::new()) })
    });
    match became {
        Ok(name) => Ok(Seen::Information(format!("becomes a draft, called {name}"))),
        Err(Ending::Broken(_)) => Ok(Seen::Information("stays published".to_owned())),
        Err(other) => Err(other),
    }
}

fn commit(scratch: &Scratch<'_>, tag: &str) -> Result<super::super::answer::Answer, Ending> {
    scratch.client.send("GET", &format!("commits/tags/{tag}"), &["Accept: application/vnd.github.sha"], Body::None)
}
