//! Brings an image here: by scp first, and by `tail` over ssh where a transfer broke or scp doesn't work.
//!
//! Both write into one hidden file, which becomes the image when its digest is the one that the host's checksum file
//! promises; a transfer that was interrupted goes on there. [`super::run`] calls this after each build.

use std::path::Path;

use super::Voice;
use super::listing::{self, Remote};
use super::lists;
use super::place::Place;
use crate::backoff;
use crate::console::Transfer;
use crate::digest::Digest;
use crate::failure::{self, Advice as _, Kind};
use crate::image::arriving::{Arriving, Verified};
use crate::image::durable;
use crate::interrupt;
use crate::ssh::trouble::{Blame, Fault};
use crate::ssh::{RemoteDir, Ssh};
use crate::testing;
use crate::text::{seconds, size};

/// An attempt that brings less than this many bytes is a failed attempt; one that brings more resets the count.
const PROGRESS: u64 = 1 << 20;
/// An image is given up when its bytes were wrong this many times.
const WRONG: u32 = 3;

/// One image to fetch from one host.
pub struct Fetch<'a> {
    pub ssh: &'a Ssh,
    pub voice: &'a Voice<'a>,
    pub dir: &'a RemoteDir,
    pub image: &'a str,
    pub images: &'a Path,
}

/// An image that is here now.
pub struct Fetched {
    pub sha256: Digest,
    /// Bytes that came over the line.
    pub bytes: u64,
    /// The image was here before.
    pub already: bool,
}

