//! Declarative meters: what `meters.d/*.yaml` say (Ceilometer reference §4.1).
//!
//! Loading says of every definition what will happen to it; sampling never fails as a whole. Never here: the check
//! that a volume is a number, which belongs to the pipelines.

mod attributes;
mod definition;
mod fault;
mod lookup;

pub(crate) use definition::MeterDefinition;

use super::options::ConvertOptions;
use crate::model::{Complaint, Data, Node, Place, Value};
use definition::MetadataNumbers;
use fault::LoadFault;
use std::collections::HashMap;

/// The definitions in force, in emission order: the first file's last definition first.
///
/// Within a file the last of a name wins, across files the first file. `None` where Ceilometer would go on without
/// any meter at all: the complaints then hold at least one error.
pub(crate) fn load(
    files: &[Node],
    options: &ConvertOptions,
    complaints: &mut Vec<Complaint>,
) -> Option<Vec<MeterDefinition>> {
    let mut loaded: Vec<MeterDefinition> = Vec::new();
    let mut names: HashMap<String, Place> = HashMap::new();
    let mut numbers = MetadataNumbers::default();
    let mut whole = true;
    for file in files {
        let Some(entries) = entries(file, complaints) else {
            whole = false;
            continue;
        };
        for entry in entries.iter().rev() {
            match load_one(entry, options, (&mut names, &mut numbers), complaints) {
                Ok(Some(definition)) => loaded.push(definition),
                Ok(None) => {}
                Err(complaint) => {
                    complaints.push(complaint);
                    whole = false;
                }
            }
        }
    }
    whole.then_some(loaded)
}

/// The list under `metric`.
fn entries<'n>(file: &'n Node, complaints: &mut Vec<Complaint>) -> Option<&'n [Node]> {
    let wrong = match (&file.data, file.get("metric")) {
        (Data::Map(_), Some(metric)) => match &metric.data {
            Data::List(entries) => return Some(entries),
            _ if is_empty_text_or_map(metric) => return Some(&[]),
            _ => {
                let text = format!("metric: expected a list of meter definitions, this is {}", metric.described());
                Complaint::error(&metric.place, text)
            }
        },
        (Data::Map(_), None) => Complaint::error(
            &file.place,
            "the key metric: is missing; write a list of definitions under it, or [] for none",
        ),
        _ => {
            let text = format!("expected a mapping with the key metric: and a list, this is {}", file.described());
            Complaint::error(&file.place, text)
        }
    };
    complaints.push(wrong);
    None
}

fn is_empty_text_or_map(node: &Node) -> bool {
    match &node.data {
        Data::Map(pairs) => pairs.is_empty(),
        Data::Scalar(Value::Str(text)) => text.is_empty(),
        _ => false,
    }
}

/// One entry: loaded, passed over with a warning, or the error that keeps the agent from starting.
fn load_one(
    entry: &Node,
    options: &ConvertOptions,
    (names, numbers): (&mut HashMap<String, Place>, &mut MetadataNumbers),
    complaints: &mut Vec<Complaint>,
) -> Result<Option<MeterDefinition>, Complaint> {
    let Data::Map(_) = &entry.data else {
        let found = entry.described();
        let text = format!("expected a meter definition: a mapping with name, event_type, …; this is {found}");
        return Err(Complaint::error(&entry.place, text));
    };
    let name = name_key(entry.get("name"))
        .ok_or_else(|| Complaint::error(&entry.place, "name: expected text, not a list or mapping"))?;
    if let Some(winner) = names.get(&name) {
        let shown = entry.get("name").map(Node::key_text).unwrap_or_default();
        let text = format!(
            "meter {shown} is never used: the definition of the same name at {winner} takes its place (within a file \
             the last wins, across files the first file; list several event types in one definition)"
        );
        complaints.push(Complaint::warning(&entry.place, text));
        return Ok(None);
    }
    match MeterDefinition::load(entry, options, numbers, complaints) {
        Ok(definition) => {
            names.insert(name, entry.place.clone());
            Ok(Some(definition))
        }
        Err(LoadFault::Skipped(place, why)) => {
            complaints.push(Complaint::warning(&place, format!("this meter definition is skipped: {why}")));
            Ok(None)
        }
        Err(LoadFault::Refused(place, why)) => Err(Complaint::error(&place, why)),
    }
}

/// The name as a key that is equal where Python's is (`1`, `1.0` and `true` are one name).
fn name_key(name: Option<&Node>) -> Option<String> {
    match name.map(|n| &n.data) {
        None | Some(Data::Scalar(Value::Null)) => Some("null".to_owned()),
        Some(Data::Scalar(Value::Str(text))) => Some(format!("text {text}")),
        Some(Data::Scalar(Value::Bool(b))) => Some(format!("number {}", i32::from(*b))),
        Some(Data::Scalar(Value::Int(i))) => Some(format!("number {i}")),
        Some(Data::Scalar(Value::Big(i))) => Some(format!("number {i}")),
        Some(Data::Scalar(Value::Float(f))) => Some(format!("number {f}")),
        Some(_) => None,
    }
}
