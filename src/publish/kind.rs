//! What every publisher is made of and looked at with, whatever its scheme.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Login, Publisher};
use crate::pipeline;

/// What a sink publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Samples: a sink of `pipeline.yaml`.
    Samples,
    /// Events: a sink of `event_pipeline.yaml`.
    Events,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        pipeline::Kind::from(self).name()
    }

    /// What to write where none of these are wanted.
    pub(super) fn none_wanted(self) -> &'static str {
        pipeline::Kind::from(self).none_wanted()
    }
}

impl From<Kind> for pipeline::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Samples => pipeline::Kind::Samples,
            Kind::Events => pipeline::Kind::Events,
        }
    }
}

/// What is wrong with the URL of another broker, if anything: its text, its files. Nothing is connected to.
pub type AskBroker<'l> = &'l dyn Fn(&str) -> Result<(), Vec<String>>;

/// What [`check`](super::check) looks at besides the URL.
#[derive(Clone, Copy)]
pub struct Look<'l> {
    /// The URLs of other brokers.
    pub broker: AskBroker<'l>,
    /// The folders in which definition files are looked for.
    pub search: &'l [PathBuf],
    /// The login of `gnocchi://`; `None`: it is not looked at.
    pub gnocchi: Option<&'l Login>,
    /// The login of `zaqar://`; `None`: it is not looked at.
    pub zaqar: Option<&'l Login>,
}

/// The name that publishers have for it which look at nothing else.
pub(super) type LookAtBroker<'l> = Look<'l>;

/// A publisher, or all complaints about its URL.
pub(super) type Built = Result<Arc<dyn Publisher>, Vec<String>>;
