//! What differs between HEAD and the files on disk.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use xshell::cmd;

use super::{Git, path_text};
use crate::process;

/// A file that isn't as HEAD has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncommitted {
    /// From the top of the repository.
    pub path: String,
    /// The same, as the file system has it.
    pub on_disk: PathBuf,
    pub tracked: bool,
    /// As git would record it; `None` when the file is gone.
    pub mode: Option<u32>,
    /// A submodule that has another commit checked out than HEAD says, or changes of its own.
    pub submodule: bool,
}

impl Git {
    /// Changed, deleted and untracked files below `prefix` in the repository whose work tree is at `top`; ignored ones are
    /// left out. Takes no lock.
    ///
    /// # Errors
    ///
    /// The status can't be read: the index is damaged.
    pub fn uncommitted(&self, top: &Path, prefix: &str) -> anyhow::Result<Vec<Uncommitted>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let below: &[String] = if prefix.is_empty() { &[] } else { &[format!(":(top,literal){prefix}")] };
        let options = ["--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none"];
        let finished = process::output(cmd!(sh, "git -C {dir} --no-optional-locks status {options...} -- {below...}"))?
            .success()?;
        let mut found: Vec<Uncommitted> =
            finished.stdout.split(|byte| *byte == 0).filter_map(|line| status_line(line, top)).collect();
        for file in &mut found {
            if !file.tracked {
                file.mode = mode_on_disk(&file.on_disk);
            }
        }
        Ok(found)
    }

    /// The ids that git would give to files, its filters applied, in their order. Nothing is written. The files are named
    /// from the top of the work tree: for absolute paths git looks up no attributes.
    pub fn hash_files(&self, top: &Path, files: &[&Path]) -> anyhow::Result<Vec<String>> {
        let sh = process::shell()?;
        let mut ids = Vec::with_capacity(files.len());
        // Bounded, so that the argument list is: a path has at most 4096 bytes.
        for some in files.chunks(200) {
            let ids_of_some = process::read(cmd!(sh, "git -C {top} hash-object -- {some...}"))?;
            ids.extend(ids_of_some.lines().map(str::to_owned));
        }
        anyhow::ensure!(ids.len() == files.len(), "git hash-object gave {} ids for {} files", ids.len(), files.len());
        Ok(ids)
    }

    /// The id that git gives to these bytes. Nothing is written.
    pub fn hash_bytes(&self, bytes: &[u8]) -> anyhow::Result<String> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let mut command = process::command(cmd!(sh, "git -C {dir} hash-object --stdin"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting `git hash-object --stdin`")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(bytes).context("writing to `git hash-object --stdin`")?;
        }
        let output = child.wait_with_output().context("waiting for `git hash-object --stdin`")?;
        anyhow::ensure!(output.status.success(), "`git hash-object --stdin` failed ({})", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// One entry of `git status --porcelain=v2 -z`.
fn status_line(line: &[u8], top: &Path) -> Option<Uncommitted> {
    // How many words stand before the path, and which of them are the work tree's mode and the submodule's state.
    let (words, mode_at) = match line.first()? {
        b'1' => (8, Some(5)),
        b'u' => (10, Some(6)),
        b'?' => (1, None),
        _ => return None,
    };
    let mut rest = line;
    let mut mode = None;
    let mut submodule = false;
    for at in 0..words {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let word = std::str::from_utf8(&rest[..space]).ok()?;
        if mode_at == Some(at) {
            mode = u32::from_str_radix(word, 8).ok().filter(|mode| *mode != 0);
        }
        if at == 2 && mode_at.is_some() {
            submodule = word.starts_with('S');
        }
        rest = &rest[space + 1..];
    }
    let on_disk = top.join(OsStr::from_bytes(rest));
    Some(Uncommitted { path: path_text(rest), on_disk, tracked: mode_at.is_some(), mode, submodule })
}

/// As git would record a file that it doesn't track yet.
fn mode_on_disk(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = path.symlink_metadata().ok()?;
    Some(match metadata.file_type() {
        kind if kind.is_symlink() => 0o120_000,
        // Git lists an untracked folder only when it is a repository of its own.
        kind if kind.is_dir() => 0o160_000,
        _ if metadata.permissions().mode() & 0o100 != 0 => 0o100_755,
        _ => 0o100_644,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read() {
        let ids = "aaa aaa";
        for (line, expected) in [
            (format!("1 .M N... 100644 100644 100755 {ids} p/a b"), Some(("p/a b", true, Some(0o100_755), false))),
            (format!("1 D. N... 100644 000000 000000 {ids} p/z"), Some(("p/z", true, None, false))),
            (format!("1 .M SC.. 160000 160000 160000 {ids} p/s"), Some(("p/s", true, Some(0o160_000), true))),
            (
                format!("u UU N... 100644 100644 100644 100644 {ids} aaa p/u"),
                Some(("p/u", true, Some(0o100_644), false)),
            ),
            ("? p/ü".to_owned(), Some(("p/ü", false, None, false))),
            ("! p/x".to_owned(), None),
            (String::new(), None),
        ] {
            let found = status_line(line.as_bytes(), Path::new("/top"));
            let found = found.as_ref().map(|found| (found.path.as_str(), found.tracked, found.mode, found.submodule));
            assert_eq!(found, expected, "{line}");
        }
    }
}
