//! From what is wanted and what is there to the steps between them: pure, so the preview is the plan itself.

use crate::image::checksum;
use crate::image::digest::Digest;
use crate::image::name::{self, Role};
use crate::manifest::{Image, Manifest};

use super::changes;
use super::files;
use super::look::{Live, Look};
use super::naming::{self, Named};
use super::notes;
use super::previous::Previous;
use super::prove;
use super::set::{Origin, Piece, Set, SetImage};
use super::step::{How, Step, TagMove, Transfer};
use super::stock::{self, Stock};

/// A draft of ours that could be used, with what lies on it.
#[derive(Debug, Clone)]
pub struct Draft {
    pub id: u64,
    pub stock: Stock,
}

/// What the plan is made for.
pub struct Want<'a> {
    pub set: &'a Set,
    /// Drafts of other sets, which the person asked to drop.
    pub discard: Vec<(u64, String)>,
    /// Drafts of this set, the fullest first.
    pub drafts: Vec<Draft>,
    /// The way back from what is live.
    pub previous: Option<Previous>,
    /// What other sets left on it goes.
    pub discard_staged: bool,
    pub keep_previous: bool,
}

/// The steps; none when the set is live already. With them what lies on the stage when they come to it.
pub fn plan(want: &Want<'_>, look: &Look) -> (Vec<Step>, Stock) {
    let set = want.set;
    let mut steps = Vec::new();
    // In nobody's way, and perhaps the only whole set: gone when another is live.
    let discard = want.discard.iter().map(|(draft, what)| Step::Discard { draft: *draft, what: what.clone() });
    let tag = TagMove { from: look.tag.as_ref().map(|tag| tag.object.clone()), to: set.commit.clone() };
    let tag_right = look.tag.as_ref().is_some_and(|tag| tag.commit == set.commit);
    let spent = |draft: &Draft| Step::Drop { release: draft.id, what: "a draft of the set that is live" };
    let restore = |previous: &Previous| Step::Restore { release: previous.id, own: previous.own };
    let clear = |release: u64, but| Step::Clear { release: Some(release), but };
    let left_on_live = look.live.as_ref().filter(|live| naming::spare(&live.assets).next().is_some());

    if let Some((live, images)) = look.live.as_ref().and_then(|live| Some((live, same_images(set, live)?))) {
        let files = files::judge(live, &images, &set.signing);
        let mut manifest = Manifest::new(set.source.clone(), set.commit.clone(), images);
        let attested_before = live.manifest.as_ref().and_then(|manifest| manifest.attested_by.clone());
        manifest.attested_by = set.signing.attested_by.clone().or(attested_before);
        manifest.files.clone_from(&files.kept);
        // What was staged on the way back is of another set.
        if let Some(previous) = &want.previous {
            steps.extend((!previous.in_place).then(|| restore(previous)));
            steps.extend(left_on(want, previous, &previous.restored, Vec::new()));
        }
        if live.manifest.as_ref() != Some(&manifest)
            || !files.place.is_empty()
            || !live.release.prerelease
            || changes::without(live.release.notes()).trim() != notes::text(&manifest).trim()
            || stamp_is_old(look, live)
        {
            steps.push(Step::Relabel { manifest: Box::new(manifest), tag, files });
        } else {
            steps.extend((!tag_right).then_some(Step::Tag(tag)));
            steps.extend(left_on_live.map(|live| clear(live.release.id, Vec::new())));
        }
        steps.extend(discard);
        steps.extend(want.drafts.iter().map(spent));
        steps.extend(leftovers(look, live.release.id));
        return (steps, Stock::default());
    }

    steps.extend(left_on_live.map(|live| clear(live.release.id, Vec::new())));
    let previous = want.previous.as_ref().map(|previous| Staged::of(set, previous));
    let draft = want.drafts.first().map(|draft| transfers(set, &draft.stock));
    let stage = previous.as_ref().filter(|staged| staged.is_worth_more_than(draft.as_deref()));
    for staged in previous.iter().filter(|staged| staged.restores) {
        steps.push(restore(staged.previous));
    }
    if let Some(staged) = stage {
        steps.extend(left_on(want, staged.previous, &staged.stock, staged.kept.clone()));
    }
    let others = match (stage, want.drafts.split_first()) {
        (Some(_), _) | (None, None) => want.drafts.as_slice(),
        (None, Some((_, others))) => others,
    };
    let second = |draft: &Draft| Step::Drop { release: draft.id, what: "a second draft of this set" };
    let (step, transfers, stock) = match (stage, want.drafts.first(), draft) {
        (Some(staged), ..) => {
            let step = Step::Stage { release: staged.previous.id, bytes: kept(&staged.transfers) };
            (step, staged.transfers.clone(), staged.stock.clone())
        }
        (None, Some(first), Some(transfers)) => (Step::GoOn { draft: first.id }, transfers, first.stock.clone()),
        _ => {
            let nothing = Stock::of_draft(Vec::new(), []);
            (Step::Create, self::transfers(set, &nothing), nothing)
        }
    };
    let is_new = step == Step::Create;
    let on_previous = stage.map(|staged| staged.previous.id);
    // What goes on a draft of this set that the previous release stands in for goes when all is live.
    steps.extend(others.iter().filter(|_| stage.is_none()).map(second));
    steps.push(step);
    steps.push(Step::Fill(transfers));
    steps.push(Step::Switch { tag, hide: look.live.as_ref().map(|live| live.release.id) });
    steps.extend((!is_new).then_some(Step::Clear { release: None, but: Vec::new() }));
    steps.extend(others.iter().filter(|_| stage.is_some()).map(second));
    steps.extend(discard);
    let old = |release, what| Step::Drop { release, what };
    let stamped = look.stamped().map(|(draft, _)| draft.release.id).filter(|id| on_previous != Some(*id));
    steps.extend(stamped.map(|release| old(release, "replaced before this publish")));
    if !want.keep_previous {
        steps.extend(look.live.as_ref().map(|live| old(live.release.id, "replaced; --no-keep-previous")));
    }
    (steps, stock)
}

