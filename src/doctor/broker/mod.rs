//! Looks at one RabbitMQ: over AMQP with the agent's own login, and over the management API where that answers.
//!
//! - `queues` judges queues by their properties and settings; `rights` judges what the user may do; both ask nothing.
//! - `amqp` asks over AMQP, `api` asks the management API.
//!
//! Never here: a request that changes something.

mod amqp;
mod api;
mod queues;
mod rights;

use std::collections::BTreeMap;

use super::finding::Finding;
use super::kinds;
use super::management::policies::Policies;
use super::management::{Address, pages};
use super::needs::{Needs, Role};
use crate::config::Settings;
use crate::config::broker::transport_url::TransportUrl;
use crate::transport::{QueueState, shell};

/// The oldest version that the tests run on.
const VERSION_MIN: (u32, u32) = (3, 10);
/// Queues that nobody reads, each a finding of its own; the others are counted.
const UNREAD_MAX: usize = 10;

/// What is looked at.
pub(super) struct Subject<'s> {
    /// The configuration.
    pub settings: &'s Settings,
    /// The broker.
    pub url: &'s TransportUrl,
    /// What an agent needs there.
    pub needs: &'s Needs,
    /// The main queues that a member of the group owns: each has a consumer that is ours.
    pub owned: &'s [String],
    /// Its management API, where the operator names it.
    pub management: Option<&'s Address>,
}

/// What AMQP tells.
#[derive(Default)]
struct Seen {
    version: Option<String>,
    /// The queues that are there, of those that were looked at.
    states: BTreeMap<String, QueueState>,
}

impl Subject<'_> {
    /// The virtual host, for a shell.
    fn vhost(&self) -> String {
        shell::word(&self.url.vhost).into_owned()
    }

    /// Who logs in.
    fn user(&self) -> &str {
        self.url.hosts.iter().find_map(|host| host.user.as_ref()).map_or("guest", |(user, _)| user.as_str())
    }

    /// The login of the URL.
    fn login(&self) -> (&str, &str) {
        let user = self.url.hosts.iter().find_map(|host| host.user.as_ref());
        user.map_or(("guest", "guest"), |(user, password)| (user.as_str(), password.reveal()))
    }
}

/// Everything that there is to say about a broker, and the pages of its management API whose clock can be compared.
pub(super) async fn look(subject: &Subject<'_>) -> (Vec<Finding>, Option<super::clocks::Clock>) {
    let mut findings = Vec::new();
    let Some(reached) = amqp::reach(subject, &mut findings).await else { return (findings, None) };
    let seen = amqp::look(subject, &reached, &mut findings).await;
    let api = api::look(subject, &reached.host, &mut findings).await;
    findings.extend(of_version(subject, seen.version.as_deref()));
    let major = seen.version.as_deref().and_then(numbers).map(|(major, _)| major);
    let known = queues::Known {
        vhost: &subject.url.vhost,
        major,
        topics: &subject.settings.intake.topics,
        queues: api.queues.as_ref(),
        policies: api.policies.as_ref(),
    };
    findings.extend(queues::judged(&subject.needs.queues, &known));
    findings.extend(of_policies(subject, api.policies.as_ref()));
    findings.extend(unread(subject, &seen, api.queues.as_ref()));
    findings.extend(consumers(subject, &seen, &api));
    findings.extend(rights::judged(subject.needs, api.permissions.as_ref(), subject.user(), &subject.url.vhost));
    let object = subject.url.to_string();
    findings.push(Finding::new(&kinds::RABBITMQ_CONSUMER_TIMEOUT, object, "not looked at"));
    (findings, api.clock)
}

fn of_version(subject: &Subject<'_>, version: Option<&str>) -> Vec<Finding> {
    let Some(version) = version else { return Vec::new() };
    let object = subject.url.to_string();
    let mut findings = vec![Finding::new(&kinds::RABBITMQ_VERSION, &object, version)];
    let Some(numbers) = numbers(version) else { return findings };
    if numbers < VERSION_MIN {
        findings.push(Finding::new(&kinds::RABBITMQ_VERSION_OLD, &object, version));
    }
    let rabbit = &subject.url.rabbit;
    if numbers >= (4, 0) && !rabbit.durable && !rabbit.quorum {
        findings.push(Finding::new(&kinds::RABBITMQ_TRANSIENT_QUEUES, &object, format!("RabbitMQ {version}")));
    }
    findings
}

/// `4.0.5` → 4, 0.
pub(super) fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn of_policies(subject: &Subject<'_>, policies: Option<&Policies>) -> Vec<Finding> {
    let unknown = policies.map(|policies| policies.unknown.as_slice()).unwrap_or_default();
    let finding = |name: &String| {
        let object = format!("policy {name}");
        Finding::new(&kinds::POLICY_UNKNOWN, object, "its pattern").filled(&[("VHOST", &subject.vhost())])
    };
    unknown.iter().take(UNREAD_MAX).map(finding).collect()
}

