//! What GitHub, the remote and this clone say about what is published: the first two are asked side by side, once each.

use std::collections::BTreeMap;
use std::thread;

use super::baseline::{Observed, Published};
use super::history::History;
use crate::gh::{CallError, Gh};
use crate::latest::TAG as LATEST;
use crate::latest::look;
use crate::process::joined;

/// Asks all three. What can't be asked is no error: it is part of what was observed.
pub fn observe(history: &History, gh: anyhow::Result<Gh>, remote: &str) -> anyhow::Result<Observed> {
    let git = history.git().clone();
    let repo = gh.as_ref().map_or_else(|_| "the repository".to_owned(), |gh| gh.repo().to_string());
    thread::scope(|scope| {
        let latest = scope.spawn(move || match gh {
            Ok(gh) => published(&gh).map_err(|error| one_line(&format!("{:#}", anyhow::Error::from(error)))),
            Err(error) => Err(one_line(&format!("{error:#}"))),
        });
        let tags = scope.spawn(move || git.all_remote_tags(remote).map_err(|error| one_line(&format!("{error:#}"))));
        let local_tags = if history.has_repository() { history.git().local_tags() } else { Ok(BTreeMap::new()) };
        Ok(Observed {
            repo,
            remote: remote.to_owned(),
            latest: joined(latest),
            remote_tags: joined(tags),
            local_tags: local_tags?,
            head: history.head.clone(),
        })
    })
}

/// The release on `latest` with its manifest.
pub fn published(gh: &Gh) -> Result<Option<Published>, CallError> {
    let Some(release) = gh.release_by_tag(LATEST)? else {
        // In a repository that isn't there nothing is published either, and that is no answer.
        return gh.repository().map(|_| None);
    };
    let manifest = match look::read_manifest(&release.assets, |asset| gh.read_asset(asset)) {
        Ok(manifest) => manifest.map(Ok),
        // Not to be reached is not the same as not to be read.
        Err(error) => match error.downcast::<CallError>() {
            Ok(unreached) => return Err(unreached),
            Err(unread) => Some(Err(format!("{unread:#}"))),
        },
    };
    Ok(Some(Published::new(release.notes(), &release.assets, manifest)))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
