//! Which step is done, which comes next, and which later: a pure function of what was seen.

use super::line::{Line, Lines};
use super::seen::Seen;
use crate::decide::Decision;

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Doctor,
    Check,
    Build,
    Publish,
    Verify,
    Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Also what the release doesn't need.
    Done,
    Next,
    Later,
}

/// One step as it stands.
#[derive(Debug)]
pub struct Step {
    pub name: Name,
    pub state: State,
    /// What was done, or what it will do.
    pub said: String,
    /// What it is about.
    pub images: Vec<String>,
    pub line: Line,
}

impl Name {
    pub fn word(self) -> &'static str {
        match self {
            Self::Doctor => "doctor",
            Self::Check => "check",
            Self::Build => "build-and-fetch",
            Self::Publish => "publish",
            Self::Verify => "verify",
            Self::Document => "document",
        }
    }
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Next => "next",
            Self::Later => "later",
        }
    }
}

/// All steps. At most one is next; all before it are done, all after it later.
pub fn steps(lines: &Lines<'_>, seen: &Seen) -> Vec<Step> {
    let release = lines.release();
    let templates = seen.list.rows.iter().filter(|row| row.template).count();
    // A line without names takes all that are here; so names stand in it only where it is about some.
    let named = |images: &[String]| if images.len() == templates { Vec::new() } else { images.to_vec() };
    let asked = seen.list.latest.is_some();
    let publishes = seen.must_publish(release);
    let built = asked && seen.to_build.is_empty();
    let doctor = match &seen.tag {
        Some(tag) => Line::Other(tag.line.clone()),
        None => lines.doctor(),
    };
    let document = match &seen.documented {
        Some(Ok(documented)) if documented.written => format!("written: {}", documented.line),
        Some(Ok(documented)) => format!("write into the notes of {release}: {}", documented.line),
        Some(Err(why)) => why.clone(),
        None => format!("write the decision into the notes of {release}"),
    };
    let all = [
        (
            Name::Doctor,
            seen.ill.is_none(),
            seen.ill.clone().unwrap_or_else(|| "all is in order".into()),
            Vec::new(),
            doctor,
        ),
        (Name::Check, asked && seen.ill.is_none(), checked(seen), Vec::new(), lines.check()),
        (Name::Build, built, building(lines, seen), seen.to_build.clone(), lines.build(&named(&seen.to_build))),
        (
            Name::Publish,
            built && !publishes,
            publishing(release, seen),
            seen.to_publish.clone(),
            lines.publish(&named(&seen.to_publish)),
        ),
        (Name::Verify, matches!(seen.verified, Some(Ok(_))), verifying(seen), Vec::new(), lines.verify()),
        (
            Name::Document,
            matches!(&seen.documented, Some(Ok(documented)) if documented.written),
            document,
            Vec::new(),
            lines.document(),
        ),
    ];
    let mut reached = false;
    all.into_iter()
        .map(|(name, done, said, images, line)| {
            let state = match (done, reached) {
                (_, true) => State::Later,
                (true, false) => State::Done,
                (false, false) => State::Next,
            };
            reached |= !done;
            Step { name, state, said, images, line }
        })
        .collect()
}

fn checked(seen: &Seen) -> String {
    // What check says once the set is live is about the release after this one.
    if let (true, Some(Ok(documented))) = (seen.published, &seen.documented) {
        return match documented.rebuilt.as_slice() {
            [] => "the images were kept".to_owned(),
            rebuilt => format!("rebuild of {}", rebuilt.join(", ")),
        };
    }
    let rows = seen.list.rows.iter().filter(|row| row.template);
    let changed: Vec<String> = rows
        .filter_map(|row| match &row.decision {
            Some((Decision::Rebuild, reason)) => Some(format!("rebuild {}: {reason}", row.name)),
            _ => None,
        })
        .collect();
    match (seen.list.latest.is_some(), changed.is_empty()) {
        (false, _) => "decide rebuild or skip".to_owned(),
        (true, true) => "skip: No template changes detected".to_owned(),
        (true, false) => changed.join("\n"),
    }
}

fn building(lines: &Lines<'_>, seen: &Seen) -> String {
    match (seen.to_build.as_slice(), seen.list.latest.is_some()) {
        (_, false) => "build what check decides".to_owned(),
        ([], _) if seen.to_publish.is_empty() => "nothing to build".to_owned(),
        ([], _) => format!("here: {}", seen.to_publish.join(", ")),
        (images, _) => match lines.asked.hosts.as_slice() {
            [] => format!("build {}; no host is named yet: --host HOST", images.join(", ")),
            hosts => format!("build {} on {}", images.join(", "), hosts.join(", ")),
        },
    }
}

