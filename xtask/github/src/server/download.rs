//! The way to an asset's bytes: public addresses lead to signed ones on another host, which needs no token and takes none.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::model::{Asset, AssetState};
use crate::rules::Refusal;
use crate::server::answer::{Answer, Content, Outcome};
use crate::server::call::Call;
use crate::server::json;
use crate::server::store::Store;

pub(crate) const HOST: &str = "release-assets.githubusercontent.com";
pub(crate) const FOLDER: &str = "github-production-release-asset";

/// What makes a signature, so that nobody makes one from an address alone.
const KEY: &str = "stand-in";

/// `github.com/O/R/releases/download/TAG/NAME`: published releases of public repositories alone.
pub(crate) fn public(store: &mut Store, call: &Call, repository: &str, tag: &str, name: &str) -> Outcome {
    let at = store.find(repository).ok_or_else(Refusal::not_found)?;
    let repo = &store.repositories[at];
    if repo.config.private {
        return Err(Refusal::not_found());
    }
    let asset = repo
        .rules
        .published(tag)?
        .asset(name)
        .filter(|it| it.state == AssetState::Uploaded)
        .ok_or_else(Refusal::not_found)?;
    let (id, address) = (asset.id, signed(store, at, asset));
    store.repositories[at].count_download(id);
    Ok(redirect(call, &address))
}

/// `github.com/O/R/releases/latest/download/NAME` leads to the address with the tag.
pub(crate) fn latest(store: &Store, call: &Call, repository: &str, name: &str) -> Outcome {
    let at = store.find(repository).ok_or_else(Refusal::not_found)?;
    let repo = &store.repositories[at];
    let release = repo.rules.latest_of(&repo.rules.releases).filter(|_| !repo.config.private);
    let tag = json::path(&release.ok_or_else(Refusal::not_found)?.tag_name);
    let (repository, name) = (&repo.rules.name, json::path(name));
    let address = format!("https://github.com/{repository}/releases/download/{tag}/{name}");
    Ok(redirect(call, &address))
}

/// Sends a client elsewhere. `gh` believes that it speaks TLS to the socket, curl doesn't and could not follow to `https`.
pub(crate) fn redirect(call: &Call, address: &str) -> Answer {
    let plain = call.header("user-agent").is_some_and(|it| it.starts_with("curl/"));
    let address = if plain { address.replacen("https://", "http://", 1) } else { address.to_owned() };
    Answer::empty(302).with("Location", address)
}

/// An address of an asset's bytes that works for a while.
pub(crate) fn signed(store: &Store, at: usize, asset: &Asset) -> String {
    let path = format!("/{FOLDER}/{}/{}", store.repositories[at].rules.id, asset.id);
    let expires = json::time(SystemTime::now() + store.settings.signature_lifetime);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("sp", "r")
        .append_pair("se", &expires)
        .append_pair("sig", &signature(&path, &expires))
        .append_pair("filename", &asset.name)
        .finish();
    format!("https://{HOST}{path}?{query}")
}

/// The asset host itself.
pub(crate) fn bytes(store: &Store, call: &Call) -> Answer {
    if call.header("authorization").is_some() {
        return failure(400, "InvalidAuthenticationInfo");
    }
    let expires = call.parameter("se").unwrap_or_default();
    let valid = call.parameter("sig") == Some(&signature(&call.path, expires));
    let in_time = humantime::parse_rfc3339(expires).is_ok_and(|it| it > SystemTime::now());
    if !valid || !in_time {
        return failure(403, "AuthenticationFailed");
    }
    let id = call.segments.last().and_then(|it| it.parse().ok());
    let mut repositories = store.repositories.iter();
    let found = id.and_then(|id| repositories.find_map(|it| it.rules.asset(id).ok()));
    let Some((_, asset)) = found else {
        return failure(404, "BlobNotFound");
    };
    content(call, asset)
}

/// The bytes of an asset, or the part that is asked for.
pub(crate) fn content(call: &Call, asset: &Asset) -> Answer {
    let (status, offset, length) = match range(call.header("range"), asset.size) {
        Range::Whole => (200, 0, asset.size),
        Range::Part { from, to } => (206, from, to + 1 - from),
        Range::Outside => {
            let answer = failure(416, "InvalidRange");
            return answer.with("Content-Range", format!("bytes */{}", asset.size));
        }
    };
    let mut answer = Answer::empty(status)
        .with("Content-Type", "application/octet-stream")
        .with("Accept-Ranges", "bytes")
        .with("ETag", format!("\"0x{:X}\"", asset.id))
        .with("Content-Disposition", format!("attachment; filename={}", asset.name));
    if status == 206 {
        let (to, size) = (offset + length - 1, asset.size);
        answer = answer.with("Content-Range", format!("bytes {offset}-{to}/{size}"));
    }
    let path = asset.file.clone();
    answer.body = Content::File { path, offset, length };
    answer
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// Both ends belong to it.
    Part {
        from: u64,
        to: u64,
    },
    Outside,
}

/// One range of bytes; anything else than `bytes=N-`, `bytes=N-M` and `bytes=-N` is not heeded.
fn range(header: Option<&str>, size: u64) -> Range {
    let parts = header.and_then(|it| it.strip_prefix("bytes=")).and_then(|it| it.split_once('-'));
    let (from, to) = match parts.map(|(from, to)| (from, to, from.parse(), to.parse::<u64>())) {
        Some((_, "", Ok(from), _)) => (from, size.saturating_sub(1)),
        Some((_, _, Ok(from), Ok(to))) if from <= to => (from, to.min(size.saturating_sub(1))),
        Some(("", _, _, Ok(last))) if last > 0 => (size.saturating_sub(last), size.saturating_sub(1)),
        _ => return Range::Whole,
    };
    if from >= size {
        return Range::Outside;
    }
    Range::Part { from, to }
}

fn signature(path: &str, expires: &str) -> String {
    json::hex(&Sha256::digest(format!("{KEY}\n{path}\n{expires}")))
}

/// An error as the store of bytes gives it.
fn failure(status: u16, code: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
    Answer::text(status, "application/xml", text)
}

#[cfg(test)]
mod tests {
    use super::{Range, range};

    #[test]
    fn ranges_of_ten_bytes() {
        let part = |from, to| Range::Part { from, to };
        let table = [
            (None, Range::Whole),
            (Some("bytes=0-"), part(0, 9)),
            (Some("bytes=4-"), part(4, 9)),
            (Some("bytes=4-6"), part(4, 6)),
            (Some("bytes=4-600"), part(4, 9)),
            (Some("bytes=-3"), part(7, 9)),
            (Some("bytes=-30"), part(0, 9)),
            (Some("bytes=9-9"), part(9, 9)),
            (Some("bytes=10-"), Range::Outside),
            (Some("bytes=10-12"), Range::Outside),
            (Some("bytes=6-4"), Range::Whole),
            (Some("bytes=1-2,4-5"), Range::Whole),
            (Some("lines=1-2"), Range::Whole),
            (Some("bytes=-"), Range::Whole),
        ];
        for (header, expected) in table {
            assert_eq!(range(header, 10), expected, "{header:?}");
        }
    }
}
