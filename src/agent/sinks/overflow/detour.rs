//! One listener's way to the destinations of its sink: straight, or by the overflow queue of one that is away.

use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::answers::{Answers, Expected};
use super::found::Found;
use crate::agent::books::Account;
use crate::agent::packets::encoding::{EncodedFragment, Records};
use crate::agent::packets::lanes::{self, CreateAgain, Lanes};
use crate::agent::packets::packet::{FRAGMENT_BYTES_MAX, Fragment, PacketBuilder, Question};
use crate::agent::runtime::{BrokerPlace, Context};
use crate::agent::sinks::load::Load;
use crate::agent::sinks::offer::{self, Halt, OfferContext, Offering, Outcome};
use crate::agent::sinks::sink::{Destination, SinkSlot};
use crate::cluster::hash;
use crate::model::{Receipt, Verdict};
use crate::transport::{Session, Topology, TransportError, topology};

/// How long a listener waits for an answer that it expects at once: nothing was put into the overflow queue meanwhile, and the
/// destination takes what is in there.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long an overflow queue may take to confirm when the listener is asked to stop. What it does not confirm goes back to the
/// pipeline queue, and destinations that have it get it again.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// A batch that waits less than this for the destination's rate does not wait.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Between two looks for a session, where there is none.
const SESSION_AGAIN: Duration = Duration::from_millis(200);

/// The ways of one listener to the destinations of its sink.
pub(in crate::agent) struct Detours {
    context: Arc<Context>,
    broker: Arc<BrokerPlace>,
    answers: Arc<Answers>,
    found: Arc<Found>,
    /// Whose packets they are, in words.
    sender: String,
    epoch: i64,
    /// What the overflow queues confirm is counted here.
    account: Arc<Account>,
    /// The listener's own session, so that nothing of it is sent when its consumer is over; else the present one.
    session: Option<Arc<dyn Session>>,
    road: Mutex<Option<Road>>,
    /// By the destinations' keys.
    known: StdMutex<BTreeMap<Arc<str>, Arc<Mutex<Detour>>>>,
}

/// The lanes to the overflow queues, in one session.
struct Road {
    session: Arc<dyn Session>,
    lanes: Lanes,
}

/// What a listener knows of one destination's overflow queue.
#[derive(Default)]
struct Detour {
    /// Nothing of this listener's resources is in there.
    straight: bool,
    question: Option<Asked>,
    /// The last question was not answered in time: the next batch does not wait for an answer.
    slow: bool,
    /// Something was put there, which was said.
    used: bool,
    /// How long the last batches waited for the destination's rate, one after the other without a break.
    held: Duration,
}

/// A question that is on its way.
struct Asked {
    answer: oneshot::Receiver<()>,
    /// Something was put behind it.
    more: bool,
}

/// A fragment as a packet has it: its head, and each of its records.
type HeadAndRecords = (Vec<u8>, Vec<Vec<u8>>);

/// The wait was ended.
struct Ended;

/// The queues that a listener's lanes lead to.
struct OverflowQueues(Arc<Context>);

#[async_trait]
impl CreateAgain for OverflowQueues {
    async fn create_again(&self, session: &dyn Session, queue: &str) -> Result<(), TransportError> {
        self.0.metrics.queue_gone(queue);
        let queues = vec![topology::overflow_queue(queue.to_owned(), self.0.options.overflow.bytes_max)];
        session.declare(&Topology { queues, ..Topology::default() }).await
    }
}

impl Detours {
    /// Of the listener of a queue (or of a sink, for an agent alone) in an epoch.
    pub(super) fn new(
        (context, broker): (Arc<Context>, Arc<BrokerPlace>),
        (answers, found): (Arc<Answers>, Arc<Found>),
        (queue, epoch): (&str, i64),
        session: Option<Arc<dyn Session>>,
        account: &Arc<Account>,
    ) -> Self {
        let sender = format!("{} {queue}", context.member);
        let (road, known, account) = (Mutex::new(None), StdMutex::default(), Arc::clone(account));
        Detours { context, broker, answers, found, sender, epoch, account, session, road, known }
    }

