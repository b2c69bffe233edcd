//! Files as people have them: other links, other parts, other images, other checksum files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::folder::{CHECKSUM, Folder, IMAGE, Ran, WHOLE};
use crate::build_and_fetch::world::qcow2;

#[test]
fn a_folder_that_is_a_symlink_is_followed_by_all() {
    let folder = Folder::new("symlink");
    let disk = folder.dir.join("disk");
    fs::create_dir_all(&disk).unwrap();
    fs::write(disk.join(WHOLE), qcow2(1_000_000)).unwrap();
    symlink(&disk, folder.images().join(IMAGE)).unwrap();
    folder.tool(&["checksum"]).expect(0, &["written"]);
    folder.tool(&["split", "--part-size", "600000"]).expect(0, &["2 parts"]);
    assert!(disk.join(CHECKSUM).exists() && disk.join(format!("{WHOLE}.partab")).exists());
    folder.tool(&["checksum", "--verify", IMAGE]).expect(0, &["verified"]);
    // Another way to the same folder is no second image, and a link that leads nowhere is none.
    symlink(&disk, folder.images().join("current")).unwrap();
    symlink("/nonexistent", folder.images().join("gone")).unwrap();
    symlink(".", folder.images().join("here")).unwrap();
    folder.tool(&["checksum", "--verify"]).expect(0, &["verified"]);
    let json = folder.tool(&["status", "--json", "--repo", "a/b"]).json();
    assert_eq!(json["images"][0]["local"]["problem"], serde_json::Value::Null, "{json}");
    // The images folder itself.
    fs::rename(folder.images(), folder.dir.join("elsewhere")).unwrap();
    symlink(folder.dir.join("elsewhere"), folder.images()).unwrap();
    folder.tool(&["checksum", "--verify"]).expect(0, &["verified"]);
}

#[test]
fn what_cat_would_join_although_it_is_no_part_is_refused_by_name() {
    for stray in
        ["part00", "part01", "part", "partaa.old", "partab.sha256", "partial", "parta", "partaa (1)", "partaa~"]
    {
        let folder = Folder::with_image("stray", 1_000_000);
        folder.tool(&["split", "--part-size", "500000"]).expect(0, &[]);
        let stray = format!("{WHOLE}.{stray}");
        folder.write(&stray, b"of another cut");
        let before = folder.files();
        folder.tool(&["split", "--part-size", "500000"]).expect(1, &[&stray, "remove or rename it"]);
        folder.tool(&["split", "--part-size", "2000000"]).expect(1, &[&stray]);
        // For the image itself it is no matter; for one that is there as parts alone it is.
        folder.tool(&["checksum", "--verify"]).expect(0, &[]);
        assert_eq!(folder.files(), before);
        fs::remove_file(folder.images().join(WHOLE)).unwrap();
        folder.tool(&["checksum", "--verify"]).expect(1, &[&stray]);
        for suffix in ["partaa", "partab"] {
            fs::remove_file(folder.images().join(format!("{WHOLE}.{suffix}"))).unwrap();
        }
        folder.tool(&["checksum", IMAGE]).expect(1, &[&stray]);
    }
}

#[test]
fn a_folder_that_cat_would_stumble_over_is_refused_too() {
    for stray in ["part00", "partaa"] {
        let folder = Folder::with_image("folder-stray", 1_000_000);
        fs::create_dir(folder.images().join(format!("{WHOLE}.{stray}"))).unwrap();
        folder.tool(&["split", "--part-size", "500000"]).expect(1, &[stray, "remove"]);
        assert_eq!(folder.files(), [WHOLE.to_owned(), format!("{WHOLE}.{stray}")]);
    }
}

#[test]
fn parts_that_split_d_made_are_not_taken_for_ours() {
    let folder = Folder::with_image("split-d", 1_000_000);
    let split = ["-d", "-b", "500000", WHOLE, &format!("{WHOLE}.part")];
    assert!(Command::new("split").args(split).current_dir(folder.images()).status().unwrap().success());
    folder.tool(&["split", "--part-size", "500000"]).expect(1, &["part00", "(and 1 more)", "cat"]);
    assert_eq!(folder.files(), [WHOLE, &format!("{WHOLE}.part00"), &format!("{WHOLE}.part01")]);
}

