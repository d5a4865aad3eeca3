//! Before a joining member counts in its group: the configuration is loaded by then, the broker is reached by then, and
//! here its queues are declared and the publishers are asked whether they can be reached.
//!
//! A publisher that is down must not keep a cluster from forming: after a while the member counts all the same.

use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

use crate::agent::listeners::agent_context::AgentContext;
use crate::agent::stages::route::Routes;
use crate::observe::Metrics;
use crate::publish::Publisher;

/// How long publishers are waited for, all together.
pub(in crate::agent) const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two questions to one publisher.
const AGAIN: Duration = Duration::from_secs(1);

/// Declares what the first queue that moves to this member would have to wait for, with its old owner gone. What cannot be
/// declared is declared, or complained of, when a queue is opened.
pub(in crate::agent) async fn queues_declared(agent: &AgentContext, routes: &Routes) {
    // The first member of all has none yet.
    let _layout = agent.layouts.fresh().await;
    for broker in 0..agent.brokers.len() {
        let _prepared = agent.prepared(broker, routes).await;
    }
}

/// Returns when every publisher has been reached, or [`REACH_TIMEOUT`] is over; then those that were not are named.
pub(in crate::agent) async fn publishers_reached(routes: &Routes, metrics: &Metrics) {
    let mut publishers: BTreeMap<Arc<str>, Arc<dyn Publisher>> = BTreeMap::new();
    for slot in &routes.sinks {
        let sink = slot.current();
        publishers.extend(sink.destinations.iter().map(|d| (Arc::clone(&d.url), Arc::clone(&d.publisher))));
    }
    let until = Instant::now() + REACH_TIMEOUT;
    join_all(publishers.iter().map(|(name, publisher)| reached(name, &**publisher, until, metrics))).await;
}

async fn reached(name: &str, publisher: &dyn Publisher, until: Instant, metrics: &Metrics) {
    let mut cause = format!("no answer within {REACH_TIMEOUT:?}");
    let asking = async {
        while let Err(why) = publisher.reach().await {
            cause = why;
            sleep(AGAIN).await;
        }
    };
    if timeout_at(until, asking).await.is_err() {
        metrics.publisher_unreachable(name, &cause);
    }
}
