//! What a `notifier://` URL says (Ceilometer reference §6.2).

use crate::config::shown;
use crate::model::json::NonFinite;
use crate::publish::target::{Row, Target};

/// Batches that `policy=queue` keeps, unless `max_queue_length` says otherwise.
const QUEUE_BATCHES: usize = 1024;

/// The options that are ours; beside a host every other is the transport's.
pub(super) const NAMES: [&str; 6] = ["topic", "policy", "max_queue_length", "per_meter_topic", "max_retry", "driver"];

/// The rows of the options.
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "topic",
        "name",
        "",
        "instead of `[publisher_notifier] metering_topic` or `event_topic`; repeatable: each topic gets its own copy",
    )
    .repeatable(),
    Row::new(
        "policy",
        "default, queue or drop",
        "default",
        "behaviour while the broker is away: `default` holds batches, `queue` keeps them in memory, `drop` loses them",
    ),
    Row::new(
        "max_queue_length",
        "batches",
        "1024",
        "maximum number of batches that `queue` keeps; past it, or past 64 MiB, the oldest are lost",
    ),
    Row::new("per_meter_topic", "true or false", "false", "each meter's samples also go to `<topic>.<meter>`"),
    Row::NAN,
    Row::new("driver", "rabbit or kombu", "rabbit", "the transport; `kombu` is its alias"),
    Row::new("max_retry", "number", "", "no effect: the agent offers a batch until it is accepted"),
];

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Another broker than the default notification transport.
    pub transport: Option<String>,
    /// Instead of the configured topic; each gets its own copy.
    pub topics: Vec<String>,
    pub policy: Policy,
    /// Batches that `policy=queue` keeps while the broker is away.
    pub queue_batches_max: usize,
    /// Whether each meter's samples also go to a topic of their own.
    pub per_meter_topic: bool,
    pub non_finite: NonFinite,
}

/// What to do while the broker is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Hold the pipeline: nothing is lost.
    Hold,
    /// Keep batches in memory, the youngest; the oldest are lost, and all of them when the process dies.
    Queue,
    /// Lose them.
    Drop,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let topics = options.all("topic");
        if topics.iter().any(String::is_empty) {
            options.complain("topic=: expected a name");
        }
        let policy = match options.text("policy").as_deref() {
            None | Some("default") => Policy::Hold,
            Some("queue") => Policy::Queue,
            Some("drop") => Policy::Drop,
            Some(other) => {
                options.complain(format!("policy={}: expected default, queue or drop", shown(other)));
                Policy::Hold
            }
        };
        let queue_batches_max = options.number("max_queue_length", 1).unwrap_or(QUEUE_BATCHES);
        let per_meter_topic = options.flag("per_meter_topic").unwrap_or(false);
        let non_finite = options.non_finite();
        // Read for its form only: with `default` a batch is repeated as long as it takes, else never.
        let _: Option<i64> = options.number("max_retry", -1);
        let driver = options.text("driver").unwrap_or_else(|| "rabbit".to_owned());
        if !matches!(driver.as_str(), "rabbit" | "kombu") {
            options.complain(format!(
                "driver={}: only rabbit is supported, with AMQP 0.9.1; see docs/compatibility.md, row amqp1",
                shown(&driver)
            ));
        }
        // Ceilometer hands its own options to the transport too, which then refuses to load.
        let transport = (!target.netloc.is_empty()).then(|| {
            let query: Vec<String> = options.rest().iter().map(|(key, value)| encoded(key, value)).collect();
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{driver}://{}{}{mark}{}", target.netloc, target.path, query.join("&"))
        });
        options.finish(Options { transport, topics, policy, queue_batches_max, per_meter_topic, non_finite })
    }
}

/// A pair of a query, as the transport reads it back.
fn encoded(key: &str, value: &str) -> String {
    let encode = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    // Option names are words with `_`.
    format!("{}={}", encode(key).replace("%5F", "_"), encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(url: &str) -> Result<Options, String> {
        Options::read(&Target::parse(url).unwrap()).map_err(|complaints| complaints.join("; "))
    }

    #[test]
    fn a_host_and_options_go_together() {
        let url = "notifier://u:p%40@h1:5672,u:p@h2/cloud?topic=a&policy=queue&topic=b&max_queue_length=7&\
                   per_meter_topic=1&max_retry=100&driver=rabbit&rabbit_quorum_queue=true&ssl_ca_file=/a%20b";
        let expected = Options {
            transport: Some(
                "rabbit://u:p%40@h1:5672,u:p@h2/cloud?rabbit_quorum_queue=true&ssl_ca_file=%2Fa%20b".to_owned(),
            ),
            topics: vec!["a".to_owned(), "b".to_owned()],
            policy: Policy::Queue,
            queue_batches_max: 7,
            per_meter_topic: true,
            non_finite: NonFinite::Null,
        };
        assert_eq!(read(url), Ok(expected));
    }

    #[test]
    fn nothing_but_the_scheme_means_the_default_transport() {
        let options = read("notifier://").unwrap();
        assert_eq!((options.transport, options.topics, options.policy), (None, Vec::new(), Policy::Hold));
    }

    #[rstest]
    #[case(
        "notifier://?policy=keep&max_queue_length=0",
        "policy=keep: expected default, queue or drop; max_queue_length=0"
    )]
    #[case("notifier://h?driver=kafka", "only rabbit is supported")]
    #[case("notifier://?rabbit_quorum_queue=true", "unknown option rabbit_quorum_queue")]
    #[case("notifier://?topic=", "expected a name")]
    fn wrong_options_are_named(#[case] url: &str, #[case] what: &str) {
        let complaints = read(url).unwrap_err();
        assert!(complaints.contains(what), "{complaints}");
    }
}
