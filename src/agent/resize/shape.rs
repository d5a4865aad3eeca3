//! The shape of the group's pipeline queues: how many there are, and how far a change of their number has come.
//!
//! The group's specification says which queues there are and which slots they have. While it has a next layout, marks in
//! the group say how far things are, and survive whoever wrote them:
//!
//! | mark | says | written by |
//! |---|---|---|
//! | `fence/<queue>/<unit>` | everything that a main queue's listeners ever sent to this old queue is published | the old queue's owner |
//! | `sealed/<queue>` | so it is with all main queues; the old queue's state is whole in its log | the same |
//! | `imported/<queue>` | the new queue's log holds its part of the old queues' states | the new queue's owner |

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::agent::sinks::sink::SinkSlot;
use crate::cluster::{Layout, Spec};
use crate::coordination::View;
use crate::transport::topology;

/// The shape as one member knows it.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Shape {
    /// The group's name.
    pub group: Arc<str>,
    /// Which queues there are.
    pub spec: Spec,
    /// The revision that wrote the specification.
    pub revision: i64,
    /// The revision of the view that showed all this.
    seen: i64,
    /// The marks of the change that is under way, or was last.
    marks: BTreeSet<String>,
}

/// The name of a mark that a main queue's fence has passed a pipeline queue.
pub(in crate::agent) fn fence_mark(queue: &str, unit: &str) -> String {
    format!("fence/{queue}/{unit}")
}

/// The name of a mark that a pipeline queue is sealed.
pub(in crate::agent) fn sealed_mark(queue: &str) -> String {
    format!("sealed/{queue}")
}

/// The name of a mark that a pipeline queue has its state.
pub(in crate::agent) fn imported_mark(queue: &str) -> String {
    format!("imported/{queue}")
}

/// The queues of a sink in a layout.
pub(in crate::agent) fn queues<'a>(
    group: &'a str,
    sink: &'a str,
    layout: &'a Layout,
) -> impl Iterator<Item = String> + 'a {
    let name = move |n| topology::pipeline_queue_name(group, sink, layout.generation, u32::from(n));
    (0..layout.table.queues()).map(name)
}

impl Shape {
    /// The shape that a view of the group shows; `None` before the group has a specification.
    pub(in crate::agent) fn of(group: &Arc<str>, view: &View) -> Option<Shape> {
        let (spec, revision) = view.spec.clone()?;
        let generation = spec.next.as_ref().unwrap_or(&spec.present).generation;
        let prefix = format!("{generation}/");
        let marks = view.marks.keys().filter_map(|mark| Some(mark.strip_prefix(&prefix)?.to_owned())).collect();
        Some(Shape { group: Arc::clone(group), spec, revision, seen: view.revision, marks })
    }

    /// Whether the other is of a later view.
    pub(in crate::agent) fn is_older_than(&self, other: &Shape) -> bool {
        self.seen < other.seen
    }

    /// Whether the other says the same.
    pub(in crate::agent) fn is_like(&self, other: &Shape) -> bool {
        self.revision == other.revision && self.marks == other.marks
    }

    /// The layout that main listeners route by.
    pub(in crate::agent) fn routing(&self) -> &Layout {
        self.spec.next.as_ref().unwrap_or(&self.spec.present)
    }

    /// The present queues of a sink.
    pub(in crate::agent) fn present(&self, sink: &SinkSlot) -> Vec<String> {
        queues(&self.group, &sink.name, &self.spec.present).collect()
    }

    /// All queues of a sink, with their generations.
    pub(in crate::agent) fn queues(&self, sink: &SinkSlot) -> Vec<(String, u64)> {
        let layouts = [Some(&self.spec.present), self.spec.next.as_ref()].into_iter().flatten();
        let of = |layout| queues(&self.group, &sink.name, layout).map(move |queue| (queue, layout.generation));
        layouts.flat_map(of).collect()
    }

    /// The queues that a sink gets; none while no change is under way.
    pub(in crate::agent) fn next(&self, sink: &SinkSlot) -> Vec<String> {
        self.spec.next.iter().flat_map(|next| queues(&self.group, &sink.name, next)).collect()
    }

    /// The sink that a queue of any generation is of.
    pub(in crate::agent) fn sink_of<'a>(&self, queue: &str, sinks: &'a [Arc<SinkSlot>]) -> Option<&'a Arc<SinkSlot>> {
        let is_of = |sink: &&Arc<SinkSlot>| {
            let first = topology::pipeline_queue_name(&self.group, &sink.name, 0, 0);
            first.strip_suffix("0.0").is_some_and(|prefix| queue.starts_with(prefix))
        };
        sinks.iter().filter(is_of).max_by_key(|sink| sink.name.len())
    }

    /// Whether there is this mark.
    pub(in crate::agent) fn has(&self, mark: &str) -> bool {
        self.marks.contains(mark)
    }

    /// Whether there are marks: of a change under way, or of one whose old queues are not all deleted yet.
    pub(in crate::agent) fn is_marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The queues that the marks say are sealed.
    pub(in crate::agent) fn sealed(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().filter_map(|mark| mark.strip_prefix("sealed/"))
    }

    /// Whether nothing can come from a sink's old queues any more: its new ones may be opened.
    pub(in crate::agent) fn is_sealed(&self, sink: &SinkSlot) -> bool {
        self.present(sink).iter().all(|queue| self.has(&sealed_mark(queue)))
    }

    /// Whether the change that is under way is done for these sinks.
    pub(in crate::agent) fn is_done(&self, sinks: &[Arc<SinkSlot>]) -> bool {
        let imported = |sink: &SinkSlot| {
            !sink.is_stateful() || self.next(sink).iter().all(|queue| self.has(&imported_mark(queue)))
        };
        self.spec.next.is_some() && sinks.iter().all(|sink| self.is_sealed(sink) && imported(sink))
    }
}
