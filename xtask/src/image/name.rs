//! Which names an image may have, and the asset names that follow from it.
//!
//! GitHub replaces special characters in asset names by dots and drops leading and trailing periods, after which
//! `sha256sum -c` no longer finds the file. So a name that would not survive is refused before anything is sent.

use serde::Deserializer;

use crate::{claim, failure};

pub const EXTENSION: &str = ".qcow2";
const PART: &str = ".qcow2.part";

/// What a file in the images folder or an asset on a release is, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `<name>.qcow2`
    Whole { image: String },
    /// `<name>.qcow2.part<suffix>`
    Part { image: String, suffix: String },
    /// `<name>.qcow2.sha256`
    Checksum { image: String },
}

impl Role {
    /// `None` for a file that has nothing to do with images.
    pub fn of(file: &str) -> Option<Self> {
        if let Some(image) = file.strip_suffix(".qcow2.sha256") {
            return named(image).map(|image| Self::Checksum { image });
        }
        if let Some(image) = file.strip_suffix(EXTENSION) {
            return named(image).map(|image| Self::Whole { image });
        }
        let (image, suffix) = file.split_once(PART)?;
        named(image)
            .filter(|_| super::parts::is_suffix(suffix))
            .map(|image| Self::Part { image, suffix: suffix.to_owned() })
    }

    /// The image that `cat <name>.qcow2.part*` would join a file into although nothing here cuts such a part:
    /// `<name>.qcow2.part00`, `<name>.qcow2.partaa.old`.
    pub fn stray_part_of(file: &str) -> Option<&str> {
        let (image, _) = file.split_once(PART)?;
        Some(image).filter(|image| !image.is_empty() && Self::of(file).is_none())
    }

    /// Whether such a file holds bytes of the image, not only its digest.
    pub fn has_bytes(&self) -> bool {
        !matches!(self, Self::Checksum { .. })
    }

    pub fn image(&self) -> &str {
        match self {
            Self::Whole { image } | Self::Part { image, .. } | Self::Checksum { image } => image,
        }
    }
}

/// Whether `cat <name>.qcow2.part*` would take the file.
pub fn is_like_a_part(file: &str) -> bool {
    file.contains(PART)
}

/// The image whose readers take this file along: `cat <name>.qcow2.part*` doesn't ask who cut a part.
pub fn read_with(file: &str) -> Option<String> {
    Role::of(file).map(|role| role.image().to_owned()).or_else(|| Role::stray_part_of(file).map(str::to_owned))
}

fn named(image: &str) -> Option<String> {
    (!image.is_empty()).then(|| image.to_owned())
}

/// `<name>.qcow2`
pub fn whole(image: &str) -> String {
    format!("{image}{EXTENSION}")
}

/// `<name>.qcow2.sha256`
pub fn checksum(image: &str) -> String {
    format!("{image}{EXTENSION}.sha256")
}

/// `<name>.cdx.json`, the list of its packages. Readers' patterns for images don't match it.
pub fn packages(image: &str) -> String {
    format!("{image}.cdx.json")
}

/// `<name>.files.gz`, the list of its files.
pub fn files(image: &str) -> String {
    format!("{image}.files.gz")
}

/// `<name>.qcow2.part<suffix>`
pub fn part(image: &str, suffix: &str) -> String {
    format!("{image}{PART}{suffix}")
}

/// Whether GitHub keeps an image's asset names as they are, and readers find their way in them.
///
/// # Errors
///
/// Exit code 1: the name has a character that GitHub replaces, or is the name of another kind of file.
pub fn check(image: &str) -> anyhow::Result<()> {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let shown = image.escape_debug();
    if let Some(bad) = image.chars().find(|c| !kept(*c)) {
        let bad = bad.escape_debug();
        return Err(failure::failed(format!(
            "image name `{shown}` has `{bad}`, which GitHub replaces in asset names; use letters, digits, `.`, `_` and `-`"
        )));
    }
    if image.is_empty() || image.starts_with(['.', '-']) || image.ends_with('.') {
        return Err(failure::failed(format!(
            "image name `{shown}` must begin with a letter, a digit or `_` and not end with a period; GitHub drops those"
        )));
    }
    if image.contains(EXTENSION) {
        return Err(failure::failed(format!(
            "image name `{shown}` must not contain `{EXTENSION}`; rename its template"
        )));
    }
    Ok(())
}

/// For `deserialize_with`.
pub fn from_outside<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    claim::checked(from, |text| check(text).is_ok(), "valid image name")
}

/// Whether a file that is no image keeps its name on GitHub and leads nowhere else.
///
/// # Errors
///
/// Exit code 1.
pub fn check_file(file: &str) -> anyhow::Result<()> {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = file.chars().all(kept) && !file.is_empty() && !file.starts_with(['.', '-']) && !file.ends_with('.');
    if good { Ok(()) } else { Err(failure::failed(format!("`{}` is not an asset name", file.escape_debug()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_name() {
        let image = || "debian-12-custom".to_owned();
        let table = [
            ("debian-12-custom.qcow2", Some(Role::Whole { image: image() })),
            ("debian-12-custom.qcow2.sha256", Some(Role::Checksum { image: image() })),
            ("debian-12-custom.qcow2.partab", Some(Role::Part { image: image(), suffix: "ab".into() })),
            ("debian-12-custom.qcow2.partzaaa", Some(Role::Part { image: image(), suffix: "zaaa".into() })),
            ("debian-12-custom.qcow2.parta", None),
            ("debian-12-custom.qcow2.part01", None),
            ("debian-12-custom.qcow2.partial", None),
            ("packer-images.json", None),
            (".qcow2", None),
            ("debian-12-custom.qcow2.partab.sha256", None),
        ];
        for (file, role) in table {
            assert_eq!(Role::of(file), role, "{file}");
        }
        for (file, image) in [
            ("a.qcow2.part00", Some("a")),
            ("a.qcow2.part", Some("a")),
            ("a.qcow2.partaa.sha256", Some("a")),
            ("a.qcow2.partaa", None),
            ("a.qcow2", None),
            (".qcow2.part00", None),
        ] {
            assert_eq!(Role::stray_part_of(file), image, "{file}");
        }
    }

    #[test]
    fn only_names_that_github_keeps_pass() {
        for good in ["debian-12-custom", "a", "x_1.2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "-a", "a b", "a/b", "ä", "a\nb", "a'b", "a.qcow2", "a+b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