    /// Offers a batch to a destination, or puts it into its overflow queue. One that is alone in its sink (as it is configured now) is
    /// waited for; where it has an overflow queue all the same, as it was one of several or something was put back for it, what is
    /// in there goes first.
    pub(in crate::agent) async fn offer(
        &self,
        slot: &SinkSlot,
        destination: &Destination,
        load: &Load,
        context: &OfferContext,
    ) -> Outcome {
        let sink = &*slot.name;
        let queue = topology::overflow_queue_name(&self.context.group, sink, &destination.key);
        let alone = slot.current().with_overflow().is_empty();
        if alone && !self.found.has(&queue) {
            return offer::offer(slot, destination, &load.batch, context).await;
        }
        let detour = self.detour(destination);
        let mut detour = detour.lock().await;
        let mut offering = Offering::new(&load.batch);
        if alone {
            return self.wait(&mut detour, (slot, destination, &queue), offering, context).await;
        }
        if !detour.straight {
            match self.leads_back(&mut detour, &queue, context).await {
                Ok(straight) => detour.straight = straight,
                Err(Ended) => return Outcome::Halted(Halt::Ended),
            }
            if detour.straight && std::mem::take(&mut detour.used) {
                self.context.metrics.overflow_over(sink, &destination.url);
            }
        }
        if detour.straight {
            let after = self.context.options.overflow.after;
            // A rate below what comes in holds nobody either, though each batch waits only a little for it.
            offering.wait_for_turns(Some(after.saturating_sub(detour.held)));
            match timeout(after, offer::offer_rest(slot, destination, &mut offering, context)).await {
                Ok(Ok(())) => {
                    let waited = offering.waited();
                    detour.held = if waited < AT_ONCE { Duration::ZERO } else { detour.held + waited };
                    return offering.taken();
                }
                // Other destinations have taken it, perhaps: they would get it again if it went back.
                Ok(Err(Halt::Ended)) if !context.until.over.is_cancelled() => *detour = Detour::default(),
                Ok(Err(halt @ (Halt::Ended | Halt::Gone | Halt::Failed(_)))) => return Outcome::Halted(halt),
                Ok(Err(Halt::OutOfPatience)) | Err(_) => {
                    self.context.metrics.overflow_begun(sink, &destination.url, &queue);
                    *detour = Detour { slow: true, used: true, ..Detour::default() };
                }
            }
        }
        if slot.current().publisher(&destination.key).is_none() {
            // Nobody would take it out of the queue.
            return Outcome::Halted(Halt::Gone);
        }
        let rest = offering.rest().len();
        let Some(encoded) = self.encode(&load.fragments(offering.rest())) else {
            // No queue takes it: the sink waits until the destination does.
            return self.wait(&mut detour, (slot, destination, &queue), offering, context).await;
        };
        if self.put(&queue, &encoded, context).await.is_err() {
            // What was asked may have been dropped with it.
            detour.question = None;
            return Outcome::Halted(Halt::Ended);
        }
        self.context.metrics.overflowed(sink, &destination.url, rest);
        detour.used = true;
        if let Some(asked) = &mut detour.question {
            asked.more = true;
        }
        offering.overflowed()
    }

