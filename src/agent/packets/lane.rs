//! What waits in the lanes of one listener, and when a packet may be sent.
//!
//! A packet that is not full stays open, because the broker's cost is by packet. It goes when it is full, when something that
//! is no record stands behind it, and at the latest [`OPEN_MAX`] after its first record. It also goes when its listener
//! expects nothing more and no packet is on its way: while one is, its confirmation lets the listener take more, and when
//! none is, nothing else would. So a prefetch that is smaller than what fills the packets keeps nothing waiting.
//!
//! Never here: sending (`lanes`).

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::packet::PacketBuilder;
use crate::agent::runtime::options::PacketBounds;
use crate::model::Receipt;

/// A packet is kept open for so long after its first record. With 20 pipeline queues and 8,000 notifications per second each
/// queue gets 40 in this time, which is most of a full packet.
const OPEN_MAX: Duration = Duration::from_millis(100);

/// Who sends, and how much in one packet.
pub(super) struct Sender {
    pub(super) member: Arc<str>,
    pub(super) epoch: i64,
    pub(super) bounds: PacketBounds,
}

/// What waits in the lanes of one listener.
#[derive(Default)]
pub(super) struct Waiting {
    lanes: BTreeMap<String, Lane>,
    /// Queues whose lane may have something to send and has nothing on its way.
    ready: VecDeque<String>,
    /// When the first of the open packets has been open for too long; nothing where none is open. It may be too early, where
    /// that packet was filled since, and is never too late.
    open_until: Option<Instant>,
    /// The listener expects more soon.
    more: bool,
    /// Nothing more is put in.
    closed: bool,
    /// Nothing more is sent either.
    abandoned: bool,
}

/// What goes to one queue, in order. Only the last one that waits may be open.
#[derive(Default)]
struct Lane {
    /// The number of the last packet that was begun. All that are begun are sent, in this order, or the session is over.
    sequence: u64,
    waiting: VecDeque<Waybill>,
    /// Until then the last packet that waits is filled, if something comes; nothing where it is sent as soon as it can be.
    open_until: Option<Instant>,
    /// A packet is on its way, or waits until it is offered again, or the lane is [ready](Waiting::ready).
    busy: bool,
}

/// A packet with what hangs on it.
pub(super) struct Waybill {
    pub(super) content: Content,
    pub(super) receipts: Vec<Receipt>,
    /// Hears when the queue has it.
    pub(super) told: Option<oneshot::Sender<()>>,
}

pub(super) enum Content {
    Filling(PacketBuilder),
    Whole(Bytes),
}

impl Lane {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Whether its first packet may be sent.
    fn has_due(&self) -> bool {
        match self.waiting.len() {
            0 => false,
            1 => self.open_until.is_none(),
            _ => true,
        }
    }
}

impl Waiting {
    /// Puts what a notification yields for a queue, its head and its records, behind everything that goes there. Where nothing
    /// is sent any more it gives the receipt back, to be dropped where nothing is locked.
    #[must_use]
    pub(super) fn push(
        &mut self,
        sender: &Sender,
        queue: &str,
        (head, records): (&[u8], &[&[u8]]),
        receipt: Receipt,
    ) -> Option<Receipt> {
        if self.abandoned {
            return Some(receipt);
        }
        let lane = self.lane(queue);
        let bytes = head.len() + records.iter().map(|record| record.len() + 1).sum::<usize>();
        let new = match lane.waiting.back() {
            Some(Waybill { content: Content::Filling(packet), .. }) => !packet.has_room(bytes, sender.bounds),
            _ => true,
        };
        let mut opened = None;
        if new {
            let content = Content::Filling(PacketBuilder::new(&sender.member, sender.epoch, lane.next_sequence()));
            lane.waiting.push_back(Waybill { content, receipts: Vec::new(), told: None });
            opened = Some(Instant::now() + OPEN_MAX);
            lane.open_until = opened;
        }
        if let Some(Waybill { content: Content::Filling(packet), receipts, .. }) = lane.waiting.back_mut() {
            packet.push_encoded(head, records);
            receipts.push(receipt);
            if packet.is_full(sender.bounds) {
                lane.open_until = None;
            }
        }
        if lane.has_due() {
            self.set_ready(queue);
        }
        self.open_until = self.open_until.or(opened);
        None
    }

