//! What an image is made of at one moment: the files that belong to it by their place, and those that its template names.

use std::collections::{BTreeMap, BTreeSet};

use super::hcl::Hcl;
use super::layout::{self, Owner, Template};
use super::references::{Scope, Target};
use super::snapshot::{Contents, Entry, Snapshot};

/// How a template names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By itself.
    File,
    /// With a folder that it is in.
    InFolder(Place),
}

/// A file's place in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub folder: String,
    pub rest: String,
}

/// One file that an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub path: String,
    pub entry: Entry,
    /// `None` when it belongs to the image by its place alone.
    pub named: Option<Named>,
    /// Whether a template of another image names it.
    pub named_elsewhere: bool,
}

/// All that an image is made of.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub template: Template,
    /// By the file's name in both layouts.
    pub files: BTreeMap<String, Input>,
    /// How the paths end that are only known when packer runs; an empty one can be any.
    unknown: Vec<String>,
    /// The template names something outside of the packer directory.
    pub outside: bool,
}

impl Inputs {
    /// Whether the template may name a file in a way that is only known when packer runs.
    pub fn may_name(&self, path: &str) -> bool {
        let leads_to = |tail: &String| {
            tail.is_empty() || format!("/{path}").ends_with(&format!("/{tail}")) || path.contains(&format!("{tail}/"))
        };
        self.unknown.iter().any(leads_to)
    }
}

/// A template's text with what its strings lead to.
pub struct Read {
    pub hcl: Hcl,
    /// One for each string.
    pub targets: Vec<Option<Target>>,
}

/// The inputs of all images of a snapshot. `names` are the templates of either side of a comparison.
pub fn of_all(
    snapshot: &Snapshot,
    names: &BTreeSet<String>,
    contents: &mut Contents,
) -> anyhow::Result<BTreeMap<String, Inputs>> {
    let mut all = BTreeMap::new();
    for (name, template) in templates(snapshot, contents)? {
        all.insert(name.clone(), of_image(snapshot, &name, template, names, contents)?);
    }
    let named: BTreeMap<String, BTreeSet<String>> = all
        .iter()
        .map(|(name, inputs)| {
            let files = inputs.files.values().filter(|input| input.named.is_some());
            (name.clone(), files.map(|input| input.path.clone()).collect())
        })
        .collect();
    for (name, inputs) in &mut all {
        for input in inputs.files.values_mut() {
            input.named_elsewhere = named.iter().any(|(other, paths)| other != name && paths.contains(&input.path));
        }
    }
    Ok(all)
}

/// The templates of a snapshot. A file of the flat layout that declares neither a source nor a build is read together with
/// templates and is none itself: variables, plugins.
pub fn templates(snapshot: &Snapshot, contents: &mut Contents) -> anyhow::Result<BTreeMap<String, Template>> {
    let mut found = layout::templates(snapshot);
    let mut apart = Vec::new();
    for (name, template) in found.iter().filter(|(_, template)| template.flat) {
        let Some(entry) = snapshot.files.get(&template.path) else { continue };
        let text = contents.read(&entry.id)?;
        if text.is_some_and(|text| !text.is_empty() && !Hcl::parse(&text).builds) {
            apart.push(name.clone());
        }
    }
    found.retain(|name, _| !apart.contains(name));
    Ok(found)
}

fn of_image(
    snapshot: &Snapshot,
    name: &str,
    template: Template,
    names: &BTreeSet<String>,
    contents: &mut Contents,
) -> anyhow::Result<Inputs> {
    let mut files = BTreeMap::new();
    for (path, entry) in &snapshot.files {
        let (owner, role) = layout::owner(path, names);
        let belongs = match owner {
            Owner::Image(owner) => owner == name,
            Owner::Every => true,
            Owner::EveryFlat => template.flat,
            Owner::Nobody => false,
        };
        if belongs {
            let role = if *path == template.path { layout::role_of_template() } else { role };
            let input = Input { path: path.clone(), entry: entry.clone(), named: None, named_elsewhere: false };
            insert(&mut files, role, input);
        }
    }

    let sources: Vec<(String, Entry)> = files
        .values()
        .filter(|input| input.path.ends_with(".hcl") && !layout::is_apart(&input.path))
        .map(|input| (input.path.clone(), input.entry.clone()))
        .collect();
    let mut unknown = Vec::new();
    let mut outside = false;
    let mut scope = Scope::new(snapshot, &template.folder);
    let mut parsed = Vec::new();
    for (_, entry) in &sources {
        match contents.read(&entry.id)? {
            Some(text) => {
                let hcl = Hcl::parse(&text);
                scope.learn(&hcl);
                parsed.push(hcl);
            }
            None => unknown.push(String::new()),
        }
    }
    for hcl in &parsed {
        unknown.extend(hcl.computed.then(String::new));
        for target in hcl.literals.iter().filter_map(|literal| scope.target(literal)) {
            unknown.extend(target.uncertain.then(|| target.tail.clone()));
            outside |= target.outside;
            name_files(&mut files, snapshot, &target);
        }
    }
    let apart = |path: &str| layout::is_apart(path) || layout::is_build_script(path);
    files.retain(|_, input| input.named.is_some() || !apart(&input.path));
    Ok(Inputs { template, files, unknown, outside })
}

/// Reads one HCL file of an image, as [`of_all`] does.
pub fn read(snapshot: &Snapshot, inputs: &Inputs, id: &str, contents: &mut Contents) -> anyhow::Result<Option<Read>> {
    let mut scope = Scope::new(snapshot, &inputs.template.folder);
    for input in inputs.files.values().filter(|input| input.path.ends_with(".hcl")) {
        if let Some(text) = contents.read(&input.entry.id)? {
            scope.learn(&Hcl::parse(&text));
        }
    }
    let Some(text) = contents.read(id)? else { return Ok(None) };
    let hcl = Hcl::parse(&text);
    let targets = hcl.literals.iter().map(|literal| scope.target(literal)).collect();
    Ok(Some(Read { hcl, targets }))
}

fn name_files(files: &mut BTreeMap<String, Input>, snapshot: &Snapshot, target: &Target) {
    let alone = target.files.iter().map(|path| (path.clone(), Named::File));
    let in_folders = target.folders.iter().flat_map(|folder| {
        snapshot.below(folder).map(move |(rest, _)| {
            let path = if folder.is_empty() { rest.to_owned() } else { format!("{folder}/{rest}") };
            (path, Named::InFolder(Place { folder: folder.clone(), rest: rest.to_owned() }))
        })
    });
    for (path, named) in alone.chain(in_folders) {
        if let Some(known) = files.values_mut().find(|input| input.path == path) {
            // Both ways: what depends on the path in a folder depends on more.
            if !matches!(known.named, Some(Named::InFolder(_))) {
                known.named = Some(named);
            }
        } else if let Some(entry) = snapshot.files.get(&path) {
            let role = layout::role(&path);
            let input = Input { path, entry: entry.clone(), named: Some(named), named_elsewhere: false };
            insert(files, role, input);
        }
    }
}

/// Two files can have one name in both layouts, while a repository is between them: the second keeps its own path.
fn insert(files: &mut BTreeMap<String, Input>, role: String, input: Input) {
    let key = if files.contains_key(&role) { format!("./{}", input.path) } else { role };
    files.insert(key, input);
}