/// What other sets left on the previous release, if it is to go. What was set aside stays: it is the way back.
fn left_on(want: &Want<'_>, previous: &Previous, stock: &Stock, kept: Vec<u64>) -> Option<Step> {
    let mut but = kept;
    but.extend(stock.assets.iter().filter(|asset| matches!(Named::of(asset), Named::Old { .. })).map(|asset| asset.id));
    let left = want.discard_staged && naming::spare(&stock.assets).any(|asset| !but.contains(&asset.id));
    left.then_some(Step::Clear { release: Some(previous.id), but })
}

/// What it comes to when a set is staged on the previous release.
struct Staged<'a> {
    previous: &'a Previous,
    /// Its own set gets its names back before anything else: a swap ended half-way, and not to this set.
    restores: bool,
    stock: Stock,
    transfers: Vec<Transfer>,
    /// The assets of this set that are there.
    kept: Vec<u64>,
}

/// GitHub takes 1000 assets on a release; one more than the set's is needed while a manifest is replaced.
pub const MOST_ASSETS: usize = 999;

impl<'a> Staged<'a> {
    fn of(set: &Set, previous: &'a Previous) -> Self {
        let all_there = |transfers: &[Transfer]| transfers.iter().all(|transfer| transfer.how == How::Keep);
        let (as_it_is, forward) = (&previous.stock, transfers(set, &previous.stock));
        // With all of it there the swap is finished from where it ended.
        let restores = !previous.in_place && (previous.unfit.is_some() || !all_there(&forward));
        let stock = if restores { &previous.restored } else { as_it_is };
        let transfers = if restores { transfers(set, stock) } else { forward };
        let of_image = |image: &SetImage| -> Vec<u64> {
            let pieces = (0..image.pieces.len()).filter_map(|index| stock.piece(image, index));
            pieces.map(|found| found.asset().id).collect()
        };
        let kept = set.images.iter().flat_map(of_image).collect();
        Self { previous, restores, stock: stock.clone(), transfers, kept }
    }

    /// Whether it holds more of the set than a draft, and has room for the rest.
    fn is_worth_more_than(&self, draft: Option<&[Transfer]>) -> bool {
        let sent = self.transfers.iter().filter(|transfer| transfer.how != How::Keep).count();
        let room = self.stock.assets.len() + sent + files::MOST <= MOST_ASSETS;
        self.previous.unfit.is_none() && room && kept(&self.transfers) > draft.map_or(0, kept)
    }
}

/// Bytes of images that need not be sent.
fn kept(transfers: &[Transfer]) -> u64 {
    let image = |transfer: &&Transfer| {
        matches!(Role::of(&transfer.file), Some(Role::Whole { .. } | Role::Part { .. })) && transfer.how == How::Keep
    };
    transfers.iter().filter(image).map(|transfer| transfer.size).sum()
}

