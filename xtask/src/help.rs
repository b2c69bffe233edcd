//! What `--help` adds to clap's own text: the verbs in groups, examples, and the version with its commit.
//!
//! A test reads each example as a command line and holds the text to 80 columns. Used by the command line alone.

use std::path::Path;

use clap::Command;

use crate::git::Git;
use crate::{console, text};

/// The verbs, in the order in which a release needs them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("The whole phase", &["release", "rehearse"]),
    ("Decide", &["check", "diff", "status", "document"]),
    ("Build", &["build-and-fetch", "split", "checksum"]),
    ("Publish", &["publish", "verify", "download"]),
    ("Repair", &["doctor", "rollback"]),
];

/// Examples without `cargo xtask packer`, and what each is for.
const EXAMPLES: [(&str, &str); 33] = [
    ("release v0.46 --host builder", "walk through the phase; it asks before each change"),
    ("release v0.46 --host builder --sync --issue 123", "send the files to the host; comment on the issue"),
    ("release v0.46 --json", "print the steps and the next command for a script"),
    ("rehearse", "run the whole phase against stand-ins on this machine"),
    ("rehearse --shell", "start a shell there, to try the commands by hand"),
    ("check", "compare all images with what `latest` was built from"),
    ("check --base v0.44", "compare with a version; needs no login and no network"),
    ("check --upstream --exit-code", "also ask Debian and Proxmox; exit code 10 for a rebuild"),
    ("diff", "compare `latest` with the set that it replaced"),
    ("diff --local debian-13-pve", "compare an image here with `latest`"),
    ("diff --from v0.44 --to v0.45", "compare two versions"),
    ("status", "show each image and the next step"),
    ("status --json", "print the status for a script"),
    ("document --release v0.46", "show the line for the release notes, and ask"),
    ("document --release v0.46 --issue 123 --execute", "write it, and comment on the issue, without asking"),
    ("build-and-fetch --host builder", "build all images of HEAD in the host's packer directory"),
    ("build-and-fetch --host one --host two --sync", "send the files to two hosts and build on both"),
    ("build-and-fetch --host builder --force debian-13-pve", "build an image that did not change, for a security fix"),
    ("split", "split all images here that exceed GitHub's limit"),
    ("split --part-size 512MiB debian-13-pve", "split one image into smaller parts"),
    ("checksum", "write the checksum files of all images here"),
    ("checksum --verify", "verify all images here, whole or in parts"),
    ("publish --source v0.46", "show the plan, and ask"),
    ("publish --source v0.46 --execute debian-13-pve", "publish this image; take the others from `latest`"),
    ("publish --source v0.46 --copy --execute", "publish the images of the release v0.46"),
    ("verify", "compare `latest` with its manifest, by GitHub's digests"),
    ("verify --download", "also download and hash every image"),
    ("download debian-12-custom", "download one image of `latest` into packer/images"),
    ("download --images /srv/images", "download all images into another folder"),
    ("doctor", "check tools, login, permissions and `latest`"),
    ("doctor --host builder", "also check the build host"),
    ("rollback", "show what would be restored, and ask"),
    ("rollback --execute", "restore it without asking"),
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
            .after_help("`cargo xtask packer help COMMAND` explains a command. Put options after the command.")
    })
}

/// The version, and the commit of the sources: cargo has just compiled them as they are.
pub fn version() -> String {
    let number = env!("CARGO_PKG_VERSION");
    // In another project's repository the commit would be that project's.
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let git = Git::at(top);
    let ours = git.checkout().ok().flatten().is_some_and(|checkout| checkout.is_top());
    let commit = if ours { git.head_in_words().unwrap_or_default() } else { String::new() };
    match (commit.strip_suffix("-dirty"), commit.as_str()) {
        (Some(commit), _) => format!("cargo xtask {number} ({commit}, with uncommitted changes)"),
        (None, "") => format!("cargo xtask {number} (commit unknown: not in its git repository)"),
        (None, commit) => format!("cargo xtask {number} ({commit})"),
    }
}

fn groups(packer: &Command, columns: usize) -> String {
    let mut out = String::new();
    for (heading, verbs) in GROUPS {
        out.push_str(&format!("{heading}:\n"));
        for verb in verbs.iter().filter_map(|name| packer.find_subcommand(name)) {
            let mut about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            for alias in verb.get_visible_aliases() {
                about.push_str(&format!(" (also: {alias})"));
            }
            out.push_str(&text::fitted(&format!("  {:15}  {about}\n", verb.get_name()), columns));
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

fn examples(verb: &str) -> String {
    let lines = EXAMPLES.iter().filter(|(line, _)| line.split(' ').next() == Some(verb));
    let lines = lines.map(|(line, what)| format!("  cargo xtask packer {line}\n      {what}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::verbs::{self, Cli};

    fn verbs() -> Vec<String> {
        let command = Cli::command();
        let packer = command.find_subcommand("packer").unwrap();
        packer.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_verb_is_in_one_group_and_has_examples() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let mut verbs = verbs();
        grouped.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
        for verb in verbs {
            let examples = EXAMPLES.iter().filter(|(line, _)| line.split(' ').next() == Some(&verb));
            assert!((2..=3).contains(&examples.count()), "{verb}");
        }
    }

    #[test]
    fn examples_are_command_lines_of_their_verb() {
        for (line, _) in EXAMPLES {
            let words = ["cargo xtask", "packer"].into_iter().chain(line.split(' '));
            let parsed = verbs::parse(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(Some(parsed.name().as_str()), line.split(' ').next());
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
        for (line, what) in EXAMPLES {
            assert!("  cargo xtask packer ".len() + line.len() <= 80 && what.len() <= 74, "{line}: {what}");
        }
    }
}
