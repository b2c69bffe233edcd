//! Who may read and write what.

use github_stand_in::SeedRelease;
use serde_json::{Value, json};

use crate::world::{FORGER, OWNER, READER, REPO, SCOPELESS, STRANGER, WORKFLOW, WRITER, World, upload_url};

#[test]
fn the_repository_says_what_the_token_may_do() {
    let world = World::new();
    let table = [
        (OWNER, json!([true, true, true])),
        (WRITER, json!([false, true, true])),
        (READER, json!([false, false, true])),
        (STRANGER, json!([null, null, null])),
    ];
    for (who, expected) in table {
        let body = world.repo(who, "GET", "", &Value::Null).ok(200);
        let granted = &body["permissions"];
        let granted = json!([granted["admin"], granted["push"], granted["pull"]]);
        assert_eq!(granted, expected, "{who:?}");
        assert_eq!(body["full_name"], REPO);
        assert_eq!(body["default_branch"], "main");
        assert_eq!(body["archived"], false);
    }
}

#[test]
fn users_have_a_name_and_workflows_do_not() {
    let world = World::new();
    let table = [
        (OWNER, 200, json!("olga"), ""),
        (WORKFLOW, 403, json!(null), "Resource not accessible by integration"),
        (STRANGER, 401, json!(null), "Requires authentication"),
        (FORGER, 401, json!(null), "Bad credentials"),
    ];
    for (who, status, login, message) in table {
        let got = world.get(who, "user");
        assert_eq!(got.ok(status)["login"], login, "{who:?}");
        assert_eq!(got.message(), message, "{who:?}");
    }
}

#[test]
fn only_admins_learn_whether_releases_are_immutable() {
    let world = World::new();
    let path = "/immutable-releases";
    let ask = |who| world.repo(who, "GET", path, &Value::Null);
    assert_eq!(ask(OWNER).ok(200)["enabled"], false);
    world.hub.change_repository(REPO, |it| it.immutable_releases = true).unwrap();
    assert_eq!(ask(OWNER).ok(200)["enabled"], true);
    assert_eq!(ask(WRITER).status, 403);
    assert_eq!(ask(WORKFLOW).message(), "Resource not accessible by integration");
    assert_eq!(ask(STRANGER).status, 401);
}

#[test]
fn writing_needs_push() {
    let world = World::new();
    let release = world.seed(SeedRelease::prerelease("latest"));
    let asset = world.seed_asset(release, "a.txt", b"a");
    let writes = [
        ("POST", "/releases".to_owned()),
        ("PATCH", format!("/releases/{release}")),
        ("DELETE", format!("/releases/{release}")),
        ("PATCH", format!("/releases/assets/{asset}")),
        ("DELETE", format!("/releases/assets/{asset}")),
    ];
    let table = [
        (READER, 403, "Resource not accessible by personal access token"),
        (SCOPELESS, 404, "Not Found"),
        (STRANGER, 401, "Requires authentication"),
        (FORGER, 401, "Bad credentials"),
    ];
    for (who, status, message) in table {
        for (method, path) in &writes {
            let got = world.repo(who, method, path, &json!({ "tag_name": "latest" }));
            got.ok(status);
            assert_eq!(got.message(), message, "{who:?} {method} {path}");
        }
        let got = world.upload(who, release, "b.txt", b"b");
        assert_eq!((got.status, got.message()), (status, message.into()));
    }
    assert_eq!(world.release(release).uploaded(), ["a.txt"]);
}

#[test]
fn an_archived_repository_is_read_only() {
    let world = World::new();
    let release = world.seed(SeedRelease::prerelease("latest"));
    world.hub.change_repository(REPO, |it| it.archived = true).unwrap();
    assert_eq!(world.get(OWNER, &format!("repos/{REPO}")).ok(200)["archived"], true);
    let edit = json!({ "tag_name": "latest", "name": "n" });
    let edited = world.repo(OWNER, "PATCH", &format!("/releases/{release}"), &edit);
    let uploaded = world.upload(OWNER, release, "b.txt", b"b");
    for got in [edited, uploaded] {
        got.ok(403);
        assert_eq!(got.message(), "Repository was archived so is read-only.");
    }
}

#[test]
fn a_private_repository_is_not_there_for_others() {
    let world = World::new();
    let seed = SeedRelease::prerelease("latest").asset("a.txt", "a");
    world.seed(seed);
    world.hub.change_repository(REPO, |it| it.private = true).unwrap();
    world.hub.add_token("other", github_stand_in::Token::classic("otto"));
    let tag = format!("repos/{REPO}/releases/tags/latest");
    assert_eq!(world.get(STRANGER, &tag).status, 404);
    assert_eq!(world.get(READER, &tag).status, 200);
    let url = format!("http://github.com/{REPO}/releases/download/latest/a.txt");
    assert_eq!(world.curl(STRANGER, "GET", &url, &[], None).status, 404);
}

#[test]
fn drafts_are_for_those_who_can_push() {
    let world = World::new();
    let draft = world.seed(SeedRelease::draft("latest-incoming").asset("a.txt", "a"));
    let asset = world.release(draft).assets[0].id;
    let paths =
        [format!("/releases/{draft}"), format!("/releases/{draft}/assets"), format!("/releases/assets/{asset}")];
    for path in paths {
        for (who, status) in [(WRITER, 200), (READER, 404), (STRANGER, 404)] {
            let got = world.repo(who, "GET", &path, &Value::Null);
            assert_eq!(got.status, status, "{who:?} {path}");
        }
    }
    for (who, count) in [(WRITER, 1), (READER, 0), (STRANGER, 0)] {
        let all = world.repo(who, "GET", "/releases", &Value::Null).ok(200);
        assert_eq!(all.as_array().unwrap().len(), count, "{who:?}");
    }
}

#[test]
fn answers_carry_the_usual_headers() {
    let world = World::new();
    let got = world.get(OWNER, "user");
    assert_eq!(got.header("X-OAuth-Scopes"), Some("gist, read:org, repo, workflow"));
    assert!(got.header("X-GitHub-Request-Id").is_some());
    assert_eq!(got.header("X-RateLimit-Remaining"), Some("4999"));
    assert_eq!(world.get(WRITER, "user").header("X-OAuth-Scopes"), None);
}

#[test]
fn each_path_is_at_one_host_only_and_others_are_noticed() {
    let world = World::new();
    let release = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    let asked = [
        ("GET", format!("http://github.com/repos/{REPO}")),
        ("GET", format!("http://uploads.github.com/repos/{REPO}")),
        ("POST", upload_url(release, "b.txt").replace("uploads", "api")),
        ("GET", format!("http://api.github.com/{REPO}/releases/download/latest/a.txt")),
        ("GET", "http://example.org/".to_owned()),
        ("GET", format!("http://api.github.com/repos/{REPO}/stargazers")),
        ("PUT", format!("http://api.github.com/repos/{REPO}/releases/{release}")),
    ];
    for (method, url) in &asked {
        let body = (*method == "POST").then_some(b"b".as_slice());
        let got = world.curl(OWNER, method, url, &[], body);
        assert_eq!(got.status, 404, "{method} {url}");
    }
    let noticed = world.hub.unexpected();
    assert_eq!(noticed.len(), asked.len());
    let is_noted =
        |(it, (_, url)): (&github_stand_in::Request, &(&str, String))| url.contains(&it.path) && url.contains(&it.host);
    assert!(noticed.iter().zip(&asked).all(is_noted));
}
