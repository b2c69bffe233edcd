//! What can be made to go wrong.

use std::time::Duration;

use github_stand_in::{
    Action, AssetState, BrokenUpload, Fault, Injection, Lasting, Limit, Matches, Moment, SeedRelease, StallPoint, Times,
};
use serde_json::{Value, json};

use crate::world::{Got, REPO, STRANGER, WRITER, World, eventually, upload_url};

fn inject(world: &World, matches: Matches, fault: Fault) {
    world.hub.inject(Injection { matches, times: Times::Once, fault });
}

/// A world with one draft, and what an upload of `a.txt` to it gets under a fault.
fn upload_under(fault: Fault) -> (World, u64, Got) {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    inject(&world, Matches::upload("a.txt"), fault);
    let got = world.upload(WRITER, id, "a.txt", b"0123456789");
    (world, id, got)
}

#[test]
fn an_upload_can_go_wrong_in_many_ways() {
    let starter = Some(AssetState::Starter);
    let uploaded = Some(AssetState::Uploaded);
    let refused = Fault::Status { status: 503, message: "m".into(), headers: Vec::new() };
    let table = [
        (refused, 503, None),
        (Fault::BadGateway { leave_starter: true }, 502, starter),
        (Fault::BadGateway { leave_starter: false }, 502, None),
        (Fault::DropBeforeBody, 0, None),
        (Fault::DropMidBody { after: 3 }, 0, starter),
        (Fault::DropAfterWork, 0, uploaded),
        (Fault::CorruptUpload, 201, uploaded),
        (Fault::CorruptUploadUnseen, 201, uploaded),
        (Fault::NullDigest, 201, uploaded),
        (Fault::TruncateAnswer { after: 9 }, 201, uploaded),
    ];
    for (fault, status, left) in table {
        let (world, id, got) = upload_under(fault.clone());
        let state = || world.release(id).asset("a.txt").map(|it| it.state);
        eventually(|| state() == left);
        assert_eq!(got.status, status, "{fault:?}");
        let logged = world.hub.requests().pop().unwrap();
        assert_eq!(logged.fault.as_ref(), Some(&fault));
        assert_eq!(logged.status.unwrap_or(0), status, "{fault:?}");
        // Once is once.
        assert_eq!(world.upload(WRITER, id, "b.txt", b"b").status, 201, "{fault:?}");
    }
}

#[test]
fn a_corrupt_upload_has_the_digest_of_what_is_stored() {
    let (world, id, got) = upload_under(Fault::CorruptUpload);
    let (_, _, sound) = upload_under(Fault::NullDigest);
    assert_eq!(sound.json()["digest"], Value::Null);
    let stored = std::fs::read(&world.release(id).assets[0].file).unwrap();
    assert_eq!(stored, b"1123456789");
    let digest = "sha256:4a5197a6e6cdf4f53e773b21baed3f95f915772cb2c80af620c7c18e708641e2";
    assert_eq!(got.json()["digest"], digest);
}

#[test]
fn a_broken_body_can_leave_nothing() {
    let world = World::with(|it| it.broken_upload = BrokenUpload::Nothing);
    let id = world.seed(SeedRelease::draft("t"));
    inject(&world, Matches::upload("a.txt"), Fault::DropMidBody { after: 3 });
    assert_eq!(world.upload(WRITER, id, "a.txt", b"0123456789").status, 0);
    eventually(|| world.release(id).assets.is_empty());
}

#[test]
fn other_requests_can_go_wrong_before_or_after_their_work() {
    let status = Fault::Status { status: 500, message: "m".into(), headers: vec![("X-A".into(), "b".into())] };
    let table = [
        (Moment::Before, status.clone(), 500, false),
        (Moment::After, status, 500, true),
        (Moment::Before, Fault::BadGateway { leave_starter: true }, 502, false),
        (Moment::After, Fault::BadGateway { leave_starter: true }, 502, true),
        (Moment::Before, Fault::DropBeforeBody, 0, false),
        (Moment::Before, Fault::DropMidBody { after: 1 }, 0, false),
        (Moment::Before, Fault::DropAfterWork, 0, true),
        (Moment::After, Fault::DropAfterWork, 0, true),
        (Moment::Before, Fault::TruncateAnswer { after: 5 }, 201, true),
        (Moment::After, Fault::TruncateAnswer { after: 5 }, 201, true),
    ];
    for (moment, fault, status, done) in table {
        let world = World::new();
        let given = fault.clone();
        world.hub.on_request(move |_, now| if now == moment { Action::Fault(given.clone()) } else { Action::Proceed });
        let new = json!({ "tag_name": "t", "draft": true });
        let got = world.repo(WRITER, "POST", "/releases", &new);
        assert_eq!(got.status, status, "{moment:?} {fault:?}");
        assert_eq!(got.whole, status != 0 && status != 201, "{moment:?} {fault:?}");
        let is_done = world.state().drafts("t").count() == 1;
        assert_eq!(is_done, done, "{moment:?} {fault:?}");
        if status == 500 {
            assert_eq!((got.message(), got.header("X-A")), ("m".into(), Some("b")));
        }
        if status == 201 {
            assert_eq!(got.body.len(), 5);
        }
    }
}

