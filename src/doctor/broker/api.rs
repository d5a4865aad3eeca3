//! What the management API tells: alarms, nodes, feature flags, policies, queues with their arguments, consumers, rights.
//!
//! Never here: a judgement of queues; a request that changes something.

use chrono::Utc;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

use super::Subject;
use crate::config::broker::host::Host;
use crate::doctor::clocks::Clock;
use crate::doctor::finding::Finding;
use crate::doctor::kinds;
use crate::doctor::management::pages::{self, ClientProperties};
use crate::doctor::management::policies::{Policies, Policy};
use crate::doctor::management::{Address, Management, Missing, part, read};
use crate::doctor::needs::Role;
use crate::publish::reader::Trust;

/// How long the API may take for everything.
const LOOK_WITHIN: Duration = Duration::from_secs(60);
/// Queues of one page.
const PAGE_QUEUES: u64 = 500;
/// Pages of queues that are read: 20,000 queues.
const PAGES_MAX: u64 = 40;
/// Consumers of one queue whose connection is looked at.
const CONSUMERS_MAX: usize = 10;
/// What is read of a queue.
const QUEUE_COLUMNS: &str = "name,type,durable,auto_delete,exclusive,arguments,messages,consumers";
/// What our agents call their connections.
const AGENT: &str = "nephoscope:";

/// Everything that was told; nothing where it was not.
#[derive(Default)]
pub(super) struct Told {
    /// Every queue of the virtual host, by name.
    pub queues: Option<BTreeMap<String, pages::Queue>>,
    /// Every policy.
    pub policies: Option<Policies>,
    /// What the user may.
    pub permissions: Option<pages::Permissions>,
    /// Who consumes each main queue.
    pub consumers: BTreeMap<String, Vec<Consumer>>,
    /// What time it is there.
    pub clock: Option<Clock>,
}

/// One that consumes a queue.
pub(super) struct Consumer {
    /// What the program calls its connection, or else its library.
    program: String,
    user: String,
    /// The machine that it is on.
    pub host: String,
}

impl Consumer {
    /// Whether it is one of ours.
    pub(super) fn is_agent(&self) -> bool {
        self.program.starts_with(AGENT)
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}, as user {}", self.program, self.host, self.user)
    }
}

/// Where the API is: where the operator says, or at its usual port of the host that answers. A login never goes in the clear where
/// AMQP is not in the clear.
fn address(subject: &Subject<'_>, host: &Host) -> Option<Address> {
    let (user, password) = subject.login();
    if let Some(named) = subject.management {
        return Some(named.clone().or_login(user, password));
    }
    let name = if host.name.contains(':') { format!("[{}]", host.name) } else { host.name.clone() };
    let usual =
        if subject.url.rabbit.tls.is_some() { format!("https://{name}:15671") } else { format!("http://{name}:15672") };
    Address::parse(&usual).ok().map(|address| address.or_login(user, password))
}

/// Asks for everything.
pub(super) async fn look(subject: &Subject<'_>, host: &Host, findings: &mut Vec<Finding>) -> Told {
    let Some(address) = address(subject, host) else { return Told::default() };
    let authorities = subject.url.rabbit.tls.as_ref().and_then(|tls| tls.ca_file.clone());
    let trust = Trust { authorities, identity: None };
    let away = |address: &str, why: &str| Finding::new(&kinds::MANAGEMENT_UNREACHABLE, address, why);
    let shown = address.shown();
    let management = match Management::new(address, &trust) {
        Ok(management) => management,
        Err(why) => {
            findings.push(away(&shown, &why));
            return Told::default();
        }
    };
    let mut asking = Asking { subject, management, findings, vhost: part(&subject.url.vhost) };
    let asked = Utc::now();
    let (overview, said) = match asking.management.get("overview").await {
        Ok(page) => (read::<pages::Overview>("overview", &page), page.date),
        Err(missing) => (Err(missing), None),
    };
    let answered = Utc::now();
    match overview {
        Ok(overview) => {
            let told = timeout(LOOK_WITHIN, asking.everything(overview.disable_stats)).await;
            let told = told.unwrap_or_else(|_| {
                let found = format!("it did not answer everything within {LOOK_WITHIN:?}");
                asking.findings.push(away(&shown, &found));
                Told::default()
            });
            Told { clock: Some(Clock { server: shown, asked, answered, said }), ..told }
        }
        Err(Missing::Refused(why)) => {
            let user = asking.management.address().user().to_owned();
            let found = format!("user {user}: {why}");
            let refused = Finding::new(&kinds::MANAGEMENT_REFUSED, &shown, found);
            asking.findings.push(refused.filled(&[("USER", &crate::transport::shell::word(&user))]));
            Told::default()
        }
        Err(Missing::Away(why) | Missing::Odd(why)) => {
            asking.findings.push(away(&shown, &why));
            Told::default()
        }
        Err(Missing::Nothing) => {
            asking.findings.push(away(&shown, "there is no such page"));
            Told::default()
        }
    }
}

