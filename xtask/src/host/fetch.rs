//! Brings an image here: by scp, resumed with `tail -c +N` where it was cut, verified at the end, always.

use std::io::Write as _;
use std::path::Path;

use super::Voice;
use super::listing::{self, Remote};
use super::packages;
use super::partial::{Partial, Source};
use super::place::{self, Place};
use crate::backoff;
use crate::console::{Transfer, count, size};
use crate::failure::{self, Failure};
use crate::image::digest::Digest;
use crate::image::{durable, qcow2};
use crate::interrupt;
use crate::ssh::trouble::{Blame, Fault};
use crate::ssh::{RemoteDir, Ssh};

/// An attempt that brings less than this counts against `--attempts`; one that brings more begins the count anew.
const HEADWAY: u64 = 1 << 20;

/// What it takes to fetch.
pub struct Fetch<'a> {
    pub ssh: &'a Ssh,
    pub voice: &'a Voice<'a>,
    pub dir: &'a RemoteDir,
    pub image: &'a str,
    pub images: &'a Path,
    /// How often in a row without headway.
    pub attempts: u32,
}

/// How the bytes of a file came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    InOnePiece,
    InPieces,
    /// More than the host listed: it is another file now.
    TooMuch,
}

/// An image that is here now.
pub struct Fetched {
    pub sha256: Digest,
    /// Bytes that came over the line.
    pub bytes: u64,
    /// It was here before.
    pub already: bool,
}

