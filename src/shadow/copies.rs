//! Copies of every notification from all brokers of the configuration, until somebody has had enough.
//!
//! One session for each broker, with queues of its own (`transport::copies`). A session that is lost is replaced, and the gap is
//! told. An exchange that is not there yet is bound as soon as it is.
//!
//! Never here: what a notification means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::tasks;
use crate::transport::copies::{CopyBounds, CopyQueues, Missed};
use crate::transport::{Broker, ConsumeOptions, Consumer, Delivery, Session, TransportError};

/// Copies that one consumer holds: the broker keeps the rest, within the bounds of the copy queue.
const PREFETCH_MESSAGES: u16 = 64;
/// How often it is counted what was missed.
const COUNT_INTERVAL: Duration = Duration::from_millis(500);
/// In how many counts an exchange that is not there is looked for once.
const EXCHANGE_COUNTS: u32 = 10;
/// What falls out of the copy queue needs so long to where it is counted.
const FALL: Duration = Duration::from_millis(500);
/// The pause before a lost session is replaced.
const AGAIN: Duration = Duration::from_secs(1);

/// What is said of an exchange that is not there.
pub const NO_EXCHANGE: &str = "no exchange";

/// Of what to get copies.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The group, in the names of the queues.
    pub group: String,
    /// This process, in the names of the queues.
    pub process: String,
    /// The exchanges of the services.
    pub exchanges: Vec<String>,
    /// The topics of the main queues.
    pub topics: Vec<String>,
    /// What a copy queue holds at most.
    pub bounds: CopyBounds,
}

/// What was not copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Fell out of a full copy queue.
    pub missed: Missed,
    /// How often a session was lost: nothing is known of what was sent until the next.
    pub interruptions: u64,
}

impl Lost {
    /// Whether anything was not copied, as far as that is known.
    pub fn is_any(self) -> bool {
        self.missed.messages > 0 || self.missed.more || self.interruptions > 0
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { missed: Missed { messages, more }, interruptions } = self;
        write!(f, "{}{messages} missed", if *more { "at least " } else { "" })?;
        if *interruptions > 0 {
            write!(f, ", and what came while the broker was away {interruptions} times")?;
        }
        Ok(())
    }
}

/// How the copies stand.
#[derive(Debug, Clone, Default)]
pub struct CopyState {
    /// What was not copied.
    pub lost: Lost,
    /// Why an exchange is not bound, by broker and exchange: it is not there, or a right is missing.
    pub unbound: BTreeMap<(String, String), String>,
    /// Why a broker does not count what is missed.
    pub uncounted: Option<String>,
    /// Why a broker is away now.
    pub away: Option<String>,
}

/// Copies as they come.
pub struct Copies {
    incoming: mpsc::Receiver<Delivery>,
    state: Arc<Mutex<CopyState>>,
    stop: CancellationToken,
    ended: Vec<oneshot::Receiver<()>>,
}

/// One broker's copies.
struct Source {
    broker: Arc<dyn Broker>,
    options: Arc<CopyOptions>,
    state: Arc<Mutex<CopyState>>,
    outgoing: mpsc::Sender<Delivery>,
    stop: CancellationToken,
}

/// A session with its queues.
struct Open {
    session: Arc<dyn Session>,
    consumer: Box<dyn Consumer>,
    queues: CopyQueues,
    counted: bool,
}

impl Copies {
    /// Declares the queues on all brokers; everything that is sent from now on is copied.
    pub async fn open(brokers: Vec<Arc<dyn Broker>>, options: CopyOptions) -> Result<Copies, TransportError> {
        let (outgoing, incoming) = mpsc::channel(usize::from(PREFETCH_MESSAGES));
        let (options, state, stop) = (Arc::new(options), Arc::default(), CancellationToken::new());
        let mut opened = Vec::new();
        for broker in brokers {
            let (options, state) = (Arc::clone(&options), Arc::clone(&state));
            let source = Source { broker, options, state, outgoing: outgoing.clone(), stop: stop.clone() };
            let open = source.open().await?;
            opened.push((source, open));
        }
        let mut ended = Vec::new();
        for (source, open) in opened {
            let (end, hears) = oneshot::channel();
            ended.push(hears);
            tasks::spawn(async move {
                source.run(open).await;
                // Nobody may be waiting.
                let _heard = end.send(());
            });
        }
        Ok(Copies { incoming, state, stop, ended })
    }

