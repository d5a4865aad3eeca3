//! A tree on a message.
//!
//! Everything is evaluated in the order in which Ceilometer does, lists whole before what follows, so that of two
//! exceptions the same one comes first.

use super::matched::{Found, Match, Maybe, Step, WORK_BYTES, no_attribute};
use super::tree::{Name, Tree};
use crate::model::Value;
use crate::model::python::Raised;
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

/// How much one evaluation may do: matches made and values looked at, and pieces of [`WORK_BYTES`] bytes made.
/// A whole notification of a megabyte fits several times; `(*|*).(*|*)…` must not.
pub(crate) const WORK_MAX: usize = 1_000_000;
/// What a tree gives: matches, or (only `` `sorted` ``, of something that cannot be sorted) a match that is not in a
/// list, which nearly nobody can iterate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    List,
    Single,
}

/// One evaluation.
pub(super) struct Evaluation {
    /// Whether matches know their containers.
    climbs: bool,
    work: Cell<usize>,
}

/// Matches, in order.
pub(super) type Matches<'a> = Vec<Maybe<'a>>;

impl Evaluation {
    pub(super) fn new(climbs: bool) -> Self {
        Evaluation { climbs, work: Cell::new(0) }
    }

    /// All matches of a whole path.
    pub(super) fn whole<'a>(&self, tree: &'a Tree, root: &'a Value) -> Result<Matches<'a>, Raised> {
        let start = Match { value: Found::There(root), step: Step::Bare, container: None };
        self.list(tree, &Some(start))
    }

    /// Spends units of work; a `MemoryError` past [`WORK_MAX`].
    pub(super) fn spend(&self, units: usize) -> Result<(), Raised> {
        self.work.set(self.work.get().saturating_add(units));
        if self.work.get() > WORK_MAX {
            return Err(Raised::new("MemoryError", "the path finds or makes too much in this message"));
        }
        Ok(())
    }

    /// The matches of a tree that must be iterable.
    pub(super) fn list<'a>(&self, tree: &'a Tree, from: &Maybe<'a>) -> Result<Matches<'a>, Raised> {
        let mut out = Vec::new();
        self.find_list(tree, from, &mut out)?;
        Ok(out)
    }

