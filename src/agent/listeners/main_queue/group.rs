//! The way of a group: over the pipeline queues, where the listener of the queue's owner takes it up.

use std::sync::Arc;

use super::way::{Way, Yielded};
use crate::agent::packets::encoding::EncodedFragment;
use crate::agent::packets::lane::Expected;
use crate::agent::resize::Layouts;
use crate::agent::stages::forward::Forwarder;
use crate::agent::stages::route::Routes;
use crate::cluster::Layout;

/// The way over the pipeline queues, where the listener of the queue's owner takes it up.
pub(in crate::agent) struct GroupWay {
    /// Publishes packets.
    pub forwarder: Forwarder,
    /// Which queues there are: another layout is used by another listener.
    pub layout: Layout,
    /// What is known of the layout.
    pub layouts: Arc<Layouts>,
}

impl Way for GroupWay {
    type Part = EncodedFragment;

    async fn is_current(&self) -> bool {
        // As at the opening: who changes the layout may have seen the queue without a consumer.
        let fresh = self.layouts.fresh().await;
        fresh.is_ok_and(|fresh| fresh.routing().is_some_and(|layout| layout.generation == self.layout.generation))
    }

    fn abandon(&self) {
        self.forwarder.abandon();
    }

    async fn take(&mut self, routes: &Routes, yielded: Yielded<EncodedFragment>, expected: Expected) -> bool {
        self.forwarder.forward(routes, &self.layout, yielded, expected);
        true
    }
}
