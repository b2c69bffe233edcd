//! Checks that GitHub, or the stand-in for it, behaves as `publish` assumes.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Parser;
use rehearsal::conformance::stand_in::StandIn;
use rehearsal::conformance::{self, Client, Refused, Repo, Report};

/// Checks that GitHub behaves as `publish` assumes
///
/// Without a repository, checks the local stand-in. With a repository, checks GitHub with gh's login: creates about sixty releases
/// and forty tags with files of a few KB, for an administrator also a ruleset about one of those tags, and deletes all of them at
/// the end or after Ctrl-C. This takes about eight minutes, since GitHub asks for a second between two changes.
#[derive(Parser)]
#[command(name = "conformance", bin_name = "scripts/conformance")]
struct Arguments {
    /// A throwaway repository with a commit; its name must have `scratch` in it, unless --yes is given
    #[arg(value_name = "[HOST/]OWNER/SCRATCH")]
    repository: Option<Repo>,
    /// Accept a repository without `scratch` in its name
    #[arg(long, requires = "repository")]
    yes: bool,
    /// Print the assumptions and end
    #[arg(long, conflicts_with_all = ["repository", "yes"])]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for check in conformance::all() {
            say(&check.assumption);
        }
        return ExitCode::SUCCESS;
    }
    match conform(arguments) {
        Ok(report) => {
            say(&report);
            for command in &report.left {
                say(&format_args!("left behind; delete it with: {command}"));
            }
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Refused>() { 3 } else { 1 })
        }
    }
}

fn conform(arguments: Arguments) -> anyhow::Result<Report> {
    // After a signal the request under way ends, then all that was made is deleted.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("taking signals")?;
    }
    match arguments.repository {
        Some(repo) => {
            let client = Client::github(repo, interrupted)?;
            let (repo, prefix) = (&client.repo, &client.prefix);
            say(&format_args!("against {repo} on {}; what is made there begins with {prefix}", repo.host));
            run(&client, arguments.yes)
        }
        None => {
            let dir = rehearsal::private_dir("packer-conformance").context("making a folder for the stand-in")?;
            let stand_in = StandIn::new(&dir).context("preparing the stand-in")?;
            say(&"against the stand-in:");
            run(&stand_in.client(StandIn::REPOSITORY, interrupted), false)
        }
    }
}

fn run(client: &Client, confirmed: bool) -> anyhow::Result<Report> {
    let report = conformance::run(client, &conformance::all(), confirmed, |line| say(line))?;
    say(&format_args!("what was done took up to {:.1} s to show", client.longest_lag().as_secs_f64()));
    Ok(report)
}

/// Prints a line. A reader that is gone, as with `| head`, must not keep the run from deleting what it made.
fn say(line: &dyn Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
