//! Where the packer directory is on a build host: where `--remote-dir` says, else the first of the usual places.
//!
//! A host is asked once, with one connection. [`super::run`] and [`super::doctor`] use this.

use std::str::FromStr;

use crate::failure::{self, Advice as _};
use crate::ssh::trouble::Fault;
use crate::ssh::{RemoteDir, Ssh};

/// The usual places, in the order in which they are tried. Upstream's bootstrap used the second one up to v0.51.
pub const USUAL: [&str; 3] = ["~/iac/packer", "/usr/local/lib/homestak/packer", "~/packer"];

/// What gives a host a packer directory.
pub const FIX: &str =
    "build with --sync, which sends the packer directory; or install it there, or name it with --remote-dir";

/// The packer directory, which each host may have in another place.
#[derive(Debug, Clone)]
pub enum PackerDir {
    Named(RemoteDir),
    /// The first of the usual places that is there.
    Usual,
}

/// `--remote-dir`
impl FromStr for PackerDir {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        text.parse().map(Self::Named)
    }
}

impl PackerDir {
    /// Where it is on this host, or is not.
    ///
    /// # Errors
    ///
    /// Exit code 3 when it is in none of the usual places.
    pub fn on(&self, ssh: &Ssh) -> Result<RemoteDir, Fault> {
        self.find(ssh)?.ok_or_else(|| {
            let places = USUAL.join(", ");
            let host = &ssh.host;
            Fault::host(failure::missing(format!("{host} has no packer directory ({places})")).fix(FIX))
        })
    }

    /// Where it is on this host; asks the host unless `--remote-dir` names the place.
    pub fn find(&self, ssh: &Ssh) -> Result<Option<RemoteDir>, Fault> {
        const SCRIPT: &str = "for dir; do\nif [ -d \"$dir\" ]; then printf %s \"$dir\"; break; fi\ndone\n";
        if let Self::Named(dir) = self {
            return Ok(Some(dir.clone()));
        }
        let usual = USUAL.map(|dir| dir.trim_start_matches("~/"));
        let answer = ssh.script(SCRIPT, &usual)?;
        let found = usual.into_iter().find(|dir| answer == dir.as_bytes());
        Ok(found.and_then(|dir| dir.parse().ok()))
    }
}
