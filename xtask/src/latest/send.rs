//! Puts assets onto the draft. An image is read once: the pass that feeds the upload also gives the part's digest and
//! the whole's. A retry reads its range again from a saved hash state.

use std::io::{Read as _, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::console::{Transfer, count};
use crate::failure;
use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::image::local::Bytes;
use crate::image::{checksum, hash, name};
use crate::manifest::{self, Part};

use super::doors::Doors;
use super::files::File;
use super::naming;
use super::set::{Origin, Piece, Set, SetImage};
use super::stage::Stage;
use super::stock::{self, Found, Stock};

/// Sends what is not there yet: images side by side, the pieces of one image in order.
pub(super) fn images(stage: &Stage<'_>, set: &Set, stock: &Stock, jobs: usize) -> anyhow::Result<Vec<manifest::Image>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(image) = set.images.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = stage.held.check().and_then(|()| send_image(stage, image, stock));
            if result.is_err() {
                // The others finish what they began, and begin nothing more.
                next.store(set.images.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    stage.held.outside().side_by_side(jobs.clamp(1, set.images.len().max(1)), &work);
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}

/// Has a small file there.
pub(super) fn small(stage: &Stage<'_>, file: &File, stock: &Stock) -> anyhow::Result<()> {
    let Part { file: name, size, sha256 } = &file.part;
    if let Some(asset) = stock.file(name, *size, *sha256) {
        stage.place(name, asset.id);
        return Ok(());
    }
    let piece = Piece { file: name.clone(), range: 0..*size, sha256: Some(*sha256) };
    let staged = naming::new_name(*sha256, name);
    let source = Source::Memory(&file.bytes);
    let (before, after) = (Sha256::new(), Some((*sha256, Sha256::new())));
    let mut piece = Placing { stage, piece: &piece, staged, source, before, after };
    piece.place(None, stock, None).map(drop).with_context(|| format!("sending {name}"))
}

fn send_image(stage: &Stage<'_>, image: &SetImage, stock: &Stock) -> anyhow::Result<manifest::Image> {
    let bar = stage.held.outside().transfer(name::whole(&image.name), image.size);
    let result = send_pieces(stage, image, stock, &bar);
    match &result {
        Ok((_, 0)) => bar.finish("kept"),
        Ok((_, sent)) => bar.finish(&format!("{sent} of {} sent", count(image.pieces.len(), "asset"))),
        Err(_) => drop(bar),
    }
    let (digests, _) = result?;
    let line = checksum::line(&image.name, image.sha256).into_bytes();
    small(stage, &File::new(name::checksum(&image.name), line), stock)?;
    if let Some(packages) = &image.facts.packages {
        let listed = &packages.listed;
        match stock.file(&listed.file, listed.size, listed.sha256) {
            Some(asset) => stage.place(&listed.file, asset.id),
            None => {
                let bytes = packages.read(|asset| stage.held.read_asset(asset))?;
                small(stage, &File::new(&listed.file, bytes), stock)?;
            }
        }
    }
    Ok(image.to_manifest(&digests))
}

/// The digest of each piece, and how many were sent.
fn send_pieces(
    stage: &Stage<'_>,
    image: &SetImage,
    stock: &Stock,
    bar: &Transfer,
) -> anyhow::Result<(Vec<Digest>, usize)> {
    let mut whole = Sha256::new();
    let mut digests = Vec::new();
    let (mut sent, mut unread) = (0, false);
    for (index, piece) in image.pieces.iter().enumerate() {
        let found = stock.piece(image, index);
        // What vouches for the pieces vouches for the whole: nothing need be fetched to hash it.
        if let (Some(Found::Right(asset)), true) = (found, image.is_vouched())
            && let Some(digest) = asset.digest().filter(|digest| stock::known_digest(image, piece) == Some(*digest))
        {
            stage.place(&piece.file, asset.id);
            digests.push(digest);
            unread = true;
            bar.restart_at(piece.range.end);
            continue;
        }
        let source = match &image.origin {
            Origin::Local(bytes) => Source::File(bytes),
            Origin::Memory(bytes) => Source::Memory(within(bytes, &piece.range)),
            Origin::Assets { assets, .. } => Source::Asset(&assets[index]),
        };
        let staged = naming::new_name(stock::hint(image, piece), &piece.file);
        let mut placing = Placing { stage, piece, staged, source, before: whole, after: None };
        let placed = placing.place(found.map(Found::asset), stock, Some(bar));
        let placed = placed.with_context(|| format!("sending {}", piece.file))?;
        sent += usize::from(placed.sent);
        digests.push(placed.digest);
        whole = placed.whole;
    }
    if unread {
        return Ok((digests, sent));
    }
    let whole = Digest::from_hash(whole);
    if whole != image.sha256 {
        let from = match &image.origin {
            Origin::Local(bytes) => bytes.paths().next().map(|path| path.display().to_string()).unwrap_or_default(),
            Origin::Memory(_) => name::whole(&image.name),
            Origin::Assets { from, .. } => format!("{} on release {from}", name::whole(&image.name)),
        };
        return Err(failure::digest(format!(
            "{from} has sha256 {whole}, its checksum file says {}; fetch or build it again",
            image.sha256
        )));
    }
    Ok((digests, sent))
}

/// Where a piece's bytes are read from.
#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a Bytes),
    Asset(&'a Asset),
    Memory(&'a [u8]),
}

struct Placed {
    digest: Digest,
    /// The state of the image's hash after this piece.
    whole: Sha256,
    sent: bool,
}

/// One piece on its way to the draft.
struct Placing<'a> {
    stage: &'a Stage<'a>,
    piece: &'a Piece,
    /// What it is called on its way.
    staged: String,
    source: Source<'a>,
    /// The state of the image's hash before this piece.
    before: Sha256,
    /// The piece's digest and the state behind it, once all of it was read.
    after: Option<(Digest, Sha256)>,
}

impl Placing<'_> {
    /// Keeps what is right, removes what stands in the way, sends what is missing.
    fn place(&mut self, found: Option<&Asset>, stock: &Stock, bar: Option<&Transfer>) -> anyhow::Result<Placed> {
        let stage = self.stage;
        let mut backoff = stage.held.backoff();
        let in_the_way = stock.assets.iter().find(|asset| asset.name == self.staged);
        let also = found.filter(|found| in_the_way.is_none_or(|other| other.id != found.id));
        // The last is looked at first.
        let mut there: Vec<Asset> = in_the_way.into_iter().chain(also).cloned().collect();
        let mut sent = false;
        loop {
            while let Some(asset) = there.pop() {
                match self.why_not(&asset, bar)? {
                    None => return self.placed(&asset, sent, bar),
                    Some(why) => stage.remove(&asset, &why)?,
                }
            }
            let result: Result<(), CallError> = match self.send(bar)? {
                Ok(asset) => match self.why_not(&asset, bar)? {
                    None => return self.placed(&asset, true, bar),
                    Some(why) => {
                        stage.remove(&asset, &why)?;
                        Err(CallError::Lost(why))
                    }
                },
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                backoff.wait_for(&self.piece.file, error, |error| error.name_taken() || stage.may_be_late(error))?;
                sent = true;
                // The upload may have been completed all the same, or have left a broken asset that takes the name.
                there = stage.assets()?.into_iter().filter(|asset| asset.name == self.staged).collect();
            }
        }
    }

    fn placed(&mut self, asset: &Asset, sent: bool, bar: Option<&Transfer>) -> anyhow::Result<Placed> {
        let (digest, whole) = self.hashed(bar)?;
        self.stage.place(&self.piece.file, asset.id);
        Ok(Placed { digest, whole, sent })
    }

    /// Why an asset on the draft can't stay; `None` when it is this piece, or GitHub gives no digest, which is then
    /// proven from its bytes when the whole draft is.
    fn why_not(&mut self, asset: &Asset, bar: Option<&Transfer>) -> anyhow::Result<Option<String>> {
        if !asset.is_uploaded() {
            return Ok(Some(format!("it is in state {}", asset.state)));
        }
        if asset.size != self.piece.size() {
            return Ok(Some(format!("it has {}, expected {}", count(asset.size, "byte"), self.piece.size())));
        }
        let Some(there) = asset.digest() else { return Ok(None) };
        let (digest, _) = self.hashed(bar)?;
        Ok((there != digest).then(|| format!("it has sha256 {there}, expected {digest}")))
    }

    /// The piece's digest and the hash state behind it; read now if no upload did.
    fn hashed(&mut self, bar: Option<&Transfer>) -> anyhow::Result<(Digest, Sha256)> {
        if let Some(after) = &self.after {
            return Ok(after.clone());
        }
        restart(bar, self.piece);
        self.read(bar, |_| Ok(())).map_err(anyhow::Error::from)?;
        match &self.after {
            Some(after) => Ok(after.clone()),
            None => Err(failure::failed(format!(
                "{} could not be read to its end; run the same command again",
                self.piece.file
            ))),
        }
    }

    /// The outer error: the lock is lost.
    fn send(&mut self, bar: Option<&Transfer>) -> anyhow::Result<Result<Asset, CallError>> {
        let stage = self.stage;
        let (file, size) = (self.staged.clone(), self.piece.size());
        restart(bar, self.piece);
        stage.held.upload(&stage.release, &file, size, |pipe: &mut (dyn Write + Send)| {
            self.read(bar, |bytes| Ok(pipe.write_all(bytes)?)).map_err(|error| match error {
                CallError::Local(error) => error,
                other => other.into(),
            })
        })
    }

    /// Reads the piece, hashes it, hands it on.
    fn read(
        &mut self,
        bar: Option<&Transfer>,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        if let (Source::Memory(bytes), Some(_)) = (self.source, &self.after) {
            // Memory doesn't change: it is hashed once.
            return take(bytes).map_err(CallError::Local);
        }
        // An image's first piece begins where the image does: one hash is both.
        let mut apart = (self.piece.range.start > 0).then(Sha256::new);
        let mut whole = self.before.clone();
        let mut left = self.piece.size();
        let doors = self.stage.held.doors();
        let each = |bytes: &[u8]| {
            doors.check()?;
            if let Some(hash) = &mut apart {
                hash.update(bytes);
            }
            whole.update(bytes);
            left = left.saturating_sub(bytes.len() as u64);
            if let Some(bar) = bar {
                bar.moved(bytes.len() as u64);
            }
            take(bytes)
        };
        self.source.read(doors, self.piece, each)?;
        let digest = Digest::from_hash(apart.unwrap_or_else(|| whole.clone()));
        if left > 0 {
            return Err(CallError::Local(failure::failed(format!(
                "{} became shorter while it was read; let what writes it finish, then publish again",
                self.piece.file
            ))));
        }
        if let Some(promised) = self.piece.sha256.filter(|promised| *promised != digest) {
            return Err(CallError::Local(failure::digest(format!(
                "{} arrived with sha256 {digest}, expected {promised}; run the same command again",
                self.piece.file
            ))));
        }
        self.after = Some((digest, whole));
        Ok(())
    }
}

impl Source<'_> {
    fn read(
        self,
        doors: Doors<'_>,
        piece: &Piece,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        match self {
            Self::Memory(bytes) => take(bytes).map_err(CallError::Local),
            Self::Asset(asset) => doors.read_through(asset, take),
            Self::File(bytes) => read_file(bytes, piece, take).map_err(CallError::Local),
        }
    }
}

fn read_file(bytes: &Bytes, piece: &Piece, mut take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let reading = || format!("reading {}", piece.file);
    let mut reader = bytes.reader(piece.range.clone()).with_context(reading)?;
    let mut buffer = vec![0; hash::BUFFER];
    loop {
        match reader.read(&mut buffer).with_context(reading)? {
            0 => return Ok(()),
            read => take(&buffer[..read])?,
        }
    }
}

fn restart(bar: Option<&Transfer>, piece: &Piece) {
    if let Some(bar) = bar {
        bar.restart_at(piece.range.start);
    }
}

/// The bytes of a range; an end beyond them is cut, and found out by its length.
fn within<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
    let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
    &bytes[start..end]
}
