//! What `--help` shows beside what clap makes of the options: the verbs in groups, and examples.

use std::path::Path;

use clap::Command;

use crate::git::Git;
use crate::{console, text};

/// The verbs as a release comes upon them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("The whole phase", &["release", "rehearse"]),
    ("Decide", &["check", "diff", "status", "document"]),
    ("Build", &["build-and-fetch", "split", "checksum"]),
    ("Publish", &["publish", "verify", "download"]),
    ("Repair", &["doctor", "rollback"]),
];

/// Lines to type for each verb, without `cargo xtask packer`, and what each is for.
const EXAMPLES: [(&str, &[(&str, &str)]); 14] = [
    (
        "release",
        &[
            ("release v0.46 --host builder", "go through the phase; it asks before it changes anything"),
            ("release v0.46 --host builder --sync --issue 123", "send the files to the host; comment on the issue"),
            ("release v0.46 --json", "where it is and the next command, for a script"),
        ],
    ),
    (
        "rehearse",
        &[
            ("rehearse", "the whole phase, against stand-ins on this machine"),
            ("rehearse --shell", "a shell in that world, to try the commands by hand"),
        ],
    ),
    (
        "check",
        &[
            ("check", "all images, against what `latest` was made of"),
            ("check --base v0.44", "against a version, without a login or network"),
            ("check --upstream --exit-code", "ask Debian and Proxmox as well; end with 10 for a rebuild"),
        ],
    ),
    (
        "diff",
        &[
            ("diff", "the packages of `latest` against those that it replaced"),
            ("diff --local debian-13-pve", "those of an image here against `latest`"),
            ("diff --from v0.44 --to v0.45", "those of two versions"),
        ],
    ),
    ("status", &[("status", "the image checklist and the next step"), ("status --json", "the same for a script")]),
    (
        "document",
        &[
            ("document --release v0.46", "show the line for the release's notes, and ask"),
            ("document --release v0.46 --issue 123 --execute", "write it, and a comment on the issue, without asking"),
        ],
    ),
    (
        "build-and-fetch",
        &[
            ("build-and-fetch --host builder", "all images of HEAD, in the packer directory of the host"),
            ("build-and-fetch --host one --host two --sync", "send the files to two hosts, and build on both"),
            (
                "build-and-fetch --host builder --force debian-13-pve",
                "build also what didn't change, for a security fix",
            ),
        ],
    ),
    (
        "split",
        &[
            ("split", "all images here that are over GitHub's limit"),
            ("split --part-size 512MiB debian-13-pve", "one image, in smaller parts"),
        ],
    ),
    (
        "checksum",
        &[
            ("checksum", "write the checksum files of all images here"),
            ("checksum --verify", "check them, in parts too"),
        ],
    ),
    (
        "publish",
        &[
            ("publish --source v0.46", "show the plan, and ask"),
            ("publish --source v0.46 --execute debian-13-pve", "this image from here, the others from `latest`"),
            ("publish --source v0.46 --copy --execute", "the images of the release v0.46, without any here"),
        ],
    ),
    (
        "verify",
        &[("verify", "by GitHub's own digests"), ("verify --download", "download and hash every image as well")],
    ),
    (
        "download",
        &[
            ("download debian-12-custom", "one image of `latest` into packer/images"),
            ("download --images /srv/images", "all images into another folder"),
        ],
    ),
    (
        "doctor",
        &[("doctor", "tools, login, permission and `latest`"), ("doctor --host builder", "the build host as well")],
    ),
    ("rollback", &[("rollback", "show what comes back, and ask"), ("rollback --execute", "without asking")]),
];

/// The command line with groups and examples in its help.
pub fn arranged(command: Command) -> Command {
    command.mut_subcommand("packer", |packer| {
        let template = format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}\n\nOptions:\n{{options}}{{after-help}}",
            groups(&packer, console::columns().unwrap_or(80))
        );
        packer
            .mut_subcommands(|verb| {
                let examples = examples(verb.get_name());
                verb.after_help(examples)
            })
            .help_template(template)
            .after_help("`cargo xtask packer help VERB` tells all about one. Options stand after the verb.")
    })
}

/// The version, and the commit of the sources that cargo compiled just before: what was edited it compiles anew.
pub fn version() -> String {
    let number = env!("CARGO_PKG_VERSION");
    // Not where these sources lie in somebody else's repository.
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let git = Git::at(top);
    let ours = git.top().ok().flatten().is_some_and(|found| found.canonicalize().ok() == top.canonicalize().ok());
    let commit = if ours { git.head_in_words().unwrap_or_default() } else { String::new() };
    match (commit.strip_suffix("-dirty"), commit.as_str()) {
        (Some(commit), _) => format!("cargo xtask {number} ({commit}, with changes that are not committed)"),
        (None, "") => format!("cargo xtask {number} (no git repository here tells the commit)"),
        (None, commit) => format!("cargo xtask {number} ({commit})"),
    }
}

fn groups(packer: &Command, columns: usize) -> String {
    const NAMES: usize = 19;
    let mut out = String::new();
    for (heading, verbs) in GROUPS {
        out.push_str(&format!("{heading}:\n"));
        for verb in verbs.iter().filter_map(|name| packer.find_subcommand(name)) {
            let mut about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            for alias in verb.get_visible_aliases() {
                about.push_str(&format!(" (also: {alias})"));
            }
            let about = text::hanging(&about, columns, NAMES);
            out.push_str(&format!("  {:15}  {about}\n", verb.get_name()));
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

fn examples(verb: &str) -> String {
    let lines = EXAMPLES.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, lines)| lines);
    let lines = lines.iter().map(|(line, what)| format!("  cargo xtask packer {line}\n      {what}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    fn verbs() -> Vec<String> {
        let command = Cli::command();
        let packer = command.find_subcommand("packer").unwrap();
        packer.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_verb_is_in_one_group_and_has_examples() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let mut with_examples: Vec<&str> = EXAMPLES.iter().map(|(verb, _)| *verb).collect();
        let mut verbs = verbs();
        for names in [&mut grouped, &mut with_examples] {
            names.sort_unstable();
        }
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
        assert_eq!(with_examples, verbs);
    }

    #[test]
    fn examples_are_command_lines_of_their_verb() {
        for (verb, lines) in EXAMPLES {
            assert!((2..=3).contains(&lines.len()), "{verb}");
            for (line, _) in lines {
                let words = ["cargo xtask", "packer"].into_iter().chain(line.split(' '));
                let parsed = crate::parse(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(line.starts_with(verb), "{line}");
                drop(parsed);
            }
        }
    }

    #[test]
    fn help_fits_80_columns() {
        let mut command = arranged(Cli::command());
        command.build();
        let packer = command.find_subcommand_mut("packer").unwrap();
        for help in [packer.render_help().to_string(), groups(packer, 80)] {
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        for (_, lines) in EXAMPLES {
            for (line, what) in lines {
                assert!("  cargo xtask packer ".len() + line.len() <= 80 && what.len() <= 74, "{line}: {what}");
            }
        }
    }
}
