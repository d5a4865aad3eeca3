//! How the resources that belong to another are found: a query in JSON with `%s` where the id of that other one belongs.

use crate::model::{Dict, Value, json};

/// `{"=": {"instance_id": "%s"}}`: read once, so that no id can break out of its place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::publish::gnocchi) struct Query(Value);

impl Query {
    /// Reads a query; why it is none if not.
    pub(in crate::publish::gnocchi) fn read(text: &str) -> Result<Query, String> {
        let query = json::read(text.as_bytes()).map_err(|error| error.to_string())?;
        let mut places = 0;
        count(&query, &mut places)?;
        match places {
            1 => Ok(Query(query)),
            0 => Err("there is no `%s`, where the id of the resource belongs".to_owned()),
            _ => Err("there are several `%s`, and one id".to_owned()),
        }
    }

    /// The query for an id.
    pub(in crate::publish::gnocchi) fn of(&self, id: &str) -> Value {
        filled(&self.0, id)
    }

    /// The attributes that are compared with the id.
    pub(in crate::publish::gnocchi) fn attributes(&self) -> Vec<&str> {
        let mut found = Vec::new();
        compared(&self.0, &mut found);
        found
    }
}

/// Counts `%s`; another `%` that Python's formatting would not take is an error.
fn count(value: &Value, places: &mut usize) -> Result<(), String> {
    match value {
        Value::Str(text) => {
            let mut rest = &**text;
            while let Some(at) = rest.find('%') {
                match rest.as_bytes().get(at + 1) {
                    Some(b's') => *places += 1,
                    Some(b'%') => {}
                    _ => return Err("a `%` stands alone; write `%%`".to_owned()),
                }
                rest = &rest[at + 2..];
            }
            Ok(())
        }
        Value::List(items) => items.iter().try_for_each(|item| count(item, places)),
        Value::Dict(dict) => dict.iter().try_for_each(|(_, value)| count(value, places)),
        _ => Ok(()),
    }
}

fn filled(value: &Value, id: &str) -> Value {
    match value {
        Value::Str(text) => {
            let pieces: Vec<String> = text.split("%%").map(|piece| piece.replace("%s", id)).collect();
            Value::from(pieces.join("%"))
        }
        Value::List(items) => Value::List(items.iter().map(|item| filled(item, id)).collect()),
        Value::Dict(dict) => Value::Dict(dict.iter().map(|(key, value)| (key, filled(value, id))).collect::<Dict>()),
        other => other.clone(),
    }
}

fn compared<'q>(value: &'q Value, found: &mut Vec<&'q str>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| compared(item, found)),
        Value::Dict(dict) => {
            for (key, value) in dict.iter() {
                match value {
                    Value::Str(text) if &**text == "%s" => found.push(key),
                    other => compared(other, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("i", r#"{"=":{"instance_id":"i"}}"#)]
    #[case::quote(r#"a"b"#, r#"{"=":{"instance_id":"a\"b"}}"#)]
    #[case::percent("%s%", r#"{"=":{"instance_id":"%s%"}}"#)]
    fn an_id_stays_in_its_place(#[case] id: &str, #[case] query: &str) {
        let of = Query::read(r#"{"=": {"instance_id": "%s"}}"#).unwrap();
        assert_eq!(json::to_string(&of.of(id)), query);
        assert_eq!(of.attributes(), ["instance_id"]);
    }

    #[test]
    fn a_percent_sign_is_written_twice() {
        let query = Query::read(r#"{"like": {"name": "%%%s%%"}}"#).unwrap();
        assert_eq!(json::to_string(&query.of("x")), r#"{"like":{"name":"%x%"}}"#);
    }

    #[rstest]
    #[case("{", "not JSON")]
    #[case("{}", "no `%s`")]
    #[case(r#"["%s", "%s"]"#, "several")]
    #[case(r#"["%s", "5%"]"#, "stands alone")]
    #[case(r#"["%s", "5%é"]"#, "stands alone")]
    fn what_is_no_query(#[case] text: &str, #[case] why: &str) {
        assert!(Query::read(text).unwrap_err().contains(why));
    }
}
