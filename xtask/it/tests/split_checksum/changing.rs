//! Images that somebody else writes while they are read: nothing is made of them.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;

use super::folder::{Folder, Ran, WHOLE};
use crate::build_and_fetch::world::until;

/// Whether the process has this file open.
fn has_open(child: &Child, path: &Path) -> bool {
    let fds = PathBuf::from(format!("/proc/{}/fd", child.id()));
    let mut open = fs::read_dir(fds).into_iter().flatten().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    open.any(|target| target == path)
}

type Change = fn(&Path);

/// What somebody does to an image while it is read, by name.
const CHANGES: [(&str, Change); 4] = [
    ("grows", |path| File::options().append(true).open(path).unwrap().write_all(b"more").unwrap()),
    ("shrinks", |path| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }),
    ("is overwritten, its time put back", |path| {
        let mut file = File::options().write(true).open(path).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.seek(SeekFrom::Start(1 << 20)).unwrap();
        file.write_all(b"other bytes").unwrap();
        file.set_modified(before).unwrap();
    }),
    ("is replaced", |path| {
        let new = path.with_file_name("new");
        fs::copy(path.with_file_name("small"), &new).unwrap();
        fs::rename(new, path).unwrap();
    }),
];

fn while_read(test: &str, size: u64, args: &[&str], begun: fn(&Folder, &Child) -> bool) {
    for (what, change) in CHANGES {
        let folder = Folder::new(test);
        let path = folder.images().join(WHOLE);
        let mut image = File::create(&path).unwrap();
        image.write_all(&rehearsal::image::smallest()).unwrap();
        image.set_len(size).unwrap();
        folder.write("small", &rehearsal::image::smallest());
        let child = folder.start(args);
        until("the image is read", || begun(&folder, &child));
        change(&path);
        Ran::from(child.wait_with_output().unwrap()).expect(1, &[WHOLE, "while it was read"]);
        let left: Vec<String> = folder.files().into_iter().filter(|file| file != "small" && file != WHOLE).collect();
        assert_eq!(left, [""; 0], "{what}");
    }
}

#[test]
fn no_checksum_is_written() {
    while_read("changing-checksum", 1 << 30, &["checksum"], |folder, child| {
        has_open(child, &folder.images().join(WHOLE))
    });
}

#[test]
fn no_part_is_left() {
    while_read("changing-split", 1 << 29, &["split", "--part-size", "300MiB"], |folder, _| folder.files().len() > 2);
}

#[test]
fn parts_that_change_while_they_are_compared_are_not_called_right() {
    let folder = Folder::new("changing-parts");
    let path = folder.images().join(WHOLE);
    let mut image = File::create(&path).unwrap();
    image.write_all(&rehearsal::image::smallest()).unwrap();
    image.set_len(1 << 29).unwrap();
    let split = ["split", "--part-size", "200MiB"];
    folder.tool(&split).expect(0, &["3 parts"]);
    let part = |suffix: &str| folder.images().join(format!("{WHOLE}.part{suffix}"));
    let child = folder.start(&split);
    until("the second part is compared", || has_open(&child, &part("ab")));
    File::options().append(true).open(part("aa")).unwrap().write_all(b"more").unwrap();
    Ran::from(child.wait_with_output().unwrap()).expect(1, &["partaa", "while it was read"]);
}
