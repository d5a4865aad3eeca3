//! Whole agents on the in-process broker and group, in one thread and on a paused clock, from a seed: who is there, what
//! is sent, and what goes wrong. After every run the promises are checked.
//!
//! The agents are the real ones: listeners, workers, ownership, links. What is simulated is what they stand on: the
//! broker and the group (the twins that `tests/transport_contract.rs` and `tests/coordination_contract.rs` hold to the
//! real servers), the network to both (`network`, `wire`, `group`), the destination (`outlet`), and the process itself,
//! which can be killed at any await point and held still (`tasks`). `plan` makes a world of a seed, `world` plays it,
//! `witness` judges it.
//!
//! Never here: threads, files, sockets, the clock of the machine, randomness that is not the seed's.

mod mistakes;
mod network;
mod oracle;
mod outlet;
mod plan;
mod sender;
mod trace;
mod witness;
mod world;

pub use mistakes::Mistake;
pub use witness::{Invariant, Tally, Violation};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What happened: virtual time, who, what.
    pub timeline: Vec<String>,
    /// The run in numbers.
    pub tally: Tally,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
}

/// Plays the world of a seed to its end; every agent makes the mistake, if there is one.
pub fn run(seed: u64, mistake: Option<Mistake>) -> std::io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(world::play(seed, mistake)))
}
