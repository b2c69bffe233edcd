//! `check --base-images` with the project's own packer directory: upstream is files, a web server, and one that is gone.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use github_stand_in::SeedRelease;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

/// Of `image`, which is what the images are.
const SHA256: &str = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-base-images").join(test);
    let packer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packer");
    World::new(&dir, Options { packer_dir: Some(packer), ..Options::new(env!("CARGO_BIN_EXE_xtask-it")) }).unwrap()
}

/// Lets the templates start from other base images, in the order of the images, and commits that.
fn start_from(world: &World, bases: &[(String, String)]) {
    for (name, (url, checksum)) in IMAGES.iter().zip(bases) {
        let path = world.packer_dir().join(format!("templates/{name}/template.pkr.hcl"));
        let mut text = fs::read_to_string(&path).unwrap();
        for (variable, value) in [("base_image_url", url), ("base_image_checksum", checksum)] {
            let block = text.find(&format!("variable \"{variable}\"")).unwrap();
            let start = block + text[block..].find("default").unwrap();
            let end = start + text[start..].find('\n').unwrap();
            text.replace_range(start..end, &format!("default = \"{value}\""));
        }
        fs::write(path, text).unwrap();
    }
    world.git(&["commit", "--quiet", "--all", "--message", "Start from other images"]).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
}

/// Publishes a manifest: built from HEAD, on base images with these digests.
fn publish(world: &World, digests: &[Value]) {
    let image = |(name, digest): (&&str, &Value)| {
        let base = if digest.is_null() { Value::Null } else { json!({ "url": "file:x", "digest": digest }) };
        json!({
            "name": name, "file": format!("{name}.qcow2"), "size": 5, "sha256": SHA256, "versions": null,
            "built_from": { "commit": world.remote_commit("main"), "dirty": false }, "base_image": base, "parts": [],
        })
    };
    let images: Vec<Value> = IMAGES.iter().zip(digests).map(image).collect();
    let manifest = json!({ "schema": 1, "source": "v0.45", "commit": world.remote_commit("main"), "images": images });
    let release = SeedRelease::prerelease("latest").asset("packer-images.json", manifest.to_string());
    let release = IMAGES.iter().fold(release, |release, name| {
        let line = format!("{SHA256}  {name}.qcow2\n");
        release.asset(&format!("{name}.qcow2"), *b"image").asset(&format!("{name}.qcow2.sha256"), line)
    });
    world.hub().seed_release(REPOSITORY, release).unwrap();
}

/// Answers each request with the same text, until the test ends.
fn serve(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        }
    });
    format!("http://{address}")
}

#[test]
fn another_base_image_upstream_is_a_reason_to_rebuild() {
    let world = world("compared");
    let digest = |digit: &str| digit.repeat(128);
    let mirror = world.dir().join("mirror");
    fs::create_dir_all(&mirror).unwrap();
    fs::write(mirror.join("a.qcow2"), "a").unwrap();
    fs::write(mirror.join("SHA512SUMS"), format!("{}  a.qcow2\n", digest("a"))).unwrap();
    let server = serve(format!("{}  b.qcow2\n", digest("b")));
    // Nobody listens there: the port is free again once this is dropped.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    start_from(
        &world,
        &[
            (format!("file:{}/a.qcow2", mirror.display()), format!("file:{}/SHA512SUMS", mirror.display())),
            (format!("{server}/20260101-77/b.qcow2"), format!("file:{server}/SHA512SUMS")),
            (format!("http://{gone}/c.qcow2"), format!("file:http://{gone}/SHA512SUMS")),
        ],
    );
    let sha512 = |digit: &str| json!(format!("sha512:{}", digest(digit)));
    publish(&world, &[sha512("a"), sha512("0"), sha512("c")]);

    let json = world.tool(&["check", "--json"]).expect(0, &[]).json();
    assert_eq!(json["decision"], "skip", "{json}");
    let ran = world.tool(&["check", "--base-images", "--exit-code", "--json"]);
    let json = ran.expect(10, &["cannot read"]).json();
    let states: Vec<(&Value, &Value)> = json["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| (&image["decision"], &image["base_image"]["state"]))
        .collect();
    // What could not be asked is no skip.
    let expected =
        [(json!("skip"), json!("same")), (json!("rebuild"), json!("differs")), (Value::Null, json!("unknown"))];
    assert_eq!(states, expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>(), "{json}");
    assert_eq!(json["images"][1]["base_image"]["version"], "20260101-77");
    assert!(json["images"][1]["reason"].as_str().unwrap().contains("upstream has another base image 20260101-77"));
    // A revision to compare with is another question, and both can be asked.
    let json = world.tool(&["check", "--base", "HEAD", "--base-images", "--json"]).expect(0, &[]).json();
    assert_eq!(
        (&json["baseline"]["kind"], &json["images"][1]["decision"]),
        (&json!("base"), &json!("rebuild")),
        "{json}"
    );
    assert_eq!(json["images"][0]["decision"], "skip", "{json}");
    let narrowed = world.tool(&["check", "--base-images", IMAGES[2]]);
    let narrowed =
        narrowed.expect(3, &["asking upstream for the base images of", "base image unknown: upstream doesn't say"]);
    assert!(!narrowed.stdout.contains("No template changes detected"), "{}", narrowed.stdout);
}

