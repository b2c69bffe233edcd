//! What the strings of a template lead to: files and folders of the packer directory.
//!
//! packer runs in the packer directory, and `${path.root}` is the template's folder. A path without either is tried from
//! both. What doesn't exist there (a URL, a file made while building) is no reference.

use std::collections::BTreeMap;

use super::hcl::{Hcl, Literal};
use super::layout;
use super::paths::{is_local_path, is_path_attribute, is_path_function, join};
use super::snapshot::Snapshot;

/// What a string leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub files: Vec<String>,
    /// All that is in them counts.
    pub folders: Vec<String>,
    /// The place that a path through `${path.root}` or `${path.cwd}` names, whether or not anything is there, with what
    /// is only known when packer runs as it is written.
    pub place: Option<String>,
    /// Whether a file's own name matters to whoever reads it there: on a CD, or copied into a folder.
    pub named: bool,
    /// Ends with a slash: a folder's files are meant, and not the folder with its name.
    pub slash: bool,
    /// Part of the path is only known when packer runs.
    pub uncertain: bool,
    /// What stands after that part; empty when nothing does.
    pub tail: String,
    /// The path leaves the packer directory.
    pub outside: bool,
}

impl Target {
    /// Whether two strings that differ lead to the same: the same contents, or the same place where nothing is yet.
    pub fn is_same(&self, here: &Snapshot, other: &Self, there: &Snapshot) -> bool {
        let found = |target: &Self| !target.uncertain && (!target.files.is_empty() || !target.folders.is_empty());
        if !found(self) || !found(other) {
            return found(self) == found(other) && self.place.is_some() && self.place == other.place;
        }
        let files = |target: &Self, snapshot: &Snapshot| -> Vec<_> {
            let name = |path: &String| target.named.then(|| path.rsplit('/').next().unwrap_or(path).to_owned());
            target.files.iter().map(|path| (name(path), snapshot.files.get(path).cloned())).collect()
        };
        let folders = |target: &Self, snapshot: &Snapshot| -> Vec<(Option<String>, BTreeMap<String, _>)> {
            let owned = |(path, entry): (&str, &_)| (path.to_owned(), Clone::clone(entry));
            let name = |path: &String| (!target.slash).then(|| path.rsplit('/').next().unwrap_or(path).to_owned());
            target.folders.iter().map(|folder| (name(folder), snapshot.below(folder).map(owned).collect())).collect()
        };
        // What is in a folder is compared file by file elsewhere: here its place in either layout may stand for it.
        let roles = |target: &Self| -> Vec<String> {
            target.folders.iter().map(|folder| layout::role(&format!("{folder}/"))).collect()
        };
        (self.named, self.slash) == (other.named, other.slash)
            && files(self, here) == files(other, there)
            && (roles(self) == roles(other) || folders(self, here) == folders(other, there))
    }
}

/// Where a template's strings are looked up.
pub struct Scope<'s> {
    pub snapshot: &'s Snapshot,
    /// What `${path.root}` stands for.
    pub folder: &'s str,
    pub variables: BTreeMap<String, String>,
    pub locals: BTreeMap<String, String>,
}

/// A path as far as it is known before packer runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Path {
    base: Base,
    /// Up to the first unknown part.
    text: String,
    unknown: bool,
    /// What stands after the last part that is unknown, or a variable, which the command line may set to something else.
    tail: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Base {
    #[default]
    Unsaid,
    Root,
    Cwd,
}

impl<'s> Scope<'s> {
    pub fn new(snapshot: &'s Snapshot, folder: &'s str) -> Self {
        Self { snapshot, folder, variables: BTreeMap::new(), locals: BTreeMap::new() }
    }

    /// Defaults and locals of a file that packer reads together with the template.
    pub fn learn(&mut self, hcl: &Hcl) {
        self.variables.extend(hcl.variables.clone());
        self.locals.extend(hcl.locals.clone());
    }

