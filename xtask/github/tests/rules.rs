//! The rules as a simulation uses them: typed, without a socket, a file or a clock.

use std::time::{Duration, SystemTime};

use github_stand_in::Ruleset;
use github_stand_in::rules::{Change, Git, Lag, Reads, Refusal, Repo, Tag, Target};

/// A git with one branch.
struct Main;

impl Git for Main {
    fn is_tag_name(&self, name: &str) -> Result<bool, Refusal> {
        Ok(!name.is_empty())
    }

    fn target(&self, name: &str) -> Result<Option<Target>, Refusal> {
        Ok((name == "main").then(|| Target { commit: "c2".to_owned(), date: at(2) }))
    }

    fn create_tag(&mut self, _: &str, _: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn named(tag: &str, draft: bool) -> Change {
    Change { tag_name: Some(tag.to_owned()), draft: Some(draft), prerelease: Some(true), ..Change::default() }
}

/// A repository with a published `latest` and a draft `latest-incoming`, and their ids.
fn repo() -> (Repo, u64, u64) {
    let mut repo = Repo::new(1, "homestak-dev/packer");
    let tag = Tag { object: "t1".to_owned(), commit: "c1".to_owned(), date: at(1) };
    repo.tags.insert("latest".to_owned(), tag);
    let live = repo.create(&mut Main, &named("latest", false), "ana", at(3)).unwrap().id;
    let draft = repo.create(&mut Main, &named("latest-incoming", true), "ana", at(4)).unwrap().id;
    (repo, live, draft)
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut repo, live, draft) = repo();
    repo.max_assets = 1;
    repo.rulesets = vec![Ruleset::of_tags("no new pins", "refs/tags/images-*", &["creation"])];
    repo.tags.insert("images-v0.43".to_owned(), repo.tags["latest"].clone());
    repo.create(&mut Main, &named("images-v0.43", false), "ana", at(4)).unwrap();
    repo.begin_upload(draft, "a", 1, at(5)).unwrap();
    let before = format!("{repo:?}");
    let long = Change { body: Some(Some("x".repeat(125_001))), ..named("t", true) };
    let refused = [
        repo.create(&mut Main, &Change::default(), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &named("", true), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &named("latest", false), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &long, "ana", at(6)).map(|_| ()),
        repo.edit(&mut Main, draft, &named("latest", false), at(6)).map(|_| ()),
        repo.edit(&mut Main, live, &named("images-v0.43", false), at(6)).map(|_| ()),
        repo.create(&mut Main, &named("images-v0.44", false), "ana", at(6)).map(|_| ()),
        repo.edit(&mut Main, live, &named("images-v0.44", false), at(6)).map(|_| ()),
        repo.edit(&mut Main, draft, &named("images-v0.44", false), at(6)).map(|_| ()),
        repo.edit(&mut Main, live + 100, &named("latest", false), at(6)).map(|_| ()),
        repo.begin_upload(draft, "b", 1, at(6)).map(drop),
        repo.begin_upload(live, "b", 0, at(6)).map(drop),
        repo.begin_upload(live, "b", 2 << 30, at(6)).map(drop),
        repo.delete_asset(1).map(drop),
        repo.delete(live + 100).map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert!(refused.is_err(), "{number}");
    }
    assert_eq!(format!("{repo:?}"), before);
}

#[test]
fn each_kind_of_read_lags_by_itself_until_its_end() {
    let (mut repo, live, draft) = repo();
    let mut lag = Lag::<u64>::default();
    let over = |now: u64| move |until: &u64| *until <= now;
    lag.begin(Reads::ById, &repo, 5, over(0));
    repo.edit(&mut Main, live, &named("images-v0.44", true), at(5)).unwrap();
    // What lags already goes on lagging behind the same moment.
    lag.begin(Reads::ById, &repo, 10, over(4));
    lag.begin(Reads::Listings, &repo, 8, over(4));
    let new = repo.create(&mut Main, &named("latest", false), "ana", at(6)).unwrap().id;

    let by_id = |now: u64, id: u64| lag.release(&repo, id, over(now)).map(|it| it.tag_name.as_str()).ok();
    assert_eq!([by_id(9, live), by_id(9, draft), by_id(9, new)], [Some("latest"), Some("latest-incoming"), None]);
    assert_eq!([by_id(10, live), by_id(10, new)], [Some("images-v0.44"), Some("latest")]);
    let listed = |now: u64| lag.shown(Reads::Listings, &repo, over(now)).len();
    assert_eq!((listed(7), listed(8)), (2, 3));
    assert!(lag.shown(Reads::Listings, &repo, over(7))[0].draft);
}
