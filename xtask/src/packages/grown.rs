//! Which packages and folders of an image grew most, by the sizes that a build records in the list of packages.
//!
//! The largest growth comes first. A list without sizes, of an older engine, says nothing about growth. Used by `diff`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Packages;
use super::diff::Moved;
use crate::text::size;

/// How many of each are named.
const PACKAGES: usize = 10;
const FOLDERS: usize = 5;

/// The sizes of packages or folders in bytes, by name.
pub type Sizes = BTreeMap<String, u64>;

/// What grew most, in bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Grown {
    pub packages: Vec<Moved<u64>>,
    pub folders: Vec<Moved<u64>>,
}

impl Grown {
    pub fn between(old: &Packages, new: &Packages) -> Self {
        let of = |folder: &str| growth(&old.folders, &new.folders, folder);
        // Each growth once, in the folder where it is: not again in all the folders above.
        let own = |folder: &str, growth: i64| {
            let is_child = |it: &&String| it.rsplit_once('/').is_some_and(|(parent, _)| parent == folder);
            growth - new.folders.keys().filter(is_child).map(|child| of(child).max(0)).sum::<i64>()
        };
        Self {
            packages: most(&old.sizes, &new.sizes, PACKAGES, |_, growth| growth),
            folders: most(&old.folders, &new.folders, FOLDERS, own),
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = |what: &str, grown: &[Moved<u64>]| -> Vec<String> {
            let head = (!grown.is_empty()).then(|| format!("{what} that grew most:"));
            let line = |it: &Moved<u64>| format!("  {} {} → {}", it.name, size(it.from), size(it.to));
            head.into_iter().chain(grown.iter().map(line)).collect()
        };
        [lines("packages", &self.packages), lines("folders", &self.folders)].concat()
    }
}

fn growth(old: &Sizes, new: &Sizes, name: &str) -> i64 {
    let of = |sizes: &Sizes| sizes.get(name).map_or(0, |it| i64::try_from(*it).unwrap_or(i64::MAX));
    of(new).saturating_sub(of(old))
}

fn most(old: &Sizes, new: &Sizes, count: usize, weigh: impl Fn(&str, i64) -> i64) -> Vec<Moved<u64>> {
    if old.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<(i64, &String)> = new.keys().map(|name| (weigh(name, growth(old, new, name)), name)).collect();
    all.retain(|(weight, _)| *weight > 0);
    all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let moved = |(_, name): (i64, &String)| Moved {
        name: name.clone(),
        from: old.get(name).copied().unwrap_or(0),
        to: new[name],
    };
    all.into_iter().take(count).map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(sizes: &[(&str, u64)], folders: &[(&str, u64)]) -> Packages {
        let map = |all: &[(&str, u64)]| all.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        Packages { codename: "trixie".to_owned(), sizes: map(sizes), folders: map(folders), ..Packages::default() }
    }

    #[test]
    fn growth_is_named_where_it_is() {
        let old = list(
            &[("a", 10), ("b", 500), ("gone", 9)],
            &[("/usr", 1000), ("/usr/lib", 700), ("/usr/lib/modules", 600)],
        );
        let new = list(
            &[("a", 2048), ("b", 400), ("new", 30)],
            &[("/usr", 2100), ("/usr/lib", 1750), ("/usr/lib/modules", 1600), ("/opt", 1024)],
        );
        let grown = Grown::between(&old, &new);
        let packages: Vec<_> = grown.packages.iter().map(|it| (it.name.as_str(), it.from, it.to)).collect();
        assert_eq!(packages, [("a", 10, 2048), ("new", 0, 30)]);
        let folders: Vec<&str> = grown.folders.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(folders, ["/opt", "/usr/lib/modules", "/usr", "/usr/lib"]);
        assert_eq!(grown.lines()[..2], ["packages that grew most:", "  a 10 B → 2.0 KiB"]);
        // A list without sizes says nothing about growth.
        assert_eq!(Grown::between(&list(&[], &[]), &new), Grown::default());
        assert!(Grown::default().lines().is_empty());
    }

    #[test]
    fn ten_packages_are_named_at_the_most() {
        let names: Vec<String> = (0..30).map(|number| format!("p{number}")).collect();
        let new: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1 << 31)).collect();
        let folders: Vec<(&str, u64)> = vec![("/a", 5); 30];
        let grown = Grown::between(&list(&[("x", 1)], &[("/x", 1)]), &list(&new, &folders));
        assert_eq!((grown.packages.len(), grown.folders.len()), (10, 1));
        grown.lines();
    }
}
