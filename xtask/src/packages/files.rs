//! The list of an image's files: `<name>.files.gz`, as the build writes it (`packer/shared/scripts/record-files.sh`).
//!
//! A line has the path, the kind and mode, the owner, the size, and the digest or the target of a link, with a TAB between
//! them. A list is text from outside: one with anything that a terminal would obey is refused. Used by `diff`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use xshell::cmd;

use super::diff::{Moved, NONE};
use crate::process::{self, Patience, Stream};
use crate::text;

/// Bytes of a list that is not compressed: some hundred thousand files.
const LARGEST: u64 = 64 << 20;
const SILENT: Duration = Duration::from_secs(60);

/// The files of an image, by path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// `f4755`: `f`, `d`, `l` and the like, as `find -printf %y` says, then the mode in octal digits.
    mode: String,
    owner: String,
    /// Size, then digest or target.
    content: String,
}

impl Entry {
    /// A file that runs as its owner or its group.
    fn is_setuid(&self) -> bool {
        let mode = self.mode.strip_prefix('f').and_then(|mode| u32::from_str_radix(mode, 8).ok());
        mode.is_some_and(|mode| mode & 0o6000 != 0)
    }

    fn shown(&self) -> String {
        format!("{} {}", self.mode.trim_start_matches('f'), self.owner)
    }
}

impl Files {
    /// # Errors
    ///
    /// The bytes are not gzip's, are too many when they are unpacked, or are no such list.
    pub fn read(file: &str, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let mut list = String::new();
        let shell = process::shell()?;
        let unpacked = process::stream(
            cmd!(shell, "gzip -dc"),
            Stream {
                feed: Some(Box::new(move |to| Ok(to.write_all(&bytes)?))),
                drain: Some(Box::new(|from| Ok(from.take(LARGEST).read_to_string(&mut list).map(drop)?))),
                patience: Patience { stall: SILENT, answer: SILENT },
                heed_signals: true,
            },
        )?;
        unpacked.drained.and_then(|()| unpacked.finished.success()).with_context(|| format!("unpacking {file}"))?;
        Self::parse(&list).with_context(|| format!("{file} is not a list of files"))
    }

    fn parse(list: &str) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for line in list.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [path, mode, owner, size, content] = fields[..] else {
                anyhow::bail!("a line has {} fields", fields.len());
            };
            anyhow::ensure!(path.starts_with('/'), "a path is not absolute");
            anyhow::ensure!(!fields.iter().any(|it| it.contains(text::is_obeyed)), "a line has a control character");
            let entry = Entry { mode: mode.into(), owner: owner.into(), content: format!("{size} {content}") };
            files.insert(path.to_owned(), entry);
        }
        Ok(Self(files))
    }
}

/// What differs between the files of two images.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    new: Vec<&'a str>,
    gone: Vec<&'a str>,
    changed: Vec<&'a str>,
    /// Files that run as another user in one of the two, with mode and owner.
    setuid: Vec<Moved<String>>,
    /// Units that a target wants or requires now, and those that it did before.
    enabled: Vec<&'a str>,
    disabled: Vec<&'a str>,
}

impl<'a> Changes<'a> {
    pub fn between(old: &'a Files, new: &'a Files) -> Self {
        let mut changes = Self::default();
        let paths = old.0.keys().chain(new.0.keys().filter(|path| !old.0.contains_key(*path)));
        for path in paths {
            let (was, is) = (old.0.get(path), new.0.get(path));
            match (was, is) {
                (None, _) => changes.new.push(path),
                (_, None) => changes.gone.push(path),
                (Some(was), Some(is)) if was != is => changes.changed.push(path),
                _ => {}
            }
            let shown = |entry: Option<&Entry>| entry.map_or_else(|| NONE.to_owned(), Entry::shown);
            let (from, to) = (shown(was), shown(is));
            if from != to && [was, is].into_iter().flatten().any(Entry::is_setuid) {
                changes.setuid.push(Moved { name: path.clone(), from, to });
            }
            match (unit(path), was, is) {
                (Some(unit), None, Some(_)) => changes.enabled.push(unit),
                (Some(unit), Some(_), None) => changes.disabled.push(unit),
                _ => {}
            }
        }
        changes.new.sort_unstable();
        changes
    }

