//! `status`: the whole picture of the phase, and the next step.
//!
//! It only reads. The state of `latest` and the next step are the same as in every other verb, since all ask `phase`.

use std::time::SystemTime;

use serde_json::Value;

use super::{Common, Outcome, common};
use crate::console::{self, Console};
use crate::gh::{Gh, Tries};
use crate::phase::{self, Agreement, Freshness, Latest, Local, Options, Row, Step};
use crate::sources::History;
use crate::suggest;
use crate::text::{count, size};

/// Show each image here and on `latest`, the state of `latest`, and what to do next
#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub common: common::All,
}

/// A verb that only looks asks twice at most.
pub(super) const TRIES: Tries = Tries { stall_timeout: 30, attempts: 2 };

impl Status {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let mut history = History::open(&common.packer_dir())?;
        let gh = Gh::new(common.repo()?, TRIES, console);
        common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
        let options = Options::default();
        let (picture, _) = common.observe(&gh, &mut history, &options)?;
        table(&picture.rows, console);
        for row in &picture.rows {
            if let Local::Unusable { problem, .. } = &row.local {
                console.line(format_args!("{}: {problem}", row.name));
            }
        }
        console.line("");
        let mut below: Vec<(String, String)> = Vec::new();
        let found = picture.latest.as_ref().map(Latest::findings).unwrap_or_default();
        below.extend(found.into_iter().map(|finding| (finding.what, finding.said)));
        if picture.rows.iter().any(|row| matches!(row.local, Local::Present { read: false, .. })) {
            let verify = suggest::command("verify");
            below.push(("images".to_owned(), format!("compared by their checksum files; {verify} reads the images")));
        }
        let live = picture.latest.as_ref().ok().and_then(|latest| latest.live.as_ref());
        let fresh = live.zip(history.git().common_dir().ok());
        let fresh = fresh.and_then(|(live, dir)| {
            Freshness::last(&dir, SystemTime::now()).filter(|it| it.release_id == live.release_id)
        });
        let published_at = live.and_then(|live| live.published_at.as_deref());
        below.extend(fresh.as_ref().map(|fresh| ("fresh".to_owned(), freshness(fresh, published_at))));
        let width = below.iter().map(|(what, _)| what.len()).max().unwrap_or(0).max(8);
        for (what, said) in below {
            let said = said.replace('\n', &format!("\n{:width$}  ", ""));
            console.line(format_args!("{what:width$}  {said}"));
        }
        let mut fields = picture.to_json();
        fields["freshness"] = serde_json::to_value(&fresh)?;
        fields["next"] = show_next(console, &phase::steps(&picture, &options), width);
        Ok(match &picture.latest {
            Ok(_) => Outcome::done(fields),
            Err(unasked) => {
                Outcome::failed(anyhow::Error::from(unasked.clone()).context("cannot read `latest`"), fields)
            }
        })
    }
}

/// How old the live set is, and how many fixes it lacked when the archives were asked last.
fn freshness(fresh: &Freshness, published_at: Option<&str>) -> String {
    let published = published_at.and_then(|at| humantime::parse_rfc3339(at).ok());
    let since = published.and_then(|at| SystemTime::now().duration_since(at).ok());
    let since = since.map(|since| format!("published {} ago; ", age(since.as_secs()))).unwrap_or_default();
    let lacking = fresh.fixes.iter().filter(|(_, fixes)| !fixes.is_empty()).map(|(name, _)| name.as_str());
    let lacking = lacking.collect::<Vec<_>>().join(", ");
    let which = if lacking.is_empty() { lacking } else { format!(" ({lacking})") };
    let (fixes, day) = (count(fresh.lacking(), "package update"), fresh.asked.get(..10).unwrap_or_default());
    format!("{since}lacked {fixes} on {day}{which}; {} asks again", suggest::command("check --upstream"))
}

/// Shows the next step, as every verb that looks at the phase does, and gives it for the JSON object.
/// `width`: of the words before it.
pub(super) fn show_next(console: &Console, steps: &[Step], width: usize) -> Value {
    let label = console.bold(&format!("{:width$}", "next"));
    let Some(step) = phase::next(steps) else {
        console.line(format_args!("{label}  nothing: all steps are done"));
        return Value::Null;
    };
    console.line(format_args!("{label}  {}: {}", step.name.word(), step.reason.replace('\n', "; ")));
    console.line(format_args!("{:width$}  `{}`", "", step.command.executed()));
    step.next_to_json()
}

const HEADINGS: [&str; 6] = ["image", "local", "published", "agree", "age", "check"];

fn table(rows: &[Row], console: &Console) {
    let columns = console::columns().unwrap_or(usize::MAX);
    let rows: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let heading = HEADINGS.map(str::to_owned);
    let width = |at: usize| rows.iter().chain([&heading]).map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    if widths.iter().sum::<usize>() + 2 * (widths.len() - 1) <= columns {
        for (number, row) in [&heading].into_iter().chain(&rows).enumerate() {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            console.line(if number == 0 { console.bold(line) } else { line.to_owned() });
        }
        return;
    }
    for row in &rows {
        console.line(console.bold(&row[0]));
        for (heading, cell) in HEADINGS.iter().zip(row).skip(1) {
            console.line(format_args!("  {heading:9}  {cell}"));
        }
    }
}

/// A row as [`HEADINGS`] names its cells.
fn cells(row: &Row) -> [String; 6] {
    let dash = || "-".to_owned();
    let whole = |bytes: u64, parts: usize| match parts {
        0 => size(bytes),
        parts => format!("{}, {}", size(bytes), count(parts, "part")),
    };
    [
        row.name.clone(),
        match &row.local {
            Local::Absent => dash(),
            Local::Unusable { brief, .. } => (*brief).to_owned(),
            Local::Present { size, parts, sha256: Some(_), .. } => whole(*size, *parts),
            Local::Present { size, parts, .. } => whole(*size, *parts) + ", no checksum",
        },
        row.published.as_ref().map_or_else(dash, |published| whole(published.size, published.parts)),
        match (row.agreement, &row.local) {
            (Agreement::Same, Local::Present { read: false, .. }) => "same, unread".to_owned(),
            (Agreement::Same, _) => "same".to_owned(),
            (Agreement::Differs, _) => "differs".to_owned(),
            (Agreement::Unknown, _) => "unknown".to_owned(),
            (Agreement::Nothing, _) => dash(),
        },
        row.age_seconds.map_or_else(dash, age),
        match row.decision {
            _ if !row.template => "no template".to_owned(),
            Some(decision) => decision.word().to_owned(),
            None => dash(),
        },
    ]
}

/// `12 min`, `5 h`, `3 d`.
fn age(seconds: u64) -> String {
    let minutes = seconds / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn freshness_names_the_images_that_lack_updates() {
        let named = ["curl", "openssl"].map(str::to_owned);
        let fixes = [("a".to_owned(), named.into()), ("b".to_owned(), std::collections::BTreeSet::new())].into();
        let fresh = super::Freshness { asked: "2026-11-28T12:00:00Z".into(), release_id: 1, fixes };
        let shown = super::freshness(&fresh, None);
        assert!(shown.starts_with("lacked 2 package updates on 2026-11-28 (a); `cargo"), "{shown}");
        assert!(super::freshness(&fresh, Some("2020-01-01T00:00:00Z")).contains(" d ago; lacked"));
    }

    #[test]
    fn ages_read_well() {
        for (seconds, word) in [(59, "0 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d")] {
            assert_eq!(super::age(seconds), word);
        }
    }
}