fn qemu_img(dir: &Path, line: &str) {
    let output = Command::new("qemu-img").args(line.split(' ')).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "qemu-img {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A disk of 8 MiB with some data in it, as `raw` and as the image, made with these options.
fn made_with(test: &str, options: &str) -> Folder {
    let mut raw = qcow2(3_000_000);
    raw.resize(3_500_000, b'x');
    raw.resize(8 << 20, 0);
    made_of(test, &raw, options)
}

fn made_of(test: &str, raw: &[u8], options: &str) -> Folder {
    let folder = Folder::new(test);
    folder.write("raw", raw);
    let options = if options.is_empty() { String::new() } else { format!(" {options}") };
    qemu_img(&folder.images(), &format!("convert -f raw -O qcow2{options} raw {WHOLE}"));
    folder
}

const OPTIONS: [&str; 10] = [
    "",
    "-o compat=0.10",
    "-c",
    "-c -o compression_type=zstd",
    "-o cluster_size=512",
    "-c -o cluster_size=2M",
    "-o extended_l2=on,cluster_size=128k",
    "-o preallocation=metadata",
    "-o refcount_bits=1",
    "-o lazy_refcounts=on",
];

#[test]
fn images_that_qemu_makes_are_taken() {
    for options in OPTIONS {
        let folder = made_with("made", options);
        folder.tool(&["checksum"]).expect(0, &["written"]);
        folder.tool(&["split", "--part-size", "400000"]).expect(0, &[]);
        fs::remove_file(folder.images().join(WHOLE)).unwrap();
        folder.tool(&["checksum", "--verify"]).expect(0, &["verified"]);
    }
    let folder = made_with("snapshot", "");
    qemu_img(&folder.images(), &format!("snapshot -c before {WHOLE}"));
    qemu_img(&folder.images(), &format!("resize -q {WHOLE} +1G"));
    folder.tool(&["checksum"]).expect(0, &["written"]);
}

#[test]
fn an_image_that_lost_its_end_is_taken_only_where_nothing_was() {
    // Full to its end, which is none of a cluster; of bytes that can be compressed, and of others.
    for raw in [qcow2(1_049_088), b"compress me, ".repeat(80_000)[..1_024 * 1_000].to_vec()] {
        for options in OPTIONS {
            let folder = made_of("lost-end", &raw, options);
            folder.tool(&["checksum"]).expect(0, &["written"]);
            let whole = folder.read(WHOLE);
            let mut refused = 0;
            for lost in [1, 511, 512, 4096, 65_535, 65_536, 150_000] {
                fs::remove_file(folder.images().join(CHECKSUM)).ok();
                folder.write(WHOLE, &whole[..whole.len().saturating_sub(lost)]);
                let ran = folder.tool(&["checksum"]);
                if ran.code == Some(1) {
                    ran.expect(1, &["cut short"]);
                    refused += 1;
                } else {
                    qemu_img(&folder.images(), &format!("compare -q -f raw -F qcow2 raw {WHOLE}"));
                }
            }
            assert!(refused > 0, "{options}");
        }
    }
}

#[test]
fn images_that_nobody_else_can_use_are_refused_with_the_field() {
    let refused = |folder: &Folder, field: &str| {
        let before = folder.files();
        for verb in ["checksum", "split"] {
            folder.tool(&[verb]).expect(1, &[WHOLE, field]);
        }
        assert_eq!(folder.files(), before, "{field}");
    };
    let folder = made_with("refused", "");
    let (images, good) = (folder.images(), folder.read(WHOLE));
    qemu_img(&images, &format!("create -q -f qcow2 -b raw -F raw {WHOLE}"));
    refused(&folder, "backing file");
    qemu_img(&images, &format!("create -q -f qcow2 -o data_file=data {WHOLE} 8M"));
    refused(&folder, "external data file");
    // LUKS is a byte below: to make one, qemu-img times its derivation of a key, and now and then reads no time passed.
    let secret = "--object secret,id=s,data=0123456789abcdef -o encrypt.format=aes,encrypt.key-secret=s";
    qemu_img(&images, &format!("create -q -f qcow2 {secret} {WHOLE} 8M"));
    refused(&folder, "AES");
    for (at, byte, field) in
        [(7, 9, "version 9"), (35, 2, "LUKS"), (79, 1, "dirty"), (79, 2, "corrupt"), (78, 4, "bit 10")]
    {
        let mut bytes = good.clone();
        bytes[at] = byte;
        folder.write(WHOLE, &bytes);
        refused(&folder, field);
    }
    for (length, field) in
        [(50, "within its header"), (70_000, "cut short"), (good.len() / 2, "cut short"), (good.len() - 1, "cut short")]
    {
        folder.write(WHOLE, &good[..length]);
        refused(&folder, field);
    }
    folder.write(WHOLE, &good);
    folder.tool(&["checksum"]).expect(0, &["written"]);
}

#[test]
fn of_checksum_files_what_sha256sum_accepts_is_accepted_and_the_rest_has_a_cure() {
    let folder = Folder::with_image("checksum-files", 300_000);
    folder.tool(&["checksum"]).expect(0, &[]);
    let right = folder.read(CHECKSUM);
    let hex = String::from_utf8(right).unwrap().split(' ').next().unwrap().to_owned();
    let utf16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{mark}{hex}  {WHOLE}\r\n").encode_utf16().flat_map(bytes).collect()
    };
    folder.write("other", b"x");
    let other = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    for (content, accepted) in [
        (format!("{hex}  {WHOLE}\n").into_bytes(), true),
        (format!("{hex} *{WHOLE}\n").into_bytes(), true),
        (format!("{hex} {WHOLE}\n").into_bytes(), true),
        (format!("{hex}\t{WHOLE}\n").into_bytes(), true),
        (format!("{hex}  .//./{WHOLE}\n").into_bytes(), true),
        (format!("  {}  ./{WHOLE}", hex.to_uppercase()).into_bytes(), true),
        (format!("SHA256 ({WHOLE}) = {hex}\n").into_bytes(), true),
        (format!("SHA256({WHOLE})= {hex}\n").into_bytes(), true),
        (format!("# one\n{other}  other\n{hex}  {WHOLE}\n").into_bytes(), true),
        (format!("{hex}\n").into_bytes(), false),
        (format!("{hex}  another.qcow2\n").into_bytes(), false),
        (format!("{hex}  nowhere/{WHOLE}\n").into_bytes(), false),
        (format!("\u{feff}{hex}  {WHOLE}\n").into_bytes(), false),
        (utf16("\u{feff}", u16::to_le_bytes), false),
        (utf16("\u{feff}", u16::to_be_bytes), false),
        (utf16("", u16::to_le_bytes), false),
        (Vec::new(), false),
    ] {
        folder.write(CHECKSUM, &content);
        let shown = String::from_utf8_lossy(&content);
        let theirs = Command::new("sha256sum").args(["-c", CHECKSUM]).current_dir(folder.images()).output().unwrap();
        assert_eq!(theirs.status.success(), accepted, "{shown}: {theirs:?}");
        let ours = folder.tool(&["checksum", "--verify"]);
        if accepted {
            ours.expect(0, &["verified"]);
        } else {
            ours.expect(1, &[CHECKSUM, "expected one line `<64 hex>  debian-12-custom.qcow2`", "checksum --force"]);
        }
    }
}