impl Fetch<'_> {
    /// # Errors
    ///
    /// Exit code 3: no checksum file on the host, or no room here. 4: the bytes aren't those promised. Nothing appears
    /// under the final name then, and what was there stays.
    pub fn run(&self, remote: &Remote) -> Result<Fetched, Fault> {
        interrupt::check()?;
        let sha256 = remote.promised(&self.ssh.host, self.image)?;
        let place = Place::find(self.images, self.image)?;
        if place.has(self.voice, remote.size, sha256)? {
            lists::fetch(self.ssh, self.dir, self.image, &place.dir, remote, sha256)?;
            place.describe(self.voice, sha256, remote, false)?;
            return Ok(Fetched { sha256, bytes: 0, already: true });
        }
        let mut bytes = 0;
        let (image, remote) = self.bytes(&place, remote.clone(), &mut bytes)?;
        let sha256 = remote.promised(&self.ssh.host, self.image)?;
        lists::fetch(self.ssh, self.dir, self.image, &place.dir, &remote, sha256)?;
        image.finish()?;
        place.describe(self.voice, sha256, &remote, true)?;
        Ok(Fetched { sha256, bytes, already: false })
    }

    /// The image's bytes, verified, and what the host said of them. `bytes` counts what came over the line.
    fn bytes(&self, place: &Place, mut remote: Remote, bytes: &mut u64) -> Result<(Verified, Remote), Fault> {
        let Self { ssh, voice, dir, image, .. } = self;
        let host = &ssh.host;
        let mut wrong = 0;
        loop {
            let promised = remote.promised(host, image)?;
            let mut arriving = Arriving::open(&place.path(), remote.size, promised, |_| {})?;
            let resumed = arriving.at() > 0;
            durable::check_room(&place.dir, image, remote.size - arriving.at())?;
            if resumed {
                voice.note(format_args!("resuming at {} of {}", size(arriving.at()), size(remote.size)));
            }
            let pieces = self.transfer(&remote, &mut arriving, bytes)?;
            let (here, found) = (arriving.at(), arriving.digest());
            if here == remote.size && found == promised {
                let verified = arriving.verified();
                let bad = |error: anyhow::Error| error.context(format!("image {image} on {host}"));
                return Ok((verified.map_err(|error| Fault::image(bad(error)))?, remote));
            }
            let mut listing = listing::ask(ssh, dir, &[image])?;
            listing.image(host, image)?;
            let Some(now) = listing.images.remove(*image) else {
                arriving.restart()?;
                let removed = failure::failed(format!("image {image} was removed on {host} while it was fetched"));
                return Err(Fault::image(removed.fix("build the image there again")));
            };
            let (changed, short) = (now != remote, here < remote.size);
            if changed || !short {
                arriving.restart()?;
            }
            wrong += 1;
            // The host's own file is wrong: another attempt would bring the same bytes.
            let damaged = !changed && here == remote.size && !pieces && !resumed;
            if damaged || wrong >= WRONG {
                return Err(Fault::image(if !changed && here == remote.size {
                    failure::digest(format!(
                        "image {image} on {host} has digest {found}, but its checksum file there says {promised}"
                    ))
                    .fix("build it again with `--force`")
                } else {
                    failure::failed(format!("image {image} on {host} changed while it was fetched"))
                        .fix("wait until the program that writes the image there has ended, then try again")
                }));
            }
            voice.warn(if changed {
                "the image changed on the host during the transfer; fetching it again"
            } else if short {
                "the transfer ended early; fetching the rest"
            } else {
                "the bytes of the interrupted transfer don't match the checksum; fetching the whole image again"
            });
            remote = now;
        }
    }

    /// Fetches until the host has no more bytes, or too many came. `true` when that took more than one connection.
    fn transfer(&self, remote: &Remote, arriving: &mut Arriving, bytes: &mut u64) -> Result<bool, Fault> {
        let files: Vec<String> = remote.files.iter().map(|file| format!("{}/{file}", self.dir)).collect();
        // Parts are joined on the host, which scp can't do.
        let (mut pieces, mut failures, mut scp) = (false, 0, files.len() == 1);
        let bar = self.voice.transfer("fetching", remote.size);
        loop {
            let before = arriving.at();
            bar.restart_at(before);
            if before == remote.size && before > 0 {
                bar.finish("done");
                return Ok(pieces);
            }
            let by_scp = scp && before == 0;
            let result = if by_scp {
                self.copy(&files[0], arriving, remote.size, &bar)
            } else {
                self.tail(&files, arriving, remote.size, &bar)
            };
            let came = arriving.at().saturating_sub(before);
            *bytes += came;
            let Err(fault) = result else {
                if arriving.at() == remote.size {
                    continue;
                }
                return Ok(pieces);
            };
            if arriving.at() > remote.size {
                return Ok(pieces);
            }
            pieces = true;
            // scp fails where there is no sftp, where a login script prints, and where sftp starts in another folder. `tail`
            // needs none of it, and sees the files that the listing saw.
            if by_scp && came == 0 && fault.blame != Blame::Here && fault.blame != Blame::Host {
                scp = false;
                self.voice.warn(format_args!("{:#}\ncontinuing without scp", fault.error));
                continue;
            }
            failures = if came >= PROGRESS { 1 } else { failures + 1 };
            if fault.blame != Blame::Line || failures >= testing::attempts() {
                return Err(stopped(self.image, fault, arriving.size()?, remote.size));
            }
            let wait = backoff::delay(failures);
            self.voice.warn(format_args!("{:#}; resuming in {}", fault.error, seconds(wait)));
            backoff::pause(wait)?;
        }
    }

    fn copy(&self, from: &str, arriving: &mut Arriving, most: u64, bar: &Transfer) -> Result<(), Fault> {
        let mut shown = 0;
        let copied = self.ssh.copy(from, arriving.hidden(), || {
            let now = arriving.size().ok()?;
            bar.moved(now.saturating_sub(shown));
            shown = now.max(shown);
            (now <= most).then_some(now)
        });
        // scp may write out of order: its bytes are hashed when it has ended.
        let bar = self.voice.transfer("verifying", arriving.size()?);
        let hashed = arriving.catch_up(|more| bar.moved(more));
        match copied {
            Err(fault) if hashed.is_ok() || fault.blame == Blame::Here => Err(fault),
            _ => Ok(hashed?),
        }
    }

    fn tail(&self, files: &[String], arriving: &mut Arriving, most: u64, bar: &Transfer) -> Result<(), Fault> {
        let from = arriving.at();
        let take = |bytes: &[u8]| {
            arriving.write(bytes)?;
            bar.moved(bytes.len() as u64);
            if arriving.at() > most { Err(failure::failed("the host sent more bytes than it listed")) } else { Ok(()) }
        };
        self.ssh.tail(files, from, take)
    }
}

/// Says how much of the image is here. The next run continues there; that is the fix only where nothing else needs one.
fn stopped(image: &str, fault: Fault, here: u64, whole: u64) -> Fault {
    if here == 0 {
        return fault;
    }
    let Fault { blame, error } = fault;
    let error = error.context(format!("fetching {image} stopped at {} of {}", size(here), size(whole)));
    let again = blame == Blame::Line || failure::kind(&error) == Kind::Interrupted;
    let error = if again { error.fix("run the same command again: it resumes there") } else { error };
    Fault { blame, error }
}