    /// `None` for a string that leads nowhere.
    pub fn target(&self, literal: &Literal) -> Option<Target> {
        let attribute = literal.attribute.as_deref();
        let reads = literal.call.as_deref().is_some_and(is_path_function);
        let is_path = reads || (literal.call.is_none() && attribute.is_some_and(is_path_attribute));
        let path = self.path(&literal.raw, 0)?;
        if path.text.contains("://") || path.text.contains('\\') {
            return None;
        }
        let named = !reads && !attribute.is_some_and(|name| matches!(name, "script" | "scripts"));
        let slash = literal.raw.ends_with('/');
        let mut target = Target { named, slash, uncertain: path.tail.is_some(), ..Target::default() };
        if !path.unknown {
            self.look_up(&path, is_path, &mut target);
        }
        if let Some(tail) = path.tail.as_deref().filter(|_| is_path) {
            // `${var.dir}/user-data` ends in a name, `${var.name}.sh` in part of one.
            let tail = if tail.starts_with('/') { tail.trim_matches('/') } else { "" };
            tail.clone_into(&mut target.tail);
            self.guess(&path, tail, &mut target);
        }
        // A playbook reads what lies beside it.
        if attribute.is_some_and(|name| name.starts_with("playbook_file")) {
            let beside =
                target.files.iter().filter_map(|path| path.rsplit_once('/')).map(|(folder, _)| folder.to_owned());
            target.folders.extend(beside.collect::<Vec<_>>());
        }
        let names_path = attribute.is_some_and(is_local_path);
        target.place = self.place(&literal.raw, names_path);
        let empty = target.files.is_empty() && target.folders.is_empty() && target.place.is_none();
        let found = !empty || target.outside || (is_path && target.uncertain);
        found.then_some(target)
    }

    fn look_up(&self, path: &Path, is_path: bool, target: &mut Target) {
        for place in self.places(path.base, &path.text) {
            target.outside |= is_path && place.starts_with("..");
            if let Some(folder) = before_wildcard(&place) {
                if is_path && self.snapshot.is_folder(folder) {
                    target.folders.push(folder.to_owned());
                }
            } else if self.snapshot.files.contains_key(&place) {
                target.files.push(place);
            } else if is_path && !place.is_empty() && self.snapshot.is_folder(&place) {
                target.folders.push(place);
            }
        }
    }

    fn place(&self, raw: &str, names_path: bool) -> Option<String> {
        let (folder, rest) = match (raw.strip_prefix("${path.root}"), raw.strip_prefix("${path.cwd}")) {
            (Some(rest), _) => (self.folder, rest),
            (None, Some(rest)) => ("", rest),
            (None, None) if names_path && !raw.starts_with(['/', '~']) && !raw.contains("://") => ("", raw),
            (None, None) => return None,
        };
        let (known, unknown) = rest.split_at(rest.find("${").unwrap_or(rest.len()));
        let slash = if known.ends_with('/') { "/" } else { "" };
        let place = join(folder, known.trim_start_matches('/'))?;
        Some(format!("{}{unknown}", layout::role(&format!("{place}{slash}"))))
    }

    /// Part of the path is unknown: the folder before that part counts with all that is in it, and so does every file
    /// whose path ends as this one does.
    fn guess(&self, path: &Path, tail: &str, target: &mut Target) {
        let known = path.text.rsplit_once('/').map_or("", |(folder, _)| folder);
        for place in self.places(path.base, known).into_iter().filter(|_| path.unknown) {
            target.outside |= place.starts_with("..");
            if !place.is_empty() && place != self.folder && self.snapshot.is_folder(&place) {
                target.folders.push(place);
            }
        }
        if !tail.is_empty() {
            let end = format!("/{tail}");
            let ends = |path: &&String| (path.ends_with(&end) || path.as_str() == tail) && !layout::is_apart(path);
            let found: Vec<String> = self.snapshot.files.keys().filter(ends).cloned().collect();
            target.files.extend(found.into_iter().filter(|path| !target.files.contains(path)).collect::<Vec<_>>());
        }
    }

    /// Where a path can lead, from the packer directory.
    fn places(&self, base: Base, text: &str) -> Vec<String> {
        // After `${path.root}` the text begins with a slash.
        let text = if base == Base::Unsaid { text } else { text.trim_start_matches('/') };
        let here = || join("", text);
        let at_template = || join(self.folder, text);
        let mut places: Vec<String> = match base {
            Base::Root => at_template().into_iter().collect(),
            Base::Cwd | Base::Unsaid => here().into_iter().chain(at_template()).collect(),
        };
        places.dedup();
        places
    }

