//! Uploads and downloads of assets, streamed through gh: no temporary file, a progress bar, and an end to an attempt that
//! stalls.

use std::io::{BufRead as _, BufReader, Read, Write};

use xshell::cmd;

use super::gate::{Closed, Gate, Gated};
use super::{Asset, CallError, Gh, Head, Http, Release, judge, no_answer, retry};
use crate::digest::BUFFER;
use crate::failure::{self, Advice as _};
use crate::process;
use crate::process::Patience;
use crate::text::count;

/// An asset to be sent.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    pub release: &'a Release,
    pub name: &'a str,
    pub size: u64,
}

/// An asset to be read, from `start` on.
pub struct Download {
    pub asset: u64,
    /// Bytes to leave out at the beginning.
    pub start: u64,
}

impl Gh {
    /// Sends one asset, once: after a failure somebody must look at the release before trying again. `feed` writes
    /// exactly `upload.size` bytes.
    pub fn upload(
        &self,
        gate: Gate<'_>,
        upload: &Upload<'_>,
        feed: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send,
    ) -> Result<Asset, CallError> {
        let (base, _) = upload.release.upload_url.split_once('{').unwrap_or((&upload.release.upload_url, ""));
        let url = format!("{base}?name={}", upload.name);
        let length = format!("Content-Length: {}", upload.size);
        let kind = format!("Content-Type: {}", content_type(upload.name));
        let host = &self.repo.host;
        let sh = process::shell().map_err(CallError::Local)?;
        let cmd = cmd!(sh, "gh api --include --hostname {host} --method POST -H {kind} -H {length} --input - {url}");
        let closed = Closed::default();
        let feed: process::Feed<'_> =
            Box::new(|pipe| feed(&mut Gated { to: pipe, left: upload.size, gate, closed: &closed }));
        let stall = self.tries.stall();
        // GitHub takes in a large asset for longer than it is silent at any other time.
        let streamed = self.stream(cmd, Patience { stall, answer: stall * 5 }, Some(feed), None)?;
        if let Some(why) = closed.why() {
            return Err(why);
        }
        let what = format!("uploading {}", upload.name);
        match self.heed(judge(&streamed, &self.repo), &what) {
            // An input that could not be read, or turned out to be wrong, is the reason for a broken upload, not its
            // result. A broken pipe is the result: gh ended first.
            Err(CallError::Lost(reason)) => match streamed.fed {
                Err(error) if !is_broken_pipe(&error) => Err(CallError::Local(error)),
                _ => Err(CallError::Lost(reason)),
            },
            Err(error) => Err(error),
            Ok(answer) => match streamed.fed {
                Err(error) => Err(CallError::Local(error)),
                Ok(()) => answer.json(),
            },
        }
    }

    /// Reads an asset once, handing each piece to `take`. An end before the whole is for the caller to see: it knows the
    /// size.
    pub fn download(
        &self,
        download: &Download,
        take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        let url = self.url(&format!("releases/assets/{}", download.asset));
        let range = format!("Range: bytes={}-", download.start);
        let range: &[&str] = if download.start > 0 { &["-H", &range] } else { &[] };
        let wanted = if download.start > 0 { 206 } else { 200 };
        let host = &self.repo.host;
        let sh = process::shell().map_err(CallError::Local)?;
        let cmd = cmd!(sh, "gh api --include --hostname {host} -H 'Accept: application/octet-stream' {range...} {url}");
        let mut refusal = None;
        // Nothing is handed over here: from the start to the end it is bytes that are waited for.
        let stall = self.tries.stall();
        let streamed = self.stream(
            cmd,
            Patience { stall, answer: stall },
            None,
            Some(Box::new(|pipe| drain_asset(pipe, wanted, take, &mut refusal))),
        )?;
        match (refusal, &streamed.drained) {
            (Some(Refused::Page), _) => Err(CallError::Lost("a web page came in place of the asset".to_owned())),
            (Some(Refused::Http(http)), _) => self.heed(Err(CallError::Http(http)), "reading an asset"),
            (None, Ok(())) if streamed.finished.status.success() && streamed.cut.is_none() => Ok(()),
            (None, Ok(())) => Err(no_answer(&streamed, &self.repo)),
            (None, Err(_)) => Err(streamed.drained.map_err(CallError::Local).err().unwrap_or(CallError::Interrupted)),
        }
    }

    /// Reads a small asset: the manifest, a checksum file.
    pub fn read_asset(&self, asset: &Asset) -> Result<Vec<u8>, CallError> {
        if asset.size > SMALL {
            let (name, size) = (&asset.name, asset.size);
            let large = failure::failed(format!("asset {name} has {size} bytes, more than the {SMALL} of its kind"));
            return Err(CallError::Local(large.fix("remove it from the release")));
        }
        let mut bytes = Vec::new();
        self.read_from(asset, 0, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads an asset from byte `start` to its end, resuming where an attempt was interrupted. Attempts that moved [`PROGRESS`]
    /// bytes don't count as failed attempts.
    pub fn read_from(
        &self,
        asset: &Asset,
        start: u64,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        let what = format!("reading {}", asset.name);
        let mut at = start;
        let mut backoff = retry::Backoff::new(self.tries.attempts, self.heed_signals);
        while at < asset.size {
            let began = at;
            let result = self.download(&Download { asset: asset.id, start: at }, |bytes| {
                at += bytes.len() as u64;
                anyhow::ensure!(
                    at <= asset.size,
                    "{} is longer than the {} that GitHub reports",
                    asset.name,
                    count(asset.size, "byte")
                );
                take(bytes)
            });
            let error = match result {
                Ok(()) if at == asset.size => return Ok(()),
                Ok(()) => CallError::Lost(format!("only {at} of {} arrived", count(asset.size, "byte"))),
                Err(error) => error,
            };
            if at - began >= PROGRESS {
                backoff = retry::Backoff::new(self.tries.attempts, self.heed_signals);
            }
            backoff.wait(&self.console, &what, error)?;
        }
        Ok(())
    }
}

/// Bytes that make an attempt worth another one.
const PROGRESS: u64 = 64 << 10;

/// More than a manifest of a thousand parts has.
pub const SMALL: u64 = 1 << 20;

/// What came in place of an asset.
enum Refused {
    Http(Http),
    /// Of a proxy.
    Page,
}

/// Reads the head of an answer, then hands on its body; a body that comes with another status than `wanted` is GitHub's
/// reason and not the asset.
fn drain_asset(
    pipe: &mut dyn Read,
    wanted: u16,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    refusal: &mut Option<Refused>,
) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(BUFFER, pipe);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    match Head::parse(&head) {
        Some(head) if head.status != wanted => {
            let mut body = Vec::new();
            reader.take(SMALL).read_to_end(&mut body)?;
            *refusal = Some(Refused::Http(Http::new(&head, &body)));
            Ok(())
        }
        Some(head) if head.is_page() => {
            *refusal = Some(Refused::Page);
            Ok(())
        }
        _ => loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            take(piece)?;
            let used = piece.len();
            reader.consume(used);
        },
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "sha256")) => "text/plain",
        Some((_, "json")) => "application/json",
        _ => "application/octet-stream",
    }
}
