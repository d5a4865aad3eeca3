//! The meaning of the configuration: typed, bounded, complete. A [`Settings`] cannot be wrong.

pub(super) mod meaning;
mod shown;

pub use shown::InForce;

use super::broker::TransportUrl;
use super::broker::rabbit;
use super::coordination_url::CoordinationUrl;
use super::identity::Login;
use super::oslo::FileOptions;
use super::secret::Secret;
use super::values::Values;
use crate::convert::Repairs;
use crate::model::Complaint;
use crate::pipeline::ChainOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything the agent is told, grouped by who uses it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[DEFAULT] host`: this machine, in `publisher_id`s and member records.
    pub host: String,
    /// The broker of the pipeline queues, of parked messages and of the `notifier` publisher.
    pub transport: TransportUrl,
    /// Where notifications come from.
    pub intake: Intake,
    /// What becomes of them.
    pub conversion: Conversion,
    /// Which files say where samples and events go.
    pub pipelines: Pipelines,
    /// How transformers work.
    pub transformers: ChainOptions,
    /// How the work is shared.
    pub cluster: Cluster,
    /// What publishers share.
    pub publishing: Publishing,
    /// How publishers log in to OpenStack services.
    pub logins: Logins,
    /// Logs, metrics, health.
    pub observing: Observing,
    /// Starting, reloading, stopping.
    pub lifecycle: Lifecycle,
    /// Where configuration was read, and where definition files are looked for.
    pub sources: Sources,
}

/// The main queues.
#[derive(Debug, Clone, PartialEq)]
pub struct Intake {
    /// `[notification] messaging_urls`, or the one transport where that is empty. Never empty.
    pub urls: Vec<TransportUrl>,
    /// `[oslo_messaging_notifications] topics`: queue names before `.info`. Never empty.
    pub topics: Vec<String>,
    /// `[notification] notification_control_exchanges`, with the renames of the per-service options of old applied.
    /// Empty while an operator drains an agent of before Queens.
    pub exchanges: Vec<String>,
    /// Whether main queues are consumed exclusively where the broker can do that; off beside a running Ceilometer.
    pub main_queue_exclusive: bool,
    /// `[nephoscope] accept_notifications`: filter rules as written; empty accepts all.
    pub accept_notifications: Vec<String>,
}

/// What the converter is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// `source` of samples.
    pub sample_source: String,
    /// Prefixes of user metadata that are copied, without the prefix.
    pub reserved_metadata_namespace: Vec<String>,
    /// Longest copied string, in characters.
    pub reserved_metadata_length: usize,
    /// Further keys that are copied.
    pub reserved_metadata_keys: Vec<String>,
    /// Folders of `*.yaml` meter definitions that were written in the configuration; `None`: Ceilometer's two
    /// defaults, `/etc/ceilometer/meters.d` and the shipped definitions.
    pub meter_definitions_dirs: Option<Vec<PathBuf>>,
    /// The one file of meter definitions of before Pike, if written.
    pub meter_definitions_file: Option<String>,
    /// Event definitions, to be looked for.
    pub event_definitions_file: String,
    /// Whether notifications without a definition make no event.
    pub drop_unmatched_notifications: bool,
    /// Priorities (lower case) whose raw notification is kept in the event.
    pub store_raw: Vec<String>,
    /// Whether meters that only count (`volume: 1`) are left out.
    pub disable_non_metric_meters: bool,
    /// Whether only polled samples are taken that are signed with `[publisher] telemetry_secret`.
    pub verify_signatures: bool,
    /// Which faults of Ceilometer are repaired.
    pub repairs: Repairs,
}

/// Which pipelines there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipelines {
    /// Whether samples are made and published.
    pub samples: bool,
    /// Whether events are made and published.
    pub events: bool,
    /// `pipeline_cfg_file`, to be looked for.
    pub samples_file: String,
    /// `event_pipeline_cfg_file`, to be looked for.
    pub events_file: String,
}

/// How the work is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Whether data go through pipeline queues that are spread over the members.
    pub workload_partitioning: bool,
    /// Pipeline queues per pipeline, at least 1.
    pub pipeline_processing_queues: usize,
    /// Where members meet; present whenever `workload_partitioning` is.
    pub backend: Option<CoordinationUrl>,
    /// The group's name, part of queue names and keys.
    pub group: String,
    /// This member's id, stable over restarts.
    pub member_id: String,
    /// Share of the work relative to others, 1 to 100.
    pub weight: u32,
    /// How long a silent member keeps its queues.
    pub lease_ttl: Duration,
    /// How long past its lease a member works on while the group is silent; `None` is for ever.
    pub silence_limit: Option<Duration>,
    /// Period of the full read of the group.
    pub check_interval: Duration,
    /// What pipeline queues are declared as.
    pub queue_type: QueueType,
    /// Notifications in one packet at most.
    pub packet_notifications_max: usize,
    /// Bytes in one packet at most (one larger notification still travels alone).
    pub packet_bytes_max: usize,
    /// Messages that the parking queue holds.
    pub parked_messages_max: usize,
    /// `[nephoscope] books_max_bytes`; 0: no books.
    pub books_max_bytes: usize,
    /// `[nephoscope] state_log_bytes_max`, of one queue.
    pub state_log_bytes_max: usize,
    /// Queues that a member releases at once when the members change.
    pub max_moves: u32,
}

/// What pipeline queues are declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// Classic, durable.
    Classic,
    /// Quorum.
    Quorum,
    /// Quorum where `[oslo_messaging_rabbit] rabbit_quorum_queue` is set or there are several broker hosts; else classic.
    Auto,
}

/// What publishers share.
#[derive(Debug, Clone, PartialEq)]
pub struct Publishing {
    /// Key of signatures; `None` signs with the empty string.
    pub telemetry_secret: Option<Secret>,
    /// Exchange of what we publish over AMQP.
    pub control_exchange: String,
    /// Topic of samples.
    pub metering_topic: String,
    /// Topic of events.
    pub event_topic: String,
    /// Envelope of what we publish over AMQP.
    pub envelope: Envelope,
    /// Shortest pause before a batch is offered again.
    pub retry_min: Duration,
    /// Longest pause before a batch is offered again.
    pub retry_max: Duration,
    /// What one of several publishers does not take for so long goes into its overflow queue.
    pub overflow_after: Duration,
    /// Bytes that an overflow queue holds; 0: there are none.
    pub overflow_bytes_max: usize,
}

/// How publishers log in to OpenStack services.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    /// `[gnocchi] auth_section`.
    pub gnocchi: Login,
    /// `[zaqar] auth_section`.
    pub zaqar: Login,
}

/// The two message formats of oslo.messaging (Ceilometer reference §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `messaging`: the message itself.
    V1,
    /// `messagingv2`: wrapped, with its version.
    V2,
}

/// Logs, metrics, health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observing {
    /// Address of `/metrics`, `/livez`, `/readyz`; `None`: off.
    pub listen: Option<SocketAddr>,
    /// `[nephoscope] tap_token`: who has it sees what passes. Without it, who is on this machine does, if the address is loopback.
    pub tap_token: Option<Secret>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// What is logged, as a `tracing` filter: `info`, `nephoscope=debug,warn`.
    pub log_level: String,
    /// Where logs go; `None`: standard error.
    pub log_file: Option<PathBuf>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starting, reloading, stopping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// How long a stop may take; `None`: as long as it takes.
    pub drain_timeout: Option<Duration>,
    /// Whether changed definition files are noticed without SIGHUP.
    pub refresh: bool,
    /// How often they are looked at.
    pub refresh_interval: Duration,
}

/// Where configuration was read, and where definition files are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Configuration files read, in order.
    pub files: Vec<PathBuf>,
    /// Folders searched for definition files, in order (Ceilometer reference §2.2).
    pub search: Vec<PathBuf>,
    /// What is wrong with what the `notifier` publisher alone uses: an error if a sink has one.
    pub only_notifier: OnlyNotifier,
    /// What was written, for URLs that are met later.
    pub(super) file_options: Arc<FileOptions>,
}

/// Errors that are none where no sink publishes to `notifier://`.
#[derive(Debug, Clone, Default)]
pub struct OnlyNotifier {
    /// About the message format.
    pub format: Vec<Complaint>,
    /// About the broker, which a URL with a host does not use.
    pub transport: Vec<Complaint>,
}

impl Settings {
    /// A further broker, named by a publisher's URL: `[oslo_messaging_rabbit]` holds for it too. The error completes
    /// the sentence "expected …".
    pub fn transport_url(&self, text: &str) -> Result<TransportUrl, String> {
        let file_options = &self.sources.file_options;
        TransportUrl::parse(text, file_options, &rabbit::read(&mut Values::new(file_options)))
    }
}
