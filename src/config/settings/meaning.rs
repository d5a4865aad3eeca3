//! Turns written options into [`Settings`].

use super::{
    Cluster, Conversion, Envelope, Intake, Lifecycle, LogFormat, Logins, Observing, Pipelines, Publishing, QueueType,
    Settings, Sources,
};
use crate::config::broker::TransportUrl;
use crate::config::broker::rabbit::{self, Rabbit};
use crate::config::broker::selection;
use crate::config::coordination_url::CoordinationUrl;
use crate::config::oslo::FileOptions;
use crate::config::secret::Secret;
use crate::config::values::Values;
use crate::config::{identity, names, options};
use crate::convert::Repairs;
use crate::model::Complaint;
use crate::pipeline::{ChainOptions, TransformerRepairs};
use std::path::PathBuf;
use std::time::Duration;

const NOTIFICATION: &str = "notification";
const DEFAULT: &str = "DEFAULT";
const OWN: &str = "nephoscope";
/// The lease where neither `lease_ttl` nor `heartbeat` is written.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// The shortest lease: etcd grants 2 seconds where 1 is asked, and a keepalive needs a third of it.
const LEASE_TTL_MIN: Duration = Duration::from_secs(3);

/// The shortest `tap_token`, in bytes: a shorter one can be guessed.
const TAP_TOKEN_BYTES_MIN: usize = 16;

/// What was written means these settings. Where a complaint is an error they are nobody's wish: what is wrong has its
/// default in them, so that whatever they lead to can be complained about too.
pub(in crate::config) fn of(file_options: &FileOptions, mut sources: Sources) -> (Settings, Vec<Complaint>) {
    let mut values = Values::new(file_options);
    let v = &mut values;
    v.check_all();
    let host = v.text(DEFAULT, "host").unwrap_or_else(host_name);
    let plain = rabbit::read(v);
    let (transport, wrong) = v.apart(|v| selection::transport(v, &plain));
    if v.texts(NOTIFICATION, "messaging_urls").is_empty() {
        wrong.into_iter().for_each(|complaint| v.complain(complaint));
    } else {
        sources.only_notifier.transport = wrong;
    }
    let pipelines = pipelines(v);
    if !pipelines.events {
        v.idle_section("event", "no events are made, [notification] pipelines and store_events say so");
    }
    let (format, wrong) = v.apart(|v| v.one_of("publisher_notifier", "telemetry_driver"));
    sources.only_notifier.format = wrong;
    names::complain(v);
    let settings = Settings {
        intake: intake(v, &transport, &plain),
        cluster: cluster(v, &host),
        conversion: conversion(v),
        pipelines,
        transformers: transformers(v),
        publishing: publishing(v, format),
        logins: Logins { gnocchi: identity::read(v, "gnocchi"), zaqar: identity::read(v, "zaqar") },
        observing: observing(v),
        lifecycle: lifecycle(v),
        host,
        transport,
        sources,
    };
    (settings, values.into_complaints())
}

fn intake(v: &mut Values<'_>, transport: &TransportUrl, plain: &Rabbit) -> Intake {
    let mut urls = selection::brokers(v, plain);
    if urls.is_empty() {
        urls.push(transport.clone());
    }
    let topics = v.list("oslo_messaging_notifications", "topics");
    if topics.iter().all(String::is_empty) {
        v.expected("oslo_messaging_notifications", "topics", "at least one topic");
    }
    Intake {
        urls,
        topics,
        exchanges: exchanges(v),
        main_queue_exclusive: v.flag(OWN, "main_queue_exclusive"),
        accept_notifications: v.texts(OWN, "accept_notifications"),
    }
}

