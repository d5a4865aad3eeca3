//! Order: `==`, `<`, `sorted()`.

use super::{Raised, type_name};
use crate::model::{Dict, Value};
use num_bigint::BigInt;
use std::cmp::Ordering;
use std::collections::HashMap;

/// From this many keys on, objects are compared through a hash: a sender must not buy quadratic time.
const HASHED_FROM_KEYS: usize = 48;

/// A comparison that has a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Python's `a == b`: `True == 1 == 1.0`, and the order of keys does not matter.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Dict(a), Value::Dict(b)) => equal_dicts(a, b),
        _ => numbers(a, b).is_some_and(|(a, b)| a.order(&b) == Some(Ordering::Equal)),
    }
}

fn equal_dicts(a: &Dict, b: &Dict) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() < HASHED_FROM_KEYS {
        return a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)));
    }
    let others: HashMap<&str, &Value> = b.iter().collect();
    a.iter().all(|(key, value)| others.get(key).is_some_and(|other| equal(value, other)))
}

fn numbers<'a>(a: &'a Value, b: &'a Value) -> Option<(Real<'a>, Real<'a>)> {
    Some((Real::of(a)?, Real::of(b)?))
}

enum Real<'a> {
    Small(i64),
    Big(&'a BigInt),
    Float(f64),
}

impl Real<'_> {
    fn of(value: &Value) -> Option<Real<'_>> {
        match value {
            Value::Bool(b) => Some(Real::Small(i64::from(*b))),
            Value::Int(i) => Some(Real::Small(*i)),
            Value::Big(b) => Some(Real::Big(b)),
            Value::Float(f) => Some(Real::Float(*f)),
            Value::Null | Value::Str(_) | Value::List(_) | Value::Dict(_) => None,
        }
    }

    /// Exact, also between integers and floats; `None` beside NaN.
    fn order(&self, other: &Real<'_>) -> Option<Ordering> {
        match (self, other) {
            (Real::Small(a), Real::Small(b)) => Some(a.cmp(b)),
            (Real::Float(a), Real::Float(b)) => a.partial_cmp(b),
            (Real::Float(a), b) => integer_to_float(&b.big(), *a).map(Ordering::reverse),
            (a, Real::Float(b)) => integer_to_float(&a.big(), *b),
            (a, b) => Some(a.big().cmp(&b.big())),
        }
    }

    /// Exact for integers; floats are compared before they come here.
    fn big(&self) -> BigInt {
        match self {
            Real::Small(i) => BigInt::from(*i),
            Real::Big(b) => (*b).clone(),
            Real::Float(_) => BigInt::ZERO,
        }
    }
}

/// An integer beside a float, exactly: the whole parts first, then the fraction.
fn integer_to_float(integer: &BigInt, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.is_infinite() {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = match super::int(&Value::Float(float.floor())) {
        Ok(Value::Int(i)) => BigInt::from(i),
        Ok(Value::Big(b)) => *b,
        _ => return None,
    };
    let fraction = if float > float.floor() { Ordering::Less } else { Ordering::Equal };
    Some(integer.cmp(&whole).then(fraction))
}

/// Python's `a < b` and its kin: numbers with numbers, strings by code point, lists element by element; a `TypeError`
/// for everything else.
pub fn compare(comparison: Comparison, a: &Value, b: &Value) -> Result<bool, Raised> {
    let order = match (a, b) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::List(a), Value::List(b)) => match a.iter().zip(b).find(|(a, b)| !equal(a, b)) {
            Some((a, b)) => return compare(comparison, a, b),
            None => Some(a.len().cmp(&b.len())),
        },
        _ => {
            let Some((a, b)) = numbers(a, b) else {
                let types = format!("'{}' and '{}'", type_name(a), type_name(b));
                return Err(Raised::new("TypeError", format!("no order between instances of {types}")));
            };
            a.order(&b)
        }
    };
    Ok(order.is_some_and(|order| match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }))
}

/// Below this many items CPython's sort is one insertion sort.
const INSERTED_BELOW: usize = 64;

