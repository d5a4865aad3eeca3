//! A sample: one measured value of one meter of one resource.

use super::json::{self, NonFinite, OnDemand};
use super::text::Text;
use super::value::{Dict, Value};
use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

/// How volumes of a meter relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SampleType {
    /// A value of its own at each moment.
    Gauge,
    /// A change since the last sample.
    Delta,
    /// A counter that only grows, or starts anew.
    Cumulative,
}

impl SampleType {
    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            SampleType::Gauge => "gauge",
            SampleType::Delta => "delta",
            SampleType::Cumulative => "cumulative",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<SampleType> {
        [SampleType::Gauge, SampleType::Delta, SampleType::Cumulative].into_iter().find(|t| t.name() == name)
    }
}

/// A sample (Ceilometer reference §4.5). Fields that come from a path hold whatever the path found.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The meter's name.
    pub name: Text,
    /// The meter's type.
    pub kind: SampleType,
    /// The unit of the volume.
    pub unit: Value,
    /// The measured value, in `unit`; a number, or a string that reads as one.
    pub volume: Value,
    /// Whose it is: user id.
    pub user_id: Value,
    /// The user's name, where the sender gave it.
    pub user_name: Value,
    /// Whose it is: project id.
    pub project_id: Value,
    /// The project's name, where the sender gave it.
    pub project_name: Value,
    /// What was measured.
    pub resource_id: Value,
    /// When, ISO 8601.
    pub timestamp: Text,
    /// What else is known of the resource.
    pub resource_metadata: OnDemand<Dict>,
    /// Where it comes from; `[DEFAULT] sample_source`.
    pub source: Text,
    /// The same at every repeat of the same notification.
    pub id: Text,
    /// The sender's monotonic clock in seconds, where it gave it.
    pub monotonic_time: Value,
}