#[test]
fn what_was_not_recorded_is_unknown() {
    let world = world("unrecorded");
    fs::write(world.dir().join("a.qcow2"), "a").unwrap();
    let base = (format!("file:{}/a.qcow2", world.dir().display()), String::new());
    start_from(&world, &[base.clone(), base.clone(), base]);
    publish(&world, &[Value::Null, Value::Null, Value::Null]);
    let json = world.tool(&["check", "--base-images", "--json"]).expect(0, &[]).json();
    for image in json["images"].as_array().unwrap() {
        assert_eq!((&image["decision"], &image["base_image"]["state"]), (&json!("skip"), &json!("unknown")), "{json}");
        assert!(image["base_image"]["upstream"].as_str().unwrap().starts_with("sha512:"), "{json}");
    }
    fs::remove_file(world.packer_dir().join("base-images.sh")).unwrap();
    let cannot = [
        "the base image of debian-12-custom cannot be asked for",
        "no source in its template has iso_url",
        "--base-images",
    ];
    world.tool(&["check", "--base-images"]).expect(3, &cannot);
}

/// An engine that has no script for it: the templates' own HCL says what to ask for.
#[test]
fn upstreams_templates_say_what_to_ask_for() {
    let world = world("by-templates");
    let digest = |digit: &str| digit.repeat(128);
    let server = serve(format!("{}  a.qcow2\n{}  b.qcow2\n", digest("a"), digest("b")));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = |url: &str, checksum: &str| {
        format!(
            "source \"qemu\" \"debian\" {{\n  # Start here\n  iso_url         = {url}\n  iso_checksum    = {checksum}\n}}\n"
        )
    };
    let list = format!("\"file:{server}/latest/SHA512SUMS\"");
    let variable =
        format!("variable \"base\" {{\n  type    = string\n  default = \"{server}/20260101-77/b.qcow2\"\n}}\n");
    let write = |image: usize, text: &str| {
        fs::write(world.packer_dir().join("templates").join(IMAGES[image]).join("template.pkr.hcl"), text).unwrap();
    };
    write(0, &source(&format!("\"{server}/latest/a.qcow2\""), &list));
    write(1, &(variable + &source("var.base", &list)));
    write(2, &source(&format!("\"http://{gone}/c.qcow2\""), &format!("\"file:http://{gone}/SHA512SUMS\"")));
    world.git(&["rm", "--quiet", "base-images.sh"]).unwrap();
    world.git(&["commit", "--quiet", "--all", "--message", "Start from other images"]).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
    let sha512 = |digit: &str| json!(format!("sha512:{}", digest(digit)));
    publish(&world, &[sha512("a"), sha512("0"), sha512("c")]);
    let ran = world.tool(&["check", "--base-images", "--exit-code", "--json"]);
    let json = ran.expect(10, &["debian-13-pve: cannot read"]).json();
    let images = json["images"].as_array().unwrap().iter();
    let states: Vec<&Value> = images.map(|image| &image["base_image"]["state"]).collect();
    assert_eq!(states, [&json!("same"), &json!("differs"), &json!("unknown")], "{json}");
    assert!(json["images"][1]["reason"].as_str().unwrap().contains("another base image 20260101-77"), "{json}");
    // What must be worked out is not asked for; all of it is named.
    write(0, &source("\"${var.mirror}/a.qcow2\"", &list));
    write(1, &source("var.base", &list));
    write(2, &source("\"http://x/c.qcow2\"", "\"none\""));
    let says =
        ["debian-12-custom cannot be asked for", "debian-13-custom cannot", "debian-13-pve cannot", "${var.mirror}"];
    world.tool(&["check", "--base-images"]).expect(3, &says);
    world.tool(&["check"]).expect(0, &[]);
}

