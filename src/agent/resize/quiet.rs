//! The moment from which on the main queues are routed by the next layout: each of them has been without a consumer since the
//! change began. Whoever consumes one afterwards asks the group for the layout first (`listeners::open`), so nothing more is acknowledged
//! by the present layout.
//!
//! A broker that shows no consumer is what the proof needs. That nobody owns a main queue either is asked first: a node of a
//! broker cluster that does not reach a queue answers 0. Beside a Ceilometer (`main_queue_exclusive = false`) the broker always
//! shows consumers; no order is promised there, and the owners alone count.
//!
//! A change that finds no quiet in time is withdrawn: nothing was sent by its layout yet.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::layout::GroupLayout;
use crate::agent::runtime::{BrokerPlace, Context};
use crate::coordination::{Membership, View};
use crate::transport::TransportError;

/// A change that has not found the main queues quiet within this time, or three reads of the group, is withdrawn.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at the broker.
const AGAIN: Duration = Duration::from_millis(250);
/// What the names of the main queues' owner keys begin with.
const MAIN: &str = "main:";

/// What a member does for quiet.
#[derive(Default)]
pub(in crate::agent) struct Quiet {
    /// The revision of the change that was last seen to wait for quiet, and when it was first.
    since: Option<(i64, Instant)>,
    /// Cancelled when the last search is over.
    searching: Option<CancellationToken>,
}

impl Quiet {
    /// Takes note of a view. Where a change waits for quiet, the first ready member looks for it.
    pub(in crate::agent) fn seek(
        &mut self,
        (context, brokers): (&Arc<Context>, &[Arc<BrokerPlace>]),
        membership: &Arc<dyn Membership>,
        (layout, view): (&Arc<GroupLayout>, &View),
        is_first: bool,
    ) {
        if layout.routing().is_some() {
            self.since = None;
            return;
        }
        let now = Instant::now();
        let since = self.since.filter(|(revision, _)| *revision == layout.revision).map_or(now, |(_, since)| since);
        self.since = Some((layout.revision, since));
        if !is_first || self.searching.as_ref().is_some_and(|over| !over.is_cancelled()) {
            return;
        }
        let until = since + QUIET_WITHIN.max(3 * context.options.view_period);
        let owned = view.owners.iter().find(|(queue, _)| queue.starts_with(MAIN));
        let owned = owned.map(|(queue, (member, _))| format!("{member} owns {queue}"));
        if owned.is_some() && now < until {
            // Its release is the next change that the group tells of.
            return;
        }
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        self.searching = Some(over);
        let brokers = brokers.to_vec();
        let search = Search { context: Arc::clone(context), brokers, layout: Arc::clone(layout), until };
        let membership = Arc::clone(membership);
        context.tasks.spawn("the main queues to be quiet", async move {
            let _guard = guard;
            membership.lost().run_until_cancelled(search.run(owned, &*membership)).await;
        });
    }
}

struct Search {
    context: Arc<Context>,
    brokers: Vec<Arc<BrokerPlace>>,
    layout: Arc<GroupLayout>,
    until: Instant,
}

impl Search {
    /// Looks until the main queues are quiet or the time is over, and writes down what came of it.
    async fn run(&self, owned: Option<String>, membership: &dyn Membership) {
        let Search { context, layout, .. } = self;
        let loud = match owned {
            Some(owned) => Some(owned),
            None => self.look().await,
        };
        let spec = if loud.is_some() { layout.spec.withdrawn() } else { layout.spec.quieted() };
        match membership.put_spec(&spec, Some(layout.revision)).await {
            Ok(true) => {
                let queues = layout.spec.next.as_ref().map_or(0, |next| next.table.queues());
                match loud {
                    None => context.metrics.main_queues_quiet(queues),
                    Some(why) => context.metrics.partitions_withdrawn(queues, &why),
                }
            }
            // Another member was first.
            Ok(false) => {}
            Err(error) => context.metrics.group_silent(&error.to_string()),
        }
    }

    /// `None` when each main queue has been seen without a consumer; otherwise what was in the way until the time was over.
    async fn look(&self) -> Option<String> {
        if !self.context.options.main_queue_exclusive {
            return None;
        }
        for place in &self.brokers {
            for queue in &place.main_queues {
                while let Err(error) = without_consumer(place, queue).await {
                    if Instant::now() >= self.until {
                        return Some(match error {
                            TransportError::Occupied(queue) => format!("{queue} has a consumer"),
                            error => error.to_string(),
                        });
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        None
    }
}

async fn without_consumer(place: &BrokerPlace, queue: &str) -> Result<(), TransportError> {
    let session = place.link.current().ok_or_else(|| place.link.absence())?;
    match session.until_alone(queue, 0).await {
        Ok(_) | Err(TransportError::NoQueue(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
