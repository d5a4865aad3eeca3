//! Judges the queues of the configuration by what the broker has: their properties, and the settings that arguments and policies
//! give them. Nothing is asked here.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::doctor::finding::{Finding, Kind};
use crate::doctor::kinds;
use crate::doctor::management::pages::Queue;
use crate::doctor::management::policies::{Origin, Policies};
use crate::doctor::needs::{Need, Role};
use crate::transport::{Argument, shell};

/// A limit of deliveries from here on is none: the agent's own queues have it.
const DELIVERIES_ENOUGH: i64 = 1_000_000;
/// The limit of a quorum queue of RabbitMQ 4 where nobody says another.
const DELIVERIES_BY_DEFAULT: i64 = 20;
/// RabbitMQ's own timeout of a consumer.
const CONSUMER_TIMEOUT_MS: i64 = 30 * 60 * 1000;
/// Names that one finding lists.
const NAMES_MAX: usize = 3;

/// What is known of a broker.
pub(super) struct Known<'k> {
    /// The virtual host.
    pub vhost: &'k str,
    /// The first number of the version, where it is known.
    pub major: Option<u32>,
    /// The topics of the main queues.
    pub topics: &'k [String],
    /// The queues that are there, by name; `None`: they were not looked at.
    pub queues: Option<&'k BTreeMap<String, Queue>>,
    /// Its policies; `None`: they were not looked at.
    pub policies: Option<&'k Policies>,
}

/// A setting of one queue that somebody should know of. What is alike in several queues becomes one finding.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    id: &'static str,
    found: String,
    mend: String,
}

