//! `` `sorted` `` and `[/a, \b]`.

use super::eval::{Evaluation, Matches, Shape};
use super::matched::{Found, Match, Maybe, Step, no_attribute};
use super::tree::Tree;
use crate::model::python::{self, Comparison, Raised};

impl Evaluation {
    /// A list sorted, or the sorted keys of an object: one match. Anything else is not put into a list.
    pub(super) fn sorted<'a>(
        &self,
        keys: &'a [(Tree, bool)],
        from: &Maybe<'a>,
        out: &mut Matches<'a>,
    ) -> Result<Shape, Raised> {
        let Some(m) = from.as_ref().filter(|m| !matches!(m.step, Step::Bare)) else {
            return Err(Raised::new("AttributeError", "no attribute 'value': nothing to sort where a path begins"));
        };
        let items: Vec<Found<'a>> = match (m.value.dict(), m.value.list()) {
            (Some(dict), _) if keys.is_empty() => dict.iter().map(|(key, _)| Found::made(key)).collect(),
            (None, Some(items)) => items.collect(),
            _ => {
                out.push(from.clone());
                return Ok(Shape::Single);
            }
        };
        let sorted = python::sort(items, &mut |a, b| {
            self.spend(1)?;
            if keys.is_empty() {
                python::compare(Comparison::Less, &*self.plain(a)?, &*self.plain(b)?)
            } else {
                self.before(keys, a, b)
            }
        })?;
        self.spend(sorted.len())?;
        out.push(Some(Match::alone(Found::Gathered(sorted.into()))));
        Ok(Shape::List)
    }

    /// Whether an item comes before another by the first key that both have once and that differs.
    fn before<'a>(&self, keys: &'a [(Tree, bool)], a: &Found<'a>, b: &Found<'a>) -> Result<bool, Raised> {
        let (a, b) = (Some(Match::alone(a.clone())), Some(Match::alone(b.clone())));
        for (key, descending) in keys {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            let shapes = [self.find(key, &a, &mut left)?, self.find(key, &b, &mut right)?];
            if left.is_empty() || right.is_empty() {
                continue;
            }
            if shapes.contains(&Shape::Single) {
                return Err(Raised::new("TypeError", "object of type 'DatumInContext' has no len()"));
            }
            let ([left], [right]) = (left.as_slice(), right.as_slice()) else { continue };
            let left = self.plain(&left.as_ref().ok_or_else(no_attribute)?.value)?;
            let right = self.plain(&right.as_ref().ok_or_else(no_attribute)?.value)?;
            if python::equal(&left, &right) {
                continue;
            }
            return Ok(python::compare(Comparison::Less, &left, &right)? != *descending);
        }
        Ok(false)
    }
}
