//! The options of a `zaqar://` URL (Ceilometer reference §6.8).

use std::time::Duration;

use crate::config::shown;
use crate::model::json::NonFinite;
use crate::publish::target::{Options as Pairs, Row, Target};

/// The rows of the options.
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "queue",
        "name, at most 64 of a-z, A-Z, 0-9, _ and -",
        "",
        "queue that messages are posted to; required; if it is repeated, the first counts",
    )
    .first_counts(),
    Row::new(
        "ttl",
        "seconds, 60 to 2147483647",
        "3600",
        "how long Zaqar keeps a message; if there are several, the first counts; Zaqar's own limit is `max_message_ttl`, 14 days \
         unless it is changed",
    )
    .first_counts(),
    Row::new(
        "max_messages",
        "number",
        "20",
        "maximum number of messages in one post, as `max_messages_per_page` of Zaqar; a larger batch goes in several posts",
    ),
    Row::new(
        "max_bytes",
        "bytes, 1024 to 67108864",
        "262144",
        "maximum size of a post, as `max_messages_post_size` of Zaqar; a larger message goes alone, and Zaqar decides",
    ),
    Row::NAN,
    Row::new("timeout", "seconds, 0.001 to 3600", "5", "maximum time of one request to Zaqar, with its answer"),
    Row::LINK_LOCAL,
];

/// The longest name of a queue that Zaqar takes, in characters.
const QUEUE_CHARACTERS_MAX: usize = 64;
/// Seconds that Zaqar keeps a message, unless `ttl` says otherwise.
const TTL_S: u32 = 3600;
/// The bounds of `ttl`, in seconds: Zaqar takes nothing shorter, whatever its configuration says.
const TTL_S_MIN: u32 = 60;
const TTL_S_MAX: u32 = i32::MAX.unsigned_abs();
/// Messages in one post, unless `max_messages` says otherwise.
const MESSAGES: usize = 20;
/// The largest post in bytes, unless `max_bytes` says otherwise, and the bounds of that.
const BYTES: usize = 256 * 1024;
const BYTES_MIN: usize = 1024;
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Seconds for one request, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 5.0;

/// What the URL says; its host and path say nothing, as in Ceilometer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub queue: String,
    /// In seconds.
    pub ttl: u32,
    pub messages_max: usize,
    pub bytes_max: usize,
    pub non_finite: NonFinite,
    pub timeout: Duration,
    pub link_local: bool,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let queue = queue(&mut options);
        let ttl = ttl(&mut options);
        let messages_max = options.number("max_messages", 1).unwrap_or(MESSAGES);
        let bytes_max = options.number("max_bytes", BYTES_MIN).unwrap_or(BYTES);
        if bytes_max > BYTES_MAX {
            options.complain(format!("max_bytes={bytes_max}: expected at most {BYTES_MAX} bytes"));
        }
        let non_finite = options.non_finite();
        let timeout = options.timeout(TIMEOUT_S);
        let link_local = options.flag("link_local").unwrap_or(false);
        options.finish(Options { queue, ttl, messages_max, bytes_max, non_finite, timeout, link_local })
    }
}

/// The first that is not empty, as Python's `parse_qs` has it.
fn first(options: &mut Pairs, name: &'static str) -> Option<String> {
    options.all(name).into_iter().find(|text| !text.is_empty())
}

fn queue(options: &mut Pairs) -> String {
    let Some(queue) = first(options, "queue") else {
        options.complain("queue is missing: write ?queue=NAME behind zaqar://");
        return String::new();
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !queue.chars().all(is_allowed) || queue.len() > QUEUE_CHARACTERS_MAX {
        let text = format!(
            "queue={}: Zaqar takes names of at most {QUEUE_CHARACTERS_MAX} ASCII letters, digits, underscores and dashes; \
             write another",
            shown(&queue)
        );
        options.complain(text);
    }
    queue
}

fn ttl(options: &mut Pairs) -> u32 {
    let Some(text) = first(options, "ttl") else { return TTL_S };
    match text.trim().parse() {
        Ok(ttl) if (TTL_S_MIN..=TTL_S_MAX).contains(&ttl) => ttl,
        _ => {
            let text = shown(&text);
            options.complain(format!("ttl={text}: expected a whole number of seconds from {TTL_S_MIN} to {TTL_S_MAX}"));
            TTL_S
        }
    }
}
