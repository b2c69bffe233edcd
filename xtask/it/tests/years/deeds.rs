//! What a maintainer does.

use std::fmt;

use super::Dice;

/// One thing that is done, with its choices made: the same deed in a shorter story is the same deed.
#[derive(Clone, Debug)]
pub enum Deed {
    BeginByHand,
    BeginManaged,
    BeginWithNothing,
    EditTemplate(usize),
    EditDocument,
    /// Gives HEAD the next version, with or without a release of it.
    Tag {
        release: bool,
    },
    MakeRelease,
    Build {
        images: Vec<usize>,
        recorded: bool,
    },
    /// On the build host. Where the host is refused for being behind, the printed fix is typed, or not.
    BuildOnHost {
        images: Vec<usize>,
        sync: bool,
        forced: bool,
        mends: bool,
    },
    /// The engine on the build host keeps no build records any more, or keeps them again.
    OtherEngine,
    /// Names some images, or none.
    Publish {
        images: Vec<usize>,
        only: bool,
    },
    PublishAgain,
    /// From the assets of the version's own release.
    PublishCopy,
    /// The image named stays as it is on `latest`.
    PublishCarry(usize),
    /// The version before the newest.
    PublishOlder,
    Rollback,
    Document,
    /// What `status` prints.
    FollowNext,
    ReachTheEnd,
    /// All files in one folder, or in a folder for each image again.
    OtherLayout,
    DeleteLocal(usize),
    DamageLocal(usize),
    DropChecksum(usize),
    LeaveChecksum(usize),
    /// On the live release, by hand.
    DeleteAsset(u64),
    ReplaceAsset(u64),
    AddAsset,
    EditNotes,
    FullRelease,
    MoveTag,
    RemakeByHand,
    CloneAnew,
    Interrupt {
        after: u64,
    },
}

impl Deed {
    pub fn beginning(dice: &mut Dice) -> Self {
        match dice.below(3) {
            0 => Self::BeginByHand,
            1 => Self::BeginManaged,
            _ => Self::BeginWithNothing,
        }
    }

    pub fn random(dice: &mut Dice) -> Self {
        let some = |dice: &mut Dice| match dice.below(3) {
            0 => vec![0, 1, 2],
            1 => vec![usize::try_from(dice.below(3)).unwrap()],
            _ => Vec::new(),
        };
        let one = usize::try_from(dice.below(3)).unwrap();
        match dice.below(52) {
            0..=3 => Self::EditTemplate(one),
            4 | 5 => Self::EditDocument,
            6..=8 => Self::Tag { release: dice.below(2) == 0 },
            9 => Self::MakeRelease,
            10..=12 => Self::Build { images: some(dice), recorded: dice.below(6) > 0 },
            13..=15 => Self::Publish { images: some(dice), only: dice.below(4) == 0 },
            16 | 17 => Self::PublishAgain,
            18..=20 => Self::Rollback,
            21 => Self::Document,
            22..=26 => Self::FollowNext,
            27 => Self::ReachTheEnd,
            28 => Self::DeleteLocal(one),
            29 => Self::DamageLocal(one),
            30 => Self::DropChecksum(one),
            31 => Self::LeaveChecksum(one),
            32 => Self::DeleteAsset(dice.below(100)),
            33 => Self::ReplaceAsset(dice.below(100)),
            34 => Self::AddAsset,
            35 => Self::EditNotes,
            36 => Self::FullRelease,
            37 => Self::MoveTag,
            38 => {
                if dice.below(2) == 0 {
                    Self::RemakeByHand
                } else {
                    Self::CloneAnew
                }
            }
            39 => Self::Interrupt { after: dice.below(2500) },
            40 => Self::PublishCopy,
            41 => Self::PublishCarry(one),
            42 => Self::PublishOlder,
            43 => Self::OtherLayout,
            44 => Self::OtherEngine,
            _ => Self::BuildOnHost {
                images: some(dice),
                sync: dice.below(3) == 0,
                forced: dice.below(4) == 0,
                mends: dice.below(2) == 0,
            },
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeginByHand => write!(f, "`latest` was made by hand for v0.44"),
            Self::BeginManaged => write!(f, "v0.44 was published by the tool"),
            Self::BeginWithNothing => write!(f, "nothing was published yet"),
            Self::EditTemplate(image) => write!(f, "edits and commits template {image}"),
            Self::EditDocument => write!(f, "edits and commits the README"),
            Self::Tag { release } => {
                write!(f, "gives HEAD the next version, {} a release", if *release { "with" } else { "without" })
            }
            Self::MakeRelease => write!(f, "makes the version's release"),
            Self::Build { images, recorded } => {
                write!(f, "builds images {images:?} (none: all){}", if *recorded { "" } else { ", by hand" })
            }
            Self::BuildOnHost { images, sync, forced, mends } => {
                let sync = if *sync { ", with --sync" } else { "" };
                let forced = if *forced { ", with --force" } else { "" };
                let mends = if *mends { ", and types the fix if that is refused" } else { "" };
                write!(f, "builds images {images:?} (none: all) on the host{sync}{forced}{mends}")
            }
            Self::OtherEngine => write!(f, "has another engine on the host, with or without build records"),
            Self::Publish { images, only } => {
                write!(f, "publishes images {images:?}{}", if *only { " only" } else { "" })
            }
            Self::PublishAgain => write!(f, "types the last publish again"),
            Self::PublishCopy => write!(f, "uploads the images to the version's release, and publishes with --copy"),
            Self::PublishCarry(image) => write!(f, "publishes and carries image {image} over"),
            Self::PublishOlder => write!(f, "publishes the version before"),
            Self::OtherLayout => write!(f, "moves the local images into another layout"),
            Self::Rollback => write!(f, "rolls back"),
            Self::Document => write!(f, "documents the version"),
            Self::FollowNext => write!(f, "types what status prints"),
            Self::ReachTheEnd => write!(f, "types what status prints until all is done"),
            Self::DeleteLocal(image) => write!(f, "deletes local image {image}"),
            Self::DamageLocal(image) => write!(f, "damages local image {image}"),
            Self::DropChecksum(image) => write!(f, "deletes the checksum file of local image {image}"),
            Self::LeaveChecksum(image) => write!(f, "deletes local image {image} but not its checksum file"),
            Self::DeleteAsset(number) => write!(f, "deletes asset {number} of the live release by hand"),
            Self::ReplaceAsset(number) => write!(f, "replaces asset {number} of the live release by hand"),
            Self::AddAsset => write!(f, "adds an image to the live release by hand"),
            Self::EditNotes => write!(f, "edits the live release's notes"),
            Self::FullRelease => write!(f, "makes the live release a full one"),
            Self::MoveTag => write!(f, "moves the tag `latest` by hand"),
            Self::RemakeByHand => write!(f, "deletes `latest` and makes it anew by hand, from older bytes"),
            Self::CloneAnew => write!(f, "goes on in a folder without images"),
            Self::Interrupt { after } => write!(f, "begins a publish and ends it with Ctrl-C after {after} ms"),
        }
    }
}