impl Sample {
    /// The id of a sample that has this name in this namespace: a UUIDv5, as `Uuid::new_v5` makes it, hashed by the
    /// processor's own instructions where it has them.
    pub fn id_of(namespace: &Uuid, name: &[u8]) -> Text {
        let hash = Sha1::new().chain_update(namespace).chain_update(name).finalize();
        let [first @ .., _, _, _, _] = <[u8; 20]>::from(hash);
        let id = Builder::from_sha1_bytes(first).into_uuid();
        Text::from(&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    /// The same, of which nothing keeps a message alive: see [`Text::detached`].
    #[must_use]
    pub fn detached(&self) -> Sample {
        Sample {
            name: self.name.detached(),
            kind: self.kind,
            unit: self.unit.detached(),
            volume: self.volume.detached(),
            user_id: self.user_id.detached(),
            user_name: self.user_name.detached(),
            project_id: self.project_id.detached(),
            project_name: self.project_name.detached(),
            resource_id: self.resource_id.detached(),
            timestamp: self.timestamp.detached(),
            resource_metadata: self.resource_metadata.detached(),
            source: self.source.detached(),
            id: self.id.detached(),
            monotonic_time: self.monotonic_time.detached(),
        }
    }

    /// Ceilometer's `as_dict()`: keys and order of Ceilometer reference §4.5.
    pub fn as_dict(&self) -> Dict {
        Dict::from_iter([
            ("name", Value::Str(self.name.clone())),
            ("type", Value::from(self.kind.name())),
            ("unit", self.unit.clone()),
            ("volume", self.volume.clone()),
            ("user_id", self.user_id.clone()),
            ("user_name", self.user_name.clone()),
            ("project_id", self.project_id.clone()),
            ("project_name", self.project_name.clone()),
            ("resource_id", self.resource_id.clone()),
            ("timestamp", Value::Str(self.timestamp.clone())),
            ("resource_metadata", Value::Dict(Dict::clone(&self.resource_metadata))),
            ("source", Value::Str(self.source.clone())),
            ("id", Value::Str(self.id.clone())),
            ("monotonic_time", self.monotonic_time.clone()),
        ])
    }

    /// Appends [`as_dict`](Sample::as_dict) as compact JSON, without making it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        json::write_str(&self.name, out);
        out.extend_from_slice(b",\"type\":");
        json::write_str(self.kind.name(), out);
        for (key, value) in [
            ("unit", &self.unit),
            ("volume", &self.volume),
            ("user_id", &self.user_id),
            ("user_name", &self.user_name),
            ("project_id", &self.project_id),
            ("project_name", &self.project_name),
            ("resource_id", &self.resource_id),
        ] {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            json::write(value, out);
        }
        out.extend_from_slice(b",\"timestamp\":");
        json::write_str(&self.timestamp, out);
        out.extend_from_slice(b",\"resource_metadata\":");
        self.resource_metadata.write_json(NonFinite::Python, out);
        out.extend_from_slice(b",\"source\":");
        json::write_str(&self.source, out);
        out.extend_from_slice(b",\"id\":");
        json::write_str(&self.id, out);
        out.extend_from_slice(b",\"monotonic_time\":");
        json::write(&self.monotonic_time, out);
        out.push(b'}');
    }

    /// Reads what [`write_json`](Sample::write_json) writes, and nothing else.
    pub fn read_json(from: &mut json::Exact<'_>) -> Option<Sample> {
        let text = |from: &mut json::Exact<'_>, key: &[u8]| from.literal(key).and_then(|()| from.string());
        let value = |from: &mut json::Exact<'_>, key: &[u8]| from.literal(key).and_then(|()| from.value());
        let sample = Sample {
            name: text(from, b"{\"name\":")?,
            kind: SampleType::from_name(&text(from, b",\"type\":")?)?,
            unit: value(from, b",\"unit\":")?,
            volume: value(from, b",\"volume\":")?,
            user_id: value(from, b",\"user_id\":")?,
            user_name: value(from, b",\"user_name\":")?,
            project_id: value(from, b",\"project_id\":")?,
            project_name: value(from, b",\"project_name\":")?,
            resource_id: value(from, b",\"resource_id\":")?,
            timestamp: text(from, b",\"timestamp\":")?,
            resource_metadata: from.literal(b",\"resource_metadata\":").and_then(|()| from.dict_on_demand())?,
            source: text(from, b",\"source\":")?,
            id: text(from, b",\"id\":")?,
            monotonic_time: value(from, b",\"monotonic_time\":")?,
        };
        from.literal(b"}")?;
        Some(sample)
    }

    /// The sample of an [`as_dict`](Sample::as_dict); the key that is missing or wrong if it is none.
    pub fn from_dict(mut dict: Dict) -> Result<Sample, &'static str> {
        fn text(dict: &mut Dict, key: &'static str) -> Result<Text, &'static str> {
            match dict.remove(key) {
                Some(Value::Str(s)) => Ok(s),
                _ => Err(key),
            }
        }
        let kind = dict.get("type").and_then(Value::as_str).and_then(SampleType::from_name).ok_or("type")?;
        let Some(Value::Dict(resource_metadata)) = dict.remove("resource_metadata") else {
            return Err("resource_metadata");
        };
        let (name, timestamp) = (text(&mut dict, "name")?, text(&mut dict, "timestamp")?);
        let (source, id) = (text(&mut dict, "source")?, text(&mut dict, "id")?);
        let mut any = |key| dict.remove(key).unwrap_or_default();
        Ok(Sample {
            name,
            kind,
            unit: any("unit"),
            volume: any("volume"),
            user_id: any("user_id"),
            user_name: any("user_name"),
            project_id: any("project_id"),
            project_name: any("project_name"),
            resource_id: any("resource_id"),
            timestamp,
            resource_metadata: resource_metadata.into(),
            source,
            id,
            monotonic_time: any("monotonic_time"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_written_as_its_dictionary() {
        let sample = Sample {
            name: "a\"b".into(),
            kind: SampleType::Delta,
            unit: Value::from("\u{1}é"),
            volume: Value::Float(f64::NAN),
            user_id: Value::Null,
            user_name: Value::from("u"),
            project_id: Value::Int(7),
            project_name: Value::Bool(true),
            resource_id: Value::List(vec![Value::Float(1.5)]),
            timestamp: "2020-01-01T00:00:00".into(),
            resource_metadata: Dict::from_iter([("k", Dict::from_iter([("l", Value::Null)]))]).into(),
            source: "s".into(),
            id: "i".into(),
            monotonic_time: Value::Float(0.25),
        };
        let mut out = Vec::new();
        sample.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json::to_string(&Value::Dict(sample.as_dict())));
    }
}
