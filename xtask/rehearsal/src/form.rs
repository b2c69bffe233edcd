//! The form of the tool's messages. Each run of the tool in a test is checked by it, so that every error that a test provokes
//! has a cause and a fix.

use std::ffi::OsStr;

use serde_json::Value;

/// Options that a line to type takes over from the line that was typed, and the verbs that don't take them.
const OPTIONS: [(&str, &[&str]); 5] = [
    ("--packer-dir", &[]),
    ("--images", &["rehearse", "rollback"]),
    ("--repo", &["build", "build-and-fetch", "checksum", "rehearse", "split"]),
    ("--remote", &["checksum", "rehearse", "split"]),
    ("--git-url", &["build", "build-and-fetch", "checksum", "download", "rehearse", "split"]),
];

/// How a line to type begins.
const TYPED: &str = "cargo xtask packer ";

/// What Rust's own way to show a value looks like.
const RAW: [&str; 9] = ["Some(", "None,", "Ok(", "Err(", "Os {", "kind:", "Error {", "PathBuf", "\\\""];

/// Words that a message may begin with in capitals.
const NAMES: [&str; 4] = ["GitHub", "GitHub's", "Debian", "Proxmox"];

/// What to do: an error has one of these, or a line to type.
const FIXES: [&str; 31] = [
    "fix: ",
    "`",
    "--",
    "run ",
    "look ",
    "let ",
    "name ",
    "give ",
    "put ",
    "build",
    "fetch ",
    "remove ",
    "move ",
    "free ",
    "use ",
    "install ",
    "make ",
    "see ",
    "check ",
    "publish ",
    "replace ",
    "restore ",
    "write ",
    "did you mean",
    "keep ",
    "wait ",
    "leave ",
    "unarchive ",
    "set ",
    "update ",
    "ask ",
];

/// What another program's words stand behind.
const QUOTES: [&str; 3] = ["\nssh said: ", "; its last lines:", "\n  "];

/// # Panics
///
/// When what a run said hasn't the form.
#[track_caller]
pub fn check<S: AsRef<OsStr>>(args: &[S], code: Option<i32>, stdout: &str, stderr: &str) {
    let args: Vec<_> = args.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    let faults = faults(&args, code, stdout, stderr);
    assert!(
        faults.is_empty(),
        "`{}` ended with {code:?}, and its messages have not the form:\n  {}\n{stdout}{stderr}",
        args.join(" "),
        faults.join("\n  ")
    );
}

fn faults(args: &[String], code: Option<i32>, stdout: &str, stderr: &str) -> Vec<String> {
    if args.iter().any(|word| matches!(word.as_str(), "--help" | "-h" | "help" | "rehearse")) {
        return Vec::new();
    }
    let object: Option<Value> = serde_json::from_str(stdout).ok();
    let mut texts = vec![stderr.to_owned()];
    match &object {
        Some(object) => strings(object, &mut texts),
        None => texts.push(stdout.to_owned()),
    }
    let mut faults: Vec<String> = texts.iter().flat_map(|text| of_text(text, args)).collect();
    let told = stderr.rfind("error: ").filter(|at| *at == 0 || stderr[..*at].ends_with('\n'));
    let told = told.map(|at| stderr[at + "error: ".len()..].trim_end());
    let in_object = object.as_ref().map(|object| &object["error"]).and_then(|error| {
        let fix = error["fix"].as_str().map(|fix| format!("\nfix: {fix}")).unwrap_or_default();
        Some(format!("{}{fix}", error["message"].as_str()?))
    });
    // clap has a form of its own.
    if code != Some(2) {
        faults.extend(told.into_iter().chain(in_object.as_deref()).flat_map(|said| of_message(said, code)));
    }
    // As it is printed: the object has such characters escaped.
    if let Some(c) = told.and_then(|said| said.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'))) {
        faults.push(format!("{c:?} as it is"));
    }
    faults.sort();
    faults.dedup();
    faults
}

/// All strings in a value.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| strings(value, into)),
        Value::Object(map) => map.values().for_each(|value| strings(value, into)),
        _ => {}
    }
}