/// The exchanges, each under the name that a per-service option of old gives it (Ceilometer reference §2.1). A service
/// that the list leaves out comes in with its own option.
fn exchanges(v: &mut Values<'_>) -> Vec<String> {
    let mut exchanges = v.texts(NOTIFICATION, "notification_control_exchanges");
    let renames = options::rows().filter(|row| row.section == DEFAULT && row.name.ends_with("_exchange"));
    for row in renames.filter(|row| row.name != "control_exchange") {
        if !v.is_written(DEFAULT, row.name) {
            continue;
        }
        let Some(name) = v.text(DEFAULT, row.name) else { continue };
        match exchanges.iter_mut().find(|exchange| *exchange == row.default) {
            Some(exchange) => *exchange = name,
            None => exchanges.push(name),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    exchanges.retain(|exchange| seen.insert(exchange.clone()));
    exchanges
}

fn conversion(v: &mut Values<'_>) -> Conversion {
    let dirs = v.many("meter", "meter_definitions_dirs");
    let store_raw = store_raw(v);
    Conversion {
        sample_source: v.text(DEFAULT, "sample_source").unwrap_or_default(),
        reserved_metadata_namespace: v.list(DEFAULT, "reserved_metadata_namespace"),
        reserved_metadata_length: v.count(DEFAULT, "reserved_metadata_length"),
        reserved_metadata_keys: v.list(DEFAULT, "reserved_metadata_keys"),
        meter_definitions_dirs: dirs.map(|dirs| dirs.into_iter().map(|dir| PathBuf::from(dir.text)).collect()),
        meter_definitions_file: v.text("meter", "meter_definitions_cfg_file"),
        event_definitions_file: file(v, "event", "definitions_cfg_file"),
        drop_unmatched_notifications: v.flag("event", "drop_unmatched_notifications"),
        store_raw,
        disable_non_metric_meters: v.flag(NOTIFICATION, "disable_non_metric_meters"),
        verify_signatures: verify_signatures(v),
        repairs: repairs(v),
    }
}

/// Priorities in lower case. Ceilometer passes over what makes no events, and so does this.
fn store_raw(v: &mut Values<'_>) -> Vec<String> {
    let mut priorities = Vec::new();
    for entry in v.many("event", "store_raw").unwrap_or_default() {
        match entry.text.to_ascii_lowercase() {
            priority if matches!(priority.as_str(), "info" | "error") => priorities.push(priority),
            _ => v.passed_over("event", "store_raw", &entry, "only info and error make events, one a line"),
        }
    }
    priorities
}

fn verify_signatures(v: &mut Values<'_>) -> bool {
    let asked = v.flag(OWN, "verify_signatures");
    if asked && v.text("publisher", "telemetry_secret").is_none_or(|secret| secret.is_empty()) {
        let text = "[publisher] telemetry_secret is empty: the agent accepts every polled sample, signed or not; set the secret";
        v.complain(Complaint::warning(&v.place(OWN, "verify_signatures"), text));
    }
    asked
}

fn repairs(v: &mut Values<'_>) -> Repairs {
    let mut repaired = |name| v.one_of(OWN, name) == Some("repaired");
    Repairs {
        context_fallback: repaired("user_id_fallback"),
        unparsable_literals: repaired("unparsable_literals"),
        lookup_constants: repaired("lookup_constants"),
        failed_traits: repaired("failed_traits"),
        polled_monotonic_time: repaired("polled_monotonic_time"),
    }
}

fn transformers(v: &mut Values<'_>) -> ChainOptions {
    let mut repaired = |name| v.one_of(OWN, name) == Some("repaired");
    let repairs = TransformerRepairs {
        renamed_gauge_aggregates: repaired("renamed_gauge_aggregates"),
        arithmetic_timestamps: repaired("arithmetic_timestamps"),
    };
    ChainOptions {
        sample_source: v.text(DEFAULT, "sample_source").unwrap_or_default().into(),
        state_ttl: v.some_seconds(OWN, "state_ttl").filter(|ttl| !ttl.is_zero()),
        state_cells_max: v.count(OWN, "state_cells_max"),
        repairs,
    }
}

fn pipelines(v: &mut Values<'_>) -> Pipelines {
    let kinds = v.texts(NOTIFICATION, "pipelines");
    if let Some(row) = options::find(NOTIFICATION, "pipelines") {
        let entries = v.many(NOTIFICATION, "pipelines").unwrap_or_default();
        for entry in entries.iter().filter(|entry| !matches!(entry.text.as_str(), "meter" | "event")) {
            let text =
                "meter or event, one a line (pipelines = meter, then pipelines = event); there are no other kinds";
            v.wrong(row, entry, text);
        }
    }
    Pipelines {
        samples: kinds.iter().any(|kind| kind == "meter"),
        events: kinds.iter().any(|kind| kind == "event") && v.flag(NOTIFICATION, "store_events"),
        samples_file: file(v, DEFAULT, "pipeline_cfg_file"),
        events_file: file(v, DEFAULT, "event_pipeline_cfg_file"),
    }
}

/// The name of a file that must have one: an empty one would be a folder.
fn file(v: &mut Values<'_>, section: &str, name: &str) -> String {
    if let Some(name) = v.text(section, name) {
        return name;
    }
    v.expected(section, name, "the name of a file");
    options::find(section, name).map(|row| row.default.to_owned()).unwrap_or_default()
}

fn cluster(v: &mut Values<'_>, host: &str) -> Cluster {
    let workload_partitioning = v.flag(NOTIFICATION, "workload_partitioning");
    let backend = backend(v, workload_partitioning);
    let group = v.text(OWN, "group").unwrap_or_default();
    if !is_name(&group) {
        v.expected(OWN, "group", "1 to 100 letters, digits, `_` and `-`");
    }
    let member_id = v.text(OWN, "member_id").unwrap_or_else(|| own_id(host));
    if !is_name(&member_id.replace(['.', ':'], "-")) {
        v.expected(OWN, "member_id", "1 to 100 letters, digits, `_`, `-`, `.` and `:`");
    }
    Cluster {
        workload_partitioning,
        pipeline_processing_queues: v.count(NOTIFICATION, "pipeline_processing_queues"),
        backend,
        group,
        member_id,
        weight: u32::try_from(v.whole(OWN, "weight")).unwrap_or(1),
        lease_ttl: lease_ttl(v, workload_partitioning),
        silence_limit: v.some_seconds("coordination", "silence_limit").filter(|limit| !limit.is_zero()),
        check_interval: v.seconds("coordination", "check_watchers").max(Duration::from_secs(1)),
        queue_type: match v.one_of(OWN, "queue_type") {
            Some("classic") => QueueType::Classic,
            Some("quorum") => QueueType::Quorum,
            _ => QueueType::Auto,
        },
        packet_notifications_max: v.count(OWN, "packet_notifications_max"),
        packet_bytes_max: v.count(OWN, "packet_bytes_max"),
        parked_messages_max: v.count(OWN, "parked_messages_max"),
        books_max_bytes: v.count(OWN, "books_max_bytes"),
        state_log_bytes_max: v.count(OWN, "state_log_bytes_max"),
        max_moves: u32::try_from(v.whole(OWN, "max_moves")).unwrap_or(u32::MAX),
    }
}

/// Where members meet. The polling agents meet there too, by the same file: in whatever store, as long as this agent is
/// alone.
fn backend(v: &mut Values<'_>, workload_partitioning: bool) -> Option<CoordinationUrl> {
    let Some(text) = v.text("coordination", "backend_url") else {
        if workload_partitioning {
            let place = v.place(NOTIFICATION, "workload_partitioning");
            let text = "[notification] workload_partitioning needs a place where members meet; write [coordination] \
                        backend_url = etcd3+http://host:2379, or workload_partitioning = false for a single agent";
            v.complain(Complaint::error(&place, text));
        }
        return None;
    };
    match CoordinationUrl::parse(&text) {
        Ok(url) => Some(url),
        Err(why) => {
            let instead = "; without a group, write [notification] workload_partitioning = false";
            let why = if workload_partitioning { why + instead } else { why };
            v.expected("coordination", "backend_url", &why);
            None
        }
    }
}

fn lease_ttl(v: &mut Values<'_>, workload_partitioning: bool) -> Duration {
    let own = v.some_seconds(OWN, "lease_ttl").map(|ttl| (ttl, OWN, "lease_ttl"));
    let asked =
        own.or_else(|| v.some_seconds("coordination", "heartbeat").map(|ttl| (ttl, "coordination", "heartbeat")));
    let Some((ttl, section, name)) = asked else { return LEASE_TTL };
    if ttl < LEASE_TTL_MIN && workload_partitioning {
        let seconds = LEASE_TTL_MIN.as_secs();
        let text =
            format!("[{section}] {name} is the lease in etcd, and at least {seconds} seconds; using {seconds} seconds");
        v.complain(Complaint::warning(&v.place(section, name), text));
    }
    ttl.max(LEASE_TTL_MIN)
}

fn publishing(v: &mut Values<'_>, format: Option<&str>) -> Publishing {
    let retry_min = v.seconds(OWN, "publish_retry_min").max(Duration::from_millis(10));
    let retry_max = v.seconds(OWN, "publish_retry_max");
    if retry_max < retry_min {
        v.expected(OWN, "publish_retry_max", "at least publish_retry_min");
    }
    Publishing {
        overflow_after: v.seconds(OWN, "overflow_after"),
        overflow_bytes_max: v.count(OWN, "overflow_max_bytes"),
        telemetry_secret: v.text("publisher", "telemetry_secret").map(Secret::new),
        control_exchange: v.text(DEFAULT, "control_exchange").unwrap_or_default(),
        metering_topic: v.text("publisher_notifier", "metering_topic").unwrap_or_default(),
        event_topic: v.text("publisher_notifier", "event_topic").unwrap_or_default(),
        envelope: match format {
            Some("messaging") => Envelope::V1,
            _ => Envelope::V2,
        },
        retry_min,
        retry_max,
    }
}

fn observing(v: &mut Values<'_>) -> Observing {
    let listen = v.text(OWN, "listen").and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            v.expected(OWN, "listen", "an address and a port, 127.0.0.1:9187 or [::1]:9187, or nothing");
        }
        address
    });
    let tap_token = v.text(OWN, "tap_token").map(Secret::new);
    if tap_token.as_ref().is_some_and(|token| token.reveal().len() < TAP_TOKEN_BYTES_MIN) {
        v.expected(OWN, "tap_token", "at least 16 bytes, as openssl rand -hex 16 prints them");
    }
    let debug = v.flag(DEFAULT, "debug");
    let json = v.flag(DEFAULT, "use_json");
    let log_dir = v.path(DEFAULT, "log_dir");
    let log_file = v.path(DEFAULT, "log_file");
    Observing {
        listen,
        tap_token,
        log_format: match v.one_of(OWN, "log_format") {
            Some("json") => LogFormat::Json,
            None if json => LogFormat::Json,
            _ => LogFormat::Text,
        },
        log_level: v.text(OWN, "log_level").unwrap_or_else(|| if debug { "debug" } else { "info" }.to_owned()),
        log_file: match (log_dir, log_file) {
            (Some(dir), Some(file)) => Some(dir.join(file)),
            (Some(dir), None) => Some(dir.join("nephoscope.log")),
            (None, file) => file,
        },
    }
}

fn lifecycle(v: &mut Values<'_>) -> Lifecycle {
    let samples = v.flag(DEFAULT, "refresh_pipeline_cfg");
    let events = v.flag(DEFAULT, "refresh_event_pipeline_cfg");
    Lifecycle {
        drain_timeout: v.some_seconds(DEFAULT, "graceful_shutdown_timeout").filter(|s| !s.is_zero()),
        refresh: samples || events,
        refresh_interval: v.seconds(DEFAULT, "pipeline_polling_interval").max(Duration::from_secs(1)),
    }
}

/// What may be part of queue names and etcd keys.
fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = kernel.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Host and the beginning of the machine id: images that are copied share the one, cloned names the other.
fn own_id(host: &str) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let start: String = machine.trim().chars().take(8).collect();
    let id = if start.is_empty() { host.to_owned() } else { format!("{host}-{start}") };
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' };
    id.chars().map(fit).take(100).collect()
}
