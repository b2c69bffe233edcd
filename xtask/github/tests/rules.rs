//! The rules as a simulation uses them: typed, without a socket, a file or a clock.

use std::time::{Duration, SystemTime};

use github_stand_in::AssetState;
use github_stand_in::rules::{Change, Git, Refusal, Repo, Tag, Target};

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
fn a_set_is_filled_and_takes_the_place_of_another() {
    let (mut repo, live, draft) = repo();
    let asset = repo.begin_upload(draft, "a.qcow2", 5, at(5)).unwrap();
    assert_eq!(repo.asset(asset).unwrap().1.state, AssetState::Starter);
    assert_eq!(repo.begin_upload(draft, "a.qcow2", 5, at(5)).unwrap_err().code(), Some("already_exists"));
    let stored = repo.finish_upload(asset, 5, Some("sha256:00".to_owned()), at(6)).unwrap();
    assert_eq!((stored.state, stored.size), (AssetState::Uploaded, 5));

    let refused = repo.edit(&mut Main, draft, &named("latest", false), at(7)).unwrap_err();
    assert_eq!((refused.status, refused.code()), (422, Some("already_exists")));
    assert_eq!(repo.published("latest").unwrap().id, live);

    repo.edit(&mut Main, live, &named("latest-previous", true), at(8)).unwrap();
    assert_eq!(repo.published("latest").unwrap_err().status, 404);
    let published = repo.edit(&mut Main, draft, &named("latest", false), at(9)).unwrap();
    assert_eq!((published.published_at, published.created_at), (Some(at(9)), at(1)));
    assert_eq!(repo.published("latest").unwrap().uploaded(), ["a.qcow2"]);
    assert_eq!(repo.delete(live).unwrap().tag_name, "latest-previous");
    assert_eq!(repo.release(live).unwrap_err().status, 404);
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut repo, live, draft) = repo();
    repo.max_assets = 1;
    repo.begin_upload(draft, "a", 1, at(5)).unwrap();
    let before = format!("{repo:?}");
    let long = Change { body: Some(Some("x".repeat(125_001))), ..named("t", true) };
    let refused = [
        repo.create(&mut Main, &Change::default(), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &named("", true), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &named("latest", false), "ana", at(6)).map(|_| ()),
        repo.create(&mut Main, &long, "ana", at(6)).map(|_| ()),
        repo.edit(&mut Main, draft, &named("latest", false), at(6)).map(|_| ()),
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
fn publishing_makes_the_tag_and_losing_it_unpublishes() {
    let (mut repo, live, _) = repo();
    repo.create(&mut Main, &named("v1", false), "ana", at(5)).unwrap();
    assert_eq!(repo.tags["v1"].commit, "c2");
    repo.tags.remove("latest");
    repo.tags_changed();
    assert!(repo.release(live).unwrap().draft && repo.published("v1").is_ok());
}
