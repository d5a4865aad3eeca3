//! A sink and its place: its publishers, its transformers, and what is to be published.

use std::sync::Arc;
use tokio::sync::watch;

use crate::agent::packets::packet::Fragment;
use crate::books::Work;
use crate::model::Receipt;
use crate::pipeline::transform::Transformers;
use crate::publish::Publisher;

/// One sink of `pipeline.yaml` or `event_pipeline.yaml`.
pub(in crate::agent) struct Sink {
    /// Where it publishes to.
    pub destinations: Vec<Destination>,
    /// What its samples go through first.
    pub transformers: Arc<Transformers>,
    /// What was written about it: a reload that changes nothing here keeps this very sink.
    pub definition: String,
}

/// One publisher of a sink.
#[derive(Clone)]
pub(in crate::agent) struct Destination {
    /// Its URL without secrets, for logs.
    pub url: Arc<str>,
    /// What tells it from the sink's others, also where their URLs look alike: part of the name of its overflow queue.
    pub key: Arc<str>,
    /// The publisher.
    pub publisher: Arc<dyn Publisher>,
}

/// The place of a sink: its name stays, what stands behind it can be replaced at a reload.
pub(in crate::agent) struct SinkSlot {
    /// `meter_sink`, or `event:event_sink` for one of `event_pipeline.yaml`.
    pub name: Arc<str>,
    current: watch::Sender<Arc<Sink>>,
}

/// One fragment with the part of its delivery's receipt that hangs on it.
pub(in crate::agent) struct Parcel {
    /// What is to be published.
    pub fragment: Fragment,
    /// Settled when it is.
    pub receipt: Receipt,
    /// What its records came of.
    pub came: Came,
}

/// What the records of a parcel came of, for the books.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::agent) struct Came {
    /// So many records came; it is known when they are not those of the parcel.
    pub of: usize,
    /// Of these, transformers with state had taken so many before.
    pub repeated: usize,
    /// The others went through transformers.
    pub transformed: bool,
}

impl Came {
    /// What became of the records that came, of which so many are published.
    pub(in crate::agent) fn work(self, delivered: usize) -> Work {
        let Came { of, repeated, transformed } = self;
        let (transformed, made) = if transformed { (of - repeated.min(of), delivered) } else { (0, 0) };
        let [records, repeated, transformed, made, delivered] =
            [of, repeated, transformed, made, delivered].map(|count| count as u64);
        Work { records, repeated, transformed, made, delivered, ..Work::default() }
    }
}

impl Parcel {
    /// A fragment as it came.
    pub(in crate::agent) fn new(fragment: Fragment, receipt: Receipt) -> Parcel {
        let came = Came { of: fragment.batch.len(), ..Came::default() };
        Parcel { fragment, receipt, came }
    }
}

impl SinkSlot {
    /// A slot with its first sink.
    pub(in crate::agent) fn new(name: &str, sink: Sink) -> Self {
        SinkSlot { name: name.into(), current: watch::Sender::new(Arc::new(sink)) }
    }

    /// The sink as configured now.
    pub(in crate::agent) fn current(&self) -> Arc<Sink> {
        Arc::clone(&self.current.borrow())
    }

    /// The same, for who waits for a reload.
    pub(in crate::agent) fn watch(&self) -> watch::Receiver<Arc<Sink>> {
        self.current.subscribe()
    }

    /// Whether its transformers keep state, as configured now.
    pub(in crate::agent) fn is_stateful(&self) -> bool {
        self.current().transformers.is_stateful()
    }

    /// Puts another sink in the place; the former one is returned to be closed.
    pub(in crate::agent) fn replace(&self, sink: Sink) -> Arc<Sink> {
        self.current.send_replace(Arc::new(sink))
    }
}

impl Sink {
    /// The publisher of a destination.
    pub(in crate::agent) fn publisher(&self, key: &str) -> Option<Arc<dyn Publisher>> {
        let destination = self.destinations.iter().find(|destination| *destination.key == *key)?;
        Some(Arc::clone(&destination.publisher))
    }

    /// Its destinations that have overflow queues: one alone needs none, it has the pipeline queue to itself.
    pub(in crate::agent) fn with_overflow(&self) -> &[Destination] {
        if self.destinations.len() > 1 { &self.destinations } else { &[] }
    }
}
