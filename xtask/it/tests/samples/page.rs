//! A page of Markdown, its blocks, and when two outputs are the same.

use std::sync::LazyLock;

use regex_lite::Regex;

pub struct Page {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    Block(Block),
}

pub struct Block {
    /// The number of its first line.
    pub line: usize,
    language: String,
    /// What is wrong with the comments before it.
    faults: Vec<String>,
    not_run: Option<String>,
    pub before: Vec<String>,
    /// Lines before the first command.
    head: Vec<String>,
    pub samples: Vec<Sample>,
}

/// A command, and what it prints.
pub struct Sample {
    pub command: String,
    pub expected: Vec<String>,
}

impl Page {
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut comments = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(language) = line.strip_prefix("```") else {
                match line.strip_prefix("<!-- sample:").and_then(|rest| rest.strip_suffix("-->")) {
                    Some(comment) => comments.push(comment.trim().to_owned()),
                    None => comments.clear(),
                }
                pieces.push(Piece::Text(line.to_owned()));
                continue;
            };
            let mut block = Block::new(number + 1, language, &std::mem::take(&mut comments));
            for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
                block.add(line);
            }
            pieces.push(Piece::Block(block));
        }
        Self { pieces }
    }

    /// The blocks that are run.
    pub fn runs(&mut self) -> impl Iterator<Item = &mut Block> {
        self.pieces.iter_mut().filter_map(|piece| match piece {
            Piece::Block(block) if block.not_run.is_none() && block.language == "console" => Some(block),
            _ => None,
        })
    }

    /// Blocks that can be neither run nor left out as they are marked.
    pub fn unmarked(&self) -> Vec<String> {
        let blocks = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Block(block) => Some(block),
            Piece::Text(_) => None,
        });
        blocks.flat_map(Block::faults).collect()
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(line) => out.extend([line, "\n"]),
                Piece::Block(block) => {
                    out.extend(["```", &block.language, "\n"]);
                    block.head.iter().for_each(|line| out.extend([line, "\n"]));
                    for sample in &block.samples {
                        out.extend(["$ ", &sample.command, "\n"]);
                        sample.expected.iter().for_each(|line| out.extend([line, "\n"]));
                    }
                    out.push_str("```\n");
                }
            }
        }
        out
    }
}

impl Block {
    fn new(line: usize, language: &str, comments: &[String]) -> Self {
        let mut block = Self {
            line,
            language: language.to_owned(),
            faults: Vec::new(),
            not_run: None,
            before: Vec::new(),
            head: Vec::new(),
            samples: Vec::new(),
        };
        for comment in comments {
            match comment.split_once(':').map(|(what, rest)| (what, rest.trim())) {
                Some(("before", command)) if !command.is_empty() => block.before.push(command.to_owned()),
                Some(("not run", reason)) if !reason.is_empty() => block.not_run = Some(reason.to_owned()),
                Some(("not run", _)) => block.faults.push("no reason why it is not run".to_owned()),
                _ => block.faults.push(format!("`{comment}` says nothing of a sample")),
            }
        }
        block
    }

    fn add(&mut self, line: &str) {
        match (line.strip_prefix("$ "), self.samples.last_mut()) {
            (Some(command), _) => self.samples.push(Sample { command: command.to_owned(), expected: Vec::new() }),
            (None, Some(sample)) => sample.expected.push(line.to_owned()),
            (None, None) => self.head.push(line.to_owned()),
        }
    }

    /// What is answered to each question, from a command on.
    pub fn answers(&self, at: usize) -> Vec<&str> {
        let lines = self.samples[at..].iter().flat_map(|sample| &sample.expected);
        lines.filter_map(|line| Some(line.rsplit_once(QUESTION)?.1)).collect()
    }

    /// A line that begins as a command does belongs to the one before, where that printed it.
    pub fn absorb(&mut self, at: usize, printed: &[String]) {
        for command in printed.iter().filter_map(|line| line.strip_prefix("$ ")) {
            if self.samples.get(at + 1).is_some_and(|next| next.command == command) {
                let next = self.samples.remove(at + 1);
                let expected = &mut self.samples[at].expected;
                expected.push(format!("$ {}", next.command));
                expected.extend(next.expected);
            }
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        let is_run = self.language == "console" && self.head.is_empty() && !self.samples.is_empty();
        if self.not_run.is_none() && faults.is_empty() && !is_run {
            faults.push("is neither run nor marked with why not".to_owned());
        }
        let says_nothing =
            |sample: &&Sample| !sample.expected.is_empty() && sample.expected.iter().all(|line| line == "…");
        if is_run && self.not_run.is_none() {
            let empty = self.samples.iter().filter(says_nothing);
            faults.extend(empty.map(|sample| format!("`{}` may print anything", sample.command)));
        }
        faults.iter().map(|fault| format!("the block in line {}: {fault}", self.line)).collect()
    }
}

/// How a question ends on the terminal.
pub const QUESTION: &str = "[y/N] ";

impl Sample {
    /// Whether it prints that, but for what differs each time.
    pub fn is(&self, printed: &[String]) -> bool {
        let masked = |lines: &[String]| lines.iter().map(|line| mask(line)).collect::<Vec<_>>();
        fits(&masked(&self.expected), &masked(printed))
    }

    pub fn differs(&self, printed: &[String]) -> String {
        format!("{}\n--- in the page\n{}\n--- printed\n{}", self.command, self.expected.join("\n"), printed.join("\n"))
    }
}

fn fits(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => (0..=printed.len()).any(|at| fits(rest, &printed[at..])),
        Some((first, rest)) => printed.split_first().is_some_and(|(line, more)| line == first && fits(rest, more)),
    }
}

/// A line without ids, times and sizes, which differ each time, and the columns that follow from their length.
fn mask(line: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let mask = |pattern, by| (Regex::new(pattern).unwrap(), by);
        vec![
            // Only a slow upload before makes an estimate.
            mask(r"; about \S+ \S+( \S+ \S+)? at \S+ [KMG]iB/s", ""),
            mask(r"\d{8}T\d{6}Z|\d{4}-\d{2}-\d{2}T[0-9:]+Z", "TIME"),
            mask(r"\b20\d{2}-\d{2}-\d{2}\b", "DAY"),
            mask(r"\b[0-9a-f]*[0-9][0-9a-f]{6,}\b|\b[0-9a-f]{7,}\b", "ID"),
            mask(r"\b\d+ min \d+ s\b|\b\d+(\.\d+)? (ms|s|min|h|d)\b", "SPAN"),
            mask(r"\b\d+(\.\d+)? ?(B|KiB|MiB|GiB|K|M|G)\b", "SIZE"),
            mask(r"SHA256:[A-Za-z0-9+/]{43}", "KEY"),
            mask(r" {2,}", "  "),
        ]
    });
    let end = line.trim_end().to_owned();
    MASKS.iter().fold(end, |line, (pattern, by)| pattern.replace_all(&line, *by).into_owned())
}
