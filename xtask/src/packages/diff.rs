//! What changed between two lists of packages.
//!
//! Packages are compared by name and architecture; what people look for first, such as the kernel, is named apart. Used by
//! `diff` and by the notes that a publish writes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Package, Packages, version};

/// Something that has another value in the newer list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved<T> {
    pub name: String,
    pub from: T,
    pub to: T,
}

/// A package with another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    #[serde(flatten)]
    version: Moved<String>,
    architecture: String,
    source: String,
}

/// The difference, by binary package and architecture.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub added: Vec<Package>,
    pub removed: Vec<Package>,
    pub changed: Vec<Changed>,
    /// What people look for first; [`NONE`] where a list does not have it.
    pub of_note: Vec<Moved<String>>,
}

/// No value, in a table.
pub const NONE: &str = "–";

/// What people look for first, beside the kernel.
const OF_NOTE: [&str; 7] =
    ["systemd", "openssh-server", "openssl", "cloud-init", "qemu-guest-agent", "pve-manager", "proxmox-ve"];

impl Difference {
    pub fn between(old: &Packages, new: &Packages) -> Self {
        fn keyed(packages: &Packages) -> BTreeMap<(&str, &str), &Package> {
            packages.packages.iter().map(|it| ((it.name.as_str(), it.architecture.as_str()), it)).collect()
        }
        let (was, is) = (keyed(old), keyed(new));
        let moved = |name: &str, from: &str, to: &str| Moved { name: name.into(), from: from.into(), to: to.into() };
        let mut difference = Self::default();
        for (key, package) in &is {
            match was.get(key) {
                None => difference.added.push((*package).clone()),
                Some(before) if before.version != package.version => difference.changed.push(Changed {
                    version: moved(&package.name, &before.version, &package.version),
                    architecture: package.architecture.clone(),
                    source: package.source.clone(),
                }),
                Some(_) => {}
            }
        }
        difference.removed =
            was.iter().filter(|(key, _)| !is.contains_key(*key)).map(|(_, it)| (*it).clone()).collect();
        let versions = OF_NOTE.map(|name| (name, old.version_of(name), new.version_of(name)));
        let of_note = [("kernel", old.kernel(), new.kernel())].into_iter().chain(versions);
        difference.of_note = of_note
            .filter(|(_, from, to)| from != to)
            .map(|(name, from, to)| moved(name, from.unwrap_or(NONE), to.unwrap_or(NONE)))
            .collect();
        difference
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// `1 package added, 12 changed`
    pub fn count(&self) -> String {
        let counts = [(self.added.len(), "added"), (self.removed.len(), "removed"), (self.changed.len(), "changed")];
        let mut text = String::new();
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            text += &match (text.is_empty(), count) {
                (true, 1) => format!("1 package {what}"),
                (true, _) => format!("{count} packages {what}"),
                (false, _) => format!(", {count} {what}"),
            };
        }
        if text.is_empty() { "the same packages".to_owned() } else { text }
    }

    /// A line for each package: `+ name version`, `- name version`, `~ name version → version`.
    pub fn lines(&self) -> Vec<String> {
        let added = self.added.iter().map(|it| format!("+ {} {}", it.name, it.version));
        let removed = self.removed.iter().map(|it| format!("- {} {}", it.name, it.version));
        let changed = self.changed.iter().map(|it| &it.version);
        added.chain(removed).chain(changed.map(|it| format!("~ {} {} → {}", it.name, it.from, it.to))).collect()
    }
}

impl Packages {
    /// The newest kernel, by the version in its packages' names: `6.12.107+deb13-amd64`.
    pub fn kernel(&self) -> Option<&str> {
        self.packages
            .iter()
            .filter_map(|package| {
                let name = package.name.as_str();
                let rest = name.strip_prefix("linux-image-").or_else(|| name.strip_prefix("proxmox-kernel-"))?;
                let rest = rest.strip_suffix("-signed").unwrap_or(rest);
                rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest)
            })
            .max_by(|a, b| version::compare(a, b))
    }

    fn version_of(&self, name: &str) -> Option<&str> {
        self.packages.iter().find(|package| package.name == name).map(|package| package.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(packages: &[(&str, &str)]) -> Packages {
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).into(),
            architecture: "amd64".into(),
            version: (*version).into(),
            source: (*name).into(),
            source_version: (*version).into(),
        };
        Packages { codename: "trixie".into(), packages: packages.iter().map(package).collect(), ..Packages::default() }
    }

    #[test]
    fn what_came_went_and_changed_is_told_apart() {
        let old = list(&[
            ("linux-image-6.12.94+deb13-amd64", "6.12.94-1"),
            ("linux-image-amd64", "6.12.94-1"),
            ("bash", "5.2-1"),
            ("openssl", "3.5.1-1"),
        ]);
        let new = list(&[
            ("linux-image-6.12.107+deb13-amd64", "6.12.107-1"),
            ("linux-image-amd64", "6.12.107-1"),
            ("bash", "5.2-1"),
            ("openssl", "3.5.4-1"),
            ("tmux", "3.5a-3"),
        ]);
        let difference = Difference::between(&old, &new);
        assert_eq!(difference.count(), "2 packages added, 1 removed, 2 changed");
        assert_eq!(
            difference.lines(),
            [
                "+ linux-image-6.12.107+deb13-amd64 6.12.107-1",
                "+ tmux 3.5a-3",
                "- linux-image-6.12.94+deb13-amd64 6.12.94-1",
                "~ linux-image-amd64 6.12.94-1 → 6.12.107-1",
                "~ openssl 3.5.1-1 → 3.5.4-1",
            ]
        );
        let of_note: Vec<_> =
            difference.of_note.iter().map(|it| format!("{} {} {}", it.name, it.from, it.to)).collect();
        assert_eq!(of_note, ["kernel 6.12.94+deb13-amd64 6.12.107+deb13-amd64", "openssl 3.5.1-1 3.5.4-1"]);
        assert_eq!(Difference::between(&new, &new).count(), "the same packages");
        assert_eq!(
            list(&[("proxmox-kernel-6.14", "1"), ("proxmox-kernel-6.14.8-2-pve-signed", "1")]).kernel(),
            Some("6.14.8-2-pve")
        );
    }
}
