//! `a + b`.

use super::eval::{Evaluation, Matches, Shape};
use super::matched::{Found, Match, Maybe, WORK_BYTES, no_attribute};
use super::tree::Operand;
use crate::model::python::{self, Operator, Raised};

impl Evaluation {
    /// Two paths must match equally often, and at all. A `TypeError` of the operator takes the whole result.
    pub(super) fn arithmetic<'a>(
        &self,
        left: &'a Operand,
        operator: Operator,
        right: &'a Operand,
        from: &Maybe<'a>,
        out: &mut Matches<'a>,
    ) -> Result<(), Raised> {
        let pairs = match (left, right) {
            (Operand::Path(left), Operand::Path(right)) => {
                let (mut lefts, mut rights) = (Vec::new(), Vec::new());
                let shapes = [self.find(left, from, &mut lefts)?, self.find(right, from, &mut rights)?];
                if lefts.is_empty() || rights.is_empty() {
                    return Ok(());
                }
                if shapes.contains(&Shape::Single) {
                    return Err(Raised::new("TypeError", "object of type 'DatumInContext' has no len()"));
                }
                if lefts.len() != rights.len() {
                    return Ok(());
                }
                lefts.into_iter().zip(rights).collect::<Vec<_>>()
            }
            (Operand::Path(left), Operand::Literal(right)) => {
                let right = Some(Match::alone(Found::There(right)));
                self.list(left, from)?.into_iter().map(|m| (m, right.clone())).collect()
            }
            (Operand::Literal(left), Operand::Path(right)) => {
                let left = Some(Match::alone(Found::There(left)));
                self.list(right, from)?.into_iter().map(|m| (left.clone(), m)).collect()
            }
            (Operand::Literal(left), Operand::Literal(right)) => {
                let alone = |value| Some(Match::alone(Found::There(value)));
                vec![(alone(left), alone(right))]
            }
        };
        let before = out.len();
        for (left, right) in pairs {
            let (left, right) = (left.ok_or_else(no_attribute)?.value, right.ok_or_else(no_attribute)?.value);
            match self.operate(operator, &left, &right) {
                Ok(value) => out.push(Some(Match::alone(value))),
                Err(raised) if raised.class == "TypeError" => {
                    out.truncate(before);
                    return Ok(());
                }
                Err(raised) => return Err(raised),
            }
        }
        Ok(())
    }

    fn operate<'a>(&self, operator: Operator, left: &Found<'a>, right: &Found<'a>) -> Result<Found<'a>, Raised> {
        let (items, times) = match (operator, left.list(), right.list()) {
            (_, None, None) => {
                let value = python::arithmetic(operator, &*self.plain(left)?, &*self.plain(right)?)?;
                self.spend(value.as_str().map_or(0, str::len) / WORK_BYTES)?;
                return Ok(Found::made(value));
            }
            (Operator::Add, Some(left), Some(right)) => (left.chain(right).collect::<Vec<_>>(), 1),
            (Operator::Multiply, Some(items), None) => (items.collect(), python::repetitions(&*self.plain(right)?)?),
            (Operator::Multiply, None, Some(items)) => (items.collect(), python::repetitions(&*self.plain(left)?)?),
            _ => return Err(Raised::new("TypeError", "unsupported operand types")),
        };
        self.spend(items.len().saturating_mul(times))?;
        Ok(Found::Gathered(std::iter::repeat_n(items, times).flatten().collect()))
    }
}
