//! What makes of parcels what a sink publishes: with the state of a queue, or without. It serves a pipeline queue, and a sink of
//! an agent alone.

use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::sink::{Parcel, SinkSlot};
use crate::agent::sinks::transform;
use crate::agent::state::{Done, Keeper, Lost};
use crate::state::Source;

/// The worker of one queue, or of one sink of an agent alone.
pub(in crate::agent) enum Worker {
    /// The sink has no transformers, or they keep nothing.
    Stateless,
    /// Its transformers keep state.
    Stateful(Box<Keeper>),
}

impl Worker {
    /// Whether it is one for this sink, as it is configured now.
    pub(super) fn fits(&self, slot: &SinkSlot) -> bool {
        self.keeper().is_some() == slot.is_stateful()
    }

    /// Publishes what an earlier owner committed, and perhaps did not publish.
    pub(super) async fn resume(&mut self, slot: &SinkSlot, context: &SinkContext) -> Done {
        match self {
            Worker::Stateless => Done::Published,
            Worker::Stateful(keeper) => keeper.resume(slot, context).await,
        }
    }

    /// Takes parcels through the sink's transformers to its publishers, and settles them. Where a reload gave the sink a state, or
    /// took it away, they go back: another worker is due.
    pub(super) async fn handle(&mut self, parcels: Vec<Parcel>, slot: &SinkSlot, context: &SinkContext) -> Done {
        if !self.fits(slot) {
            return Done::Unpublished;
        }
        match self {
            Worker::Stateful(keeper) => {
                keeper.use_transformers(&slot.current().transformers);
                keeper.handle(parcels, context.clock.now(), slot, context).await
            }
            Worker::Stateless => {
                let Some(parcels) = transform::stateless(slot, parcels, context).await else {
                    return Done::Unpublished;
                };
                match slot.deliver(parcels, context).await {
                    Ok(true) => Done::Published,
                    Ok(false) => Done::Unpublished,
                    Err(failed) => Done::Failed(failed),
                }
            }
        }
    }

    /// Waits for a sign that its state is not its own any more, or that its log is gone; for ever where there is no state. Dropping
    /// the future loses nothing.
    pub(super) async fn fenced(&mut self) -> Lost {
        match self {
            Worker::Stateless => std::future::pending().await,
            Worker::Stateful(keeper) => keeper.fenced().await,
        }
    }

    /// The state.
    pub(super) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Worker::Stateless => None,
            Worker::Stateful(keeper) => Some(keeper),
        }
    }

    /// The same, to be changed.
    pub(super) fn keeper_mut(&mut self) -> Option<&mut Keeper> {
        match self {
            Worker::Stateless => None,
            Worker::Stateful(keeper) => Some(keeper),
        }
    }

    /// A packet of a sender is taken: written down with the next batch.
    pub(super) fn came(&mut self, source: &Source) {
        let Some(keeper) = self.keeper_mut() else { return };
        let last = keeper.sequence_of(&source.member, source.epoch);
        if last.is_none_or(|last| source.sequence > last) {
            keeper.came(source);
        }
    }
}
