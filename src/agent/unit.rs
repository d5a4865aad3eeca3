//! A unit at work: one main queue or one pipeline queue, from opening its channel to closing it.

use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::conversion::Conversion;
use super::direct::{DirectSinks, DirectWay};
use super::fences::Fences;
use super::forward::Forwarder;
use super::ground::{BrokerPlace, Ground};
use super::intake::Intake;
use super::main_listener::{Ended, MainListener, Queues, Way};
use super::offer::Dead;
use super::overflow::{Detours, OverflowListener};
use super::pipeline_listener::PipelineListener;
use super::rescue;
use super::route::Routes;
use super::shape::{self, Shape};
use super::sink::SinkSlot;
use super::state::{Inherited, Keeper, Lost, Owner, StreamLog};
use super::stateful_listener::StatefulListener;
use super::straggler::Straggler;
use crate::cluster::hash;
use crate::coordination::CoordinationError;
use crate::transport::topology::QueueKind;
use crate::transport::{ConsumeOptions, Session, TransportError, Why};

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
        /// The generation of queues that it is of.
        generation: u64,
    },
    /// The overflow queue of one of a sink's destinations.
    Overflow {
        /// The sink.
        slot: Arc<SinkSlot>,
        /// The destination's key.
        key: Arc<str>,
        /// The queue; also the unit's name.
        queue: String,
    },
}

impl Kind {
    /// Position of its broker in [`Ground::brokers`].
    pub(super) fn broker(&self) -> usize {
        match self {
            Kind::Main { broker, .. } => *broker,
            Kind::Pipeline { .. } | Kind::Overflow { .. } => 0,
        }
    }
}

/// The units that the routes ask for, by name, in order: every main queue of every broker, the overflow queues, and with
/// partitioning every queue of every sink. A new queue is one only when nothing can come from the old ones any more.
pub(super) fn all(ground: &Ground, routes: &Routes) -> Vec<(String, Kind)> {
    let mut units = main(ground);
    units.extend(ground.overflow_queues(routes).map(|(queue, slot, key)| {
        let kind = Kind::Overflow { slot: Arc::clone(slot), key, queue: queue.clone() };
        (queue, kind)
    }));
    if !ground.options.partitioned {
        return units;
    }
    let Some(shape) = ground.shape.get() else { return units };
    for slot in &routes.sinks {
        let sealed = shape.is_sealed(slot);
        for (queue, generation) in shape.queues(slot) {
            if sealed || generation == shape.spec.present.generation {
                units.push((queue.clone(), Kind::Pipeline { slot: Arc::clone(slot), queue, generation }));
            }
        }
    }
    units
}

/// The main queues of every broker, by unit.
fn main(ground: &Ground) -> Vec<(String, Kind)> {
    let mut units = Vec::new();
    for (broker, place) in ground.brokers.iter().enumerate() {
        for queue in &place.main_queues {
            // The first broker's main queues go by their own names; of further ones by name and position.
            let name = if broker == 0 { format!("main:{queue}") } else { format!("main:{queue}@{broker}") };
            units.push((name, Kind::Main { broker, queue: queue.clone() }));
        }
    }
    units
}

impl Ground {
    /// The units of the main queues.
    pub(super) fn main_units(&self) -> Vec<String> {
        main(self).into_iter().map(|(unit, _)| unit).collect()
    }
}

/// A listener that is open and ready to run.
pub(super) enum Listener {
    /// On a main queue, for the sinks of this process.
    Direct(Box<MainListener<DirectWay>>),
    /// On a main queue, for the pipeline queues.
    Main(Box<MainListener<Queues>>),
    /// On a pipeline queue.
    Pipeline(Box<PipelineListener>),
    /// On a pipeline queue whose sink has stateful transformers.
    Stateful(Box<StatefulListener>),
    /// On a pipeline queue that is sealed.
    Straggler(Box<Straggler>),
    /// On an overflow queue.
    Overflow(Box<OverflowListener>),
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
    /// The group.
    #[error(transparent)]
    Group(#[from] CoordinationError),
    /// What had to be noted in the group could not be.
    #[error("the session was over before it was noted in the group")]
    Unmarked,
}

/// What a unit is opened with.
#[derive(Clone)]
pub(super) struct Opening {
    /// What listeners stand on.
    pub ground: Arc<Ground>,
    /// The unit's name.
    pub unit: String,
    /// What it stands for.
    pub kind: Kind,
    /// The epoch of its ownership.
    pub epoch: i64,
    /// The configuration.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// The sinks of this process.
    pub direct: Arc<DirectSinks>,
    /// Asks the listener to stop.
    pub stop: CancellationToken,
}

impl Opening {
    /// Opens the channel of a unit and begins to consume. A queue that somebody has deleted is declared again.
    pub(super) async fn open(self) -> Result<Listener, OpenError> {
        let broker = self.kind.broker();
        let ground = Arc::clone(&self.ground);
        match self.clone().open_declared().await {
            Err(
                OpenError::Transport(TransportError::NoQueue(queue))
                | OpenError::State(Lost::Transport(TransportError::NoQueue(queue))),
            ) => {
                ground.metrics.queue_gone(&queue);
                ground.brokers[broker].forget_declared().await;
                self.open_declared().await
            }
            opened => opened,
        }
    }

