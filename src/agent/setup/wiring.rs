//! From settings to what is outside: brokers, the group, what publishers are told; and the parts of an agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Blueprint, Parts, definitions};
use crate::agent::parked::Requeue;
use crate::agent::runtime::BrokerPlace;
use crate::agent::runtime::clock::Clock;
use crate::agent::runtime::options::{
    AgentOptions, BySize, IntakeBounds, MainPrefetch, OverflowOptions, PacketBounds, StateOptions,
};
use crate::backoff::Backoff;
use crate::cluster::hash::stable;
use crate::config::broker::rabbit::{self, Prefetch, Rabbit};
use crate::config::broker::transport_url::TransportUrl;
use crate::config::coordination_url::CoordinationUrl;
use crate::config::settings::{Envelope, QueueType};
use crate::config::{Secret, Settings};
use crate::coordination::etcd::{EtcdGroup, EtcdOptions, EtcdTls};
use crate::coordination::lease::CALL_TIMEOUT;
use crate::coordination::memory::MemoryGroup;
use crate::coordination::{Coordinator, MemberRecord, Process};
use crate::desk::Watcher;
use crate::model::Complaint;
use crate::observe::{Board, Metrics};
use crate::publish;
use crate::state::WindowBounds;
use crate::transport::amqp::{AmqpBroker, AmqpHost, AmqpOptions, Login, TlsOptions};
use crate::transport::link::Link;
use crate::transport::topology::{self, OsloQueues, QueueKind, QuorumLimits};
use crate::transport::{Argument, Broker, Session};

/// Notifications or packets taken from a queue at once, at most.
const TAKEN_AT_ONCE_MAX: usize = 1_000;
/// Bytes after which no further one is taken.
const TAKEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Unacknowledged messages of a classic main queue, where the configuration does not say how many. In a group half of them may
/// wait in packets that are not full.
const PREFETCH_BY_SIZE: BySize = BySize {
    first: 32,
    messages_min: 20,
    messages_max: 1_500,
    bytes_max: 16 * 1024 * 1024,
    waiting_bytes_max: 32 * 1024 * 1024,
};
/// The same of an agent alone: more gain nothing.
const PREFETCH_ALONE: BySize = BySize { messages_max: 1_000, ..PREFETCH_BY_SIZE };
/// Unacknowledged packets per pipeline queue: enough to keep its listener busy, few enough to move quickly.
const PIPELINE_PREFETCH: u16 = 20;
/// The heartbeat that RabbitMQ asks for where the client has no wish.
const BROKERS_HEARTBEAT: Duration = Duration::from_mins(1);
/// Heartbeats after which RabbitMQ has closed a connection that it hears nothing of (two missed, and the part of one before).
const HEARTBEATS_NOTICED_WITHIN: u32 = 3;
/// The format of [`MemberRecord`] that is written.
const RECORD_FORMAT: u32 = 1;

/// The parts of an agent as the settings have it: real brokers, and etcd where the work is shared.
pub fn parts(
    settings: &Settings,
    context: &publish::Context,
    metrics: Metrics,
    board: Board,
) -> Result<Parts, Vec<Complaint>> {
    let (blueprint, complaints) = Blueprint::build(settings, context, None);
    let blueprint = blueprint.ok_or(complaints)?;
    let mut places = Vec::new();
    for url in &settings.intake.urls {
        places.push(place(settings, url, Arc::new(broker(url)), fastrand::u64(..), &metrics));
    }
    let cluster = &settings.cluster;
    // Alone: the only member of a group of its own, by the same code.
    let coordinator = group(settings).unwrap_or_else(|| Arc::new(MemoryGroup::new(cluster.lease_ttl)));
    Ok(Parts {
        group: cluster.group.clone(),
        record: record(settings, &cluster.member_id),
        brokers: places,
        coordinator,
        blueprint,
        options: options(settings),
        metrics,
        board,
        desk: None,
    })
}

/// One who watches the agents of this configuration.
pub fn watcher(settings: &Settings) -> Watcher {
    Watcher::new(Arc::new(broker(&settings.intake.urls[0])), &settings.cluster.group, group(settings))
}

/// The group that the settings share the work with; none for an agent alone.
pub fn group(settings: &Settings) -> Option<Arc<dyn Coordinator>> {
    etcd(settings).map(|group| Arc::new(group) as Arc<dyn Coordinator>)
}

/// The same as what it is: a group in an etcd.
pub fn etcd(settings: &Settings) -> Option<EtcdGroup> {
    let cluster = &settings.cluster;
    let url = cluster.backend.as_ref().filter(|_| cluster.workload_partitioning)?;
    let group = EtcdGroup::new(etcd_options(url), &cluster.group, cluster.lease_ttl);
    Some(group.with_silence_limit(cluster.silence_limit))
}

