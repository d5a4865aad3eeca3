//! Batches in conversion. The messages of a large batch are shared out over tasks, so that all cores convert; what they yield
//! comes out in the order in which the messages were taken, and the next batch is converted while the former goes on.
//! A small batch is converted at once: handing it to a task costs more than it gains.
//!
//! Never here: where it goes, or settling a receipt.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

use super::route::Routes;
use crate::agent::packets::encoding::Part;
use crate::agent::packets::packet::FRAGMENT_BYTES_MAX;
use crate::agent::parked::parking::{Reason, Unfit};
use crate::agent::runtime::task_group::TaskGroup;
use crate::model::envelope::{self, Unreadable};
use crate::model::{Notification, Receipt, Text};
use crate::observe::tap::Passing;
use crate::observe::{Metrics, ParkReason};
use crate::transport::Delivery;
use crate::transport::dispatch::Route;

/// Messages that one task converts; a batch of so many is converted without one. Not by the number of cores: a simulation is
/// the same on every machine.
const SHARE_MESSAGES: usize = 64;
/// Batches in conversion at most: one to go on, one behind it.
const BATCHES_MAX: usize = 2;

/// The batches of one main queue that are in conversion, oldest first. `T` is what a fragment is made into.
pub(in crate::agent) struct Conversion<T> {
    batches: VecDeque<InWork<T>>,
    metrics: Metrics,
    tasks: TaskGroup,
}

/// A batch of which some shares may be done.
struct InWork<T> {
    routes: Arc<Routes>,
    shares: VecDeque<oneshot::Receiver<Vec<Read<T>>>>,
    done: Vec<Read<T>>,
}

/// A batch that is converted.
pub(in crate::agent) struct Converted<T> {
    /// The configuration that it was converted by.
    pub routes: Arc<Routes>,
    /// Its messages, in order.
    pub messages: Vec<Read<T>>,
}

/// What a message is.
pub(in crate::agent) enum Read<T> {
    /// A notification, with what it yields for the sinks.
    Yields(Vec<(usize, T)>, Receipt),
    /// To be parked.
    Unfit(Unfit),
}

impl<T: Part> Conversion<T> {
    /// Nothing in conversion.
    pub(in crate::agent) fn new(metrics: &Metrics, tasks: &TaskGroup) -> Self {
        Conversion { batches: VecDeque::new(), metrics: metrics.clone(), tasks: tasks.clone() }
    }

    /// Whether nothing is in conversion.
    pub(in crate::agent) fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch may be taken.
    pub(in crate::agent) fn has_room(&self) -> bool {
        self.batches.len() < BATCHES_MAX
    }

    /// Begins with a batch.
    pub(in crate::agent) fn begin(&mut self, routes: &Arc<Routes>, batch: Vec<Delivery>) {
        let mut shares = VecDeque::with_capacity(batch.len().div_ceil(SHARE_MESSAGES));
        let done = Vec::with_capacity(batch.len());
        let is_small = batch.len() <= SHARE_MESSAGES;
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            let share: Vec<Delivery> = batch.by_ref().take(SHARE_MESSAGES).collect();
            let (routes, metrics) = (Arc::clone(routes), self.metrics.clone());
            let (finished, waiting) = oneshot::channel();
            shares.push_back(waiting);
            let convert = move || {
                let read = share.into_iter().map(|delivery| read(&routes, delivery, &metrics)).collect();
                // A listener that is gone needs nothing: the receipts go back by being dropped.
                let _unheard = finished.send(read);
            };
            if is_small {
                // As in a task: a mistake of ours ends the batch, and the listener hears of it.
                let _ended = catch_unwind(AssertUnwindSafe(convert));
            } else {
                self.tasks.spawn("converting", async move { convert() });
            }
        }
        self.batches.push_back(InWork { routes: Arc::clone(routes), shares, done });
    }

    /// Waits for the oldest batch; `None` when there is none, or when it was not converted to its end because the agent
    /// is. Dropping the future loses nothing.
    pub(in crate::agent) async fn next(&mut self) -> Option<Converted<T>> {
        let oldest = self.batches.front_mut()?;
        while let Some(share) = oldest.shares.front_mut() {
            let read = share.await.ok()?;
            oldest.done.extend(read);
            oldest.shares.pop_front();
        }
        self.batches.pop_front().map(|InWork { routes, done, .. }| Converted { routes, messages: done })
    }
}

/// Reads a message and converts it.
fn read<T: Part>(routes: &Routes, mut delivery: Delivery, metrics: &Metrics) -> Read<T> {
    if let Some(packed) = &delivery.packed {
        let reason = Reason { kind: ParkReason::Unreadable, text: packed.to_string() };
        return Read::Unfit(Unfit::of(delivery, reason));
    }
    // Not copied, where nobody else has it.
    let body = Text::from_utf8(std::mem::take(&mut delivery.body).into());
    let opened = match &body {
        Ok(text) => envelope::open_text(text, &routes.context),
        Err(bytes) => envelope::open_plainly(bytes),
    };
    match convert(routes, &delivery.queue, opened, metrics) {
        Ok(yields) => Read::Yields(yields, delivery.receipt),
        Err(reason) => {
            delivery.body = body.map_or_else(Into::into, |text| text.into_string().into());
            Read::Unfit(Unfit::of(delivery, reason))
        }
    }
}

/// What a message yields for the sinks, or why it has to be parked.
fn convert<T: Part>(
    routes: &Routes,
    queue: &str,
    opened: Result<Notification, Unreadable>,
    metrics: &Metrics,
) -> Result<Vec<(usize, T)>, Reason> {
    let notification = opened.map_err(|unreadable| Reason {
        kind: match unreadable {
            Unreadable::Priority(_) => ParkReason::UnknownPriority,
            _ => ParkReason::Unreadable,
        },
        text: unreadable.to_string(),
    })?;
    if routes.dispatcher.route(&notification) == Route::Nobody {
        metrics.notification_unwanted(notification.priority());
        return Ok(Vec::new());
    }
    // The converter is total; should a mistake of ours panic all the same, one message is parked and nothing loops.
    let converted = catch_unwind(AssertUnwindSafe(|| routes.converter.convert(&notification))).map_err(|_| Reason {
        kind: ParkReason::InternalError,
        text: "a mistake in the converter: please report it".to_owned(),
    })?;
    metrics.converted(&converted.samples, &converted.events);
    if metrics.taps().is_open() {
        let (samples, events) = (&converted.samples, &converted.events);
        metrics.taps().pass(&Passing { queue, notification: Some(&notification), samples, events });
    }
    converted.complaints.iter().for_each(|complaint| metrics.complained(complaint));
    let mut complaints = Vec::new();
    let fragments = routes.fragments(&notification, converted, &mut complaints);
    complaints.iter().for_each(|complaint| metrics.complained(complaint));
    let parts: Vec<(usize, T)> = fragments.into_iter().map(|(sink, fragment)| (sink, T::from(fragment))).collect();
    match parts.iter().map(|(_, part)| part.bytes_in_packet()).max() {
        Some(bytes) if bytes > FRAGMENT_BYTES_MAX => Err(Reason {
            kind: ParkReason::TooLarge,
            text: format!("for one sink it gives {bytes} bytes; {FRAGMENT_BYTES_MAX} travel between agents at most"),
        }),
        _ => Ok(parts),
    }
}
