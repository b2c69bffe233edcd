//! Answers of GitHub that aren't meant, or come late, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use github_stand_in::{Action, Fault, Injection, Lasting, Limit, Matches, Moment, SeedRelease, Times};
use rehearsal::world::REPOSITORY;

use super::{PUBLISH, ROLLBACK, by_hand, live, sends, verify_and_roll_back, world};

const RELEASE: &str = "/repos/*/releases/*";
const RELEASES: &str = "/repos/*/releases";

#[test]
fn what_passes_is_tried_again_after_a_look() {
    let (world, old) = by_hand("passes");
    let limited = |limit| Fault::RateLimited { limit, retry_after: Some(1) };
    let refused = || Fault::status(401, "Bad credentials");
    let part = || Matches::upload("packer-images.json");
    let cases = [
        ("401 at PATCH 1", Matches::on("PATCH", RELEASE), refused()),
        ("401 at PATCH 2", Matches::on("PATCH", RELEASE).nth(2), refused()),
        ("401 at an upload", part(), refused()),
        ("401 at a listing", Matches::on("GET", RELEASES).nth(2), refused()),
        ("abuse at an upload", part(), limited(Limit::Abuse)),
        ("too quickly at the draft", Matches::on("POST", RELEASES), limited(Limit::TooQuickly)),
        ("too quickly at an upload", part(), limited(Limit::TooQuickly)),
        ("a page at the draft", Matches::on("POST", RELEASES), Fault::Html),
        ("a page after the draft", Matches::on("POST", RELEASES), Fault::Afterwards(Box::new(Fault::Html))),
        ("a page at an upload", part(), Fault::Html),
        ("a page at PATCH 1", Matches::on("PATCH", RELEASE), Fault::Html),
        ("a page after PATCH 1", Matches::on("PATCH", RELEASE), Fault::Afterwards(Box::new(Fault::Html))),
        ("a page at PATCH 2", Matches::on("PATCH", RELEASE).nth(2), Fault::Html),
        ("a page at the listing", Matches::on("GET", RELEASES), Fault::Html),
        ("a page at the release", Matches::on("GET", "/repos/*/releases/tags/latest"), Fault::Html),
        (
            "a late draft",
            Matches::on("POST", RELEASES),
            Fault::LateById { lasting: Lasting::For(Duration::from_secs(3)) },
        ),
    ];
    for (name, matches, fault) in cases {
        eprintln!("{name}");
        world.hub().inject(Injection { matches, times: Times::Once, fault });
        world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
        assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"), "{name}");
        world.hub().reset_faults();
        verify_and_roll_back(&world, old);
        assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"), "{name}");
        let drafts = world.published().drafts("latest-incoming").count();
        assert_eq!(drafts, 0, "{name}");
    }
}

/// The first answer of all says that the token is wrong: nothing was good before.
#[test]
fn a_token_that_was_never_good_is_not_tried_again() {
    let (mut world, _) = by_hand("bad-token");
    world.set("GH_TOKEN", "another");
    for verb in [&["verify"][..], PUBLISH, ROLLBACK] {
        let ran = world.tool(verb).expect(3, &["Bad credentials", "gh auth login"]);
        assert!(!ran.stderr.contains("attempt"), "{ran:?}");
    }
}

#[test]
fn pages_that_take_too_long_are_asked_for_smaller() {
    let (world, old) = by_hand("slow-pages");
    for number in 0..120 {
        world.hub().seed_release(REPOSITORY, SeedRelease::draft(&format!("n{number}"))).unwrap();
    }
    for slow in [100, 50] {
        world.hub().change_repository(REPOSITORY, |it| it.slow_page = Some(slow)).unwrap();
        world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
        verify_and_roll_back(&world, old);
        world.tool(&["status"]).expect(0, &["release   v0.44"]);
    }
    world.hub().change_repository(REPOSITORY, |it| (it.slow_page, it.listed_releases) = (None, 100)).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["ok:"]);
}

/// A limit that lasts, from the first of the two calls on.
#[test]
fn the_tag_goes_back_before_a_limit_is_waited_for() {
    let (world, old) = by_hand("limit");
    let limited = AtomicBool::new(false);
    world.hub().on_request(move |request, moment| {
        if request.method == "PATCH" && moment == Moment::Before {
            limited.store(true, Ordering::Relaxed);
        }
        if limited.load(Ordering::Relaxed) {
            return Action::Fault(Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(2400) });
        }
        Action::Proceed
    });
    world.tool(PUBLISH).expect(1, &["secondary rate limit", "the old set stays live", "tag latest is back at"]);
    world.hub().reset_faults();
    assert_eq!((live(&world), world.remote_commit("latest")), (old, world.remote_commit("v0.44")));
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
    let before = world.hub().requests().len();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert!(world.hub().requests()[before..].iter().all(|request| !sends(request)), "sent again");
    verify_and_roll_back(&world, old);
}

#[test]
fn a_page_in_place_of_an_asset_is_not_an_asset() {
    let world = world("page");
    world.tool(PUBLISH).expect(0, &[]);
    let reader = world.another_machine("reader").unwrap();
    world.hub().inject(Injection {
        matches: Matches::on("GET", "/repos/*/releases/assets/*"),
        times: Times::Count(2),
        fault: Fault::Html,
    });
    reader.tool(&["download", "debian-12-custom"]).expect(0, &["verified"]);
}
