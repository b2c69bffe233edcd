//! `checksum` and `split` beside `openssl`, `sha256sum`, `cp` and GNU `split`, on one large image.

use std::fs;
use std::path::Path;

use rehearsal::image;
use rehearsal::world::World;

use crate::measure::{Run, median, run, warm};
use crate::report::{Row, Target};

const NAME: &str = "debian-13-pve";

/// Runs each of these in turn, so often, with `before` ahead of each run.
fn in_turn<const N: usize>(
    runs: usize,
    before: impl Fn() -> anyhow::Result<()>,
    commands: [&dyn Fn() -> std::process::Command; N],
) -> anyhow::Result<[Vec<Run>; N]> {
    let mut results: [Vec<Run>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..runs {
        for (command, results) in commands.iter().zip(&mut results) {
            before()?;
            results.push(run(command())?);
        }
    }
    Ok(results)
}

pub fn rows(world: &World, mib: u64, runs: usize) -> anyhow::Result<Vec<Row>> {
    let dir = world.images();
    fs::create_dir_all(&dir)?;
    let whole = dir.join(format!("{NAME}.qcow2"));
    image::write(&whole, mib << 20, 1)?;
    let shell = |line: &str| {
        let mut command = world.command("sh");
        command.args(["-euc", line]).current_dir(world.images());
        command
    };
    // Nothing but the image, and nothing left for the disk to do.
    let fresh = || -> anyhow::Result<()> {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path != whole {
                fs::remove_file(path)?;
            }
        }
        run(world.command("sync"))?;
        warm(&dir, mib << 20)
    };
    let size = gib(mib);
    let mut rows = checksums(world, &shell, &fresh, &size, runs)?;

    // As GitHub's limit cuts an image of 3 GiB.
    let part = ((mib << 20) * 2 / 3).min((2 << 30) - 1).to_string();
    let split = || world.tool_command(&["split", "--part-size", &part]);
    let copy_line = format!("cp {NAME}.qcow2 copy");
    let copy = || shell(&copy_line);
    let synced_line = format!("{copy_line} && sync copy");
    let synced = || shell(&synced_line);
    let bound_line = format!("{copy_line} && openssl dgst -sha256 copy");
    let bound = || shell(&bound_line);
    let by_hand_line =
        format!("split -b {part} {NAME}.qcow2 {NAME}.qcow2.part && sha256sum {NAME}.qcow2 >{NAME}.qcow2.sha256");
    let by_hand = || shell(&by_hand_line);
    let [ours, copied, synced, by_hand, bound] = in_turn(runs, fresh, [&split, &copy, &synced, &by_hand, &bound])?;
    rows.push(row(
        &format!("split {size} with checksum, beside a plain copy"),
        "s",
        wall(&ours),
        "cp",
        wall(&copied),
        Some(1.25),
    ));
    rows.push(row(
        &format!("split {size} with checksum, on the disk at the end"),
        "s",
        wall(&ours),
        "cp && sync",
        wall(&synced),
        Some(1.25),
    ));
    rows.push(row(
        &format!("split {size} with checksum, CPU"),
        "s",
        cpu(&ours),
        "split && sha256sum",
        cpu(&by_hand),
        Some(1.0 / 3.0),
    ));
    rows.push(row(
        &format!("split {size} with checksum, CPU, beside the least there can be"),
        "s",
        cpu(&ours),
        "cp && openssl dgst",
        cpu(&bound),
        None,
    ));
    fresh()?;
    fs::remove_file(&whole)?;
    Ok(rows)
}

fn checksums(
    world: &World,
    shell: &dyn Fn(&str) -> std::process::Command,
    fresh: &dyn Fn() -> anyhow::Result<()>,
    size: &str,
    runs: usize,
) -> anyhow::Result<Vec<Row>> {
    let ours = || world.tool_command(&["checksum"]);
    let openssl = || shell(&format!("openssl dgst -sha256 {NAME}.qcow2"));
    let coreutils = || shell(&format!("sha256sum {NAME}.qcow2"));
    let [ours, openssl, coreutils] = in_turn(runs, fresh, [&ours, &openssl, &coreutils])?;
    Ok(vec![
        row(&format!("checksum of {size}, CPU"), "s", cpu(&ours), "openssl dgst -sha256", cpu(&openssl), Some(1.0)),
        row(&format!("checksum of {size}"), "s", wall(&ours), "sha256sum", wall(&coreutils), None),
    ])
}

/// Several images over all cores: half of the size each.
pub fn several(world: &World, mib: u64, runs: usize) -> anyhow::Result<Row> {
    let dir = world.images();
    fs::create_dir_all(&dir)?;
    let names = ["debian-12-custom", "debian-13-custom"];
    let place = |name: &str| dir.join(format!("{name}.qcow2"));
    for (name, seed) in names.iter().zip(1..) {
        image::write(&place(name), mib << 19, seed)?;
    }
    let without_sums = || names.iter().try_for_each(|name| remove(&dir.join(format!("{name}.qcow2.sha256"))));
    let ours = || world.tool_command(&["checksum"]);
    let openssl = || {
        let mut command = world.command("sh");
        command.args(["-c", "openssl dgst -sha256 *.qcow2"]).current_dir(world.images());
        command
    };
    let [ours, openssl] = in_turn(runs, without_sums, [&ours, &openssl])?;
    without_sums()?;
    names.iter().try_for_each(|name| remove(&place(name)))?;
    let what = format!("checksum of two images of {}", gib(mib / 2));
    Ok(row(&what, "s", wall(&ours), "openssl dgst -sha256", wall(&openssl), None))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}

pub fn row(what: &str, unit: &'static str, ours: f64, command: &str, theirs: f64, most: Option<f64>) -> Row {
    let theirs = Some((command.to_owned(), theirs));
    Row { what: what.to_owned(), unit, ours, theirs, target: most.map(Target::Ratio) }
}

pub fn wall(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.wall))
}

pub fn cpu(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.cpu))
}

pub fn gib(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}
