//! The configuration that all agents of a world have.

use crate::plan::{MainQueues, Plan};
use crate::sender;
use nephoscope::config::{self, Definitions, Settings};
use nephoscope::model::Complaint;

const METERS: &str = "
metric:
  - {name: size, event_type: volume.usage, type: cumulative, unit: B, volume: $.payload.size,
     resource_id: $.payload.id, project_id: $.payload.tenant_id, user_id: $.payload.user_id}
";
const EVENTS: &str = "
- event_type: volume.usage
  traits: {resource_id: {fields: payload.id}, size: {type: int, fields: payload.size}}
";
/// Where the transformers and the destinations of the world are put in.
const PIPELINE: &str = "
sources: [{name: source, meters: ['*'], sinks: [sink]}]
sinks: [{name: sink, transformers: [TRANSFORMERS], publishers: [PUBLISHERS]}]
";
const EVENT_PIPELINE: &str = "
sources: [{name: source, events: ['*'], sinks: [sink]}]
sinks: [{name: sink, publishers: [PUBLISHERS]}]
";

/// `ceilometer.conf`.
pub(super) fn settings(plan: &Plan) -> Result<Settings, Vec<Complaint>> {
    let sharing = if plan.partitioned {
        format!(
            "workload_partitioning = true\npipeline_processing_queues = {}\n\
             [coordination]\nbackend_url = etcd3://unused\ncheck_watchers = {}\n",
            plan.queues,
            plan.view_period.as_secs()
        )
    } else {
        String::new()
    };
    let text = format!(
        "[notification]\nnotification_control_exchanges = {}\n{sharing}\
         [oslo_messaging_rabbit]\namqp_durable_queues = true\nrabbit_quorum_queue = {}\n\
         [nephoscope]\nmain_queue_exclusive = {}\nlease_ttl = {}\npublish_retry_min = 0.1\npublish_retry_max = 2\nparked_messages_max = 10000\n",
        sender::EXCHANGE,
        plan.main != MainQueues::Classic,
        plan.main != MainQueues::Shared,
        plan.lease_ttl.as_secs()
    );
    let (settings, complaints) = config::load_text("simulated", &text);
    settings.ok_or(complaints)
}

/// The definition files.
pub(super) fn definitions(plan: &Plan) -> Result<Definitions, Vec<Complaint>> {
    let destinations: Vec<String> = (0..plan.destinations).map(|n| format!("'test://{n}'")).collect();
    let destinations = destinations.join(", ");
    let pipeline = PIPELINE.replace("TRANSFORMERS", plan.transformers.unwrap_or_default());
    let pipeline = pipeline.replace("PUBLISHERS", &destinations);
    let event_pipeline = EVENT_PIPELINE.replace("PUBLISHERS", &destinations);
    let node = |name: &str, text: &str| config::yaml::read(name, text).map_err(|complaint| vec![complaint]);
    Ok(Definitions {
        meters: vec![node("meters.yaml", METERS)?],
        events: Some(node("event_definitions.yaml", EVENTS)?),
        pipeline: Some(node("pipeline.yaml", &pipeline)?),
        event_pipeline: if plan.events { Some(node("event_pipeline.yaml", &event_pipeline)?) } else { None },
        ..Definitions::default()
    })
}
