//! Samples and events as messages to other services: the field order of Ceilometer reference §3.3, signed.

use super::signature;
use crate::model::json::NonFinite;
use crate::model::{Dict, Event, Sample, Value};

/// The meter message of a sample, signed with `secret`: as it will be written, so that its reader finds it signed.
pub fn of_sample(sample: &Sample, secret: &str, non_finite: NonFinite) -> Dict {
    let mut message = fields(sample);
    finish(&mut message, secret, non_finite);
    message
}

/// The same with the name of its sender, as the tcp publisher has it (Ceilometer reference §6.7).
pub fn of_sample_from(publisher_id: &str, sample: &Sample, secret: &str, non_finite: NonFinite) -> Dict {
    let mut message = fields(sample);
    message.insert("publisher_id", publisher_id);
    finish(&mut message, secret, non_finite);
    message
}

fn fields(sample: &Sample) -> Dict {
    Dict::from_iter([
        ("source", Value::from(sample.source.as_str())),
        ("counter_name", Value::from(sample.name.as_str())),
        ("counter_type", Value::from(sample.kind.name())),
        ("counter_unit", sample.unit.clone()),
        ("counter_volume", sample.volume.clone()),
        ("user_id", sample.user_id.clone()),
        ("user_name", sample.user_name.clone()),
        ("project_id", sample.project_id.clone()),
        ("project_name", sample.project_name.clone()),
        ("resource_id", sample.resource_id.clone()),
        ("timestamp", Value::from(sample.timestamp.as_str())),
        ("resource_metadata", Value::Dict(Dict::clone(&sample.resource_metadata))),
        ("message_id", Value::from(sample.id.as_str())),
        ("monotonic_time", sample.monotonic_time.clone()),
    ])
}

/// The event message of an event, signed with `secret`.
pub fn of_event(event: &Event, secret: &str, non_finite: NonFinite) -> Dict {
    let mut message = event.serialize();
    finish(&mut message, secret, non_finite);
    message
}

/// A signature is over Python's `str()` of the values, which is another one for `null` than for `NaN`.
fn finish(message: &mut Dict, secret: &str, non_finite: NonFinite) {
    if non_finite == NonFinite::Null {
        message.without_non_finite();
    }
    signature::sign(message, secret);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SampleType, Trait, TraitValue, json, time};

    const SECRET: &str = "change this for valid signing";

    /// Ceilometer reference, Appendix B.
    #[test]
    fn a_sample_has_the_signature_of_the_reference() {
        let sample = Sample {
            name: "cpu".into(),
            kind: SampleType::Cumulative,
            unit: "ns".into(),
            volume: Value::Float(1.5),
            user_id: "u".into(),
            user_name: Value::Null,
            project_id: "p".into(),
            project_name: Value::Null,
            resource_id: "r".into(),
            timestamp: "2020-01-01T00:00:00+00:00".into(),
            resource_metadata: json::read(br#"{"a":{"b":1},"l":[1,"x"]}"#).unwrap().as_dict().unwrap().clone().into(),
            source: "openstack".into(),
            id: "11111111-1111-1111-1111-111111111111".into(),
            monotonic_time: Value::Null,
        };
        let message = of_sample(&sample, SECRET, NonFinite::Null);
        assert_eq!(
            json::to_string(&Value::Dict(message)),
            concat!(
                r#"{"source":"openstack","counter_name":"cpu","counter_type":"cumulative","counter_unit":"ns","#,
                r#""counter_volume":1.5,"user_id":"u","user_name":null,"project_id":"p","project_name":null,"#,
                r#""resource_id":"r","timestamp":"2020-01-01T00:00:00+00:00","resource_metadata":{"a":{"b":1},"#,
                r#""l":[1,"x"]},"message_id":"11111111-1111-1111-1111-111111111111","monotonic_time":null,"#,
                r#""message_signature":"105df40b5d3d19c0982ab49e7ad48544f66a809e2fa838cfd81114a1edee0133"}"#,
            )
        );
    }

    /// Ceilometer reference, Appendix B.
    #[test]
    fn an_event_has_the_signature_of_the_reference() {
        let at = |text| time::parse(text).unwrap().naive_utc();
        let of = |name: &str, value| Trait { name: name.into(), value };
        let mut event = Event {
            message_id: "mid".into(),
            event_type: "et".into(),
            generated: at("2020-01-01T00:00:00.000005"),
            traits: vec![
                of("t", TraitValue::Text("v".into())),
                of("d", TraitValue::Datetime(at("2020-01-01T00:00:00"))),
            ]
            .into(),
            raw: Dict::new(),
        };
        let signature = |event: &Event| of_event(event, SECRET, NonFinite::Null).remove(signature::FIELD).unwrap();
        assert_eq!(signature(&event), "709c02bc85ee445c5aee6fe245e5b129a07bdb94c92c002e591a9f280e2db65f".into());
        event.generated = at("2020-01-01T00:00:00");
        event.traits.pop();
        event.raw = json::read(br#"{"payload":{"a":[{"b":"c"}]}}"#).unwrap().as_dict().unwrap().clone();
        assert_eq!(signature(&event), "07a971d29cd68c135977316623d0428300e22eb45605a61c3881902ffd92e658".into());
    }
}
