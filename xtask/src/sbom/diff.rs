//! What changed between two lists of packages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Package, Packages, version};

/// The difference, by binary package and architecture.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<Package>,
    pub removed: Vec<Package>,
    /// As it was, and as it is.
    pub changed: Vec<(Package, Package)>,
    /// What people care for first: its name, what it was and what it is; `–` where there is none.
    pub of_note: Vec<(String, String, String)>,
}

/// No value, in a table.
pub const NONE: &str = "–";

/// What people look for first.
const CARED_FOR: [&str; 7] =
    ["systemd", "openssh-server", "openssl", "cloud-init", "qemu-guest-agent", "pve-manager", "proxmox-ve"];

impl Difference {
    pub fn between(old: &Packages, new: &Packages) -> Self {
        fn keyed(packages: &Packages) -> BTreeMap<(&str, &str), &Package> {
            packages
                .packages
                .iter()
                .map(|package| ((package.name.as_str(), package.architecture.as_str()), package))
                .collect()
        }
        let (was, is) = (keyed(old), keyed(new));
        let mut difference = Self::default();
        for (key, package) in &is {
            match was.get(key) {
                None => difference.added.push((*package).clone()),
                Some(before) if before.version != package.version => {
                    difference.changed.push(((*before).clone(), (*package).clone()));
                }
                Some(_) => {}
            }
        }
        difference.removed =
            was.iter().filter(|(key, _)| !is.contains_key(*key)).map(|(_, it)| (*it).clone()).collect();
        let mut note = |name: &str, old: Option<&str>, new: Option<&str>| {
            if old != new {
                let shown = |version: Option<&str>| version.unwrap_or(NONE).to_owned();
                difference.of_note.push((name.to_owned(), shown(old), shown(new)));
            }
        };
        note("kernel", old.kernel(), new.kernel());
        for name in CARED_FOR {
            note(name, old.version_of(name), new.version_of(name));
        }
        difference
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// `1 package added, 12 changed`
    pub fn count(&self) -> String {
        let counts = [(self.added.len(), "added"), (self.removed.len(), "removed"), (self.changed.len(), "changed")];
        let mut said = Vec::new();
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let noun = match (said.is_empty(), count) {
                (true, 1) => " package",
                (true, _) => " packages",
                (false, _) => "",
            };
            said.push(format!("{count}{noun} {what}"));
        }
        if said.is_empty() { "the same packages".to_owned() } else { said.join(", ") }
    }

    /// A line for each package: `+ name version`, `- name version`, `~ name version → version`.
    pub fn lines(&self) -> Vec<String> {
        let line = |sign: &str, package: &Package| format!("{sign} {} {}", package.name, package.version);
        let changed = |(was, is): &(Package, Package)| format!("~ {} {} → {}", is.name, was.version, is.version);
        let added = self.added.iter().map(|package| line("+", package));
        let removed = self.removed.iter().map(|package| line("-", package));
        added.chain(removed).chain(self.changed.iter().map(changed)).collect()
    }

    pub fn to_json(&self) -> Value {
        let package = |package: &Package| json!({ "name": package.name, "architecture": package.architecture, "version": package.version, "source": package.source });
        let changed = |(was, is): &(Package, Package)| {
            json!({
                "name": is.name, "architecture": is.architecture, "source": is.source,
                "from": was.version, "to": is.version,
            })
        };
        json!({
            "added": self.added.iter().map(package).collect::<Vec<_>>(),
            "removed": self.removed.iter().map(package).collect::<Vec<_>>(),
            "changed": self.changed.iter().map(changed).collect::<Vec<_>>(),
            "of_note": self.of_note.iter().map(|(name, from, to)| json!({ "name": name, "from": from, "to": to })).collect::<Vec<_>>(),
        })
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
        Packages { codename: "trixie".into(), release: "13.2".into(), packages: packages.iter().map(package).collect() }
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
        let of_note: Vec<_> = difference.of_note.iter().map(|(name, from, to)| format!("{name} {from} {to}")).collect();
        assert_eq!(of_note, ["kernel 6.12.94+deb13-amd64 6.12.107+deb13-amd64", "openssl 3.5.1-1 3.5.4-1"]);
        assert_eq!(Difference::between(&new, &new).count(), "the same packages");
        assert_eq!(
            list(&[("proxmox-kernel-6.14", "1"), ("proxmox-kernel-6.14.8-2-pve-signed", "1")]).kernel(),
            Some("6.14.8-2-pve")
        );
    }
}
