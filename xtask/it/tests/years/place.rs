//! Where the maintainer works: a world with a build host that has a clone of the repository.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rehearsal::host::{BuildHost, Network};
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, Options, World};

const TOOL: &str = env!("CARGO_BIN_EXE_xtask-it");

/// A build host, for one world and its copies.
pub struct Host {
    network: Network,
    host: BuildHost,
}

/// A world in an empty folder, and its host.
pub fn settle(dir: &Path) -> (World, Host) {
    let packer = dir.with_extension("packer");
    packer_dir(&packer);
    let mut options = Options::new(TOOL);
    options.sizes = vec![200 << 10, 210 << 10, 220 << 10];
    options.packer_dir = Some(packer.clone());
    let mut world = World::new(dir, options).unwrap();
    fs::remove_dir_all(packer).unwrap();
    let network = Network::create(&world.dir().join("network")).unwrap();
    let host = network.host("builder").unwrap();
    let home = host.packer_dir().parent().unwrap().to_str().unwrap().to_owned();
    host.export("GIT_CEILING_DIRECTORIES", &home).unwrap();
    // What a host needs to be in order: nothing here builds with these.
    fs::create_dir_all(format!("{home}/bin")).unwrap();
    for (program, version) in [("packer", "1.11.2"), ("qemu-system-x86_64", "QEMU emulator version 10.0.2")] {
        executable(&Path::new(&home).join("bin").join(program), &format!("#!/bin/sh\necho '{version}'\n"));
    }
    host.at_login("PATH=\"$HOME/bin:$PATH\"").unwrap();
    fs::remove_dir_all(host.packer_dir()).unwrap();
    let (remote, clone) = (world.remote(), host.packer_dir());
    world.git(&["clone", "--quiet", remote.to_str().unwrap(), clone.to_str().unwrap()]).unwrap();
    equip(&mut world, &network);
    (world, Host { network, host })
}

/// The world in its present state once more. On the host it has a clone of its own.
pub fn copy(world: &World, host: &Host, dir: &Path) -> World {
    let mut twin = world.twin(dir).unwrap();
    equip(&mut twin, &host.network);
    let (remote, clone) = (twin.remote(), host.clone_of(&twin));
    let remote = remote.to_str().unwrap();
    twin.git(&["-C", clone.to_str().unwrap(), "config", "remote.origin.url", remote]).unwrap();
    twin.set("HOMESTAK_PACKER_REMOTE_DIR", clone);
    twin
}

impl Host {
    /// Where a world's host has the packer directory.
    pub fn clone_of(&self, world: &World) -> PathBuf {
        world.dir().join("network/builder/home/packer")
    }

    /// From now on the engine there keeps no build records, or keeps them again.
    pub fn keeps_records(&self, records: bool) {
        self.host.export("RECORDS", if records { "yes" } else { "" }).unwrap();
    }
}

/// What is printed is typed: with `cargo xtask`, and a host in the environment.
fn equip(machine: &mut Machine, network: &Network) {
    executable(&machine.bin().join("cargo"), &format!("#!/bin/sh\nshift\nexec '{TOOL}' \"$@\"\n"));
    machine.first_on_path(&network.bin()).unwrap();
    machine.set("HOMESTAK_BUILD_HOST", "builder");
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn packer_dir(dir: &Path) {
    let put = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(".gitignore", "/images/\n/logs/\n/.cache/\n");
    executable(&dir.join("build.sh"), include_str!("engine.sh"));
    put("shared/scripts/update.sh", "#!/bin/sh\napt-get update\n");
    for name in IMAGES {
        put(&format!("templates/{name}/template.pkr.hcl"), &format!("source \"qemu\" \"{name}\" {{}}\n"));
        put(&format!("templates/{name}/cleanup.sh"), "#!/bin/sh\ncloud-init clean\n");
    }
}
