//! Values as attributes of OTLP.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};

use crate::model::{Value, json};

/// How deep lists and objects are told as such; what is deeper is told as JSON. Readers of protobuf stop at 100 messages in
/// one another, and a level takes three.
const DEPTH_MAX: usize = 16;

/// Who says it.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// An attribute; a key has at least one letter in OTLP.
pub(super) fn attribute(key: &str, value: Option<Any>) -> KeyValue {
    let key = if key.is_empty() { "_" } else { key };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), key_strindex: 0 }
}

/// An attribute that is a text.
pub(super) fn text(key: &str, text: String) -> KeyValue {
    attribute(key, Some(Any::StringValue(text)))
}

/// A value with its type. An integer beyond 64 bits and a float without a finite value become text: OTLP's JSON has neither.
pub(super) fn any(value: &Value) -> Option<Any> {
    any_at(value, 0)
}

/// An object.
pub(super) fn object<'v>(pairs: impl Iterator<Item = (&'v str, &'v Value)>) -> Any {
    object_at(pairs, 0)
}

/// A float as [`any`] has it.
pub(super) fn float(float: f64) -> Any {
    match float {
        _ if float.is_finite() => Any::DoubleValue(float),
        _ if float.is_nan() => Any::StringValue("NaN".to_owned()),
        _ => Any::StringValue(if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
    }
}

fn any_at(value: &Value, depth: usize) -> Option<Any> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => Any::BoolValue(*truth),
        Value::Int(int) => Any::IntValue(*int),
        Value::Big(big) => Any::StringValue(big.to_string()),
        Value::Float(number) => float(*number),
        Value::Str(text) => Any::StringValue(text.to_string()),
        deep if depth >= DEPTH_MAX => Any::StringValue(json::to_string(deep)),
        Value::List(items) => {
            let values = items.iter().map(|item| AnyValue { value: any_at(item, depth + 1) });
            Any::ArrayValue(ArrayValue { values: values.collect() })
        }
        Value::Dict(dict) => object_at(dict.iter(), depth),
    })
}

fn object_at<'v>(pairs: impl Iterator<Item = (&'v str, &'v Value)>, depth: usize) -> Any {
    Any::KvlistValue(KeyValueList {
        values: pairs.map(|(key, value)| attribute(key, any_at(value, depth + 1))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn whatever_a_sender_nests_is_read_by_a_reader_of_protobuf() {
        let deep = (0..500).fold(Value::Int(1), |inner, n| {
            if n % 2 == 0 { Value::List(vec![inner]) } else { Value::Dict([("k", inner)].into_iter().collect()) }
        });
        let sent = AnyValue { value: any(&deep) };
        assert_eq!(AnyValue::decode(sent.encode_to_vec().as_slice()).unwrap(), sent);
    }
}
