//! Opening a queue: what must be there before its first message is taken, and which listener takes it.

use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::agent_context::AgentContext;
use super::main_queue::direct::{DirectSinks, DirectWay};
use super::main_queue::{GroupWay, MainListener, MainQueue, Way};
use super::old_queue::OldQueue;
use super::overflow::OverflowListener;
use super::pipeline_listener::PipelineListener;
use super::predecessor::{Patience, Predecessor};
use super::queues::Kind;
use super::worker::Worker;
use crate::agent::books::Account;
use crate::agent::packets::arrivals::Arrivals;
use crate::agent::resize::{EndMarker, GroupLayout, imported_mark, sealed_mark};
use crate::agent::runtime::until::Until;
use crate::agent::sinks::offer::PublisherFailed;
use crate::agent::sinks::sink::SinkSlot;
use crate::agent::stages::conversion::Conversion;
use crate::agent::stages::intake::{Ended, Intake};
use crate::agent::stages::rescue;
use crate::agent::stages::route::Routes;
use crate::agent::state::open::{made_log, open_log, restore};
use crate::agent::state::{Inherited, Keeper, Lost};
use crate::books;
use crate::cluster::{Layout, hash};
use crate::coordination::CoordinationError;
use crate::transport::topology::{self, QueueKind};
use crate::transport::{Session, TransportError, Why};

/// A listener that is open and ready to run.
pub(in crate::agent) enum Listener {
    /// On a main queue, for the sinks of this process.
    Direct(Box<MainListener<DirectWay>>),
    /// On a main queue, for the pipeline queues.
    Main(Box<MainListener<GroupWay>>),
    /// On a pipeline queue.
    Pipeline(Box<PipelineListener>),
    /// On a pipeline queue that is sealed.
    Old(Box<OldQueue>),
    /// On an overflow queue.
    Overflow(Box<OverflowListener>),
}

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum OpenError {
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Its state.
    #[error(transparent)]
    State(#[from] Lost),
    /// The group.
    #[error(transparent)]
    Group(#[from] CoordinationError),
    /// The main queues are closed while the number of pipeline queues changes.
    #[error(
        "cannot open the main queue yet: the number of pipeline queues changes; it is opened when all main queues have been closed"
    )]
    Closed,
    /// What had to be noted in the group could not be.
    #[error("cannot open the queue: its session was over before the group knew of it")]
    Unmarked,
    /// Nothing does: it was asked to stop before it was open.
    #[error("cannot open the queue: the agent stops, or another member should have it")]
    Stopped,
}

/// What a queue is opened with.
#[derive(Clone)]
pub(in crate::agent) struct Opening {
    /// What all listeners of the agent use.
    pub agent: Arc<AgentContext>,
    /// The queue's name.
    pub queue: String,
    /// What it stands for.
    pub kind: Kind,
    /// The epoch of its ownership.
    pub epoch: i64,
    /// The configuration.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// The sinks of this process.
    pub direct: Arc<DirectSinks>,
    /// Asks the opening or the listener to stop.
    pub stop: CancellationToken,
}

impl Opening {
    /// Opens the channel of a queue and begins to consume, once nobody else does. A queue that somebody has deleted is declared
    /// again.
    pub(in crate::agent) async fn open(self) -> Result<Listener, OpenError> {
        let broker = self.kind.broker();
        let agent = Arc::clone(&self.agent);
        match self.clone().open_declared().await {
            Err(
                OpenError::Transport(TransportError::NoQueue(queue))
                | OpenError::State(Lost::Transport(TransportError::NoQueue(queue))),
            ) => {
                if let Kind::Overflow { queue, .. } = &self.kind {
                    agent.overflow.forget(queue);
                }
                agent.metrics.queue_gone(&queue);
                agent.brokers[broker].forget_declared().await;
                self.open_declared().await
            }
            opened => opened,
        }
    }

    async fn open_declared(self) -> Result<Listener, OpenError> {
        let session = self.session().await?;
        self.until_free(&*session).await?;
        match self.kind.clone() {
            Kind::Main { broker, queue } => self.main(session, broker, &queue).await,
            Kind::Pipeline { slot, queue, generation } => self.pipeline(session, slot, &queue, generation).await,
            Kind::Old { queue, generation } => self.old(session, &queue, generation).await,
            Kind::Overflow { slot, key, queue } => self.overflow(session, slot, key, &queue).await,
        }
    }