/// The parts of an agent among others in this process, without any server: the settings' brokers and group are
/// replaced by these.
pub fn in_process(
    settings: &Settings,
    member_id: &str,
    blueprint: Blueprint,
    broker: Arc<dyn Broker>,
    coordinator: Arc<dyn Coordinator>,
    metrics: Metrics,
    board: Board,
) -> Parts {
    Parts {
        group: settings.cluster.group.clone(),
        record: record(settings, member_id),
        // The same waits in every run of one member.
        brokers: vec![place(settings, &settings.transport, broker, stable(member_id.as_bytes()), &metrics)],
        coordinator,
        blueprint,
        options: options(settings),
        metrics,
        board,
        desk: None,
    }
}

/// What publishers are told.
pub fn publish_context(settings: &Settings, metrics: &Metrics) -> publish::Context {
    let (publishing, url) = (&settings.publishing, &settings.transport);
    let further = settings.clone();
    let own = oslo_queues(&url.rabbit);
    let arguments = topology::notify_target("", "", crate::model::Priority::Sample, &own).topology.queues;
    let (gnocchi, zaqar) = publish::identity::logins(&settings.logins);
    publish::Context {
        host: settings.host.clone(),
        telemetry_secret: publishing.telemetry_secret.as_ref().map(Secret::reveal).unwrap_or_default().to_owned(),
        metering_topic: publishing.metering_topic.clone(),
        event_topic: publishing.event_topic.clone(),
        telemetry_driver: match publishing.envelope {
            Envelope::V1 => "messaging",
            Envelope::V2 => "messagingv2",
        }
        .to_owned(),
        control_exchange: publishing.control_exchange.clone(),
        broker: Some(Arc::new(broker(url))),
        connect: Arc::new(move |text| {
            let url = further.transport_url(text).map_err(|expected| format!("expected {expected}"))?;
            Ok(Arc::new(broker(&url)) as Arc<dyn Broker>)
        }),
        amqp: publish::Amqp {
            durable: own.durable || own.quorum.is_some(),
            auto_delete: own.auto_delete,
            arguments: arguments.into_iter().next().map(|queue| queue.arguments).unwrap_or_default(),
        },
        search: settings.sources.search.clone(),
        gnocchi,
        zaqar,
        shelf: publish::Shelf::default(),
        test_publishers: None,
        listeners: publish::Listeners::default(),
        metrics: metrics.clone(),
    }
}

/// The broker of a URL.
pub fn broker(url: &TransportUrl) -> AmqpBroker {
    let rabbit = &url.rabbit;
    let host = |host: &crate::config::broker::Host| {
        let guest = AmqpHost::guest(host.name.clone(), host.port);
        match &host.user {
            Some((username, password)) => {
                AmqpHost { username: username.clone(), password: password.reveal().to_owned(), ..guest }
            }
            None => guest,
        }
    };
    AmqpBroker::new(AmqpOptions {
        hosts: url.hosts.iter().map(host).collect(),
        virtual_host: url.vhost.clone(),
        login: match rabbit.login {
            rabbit::Login::AmqPlain => Login::AmqPlain,
            rabbit::Login::Plain => Login::Plain,
            rabbit::Login::External => Login::External,
        },
        heartbeat: rabbit.heartbeat.unwrap_or_default(),
        connection_name: format!("nephoscope:{}:{}", std::process::id(), uuid::Uuid::new_v4()),
        tls: rabbit.tls.as_ref().map(|tls| TlsOptions {
            ca_file: tls.ca_file.clone(),
            cert_file: tls.cert_file.clone(),
            key_file: tls.key_file.clone(),
            verify_hostname: tls.verify_hostname,
        }),
        shuffle: rabbit.shuffle,
    })
}

/// What puts parked messages back, over a session with the first broker.
pub fn requeue(settings: &Settings, session: &Arc<dyn Session>) -> Requeue {
    let options = options(settings);
    let sender = format!("nephoscope parked {}", uuid::Uuid::new_v4());
    let (group, sinks) = (&settings.cluster.group, definitions::sinks(settings));
    Requeue::new(session, group, sinks, options.overflow.bytes_max, options.packet, &sender)
}

/// How the services of this cloud declare their exchanges and queues.
pub fn oslo_queues(rabbit: &Rabbit) -> OsloQueues {
    let limit = |limit: Option<i64>| limit.and_then(|l| u32::try_from(l).ok()).unwrap_or(0);
    OsloQueues {
        durable: rabbit.durable,
        auto_delete: rabbit.auto_delete,
        quorum: rabbit.quorum.then(|| QuorumLimits {
            delivery_limit: limit(rabbit.quorum_delivery_limit),
            max_memory_length: limit(rabbit.quorum_max_memory_length),
            max_memory_bytes: limit(rabbit.quorum_max_memory_bytes),
        }),
        ha: rabbit.ha_queues,
    }
}