impl Fetch<'_> {
    /// # Errors
    ///
    /// Exit code 3: no checksum file on the host, or no room here. 4: the bytes aren't those promised. Nothing appears
    /// under the final name then, and what was there stays.
    pub fn run(&self, remote: &Remote) -> Result<Fetched, Fault> {
        interrupt::check()?;
        let Self { ssh, voice, dir, image, .. } = self;
        let mut remote = remote.clone();
        let mut promised = remote.promised(&ssh.host, image)?;
        let place = Place::find(self.images, image)?;
        if place.has(voice, remote.size, promised)? {
            packages::fetch(ssh, self.dir, image, &place.dir, &remote, promised)?;
            place.refresh(voice, promised, &remote)?;
            // What an interrupted run left is of no use any more.
            if let Ok(partial) = Partial::open(&place.dir, image) {
                partial.clear()?;
                partial.end();
            }
            return Ok(Fetched { sha256: promised, bytes: 0, already: true });
        }
        let mut partial = Partial::open(&place.dir, image)?;
        let mut bytes = 0;
        // How often in a row what came wasn't what the host promised.
        let mut wrong = 0;
        loop {
            let source = Source { size: remote.size, stamp: remote.stamp.clone(), sha256: promised };
            let here = partial.begin(&source)?;
            durable::check_room(&place.dir, image, source.size - here)?;
            if here > 0 {
                voice.note(format_args!("going on at {} of {}", size(here), size(source.size)));
            }
            let came =
                self.transfer(&remote, &partial, &source, &mut bytes).inspect_err(|_| partial.forget_if_empty())?;
            let found = if came == Came::TooMuch { None } else { Some(place::hashed(voice, &partial.path)?) };
            if found == Some(promised) {
                break;
            }
            partial.clear()?;
            wrong += 1;
            let host = &ssh.host;
            let mut listing = listing::ask(ssh, dir, &[image])?;
            listing.image(host, image)?;
            let now = listing.images.remove(*image);
            let changed = now.as_ref() != Some(&remote);
            let whole = came == Came::InOnePiece && here == 0;
            if wrong >= self.attempts.max(2) || whole && !changed {
                partial.forget_if_empty();
                return Err(Fault::image(match found {
                    Some(found) if !changed => failure::digest(format!(
                        "image {image} on {host} has digest {found}, but its checksum file there promises {promised}; \
                         build it anew with `--force`"
                    )),
                    _ => failure::failed(format!(
                        "image {image} on {host} changes while it is fetched: of {} as listed, more or others came; \
                         let what writes it there end, then try again",
                        count(source.size, "byte")
                    )),
                }));
            }
            voice.warn(if changed {
                "the image changed on the host meanwhile; fetching it anew"
            } else {
                "the bytes of the interrupted transfer don't fit; fetching the image whole"
            });
            if let Some(now) = now {
                promised = now.promised(host, image)?;
                remote = now;
            }
        }
        if let Err(error) = qcow2::check(&partial.path) {
            partial.clear()?;
            partial.end();
            let host = &ssh.host;
            return Err(Fault::image(
                error.context(format!("image {image} on {host} is no good, although its checksum fits")),
            ));
        }
        packages::fetch(ssh, self.dir, image, &place.dir, &remote, promised)?;
        place.install(voice, partial, promised, &remote)?;
        Ok(Fetched { sha256: promised, bytes, already: false })
    }

    /// Fills the partial up to the source's size, or sees that more would come.
    fn transfer(&self, remote: &Remote, partial: &Partial, source: &Source, bytes: &mut u64) -> Result<Came, Fault> {
        let files: Vec<String> = remote.files.iter().map(|file| format!("{}/{file}", self.dir)).collect();
        let mut came = Came::InOnePiece;
        let mut failures = 0;
        let mut scp = true;
        let bar = self.voice.transfer("fetching", source.size);
        loop {
            let before = partial.len();
            bar.restart_at(before);
            if before == source.size && before > 0 {
                bar.finish("done");
                return Ok(came);
            }
            // Parts are joined on the host, which is nothing for scp.
            let by_scp = if let [file] = &files[..] { Some(file).filter(|_| scp && before == 0) } else { None };
            let result = match by_scp {
                Some(file) => self.copy(file, partial, source, &bar),
                None => self.tail(&files, partial, source, before, &bar),
            };
            let after = partial.len();
            *bytes += after.saturating_sub(before);
            if after > source.size {
                return Ok(Came::TooMuch);
            }
            let fault = match result {
                Ok(()) if after == source.size => continue,
                Ok(()) => Fault::line(failure::failed(format!(
                    "{} of {} of image {} came from {}; it may be changing there",
                    after,
                    count(source.size, "byte"),
                    self.image,
                    self.ssh.host
                ))),
                Err(fault) => fault,
            };
            came = Came::InPieces;
            // A host without sftp, or with a login that isn't silent, has no scp; the rest, and that can be all, comes
            // by tail.
            if by_scp.is_some() && after == 0 && fault.blame == Blame::Line && interrupt::seen().is_none() {
                scp = false;
                self.voice.warn(format_args!("{:#}\ngoing on without scp", fault.error));
                continue;
            }
            failures = if after.saturating_sub(before) >= HEADWAY { 1 } else { failures + 1 };
            if fault.blame != Blame::Line || failures >= self.attempts {
                return Err(self.explain(fault, partial, source));
            }
            let wait = backoff::delay(failures);
            self.voice.warn(format_args!("{:#}; going on in {}", fault.error, crate::console::seconds(wait)));
            backoff::pause(wait)?;
        }
    }

    fn copy(&self, from: &str, partial: &Partial, source: &Source, bar: &Transfer) -> Result<(), Fault> {
        let mut shown = 0;
        self.ssh.copy(from, &partial.path, || {
            let now = partial.len();
            bar.moved(now.saturating_sub(shown));
            shown = now.max(shown);
            (now <= source.size).then_some(now)
        })
    }

    fn tail(
        &self,
        files: &[String],
        partial: &Partial,
        source: &Source,
        before: u64,
        bar: &Transfer,
    ) -> Result<(), Fault> {
        let mut file = partial.append()?;
        let path = &partial.path;
        let mut here = before;
        let take = move |bytes: &[u8]| {
            file.write_all(bytes).map_err(|error| durable::write_error(path, error))?;
            bar.moved(bytes.len() as u64);
            here += bytes.len() as u64;
            // What is too much is seen by the partial's length.
            if here > source.size { Err(failure::failed("more came than the host listed")) } else { Ok(()) }
        };
        self.ssh.tail(files, before, take)
    }

    /// Adds what is here of the image, and that the next run goes on with it.
    fn explain(&self, fault: Fault, partial: &Partial, source: &Source) -> Fault {
        if partial.len() == 0 {
            return fault;
        }
        let (here, whole) = (size(partial.len()), size(source.size));
        let message = format!(
            "{:#}\n{here} of {whole} of image {} are here; the next run goes on from there",
            fault.error, self.image
        );
        let kind = failure::kind(&fault.error);
        Fault { blame: fault.blame, error: Failure::error(kind, message) }
    }
}
