//! Which fields of two records differ. Numbers are equal as in Python: 1 and 1.0 are.

use crate::model::{Dict, Value, python};

/// How deep a difference is looked for: `resource_metadata.flavor.name`.
const DEPTH_MAX: usize = 4;
/// Differing fields that are told of one pair.
const FIELDS_MAX: usize = 64;
/// Levels that are compared; more are equal for nobody.
const EQUAL_DEPTH_MAX: usize = 200;

/// The paths at which ours and theirs differ, of the fields that theirs has.
pub(super) fn differing(ours: &Dict, theirs: &Dict) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, their) in theirs.iter() {
        look(name, ours.get(name), Some(their), 1, &mut paths);
    }
    paths
}

/// What stands at a path.
pub(super) fn at<'v>(of: &'v Dict, path: &str) -> Option<&'v Value> {
    // A name may have dots in it: the longest that is there.
    if let Some(value) = of.get(path) {
        return Some(value);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.rev().find_map(|dot| at(of.get(&path[..dot])?.as_dict()?, &path[dot + 1..]))
}

fn look(path: &str, ours: Option<&Value>, theirs: Option<&Value>, depth: usize, paths: &mut Vec<String>) {
    if paths.len() >= FIELDS_MAX {
        return;
    }
    match (ours, theirs) {
        (Some(Value::Dict(ours)), Some(Value::Dict(theirs))) if depth < DEPTH_MAX => {
            let own = ours.iter().map(|(name, _)| name).filter(|name| !theirs.contains_key(name));
            for name in theirs.iter().map(|(name, _)| name).chain(own) {
                look(&format!("{path}.{name}"), ours.get(name), theirs.get(name), depth + 1, paths);
            }
        }
        (Some(ours), Some(theirs)) if equal(ours, theirs, 0) => {}
        _ => paths.push(path.to_owned()),
    }
}

fn equal(a: &Value, b: &Value, depth: usize) -> bool {
    if depth > EQUAL_DEPTH_MAX {
        return false;
    }
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, depth + 1)),
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b, depth + 1)))
        }
        (Value::Float(a), Value::Float(b)) if a.is_nan() && b.is_nan() => true,
        (a, b) => python::equal(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    fn dict(text: &str) -> Dict {
        let Ok(Value::Dict(dict)) = json::read(text.as_bytes()) else { panic!("{text}") };
        dict
    }

    #[rstest]
    #[case(r#"{"a":1}"#, r#"{"a":1.0}"#, &[])]
    #[case(r#"{"a":NaN}"#, r#"{"a":NaN}"#, &[])]
    #[case(r#"{"a":1}"#, r#"{"a":"1"}"#, &["a"])]
    #[case(r#"{"a":1,"more":2}"#, r#"{"a":1}"#, &[])]
    #[case(r#"{"a":1}"#, r#"{"a":1,"more":2}"#, &["more"])]
    #[case(r#"{"m":{"x":{"y":1},"z":2}}"#, r#"{"m":{"x":{"y":2},"w":2}}"#, &["m.x.y", "m.w", "m.z"])]
    #[case(r#"{"m":{"a":{"b":{"c":{"d":1}}}}}"#, r#"{"m":{"a":{"b":{"c":{"d":2}}}}}"#, &["m.a.b.c"])]
    #[case(r#"{"m":[1,{"a":2}]}"#, r#"{"m":[1,{"a":2.0}]}"#, &[])]
    #[case(r#"{"m":{}}"#, r#"{"m":null}"#, &["m"])]
    fn the_paths_that_differ(#[case] ours: &str, #[case] theirs: &str, #[case] expected: &[&str]) {
        assert_eq!(differing(&dict(ours), &dict(theirs)), expected);
    }

    #[test]
    fn a_path_leads_to_its_value_also_where_names_have_dots() {
        let of = dict(r#"{"m":{"a.b":{"c":1}}}"#);
        assert_eq!(at(&of, "m.a.b.c"), Some(&Value::Int(1)));
        assert_eq!(at(&of, "m.x"), None);
    }
}
