//! Acknowledging for one consumer.
//!
//! RabbitMQ fixes the number of unacknowledged messages when a consumer begins. Where it follows their sizes
//! (`window`), another consumer takes the place of the former, on the same channel, at a moment when everything that was
//! delivered is settled: nothing comes back, and whoever else begins to consume the queue finds nothing of it in our hands. To
//! get there nothing is acknowledged for a moment: the broker then gives no more than the window.

use futures_util::future::try_join;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use lapin::types::ShortString;
use lapin::{Channel, Consumer as AmqpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use crate::transport::amqp::fields::subscribe;
use crate::transport::amqp::reply::Line;
use crate::transport::ledger::Run;
use crate::transport::{ConsumeOptions, TransportError};

/// A shorter run is acknowledged after this.
const ACK_DELAY: Duration = Duration::from_millis(5);
/// What is settled behind a delivery that is held is acknowledged after this, tag by tag.
const SCATTERED_DELAY: Duration = Duration::from_secs(1);
/// A window that should change, and that something held keeps from being settled, is acknowledged again after this …
const CHANGE_WITHIN: Duration = Duration::from_secs(5);
/// … and tries to change again after this.
const CHANGE_AGAIN: Duration = Duration::from_mins(1);

/// How the queue is consumed.
pub(super) struct Subscription {
    pub(super) line: Line,
    pub(super) channel: Channel,
    pub(super) queue: Arc<str>,
    pub(super) options: ConsumeOptions,
    /// Of the present consumer.
    pub(super) tag: Mutex<ShortString>,
}

impl Subscription {
    fn tag(&self) -> ShortString {
        self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another consumer in the place of the present one, and acknowledges a run, which is all that was delivered.
    ///
    /// All at once, in this order, so that the queue is without a consumer of ours for as short a time as can be.
    /// Acknowledged after the end, so that the former consumer is given nothing more.
    async fn replace(&self, run: Run, messages: u16) -> Result<AmqpStream, TransportError> {
        let Subscription { line, channel, queue, options, .. } = self;
        let end = async {
            let cancel = channel.basic_cancel(self.tag(), BasicCancelOptions { nowait: false });
            let acknowledge = channel.basic_ack(run.last_tag, BasicAckOptions { multiple: true });
            line.within(try_join(cancel, acknowledge)).await.map_err(|refusal| refusal.about_queue(queue))
        };
        let ((_, ()), stream) = try_join(end, subscribe(line, channel, queue, messages, options)).await?;
        *self.tag.lock().unwrap_or_else(PoisonError::into_inner) = stream.tag();
        Ok(stream)
    }

    /// The broker delivers nothing more to the present consumer.
    pub(super) async fn cancel(&self) {
        // It fails when the channel is gone, and with it the consumer.
        let cancel = self.channel.basic_cancel(self.tag(), BasicCancelOptions { nowait: false });
        let _gone = self.line.within(cancel).await;
    }
}

/// Acknowledges settled runs until the consumer ends; then sends what is settled and closes the channel, which gives back
/// everything else in order. Tags live and die with this channel.
pub(super) async fn acknowledge(
    subscription: Arc<Subscription>,
    accounts: Arc<Accounts>,
    successor: mpsc::Sender<AmqpStream>,
    closed: CancellationToken,
) {
    let _closed = closed.drop_guard();
    let Subscription { line, channel, .. } = &*subscription;
    let flush = async || {
        if let Some(run) = accounts.with(|books| books.ledger.take_run()) {
            // It fails when the channel is gone, and with it every tag.
            let _sent = channel.basic_ack(run.last_tag, BasicAckOptions { multiple: true }).await;
        }
    };
    let flush_all = async || {
        flush().await;
        for tag in accounts.with(|books| books.ledger.take_scattered()) {
            let _sent = channel.basic_ack(tag, BasicAckOptions { multiple: false }).await;
        }
    };
    let mut scattered_since = None;
    let mut change = Change::From(Instant::now());
    loop {
        tokio::select! {
            biased;
            () = accounts.ending.cancelled() => break,
            () = accounts.full.notified() => {}
            () = long_enough(scattered_since), if !change.waits() => {}
            () = change.given_up() => {}
            () = accounts.settled.notified() => tokio::select! {
                biased;
                () = accounts.ending.cancelled() => break,
                () = accounts.full.notified() => {}
                () = tokio::time::sleep(ACK_DELAY) => {}
            },
        }
        match change.next(&accounts) {
            Next::Wait => continue,
            Next::Replace(run, messages) => replace(&subscription, &accounts, &successor, run, messages).await,
            Next::Acknowledge => {}
        }
        if scattered_since.is_some_and(|since: Instant| since.elapsed() >= SCATTERED_DELAY) {
            flush_all().await;
        } else {
            flush().await;
        }
        scattered_since = match accounts.with(|books| books.ledger.scattered()) {
            0 => None,
            _ => scattered_since.filter(|since| since.elapsed() < SCATTERED_DELAY).or_else(|| Some(Instant::now())),
        };
    }
    if line.gone.is_cancelled() {
        return;
    }
    flush_all().await;
    let _closed_in_order = line.within(channel.close(200, "OK".into())).await;
}

/// Puts another consumer in the place of the present one. A consumer that cannot be replaced is over.
async fn replace(
    subscription: &Subscription,
    accounts: &Accounts,
    successor: &mpsc::Sender<AmqpStream>,
    run: Run,
    messages: u16,
) {
    accounts.changing.store(true, Ordering::Release);
    match subscription.replace(run, messages).await {
        // Who receives is there until the consumer ends.
        Ok(stream) => drop(successor.send(stream).await),
        Err(error) => return accounts.end(error.to_string()),
    }
    accounts.changing.store(false, Ordering::Release);
    if accounts.cancelled.load(Ordering::Relaxed) {
        // It was cancelled meanwhile, and that was the former one.
        subscription.cancel().await;
    }
}

/// Whether the window is to change.
enum Change {
    /// From then on, if another one is better.
    From(Instant),
    /// As soon as all that was delivered is settled: nothing is acknowledged, until then at the latest.
    Until(Instant),
}

/// What to do with a settled run.
enum Next {
    Acknowledge,
    /// More must be settled before.
    Wait,
    /// It is all that was delivered: it is acknowledged with the change to a window of so many messages.
    Replace(Run, u16),
}

impl Change {
    fn next(&mut self, accounts: &Accounts) -> Next {
        let now = Instant::now();
        match *self {
            Change::From(from) if now < from => return Next::Acknowledge,
            Change::Until(until) if now >= until => {
                *self = Change::From(now + CHANGE_AGAIN);
                return Next::Acknowledge;
            }
            Change::From(_) | Change::Until(_) => {}
        }
        let cancelled = accounts.cancelled.load(Ordering::Relaxed);
        let next = accounts.with(|books| {
            let better = books.window.better().filter(|_| books.is_full() && !cancelled);
            let Some(messages) = better else { return Next::Acknowledge };
            if !books.ledger.is_settled() {
                return Next::Wait;
            }
            books.window.change(messages);
            books.ledger.take_run().map_or(Next::Acknowledge, |run| Next::Replace(run, messages))
        });
        *self = match (&next, &*self) {
            (Next::Wait, Change::From(_)) => Change::Until(now + CHANGE_WITHIN),
            (Next::Wait, Change::Until(until)) => Change::Until(*until),
            _ => Change::From(now),
        };
        next
    }

    /// Whether nothing is acknowledged now.
    fn waits(&self) -> bool {
        matches!(self, Change::Until(_))
    }

    /// Waits until a change has waited for too long; for ever where none waits.
    async fn given_up(&self) {
        match self {
            Change::Until(until) => tokio::time::sleep_until(*until).await,
            Change::From(_) => std::future::pending().await,
        }
    }
}

/// Waits until what is settled behind an open delivery has waited long enough; for ever where there is nothing.
async fn long_enough(since: Option<Instant>) {
    match since {
        Some(since) => tokio::time::sleep_until(since + SCATTERED_DELAY).await,
        None => std::future::pending().await,
    }
}
