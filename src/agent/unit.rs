//! A unit at work: one main queue or one pipeline queue, from opening its channel to closing it.

use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::direct::DirectSinks;
use super::forward::{self, Forwarder, Sender};
use super::ground::{self, BrokerPlace, Ground};
use super::intake::Intake;
use super::main_listener::{Ended, MainListener, Way};
use super::pipeline_listener::PipelineListener;
use super::route::Routes;
use super::sink::{Dead, SinkSlot};
use crate::transport::{ConsumeOptions, TransportError};

/// What a unit's name stands for.
#[derive(Clone)]
pub(super) enum Kind {
    /// A main queue of one of the brokers.
    Main {
        /// Position of the broker in [`Ground::brokers`].
        broker: usize,
        /// The queue.
        queue: String,
    },
    /// A pipeline queue.
    Pipeline {
        /// Its sink.
        slot: Arc<SinkSlot>,
        /// The queue; also the unit's name.
        queue: String,
    },
}

/// The units that the routes ask for, by name, in order: every main queue of every broker, and with partitioning every
/// queue of every sink.
pub(super) fn all(ground: &Ground, routes: &Routes) -> Vec<(String, Kind)> {
    let mut units = Vec::new();
    for (broker, place) in ground.brokers.iter().enumerate() {
        for queue in &place.main_queues {
            // The first broker's main queues go by their own names; of further ones by name and position.
            let name = if broker == 0 { format!("main:{queue}") } else { format!("main:{queue}@{broker}") };
            units.push((name, Kind::Main { broker, queue: queue.clone() }));
        }
    }
    if ground.options.partitioned {
        for slot in &routes.sinks {
            for n in 0..routes.queues_per_sink() {
                let queue = ground::pipeline_queue(&ground.group, &slot.name, n);
                units.push((queue.clone(), Kind::Pipeline { slot: Arc::clone(slot), queue }));
            }
        }
    }
    units
}

/// A listener that is open and ready to run.
pub(super) enum Listener {
    /// On a main queue.
    Main(Box<MainListener>),
    /// On a pipeline queue.
    Pipeline(Box<PipelineListener>),
}

/// Opens the channel of a unit and begins to consume.
pub(super) async fn open(
    ground: &Arc<Ground>,
    kind: &Kind,
    epoch: i64,
    routes: watch::Receiver<Arc<Routes>>,
    direct: &Arc<DirectSinks>,
    stop: &CancellationToken,
) -> Result<Listener, TransportError> {
    let options = &ground.options;
    match kind {
        Kind::Main { broker, queue } => {
            let place = &ground.brokers[*broker];
            let now = Arc::clone(&routes.borrow());
            let way = if options.partitioned {
                // Everything declared and routable before the first message is taken.
                let session = ground.prepared(ground.first_broker(), &now).await?;
                let (group, member) = (Arc::clone(&ground.group), Arc::clone(&ground.member));
                let sender = Sender { group, member, epoch, sabotage: options.sabotage };
                let (forwarder, confirms) = Forwarder::new(session, sender, options.packet);
                let name = format!("confirms of {queue}");
                ground.nursery.spawn(&name, forward::settle_confirmed(confirms, ground.metrics.clone()));
                Way::Queues(forwarder)
            } else {
                Way::Direct(Arc::clone(direct))
            };
            let session = ground.prepared(place, &now).await?;
            let exclusive = options.partitioned && options.main_queue_exclusive;
            let consumer = session.consume(queue, consume_options(place, options.main_prefetch, exclusive)).await?;
            Ok(Listener::Main(Box::new(MainListener {
                intake: Intake::new(consumer, options, &ground.metrics, &ground.nursery),
                routes,
                way,
                parking: ground.parking.clone(),
                metrics: ground.metrics.clone(),
            })))
        }
        Kind::Pipeline { slot, queue } => {
            let place = ground.first_broker();
            let now = Arc::clone(&routes.borrow());
            let session = ground.prepared(place, &now).await?;
            let consumer = session.consume(queue, consume_options(place, options.pipeline_prefetch, false)).await?;
            Ok(Listener::Pipeline(Box::new(PipelineListener {
                intake: Intake::new(consumer, options, &ground.metrics, &ground.nursery),
                slot: Arc::clone(slot),
                context: ground.sink_context(stop.clone()),
                sabotage: options.sabotage,
            })))
        }
    }
}

impl Listener {
    /// Runs until stopped or lost.
    pub(super) async fn run(self, stop: &CancellationToken) -> Result<Ended, Dead> {
        match self {
            Listener::Main(listener) => Ok(listener.run(stop).await),
            Listener::Pipeline(listener) => listener.run(stop).await,
        }
    }
}

fn consume_options(place: &BrokerPlace, prefetch_messages: u16, exclusive: bool) -> ConsumeOptions {
    ConsumeOptions { prefetch_messages, exclusive, arguments: place.consume_arguments.clone() }
}