fn publishing(release: &str, seen: &Seen) -> String {
    let latest = seen.list.latest.as_ref();
    let live = latest.and_then(|latest| latest.release.as_ref()).and_then(|release| release.source.as_deref());
    if let Some(heal) = latest.and_then(|latest| latest.heal.as_ref()) {
        return format!("put `latest` right, then publish {release}: {heal}");
    }
    if latest.is_some() && seen.to_build.is_empty() && !seen.must_publish(release) {
        return match (seen.published, live) {
            (true, _) => format!("`latest` is {release}"),
            (false, Some(live)) => format!("nothing to publish, `latest` stays {live}"),
            (false, None) => "nothing to publish".to_owned(),
        };
    }
    let what = if seen.to_publish.is_empty() { String::new() } else { format!(" with {}", seen.to_publish.join(", ")) };
    match live {
        Some(live) if live != release => format!("make `latest` {release}{what}; {live} is kept as the way back"),
        _ => format!("make `latest` {release}{what}"),
    }
}

fn verifying(seen: &Seen) -> String {
    match &seen.verified {
        Some(Ok(said) | Err(said)) => said.clone(),
        None => "hold `latest` against its manifest, its tag and the images here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{self, Line};
    use super::super::seen::Documented;
    use super::*;
    use crate::checklist::{Checklist, Latest, Published};
    use crate::latest::heal::Heal;
    use crate::verbs::{Common, Verb};

    /// The steps for what was seen, with every option that the walk hands on.
    fn of(seen: &Seen) -> Vec<Step> {
        let words = "release v2 --host a --sync --remote-dir b --issue 1 --issue-repo a/b --part-size 2MiB".split(' ');
        let Ok(Verb::Release(asked)) = crate::parse(["cargo xtask", "packer"].into_iter().chain(words)) else {
            panic!("the walk's own line is none");
        };
        let common = Common {
            packer_dir: Some("it's".into()),
            images: Some("i".into()),
            repo: Some("a/b".into()),
            remote: "up".into(),
            git_url: Some("u".into()),
            ..Common::default()
        };
        let lines = Lines { asked: &asked, common: &common };
        let again = lines.again();
        assert!(line::verb(again.words().unwrap()).is_ok(), "{again}");
        steps(&lines, seen)
    }

    fn live(source: &str) -> Checklist {
        let release = Published { source: Some(source.into()), commit: None, published_at: None, url: String::new() };
        Checklist { latest: Some(Latest { release: Some(release), ..Latest::default() }), ..Checklist::default() }
    }

    #[test]
    fn the_next_step_follows_from_what_was_seen() {
        let images = || vec!["a".to_owned()];
        let documented =
            |written| Some(Ok(Documented { written, line: "Images".into(), rebuilt: images(), on_issue: false }));
        let verified = || Some(Ok("well".to_owned()));
        let heal = || {
            let mut list = live("v1");
            list.latest.as_mut().unwrap().heal = Some(Heal::Tag { from: None, to: "1".to_owned() });
            list
        };
        for (seen, next) in [
            (Seen { ill: Some("no login".into()), ..Seen::default() }, "doctor"),
            (Seen { list: live("v1"), to_build: images(), ..Seen::default() }, "build-and-fetch"),
            (Seen { list: live("v1"), to_publish: images(), ..Seen::default() }, "publish"),
            (Seen { list: heal(), ..Seen::default() }, "publish"),
            (Seen { list: live("v1"), verified: Some(Err("differs".into())), ..Seen::default() }, "verify"),
            (
                Seen { list: live("v1"), verified: verified(), documented: documented(false), ..Seen::default() },
                "document",
            ),
            (
                Seen {
                    list: live("v1"),
                    verified: verified(),
                    documented: Some(Err("none".into())),
                    ..Seen::default()
                },
                "document",
            ),
            (
                Seen {
                    list: live("v2"),
                    published: true,
                    verified: verified(),
                    documented: documented(true),
                    ..Seen::default()
                },
                "",
            ),
        ] {
            let steps = of(&seen);
            let at = steps.iter().position(|step| step.state == State::Next).unwrap_or(steps.len());
            assert_eq!(steps.get(at).map_or("", |step| step.name.word()), next, "{seen:?}");
            assert!(steps[..at].iter().all(|step| step.state == State::Done), "{seen:?}");
            assert!(steps.iter().skip(at + 1).all(|step| step.state == State::Later), "{seen:?}");
        }
    }

    #[test]
    fn each_line_can_be_typed() {
        let steps = of(&Seen { list: live("v1"), to_build: vec!["a".into()], ..Seen::default() });
        for step in steps {
            for line in [&step.line, &step.line.carried_out()] {
                let Line::Verb { words, .. } = line else { panic!("{line}") };
                assert!(line::verb(words).is_ok(), "{line}");
                assert!(line.to_string().contains(r"--packer-dir 'it'\''s'"), "{line}");
            }
        }
    }
}