    /// The session of the opening, with everything declared in it.
    async fn session(&self) -> Result<Arc<dyn Session>, OpenError> {
        let (agent, routes) = (&self.agent, Arc::clone(&self.routes.borrow()));
        Ok(match &self.kind {
            Kind::Main { broker, queue } => {
                agent.aliases.is_no_alias(&agent.brokers, *broker, &agent.context).await?;
                agent.prepared_for(*broker, queue, &routes).await?
            }
            Kind::Pipeline { .. } | Kind::Old { .. } | Kind::Overflow { .. } => agent.prepared(0, &routes).await?,
        })
    }

    /// Waits until nobody else consumes the queue. Comes before everything else is found out: a former owner may still change it.
    async fn until_free(&self, session: &dyn Session) -> Result<(), OpenError> {
        let agent = &self.agent;
        let (partitioned, exclusive) = (agent.options.partitioned, agent.options.main_queue_exclusive);
        let (queue, patience) = match &self.kind {
            // Others consume it all the time.
            Kind::Main { .. } if partitioned && !exclusive => return Ok(()),
            Kind::Main { broker, queue } if !partitioned => {
                (queue, Patience::AtMost(agent.brokers[*broker].notices_within))
            }
            // Agents alone that share a broker take turns.
            Kind::Overflow { .. } if !partitioned => return Ok(()),
            Kind::Main { queue, .. }
            | Kind::Pipeline { queue, .. }
            | Kind::Old { queue, .. }
            | Kind::Overflow { queue, .. } => (queue, Patience::Forever),
        };
        let membership = agent.layouts.membership.borrow().clone();
        let (memory, metrics) = (&agent.memory, &agent.metrics);
        let predecessor = Predecessor { queue, session, patience, memory, membership, metrics };
        match self.stop.run_until_cancelled(predecessor.gone()).await {
            // An old queue may be deleted already, and what belongs to it is not.
            Some(Err(TransportError::NoQueue(_))) if matches!(self.kind, Kind::Old { .. }) => Ok(()),
            Some(gone) => Ok(gone?),
            None => Err(OpenError::Stopped),
        }
    }

    async fn main(self, session: Arc<dyn Session>, broker: usize, queue: &str) -> Result<Listener, OpenError> {
        // Two brokers may have a queue of one name.
        let noted = if broker == 0 { Cow::Borrowed(queue) } else { Cow::Owned(format!("{queue}@{broker}")) };
        if !self.agent.options.partitioned {
            let way = DirectWay::new(&self.direct);
            let account = self.agent.books.open(books::Kind::Main, &noted, None, self.epoch);
            let listener = self.listen(session, broker, (queue, account), async { Ok(way) }).await?;
            return Ok(Listener::Direct(Box::new(listener)));
        }
        let (agent, routes, epoch) = (Arc::clone(&self.agent), Arc::clone(&self.routes.borrow()), self.epoch);
        if agent.layouts.get().is_some_and(|group_layout| group_layout.routing().is_none()) {
            return Err(OpenError::Closed);
        }
        let account = agent.books.open(books::Kind::Main, &noted, None, epoch);
        // Asked for now that the queue is consumed: who changes the layout waits until it is not, and we would not know of a
        // change that began before.
        let way = async {
            let group_layout = agent.layouts.fresh().await?;
            let layout = group_layout.routing().cloned().ok_or(OpenError::Closed)?;
            // Everything declared and routable before the first message is taken.
            let forwarder = agent.forwarder(agent.prepared(0, &routes).await?, (queue, epoch), &account);
            Ok(GroupWay { forwarder, layout, layouts: Arc::clone(&agent.layouts) })
        };
        let listener = self.listen(session, broker, (queue, Arc::clone(&account)), way).await?;
        Ok(Listener::Main(Box::new(listener)))
    }

