//! The tag and the lock at the repository's own https address, with gh's login: git's own server behind a certificate of
//! the test's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rehearsal::machine::Machine;
use rehearsal::world::{TOKEN, World};

use super::{PUBLISH, ROLLBACK, by_hand, live, sends_nothing, verify_and_roll_back};

/// git's server for a world's repository. It ends with this.
struct Server {
    child: Child,
    rules: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closes its input, which ends it.
        let _ = self.child.wait();
    }
}

impl Server {
    fn rules(&self, text: &str) {
        fs::write(&self.rules, text).unwrap();
    }
}

fn openssl(machine: &Machine, args: &[&str]) {
    let done = machine.command("openssl").args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Serves the world's repository as https://github.com/homestak-dev/packer and leads its git there.
fn serve(world: &mut World, settings_of_the_person: &str) -> Server {
    let file = |name: &str| world.dir().join(name).to_str().unwrap().to_owned();
    let (ca, ca_key) = (file("ca.pem"), file("ca.key"));
    let (request, key, certificate, names) =
        (file("server.csr"), file("server.key"), file("server.pem"), file("names"));
    fs::write(&names, "subjectAltName=DNS:github.com\n").unwrap();
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        world,
        &[&new[..], &["-x509", "-subj", "/CN=a test's CA", "-days", "2", "-keyout", &ca_key, "-out", &ca]].concat(),
    );
    openssl(world, &[&new[..], &["-subj", "/CN=github.com", "-keyout", &key, "-out", &request]].concat());
    let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
    openssl(world, &[&sign[..], &["-extfile", &names, "-out", &certificate]].concat());

    let (root, rules) = (world.dir().join("https"), world.dir().join("rules"));
    fs::create_dir_all(root.join("homestak-dev")).unwrap();
    std::os::unix::fs::symlink(world.remote(), root.join("homestak-dev/packer")).unwrap();
    fs::write(&rules, "").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/as_they_are/https.py");
    let mut python = world.command("python3");
    python.args([script.as_ref(), certificate.as_ref(), key.as_ref(), root.as_os_str(), rules.as_os_str()]);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();

    let settings = world.dir().join("gitconfig");
    let proxy = format!("[http]\n\tproxy = http://127.0.0.1:{}\n", port.trim());
    fs::write(&settings, format!("{proxy}{settings_of_the_person}")).unwrap();
    world.set("GIT_CONFIG_GLOBAL", settings);
    world.set("GIT_SSL_CAINFO", ca);
    world.unset("HOMESTAK_PACKER_GIT_URL");
    Server { child, rules }
}

#[test]
fn a_publish_over_https_with_ghs_login() {
    let (mut world, old) = by_hand("https");
    // Of what the person has for that address nothing is used: no helper's login, and no header of a checkout's.
    let others = "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic eDp4\n\
                  [http \"https://github.com/homestak-dev/packer\"]\n\textraheader = AUTHORIZATION: basic eDp5\n\
                  [credential]\n\thelper = \"!echo username=x; echo password=wrong; :\"\n";
    let server = serve(&mut world, others);
    server.rules(&format!("{TOKEN} read\n"));
    let said = "403";
    sends_nothing(&world, PUBLISH).expect(3, &["a push to https://github.com/homestak-dev/packer is not let in", said]);
    sends_nothing(&world, ROLLBACK).expect(3, &["is not let in", "Contents: read and write"]);
    world.tool(&["doctor"]).expect(3, &["is not let in"]);

    server.rules("another write\n");
    sends_nothing(&world, PUBLISH).expect(3, &["https://github.com/homestak-dev/packer", "gh auth status"]);
    assert_eq!(live(&world), old);

    server.rules(&format!("{TOKEN} write\n"));
    world.tool(&["doctor"]).expect(0, &["https://github.com/homestak-dev/packer with gh's login", "a push is let in"]);
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
    verify_and_roll_back(&world, old);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
}

/// One 401 and one 502 at pushes are looked at and tried again.
#[test]
fn one_refusal_at_a_push_ends_nothing() {
    let (mut world, old) = by_hand("https-once");
    let server = serve(&mut world, "");
    server.rules(&format!("{TOKEN} write\n401 push\n502 push\n"));
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert!(!fs::read_to_string(&server.rules).unwrap().contains("push"), "no push met them");
    verify_and_roll_back(&world, old);
}
