//! What was measured, as a table, as JSON and as a plot.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub ours: f64,
    /// The shell's way, and what it is.
    pub theirs: Option<(String, f64)>,
    /// The most that `ours` may be: times the shell's value, or in the unit.
    pub target: Option<Target>,
}

#[derive(Debug, Clone, Copy)]
pub enum Target {
    Ratio(f64),
    Value(f64),
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.theirs.as_ref().map(|(_, theirs)| self.ours / theirs)
    }

    fn reached(&self) -> Option<bool> {
        Some(match self.target? {
            Target::Ratio(most) => self.ratio()? <= most,
            Target::Value(most) => self.ours <= most,
        })
    }

    fn target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::Ratio(most)) => format!("≤ {most:.2} ×"),
            Some(Target::Value(most)) => format!("≤ {} {}", number(most), self.unit),
        }
    }
}

/// A Markdown table.
pub fn table(rows: &[Row], machine: &str, runs: usize) -> String {
    let mut text = format!("{machine}; medians of {runs} runs in turn.\n\n");
    text.push_str("| what | this tool | the shell's way | ratio | target | |\n|---|---:|---:|---:|---:|---|\n");
    for row in rows {
        let theirs = row
            .theirs
            .as_ref()
            .map_or_else(String::new, |(command, value)| format!("{} {} (`{command}`)", number(*value), row.unit));
        let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let reached = match row.reached() {
            None => "",
            Some(true) => "reached",
            Some(false) => "missed",
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| {} | {} {} | {theirs} | {ratio} | {} | {reached} |",
            row.what,
            number(row.ours),
            row.unit,
            row.target()
        );
    }
    text
}

pub fn to_json(rows: &[Row], machine: &str, runs: usize) -> Value {
    let row = |row: &Row| {
        json!({
            "what": row.what,
            "unit": row.unit,
            "tool": row.ours,
            "shell": row.theirs.as_ref().map(|(command, value)| json!({ "command": command, "value": value })),
            "ratio": row.ratio(),
            "target": row.target(),
            "reached": row.reached(),
        })
    };
    json!({ "machine": machine, "runs": runs, "rows": rows.iter().map(row).collect::<Vec<_>>() })
}

/// Two bars for each row that compares: this tool above the shell's way, each row on a scale of its own.
pub fn svg(rows: &[Row], machine: &str) -> String {
    const ROW: usize = 58;
    const BARS: f64 = 460.0;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.theirs.is_some()).collect();
    let height = rows.len() * ROW + 50;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"820\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">{}</text>\n",
        escape(&format!("Less is better. {machine}"))
    );
    for (index, row) in rows.iter().enumerate() {
        let Some((command, theirs)) = &row.theirs else { continue };
        let top = 34 + index * ROW;
        let longest = row.ours.max(*theirs).max(f64::MIN_POSITIVE);
        let bar = |y: usize, value: f64, colour: &str, label: &str| {
            let width = BARS * value / longest;
            format!(
                "<rect x=\"10\" y=\"{y}\" width=\"{width:.1}\" height=\"13\" fill=\"{colour}\"/>\n\
                 <text x=\"{x:.1}\" y=\"{text}\">{label}</text>\n",
                x = 16.0 + width,
                text = y + 11,
                label = escape(&format!("{} {} {label}", number(value), row.unit)),
            )
        };
        let _ = writeln!(svg, "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{}</text>", top + 10, escape(&row.what));
        svg.push_str(&bar(top + 15, row.ours, "#2b6cb0", "cargo xtask packer"));
        svg.push_str(&bar(top + 30, *theirs, "#a0aec0", command));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    match value {
        value if value == value.trunc() && value.abs() < 1e9 => format!("{value:.0}"),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