#[test]
fn limits_say_what_they_are() {
    let table = [
        (Limit::Primary, Some(7), "API rate limit exceeded", Some("0")),
        (Limit::Abuse, None, "abuse detection", Some("4999")),
        (Limit::Secondary, None, "secondary rate limit", Some("4999")),
    ];
    for (limit, retry_after, said, remaining) in table {
        let world = World::new();
        inject(&world, Matches::any(), Fault::RateLimited { limit, retry_after });
        let got = world.get(WRITER, "user");
        got.ok(403);
        assert!(got.message().contains(said), "{}", got.message());
        let seconds = retry_after.map(|it| it.to_string());
        assert_eq!(got.header("Retry-After"), seconds.as_deref());
        assert_eq!(got.header("X-RateLimit-Remaining"), remaining);
        assert_eq!(world.get(WRITER, "user").status, 200);
    }
}

#[test]
fn a_stall_lasts_until_it_is_released() {
    let points = [
        (StallPoint::BeforeBody, false),
        (StallPoint::MidBody { after: 3 }, false),
        (StallPoint::BeforeAnswer, true),
        (StallPoint::MidAnswer { after: 3 }, true),
    ];
    for (at, done) in points {
        let world = World::new();
        let id = world.seed(SeedRelease::draft("t"));
        inject(&world, Matches::any(), Fault::Stall { at, lasting: Lasting::UntilReleased });
        let body = b"0123456789".as_slice();
        let mut child = world.curl_child(WRITER, "POST", &upload_url(id, "a.txt"), &[], Some(body));
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), body).unwrap();
        let uploaded = || world.release(id).uploaded() == ["a.txt"];
        eventually(|| world.hub.requests().len() == 1 && uploaded() == done);
        assert!(child.try_wait().unwrap().is_none(), "{at:?}");
        // A release that comes before the stall lets nothing go, so it is repeated.
        eventually(|| {
            world.hub.release();
            child.try_wait().unwrap().is_some()
        });
        assert!(uploaded());
        assert_eq!(Got::of(&child.wait_with_output().unwrap()).status, 201, "{at:?}");
    }
}

#[test]
fn a_stall_can_end_by_itself() {
    let lasting = Lasting::For(Duration::from_millis(1));
    let (world, id, got) = upload_under(Fault::Stall { at: StallPoint::MidBody { after: 3 }, lasting });
    assert_eq!((got.status, world.release(id).uploaded()), (201, vec!["a.txt"]));
}

#[test]
fn a_client_that_gives_up_on_a_stall_frees_its_connection() {
    let world = World::new();
    inject(&world, Matches::any(), Fault::Stall { at: StallPoint::BeforeAnswer, lasting: Lasting::UntilReleased });
    let url = "http://api.github.com/user";
    let got = world.curl(WRITER, "GET", url, &["-m", "0.2"], None);
    assert_eq!((got.status, got.whole), (0, false));
    assert_eq!(world.get(WRITER, "user").status, 200);
}

#[test]
fn listings_can_lag_and_reading_by_id_does_not() {
    let world = World::new();
    let old = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    let lasting = Lasting::UntilReleased;
    inject(&world, Matches::on("PATCH", "*"), Fault::StaleListing { lasting });
    let change = json!({ "tag_name": "latest-previous", "draft": true });
    world.repo(WRITER, "PATCH", &format!("/releases/{old}"), &change).ok(200);
    let new = json!({ "tag_name": "latest", "prerelease": true });
    let new = world.repo(WRITER, "POST", "/releases", &new).ok(201)["id"].as_u64().unwrap();
    world.upload(WRITER, new, "b.txt", b"b").ok(201);

    let get = |path: &str| world.repo(WRITER, "GET", path, &Value::Null);
    let seen = || {
        let listed = get("/releases").ok(200);
        let ids: Vec<u64> = listed.as_array().unwrap().iter().filter_map(|it| it["id"].as_u64()).collect();
        let by_tag = get("/releases/tags/latest").ok(200)["id"].as_u64().unwrap();
        let assets = get(&format!("/releases/{new}/assets")).ok(200).as_array().unwrap().len();
        (ids, by_tag, assets)
    };
    assert_eq!(seen(), (vec![old], old, 0));
    assert_eq!(get(&format!("/releases/{old}")).ok(200)["draft"], true);
    assert_eq!(get(&format!("/releases/{new}")).ok(200)["assets"][0]["name"], "b.txt");
    world.hub.release();
    assert_eq!(seen(), (vec![new, old], new, 1));
}

