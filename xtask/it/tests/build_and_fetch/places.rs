//! Where things are when nobody says it: the host, its packer directory, and which engine is there.

use std::fs;
use std::path::Path;

use super::odd_hosts::{doctor_of, finding};
use super::world::{IMAGE, Ran, World};

#[test]
fn an_engine_of_either_name_is_one_for_doctor() {
    let world = World::new();
    let host = world.host("build1");
    let packer = host.packer_dir();
    let dir = packer.to_str().unwrap();
    let state = |what: &str| finding(&doctor_of(&world, &["--remote-dir", dir]), what);
    assert_eq!(state("packer directory").0, "ok");
    // A folder of the name is no engine, nor is a file that can't be run.
    fs::rename(packer.join("build.sh"), packer.join("away")).unwrap();
    for make in [|at: &Path| fs::create_dir(at), |at: &Path| fs::write(at, "#!/bin/bash\n")] {
        make(&packer.join("build")).unwrap();
        let (state, said) = state("packer directory");
        assert!(state == "fail" && said.contains("no executable build.sh or build in"), "{state}: {said}");
        let _ = fs::remove_dir(packer.join("build"));
    }
    fs::rename(packer.join("away"), packer.join("build")).unwrap();
    assert_eq!(state("packer directory"), ("ok".to_owned(), dir.to_owned()));
    // A template that asks for KVM is not built without it.
    if !Path::new("/dev/kvm").exists() {
        assert_eq!(state("KVM").0, "warn");
        let template = packer.join("templates").join(IMAGE).join("template.pkr.hcl");
        fs::write(template, "source \"qemu\" \"a\" {\n  accelerator = \"kvm\"\n}\n").unwrap();
        let (state, said) = state("KVM");
        assert!(state == "warn" && said.contains("only with KVM"), "{state}: {said}");
    }
    // What an engine calls itself is asked for as well.
    let bin = world.dir.join("few");
    fs::create_dir_all(&bin).unwrap();
    for tool in ["sh", "cat", "grep", "head", "tr", "df", "awk", "ls"] {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(tool)).find(|it| it.exists());
        std::os::unix::fs::symlink(found.unwrap(), bin.join(tool)).unwrap();
    }
    host.at_login(&format!("PATH='{}'", bin.display())).unwrap();
    let (said, packages) = state("tools");
    assert!(said == "warn" && packages.contains("apt install openssh-client xorriso`"), "{packages}");
    fs::create_dir_all(packer.join("lib")).unwrap();
    fs::write(packer.join("lib/base-image.sh"), "").unwrap();
    let packages = state("tools").1;
    assert!(packages.contains("apt install openssh-client xorriso curl util-linux procps`"), "{packages}");
}

#[test]
fn a_packer_directory_that_nobody_names_is_looked_for() {
    let world = World::new();
    let host = world.host("build1");
    let home = host.packer_dir().parent().unwrap().to_owned();
    if Path::new("/usr/local/lib/homestak/packer").exists() {
        println!("skipped: this machine has a packer directory of its own");
        return;
    }
    world.run(&["--host", "build1"]).expect(0, &["build1: the packer directory is packer"]);
    fs::create_dir_all(home.join("iac")).unwrap();
    fs::rename(host.packer_dir(), home.join("iac/packer")).unwrap();
    world
        .run(&["--host", "build1"])
        .expect(0, &["build1: the packer directory is iac/packer", "debian-12-custom: unchanged"]);
    assert_eq!(finding(&doctor_of(&world, &[]), "packer directory"), ("ok".to_owned(), "iac/packer".to_owned()));
    // Both: the newer place is first. One that was named is not looked for.
    fs::create_dir_all(host.packer_dir()).unwrap();
    world.run(&["--host", "build1"]).expect(0, &["the packer directory is iac/packer"]);
    world.run(&["--host", "build1", "--remote-dir", "packer"]).expect(3, &["no executable packer/build.sh"]);
    fs::remove_dir_all(host.packer_dir()).unwrap();
    fs::rename(home.join("iac"), home.join("elsewhere")).unwrap();
    let all = ["~/iac/packer", "/usr/local/lib/homestak/packer", "~/packer", "--remote-dir", "--sync"];
    world.run(&["--host", "build1"]).expect(3, &all);
    let ran = doctor_of(&world, &[]);
    let (state, said) = finding(&ran, "packer directory");
    assert!(state == "fail" && all.iter().all(|words| said.contains(words)), "{state}: {said}");
    finding(&ran, "KVM");
    // --sync needs none.
    let ran = world.run(&["--host", "build1", "--sync"]);
    assert!(!ran.stderr.contains("the packer directory is"), "{ran:?}");
}

#[test]
fn host_and_packer_directory_are_named_by_the_environment() {
    let world = World::new();
    let host = world.host("build1");
    let _other = world.host("build2");
    let elsewhere = host.packer_dir().parent().unwrap().join("elsewhere");
    fs::rename(host.packer_dir(), &elsewhere).unwrap();
    let run = |words: &[&str], dir: &str| {
        let mut tool = world.tool(words);
        tool.env("HOMESTAK_BUILD_HOST", "build1").env("HOMESTAK_PACKER_REMOTE_DIR", dir);
        Ran::from(tool.output().unwrap())
    };
    run(&["build-and-fetch"], "~/elsewhere").expect(0, &["building debian-12-custom on build1"]);
    let ran = run(&["doctor", "--json", "--repo", "a/b"], "elsewhere");
    assert_eq!(finding(&ran, "packer directory"), ("ok".to_owned(), "elsewhere".to_owned()));
    // What is typed comes first; an empty variable says nothing.
    run(&["build-and-fetch", "--host", "build2", "--remote-dir", "packer"], "elsewhere").expect(0, &["on build2"]);
    run(&["build-and-fetch"], "").expect(3, &["no packer directory"]);
    let mut nobody = world.tool(&["build-and-fetch"]);
    nobody.env("HOMESTAK_BUILD_HOST", "");
    Ran::from(nobody.output().unwrap()).expect(2, &["--host", "HOMESTAK_BUILD_HOST"]);
}
