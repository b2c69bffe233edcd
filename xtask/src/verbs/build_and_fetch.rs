//! `build-and-fetch`: builds images on build hosts, fetches and verifies them.
//!
//! Only images of HEAD or of `--source` are built, and an image appears here whole and verified or not at all. The steps are in
//! [`crate::host`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _, Problems};
use crate::git::Git;
use crate::host::made::RecordedBy;
use crate::host::run::{self, Done, Ready, Work};
use crate::host::schedule::Job;
use crate::host::wanted::Wanted;
use crate::image::{name, selection};
use crate::interrupt;
use crate::sources::{History, templates};
use crate::ssh;
use crate::ssh::Ssh;
use crate::ssh::trouble::Fault;
use crate::text::{seconds, size};

/// Build images on a host with KVM, fetch them and verify them
///
/// Runs `./build.sh IMAGE` (or `./build IMAGE`) on the host over ssh, shows its output and keeps it in a log, then copies the image
/// with scp. The host's files are compared with HEAD or `--source` first: if they differ, nothing is built, and `--sync` sends the
/// right files. build.sh skips an image whose inputs haven't changed since its last build, unless you give `--force`. An image gets
/// its final name here when it is complete and matches its checksum file on the host. An interrupted transfer resumes. Keys, ports
/// and jump hosts come from your ssh configuration. Ctrl-C also ends the build on the host.
#[derive(Args)]
pub struct BuildAndFetch {
    /// Images to build [default: all templates]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    #[command(flatten)]
    build: common::Build,
    /// Version tag to build [default: HEAD]
    #[arg(long, value_name = "TAG")]
    source: Option<String>,
    /// Build even if nothing changed: for new packages in Debian, or a changed build.sh
    #[arg(long, conflicts_with = "skip_build")]
    force: bool,
    /// Fetch the images that are on the host, without a build
    #[arg(long, conflicts_with = "sync")]
    skip_build: bool,
    /// Restart a transfer that stalls for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    stall_timeout: u64,
    #[command(flatten)]
    pub common: common::Building,
}

impl BuildAndFetch {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let hosts = self.build.hosts()?;
        if hosts.is_empty() {
            return Err(failure::usage("no build host is named").fix("give --host HOST, or set HOMESTAK_BUILD_HOST"));
        }
        let folder = self.build.folder()?;
        ssh::is_installed()?;
        let packer_dir = common.packer_dir();
        let (wanted, names) = self.wanted(common, console)?;
        let git = Git::at(&packer_dir);
        let archive = if self.build.sync { Some(wanted.pack()?) } else { None };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();

        interrupt::watch();
        let stall = Duration::from_secs(self.stall_timeout);
        let several = hosts.len() > 1;
        let hosts = hosts.into_iter().map(|host| Ssh { host, stall }).collect();
        let work = Work {
            console,
            folder: &folder,
            wanted: &wanted,
            git: &git,
            archive: archive.as_deref(),
            images: &common.images(),
            logs: &packer_dir.join("logs"),
            skip_build: self.skip_build,
            force: self.force,
            several,
        };
        let ready = usable(console, run::look(&work, hosts, &names))?;
        let jobs = names.iter().map(|name| Job::new(*name, self.skip_build.then(|| newest(&ready, name)))).collect();
        let (done, problems) = run::run(&work, &ready, jobs);
        report(console, &done);
        let images = done.iter().map(|(name, done)| {
            json!({
                "name": name,
                "host": done.host,
                "built": done.built,
                "recorded_by": done.recorded_by.word(),
                "fetched": done.fetched.bytes,
                "skipped": done.fetched.already,
                "sha256": done.fetched.sha256,
                "log": done.log.as_ref().map(|(path, _)| path),
            })
        });
        let images: Vec<_> = images.collect();
        match problems.into_result() {
            Ok(()) => Ok(Outcome::done(json!({ "images": images }))),
            // Images that arrived stay here: they are reported beside the error.
            Err(error) => Ok(Outcome::failed(error, json!({ "images": images }))),
        }
    }
}

impl BuildAndFetch {
    /// What is to be built, and which images of it.
    fn wanted(&self, common: &Common, console: &Console) -> anyhow::Result<(Wanted, BTreeSet<String>)> {
        let packer_dir = common.packer_dir();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-');
        if let Some(tag) = self.source.as_ref().filter(|tag| tag.starts_with('-') || !tag.chars().all(plain)) {
            return Err(failure::usage(format!("--source `{}` is not a tag name", tag.escape_debug())));
        }
        let mut history = History::open(&packer_dir)?;
        let wanted = Wanted::find(&mut history, &packer_dir, self.source.as_deref(), &common.remote)?;
        let known = wanted.listing.names();
        if known.is_empty() {
            templates::names(&packer_dir)?;
            let error = failure::missing(format!("{} has no template in {}", wanted.what, packer_dir.display()));
            return Err(error.fix("name another directory with --packer-dir, or another tag with --source"));
        }
        let names = selection::choose(&known, &self.names)?;
        names.iter().try_for_each(|name| name::check(name))?;
        if !self.skip_build {
            wanted.check(&mut history, &names)?;
            if !wanted.uncommitted.is_empty() {
                let files: Vec<String> =
                    wanted.uncommitted.iter().map(|path| path.escape_debug().to_string()).collect();
                console.warn(format_args!("uncommitted changes are not built: {}", files.join(", ")));
            }
        }
        Ok((wanted, names))
    }
}

/// The hosts that can be used. An error if there is none, a warning for each other.
fn usable(console: &Console, looked: Vec<Result<Ready, Fault>>) -> anyhow::Result<Vec<Ready>> {
    interrupt::check()?;
    let mut ready = Vec::new();
    let mut faults = Vec::new();
    for result in looked {
        match result {
            Ok(host) => ready.push(host),
            Err(fault) => faults.push(fault.error),
        }
    }
    if ready.is_empty() {
        let mut problems = Problems::default();
        faults.into_iter().for_each(|error| problems.push(error));
        return problems.into_result().map(|()| ready);
    }
    for error in faults {
        console.warn(format_args!("{error:#}\nthe other hosts build its images"));
    }
    Ok(ready)
}

/// The host with the newest image of this name; the first host, which will report it missing, when no host has it.
fn newest(hosts: &[Ready], image: &str) -> Vec<usize> {
    let found =
        hosts.iter().enumerate().filter_map(|(index, host)| Some((host.listing.images.get(image)?.modified, index)));
    vec![found.max_by_key(|(modified, index)| (*modified, usize::MAX - index)).map_or(0, |(_, index)| index)]
}

fn report(console: &Console, done: &BTreeMap<String, Done>) {
    for (name, done) in done {
        let built = match (&done.log, done.built) {
            (None, _) => String::new(),
            (Some((_, took)), true) => format!("built in {}, ", seconds(*took)),
            (Some(_), false) if done.recorded_by == RecordedBy::Engine => "unchanged, ".to_owned(),
            (Some(_), false) => "not rebuilt, ".to_owned(),
        };
        let host = &done.host;
        let fetched = if done.fetched.already {
            format!("already here, verified against {host}")
        } else {
            format!("{} fetched from {host}, verified", size(done.fetched.bytes))
        };
        console.line(format_args!("{}: {built}{fetched}", console.green(name)));
    }
}
