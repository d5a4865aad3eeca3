//! Which policy is for a queue, and what settings it has then: by arguments, by a policy, by an operator policy.
//!
//! RabbitMQ tells the effective settings of a queue that has statistics. They are found out here, so that they can be told of queues
//! too that are not there yet.

use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Steps of matching one name: a pattern that needs more is not understood.
const STEPS_MAX: usize = 20_000;
/// Bytes of a pattern that are looked at.
const PATTERN_BYTES_MAX: usize = 1_000;

/// One of `/api/policies/<vhost>` or `/api/operator-policies/<vhost>`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Policy {
    /// Its name.
    pub name: String,
    /// A regular expression of names.
    pub pattern: String,
    /// `queues`, `quorum_queues`, `all` …
    #[serde(rename = "apply-to")]
    pub apply_to: String,
    /// The settings.
    pub definition: Map<String, Value>,
    /// The highest one wins.
    pub priority: i64,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) enum Origin {
    /// The declaration of the queue.
    Argument,
    /// A policy of this name.
    Policy(String),
    /// An operator policy of this name.
    OperatorPolicy(String),
}

/// All policies of a virtual host.
#[derive(Debug, Default)]
pub(in crate::doctor) struct Policies {
    user: Vec<(Policy, Regex)>,
    operator: Vec<(Policy, Regex)>,
    /// The policies whose pattern is not understood.
    pub unknown: Vec<String>,
}

impl Policies {
    /// Those of the virtual host and those of its operator.
    pub(in crate::doctor) fn new(user: Vec<Policy>, operator: Vec<Policy>) -> Policies {
        let mut unknown = Vec::new();
        let [user, operator] = [user, operator].map(|policies| {
            let mut read: Vec<(Policy, Regex)> = Vec::new();
            for policy in policies {
                match pattern(&policy.pattern) {
                    Some(regex) => read.push((policy, regex)),
                    None => unknown.push(policy.name),
                }
            }
            read.sort_by_key(|(policy, _)| std::cmp::Reverse(policy.priority));
            read
        });
        Policies { user, operator, unknown }
    }

    /// What a queue of this name and kind has of a setting, from each place that sets it: the argument `x-<key>`, and the two
    /// policies that are for it.
    pub(in crate::doctor) fn settings(
        &self,
        queue: &str,
        kind: &str,
        arguments: &Map<String, Value>,
        key: &str,
    ) -> Vec<(Origin, Value)> {
        let argument = arguments.get(&format!("x-{key}")).map(|value| (Origin::Argument, value.clone()));
        let of = |policies: &[(Policy, Regex)]| {
            let policy = policies.iter().find(|(policy, regex)| is_for(policy, regex, queue, kind));
            policy.and_then(|(policy, _)| Some((policy.name.clone(), policy.definition.get(key)?.clone())))
        };
        let user = of(&self.user).map(|(name, value)| (Origin::Policy(name), value));
        let operator = of(&self.operator).map(|(name, value)| (Origin::OperatorPolicy(name), value));
        argument.into_iter().chain(user).chain(operator).collect()
    }
}

/// A pattern, if it can be understood. RabbitMQ looks for it anywhere in a name.
pub(in crate::doctor) fn pattern(text: &str) -> Option<Regex> {
    if text.len() > PATTERN_BYTES_MAX {
        return None;
    }
    RegexBuilder::new(text).backtrack_limit(STEPS_MAX).build().ok()
}

fn is_for(policy: &Policy, regex: &Regex, queue: &str, kind: &str) -> bool {
    let is_kind = match policy.apply_to.as_str() {
        "" | "all" | "queues" => true,
        "classic_queues" => kind == "classic",
        "quorum_queues" => kind == "quorum",
        "streams" => kind == "stream",
        _ => false,
    };
    is_kind && regex.is_match(queue).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(name: &str, pattern: &str, to: &str, priority: i64, definition: Value) -> Policy {
        let Value::Object(definition) = definition else { panic!("no object") };
        Policy { name: name.to_owned(), pattern: pattern.to_owned(), apply_to: to.to_owned(), definition, priority }
    }

    fn limit(
        policies: &Policies,
        (queue, kind): (&str, &str),
        arguments: &Map<String, Value>,
        key: &str,
    ) -> Option<(Origin, i64)> {
        let settings = policies.settings(queue, kind, arguments, key).into_iter();
        settings.filter_map(|(origin, value)| Some((origin, value.as_i64()?))).min_by_key(|(_, limit)| *limit)
    }

    #[test]
    fn the_policy_of_the_highest_priority_and_the_smallest_limit_count() {
        let user = vec![
            policy("low", ".*", "queues", 0, json!({"max-length": 1})),
            policy("high", "^notif", "all", 5, json!({"max-length": 9, "message-ttl": 7})),
            policy("quorum", "^notif", "quorum_queues", 9, json!({"delivery-limit": 3})),
        ];
        let operator = vec![policy("op", "info$", "queues", 0, json!({"max-length": 4}))];
        let policies = Policies::new(user, operator);
        let none = Map::new();
        let of = |queue: &str, kind: &str, key: &str| limit(&policies, (queue, kind), &none, key);
        assert_eq!(of("notifications.info", "classic", "max-length"), Some((Origin::OperatorPolicy("op".into()), 4)));
        assert_eq!(of("notifications.error", "classic", "max-length"), Some((Origin::Policy("high".into()), 9)));
        assert_eq!(of("notifications.error", "quorum", "max-length"), None);
        assert_eq!(of("other", "stream", "max-length"), Some((Origin::Policy("low".into()), 1)));
        let Value::Object(arguments) = json!({"x-message-ttl": 5}) else { panic!("no object") };
        assert_eq!(
            limit(&policies, ("notifications.a", "classic"), &arguments, "message-ttl"),
            Some((Origin::Argument, 5))
        );
    }

    #[test]
    fn a_pattern_that_takes_too_long_or_is_none_is_for_nothing() {
        let policies = Policies::new(vec![policy("broken", "(", "all", 0, json!({"expires": 1}))], Vec::new());
        assert_eq!(policies.unknown, ["broken"]);
        let slow = vec![policy("slow", "^(?:(a)|(a))*\\1b$", "all", 0, json!({"expires": 1}))];
        let policies = Policies::new(slow, Vec::new());
        assert_eq!(limit(&policies, (&"a".repeat(200), "classic"), &Map::new(), "expires"), None);
    }
}
