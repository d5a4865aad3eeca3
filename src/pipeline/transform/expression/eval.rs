//! From [`Tree`] to a value.

use super::scope::{Object, Scope, SpaceId};
use super::tree::{Binary, Kind, Relation, Tree, Unary};
use crate::model::Value;
use crate::model::python::{self, Comparison, Operator, Raised, type_name};
use std::borrow::Cow;

/// The most work of one evaluation, in steps: one for each node, and one for each 64 bytes that an operation touches.
const STEPS_MAX: usize = 20_000;
/// The longest text that an expression makes.
const TEXT_BYTES_MAX: usize = 65_536;

/// An exception, and the byte of the text where it was raised.
type Failed = (Raised, usize);

/// The value of a tree. No value is larger than its bound, whatever the samples hold.
pub(super) fn evaluate(tree: &Tree, scope: &mut Scope<'_>) -> Result<Value, Failed> {
    let mut evaluation = Evaluation { scope, steps: 0 };
    match evaluation.object(tree)? {
        Object::Value(value) => Ok(value.into_owned()),
        Object::Space(_) => Err((Raised::new("TypeError", "the result is a namespace, not a value"), tree.at)),
    }
}

struct Evaluation<'s, 'a> {
    scope: &'s mut Scope<'a>,
    steps: usize,
}

