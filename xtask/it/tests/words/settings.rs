//! docs/settings.md names each variable that the code reads, removes or sets.

use regex_lite::Regex;

use super::lexer::{self, Kind};
use super::{files, read};

/// Names of this form that are no settings: lines of files, variables of the shell itself, and what only a build hands on to its own parts.
const OTHERS: [&str; 11] = [
    "DEBIAN_VERSION",
    "PVE_VERSION",
    "BASH_SOURCE",
    "BASH_VERSION",
    "BASH_REMATCH",
    "PIPESTATUS",
    "CARGO_PKG_VERSION",
    "IMAGE_ROOT",
    "PACKER_PLUGIN",
    "SECONDS",
    "BOOT_MACHINES",
];

#[test]
fn settings_page_names_each_variable() {
    let page = read("docs/settings.md");
    let mut names = Vec::new();
    let name = Regex::new("^[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]$").unwrap();
    for file in files("xtask/src", |path| path.ends_with(".rs") && !path.ends_with("/tests.rs")) {
        let literals = lexer::pieces(&read(&file)).into_iter().filter(|piece| piece.kind == Kind::Literal);
        names.extend(literals.map(|piece| piece.text).filter(|text| name.is_match(text)));
    }
    let default = Regex::new(r"\$\{([A-Z][A-Z0-9_]{3,}):?[-=]").unwrap();
    let scripts =
        files("packer", |path| path.ends_with(".sh") && !path.contains("/tests/") && !path.contains("/shared/"));
    for file in scripts {
        names.extend(default.captures_iter(&read(&file)).map(|found| found[1].to_owned()));
    }
    let settings = read("packer/build.sh");
    let settings = settings.split_once("\nSETTINGS=(").unwrap().1.split(')').next().unwrap();
    names.extend(settings.split_whitespace().map(str::to_owned));
    names.sort();
    names.dedup();
    assert!(names.len() > 50, "{names:?}");
    names.retain(|name| {
        !OTHERS.contains(&name.as_str()) && !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{name}="))
    });
    assert!(names.is_empty(), "docs/settings.md lacks {names:?}");
}
