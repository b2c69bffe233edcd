//! `download` through the real `gh`, against the stand-in for GitHub.
#![allow(clippy::disallowed_methods, reason = "tests start the tools that people use beside this one")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use github_stand_in::{AssetState, Fault, Injection, Lasting, Matches, SeedRelease, StallPoint, Times};
use rehearsal::image::sha256;
use rehearsal::machine::Machine;
use rehearsal::process::Ran;
use rehearsal::world::{Options, REPOSITORY, World};

use crate::begun;

const BIG: &str = "debian-13-pve";
const SMALL: &str = "debian-12-custom";

fn world(test: &str) -> World {
    World::new(&place(test), Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

fn place(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("download-{test}"))
}

/// A published set, the big image in three parts, and a machine that has nothing of it.
fn published(test: &str) -> (World, Machine) {
    let world = begun::twin("v0.45-in-parts", &place(test), |dir| {
        let world = World::new(dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
        world.build_all(1, Some("v0.45")).unwrap();
        world.tool(&["publish", "--source", "v0.45", "--part-size", "1MiB", "--execute"]).expect(0, &[]);
        world
    });
    let reader = world.another_machine("reader").unwrap();
    (world, reader)
}

fn path(machine: &Machine, image: &str) -> PathBuf {
    machine.images().join(image).join(format!("{image}.qcow2"))
}

/// The image is there as it was built, its checksum file fits, and nothing else but its record lies beside it.
#[track_caller]
fn assert_same(world: &World, reader: &Machine, image: &str) {
    assert!(fs::read(path(world, image)).unwrap() == fs::read(path(reader, image)).unwrap(), "{image} differs");
    let dir = reader.images().join(image);
    let mut check = Command::new("sha256sum");
    check.args(["-c", "--strict", "--quiet"]).arg(format!("{image}.qcow2.sha256")).current_dir(&dir);
    assert!(check.status().unwrap().success(), "{image}");
    assert_eq!(files(&dir), [format!("{image}.build.json"), format!("{image}.qcow2"), format!("{image}.qcow2.sha256")]);
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

/// The bytes of an asset, once somebody asks for them.
fn bytes_of(file: &str) -> Matches {
    Matches { query: Some(format!("filename={file}")), ..Matches::on("GET", "/github-production-release-asset/*") }
}

fn inject(world: &World, file: &str, times: Times, fault: Fault) {
    world.hub().inject(Injection { matches: bytes_of(file), times, fault });
}

fn results(ran: &Ran) -> Vec<(String, String)> {
    let json = ran.json();
    let images = json["images"].as_array().unwrap().iter();
    images.map(|it| (it["name"].as_str().unwrap().to_owned(), it["result"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_set_arrives_joined_and_verified_and_only_once() {
    let (world, reader) = published("set");
    let ran = reader.tool(&["download", "--json"]).expect(0, &[]);
    let names = ["debian-12-custom", "debian-13-custom", "debian-13-pve"];
    assert_eq!(results(&ran), names.map(|name| (name.to_owned(), "downloaded".to_owned())));
    for name in names {
        assert_same(&world, &reader, name);
    }
    let sent = |world: &World| world.hub().requests().iter().filter(|it| it.path.contains("production")).count();
    let before = sent(&world);
    let again = reader.tool(&["download", "--json"]).expect(0, &[]);
    assert!(results(&again).iter().all(|(_, result)| result == "unchanged"), "{again:?}");
    // The manifest alone.
    assert_eq!(sent(&world) - before, 1);
    // What was downloaded can be published as what it is.
    reader.tool(&["publish", "--source", "v0.45", "--part-size", "1MiB", "--dry-run"]).expect(0, &[]);
}

#[test]
fn folders_that_lead_to_another_disk_are_published_from_and_downloaded_into() {
    let world = world("symlinks");
    world.build_all(1, Some("v0.45")).unwrap();
    let to_another_disk = |machine: &Machine, image: &str| {
        let (folder, disk) = (machine.images().join(image), machine.dir().join(format!("disk-{image}")));
        fs::create_dir_all(machine.images()).unwrap();
        match fs::rename(&folder, &disk) {
            Ok(()) => {}
            Err(_) => fs::create_dir_all(&disk).unwrap(),
        }
        std::os::unix::fs::symlink(disk, folder).unwrap();
    };
    to_another_disk(&world, BIG);
    world.tool(&["publish", "--source", "v0.45", "--part-size", "1MiB", "--execute"]).expect(0, &[]);
    world.tool(&["verify"]).expect(0, &["3 images in packer/images match the published images (read in full)"]);
    let reader = world.another_machine("reader").unwrap();
    to_another_disk(&reader, BIG);
    to_another_disk(&reader, SMALL);
    reader.tool(&["download", BIG]).expect(0, &[]);
    reader.tool(&["verify"]).expect(0, &["1 image in packer/images matches the published images (read in full)"]);
    reader.tool(&["download", BIG, SMALL]).expect(0, &[]);
    for image in [BIG, SMALL] {
        assert!(reader.images().join(image).is_symlink());
        assert_same(&world, &reader, image);
    }
    reader.tool(&["verify"]).expect(0, &["2 images in packer/images match the published images (read in full)"]);
}

#[test]
fn images_are_chosen_by_name() {
    let (world, reader) = published("names");
    reader.tool(&["download", SMALL]).expect(0, &["debian-12-custom.qcow2: downloaded, verified"]);
    assert_same(&world, &reader, SMALL);
    assert_eq!(files(&reader.images()), [SMALL]);
    reader.tool(&["download", "debian-11"]).expect(2, &["unknown image", SMALL]);
    fs::create_dir_all(reader.packer_dir().join("templates/new")).unwrap();
    fs::write(reader.packer_dir().join("templates/new/template.pkr.hcl"), "").unwrap();
    reader.tool(&["download", "new"]).expect(3, &["no image new.qcow2 on release latest"]);
    reader.tool(&["download", "--tag", "v0.1"]).expect(3, &["no release v0.1 is published"]);
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    reader.tool(&["download", "--tag", "v0.45"]).expect(3, &["has no images", "leave out --tag"]);
}

#[test]
fn a_set_made_by_hand_is_vouched_for_by_its_checksum_files() {
    let world = world("by-hand");
    world.build_all(1, None).unwrap();
    let id = world.publish_by_hand("v0.44").unwrap();
    let reader = world.another_machine("reader").unwrap();
    reader.tool(&["download", SMALL]).expect(0, &["downloaded"]);
    assert!(fs::read(path(&world, SMALL)).unwrap() == fs::read(path(&reader, SMALL)).unwrap());
    assert_eq!(files(&reader.images().join(SMALL)), [format!("{SMALL}.qcow2"), format!("{SMALL}.qcow2.sha256")]);

    let unvouched = |release: &mut github_stand_in::Release| release.assets.retain(|it| !it.name.ends_with(".sha256"));
    world.hub().change_release(REPOSITORY, id, unvouched).unwrap();
    reader.tool(&["download", BIG]).expect(3, &["debian-13-pve.qcow2 on release latest has no digest"]);
    assert_eq!(files(&reader.images()), [SMALL]);
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let (world, reader) = published("retry");
    let file = format!("{BIG}.qcow2.partab");
    inject(&world, &file, Times::Once, Fault::TruncateAnswer { after: 700_000 });
    reader.tool(&["download", BIG]).expect(0, &["attempt 1", "downloaded"]);
    assert_same(&world, &reader, BIG);
    let requests = world.hub().requests();
    let ranges: Vec<Option<&str>> = requests
        .iter()
        .filter(|it| it.query.contains(&file) && it.path.contains("production"))
        .map(|it| it.range.as_deref())
        .collect();
    let [None, Some(rest)] = ranges[..] else { panic!("{ranges:?}") };
    let from: u64 = rest.strip_prefix("bytes=").and_then(|it| it.strip_suffix('-')).unwrap().parse().unwrap();
    assert!(from > 0 && from <= 700_000, "{rest}");
}

#[test]
fn a_connection_that_stands_still_is_ended_and_tried_again() {
    let (world, reader) = published("stall");
    let stall = Fault::Stall { at: StallPoint::MidAnswer { after: 300_000 }, lasting: Lasting::UntilReleased };
    inject(&world, &format!("{BIG}.qcow2.partaa"), Times::Once, stall);
    reader.tool(&["download", BIG, "--stall-timeout", "1"]).expect(0, &["attempt 1 of 5 failed", "1 s", "downloaded"]);
    assert_same(&world, &reader, BIG);
}

#[test]
fn a_download_that_failed_is_resumed_by_the_next_run() {
    let (world, reader) = published("resume");
    let file = format!("{BIG}.qcow2.partab");
    let refused = Fault::Status { status: 403, message: "no".into(), headers: Vec::new() };
    inject(&world, &file, Times::Forever, refused);
    reader.tool(&["download", BIG]).expect(3, &["HTTP 403"]);
    let left = files(&reader.images().join(BIG));
    assert!(left.len() == 1 && left[0].starts_with(".debian-13-pve.qcow2.arriving-"), "{left:?}");
    assert_eq!(fs::metadata(reader.images().join(BIG).join(&left[0])).unwrap().len(), 1 << 20);

    world.hub().reset_faults();
    let before = world.hub().requests().len();
    let ran = reader.tool(&["download", BIG, "--json"]).expect(0, &[]);
    assert_eq!(results(&ran), [(BIG.to_owned(), "resumed".to_owned())]);
    assert_same(&world, &reader, BIG);
    assert!(!world.hub().requests()[before..].iter().any(|it| it.query.contains("partaa")));
}

#[test]
fn what_an_earlier_run_left_damaged_is_fetched_anew() {
    let (world, reader) = published("damaged");
    let digest = fs::read_to_string(path(&world, BIG).with_extension("qcow2.sha256")).unwrap()[..64].to_owned();
    let dir = reader.images().join(BIG);
    fs::create_dir_all(&dir).unwrap();
    // As after a power cut: the length is there, the bytes are not.
    fs::write(dir.join(format!(".{BIG}.qcow2.arriving-{digest}.part")), vec![0; 1_500_000]).unwrap();
    // Of an image that was on the release before.
    fs::write(dir.join(format!(".{BIG}.qcow2.arriving-{}.part", "0".repeat(64))), b"old").unwrap();
    reader.tool(&["download", BIG]).expect(0, &["downloading again from the start", "downloaded"]);
    assert_same(&world, &reader, BIG);
}

#[test]
fn bytes_that_are_not_those_promised_are_not_kept() {
    let (world, reader) = published("corrupt");
    let release = world.published().published("latest").unwrap().clone();
    let asset = release.asset(&format!("{BIG}.qcow2.partab")).unwrap().clone();
    let mut bytes = fs::read(&asset.file).unwrap();
    bytes[5] ^= 1;
    fs::write(&asset.file, bytes).unwrap();
    let says = ["release latest: ", "debian-13-pve.qcow2 arrived with digest", "was promised", "verify --download"];
    reader.tool(&["download", BIG]).expect(4, &says);
    assert_eq!(files(&reader.images().join(BIG)), [""; 0]);
    // A release made by hand.
    let text = b"this is no image".repeat(64);
    let sum = format!("{}  {SMALL}.qcow2\n", sha256(&text));
    let release = SeedRelease::published("v0.46").asset(&format!("{SMALL}.qcow2"), text);
    world.hub().seed_release(REPOSITORY, release.asset(&format!("{SMALL}.qcow2.sha256"), sum.into_bytes())).unwrap();
    let download = ["download", "--tag", "v0.46"];
    reader
        .tool(&download)
        .expect(1, &["release v0.46: ", "are not an image", "fix: build and publish the image again"]);
    let file = world.published().published("v0.46").unwrap().asset(&format!("{SMALL}.qcow2")).unwrap().file.clone();
    fs::write(file, b"these are others".repeat(64)).unwrap();
    reader.tool(&download).expect(4, &["release v0.46: ", "was promised", "leave out --tag"]);
    assert_eq!(files(&reader.images().join(SMALL)), [""; 0]);
}

#[test]
fn a_release_that_contradicts_itself_is_refused_before_a_byte() {
    let (world, reader) = published("contradiction");
    let id = world.published().published("latest").unwrap().id;
    let change = |change: fn(&mut github_stand_in::Asset)| {
        let file = format!("{BIG}.qcow2.partac");
        let pick = |release: &mut github_stand_in::Release| {
            release.assets.iter_mut().filter(|asset| asset.name == file).for_each(change);
        };
        world.hub().change_release(REPOSITORY, id, pick).unwrap();
    };
    change(|asset| asset.digest = Some(format!("sha256:{}", "0".repeat(64))));
    reader.tool(&["download", BIG]).expect(4, &["debian-13-pve.qcow2.partac", "does not match its manifest"]);
    change(|asset| asset.state = AssetState::Starter);
    reader.tool(&["download", BIG]).expect(1, &["debian-13-pve.qcow2.partac"]);
    assert!(!reader.images().exists());
}

#[test]
fn another_image_here_is_replaced_only_by_force() {
    let (world, reader) = published("force");
    reader.build(BIG, 2 << 20, 77, Some("v0.45")).unwrap();
    let own = fs::read(path(&reader, BIG)).unwrap();
    let digests = |machine: &Machine| fs::read_to_string(path(machine, BIG).with_extension("qcow2.sha256")).unwrap();
    let (here, there) = (digests(&reader)[..64].to_owned(), digests(&world)[..64].to_owned());
    reader.tool(&["download", BIG]).expect(4, &[&here, &there, "--force"]);
    assert!(fs::read(path(&reader, BIG)).unwrap() == own);
    reader.tool(&["split", BIG, "--part-size", "1MiB"]).expect(0, &[]);
    fs::remove_file(reader.images().join(BIG).join("image-version.txt")).unwrap();
    reader.tool(&["download", BIG, "--force"]).expect(0, &["downloaded"]);
    assert_same(&world, &reader, BIG);
}

#[test]
fn an_interrupted_download_is_resumed() {
    let (world, reader) = published("interrupted");
    let stall = Fault::Stall { at: StallPoint::MidAnswer { after: 300_000 }, lasting: Lasting::UntilReleased };
    inject(&world, &format!("{BIG}.qcow2.partab"), Times::Once, stall);
    let mut command = reader.tool_command(&["download", BIG]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let dir = reader.images().join(BIG);
    let size = || files(&dir).first().map_or(0, |file| fs::metadata(dir.join(file)).map_or(0, |meta| meta.len()));
    let started = Instant::now();
    while size() <= 1 << 20 {
        assert!(started.elapsed() < Duration::from_secs(60), "no byte of the second part arrived");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    world.hub().reset_faults();
    reader.tool(&["download", BIG]).expect(0, &["resuming at", "resumed, verified"]);
    assert_same(&world, &reader, BIG);
}

#[test]
fn without_room_nothing_begins() {
    let (_world, reader) = published("room");
    fs::create_dir_all(reader.images()).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(reader.images()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: mounting a small tmpfs takes root");
        return;
    }
    let ran = reader.tool(&["download", BIG]);
    let left = files(&reader.images().join(BIG));
    assert!(Command::new("umount").arg(reader.images()).status().unwrap().success());
    ran.expect(3, &["no room for image debian-13-pve", "--images"]);
    assert_eq!(left, [""; 0]);
}

/// Values by name in each `resource` of a text in Terraform's language, or in each `pvesh` line's options.
fn asked_of_proxmox(text: &str) -> Vec<BTreeMap<String, String>> {
    let options = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pairs =
            words.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("--")?.to_owned(), pair[1].to_owned())));
        pairs.map(|(name, value)| (name.replace("filename", "file_name").replace('-', "_"), value)).collect()
    };
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().filter(|line| line.starts_with("pvesh create ")).map(options);
    let resources = text.split("\nresource ").skip(1).map(|block| {
        let lines = block.lines().skip(1).take_while(|line| *line != "}");
        let pairs = lines.filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect()
    });
    commands.chain(resources).collect()
}

#[test]
fn what_the_notes_ask_of_proxmox_is_what_is_on_the_release() {
    let (world, _) = published("proxmox");
    let release = world.published().published("latest").unwrap().clone();
    let address = format!("https://github.com/{REPOSITORY}/releases/download/latest");
    let asked = asked_of_proxmox(release.body.as_deref().unwrap());
    let whole: Vec<_> = release.assets.iter().filter(|asset| asset.name.ends_with(".qcow2")).collect();
    // A command and a resource each; the image in parts has neither.
    assert_eq!((whole.len(), asked.len()), (1, 2), "{:?}", release.body);
    for asked in &asked {
        let asset = whole.iter().find(|asset| asset.name == asked["file_name"]).unwrap();
        assert_eq!(asked["url"], format!("{address}/{}", asset.name));
        assert_eq!(asked["checksum_algorithm"], "sha256");
        assert_eq!(Some(format!("sha256:{}", asked["checksum"])), asset.digest, "{asked:?}");
    }
    // The page says the same, but for the digest.
    let page = include_str!("../../../docs/readers.md");
    let of_page = asked_of_proxmox(page);
    assert_eq!(of_page.len(), 2, "{of_page:?}");
    let without_digest = |asked: &BTreeMap<String, String>| {
        let names = ["url", "file_name", "checksum_algorithm", "content_type", "content"];
        names.map(|name| asked.get(name).cloned())
    };
    assert_eq!(
        of_page.iter().map(without_digest).collect::<Vec<_>>(),
        asked.iter().map(without_digest).collect::<Vec<_>>()
    );
}

#[test]
fn a_version_for_which_no_set_was_built_is_told_from_one_that_is_not_there() {
    let world = world("label");
    world.build_all(1, Some("v0.44")).unwrap();
    for source in ["v0.44", "v0.45"] {
        world.tool(&["publish", "--source", source, "--allow-stale", "--execute"]).expect(0, &[source]);
    }
    let reader = world.another_machine("reader").unwrap();
    let said = "no set was built for v0.45: `latest` stands for v0.45, with the set of v0.44";
    reader.tool(&["download", "--set", "v0.45"]).expect(3, &[said, "fix: leave out --set"]);
    reader.tool(&["download", "--set", "v0.43"]).expect(3, &["there is no set of v0.43", "no release images-v0.43"]);
    reader.tool(&["download", "--set", "v0.44", SMALL]).expect(0, &["verified"]);
}

#[test]
fn a_pinned_set_that_was_made_by_hand_is_fetched_by_its_version() {
    let world = world("pinned-by-hand");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    let bytes = fs::read(path(&world, SMALL)).unwrap();
    world.build_all(2, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &["the previous set is public: images-v0.44"]);
    let reader = world.another_machine("reader").unwrap();
    reader.tool(&["download", "--set", "v0.44", SMALL]).expect(0, &["verified"]);
    assert!(fs::read(path(&reader, SMALL)).unwrap() == bytes);
}
