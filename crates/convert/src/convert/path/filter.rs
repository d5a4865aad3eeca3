//! `[?…]`: the items of a list for which conditions hold.

use super::eval::{Evaluation, Matches, Shape, item_step, member, nothing_to_iterate};
use super::matched::{Found, Match, Maybe, WORK_BYTES, no_attribute};
use super::tree::{Condition, Relation, Test, Tree};
use crate::model::Value;
use crate::model::python::{self, Raised};
use std::borrow::Cow;

impl Evaluation {
    pub(super) fn filter<'a>(
        &self,
        conditions: &'a [Condition],
        from: &Maybe<'a>,
        out: &mut Matches<'a>,
    ) -> Result<(), Raised> {
        let Some(m) = from else { return Ok(()) };
        let Some(items) = m.value.list() else { return Ok(()) };
        let container = self.container(m);
        for (at, value) in items.enumerate() {
            let item = Some(Match::alone(value.clone()));
            let mut holding = 0;
            // Every condition is evaluated, also past one that does not hold: it may raise.
            for condition in conditions {
                holding += usize::from(self.holds(condition, &item)?);
            }
            if holding == conditions.len() {
                out.push(Some(Match { value, step: item_step(at), container: container.clone() }));
            }
        }
        Ok(())
    }

    fn holds<'a>(&self, condition: &'a Condition, item: &Maybe<'a>) -> Result<bool, Raised> {
        // Nearly every condition is of one member of the item.
        if let Some(Match { value: Found::There(value), .. }) = item {
            let found = named_in(&condition.target, value);
            if !matches!(found, Named::Unknown) {
                self.spend(1)?;
            }
            match (found, &condition.test) {
                (Named::Nothing, _) => return Ok(false),
                (Named::Value(_), None) => return Ok(true),
                (Named::Value(value), Some(test)) => {
                    return Ok(!value.is_null() && self.passes(test, &Found::There(value))?);
                }
                (Named::Unknown, _) => {}
            }
        }
        let mut found = Vec::new();
        let shape = self.find(&condition.target, item, &mut found)?;
        let Some(test) = &condition.test else { return Ok(shape == Shape::Single || !found.is_empty()) };
        if shape == Shape::Single {
            return Err(nothing_to_iterate());
        }
        let mut any = false;
        for m in found {
            let value = m.ok_or_else(no_attribute)?.value;
            any |= !value.is_null() && self.passes(test, &value)?;
        }
        Ok(any)
    }

    fn passes(&self, test: &Test, value: &Found<'_>) -> Result<bool, Raised> {
        let mut value = self.plain(value)?;
        if test.coerced {
            match python::int(&value) {
                Ok(int) => value = Cow::Owned(int),
                Err(raised) if raised.class == "ValueError" => return Ok(false),
                Err(raised) => return Err(raised),
            }
        }
        match &test.relation {
            Relation::Equal => Ok(python::equal(&value, &test.literal)),
            Relation::Unequal => Ok(!python::equal(&value, &test.literal)),
            Relation::Ordered(comparison) => python::compare(*comparison, &value, &test.literal),
            Relation::Matches(pattern) => {
                let pattern = pattern.as_ref().map_err(Clone::clone)?;
                let subject =
                    value.as_str().ok_or_else(|| Raised::new("TypeError", "expected string or bytes-like object"))?;
                self.spend(subject.len() / WORK_BYTES)?;
                pattern.matches(subject)
            }
        }
    }
}

/// What a path of single names (`a`, `@.a`) finds in a value.
enum Named<'a> {
    Value(&'a Value),
    Nothing,
    /// It is another path.
    Unknown,
}

fn named_in<'a>(path: &Tree, value: &'a Value) -> Named<'a> {
    match path {
        Tree::This => Named::Value(value),
        Tree::Members(names) => match &**names {
            [name] => value.as_dict().and_then(|dict| member(dict, name)).map_or(Named::Nothing, Named::Value),
            _ => Named::Unknown,
        },
        Tree::Child(left, right) => match named_in(left, value) {
            Named::Value(value) => named_in(right, value),
            // Whatever the right side is, it has nothing to be found in.
            Named::Nothing => Named::Nothing,
            Named::Unknown => Named::Unknown,
        },
        _ => Named::Unknown,
    }
}