    /// Puts a whole packet behind everything that goes to a queue, made with its number; `false` where nothing is sent any more.
    pub(super) fn push_whole(
        &mut self,
        queue: &str,
        whole: impl FnOnce(u64) -> Bytes,
        told: oneshot::Sender<()>,
    ) -> bool {
        if self.abandoned {
            return false;
        }
        let lane = self.lane(queue);
        let content = Content::Whole(whole(lane.next_sequence()));
        lane.waiting.push_back(Waybill { content, receipts: Vec::new(), told: Some(told) });
        lane.open_until = None;
        self.set_ready(queue);
        true
    }

    /// Nothing more is put in: what is open is sent as it is.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.end_open(None);
    }

    /// Whether nothing more is put in, and nothing that can be sent waits.
    pub(super) fn is_closed_and_empty(&self) -> bool {
        self.closed && self.ready.is_empty() && self.open_until.is_none()
    }

    /// Nothing more is sent; what was not, to be dropped where nothing is locked.
    #[must_use]
    pub(super) fn abandon(&mut self) -> impl Sized + use<> {
        (self.abandoned, self.open_until) = (true, None);
        std::mem::take(&mut self.lanes)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether the listener expects more soon.
    pub(super) fn expect(&mut self, more: bool) {
        self.more = more;
    }

    /// Nothing is on its way: what is open goes, unless more comes soon. Whether anything was.
    pub(super) fn send_open(&mut self) -> bool {
        let goes = !self.more && self.open_until.is_some();
        if goes {
            self.end_open(None);
        }
        goes
    }

    /// When [`Waiting::end_open`] has something to do.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.open_until
    }

    /// The queue has the packet that was on its way there.
    pub(super) fn is_free(&mut self, queue: String) {
        self.ready.push_back(queue);
    }

    fn lane(&mut self, queue: &str) -> &mut Lane {
        self.lanes.entry(queue.to_owned()).or_default()
    }

    fn set_ready(&mut self, queue: &str) {
        let lane = self.lane(queue);
        if !std::mem::replace(&mut lane.busy, true) {
            self.ready.push_back(queue.to_owned());
        }
    }

    /// The next packet that may be sent.
    pub(super) fn next(&mut self) -> Option<(String, Waybill)> {
        while let Some(queue) = self.ready.pop_front() {
            let lane = self.lane(&queue);
            if lane.has_due()
                && let Some(next) = lane.waiting.pop_front()
            {
                return Some((queue, next));
            }
            lane.busy = false;
        }
        None
    }

    /// Nothing more is waited for to fill packets: all that are open, or those that have been for too long at a moment.
    pub(super) fn end_open(&mut self, at: Option<Instant>) {
        if self.open_until.take().is_none() {
            return;
        }
        for (queue, lane) in &mut self.lanes {
            let Some(until) = lane.open_until else { continue };
            if at.is_some_and(|at| until > at) {
                self.open_until = Some(self.open_until.map_or(until, |first| first.min(until)));
                continue;
            }
            lane.open_until = None;
            if !lane.waiting.is_empty() && !std::mem::replace(&mut lane.busy, true) {
                self.ready.push_back(queue.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;
    use tokio::time::advance;

    const BOUNDS: PacketBounds = PacketBounds { notifications_max: 3, bytes_max: 1_000 };

    #[derive(Default)]
    struct Bench(Waiting);

    impl Bench {
        fn push(&mut self, queue: &str, count: usize, bytes: usize) {
            let sender = Sender { member: "m".into(), epoch: 7, bounds: BOUNDS };
            for _ in 0..count {
                let record = vec![b'1'; bytes];
                let left = self.0.push(&sender, queue, (b"{[", &[&record]), Receipt::new(|_| ()));
                assert!(left.is_none());
            }
        }

        /// What is sent now: the queue, the number, and how many notifications; it is on its way then.
        fn sent(&mut self) -> Vec<(String, u64, usize)> {
            std::iter::from_fn(|| self.0.next())
                .map(|(queue, bill)| {
                    let notifications = bill.receipts.len();
                    bill.receipts.into_iter().for_each(|receipt| receipt.settle(Verdict::Kept));
                    let body = match bill.content {
                        Content::Filling(packet) => packet.finish(),
                        Content::Whole(body) => body.to_vec(),
                    };
                    let text = String::from_utf8(body).unwrap();
                    let number =
                        text.split("\"sequence\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
                    (queue, number, notifications)
                })
                .collect()
        }
    }

    fn sent(queue: &str, number: u64, notifications: usize) -> (String, u64, usize) {
        (queue.to_owned(), number, notifications)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_packet_goes_and_one_that_is_not_stays_open() {
        let mut bench = Bench::default();
        bench.push("a", 4, 10);
        bench.push("b", 2, 10);
        assert_eq!(bench.sent(), [sent("a", 1, 3)]);
        bench.0.is_free("a".to_owned());
        assert_eq!(bench.sent(), []);
        bench.push("a", 2, 10);
        assert_eq!(bench.sent(), [sent("a", 2, 3)]);
        bench.push("b", 1, 10);
        assert_eq!(bench.sent(), [sent("b", 1, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_packet_is_full_by_its_bytes() {
        let mut bench = Bench::default();
        bench.push("a", 2, 600);
        assert_eq!(bench.sent(), [sent("a", 1, 1)], "the second did not fit");
        bench.0.is_free("a".to_owned());
        bench.push("a", 1, 2_000);
        assert_eq!(bench.sent(), [sent("a", 2, 1)]);
        bench.0.is_free("a".to_owned());
        assert_eq!(bench.sent(), [sent("a", 3, 1)], "larger than a packet, and alone");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_open_for_too_long_goes_and_a_younger_one_waits_for_its_own_time() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        advance(OPEN_MAX / 2).await;
        bench.push("b", 1, 10);
        let first = bench.0.open_until().unwrap();
        assert_eq!(first - Instant::now(), OPEN_MAX / 2);
        advance(OPEN_MAX / 2).await;
        bench.0.end_open(Some(Instant::now()));
        assert_eq!(bench.sent(), [sent("a", 1, 1)]);
        assert_eq!(bench.0.open_until(), Some(first + OPEN_MAX / 2));
        advance(OPEN_MAX / 2).await;
        bench.0.end_open(Some(Instant::now()));
        assert_eq!((bench.sent(), bench.0.open_until()), (vec![sent("b", 1, 1)], None));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_more_comes_soon() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        bench.push("b", 5, 10);
        bench.0.end_open(None);
        assert_eq!(bench.sent(), [sent("b", 1, 3), sent("a", 1, 1)]);
        bench.0.is_free("b".to_owned());
        assert_eq!((bench.sent(), bench.0.open_until()), (vec![sent("b", 2, 2)], None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_expected_is_waited_for() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        bench.0.expect(true);
        assert!(!bench.0.send_open());
        assert_eq!(bench.sent(), []);
        bench.0.expect(false);
        assert!(bench.0.send_open());
        assert_eq!(bench.sent(), [sent("a", 1, 1)]);
        assert!(!bench.0.send_open(), "nothing is open");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_packet_goes_before_what_is_put_behind_it() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        let (told, _hears) = oneshot::channel();
        let whole = |number| format!(r#"{{"sequence":{number},}}"#).into();
        assert!(bench.0.push_whole("a", whole, told));
        assert_eq!(bench.sent(), [sent("a", 1, 1)]);
        bench.push("a", 1, 10);
        bench.0.is_free("a".to_owned());
        assert_eq!(bench.sent(), [sent("a", 2, 0)], "what comes later is in a packet behind it");
        bench.0.is_free("a".to_owned());
        assert_eq!(bench.sent(), []);
        bench.0.end_open(None);
        assert_eq!(bench.sent(), [sent("a", 3, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_while_its_queue_is_busy_goes_when_that_is_free() {
        let mut bench = Bench::default();
        bench.push("a", 3, 10);
        assert_eq!(bench.sent(), [sent("a", 1, 3)]);
        bench.push("a", 1, 10);
        bench.0.end_open(None);
        bench.push("a", 1, 10);
        assert_eq!(bench.sent(), [], "one packet is on its way at a time, and meanwhile the next is filled");
        bench.0.is_free("a".to_owned());
        assert_eq!(bench.sent(), [sent("a", 2, 2)]);
    }

    /// The carrier asks between any two calls whether it is done.
    #[tokio::test(start_paused = true)]
    async fn what_is_open_when_nothing_more_is_put_in_is_sent() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        assert_eq!(bench.sent(), []);
        assert!(!bench.0.is_closed_and_empty());
        bench.0.close();
        assert!(!bench.0.is_closed_and_empty(), "the open packet is not sent yet");
        assert_eq!(bench.sent(), [sent("a", 1, 1)]);
        assert!(bench.0.is_closed_and_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_is_over() {
        let mut bench = Bench::default();
        bench.push("a", 1, 10);
        drop(bench.0.abandon());
        assert_eq!((bench.sent(), bench.0.open_until(), bench.0.is_abandoned()), (vec![], None, true));
    }
}
