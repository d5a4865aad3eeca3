//! From configuration to the parts of an agent: the one place where everything is put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ground::{AgentOptions, BrokerPlace};
use super::intake::IntakeBounds;
use super::packet::PacketBounds;
use super::route::{Pipeline, Routes};
use super::sink::{Backoff, Sink, SinkSlot};
use super::{Parts, names};
use crate::cluster::SlotTable;
use crate::config::{self, Settings};
use crate::convert::{ConvertOptions, Converter};
use crate::coordination::memory::MemoryGroup;
use crate::coordination::{Coordinator, MemberRecord};
use crate::model::{Complaint, Place, Severity};
use crate::observe::{Board, Metrics};
use crate::pipeline::{self, Plan};
use crate::publish::{self, Publisher};
use crate::transport::Broker;
use crate::transport::dispatch::Dispatcher;
use crate::transport::link::Link;

/// Definitions, pipelines and publishers: what a reload replaces.
pub struct Blueprint {
    routes: Arc<Routes>,
    /// Sinks that have to be put into the place of a former one of the same name.
    replacements: Vec<(Arc<SinkSlot>, Sink)>,
    publishers: Publishers,
}

/// The publishers by what they take and their URL: sinks of one file that name the same URL share one.
type Publishers = BTreeMap<(publish::Kind, String), Arc<dyn Publisher>>;

impl Blueprint {
    /// Reads the definition files and builds the publishers. Publishers and sinks of `previous` that are still wanted
    /// are kept. Nothing is built unless everything is right; all complaints come at once.
    pub fn build(
        settings: &Settings,
        context: &publish::Context,
        previous: Option<&Blueprint>,
    ) -> (Option<Blueprint>, Vec<Complaint>) {
        let (definitions, mut complaints) = config::definitions::load(settings);
        let (converter, more) = Converter::build(definitions.sources(), convert_options(settings));
        complaints.extend(more);
        let mut plans = Vec::new();
        for (kind, node) in
            [(pipeline::Kind::Samples, &definitions.pipeline), (pipeline::Kind::Events, &definitions.event_pipeline)]
        {
            match node.as_ref().map(|node| Plan::read(kind, node)) {
                Some(Ok(plan)) => plans.push(plan),
                Some(Err(more)) => complaints.extend(more),
                None => {}
            }
        }
        let dispatcher = dispatcher(settings, &mut complaints);
        let slots = SlotTable::even(u16::try_from(settings.cluster.pipeline_processing_queues).unwrap_or(u16::MAX));
        let slots = slots.map_err(|e| complaints.push(Complaint::error(&nowhere(), e.to_string()))).ok();
        let mut publishers = Publishers::new();
        for plan in &plans {
            build_publishers(plan, context, previous, &mut publishers, &mut complaints);
        }
        let wrong = complaints.iter().any(|c| c.severity == Severity::Error);
        let (Some(converter), Some(slots), false) = (converter, slots, wrong) else { return (None, complaints) };
        let mut blueprint = Blueprint {
            routes: Arc::new(Routes {
                dispatcher,
                converter,
                sample_pipelines: Vec::new(),
                event_pipelines: Vec::new(),
                sinks: Vec::new(),
                slots,
            }),
            replacements: Vec::new(),
            publishers,
        };
        blueprint.route(&plans, previous);
        (Some(blueprint), complaints)
    }
}
