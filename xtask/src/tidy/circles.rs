//! No two files of a crate import each other, directly or by way of others.
//!
//! An arrow goes from a file to the one that defines what it names: by `use`, or by a path within
//! its code. A name that a module only passes on (`pub use`) leads to where it comes from. That a
//! module declares its children (`mod a;`) is no arrow; that it uses what is in one of them is.
//! Tests are left out. Each circle is one finding, with all names that tie it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::finding::Finding;
use super::paths::{self, Named, Names};
use super::source::Source;

/// Longest chain of names that only pass on another.
const PASSED_ON_MAX: usize = 16;

/// Looks for circles in every crate.
pub fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    let by_path: HashMap<&str, &Source> =
        sources.iter().map(|source| (source.path.as_str(), source)).collect();
    // A file may belong to a library and a program beside it.
    let mut told = BTreeSet::new();
    for root in sources.iter().filter(|source| is_root(&source.path)) {
        let house = House::read(root, &by_path);
        let arrows = house.arrows();
        for circle in circles(&arrows) {
            if told.insert(circle.clone()) {
                findings.push(finding(&circle, &arrows));
            }
        }
    }
}

/// Whether a crate of the workspace, a library or a program, begins here.
fn is_root(path: &str) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    let is_program =
        folder.ends_with("/src/bin") || folder.rsplit_once('/').is_some_and(|(f, _)| f.ends_with("/src/bin"));
    match file {
        "lib.rs" => folder.ends_with("/src"),
        "main.rs" => folder.ends_with("/src") || is_program,
        _ => folder.ends_with("/src/bin") && file.ends_with(".rs"),
    }
}

/// A module of a crate.
struct Module<'a> {
    source: &'a Source,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// What names stand for here, by `use`.
    names: BTreeMap<String, Vec<String>>,
    /// What its code names.
    paths: Vec<Named>,
}

/// The modules of a crate; the first is its root.
struct House<'a> {
    modules: Vec<Module<'a>>,
}

/// From a file to another: which names, and the byte of the first.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (BTreeSet<String>, &'a Source, usize)>>;

impl<'a> House<'a> {
    fn read(root: &'a Source, files: &HashMap<&str, &'a Source>) -> Self {
        let mut house = Self { modules: Vec::new() };
        let folder = root.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        house.take_in(root, folder, None, files);
        house
    }

    /// Takes in a file as a module, with all that lies below it; gives its number.
    fn take_in(
        &mut self,
        source: &'a Source,
        folder: &str,
        parent: Option<usize>,
        files: &HashMap<&str, &'a Source>,
    ) -> usize {
        let Names { paths, inner, outer } = paths::read(source);
        let top = self.add(source, parent);
        for path in inner {
            let (name, around) = path.split_last().expect("a module has a name");
            let parent = self.below(top, around);
            let number = self.add(source, Some(parent));
            self.modules[parent].children.insert(name.clone(), number);
        }
        for path in outer {
            let (name, around) = path.split_last().expect("a module has a name");
            let parent = self.below(top, around);
            let folder = [&[folder.to_owned()], around].concat().join("/");
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            if let Some(file) = places.iter().find_map(|place| files.get(place.as_str())) {
                let number = self.take_in(file, &format!("{folder}/{name}"), Some(parent), files);
                self.modules[parent].children.insert(name.clone(), number);
            }
        }
        for named in paths {
            let number = self.below(top, &named.within);
            let module = &mut self.modules[number];
            if let Some(bound) = &named.bound {
                module.names.insert(bound.clone(), named.path.clone());
            }
            module.paths.push(named);
        }
        top
    }

    fn add(&mut self, source: &'a Source, parent: Option<usize>) -> usize {
        let (children, names) = (BTreeMap::new(), BTreeMap::new());
        self.modules.push(Module { source, parent, children, names, paths: Vec::new() });
        self.modules.len() - 1
    }

    fn below(&self, top: usize, path: &[String]) -> usize {
        path.iter().fold(top, |at, name| self.modules[at].children.get(name).copied().unwrap_or(at))
    }

    /// Who names what of whom.
    fn arrows(&self) -> Arrows<'a> {
        let mut arrows = Arrows::new();
        for (number, module) in self.modules.iter().enumerate() {
            for named in &module.paths {
                let Some((target, item)) = self.resolve(number, &named.path, 0) else { continue };
                let (from, to) = (module.source, self.modules[target].source);
                if from.path != to.path {
                    let name = item.unwrap_or_else(|| "the module itself".to_owned());
                    let arrow = arrows.entry(from.path.as_str()).or_default().entry(to.path.as_str());
                    arrow.or_insert_with(|| (BTreeSet::new(), from, named.byte)).0.insert(name);
                }
            }
        }
        arrows
    }

    /// The module that a path leads to, and the name of what is meant in it; `None`: out of the
    /// crate.
    fn resolve(&self, from: usize, path: &[String], passed_on: usize) -> Option<(usize, Option<String>)> {
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (0, rest),
            "self" => (from, rest),
            "super" => (self.modules[from].parent?, rest),
            name if self.modules[from].children.contains_key(name) => (from, path),
            _ => return None,
        };
        while let Some((name, after)) = rest.split_first() {
            let module = &self.modules[at];
            if name == "super" {
                at = module.parent?;
            } else if let Some(child) = module.children.get(name) {
                at = *child;
            } else if let Some(stands_for) = module.names.get(name) {
                if passed_on == PASSED_ON_MAX {
                    return None;
                }
                let (module, item) = self.resolve(at, stands_for, passed_on + 1)?;
                if item.is_some() {
                    return Some((module, item));
                }
                at = module;
            } else {
                return Some((at, Some(name.clone())));
            }
            rest = after;
        }
        Some((at, None))
    }
}

/// Groups of files each of which reaches each other.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|from| (*from, reach(from, arrows))).collect();
    let mut circles = BTreeSet::new();
    for (from, theirs) in &reached {
        if theirs.contains(from) {
            let back = |to: &&&str| reached.get(**to).is_some_and(|back| back.contains(from));
            circles.insert(theirs.iter().filter(back).copied().collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

fn reach<'a>(from: &str, arrows: &Arrows<'a>) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(from) = next.pop() {
        for to in arrows.get(from.as_str()).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                next.push((*to).to_owned());
            }
        }
    }
    reached
}

fn finding(circle: &[&str], arrows: &Arrows<'_>) -> Finding {
    let mut ties = Vec::new();
    let mut place = None;
    for from in circle {
        for (to, (names, source, byte)) in arrows.get(from).into_iter().flatten() {
            if circle.contains(to) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                ties.push(format!("  {from} takes of {to}: {}", names.join(", ")));
                place.get_or_insert((*source, *byte));
            }
        }
    }
    let text = format!(
        "{} files import each other in a circle: move what ties them to a file below both\n{}",
        circle.len(),
        ties.join("\n")
    );
    let (source, byte) = place.expect("a circle has an arrow");
    Finding::at(source, &source.code, byte, text)
}
