//! `rehearse`: the whole phase on this machine.
//!
//! The stand-ins are a crate of their own and compile only now, so that no other command waits for them. The rehearsal
//! starts this same binary, so that it runs the released code.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use xshell::cmd;

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _};
use crate::{interrupt, packer, process, suggest};

/// Run the whole phase against a local stand-in for GitHub and a local ssh server
///
/// Runs the real gh, git, ssh and scp. Everything happens on this machine, in a temporary folder.
#[derive(clap::Args)]
pub struct Rehearse {
    /// gh to use instead of the gh on PATH
    #[arg(long, value_name = "FILE")]
    gh: Option<PathBuf>,
    /// Size of each image in MiB
    #[arg(long, value_name = "N", default_value = "12", value_parser = clap::value_parser!(u64).range(3..=4096))]
    mib: u64,
    /// Keep the temporary folder of the rehearsal
    #[arg(long)]
    keep: bool,
    /// Start a shell in the rehearsal, and list commands to try there
    #[arg(long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    pub common: common::Rehearsing,
}

impl Rehearse {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        // Ctrl-C reaches the rehearsal too, which then clears up; this waits for it.
        interrupt::watch();
        let top = packer::workspace().filter(|top| top.join("xtask/rehearsal").is_dir()).ok_or_else(|| {
            let run = suggest::command("rehearse");
            failure::missing(
                "the rehearsal needs the stand-ins for GitHub and a build host, which are only in the repository that xtask was \
                 adopted from",
            )
            .fix(format_args!("run {run} in a clone of that repository"))
        })?;
        let gh = self.gh.as_deref().map(program).transpose()?;
        let manifest = top.join("Cargo.toml");
        let tool = std::env::current_exe().context("finding this program")?;
        if !tool.with_file_name("rehearse").is_file() {
            console.note("compiling the stand-ins for GitHub and the build host (first run only, about a minute)");
        }
        let packer_dir = common.packer_dir();
        let mib = self.mib.to_string();
        let sh = process::shell()?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cmd = cmd!(sh, "{cargo} run --quiet --manifest-path {manifest} --package rehearsal --bin rehearse --");
        cmd = cmd.arg("--mib").arg(mib).arg("--tool").arg(tool).arg("--packer-dir").arg(packer_dir);
        if let Some(gh) = gh {
            cmd = cmd.arg("--gh").arg(gh);
        }
        for (given, option) in [(self.keep, "--keep"), (self.shell, "--shell"), (common.json, "--json")] {
            cmd = cmd.args(given.then_some(option));
        }
        let mut command = process::command(cmd);
        if self.shell {
            command.stdin(Stdio::inherit());
        }
        command.stderr(Stdio::inherit()).stdout(if common.json { Stdio::piped() } else { Stdio::inherit() });
        let output = command.output().context("starting cargo for the rehearsal")?;
        interrupt::check()?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(Outcome::done(report));
        }
        let why = report["error"].as_str().unwrap_or("see above");
        Err(failure::failed(format!("the rehearsal failed: {why}")))
    }
}

/// The whole path of a program that can be run.
///
/// # Errors
///
/// Exit code 3 when it can't.
fn program(gh: &Path) -> anyhow::Result<PathBuf> {
    let refused =
        |why: String| failure::missing(format!("--gh {} {why}", gh.display())).fix("give the path of a gh program");
    let path = gh.canonicalize().map_err(|error| refused(format!("can't be found: {error}")))?;
    let file = path.metadata().map_err(|error| refused(format!("can't be read: {error}")))?;
    if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
        return Err(refused("is not a program".to_owned()));
    }
    Ok(path)
}