#[test]
fn reading_by_id_can_lag_and_listings_do_not() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest"));
    inject(&world, Matches::on("PATCH", "*"), Fault::StaleById { lasting: Lasting::UntilReleased });
    let path = format!("/releases/{id}");
    let hide = json!({ "tag_name": "images-v0.44", "draft": true });
    assert_eq!(world.repo(WRITER, "PATCH", &path, &hide).ok(200)["draft"], true);
    let get = |path: &str| world.repo(WRITER, "GET", path, &Value::Null);
    assert_eq!(get(&path).ok(200)["tag_name"], "latest");
    assert_eq!((get("/releases/tags/latest").status, &get("/releases").ok(200)[0]["draft"]), (404, &json!(true)));
    world.hub.release();
    assert_eq!(get(&path).ok(200)["tag_name"], "images-v0.44");
}

#[test]
fn a_listing_that_lags_for_a_time_catches_up() {
    let world = World::new();
    let lasting = Lasting::For(Duration::from_millis(300));
    inject(&world, Matches::on("POST", "*/releases"), Fault::StaleListing { lasting });
    world.repo(WRITER, "POST", "/releases", &json!({ "tag_name": "t", "draft": true })).ok(201);
    let listed = || world.repo(WRITER, "GET", "/releases", &Value::Null).ok(200).as_array().unwrap().len();
    eventually(|| listed() == 1);
}

#[test]
fn downloads_can_break() {
    let world = World::new();
    world.seed(SeedRelease::prerelease("latest").asset("a.txt", "0123456789"));
    let url = format!("http://github.com/{REPO}/releases/download/latest/a.txt");
    let bytes = Matches::on("GET", "/github-production-release-asset/*");
    inject(&world, bytes, Fault::TruncateAnswer { after: 4 });
    let broken = world.curl(STRANGER, "GET", &url, &["-L"], None);
    assert_eq!((broken.whole, broken.body), (false, b"0123".to_vec()));
    let rest = world.curl(STRANGER, "GET", &url, &["-L", "-r", "4-"], None);
    assert_eq!((rest.status, rest.whole, rest.body), (206, true, b"456789".to_vec()));
}

#[test]
fn injections_count_the_requests_that_match() {
    let world = World::new();
    let fault = Fault::Status { status: 500, message: "m".into(), headers: Vec::new() };
    let user = || Matches::on("GET", "/user");
    let nth = |matches, times| world.hub.inject(Injection { matches, times, fault: fault.clone() });
    nth(user().nth(2), Times::Once);
    nth(user().nth(4), Times::Count(2));
    nth(user().nth(7), Times::Forever);
    world.get(WRITER, "repos/a/b");
    let asked: Vec<u16> = (0..9).map(|_| world.get(WRITER, "user").status).collect();
    assert_eq!(asked, [200, 500, 200, 500, 500, 200, 500, 500, 500]);
    world.hub.reset_faults();
    assert_eq!(world.get(WRITER, "user").status, 200);
}

#[test]
fn a_limit_can_be_a_422_or_a_page_of_html() {
    let world = World::new();
    let create = || world.repo(WRITER, "POST", "/releases", &json!({ "tag_name": "t", "draft": true }));
    inject(&world, Matches::any(), Fault::RateLimited { limit: Limit::TooQuickly, retry_after: None });
    let refused = create();
    assert_eq!((refused.invalid(), refused.header("Retry-After")), ("was submitted too quickly".into(), None));
    inject(&world, Matches::any(), Fault::Html);
    let page = create();
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.starts_with(b"<!DOCTYPE html>") && world.state().releases.is_empty());
}

#[test]
fn a_token_can_be_refused_for_once() {
    let world = World::new();
    inject(&world, Matches::any(), Fault::status(401, "Bad credentials"));
    assert_eq!([world.get(WRITER, "user").status, world.get(WRITER, "user").status], [401, 200]);
}

#[test]
fn a_success_can_be_a_draft() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    for (method, path, status) in [("PATCH", format!("/releases/{id}"), 200), ("POST", "/releases".into(), 201)] {
        inject(&world, Matches::on(method, "/repos/*/releases*"), Fault::StaysDraft);
        let publish = json!({ "tag_name": "latest", "draft": false });
        let told = world.repo(WRITER, method, &path, &publish).ok(status);
        assert_eq!(json!([told["draft"], told["tag_name"], told["published_at"]]), json!([true, "latest", null]));
        assert!(told["html_url"].as_str().unwrap().contains("untagged-"), "{told}");
    }
    assert!(world.state().published("latest").is_none());
    assert_eq!(world.git(&["ls-remote", "origin", "latest"]), "");
}

