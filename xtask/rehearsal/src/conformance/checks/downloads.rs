//! The bytes of assets, for who may push and for strangers.

use super::super::answer::Ending;
use super::super::client::Body;
use super::super::scratch::{Scratch, text, upload_url};
use super::super::{Check, Told};
use super::{bytes, ensure, holds};

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "an asset of a draft is downloaded by its id", run: by_id },
    Check { assumption: "a JSON asset is downloaded through gh byte for byte", run: json },
    Check { assumption: "a range of a download can be asked for, with gh through the redirect", run: range },
    Check {
        assumption: "the assets of a published release are downloaded by tag and name without a login",
        run: public,
    },
];

/// <https://docs.github.com/rest/releases/assets#get-a-release-asset>: a redirect for `Accept: application/octet-stream`.
fn by_id(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(13);
    let asset = scratch.asset(&draft, "a.bin", &sent)?;
    let got = scratch.download(&asset, 0)?.expect(200)?;
    ensure(got.body == sent, || format!("{} other bytes came than the {} sent", got.body.len(), sent.len()))?;
    holds()
}

/// gh rewrites some characters of answers that are JSON, which a manifest must not be taken for.
fn json(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = "{\n  \"source\": \"v0.45 \\u003e \\u001b[1m é <b> & \u{9b}\"\n}\n".as_bytes();
    let (url, kind) = (upload_url(&draft, "packer-images.json"), "Content-Type: application/json");
    let asset = scratch.client.send("POST", &url, &[kind], Body::Bytes(sent))?;
    let asset = asset.expect(201).map_err(Ending::while_preparing)?.json();
    let got = scratch.download(&asset, 0)?.expect(200)?;
    ensure(got.body == sent, || format!("what came is {:?}", String::from_utf8_lossy(&got.body)))?;
    holds()
}

/// How a download that broke off goes on: 206, and the bytes from there to the end.
fn range(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = bytes(14);
    let asset = scratch.asset(&draft, "a.bin", &sent)?;
    let got = scratch.download(&asset, 1000)?.expect(206)?;
    ensure(got.body == sent[1000..], || {
        format!("{} bytes came that are not the last {}", got.body.len(), sent.len() - 1000)
    })?;
    holds()
}

/// What `homestak images` and every reader does.
fn public(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let release = scratch.published(&tag)?;
    let sent = bytes(15);
    let asset = scratch.asset(&release, "a.bin", &sent)?;
    is_public(scratch, &tag, "a.bin", &sent)?;
    let address = text(&asset["browser_download_url"]);
    let wanted = format!("/{}/releases/download/{tag}/a.bin", scratch.client.repo);
    ensure(address.to_lowercase().ends_with(&wanted.to_lowercase()), || format!("its address is {address}"))?;
    holds()
}

/// Waits until a stranger gets these bytes by tag and name.
pub(super) fn is_public(scratch: &Scratch<'_>, tag: &str, name: &str, bytes: &[u8]) -> Result<(), Ending> {
    require_public(scratch)?;
    scratch.client.eventually(|| {
        let (status, got) = scratch.client.stranger(&format!("releases/download/{tag}/{name}"))?;
        let right = status == 200 && got == bytes;
        Ok(if right { Ok(()) } else { Err(format!("a stranger gets {status} and {} bytes", got.len())) })
    })
}

/// Waits until a stranger gets nothing by tag and name.
pub(super) fn is_hidden(scratch: &Scratch<'_>, tag: &str, name: &str) -> Result<(), Ending> {
    require_public(scratch)?;
    scratch.client.eventually(|| {
        let (status, _) = scratch.client.stranger(&format!("releases/download/{tag}/{name}"))?;
        Ok(if status == 404 { Ok(()) } else { Err(format!("a stranger gets {status}")) })
    })
}

fn require_public(scratch: &Scratch<'_>) -> Result<(), Ending> {
    if scratch.private {
        let why = "the repository is private, so strangers get nothing there at all; use a public one";
        return Err(Ending::NotTold(why.to_owned()));
    }
    Ok(())
}
