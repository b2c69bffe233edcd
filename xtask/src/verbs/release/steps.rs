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
        (Name::Doctor, seen.ill.is_none(), seen.ill.clone().unwrap_or_else(|| "all is in order".into()), Vec::new(), doctor),
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
