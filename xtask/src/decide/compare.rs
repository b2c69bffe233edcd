//! Whether what an image is made of differs between two moments, judged by content: a file that only moved is no change.

use std::collections::{BTreeMap, BTreeSet};

use super::comments::{self, Language};
use super::inputs::{self, Input, Inputs, Named, Read};
use super::references::Target;
use super::snapshot::{Contents, Snapshot};

/// One moment: its files and what each image is made of.
pub struct Side {
    pub snapshot: Snapshot,
    pub images: BTreeMap<String, Inputs>,
}

/// How an input differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Added,
    Removed,
    Changed,
    /// Only its permissions or kind.
    Mode,
}

impl How {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Mode => "mode changed",
        }
    }
}

/// One input that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// From the packer directory; where it is now, or was if it is gone.
    pub path: String,
    pub how: How,
    /// Where it was, if that was elsewhere.
    pub was: Option<String>,
}

/// What differs for one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Any of these means a rebuild.
    pub counted: BTreeSet<Change>,
    /// Comment lines and blank lines alone.
    pub comments: BTreeSet<Change>,
}

/// Which side has a template for the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// No template before.
    New,
    /// No template now.
    Gone,
    Both(Difference),
}

/// Compares what `image` is made of.
pub fn compare(image: &str, old: &Side, new: &Side, contents: &mut Contents) -> anyhow::Result<Comparison> {
    let (Some(before), Some(after)) = (old.images.get(image), new.images.get(image)) else {
        return Ok(if new.images.contains_key(image) { Comparison::New } else { Comparison::Gone });
    };
    let mut pairing =
        Pairing { old, new, before, after, contents, difference: Difference::default(), paired: Vec::new() };
    pairing.run()?;
    Ok(Comparison::Both(pairing.difference))
}

struct Pairing<'a> {
    old: &'a Side,
    new: &'a Side,
    before: &'a Inputs,
    after: &'a Inputs,
    contents: &'a mut Contents,
    difference: Difference,
    /// Paths that the same place in a template names, before and now.
    paired: Vec<(String, String)>,
}

