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
use super::state::{Keeper, Lost, Owner, StreamLog};
use super::stateful_listener::StatefulListener;
use crate::cluster::hash;
use crate::transport::{ConsumeOptions, Session, TransportError};

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
    /// On a pipeline queue whose sink has stateful transformers.
    Stateful(Box<StatefulListener>),
}

/// Why a unit cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Its state.
    #[error(transparent)]
    State(#[from] Lost),
}

/// Opens the channel of a unit and begins to consume.
pub(super) async fn open(
    ground: &Arc<Ground>,
    kind: &Kind,
    epoch: i64,
    routes: watch::Receiver<Arc<Routes>>,
    direct: &Arc<DirectSinks>,
    stop: &CancellationToken,
) -> Result<Listener, OpenError> {
    let options = &ground.options;
    match kind {
        Kind::Main { broker, queue } => {
            let place = &ground.brokers[*broker];
            let now = Arc::clone(&routes.borrow());
            let way = if options.partitioned {
                // Everything declared and routable before the first message is taken.
                let session = ground.prepared(ground.first_broker(), &now).await?;
                let sender = Sender { group: Arc::clone(&ground.group), member: Arc::clone(&ground.member), epoch };
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
                intake: Intake::new(consumer, options.intake, ground.metrics.clone()),
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
            let state = if slot.is_stateful() {
                Some(restore(ground, slot, queue, epoch, &session).await?)
            } else {
                None
            };
            // Only now: nothing is delivered to an owner that does not know its state.
            let consumer = session.consume(queue, consume_options(place, options.pipeline_prefetch, false)).await?;
            let intake = Intake::new(consumer, options.intake, ground.metrics.clone());
            let (slot, context) = (Arc::clone(slot), ground.sink_context(stop.clone()));
            Ok(match state {
                None => Listener::Pipeline(Box::new(PipelineListener { intake, slot, context })),
                Some(keeper) => {
                    let (queue, ground) = (queue.as_str().into(), Arc::clone(ground));
                    Listener::Stateful(Box::new(StatefulListener {
                        queue,
                        intake,
                        keeper,
                        session,
                        slot,
                        context,
                        ground,
                    }))
                }
            })
        }
    }
}

impl Listener {
    /// Runs until stopped or lost.
    pub(super) async fn run(self, stop: &CancellationToken) -> Result<Ended, Dead> {
        match self {
            Listener::Main(listener) => Ok(listener.run(stop).await),
            Listener::Pipeline(listener) => listener.run(stop).await,
            Listener::Stateful(listener) => listener.run(stop).await,
        }
    }
}

/// Begins as the owner of a queue's state, and restores it.
async fn restore(
    ground: &Ground,
    slot: &SinkSlot,
    queue: &str,
    epoch: i64,
    session: &Arc<dyn Session>,
) -> Result<Keeper, Lost> {
    let log = StreamLog::open(Arc::clone(session), queue).await?;
    let owner = Owner {
        queue: queue.into(),
        sink: Arc::clone(&slot.name),
        epoch: ground.recall.epoch(queue, epoch),
        member: Arc::clone(&ground.member),
        nonce: hash::stable(format!("{} {epoch}", ground.member).as_bytes()),
    };
    let transformers = Arc::clone(&slot.current().transformers);
    let (options, metrics) = (ground.options.state.clone(), ground.metrics.clone());
    let opened = Keeper::open(Box::new(log), owner, transformers, options, metrics).await;
    match &opened {
        Err(Lost::Fenced(by)) => ground.recall.fenced(queue, *by),
        Err(_) => {}
        Ok(keeper) => {
            let missing = ground.recall.committed(queue, keeper.number());
            if missing > 0 {
                ground.metrics.state_regressed(queue, missing);
            }
        }
    }
    opened
}

fn consume_options(place: &BrokerPlace, prefetch_messages: u16, exclusive: bool) -> ConsumeOptions {
    ConsumeOptions { prefetch_messages, exclusive, arguments: place.consume_arguments.clone() }
}