fn place(
    settings: &Settings,
    url: &TransportUrl,
    broker: Arc<dyn Broker>,
    seed: u64,
    metrics: &Metrics,
) -> BrokerPlace {
    let intake = &settings.intake;
    let topology = topology::main_queues(&intake.exchanges, &intake.topics, &oslo_queues(&url.rabbit));
    let main_queues = topology.queues.iter().map(|queue| queue.name.clone()).collect();
    let mut consume_arguments = BTreeMap::new();
    if url.rabbit.cancel_on_failover {
        consume_arguments.insert("x-cancel-on-ha-failover".to_owned(), Argument::Bool(true));
    }
    let rabbit = &url.rabbit;
    let backoff = Backoff { seed: Some(seed), ..Backoff::new(rabbit.retry_interval, rabbit.interval_max) };
    let link = Link::start(broker, backoff, metrics.clone());
    let notices_within = rabbit.heartbeat.unwrap_or(BROKERS_HEARTBEAT) * HEARTBEATS_NOTICED_WITHIN;
    BrokerPlace::new(link, topology, main_queues, consume_arguments, notices_within)
}

/// What the pipeline queues and the parking queue are declared as.
pub fn queue_kind(settings: &Settings) -> QueueKind {
    match settings.cluster.queue_type {
        QueueType::Classic => QueueKind::Classic,
        QueueType::Quorum => QueueKind::Quorum,
        QueueType::Auto if settings.transport.rabbit.quorum || settings.transport.hosts.len() > 1 => QueueKind::Quorum,
        QueueType::Auto => QueueKind::Classic,
    }
}

fn options(settings: &Settings) -> AgentOptions {
    let cluster = &settings.cluster;
    AgentOptions {
        partitioned: cluster.workload_partitioning,
        main_queue_exclusive: settings.intake.main_queue_exclusive,
        main_prefetch: main_prefetch(settings),
        pipeline_prefetch: PIPELINE_PREFETCH,
        intake: IntakeBounds { messages_max: TAKEN_AT_ONCE_MAX, bytes_max: TAKEN_BYTES_MAX },
        packet: PacketBounds {
            notifications_max: cluster.packet_notifications_max,
            bytes_max: cluster.packet_bytes_max,
        },
        backoff: Backoff::new(settings.publishing.retry_min, settings.publishing.retry_max),
        moves_at_once: usize::try_from(cluster.max_moves).unwrap_or(usize::MAX),
        queue_kind: queue_kind(settings),
        parked_messages_max: i64::try_from(cluster.parked_messages_max).unwrap_or(i64::MAX),
        view_period: cluster.check_interval,
        overflow: OverflowOptions {
            after: settings.publishing.overflow_after,
            bytes_max: i64::try_from(settings.publishing.overflow_bytes_max).unwrap_or(i64::MAX),
        },
        books_bytes_max: i64::try_from(cluster.books_max_bytes).unwrap_or(i64::MAX),
        state: state_options(settings),
        clock: Clock::Machine,
    }
}

fn main_prefetch(settings: &Settings) -> MainPrefetch {
    let Prefetch { messages, is_written } = settings.transport.rabbit.prefetch;
    let by_size = if settings.cluster.workload_partitioning { PREFETCH_BY_SIZE } else { PREFETCH_ALONE };
    MainPrefetch { messages, by_size: (!is_written).then_some(by_size) }
}

/// How the state of transformers is kept.
pub fn state_options(settings: &Settings) -> StateOptions {
    let cluster = &settings.cluster;
    let MainPrefetch { messages, by_size } = main_prefetch(settings);
    let prefetch_max = by_size.map_or(messages, |by_size| by_size.messages_max.max(messages));
    StateOptions {
        log_bytes_max: cluster.state_log_bytes_max,
        segment_bytes: StateOptions::SEGMENT_BYTES,
        snapshot_after_bytes: StateOptions::SNAPSHOT_AFTER_BYTES,
        window: WindowBounds {
            // What can come again at once: what pipeline listeners hold four times over, and what main listeners do
            // twice.
            ids_kept: 4 * usize::from(PIPELINE_PREFETCH) * cluster.packet_notifications_max
                + 2 * usize::from(prefetch_max),
            age_ms: WindowBounds::AGE_MS,
            ids_max: WindowBounds::IDS_MAX,
        },
        chain: settings.transformers.clone(),
    }
}

fn record(settings: &Settings, member_id: &str) -> MemberRecord {
    MemberRecord {
        format: RECORD_FORMAT,
        id: member_id.to_owned(),
        host: settings.host.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        weight: settings.cluster.weight,
        config_digest: String::new(),
        ready: false,
        process: Process::this(),
    }
}

fn etcd_options(url: &CoordinationUrl) -> EtcdOptions {
    EtcdOptions {
        endpoints: url
            .endpoints
            .iter()
            .map(|e| format!("{}://{e}", if url.tls.is_some() { "https" } else { "http" }))
            .collect(),
        user: url.user.as_ref().map(|(user, password)| (user.clone(), password.reveal().to_owned())),
        tls: url.tls.as_ref().map(|tls| EtcdTls {
            ca_cert: tls.ca_file.as_ref().map(|f| f.to_string_lossy().into_owned()),
            identity: tls.cert_file.as_ref().zip(tls.key_file.as_ref()).map(|(certificate, key)| {
                (certificate.to_string_lossy().into_owned(), key.to_string_lossy().into_owned())
            }),
        }),
        timeout: url.timeout.unwrap_or(CALL_TIMEOUT),
    }
}
