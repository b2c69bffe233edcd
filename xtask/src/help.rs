//! What `--help` shows beside the options: the verbs in the order of the phase, and lines to copy for each.

use clap::Command;

/// The verbs by what they are for.
const GROUPS: &[(&str, &[&str])] = &[
    ("Walk", &["release"]),
    ("Decide", &["status", "check", "document"]),
    ("Build", &["build-and-fetch", "split", "checksum"]),
    ("Publish", &["publish", "verify", "diff", "download"]),
    ("Repair and try out", &["rollback", "doctor", "rehearse"]),
];

/// Two or three lines for each verb, with what they do.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "status",
        &[("status", "what is here, what is live, what comes next"), ("status --json", "the same for a program")],
    ),
    (
        "release",
        &[
            ("release v0.46 --host builder", "where one is; the next step after a question"),
            ("release v0.46 --json", "the same for a program, which asks nothing"),
        ],
    ),
    (
        "check",
        &[
            ("check", "which images need a rebuild since the published ones"),
            ("check --upstream", "newer base images and security fixes count as well"),
            ("check --base v0.44 debian-13-pve", "one image, against a version, without asking GitHub"),
        ],
    ),
    (
        "document",
        &[
            ("document --release v0.46", "show the line for the notes"),
            ("document --release v0.46 --issue 64 --execute", "write it, and onto the release issue"),
        ],
    ),
    (
        "build-and-fetch",
        &[
            ("build-and-fetch --host builder", "all images, from the clone on the host"),
            (
                "build-and-fetch --host builder --sync debian-13-pve",
                "one image, from the files of HEAD, which are sent",
            ),
        ],
    ),
    (
        "split",
        &[
            ("split", "all that are over the limit"),
            ("split debian-13-pve --part-size 1GiB", "one image, smaller parts"),
        ],
    ),
    ("checksum", &[("checksum", "write what is missing"), ("checksum --verify", "read the images and compare")]),
    (
        "publish",
        &[
            ("publish --source v0.45", "show the plan, then ask"),
            ("publish --source v0.45 --sign ~/.ssh/id_ed25519 --execute", "signed, without a question"),
            ("publish --source v0.45 --copy debian-13-pve", "one image from that release, the others as they are"),
        ],
    ),
    (
        "verify",
        &[
            ("verify", "what is live, and the images here"),
            ("verify --no-local --download", "what is live alone, by its bytes"),
        ],
    ),
    ("diff", &[("diff", "which packages a publish of the images here would change")]),
    (
        "download",
        &[
            ("download", "all images of `latest`"),
            ("download debian-13-pve --images /srv/images", "one, to another folder"),
        ],
    ),
    (
        "rollback",
        &[("rollback", "show what would be put back, then ask"), ("rollback --execute", "without a question")],
    ),
    ("doctor", &[("doctor", "everything but the hosts"), ("doctor --host builder", "and this one")]),
    ("rehearse", &[("rehearse", "the whole phase on this machine"), ("rehearse --json", "for a program")]),
];

/// Adds both to what clap made of the verbs.
pub fn add(command: Command) -> Command {
    command.mut_subcommand("packer", |packer| {
        let groups = groups(&packer);
        let names: Vec<String> = packer.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        let packer = packer.version(env!("CARGO_PKG_VERSION")).help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{groups}\nOptions:\n{{options}}\n\n\
             `help VERB` tells about one. Start with `release VERSION`; it says what comes next.\n"
        ));
        names.iter().fold(packer, |packer, name| packer.mut_subcommand(name, |verb| verb.after_help(examples(name))))
    })
}

/// Each verb with the first line of its description.
fn groups(packer: &Command) -> String {
    let width = packer.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("\n{title}:\n"));
        for verb in names.iter().filter_map(|name| packer.find_subcommand(name)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {:width$}  {about}\n", verb.get_name()));
        }
    }
    text
}

fn examples(verb: &str) -> String {
    let lines = EXAMPLES.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, lines)| lines);
    let mut text = String::from("Examples:");
    for (line, what) in lines {
        text.push_str(&format!("\n  cargo xtask packer {line}\n      {what}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_verb_has_its_group_and_examples_that_can_be_typed() {
        let cli = add(crate::Cli::command());
        let packer = cli.find_subcommand("packer").unwrap();
        let mut verbs: Vec<&str> =
            packer.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        verbs.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(verbs, grouped);
        for verb in verbs {
            let (_, lines) = EXAMPLES.iter().find(|(name, _)| *name == verb).unwrap_or_else(|| panic!("{verb}"));
            for (line, _) in *lines {
                let words = ["xtask", "packer"].into_iter().chain(line.split(' '));
                cli.clone().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn the_list_of_verbs_fits_a_terminal() {
        let mut cli = add(crate::Cli::command());
        let text = cli.find_subcommand_mut("packer").unwrap().render_help().to_string();
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{long:?}");
        assert!(text.contains("\nDecide:\n") && text.contains("\nPublish:\n"), "{text}");
    }
}
