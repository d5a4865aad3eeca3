//! The account of one ownership of one queue: counts what is settled, when it is settled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::books::{Entry, Kind, Offered, Packet, Tally, Work};
use crate::model::{Receipt, Verdict};
use crate::transport::topology;

/// The account of one ownership. Whoever may still count in it holds it; when nobody does, its last entry is written.
pub(in crate::agent) struct Account {
    group: Arc<str>,
    kind: Kind,
    queue: String,
    tally: Mutex<Tally>,
    /// What its owner has taken and not settled.
    held: Mutex<Option<TaskTracker>>,
    /// Cancelled when it is noted that it has begun, or cannot be.
    announced: CancellationToken,
}

impl Account {
    /// Of an ownership that has settled nothing yet.
    pub(in crate::agent) fn new(
        group: &Arc<str>,
        kind: Kind,
        queue: &str,
        sink: Option<&str>,
        epoch: i64,
    ) -> Arc<Self> {
        let tally = Mutex::new(Tally::new(kind, queue, sink, epoch));
        let (group, queue, held, announced) =
            (Arc::clone(group), queue.to_owned(), Mutex::default(), CancellationToken::new());
        Arc::new(Account { group, kind, queue, tally, held, announced })
    }

    /// What its queue is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Cancelled when it is noted that it has begun, or cannot be.
    pub(super) fn announced(&self) -> &CancellationToken {
        &self.announced
    }

    /// Its queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Its owner counts here what it has taken and not settled, and the broker lets it have so many unacknowledged.
    pub(in crate::agent) fn holds(&self, in_flight: &TaskTracker, prefetch: u16) {
        self.tally().may_hold(prefetch.into());
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_flight.clone());
    }

    /// A message is settled, or goes back; `again`: the broker had delivered it before.
    pub(in crate::agent) fn message(&self, verdict: Verdict, again: bool) {
        self.tally().message(verdict, again);
    }

    /// A notification gave nothing.
    pub(in crate::agent) fn nothing(&self) {
        self.tally().nothing();
    }

    /// The receipt of a notification that gives so many records for each of some sinks: counted when all of it has gone on.
    pub(in crate::agent) fn going_on(self: &Arc<Self>, receipt: Receipt, given: Vec<(Arc<str>, u64)>) -> Receipt {
        self.settled(receipt, move |tally| tally.went_on(given.iter().map(|(sink, records)| (&**sink, *records))))
    }

    /// The receipt of a message that nobody can read: counted when it is parked.
    pub(in crate::agent) fn unread(self: &Arc<Self>, receipt: Receipt) -> Receipt {
        self.settled(receipt, Tally::unread)
    }

    /// The receipt of a packet whose turn it is: counted when all of it is settled; `work` is what is known to become of it then.
    pub(in crate::agent) fn packet(
        self: &Arc<Self>,
        receipt: Receipt,
        (sender, epoch, number): (String, i64, u64),
        (fragments, records): (usize, usize),
        work: Option<Work>,
    ) -> Receipt {
        self.settled(receipt, move |tally| {
            tally.worked(work.unwrap_or_default());
            let (fragments, records) = (fragments as u64, records as u64);
            tally.packet(Packet { sender: &sender, epoch, number, fragments, records });
        })
    }

    /// What is counted is counted before the message is settled, and not where it goes back.
    fn settled(self: &Arc<Self>, receipt: Receipt, count: impl FnOnce(&mut Tally) + Send + Sync + 'static) -> Receipt {
        let account = Arc::clone(self);
        Receipt::new(move |verdict| {
            if verdict != Verdict::Returned {
                count(&mut account.tally());
            }
            receipt.settle(verdict);
        })
    }

    /// Something became of records, and publishers did something with those that they were given.
    pub(in crate::agent) fn worked<'p>(&self, work: Work, offered: impl IntoIterator<Item = (&'p str, Offered)>) {
        let mut tally = self.tally();
        tally.worked(work);
        offered.into_iter().for_each(|(publisher, offered)| tally.offered(publisher, offered));
    }

    /// A queue confirmed a packet.
    pub(in crate::agent) fn sent(
        &self,
        queue: &str,
        (sender, epoch, number): (&str, i64, u64),
        (fragments, records): (usize, usize),
    ) {
        let (fragments, records) = (fragments as u64, records as u64);
        let packet = Packet { sender, epoch, number, fragments, records };
        self.tally().sent(queue, packet, || topology::place_of(queue, &self.group));
    }

    /// What was added since the last time; `over`: nobody else holds it.
    pub(super) fn take(&self, over: bool) -> Option<Entry> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, TaskTracker::len);
        self.tally().take(held as u64, over)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_back_is_not_counted() {
        let account = Account::new(&"g".into(), Kind::Main, "q", None, 7);
        let end = |verdict| {
            let receipt = account.going_on(Receipt::new(|_| {}), vec![("s".into(), 3)]);
            let (one, other) = (receipt.split(), receipt.split());
            receipt.settle(Verdict::Kept);
            one.settle(Verdict::Kept);
            other.settle(verdict);
        };
        [Verdict::Kept, Verdict::Parked, Verdict::Returned].into_iter().for_each(end);
        account.unread(Receipt::new(|_| {})).settle(Verdict::Parked);
        drop(account.unread(Receipt::new(|_| {})));
        let entry = account.take(false).unwrap();
        assert_eq!((entry.went_on, entry.given["s"], entry.unread), (2, 6, 1));
    }

    #[test]
    fn the_queue_that_has_a_packet_says_whose_it_is() {
        let account = Account::new(&"g".into(), Kind::Main, "q", None, 7);
        let overflow = topology::overflow_queue_name("g", "event:s", "http-1");
        for queue in [&*topology::pipeline_queue_name("g", "a.b", 3, 12), &*overflow, "elsewhere"] {
            account.sent(queue, ("a", 7, 1), (1, 1));
        }
        let places = account.take(false).unwrap().sent.into_iter().map(|sent| (sent.sink, sent.publisher));
        let text = |text: &str| Some(text.to_owned());
        let expected = [(None, None), (text("a.b"), None), (text("event:s"), text("http-1"))];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }
}
