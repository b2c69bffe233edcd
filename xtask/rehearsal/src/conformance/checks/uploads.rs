//! Uploads: what a whole one gives, and what one leaves that breaks.

use super::super::client::Body;
use super::super::scratch::{Scratch, id, upload_url};
use super::super::{Check, Told};
use super::{bytes, digest, ensure, ensure_field, holds, holds_with};
use crate::conformance::Ending;

pub(super) const CHECKS: &[Check] = &[
    Check {
        assumption: "an upload through gh's standard input gives an asset of the same bytes on a draft",
        run: whole,
    },
    Check { assumption: "a draft's assets have digests, the sha256 of their bytes", run: digests },
    Check { assumption: "an upload under a name that is taken is 422 already_exists", run: name_taken },
    Check {
        assumption: "a body shorter than its Content-Length gives no uploaded asset, and its name can be used again",
        run: cut_short,
    },
];

/// <https://docs.github.com/rest/releases/assets#upload-a-release-asset>. gh streams its standard input when a `Content-Length`
/// is given.
fn whole(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(2);
    let asset = scratch.upload(&draft, "debian-13-pve.qcow2.partaa", &sent)?.expect(201)?.json();
    ensure_field(&asset, "state", "uploaded")?;
    ensure_field(&asset, "size", sent.len())?;
    ensure_field(&asset, "name", "debian-13-pve.qcow2.partaa")?;
    holds()
}

/// GitHub computes them since June 2025; on drafts reported in PyGithub/PyGithub#3324. The tool proves a set by them.
fn digests(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(3);
    let asset = scratch.asset(&draft, "a.bin", &sent)?;
    let listed = scratch.client.eventually(|| {
        let found = scratch.assets(&draft)?.into_iter().find(|it| id(it) == id(&asset));
        Ok(found.filter(|it| it["digest"].is_string()).ok_or_else(|| "the listing gives no digest".to_owned()))
    })?;
    ensure_field(&listed, "digest", digest(&sent))?;
    let at_once = asset["digest"] == listed["digest"];
    holds_with(if at_once {
        "the upload's own answer has it"
    } else {
        "the upload's own answer lacks it, the listing has it"
    })
}

/// Documented; cli/cli#4863, getsentry/craft#313.
fn name_taken(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    scratch.asset(&draft, "a.bin", &bytes(4))?;
    scratch.upload(&draft, "a.bin", &bytes(5))?.expect_code("already_exists")?;
    holds()
}

/// GitHub documents a `starter` asset after a failure of its own; which of the two a broken body leaves is not said.
fn cut_short(scratch: &Scratch<'_>) -> Told {
    const NAME: &str = "a.bin";
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(6);
    let cut = Body::Cut { bytes: &sent[..sent.len() / 2], announced: sent.len() };
    let broken = scratch.client.exchange("POST", &upload_url(&draft, NAME), &[], cut)?;
    if let Ok(answer) = broken {
        ensure(!(200..300).contains(&answer.status), || format!("GitHub took it: {}", answer.says()))?;
    }
    // What is left may show later, and nothing at all only after as long as a listing may lag.
    let look = || scratch.assets(&draft).map(|all| all.into_iter().find(|it| it["name"] == NAME));
    let left = match scratch.client.eventually(|| Ok(look()?.ok_or_else(|| "nothing is left".to_owned()))) {
        Err(Ending::Broken(_)) => None,
        other => Some(other?),
    };
    let seen = match &left {
        None => "nothing is left".to_owned(),
        Some(asset) => {
            ensure(asset["state"] != "uploaded", || format!("an uploaded asset of {} bytes is there", asset["size"]))?;
            scratch.upload(&draft, NAME, &sent)?.expect_code("already_exists")?;
            scratch.client.delete(&format!("releases/assets/{}", id(asset)))?.expect(204)?;
            format!("an asset in state {} is left, which holds the name until it is deleted", asset["state"])
        }
    };
    let again = scratch.client.eventually(|| {
        let sent = scratch.upload(&draft, NAME, &sent)?;
        if sent.status != 422 {
            return Ok(Ok(sent.expect(201)?.json()));
        }
        // What was left came to be only now.
        if let Some(late) = look()?.filter(|late| late["state"] != "uploaded") {
            scratch.client.delete(&format!("releases/assets/{}", id(&late)))?.expect(204)?;
        }
        Ok(Err(format!("the name can't be used again: {}", sent.says())))
    })?;
    ensure_field(&again, "size", sent.len())?;
    ensure_field(&again, "state", "uploaded")?;
    holds_with(seen)
}