#[test]
fn a_release_can_be_unknown_by_its_id_at_first() {
    let world = World::new();
    inject(&world, Matches::on("POST", "*"), Fault::LateById { lasting: Lasting::UntilReleased });
    let new = json!({ "tag_name": "t", "draft": true });
    let id = world.repo(WRITER, "POST", "/releases", &new).ok(201)["id"].as_u64().unwrap();
    let read = || world.repo(WRITER, "GET", &format!("/releases/{id}"), &Value::Null).status;
    assert_eq!((read(), world.upload(WRITER, id, "a.txt", b"a").status), (404, 404));
    let listed = world.repo(WRITER, "GET", "/releases", &Value::Null).ok(200);
    assert_eq!(listed[0]["id"], id);
    world.hub.release();
    assert_eq!((read(), world.upload(WRITER, id, "a.txt", b"a").status), (200, 201));
}

#[test]
fn bytes_can_come_without_a_redirect() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t").asset("a.txt", "0123456789"));
    let asset = world.release(id).assets[0].id;
    let url = format!("http://api.github.com/repos/{REPO}/releases/assets/{asset}");
    let get = |options: &[&str]| {
        let accept = ["-H", "Accept: application/octet-stream"];
        let got = world.curl(WRITER, "GET", &url, &[&accept, options].concat(), None);
        (got.status, got.body)
    };
    assert_eq!(get(&[]).0, 302);
    world.hub.inject(Injection { matches: Matches::any(), times: Times::Forever, fault: Fault::DirectBytes });
    assert_eq!(get(&[]), (200, b"0123456789".to_vec()));
    assert_eq!(get(&["-r", "4-"]), (206, b"456789".to_vec()));
}

#[test]
fn faults_are_combined() {
    let wait = |at: StallPoint| Fault::Stall { at, lasting: Lasting::For(Duration::from_millis(300)) };
    let gone = Fault::status(502, "Server Error");
    let stale = Fault::StaleListing { lasting: Lasting::UntilReleased };
    let afterwards = |fault: &Fault| Fault::Afterwards(Box::new(fault.clone()));
    let table = [
        // A refusal that takes its time, before or after the work.
        (Fault::All(vec![wait(StallPoint::BeforeBody), gone.clone()]), 502, false, true),
        (Fault::All(vec![gone.clone(), wait(StallPoint::BeforeAnswer)]), 502, false, true),
        (Fault::All(vec![afterwards(&gone), afterwards(&wait(StallPoint::BeforeAnswer))]), 502, true, true),
        // Work that is lost on the way back, and that a listing doesn't show either.
        (Fault::All(vec![stale, Fault::DropAfterWork]), 0, true, false),
        (afterwards(&Fault::DropBeforeBody), 0, true, false),
        (Fault::All(vec![Fault::StaysDraft, afterwards(&gone)]), 502, true, false),
    ];
    for (fault, status, done, slow) in table {
        let world = World::new();
        inject(&world, Matches::on("POST", "*"), fault.clone());
        let started = std::time::Instant::now();
        let got = world.repo(WRITER, "POST", "/releases", &json!({ "tag_name": "t", "draft": true }));
        assert_eq!((got.status, world.state().releases.len()), (status, usize::from(done)), "{fault:?}");
        assert!(!slow || started.elapsed() >= Duration::from_millis(300), "{fault:?}");
        let listed = world.repo(WRITER, "GET", "/releases", &Value::Null).ok(200);
        let stale = matches!(&fault, Fault::All(all) if matches!(all[0], Fault::StaleListing { .. }));
        assert_eq!(listed.as_array().unwrap().len(), usize::from(done && !stale), "{fault:?}");
    }
}

#[test]
fn work_can_be_done_when_its_client_is_gone() {
    let world = World::new();
    let late = Fault::Stall { at: StallPoint::BeforeWork, lasting: Lasting::UntilReleased };
    let id = world.seed(SeedRelease::draft("t"));
    inject(&world, Matches::on("PATCH", "*"), late);
    let url = format!("http://api.github.com/repos/{REPO}/releases/{id}");
    let publish = json!({ "tag_name": "latest", "draft": false }).to_string();
    let got = world.curl(WRITER, "PATCH", &url, &["--max-time", "0.3"], Some(publish.as_bytes()));
    assert_eq!((got.status, world.release(id).draft), (0, true));
    world.hub.release();
    eventually(|| world.state().published("latest").is_some());
}