/// Queues that messages wait in and nobody consumes.
fn unread(subject: &Subject<'_>, seen: &Seen, listed: Option<&BTreeMap<String, pages::Queue>>) -> Vec<Finding> {
    let vhost = subject.vhost();
    let finding = |name: &str, messages: u64| {
        let words = [("VHOST", &*vhost), ("QUEUE", &*shell::word(name))];
        Finding::new(&kinds::QUEUE_UNREAD, name, format!("{messages} messages, no consumer")).filled(&words)
    };
    let mut findings = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for need in &subject.needs.queues {
        known.push(&need.queue.name);
        let Some(state) = seen.states.get(&need.queue.name) else { continue };
        match need.role {
            Role::Main | Role::Pipeline if state.consumers == 0 && state.messages > 0 => {
                findings.push(finding(&need.queue.name, u64::from(state.messages)));
            }
            Role::Parked if state.messages > 0 => {
                let found = format!("{} messages", state.messages);
                findings.push(Finding::new(&kinds::GROUP_PARKED, &need.queue.name, found));
            }
            _ => {}
        }
    }
    // What waits in queues of ours that have another role is meant to wait there.
    let others = listed.into_iter().flat_map(BTreeMap::values).filter(|queue| {
        let is_ours = known.contains(&queue.name.as_str()) || queue.name.starts_with("nephoscope.");
        !is_ours && !queue.exclusive && queue.kind != "stream" && queue.consumers == Some(0)
    });
    let mut others: Vec<(u64, &str)> = others.map(|queue| (queue.messages.unwrap_or(0), queue.name.as_str())).collect();
    others.retain(|(messages, _)| *messages > 0);
    others.sort_by_key(|(messages, name)| (std::cmp::Reverse(*messages), *name));
    findings.extend(others.iter().take(UNREAD_MAX).map(|(messages, name)| finding(name, *messages)));
    if let Some(more) = others.get(UNREAD_MAX..).filter(|more| !more.is_empty()) {
        let messages = more.iter().map(|(messages, _)| messages).sum();
        let mut finding = finding(more[0].1, messages);
        finding.object = format!("{} more queues", more.len());
        findings.push(finding);
    }
    findings
}

/// Programs that consume main queues and are no agents of ours.
fn consumers(subject: &Subject<'_>, seen: &Seen, api: &api::Told) -> Vec<Finding> {
    let mut findings = Vec::new();
    for need in subject.needs.role(Role::Main) {
        let name = &need.queue.name;
        let Some(consumers) = seen.states.get(name).map(|state| state.consumers).filter(|consumers| *consumers > 0)
        else {
            continue;
        };
        let finding =
            |found: String, host: &str| Finding::new(&kinds::CONSUMER_OTHER, name, found).filled(&[("HOST", host)]);
        let told = api.consumers.get(name).map(Vec::as_slice).unwrap_or_default();
        for other in told.iter().filter(|consumer| !consumer.is_agent()) {
            findings.push(finding(other.to_string(), &shell::word(&other.host)));
        }
        // The statistics come some seconds late; and there may be none.
        let owned = u32::from(subject.owned.contains(name));
        let unknown = consumers.saturating_sub(u32::try_from(told.len()).unwrap_or(u32::MAX).max(owned));
        if unknown > 0 {
            let found = format!("{unknown} of {consumers} consumers, of which it is not known who they are");
            findings.push(finding(found, "its host (rabbitmqctl list_consumers names the connection)"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("4.0.5", Some((4, 0)))]
    #[case("3.9.0-rc.1", Some((3, 9)))]
    #[case("3.10+git", Some((3, 10)))]
    #[case("unknown", None)]
    fn a_version_has_numbers(#[case] version: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(numbers(version), expected);
    }

    #[test]
    fn a_version_that_is_older_than_any_that_is_tested() {
        let settings = crate::config::load_text("ceilometer.conf", "").0.unwrap();
        let needs = Needs::default();
        let subject =
            Subject { settings: &settings, url: &settings.transport, needs: &needs, owned: &[], management: None };
        let ids = |version| of_version(&subject, Some(version)).iter().map(|finding| finding.id).collect::<Vec<_>>();
        assert_eq!(ids("3.9.13"), ["rabbitmq.version", "rabbitmq.version.old"]);
        assert_eq!(ids("4.1.0"), ["rabbitmq.version", "rabbitmq.transient_queues"]);
        assert_eq!(ids("3.13.7"), ["rabbitmq.version"]);
    }
}
