//! Changing the number of pipeline queues: which there are, and how far a change is.

pub(super) mod shape;
