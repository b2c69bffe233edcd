//! What to do next, in one line.

use super::{Agreement, Checklist, Local, Row};
use crate::decide::Decision;
use crate::typed;

/// The most urgent thing first: what is broken, what was begun, what is missing, what is ready.
pub fn next(list: &Checklist) -> String {
    let Some(latest) = &list.latest else {
        return format!("make GitHub and the remote reachable ({} says how), then look again", typed::line("doctor"));
    };
    let version = list.version_here.as_deref();
    let source = latest.release.as_ref().and_then(|release| release.source.as_deref());
    if latest.heal.is_some() {
        let source = latest.incoming.iter().find_map(|draft| draft.source.as_deref()).or(version).unwrap_or("TAG");
        return format!("put `latest` right: {}, or {}", publish(source), typed::line("rollback --execute"));
    }
    if let Some(draft) = latest.incoming.first() {
        return match &draft.source {
            Some(source) => {
                format!("go on with the publish that was begun: {} (`--discard-incoming` drops it)", publish(source))
            }
            None => format!("look at the draft {}, which blocks a publish; `--discard-incoming` drops it", draft.id),
        };
    }
    if let Some(row) = list.rows.iter().find(|row| matches!(row.local, Local::Bad(_))) {
        return format!("mend the local files of {}: {} has the reason", row.name, typed::line("status --json"));
    }
    if let Some(source) = source
        && list.rows.iter().any(|row| row.altered.is_some())
        && list.rows.iter().all(|row| row.altered.is_none() || row.is_what_was_published())
    {
        return format!("put back what was changed by hand: {}", publish(source));
    }
    let to_build = names(list, |row| row.template && row.needs_build());
    if !to_build.is_empty() {
        let build = typed::line(format_args!("build-and-fetch --host HOST {}", to_build.join(" ")));
        return format!("build: {build}");
    }
    let unsummed = names(list, |row| matches!(row.local, Local::Present { promised: None, .. }));
    if !unsummed.is_empty() {
        return format!("write checksum files: {}", typed::line(format_args!("checksum {}", unsummed.join(" "))));
    }
    let ready = names(list, |row| row.template && row.is_news());
    let newer = version.filter(|version| source.is_none_or(|source| crate::version::is_newer(version, source)));
    match (ready.is_empty(), newer, version) {
        (false, _, Some(version)) => format!("publish: {}", publish(version)),
        (false, _, None) => format!("tag the release, then publish: {}", publish("TAG")),
        (true, Some(version), _) => {
            let document = typed::line(format_args!("document --release {version} --execute"));
            format!("nothing to build; write it down: {document}")
        }
        (true, None, _) => "nothing: the images are as they should be".to_owned(),
    }
}

fn publish(source: &str) -> String {
    typed::line(format_args!("publish --source {source} --execute"))
}

fn names(list: &Checklist, wanted: impl Fn(&Row) -> bool) -> Vec<&str> {
    list.rows.iter().filter(|row| wanted(row)).map(|row| row.name.as_str()).collect()
}

impl Row {
    /// check says rebuild, or there is none to carry over, and no newly built image lies here.
    fn needs_build(&self) -> bool {
        let rebuild = matches!(self.decision, Some((Decision::Rebuild, _))) || self.published.is_none();
        rebuild && !self.is_news()
    }

    /// The very image that the manifest promises lies here.
    fn is_what_was_published(&self) -> bool {
        matches!(self.local, Local::Present { .. }) && self.agreement == Agreement::Same
    }

    /// An image lies here that isn't the published one.
    pub fn is_news(&self) -> bool {
        let differs = self.agreement == Agreement::Differs || self.published.is_none();
        matches!(self.local, Local::Present { .. }) && differs
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Latest, Published, State};
    use super::*;
    use crate::latest::heal::Heal;

    fn row(local: bool, agreement: Agreement, decision: Decision) -> Row {
        let present = Local::Present {
            bytes: 1,
            parts: 0,
            promised: Some(crate::image::digest::Digest::of(b"")),
            built_at: None,
        };
        Row {
            name: "a".into(),
            template: true,
            local: if local { present } else { Local::Absent },
            published: Some(super::super::row::PublishedImage { bytes: 1, parts: 0, sha256: None, updated_at: None }),
            agreement,
            age: None,
            altered: None,
            decision: Some((decision, String::new())),
        }
    }

    fn list(row: Row, version: Option<&str>) -> Checklist {
        let release = Published { source: Some("v1".into()), commit: None, published_at: None, url: String::new() };
        Checklist {
            rows: vec![row],
            latest: Some(Latest { release: Some(release), ..Latest::default() }),
            version_here: version.map(str::to_owned),
            ..Checklist::default()
        }
    }

    #[test]
    fn the_next_step_follows_from_the_state() {
        use Agreement::{Differs, Nothing, Same};
        use Decision::{Rebuild, Skip};
        let draft = || Draft { id: 7, source: Some("v2".into()), state: State::Strange { uploaded: 0 } };
        let begun = |mut list: Checklist| {
            list.latest.as_mut().unwrap().incoming.push(draft());
            list
        };
        let broken = |mut list: Checklist| {
            list.latest.as_mut().unwrap().heal = Some(Heal::Name { release: 1, asset: 2 });
            list
        };
        let altered = |mut list: Checklist| {
            list.rows[0].altered = Some("changed".into());
            list
        };
        for (list, step) in [
            (
                altered(list(row(true, Same, Rebuild), Some("v2"))),
                "put back what was changed by hand: `cargo xtask packer publish --source v1",
            ),
            (altered(list(row(false, Nothing, Rebuild), Some("v2"))), "build-and-fetch --host HOST a"),
            (list(row(true, Same, Skip), Some("v1")), "nothing: "),
            (list(row(false, Nothing, Skip), Some("v2")), "document --release v2"),
            (list(row(false, Nothing, Rebuild), Some("v2")), "build-and-fetch --host HOST a"),
            (list(row(true, Same, Rebuild), Some("v2")), "build-and-fetch --host HOST a"),
            (list(row(true, Differs, Rebuild), Some("v2")), "publish --source v2 --execute"),
            (list(row(true, Differs, Rebuild), None), "tag the release"),
            (begun(list(row(true, Differs, Rebuild), Some("v3"))), "publish --source v2 --execute"),
            (broken(begun(list(row(true, Same, Skip), Some("v3")))), "put `latest` right"),
            (Checklist::default(), "doctor"),
        ] {
            let said = next(&list);
            assert!(said.contains(step), "{step}: {said}");
        }
    }
}