    async fn open_declared(self) -> Result<Listener, OpenError> {
        match self.kind.clone() {
            Kind::Main { broker, queue } => self.main(broker, &queue).await,
            Kind::Pipeline { slot, queue, generation } => self.pipeline(slot, &queue, generation).await,
            Kind::Overflow { slot, key, queue } => self.overflow(slot, key, &queue).await,
        }
    }

    async fn main(self, broker: usize, queue: &str) -> Result<Listener, OpenError> {
        self.ground.is_no_alias(broker).await?;
        if !self.ground.options.partitioned {
            let way = DirectWay::new(&self.direct);
            return Ok(Listener::Direct(Box::new(self.listen(broker, queue, way).await?)));
        }
        let (ground, now) = (&self.ground, Arc::clone(&self.routes.borrow()));
        // Asked for now that the queue is ours: a former owner may have told the old queues already that nothing
        // more comes, and what we send there would be overtaken.
        ground.fresh_shape().await?;
        // Everything declared and routable before the first message is taken.
        let forwarder = forwarder(ground, &now, queue, self.epoch).await?;
        let (shape, unit) = (ground.shape.reader(), self.unit.clone());
        let queues = Queues { ground: Arc::clone(ground), forwarder, shape, unit, fenced: BTreeSet::new() };
        Ok(Listener::Main(Box::new(self.listen(broker, queue, queues).await?)))
    }

    async fn listen<W: Way>(self, broker: usize, queue: &str, way: W) -> Result<MainListener<W>, OpenError> {
        let Opening { ground, routes, stop, .. } = self;
        let (options, place) = (&ground.options, &ground.brokers[broker]);
        let now = Arc::clone(&routes.borrow());
        let session = ground.prepared_for(place, queue, &now).await?;
        if !options.partitioned {
            ground.former.ended(&*session, queue, place.notices_within).await?;
        }
        let exclusive = options.partitioned && options.main_queue_exclusive;
        let rescued = rescue::look(&*session, queue).await?;
        let consume = consume_options(place, options.main_prefetch, exclusive);
        let intake = Intake::open(&ground, &session, queue, consume, rescued).await?;
        let mut listener = MainListener {
            intake,
            routes,
            conversion: Conversion::new(&ground.metrics, &ground.nursery),
            way,
            parking: ground.parking.clone(),
            nursery: ground.nursery.clone(),
            metrics: ground.metrics.clone(),
        };
        if let Err(error) = listener.begin().await {
            listener.intake.end(Ended::Lost).await;
            return Err(error.into());
        }
        place.guard(queue, &listener.intake.until(&stop));
        Ok(listener)
    }