/// Everything that there is to say about the queues of the configuration.
pub(super) fn judged(needs: &[Need], known: &Known<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut alike: BTreeMap<Setting, (&'static Kind, Vec<String>)> = BTreeMap::new();
    for need in needs {
        let there = known.queues.and_then(|queues| queues.get(&need.queue.name));
        findings.extend(there.and_then(|there| difference(need, there, known)));
        for (kind, found, mend) in settings(need, there, known) {
            let setting = Setting { id: kind.id, found, mend };
            alike.entry(setting).or_insert_with(|| (kind, Vec::new())).1.push(need.queue.name.clone());
        }
    }
    findings.extend(alike.into_iter().map(|(setting, (kind, queues))| {
        let mut finding = Finding::new(kind, names(&queues), setting.found);
        finding.mend = setting.mend;
        finding
    }));
    findings
}

/// The first names, and how many more there are.
pub(super) fn names(queues: &[String]) -> String {
    let first = queues.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match queues.len().checked_sub(NAMES_MAX) {
        Some(more @ 1..) => format!("{first} and {more} more"),
        _ => first,
    }
}

/// What keeps the broker from declaring the queue as the configuration has it.
fn difference(need: &Need, there: &Queue, known: &Known<'_>) -> Option<Finding> {
    let queue = &need.queue;
    let words = [("VHOST", &*shell::word(known.vhost)), ("QUEUE", &*shell::word(&queue.name))];
    let durability = |durable: bool| if durable { "durable" } else { "transient" };
    let mut wrong = Vec::new();
    // Without statistics RabbitMQ 3.10 leaves the type of some queues out.
    if !there.kind.is_empty() && there.kind != need.kind() {
        wrong.push(format!("it is a {} queue, configured is {}", there.kind, need.kind()));
    }
    let falls_back = queue.fallback_transient && queue.durable && !there.durable;
    if there.durable != queue.durable && !falls_back {
        wrong.push(format!("it is {}, configured is {}", durability(there.durable), durability(queue.durable)));
    }
    if there.auto_delete != queue.auto_delete {
        wrong.push(format!("auto-delete is {}, configured is {}", there.auto_delete, queue.auto_delete));
    }
    if there.exclusive {
        wrong.push("it is exclusive to one connection".to_owned());
    }
    let configured = as_json(&queue.arguments);
    for name in there.arguments.keys().chain(configured.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (is, wanted) = (there.arguments.get(name), configured.get(name));
        // The type is compared above, whoever wrote it down.
        if name != "x-queue-type" && is != wanted {
            let shown = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
            wrong.push(format!("{name} is {}, configured is {}", shown(is), shown(wanted)));
        }
    }
    if !wrong.is_empty() {
        return Some(Finding::new(&kinds::QUEUE_DIFFERS, &queue.name, wrong.join("; ")).filled(&words));
    }
    falls_back.then(|| {
        Finding::new(&kinds::QUEUE_NOT_DURABLE, &queue.name, "it is transient, configured is durable").filled(&words)
    })
}

fn as_json(arguments: &BTreeMap<String, Argument>) -> Map<String, Value> {
    let value = |argument: &Argument| match argument {
        Argument::Text(text) => Value::from(text.as_str()),
        Argument::Integer(number) => Value::from(*number),
        Argument::Bool(flag) => Value::from(*flag),
    };
    arguments.iter().map(|(name, argument)| (name.clone(), value(argument))).collect()
}

type Found = (&'static Kind, String, String);

/// The settings of one queue.
fn settings(need: &Need, there: Option<&Queue>, known: &Known<'_>) -> Vec<Found> {
    let no_policies = Policies::default();
    let arguments = there.map_or_else(|| as_json(&need.queue.arguments), |there| there.arguments.clone());
    let kind = there.map(|there| there.kind.as_str()).filter(|kind| !kind.is_empty()).unwrap_or(need.kind());
    let look = Look { need, kind, arguments, policies: known.policies.unwrap_or(&no_policies), known };
    let mut found: Vec<Found> = look.delivery_limit().into_iter().collect();
    match need.role {
        // A stream knows nothing of the others.
        Role::State => found.extend(look.setting("max-age", &kinds::QUEUE_DROPS)),
        Role::Main => {
            found.extend(look.limit("message-ttl", "ms", &kinds::QUEUE_TTL));
            found.extend(look.limit("expires", "ms", &kinds::QUEUE_EXPIRES));
            let full = if look.refuses() { &kinds::QUEUE_REFUSES } else { &kinds::QUEUE_MAX_LENGTH };
            found.extend(look.limit("max-length", "messages", full));
            found.extend(look.limit("max-length-bytes", "bytes", full));
        }
        Role::Pipeline | Role::Overflow | Role::Parked | Role::Rescue => {
            found.extend(look.limit("message-ttl", "ms", &kinds::QUEUE_DROPS));
            found.extend(look.limit("expires", "ms", &kinds::QUEUE_DROPS));
            // A classic queue that refuses drops what is above its length when the broker restarts and a consumer had more.
            let is_safe = look.refuses() && (kind != "classic" || need.role == Role::Parked);
            let full = if is_safe { &kinds::QUEUE_REFUSES } else { &kinds::QUEUE_DROPS };
            found.extend(look.limit("max-length", "messages", full));
            found.extend(look.limit("max-length-bytes", "bytes", full));
        }
    }
    found.extend(look.smallest("consumer-timeout").filter(|(_, ms)| *ms < CONSUMER_TIMEOUT_MS).map(|(origin, ms)| {
        look.found(&kinds::QUEUE_CONSUMER_TIMEOUT, "consumer-timeout", &format!("{ms} ms"), &origin)
    }));
    found
}

/// One queue, with all that gives it settings.
struct Look<'l> {
    need: &'l Need,
    kind: &'l str,
    arguments: Map<String, Value>,
    policies: &'l Policies,
    known: &'l Known<'l>,
}

impl Look<'_> {
    /// From each place that sets it. What one of our own queues was declared with is meant.
    fn all(&self, key: &str) -> Vec<(Origin, Value)> {
        let mut all = self.policies.settings(&self.need.queue.name, self.kind, &self.arguments, key);
        all.retain(|(origin, _)| self.need.role == Role::Main || *origin != Origin::Argument);
        all
    }

    fn smallest(&self, key: &str) -> Option<(Origin, i64)> {
        let numbers = self.all(key).into_iter().filter_map(|(origin, value)| Some((origin, value.as_i64()?)));
        numbers.filter(|(_, limit)| *limit >= 0).min_by_key(|(_, limit)| *limit)
    }

    fn limit(&self, key: &str, unit: &str, kind: &'static Kind) -> Option<Found> {
        self.smallest(key).map(|(origin, limit)| self.found(kind, key, &format!("{limit} {unit}"), &origin))
    }

    fn setting(&self, key: &str, kind: &'static Kind) -> Option<Found> {
        let (origin, value) = self.all(key).into_iter().next()?;
        Some(self.found(kind, key, &value.to_string(), &origin))
    }

    /// Whether a full queue refuses. The argument wins over policies here.
    fn refuses(&self) -> bool {
        let settings = self.policies.settings(&self.need.queue.name, self.kind, &self.arguments, "overflow");
        settings.first().and_then(|(_, value)| value.as_str()).is_some_and(|value| value.starts_with("reject-publish"))
    }

    fn found(&self, kind: &'static Kind, key: &str, value: &str, origin: &Origin) -> Found {
        let (vhost, queue) = (shell::word(self.known.vhost), shell::word(&self.need.queue.name));
        let (from, mend) = match origin {
            Origin::Argument => (
                "the queue was declared with it".to_owned(),
                format!(
                    "take it out of the options of the services, and with all its users stopped: rabbitmqctl delete_queue -p \
                     {vhost} {queue}"
                ),
            ),
            Origin::Policy(name) => (
                format!("policy {name}"),
                format!("set the policy without {key}, or: rabbitmqctl clear_policy -p {vhost} {}", shell::word(name)),
            ),
            Origin::OperatorPolicy(name) => (
                format!("operator policy {name}"),
                format!(
                    "set the policy without {key}, or: rabbitmqctl clear_operator_policy -p {vhost} {}",
                    shell::word(name)
                ),
            ),
        };
        (kind, format!("{key} is {value}: {from}"), mend)
    }

    /// The limit of a quorum queue.
    fn delivery_limit(&self) -> Option<Found> {
        if self.kind != "quorum" {
            return None;
        }
        let is_new = self.known.major.is_some_and(|major| major >= 4);
        let kind = &kinds::QUEUE_DELIVERY_LIMIT;
        let vhost = shell::word(self.known.vhost);
        let limit = if is_new { "-1" } else { "1000000" };
        if let Some((origin, deliveries)) = self.smallest("delivery-limit") {
            if deliveries >= DELIVERIES_ENOUGH {
                return None;
            }
            let (_, found, mend) = self.found(kind, "delivery-limit", &deliveries.to_string(), &origin);
            let mend = match origin {
                Origin::Argument => format!(
                    "set [oslo_messaging_rabbit] rabbit_quorum_delivery_limit = 0 for all services, and with all its users \
                     stopped: rabbitmqctl delete_queue -p {vhost} {}",
                    shell::word(&self.need.queue.name)
                ),
                Origin::Policy(_) => format!("set the policy with \"delivery-limit\": {limit}"),
                Origin::OperatorPolicy(_) => mend,
            };
            return Some((kind, found, mend));
        }
        let is_lifted =
            self.all("delivery-limit").iter().any(|(_, value)| value.as_i64().is_some_and(|limit| limit < 0));
        if !is_new || is_lifted || self.need.role != Role::Main {
            return None;
        }
        let unless =
            if self.known.policies.is_none() { ", unless a policy says another: they were not looked at" } else { "" };
        let found =
            format!("delivery-limit is {DELIVERIES_BY_DEFAULT}: RabbitMQ 4 has it where nobody sets another{unless}");
        let pattern = format!("^({})\\.", self.known.topics.join("|"));
        let words =
            [("VHOST", &*vhost), ("PATTERN", &*shell::word(&pattern)), ("LIMIT", limit), ("KIND", "quorum_queues")];
        Some((kind, found, Finding::new(kind, "", "").filled(&words).mend))
    }
}

#[cfg(test)]
mod tests;