impl<'a> Evaluation<'_, 'a> {
    fn spend(&mut self, steps: usize, at: usize) -> Result<(), Failed> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            return Err((Raised::new("RecursionError", format!("more than {STEPS_MAX} steps")), at));
        }
        Ok(())
    }

    fn object(&mut self, tree: &Tree) -> Result<Object<'a>, Failed> {
        self.spend(1, tree.at)?;
        match &tree.kind {
            Kind::Literal(value) => Ok(Object::Value(Cow::Owned(value.clone()))),
            Kind::Name(name) => Ok(self.scope.get(Scope::ROOT, name)),
            Kind::Attribute(of, name) => match self.object(of)? {
                Object::Space(space) => Ok(self.scope.get(space, name)),
                Object::Value(value) => {
                    let text = format!("'{}' object has no attribute '{name}'", type_name(&value));
                    Err((Raised::new("AttributeError", text), tree.at))
                }
            },
            Kind::Item(of, key) => {
                let (of, key) = (self.object(of)?, self.object(key)?);
                self.item(of, key).map_err(|raised| (raised, tree.at))
            }
            Kind::Unary(operator, operand) => {
                let operand = self.object(operand)?;
                let result = match operator {
                    Unary::Not => Ok(Value::Bool(!self.is_truthy(&operand))),
                    Unary::Minus => value_of(&operand).and_then(python::negate),
                    // Twice negated is what it was, with booleans as integers.
                    Unary::Plus => value_of(&operand).and_then(python::negate).and_then(|n| python::negate(&n)),
                };
                result.map(made).map_err(|raised| (raised, tree.at))
            }
            Kind::Binary(operator, left, right) => {
                let (left, right) = (self.object(left)?, self.object(right)?);
                self.spend((size(&left) + size(&right)) / 64, tree.at)?;
                binary(*operator, &left, &right).map(made).map_err(|raised| (raised, tree.at))
            }
            Kind::Compare(first, rest) => self.comparison(first, rest),
            Kind::And(all) => self.chosen(all, |truthy| !truthy, tree.at),
            Kind::Or(all) => self.chosen(all, |truthy| truthy, tree.at),
            Kind::If(all) => {
                let [test, yes, no] = &**all;
                let test = self.object(test)?;
                if self.is_truthy(&test) { self.object(yes) } else { self.object(no) }
            }
        }
    }

    /// `and` and `or`: the first operand whose truth decides, or the last.
    fn chosen(&mut self, all: &[Tree], decides: impl Fn(bool) -> bool, at: usize) -> Result<Object<'a>, Failed> {
        let mut last = Err((Raised::new("SyntaxError", "no operand"), at));
        for tree in all {
            let object = self.object(tree)?;
            if decides(self.is_truthy(&object)) {
                return Ok(object);
            }
            last = Ok(object);
        }
        last
    }

    fn comparison(&mut self, first: &Tree, rest: &[(Relation, Tree)]) -> Result<Object<'a>, Failed> {
        let mut left = self.object(first)?;
        for (relation, tree) in rest {
            let right = self.object(tree)?;
            self.spend((size(&left) + size(&right)) / 64, tree.at)?;
            if !holds(*relation, &left, &right).map_err(|raised| (raised, tree.at))? {
                return Ok(made(Value::Bool(false)));
            }
            left = right;
        }
        Ok(made(Value::Bool(true)))
    }

    fn item(&mut self, of: Object<'a>, key: Object<'a>) -> Result<Object<'a>, Raised> {
        let key = match (&of, key) {
            (Object::Space(_), Object::Space(_)) => return Ok(self.scope.nowhere()),
            (Object::Value(_), Object::Space(_)) => return Err(Raised::new("TypeError", "a namespace is no index")),
            (_, Object::Value(key)) => key,
        };
        match (of, &*key) {
            (Object::Space(space), key) => self.member(space, key),
            (Object::Value(of), key) => {
                let found = match (&*of, key) {
                    (Value::Dict(dict), Value::Str(key)) => dict.get(key).cloned(),
                    (Value::Dict(_), Value::List(_) | Value::Dict(_)) => {
                        return Err(Raised::new("TypeError", "unhashable key"));
                    }
                    (Value::Dict(_), _) => None,
                    (Value::List(list), key) => return at_index(key, list.len(), |n| list[n].clone()).map(made),
                    (Value::Str(text), key) => {
                        let one = |n| text.chars().nth(n).map_or(Value::Null, |c| Value::from(c.to_string()));
                        return at_index(key, text.chars().count(), one).map(made);
                    }
                    (of, _) => {
                        let text = format!("'{}' object is not subscriptable", type_name(of));
                        return Err(Raised::new("TypeError", text));
                    }
                };
                found.map(made).ok_or_else(|| Raised::new("KeyError", shown(key)))
            }
        }
    }

    /// A namespace takes any key that can be hashed; only text is ever there.
    fn member(&mut self, space: SpaceId, key: &Value) -> Result<Object<'a>, Raised> {
        match key {
            Value::Str(name) => Ok(self.scope.get(space, name)),
            Value::List(_) | Value::Dict(_) => Err(Raised::new("TypeError", "unhashable key")),
            // No text of a sample's begins so: JSON and YAML know no such keys beside their text.
            other => Ok(self.scope.get(space, &format!("\u{0}{}", shown(other)))),
        }
    }

    fn is_truthy(&self, object: &Object<'_>) -> bool {
        match object {
            Object::Value(value) => value.is_truthy(),
            Object::Space(space) => self.scope.is_truthy(*space),
        }
    }
}

fn made<'a>(value: Value) -> Object<'a> {
    Object::Value(Cow::Owned(value))
}

/// A short text of a value, for complaints.
fn shown(value: &Value) -> String {
    crate::model::json::to_string(value).chars().take(60).collect()
}

fn value_of<'o>(object: &'o Object<'_>) -> Result<&'o Value, Raised> {
    match object {
        Object::Value(value) => Ok(value),
        Object::Space(_) => Err(Raised::new("TypeError", "a namespace is no operand; is the name right?")),
    }
}

/// What an operation has to walk through, in bytes.
fn size(object: &Object<'_>) -> usize {
    match object {
        Object::Value(value) => match &**value {
            Value::Str(text) => text.len(),
            Value::Big(big) => usize::try_from(big.bits() / 8).unwrap_or(usize::MAX),
            // Each item may be as large as a message: their number is only the least there is.
            Value::List(list) => list.len().saturating_mul(16),
            Value::Dict(dict) => dict.len().saturating_mul(16),
            _ => 0,
        },
        Object::Space(_) => 0,
    }
}

