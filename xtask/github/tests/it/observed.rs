//! What a test sees: requests, the timeline, and the hook.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use github_stand_in::{Action, GitHub, Moment, SeedRelease, Settings};
use serde_json::{Value, json};

use crate::world::{OWNER, REPO, STRANGER, WRITER, World, eventually};

#[test]
fn every_request_is_logged_in_order() {
    let world = World::new();
    let new = json!({ "tag_name": "t", "draft": true });
    let created = world.repo(WRITER, "POST", "/releases", &new);
    let sent = created.body.len() as u64;
    let id = created.ok(201)["id"].as_u64().unwrap();
    world.upload(OWNER, id, "a.txt", b"0123456789").ok(201);
    world.get(STRANGER, "user?a=b").ok(401);

    let log = world.hub.requests();
    let numbers: Vec<usize> = log.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let [post, upload, user] = log.try_into().unwrap();
    assert_eq!((post.method.as_str(), post.host.as_str()), ("POST", "api.github.com"));
    assert_eq!(post.path, format!("/repos/{REPO}/releases"));
    assert_eq!((post.body, post.status), (Some(new), Some(201)));
    assert_eq!((post.login.as_deref(), post.bytes_sent), (Some("wim"), sent));
    assert_eq!((upload.host.as_str(), upload.query.as_str()), ("uploads.github.com", "name=a.txt"));
    assert_eq!((upload.login.as_deref(), upload.content_length), (Some("olga"), Some(10)));
    assert_eq!((upload.bytes_received, upload.body), (10, None));
    assert_eq!((user.query.as_str(), user.status, user.login), ("a=b", Some(401), None));
    assert!(!user.authorized && user.fault.is_none());
}

#[test]
fn the_timeline_has_one_entry_for_each_change() {
    let world = World::new();
    let publish = json!({ "tag_name": "latest", "prerelease": true, "name": "N" });
    let id = world.repo(WRITER, "POST", "/releases", &publish).ok(201)["id"].as_u64().unwrap();
    world.get(STRANGER, &format!("repos/{REPO}/releases")).ok(200);
    world.upload(WRITER, id, "a.txt", b"a").ok(201);
    world.git(&["push", "-q", "--force", "origin", "v0.44:refs/tags/latest"]);
    world.get(STRANGER, &format!("repos/{REPO}/releases")).ok(200);
    world.repo(WRITER, "DELETE", &format!("/releases/{id}"), &Value::Null).ok(204);

    let (main, tag) = (world.git(&["rev-parse", "main"]), world.git(&["rev-parse", "v0.44"]));
    let first = world.git(&["rev-parse", "v0.44^{commit}"]);
    let seen: Vec<Value> = world
        .hub
        .timeline()
        .iter()
        .map(|it| {
            let tag = it.tag.as_ref().map(|it| json!([it.object, it.commit]));
            let release = it.release.as_ref();
            let assets = release.map(|it| {
                let each = it.assets.iter();
                json!(each.map(|it| format!("{} {} {}", it.name, it.size, it.state.name())).collect::<Vec<_>>())
            });
            json!([it.request, release.map(|it| it.id), tag, assets])
        })
        .collect();
    let expected = [
        json!([null, null, null, null]),
        json!([1, id, [main, main], []]),
        json!([3, id, [main, main], ["a.txt 0 starter"]]),
        json!([3, id, [main, main], ["a.txt 1 uploaded"]]),
        json!([4, id, [tag, first], ["a.txt 1 uploaded"]]),
        json!([5, null, [tag, first], null]),
    ];
    assert_eq!(seen, expected);
    assert!(world.hub.timeline().is_sorted_by_key(|it| it.at));
}

#[test]
fn a_push_without_a_request_is_seen_when_asked() {
    let world = World::new();
    world.seed(SeedRelease::prerelease("latest"));
    world.git(&["push", "-q", "--force", "origin", "v0.44:refs/tags/latest"]);
    let shown = world.hub.timeline().pop().unwrap();
    assert_eq!(shown.tag.unwrap().object, world.git(&["rev-parse", "v0.44"]));
}

#[test]
fn a_hook_sees_a_request_before_and_after_its_work() {
    let world = World::new();
    let (sender, moments) = channel();
    let (sender, hub) = (Mutex::new(sender), world.hub.hub());
    world.hub.on_request(move |request, moment| {
        let releases = hub.state().repository(REPO).releases.len();
        sender.lock().unwrap().send((moment, request.status, releases)).unwrap();
        Action::Proceed
    });
    world.repo(WRITER, "POST", "/releases", &json!({ "tag_name": "t", "draft": true })).ok(201);
    let seen: Vec<_> = moments.try_iter().collect();
    assert_eq!(seen, [(Moment::Before, None, 0), (Moment::After, Some(201), 1)]);
}

#[test]
fn one_client_can_wait_while_another_acts() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    world.hub.on_request(move |request, moment| {
        if request.method == "PATCH" && moment == Moment::Before {
            wait.lock().unwrap().recv().unwrap();
        }
        Action::Proceed
    });
    let url = format!("http://api.github.com/repos/{REPO}/releases/{id}");
    let child = world.curl_child(WRITER, "PATCH", &url, &["-d", "{}"], None);
    eventually(|| world.hub.requests().len() == 1);
    world.repo(OWNER, "DELETE", &format!("/releases/{id}"), &Value::Null).ok(204);
    go.send(()).unwrap();
    let late = crate::world::Got::of(&child.wait_with_output().unwrap());
    assert_eq!(late.status, 404);
}

#[test]
fn the_work_of_a_client_that_is_killed_is_done() {
    let world = World::new();
    let (sender, reached) = channel();
    let (go, wait) = channel::<()>();
    let (sender, wait) = (Mutex::new(sender), Mutex::new(wait));
    world.hub.on_request(move |request, moment| {
        if request.method == "POST" && moment == Moment::After {
            sender.lock().unwrap().send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        Action::Proceed
    });
    let url = format!("http://api.github.com/repos/{REPO}/releases");
    let body = json!({ "tag_name": "t", "draft": true }).to_string();
    let mut child = world.curl_child(WRITER, "POST", &url, &["-d", &body], None);
    reached.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    go.send(()).unwrap();
    assert_eq!(world.state().drafts("t").count(), 1);
}

#[test]
fn connections_can_be_shut_down() {
    let world = World::new();
    let (sender, reached) = channel();
    let sender = Mutex::new(sender);
    let hub = world.hub.hub();
    world.hub.on_request(move |_, moment| {
        if moment == Moment::Before {
            sender.lock().unwrap().send(()).unwrap();
            hub.shut_down_connections();
        }
        Action::Proceed
    });
    assert_eq!(world.get(WRITER, "user").status, 0);
    reached.recv().unwrap();
    world.hub.reset_faults();
    assert_eq!(world.get(WRITER, "user").status, 200);
}

#[test]
fn the_socket_goes_and_a_stale_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    let settings = Settings::new(&socket, dir.path().join("storage"));
    let hub = GitHub::start(settings.clone()).unwrap();
    assert!(GitHub::start(settings.clone()).is_err());
    drop(hub);
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    GitHub::start(settings).unwrap();
    assert!(!socket.exists());
}
