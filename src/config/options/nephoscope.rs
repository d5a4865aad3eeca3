//! `[nephoscope]`: what Ceilometer has no option for.

use super::{Kind, Opt, PARTITIONING, flag, multi, number, one_of, row, text, whole};

const OWN: &str = "nephoscope";

pub(super) const ROWS: &[Opt] = &[
    text(
        OWN,
        "group",
        "ceilometer",
        "Name of the group of agents that share the work; part of queue names and etcd keys",
    ),
    text(OWN, "member_id", "", "Stable id of this agent in its group; without one it is made of host and machine id"),
    row(OWN, "weight", Kind::Whole { min: 1, max: 100 }, "10", "Share of the work relative to other members")
        .only_with(PARTITIONING),
    number(OWN, "lease_ttl", "", "How long a silent member keeps its queues; else [coordination] heartbeat, else 10")
        .seconds()
        .only_with(PARTITIONING),
    one_of(
        OWN,
        "queue_type",
        &["auto", "classic", "quorum"],
        "auto",
        "Type of pipeline queues; auto is quorum with rabbit_quorum_queue or several broker hosts, else classic",
    )
    .only_with(PARTITIONING),
    flag(
        OWN,
        "main_queue_exclusive",
        "true",
        "Whether main queues are consumed exclusively where the broker can do that; false beside a running Ceilometer",
    ),
    whole(OWN, "packet_notifications_max", 1, "50", "Most notifications in one message to a pipeline queue")
        .at_most(10_000)
        .unit("notifications")
        .only_with(PARTITIONING),
    whole(OWN, "packet_bytes_max", 1024, "262144", "Most bytes in one message to a pipeline queue")
        .at_most(8_388_608)
        .unit("bytes")
        .only_with(PARTITIONING),
    whole(OWN, "parked_messages_max", 1, "100000", "Most messages that the parking queue holds").unit("messages"),
    whole(
        OWN,
        "state_log_bytes_max",
        1_048_576,
        "33554432",
        "Most bytes that the state log of one pipeline queue holds; of logs that are made anew",
    )
    .at_most(1_099_511_627_776)
    .unit("bytes"),
    whole(OWN, "max_moves", 1, "20", "Most queues that a member gives up at once when the members change")
        .at_most(1_000_000)
        .unit("queues")
        .only_with(PARTITIONING),
    number(
        OWN,
        "state_ttl",
        "",
        "After how long without a new sample transformers forget a resource's rates, deltas and arithmetic; else never",
    )
    .seconds(),
    whole(OWN, "state_cells_max", 1, "200000", "Most cells of transformer state of one pipeline queue")
        .at_most(100_000_000)
        .unit("cells"),
    multi(
        OWN,
        "accept_notifications",
        "",
        "Filter rule on publisher_id, event_type, metadata or payload; what matches none of several rules is dropped",
    ),
    flag(
        OWN,
        "verify_signatures",
        "false",
        "Whether polled samples are taken only if they are signed with [publisher] telemetry_secret",
    ),
    number(OWN, "publish_retry_min", "0.5", "Shortest pause before a refused batch is offered again").seconds(),
    number(OWN, "publish_retry_max", "60", "Longest pause before a refused batch is offered again").seconds(),
    number(
        OWN,
        "overflow_after",
        "5",
        "What one of several publishers of a sink does not take for so long goes into its overflow queue, and the others go on",
    )
    .seconds(),
    whole(
        OWN,
        "overflow_max_bytes",
        0,
        "1073741824",
        "Most that the overflow queue of one publisher holds before its sink waits for it; 0: there are none, all wait for all",
    )
    .unit("bytes"),
    text(OWN, "listen", "127.0.0.1:9187", "Address of /metrics, /livez and /readyz; empty is off"),
    one_of(OWN, "log_format", &["text", "json"], "", "Form of log lines; else [DEFAULT] use_json decides"),
    text(
        OWN,
        "log_level",
        "",
        "What is logged, as a tracing filter; else [DEFAULT] debug decides between info and debug",
    ),
];
