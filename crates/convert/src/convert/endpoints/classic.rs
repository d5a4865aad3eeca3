//! The listeners of the Liberty release that count things rather than measure them (Ceilometer reference §1.4):
//! `disable_non_metric_meters = false` brings them back.

use super::{dict, item, starts_with};
use crate::convert::field::Raised;
use crate::convert::metadata::copy_reserved;
use crate::convert::options::Reserved;
use crate::convert::sampling::{Draft, Sampling, copy_with_origin, shown};
use crate::model::{Dict, SampleType, Text, Value};

/// Counts one kind of network resource.
pub(super) struct Listener {
    /// As in event types and payloads.
    pub(super) resource: &'static str,
    /// The gauge's name.
    pub(super) counter: &'static str,
    /// The unit of both samples.
    pub(super) unit: &'static str,
}

impl Listener {
    /// `<resource>.create.end`, `.update.*` and `.exists`. What is only about to be created has no id yet, and what is
    /// gone has lost its description.
    pub(super) fn takes(&self, event_type: &str) -> bool {
        [".create.end", ".update.*", ".exists"]
            .iter()
            .any(|suffix| starts_with(event_type, &format!("{}{suffix}", self.resource)))
    }

    /// For each resource a gauge, and a delta named after what happened to it.
    pub(super) fn build(&self, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
        let payload = dict(sampling.notification().payload(), self.resource)?;
        if let Some(one) = payload.get(self.resource).filter(|one| one.is_truthy()) {
            let mut one = one.clone();
            if sampling.notification().event_type().is_some_and(|e| e.ends_with("update.start"))
                && let Value::Dict(one) = &mut one
            {
                one.insert("id", item(sampling.notification().payload(), "id")?.clone());
            }
            return self.count(&one, sampling);
        }
        match payload.get(&format!("{}s", self.resource)) {
            None => Ok(()),
            Some(Value::List(resources)) => resources.iter().try_for_each(|one| self.count(one, sampling)),
            Some(other) => Err(Raised::new("TypeError", format!("{}s is {}", self.resource, shown(other)))),
        }
    }

    fn count(&self, resource: &Value, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
        let notification = sampling.notification();
        let event_type = notification.event_type().unwrap_or_default();
        let ctxt = notification.root().as_dict().and_then(|root| root.get("ctxt")).unwrap_or(&Value::Null);
        let draft = |name: Text, kind| -> Result<Draft, Raised> {
            Ok(Draft {
                name,
                kind,
                unit: self.unit.into(),
                volume: Value::Int(1),
                user_id: item(ctxt, "user_id")?.clone(),
                project_id: item(ctxt, "tenant_id")?.clone(),
                resource_id: item(resource, "id")?.clone(),
                timestamp: sampling.timestamp(&Value::Null)?,
                metadata: copy_with_origin(resource, &Value::from(event_type), notification.publisher_id()).into(),
            })
        };
        let gauge = draft(self.counter.into(), SampleType::Gauge)?;
        let mut parts = event_type.split('.');
        let delta = match (parts.nth(1), parts.next()) {
            (Some(happened), Some(_)) => Some(draft(format!("{}.{happened}", self.counter).into(), SampleType::Delta)?),
            _ => None,
        };
        sampling.push(gauge);
        if let Some(delta) = delta {
            sampling.push(delta);
        }
        Ok(())
    }
}

/// Every notification about an instance: the gauge `instance`.
pub(super) fn instance(sampling: &mut Sampling<'_>, reserved: &Reserved) -> Result<(), Raised> {
    let payload = sampling.notification().payload();
    let mut described = dict(payload, "instance_id")?.clone();
    move_user_metadata(&mut described, reserved)?;
    let draft = Draft {
        name: "instance".into(),
        kind: SampleType::Gauge,
        unit: "instance".into(),
        volume: Value::Int(1),
        user_id: item(payload, "user_id")?.clone(),
        project_id: item(payload, "tenant_id")?.clone(),
        resource_id: item(payload, "instance_id")?.clone(),
        timestamp: sampling.timestamp(&Value::Null)?,
        metadata: origin(described, sampling).into(),
    };
    sampling.push(draft);
    Ok(())
}

/// The scheduler chose a host: the delta `instance.scheduled`.
pub(super) fn instance_scheduled(sampling: &mut Sampling<'_>, reserved: &Reserved) -> Result<(), Raised> {
    let payload = sampling.notification().payload();
    let properties = item(item(payload, "request_spec")?, "instance_properties")?;
    let mut described = dict(payload, "request_spec")?.clone();
    if let Some(Value::Dict(spec)) = described.get_mut("request_spec")
        && let Some(Value::Dict(properties)) = spec.get_mut("instance_properties")
    {
        move_user_metadata(properties, reserved)?;
    }
    let draft = Draft {
        name: "instance.scheduled".into(),
        kind: SampleType::Delta,
        unit: "instance".into(),
        volume: Value::Int(1),
        user_id: Value::Null,
        project_id: item(properties, "project_id")?.clone(),
        resource_id: item(payload, "instance_id")?.clone(),
        timestamp: sampling.timestamp(&Value::Null)?,
        metadata: origin(described, sampling).into(),
    };
    sampling.push(draft);
    Ok(())
}

/// The user's own `metadata` gives way to the reserved keys in it.
fn move_user_metadata(properties: &mut Dict, reserved: &Reserved) -> Result<(), Raised> {
    if !matches!(properties.get("metadata"), Some(Value::Dict(_))) {
        return Ok(());
    }
    let own = properties.remove("metadata").unwrap_or_default();
    copy_reserved(reserved, &own, properties)
}

fn origin(mut described: Dict, sampling: &Sampling<'_>) -> Dict {
    described.insert("event_type", sampling.notification().event_type().unwrap_or_default());
    described.insert("host", sampling.notification().publisher_id().clone());
    described
}
