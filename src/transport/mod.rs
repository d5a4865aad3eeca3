//! RabbitMQ, and an in-process broker of the same semantics. The only room that names `lapin`.
//!
//! One connection is one [`Session`]: whatever was delivered in a session is settled in it or comes back. A lost
//! session is never resumed; its successor starts anew. [`Broker::connect`] makes one attempt; the loop that keeps
//! trying, with jittered back-off over the hosts, is [`link`].
//!
//! Never here: what a message means. Bodies are bytes.

pub mod amqp;
mod compression;
pub mod copies;
mod declared;
pub mod dispatch;
mod error;
mod fallback;
mod ledger;
pub mod link;
pub mod memory;
pub mod shell;
pub mod topology;

pub use amqp::{AmqpBroker, AmqpHost, AmqpOptions, Ask, Denied, Login, TlsOptions};
pub use compression::{COMPRESSION_HEADER, Packed, UNPACKED_BYTES_MAX};
pub use declared::{Argument, Binding, Exchange, Queue, Subscription, Topology};
pub use error::{NACKED, TransportError, UNROUTABLE};
pub use link::{Link, LinkState};
pub use memory::MemoryBroker;

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::Receipt;

/// A broker that can be connected to: one `transport_url`, or the in-process twin.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// One attempt at a new session. Hosts are tried in rotation from attempt to attempt.
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError>;
    /// The version that the broker says it has, such as `4.0.5`; nothing where it does not say.
    async fn version(&self) -> Option<String> {
        None
    }
    /// The broker in words for logs, without secrets: `rabbit://127.0.0.1:5672/`.
    fn name(&self) -> &str;
    /// The virtual host that sessions are in.
    fn virtual_host(&self) -> String {
        "/".to_owned()
    }
}

/// One connection.
#[async_trait]
pub trait Session: Send + Sync + 'static {
    /// Declares exchanges, then queues, then bindings. What is already there and equal stays.
    ///
    /// Where an exchange or queue is marked [`fallback_transient`](Queue::fallback_transient) and the broker has it
    /// otherwise (406 on `durable`), it is declared non-durable, as oslo.messaging does (Ceilometer reference §3.1).
    async fn declare(&self, topology: &Topology) -> Result<(), TransportError>;
    /// Starts consuming on a channel of its own.
    async fn consume(&self, queue: &str, options: ConsumeOptions) -> Result<Box<dyn Consumer>, TransportError>;
    /// Follows a stream from a place on, on a channel of its own. Reading takes nothing away. To append is to
    /// [`publish`](Session::publish) to it over the default exchange.
    async fn follow(&self, stream: &str, start: StreamStart) -> Result<Box<dyn Follower>, TransportError>;
    /// Hands one message to the broker (mandatory, with publisher confirm) and waits for room in the window of
    /// unconfirmed messages and bytes. The confirmation resolves when the broker has taken responsibility.
    /// Messages of one session to one queue arrive in the order of these calls.
    async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError>;
    /// Hears what an exchange is sent from now on, over a queue of this session's own. The exchange must be there.
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, TransportError> {
        let exchange = &subscription.exchange;
        Err(TransportError::Refused(format!("this broker has no subscriptions: {exchange} cannot be heard")))
    }
    /// Messages ready and consumers of a queue; [`TransportError::NoQueue`] if there is none.
    async fn inspect(&self, queue: &str) -> Result<QueueState, TransportError>;
    /// Waits a moment until a queue has no consumers beside so many; how many it has. [`TransportError::Occupied`] if it still
    /// has more then.
    ///
    /// The broker's word, and a weak one: a node of a cluster that does not reach the queue answers 0.
    async fn until_alone(&self, queue: &str, beside: u32) -> Result<u32, TransportError> {
        for _ in 0..ALONE_LOOKS {
            let consumers = self.inspect(queue).await?.consumers;
            if consumers <= beside {
                return Ok(consumers);
            }
            tokio::time::sleep(ALONE_AGAIN).await;
        }
        Err(TransportError::Occupied(queue.to_owned()))
    }
    /// Deletes a queue if it is empty and unused; whether it is gone.
    async fn delete_if_idle(&self, queue: &str) -> Result<bool, TransportError>;
    /// Deletes a queue or stream whatever is in it; no error if it is not there.
    async fn delete(&self, queue: &str) -> Result<(), TransportError>;
    /// Why the broker takes no messages for now (an alarm of memory or disk), and the changes of that; nothing while it does.
    fn blocked(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
    /// Why the broker ended the session, where it does so again until a person acts.
    fn refused(&self) -> Option<String> {
        None
    }
    /// Why it is over, once it is, in the words of the broker or the system; nothing where we ended it, or nothing was said.
    fn why(&self) -> Why {
        Why::default()
    }
    /// Takes away what is ready in a queue, unread; how many messages that were.
    async fn purge(&self, queue: &str) -> Result<u32, TransportError>;
    /// Cancelled when the session is over, for whatever reason. Nothing of it may be settled or published after that.
    fn over(&self) -> CancellationToken;
    /// Closes in order: channels first, so that what is unsettled goes back, then the connection.
    async fn close(&self);
    /// Cuts without an AMQP close: for a fenced owner.
    fn cut(&self);
}

