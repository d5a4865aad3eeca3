//! Paths: the JSONPath dialect of Ceilometer (jsonpath-rw with its extensions; Ceilometer reference, Appendix A),
//! parsed once into a tree and evaluated on messages.
//!
//! Never here: what a definition does with what was found. Nothing a message holds makes evaluation recurse, and what
//! it may cost is bounded (`WORK_MAX`).

mod arithmetic;
mod eval;
mod filter;
mod lexer;
mod matched;
mod named;
mod parser;
mod sorting;
mod tree;

use crate::model::python::Raised;
use crate::model::{ContextMembers, Value};
use eval::Evaluation;
use matched::{Match, no_attribute};
use std::borrow::Cow;
use tree::{Name, Tree, Walk};

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the path '{path}': {why}, at byte {at}")]
pub struct PathError {
    /// The text.
    pub path: Box<str>,
    /// Where the trouble is, in bytes from 0.
    pub at: usize,
    /// What it is.
    pub why: String,
}

/// A compiled path.
#[derive(Debug, Clone)]
pub struct Path {
    kind: Kind,
    reads_priority: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `a.b.c`, which nearly all are: no need of matches.
    Bare(Box<[Name]>),
    Tree {
        tree: Tree,
        climbs: bool,
        /// The walks that find the first value, where the tree is a union of walks and nothing else.
        walks: Option<Box<[Walk]>>,
    },
}

/// A match of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched<'a> {
    /// Where, as `payload.list.[0].name`; empty for a computed value, and where places were not asked for.
    pub place: String,
    /// What.
    pub value: Cow<'a, Value>,
}

