//! What the walk shows: the steps, and at the end the checklist of phase 64.
//!
//! An item of the checklist is done when its effect was observed.

use serde::Serialize;

use crate::console::{self, Console};
use crate::phase::{Name, Options, Picture, State, Step};
use crate::text::{count, size};

/// A line of the checklist.
#[derive(Serialize)]
pub struct Item {
    #[serde(rename = "item")]
    pub what: String,
    pub done: bool,
}

/// The steps, each with its state.
pub fn steps(console: &Console, release: &str, picture: &Picture, steps: &[Step]) {
    const NAMES: usize = 26;
    let columns = console::columns().unwrap_or(80);
    // On a narrow terminal the reason is below the name.
    let (first, indent) = if columns < 60 { ("\n      ", 6) } else { ("", NAMES) };
    console.line("");
    let live = picture.label().map_or_else(String::new, |live| format!(" (`latest` is {live})"));
    console.line(format_args!("{}{live}", console.bold(&format!("Release {release}, packer images"))));
    for step in steps {
        let said = step.reason.replace('\n', &format!("\n{}", " ".repeat(indent)));
        let state = match step.state {
            State::Done => console.green("done "),
            State::Next => console.yellow("next "),
            State::Later => "later".to_owned(),
        };
        let name = step.name.word();
        if first.is_empty() {
            console.line(format_args!("  {state}  {name:15}  {said}"));
        } else {
            console.line(format_args!("  {state}  {name}{first}{said}"));
        }
    }
    console.line("");
}

/// What phase 64 asks to tick off.
pub fn items(options: &Options, picture: &Picture, steps: &[Step]) -> Vec<Item> {
    let release = options.release.as_deref().unwrap_or_default();
    let item = |what: String, done: bool| Item { what, done };
    let is_done = |name: Name| steps.iter().any(|step| step.name == name && step.state == State::Done);
    let verified = is_done(Name::Verify);
    let plan = picture.document.as_ref().and_then(|plan| plan.as_ref().ok());
    let rebuilt: Vec<&str> = plan.iter().flat_map(|plan| plan.record.rebuilt()).collect();
    let published = picture.label() == Some(release);
    let mut items = vec![item(
        match rebuilt.as_slice() {
            _ if plan.is_none() => "template changes checked".to_owned(),
            [] => "template changes checked: none, the images are kept".to_owned(),
            some => format!("template changes checked: rebuild of {}", some.join(", ")),
        },
        verified,
    )];
    if !rebuilt.is_empty() || published {
        items.push(item(format!("images rebuilt, and `latest` moved to {release}"), verified && published));
    }
    for row in picture.rows.iter().filter(|row| row.template) {
        let name = &row.name;
        let (what, there) = match &row.published {
            None => (format!("{name}.qcow2 on `latest`"), false),
            Some(published) if published.parts > 0 => (
                format!("{name}.qcow2 in {} ({}) + .sha256", count(published.parts, "part"), size(published.size)),
                true,
            ),
            Some(published) => (format!("{name}.qcow2 ({}) + .sha256", size(published.size)), true),
        };
        items.push(item(what, there && verified));
    }
    let Some(plan) = plan else {
        items.push(item(format!("decision in the notes of {release}: {}", options.document(release)), false));
        return items;
    };
    let written = plan.release.is_some() && !plan.notes_change;
    items.push(item(format!("decision in the notes of {release}: {}", plan.line), written));
    let on_issue = plan.comment.as_ref().is_some_and(|comment| !comment.changes());
    let todo = match &plan.comment {
        Some(_) if on_issue => String::new(),
        Some(_) => format!(": {}", options.document(release)),
        None => format!(": {} --issue N", options.document(release)),
    };
    items.push(item(format!("decision on the release issue{todo}"), on_issue));
    items
}

/// The last screen.
pub fn checklist(console: &Console, options: &Options, picture: &Picture, steps: &[Step]) {
    let release = options.release.as_deref().unwrap_or_default();
    console.line(console.bold(&format!("Checklist of phase 64 for {release}")));
    for item in items(options, picture, steps) {
        let what = item.what.replace('\n', "\n      ");
        let mark = if item.done { console.green("[x]") } else { "[ ]".to_owned() };
        console.line(format_args!("  {mark} {what}"));
    }
}
