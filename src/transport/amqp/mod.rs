//! RabbitMQ over AMQP 0-9-1, with lapin.
//!
//! One connection; a channel for each topology that is declared, a few for looks at queues, one per consumer, one for publishing.
//! lapin's automatic recovery is off: a lost connection is a lost session, so that no tag of one meets the channels of another.
//!
//! Never here: `basic.nack`, `basic.reject`, `basic.cancel`, which reorder; transient queues of our own, global
//! prefetch, mirrored queues, which RabbitMQ 4 removed.

mod consumer;
mod dial;
mod fields;
mod follower;
mod look;
mod options;
mod passive;
mod producer;
mod reply;
mod request;
mod session;
mod tls;

pub use look::{Ask, Denied};
pub use options::{AmqpHost, AmqpOptions, Login, TlsOptions};
pub use producer::{WINDOW_BYTES, WINDOW_MESSAGES};

use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Broker, Session, TransportError};
use session::AmqpSession;

/// One RabbitMQ, or one cluster of it. A clone shares the rotation of the hosts.
#[derive(Debug, Clone)]
pub struct AmqpBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: AmqpOptions,
    name: Arc<str>,
    next_host: AtomicUsize,
    /// Whether the broker has denied a queue that is not durable. Outlives the connection, which RabbitMQ closes with that.
    transient_denied: Arc<AtomicBool>,
}

impl AmqpBroker {
    /// A broker to connect to; nothing happens yet.
    pub fn new(options: AmqpOptions) -> Self {
        let first = if options.shuffle && options.hosts.len() > 1 { fastrand::usize(..options.hosts.len()) } else { 0 };
        let name = options.name().into();
        AmqpBroker {
            shared: Arc::new(Shared {
                options,
                name,
                next_host: AtomicUsize::new(first),
                transient_denied: Arc::default(),
            }),
        }
    }

    /// The rights that the user has not, of those that these wishes need: asked for at the first host, over a connection of its
    /// own. It changes nothing there.
    pub async fn denied(&self, asks: &[Ask]) -> Result<Vec<Denied>, TransportError> {
        let options = &self.shared.options;
        match options.hosts.first() {
            Some(host) => look::denied((options, host), asks).await,
            None => Err(TransportError::Refused("the transport_url has no host".to_owned())),
        }
    }

    fn name_text(&self) -> &str {
        &self.shared.name
    }

    fn transient_denied(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.transient_denied)
    }

    fn shared_name(&self) -> Arc<str> {
        self.shared.name.clone()
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError> {
        let options = &self.shared.options;
        let turn = self.shared.next_host.fetch_add(1, Ordering::Relaxed);
        let Some(host) = options.hosts.get(turn.checked_rem(options.hosts.len()).unwrap_or(0)) else {
            return Err(TransportError::Refused("the transport_url has no host".to_owned()));
        };
        if options.tls.as_ref().is_some_and(|tls| tls.ca_file.is_none()) {
            tracing::warn!(
                event = "transport.tls.unverified",
                broker = self.name_text(),
                "TLS without ssl_ca_file does not verify the broker: another server could pose as it; set [oslo_messaging_rabbit] \
                 ssl_ca_file"
            );
        }
        let (connection, wire) = dial::dial(options, host).await?;
        Ok(Arc::new(AmqpSession::begin(self.clone(), connection, wire).await?))
    }

    async fn version(&self) -> Option<String> {
        let options = &self.shared.options;
        // The host that was connected to last.
        let turn = self.shared.next_host.load(Ordering::Relaxed).wrapping_sub(1);
        let host = options.hosts.get(turn.checked_rem(options.hosts.len())?)?;
        look::version::ask(options, host).await
    }

    fn name(&self) -> &str {
        self.name_text()
    }

    fn virtual_host(&self) -> String {
        self.shared.options.vhost().to_owned()
    }
}
