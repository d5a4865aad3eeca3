//! The state of a stateful pipeline queue as a log tells it: records as bytes and back, which of them count, and which
//! samples have already taken effect.
//!
//! A log belongs to one queue. Every owner begins with a [`Barrier`](record::Record::Barrier) of its epoch; what an
//! earlier epoch wrote behind it is void for every reader, so that an owner that does not know yet that it is none any
//! more changes nothing. What is not void is *committed*: it is part of the state of every later owner ([`fold`]).
//!
//! Never here: where a log is kept, who owns a queue, what a cell means to its transformer.

pub mod fold;
pub mod record;
pub mod window;

pub use fold::{Counted, Fold, FoldError, Pending, State};
pub use record::{Batch, FORMAT, Head, Kind, Record, RecordError, Source};
pub use window::{Window, WindowBounds};