    /// Puts in what variables and locals are known to be. `None` when this is no path.
    fn path(&self, raw: &str, depth: usize) -> Option<Path> {
        let mut path = Path::default();
        let mut rest = raw;
        if raw.is_empty() || raw.contains('\n') || depth > 8 {
            return None;
        }
        while let Some(at) = rest.find("${") {
            path.push(&rest[..at]);
            let end = at + rest[at..].find('}')?;
            let expression = rest[at + 2..end].trim();
            rest = &rest[end + 1..];
            self.interpolate(expression, &mut path, depth);
        }
        path.push(rest);
        Some(path)
    }

    fn interpolate(&self, expression: &str, path: &mut Path, depth: usize) {
        let first = path.text.is_empty() && !path.unknown && path.base == Base::Unsaid;
        let mut variable = false;
        let value = match expression {
            "path.root" | "path.cwd" if first => {
                path.base = if expression == "path.root" { Base::Root } else { Base::Cwd };
                return;
            }
            _ => match expression.split_once('.') {
                Some(("var", name)) => {
                    variable = true;
                    self.variables.get(name)
                }
                Some(("local", name)) => self.locals.get(name),
                _ => None,
            },
        };
        match value.and_then(|value| self.path(value, depth + 1)) {
            Some(known) if known.base == Base::Unsaid || first => {
                if first {
                    path.base = known.base;
                }
                path.push(&known.text);
                path.unknown |= known.unknown;
                path.tail = known.tail.or(path.tail.take());
                if variable {
                    path.tail = Some(String::new());
                }
            }
            _ => {
                path.unknown = true;
                path.tail = Some(String::new());
            }
        }
    }
}

impl Path {
    fn push(&mut self, text: &str) {
        if !self.unknown {
            self.text.push_str(text);
        }
        if let Some(tail) = &mut self.tail {
            tail.push_str(text);
        }
    }
}

