//! Measures the tool beside the commands that people type, in turn, on this machine.

mod files;
mod measure;
mod releases;
mod report;
mod scale;
mod starting;
mod turns;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use rehearsal::world::{Options, World};

/// Measures this tool beside the shell commands that it stands for.
#[derive(Parser)]
#[command(bin_name = "scripts/bench")]
struct Arguments {
    /// The tool's binary
    #[arg(long, hide = true)]
    tool: PathBuf,
    /// The repository
    #[arg(long, hide = true)]
    workspace: PathBuf,
    /// A folder for the images, on the disk that is measured; it takes three times the size
    #[arg(long)]
    dir: PathBuf,
    /// MiB of the large image, and of the set that is published
    #[arg(long, default_value = "3072", value_parser = clap::value_parser!(u64).range(3..))]
    mib: u64,
    /// Runs of each command
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Measure these alone
    #[arg(long, value_enum)]
    only: Vec<Group>,
    /// How requests, time and memory grow with images and parts
    #[arg(long)]
    scale: bool,
    /// Another build of the tool; `--scale` shows what it sends beside this one
    #[arg(long, value_name = "FILE", requires = "scale")]
    before: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a plot
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// How long `cargo xtask` takes to start
    Start,
    /// checksum and split
    Files,
    /// publish, verify, download
    Releases,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    // The tool is started in a world's folder.
    for tool in std::iter::once(&mut arguments.tool).chain(arguments.before.as_mut()) {
        *tool = tool.canonicalize().with_context(|| format!("looking for the tool {}", tool.display()))?;
    }
    if arguments.scale {
        let say = |line: &str| if arguments.json { eprintln!("{line}") } else { println!("{line}") };
        let steps = scale::run_all(&arguments, say)?;
        say("");
        let turns = turns::run_all(&arguments, say)?;
        if arguments.json {
            println!("{:#}", serde_json::json!({ "steps": steps, "turns": turns }));
        }
        return Ok(());
    }
    let runs = usize::try_from(arguments.runs)?;
    let mib = arguments.mib;
    let world = World::new(&arguments.dir.join("world"), Options::new(&arguments.tool))?;
    let mut rows = Vec::new();
    let wanted = |group| arguments.only.is_empty() || arguments.only.contains(&group);
    if wanted(Group::Start) {
        eprintln!("starting times");
        rows.extend(starting::rows(&world, &arguments.workspace, &arguments.dir.join("fresh"), runs)?);
    }
    if wanted(Group::Files) {
        eprintln!("checksum and split");
        rows.extend(files::rows(&world, mib, runs)?);
        rows.push(files::several(&world, mib, runs)?);
    }
    if wanted(Group::Releases) {
        eprintln!("publish, verify, download");
        rows.extend(releases::rows(&world, mib, runs)?);
    }

    let machine = machine();
    if let Some(path) = &arguments.svg {
        std::fs::write(path, report::svg(&rows, &machine)).with_context(|| format!("writing {}", path.display()))?;
    }
    if arguments.json {
        println!("{:#}", report::to_json(&rows, &machine, runs));
    } else {
        println!("{}", report::table(&rows, &machine, runs));
    }
    Ok(())
}

/// Processor, cores, memory.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| cpu.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1));
    let model = field("model name").unwrap_or("unknown processor");
    let sha = if field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "sha_ni")) {
        "with"
    } else {
        "without"
    };
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    format!("{model} ({sha} SHA instructions), {cores} cores, {:.0} GiB", kib / f64::from(1 << 20))
}
