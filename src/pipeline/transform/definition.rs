//! What the transformers of a sink are.

use super::kinds::aggregator::Aggregating;
use super::kinds::arithmetic::Formula;
use super::kinds::change::Delta;
use super::kinds::scaling::Scaling;
use crate::model::{Place, Value, json};
use sha2::{Digest as _, Sha256};

/// The transformers of one sink in their order, read from `pipeline.yaml`. Never changes. Two are equal if their
/// digests are: if the same is written, wherever it stands.
#[derive(Debug, Clone, Default)]
pub struct Transformers {
    pub(super) all: Vec<Transformer>,
}

/// One transformer.
#[derive(Debug, Clone)]
pub(super) struct Transformer {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) digest: String,
    pub(super) told: Told,
}

/// What a transformer is told by its parameters.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// Only samples of this unit, if there is one.
    UnitConversion {
        unit: Option<Value>,
        scaling: Scaling,
    },
    RateOfChange(Scaling),
    Delta(Delta),
    /// How many samples are waited for; below 1 none is held.
    Accumulator {
        size: f64,
    },
    Aggregator(Aggregating),
    /// Nothing if the expression names no meter: samples are swallowed.
    Arithmetic(Option<Formula>),
}

impl Told {
    fn is_stateful(&self) -> bool {
        match self {
            Told::UnitConversion { .. } | Told::Arithmetic(None) => false,
            // Until two are wanted, every flush empties it.
            Told::Accumulator { size } => *size > 1.0,
            Told::RateOfChange(_) | Told::Delta(_) | Told::Aggregator(_) | Told::Arithmetic(Some(_)) => true,
        }
    }
}

impl PartialEq for Transformers {
    fn eq(&self, other: &Transformers) -> bool {
        self.digest() == other.digest()
    }
}

impl Transformers {
    /// Whether there are none: samples pass as they are.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them keeps anything from one scope to the next.
    pub fn is_stateful(&self) -> bool {
        self.all.iter().any(|transformer| transformer.told.is_stateful())
    }

    /// The same hex digits for the same definition, in every process and build.
    pub fn digest(&self) -> String {
        let all: Vec<&str> = self.all.iter().map(|transformer| transformer.digest.as_str()).collect();
        hex(all.join(" ").as_bytes())
    }

    /// Where the first one is written.
    pub fn place(&self) -> Option<&Place> {
        self.all.first().map(|transformer| &transformer.place)
    }
}

/// The digest of a transformer as it is written; the order of its keys does not count.
pub(super) fn digest(name: &str, parameters: &Value) -> String {
    let mut text = Vec::new();
    json::write(&Value::List(vec![Value::from(name), sorted(parameters)]), &mut text);
    hex(&text)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Dict(dict) => {
            let mut pairs: Vec<(&str, &Value)> = dict.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            Value::Dict(pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::List(list) => Value::List(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// The first 16 hex digits of SHA-256: definitions are few, and nobody forges them.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
