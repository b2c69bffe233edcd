//! Names of assets: which GitHub keeps, and how one changes.

use serde_json::json;

use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Told};
use super::{bytes, ensure, ensure_field, holds, holds_with};

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "names of images, parts, checksum files and manifest are kept", run: kept },
    Check {
        assumption: "other names are changed: a space becomes a dot, and dots at the ends don't stay",
        run: cleaned,
    },
    Check {
        assumption: "an asset of a published release is renamed by a PATCH, and the name it had is free",
        run: renamed,
    },
    Check { assumption: "renaming an asset to a name that is taken is 422", run: taken },
];

/// <https://docs.github.com/rest/releases/assets#upload-a-release-asset>: only special characters are renamed.
fn kept(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let names = [
        "debian-12-custom.qcow2",
        "debian-13-pve.qcow2.partzaaa",
        "debian-12-custom.qcow2.sha256",
        "packer-images.json",
        "packer-images.0123456789ab.json",
    ];
    for name in names {
        ensure_field(&scratch.upload(&draft, name, b"a")?.expect(201)?.json(), "name", name)?;
    }
    holds()
}

/// The same page. The tool refuses such names, since a checksum file would name another file.
fn cleaned(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    ensure_field(&scratch.upload(&draft, "a%20b.txt", b"a")?.expect(201)?.json(), "name", "a.b.txt")?;
    let dotted = text(&scratch.upload(&draft, ".c.txt.", b"c")?.expect(201)?.json()["name"]);
    ensure(dotted != ".c.txt.", || "`.c.txt.` is kept".to_owned())?;
    holds_with(format!("`.c.txt.` becomes `{dotted}`"))
}

/// How a new manifest takes the place of the old one under a set that stays live.
/// <https://docs.github.com/rest/releases/assets#update-a-release-asset>
fn renamed(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let release = scratch.published(&tag)?;
    let old = scratch.asset(&release, "packer-images.json", &bytes(7))?;
    let new = scratch.asset(&release, "packer-images.new.json", &bytes(8))?;
    let aside = format!("packer-images.replaced-{}.json", id(&old));
    for (asset, name) in [(&old, aside.as_str()), (&new, "packer-images.json")] {
        let path = format!("releases/assets/{}", id(asset));
        let now = scratch.client.patch(&path, &json!({ "name": name }))?.expect(200)?.json();
        ensure_field(&now, "name", name)?;
        ensure_field(&now, "state", "uploaded")?;
    }
    scratch.client.eventually(|| {
        let all = scratch.assets(&release)?;
        let named = |name: &str| all.iter().find(|it| it["name"] == name).map(id);
        let right = named("packer-images.json") == Some(id(&new)) && named(&aside) == Some(id(&old));
        let names: Vec<String> = all.iter().map(|it| text(&it["name"])).collect();
        Ok(if right && all.len() == 2 { Ok(()) } else { Err(format!("the listing names {}", names.join(", "))) })
    })?;
    ensure_field(&scratch.read(&release)?, "draft", false)?;
    holds()
}

fn taken(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let release = scratch.published(&tag)?;
    scratch.asset(&release, "a.txt", b"a")?;
    let other = scratch.asset(&release, "b.txt", b"b")?;
    let path = format!("releases/assets/{}", id(&other));
    let refused = scratch.client.patch(&path, &json!({ "name": "a.txt" }))?.expect(422)?;
    let assets = scratch.assets(&release)?;
    ensure(assets.iter().any(|it| id(it) == id(&other) && it["name"] == "b.txt"), || {
        "it lost its own name".to_owned()
    })?;
    holds_with(refused.says())
}