    async fn pipeline(self, slot: Arc<SinkSlot>, queue: &str, generation: u64) -> Result<Listener, OpenError> {
        let Opening { ground, epoch, routes, stop, .. } = self;
        let (options, place) = (&ground.options, ground.first_broker());
        let now = Arc::clone(&routes.borrow());
        let session = ground.prepared(place, &now).await?;
        let over = session.over();
        let shape = ground.shape.get().filter(|shape| shape.spec.next.is_some());
        let mut sealed = shape.as_ref().is_some_and(|shape| shape.has(&shape::sealed_mark(queue)));
        let stateful = slot.is_stateful() && !sealed;
        let log = async { if stateful { open_log(&ground, queue, &session).await } else { Ok(None) } };
        // A former owner without its lease works on until the group tells it so, and ends in order. The barrier would stop it
        // too, but in the middle of a batch; it is for those whom the broker does not show. A log that is deleted is the former
        // owner's to make again: it has the state.
        // Only a quorum queue counts what comes back, and only what it counted is ever rescued.
        let rescued = async {
            if options.queue_kind == QueueKind::Classic {
                return Ok(0);
            }
            rescue::look(&*session, queue).await
        };
        let (alone, log, rescued) = tokio::join!(session.until_alone(queue), log, rescued);
        alone?;
        let (rescued, log) = (rescued?, log?);
        let log = if stateful && log.is_none() { Some(made_log(&ground, queue, &session).await?) } else { log };
        let mut kept = None;
        if let Some(log) = log {
            let mut keeper = restore(&ground, &slot, queue, epoch, log).await?;
            if let Some(generation) = keeper.sealed() {
                // A former owner died before it could say so.
                sealed = ground.mark(generation, &shape::sealed_mark(queue), &over).await;
                if !sealed {
                    return Err(OpenError::Unmarked);
                }
            } else {
                if let Some(shape) = shape.filter(|shape| shape.routing().generation == generation) {
                    inherit(&ground, &shape, &slot, queue, &session, &mut keeper).await?;
                }
                kept = Some(keeper);
            }
        }
        // Only now: nothing is delivered to an owner that does not know its state.
        let consume = consume_options(place, options.pipeline_prefetch, false);
        let intake = Intake::open(&ground, &session, queue, consume, rescued).await?;
        let detours = Detours::new(&ground, queue, epoch, Some(Arc::clone(&session)));
        let context = ground.sink_context(intake.until(&stop), hash::stable(queue.as_bytes()), detours);
        if sealed {
            let forwarder = match forwarder(&ground, &now, queue, epoch).await {
                Ok(forwarder) => forwarder,
                Err(error) => {
                    intake.end(Ended::Lost).await;
                    return Err(error.into());
                }
            };
            let (sink, shape, nursery) = (Arc::clone(&slot.name), ground.shape.reader(), ground.nursery.clone());
            let straggler = Straggler { intake, sink, routes, shape, forwarder, context, nursery };
            return Ok(Listener::Straggler(Box::new(straggler)));
        }
        let fences = Fences::new(&ground, queue, generation, (over, stop));
        let arrivals = Arrivals::default();
        Ok(match kept {
            None => {
                let nursery = ground.nursery.clone();
                let listener = PipelineListener { intake, slot, context, fences, arrivals, nursery };
                Listener::Pipeline(Box::new(listener))
            }
            Some(keeper) => {
                let queue = queue.into();
                let listener =
                    StatefulListener { queue, intake, keeper, session, slot, context, fences, arrivals, ground };
                Listener::Stateful(Box::new(listener))
            }
        })
    }
}

impl Opening {
    async fn overflow(self, slot: Arc<SinkSlot>, key: Arc<str>, queue: &str) -> Result<Listener, OpenError> {
        let ground = Arc::clone(&self.ground);
        let opened = self.overflow_declared(slot, key, queue).await;
        if matches!(opened, Err(OpenError::Transport(TransportError::NoQueue(_)))) {
            ground.found.forget(queue);
        }
        opened
    }

    async fn overflow_declared(self, slot: Arc<SinkSlot>, key: Arc<str>, queue: &str) -> Result<Listener, OpenError> {
        let Opening { ground, routes, stop, .. } = self;
        let (options, place) = (&ground.options, ground.first_broker());
        let now = Arc::clone(&routes.borrow());
        let session = ground.prepared(place, &now).await?;
        if options.partitioned {
            // In a group a former owner may still be at work; agents alone that share a broker take turns.
            session.until_alone(queue).await?;
        }
        let rescued = rescue::look(&*session, queue).await?;
        let consume = consume_options(place, options.pipeline_prefetch, false);
        let intake = Intake::open(&ground, &session, queue, consume, rescued).await?;
        let context = ground.sink_context(intake.until(&stop), hash::stable(queue.as_bytes()), None);
        let (queue, arrivals, nursery) = (queue.into(), Arrivals::default(), ground.nursery.clone());
        let listener = OverflowListener { queue, intake, slot, key, context, arrivals, nursery, session };
        Ok(Listener::Overflow(Box::new(listener)))
    }
}

/// The way to the pipeline queues for what comes from a queue.
pub(super) async fn forwarder(
    ground: &Arc<Ground>,
    routes: &Routes,
    queue: &str,
    epoch: i64,
) -> Result<Forwarder, TransportError> {
    let session = ground.prepared(ground.first_broker(), routes).await?;
    Ok(Forwarder::new(ground, session, queue, epoch))
}

/// What a new queue that was never begun has of the old ones' state, and that it is known in the group that it has it.
async fn inherit(
    ground: &Ground,
    shape: &Shape,
    slot: &SinkSlot,
    queue: &str,
    session: &Arc<dyn Session>,
    keeper: &mut Keeper,
) -> Result<(), OpenError> {
    let layout = shape.routing();
    if keeper.is_untouched() {
        let number = shape.next(slot).iter().position(|next| next == queue);
        let mine = |slot: u16| Some(usize::from(layout.table.queue(slot))) == number;
        let window = ground.options.state.window;
        let inherited = Inherited::read(session, &shape.present(slot), mine, window).await?;
        inherited.gone.iter().for_each(|old| ground.metrics.state_log_gone(queue, old));
        keeper.begin_with(inherited).await?;
    }
    let marked = ground.mark(layout.generation, &shape::imported_mark(queue), &session.over()).await;
    if marked { Ok(()) } else { Err(OpenError::Unmarked) }
}

impl Listener {
    /// Why its consumer is over, once it is, in the broker's words where it said something.
    pub(super) fn why(&self) -> Why {
        match self {
            Listener::Direct(listener) => listener.intake.why(),
            Listener::Main(listener) => listener.intake.why(),
            Listener::Pipeline(listener) => listener.intake.why(),
            Listener::Stateful(listener) => listener.intake.why(),
            Listener::Straggler(listener) => listener.intake.why(),
            Listener::Overflow(listener) => listener.intake.why(),
        }
    }