    /// For people: how many differ, what runs as another user, and which units are enabled; all paths if asked for.
    pub fn lines(&self, all: bool) -> Vec<String> {
        let Self { new, gone, changed, setuid, enabled, disabled } = self;
        let counts = [(new.len(), "added"), (gone.len(), "removed"), (changed.len(), "changed")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        let mut lines = vec![format!("files: {}", if counts.is_empty() { "the same" } else { &counts })];
        lines.extend(setuid.iter().map(|it| format!("  setuid {}: {} → {}", it.name, it.from, it.to)));
        for (units, word) in [(enabled, "enabled"), (disabled, "disabled")] {
            lines.extend((!units.is_empty()).then(|| format!("  units {word}: {}", units.join(", "))));
        }
        if all {
            for (paths, sign) in [(new, '+'), (gone, '-'), (changed, '~')] {
                lines.extend(paths.iter().map(|path| format!("  {sign} {path}")));
            }
        }
        lines
    }

    pub fn to_json(&self, all: bool) -> Value {
        let Self { new, gone, changed, setuid, enabled, disabled } = self;
        let paths = all.then(|| json!({ "new": new, "gone": gone, "changed": changed }));
        json!({
            "new": new.len(), "gone": gone.len(), "changed": changed.len(),
            "setuid": setuid, "enabled": enabled, "disabled": disabled, "paths": paths,
        })
    }
}

/// The unit that a link in one of systemd's folders enables.
fn unit(path: &str) -> Option<&str> {
    let (folder, unit) = path.strip_prefix("/etc/systemd/system/")?.split_once('/')?;
    let is_folder = folder.ends_with(".wants") || folder.ends_with(".requires");
    (is_folder && !unit.contains('/')).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_two_lists_is_told() {
        let old = "/etc\td755\t0:0\t-\t-\n/etc/a\tf644\t0:0\t5\taa\n/usr/bin/su\tf4755\t0:0\t9\tbb\n\
                   /etc/systemd/system/multi-user.target.wants/cron.service\tl777\t0:0\t-\t-> ../cron.service\n";
        let new = "/etc\td755\t0:0\t-\t-\n/etc/a\tf644\t0:0\t5\tab\n/usr/bin/su\tf755\t0:0\t9\tbb\n/usr/bin/z\tf2755\t0:8\t1\tcc\n\
                   /etc/systemd/system/sockets.target.wants/x.socket\tl777\t0:0\t-\t-> ../x.socket\n";
        let (old, new) = (Files::parse(old).unwrap(), Files::parse(new).unwrap());
        let changes = Changes::between(&old, &new);
        let all = [
            "files: 2 added, 1 removed, 2 changed",
            "  setuid /usr/bin/su: 4755 0:0 → 755 0:0",
            "  setuid /usr/bin/z: – → 2755 0:8",
            "  units enabled: x.socket",
            "  units disabled: cron.service",
            "  + /etc/systemd/system/sockets.target.wants/x.socket",
            "  + /usr/bin/z",
            "  - /etc/systemd/system/multi-user.target.wants/cron.service",
            "  ~ /etc/a",
            "  ~ /usr/bin/su",
        ];
        assert_eq!(changes.lines(true), all);
        assert_eq!(changes.lines(false), all[..5]);
        assert_eq!(changes.to_json(false)["paths"], Value::Null);
        assert_eq!(changes.to_json(true)["paths"]["gone"].as_array().unwrap().len(), 1);
        assert_eq!(Changes::between(&new, &new).lines(true), ["files: the same"]);
    }

    #[test]
    fn what_is_no_list_or_would_reach_a_terminal_raw_is_refused() {
        for list in [
            "x",
            "/a\tf644\t0:0\t1",
            "a\tf644\t0:0\t1\tx",
            "/a\u{1b}[2J\tf644\t0:0\t1\tx",
            "/l\tl777\t0:0\t-\t-> \u{9b}x",
        ] {
            assert!(Files::parse(list).is_err(), "{list:?}");
        }
        assert!(Files::read("a.files.gz", b"no gzip".to_vec()).is_err());
        crate::hostile::try_with(&[b"/a\tf644\t0:0\t1\taa\n"], |bytes| {
            let _ = std::str::from_utf8(bytes).map(Files::parse);
        });
    }
}
