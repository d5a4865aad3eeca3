//! Paths: the JSONPath dialect of the original (jsonpath-rw with its extensions; Ceilometer reference, Appendix A),
//! parsed once into a tree and evaluated on messages.
//!
//! Never here: what a definition does with what was found. Nothing a message holds makes evaluation recurse, and what
//! it may cost is bounded (`WORK_MAX`).

mod eval;
mod lexer;
mod matched;
mod named;
mod parser;
mod tree;

use super::python::Raised;
use crate::model::Value;
use eval::Evaluation;
use matched::{Match, no_attribute};
use std::borrow::Cow;
use tree::{Name, Tree};

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
pub struct Path(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// `a.b.c`, which nearly all are: no need of matches.
    Bare(Box<[Name]>),
    Tree {
        tree: Tree,
        climbs: bool,
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
        tree.see_flat_members();
        Ok(Path(match tree.bare_names() {
            Some(names) => Kind::Bare(names.into()),
            None => Kind::Tree { climbs: tree.climbs(), tree },
        }))
    }

    /// All matches in order, nulls among them. `None` is a parent that is not there: most who ask stumble over it.
    fn matches<'a>(&'a self, root: &'a Value, placed: bool) -> Result<Vec<Option<Matched<'a>>>, Raised> {
        match &self.0 {
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
            Kind::Tree { tree, climbs } => {
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
        if let Kind::Bare(names) = &self.0 {
            return Ok(walk(names, root).filter(|value| !value.is_null()).map(Cow::Borrowed));
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

    /// The first name of a bare `a.b.c`.
    pub fn bare_root(&self) -> Option<&str> {
        match &self.0 {
            Kind::Bare(names) => names.first().map(|name| &*name.text),
            Kind::Tree { .. } => None,
        }
    }
}

/// The value at the end of the names.
fn walk<'a>(names: &[Name], root: &'a Value) -> Option<&'a Value> {
    names.iter().try_fold(root, |value, name| eval::member(value.as_dict()?, name))
}