#[test]
fn what_only_others_may_read_is_said_with_the_cure() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: only root can have files that this login may not read");
        return;
    }
    let folder = Folder::with_image("permission", 300_000);
    folder.tool(&["checksum"]).expect(0, &[]);
    fs::create_dir(folder.images().join(IMAGE)).unwrap();
    for file in [WHOLE, CHECKSUM] {
        fs::rename(folder.images().join(file), folder.images().join(IMAGE).join(file)).unwrap();
    }
    // Nobody may be unable to reach this repository: a world of their own.
    let place = std::env::temp_dir().join(format!("packer-permission-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let mut copied = Command::new("cp");
    copied.arg("-r").arg(folder.dir.join("packer")).arg(env!("CARGO_BIN_EXE_xtask-it")).arg(&place);
    assert!(copied.status().unwrap().success());
    let images = place.join("packer/images");
    for (path, closed, open) in [
        (images.join(IMAGE).join(WHOLE), 0o600, 0o644),
        (images.join(IMAGE).join(CHECKSUM), 0o600, 0o644),
        (images.join(IMAGE), 0o700, 0o755),
        (images.clone(), 0o700, 0o755),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
        let mut nobody = Command::new("setpriv");
        nobody.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "./xtask-it",
            "packer",
            "checksum",
            "--verify",
        ]);
        let ran = Ran::from(nobody.current_dir(&place).env_remove("CARGO_MANIFEST_DIR").output().unwrap());
        let shown = path.strip_prefix(&place).unwrap().display().to_string();
        ran.expect(3, &["no permission to read", &shown, "chmod -R a+rX"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
    }
    fs::remove_dir_all(place).unwrap();
}
