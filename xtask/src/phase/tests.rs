//! The next step in each state, as a table; and that each command can be typed.

use std::collections::BTreeSet;

use super::latest::{Incoming, Published};
use super::row::PublishedImage;
use super::*;
use crate::decide::{Decision, ImageReport};
use crate::git::TagRef;
use crate::latest::recover::Recovery;

/// v0.45 is to be published over v0.44; check says skip, and all is written but the notes.
fn picture() -> Picture {
    let live =
        Published { label: Some("v0.44".into()), source: Some("v0.44".into()), images: 1, ..Published::default() };
    let goal = Goal { release: Some("v0.45".into()), commit: Some("1".into()), ..Goal::default() };
    let row = Row {
        name: "a".into(),
        template: true,
        local: Local::Absent,
        published: Some(PublishedImage { size: 1, ..PublishedImage::default() }),
        agreement: Agreement::Nothing,
        age_seconds: None,
        decision: Some(Decision::Skip),
        reason: Some("unchanged since v0.44".into()),
        altered: None,
        unfit: None,
        is_of_goal: false,
    };
    Picture {
        repo: "a/b".parse().unwrap(),
        remote: "up".into(),
        goal: Goal { suggestion: "v0.46".into(), ..goal },
        rows: vec![row],
        latest: Ok(Latest { live: Some(live), ..Latest::default() }),
        report: Ok(Report::default()),
        version_here: None,
        head: None,
        to_build: Vec::new(),
        to_publish: Vec::new(),
        unsummed: Vec::new(),
        uncommitted: Vec::new(),
        document: None,
        problem: None,
    }
}

fn with(change: impl FnOnce(&mut Picture)) -> Picture {
    let mut picture = picture();
    change(&mut picture);
    picture
}

fn latest(picture: &mut Picture) -> &mut Latest {
    picture.latest.as_mut().unwrap()
}

fn images() -> Vec<String> {
    vec!["a".to_owned()]
}

/// The steps for a picture, with every option that commands repeat.
fn of(picture: &Picture) -> Vec<Step> {
    let options = Options {
        release: Some("v0.45".into()),
        hosts: vec!["-h".into()],
        sync: true,
        remote_dir: Some("b c".into()),
        issue: Some(1),
        issue_repo: Some("a/b".into()),
        part_size: Some("2MiB".into()),
        document: false,
    };
    assert!(typed(&options.release()).is_some());
    steps(picture, &options)
}

/// The verb of a command that can be typed.
fn typed(command: &Command) -> Option<String> {
    let Command::Verb { words, .. } = command else { return None };
    let all = ["cargo xtask", "packer"].into_iter().chain(words.iter().map(String::as_str));
    crate::verbs::parse(all).ok().map(|verb| verb.name())
}

