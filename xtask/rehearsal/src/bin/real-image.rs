//! One image that is really built: the phase as `rehearse` plays it, but the build host has the repository's own packer
//! directory, and the packer and QEMU that are installed here. Then the next version, with another package: `check` and the
//! build host see that it needs a build; with `--all` it is built, and a version whose guests have no network beside it.
//! `scripts/test-images` prepares a base image for this program, and looks into what a reader has downloaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
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
    /// Build the next version as well, and one that fails its boot
    #[arg(long)]
    all: bool,
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
    packer(
        &world,
        &["publish", "--source", "v0.45", "--only", image, "--part-size", "100MiB", "--require-boot", "--execute"],
    )?;
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
    run(join)?;

    let last = world.dir().join("last.qcow2");
    fs::copy(engine.join(format!("images/{image}/{image}.qcow2")), &last).context("keeping the first image")?;
    // Both versions that follow start from the first image. A clone without the next version is made for the broken one.
    let broken = if arguments.all { Some(BrokenNetwork::prepare(&world, &engine, &last, image)?) } else { None };
    next_version_needs_a_build(&world, &engine, image)?;
    let Some(broken) = broken else { return Ok(()) };
    thread::scope(|scope| {
        let broken = scope.spawn(|| broken.fails());
        let more = one_package_more(&world, &engine, &last, remote_dir, image);
        let broken = broken.join().unwrap_or_else(|_| bail!("the build without a network was not watched to its end"));
        more.and(broken)
    })
}

/// The next version installs one package more: `check` says rebuild, and the engine would build from the new file.
fn next_version_needs_a_build(world: &World, engine: &Path, image: &str) -> anyhow::Result<()> {
    release(world, engine, "v0.46", image, "apt_get install --no-install-recommends tree")?;
    let check = world.tool_command(&["check", "--exit-code", image]).output().context("starting the tool")?;
    let said = String::from_utf8_lossy(&check.stdout);
    ensure!(check.status.code() == Some(10) && said.contains("install-more.sh"), "`check` says no rebuild: {said}");
    let mut inputs = world.command(engine.join("build.sh"));
    let listed = inputs.args(["--inputs", image]).output().context("starting build.sh")?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    ensure!(listed.contains("install-more.sh"), "`build.sh --inputs` doesn't list the new file: {listed}");
    println!("{said}");
    Ok(())
}

/// The next version is built on what the first one gave: the package shows in `diff`, in the notes and in the document.
fn one_package_more(world: &World, engine: &Path, last: &Path, remote_dir: &str, image: &str) -> anyhow::Result<()> {
    // The first image was booted: this build is about packages.
    settings(engine, last, "BOOT_TEST=no\n")?;
    packer(world, &["build-and-fetch", "--host", "builder", "--remote-dir", remote_dir, image])?;
    packer(world, &["publish", "--source", "v0.46", "--only", image, "--part-size", "100MiB", "--execute"])?;
    let said = |args: &[&str]| -> anyhow::Result<String> {
        let output = world.tool_command(args).output().context("starting the tool")?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let diff = said(&["diff", image])?;
    ensure!(diff.contains("+ tree "), "`diff` doesn't show the package: {diff}");
    let notes = world.published().published("latest").and_then(|live| live.body.clone()).unwrap_or_default();
    ensure!(
        notes.contains("+ tree ") && notes.contains("1 package added"),
        "the notes don't name the package: {notes}"
    );
    let mut make = world.command("gh");
    make.args(["release", "create", "v0.46", "--repo", REPOSITORY, "--title", "v0.46", "--notes", "Words."]);
    run(make)?;
    let document = said(&["document", "--release", "v0.46", "--execute"])?;
    ensure!(document.contains("1 package added"), "`document` doesn't name the package: {document}");
    println!("{diff}");
    Ok(())
}

/// A host whose clone has a change that leaves its guests without a network: its build fails, and the image before it stays.
struct BrokenNetwork {
    build: Command,
    /// The digest of the last good image.
    kept: PathBuf,
}

impl BrokenNetwork {
    fn prepare(world: &World, engine: &Path, last: &Path, image: &str) -> anyhow::Result<Self> {
        let folder = world.dir().join("without-network");
        clone(world, &folder)?;
        // Twice what a boot takes without KVM, on a machine with nothing else to do.
        // One machine shows it.
        settings(&folder, last, "BOOT_TIMEOUT=300\nBOOT_FIRMWARE=bios\n")?;
        install_more(
            &folder,
            image,
            "echo 'network: {config: disabled}' >/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg\n\
             rm -f /etc/netplan/*.yaml",
        )?;
        fs::create_dir_all(folder.join("images"))?;
        let mut copy = world.command("cp");
        copy.arg("--archive").arg(engine.join("images").join(image)).arg(folder.join("images"));
        run(copy)?;
        let mut build = world.command(folder.join("build.sh"));
        build.arg(image);
        Ok(Self { build, kept: folder.join(format!("images/{image}/{image}.qcow2.sha256")) })
    }

    fn fails(mut self) -> anyhow::Result<()> {
        let before = fs::read(&self.kept)?;
        let output = self.build.output().context("starting build.sh")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "a build without a network ended with {}: {said}", output.status);
        ensure!(
            said.contains("no login at the address") && said.contains("fails its boot on pc"),
            "the reason is missing: {said}"
        );
        ensure!(fs::read(&self.kept)? == before, "the last good image was replaced");
        println!("{said}");
        Ok(())
    }
}