/// The server of the readers' tests, with these faults; its port.
struct Server {
    child: Child,
    /// Of its lines for each request; without a reader it would end.
    _said: BufReader<ChildStdout>,
    port: String,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the rule is for the tool's children; here is a mirror of a test")]
    fn start(folder: &Path, faults: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packer/tests/files-server.py");
        let mut python = Command::new("python3");
        let mut child = python.arg(script).arg(folder).args(faults).stdout(Stdio::piped()).spawn().unwrap();
        let (mut said, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
        said.read_line(&mut line).unwrap();
        Self { child, _said: said, port: line.trim().strip_prefix("port ").unwrap().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_list_that_does_not_end_or_leads_from_https_to_http_is_no_answer() {
    let mut world = world("mirrors");
    let (mirror, pem) = (world.dir().join("mirror"), world.dir().join("mirror.pem"));
    fs::create_dir_all(&mirror).unwrap();
    fs::write(mirror.join("SHA512SUMS"), format!("{}  a.qcow2\n", "a".repeat(128))).unwrap();
    let mut openssl = world.command("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]);
    openssl
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&pem)
        .arg("-out")
        .arg(world.dir().join("ca"));
    assert!(openssl.output().unwrap().status.success());
    let certificate = fs::read_to_string(world.dir().join("ca")).unwrap();
    fs::write(&pem, fs::read_to_string(&pem).unwrap() + &certificate).unwrap();
    let ca = world.dir().join("ca");
    world.set("CURL_CA_BUNDLE", ca);

    let plain = Server::start(&mirror, &[]);
    let tls = format!("tls:{}", pem.display());
    let servers = [
        Server::start(&mirror, &[&tls, &format!("to:http://127.0.0.1:{}", plain.port)]),
        Server::start(&mirror, &["endless:SHA512SUMS"]),
        Server::start(&mirror, &[&tls]),
    ];
    for ((name, server), scheme) in IMAGES.iter().zip(&servers).zip(["https", "http", "https"]) {
        let address = format!("{scheme}://127.0.0.1:{}", server.port);
        let text = format!(
            "source \"qemu\" \"a\" {{\n  iso_url = \"{address}/a.qcow2\"\n  iso_checksum = \"file:{address}/SHA512SUMS\"\n}}\n"
        );
        fs::write(world.packer_dir().join(format!("templates/{name}/template.pkr.hcl")), text).unwrap();
    }
    world.git(&["rm", "--quiet", "base-images.sh"]).unwrap();
    world.git(&["commit", "--quiet", "--all", "--message", "Start from other images"]).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
    let sha512 = json!(format!("sha512:{}", "a".repeat(128)));
    publish(&world, &[sha512.clone(), sha512.clone(), sha512]);
    let says =
        ["debian-12-custom: cannot read https://", "debian-13-custom: cannot read http://", "more than 1048576 bytes"];
    let json = world.tool(&["check", "--base-images", "--json"]).expect(3, &says).json();
    let images = json["images"].as_array().unwrap().iter();
    let states: Vec<&Value> = images.map(|image| &image["base_image"]["state"]).collect();
    assert_eq!(states, [&json!("unknown"), &json!("unknown"), &json!("same")], "{json}");
}
