//! The stand-in is what the publish takes GitHub for, seen by the same list of checks that a maintainer runs against GitHub; and that
//! list tells what doesn't hold, touches nothing of others, and leaves nothing behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use github_stand_in::{Access, Action, Fault, Injection, Lasting, Limit, Matches, Moment, SeedRelease, Times};
use rehearsal::conformance::stand_in::StandIn;
use rehearsal::conformance::{self, Check, Ending, Refused, Report, Seen};

fn stand_in(test: &str) -> StandIn {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{test}"));
    StandIn::new(&dir).unwrap()
}

fn run(stand_in: &StandIn, checks: &[Check]) -> Report {
    let client = stand_in.client(StandIn::REPOSITORY, Arc::default());
    conformance::run(&client, checks, false, |_| ()).unwrap()
}

/// The checks whose sentences begin so.
fn named(beginnings: &[&str]) -> Vec<Check> {
    let all = conformance::all();
    let find = |beginning: &&str| *all.iter().find(|it| it.assumption.starts_with(*beginning)).expect(beginning);
    beginnings.iter().map(find).collect()
}

/// Releases, by id and tag name, and tags that are there.
fn inventory(stand_in: &StandIn) -> (Vec<(u64, String)>, String) {
    let releases = stand_in.state().releases.iter().map(|it| (it.id, it.tag_name.clone())).collect();
    (releases, stand_in.world().git(&["ls-remote", "origin"]).unwrap())
}

#[test]
fn every_assumption_holds_of_the_stand_in() {
    let stand_in = stand_in("all");
    // Some of it is for administrators alone.
    stand_in.allow(Access::Admin);
    let before = inventory(&stand_in);
    let checks = conformance::all();
    let report = run(&stand_in, &checks);
    let others: Vec<String> = report.lines.iter().filter(|line| line.told.is_err()).map(ToString::to_string).collect();
    assert_eq!(others, Vec::<String>::new());
    assert_eq!(report.lines.len(), checks.len());
    assert!(report.is_good(), "{report}");
    assert_eq!(stand_in.hub().unexpected().len(), 0);
    assert_eq!(inventory(&stand_in), before);
    println!("{report}");
}

#[test]
fn who_is_no_administrator_is_told_less() {
    let stand_in = stand_in("push");
    let report = run(&stand_in, &named(&["`immutable-releases`", "where a rule forbids new tags"]));
    let told = ["403 Resource not accessible by personal access token to who may push", ""];
    assert_eq!(report.lines[0].told, Ok(Seen::Holds(told[0].to_owned())));
    assert!(matches!(&report.lines[1].told, Err(Ending::NotTold(_))), "{}", report.lines[1]);
    assert!(report.is_good(), "{report}");
}

#[test]
fn what_does_not_hold_is_told_and_nothing_is_left() {
    let stand_in = stand_in("broken");
    stand_in.hub().seed_release(StandIn::REPOSITORY, SeedRelease::draft("conformance-of-somebody-else")).unwrap();
    stand_in.hub().seed_release(StandIn::REPOSITORY, SeedRelease::prerelease("v0.44")).unwrap();
    let before = inventory(&stand_in);
    let every_upload = Matches::on("POST", "/repos/*/releases/*/assets");
    stand_in.hub().inject(Injection { matches: every_upload, times: Times::Forever, fault: Fault::NullDigest });
    let checks = named(&["a draft's assets have digests", "several drafts may share"]);
    let report = run(&stand_in, &checks);
    assert!(
        matches!(&report.lines[0].told, Err(Ending::Broken(why)) if why.contains("no digest")),
        "{:?}",
        report.lines
    );
    assert!(report.lines[1].told.is_ok(), "{:?}", report.lines);
    assert!(!report.is_good());
    assert!(report.to_string().starts_with("conformance: 1 hold, 1 do not, 0 unknown"), "{report}");
    assert_eq!(inventory(&stand_in), before);
}

#[test]
fn a_release_whose_making_was_not_answered_is_deleted_too() {
    let stand_in = stand_in("lost");
    let before = inventory(&stand_in);
    let matches = Matches::on("POST", "/repos/*/releases");
    stand_in.hub().inject(Injection { matches, times: Times::Once, fault: Fault::DropAfterWork });
    let report = run(&stand_in, &named(&["a draft makes no tag"]));
    assert!(
        matches!(&report.lines[0].told, Err(Ending::NotTold(why)) if why.contains("no answer")),
        "{:?}",
        report.lines
    );
    assert!(report.is_good(), "{report}");
    assert_eq!(inventory(&stand_in), before);
}