fn binary(operator: Binary, left: &Object<'_>, right: &Object<'_>) -> Result<Value, Raised> {
    let (left, right) = (value_of(left)?, value_of(right)?);
    let value = match operator {
        Binary::Add => python::arithmetic(Operator::Add, left, right),
        Binary::Subtract => python::arithmetic(Operator::Subtract, left, right),
        Binary::Multiply => python::arithmetic(Operator::Multiply, left, right),
        Binary::Divide => python::divide(left, right),
        Binary::FloorDivide => python::floor_divide(left, right),
        Binary::Modulo => python::modulo(left, right),
        Binary::Power => python::power(left, right),
    }?;
    match &value {
        Value::Str(text) if text.len() > TEXT_BYTES_MAX => {
            Err(Raised::new("MemoryError", format!("the text would be longer than {TEXT_BYTES_MAX} bytes")))
        }
        _ => python::bounded(value),
    }
}

fn holds(relation: Relation, left: &Object<'_>, right: &Object<'_>) -> Result<bool, Raised> {
    let ordered = |comparison| python::compare(comparison, value_of(left)?, value_of(right)?);
    match relation {
        Relation::Equal => Ok(equal(left, right)),
        Relation::Unequal => Ok(!equal(left, right)),
        Relation::Less => ordered(Comparison::Less),
        Relation::LessOrEqual => ordered(Comparison::LessOrEqual),
        Relation::Greater => ordered(Comparison::Greater),
        Relation::GreaterOrEqual => ordered(Comparison::GreaterOrEqual),
        Relation::Is => Ok(identical(left, right)),
        Relation::IsNot => Ok(!identical(left, right)),
        Relation::In => contains(right, left),
        Relation::NotIn => contains(right, left).map(|found| !found),
    }
}

fn equal(left: &Object<'_>, right: &Object<'_>) -> bool {
    match (left, right) {
        (Object::Value(left), Object::Value(right)) => python::equal(left, right),
        (Object::Space(left), Object::Space(right)) => left == right,
        _ => false,
    }
}

/// `is`: the same kind of value and equal; Python promises no more than that for `None`, `True` and `False`.
fn identical(left: &Object<'_>, right: &Object<'_>) -> bool {
    left == right
}

fn contains(all: &Object<'_>, one: &Object<'_>) -> Result<bool, Raised> {
    match (value_of(all)?, one) {
        (Value::List(list), Object::Value(one)) => Ok(list.iter().any(|item| python::equal(item, one))),
        (Value::List(_), Object::Space(_)) => Ok(false),
        (Value::Str(text), Object::Value(one)) if one.as_str().is_some() => {
            Ok(one.as_str().is_some_and(|one| text.contains(one)))
        }
        (Value::Dict(dict), Object::Value(one)) => Ok(one.as_str().is_some_and(|key| dict.contains_key(key))),
        (other, _) => Err(Raised::new("TypeError", format!("cannot look into '{}' for this", type_name(other)))),
    }
}

/// The item at an index, which counts from the end if it is negative.
fn at_index(key: &Value, length: usize, item: impl Fn(usize) -> Value) -> Result<Value, Raised> {
    let index = match key {
        Value::Bool(b) => i64::from(*b),
        Value::Int(i) => *i,
        Value::Big(_) => return Err(Raised::new("IndexError", "cannot fit 'int' into an index-sized integer")),
        _ => return Err(Raised::new("TypeError", format!("an index is no '{}'", type_name(key)))),
    };
    let length_signed = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index.saturating_add(length_signed) } else { index };
    match usize::try_from(from_start) {
        Ok(n) if n < length => Ok(item(n)),
        _ => Err(Raised::new("IndexError", "index out of range")),
    }
}
