//! How GitHub writes its objects as JSON.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::model::{Asset, AssetState, Comment, Issue, Release};
use crate::server::git::{Commit, Signature, TagObject};
use crate::server::store::Repo;

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
    let address = format!("https://api.github.com/users/{login}");
    let mut user = json!({
        "login": login,
        "id": user_id(login),
        "node_id": format!("U_{}", user_id(login)),
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
        "gravatar_id": "",
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", user_id(login)),
        "html_url": format!("https://github.com/{login}"),
        "url": address,
    });
    let below = [
        ("events_url", "events{/privacy}"),
        ("followers_url", "followers"),
        ("following_url", "following{/other_user}"),
        ("gists_url", "gists{/gist_id}"),
        ("organizations_url", "orgs"),
        ("received_events_url", "received_events"),
        ("repos_url", "repos"),
        ("starred_url", "starred{/owner}{/repo}"),
        ("subscriptions_url", "subscriptions"),
    ];
    for (key, path) in below {
        user[key] = format!("{address}/{path}").into();
    }
    user
}

/// Somebody as GitHub tells them of themselves.
pub(crate) fn current_user(login: &str) -> Value {
    let mut user = user(login);
    for key in ["name", "company", "location", "email", "hireable", "bio"] {
        user[key] = Value::Null;
    }
    user["blog"] = "".into();
    for key in ["public_repos", "public_gists", "followers", "following"] {
        user[key] = 0.into();
    }
    for key in ["created_at", "updated_at"] {
        user[key] = time(SystemTime::UNIX_EPOCH).into();
    }
    user
}

/// What the tool reads comes first; the rest is there because GitHub always gives it.
pub(crate) fn repository(repo: &Repo) -> Value {
    let full_name = &repo.rules.name;
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    let address = format!("https://api.github.com/repos/{full_name}");
    let mut repository = json!({
        "id": repo.rules.id,
        "node_id": format!("R_{}", repo.rules.id),
        "name": name,
        "full_name": full_name,
        "owner": user(owner),
        "private": repo.config.private,
        "visibility": if repo.config.private { "private" } else { "public" },
        "archived": repo.config.archived,
        "disabled": false,
        "fork": false,
        "default_branch": repo.rules.default_branch,
        "html_url": format!("https://github.com/{full_name}"),
        "url": address,
        "clone_url": format!("https://github.com/{full_name}.git"),
        "git_url": format!("git://github.com/{full_name}.git"),
        "ssh_url": format!("git@github.com:{full_name}.git"),
        "svn_url": format!("https://github.com/{full_name}"),
    });
    for key in ["created_at", "updated_at", "pushed_at"] {
        repository[key] = time(SystemTime::UNIX_EPOCH).into();
    }
    for key in ["description", "homepage", "language", "license", "mirror_url"] {
        repository[key] = Value::Null;
    }
    for key in ["has_issues", "has_projects", "has_wiki", "has_downloads"] {
        repository[key] = true.into();
    }
    for key in ["has_discussions", "has_pages", "is_template", "web_commit_signoff_required"] {
        repository[key] = false.into();
    }
    let counts = ["forks", "open_issues", "stargazers", "watchers", "network", "subscribers"];
    for key in counts.map(|it| format!("{it}_count")).iter().map(String::as_str).chain([
        "forks",
        "open_issues",
        "watchers",
        "size",
    ]) {
        repository[key] = 0.into();
    }
    repository["allow_forking"] = true.into();
    repository["topics"] = json!([]);
    let below = [
        "archive_url {archive_format}{/ref}",
        "assignees_url assignees{/user}",
        "blobs_url git/blobs{/sha}",
        "branches_url branches{/branch}",
        "collaborators_url collaborators{/collaborator}",
        "comments_url comments{/number}",
        "commits_url commits{/sha}",
        "compare_url compare/{base}...{head}",
        "contents_url contents/{+path}",
        "contributors_url contributors",
        "deployments_url deployments",
        "downloads_url downloads",
        "events_url events",
        "forks_url forks",
        "git_commits_url git/commits{/sha}",
        "git_refs_url git/refs{/sha}",
        "git_tags_url git/tags{/sha}",
        "hooks_url hooks",
        "issue_comment_url issues/comments{/number}",
        "issue_events_url issues/events{/number}",
        "issues_url issues{/number}",
        "keys_url keys{/key_id}",
        "labels_url labels{/name}",
        "languages_url languages",
        "merges_url merges",
        "milestones_url milestones{/number}",
        "notifications_url notifications{?since,all,participating}",
        "pulls_url pulls{/number}",
        "releases_url releases{/id}",
        "stargazers_url stargazers",
        "statuses_url statuses/{sha}",
        "subscribers_url subscribers",
        "subscription_url subscription",
        "tags_url tags",
        "teams_url teams",
        "trees_url git/trees{/sha}",
    ];
    for (key, path) in below.iter().filter_map(|it| it.split_once(' ')) {
        repository[key] = format!("{address}/{path}").into();
    }
    repository
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
    let address = format!("https://api.github.com/repos/{name}/issues/{number}");
    json!({
        "id": number,
        "node_id": format!("I_{number}"),
        "number": number,
        "title": issue.title,
        "body": issue.body,
        "state": if issue.is_open { "open" } else { "closed" },
        "labels": issue.labels.iter().map(|name| label(repo, name)).collect::<Vec<_>>(),
        "assignee": null,
        "milestone": null,
        "locked": false,
        "closed_at": (!issue.is_open).then(|| time(issue.created_at)),
        "updated_at": time(issue.created_at),
        "repository_url": format!("https://api.github.com/repos/{name}"),
        "labels_url": format!("{address}/labels{{/name}}"),
        "comments_url": format!("{address}/comments"),
        "events_url": format!("{address}/events"),
        "user": user(&issue.author),
        "comments": issue.comments.len(),
        "created_at": time(issue.created_at),
        "url": address,
        "html_url": format!("https://github.com/{name}/issues/{number}"),
    })
}

