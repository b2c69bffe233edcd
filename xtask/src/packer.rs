//! Where things are: the packer directory, the images folder, the repository that publishes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::failure::{self, Advice as _, Failure};
use crate::git::{Git, Place, place};
use crate::repo::Repo;
use crate::text::without_logins;

/// What commands that only read ask where no repository is named.
const DEFAULT_REPO: &str = "homestak-dev/packer";

/// The repository asked for, else the remote of a packer directory that is a
/// repository of its own, else the project's: for those who only read.
///
/// # Errors
///
/// Exit code 3 when git refuses to tell the remote, or the repository is unknown.
pub fn repo(asked: Option<&str>, packer_dir: &Path, remote: &str, changes: bool) -> anyhow::Result<Repo> {
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return asked.parse();
    }
    let unnamed = |why: String| {
        if !changes {
            return DEFAULT_REPO.parse();
        }
        Err(failure::missing(format!("the repository to change is unknown: {why}"))
            .fix("name the repository with --repo [HOST/]OWNER/NAME, or set HOMESTAK_PACKER_REPO"))
    };
    let found = remote_of(packer_dir, remote).map_err(|error| {
        let fix = Failure::of(&error).fix.map(|fix| format!("{fix}, or ")).unwrap_or_default();
        error.context("can't tell which repository publishes").fix(format_args!("{fix}name the repository with --repo"))
    });
    match found? {
        None => unnamed(format!("{} is not its own git repository with a remote `{remote}`", packer_dir.display())),
        Some((url, Place::Here)) => unnamed(format!("the remote `{remote}` is a folder on this machine ({url})")),
        Some((_, Place::Repo(repo))) => Ok(repo),
        Some((url, Place::Unknown)) => Err(failure::missing(format!(
            "the remote `{remote}` is {}, which is not the URL of a repository on GitHub",
            without_logins(&url)
        ))
        .fix("name the repository with --repo [HOST/]OWNER/NAME")),
    }
}

/// Where a remote of the packer directory leads, if that is a repository of its own and has the remote.
pub fn remote_of(packer_dir: &Path, remote: &str) -> anyhow::Result<Option<(String, Place)>> {
    let git = Git::at(packer_dir);
    let checkout = if packer_dir.is_dir() { git.checkout()? } else { None };
    if !checkout.is_some_and(|checkout| checkout.is_top()) {
        return Ok(None);
    }
    Ok(git.remote_url(remote)?.map(|url| {
        let place = place(&url);
        (url, place)
    }))
}

/// Names the packer directory, where `--packer-dir` is not given.
pub const VARIABLE: &str = "HOMESTAK_PACKER_DIR";

/// Where a packer directory lies, from the top of the workspace: below it, it itself, or beside it in upstream's layouts.
const USUAL: [&str; 4] = ["packer", ".", "../packer", "../../iac/packer"];

/// `--packer-dir`, else `HOMESTAK_PACKER_DIR`, else the first of the usual places that has `templates/`: from here, else from
/// the top of the workspace, so that the command works from any of its folders.
pub fn packer_dir(asked: Option<&Path>) -> PathBuf {
    let named = asked.map(Path::to_owned).or_else(|| Some(PathBuf::from(std::env::var_os(VARIABLE)?)));
    let named = named.filter(|dir| !dir.as_os_str().is_empty());
    named.or_else(|| usual().into_iter().next()).unwrap_or_else(|| PathBuf::from("packer"))
}

/// A note for a run without `--packer-dir` where several packer directories exist.
pub fn several(asked: Option<&Path>) -> Option<String> {
    let usual = usual();
    let taken = usual.first().filter(|taken| packer_dir(asked) == **taken)?;
    let others: Vec<String> = usual[1..].iter().map(|dir| dir.display().to_string()).collect();
    (asked.is_none() && !others.is_empty()).then(|| {
        let (taken, others) = (taken.display(), others.join(" and "));
        format!(
            "the packer directory is {taken}; {others} has templates/ as well: --packer-dir or {VARIABLE} names another"
        )
    })
}

/// The folders in the usual places that have `templates/`, each once.
fn usual() -> Vec<PathBuf> {
    let here = Path::new(".").canonicalize().ok();
    let top = workspace().filter(|top| top.canonicalize().ok() != here);
    let elsewhere = top.is_some();
    let below = |top: &Path| USUAL.map(|dir| if dir == "." { top.to_owned() } else { top.join(dir) });
    let places = match top {
        Some(top) => [&[PathBuf::from("packer")], &below(&top)[..]].concat(),
        None => USUAL.map(PathBuf::from).to_vec(),
    };
    let mut seen = BTreeSet::new();
    // A folder `packer` in the current directory counts even without templates/.
    let is_meant = |dir: &PathBuf| elsewhere && dir.as_path() == Path::new("packer") && dir.is_dir();
    let found = places.into_iter().filter(|dir| is_meant(dir) || dir.join("templates").is_dir());
    found.filter(|dir| dir.canonicalize().is_ok_and(|dir| seen.insert(dir))).collect()
}

/// The folder above `xtask`, which cargo names at run time.
pub fn workspace() -> Option<PathBuf> {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).parent().map(Path::to_owned)
}