struct Asking<'a> {
    subject: &'a Subject<'a>,
    management: Management,
    findings: &'a mut Vec<Finding>,
    /// As a part of a path.
    vhost: String,
}

impl Asking<'_> {
    async fn everything(&mut self, has_no_statistics: bool) -> Told {
        if has_no_statistics {
            let object = self.management.address().shown();
            self.findings.push(Finding::new(&kinds::MANAGEMENT_NO_STATISTICS, object, "disable_stats is true"));
        }
        self.alarms().await;
        self.nodes().await;
        self.feature_flags().await;
        self.exchanges().await;
        self.default_type().await;
        let policies = self.policies().await;
        let queues = self.queues().await;
        let user = part(self.subject.user());
        let permissions = self.optional(&format!("permissions/{}/{user}", self.vhost)).await;
        let consumers = if has_no_statistics { BTreeMap::new() } else { self.consumers(queues.as_ref()).await };
        Told { queues, policies, permissions, consumers, clock: None }
    }

    /// A page; a finding where the user may not see it, or where it cannot be understood.
    async fn read<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        match self.management.page(path).await {
            Ok(page) => Some(page),
            // An older version.
            Err(Missing::Nothing) => None,
            Err(Missing::Refused(why) | Missing::Odd(why) | Missing::Away(why)) => {
                let name = path.split(['?', '/']).next().unwrap_or(path);
                let object = format!("{}/api/{name}", self.management.address().shown());
                self.findings.push(Finding::new(&kinds::MANAGEMENT_PARTIAL, object, why));
                None
            }
        }
    }

    /// A page that something else says when it is missing.
    async fn optional<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        self.management.page(path).await.ok()
    }

    /// 503 where there are alarms.
    async fn alarms(&mut self) {
        const PATH: &str = "health/checks/alarms";
        let Ok(mut page) = self.management.get(PATH).await else { return };
        if page.status != 503 {
            return;
        }
        page.status = 200;
        let alarms: pages::Alarms = read(PATH, &page).unwrap_or_default();
        for alarm in alarms.alarms {
            let found = format!("{} on {}", alarm.resource, alarm.node);
            self.findings.push(Finding::new(&kinds::RABBITMQ_ALARM, self.subject.url.to_string(), found));
        }
    }

    async fn nodes(&mut self) {
        let nodes: Vec<pages::Node> = self.read("nodes?columns=name,running,partitions").await.unwrap_or_default();
        for node in nodes {
            if !node.running {
                self.findings.push(Finding::new(&kinds::RABBITMQ_NODE_DOWN, &node.name, "it does not run"));
            }
            if !node.partitions.is_empty() {
                let found = format!("it does not see {}", node.partitions.join(", "));
                self.findings.push(Finding::new(&kinds::RABBITMQ_PARTITION, &node.name, found));
            }
        }
    }

    async fn feature_flags(&mut self) {
        let flags: Vec<pages::FeatureFlag> =
            self.read("feature-flags?columns=name,state,stability").await.unwrap_or_default();
        let off = flags.into_iter().filter(|flag| flag.state == "disabled" && flag.stability != "experimental");
        let off: Vec<String> = off.map(|flag| flag.name).collect();
        let object = self.subject.url.to_string();
        if self.subject.needs.has_state && off.iter().any(|name| name == "stream_queue") {
            self.findings.push(Finding::new(&kinds::RABBITMQ_STREAMS_MISSING, &object, "stream_queue is disabled"));
        }
        if !off.is_empty() {
            self.findings.push(Finding::new(&kinds::RABBITMQ_FEATURE_FLAG, object, super::queues::names(&off)));
        }
    }

    async fn exchanges(&mut self) {
        let exchanges = self.subject.needs.exchanges.iter().map(async |exchange| {
            let path = format!("exchanges/{}/{}?columns=type", self.vhost, part(&exchange.name));
            (&exchange.name, self.optional::<pages::Exchange>(&path).await)
        });
        for (name, there) in join_all(exchanges).await {
            if let Some(kind) = there.map(|there| there.kind).filter(|kind| !kind.is_empty() && kind != "topic") {
                let found = format!("it is a {kind} exchange");
                self.findings.push(Finding::new(&kinds::EXCHANGE_DIFFERS, name, found));
            }
        }
    }

    /// Only administrators see it; that is said with the right to configure, which only they see too.
    async fn default_type(&mut self) {
        let vhost = self.optional::<pages::Vhost>(&format!("vhosts/{}", self.vhost)).await.unwrap_or_default();
        let rabbit = &self.subject.url.rabbit;
        if vhost.default_queue_type.as_deref() == Some("quorum") && rabbit.durable && !rabbit.quorum {
            let words = [("VHOST", &*self.subject.vhost())];
            let object = format!("virtual host {}", self.subject.url.vhost);
            let found = Finding::new(&kinds::RABBITMQ_QUORUM_BY_DEFAULT, object, "its default queue type is quorum");
            self.findings.push(found.filled(&words));
        }
    }

    async fn policies(&mut self) -> Option<Policies> {
        let (user, operator) = (format!("policies/{}", self.vhost), format!("operator-policies/{}", self.vhost));
        let user: Vec<Policy> = self.read(&user).await?;
        let operator: Vec<Policy> = self.read(&operator).await.unwrap_or_default();
        Some(Policies::new(user, operator))
    }

    async fn queues(&mut self) -> Option<BTreeMap<String, pages::Queue>> {
        let mut queues = BTreeMap::new();
        for page in 1..=PAGES_MAX {
            let path = format!("queues/{}?page={page}&page_size={PAGE_QUEUES}&columns={QUEUE_COLUMNS}", self.vhost);
            let read: pages::QueuePage = self.read(&path).await?;
            queues.extend(read.items.into_iter().map(|queue| (queue.name.clone(), queue)));
            if page >= read.page_count {
                return Some(queues);
            }
        }
        let object = format!("{}/api/queues", self.management.address().shown());
        let found = format!("more than {} queues; the others were not looked at", PAGES_MAX * PAGE_QUEUES);
        self.findings.push(Finding::new(&kinds::MANAGEMENT_PARTIAL, object, found));
        Some(queues)
    }

    async fn consumers(&self, queues: Option<&BTreeMap<String, pages::Queue>>) -> BTreeMap<String, Vec<Consumer>> {
        let mut all = BTreeMap::new();
        for need in self.subject.needs.role(Role::Main) {
            let name = &need.queue.name;
            if !queues.is_some_and(|queues| queues.contains_key(name)) {
                continue;
            }
            let path = format!("queues/{}/{}?columns=consumer_details", self.vhost, part(name));
            let Some(details) = self.optional::<pages::QueueDetails>(&path).await else { continue };
            let channels = details.consumer_details.into_iter().map(|consumer| consumer.channel_details);
            let consumers = join_all(channels.take(CONSUMERS_MAX).map(|channel| self.consumer(channel))).await;
            all.insert(name.clone(), consumers);
        }
        all
    }

    async fn consumer(&self, channel: pages::ChannelDetails) -> Consumer {
        let path = format!("connections/{}?columns=client_properties", part(&channel.connection_name));
        let connection: pages::Connection = self.optional(&path).await.unwrap_or_default();
        let ClientProperties { connection_name, product } = connection.client_properties;
        let program = connection_name.or(product).unwrap_or_else(|| "a program that does not say its name".to_owned());
        Consumer { program, user: channel.user, host: channel.peer_host }
    }
}
