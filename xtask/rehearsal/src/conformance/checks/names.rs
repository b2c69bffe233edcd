//! Names of assets: which GitHub keeps.

use super::super::scratch::{Scratch, text};
use super::super::{Check, Told};
use super::{ensure, ensure_field, holds, holds_with};

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "names of images, parts, checksum files and manifest are kept", run: kept },
    Check {
        assumption: "other names are changed: a space becomes a dot, and dots at the ends don't stay",
        run: cleaned,
    },
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