/// The folder before the first part with a wildcard.
fn before_wildcard(path: &str) -> Option<&str> {
    let wildcard = path.find(['*', '?', '['])?;
    path[..wildcard].rfind('/').map(|slash| &path[..slash])
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Entry;
    use super::*;

    fn snapshot(paths: &[&str]) -> Snapshot {
        let file = |path: &&str| ((*path).to_owned(), Entry::new(0o100_644, path.rsplit('/').next().unwrap_or(path)));
        Snapshot { files: paths.iter().map(file).collect() }
    }

    /// What each string of a template leads to.
    fn targets(text: &str, folder: &str, snapshot: &Snapshot) -> Vec<Option<Target>> {
        let hcl = Hcl::parse(text.as_bytes());
        let mut scope = Scope::new(snapshot, folder);
        scope.learn(&hcl);
        hcl.literals.iter().map(|literal| scope.target(literal)).collect()
    }

    #[test]
    fn strings_lead_to_files_and_folders() {
        let snapshot = snapshot(&[
            "templates/x/cleanup.sh",
            "templates/x/template.pkr.hcl",
            "shared/scripts/a.sh",
            "shared/cloud-init/user-data",
            "http/preseed.cfg",
            "../site/key",
        ]);
        let none: &[&str] = &[];
        for (text, files, folders, uncertain) in [
            ("script = \"${path.root}/cleanup.sh\"", &["templates/x/cleanup.sh"][..], none, false),
            ("script = \"${path.root}/../../shared/scripts/a.sh\"", &["shared/scripts/a.sh"], none, false),
            ("script = \"${path.cwd}/shared/scripts/a.sh\"", &["shared/scripts/a.sh"], none, false),
            ("script = \"shared/scripts/a.sh\"", &["shared/scripts/a.sh"], none, false),
            ("script = \"cleanup.sh\"", &["templates/x/cleanup.sh"], none, false),
            ("x = file(\"./http/preseed.cfg\")", &["http/preseed.cfg"], none, false),
            ("anything = \"http/preseed.cfg\"", &["http/preseed.cfg"], none, false),
            ("source = \"${path.root}/../../shared/\"", none, &["shared"], false),
            ("cd_files = [\"shared/cloud-init/*\"]", none, &["shared/cloud-init"], false),
            ("playbook_file = \"http/preseed.cfg\"", &["http/preseed.cfg"], &["http"], false),
            ("source = \"${path.root}/../../../site/key\"", &["../site/key"], none, false),
            ("script = \"${path.root}/../../shared/scripts/${var.which}.sh\"", none, &["shared/scripts"], true),
            ("script = \"${var.where}/scripts/a.sh\"", &["shared/scripts/a.sh"], none, true),
        ] {
            let found = targets(text, "templates/x", &snapshot).remove(0).expect(text);
            assert_eq!(
                (found.files, found.folders, found.uncertain),
                (strings(files), strings(folders), uncertain),
                "{text}"
            );
        }
        for text in [
            "source = \"github.com/hashicorp/qemu\"",
            "source = \"https://example.org/http/preseed.cfg\"",
            "output_directory = \"shared\"",
            "script = \"/etc/passwd\"",
            "name = \"x-${var.which}\"",
        ] {
            let found = targets(text, "templates/x", &snapshot).remove(0).unwrap_or_default();
            assert_eq!((found.files, found.folders, found.uncertain), (vec![], vec![], false), "{text}");
        }
    }

    fn strings(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn variables_and_locals_are_followed() {
        let snapshot = snapshot(&["shared/scripts/a.sh"]);
        let text = "variable \"dir\" {\n default = \"scripts\"\n}\nlocals {\n  all = \"${path.root}/../../shared\"\n}\n\
                    script = \"${local.all}/${var.dir}/a.sh\"";
        let found = targets(text, "templates/x", &snapshot).pop().flatten().unwrap();
        assert_eq!((found.files, found.uncertain), (vec!["shared/scripts/a.sh".to_owned()], true));
    }

    #[test]
    fn strings_that_lead_to_the_same_are_the_same() {
        let old = snapshot(&["templates/x.pkr.hcl", "scripts/a.sh", "scripts/b.sh", "cloud-init/user-data", "a/f/1"]);
        let new = snapshot(&[
            "templates/x/template.pkr.hcl",
            "shared/scripts/a.sh",
            "shared/scripts/b.sh",
            "shared/cloud-init/user-data",
            "templates/x/b.sh",
            "b/f/1",
        ]);
        for (before, after, same) in [
            ("script = \"${path.root}/../scripts/a.sh\"", "script = \"${path.root}/../../shared/scripts/a.sh\"", true),
            ("script = \"scripts/a.sh\"", "script = \"shared/scripts/a.sh\"", true),
            ("script = \"scripts/b.sh\"", "script = \"${path.root}/b.sh\"", true),
            ("script = \"scripts/a.sh\"", "script = \"shared/scripts/b.sh\"", false),
            ("source = \"cloud-init/\"", "source = \"shared/cloud-init/\"", true),
            ("source = \"a/f\"", "source = \"b/f\"", true),
            ("source = \"a/f\"", "source = \"b/f/\"", false),
            ("source = \"a\"", "source = \"b\"", false),
            ("source = \"a/\"", "source = \"b/\"", true),
            ("cd_files = [\"cloud-init/user-data\"]", "cd_files = [\"shared/cloud-init/user-data\"]", true),
            ("output = \"${path.root}/../images/x\"", "output = \"${path.root}/../../images/x\"", true),
            ("output = \"${path.root}/../images/x\"", "output = \"${path.root}/../images/x\"", false),
            ("output = \"images/x\"", "output = \"images/y\"", false),
            ("output_directory = \"images/x\"", "output_directory = \"${path.root}/../../images/x\"", true),
            ("output_directory = \"images/x\"", "output_directory = \"images/./x\"", true),
            ("output_directory = \"images/x\"", "output_directory = \"images/y\"", false),
            ("inline = \"s/a/./\"", "inline = \"s/a/\"", false),
            ("output = \"${path.root}/../i/${var.a}\"", "output = \"${path.root}/../../i/${var.a}\"", true),
            ("output = \"${path.root}/../i/${var.a}\"", "output = \"${path.root}/../../i/${var.b}\"", false),
            (
                "script = \"${path.root}/../scripts/${var.a}\"",
                "script = \"${path.root}/../../shared/scripts/${var.a}\"",
                true,
            ),
        ] {
            let one = |text, folder, snapshot| targets(text, folder, snapshot).remove(0).unwrap_or_default();
            let (from, to) = (one(before, "templates", &old), one(after, "templates/x", &new));
            assert_eq!(from.is_same(&old, &to, &new), same, "{before} → {after}");
        }
    }
}
