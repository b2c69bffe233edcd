//! How long a contributor waits for `cargo xtask` itself: warm, and on a fresh clone.

use std::path::Path;
use std::process::Command;

use rehearsal::world::World;

use crate::measure::{median, run};
use crate::releases::value;
use crate::report::Row;

pub fn rows(world: &World, workspace: &Path, scratch: &Path, runs: usize) -> anyhow::Result<Vec<Row>> {
    let packer = world.packer_dir();
    let packer = packer.to_string_lossy();
    let check = ["check", "--base", "v0.44", "--packer-dir", &packer];
    let (mut alone, mut with_cargo) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(11) {
        alone.push(run(world.tool_command(&check))?.wall * 1000.0);
        let mut xtask = cargo(workspace);
        xtask.args(["xtask", "packer"]).args(check);
        with_cargo.push(run(xtask)?.wall * 1000.0);
    }
    let mut fresh = cargo(workspace);
    fresh.args(["build", "--quiet", "--package", "xtask", "--target-dir"]).arg(scratch);
    let first = run(fresh)?.wall;
    std::fs::remove_dir_all(scratch)?;
    Ok(vec![
        value("`cargo xtask packer check`, warm, cargo included", "ms", median(with_cargo.into_iter()), Some(300.0)),
        value("`check` itself, warm", "ms", median(alone.into_iter()), Some(50.0)),
        value("first `cargo xtask` on a fresh clone, crates downloaded", "s", first, Some(25.0)),
    ])
}

#[expect(clippy::disallowed_methods, reason = "cargo runs with the contributor's own environment here")]
fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace);
    command
}
