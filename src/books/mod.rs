//! The books of a group: what became of every notification, packet and record, as its agents note it, and whether it adds up.
//!
//! An agent counts what it settles in a [`Tally`] for each queue that it owns, and writes what was added since into a [`Note`], about
//! once a second. Whoever reads the notes adds them up ([`Sums`]); those of several agents come in any order, and one that comes twice counts once. [`audit`] then says what came
//! of all that was taken in a window of time, and what is missing. Packets carry numbers, so that what a crash left unwritten is
//! known by its number: it is named, and never guessed.
//!
//! Never here: where notes are kept, who writes and reads them, what waits in a queue.

mod audit;
mod line;
mod note;
mod numbers;
mod owners;
mod report;
mod sums;
mod tally;
#[cfg(test)]
mod tests;

pub use audit::{Waiting, audit};
pub use note::{Entry, FORMAT, Kind, NOTE_BYTES_MAX, Note, NoteError, Offered, Packets, Sent, Work};
pub use report::{Difference, MainRow, PublisherRow, QueueRow, Report, SinkRow, Unsplit};
pub use sums::Sums;
pub use tally::{Packet, Tally};