    /// Runs until stopped or lost.
    pub(super) async fn run(self, stop: &CancellationToken) -> Result<Ended, Dead> {
        match self {
            Listener::Direct(listener) => Ok(listener.run(stop).await),
            Listener::Main(listener) => Ok(listener.run(stop).await),
            Listener::Pipeline(listener) => listener.run(stop).await,
            Listener::Stateful(listener) => listener.run(stop).await,
            Listener::Straggler(listener) => Ok(listener.run(stop).await),
            Listener::Overflow(listener) => listener.run(stop).await,
        }
    }
}

/// Opens the log of a queue; `None` where there is none.
async fn open_log(
    ground: &Arc<Ground>,
    queue: &str,
    session: &Arc<dyn Session>,
) -> Result<Option<StreamLog>, TransportError> {
    let log = match StreamLog::open(Arc::clone(session), queue).await {
        Ok(log) => log,
        Err(TransportError::NoQueue(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if ground.recall.is_new(queue) {
        // Nobody waits for what is only complained of.
        let (ground, queue, session) = (Arc::clone(ground), queue.to_owned(), Arc::clone(session));
        let nursery = ground.nursery.clone();
        nursery.spawn(&format!("state log of {queue}"), async move {
            let _known_later = make_log(&ground, &queue, &*session).await;
        });
    }
    Ok(Some(log))
}

/// The log of a queue, made where there still is none. Only its owner may, when nobody consumes the queue any more: RabbitMQ
/// answers with an internal error, which ends the connection, where several make one stream at the same time.
async fn made_log(ground: &Ground, queue: &str, session: &Arc<dyn Session>) -> Result<StreamLog, TransportError> {
    match StreamLog::open(Arc::clone(session), queue).await {
        Err(TransportError::NoQueue(_)) => {
            make_log(ground, queue, &**session).await?;
            ground.metrics.state_log_made(queue);
            StreamLog::new(Arc::clone(session), queue).await
        }
        opened => opened,
    }
}

/// Makes a log, or complains of one that was made otherwise.
async fn make_log(ground: &Ground, queue: &str, session: &dyn Session) -> Result<(), TransportError> {
    let (bytes_max, segment_bytes) = (ground.options.state.log_bytes_max, ground.options.state.segment_bytes);
    if !StreamLog::make(session, queue, (bytes_max, segment_bytes)).await? {
        ground.metrics.state_log_otherwise(queue, bytes_max);
    }
    Ok(())
}

/// Begins as the owner of a queue's state, and restores it.
async fn restore(ground: &Ground, slot: &SinkSlot, queue: &str, epoch: i64, log: StreamLog) -> Result<Keeper, Lost> {
    let owner = Owner {
        queue: queue.into(),
        sink: Arc::clone(&slot.name),
        epoch: ground.recall.epoch(queue, epoch),
        member: Arc::clone(&ground.member),
        // Another one at every opening, also where a group that was restored from a backup gives an epoch again.
        nonce: hash::stable(format!("{} {epoch} {}", ground.member, ground.options.clock.now()).as_bytes()),
    };
    let transformers = Arc::clone(&slot.current().transformers);
    let told = (ground.metrics.clone(), Arc::clone(&ground.troubles));
    let opened = Keeper::open(Box::new(log), owner, transformers, ground.options.state.clone(), told).await;
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

pub(super) fn consume_options(place: &BrokerPlace, prefetch_messages: u16, exclusive: bool) -> ConsumeOptions {
    ConsumeOptions { prefetch_messages, exclusive, arguments: place.consume_arguments.clone() }
}
