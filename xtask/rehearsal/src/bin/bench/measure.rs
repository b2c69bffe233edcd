//! Runs one command and measures it: wall time, CPU time, what was read and written, its memory.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Clock ticks a second in `/proc/PID/stat`; 100 on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// What one run took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of CPU, with all children.
    pub cpu: f64,
    /// Seconds of CPU of the process itself.
    pub own_cpu: f64,
    /// Seconds of CPU that this process took meanwhile: the stand-in for GitHub is in it.
    pub server_cpu: f64,
    /// Bytes read, from files and pipes, with all children.
    pub read: u64,
    /// Bytes written, with all children.
    pub written: u64,
    /// The most memory that the process itself had, in bytes.
    pub memory: u64,
}

/// Writes so many bytes into `dir` and removes them. A virtual machine may have given its free memory back to its host,
/// and fetching it again costs more than writing to it: without this, whoever comes first after a rest pays that.
pub fn warm(dir: &Path, bytes: u64) -> anyhow::Result<()> {
    let path = dir.join("warm");
    let piece = vec![1; 1 << 20];
    let write = |mut file: fs::File| (0..bytes >> 20).try_for_each(|_| file.write_all(&piece));
    fs::File::create(&path).and_then(write).with_context(|| format!("writing {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
}

/// Runs to the end, which must be a success.
///
/// A process that ended stays readable in `/proc` until somebody waits for it: that is when its numbers are taken.
pub fn run(mut command: Command) -> anyhow::Result<Run> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let served = Stat::read("/proc/self/stat")?.own;
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {shown}"))?;
    let proc = format!("/proc/{}", child.id());
    let mut run = Run::default();
    loop {
        let stat = Stat::read(&format!("{proc}/stat")).with_context(|| format!("watching {shown}"))?;
        if stat.ended {
            run.wall = started.elapsed().as_secs_f64();
            run.own_cpu = stat.own;
            run.cpu = stat.own + stat.children;
            run.server_cpu = Stat::read("/proc/self/stat")?.own - served;
            break;
        }
        let status = fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        run.memory = run.memory.max(field(&status, "VmHWM:") * 1024);
        thread::sleep(Duration::from_millis(5));
    }
    let io = fs::read_to_string(format!("{proc}/io")).unwrap_or_default();
    (run.read, run.written) = (field(&io, "rchar:"), field(&io, "wchar:"));
    let status = child.wait()?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(run)
}

/// From `/proc/PID/stat`.
struct Stat {
    /// It waits to be waited for.
    ended: bool,
    /// Seconds of CPU.
    own: f64,
    /// Seconds of CPU of the children that it has waited for.
    children: f64,
}

impl Stat {
    fn read(path: &str) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        // The second field is the program's name in parentheses, which may hold anything.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let seconds = |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0) / TICKS;
        Ok(Self {
            ended: fields.first() == Some(&"Z"),
            own: seconds(11) + seconds(12),
            children: seconds(13) + seconds(14),
        })
    }
}

/// The middle one of an odd number of values, the mean of the two in the middle of an even one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
