//! `status`: the image checklist, the state of `latest`, and what to do next.

use super::{Common, Outcome};
use crate::checklist::{self, Checklist, Latest, Local};
use crate::console::Console;
use crate::decide::{self, History, Moment, Observed};
use crate::gh::{Gh, Tries};
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look;

/// Show the image checklist, the state of `latest`, and what to do next
#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub common: Common,
}

/// Looking is worth a second try and no more.
const TRIES: Tries = Tries { stall_timeout: 30, answer_timeout: 30, attempts: 2 };

const HEADINGS: [&str; 9] =
    ["image", "template", "local", "checksum", "parts", "published", "agree", "age", "check"];

impl Status {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let mut history = History::open(&common.packer_dir())?;
        let templates = history.templates(&Moment::WorkTree)?;
        let gh = Gh::new(common.repo()?, TRIES, console);
        common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
        let mut list = Checklist { head: history.head.clone(), ..Checklist::default() };
        let outside = GitHub::new(&gh, history.git(), common.address(gh.repo()), console);
        let doors = Doors::new(&outside);
        let look = look::look(doors)
            .and_then(|look| Latest::of(doors, &look).map(|latest| (look, latest)));
        let live = match look {
            Ok((look, latest)) => {
                list.latest = Some(latest);
                look.live
            }
            Err(error) => {
                list.unasked.push(format!("{error:#}"));
                None
            }
        };
        list.rows = checklist::rows(&templates, &common.images(), live.as_ref())?;
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
                latest: Ok(live.as_ref().map(decide::Published::of)),
                remote_tags: Ok(remote_tags),
                local_tags,
                head: history.head.clone(),
            };
            let bases = decide::choose(&observed, &templates)?;
            let report = decide::decide(&mut history, &bases, &common.remote)?;
            list.add_decisions(&report);
        }
        show(&list, console);
        Ok(Outcome::done(list.to_json()))
    }
}

/// The columns that are told last: a terminal that is narrower than the table does without the first of these, then the next.
const LEAST: [&str; 6] = ["template", "age", "parts", "checksum", "agree", "local"];

/// Which columns fit.
fn columns(widths: [usize; 9], room: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..HEADINGS.len()).collect();
    for least in LEAST {
        let needed = shown.iter().map(|column| widths[*column] + 2).sum::<usize>() - 2;
        if room.is_none_or(|room| needed <= room) {
            break;
        }
        shown.retain(|column| HEADINGS[*column] != least);
    }
    shown
}

fn show(list: &Checklist, console: &Console) {
    for unasked in &list.unasked {
        console.warn(format_args!("could not look at `latest`: {unasked}"));
    }
    let rows: Vec<[String; 9]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(list.rows.iter().map(checklist::Row::cells)).collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let shown = columns(widths, console.width());
    for (number, row) in rows.iter().enumerate() {
        let cells = shown.iter().map(|column| format!("{:width$}", row[*column], width = widths[*column]));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        console.line(if number == 0 { console.bold(line) } else { line.to_owned() });
    }
    for row in &list.rows {
        if let Local::Bad(why) = &row.local {
            console.line(format_args!("{}: {why}", row.name));
        }
    }
    console.line("");
    for line in list.below() {
        console.line(line);
    }
    console.line(format_args!("{}      {}", console.bold("next"), checklist::next(list)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_the_terminal() {
        let widths = [16, 8, 9, 8, 5, 20, 7, 7, 7];
        let needed = |shown: &[usize]| shown.iter().map(|column| widths[*column] + 2).sum::<usize>() - 2;
        assert_eq!(columns(widths, None).len(), 9);
        assert_eq!(columns(widths, Some(200)).len(), 9);
        for room in [100, 80, 60] {
            let shown = columns(widths, Some(room));
            assert!(needed(&shown) <= room && shown.contains(&0) && shown.contains(&8), "{room}: {shown:?}");
        }
    }
}
