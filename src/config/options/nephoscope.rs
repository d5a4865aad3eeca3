//! `[nephoscope]`: the options that Ceilometer does not have.

use super::{Kind, Opt, PARTITIONING, flag, multi, number, one_of, row, secret, text, whole};

const OWN: &str = "nephoscope";

pub(super) const ROWS: &[Opt] = &[
    text(
        OWN,
        "group",
        "ceilometer",
        "Name of the group of agents that share the work, as in queue names and etcd keys",
    ),
    text(OWN, "member_id", "", "Stable ID of this agent in its group; without it, made of host name and machine ID"),
    row(OWN, "weight", Kind::Whole { min: 1, max: 100 }, "10", "Share of the work relative to other members")
        .only_with(PARTITIONING),
    number(OWN, "lease_ttl", "", "Lease of a member: how long it keeps its queues when it stops responding; without it, [coordination] heartbeat, or 10")
        .seconds()
        .only_with(PARTITIONING),
    one_of(
        OWN,
        "queue_type",
        &["auto", "classic", "quorum"],
        "auto",
        "Type of pipeline queues; auto means quorum with rabbit_quorum_queue or several broker hosts, else classic",
    )
    .only_with(PARTITIONING),
    flag(
        OWN,
        "main_queue_exclusive",
        "true",
        "Exclusive consumers of main queues, where the broker supports them; set it to false beside a running Ceilometer",
    ),
    whole(OWN, "packet_notifications_max", 1, "100", "Maximum number of notifications in one message to a pipeline queue")
        .at_most(10_000)
        .unit("notifications")
        .only_with(PARTITIONING),
    whole(OWN, "packet_bytes_max", 1024, "262144", "Maximum size of one message to a pipeline queue")
        .at_most(8_388_608)
        .unit("bytes")
        .only_with(PARTITIONING),
    whole(OWN, "parked_messages_max", 1, "100000", "Maximum number of messages in the parking queue; the agent holds what does not fit").unit("messages"),
    whole(
        OWN,
        "state_log_bytes_max",
        1_048_576,
        "33554432",
        "Maximum size of the state log of one pipeline queue; applies to newly created logs only",
    )
    .at_most(1_099_511_627_776)
    .unit("bytes"),
    whole(
        OWN,
        "books_max_bytes",
        0,
        "1073741824",
        "Maximum size of the books that nephoscope audit reads; applies to a newly created stream only; 0: no books are kept",
    )
    .at_most(1_099_511_627_776)
    .unit("bytes"),
    whole(OWN, "max_moves", 1, "20", "Maximum number of queues that a member releases at once when the members change")
        .at_most(1_000_000)
        .unit("queues")
        .only_with(PARTITIONING),
    number(
        OWN,
        "state_ttl",
        "",
        "Time without a new sample after which transformers forget the state of a resource; without it, never",
    )
    .seconds(),
    whole(OWN, "state_cells_max", 1, "200000", "Maximum number of cells of transformer state of one pipeline queue")
        .at_most(100_000_000)
        .unit("cells"),
    multi(
        OWN,
        "accept_notifications",
        "",
        "Filter rule on publisher_id, event_type, metadata or payload; a notification that matches no rule is acknowledged and dropped",
    ),
    flag(
        OWN,
        "verify_signatures",
        "false",
        "Check of signatures: polled samples are accepted only if they are signed with [publisher] telemetry_secret",
    ),
    number(OWN, "publish_retry_min", "0.5", "Shortest pause before the agent offers a held batch again").seconds(),
    number(OWN, "publish_retry_max", "60", "Longest pause before the agent offers a held batch again").seconds(),
    number(
        OWN,
        "overflow_after",
        "5",
        "Time after which records that one of several publishers of a sink does not accept go to its overflow queue",
    )
    .seconds(),
    whole(
        OWN,
        "overflow_max_bytes",
        0,
        "1073741824",
        "Maximum size of the overflow queue of one publisher, after which its sink waits; 0: no overflow queues, every publisher waits for all",
    )
    .unit("bytes"),
    text(OWN, "listen", "127.0.0.1:9187", "Address of the page, /metrics, /livez, /readyz and /status; empty: none"),
    secret(
        OWN,
        "tap_token",
        "",
        "Token of nephoscope tap, at least 16 bytes; without it, only an agent that listens on loopback can be tapped; if a proxy stands before the agent, set it",
    ),
    one_of(OWN, "log_format", &["text", "json"], "", "Format of log lines; without it, as [DEFAULT] use_json says"),
    text(
        OWN,
        "log_level",
        "",
        "Level of the log, as a filter of the tracing library; without it, debug or info, as [DEFAULT] debug says",
    ),
];