/// Python's `sorted(items)` with `less` for `<`; the first exception ends it.
///
/// Definitions can sort by fields that some items lack, which is no order at all. The answer then depends on which
/// comparisons are made, so up to 63 items these are CPython 3.11's. More items are merged from such pieces: the same
/// answer wherever there is an order.
pub fn sort<T: Clone>(items: Vec<T>, less: &mut impl FnMut(&T, &T) -> Result<bool, Raised>) -> Result<Vec<T>, Raised> {
    if items.len() < INSERTED_BELOW {
        return insertion_sort(items, less);
    }
    let (left, right) = items.split_at(items.len() / 2);
    let (left, right) = (sort(left.to_vec(), less)?, sort(right.to_vec(), less)?);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        merged.extend(if less(r, l)? { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// The first run as it is (turned round if it falls), then each further item by bisection.
fn insertion_sort<T>(
    mut items: Vec<T>,
    less: &mut impl FnMut(&T, &T) -> Result<bool, Raised>,
) -> Result<Vec<T>, Raised> {
    if items.len() < 2 {
        return Ok(items);
    }
    let falling = less(&items[1], &items[0])?;
    let mut run = 2;
    while run < items.len() && less(&items[run], &items[run - 1])? == falling {
        run += 1;
    }
    if falling {
        items[..run].reverse();
    }
    for next in run..items.len() {
        let (mut low, mut high) = (0, next);
        while low < high {
            let middle = usize::midpoint(low, high);
            if less(&items[next], &items[middle])? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        items[low..=next].rotate_right(1);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Value::Bool(true), Value::Int(1), true)]
    #[case(Value::Float(1.0), Value::Bool(true), true)]
    #[case(Value::from("1"), Value::Int(1), false)]
    #[case(Value::Null, Value::Bool(false), false)]
    #[case(Value::Int(9_007_199_254_740_993), Value::Float(9_007_199_254_740_992.0), false)]
    #[case(Value::Float(f64::NAN), Value::Float(f64::NAN), false)]
    #[case(Value::List(vec![Value::Int(1)]), Value::List(vec![Value::Float(1.0)]), true)]
    fn equality(#[case] a: Value, #[case] b: Value, #[case] expected: bool) {
        assert_eq!(equal(&a, &b), expected);
        assert_eq!(equal(&b, &a), expected);
    }

    #[test]
    fn objects_are_equal_whatever_the_order_of_their_keys() {
        for size in [3_i64, 100] {
            let forth: Dict = (0..size).map(|n| (n.to_string(), n)).collect();
            let back: Dict = (0..size).rev().map(|n| (n.to_string(), n)).collect();
            assert!(equal(&Value::Dict(forth), &Value::Dict(back)));
        }
    }

    #[rstest]
    #[case(Value::Int(1), Value::Float(1.5), Ok(true))]
    #[case(Value::Float(-1.5), Value::Int(-1), Ok(true))]
    #[case(Value::Float(f64::NAN), Value::Int(1), Ok(false))]
    #[case(Value::from("a"), Value::from("é"), Ok(true))]
    #[case(Value::List(vec![]), Value::List(vec![Value::Null]), Ok(true))]
    #[case(Value::from("a"), Value::Int(1), Err("TypeError"))]
    #[case(Value::Dict(Dict::new()), Value::Dict(Dict::new()), Err("TypeError"))]
    fn less(#[case] a: Value, #[case] b: Value, #[case] expected: Result<bool, &str>) {
        assert_eq!(compare(Comparison::Less, &a, &b).map_err(|e| e.class), expected);
    }

    #[test]
    fn many_items_sort_stably() {
        let items: Vec<(usize, usize)> = (0..500).map(|n| (n * 7919 % 13, n)).collect();
        let mut expected = items.clone();
        expected.sort_by_key(|(key, _)| *key);
        assert_eq!(sort(items, &mut |a, b| Ok(a.0 < b.0)).unwrap(), expected);
    }
}
