//! `check --base-images` with the project's own packer directory: upstream is files, a web server, and one that is gone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use github_stand_in::SeedRelease;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

/// Of `image`, which is what the images are.
const SHA256: &str = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-base-images").join(test);
    let packer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packer");
    World::new(&dir, Options { packer_dir: Some(packer), ..Options::new(env!("CARGO_BIN_EXE_xtask")) }).unwrap()
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
    let manifest = json!({ "schema": 1, "source": "v0.45", "commit": "c", "images": images });
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
    let expected = [("skip", "same"), ("rebuild", "differs"), ("skip", "unknown")].map(|(a, b)| (json!(a), json!(b)));
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
    narrowed.expect(0, &["No template changes detected", "base image unknown: upstream doesn't say"]);
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
    world.tool(&["check", "--base-images"]).expect(3, &["base-images.sh", "--base-images"]);
}
