//! Answers of GitHub that aren't meant, or come late, or not at all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use github_stand_in::{Action, Fault, Injection, Lasting, Limit, Matches, Moment, SeedRelease, Times};
use rehearsal::world::{IMAGES, REPOSITORY, World};

use super::{PUBLISH, ROLLBACK, by_hand, live, published, sends, verify_and_roll_back, world};

const RELEASE: &str = "/repos/*/releases/#";
const RELEASES: &str = "/repos/*/releases";
/// How long a draft that was just made is 404.
const LATE: Duration = Duration::from_secs(3);

fn publish_through(world: &World, name: &str, matches: Matches, fault: Fault) {
    eprintln!("{name}");
    world.hub().inject(Injection { matches, times: Times::Once, fault });
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    world.hub().reset_faults();
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"), "{name}");
    assert_eq!(world.published().drafts("latest-incoming").count(), 0, "{name}");
    world.tool(&["verify"]).expect(0, &["ok:"]);
}

/// Refusals that say clearly that nothing was done, and aren't meant.
#[test]
fn refusals_that_pass_are_tried_again() {
    let (world, old) = by_hand("refusals");
    let limited = |limit| Fault::RateLimited { limit, retry_after: Some(1) };
    let refused = || Fault::status(401, "Bad credentials");
    let upload = || Matches::upload("packer-images.json");
    for (name, matches, fault) in [
        ("401 at PATCH 1", Matches::on("PATCH", RELEASE), refused()),
        ("401 at PATCH 2", Matches::on("PATCH", RELEASE).nth(2), refused()),
        ("401 at an upload", upload(), refused()),
        ("401 at a listing", Matches::on("GET", RELEASES).nth(2), refused()),
        ("abuse at an upload", upload(), limited(Limit::Abuse)),
        ("too quickly at the draft", Matches::on("POST", RELEASES), limited(Limit::TooQuickly)),
        ("a late draft", Matches::on("POST", RELEASES), Fault::LateById { lasting: Lasting::For(LATE) }),
    ] {
        publish_through(&world, name, matches, fault);
        verify_and_roll_back(&world, old);
        assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"), "{name}");
    }
}

/// A page of a proxy in place of an answer says nothing of what was done. The lock is left then, so each has a world of its own.
#[test]
fn a_page_in_place_of_an_answer_is_no_answer() {
    let after = || Fault::Afterwards(Box::new(Fault::Html));
    for (number, (name, matches, fault)) in [
        ("at the draft", Matches::on("POST", RELEASES), Fault::Html),
        ("after the draft", Matches::on("POST", RELEASES), after()),
        ("at an upload", Matches::upload("packer-images.json"), Fault::Html),
        ("after PATCH 1", Matches::on("PATCH", RELEASE), after()),
        ("at PATCH 2", Matches::on("PATCH", RELEASE).nth(2), Fault::Html),
        ("at the listing", Matches::on("GET", RELEASES), Fault::Html),
        ("at the release", Matches::on("GET", "/repos/*/releases/tags/latest"), Fault::Html),
    ]
    .into_iter()
    .enumerate()
    {
        let world = world(&format!("pages-{number}"));
        world.publish_by_hand("v0.44").unwrap();
        world.build(IMAGES[0], 300 << 10, 77, Some("v0.45")).unwrap();
        publish_through(&world, name, matches, fault);
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
    world.hub().change_repository(REPOSITORY, |it| it.slow_page = Some(50)).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    verify_and_roll_back(&world, old);
    world.hub().change_repository(REPOSITORY, |it| it.slow_page = Some(100)).unwrap();
    world.tool(&["status"]).expect(0, &["v0.44, published", "made by hand"]);
    world.hub().change_repository(REPOSITORY, |it| (it.slow_page, it.listed_releases) = (None, 100)).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["ok:"]);
}

/// A limit that lasts, from the first of the two calls on.
#[test]
fn the_tag_goes_back_before_a_limit_is_waited_for() {
    let (world, old) = by_hand("limit");
    let (limited, since) = (AtomicBool::new(false), OnceLock::new());
    world.hub().on_request(move |request, moment| {
        let of_release = request.method == "PATCH" && !request.path.contains("/assets/");
        if of_release && moment == Moment::Before {
            limited.store(true, Ordering::Relaxed);
        }
        if limited.load(Ordering::Relaxed) {
            // It ends before the run gives up: only a look tells that the old set stayed live.
            let since = since.get_or_init(Instant::now);
            if since.elapsed() < Duration::from_secs(20) {
                return Action::Fault(Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(2400) });
            }
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
    let world = published("page");
    let reader = world.another_machine("reader").unwrap();
    world.hub().inject(Injection {
        matches: Matches::on("GET", "/repos/*/releases/assets/*"),
        times: Times::Count(2),
        fault: Fault::Html,
    });
    reader.tool(&["download", "debian-12-custom"]).expect(0, &["verified"]);
}
