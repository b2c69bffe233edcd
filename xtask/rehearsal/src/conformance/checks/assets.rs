//! What shows a release's assets, and their end.

use std::collections::BTreeSet;

use super::super::scratch::{Scratch, id};
use super::super::{Check, Told};
use super::{bytes, ensure, ensure_field, holds};

pub(super) const CHECKS: &[Check] = &[
    Check { assumption: "the listing of a release's assets shows those that the release itself shows", run: same },
    Check { assumption: "an asset that is deleted frees its name at once", run: freed },
];

/// The listing shows broken assets as well, which the release hides: itchio/gothub#1. Here none is broken.
fn same(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let sent = [scratch.asset(&draft, "a.bin", &bytes(9))?, scratch.asset(&draft, "b.bin", &bytes(10))?];
    let sent: BTreeSet<u64> = sent.iter().map(id).collect();
    scratch.client.eventually(|| {
        let listed: BTreeSet<u64> = scratch.assets(&draft)?.iter().map(id).collect();
        let own = scratch.read(&draft)?;
        let own: BTreeSet<u64> = own["assets"].as_array().into_iter().flatten().map(id).collect();
        let same = listed == sent && own == sent;
        Ok(if same { Ok(()) } else { Err(format!("sent {sent:?}, listed {listed:?}, on the release {own:?}")) })
    })?;
    holds()
}

/// What is wrong on the draft is deleted and sent again, without a wait.
fn freed(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let wrong = scratch.asset(&draft, "a.bin", &bytes(11))?;
    scratch.client.delete(&format!("releases/assets/{}", id(&wrong)))?.expect(204)?;
    let right = scratch.upload(&draft, "a.bin", &bytes(12))?.expect(201)?.json();
    ensure_field(&right, "name", "a.bin")?;
    ensure(id(&right) != id(&wrong), || "the new asset has the id of the old one".to_owned())?;
    holds()
}
