//! Phase 64 from its first command to its last, on this machine: the commands that a release engineer types, run with the
//! tool's own binary and the real `gh`, `git`, `ssh` and `scp`. Only the addresses lead to stand-ins.

mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use github_stand_in::Shown;
use rehearsal::host::BuildHost;
use rehearsal::ready;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::json;

/// Runs the whole phase against local stand-ins.
#[derive(Parser)]
struct Arguments {
    /// The tool's binary
    #[arg(long)]
    tool: PathBuf,
    /// The packer directory that the rehearsed repository begins with
    #[arg(long)]
    packer_dir: PathBuf,
    /// gh to use instead of the gh on PATH
    #[arg(long)]
    gh: Option<PathBuf>,
    /// Size of each image in MiB; the images are split into parts of two thirds of that size
    #[arg(long, default_value = "12", value_parser = clap::value_parser!(u64).range(3..=4096))]
    mib: u64,
    /// Keep the folder with everything in it
    #[arg(long)]
    keep: bool,
    /// One JSON object on standard output, all else on standard error
    #[arg(long)]
    json: bool,
    /// Start a shell instead of running the commands
    #[arg(long, conflicts_with = "json")]
    shell: bool,
}

fn main() -> ExitCode {
    // On Ctrl-C the command under way gets the signal too and ends; then this ends in order, with its servers and folders.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // Fails only for signals that can't be caught.
        let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
    }
    let arguments = Arguments::parse();
    match rehearse(&arguments, &interrupted) {
        Ok(report) => {
            if arguments.json {
                println!("{report}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            if arguments.json {
                println!("{}", json!({ "error": format!("{error:#}") }));
            }
            ExitCode::FAILURE
        }
    }
}

fn rehearse(arguments: &Arguments, interrupted: &AtomicBool) -> anyhow::Result<serde_json::Value> {
    let started = Instant::now();
    let dir = rehearsal::private_dir("packer-rehearsal").context("making a folder for the rehearsal")?;
    let mut options = Options::new(&arguments.tool);
    options.packer_dir = Some(arguments.packer_dir.clone());
    options.gh.clone_from(&arguments.gh);
    let mut world = match World::new(&dir, options) {
        Ok(world) => world,
        Err(error) => {
            let _ = fs::remove_dir_all(&dir);
            return Err(error.context("preparing the rehearsal"));
        }
    };
    if arguments.keep {
        world.keep();
    }
    let result = ready::phase(&mut world, &arguments.packer_dir, arguments.mib).and_then(|host| {
        if arguments.shell {
            return shell::shell(arguments, &world).map(|()| serde_json::Value::Null);
        }
        phase(arguments, &world, host, started, interrupted)
    });
    if interrupted.load(Ordering::Relaxed) {
        // Nobody looks for what went wrong.
        if !arguments.keep {
            eprintln!("interrupted; nothing is left behind");
        }
    } else if result.is_err() {
        eprintln!("everything is left in {}", world.keep().display());
    } else if arguments.keep {
        eprintln!("everything is in {}", dir.display());
    }
    result
}

fn phase(
    arguments: &Arguments,
    world: &World,
    host: BuildHost,
    started: Instant,
    interrupted: &AtomicBool,
) -> anyhow::Result<serde_json::Value> {
    let before = latest(world)?;
    let mut stages = Stages { world, json: arguments.json, done: Vec::new(), interrupted };
    stages.say(&format!(
        "A packer repository with v0.43, v0.44 and v0.45, a stand-in for GitHub whose `latest` was made by hand, and an\n\
         sshd on loopback as the build host `builder`, with a stand-in for packer and without a packer directory. Ready after {}.",
        seconds(started.elapsed())
    ));

    let part_size = format!("{}KiB", arguments.mib * 1024 * 2 / 3);
    stages.packer("what needs a rebuild", &["check"], "rebuild: ")?;
    stages.packer("build and fetch", &["build-and-fetch", "--host", "builder", "--sync"], "verified")?;
    stages.packer("split what is over the limit", &["split", "--part-size", &part_size], "")?;
    stages.packer("check the checksums", &["checksum", "--verify"], "")?;
    let publish = ["publish", "--source", "v0.45", "--part-size", &part_size, "--execute"];
    stages.packer("publish", &publish, "done: ")?;
    stages.packer("verify what is live", &["verify"], "ok: ")?;

    let download = ["release", "download", "latest", "--repo", REPOSITORY, "--dir", "downloaded"];
    stages.run("download as a reader does", "gh", &download)?;
    let join =
        r#"cd downloaded && for first in *.partaa; do image=${first%.partaa}; cat "$image".part* > "$image"; done"#;
    stages.run("join the parts", "sh", &["-c", join])?;
    stages.run("compare with the checksum files", "sh", &["-c", "cd downloaded && sha256sum -c *.sha256"])?;

    stages.packer("what needs a rebuild now", &["check"], "skip: No template changes detected")?;
    let file = "shared/scripts/update.sh";
    stages.run("change a file", "sh", &["-c", &format!("echo true >> packer/{file}")])?;
    stages.packer("what needs a rebuild then", &["check"], &format!("{file} changed, uncommitted"))?;
    drop(host);

    let done = std::mem::take(&mut stages.done);
    let after = latest(world)?;
    if after.source != "v0.45" || after.commit != world.remote_commit("v0.45") {
        bail!("`latest` stands for {} at {}, not for v0.45", after.source, after.commit);
    }
    let gap = without_release(&world.hub().timeline());
    let stages = Stages { world, json: arguments.json, done: Vec::new(), interrupted };
    stages.say(&format!("\nlatest before   {before}\nlatest after    {after}"));
    stages.say(&format!("without a set   {} ms, between the two calls of the switch", gap.as_millis()));
    stages.say(&format!("rehearsed in    {}", seconds(started.elapsed())));
    Ok(json!({
        "stages": done.iter().map(|(command, time)| json!({ "command": command, "seconds": time.as_secs_f64() })).collect::<Vec<_>>(),
        "before": before.to_json(),
        "after": after.to_json(),
        "milliseconds_without_a_set": gap.as_millis(),
        "seconds": started.elapsed().as_secs_f64(),
    }))
}