/// One consumer on its own channel.
#[async_trait]
pub trait Consumer: Send + 'static {
    /// The next delivery; `None` when the consumer is over: session lost, queue deleted, cancelled by the broker.
    async fn next(&mut self) -> Option<Delivery>;
    /// A further delivery that is already here, without waiting.
    fn ready(&mut self) -> Option<Delivery>;
    /// Cancelled when the consumer is over, also while nobody waits for its next delivery: what was delivered is back in the
    /// queue then, and another consumer may have it.
    fn over(&self) -> CancellationToken;
    /// Why it is over, once it is, in the broker's words where it said something.
    fn why(&self) -> Why;
    /// Closes the *channel* and waits for the broker's answer: everything unsettled is then back in its queue, in
    /// order. (`basic.cancel` would let a successor start on later messages first.)
    async fn close(self: Box<Self>) -> Result<(), TransportError>;
    /// `basic.cancel`: no further delivery, and what is unsettled stays with the channel until it is closed. Never where another
    /// consumer goes on in order, for the reason said at [`close`](Consumer::close). Of use
    /// where one who holds a queue with several consumers closes them: what one gives back must not go to the next.
    async fn cancel(&mut self);
}

/// What a broker says when it ends a consumer or a session; nothing before that, or where it says nothing.
pub type Why = Arc<OnceLock<String>>;

/// Where to begin in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStart {
    /// With the oldest record that is still there.
    First,
    /// With this offset, or the oldest record if that is later.
    Offset(u64),
    /// With what is appended from now on.
    Next,
    /// With the last record there is, or a few before it: RabbitMQ gives the whole chunk that it is in.
    Last,
}

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its place: rises from 0, whatever was cut off since. RabbitMQ leaves some out.
    pub offset: u64,
    /// What it holds.
    pub body: Bytes,
}

/// One reader of a stream.
#[async_trait]
pub trait Follower: Send + 'static {
    /// The next record, in the order of their offsets; `None` when the follower is over: session lost, stream deleted.
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> Option<StreamRecord>;
    /// Ends following.
    async fn close(self: Box<Self>) -> Result<(), TransportError>;
}

