//! Requests and responses that the services' HTTP middleware reports: one delta sample each (Ceilometer reference §4.4).

use super::{item, optional};
use crate::convert::field::Raised;
use crate::convert::sampling::{Draft, Sampling};
use crate::model::{SampleType, Value};

pub(super) fn build(sampling: &mut Sampling<'_>) -> Result<(), Raised> {
    let notification = sampling.notification();
    let event_type = notification.event_type().unwrap_or_default();
    let Some(unit) = event_type.split('.').nth(1) else {
        return Err(Raised::new("IndexError", "the event type has no second part for the unit".to_owned()));
    };
    let Value::Dict(request) = item(notification.payload(), "request")? else {
        return Err(Raised::new("AttributeError", "payload.request is no dictionary".to_owned()));
    };
    let draft = Draft {
        name: event_type.into(),
        kind: SampleType::Delta,
        unit: unit.into(),
        volume: Value::Int(1),
        user_id: optional(request, "HTTP_X_USER_ID"),
        project_id: optional(request, "HTTP_X_PROJECT_ID"),
        resource_id: optional(request, "HTTP_X_SERVICE_NAME"),
        timestamp: sampling.timestamp(&Value::Null)?,
        metadata: sampling.payload_copy(),
    };
    sampling.push(draft);
    Ok(())
}
