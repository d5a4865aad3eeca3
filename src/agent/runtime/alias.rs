//! One broker under two addresses: two nodes of a cluster, or a node and its load balancer, named as two brokers. Consumed
//! twice, the order of its messages would be lost, so only the first name of it is consumed.
//!
//! No name tells (two containers are called alike, one cluster answers under many names); what is declared over one
//! connection and seen over the other does. Virtual hosts have their own queues, and count as brokers here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;

use super::broker::BrokerPlace;
use super::context::Context;
use crate::transport::{Argument, Queue, Session, Topology, TransportError};

/// A queue that was declared to look and could not be deleted goes away by itself, in milliseconds.
const EXPIRES_MS: i64 = 60_000;

/// Which of the brokers, by their positions, are one.
#[derive(Default)]
pub(in crate::agent) struct Aliases(Mutex<Known>);

#[derive(Default)]
struct Known {
    compared: BTreeSet<(usize, usize)>,
    /// The later position, and the earlier one.
    same: BTreeMap<usize, usize>,
}

impl Aliases {
    /// That a broker is none of the others under another address, as far as they can be reached. Where a later one is this
    /// one, that one is given up before this one is consumed.
    pub(in crate::agent) async fn is_no_alias(
        &self,
        brokers: &[Arc<BrokerPlace>],
        broker: usize,
        context: &Context,
    ) -> Result<(), TransportError> {
        if brokers.len() == 1 {
            return Ok(());
        }
        let mut known = self.0.lock().await;
        for other in (0..brokers.len()).filter(|other| *other != broker) {
            let (first, later) = (broker.min(other), broker.max(other));
            let sessions = (brokers[first].link.current(), brokers[later].link.current());
            let (Some(one), Some(two)) = sessions else { continue };
            if known.compared.contains(&(first, later)) {
                continue;
            }
            let same = is_seen(context, &*one, &*two, (first, later)).await?;
            known.compared.insert((first, later));
            if same {
                known.same.insert(later, first);
                if !brokers[later].guarded().queues.is_empty() {
                    // What it took goes back before it is taken under the other name.
                    two.close().await;
                }
            }
        }
        let Some(first) = known.same.get(&broker) else { return Ok(()) };
        Err(TransportError::Refused(format!(
            "{} is {} under another address, and is consumed as that; name both hosts in one URL \
             (rabbit://user:password@host1:5672,user:password@host2:5672/vhost) and restart the agent",
            brokers[broker].link.name(),
            brokers[*first].link.name(),
        )))
    }
}

/// Whether a queue that is declared over one session is seen over the other.
async fn is_seen(
    context: &Context,
    one: &dyn Session,
    two: &dyn Session,
    (first, later): (usize, usize),
) -> Result<bool, TransportError> {
    let name = format!("nephoscope.{}.address.{}.{first}-{later}", context.group, context.member);
    let arguments = BTreeMap::from([
        ("x-queue-type".to_owned(), Argument::Text("classic".to_owned())),
        ("x-expires".to_owned(), Argument::Integer(EXPIRES_MS)),
    ]);
    let queue = Queue {
        name: name.clone(),
        durable: true,
        auto_delete: false,
        exclusive: false,
        arguments,
        fallback_transient: false,
    };
    one.declare(&Topology { queues: vec![queue], ..Topology::default() }).await?;
    let seen = two.inspect(&name).await;
    one.delete(&name).await?;
    match seen {
        Ok(_) => Ok(true),
        Err(TransportError::NoQueue(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
