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
pub struct Server {
    child: Child,
    rules: PathBuf,
    /// What leads git there, as settings: the proxy, and whom to trust.
    pub way: [(&'static str, String); 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closes its input, which ends it.
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn rules(&self, text: &str) {
        fs::write(&self.rules, text).unwrap();
    }
}

fn openssl(machine: &Machine, args: &[&str]) {
    let done = machine.command("openssl").args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Serves the world's repository as https://github.com/homestak-dev/packer, for whoever goes the server's way.
pub fn server(world: &mut World) -> Server {
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
    fs::write(&rules, format!("{TOKEN} write\n")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/as_they_are/https.py");
    let mut python = world.command("python3");
    python.args([script.as_ref(), certificate.as_ref(), key.as_ref(), root.as_os_str(), rules.as_os_str()]);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    world.unset("HOMESTAK_PACKER_GIT_URL");
    let way = [("http.proxy", format!("http://127.0.0.1:{}", port.trim())), ("http.sslCAInfo", ca)];
    Server { child, rules, way }
}

/// The same, with the way among the person's own settings, and others beside it.
fn serve(world: &mut World, settings_of_the_person: &str) -> Server {
    let server = server(world);
    let [(_, proxy), (_, ca)] = &server.way;
    let settings = world.dir().join("gitconfig");
    fs::write(&settings, format!("[http]\n\tproxy = {proxy}\n\tsslCAInfo = {ca}\n{settings_of_the_person}")).unwrap();
    world.set("GIT_CONFIG_GLOBAL", settings);
    server
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
    sends_nothing(&world, PUBLISH).expect(3, &["https://github.com/homestak-dev/packer refuses the push", said]);
    sends_nothing(&world, ROLLBACK).expect(3, &["refuses the push", "Contents: read and write"]);
    world.tool(&["doctor"]).expect(3, &["refuses the push"]);

    server.rules("another write\n");
    sends_nothing(&world, PUBLISH)
        .expect(3, &["https://github.com/homestak-dev/packer", "Authentication failed", "run `gh auth login`"]);
    assert_eq!(live(&world), old);

    server.rules(&format!("{TOKEN} write\n"));
    world
        .tool(&["doctor"])
        .expect(0, &["https://github.com/homestak-dev/packer with gh's login", "may push tag and lock"]);
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

/// Of all logins that git may know for the address, gh's alone is used.
#[test]
fn no_other_login_takes_the_place_of_ghs() {
    let (mut world, old) = by_hand("https-logins");
    let settings = "[credential \"https://github.com\"]\n\tusername = somebody\n\
                    [url \"https://x:another@github.com/\"]\n\tinsteadOf = https://github.com/\n\
                    [url \"https://x:another@github.com/\"]\n\tpushInsteadOf = https://github.com/\n";
    let server = serve(&mut world, settings);
    server.rules(&format!("{TOKEN} write\nanother read\n"));
    let home = world.dir().join("home");
    fs::write(home.join(".netrc"), "machine github.com login x password another\n").unwrap();
    world.set("GIT_ASKPASS", "/nonexistent/askpass");
    let ran = world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert!(!format!("{ran:?}").contains("another"), "{ran:?}");
    verify_and_roll_back(&world, old);

    // An expired one as well.
    server.rules(&format!("{TOKEN} write\n"));
    world.tool(&["doctor"]).expect(0, &["may push tag and lock"]);
    fs::remove_file(home.join(".netrc")).unwrap();

    // Without gh's login none of them is.
    world.unset("GH_TOKEN");
    let ran = world.tool(PUBLISH).expect(3, &["gh auth login"]);
    assert!(!format!("{ran:?}").contains("another"), "{ran:?}");
}

/// What the other side says to a push is a reason only where its words are one.
#[test]
fn a_refused_push_is_told_in_githubs_words() {
    let (mut world, old) = by_hand("https-refused");
    let server = serve(&mut world, "");
    let sso = "https://github.com/orgs/homestak-dev/sso?authorization_request=A1";
    for (status, said, helps) in [
        (
            403,
            format!("The `homestak-dev' organization has enabled or enforced SAML SSO. Visit {sso} and try again."),
            sso,
        ),
        (403, "The repository owner has an IP allow list enabled, and 1.2.3.4 is not permitted.".to_owned(), "VPN"),
        (403, "`homestak-dev` forbids access via a personal access token (classic).".to_owned(), "GH_TOKEN"),
        (403, "Permission to homestak-dev/packer.git denied to ana.".to_owned(), "write access"),
        (403, "This repository was archived so it is read-only.".to_owned(), "unarchive"),
        (403, "No tea today.".to_owned(), "ask an administrator"),
        (404, "Repository not found.".to_owned(), "--repo"),
    ] {
        server.rules(&format!("{TOKEN} write\nrefuse {status} {said}\n"));
        let words = said.trim_end_matches('.');
        let ran = sends_nothing(&world, PUBLISH).expect(3, &["refuses the push", words, helps]);
        for wrong in ["again to continue", "`repo` scope", "gh auth status` shows"] {
            assert!(!ran.stderr.contains(wrong), "`{wrong}`: {ran:?}");
        }
        assert!(helps != "ask an administrator" || !ran.stderr.contains("write access"), "{ran:?}");
    }
    assert_eq!(live(&world), old);
}

#[test]
fn a_certificate_that_nobody_trusts_is_no_network_trouble() {
    let (mut world, _) = by_hand("https-untrusted");
    let server = serve(&mut world, "");
    let [(_, proxy), _] = &server.way;
    fs::write(world.dir().join("gitconfig"), format!("[http]\n\tproxy = {proxy}\n")).unwrap();
    let ran = sends_nothing(&world, PUBLISH).expect(3, &["certificate", "http.sslCAInfo"]);
    assert!(!ran.stderr.contains("attempt"), "{ran:?}");
    fs::write(world.dir().join("gitconfig"), "[http]\n\tproxy = http://127.0.0.1:1\n").unwrap();
    world.set("PACKER_TEST_ATTEMPTS", "1");
    sends_nothing(&world, PUBLISH).expect(3, &["check the network"]);
}

/// One limit for all: gh's silence and git's.
#[test]
fn a_server_that_says_nothing_is_left_after_the_stall_timeout() {
    let (mut world, _) = by_hand("https-silent");
    let server = serve(&mut world, "");
    server.rules(&format!("{TOKEN} write\nsilent push\n"));
    let began = std::time::Instant::now();
    world.set("PACKER_TEST_ATTEMPTS", "2");
    let args = [PUBLISH, &["--stall-timeout", "2"]].concat();
    sends_nothing(&world, &args).expect(3, &["git: no", "for 2 s"]);
    assert!(began.elapsed().as_secs() < 40, "{:?}", began.elapsed());
}
