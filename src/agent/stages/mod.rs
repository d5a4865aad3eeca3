//! The stages of a notification's way, in their order: it is taken from its queue (`intake`, `prefetch`, `rescue`), opened and converted
//! (`conversion`), routed to pipelines (`route`), and forwarded to the pipeline queues (`forward`); `trace` finds the id of one.
//!
//! Never here: what a definition means, what a sink does with a record.

pub(super) mod conversion;
pub(super) mod forward;
pub(super) mod intake;
pub(super) mod prefetch;
pub(super) mod rescue;
pub(super) mod route;
pub(super) mod trace;
