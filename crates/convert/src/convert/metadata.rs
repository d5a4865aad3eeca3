//! What a sample says of its resource beside the numbers: named metadata, and the users' own keys under
//! `user_metadata` (Ceilometer reference §4.1.3).

use super::field::Raised;
use super::options::Reserved;
use crate::model::{Dict, Value};

/// Copies the reserved keys of a user's metadata to `dest["user_metadata"]`: by prefix (which is cut off), then by
/// exact name; dots become underscores, keys that `dest` has already are left out, strings are cut.
///
/// Raises as Ceilometer does if the source is no dictionary and there is anything to look for.
pub(crate) fn copy_reserved(reserved: &Reserved, src: &Value, dest: &mut Dict) -> Result<(), Raised> {
    if reserved.prefixes.is_empty() && reserved.keys.is_empty() {
        return Ok(());
    }
    let Some(src) = src.as_dict() else {
        return Err(Raised::new("AttributeError", "user_metadata found something that is no dictionary".to_owned()));
    };
    let mut kept = Dict::new();
    let mut keep = |key: &str, value: &Value| {
        let key = key.replace('.', "_");
        if !dest.contains_key(&key) {
            kept.insert(key, cut(value, reserved.length_chars));
        }
    };
    for prefix in &reserved.prefixes {
        for (key, value) in src.iter() {
            if let Some(rest) = key.strip_prefix(prefix.as_str()) {
                keep(rest, value);
            }
        }
    }
    for exact in &reserved.keys {
        if let Some(value) = src.get(exact) {
            keep(exact, value);
        }
    }
    if !kept.is_empty() {
        dest.insert("user_metadata", kept);
    }
    Ok(())
}

/// Python's `value[:length]` for strings, a negative length counting from the end; other values as they are.
fn cut(value: &Value, length: i64) -> Value {
    let Value::Str(text) = value else { return value.clone() };
    let keep = match usize::try_from(length) {
        Ok(keep) => keep,
        Err(_) => text.chars().count().saturating_sub(usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    match text.char_indices().nth(keep) {
        Some((end, _)) => Value::from(&text[..end]),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn user(pairs: &[(&str, &str)]) -> Value {
        Value::Dict(pairs.iter().map(|(k, v)| (*k, *v)).collect())
    }

    #[test]
    fn reserved_keys_travel_and_others_do_not() {
        let reserved = Reserved { prefixes: vec!["metering.".into()], keys: vec!["fqdn".into()], length_chars: 3 };
        let src = user(&[("metering.server.group", "corylus"), ("fqdn", "vm"), ("other", "x"), ("metering.host", "h")]);
        let mut dest = Dict::from_iter([("host", "kept")]);
        copy_reserved(&reserved, &src, &mut dest).unwrap();
        assert_eq!(dest.get("user_metadata"), Some(&user(&[("server_group", "cor"), ("fqdn", "vm")])));
    }

    #[test]
    fn metadata_that_is_a_string_raises_only_if_there_is_something_to_look_for() {
        let mut dest = Dict::new();
        assert!(copy_reserved(&Reserved::default(), &Value::from("str"), &mut dest).is_err());
        let none = Reserved { prefixes: Vec::new(), keys: Vec::new(), length_chars: 256 };
        assert!(copy_reserved(&none, &Value::from("str"), &mut dest).is_ok());
        assert!(dest.is_empty());
    }

    #[rstest]
    #[case(3, "\u{20ac}\u{20ac}\u{20ac}")]
    #[case(0, "")]
    #[case(-1, "\u{20ac}\u{20ac}\u{20ac}")]
    #[case(-9, "")]
    #[case(9, "\u{20ac}\u{20ac}\u{20ac}\u{20ac}")]
    fn strings_are_cut_as_python_slices_them(#[case] length: i64, #[case] left: &str) {
        assert_eq!(cut(&Value::from("\u{20ac}\u{20ac}\u{20ac}\u{20ac}"), length), Value::from(left));
    }
}
