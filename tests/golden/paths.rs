//! Field paths and trait plugins.

use crate::{Deliberate, run};
use nephoscope::convert::field::{Field, FieldError, Raised};
use nephoscope::model::{Dict, Node, Place, Value, json};
use std::collections::BTreeMap;

/// None: what Ceilometer answers, ours answers.
const DELIBERATE: [Deliberate; 0] = [];

#[test]
fn field_paths() {
    run("paths", &DELIBERATE, check);
}

fn check(case: &Dict) -> Result<(), String> {
    let place = Place { file: "paths.jsonl".into(), line: 0 };
    let source = case.get("field").ok_or("no field")?;
    let told = |answer: &str| format!("{}: {answer}", json::to_string(source));
    let field = match (Field::compile(&Node::from_value(source, &place)), case.get("load_error")) {
        (Err(FieldError::Definition(_)), Some(Value::Str(class))) if &**class == "DefinitionException" => return Ok(()),
        (Err(FieldError::Plugin(raised)), Some(Value::Str(class))) if *raised.class == **class => return Ok(()),
        (Err(error), expected) => return Err(told(&format!("load error {error:?}, expected {expected:?}"))),
        (Ok(_), Some(expected)) => return Err(told(&format!("loads, expected {expected:?}"))),
        (Ok(field), None) => field,
    };
    let root = in_notification_order(case.get("object").ok_or("no object")?);
    let all = case.get("all") == Some(&Value::Bool(true));
    let answer = evaluate(&field, &root, all);
    if agrees(case, &answer, Order::AsGiven) || agrees_in_some_order(case, &field, &root, all, &answer) {
        return Ok(());
    }
    let answer = answer.map_or_else(|raised| raised.to_string(), |value| json::to_string(&value));
    Err(told(&format!("got {answer}, expected {}", expected(case))))
}

/// Whether the order of an answer's values must be that of the recorded one.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    AsGiven,
    Any,
}

fn agrees(case: &Dict, answer: &Result<Value, Raised>, order: Order) -> bool {
    match (answer, case.get("error").and_then(Value::as_str), case.get("result")) {
        (Err(raised), Some(class), _) => raised.class == class,
        (Ok(Value::List(got)), None, Some(Value::List(expected))) if order == Order::Any => {
            sorted_texts(got) == sorted_texts(expected)
        }
        (Ok(got), None, Some(expected)) => keys_sorted(got) == keys_sorted(expected),
        _ => false,
    }
}

fn sorted_texts(values: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = values.iter().map(|value| json::to_string(&keys_sorted(value))).collect();
    texts.sort();
    texts
}

/// Two objects are equal whatever the order of their keys.
fn keys_sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(keys_sorted).collect()),
        Value::Dict(dict) => {
            let sorted: BTreeMap<&str, Value> = dict.iter().map(|(key, value)| (key, keys_sorted(value))).collect();
            Value::Dict(sorted.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// The cases were written with the keys of their objects sorted; Ceilometer saw them in another order, which `*` and
/// `..` show. Only for answers in which it does show: some order of the keys must give the recorded answer.
fn agrees_in_some_order(case: &Dict, field: &Field, root: &Value, all: bool, answer: &Result<Value, Raised>) -> bool {
    const ORDERS: u64 = 2_000;
    let answers = (1..=ORDERS).map(|seed| evaluate(field, &shuffled(root, &mut { seed }), all));
    let mut shows = false;
    let mut agreeing = false;
    for other in answers {
        shows |= other != *answer;
        agreeing |= agrees(case, &other, if all { Order::Any } else { Order::AsGiven });
        if shows && agreeing {
            return true;
        }
        if !shows && !agreeing && !enumerates(case) {
            return false;
        }
    }
    false
}

/// Whether the field's text can show the order of keys at all.
fn enumerates(case: &Dict) -> bool {
    let text = case.get("field").map(json::to_string).unwrap_or_default();
    text.contains('*') || text.contains("..")
}

/// The members of a notification in their order (Ceilometer reference §3.2).
fn in_notification_order(root: &Value) -> Value {
    let Value::Dict(dict) = root else { return root.clone() };
    let known = ["ctxt", "publisher_id", "event_type", "payload", "metadata"];
    let first = known.iter().filter_map(|key| dict.get(key).map(|value| (*key, value.clone())));
    let others = dict.iter().filter(|(key, _)| !known.contains(key)).map(|(key, value)| (key, value.clone()));
    Value::Dict(first.chain(others).collect())
}

/// The keys of every object inside the members in another order.
fn shuffled(value: &Value, seed: &mut u64) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(|item| shuffled(item, seed)).collect()),
        Value::Dict(dict) => {
            let mut pairs: Vec<(&str, Value)> = dict.iter().map(|(key, value)| (key, shuffled(value, seed))).collect();
            for n in (1..pairs.len()).rev() {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                pairs.swap(n, usize::try_from(*seed >> 33).unwrap() % (n + 1));
            }
            Value::Dict(pairs.into_iter().collect())
        }
        other => other.clone(),
    }
}

fn expected(case: &Dict) -> String {
    match case.get("error") {
        Some(class) => format!("the error {}", json::to_string(class)),
        None => json::to_string(case.get("result").unwrap_or(&Value::Null)),
    }
}

fn evaluate(field: &Field, root: &Value, all: bool) -> Result<Value, Raised> {
    if !all {
        return Ok(field.first(root)?.map_or(Value::Null, std::borrow::Cow::into_owned));
    }
    match field.constant() {
        Some(constant) => Ok(constant.clone()),
        None => Ok(Value::List(field.all(root)?.into_iter().map(std::borrow::Cow::into_owned).collect())),
    }
}
