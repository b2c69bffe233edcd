//! What the walk shows: the steps, and at the end the phase's checklist.

use super::line::Lines;
use super::seen::Seen;
use super::steps::{State, Step};
use crate::console::{self, Console, count, size};
use crate::text;

/// A line of the phase's checklist.
pub struct Item {
    pub what: String,
    pub done: bool,
}

/// The steps, each with its state.
pub fn steps(console: &Console, release: &str, seen: &Seen, steps: &[Step]) {
    const NAMES: usize = 26;
    let columns = console::columns().unwrap_or(80);
    // On a narrow terminal what is said stands below the name.
    let (first, indent) = if columns < 60 { ("\n      ", 6) } else { ("", NAMES) };
    console.line("");
    let live = seen.list.latest.as_ref().and_then(|latest| latest.release.as_ref()?.source.as_deref());
    let live = live.map_or_else(String::new, |live| format!(" (`latest` is {live})"));
    console.line(format_args!("{}{live}", console.bold(&format!("Release {release}, packer images"))));
    for step in steps {
        let said = text::hanging(&step.said, columns, indent);
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

/// What phase 64 asks to be ticked off.
pub fn items(lines: &Lines<'_>, seen: &Seen) -> Vec<Item> {
    let release = lines.release();
    let item = |what: String, done: bool| Item { what, done };
    let verified = matches!(seen.verified, Some(Ok(_)));
    let documented = seen.documented.as_ref().and_then(|documented| documented.as_ref().ok());
    let rebuilt = documented.map(|documented| documented.rebuilt.as_slice()).unwrap_or_default();
    let mut items = vec![item(
        match rebuilt {
            _ if documented.is_none() => "template changes checked".to_owned(),
            [] => "template changes checked: none, the images are kept".to_owned(),
            some => format!("template changes checked: rebuild of {}", some.join(", ")),
        },
        verified,
    )];
    if !rebuilt.is_empty() || seen.published {
        items.push(item(format!("images rebuilt, and `latest` moved to {release}"), verified && seen.published));
    }
    for row in seen.list.rows.iter().filter(|row| row.template) {
        let name = &row.name;
        let (what, there) = match &row.published {
            None => (format!("{name}.qcow2 on `latest`"), false),
            Some(published) if published.parts > 0 => (
                format!("{name}.qcow2 in {} ({}) + .sha256", count(published.parts, "part"), size(published.bytes)),
                true,
            ),
            Some(published) => (format!("{name}.qcow2 ({}) + .sha256", size(published.bytes)), true),
        };
        items.push(item(what, there && verified));
    }
    match documented {
        Some(documented) => {
            items.push(item(format!("decision in the notes of {release}: {}", documented.line), documented.written));
            let on_issue = documented.on_issue && documented.written;
            let what = "decision on the release issue";
            let todo = if on_issue { String::new() } else { format!(": {}", lines.comment()) };
            items.push(item(format!("{what}{todo}"), on_issue));
        }
        None => items.push(item(format!("decision in the notes of {release}: {}", lines.document()), false)),
    }
    items
}

/// The last screen.
pub fn checklist(console: &Console, lines: &Lines<'_>, seen: &Seen) {
    let columns = console::columns().unwrap_or(80);
    console.line(console.bold(&format!("Phase 64 of {}, to tick off", lines.release())));
    for item in items(lines, seen) {
        let what = text::hanging(&item.what, columns, 6);
        let mark = if item.done { console.green("[x]") } else { "[ ]".to_owned() };
        console.line(format_args!("  {mark} {what}"));
    }
}
