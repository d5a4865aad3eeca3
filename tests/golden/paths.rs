//! Field paths and trait plugins.

use crate::{Deliberate, run};
use nephoscope::convert::field::{Field, FieldError, Raised};
use nephoscope::model::{Dict, Node, Place, Value, json};

/// None: what the original answers, ours answers.
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
    let root = case.get("object").ok_or("no object")?;
    let answer = evaluate(&field, root, case.get("all") == Some(&Value::Bool(true)));
    match (answer, case.get("error").and_then(Value::as_str)) {
        (Err(raised), Some(class)) if raised.class == class => Ok(()),
        (Ok(value), None) if case.get("result") == Some(&value) => Ok(()),
        (Ok(value), _) => Err(told(&format!("got {}, expected {}", json::to_string(&value), expected(case)))),
        (Err(raised), _) => Err(told(&format!("got {raised}, expected {}", expected(case)))),
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
