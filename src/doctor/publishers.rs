//! Looks at the destinations of publishers: whether they are reached, and whether Gnocchi takes the login and has what is needed.
//!
//! Never here: a publisher of files, or one that listens: to build it would make a file, or take a port from the agent.

use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

use super::finding::Finding;
use super::kinds;
use crate::agent::wiring;
use crate::config::Settings;
use crate::model::Severity;
use crate::observe::Metrics;
use crate::pipeline::{self, Plan};
use crate::publish::{self, GnocchiSetup, Publisher};

/// How long a destination may take.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Schemes of which nothing is built here, or which tell nobody whether somebody is there.
const NOT_LOOKED_AT: [&str; 3] = ["file", "prometheus-scrape", "udp"];

/// Everything that there is to say about publishers.
pub(super) async fn look(settings: &Settings, plans: &[Plan]) -> Vec<Finding> {
    let context = wiring::publish_context(settings, &Metrics::new());
    let (mut findings, mut built) = (Vec::new(), BTreeMap::<String, Arc<dyn Publisher>>::new());
    let mut uses_gnocchi = false;
    for (plan, publisher) in plans
        .iter()
        .flat_map(|plan| plan.sinks.iter().flat_map(|sink| &sink.publishers).map(move |publisher| (plan, publisher)))
    {
        let (url, shown) = (&publisher.url, publish::shown(&publisher.url));
        let scheme = url.split_once("://").map_or(url.as_str(), |(scheme, _)| scheme).to_ascii_lowercase();
        uses_gnocchi |= scheme == "gnocchi";
        if NOT_LOOKED_AT.contains(&scheme.as_str()) {
            findings.push(Finding::new(&kinds::PUBLISHER_NOT_LOOKED_AT, shown, "not looked at"));
            continue;
        }
        let kind = match plan.kind {
            pipeline::Kind::Samples => publish::Kind::Samples,
            pipeline::Kind::Events => publish::Kind::Events,
        };
        // What is wrong with the URL is among the complaints about the configuration.
        if let Ok(publisher) = publish::build(url, kind, &context) {
            built.entry(shown).or_insert(publisher);
        }
    }
    let reaches = built.iter().map(async |(shown, publisher)| {
        let why = match timeout(REACH_TIMEOUT, publisher.reach()).await {
            Ok(reached) => reached.err(),
            Err(_) => Some(format!("no answer within {REACH_TIMEOUT:?}")),
        };
        publisher.close().await;
        why.map(|why| Finding::new(&kinds::PUBLISHER_UNREACHABLE, shown, why))
    });
    findings.extend(join_all(reaches).await.into_iter().flatten());
    if uses_gnocchi {
        findings.extend(gnocchi(settings).await);
    }
    findings
}

/// The login at Gnocchi, and what `gnocchi-setup` would create.
async fn gnocchi(settings: &Settings) -> Vec<Finding> {
    // Errors are among the complaints about the configuration.
    let Ok((setup, warnings)) = GnocchiSetup::new(settings, None, false) else { return Vec::new() };
    let refused = |why: String| vec![Finding::new(&kinds::GNOCCHI_REFUSED, setup.who(), why)];
    let address = match setup.address().await {
        Ok(address) => address,
        Err(why) => return refused(why),
    };
    let plan = match setup.plan().await {
        Ok(plan) => plan,
        Err(why) => return refused(why),
    };
    let warnings = warnings.into_iter().filter(|warning| warning.severity == Severity::Warning).map(|w| w.to_string());
    let missing = plan.steps.iter().map(|step| Finding::new(&kinds::GNOCCHI_MISSING, step.to_string(), &address));
    let differs = plan.warnings.iter().cloned().chain(warnings);
    missing.chain(differs.map(|warning| Finding::new(&kinds::GNOCCHI_DIFFERS, &address, warning))).collect()
}
