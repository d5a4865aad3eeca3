//! What is wrong with the live systems, before an agent runs or while it does not: RabbitMQ, etcd, destinations of publishers.
//!
//! The look uses the agent's own logins, and RabbitMQ's management API where that answers. `kinds` is the table of everything that
//! can be found; `needs` is what the configuration needs on a broker; the others look, each at one kind of server.
//!
//! Never here: a request that changes something. Nothing is declared but passively, nothing is consumed, nothing is written. Three
//! requests look like changes, and are asked so that there is nothing that they could change: `transport`'s look at rights,
//! `coordination`'s look at rights, and one message to a queue that cannot be there.

mod broker;
mod clocks;
mod etcd;
mod finding;
mod kinds;
mod management;
mod needs;
mod publishers;
mod reference;

pub use finding::{Finding, Kind, Report, Severity};
pub use management::Address;
pub use reference::reference;

use broker::Subject;
use needs::{Layout, Needs};

use crate::agent::{definitions, wiring};
use crate::config::Settings;
use crate::coordination::View;
use crate::model;
use crate::pipeline::Plan;

/// What the operator says about the look.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The management APIs of the brokers, in the order of the brokers; those that are not named are looked for.
    pub management: Vec<Address>,
}

/// Looks at everything that the configuration names.
pub async fn look(settings: &Settings, options: &Options) -> Report {
    let plans = definitions::plans(settings);
    let mut findings = complaints(settings);
    let mut clocks = Vec::new();
    let mut view = None;
    if let (Some(group), Some(url)) = (wiring::etcd(settings), settings.cluster.backend.as_ref()) {
        let prefix = format!("/nephoscope/{}/", settings.cluster.group);
        view = etcd::look(&group, url, &prefix, &mut findings).await;
        clocks.extend(etcd::clocks(url).await);
    }
    let (publishers, brokers) =
        tokio::join!(publishers::look(settings, &plans), brokers(settings, options, &plans, view.as_ref()));
    findings.extend(publishers);
    for (of_broker, clock) in brokers {
        findings.extend(of_broker);
        clocks.extend(clock);
    }
    findings.extend(clocks.iter().filter_map(clocks::judged));
    Report::of(findings)
}

/// The errors that `check` would say; it says more, with the files.
fn complaints(settings: &Settings) -> Vec<Finding> {
    let broker =
        |url: &str| settings.transport_url(url).map(drop).map_err(|expected| vec![format!("expected {expected}")]);
    let complaints = definitions::check(settings, &broker).into_iter();
    let errors = complaints.filter(|complaint| complaint.severity == model::Severity::Error);
    errors.map(|error| Finding::new(&kinds::CONFIGURATION_WRONG, error.place.to_string(), error.text)).collect()
}

async fn brokers(
    settings: &Settings,
    options: &Options,
    plans: &[Plan],
    view: Option<&View>,
) -> Vec<(Vec<Finding>, Option<clocks::Clock>)> {
    let layout = layout(settings, view);
    let mut all = Vec::new();
    for (n, url) in settings.intake.urls.iter().enumerate() {
        let needs = Needs::of(settings, plans, url, n == 0, layout);
        let owned = owned(view, n);
        let management = options.management.get(n);
        let subject = Subject { settings, url, needs: &needs, owned: &owned, management };
        all.push(broker::look(&subject).await);
    }
    all
}

/// The group's layout, or the one that its first member would write.
fn layout(settings: &Settings, view: Option<&View>) -> Layout {
    let spec = view.and_then(|view| view.spec.as_ref()).map(|(spec, _)| &spec.present);
    let configured = u16::try_from(settings.cluster.pipeline_processing_queues).unwrap_or(u16::MAX);
    spec.map_or((1, configured), |layout| (layout.generation, layout.table.queues()))
}

/// The main queues of a broker that members of the group own.
fn owned(view: Option<&View>, broker: usize) -> Vec<String> {
    let end = if broker == 0 { String::new() } else { format!("@{broker}") };
    let owners = view.into_iter().flat_map(|view| view.owners.keys());
    owners.filter_map(|queue| Some(queue.strip_prefix("main:")?.strip_suffix(&end)?.to_owned())).collect()
}