    /// The next copy; dropping the future loses nothing. Its receipt is to be settled at once.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.incoming.recv().await
    }

    /// A copy that is already here.
    pub fn ready(&mut self) -> Option<Delivery> {
        self.incoming.try_recv().ok()
    }

    /// How they stand now.
    pub fn state(&self) -> CopyState {
        lock(&self.state).clone()
    }

    /// Counts a last time, and ends. What waits in the queues is not counted as missed.
    pub async fn close(mut self) -> CopyState {
        self.stop.cancel();
        self.incoming.close();
        for ended in self.ended.drain(..) {
            // A task that is gone has ended.
            let _ended = ended.await;
        }
        lock(&self.state).clone()
    }
}

fn lock(state: &Mutex<CopyState>) -> MutexGuard<'_, CopyState> {
    // A panic elsewhere leaves it whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    async fn open(&self) -> Result<Open, TransportError> {
        let CopyOptions { group, process, bounds, .. } = &*self.options;
        let session = self.broker.connect().await?;
        let queues = CopyQueues::named(group, process);
        let mut counted = true;
        match session.declare(&queues.queues(*bounds)).await {
            Ok(()) => lock(&self.state).uncounted = None,
            // A user without the right to publish over the default exchange: the copy works without the count.
            Err(TransportError::Refused(why)) if !session.over().is_cancelled() => {
                counted = false;
                lock(&self.state).uncounted = Some(why);
                session.declare(&queues.uncounted_queue(*bounds)).await?;
            }
            Err(error) => return Err(error),
        }
        self.bind(&*session, &queues, self.options.exchanges.iter().cloned().collect()).await?;
        let options =
            ConsumeOptions { prefetch_messages: PREFETCH_MESSAGES, exclusive: false, arguments: BTreeMap::default() };
        let consumer = session.consume(&queues.copy, options).await?;
        lock(&self.state).away = None;
        Ok(Open { session, consumer, queues, counted })
    }

    /// Binds the exchanges that are there; the others are noted.
    async fn bind(
        &self,
        session: &dyn Session,
        queues: &CopyQueues,
        exchanges: BTreeSet<String>,
    ) -> Result<(), TransportError> {
        for exchange in exchanges {
            let place = (self.broker.name().to_owned(), exchange.clone());
            match session.declare(&queues.bindings(&exchange, &self.options.topics)).await {
                Ok(()) => lock(&self.state).unbound.remove(&place),
                Err(TransportError::Refused(why)) if !session.over().is_cancelled() => {
                    lock(&self.state).unbound.insert(place, why)
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Passes copies on until it is stopped; a lost session is replaced.
    async fn run(self, first: Open) {
        let mut open = Some(first);
        loop {
            if let Some(mut now) = open.take() {
                self.pass_on(&mut now).await;
                if self.stop.is_cancelled() {
                    self.last_count(&mut now).await;
                    now.session.close().await;
                    return;
                }
                let why = now.session.why().get().cloned().or_else(|| now.consumer.why().get().cloned());
                now.session.cut();
                let mut state = lock(&self.state);
                state.lost.interruptions += 1;
                state.away = Some(why.unwrap_or_else(|| "the session is over".to_owned()));
            } else {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
                match self.open().await {
                    Ok(again) => open = Some(again),
                    Err(error) => lock(&self.state).away = Some(error.to_string()),
                }
            }
        }
    }

    /// Until it is stopped, or the session is over.
    async fn pass_on(&self, open: &mut Open) {
        let mut ticks = tokio::time::interval(COUNT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut waiting: Option<Delivery> = None;
        let mut counts = 0;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {
                    counts += 1;
                    if self.look(open, counts % EXCHANGE_COUNTS == 0).await.is_err() {
                        return;
                    }
                }
                room = self.outgoing.reserve(), if waiting.is_some() => match (room, waiting.take()) {
                    (Ok(room), Some(delivery)) => room.send(delivery),
                    _ => return,
                },
                delivery = open.consumer.next(), if waiting.is_none() => match delivery {
                    Some(delivery) => waiting = Some(delivery),
                    None => return,
                },
            }
        }
    }

    /// Counts what was missed, and looks for exchanges that were not there.
    async fn look(&self, open: &mut Open, for_exchanges: bool) -> Result<(), TransportError> {
        self.count(open).await?;
        if !for_exchanges {
            return Ok(());
        }
        let unbound = lock(&self.state).unbound.clone();
        let own = unbound.into_keys().filter(|(broker, _)| broker == self.broker.name()).map(|(_, exchange)| exchange);
        self.bind(&*open.session, &open.queues, own.collect()).await
    }

    async fn count(&self, open: &mut Open) -> Result<(), TransportError> {
        if open.counted {
            let new = open.queues.count_missed(&*open.session).await?;
            let missed = &mut lock(&self.state).lost.missed;
            *missed = Missed { messages: missed.messages + new.messages, more: missed.more || new.more };
        }
        Ok(())
    }

    /// What fell out shortly before the end is still on its way.
    async fn last_count(&self, open: &mut Open) {
        // A session that is over counts nothing more.
        let _first = self.count(open).await;
        if open.counted {
            tokio::time::sleep(FALL).await;
            let _last = self.count(open).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;
    use crate::transport::{Exchange, MemoryBroker, Outgoing, Topology};

    fn options() -> CopyOptions {
        CopyOptions {
            group: "group".to_owned(),
            process: "process".to_owned(),
            exchanges: vec!["nova".to_owned(), "later".to_owned()],
            topics: vec!["notifications".to_owned()],
            bounds: CopyBounds { messages: 5, bytes: 1 << 20 },
        }
    }

    async fn exchange(broker: &MemoryBroker, name: &str) {
        let exchanges =
            vec![Exchange { name: name.to_owned(), durable: true, auto_delete: false, fallback_transient: false }];
        let session = broker.connect().await.unwrap();
        session.declare(&Topology { exchanges, ..Topology::default() }).await.unwrap();
    }

    async fn send(broker: &MemoryBroker, exchange: &str, n: usize) {
        let outgoing = Outgoing {
            exchange: exchange.to_owned(),
            routing_key: "notifications.info".to_owned(),
            body: n.to_string().into(),
            content_type: "application/json",
            headers: BTreeMap::new(),
            alone: false,
        };
        broker.connect().await.unwrap().publish(outgoing).await.unwrap().wait().await.unwrap();
    }

    async fn take(copies: &mut Copies) -> String {
        let delivery = copies.next().await.unwrap();
        delivery.receipt.settle(Verdict::Kept);
        String::from_utf8(delivery.body.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_comes_later_is_bound() {
        let broker = MemoryBroker::default();
        exchange(&broker, "nova").await;
        let mut copies = Copies::open(vec![Arc::new(broker.clone())], options()).await.unwrap();
        let unbound: Vec<_> = copies.state().unbound.into_iter().collect();
        let [((of, name), why)] = &unbound[..] else { panic!("{unbound:?}") };
        assert_eq!((&**of, &**name, why.contains(NO_EXCHANGE)), ("memory", "later", true));
        exchange(&broker, "later").await;
        tokio::time::sleep(COUNT_INTERVAL * (EXCHANGE_COUNTS + 1)).await;
        assert!(copies.state().unbound.is_empty());
        send(&broker, "later", 7).await;
        assert_eq!(take(&mut copies).await, "7");
        assert_eq!(copies.close().await.lost, Lost::default());
        assert!(broker.queues().is_empty(), "{:?}", broker.queues());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_missed_and_counted() {
        let broker = MemoryBroker::default();
        exchange(&broker, "nova").await;
        let copies = Copies::open(vec![Arc::new(broker.clone())], options()).await.unwrap();
        for n in 0..1_000 {
            send(&broker, "nova", n).await;
        }
        tokio::time::sleep(COUNT_INTERVAL * 3).await;
        let queued = broker.queues().iter().map(|queue| queue.ready + queue.unacked).sum::<usize>();
        let lost = copies.close().await.lost;
        assert_eq!(usize::try_from(lost.missed.messages).unwrap() + queued, 1_000, "{lost}");
        assert!(!lost.missed.more && lost.is_any());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_is_replaced_and_told() {
        let broker = MemoryBroker::default();
        exchange(&broker, "nova").await;
        let mut copies = Copies::open(vec![Arc::new(broker.clone())], options()).await.unwrap();
        broker.close_sessions("maintenance");
        tokio::time::sleep(AGAIN * 3).await;
        assert_eq!(copies.state().lost.interruptions, 1);
        assert_eq!(copies.state().away, None);
        send(&broker, "nova", 3).await;
        assert_eq!(take(&mut copies).await, "3");
    }
}
