//! Looks at etcd with the agent's own login, and at the group that meets there.

use chrono::Utc;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

use super::broker::numbers;
use super::clocks::Clock;
use super::finding::Finding;
use super::kinds;
use crate::config::coordination_url::CoordinationUrl;
use crate::coordination::{CoordinationError, Coordinator, EndpointLook, EtcdGroup, View};
use crate::publish::reader::{Reader, Trust};
use crate::transport::shell;

/// The oldest version that the tests run on.
const VERSION_MIN: (u32, u32) = (3, 4);
/// A read that takes longer is slow: a lease of ten seconds is confirmed every two or three.
const READ_TAKES_MAX: Duration = Duration::from_millis(250);
/// The longest wait for the page that has the date.
const DATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are read of that page.
const DATE_BYTES_MAX: usize = 4096;

/// Looks at the whole etcd; the group's view, where it can be read.
pub(super) async fn look(
    group: &EtcdGroup,
    url: &CoordinationUrl,
    prefix: &str,
    findings: &mut Vec<Finding>,
) -> Option<View> {
    let look = group.look().await;
    let any = look.endpoints.iter().any(|(_, told)| told.is_ok());
    for (endpoint, told) in &look.endpoints {
        match told {
            Ok(told) => findings.extend(of_endpoint(endpoint, told)),
            Err(CoordinationError::Refused { cause, .. }) => {
                findings.push(Finding::new(&kinds::ETCD_REFUSED, endpoint, cause));
            }
            // An endpoint without a leader refuses everything that is asked with the wish for one.
            Err(error) if error.to_string().contains("no leader") => {
                findings.push(Finding::new(&kinds::ETCD_NO_LEADER, endpoint, error.to_string()));
            }
            Err(error) => {
                let kind = if any { &kinds::ETCD_ENDPOINT_UNREACHABLE } else { &kinds::ETCD_UNREACHABLE };
                findings.push(Finding::new(kind, endpoint, error.to_string()));
            }
        }
    }
    for alarm in &look.alarms {
        findings.push(Finding::new(&kinds::ETCD_ALARM, group.name(), alarm));
    }
    let is_refused = findings.iter().any(|finding| finding.id == kinds::ETCD_REFUSED.id);
    for (right, may) in [("read", &look.read), ("write", &look.write)] {
        if let Err(CoordinationError::Refused { cause, .. }) = may
            && !is_refused
        {
            let found = Finding::new(&kinds::ETCD_RIGHT_MISSING, format!("{right} {prefix}"), cause);
            findings.push(found.filled(&[("PREFIX", &shell::word(prefix))]));
        }
    }
    if look.read.is_err() {
        return None;
    }
    let view = group.view().await.map_err(|error| match error {
        CoordinationError::Foreign { key, why } => findings.push(Finding::new(&kinds::GROUP_UNREADABLE, key, why)),
        other => findings.push(Finding::new(&kinds::ETCD_UNREACHABLE, url.to_string(), other.to_string())),
    });
    let view = view.ok()?;
    findings.extend(of_group(&view));
    Some(view)
}

fn of_endpoint(endpoint: &str, told: &EndpointLook) -> Vec<Finding> {
    let takes = told.read_takes.map_or_else(
        || "no read was possible".to_owned(),
        |takes| format!("a read takes {:.1} ms", takes.as_secs_f64() * 1000.0),
    );
    let mut findings = vec![Finding::new(&kinds::ETCD_VERSION, endpoint, format!("{}; {takes}", told.version))];
    if numbers(&told.version).is_some_and(|numbers| numbers < VERSION_MIN) {
        findings.push(Finding::new(&kinds::ETCD_VERSION_OLD, endpoint, &told.version));
    }
    if !told.has_leader {
        findings.push(Finding::new(&kinds::ETCD_NO_LEADER, endpoint, "no leader"));
    }
    if told.read_takes.is_some_and(|takes| takes > READ_TAKES_MAX) {
        findings.push(Finding::new(&kinds::ETCD_SLOW, endpoint, &takes));
    }
    findings
}

fn of_group(view: &View) -> Vec<Finding> {
    let mut findings = Vec::new();
    if view.paused {
        findings.push(Finding::new(&kinds::GROUP_PAUSED, "the group", "paused"));
    }
    for (id, member) in view.members.iter().filter(|(_, member)| !member.ready) {
        let found = format!("on {}", member.host);
        findings.push(Finding::new(&kinds::GROUP_NOT_READY, id, found).filled(&[("HOST", &shell::word(&member.host))]));
    }
    let digests: BTreeSet<&str> = view.members.values().map(|member| member.config_digest.as_str()).collect();
    if digests.len() > 1 {
        let member =
            |(id, member): (&String, &crate::coordination::MemberRecord)| format!("{id}: {}", member.config_digest);
        let found = view.members.iter().map(member).collect::<Vec<_>>().join(", ");
        findings.push(Finding::new(&kinds::GROUP_DIFFERS, "the group", found));
    }
    findings
}

/// What time each endpoint says it is: every answer of etcd over HTTP has a date.
pub(super) async fn clocks(url: &CoordinationUrl) -> Vec<Clock> {
    let tls = url.tls.clone().unwrap_or_default();
    let trust = Trust { authorities: tls.ca_file, identity: tls.cert_file.map(|cert| (cert, tls.key_file)) };
    let Ok(reader) = Reader::new(&trust, DATE_TIMEOUT, &[]) else { return Vec::new() };
    let scheme = if url.tls.is_some() { "https" } else { "http" };
    let ask = async |endpoint: &String| {
        let server = format!("{scheme}://{endpoint}");
        let asked = Utc::now();
        // That it does not answer is found elsewhere.
        let page = reader.get(&format!("{server}/version"), None, DATE_BYTES_MAX).await.ok()?;
        Some(Clock { server, asked, answered: Utc::now(), said: page.date })
    };
    join_all(url.endpoints.iter().map(ask)).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_slow_endpoint_without_a_leader_is_told_so() {
        let told = EndpointLook {
            version: "3.3.27".to_owned(),
            has_leader: false,
            read_takes: Some(READ_TAKES_MAX + Duration::from_millis(1)),
        };
        let ids: Vec<&str> = of_endpoint("http://h:1", &told).iter().map(|finding| finding.id).collect();
        assert_eq!(ids, ["etcd.version", "etcd.version.old", "etcd.no_leader", "etcd.slow"]);
    }
}
