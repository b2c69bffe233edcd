//! A world in which phase 64 is to be done: `latest` is of the version before, and there is a build host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use github_stand_in::SeedRelease;

use crate::host::{BuildHost, Network};
use crate::image;
use crate::world::{REPOSITORY, World};

/// A build host `builder` with nothing of its own, and a `latest` that somebody made by hand for v0.44. `packer_dir` has the
/// stand-in for packer, which makes images of so many MiB.
///
/// # Errors
///
/// When a program of the world fails.
pub fn phase(world: &mut World, packer_dir: &Path, mib: u64) -> anyhow::Result<BuildHost> {
    let network = Network::create(&world.dir().join("ssh"))?;
    let host = bare_host(world, &network, packer_dir, mib)?;
    world.first_on_path(&network.bin())?;
    world.build_all(1, Some("v0.44"))?;
    world.publish_by_hand("v0.44")?;
    fs::remove_dir_all(world.images())?;
    Ok(host)
}

/// What a person who types in that world needs as well: `cargo xtask`, a curl that reaches the stand-in, the draft of v0.45, and
/// its issue.
///
/// # Errors
///
/// When the stand-in or a folder fails.
pub fn to_type_in(world: &World, tool: &Path) -> anyhow::Result<()> {
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new in v0.45."))?;
    world.hub().seed_issue(REPOSITORY, "Release v0.45")?;
    let tool = tool.to_str().context("the tool is in a folder whose name is not UTF-8")?.replace('\'', r"'\''");
    // The world holds no workspace.
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = xtask ]; then\n    shift\n    exec '{tool}' \"$@\"\nfi\n\
         echo 'this shell has only `cargo xtask`; `exit` leaves it' >&2\nexit 2\n"
    );
    install(world, "cargo", &script)?;
    // No variable leads curl to a socket, and the stand-in has no TLS: addresses of GitHub become http, and what curl prints of
    // them https again.
    let script = format!(
        "#!/bin/bash\nset -- \"${{@/#https:/http:}}\"\nset -- \"${{@/#=https/=http}}\"\nexec 3>&1\n\
         '{}' --unix-socket '{}' \"$@\" 2>&1 >&3 3>&- | sed 's,ocation: http:,ocation: https:,' >&2\n\
         exit \"${{PIPESTATUS[0]}}\"\n",
        world.find("curl".as_ref()).display(),
        world.hub().socket().display()
    );
    install(world, "curl", &script)
}

/// A script that is found before the program of this name.
fn install(world: &World, name: &str, script: &str) -> anyhow::Result<()> {
    let path = world.bin().join(name);
    fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A build host with nothing of its own but the tools: the engine is what `--sync` sends, and only packer is a stand-in.
fn bare_host(world: &World, network: &Network, packer_dir: &Path, mib: u64) -> anyhow::Result<BuildHost> {
    let host = network.host("builder")?;
    fs::remove_dir_all(host.packer_dir())?;
    let base = world.dir().join("base.qcow2");
    image::write(&base, 1 << 20, 1)?;
    let stub = packer_dir.join("tests/stub").canonicalize().context("finding the stand-in for packer")?;
    let path = std::env::var("PATH").context("reading PATH")?;
    for (name, value) in [
        ("PATH", format!("{}:{path}", stub.display())),
        ("BASE_IMAGE_URL", base.display().to_string()),
        ("ACCELERATOR", "tcg".to_owned()),
        // What the stand-in writes is no system that could boot.
        ("BOOT_TEST", "no".to_owned()),
        ("STUB_SIZE", (mib << 20).to_string()),
    ] {
        host.export(name, &value)?;
    }
    Ok(host)
}