/// Runs commands one after the other and shows each as it is typed, with its output and time.
struct Stages<'a> {
    world: &'a World,
    json: bool,
    done: Vec<(String, Duration)>,
    interrupted: &'a AtomicBool,
}

impl Stages<'_> {
    /// It must say these words.
    fn packer(&mut self, what: &str, args: &[&str], says: &str) -> anyhow::Result<()> {
        let typed = format!("cargo xtask packer {}", args.join(" "));
        let said = self.one(what, &typed, self.world.tool_command(args))?;
        ensure!(said.contains(says), "stage \"{what}\" doesn't say \"{says}\": {typed}");
        Ok(())
    }

    fn run(&mut self, what: &str, program: &str, args: &[&str]) -> anyhow::Result<()> {
        let mut command = self.world.command(program);
        command.args(args);
        let typed = match args {
            ["-c", script] => (*script).to_owned(),
            _ => format!("{program} {}", args.join(" ")),
        };
        self.one(what, &typed, command).map(drop)
    }

    fn one(&mut self, what: &str, typed: &str, mut command: Command) -> anyhow::Result<String> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        self.say(&format!("\n{}. {what}\n   $ {typed}", self.done.len() + 1));
        let started = Instant::now();
        let (output, input) = std::io::pipe().context("making a pipe")?;
        command.stdout(input.try_clone()?).stderr(input);
        let mut child = command.spawn().with_context(|| format!("starting `{typed}`"))?;
        // The command holds the pipe's writing ends until it is dropped.
        drop(command);
        let mut said = String::new();
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            self.say(&format!("     {line}"));
            said.extend([&line, "\n"]);
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("stage \"{what}\" failed ({status}): {typed}");
        }
        self.say(&format!("   {}", seconds(started.elapsed())));
        self.done.push((typed.to_owned(), started.elapsed()));
        Ok(said)
    }

    fn say(&self, text: &str) {
        if self.json { eprintln!("{text}") } else { println!("{text}") }
    }
}

/// What `latest` holds, as a reader sees it.
struct Latest {
    source: String,
    commit: String,
    /// Bytes by asset name.
    assets: BTreeMap<String, u64>,
}

impl std::fmt::Display for Latest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: u64 = self.assets.values().sum();
        let parts = self.assets.keys().filter(|name| name.contains(".qcow2.part")).count();
        write!(
            f,
            "{} (tag at {:.7}), {} assets, {parts} of them parts, {:.1} MiB",
            self.source,
            self.commit,
            self.assets.len(),
            bytes as f64 / f64::from(1 << 20)
        )
    }
}

impl Latest {
    fn to_json(&self) -> serde_json::Value {
        json!({ "source": self.source, "commit": self.commit, "assets": self.assets })
    }
}

fn latest(world: &World) -> anyhow::Result<Latest> {
    let published = world.published();
    let release = published.published("latest").context("no `latest` is published")?;
    let notes = release.body.as_deref().unwrap_or_default();
    let first = notes.lines().next().unwrap_or_default();
    Ok(Latest {
        source: first.strip_prefix("Points to ").unwrap_or(first).to_owned(),
        commit: world.remote_commit("latest"),
        assets: release.assets.iter().map(|asset| (asset.name.clone(), asset.size)).collect(),
    })
}

/// How long readers found no release at all, from the first time there was one.
fn without_release(timeline: &[Shown]) -> Duration {
    let seen = timeline.iter().skip_while(|shown| shown.release.is_none());
    let pairs = seen.clone().zip(seen.skip(1));
    pairs.filter(|(from, _)| from.release.is_none()).map(|(from, to)| to.at - from.at).sum()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
