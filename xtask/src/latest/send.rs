//! Uploads images and small files to the draft. An image is read once: the pass that feeds the upload also computes the digests of
//! the part and of the whole; a retry reads its range again from a saved hash state. `fill` calls it, and proves the result.

use std::io::{Read as _, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::console::Transfer;
use crate::digest::{BUFFER, Digest};
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError};
use crate::image::local::Bytes;
use crate::image::name;
use crate::manifest::{self, FileEntry};
use crate::text::count;

use super::client::Client;
use super::draft::Draft;
use super::files::File;
use super::prove;
use super::set::{Origin, Piece, Set, SetImage};

/// Sends what is not there yet: images side by side, the pieces of one image in order.
pub(super) fn images(draft: &Draft<'_>, set: &Set, there: &[Asset]) -> anyhow::Result<Vec<manifest::Image>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(image) = set.images.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = draft.held.check().and_then(|()| send_image(draft, image, there));
            if result.is_err() {
                // The others finish what they began, and begin nothing more.
                next.store(set.images.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    draft.held.outside().side_by_side(&work);
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}

/// Has a small file there.
pub(super) fn small(draft: &Draft<'_>, file: &File, there: &[Asset]) -> anyhow::Result<()> {
    if prove::is_there(&file.part, there) {
        return Ok(());
    }
    let FileEntry { file: name, size, sha256 } = &file.part;
    let found = there.iter().find(|asset| asset.name == *name);
    let piece = Piece { file: name.clone(), range: 0..*size, sha256: Some(*sha256) };
    let source = Source::Memory(&file.bytes);
    let (before, after) = (Sha256::new(), Some((*sha256, Sha256::new())));
    let mut piece = Placing { draft, piece: &piece, source, before, after };
    piece.place(found, None).map(drop).with_context(|| format!("sending {name}"))
}

fn send_image(draft: &Draft<'_>, image: &SetImage, there: &[Asset]) -> anyhow::Result<manifest::Image> {
    let bar = draft.held.outside().transfer(name::whole(&image.name), image.size);
    let result = send_pieces(draft, image, there, &bar);
    match &result {
        Ok((_, 0)) => bar.finish("kept"),
        Ok((_, sent)) => bar.finish(&format!("{sent} of {} sent", count(image.pieces.len(), "asset"))),
        Err(_) => drop(bar),
    }
    let (digests, _) = result?;
    small(draft, &image.checksum_file(), there)?;
    for list in image.lists.iter().filter(|(listed, _)| !prove::is_there(listed, there)) {
        let bytes = image.read_list(list, |asset| draft.held.read_asset(asset))?;
        small(draft, &File::new(&list.0.file, bytes), there)?;
    }
    Ok(image.to_manifest(&digests))
}

/// The digest of each piece, and how many were sent.
fn send_pieces(
    draft: &Draft<'_>,
    image: &SetImage,
    there: &[Asset],
    bar: &Transfer,
) -> anyhow::Result<(Vec<Digest>, usize)> {
    let mut whole = Sha256::new();
    let mut digests = Vec::new();
    let (mut sent, mut unread) = (0, false);
    for (index, piece) in image.pieces.iter().enumerate() {
        let found = there.iter().find(|asset| asset.name == piece.file);
        // What the pieces' digests are read from covers the whole as well: nothing need be fetched to hash it.
        if let (Some(sha256), true) = (piece.digest(image), image.is_proven())
            && prove::is_there(&FileEntry { file: piece.file.clone(), size: piece.size(), sha256 }, there)
        {
            digests.push(sha256);
            unread = true;
            bar.restart_at(piece.range.end);
            continue;
        }
        let source = match &image.origin {
            Origin::Local(bytes) => Source::File(bytes),
            // An end beyond the bytes is found out by the length.
            Origin::Memory(bytes) => {
                Source::Memory(bytes.get(piece.range.start as usize..piece.range.end as usize).unwrap_or_default())
            }
            Origin::Assets { assets, .. } => Source::Asset(&assets[index]),
        };
        let mut placing = Placing { draft, piece, source, before: whole, after: None };
        let placed = placing.place(found, Some(bar)).and_then(|sent| Ok((sent, placing.hashed(Some(bar))?)));
        let (was_sent, (digest, after)) = placed.with_context(|| format!("sending {}", piece.file))?;
        sent += usize::from(was_sent);
        digests.push(digest);
        whole = after;
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
        return Err(failure::digest(format!("{from} has sha256 {whole}, its checksum file says {}", image.sha256))
            .fix("fetch or build the image again"));
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

/// One piece on its way to the draft.
struct Placing<'a> {
    draft: &'a Draft<'a>,
    piece: &'a Piece,
    source: Source<'a>,
    /// The state of the image's hash before this piece.
    before: Sha256,
    /// The piece's digest and the state behind it, once all of it was read.
    after: Option<(Digest, Sha256)>,
}

impl Placing<'_> {
    /// Keeps what is right, removes what stands in the way, sends what is missing. Whether the piece was sent.
    fn place(&mut self, found: Option<&Asset>, bar: Option<&Transfer>) -> anyhow::Result<bool> {
        let draft = self.draft;
        let mut backoff = draft.held.backoff();
        let mut there: Vec<Asset> = found.into_iter().cloned().collect();
        let mut sent = false;
        loop {
            while let Some(asset) = there.pop() {
                match self.why_not(&asset, bar)? {
                    None => return Ok(sent),
                    Some(why) => draft.remove(&asset, &why)?,
                }
            }
            let result: Result<(), CallError> = match self.send(bar)? {
                Ok(asset) => match self.why_not(&asset, bar)? {
                    None => return Ok(true),
                    Some(why) => {
                        draft.remove(&asset, &why)?;
                        Err(CallError::Lost(why))
                    }
                },
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                backoff.wait_for(&self.piece.file, error, |error| error.name_taken() || draft.may_be_late(error))?;
                sent = true;
                // The upload may have been completed all the same, or have left a broken asset that takes the name.
                there = draft.assets()?.into_iter().filter(|asset| asset.name == self.piece.file).collect();
            }
        }
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
            None => Err(failure::failed(format!("{} could not be read to its end", self.piece.file))),
        }
    }

    /// The outer error: the lock is lost.
    fn send(&mut self, bar: Option<&Transfer>) -> anyhow::Result<Result<Asset, CallError>> {
        let (draft, file, size) = (self.draft, self.piece.file.clone(), self.piece.size());
        restart(bar, self.piece);
        draft.held.upload(&draft.release, &file, size, |pipe: &mut (dyn Write + Send)| {
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
        let client = self.draft.held.client();
        let each = |bytes: &[u8]| {
            client.check()?;
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
        self.source.read(client, self.piece, each)?;
        let digest = Digest::from_hash(apart.unwrap_or_else(|| whole.clone()));
        if left > 0 {
            let error = failure::failed(format!("{} became shorter while it was read", self.piece.file));
            return Err(CallError::Local(
                error.fix("wait until the program that writes the file has finished, then publish again"),
            ));
        }
        if let Some(promised) = self.piece.sha256.filter(|promised| *promised != digest) {
            let error = failure::digest(format!("{} has sha256 {digest}, expected {promised}", self.piece.file));
            let fix = "run the same command again; if the digest differs again, publish the image from a local file";
            return Err(CallError::Local(error.fix(fix)));
        }
        self.after = Some((digest, whole));
        Ok(())
    }
}

impl Source<'_> {
    fn read(
        self,
        client: Client<'_>,
        piece: &Piece,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        match self {
            Self::Memory(bytes) => take(bytes).map_err(CallError::Local),
            Self::Asset(asset) => client.read_through(asset, take),
            Self::File(bytes) => {
                let reading = || format!("reading {}", piece.file);
                let mut reader = bytes.reader(piece.range.clone()).with_context(reading).map_err(CallError::Local)?;
                let mut buffer = vec![0; BUFFER];
                loop {
                    match reader.read(&mut buffer).with_context(reading).map_err(CallError::Local)? {
                        0 => return Ok(()),
                        read => take(&buffer[..read]).map_err(CallError::Local)?,
                    }
                }
            }
        }
    }
}

fn restart(bar: Option<&Transfer>, piece: &Piece) {
    if let Some(bar) = bar {
        bar.restart_at(piece.range.start);
    }
}
