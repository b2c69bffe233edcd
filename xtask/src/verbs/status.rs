//! `status`: the image checklist, the state of `latest`, and what to do next.

use super::{Common, Outcome, common};
use crate::checklist::{self, Checklist, HEADINGS, Latest, Local};
use crate::console::{self, Console};
use crate::decide::{self, History, Moment, Observed};
use crate::gh::{Gh, Tries};
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look::{self, Look};

/// Show the image checklist, the state of `latest`, and what to do next
#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub common: common::All,
}

/// Looking is worth a second try and no more.
pub(super) const TRIES: Tries = Tries { stall_timeout: 30, answer_timeout: 30, attempts: 2 };

impl Status {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let mut history = History::open(&common.packer_dir())?;
        let (list, _) = look(common, console, &mut history, &Moment::WorkTree)?;
        show(&list, console);
        Ok(Outcome::done(list.to_json()))
    }
}

/// The checklist with check's decisions for a moment, and the look that it was made from. What can't be asked is said in it.
pub(super) fn look(
    common: &Common,
    console: &Console,
    history: &mut History,
    moment: &Moment,
) -> anyhow::Result<(Checklist, Option<Look>)> {
    let templates = history.templates(moment)?;
    let gh = Gh::new(common.repo()?, TRIES, console);
    common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
    let mut list = Checklist { head: history.head.clone(), ..Checklist::default() };
    let outside = GitHub::new(&gh, history.git(), common.address(gh.repo()), console);
    let doors = Doors::new(&outside);
    let look = look::look(doors).and_then(|look| Latest::of(doors, &look).map(|latest| (look, latest)));
    let look = match look {
        Ok((look, latest)) => {
            list.latest = Some(latest);
            Some(look)
        }
        Err(error) => {
            list.unasked.push(format!("{error:#}"));
            None
        }
    };
    let live = look.as_ref().and_then(|look| look.live.as_ref());
    list.rows = checklist::rows(&templates, &common.images(), live)?;
    let local_tags = history.git().local_tags()?;
    list.version_here = local_tags
        .iter()
        .filter(|(name, tag)| crate::version::is_one(name) && Some(&tag.commit) == history.head.as_ref())
        .map(|(name, _)| name.clone())
        .reduce(|a, b| if crate::version::is_newer(&a, &b) { a } else { b });
    if let Some(latest) = &list.latest {
        // What was looked at already is not asked for again.
        let tag = latest.tag.clone().map(|tag| (crate::latest::TAG.to_owned(), tag));
        let mut remote_tags = local_tags.clone();
        remote_tags.remove(crate::latest::TAG);
        remote_tags.extend(tag);
        let observed = Observed {
            repo: gh.repo().to_string(),
            remote: common.remote.clone(),
            latest: Ok(live.map(decide::Published::of)),
            remote_tags: Ok(remote_tags),
            local_tags,
            head: match moment {
                Moment::WorkTree => history.head.clone(),
                Moment::Commit(commit) => Some(commit.clone()),
            },
        };
        let bases = decide::choose(&observed, &templates)?;
        let report = decide::decide_for(history, &bases, &common.remote, moment)?;
        list.add_decisions(&report);
    }
    Ok((list, look))
}

fn show(list: &Checklist, console: &Console) {
    for unasked in &list.unasked {
        console.warn(format_args!("could not look at `latest`: {unasked}"));
    }
    let columns = console::columns().unwrap_or(usize::MAX);
    let rows: Vec<[String; 6]> = list.rows.iter().map(checklist::Row::cells).collect();
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
    } else {
        for row in &rows {
            console.line(console.bold(&row[0]));
            for (heading, cell) in HEADINGS.iter().zip(row).skip(1) {
                console.line(format_args!("  {heading:9}  {cell}"));
            }
        }
    }
    for row in &list.rows {
        if let Local::Bad(why) = &row.local {
            console.line(format_args!("{}: {why}", row.name));
        }
    }
    console.line("");
    for (label, said) in list.below() {
        console.line(format_args!("{label:8}  {said}"));
    }
    console.line(format_args!("{}      {}", console.bold("next"), checklist::next(list)));
}