/// One message from a queue.
#[derive(Debug)]
pub struct Delivery {
    /// The queue it was in.
    pub queue: Arc<str>,
    /// The exchange that it was published to; empty for the default exchange.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The body, unpacked if the `compression` header said so; as it came where `packed` says why it could not be.
    pub body: Bytes,
    /// The body as it came, where it had a `compression` header; else it is the body.
    pub raw: Option<Bytes>,
    /// Why the body is still packed: such a message is unreadable, to be parked with this reason.
    pub packed: Option<Packed>,
    /// `content_type`, if set.
    pub content_type: Option<String>,
    /// String headers.
    pub headers: BTreeMap<String, String>,
    /// Whether the broker delivered it before.
    pub redelivered: bool,
    /// How often it came back to its queue: `x-delivery-count` of a quorum queue, which drops a message that came back more
    /// often than its limit; 0 where the broker does not count.
    pub returns: u32,
    /// Settles it: `Kept` and `Parked` acknowledge (coalesced, `multiple`), `Returned` ends the consumer: what is
    /// unsettled goes back by closing the channel, never by `basic.nack` (which reorders).
    pub receipt: Receipt,
}

impl Delivery {
    /// The body as it came, to be passed on with the headers: what is unpacked may be larger than the broker takes.
    pub fn as_it_came(&self) -> &Bytes {
        self.raw.as_ref().unwrap_or(&self.body)
    }
}

/// How to consume.
#[derive(Debug, Clone)]
pub struct ConsumeOptions {
    /// Unacknowledged messages at most, per consumer; 0, RabbitMQ's "no limit", means [`PREFETCH_MESSAGES_MAX`].
    pub prefetch_messages: u16,
    /// Be the only consumer of the queue: [`TransportError::Occupied`] where there is another. A classic queue then lets no
    /// other in; a quorum queue cannot, and does if the other does not ask.
    pub exclusive: bool,
    /// Consumer arguments, e.g. `x-cancel-on-ha-failover`.
    pub arguments: BTreeMap<String, Argument>,
}

/// How often, and after what time again, a queue is looked at that still has a consumer: a quorum queue learns of a
/// channel's end a moment later than who closed it.
const ALONE_LOOKS: u32 = 20;
const ALONE_AGAIN: Duration = Duration::from_millis(50);

/// The most that one consumer holds when the configuration sets no limit. More gains nothing (measured).
pub const PREFETCH_MESSAGES_MAX: u16 = 1_000;

/// What a prefetch setting means, in messages.
fn prefetch_bound(messages: u16) -> usize {
    usize::from(if messages == 0 { PREFETCH_MESSAGES_MAX } else { messages })
}

/// One message to a broker. Persistent, with a confirm, mandatory.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The exchange, empty for the default exchange.
    pub exchange: String,
    /// The routing key; on the default exchange the queue's name.
    pub routing_key: String,
    /// The body.
    pub body: Bytes,
    /// `content_type`; `content_encoding` is always `utf-8`, as oslo.messaging has it.
    pub content_type: &'static str,
    /// String headers.
    pub headers: BTreeMap<String, String>,
    /// Sent when no other such message is on its way, on a channel of its own: for what the broker may refuse by closing
    /// the channel, and for what it has [rejected](TransportError::Rejected). Out of order with everything else.
    pub alone: bool,
}

impl Outgoing {
    /// One for a queue, or a stream, over the default exchange.
    pub fn to_queue(queue: &str, body: Bytes, content_type: &'static str) -> Self {
        let (exchange, routing_key) = (String::new(), queue.to_owned());
        Outgoing { exchange, routing_key, body, content_type, headers: BTreeMap::new(), alone: false }
    }

    /// The same, to be sent [alone](Outgoing::alone).
    #[must_use]
    pub fn alone(self) -> Self {
        Outgoing { alone: true, ..self }
    }
}

/// Resolves when the broker has taken a message, or says why not: nacked, returned as unroutable, rejected, session over.
pub struct Confirmation(futures_util::future::BoxFuture<'static, Result<(), TransportError>>);

impl Confirmation {
    /// A confirmation from the future that knows.
    pub fn new(known: impl Future<Output = Result<(), TransportError>> + Send + 'static) -> Self {
        Confirmation(Box::pin(known))
    }

    /// Waits for the broker's word.
    pub async fn wait(self) -> Result<(), TransportError> {
        self.0.await
    }
}

/// What there is of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers, active or waiting.
    pub consumers: u32,
}
