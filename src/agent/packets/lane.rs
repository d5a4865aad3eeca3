//! What waits in the lanes of one listener, and when a packet may be sent.
//!
//! A packet that is not full stays open, because the broker's cost is by packet. It goes when it is full, when something that
//! is no record stands behind it, and at the latest [`OPEN_MAX`] after its first record. It also goes when its listener
//! expects nothing more and no packet is on its way: while one is, its confirmation lets the listener take more, and when
//! none is, nothing else would. So a prefetch that is smaller than what fills the packets keeps nothing waiting. Where much is
//! open, it waits until [`LULL`] after the last confirmation, because that confirmation lets the broker give more. And a packet
//! goes when it is old by what was put in since: its deliveries are acknowledged first, and without that nothing more comes.
//!
//! Never here: sending (`lanes`).

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::encoding::Records;
use super::packet::PacketBuilder;
use crate::agent::runtime::options::PacketBounds;
use crate::model::Receipt;

/// A packet is kept open for so long after its first record. With 20 pipeline queues and 20,000 notifications per second each
/// queue gets 100 in this time, which is a full packet.
const OPEN_MAX: Duration = Duration::from_millis(100);

/// Much is open when so many fragments were put in since the oldest open packet was begun. Notifications that come one by one are
/// never so many, so their packets do not wait.
const MUCH: usize = 100;
/// Much that is open waits for so long after a confirmation. The confirmed deliveries are acknowledged within 5 ms; then the
/// broker gives more, and that has to come and be converted.
const LULL: Duration = Duration::from_millis(10);

/// Who sends, and how much in one packet.
pub(super) struct Sender {
    pub(super) member: Arc<str>,
    pub(super) epoch: i64,
    pub(super) bounds: PacketBounds,
}

/// What a listener expects to put in.
#[derive(Debug, Clone, Copy)]
pub(in crate::agent) struct Expected {
    /// Something comes soon.
    pub more: bool,
    /// So much comes at most before something of what is here is acknowledged, in messages.
    pub at_once: usize,
}

/// What becomes of open packets when nothing is on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// None is open, or the listener expects more.
    Nothing,
    /// They go.
    Goes,
    /// They go at this moment, if nothing comes until then.
    Waits(Instant),
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
    /// Until then more may come, because the last confirmation let the broker give it.
    lull_until: Option<Instant>,
    /// Fragments that were put in.
    pushed: usize,
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
    /// Bytes that the next packet is expected to have, by the last one that was sent.
    bytes: usize,
    /// How many fragments had been put into all lanes when its last packet was begun.
    opened_at: usize,
    /// A packet is on its way, or waits until it is offered again, or the lane is [ready](Waiting::ready).
    busy: bool,
}

/// A packet with what hangs on it.
pub(super) struct Waybill {
    /// Its number.
    pub(super) sequence: u64,
    /// Samples and events in it.
    pub(super) records: usize,
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
        (head, records): (&[u8], &Records<'_>),
        receipt: Receipt,
    ) -> Option<Receipt> {
        if self.abandoned {
            return Some(receipt);
        }
        self.pushed += 1;
        let lane = match self.lanes.get_mut(queue) {
            Some(lane) => lane,
            None => self.lanes.entry(queue.to_owned()).or_default(),
        };
        let bytes = head.len() + records.runs.iter().map(|run| run.len() + 1).sum::<usize>();
        let new = match lane.waiting.back() {
            Some(Waybill { content: Content::Filling(packet), .. }) => !packet.has_room(bytes, sender.bounds),
            _ => true,
        };
        let mut opened = None;
        if new {
            let sequence = lane.next_sequence();
            let packet = PacketBuilder::with_room(
                lane.bytes.min(sender.bounds.bytes_max),
                &sender.member,
                sender.epoch,
                sequence,
            );
            let content = Content::Filling(packet);
            lane.waiting.push_back(Waybill { sequence, records: 0, content, receipts: Vec::new(), told: None });
            opened = Some(Instant::now() + OPEN_MAX);
            (lane.open_until, lane.opened_at) = (opened, self.pushed);
        }
        let last = lane.waiting.back_mut();
        if let Some(Waybill { content: Content::Filling(packet), receipts, records: count, .. }) = last {
            packet.push_encoded(head, &records.runs);
            *count += records.count;
            receipts.push(receipt);
            if packet.is_full(sender.bounds) {
                lane.open_until = None;
            }
        }
        if lane.has_due() {
            set_ready(&mut self.ready, queue, lane);
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
        let lane = self.lanes.entry(queue.to_owned()).or_default();
        let sequence = lane.next_sequence();
        let content = Content::Whole(whole(sequence));
        lane.waiting.push_back(Waybill { sequence, records: 0, content, receipts: Vec::new(), told: Some(told) });
        lane.open_until = None;
        set_ready(&mut self.ready, queue, lane);
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

    /// What the listener expects. A packet goes when as many fragments were put in since it was begun as messages may be on their
    /// way: about half of those, for most give two.
    pub(super) fn expect(&mut self, Expected { more, at_once }: Expected) {
        self.more = more;
        for (queue, lane) in &mut self.lanes {
            if lane.open_until.is_some() && self.pushed - lane.opened_at >= at_once {
                lane.open_until = None;
                set_ready(&mut self.ready, queue, lane);
            }
        }
    }

    /// Nothing is on its way: what is open goes, unless more comes soon.
    pub(super) fn send_open(&mut self) -> Open {
        if self.more || self.open_until.is_none() {
            return Open::Nothing;
        }
        let opened = self.lanes.values().filter(|lane| lane.open_until.is_some()).map(|lane| lane.opened_at);
        let oldest = opened.min().unwrap_or(self.pushed);
        match self.lull_until {
            Some(until) if self.pushed - oldest >= MUCH && Instant::now() < until => Open::Waits(until),
            _ => {
                self.end_open(None);
                Open::Goes
            }
        }
    }

    /// When [`Waiting::end_open`] has something to do.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.open_until
    }

    /// The queue has the packet that was on its way there.
    pub(super) fn is_free(&mut self, queue: String) {
        self.lull_until = Some(Instant::now() + LULL);
        self.ready.push_back(queue);
    }

    /// The next packet that may be sent.
    pub(super) fn next(&mut self) -> Option<(String, Waybill)> {
        while let Some(queue) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&queue) else { continue };
            if lane.has_due()
                && let Some(next) = lane.waiting.pop_front()
            {
                if let Content::Filling(packet) = &next.content {
                    // The next one may be a little larger.
                    lane.bytes = packet.bytes() / 8 * 9;
                }
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
            set_ready(&mut self.ready, queue, lane);
        }
    }
}

fn set_ready(ready: &mut VecDeque<String>, queue: &str, lane: &mut Lane) {
    if !lane.waiting.is_empty() && !std::mem::replace(&mut lane.busy, true) {
        ready.push_back(queue.to_owned());
    }
}

#[cfg(test)]
mod tests;
