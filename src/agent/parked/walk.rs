//! One walk over the parking queue.
//!
//! A look is a delivery that is not acknowledged; closing the channel gives it back. A quorum queue counts that, and drops a message
//! that came back more often than its limit, which a policy may set below the agent's own. So what came back [`RETURNS_MAX`] times is
//! written anew: a copy to the end of the queue, confirmed, before the old one is acknowledged. The order in the queue means nothing.
//!
//! What was left is held until the walk ends, or it would come again at once. A consumer holds as much as its page; then it is
//! cancelled, and another one is opened beside it. One that was not cancelled would be given what another gives back. Only as many messages are taken as there were when the walk began: agents park on meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

use super::{Parked, ParkedError};
use crate::model::{Receipt, Verdict};
use crate::transport::{Confirmation, ConsumeOptions, Consumer, Delivery, Outgoing, Session, TransportError, topology};

/// What came back so often is written anew before it goes back once more.
pub(super) const RETURNS_MAX: u32 = 2;
/// Messages of one consumer; its buffer holds as many bodies at most.
const PAGE_MESSAGES: u32 = 256;
/// Consumers at once, each with a channel: RabbitMQ allows 2,047 on a connection. In a longer queue the pages are longer.
const PAGES_MAX: u32 = 1_000;
/// If nothing comes for so long, a page is full, although something of it was settled: acknowledgements take a moment.
const FULL_AFTER: Duration = Duration::from_millis(50);
/// If nothing comes for so long, the broker is asked whether something is still there.
const SILENCE: Duration = Duration::from_secs(1);
/// If there is something, and nothing comes for so long, the walk ends.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Acknowledgements of what is not in a row leave within a second, and a quorum queue forgets those that it has not carried out yet
/// when their channel is closed: it has so long for them.
const CARRIED_OUT_AFTER: Duration = Duration::from_millis(1_500);
/// Copies on their way at once.
const COPIES_MAX: usize = 64;
/// What a copy says it is, as all parked messages do.
const CONTENT_TYPE: &str = "application/json";

/// A walk. To drop it gives back what was not settled.
pub(super) struct Walk {
    pages: Vec<Page>,
    /// Of what was left. After `pages`: a receipt that is dropped first would end its consumer.
    held: Vec<Receipt>,
    session: Arc<dyn Session>,
    queue: String,
    page_messages: u16,
    /// Copies that the broker has not confirmed yet, each with the receipt of the old message.
    copies: Vec<(Confirmation, Receipt)>,
    /// How many copies were made of which message, by id: they may come in the same walk.
    renewed: BTreeMap<String, u32>,
    /// Something was acknowledged.
    settled: bool,
    seen: Seen,
}

/// How far a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Messages that were in the queue when it began.
    pub all: u64,
    /// Messages looked at.
    pub looked_at: u64,
    /// Messages that came back often and were written anew.
    pub renewed: u64,
    /// Messages that should have been, and could not: the queue took no copy.
    pub not_renewed: u64,
}

struct Page {
    consumer: Box<dyn Consumer>,
    /// Messages that came.
    taken: u32,
    /// Messages that were left while it was the newest.
    left: u32,
}

/// A message with the right to settle it.
pub(super) struct Found {
    /// What it is.
    pub parked: Parked,
    /// Acknowledges it.
    pub receipt: Receipt,
}

impl Walk {
    /// Begins at the parking queue of a group.
    pub(super) async fn begin(session: &Arc<dyn Session>, group: &str) -> Result<Walk, ParkedError> {
        let queue = topology::parking_queue_name(group);
        let all = match session.inspect(&queue).await {
            Ok(state) => state.messages,
            Err(TransportError::NoQueue(queue)) => return Err(ParkedError::NoQueue(queue)),
            Err(error) => return Err(error.into()),
        };
        let page_messages = u16::try_from(all.div_ceil(PAGES_MAX).max(PAGE_MESSAGES)).unwrap_or(u16::MAX);
        Ok(Walk {
            pages: Vec::new(),
            held: Vec::new(),
            session: Arc::clone(session),
            queue,
            page_messages,
            copies: Vec::new(),
            renewed: BTreeMap::new(),
            settled: false,
            seen: Seen { all: u64::from(all), ..Seen::default() },
        })
    }