#[test]
fn the_next_step_follows_from_the_picture() {
    let rebuild = |picture: &mut Picture| {
        let report = ImageReport::rebuild("a", None, "changed".into());
        picture.report = Ok(Report { images: vec![report], ..Report::default() });
        picture.to_build = images();
    };
    let draft = |source: Option<&str>| Incoming {
        release_id: 7,
        source: source.map(str::to_owned),
        uploaded: 0,
        bytes: None,
        set: String::new(),
    };
    for (what, picture, next, line) in [
        (
            "GitHub does not answer",
            with(|it| it.latest = Err(unasked(&anyhow::anyhow!("no route")))),
            "doctor",
            "doctor",
        ),
        (
            "no tag",
            with(|it| it.problem = Some(Problem { why: "no tag".into(), command: Some("git tag".into()) })),
            "doctor",
            "git tag",
        ),
        ("a rebuild", with(rebuild), "build-and-fetch", "build-and-fetch --host=-h --sync"),
        (
            "an image here that a build would leave as it is",
            with(|it| {
                rebuild(it);
                it.rows[0].is_of_goal = true;
            }),
            "build-and-fetch",
            "--force",
        ),
        ("an image here", with(|it| it.to_publish = images()), "publish", "publish --source v0.45"),
        (
            "an image here, and no version",
            with(|it| {
                it.to_publish = images();
                it.goal.release = None;
            }),
            "publish",
            "tag v0.46 && ",
        ),
        ("no checksum file", with(|it| it.unsummed = images()), "build-and-fetch", "checksum a"),
        ("uncommitted inputs", with(|it| it.uncommitted = images()), "build-and-fetch", "add --all . && "),
        (
            "a person's draft in the way",
            with(|it| {
                it.to_publish = images();
                latest(it).incoming.push(draft(None));
            }),
            "publish",
            "--method DELETE repos/a/b/releases/7",
        ),
        (
            "a publish that was begun",
            with(|it| latest(it).incoming.push(draft(Some("v0.45")))),
            "publish",
            "publish --source v0.45",
        ),
        (
            "recovery comes before a build, and the live set stays",
            with(|it| {
                it.to_build.push("a".into());
                latest(it).recovery =
                    Some(Recovery::Tag { from: None, to: TagRef { object: "1".into(), commit: "1".into() } });
            }),
            "publish",
            "publish --source v0.44",
        ),
        (
            "a difference is repaired under the live version",
            with(|it| latest(it).audit.differences.push("no prerelease".into())),
            "publish",
            "publish --source v0.44",
        ),
        (
            "a repair takes from `latest` what is not here",
            with(|it| latest(it).audit.differences.push("no prerelease".into())),
            "publish",
            "--carry a",
        ),
        (
            "a missing signature needs a new set",
            with(|it| {
                latest(it).audit.differences.push("not signed".into());
                latest(it).unsigned.push("not signed".into());
            }),
            "publish",
            "--resend",
        ),
        (
            "a set that was taken back is not proposed",
            with(|it| {
                rebuild(it);
                it.to_publish = images();
                it.goal.standing = Standing::TakenBack("v0.45".into());
            }),
            "document",
            "document --release v0.45",
        ),
        ("no image to build or publish", picture(), "document", "document --release v0.45"),
    ] {
        let steps = of(&picture);
        let at = steps.iter().position(|step| step.state == State::Next).unwrap();
        let shown = steps[at].command.to_string();
        assert!(steps[at].name.word() == next && shown.contains(line), "{what}: {:?}", steps[at]);
        assert!(steps[..at].iter().all(|step| step.state == State::Done), "{what}");
        assert!(steps[at + 1..].iter().all(|step| step.state == State::Later), "{what}");
        assert!(steps.iter().all(|step| !step.reason.is_empty()), "{what}");
    }
}

#[test]
fn a_line_end_in_a_file_name_begins_no_item() {
    let steps = of(&with(|it| it.uncommitted = vec!["templates/a/x\ny".to_owned()]));
    assert!(next(&steps).unwrap().reason.ends_with(r"templates/a/x\ny"), "{steps:?}");
}

#[test]
fn an_older_version_than_head_is_built_from_its_tag() {
    let picture = with(|it| {
        it.version_here = Some("v0.46".into());
        it.to_build = images();
    });
    let steps = steps(&picture, &Options::default());
    assert!(next(&steps).unwrap().command.to_string().contains("--source v0.45"), "{steps:?}");
}

#[test]
fn each_command_can_be_typed() {
    let picture = with(|it| {
        it.to_build = images();
        it.rows.push(Row { name: "b".into(), ..picture().rows.remove(0) });
    });
    let mut verbs = BTreeSet::new();
    for step in of(&picture) {
        for command in [&step.command, &step.command.executed()] {
            assert_eq!(typed(command).as_deref(), Some(step.name.word()), "{command}");
        }
        assert_eq!(serde_json::to_value(step.name).unwrap(), step.name.word());
        verbs.insert(step.name);
    }
    assert_eq!(verbs.len(), 6);
}