/// What holds for all that is said.
fn of_text(text: &str, args: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let words: Vec<&str> = text.split_whitespace().collect();
    for (at, noun) in words.iter().enumerate().skip(1) {
        let noun = noun.trim_end_matches([',', ';', ':', ')', '.']);
        let many = noun.len() > 3 && noun.ends_with('s') && noun.bytes().all(|byte| byte.is_ascii_lowercase());
        let one = words[at - 1].trim_start_matches('(') == "1";
        // `--part-size 1 cuts` counts nothing.
        if one && many && at > 1 && !words[at - 2].starts_with("--") {
            faults.push(format!("plural after 1: `1 {noun}`"));
        }
    }
    for typed in text.split(TYPED).skip(1) {
        // A line of the notes of a release, which all people read.
        if typed.starts_with("diff` shows all") {
            continue;
        }
        let typed = typed.split('`').next().unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let typed = typed.split_whitespace().collect::<Vec<_>>().join(" ");
        let verb = typed.split(' ').next().unwrap_or_default();
        for (option, value) in given(args) {
            let takes = OPTIONS.iter().any(|(name, without)| *name == option && !without.contains(&verb));
            let quoted = format!("{option} '{}'", value.replace('\'', r"'\''"));
            let has = [format!("{option} {value}"), format!("{option}={value}"), quoted];
            if takes && !has.iter().any(|has| typed.contains(has)) {
                faults.push(format!("without `{option} {value}`: `{TYPED}{typed}`"));
            }
        }
    }
    faults
}

/// The options of the person's own that a line to type must have.
fn given(args: &[String]) -> Vec<(&str, &str)> {
    let mut given = Vec::new();
    for (at, word) in args.iter().enumerate().take_while(|(_, word)| *word != "--") {
        for (option, _) in OPTIONS {
            match word.strip_prefix(option) {
                Some("") => given.extend(args.get(at + 1).map(|value| (option, value.as_str()))),
                Some(value) => given.extend(value.strip_prefix('=').map(|value| (option, value))),
                None => {}
            }
        }
    }
    // What is the default needs no word.
    given.retain(|pair| *pair != ("--remote", "origin"));
    given
}

/// What holds for an error.
fn of_message(message: &str, code: Option<i32>) -> Vec<String> {
    let mut faults = Vec::new();
    let listed = message.split_once(" problems:\n  - ").filter(|(number, _)| number.parse::<usize>().is_ok());
    let items: Vec<&str> = listed.map_or(vec![message], |(_, items)| items.split("\n  - ").collect());
    if listed.is_some_and(|(number, _)| number.parse() != Ok(items.len())) {
        faults.push("the number of problems is not that of the list".to_owned());
    }
    for item in items {
        let first = item.split([' ', ':', ',']).next().unwrap_or_default();
        let name = NAMES.contains(&first) || first.chars().skip(1).any(|c| !c.is_ascii_lowercase());
        if item.starts_with(char::is_uppercase) && !name {
            faults.push(format!("begins with a capital: {item}"));
        }
        // What another program said is in its own words.
        let own = QUOTES.iter().filter_map(|quote| item.find(quote)).min().map_or(item, |at| &item[..at]);
        if own.ends_with('.') {
            faults.push(format!("ends with a full stop: {item}"));
        }
        if item.contains(" problems:") {
            faults.push(format!("a list in a list: {item}"));
        }
        // A signal is its own reason.
        if code != Some(130) && !FIXES.iter().any(|fix| item.contains(fix)) {
            faults.push(format!("doesn't say what to do: {item}"));
        }
        if let Some(raw) = RAW.iter().find(|raw| item.contains(*raw)) {
            faults.push(format!("`{raw}`, as a program shows it: {item}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str], stderr: &str) -> usize {
        let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
        faults(&args, Some(3), "", stderr).len()
    }

    #[test]
    fn bad_form_is_seen() {
        for said in [
            "error: No image here; run again",
            "error: no image here; run again.",
            "error: no image here",
            "error: 1 images are missing; run again",
            "error: 2 problems:\n  - 2 problems:\n    - run a\n    - b\n  - run c",
            "error: 3 problems:\n  - run a\n  - run b",
            "error: reading; look at Os { code: 2 }",
            "warning: a note\nerror: run \u{1b}[1m",
            "error: none; run `cargo xtask packer status`",
        ] {
            assert_eq!(of(&["publish", "--images", "/i"], said), 1, "{said}");
        }
    }

    #[test]
    fn good_form_is_let_be() {
        for said in [
            "error: no image x in /i; run `cargo xtask packer split --images /i x`",
            "error: no image; run `cargo xtask packer rollback`",
            "error: HEAD is at 1 commit; wait for more\nGitHub said: Not Found.)",
            "error: no login; run ssh-add\nssh said: Denied.",
            "error: 2 problems:\n  - run a\n  - run b",
            "",
        ] {
            assert_eq!(of(&["publish", "--images=/i"], said), 0, "{said}");
        }
    }
}
