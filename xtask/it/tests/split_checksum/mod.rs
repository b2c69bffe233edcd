//! `split` and `checksum` on real files, checked against GNU `split`, `cat` and `sha256sum`.
#![allow(clippy::disallowed_methods, reason = "tests start the tool and the tools it is compared with")]

mod changing;
mod folder;
mod odd;
mod output;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use folder::{CHECKSUM, Folder, IMAGE, WHOLE, interrupt};

use crate::build_and_fetch::world::{qcow2, until};

#[test]
fn a_checksum_file_is_what_sha256sum_writes() {
    let folder = Folder::with_image("checksum", 1_000_001);
    folder.tool(&["checksum"]).expect(0, &["debian-12-custom.qcow2: written"]);
    assert_eq!(folder.read(CHECKSUM), folder.shell(&format!("sha256sum {WHOLE}")).into_bytes());
    folder.tool(&["checksum", IMAGE]).expect(0, &["unchanged"]);
    folder.tool(&["checksum", "--verify", WHOLE]).expect(0, &["verified"]);
    assert_eq!(folder.files(), [WHOLE, CHECKSUM]);
}

#[test]
fn several_images_are_hashed_in_one_run() {
    let folder = Folder::new("several");
    let names: Vec<String> = (0..7).map(|n| format!("image-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        folder.write(&format!("{name}/{name}.qcow2"), &qcow2(300_000 + n));
    }
    let ran = folder.tool(&["checksum", "--json"]).expect(0, &[]);
    let json = ran.json();
    assert_eq!(json["status"], "success");
    let listed: Vec<&str> = json["images"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
    for name in &names {
        folder.shell(&format!("cd {name} && sha256sum -c --strict {name}.qcow2.sha256"));
    }
}

#[test]
fn parts_are_those_of_gnu_split_and_join_to_the_image() {
    let folder = Folder::with_image("split", 5_300_000);
    let ran = folder.tool(&["split", "--part-size", "100000", "--json"]).expect(0, &[]);
    let json = ran.json();
    assert_eq!(json["images"][0]["result"], "cut");
    assert_eq!(json["images"][0]["parts"].as_array().unwrap().len(), 53);
    folder.shell(&format!("sha256sum -c --strict {CHECKSUM}; mkdir .gnu; split -b 100000 {WHOLE} .gnu/{WHOLE}.part"));
    folder.shell("for part in .gnu/*; do cmp \"$part\" \"${part##*/}\"; done; test $(ls .gnu | wc -l) = 53");
    folder.shell(&format!("cat {WHOLE}.part* | cmp - {WHOLE}"));
}

#[test]
fn a_second_split_says_so_and_another_size_leaves_no_part_behind() {
    let folder = Folder::with_image("again", 1_000_000);
    folder.tool(&["split", "--part-size", "100000"]).expect(0, &["split into 10 parts"]);
    folder.tool(&["split", "--part-size", "100000"]).expect(0, &["already split into 10 parts (verified)"]);
    folder.tool(&["split", "--part-size", "400000"]).expect(0, &["split into 3 parts"]);
    let [aa, ab, ac] = ["aa", "ab", "ac"].map(|suffix| format!("{WHOLE}.part{suffix}"));
    assert_eq!(folder.files(), [WHOLE, &aa, &ab, &ac, CHECKSUM]);
    folder.shell(&format!("cat {WHOLE}.part* | cmp - {WHOLE}"));
    folder.write(&ab, &vec![0; 400_000]);
    folder.tool(&["split", "--part-size", "400000"]).expect(0, &[": split into 3 parts"]);
    folder.shell(&format!("cat {WHOLE}.part* | cmp - {WHOLE}"));
    // A part more than there should be would be joined in as well.
    folder.write(&format!("{WHOLE}.partad"), b"x");
    folder.tool(&["split", "--part-size", "400000"]).expect(0, &["already split"]);
    folder.shell(&format!("cat {WHOLE}.part* | cmp - {WHOLE}"));
    folder.tool(&["split"]).expect(0, &["left whole; 3 parts from an earlier split removed"]);
    assert_eq!(folder.files(), [WHOLE, CHECKSUM]);
}

#[test]
fn an_image_within_the_limit_stays_whole() {
    let folder = Folder::with_image("within", 100_000);
    folder.tool(&["split", "--part-size", "100000"]).expect(0, &["left whole"]);
    assert_eq!(folder.files(), [WHOLE, CHECKSUM]);
    folder.shell(&format!("sha256sum -c --strict {CHECKSUM}"));
}

#[test]
fn an_image_in_parts_alone_is_verified() {
    let folder = Folder::with_image("parts-alone", 1_000_000);
    folder.tool(&["split", "--part-size", "300000"]).expect(0, &[]);
    fs::remove_file(folder.images().join(WHOLE)).unwrap();
    folder.tool(&["checksum", "--verify"]).expect(0, &["verified"]);
    folder.tool(&["split", "--part-size", "300000"]).expect(0, &["parts only"]);
    folder.tool(&["split", "--part-size", "200000"]).expect(1, &["partaa", "--part-size 200000"]);
    let partab = folder.read(&format!("{WHOLE}.partab"));
    for suffix in ["aa", "ac"] {
        let part = format!("{WHOLE}.part{suffix}");
        let bytes = folder.read(&part);
        fs::remove_file(folder.images().join(&part)).unwrap();
        folder.tool(&["checksum", "--verify"]).expect(3, &[&part, "missing"]);
        folder.write(&part, &bytes);
    }
    let mut changed = partab.clone();
    changed[5] ^= 1;
    folder.write(&format!("{WHOLE}.partab"), &changed);
    folder.tool(&["checksum", "--verify"]).expect(4, &[WHOLE]);
    folder.tool(&["split", "--part-size", "300000"]).expect(4, &[WHOLE]);
}

#[test]
fn the_last_part_missing_is_a_digest_that_differs() {
    // Only the checksum file knows how many parts there were.
    let folder = Folder::with_image("last-part", 1_000_000);
    folder.tool(&["split", "--part-size", "300000"]).expect(0, &[]);
    fs::remove_file(folder.images().join(WHOLE)).unwrap();
    fs::remove_file(folder.images().join(format!("{WHOLE}.partad"))).unwrap();
    folder.tool(&["checksum", "--verify"]).expect(4, &[WHOLE]);
}

#[test]
fn a_digest_that_differs_names_both_and_changes_nothing() {
    let folder = Folder::with_image("differs", 1_000_000);
    let promised = "0".repeat(64);
    let line = format!("{promised}  {WHOLE}\n");
    folder.write(CHECKSUM, line.as_bytes());
    let found = folder.shell(&format!("sha256sum {WHOLE}"))[..64].to_owned();
    for args in [&["checksum"][..], &["checksum", "--verify"], &["split"], &["split", "--part-size", "300000"]] {
        folder.tool(args).expect(4, &[&promised, &found]);
        assert_eq!(folder.files(), [WHOLE, CHECKSUM], "{args:?}");
        assert_eq!(folder.read(CHECKSUM), line.as_bytes(), "{args:?}");
    }
    let json = folder.tool(&["checksum", "--verify", "--json"]).expect(4, &[]).json();
    assert_eq!((&json["status"], &json["exit_code"]), (&"error".into(), &4.into()));
    assert!(json["error"]["message"].as_str().unwrap().contains(&found));
    folder.tool(&["checksum", "--force"]).expect(0, &["replaced"]);
    folder.shell(&format!("sha256sum -c --strict {CHECKSUM}"));
}

#[test]
fn old_parts_stay_when_the_new_ones_are_refused() {
    let folder = Folder::with_image("old-parts", 1_000_000);
    folder.tool(&["split", "--part-size", "300000"]).expect(0, &[]);
    let before = folder.files();
    let mut damaged = folder.read(WHOLE);
    damaged[999_999] ^= 1;
    folder.write(WHOLE, &damaged);
    folder.tool(&["split", "--part-size", "250000"]).expect(4, &[WHOLE]);
    assert_eq!(folder.files(), before);
    folder.shell(&format!("cat {WHOLE}.part* | sha256sum | cut -c1-64 | grep -q -f - {CHECKSUM}"));
}

#[test]
fn a_checksum_file_that_is_damaged_is_replaced_only_by_force() {
    let folder = Folder::with_image("damaged-checksum", 10_000);
    for bad in ["", "no digest\n", &format!("{}  other.qcow2\n", "0".repeat(64))] {
        folder.write(CHECKSUM, bad.as_bytes());
        folder.tool(&["checksum"]).expect(1, &[CHECKSUM, "--force"]);
        folder.tool(&["split", "--part-size", "3000"]).expect(1, &[CHECKSUM]);
        assert_eq!(folder.read(CHECKSUM), bad.as_bytes());
    }
    folder.tool(&["checksum", "--force"]).expect(0, &["written"]);
    folder.shell(&format!("sha256sum -c --strict {CHECKSUM}"));
}

/// Each of these is refused by both verbs, and nothing is written.
#[test]
fn bad_input_is_refused() {
    type Setup = fn(&Folder);
    let table: [(&str, i32, &[&str], Setup); 10] = [
        ("no-images-folder", 3, &["no images folder", "build-and-fetch"], |f| fs::remove_dir(f.images()).unwrap()),
        ("no-image", 3, &["no image in", "build-and-fetch"], |_| ()),
        ("checksum-file-alone", 3, &["no image in"], |f| f.write(CHECKSUM, b"x")),
        ("not-a-qcow2", 1, &[WHOLE, "is not a qcow2"], |f| f.write(WHOLE, b"PK\x03\x04 and so on")),
        ("short", 1, &[WHOLE, "is not a qcow2"], |f| f.write(WHOLE, b"QF")),
        ("empty", 1, &[WHOLE, "is empty"], |f| f.write(WHOLE, b"")),
        ("two-files", 1, &["two files", WHOLE, "remove one"], |f| {
            f.write(WHOLE, &qcow2(100));
            f.write(&format!("{IMAGE}/{WHOLE}"), &qcow2(100));
        }),
        ("symlink", 1, &[WHOLE, "is a symlink"], |f| {
            fs::write(f.dir.join("elsewhere.qcow2"), qcow2(100)).unwrap();
            std::os::unix::fs::symlink("../../elsewhere.qcow2", f.images().join(WHOLE)).unwrap();
        }),
        ("blank-in-name", 1, &["`my image`", "GitHub replaces"], |f| f.write("my image.qcow2", &qcow2(100))),
        ("newline-in-name", 1, &["a\\nb", "GitHub replaces"], |f| f.write("a\nb.qcow2", &qcow2(100))),
    ];
    for (case, code, says, setup) in table {
        let folder = Folder::new(case);
        setup(&folder);
        let files = || folder.images().is_dir().then(|| folder.files());
        let before = files();
        for verb in ["checksum", "split"] {
            folder.tool(&[verb]).expect(code, says);
            assert_eq!(files(), before, "{case}: {verb}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_at_once_and_nothing_is_written() {
    let folder = Folder::with_image("all-at-once", 3_000);
    folder.write("a.qcow2", b"");
    folder.write("b.qcow2", b"text");
    let before = folder.files();
    for verb in ["checksum", "split"] {
        folder.tool(&[verb]).expect(1, &["2 problems", "a.qcow2 is empty", "b.qcow2 is not a qcow2"]);
        assert_eq!(folder.files(), before);
    }
    // Checking changes nothing, so it goes on to the end.
    folder.tool(&["checksum", IMAGE]).expect(0, &[]);
    folder.tool(&["checksum", "--verify"]).expect(1, &["debian-12-custom.qcow2: verified", "2 problems"]);
}

#[test]
fn names_and_sizes_are_judged_before_any_work() {
    let folder = Folder::with_image("usage", 5_000);
    let before = folder.files();
    let known = "known images: debian-12-custom, debian-13-pve";
    let table: [(&[&str], i32, &str); 11] = [
        (&["checksum", "debian-11"], 2, known),
        (&["split", "debian-11"], 2, known),
        (&["split", "../debian-12-custom"], 2, known),
        (&["checksum", "debian-13-pve"], 3, "no image debian-13-pve.qcow2"),
        (&["checksum", "--verify"], 3, "no checksum file"),
        (&["checksum", "--verify", "--force"], 2, "--force"),
        (&["split", "--part-size", "0"], 2, "1 to 2147483647 bytes"),
        (&["split", "--part-size", "2GiB"], 2, "1 to 2147483647 bytes"),
        (&["split", "--part-size", "-1"], 2, "-1"),
        (&["split", "--part-size", "big"], 2, "is not a size"),
        (&["split", "--part-size", "5"], 2, "1000 assets; give at least 6"),
    ];
    for (args, code, says) in table {
        folder.tool(args).expect(code, &[says]);
        assert_eq!(folder.files(), before, "{args:?}");
    }
}

#[test]
fn a_part_in_another_folder_is_not_left_to_be_joined() {
    let folder = Folder::with_image("elsewhere", 1_000_000);
    folder.write(&format!("{IMAGE}/{WHOLE}.partaa"), b"QFI\xfb");
    folder.tool(&["split", "--part-size", "300000"]).expect(1, &["is not in the folder of", "remove it"]);
}

#[test]
fn an_interrupted_split_leaves_nothing() {
    let folder = Folder::new("interrupted-split");
    let mut image = File::create(folder.images().join(WHOLE)).unwrap();
    image.write_all(&rehearsal::image::smallest()).unwrap();
    image.set_len(2 << 30).unwrap();
    folder.write(&format!("{WHOLE}.partaa"), b"of a former cut");
    let before = folder.files();
    let child = folder.start(&["split", "--part-size", "1GiB"]);
    until("the first part", || folder.files().len() > before.len());
    interrupt(child).expect(130, &["interrupted"]);
    assert_eq!(folder.files(), before);
    assert_eq!(folder.read(&format!("{WHOLE}.partaa")), b"of a former cut");
}

#[test]
fn an_interrupted_checksum_leaves_nothing() {
    let folder = Folder::new("interrupted-checksum");
    let path = folder.images().join(WHOLE);
    let mut image = File::create(&path).unwrap();
    image.write_all(&rehearsal::image::smallest()).unwrap();
    image.set_len(1 << 40).unwrap();
    let child = folder.start(&["checksum"]);
    let fds = PathBuf::from(format!("/proc/{}/fd", child.id()));
    until("the image to be read", || {
        let open = fs::read_dir(&fds).into_iter().flatten().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        open.into_iter().any(|target| target == path)
    });
    interrupt(child).expect(130, &["interrupted"]);
    assert_eq!(folder.files(), [WHOLE]);
}

#[test]
fn parts_that_a_killed_run_left_are_cleared() {
    let folder = Folder::with_image("killed", 1_000_000);
    folder.write(&format!(".{WHOLE}.partzz.tmp"), b"half");
    folder.tool(&["split", "--part-size", "500000"]).expect(0, &[]);
    assert!(!folder.files().iter().any(|file| file.starts_with('.')));
}

#[test]
fn two_splits_of_one_image_do_not_mix() {
    let folder = Folder::with_image("locked", 1_000_000);
    let image = File::open(folder.images().join(WHOLE)).unwrap();
    image.lock().unwrap();
    folder.tool(&["split", "--part-size", "500000"]).expect(1, &["another `split` is running"]);
    // Closing it would not do: a program that another test starts may have the file open for a moment.
    image.unlock().unwrap();
    folder.tool(&["split", "--part-size", "500000"]).expect(0, &[]);
}

/// A small file system of its own, gone with the value.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_old_parts() {
    let folder = Folder::new("full-disk");
    let Some(_tmpfs) = Tmpfs::mount(&folder.images(), "9m") else {
        eprintln!("skipped: mounting a small tmpfs takes root");
        return;
    };
    folder.write(WHOLE, &qcow2(4 << 20));
    folder.tool(&["split", "--part-size", "3MiB"]).expect(0, &["split into 2 parts"]);
    let before = folder.files();
    folder.tool(&["split", "--part-size", "1MiB"]).expect(1, &["disk is full", "free space"]);
    assert_eq!(folder.files(), before);
    folder.shell(&format!("cat {WHOLE}.part* | cmp - {WHOLE}"));
    folder.shell(&format!("rm {WHOLE}.part* {CHECKSUM}; head -c 8m /dev/zero > filler 2>/dev/null || true"));
    folder.tool(&["checksum"]).expect(1, &["disk is full"]);
    assert_eq!(folder.files(), [WHOLE, "filler"]);
}