fn label(repo: &Repo, name: &str) -> Value {
    json!({
        "id": 1,
        "node_id": "LA_1",
        "url": format!("https://api.github.com/repos/{}/labels/{name}", repo.rules.name),
        "name": name,
        "color": "ededed",
        "default": false,
        "description": null,
    })
}

pub(crate) fn comment(repo: &Repo, issue: u64, comment: &Comment) -> Value {
    let (id, name) = (comment.id, &repo.rules.name);
    json!({
        "id": id,
        "node_id": format!("IC_{id}"),
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
    let page = |sha: &String| format!("https://github.com/{name}/commit/{sha}");
    let parents = commit.parents.iter().map(|sha| json!({ "sha": sha, "url": link(sha), "html_url": page(sha) }));
    let inner = git_commit(repo, commit);
    json!({
        "sha": sha,
        "node_id": inner["node_id"],
        "url": link(sha),
        "html_url": page(sha),
        "comments_url": format!("{}/comments", link(sha)),
        // Nobody here has told GitHub their address.
        "author": null,
        "committer": null,
        "commit": {
            "author": inner["author"],
            "committer": inner["committer"],
            "message": commit.message,
            "tree": inner["tree"],
            "url": inner["url"],
            "comment_count": 0,
            "verification": inner["verification"],
        },
        "parents": parents.collect::<Vec<_>>(),
    })
}

/// A commit as the git database gives it: without the envelope that [`commit`] has.
pub(crate) fn git_commit(repo: &Repo, commit: &Commit) -> Value {
    let (sha, name) = (&commit.sha, &repo.rules.name);
    let link = |kind: &str, sha: &String| format!("https://api.github.com/repos/{name}/git/{kind}/{sha}");
    let page = |sha: &String| format!("https://github.com/{name}/commit/{sha}");
    let parents =
        commit.parents.iter().map(|sha| json!({ "sha": sha, "url": link("commits", sha), "html_url": page(sha) }));
    json!({
        "sha": sha,
        "node_id": format!("C_{sha}"),
        "url": link("commits", sha),
        "html_url": page(sha),
        "verification": unsigned(),
        "author": signature(&commit.author),
        "committer": signature(&commit.committer),
        "message": commit.message,
        "tree": { "sha": commit.tree, "url": link("trees", &commit.tree) },
        "parents": parents.collect::<Vec<_>>(),
    })
}

/// What GitHub says of a commit or tag that nobody signed.
fn unsigned() -> Value {
    json!({ "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null })
}

pub(crate) fn tag_object(repo: &Repo, sha: &str, tag: &TagObject) -> Value {
    json!({
        "sha": sha,
        "node_id": format!("TA_{sha}"),
        "verification": unsigned(),
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
        "node_id": format!("REF_{sha}"),
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
