//! `--shell`: the rehearsal's world stays up, and a person types in it.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rehearsal::ready;
use rehearsal::world::World;

use super::Arguments;

/// What can be tried, and what it is for.
const TRY: [(&str, &str); 11] = [
    ("cargo xtask packer release v0.45 --host builder --sync --issue 1", "the whole phase; it asks before each change"),
    ("cargo xtask packer status", "show the images and the next step"),
    ("cargo xtask packer check", "which images need a rebuild, and why"),
    ("gh release view latest --repo homestak-dev/packer", "what readers see"),
    ("gh api repos/homestak-dev/packer/issues/1/comments --jq '.[].body'", "what the release issue says"),
    ("cargo xtask packer download debian-12-custom", "fetch an image with the tool"),
    (
        "curl -fsSLO https://github.com/homestak-dev/packer/releases/download/latest/get-images.sh",
        "the readers' script",
    ),
    ("sh get-images.sh debian-13-pve", "fetch an image without the tool"),
    ("cargo xtask packer verify --download", "read every published byte"),
    ("cargo xtask packer rollback", "restore the set that the publish replaced"),
    ("exit", "end the rehearsal and delete all its files"),
];

/// Runs a shell until its end. What it last ran doesn't count as the rehearsal's failure.
pub fn shell(arguments: &Arguments, world: &World) -> anyhow::Result<()> {
    ready::to_type_in(world, &arguments.tool)?;
    println!(
        "This shell runs in a rehearsal on this machine: a packer repository\n\
         with v0.43, v0.44 and v0.45; a stand-in for GitHub, whose `latest` somebody\n\
         made by hand for v0.44, with a draft of the release v0.45 and its issue 1;\n\
         and a build host `builder`, where packer is a stand-in that makes images of\n\
         {} MiB. gh, git, ssh and scp are the real ones.\n\nTry:",
        arguments.mib
    );
    for (line, what) in TRY {
        println!("  {line}\n      {what}");
    }
    println!();
    // Without the person's own start-up files, which would change PATH.
    let mut shell = world.command("bash");
    shell.args(["--norc", "--noprofile"]).stdin(Stdio::inherit());
    for name in ["TERM", "NO_COLOR", "COLORTERM"] {
        if let Some(value) = std::env::var_os(name) {
            shell.env(name, value);
        }
    }
    shell.env("PS1", "rehearsal$ ").env("BASH_SILENCE_DEPRECATION_WARNING", "1");
    let status = shell.status().context("starting bash")?;
    ensure!(status.code().is_some(), "a signal ended the shell: {status}");
    Ok(())
}
