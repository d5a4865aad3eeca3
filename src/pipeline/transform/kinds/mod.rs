//! The kinds of transformers, and what several of them share: names and scales.
//!
//! Never here: the order of a chain, the reading of a file.

pub(super) mod accumulator;
pub(super) mod aggregator;
pub(super) mod arithmetic;
pub(super) mod change;
pub(super) mod naming;
pub(super) mod scaling;
