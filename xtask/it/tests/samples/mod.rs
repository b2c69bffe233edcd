//! The samples in README and docs are what the tool prints: each is typed anew on a terminal, in a world of its page, with
//! the real gh, git, ssh and scp.
//!
//! A fenced block of the language `console` has commands (`$ …`) and what they print. `…` on a line of its own stands for any
//! number of lines; ids, times and sizes may differ. What a reader doesn't see is in comments right before the block:
//!
//! - `<!-- sample: before: COMMAND -->` runs something first, and it must succeed,
//! - `<!-- sample: not run: REASON -->` leaves the block out. Blocks of another language need that as well.
//!
//! `scripts/samples --write` puts what was printed into the pages; with a page's name it types that page's samples alone.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

mod page;
mod typing;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use page::{Block, Page};
use typing::Person;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// README, the docs and the packer directory's README.
fn pages() -> Vec<String> {
    let docs = ["docs", "docs/internals"].into_iter().flat_map(|dir| {
        let names =
            fs::read_dir(top().join(dir)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".md")).map(move |name| format!("{dir}/{name}"))
    });
    let mut pages: Vec<String> = docs.chain(["README.md", "packer/README.md"].map(str::to_owned)).collect();
    pages.sort();
    pages
}

#[test]
fn each_sample_is_what_the_tool_prints() {
    let write = std::env::var_os("SAMPLES").is_some_and(|what| what == "write");
    let faults: Vec<String> = thread::scope(|scope| {
        let only = std::env::var("SAMPLES_ONLY").unwrap_or_default();
        let wanted = pages().into_iter().filter(|page| only.is_empty() || *page == only);
        let threads: Vec<_> = wanted.map(|page| scope.spawn(move || check(&page, write))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}\n\n`scripts/samples --write` writes what was printed", faults.join("\n\n"));
}

/// What is wrong with a page.
fn check(name: &str, write: bool) -> Vec<String> {
    let path = top().join(name);
    let mut page = Page::parse(&fs::read_to_string(&path).unwrap());
    let mut faults: Vec<String> = page.unmarked().into_iter().map(|fault| format!("{name}: {fault}")).collect();
    if page.runs().next().is_none() {
        return faults;
    }
    let mut person = Person::new(&name.replace(['/', '.'], "-"));
    for block in page.runs() {
        for command in &block.before {
            person.must(command);
        }
        let mut at = 0;
        while at < block.samples.len() {
            let printed = person.types(&block.samples[at].command, &block.answers(at));
            block.absorb(at, &printed);
            let sample = &mut block.samples[at];
            at += 1;
            if sample.is(&printed) {
                continue;
            }
            if write {
                sample.expected = printed;
            } else {
                faults.push(format!("{name}:{}: {}", block.line, sample.differs(&printed)));
            }
        }
    }
    if write {
        fs::write(&path, page.text()).unwrap();
    }
    faults
}

#[test]
fn a_page_is_read_and_written_as_it_is() {
    for name in pages() {
        let text = fs::read_to_string(top().join(&name)).unwrap();
        assert_eq!(Page::parse(&text).text(), text, "{name}");
    }
}

#[test]
fn what_is_not_as_it_should_be_is_seen() {
    let page = |text: &str| Page::parse(text);
    let block = "```console\n$ a\nb 1.0 s 0123abc\n…\nend\n$ c\n```\n";
    let mut parsed = page(block);
    let samples: Vec<_> = parsed.runs().flat_map(|block: &mut Block| block.samples.iter()).collect();
    assert_eq!(samples.iter().map(|sample| sample.command.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (printed, same) in [
        ("b 12.0 s 4567def89\nx\ny\nend", true),
        ("b 2 min 03 s 0000000\nend", true),
        ("b 1.0 s 0123abc\nx", false),
        ("b 1.0 s\nend", false),
        ("c 1.0 s 0123abc\nend", false),
        ("", false),
    ] {
        assert_eq!(samples[0].is(&lines(printed)), same, "{printed}");
    }
    assert!(samples[1].is(&[]) && !samples[1].is(&lines("more")));
    for (text, faults) in [
        (block, 0),
        ("```text\nx\n```\n", 1),
        ("<!-- sample: not run: no output -->\n```text\nx\n```\n", 0),
        ("<!-- sample: not run: -->\n```text\nx\n```\n", 1),
        ("<!-- sample: nonsense -->\n```console\n$ a\n```\n", 1),
        ("```console\nno command\n```\n", 1),
        ("```console\n$ a\n…\n```\n", 1),
    ] {
        assert_eq!(page(text).unmarked().len(), faults, "{text}");
    }
}