/// Whether the way back names another manifest than the one that is live: a change of the version ended too soon.
fn stamp_is_old(look: &Look, live: &Live) -> bool {
    look.way_back(live).is_some_and(|(_, stamp)| !stamp.names(live.release.id, live.digest))
}

/// What an earlier run had no time to drop: releases that gave way to one that isn't live any more. They go only when
/// the way back from the live one is there.
fn leftovers(look: &Look, live: u64) -> Vec<Step> {
    let stamped = || look.stamped().map(|(draft, stamp)| (draft.release.id, stamp.by));
    let kept = stamped().any(|(_, by)| by == live);
    let drop = |(release, _)| Step::Drop { release, what: "replaced before the last publish" };
    stamped().filter(|(_, by)| kept && *by != live).map(drop).collect()
}

fn transfers(set: &Set, stock: &Stock) -> Vec<Transfer> {
    let transfer = |file: String, size: u64, kept: bool, hint: Digest, origin: Option<&Origin>| {
        let staged = naming::new_name(hint, &file);
        let how = match origin {
            _ if kept => How::Keep,
            _ if stock.assets.iter().any(|asset| asset.name == staged) => How::Replace,
            Some(Origin::Assets { from, .. }) => How::Copy { from: from.clone() },
            _ => How::Send,
        };
        Transfer { file, size, how }
    };
    let of_image = |image: &SetImage| -> Vec<Transfer> {
        let piece = |(index, piece): (usize, &Piece)| {
            let kept = stock.piece(image, index).is_some();
            transfer(piece.file.clone(), piece.size(), kept, stock::hint(image, piece), Some(&image.origin))
        };
        let line = checksum::line(&image.name, image.sha256);
        let (line, sum) = (line.len() as u64, Digest::of(line.as_bytes()));
        let file = |file: String, size, sha256, origin| {
            let kept = stock.file(&file, size, sha256).is_some();
            transfer(file, size, kept, sha256, origin)
        };
        let packages =
            image.packages().map(|listed| file(listed.file.clone(), listed.size, listed.sha256, Some(&image.origin)));
        let checksum = file(name::checksum(&image.name), line, sum, None);
        image.pieces.iter().enumerate().map(piece).chain([checksum]).chain(packages).collect()
    };
    set.images.iter().flat_map(of_image).collect()
}

/// The live images under the new set's facts, if they are the same images, whole and proven; else `None`.
fn same_images(set: &Set, live: &Live) -> Option<Vec<Image>> {
    let published: Vec<Image> = match &live.manifest {
        Some(manifest) => manifest.images.clone(),
        // Made by hand: the assets' own digests must say it all.
        None => set.images.iter().map(|image| by_digests(image, live)).collect::<Option<_>>()?,
    };
    let agrees =
        |image: &Image| image.assets().iter().all(|asset| prove::compare(asset, live.asset(&asset.file)).is_none());
    let same = published.len() == set.images.len()
        && published.iter().zip(&set.images).all(|(there, wanted)| there.name == wanted.name && wanted.is_like(there))
        && published.iter().all(agrees)
        && no_other_image(set, live);
    let digests = |image: &Image| -> Vec<Digest> {
        if image.parts.is_empty() { vec![image.sha256] } else { image.parts.iter().map(|part| part.sha256).collect() }
    };
    let relabelled = |(there, wanted): (&Image, &SetImage)| {
        let image = wanted.to_manifest(&digests(there));
        Image { packages: there.packages.clone(), ..image }
    };
    same.then(|| published.iter().zip(&set.images).map(relabelled).collect())
}

fn by_digests(image: &SetImage, live: &Live) -> Option<Image> {
    let digest = |piece: &Piece| live.asset(&piece.file)?.digest();
    let digests: Option<Vec<Digest>> = image.pieces.iter().map(digest).collect();
    // The parts' digests alone don't say that they are the whole: only a whole image is known by its digest.
    let digests = digests.filter(|digests| digests.as_slice() == [image.sha256])?;
    Some(image.to_manifest(&digests))
}

fn no_other_image(set: &Set, live: &Live) -> bool {
    let names = set.asset_names();
    live.assets.iter().all(|asset| name::read_with(&asset.name).is_none() || names.contains(&asset.name))
}
