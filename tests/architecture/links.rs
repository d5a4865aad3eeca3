//! Which file names which, and the circles among files.
//!
//! A path is followed to the file that defines its name: through `crate`, `self` and `super`, through modules, and through
//! what a front door hands on with `use`. A front door (`a/mod.rs`, or `a.rs` beside `a/`) opens onto the files of its own
//! folder: that is the tree itself and no arrow, so that a door may hold what its files share, and put together what they are. Tests inside files,
//! and files that are tests, are left out. What a method call names is not seen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::source::{Names, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// The deepest chain of names handed on that is followed: `use` may name itself.
const HOPS_MAX: usize = 16;

pub(crate) struct Links<'a> {
    tree: &'a Tree,
    /// By its path below the crate: `["convert", "path"]`. `lib.rs` has no part, `main.rs` is no module.
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    /// Its place in the tree.
    file: usize,
    names: Names,
}

/// One file names another: the line and the name first seen.
type Arrows = BTreeMap<usize, BTreeMap<usize, (usize, String)>>;

impl<'a> Links<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        let named = |(file, source): (usize, &super::source::Source)| {
            let stem = source.file.trim_end_matches(".rs");
            let stem = stem.strip_suffix("/mod").unwrap_or(stem);
            let path: Vec<String> = stem.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
            (path, Module { file, names: source.names() })
        };
        let mut modules: BTreeMap<Vec<String>, Module> = tree.sources.iter().enumerate().map(named).collect();
        let tests: BTreeSet<Vec<String>> = modules
            .iter()
            .flat_map(|(path, module)| {
                module.names.test_modules.iter().map(|name| [path.as_slice(), std::slice::from_ref(name)].concat())
            })
            .collect();
        modules.retain(|path, _| !(1..=path.len()).any(|length| tests.contains(&path[..length])));
        Self { tree, modules }
    }

    /// Every group of files each of which names, over others, itself: one line each.
    pub(crate) fn circles(&self) -> Vec<String> {
        let arrows = self.arrows();
        let reached: BTreeMap<usize, BTreeSet<usize>> =
            arrows.keys().map(|from| (*from, reach(&arrows, *from))).collect();
        let mut groups: Vec<BTreeSet<usize>> = Vec::new();
        for (file, others) in reached.iter().filter(|(file, others)| others.contains(file)) {
            if !groups.iter().any(|group| group.contains(file)) {
                groups.push(others.iter().copied().filter(|other| reached[other].contains(file)).collect());
            }
        }
        groups.iter().map(|group| self.told(group, &arrows)).collect()
    }

    /// `a.rs, b.rs name each other: a.rs:3 names X of b.rs; …`
    fn told(&self, group: &BTreeSet<usize>, arrows: &Arrows) -> String {
        let file = |number: &usize| self.tree.sources[*number].file.as_str();
        let inside = group.iter().flat_map(|from| {
            let to = arrows[from].iter().filter(|(to, _)| group.contains(to));
            to.map(move |(to, (line, name))| format!("{}:{line} names {name} of {}", file(from), file(to)))
        });
        let inside: Vec<String> = inside.collect();
        let files: Vec<&str> = group.iter().map(file).collect();
        format!("{} name each other:\n  {}", files.join(", "), inside.join("\n  "))
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (path, module) in &self.modules {
            let names = &module.names;
            let imports = names.imports.iter().filter(|import| !import.handed_on || names.words.contains(&import.name));
            let imports = imports.map(|import| (import.line, &import.path));
            let from = arrows.entry(module.file).or_default();
            for (line, named) in imports.chain(names.paths.iter().map(|(line, path)| (*line, path))) {
                let to = self.file_of(path, named, HOPS_MAX);
                if let Some(to) = to.filter(|to| *to != module.file && !self.is_door_of(module.file, *to)) {
                    from.entry(to).or_insert_with(|| (line, named.join("::")));
                }
            }
        }
        arrows
    }

    fn is_door_of(&self, door: usize, file: usize) -> bool {
        let (door, file) = (&self.tree.sources[door].file, &self.tree.sources[file].file);
        let folder = door.strip_suffix("/mod.rs").or_else(|| door.strip_suffix(".rs"));
        folder.and_then(|folder| file.strip_prefix(folder)).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The file that defines what `named` means in the module `at`; none if it is of another crate.
    fn file_of(&self, at: &[String], named: &[String], hops: usize) -> Option<usize> {
        let hops = hops.checked_sub(1)?;
        match named.first().map(String::as_str)? {
            "crate" | "nephoscope" | "nephoscope_convert" => self.below(&[], &named[1..], hops),
            "self" => self.below(at, &named[1..], hops),
            "super" => {
                let (parent, rest) = (&at[..at.len().checked_sub(1)?], &named[1..]);
                match rest.first() {
                    Some(next) if next == "super" => self.file_of(parent, rest, hops),
                    _ => self.below(parent, rest, hops),
                }
            }
            _ => self.known(at, named, hops),
        }
    }

    /// A path from a module on. What nobody is seen to define (a macro makes it) is taken for the module's own. A module
    /// alone is no file yet: what is taken from it decides.
    fn below(&self, at: &[String], rest: &[String], hops: usize) -> Option<usize> {
        let own = || self.modules.get(at).filter(|_| !rest.is_empty()).map(|module| module.file);
        self.known(at, rest, hops).or_else(own)
    }

    /// A path from a module on, if its first name is a module below, defined there, or brought there by `use`.
    fn known(&self, at: &[String], rest: &[String], hops: usize) -> Option<usize> {
        let module = self.modules.get(at)?;
        let first = rest.first()?;
        let child = [at, std::slice::from_ref(first)].concat();
        if self.modules.contains_key(&child) {
            return self.below(&child, &rest[1..], hops);
        }
        if module.names.defined.contains(first) {
            return Some(module.file);
        }
        if let Some(import) = module.names.imports.iter().find(|import| import.name == *first) {
            return self.file_of(at, &[import.path.as_slice(), &rest[1..]].concat(), hops);
        }
        let globs = module.names.imports.iter().filter(|import| import.name == "*");
        let mut through = globs.filter_map(|import| {
            let (_, before) = import.path.split_last().unwrap();
            let path = [before, rest].concat();
            self.file_of(at, &path, hops).filter(|file| self.defines(*file, first))
        });
        through.next()
    }

    fn defines(&self, file: usize, name: &str) -> bool {
        self.modules.values().any(|module| module.file == file && module.names.defined.contains(name))
    }
}

/// All files that arrows lead to from one.
fn reach(arrows: &Arrows, from: usize) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for to in arrows.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                open.push(*to);
            }
        }
    }
    reached
}