impl Pairing<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let mut gone: Vec<&Input> = Vec::new();
        let mut come: Vec<&Input> = Vec::new();
        for (role, input) in &self.before.files {
            match self.after.files.get(role) {
                None => gone.push(input),
                Some(now) if now.entry == input.entry => {}
                Some(now) => self.same_role(input, now)?,
            }
        }
        come.extend(
            self.after.files.iter().filter(|(role, _)| !self.before.files.contains_key(*role)).map(|(_, now)| now),
        );

        // What the same place in the template names is one file, whatever else has its content.
        for (from, to) in std::mem::take(&mut self.paired) {
            let at = gone.iter().position(|was| was.path == from).zip(come.iter().position(|now| now.path == to));
            if let Some((was, now)) = at {
                let (was, now) = (gone.remove(was), come.remove(now));
                if was.entry != now.entry {
                    self.same_role(was, now)?;
                }
            }
        }
        let mut unpaired = Vec::new();
        for was in gone {
            match come.iter().position(|now| self.is_moved(was, now)) {
                Some(at) => drop(come.remove(at)),
                None => unpaired.push(was),
            }
        }
        for was in unpaired {
            if !self.is_moved_away(was) {
                self.count(&was.path, How::Removed, None);
            }
        }
        for now in come {
            if !self.is_moved_here(now) {
                self.count(&now.path, How::Added, None);
            }
        }
        Ok(())
    }

    /// Two versions of one file.
    fn same_role(&mut self, was: &Input, now: &Input) -> anyhow::Result<()> {
        let moved = (was.path != now.path).then(|| was.path.clone());
        if (was.entry.mode, was.entry.linked) != (now.entry.mode, now.entry.linked) {
            let how = if was.entry.id == now.entry.id { How::Mode } else { How::Changed };
            self.count(&now.path, how, moved);
            return Ok(());
        }
        let languages = (Language::of(&was.path), Language::of(&now.path));
        let verdict = match languages {
            (Some(Language::Hcl), Some(Language::Hcl)) => self.hcl(was, now)?,
            (Some(Language::Shell), Some(Language::Shell)) => self.shell(was, now)?,
            _ => Verdict::Changed,
        };
        match verdict {
            Verdict::Same => {}
            Verdict::Comments => {
                let change = Change { path: now.path.clone(), how: How::Changed, was: moved };
                self.difference.comments.insert(change);
            }
            Verdict::Changed => self.count(&now.path, How::Changed, moved),
        }
        Ok(())
    }

    fn shell(&mut self, was: &Input, now: &Input) -> anyhow::Result<Verdict> {
        let (Some(old), Some(new)) = (self.contents.read(&was.entry.id)?, self.contents.read(&now.entry.id)?) else {
            return Ok(Verdict::Changed);
        };
        let same = comments::only_comments_differ(Language::Shell, &old, &new);
        Ok(if same { Verdict::Comments } else { Verdict::Changed })
    }

    /// HCL is compared with its strings taken out, then string by string: one that names the same content in another
    /// place is the same.
    fn hcl(&mut self, was: &Input, now: &Input) -> anyhow::Result<Verdict> {
        let old = inputs::read(&self.old.snapshot, self.before, &was.entry.id, self.contents)?;
        let new = inputs::read(&self.new.snapshot, self.after, &now.entry.id, self.contents)?;
        let (Some(old), Some(new)) = (old, new) else { return Ok(Verdict::Changed) };
        let verdict = if old.hcl.skeleton(false) == new.hcl.skeleton(false) {
            Verdict::Same
        } else if !old.hcl.entangled && !new.hcl.entangled && old.hcl.skeleton(true) == new.hcl.skeleton(true) {
            Verdict::Comments
        } else {
            return Ok(Verdict::Changed);
        };
        Ok(if self.strings(&old, &new) { verdict } else { Verdict::Changed })
    }

    fn strings(&mut self, old: &Read, new: &Read) -> bool {
        let strings = |read: &Read| read.hcl.literals.len();
        if strings(old) != strings(new) {
            return false;
        }
        let mut paired = Vec::new();
        for at in 0..strings(old) {
            let written_alike = old.hcl.literals[at].raw == new.hcl.literals[at].raw;
            let same = match (&old.targets[at], &new.targets[at]) {
                (Some(was), Some(now)) => {
                    was.is_same(&self.old.snapshot, now, &self.new.snapshot)
                        || (written_alike && self.leads_alike(was, now))
                        || self.pair(was, now).map(|pair| paired.push(pair)).is_some()
                }
                // One that led somewhere and leads nowhere now is missed among the files.
                _ => written_alike,
            };
            if !same {
                return false;
            }
        }
        self.paired.extend(paired);
        true
    }

    /// Whether a string that is written as before leads to the same place: what lies there is compared as a file.
    fn leads_alike(&self, was: &Target, now: &Target) -> bool {
        let found = |target: &Target| !target.files.is_empty() || !target.folders.is_empty();
        self.before.template.folder == self.after.template.folder
            || (was.files == now.files && was.folders == now.folders)
            || (!found(was) && !found(now))
            || (was.uncertain && now.uncertain)
    }

    /// Another path in the same place of the template: one file that moved, if it is gone from there and wasn't here.
    fn pair(&self, was: &Target, now: &Target) -> Option<(String, String)> {
        let ([from], [to]) = (was.files.as_slice(), now.files.as_slice()) else { return None };
        let kept_name = !was.named || from.rsplit('/').next() == to.rsplit('/').next();
        let certain = !was.uncertain && !now.uncertain && was.named == now.named;
        let moved = !self.new.snapshot.files.contains_key(from) && !self.old.snapshot.files.contains_key(to);
        (kept_name && certain && moved).then(|| (from.clone(), to.clone()))
    }

    /// Whether a file is the same in another place. Where a whole folder is named its path in it matters, and the folder
    /// must have moved with it.
    fn is_moved(&self, was: &Input, now: &Input) -> bool {
        let place = match (&was.named, &now.named) {
            (Some(Named::InFolder(was)), Some(Named::InFolder(now))) => {
                was.rest == now.rest
                    && !self.new.snapshot.is_folder(&was.folder)
                    && !self.old.snapshot.is_folder(&now.folder)
            }
            (None, None) => !self.before.may_name(&was.path) && !self.after.may_name(&now.path),
            (Some(Named::File), Some(Named::File)) => true,
            // The template no longer finds it, or finds it now.
            _ => false,
        };
        place && was.entry == now.entry
    }

    /// Whether a file that the image no longer has was none of its own: the template doesn't name it, and it went
    /// elsewhere, or was another image's all along.
    fn is_moved_away(&self, was: &Input) -> bool {
        if was.named.is_some() || self.before.may_name(&was.path) {
            return false;
        }
        let between_layouts = self.before.template.flat != self.after.template.flat;
        (between_layouts && was.named_elsewhere) || went(was, &self.old.snapshot, &self.new.snapshot)
    }

    /// The same the other way round.
    fn is_moved_here(&self, now: &Input) -> bool {
        if now.named.is_some() || self.after.may_name(&now.path) {
            return false;
        }
        let between_layouts = self.before.template.flat != self.after.template.flat;
        (between_layouts && self.after.template.flat && now.named_elsewhere)
            || went(now, &self.new.snapshot, &self.old.snapshot)
    }

    fn count(&mut self, path: &str, how: How, was: Option<String>) {
        self.difference.counted.insert(Change { path: path.to_owned(), how, was });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Comments,
    Changed,
}

/// Whether a file is, on the other side, in a place where there is none on this side.
fn went(file: &Input, here: &Snapshot, there: &Snapshot) -> bool {
    !file.entry.is_empty()
        && there.files.iter().any(|(path, entry)| *entry == file.entry && !here.files.contains_key(path))
}
