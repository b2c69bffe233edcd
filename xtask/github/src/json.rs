//! How GitHub writes its objects as JSON.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::git::{Commit, Signature, TagObject};
use crate::model::{Asset, AssetState, Comment, Issue, Release};
use crate::store::Repo;

/// What stays as it is in a path.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'+').remove(b'@');

pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Bytes as hex digits, two each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(bytes))
}

pub(crate) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

pub(crate) fn user(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    json!({
        "login": login,
        "id": user_id(login),
        "node_id": format!("U_{}", user_id(login)),
        "type": kind,
        "site_admin": false,
        "url": format!("https://api.github.com/users/{login}"),
        "html_url": format!("https://github.com/{login}"),
    })
}

pub(crate) fn release(repo: &Repo, release: &Release) -> Value {
    let api = format!("https://api.github.com/repos/{}/releases", repo.rules.name);
    let (id, name) = (release.id, &repo.rules.name);
    let uploaded = release.assets.iter().filter(|it| it.state == AssetState::Uploaded);
    let assets: Vec<Value> = uploaded.map(|it| asset(repo, release, it)).collect();
    json!({
        "url": format!("{api}/{id}"),
        "assets_url": format!("{api}/{id}/assets"),
        "upload_url": format!("https://uploads.github.com/repos/{name}/releases/{id}/assets{{?name,label}}"),
        "html_url": format!("https://github.com/{name}/releases/tag/{}", path(&address(release))),
        "id": id,
        "node_id": format!("RE_{id}"),
        "author": user(&release.author),
        "tag_name": release.tag_name,
        "target_commitish": release.target_commitish,
        "name": release.name,
        "body": release.body,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "immutable": release.immutable,
        "created_at": time(release.created_at),
        "published_at": release.published_at.map(time),
        "assets": assets,
        "tarball_url": format!("https://api.github.com/repos/{name}/tarball/{}", path(&release.tag_name)),
        "zipball_url": format!("https://api.github.com/repos/{name}/zipball/{}", path(&release.tag_name)),
    })
}

pub(crate) fn asset(repo: &Repo, release: &Release, asset: &Asset) -> Value {
    let (id, name) = (asset.id, &repo.rules.name);
    let download =
        format!("https://github.com/{name}/releases/download/{}/{}", path(&address(release)), path(&asset.name));
    json!({
        "url": format!("https://api.github.com/repos/{name}/releases/assets/{id}"),
        "id": id,
        "node_id": format!("RA_{id}"),
        "name": asset.name,
        "label": asset.label.as_deref().unwrap_or_default(),
        "state": asset.state.name(),
        "content_type": asset.content_type,
        "size": asset.size,
        "digest": asset.digest,
        "download_count": asset.download_count,
        "created_at": time(asset.created_at),
        "updated_at": time(asset.updated_at),
        "uploader": user(&asset.uploader),
        "browser_download_url": download,
    })
}

pub(crate) fn issue(repo: &Repo, issue: &Issue) -> Value {
    let (number, name) = (issue.number, &repo.rules.name);
    json!({
        "id": number,
        "number": number,
        "title": issue.title,
        "body": issue.body,
        "state": "open",
        "user": user(&issue.author),
        "comments": issue.comments.len(),
        "created_at": time(issue.created_at),
        "url": format!("https://api.github.com/repos/{name}/issues/{number}"),
        "html_url": format!("https://github.com/{name}/issues/{number}"),
    })
}

pub(crate) fn comment(repo: &Repo, issue: u64, comment: &Comment) -> Value {
    let (id, name) = (comment.id, &repo.rules.name);
    json!({
        "id": id,
        "body": comment.body,
        "user": user(&comment.author),
        "created_at": time(comment.created_at),
        "updated_at": time(comment.updated_at),
        "url": format!("https://api.github.com/repos/{name}/issues/comments/{id}"),
        "html_url": format!("https://github.com/{name}/issues/{issue}#issuecomment-{id}"),
        "issue_url": format!("https://api.github.com/repos/{name}/issues/{issue}"),
    })
}

pub(crate) fn commit(repo: &Repo, commit: &Commit) -> Value {
    let (sha, name) = (&commit.sha, &repo.rules.name);
    let link = |sha: &String| format!("https://api.github.com/repos/{name}/commits/{sha}");
    let parents: Vec<Value> = commit.parents.iter().map(|sha| json!({ "sha": sha, "url": link(sha) })).collect();
    json!({
        "sha": sha,
        "url": link(sha),
        "html_url": format!("https://github.com/{name}/commit/{sha}"),
        "commit": {
            "author": signature(&commit.author),
            "committer": signature(&commit.committer),
            "message": commit.message,
            "tree": { "sha": commit.tree },
        },
        "parents": parents,
    })
}

/// A commit as the git database gives it: without the envelope that [`commit`] has.
pub(crate) fn git_commit(repo: &Repo, commit: &Commit) -> Value {
    let (sha, name) = (&commit.sha, &repo.rules.name);
    let link = |kind: &str, sha: &String| format!("https://api.github.com/repos/{name}/git/{kind}/{sha}");
    let parents = commit.parents.iter().map(|sha| json!({ "sha": sha, "url": link("commits", sha) }));
    json!({
        "sha": sha,
        "url": link("commits", sha),
        "html_url": format!("https://github.com/{name}/commit/{sha}"),
        "author": signature(&commit.author),
        "committer": signature(&commit.committer),
        "message": commit.message,
        "tree": { "sha": commit.tree, "url": link("trees", &commit.tree) },
        "parents": parents.collect::<Vec<_>>(),
    })
}

pub(crate) fn tag_object(repo: &Repo, sha: &str, tag: &TagObject) -> Value {
    json!({
        "sha": sha,
        "tag": tag.tag,
        "message": tag.message,
        "url": format!("https://api.github.com/repos/{}/git/tags/{sha}", repo.rules.name),
        "tagger": tag.tagger.as_ref().map(signature),
        "object": object(repo, &tag.object, &tag.kind),
    })
}

pub(crate) fn git_ref(repo: &Repo, name: &str, sha: &str, kind: &str) -> Value {
    let short = path(name.trim_start_matches("refs/"));
    json!({
        "ref": name,
        "url": format!("https://api.github.com/repos/{}/git/refs/{short}", repo.rules.name),
        "object": object(repo, sha, kind),
    })
}

/// A number that is the same for the same login.
pub(crate) fn user_id(login: &str) -> u64 {
    let fold = |sum: u64, byte: u8| (sum * 31 + u64::from(byte)) % 100_000_000;
    login.bytes().fold(7, fold)
}

fn object(repo: &Repo, sha: &str, kind: &str) -> Value {
    let url = format!("https://api.github.com/repos/{}/git/{kind}s/{sha}", repo.rules.name);
    json!({ "sha": sha, "type": kind, "url": url })
}

fn signature(of: &Signature) -> Value {
    json!({ "name": of.name, "email": of.email, "date": time(of.date) })
}

/// How addresses name a release: a draft's don't hold its tag name.
fn address(release: &Release) -> Cow<'_, str> {
    if release.draft { release.untagged().into() } else { release.tag_name.as_str().into() }
}
