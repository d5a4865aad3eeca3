//! The context that publishers are built in, beside their URL.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Listeners, Login, Publisher, Shelf, identity};
use crate::observe::Metrics;
use crate::transport::{Argument, Broker};

/// Makes a broker of a transport URL (`rabbit://user:password@host:5672/vhost`); what is wrong with the URL if not.
pub type Connect = Arc<dyn Fn(&str) -> Result<Arc<dyn Broker>, String> + Send + Sync>;

/// Gives the publisher of a `test://` URL by the URL's name.
pub type TestPublishers = Arc<dyn Fn(&str) -> Arc<dyn Publisher> + Send + Sync>;

/// What publishers are told beside their URL: the parts of the configuration that are theirs, and where to count.
#[derive(Clone)]
pub struct Context {
    /// `[DEFAULT] host`: the sender of messages is `telemetry.publisher.<host>`.
    pub host: String,
    /// `[publisher] telemetry_secret`; empty means unsigned.
    pub telemetry_secret: String,
    /// `[publisher_notifier] metering_topic`.
    pub metering_topic: String,
    /// `[publisher_notifier] event_topic`.
    pub event_topic: String,
    /// `[publisher_notifier] telemetry_driver`: `messagingv2` (in an envelope) or `messaging` (bare).
    pub telemetry_driver: String,
    /// `[DEFAULT] control_exchange`.
    pub control_exchange: String,
    /// The default notification transport; `None` where there is none, and `notifier://` needs a host.
    pub broker: Option<Arc<dyn Broker>>,
    /// For `notifier://host…`.
    pub connect: Connect,
    /// How exchanges and queues are declared: as every sender of this cloud declares them.
    pub amqp: Amqp,
    /// The folders in which definition files are looked for.
    pub search: Vec<PathBuf>,
    /// How `gnocchi://` logs in.
    pub gnocchi: Login,
    /// How `zaqar://` logs in.
    pub zaqar: Login,
    /// Where `test://` puts what it takes.
    pub shelf: Shelf,
    /// The publishers of `test://name`, in a program that brings its own, such as `nephoscope-sim`; without them
    /// `test://` leads to the shelf.
    pub test_publishers: Option<TestPublishers>,
    /// Where pages for Prometheus are served.
    pub listeners: Listeners,
    /// Where publishers count what they lose by their own policy.
    pub metrics: Metrics,
}

/// How exchanges and queues are declared (`[oslo_messaging_rabbit]`, Ceilometer reference §2.6, §3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amqp {
    /// `amqp_durable_queues`, or quorum queues.
    pub durable: bool,
    /// `amqp_auto_delete`.
    pub auto_delete: bool,
    /// `x-…` arguments of queues.
    pub arguments: BTreeMap<String, Argument>,
}

impl Default for Context {
    /// Ceilometer's defaults, without a broker.
    fn default() -> Self {
        Context {
            host: "localhost".to_owned(),
            telemetry_secret: "change this for valid signing".to_owned(),
            metering_topic: "metering".to_owned(),
            event_topic: "event".to_owned(),
            telemetry_driver: "messagingv2".to_owned(),
            control_exchange: "ceilometer".to_owned(),
            broker: None,
            connect: Arc::new(|_| Err("no message broker is available".to_owned())),
            amqp: Amqp::default(),
            search: Vec::new(),
            gnocchi: identity::nobody(),
            zaqar: identity::nobody(),
            shelf: Shelf::default(),
            test_publishers: None,
            listeners: Listeners::default(),
            metrics: Metrics::default(),
        }
    }
}
