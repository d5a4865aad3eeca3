//! The assembled machine. Each room uses only those above it in this list; `docs/architecture.md` walks through them with one
//! notification, from queue to publisher.
//!
//! 1. `runtime` is what all of it runs on: options, clock, tasks, the connections to the brokers, what it waits for.
//!    `books` count what is settled, and note it for the group.
//! 2. `packets` travel from the agent that converts to the agent that publishes; `parked` is where a person finds what could not
//!    be used.
//! 3. `sinks` offer batches to publishers, and settle a delivery when all of them have it.
//! 4. `stages` take a notification from its queue, convert it, route it, and forward what it yields.
//! 5. `state` is the state of transformers, which follows its queue.
//! 6. `resize` changes the number of pipeline queues.
//! 7. `listeners` put all this to work: one on each queue that this member owns.
//! 8. `ownership` decides with the group which queues these are.
//! 9. `setup` makes the parts of an agent from its configuration, and `lifecycle` starts, reloads, drains and kills it.
//!
//! Never here: what a definition means, what a broker or a group does. Those are rooms above `agent` in `src/lib.rs`.

mod books;
mod lifecycle;
mod listeners;
mod ownership;
mod packets;
pub mod parked;
mod resize;
mod runtime;
mod setup;
mod sinks;
mod stages;
mod state;

pub use books::{BooksError, Window, audit_books};
pub use lifecycle::{Agent, NotDrained, Outcome};
pub use packets::packet;
pub use runtime::BrokerPlace;
pub use runtime::clock::Clock;
pub use runtime::options::{
    AgentOptions, BySize, IntakeBounds, MainPrefetch, OverflowOptions, PacketBounds, StateOptions,
};
pub use setup::{Blueprint, DeskParts, Parts, definitions, wiring};
pub use stages::route::dropped;
