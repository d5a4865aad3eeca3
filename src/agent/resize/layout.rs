//! The layout of the group's pipeline queues as one member knows it: how many there are, and how far a change has come.
//!
//! The specification says which queues there are and which slots they have. While it has a next layout, and until the old
//! queues are deleted, marks in the group say how far things are, and survive whoever wrote them:
//!
//! | mark | says | written by |
//! |---|---|---|
//! | `sealed/<queue>` | the old queue is worked on up to its end marker; its state is whole in its log | the old queue's owner |
//! | `imported/<queue>` | the new queue's log holds its part of the old queues' states | the new queue's owner |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::agent::sinks::sink::SinkSlot;
use crate::cluster::{Layout, Spec};
use crate::coordination::View;
use crate::transport::topology;

/// The layout as one member knows it.
#[derive(Debug, Clone)]
pub(in crate::agent) struct GroupLayout {
    /// The group's name.
    pub group: Arc<str>,
    /// Which queues there are.
    pub spec: Spec,
    /// The revision that wrote the specification.
    pub revision: i64,
    /// The revision of the view that showed all this.
    seen: i64,
    /// The marks of the change that is under way, or was last, with its generation.
    marks: BTreeMap<String, u64>,
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

impl GroupLayout {
    /// The layout that a view of the group shows; `None` before the group has a specification.
    pub(in crate::agent) fn of(group: &Arc<str>, view: &View) -> Option<GroupLayout> {
        let (spec, revision) = view.spec.clone()?;
        let mark = |mark: &String| {
            let (generation, name) = mark.split_once('/')?;
            Some((name.to_owned(), generation.parse().ok()?))
        };
        let marks = view.marks.keys().filter_map(mark).collect();
        Some(GroupLayout { group: Arc::clone(group), spec, revision, seen: view.revision, marks })
    }

    /// Whether the other is of a later view.
    pub(in crate::agent) fn is_older_than(&self, other: &GroupLayout) -> bool {
        self.seen < other.seen
    }

    /// Whether the other says the same.
    pub(in crate::agent) fn is_like(&self, other: &GroupLayout) -> bool {
        self.revision == other.revision && self.marks == other.marks
    }

    /// The layout that main queues are routed by; `None` while they have to be closed.
    pub(in crate::agent) fn routing(&self) -> Option<&Layout> {
        self.spec.routing()
    }

    /// The generation that follows, once the queues of this one get nothing more.
    pub(in crate::agent) fn ends(&self, generation: u64) -> Option<u64> {
        let next = self.following()?;
        (self.spec.present.generation == generation).then_some(next.generation)
    }

    /// Whether a pipeline queue is one of those in use.
    pub(in crate::agent) fn is_in_use(&self, queue: &str) -> bool {
        let generation = topology::generation_of(queue);
        self.layouts().any(|layout| Some(layout.generation) == generation)
    }

    /// The next layout, once it is in use: nobody needs its queues before the main queues have been quiet, and until then the
    /// change may be withdrawn.
    fn following(&self) -> Option<&Layout> {
        self.spec.next.as_ref().filter(|_| self.spec.quiet)
    }

    /// The layouts in use.
    fn layouts(&self) -> impl Iterator<Item = &Layout> {
        [Some(&self.spec.present), self.following()].into_iter().flatten()
    }

    /// The present queues of a sink.
    pub(in crate::agent) fn present(&self, sink: &SinkSlot) -> Vec<String> {
        queues(&self.group, &sink.name, &self.spec.present).collect()
    }

    /// All queues of a sink that are in use, with their generations.
    pub(in crate::agent) fn queues(&self, sink: &SinkSlot) -> Vec<(String, u64)> {
        let of = |layout| queues(&self.group, &sink.name, layout).map(move |queue| (queue, layout.generation));
        self.layouts().flat_map(of).collect()
    }

    /// The queues that a sink gets; none while no change is under way.
    pub(in crate::agent) fn next(&self, sink: &SinkSlot) -> Vec<String> {
        self.spec.next.iter().flat_map(|next| queues(&self.group, &sink.name, next)).collect()
    }

    /// Whether there is this mark.
    pub(in crate::agent) fn has(&self, mark: &str) -> bool {
        self.marks.contains_key(mark)
    }

    /// The queues that are sealed and not deleted yet, with the generation that their marks are of.
    pub(in crate::agent) fn sealed(&self) -> impl Iterator<Item = (&str, u64)> {
        self.marks.iter().filter_map(|(mark, generation)| Some((mark.strip_prefix("sealed/")?, *generation)))
    }

    /// The generations whose marks are of no use any more: no change is under way, and the old queues are deleted.
    pub(in crate::agent) fn obsolete(&self) -> BTreeSet<u64> {
        let over = self.spec.next.is_none() && self.sealed().next().is_none();
        self.marks.values().copied().filter(|_| over).collect()
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
        self.spec.quiet && sinks.iter().all(|sink| self.is_sealed(sink) && imported(sink))
    }
}
