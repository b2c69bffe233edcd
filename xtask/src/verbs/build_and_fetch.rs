//! `build-and-fetch`: images built on build hosts, brought here and verified.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Common, Outcome, common};
use crate::console::{Console, size};
use crate::decide::History;
use crate::failure::{self, Problems};
use crate::git::Git;
use crate::host::made::RecordedBy;
use crate::host::run::{self, Done, Ready, Work};
use crate::host::schedule::Job;
use crate::host::stale;
use crate::host::wanted::Wanted;
use crate::image::{name, templates};
use crate::interrupt;
use crate::ssh;
use crate::ssh::{Host, RemoteDir, Ssh};

/// Build images on a host with KVM, fetch them and verify them
///
/// Runs `./build.sh IMAGE` (or `./build IMAGE`) over ssh, with its output here and in a log, then copies the image with scp.
/// What the host would build from is compared first with HEAD, or with `--source`: where it differs nothing is built, and
/// `--sync` sends the right files. build.sh builds nothing when all that an image is made of is as it was at its last build;
/// `--force` makes it. An image appears under its final name when it is complete and has the digest that its checksum file on
/// the host promises. A transfer that was interrupted goes on where it was. Keys, ports and jump hosts come from your own ssh
/// configuration. Ctrl-C ends the build on the host as well.
#[derive(Args)]
pub struct BuildAndFetch {
    /// Images to build [default: all templates]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Build host, as ssh takes it; give it again to spread the images over several hosts
    #[arg(long = "host", value_name = "HOST", required = true, allow_hyphen_values = true)]
    hosts: Vec<String>,
    /// Build what this tag holds [default: HEAD]
    #[arg(long, value_name = "TAG")]
    source: Option<String>,
    /// Send the packer directory to the host, into a folder of its own in place of --remote-dir, and build there: no clone is
    /// needed
    #[arg(long, conflicts_with = "skip_build")]
    sync: bool,
    /// The packer directory on the host; `~` is the login's home
    #[arg(long, value_name = "DIR", default_value = "/usr/local/lib/homestak/packer", allow_hyphen_values = true)]
    remote_dir: String,
    /// Build also what didn't change: for new packages in Debian, or a changed build.sh
    #[arg(long, conflicts_with = "skip_build")]
    force: bool,
    /// Fetch what is there; build nothing
    #[arg(long)]
    skip_build: bool,
    /// Resume a transfer that stands still for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    stall_timeout: u64,
    /// Give a transfer up after so many attempts in a row without headway
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    #[command(flatten)]
    pub common: common::Building,
}

impl BuildAndFetch {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let mut hosts: Vec<Host> = Vec::new();
        for text in &self.hosts {
            let host: Host = text.parse()?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let dir: RemoteDir = if self.sync { stale::SYNCED.parse()? } else { self.remote_dir.parse()? };
        ssh::is_installed()?;
        let packer_dir = common.packer_dir();
        let (wanted, names) = self.wanted(common, console)?;
        let git = Git::at(&packer_dir);
        let archive = if self.sync { Some(wanted.pack()?) } else { None };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();

        interrupt::watch();
        let stall = Duration::from_secs(self.stall_timeout);
        let several = hosts.len() > 1;
        let hosts = hosts.into_iter().map(|host| Ssh { host, stall }).collect();
        let work = Work {
            console,
            dir: &dir,
            wanted: &wanted,
            git: &git,
            archive: archive.as_deref(),
            images: &common.images(),
            logs: &packer_dir.join("logs"),
            attempts: self.attempts,
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
                "log": done.log,
            })
        });
        let images: Vec<_> = images.collect();
        match problems.into_result() {
            Ok(()) => Ok(Outcome::done(json!({ "images": images }))),
            // What is here stays here: it is told beside the error.
            Err(error) if common.json => {
                console.note(format_args!("{} {error:#}", console.red("error:")));
                let fields = json!({ "images": images, "error": format!("{error:#}") });
                Ok(Outcome::exit(failure::kind(&error) as u8, fields))
            }
            Err(error) => Err(error),
        }
    }
}

impl BuildAndFetch {
    /// What is to be built, and which images of it.
    fn wanted(&self, common: &Common, console: &Console) -> anyhow::Result<(Wanted, BTreeSet<String>)> {
        let packer_dir = common.packer_dir();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-');
        if let Some(tag) = self.source.as_ref().filter(|tag| tag.starts_with('-') || !tag.chars().all(plain)) {
            return Err(failure::usage(format!("--source `{}` is no tag's name", tag.escape_debug())));
        }
        let mut history = History::open(&packer_dir)?;
        let wanted = Wanted::find(&mut history, &packer_dir, self.source.as_deref(), &common.remote)?;
        let known = wanted.listing.names();
        if known.is_empty() {
            templates::names(&packer_dir)?;
            return Err(failure::missing(format!(
                "{} has no template in {}; name another directory with --packer-dir, or another tag with --source",
                wanted.what,
                packer_dir.display()
            )));
        }
        let names = templates::choose(&known, &self.names)?;
        names.iter().try_for_each(|name| name::check(name))?;
        if !self.skip_build {
            wanted.check(&mut history, &names)?;
            if !wanted.uncommitted.is_empty() {
                let files: Vec<String> =
                    wanted.uncommitted.iter().map(|path| path.escape_debug().to_string()).collect();
                console.warn(format_args!("not committed, and so not built: {}", files.join(", ")));
            }
        }
        Ok((wanted, names))
    }
}

/// The hosts that can be used. An error if there is none, a warning for each other.
fn usable(
    console: &Console,
    looked: Vec<Result<Ready, (Ssh, crate::ssh::trouble::Fault)>>,
) -> anyhow::Result<Vec<Ready>> {
    interrupt::check()?;
    let mut ready = Vec::new();
    let mut faults = Vec::new();
    for result in looked {
        match result {
            Ok(host) => ready.push(host),
            Err((_, fault)) => faults.push(fault.error),
        }
    }
    if ready.is_empty() {
        let mut problems = Problems::default();
        faults.into_iter().for_each(|error| problems.push(error));
        return problems.into_result().map(|()| ready);
    }
    for error in faults {
        console.warn(format_args!("{error:#}\nthe other hosts do its work"));
    }
    Ok(ready)
}

/// The host where the newest of this name lies; the first one, which will say so, when it lies nowhere.
fn newest(hosts: &[Ready], image: &str) -> Vec<usize> {
    let found =
        hosts.iter().enumerate().filter_map(|(index, host)| Some((host.listing.images.get(image)?.modified, index)));
    vec![found.max_by_key(|(modified, index)| (*modified, usize::MAX - index)).map_or(0, |(_, index)| index)]
}

fn report(console: &Console, done: &BTreeMap<String, Done>) {
    for (name, done) in done {
        let built = match (&done.log, done.built) {
            (None, _) => "",
            (Some(_), true) => "built, ",
            (Some(_), false) if done.recorded_by == RecordedBy::Engine => "unchanged, ",
            (Some(_), false) => "not rebuilt, ",
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