    /// Begins to consume a main queue, and then asks for the way.
    async fn listen<W: Way>(
        self,
        session: Arc<dyn Session>,
        broker: usize,
        (queue, account): (&str, Arc<Account>),
        way: impl Future<Output = Result<W, OpenError>> + Send,
    ) -> Result<MainListener<W>, OpenError> {
        let Opening { agent, routes, stop, .. } = self;
        let source = MainQueue::find(&agent, session, broker, (queue, Arc::clone(&account))).await;
        let intake = source.consume(&stop).await?;
        let way = match way.await {
            Ok(way) => way,
            Err(error) => {
                intake.end(Ended::Lost).await;
                return Err(error);
            }
        };
        agent.books.announced(&account).await;
        Ok(MainListener {
            why: Why::default(),
            source,
            intake,
            routes,
            conversion: Conversion::new(&agent.metrics, &agent.tasks),
            way,
            parking: agent.parking.clone(),
            tasks: agent.tasks.clone(),
            metrics: agent.metrics.clone(),
            account,
        })
    }

    async fn old(self, session: Arc<dyn Session>, queue: &str, generation: u64) -> Result<Listener, OpenError> {
        let Opening { agent, epoch, routes, stop, .. } = self;
        let sink = topology::place_of(queue, &agent.group).map(|(sink, _)| sink);
        let account = agent.books.open(books::Kind::Old, queue, sink.as_deref(), epoch);
        let intake = async {
            let rescued = rescue::look(&*session, queue).await?;
            let consume = agent.first_broker().consume_options(agent.options.pipeline_prefetch, false);
            Intake::open(&agent.context, &session, queue, consume, (rescued, &account)).await
        };
        let intake = match intake.await {
            Ok(intake) => Some(intake),
            Err(TransportError::NoQueue(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let until =
            intake.as_ref().map_or_else(|| Until { stop: stop.clone(), over: session.over() }, |i| i.until(&stop));
        agent.books.announced(&account).await;
        let context = agent.sink_context(until, 0, None, &account);
        let forwarder = agent.forwarder(Arc::clone(&session), (queue, epoch), &account);
        let (queue, layout) = (queue.into(), agent.layouts.known.reader());
        let old = OldQueue { queue, generation, intake, routes, layout, forwarder, context, session, agent };
        Ok(Listener::Old(Box::new(old)))
    }

    async fn pipeline(
        self,
        session: Arc<dyn Session>,
        slot: Arc<SinkSlot>,
        queue: &str,
        generation: u64,
    ) -> Result<Listener, OpenError> {
        let opening = self.clone();
        let Opening { agent, epoch, stop, .. } = self;
        let options = &agent.options;
        let mut group_layout = agent.layouts.get().filter(|group_layout| group_layout.spec.next.is_some());
        if group_layout.as_ref().is_some_and(|group_layout| group_layout.spec.present.generation == generation) {
            // A former owner may have sealed it since we last looked.
            let fresh = agent.layouts.fresh().await?;
            if let Some((_, generation)) = fresh.sealed().find(|(sealed, _)| *sealed == queue) {
                return opening.old(session, queue, generation).await;
            }
            group_layout = Some(fresh);
        }
        let stateful = slot.is_stateful();
        let log =
            async { if stateful { open_log(&agent.context, &agent.memory, queue, &session).await } else { Ok(None) } };
        // Only a quorum queue counts what comes back, and only what it counted is ever rescued.
        let rescued = async {
            if options.queue_kind == QueueKind::Classic {
                return Ok(0);
            }
            rescue::look(&*session, queue).await
        };
        let (log, rescued) = tokio::join!(log, rescued);
        let (rescued, log) = (rescued?, log?);
        let log = if stateful && log.is_none() {
            // Whoever is to stop makes none: it was frozen perhaps, and the log deleted for good meanwhile.
            let made = stop.run_until_cancelled(made_log(&agent.context, queue, &session)).await;
            Some(made.ok_or(OpenError::Stopped)??)
        } else {
            log
        };
        let mut kept = None;
        if let Some(log) = log {
            let mut keeper = restore((&agent.context, &agent.memory), &slot, queue, epoch, log).await?;
            if let Some(generation) = keeper.sealed() {
                // A former owner died before it could say so.
                if !agent.layouts.mark(generation, &sealed_mark(queue), &session.over()).await {
                    return Err(OpenError::Unmarked);
                }
                return opening.old(session, queue, generation).await;
            }
            let new = group_layout.as_ref().and_then(|group_layout| Some((group_layout, group_layout.routing()?)));
            if let Some((group_layout, layout)) = new.filter(|(_, layout)| layout.generation == generation) {
                inherit(&agent, (group_layout, layout), &slot, queue, &session, &mut keeper).await?;
            }
            kept = Some(keeper);
        }
        // Only now: nothing is delivered to an owner that does not know its state.
        let consume = agent.first_broker().consume_options(options.pipeline_prefetch, false);
        let account = agent.books.open(books::Kind::Pipeline, queue, Some(&slot.name), epoch);
        let intake = Intake::open(&agent.context, &session, queue, consume, (rescued, &account)).await?;
        agent.books.announced(&account).await;
        let detours = agent.overflow.detours((queue, epoch), Some(Arc::clone(&session)), &account);
        let context = agent.sink_context(intake.until(&stop), hash::stable(queue.as_bytes()), detours, &account);
        let told = (Arc::clone(&agent.context), Arc::clone(&agent.layouts));
        let end_marker = EndMarker::new(told, &session, (queue, generation, epoch), stop);
        let arrivals = Arrivals::default();
        let worker = kept.map_or(Worker::Stateless, |keeper| Worker::Stateful(Box::new(keeper)));
        let queue = queue.into();
        let listener = PipelineListener { queue, intake, worker, session, slot, context, end_marker, arrivals, agent };
        Ok(Listener::Pipeline(Box::new(listener)))
    }

    async fn overflow(
        self,
        session: Arc<dyn Session>,
        slot: Arc<SinkSlot>,
        key: Arc<str>,
        queue: &str,
    ) -> Result<Listener, OpenError> {
        let Opening { agent, stop, epoch, .. } = self;
        let options = &agent.options;
        let rescued = rescue::look(&*session, queue).await?;
        let consume = agent.first_broker().consume_options(options.pipeline_prefetch, false);
        let account = agent.books.open(books::Kind::Overflow, queue, Some(&slot.name), epoch);
        let intake = Intake::open(&agent.context, &session, queue, consume, (rescued, &account)).await?;
        agent.books.announced(&account).await;
        let context = agent.sink_context(intake.until(&stop), hash::stable(queue.as_bytes()), None, &account);
        let (queue, arrivals, tasks) = (queue.into(), Arrivals::default(), agent.tasks.clone());
        let listener = OverflowListener { queue, intake, slot, key, context, arrivals, tasks, session };
        Ok(Listener::Overflow(Box::new(listener)))
    }
}

/// What a new queue that was never begun has of the old ones' state, and that it is known in the group that it has it.
async fn inherit(
    agent: &AgentContext,
    (group_layout, layout): (&GroupLayout, &Layout),
    slot: &SinkSlot,
    queue: &str,
    session: &Arc<dyn Session>,
    keeper: &mut Keeper,
) -> Result<(), OpenError> {
    if keeper.is_untouched() {
        let number = group_layout.next(slot).iter().position(|next| next == queue);
        let mine = |slot: u16| Some(usize::from(layout.table.queue(slot))) == number;
        let window = agent.options.state.window;
        let inherited = Inherited::read(session, &group_layout.present(slot), mine, window).await?;
        inherited.gone.iter().for_each(|old| agent.metrics.state_log_gone(queue, old));
        keeper.begin_with(inherited).await?;
    }
    let marked = agent.layouts.mark(layout.generation, &imported_mark(queue), &session.over()).await;
    if marked { Ok(()) } else { Err(OpenError::Unmarked) }
}

impl Listener {
    /// Why its consumer is over, once it is, in the broker's words where it said something.
    pub(in crate::agent) fn why(&self) -> Why {
        match self {
            Listener::Direct(listener) => Arc::clone(&listener.why),
            Listener::Main(listener) => Arc::clone(&listener.why),
            Listener::Pipeline(listener) => listener.intake.why(),
            Listener::Old(listener) => listener.why(),
            Listener::Overflow(listener) => listener.intake.why(),
        }
    }

    /// Runs until stopped or lost.
    pub(in crate::agent) async fn run(self, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        match self {
            Listener::Direct(listener) => Ok(listener.run(stop).await),
            Listener::Main(listener) => Ok(listener.run(stop).await),
            Listener::Pipeline(listener) => listener.run(stop).await,
            Listener::Old(listener) => Ok(listener.run(stop).await),
            Listener::Overflow(listener) => listener.run(stop).await,
        }
    }
}