/// A step that an image's template has beyond the others.
fn install_more(packer_dir: &Path, image: &str, step: &str) -> anyhow::Result<()> {
    let script = packer_dir.join(format!("templates/{image}/install-more.sh"));
    let head = "#!/bin/bash\nset -euo pipefail\n. /var/tmp/image-build/guest.sh\n";
    fs::write(script, format!("{head}{step}\n")).context("changing the template")
}

/// Commits a step to the image's template, tags it, and brings the host's clone there.
fn release(world: &World, engine: &Path, version: &str, image: &str, step: &str) -> anyhow::Result<()> {
    install_more(&world.packer_dir(), image, step)?;
    world.git(&["add", "--all"])?;
    world.git(&["commit", "--quiet", "--message", version])?;
    world.git(&["tag", version])?;
    world.git(&["push", "--quiet", "origin", "HEAD:main", version])?;
    let mut pull = world.command("git");
    // Not all tags: `latest` has moved, and git would not take it.
    pull.arg("-C").arg(engine).args(["fetch", "--quiet", "--no-tags", "origin"]);
    pull.arg(format!("refs/tags/{version}:refs/tags/{version}"));
    run(pull)?;
    let mut checkout = world.command("git");
    checkout.arg("-C").arg(engine).args(["checkout", "--quiet", version]);
    run(checkout)
}

/// The host's `build.env`.
fn settings(engine: &Path, base_image: &Path, more: &str) -> anyhow::Result<()> {
    let base_image = base_image.canonicalize().with_context(|| format!("finding {}", base_image.display()))?;
    let text = format!("ACCELERATOR=tcg\nBASE_IMAGE_URL={}\n{more}", base_image.display());
    fs::write(engine.join("build.env"), text).context("writing the host's build.env")
}

/// Makes the build host's folder what it is on a real one: a clone at the version, with settings of its own.
fn furnish(world: &World, engine: &Path, base_image: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(engine).with_context(|| format!("emptying {}", engine.display()))?;
    clone(world, engine)?;
    // As this program's caller says it.
    let upgrade = std::env::var("BOOT_UPGRADE").map(|upgrade| format!("BOOT_UPGRADE={upgrade}\n")).unwrap_or_default();
    settings(engine, base_image, &upgrade)
}

/// A clone at the version, as a build host has it.
fn clone(world: &World, folder: &Path) -> anyhow::Result<()> {
    let mut clone = world.command("git");
    clone.args(["clone", "--quiet", "--branch", "v0.45", "-c", "advice.detachedHead=false"]);
    clone.arg(world.remote()).arg(folder);
    run(clone)
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