impl Path {
    /// Reads a path. Root members of the flat notifications of the older releases are found where they are today.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let mut tree = parser::parse(text, lexer::tokens(text)?)?;
        let reads_priority = tree.see_flat_members();
        let kind = match tree.bare_names() {
            Some(names) => Kind::Bare(names.into()),
            None => Kind::Tree { climbs: tree.climbs(), walks: tree.walks().map(Vec::into_boxed_slice), tree },
        };
        Ok(Path { kind, reads_priority })
    }

    /// Whether it looks at the `priority` that the root had before 9.0: it is to be evaluated on
    /// [`Notification::flat_root`](crate::model::Notification::flat_root).
    pub fn reads_priority(&self) -> bool {
        self.reads_priority
    }

    /// Where a text may stand for itself: a bare name finds only what is there today.
    pub fn as_word(&mut self) {
        if let Kind::Bare(names) = &mut self.kind
            && let [name] = &mut **names
        {
            name.today = None;
            self.reads_priority = false;
        }
    }

    /// All matches in order, nulls among them. `None` is a parent that is not there: most who ask stumble over it.
    fn matches<'a>(&'a self, root: &'a Value, placed: bool) -> Result<Vec<Option<Matched<'a>>>, Raised> {
        match &self.kind {
            Kind::Bare(names) => {
                let place = if placed {
                    names.iter().map(|name| &*name.text).collect::<Vec<_>>().join(".")
                } else {
                    String::new()
                };
                Ok(walk(names, root)
                    .map(|value| Some(Matched { place, value: Cow::Borrowed(value) }))
                    .into_iter()
                    .collect())
            }
            Kind::Tree { tree, climbs, .. } => {
                let evaluation = Evaluation::new(*climbs || placed);
                let found = evaluation.whole(tree, root)?;
                let told = |m: Match<'a>| {
                    let place = if placed { m.path() } else { String::new() };
                    Ok(Matched { place, value: m.value.into_cow(&|units| evaluation.spend(units))? })
                };
                found.into_iter().map(|m| m.map(told).transpose()).collect()
            }
        }
    }

    /// The first value that is not null.
    pub fn first<'a>(&'a self, root: &'a Value) -> Result<Option<Cow<'a, Value>>, Raised> {
        match &self.kind {
            Kind::Bare(names) => return Ok(walk(names, root).filter(|value| !value.is_null()).map(Cow::Borrowed)),
            Kind::Tree { walks: Some(walks), .. } => {
                return Ok(walks.iter().find_map(|steps| first_of(steps, root)).map(Cow::Borrowed));
            }
            Kind::Tree { walks: None, .. } => {}
        }
        let found = self.present(root, false)?;
        Ok(found.into_iter().next().map(|m| m.value))
    }

    /// The matches that are not null. `AttributeError` for a missing parent.
    pub fn present<'a>(&'a self, root: &'a Value, placed: bool) -> Result<Vec<Matched<'a>>, Raised> {
        let mut present = Vec::new();
        for m in self.matches(root, placed)? {
            present.extend(Some(m.ok_or_else(no_attribute)?).filter(|m| !m.value.is_null()));
        }
        Ok(present)
    }

    /// The values of all matches, nulls among them; a missing parent is left out.
    pub fn all<'a>(&'a self, root: &'a Value) -> Result<Vec<Cow<'a, Value>>, Raised> {
        Ok(self.matches(root, false)?.into_iter().flatten().map(|m| m.value).collect())
    }

    /// All matches with their places, nulls among them. `AttributeError` for a missing parent.
    pub fn placed<'a>(&'a self, root: &'a Value) -> Result<Vec<Matched<'a>>, Raised> {
        self.matches(root, true)?.into_iter().map(|m| m.ok_or_else(no_attribute)).collect()
    }

    /// Adds what it may look at in the request context.
    pub fn add_context_members(&self, members: &mut ContextMembers) {
        match &self.kind {
            Kind::Bare(names) => {
                let mut steps = names.iter().map(std::slice::from_ref);
                add_begun(steps.next().unwrap_or_default(), steps.next(), members);
            }
            Kind::Tree { walks: Some(walks), .. } => {
                for walk in walks {
                    let mut steps = walk.iter().map(|names| &**names);
                    add_begun(steps.next().unwrap_or_default(), steps.next(), members);
                }
            }
            Kind::Tree { walks: None, tree, climbs } => {
                let mut names = Vec::new();
                if *climbs || tree.begins_with(&mut names).is_none() {
                    *members = ContextMembers::All;
                }
                names.into_iter().for_each(|name| add_begun(std::slice::from_ref(name), None, members));
            }
        }
    }

    /// The root member that a bare `a.b.c` looks at, if that is the only one: those of the older releases are today
    /// elsewhere.
    pub fn only_root(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bare(names) => {
                names.first().filter(|name| name.today.is_none() && !self.reads_priority).map(|name| &*name.text)
            }
            Kind::Tree { .. } => None,
        }
    }
}

/// The root member that is the request context.
const CONTEXT: &str = "ctxt";

/// Adds what is looked at in the request context where a path begins with one of these names, and goes on with one of those.
fn add_begun(first: &[Name], second: Option<&[Name]>, members: &mut ContextMembers) {
    for name in first {
        match (&*name.text, &name.today, second) {
            (CONTEXT, _, Some(names)) => names.iter().for_each(|name| members.add(&name.text)),
            (CONTEXT, _, None) => *members = ContextMembers::All,
            (_, Some((CONTEXT, today)), _) => members.add(today),
            _ => {}
        }
    }
}

/// The first value that is not null at the end of a walk.
fn first_of<'a>(steps: &[Box<[Name]>], value: &'a Value) -> Option<&'a Value> {
    let Some((names, rest)) = steps.split_first() else { return Some(value).filter(|value| !value.is_null()) };
    let dict = value.as_dict()?;
    names.iter().find_map(|name| first_of(rest, eval::member(dict, name)?))
}

/// The value at the end of the names.
fn walk<'a>(names: &[Name], root: &'a Value) -> Option<&'a Value> {
    names.iter().try_fold(root, |value, name| eval::member(value.as_dict()?, name))
}

#[cfg(test)]
mod tests;