#[test]
fn an_interruption_leaves_nothing() {
    let stand_in = stand_in("interrupted");
    let before = inventory(&stand_in);
    let interrupted = Arc::new(AtomicBool::new(false));
    let client = stand_in.client(StandIn::REPOSITORY, Arc::clone(&interrupted));
    stand_in.hub().on_request(move |request, moment| {
        // The first PATCH of a change of places: a tag and two releases are there.
        if moment == Moment::After && request.method == "PATCH" && request.path.contains("/releases/") {
            interrupted.store(true, Ordering::Relaxed);
        }
        Action::Proceed
    });
    let checks = named(&["two PATCHes", "several drafts may share"]);
    let report = conformance::run(&client, &checks, false, |_| ()).unwrap();
    assert!(report.interrupted && !report.is_good() && report.lines.is_empty(), "{report}");
    assert_eq!(inventory(&stand_in), before);
}

#[test]
fn what_cannot_be_deleted_is_named_with_the_command() {
    let stand_in = stand_in("left");
    let matches = Matches::on("DELETE", "/repos/*/releases/*");
    let fault = Fault::Status { status: 500, message: "no".to_owned(), headers: Vec::new() };
    stand_in.hub().inject(Injection { matches, times: Times::Forever, fault });
    let report = run(&stand_in, &named(&["a draft makes no tag"]));
    let [(id, _)] = &inventory(&stand_in).0[..] else { panic!("one release was to stay") };
    let command = format!("gh api --method DELETE repos/{}/releases/{id}", StandIn::REPOSITORY);
    assert_eq!((report.left.clone(), report.is_good()), (vec![command], false));
}

#[test]
fn other_repositories_are_refused_before_anything_is_made() {
    let stand_in = stand_in("refused");
    let world = stand_in.world();
    let other = "contributor/packer";
    stand_in.hub().add_repository(other, github_stand_in::Repository::new(world.remote())).unwrap();
    let token = github_stand_in::Token::classic("contributor").with(other, Access::Push);
    stand_in.hub().add_token(rehearsal::world::TOKEN, token.clone());
    let refused = |repository: &str, confirmed: bool, says: &str| {
        let client = stand_in.client(repository, Arc::default());
        let error = conformance::run(&client, &conformance::all(), confirmed, |_| ()).unwrap_err();
        assert!(error.is::<Refused>() && format!("{error:#}").contains(says), "{error:#}");
    };
    refused(other, false, "--yes");
    refused("contributor/no-such-scratch", false, "no repository");
    let empty = "contributor/empty-scratch";
    world.git(&["init", "--quiet", "--bare", "../empty.git"]).unwrap();
    stand_in.hub().add_repository(empty, github_stand_in::Repository::new(world.dir().join("empty.git"))).unwrap();
    stand_in.hub().add_token(rehearsal::world::TOKEN, token.clone().with(empty, Access::Push));
    refused(empty, false, "no commit on main; make one: gh api --method PUT");
    stand_in.hub().add_token(rehearsal::world::TOKEN, token.with(StandIn::REPOSITORY, Access::Push));
    stand_in.hub().change_repository(other, |it| it.archived = true).unwrap();
    refused(other, true, "archived");
    stand_in.hub().change_repository(other, |it| it.archived = false).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:refs/tags/latest"]).unwrap();
    stand_in.hub().seed_release(other, SeedRelease::prerelease("latest")).unwrap();
    refused(other, true, "publishes `latest`");
    stand_in.hub().remove_token(rehearsal::world::TOKEN);
    refused(StandIn::REPOSITORY, false, "the token was refused");
    stand_in.allow(Access::Read);
    refused(StandIn::REPOSITORY, false, "may not push");
    stand_in.allow(Access::Admin);
    stand_in.hub().change_repository(StandIn::REPOSITORY, |it| it.immutable_releases = true).unwrap();
    refused(StandIn::REPOSITORY, false, "immutable releases");
    let changes: Vec<String> =
        stand_in.hub().requests().into_iter().map(|it| it.method).filter(|it| it != "GET").collect();
    assert_eq!(changes, Vec::<String>::new());
}

#[test]
fn what_passes_and_what_lags_breaks_no_assumption() {
    let stand_in = stand_in("passing");
    let before = inventory(&stand_in);
    let create = || Matches::on("POST", "/repos/*/releases");
    let stale = Fault::StaleListing { lasting: Lasting::For(Duration::from_millis(500)) };
    let limited = Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(1) };
    for (matches, fault) in [
        (create(), stale),
        (create().nth(2), limited),
        (Matches::on("GET", "/repos/*/releases").nth(2), Fault::BadGateway { leave_starter: false }),
        (Matches::on("POST", "/repos/*/releases/*/assets"), Fault::DropBeforeBody),
    ] {
        stand_in.hub().inject(Injection { matches, times: Times::Once, fault });
    }
    let report = run(&stand_in, &named(&["a listing shows drafts", "a lookup by tag", "a body shorter"]));
    let told: Vec<_> = report.lines.iter().map(|line| line.told.clone()).collect();
    let holds = |seen: &str| Ok(Seen::Holds(seen.to_owned()));
    assert_eq!(told, [holds(""), holds(""), holds("nothing is left")]);
    assert_eq!(inventory(&stand_in), before);
}
