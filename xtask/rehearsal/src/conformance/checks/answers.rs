//! How GitHub answers every kind of request.

use super::super::client::Body;
use super::super::{Check, Scratch, Told};
use super::{ensure, holds, holds_with};

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "`gh api --include` shows status, headers and reason of a refusal", run: refusal },
    Check { assumption: "the repository says whether the token may push", run: permissions },
    Check { assumption: "`immutable-releases` answers 200 or 404 to administrators and 403 to others", run: immutable },
    Check { assumption: "rulesets of tags are listed, each with what it covers, forbids and lets pass", run: rulesets },
    Check { assumption: "deleting what is gone already is 404", run: gone },
    Check { assumption: "a DELETE with a body and its length is taken like one without", run: delete_with_body },
    Check { assumption: "`rate_limit` tells how many requests are left", run: rate_limit },
];

/// Without the headers there is no `Retry-After` to obey. gh's `pkg/cmd/api` prints them for every status.
fn refusal(scratch: &Scratch<'_>) -> Told {
    let answer = scratch.client.get(&format!("releases/tags/{}", scratch.name()))?.expect(404)?;
    let json = answer.header("content-type").is_some_and(|it| it.starts_with("application/json"));
    ensure(json && answer.header("x-github-request-id").is_some(), || {
        let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        format!("the headers are {}", names.join(", "))
    })?;
    ensure(answer.json()["message"].is_string(), || "the body has no message".to_owned())?;
    holds()
}

/// <https://docs.github.com/rest/repos/repos#get-a-repository>: `permissions` is there for whoever is logged in.
fn permissions(scratch: &Scratch<'_>) -> Told {
    let facts = scratch.client.get("")?.expect(200)?.json();
    let told = facts["permissions"]["push"].is_boolean() && facts["archived"].is_boolean();
    ensure(told, || format!("permissions are {}, archived is {}", facts["permissions"], facts["archived"]))?;
    holds()
}

/// <https://docs.github.com/rest/repos/repos#check-if-immutable-releases-are-enabled-for-a-repository>
fn immutable(scratch: &Scratch<'_>) -> Told {
    let answer = scratch.client.get("immutable-releases")?;
    let expected: &[u16] = if scratch.admin { &[200, 404] } else { &[403] };
    let who = if scratch.admin { "an administrator" } else { "who may push" };
    let said = format!("{} to {who}", answer.says());
    ensure(expected.contains(&answer.status), || format!("it answers {said}"))?;
    if answer.status == 200 {
        ensure(answer.json()["enabled"].is_boolean(), || "`enabled` is missing".to_owned())?;
    }
    holds_with(said)
}

/// <https://docs.github.com/rest/repos/rules#get-all-repository-rulesets>: 403 on a plan without rulesets.
fn rulesets(scratch: &Scratch<'_>) -> Told {
    let listed = scratch.client.get("rulesets?targets=tag&per_page=100&page=1")?;
    if listed.status == 403 {
        return holds_with(listed.says());
    }
    let listed = listed.expect(200)?.json();
    ensure(listed.is_array(), || format!("no list: {listed}"))?;
    for brief in listed.as_array().into_iter().flatten() {
        ensure(brief["enforcement"].is_string(), || format!("no enforcement: {brief}"))?;
        let whole = scratch.client.get(&format!("rulesets/{}", brief["id"]))?.expect(200)?.json();
        let told = whole["conditions"]["ref_name"]["include"].is_array()
            && whole["rules"].is_array()
            && whole["current_user_can_bypass"].is_string();
        ensure(told, || format!("incomplete: {whole}"))?;
    }
    holds_with(format!("{} there", listed.as_array().map_or(0, Vec::len)))
}

/// What takes "gone" for "done" relies on this, and on no 403 or 410.
fn gone(scratch: &Scratch<'_>) -> Told {
    let release = scratch.draft(&scratch.name())?;
    let asset = scratch.asset(&release, "a.txt", b"a")?;
    for path in [format!("releases/assets/{}", asset["id"]), format!("releases/{}", release["id"])] {
        scratch.client.delete(&path)?.expect(204)?;
        scratch.client.delete(&path)?.expect(404)?;
        scratch.client.get(&path)?.expect(404)?;
    }
    holds()
}

/// A request of which the last byte is still held back is not in force: so the tool holds back that of a body that nobody needs.
fn delete_with_body(scratch: &Scratch<'_>) -> Told {
    let release = scratch.draft(&scratch.name())?;
    let asset = scratch.asset(&release, "a.txt", b"a")?;
    for path in [format!("releases/assets/{}", asset["id"]), format!("releases/{}", release["id"])] {
        scratch.client.send("DELETE", &path, &[], Body::Bytes(b"{}"))?.expect(204)?;
        scratch.client.get(&path)?.expect(404)?;
    }
    holds()
}

/// <https://docs.github.com/rest/rate-limit/rate-limit>
fn rate_limit(scratch: &Scratch<'_>) -> Told {
    let core = scratch.client.get("/rate_limit")?.expect(200)?.json()["resources"]["core"].clone();
    let told = ["limit", "remaining", "reset"].iter().all(|key| core[key].is_u64());
    ensure(told, || format!("it tells {core}"))?;
    holds()
}
