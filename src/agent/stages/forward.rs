//! The first hop of a partitioned group: what a batch of notifications yields is put into the lanes to the pipeline queues;
//! the originals are settled when everything they yielded is confirmed.

use std::sync::Arc;

use super::route::Routes;
use crate::agent::books::Account;
use crate::agent::packets::encoding::EncodedFragment;
use crate::agent::packets::lane::Expected;
use crate::agent::packets::lanes::{self, CreateAgain, Lanes};
use crate::agent::resize;
use crate::agent::runtime::Context;
use crate::cluster::Layout;
use crate::model::{Receipt, Verdict};
use crate::transport::Session;

/// Forwards what one listener converts. Bound to one session: a lost one ends the listener.
pub(in crate::agent) struct Forwarder {
    group: Arc<str>,
    lanes: Lanes,
    /// The names of the queues of each sink that something went to.
    names: Vec<Names>,
}

/// The names of the queues of a sink, by their numbers.
struct Names {
    sink: Arc<str>,
    generation: u64,
    queues: Vec<String>,
}

impl Forwarder {
    /// A forwarder of the listener of a queue, in an epoch of its ownership.
    pub(in crate::agent) fn new(
        context: &Arc<Context>,
        session: Arc<dyn Session>,
        queues: Arc<dyn CreateAgain>,
        (queue, epoch): (&str, i64),
        account: &Arc<Account>,
    ) -> Self {
        let group = Arc::clone(&context.group);
        let lanes = Lanes::new(&context.member, epoch, context.options.packet, account);
        let carry = lanes::carry(lanes.clone(), session, Arc::clone(context), queues);
        context.tasks.spawn(&format!("packets of {queue}"), carry);
        Forwarder { group, lanes, names: Vec::new() }
    }

    /// Puts what a batch of notifications yielded into the lanes; packets that are not full wait for what is `expected`, and
    /// while others are on their way.
    /// Every receipt that is not confirmed when the session is over goes back by itself.
    pub(in crate::agent) fn forward(
        &mut self,
        routes: &Routes,
        layout: &Layout,
        yielded: Vec<(usize, EncodedFragment, Receipt)>,
        expected: Expected,
    ) {
        for (sink, fragment, receipt) in yielded {
            let names = self.names_of(sink, routes, layout);
            for (queue, records) in fragment.by_queue(&layout.table) {
                let name = &self.names[names].queues[usize::from(queue)];
                self.lanes.push(name, fragment.head(), &records, receipt.split());
            }
            // The parts in the packets now carry the delivery.
            receipt.settle(Verdict::Kept);
        }
        self.lanes.send_full(expected);
    }

    /// The place of the names of a sink's queues.
    fn names_of(&mut self, sink: usize, routes: &Routes, layout: &Layout) -> usize {
        let sink = &routes.sinks[sink].name;
        let is_present = |names: &Names| {
            names.generation == layout.generation && names.queues.len() == usize::from(layout.table.queues())
        };
        let is_of = |names: &Names| Arc::ptr_eq(&names.sink, sink) && is_present(names);
        self.names.iter().position(is_of).unwrap_or_else(|| {
            // A reload may have taken sinks away.
            let is_configured = |names: &Names| routes.sinks.iter().any(|slot| Arc::ptr_eq(&slot.name, &names.sink));
            self.names.retain(|names| is_present(names) && is_configured(names));
            let queues = resize::queues(&self.group, sink, layout).collect();
            self.names.push(Names { sink: Arc::clone(sink), generation: layout.generation, queues });
            self.names.len() - 1
        })
    }

    /// Nothing more is put in: what is there is sent.
    pub(in crate::agent) fn close(&self) {
        self.lanes.close();
    }

    /// The listener is over, and what it took is back in its queue: nothing more of it is sent.
    pub(in crate::agent) fn abandon(&self) {
        self.lanes.abandon();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.lanes.close();
    }
}