    fn detour(&self, destination: &Destination) -> Arc<Mutex<Detour>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(Arc::clone(&destination.key)).or_default())
    }

    /// Waits until everything in the overflow queue is published, and offers the batch to the destination itself.
    async fn wait(
        &self,
        detour: &mut Detour,
        (slot, destination, queue): (&SinkSlot, &Destination, &str),
        mut offering: Offering<'_>,
        context: &OfferContext,
    ) -> Outcome {
        while !detour.straight {
            match self.leads_back(detour, queue, context).await {
                Ok(true) => break,
                Ok(false) if slot.current().publisher(&destination.key).is_none() => {
                    return Outcome::Halted(Halt::Gone);
                }
                // Somebody has deleted the queue of one that is alone.
                Ok(false) if slot.current().with_overflow().is_empty() && !self.found.has(queue) => break,
                Ok(false) => {}
                Err(Ended) => return Outcome::Halted(Halt::Ended),
            }
            tokio::select! {
                biased;
                () = context.until.reached() => return Outcome::Halted(Halt::Ended),
                () = tokio::time::sleep(ANSWER_WAIT) => {}
            }
        }
        detour.straight = true;
        offering.wait_for_turns(None);
        match offer::offer_rest(slot, destination, &mut offering, context).await {
            Ok(()) => offering.taken(),
            Err(halt) => Outcome::Halted(halt),
        }
    }

    /// Fragments as they stand in packets; nothing if one is larger than what travels between agents. One that fills several
    /// packets is as many fragments.
    fn encode(&self, fragments: &[Fragment]) -> Option<Vec<HeadAndRecords>> {
        let bytes_max = self.context.options.packet.bytes_max;
        let mut all = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            let encoded = EncodedFragment::of(fragment);
            let head = encoded.head();
            let mut some: Vec<Vec<u8>> = Vec::new();
            let mut bytes = 0;
            for record in encoded.records() {
                if head.len() + record.len() > FRAGMENT_BYTES_MAX {
                    return None;
                }
                if bytes + record.len() > bytes_max && !some.is_empty() {
                    all.push((head.to_vec(), std::mem::take(&mut some)));
                    bytes = 0;
                }
                bytes += record.len();
                some.push(record.to_vec());
            }
            all.push((head.to_vec(), some));
        }
        Some(all)
    }

    /// Whether everything that this listener, or an earlier one of its queue, has put into an overflow queue is published.
    async fn leads_back(&self, detour: &mut Detour, queue: &str, context: &OfferContext) -> Result<bool, Ended> {
        // An answer to an old question says that the destination takes: one more, behind everything, is answered soon.
        for _ in 0..2 {
            if detour.question.is_none() {
                let patience = if detour.slow { Duration::ZERO } else { ANSWER_WAIT };
                detour.question = self.ask(queue, patience, context).await?;
            }
            let Some(asked) = &mut detour.question else {
                detour.slow = true;
                return Ok(false);
            };
            let patience = if asked.more || detour.slow { Duration::ZERO } else { ANSWER_WAIT };
            let answer = tokio::select! {
                biased;
                () = context.until.over.cancelled() => return Err(Ended),
                () = context.until.stop.cancelled() => return Ok(false),
                answer = timeout(patience, &mut asked.answer) => answer,
            };
            match answer {
                Ok(Ok(())) if !asked.more => return Ok(true),
                Ok(Ok(())) => *detour = Detour { used: detour.used, ..Detour::default() },
                // Whether it was answered is not known.
                Ok(Err(_)) => detour.question = None,
                Err(_) => {
                    detour.slow = true;
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Puts a question behind everything that this listener has put into a queue.
    async fn ask(&self, queue: &str, patience: Duration, context: &OfferContext) -> Result<Option<Asked>, Ended> {
        let expected = self.answers.expect(patience).await;
        let Some(Expected { token, answer_to, answer }) = expected else { return Ok(None) };
        let lanes = self.lanes(context).await?;
        let question = Question { token, answer_to };
        let packet = |member: &str, epoch, sequence| PacketBuilder::question(member, epoch, sequence, &question);
        // A queue that is full takes it later; whoever waits for the answer waits for that too.
        let _put = timeout(patience, lanes.tell(vec![queue.to_owned()], packet)).await;
        Ok(Some(Asked { answer, more: false }))
    }

    /// Puts fragments into a queue and waits until it has them; where it takes nothing, that is the wait of the sink.
    async fn put(&self, queue: &str, fragments: &[HeadAndRecords], context: &OfferContext) -> Result<(), Ended> {
        loop {
            let lanes = self.lanes(context).await?;
            let mut confirmations = Vec::with_capacity(fragments.len());
            for (head, records) in fragments {
                let (confirmed, confirmation) = oneshot::channel();
                let receipt = Receipt::new(move |verdict| {
                    if verdict == Verdict::Kept {
                        // Nobody waits any more.
                        let _unheard = confirmed.send(());
                    }
                });
                let runs = records.iter().map(Vec::as_slice).collect();
                lanes.push(queue, head, &Records { runs, count: records.len() }, receipt);
                confirmations.push(confirmation);
            }
            lanes.send();
            let all = tokio::select! {
                biased;
                () = done_waiting(context) => {
                    // Nothing of it may go out any more.
                    lanes.abandon();
                    *self.road.lock().await = None;
                    return Err(Ended);
                }
                all = join_all(confirmations) => all,
            };
            if all.iter().all(Result::is_ok) {
                return Ok(());
            }
            // The session is over; with its own the listener is too.
            *self.road.lock().await = None;
            if self.session.is_some() {
                return Err(Ended);
            }
        }
    }

    /// The lanes in the listener's session, or in the present one.
    async fn lanes(&self, context: &OfferContext) -> Result<Lanes, Ended> {
        loop {
            let mut road = self.road.lock().await;
            if let Some(road) = road.as_ref().filter(|road| !road.session.over().is_cancelled()) {
                return Ok(road.lanes.clone());
            }
            let session = self.session.clone().or_else(|| self.broker.link.current());
            if let Some(session) = session.filter(|session| !session.over().is_cancelled()) {
                // Another sender in every session, for a lane counts its packets from 1.
                let nonce = hash::stable(format!("{} {}", self.epoch, self.context.options.clock.now()).as_bytes());
                let sender = format!("{} {nonce:016x}", self.sender).into();
                let lanes = Lanes::new(&sender, self.epoch, self.context.options.packet, &self.account);
                let queues = Arc::new(OverflowQueues(Arc::clone(&self.context)));
                let carry = lanes::carry(lanes.clone(), Arc::clone(&session), Arc::clone(&self.context), queues);
                self.context.tasks.spawn(&format!("overflow of {}", self.sender), carry);
                *road = Some(Road { session, lanes: lanes.clone() });
                return Ok(lanes);
            }
            drop(road);
            if self.session.is_some() {
                return Err(Ended);
            }
            tokio::select! {
                biased;
                () = done_waiting(context) => return Err(Ended),
                () = tokio::time::sleep(SESSION_AGAIN) => {}
            }
        }
    }
}

/// Waits until nothing of a listener may go out any more: its consumer is over, or it was asked to stop and has had time.
async fn done_waiting(context: &OfferContext) {
    let stopped = async {
        context.until.stop.cancelled().await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        biased;
        () = context.until.over.cancelled() => {}
        () = stopped => {}
    }
}

impl Drop for Detours {
    fn drop(&mut self) {
        if let Some(road) = self.road.get_mut().take() {
            // Nothing of a listener that is gone goes out any more.
            road.lanes.abandon();
        }
    }
}