    fn find_list<'a>(&self, tree: &'a Tree, from: &Maybe<'a>, out: &mut Matches<'a>) -> Result<(), Raised> {
        match self.find(tree, from, out)? {
            Shape::List => Ok(()),
            Shape::Single => Err(nothing_to_iterate()),
        }
    }

    /// Appends the matches of a tree, seen from one match.
    pub(super) fn find<'a>(&self, tree: &'a Tree, from: &Maybe<'a>, out: &mut Matches<'a>) -> Result<Shape, Raised> {
        self.spend(1)?;
        match tree {
            Tree::Root => {
                let outermost = from.as_ref().map_or(Found::There(&Value::Null), |m| m.outermost().value.clone());
                out.push(Some(Match::alone(outermost)));
            }
            Tree::This => out.push(Some(wrap(from))),
            Tree::Parent => out.push(from.as_ref().and_then(|m| m.container.as_deref().cloned())),
            Tree::Members(names) => self.members(names, from, out)?,
            Tree::Every => self.every(from, out)?,
            Tree::Index(index) => self.index(*index, from, out)?,
            Tree::Slice(start, end) => self.slice(*start, *end, from, out)?,
            Tree::Child(left, right) => {
                for m in self.list(left, from)? {
                    self.find_list(right, &m, out)?;
                }
            }
            Tree::Descendants(left, right) => self.descendants(left, right, from, out)?,
            Tree::Where(left, right) => {
                for m in self.list(left, from)? {
                    let mut found = Vec::new();
                    if self.find(right, &m, &mut found)? == Shape::Single || !found.is_empty() {
                        out.push(m);
                    }
                }
            }
            Tree::Union(left, right) => {
                let shapes = [self.find(left, from, out)?, self.find(right, from, out)?];
                if shapes.contains(&Shape::Single) {
                    return Err(Raised::new("TypeError", "can only concatenate list: nothing to sort here"));
                }
            }
            Tree::Intersect => {
                return Err(Raised::new("NotImplementedError", "'&' between paths is not implemented"));
            }
            Tree::Filter(conditions) => self.filter(conditions, from, out)?,
            Tree::Sorted(keys) => return self.sorted(keys, from, out),
            Tree::Len => {
                let len = from.as_ref().and_then(|m| m.value.len());
                out.extend(len.map(|len| Some(Match::alone(Found::made(i64::try_from(len).unwrap_or(i64::MAX))))));
            }
            Tree::Split { separator, segment, max } => {
                if let Some(text) = from.as_ref().and_then(|m| m.value.text()) {
                    let pieces = max.map_or(usize::MAX, |max| max.saturating_add(1));
                    let piece = text.splitn(pieces, *separator).nth(*segment);
                    self.spend(text.len() / WORK_BYTES)?;
                    out.extend(piece.map(|piece| Some(Match::alone(Found::made(piece)))));
                }
            }
            Tree::Sub(substitution) => {
                let text = from.as_ref().and_then(|m| m.value.text());
                let before = text.unwrap_or_default();
                let mut spend = |bytes: usize| self.spend(bytes / WORK_BYTES);
                let after = substitution.apply(before, &mut spend)?;
                if text.is_none() {
                    return Err(Raised::new("TypeError", "expected string or bytes-like object"));
                }
                if after != before {
                    out.push(Some(Match::alone(Found::made(after))));
                }
            }
            Tree::Arithmetic(left, operator, right) => self.arithmetic(left, *operator, right, from, out)?,
        }
        Ok(Shape::List)
    }

    /// A found value as a plain one, paid for if it must be copied.
    pub(super) fn plain<'f>(&self, found: &'f Found<'_>) -> Result<Cow<'f, Value>, Raised> {
        found.to_value(&|units| self.spend(units))
    }

    /// The match as something's container: where the path begins, too, it is a match then.
    pub(super) fn container<'a>(&self, m: &Match<'a>) -> Option<Rc<Match<'a>>> {
        let step = if matches!(m.step, Step::Bare) { Step::None } else { m.step };
        self.climbs.then(|| Rc::new(Match { step, ..m.clone() }))
    }

    fn members<'a>(&self, names: &'a [Name], from: &Maybe<'a>, out: &mut Matches<'a>) -> Result<(), Raised> {
        let Some(m) = from else { return Ok(()) };
        let Some(dict) = m.value.dict() else { return Ok(()) };
        let mut container = None;
        for name in names {
            if let Some(value) = member(dict, name) {
                self.spend(1)?;
                if self.climbs && container.is_none() {
                    container = self.container(m);
                }
                let (value, step) = (Found::There(value), Step::Member(&name.text));
                out.push(Some(Match { value, step, container: container.clone() }));
            }
        }
        Ok(())
    }

    fn every<'a>(&self, from: &Maybe<'a>, out: &mut Matches<'a>) -> Result<(), Raised> {
        let Some(m) = from else { return Ok(()) };
        let Some(dict) = m.value.dict() else { return Ok(()) };
        self.spend(dict.len())?;
        let container = self.container(m);
        out.extend(dict.iter().map(|(name, value)| {
            Some(Match { value: Found::There(value), step: Step::Member(name), container: container.clone() })
        }));
        Ok(())
    }

    fn index<'a>(&self, index: i64, from: &Maybe<'a>, out: &mut Matches<'a>) -> Result<(), Raised> {
        let m = wrap(from);
        let Some(len) = m.value.len() else {
            return Err(no_len(&m.value));
        };
        let signed = i64::try_from(len).unwrap_or(i64::MAX);
        if signed <= index {
            return Ok(());
        }
        if m.value.dict().is_some() {
            return Err(Raised::new("KeyError", index.to_string()));
        }
        let at = if index < 0 { index.checked_add(signed) } else { Some(index) };
        let at = at.and_then(|at| usize::try_from(at).ok());
        let value = at.and_then(|at| match m.value.text() {
            Some(text) => text.chars().nth(at).map(|c| Found::made(c.to_string())),
            None => m.value.list_item(at),
        });
        let Some(value) = value else { return Err(Raised::new("IndexError", "index out of range")) };
        // The path of an item keeps a negative index, as it was written.
        out.push(Some(Match { value, step: Step::Item(index), container: self.container(&m) }));
        Ok(())
    }

    /// An object, integer or string is first wrapped in a list of one.
    fn slice<'a>(
        &self,
        start: Option<i64>,
        end: Option<i64>,
        from: &Maybe<'a>,
        out: &mut Matches<'a>,
    ) -> Result<(), Raised> {
        let mut m = wrap(from);
        if matches!(m.value.type_name(), "dict" | "int" | "bool" | "str") {
            m.value = Found::Gathered(Rc::new([m.value]));
        }
        let Some(len) = m.value.list_len() else {
            return Err(no_len(&m.value));
        };
        let bound = |bound: i64| match usize::try_from(bound) {
            Ok(bound) => bound.min(len),
            Err(_) => len.saturating_sub(usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX)),
        };
        let (start, end) = (start.map_or(0, bound), end.map_or(len, bound));
        let container = self.container(&m);
        for at in start..end {
            self.spend(1)?;
            out.extend(
                m.value
                    .list_item(at)
                    .map(|value| Some(Match { value, step: item_step(at), container: container.clone() })),
            );
        }
        Ok(())
    }

    /// The right side is tried at every value inside each left match, depth first, itself first.
    fn descendants<'a>(
        &self,
        left: &'a Tree,
        right: &'a Tree,
        from: &Maybe<'a>,
        out: &mut Matches<'a>,
    ) -> Result<(), Raised> {
        let mut lefts = Vec::new();
        // Here a single match is as good as a list.
        self.find(left, from, &mut lefts)?;
        // Not by recursion: the message decides how deep this goes.
        let mut waiting = Vec::new();
        for m in lefts {
            waiting.push(m);
            while let Some(m) = waiting.pop() {
                if self.find(right, &m, out)? == Shape::Single {
                    return Err(Raised::new("TypeError", "can only concatenate list: nothing to sort here"));
                }
                let m = m.ok_or_else(no_attribute)?;
                let first = waiting.len();
                if let Some(dict) = m.value.dict() {
                    self.every(&Some(m), &mut waiting)?;
                    debug_assert!(waiting.len() == first + dict.len());
                } else if let Some(items) = m.value.list() {
                    let container = self.container(&m);
                    for (at, value) in items.enumerate() {
                        self.spend(1)?;
                        waiting.push(Some(Match { value, step: item_step(at), container: container.clone() }));
                    }
                }
                waiting[first..].reverse();
            }
        }
        Ok(())
    }
}

/// The member of that name; a root member of an older release where it is today.
pub(super) fn member<'a>(dict: &'a crate::model::Dict, name: &Name) -> Option<&'a Value> {
    dict.get(&name.text).or_else(|| {
        let (holder, today) = name.today.as_ref()?;
        dict.get(holder)?.as_dict()?.get(today)
    })
}

/// As a match; the `None` that is no match becomes a null.
fn wrap<'a>(from: &Maybe<'a>) -> Match<'a> {
    match from {
        Some(m) if !matches!(m.step, Step::Bare) => m.clone(),
        Some(m) => Match::alone(m.value.clone()),
        None => Match::alone(Found::There(&Value::Null)),
    }
}

/// The step to an item.
pub(super) fn item_step<'a>(at: usize) -> Step<'a> {
    Step::Item(i64::try_from(at).unwrap_or(i64::MAX))
}

fn no_len(value: &Found<'_>) -> Raised {
    Raised::new("TypeError", format!("object of type '{}' has no len()", value.type_name()))
}

/// What iterating over something that could not be sorted raises.
pub(super) fn nothing_to_iterate() -> Raised {
    Raised::new("TypeError", "'DatumInContext' object is not iterable: nothing to sort here")
}