    /// How far it is.
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// The next message; `None` when all have been looked at.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, ParkedError> {
        let mut silent_since = Instant::now();
        let began = silent_since;
        while self.seen.looked_at < self.seen.all {
            if let Some(delivery) = self.ready() {
                match self.found(delivery) {
                    Some(found) => return Ok(Some(found)),
                    None => continue,
                }
            }
            if let Some(page) = self.pages.iter().find(|page| page.consumer.over().is_cancelled()) {
                return Err(interrupted(page, &*self.session));
            }
            let most = u32::from(self.page_messages);
            let stalled = silent_since.elapsed() >= FULL_AFTER;
            match self.pages.last_mut() {
                Some(newest) if newest.taken < most || newest.left < most && !stalled => {}
                newest => {
                    if let Some(newest) = newest {
                        newest.consumer.cancel().await;
                    }
                    let options = ConsumeOptions {
                        prefetch_messages: self.page_messages,
                        exclusive: false,
                        arguments: BTreeMap::new(),
                    };
                    let consumer = self.session.consume(&self.queue, options).await?;
                    self.pages.push(Page { consumer, taken: 0, left: 0 });
                }
            }
            let Some(newest) = self.pages.last_mut() else { continue };
            if let Ok(delivery) = timeout(FULL_AFTER, newest.consumer.next()).await {
                let Some(delivery) = delivery else { return Err(interrupted(newest, &*self.session)) };
                newest.taken += 1;
                match self.found(delivery) {
                    Some(found) => return Ok(Some(found)),
                    None => continue,
                }
            }
            if silent_since.elapsed() >= SILENCE {
                // Somebody else took some meanwhile, or holds them.
                if self.session.inspect(&self.queue).await?.messages == 0 {
                    return Ok(None);
                }
                silent_since = Instant::now();
            }
            if began.elapsed() >= SILENCE_MAX {
                return Err(TransportError::Slow(SILENCE_MAX).into());
            }
        }
        Ok(None)
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.pages.iter_mut().rev().find_map(|page| {
            let delivery = page.consumer.ready()?;
            page.taken += 1;
            Some(delivery)
        })
    }

    /// A message that was not looked at yet; none if it is a copy.
    fn found(&mut self, delivery: Delivery) -> Option<Found> {
        let (parked, receipt) = (Parked::of(&delivery), delivery.receipt);
        if let Some(copies) = self.renewed.get_mut(&parked.id).filter(|copies| **copies > 0 && parked.returns == 0) {
            *copies -= 1;
            self.held.push(receipt);
            return None;
        }
        self.seen.looked_at += 1;
        Some(Found { parked, receipt })
    }

    /// Leaves a message in the queue.
    pub(super) async fn leave(&mut self, found: Found) -> Result<(), ParkedError> {
        let Found { parked, receipt } = found;
        if let Some(newest) = self.pages.last_mut() {
            newest.left += 1;
        }
        if parked.returns < RETURNS_MAX {
            self.held.push(receipt);
            return Ok(());
        }
        let Parked { id, headers, body, .. } = parked;
        *self.renewed.entry(id).or_default() += 1;
        let copy = Outgoing { headers, ..Outgoing::to_queue(&self.queue, body, CONTENT_TYPE) };
        let confirmation = self.session.publish(copy).await?;
        self.copies.push((confirmation, receipt));
        if self.copies.len() >= COPIES_MAX { self.confirm_copies().await } else { Ok(()) }
    }

    /// Takes a message out of the queue for good.
    pub(super) fn drop_for_good(&mut self, found: Found) {
        self.settled = true;
        found.receipt.settle(Verdict::Kept);
    }

    async fn confirm_copies(&mut self) -> Result<(), ParkedError> {
        for (confirmation, receipt) in std::mem::take(&mut self.copies) {
            match confirmation.wait().await {
                Ok(()) => {
                    receipt.settle(Verdict::Kept);
                    self.settled = true;
                    self.seen.renewed += 1;
                }
                Err(TransportError::NotTaken { .. } | TransportError::Rejected { .. }) => {
                    self.held.push(receipt);
                    self.seen.not_renewed += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Ends in order: what was settled is acknowledged, and everything else is back in the queue.
    ///
    /// The broker counts for every message that it delivered, whether somebody looked at it or not, and delivers more whenever
    /// something is acknowledged. So the rest of the queue is looked at too.
    pub(super) async fn end(mut self) -> Result<Seen, ParkedError> {
        let looked_at = self.seen.looked_at;
        while let Some(found) = self.next().await? {
            self.leave(found).await?;
        }
        if let Some(newest) = self.pages.last_mut() {
            newest.consumer.cancel().await;
        }
        self.confirm_copies().await?;
        if self.settled {
            tokio::time::sleep(CARRIED_OUT_AFTER).await;
        }
        while let Some(delivery) = self.ready() {
            self.held.push(delivery.receipt);
        }
        for Page { consumer, .. } in self.pages.drain(..) {
            consumer.close().await?;
        }
        self.held.clear();
        Ok(Seen { looked_at, ..self.seen })
    }
}

fn interrupted(page: &Page, session: &dyn Session) -> ParkedError {
    let (why, of_session) = (page.consumer.why(), session.why());
    let said = why.get().or_else(|| of_session.get()).map_or("the connection is over", String::as_str);
    ParkedError::Interrupted(said.to_owned())
}
