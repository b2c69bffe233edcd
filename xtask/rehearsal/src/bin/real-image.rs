//! One image that is really built: the phase as `rehearse` plays it, but the build host has the repository's own packer
//! directory, and the packer and QEMU that are installed here. `scripts/test-images` prepares a base image for it and
//! boots what a reader has downloaded in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use rehearsal::host::Network;
use rehearsal::world::{Options, REPOSITORY, World};

/// Builds an image on a local build host, publishes it to the stand-in for GitHub and downloads it again.
#[derive(Parser)]
struct Arguments {
    /// The tool's binary
    #[arg(long)]
    tool: PathBuf,
    /// The packer directory to build from
    #[arg(long)]
    packer_dir: PathBuf,
    /// The bootable image to start from, in place of Debian's
    #[arg(long)]
    base_image: PathBuf,
    /// The image to build
    #[arg(long)]
    image: String,
    /// Emptied, and left with everything in it: `downloaded` is what a reader gets, `host` the build host's folder
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match phase(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn phase(arguments: &Arguments) -> anyhow::Result<()> {
    let image = arguments.image.as_str();
    let mut options = Options::new(&arguments.tool);
    options.packer_dir = Some(arguments.packer_dir.clone());
    let mut world = World::new(&arguments.dir, options).context("preparing the repository and the stand-in")?;
    world.keep();
    let network = Network::create(&world.dir().join("ssh"))?;
    let host = network.host("builder")?;
    world.first_on_path(&network.bin())?;
    let engine = host.packer_dir();
    furnish(&world, &engine, &arguments.base_image)?;
    std::os::unix::fs::symlink(&engine, world.dir().join("host")).context("linking the build host's folder")?;

    let remote_dir = engine.to_str().context("the host's folder has no name in UTF-8")?;
    packer(&world, &["build-and-fetch", "--host", "builder", "--remote-dir", remote_dir, image])?;
    // Once more: the host has nothing to build, and nothing is fetched.
    packer(&world, &["build-and-fetch", "--host", "builder", "--remote-dir", remote_dir, image])?;
    packer(&world, &["publish", "--source", "v0.45", "--only", image, "--part-size", "100MiB", "--execute"])?;
    packer(&world, &["verify"])?;
    let record = fs::read_to_string(world.images().join(image).join(format!("{image}.build.json")))?;
    let commit = world.remote_commit("v0.45");
    ensure!(record.contains(&format!("\"commit\":\"{commit}\",\"dirty\":false")), "not built from v0.45: {record}");

    let mut download = world.command("gh");
    download.args(["release", "download", "latest", "--repo", REPOSITORY, "--dir", "downloaded"]);
    run(download)?;
    let mut join = world.command("sh");
    join.args(["-c", r#"cd downloaded && cat "$1".qcow2.part* > "$1".qcow2 && sha256sum -c "$1".qcow2.sha256"#, "sh"]);
    join.arg(image);
    run(join)
}

/// Makes the build host's folder what it is on a real one: a clone at the version, with settings of its own.
fn furnish(world: &World, engine: &Path, base_image: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(engine).with_context(|| format!("emptying {}", engine.display()))?;
    let mut clone = world.command("git");
    clone.args(["clone", "--quiet", "--branch", "v0.45", "-c", "advice.detachedHead=false"]);
    clone.arg(world.remote()).arg(engine);
    run(clone)?;
    let base_image = base_image.canonicalize().with_context(|| format!("finding {}", base_image.display()))?;
    let settings = format!("ACCELERATOR=tcg\nBASE_IMAGE_URL={}\n", base_image.display());
    fs::write(engine.join("build.env"), settings).context("writing the host's build.env")
}

fn packer(world: &World, args: &[&str]) -> anyhow::Result<()> {
    println!("$ cargo xtask packer {}", args.join(" "));
    run(world.tool_command(args))
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let started = Instant::now();
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    println!("  {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
