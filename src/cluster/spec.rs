//! What all members of a group agree on: how many queues each pipeline has, and which of them has which slot.
//!
//! The number of queues belongs to the group, not to the configuration of one member: whoever routes by another table
//! than its neighbours breaks the order of a resource. So it is written down once, and changed only as a whole.

use super::hash::{SLOTS, SlotTable, SlotTableError};
use serde::{Deserialize, Serialize};

/// The format that is written and read here.
pub const FORMAT: u32 = 1;
/// The hash that puts a grouping key on a slot: SipHash-2-4 with zero keys, modulo [`SLOTS`].
pub const HASH: u32 = 1;
/// How members talk to each other over pipeline queues: packets, end markers, hand-over.
pub const PROTOCOL: u32 = 1;
/// The longest text that is read; two tables of four digits a slot fit.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// One set of pipeline queues: its generation is part of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Rises with every change; the first is 1.
    pub generation: u64,
    /// Which queue has which slot.
    pub table: SlotTable,
}

/// The specification of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The queues in use.
    pub present: Layout,
    /// The queues that a change leads to, while it is under way.
    pub next: Option<Layout>,
    /// Whether all main queues have been without a consumer since `next` was written: from then on they are routed by `next`,
    /// and the change cannot be withdrawn any more.
    pub quiet: bool,
}

/// Why a specification cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Another version wrote it.
    #[error(
        "cannot use the specification of the group: it has {what} {found}, and this version supports {what} {known}; install the \
         version of the other members"
    )]
    Version {
        /// `format`, `hash` or `protocol`.
        what: &'static str,
        /// What it says.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// It is not JSON of the shape of its format.
    #[error("cannot read the specification: {0}")]
    Shape(String),
    /// Its slot table is not whole.
    #[error("cannot read the specification: {0}")]
    Table(#[from] SlotTableError),
}

/// What has to be looked at before anything else: these three never change their places.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    hash: u32,
    protocol: u32,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(flatten)]
    present: LayoutDocument,
    hash: u32,
    protocol: u32,
    next: Option<LayoutDocument>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    quiet: bool,
}

#[derive(Serialize, Deserialize)]
struct LayoutDocument {
    generation: u64,
    queues: u16,
    slots: Vec<u16>,
}

impl Spec {
    /// What a new group begins with: generation 1 of so many queues, 1 to [`SLOTS`].
    pub fn first(queues: u16) -> Result<Spec, SlotTableError> {
        Ok(Spec { present: Layout { generation: 1, table: SlotTable::even(queues)? }, next: None, quiet: false })
    }

    /// The same with a change to so many queues under way; a change that was under way is forgotten.
    pub fn planned(&self, queues: u16) -> Result<Spec, SlotTableError> {
        let next = Layout { generation: self.present.generation + 1, table: self.present.table.resized(queues)? };
        Ok(Spec { present: self.present.clone(), next: Some(next), quiet: false })
    }

    /// The same once the main queues have been quiet.
    #[must_use]
    pub fn quieted(&self) -> Spec {
        Spec { quiet: self.next.is_some(), ..self.clone() }
    }

    /// The same without the change.
    #[must_use]
    pub fn withdrawn(&self) -> Spec {
        Spec { present: self.present.clone(), next: None, quiet: false }
    }

    /// The layout that main queues are routed by; `None` while they have to be closed.
    pub fn routing(&self) -> Option<&Layout> {
        match &self.next {
            None => Some(&self.present),
            Some(next) => self.quiet.then_some(next),
        }
    }

    /// The same with the change done; itself if none is under way.
    #[must_use]
    pub fn completed(&self) -> Spec {
        Spec { present: self.next.as_ref().unwrap_or(&self.present).clone(), next: None, quiet: false }
    }

    /// As JSON, on one line.
    pub fn write(&self) -> String {
        let document = Document {
            format: FORMAT,
            present: LayoutDocument::of(&self.present),
            hash: HASH,
            protocol: PROTOCOL,
            next: self.next.as_ref().map(LayoutDocument::of),
            quiet: self.quiet,
        };
        // Numbers only: writing them cannot fail.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Back from JSON: refused where it is of another format, hash or protocol, or not whole.
    pub fn read(text: &[u8]) -> Result<Spec, SpecError> {
        let shape = |error: serde_json::Error| SpecError::Shape(error.to_string());
        if text.len() > TEXT_BYTES_MAX {
            return Err(SpecError::Shape(format!("{} bytes, expected at most {TEXT_BYTES_MAX}", text.len())));
        }
        let Versions { format, hash, protocol } = serde_json::from_slice(text).map_err(shape)?;
        for (what, found, known) in [("format", format, FORMAT), ("hash", hash, HASH), ("protocol", protocol, PROTOCOL)]
        {
            if found != known {
                return Err(SpecError::Version { what, found, known });
            }
        }
        let document: Document = serde_json::from_slice(text).map_err(shape)?;
        let present = document.present.layout()?;
        let next = document.next.map(LayoutDocument::layout).transpose()?;
        if let Some(next) = next.as_ref().filter(|next| next.generation <= present.generation) {
            let (now, then) = (present.generation, next.generation);
            return Err(SpecError::Shape(format!("generation {then} cannot follow generation {now}")));
        }
        let quiet = document.quiet && next.is_some();
        Ok(Spec { present, next, quiet })
    }
}

impl LayoutDocument {
    fn of(layout: &Layout) -> LayoutDocument {
        let Layout { generation, table } = layout;
        LayoutDocument { generation: *generation, queues: table.queues(), slots: table.slots().to_vec() }
    }

    fn layout(self) -> Result<Layout, SlotTableError> {
        Ok(Layout { generation: self.generation, table: SlotTable::from_slots(self.queues, self.slots)? })
    }
}

const _: () = assert!(TEXT_BYTES_MAX > 2 * 5 * SLOTS as usize + 1024, "a specification with a change under way fits");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    proptest! {
        #[test]
        fn a_specification_reads_back_as_it_was_written(first in 1..=SLOTS, second in 1..=SLOTS, third in 1..=SLOTS) {
            let first = Spec::first(first).unwrap();
            let second = first.planned(second).unwrap();
            let third = second.completed().planned(third).unwrap();
            for spec in [first, second.completed(), second.quieted(), second.withdrawn(), second, third] {
                prop_assert_eq!(Spec::read(spec.write().as_bytes()), Ok(spec));
            }
        }

        #[test]
        fn anything_is_read_without_a_panic(text in ".{0,200}") {
            let _any = Spec::read(text.as_bytes());
        }
    }

    #[rstest]
    #[case::a_newer_format(
        r#""format":1"#,
        r#""format":2"#,
        "cannot use the specification of the group: it has format 2, and this version supports format 1"
    )]
    #[case::another_hash(r#""hash":1"#, r#""hash":7"#, "it has hash 7")]
    #[case::a_newer_protocol(
        r#""protocol":1"#,
        r#""protocol":2"#,
        "it has protocol 2, and this version supports protocol 1; install the version of the other members"
    )]
    #[case::no_protocol(r#""protocol":1,"#, "", "missing field `protocol`")]
    #[case::a_slot_too_few(r#""slots":[0,"#, r#""slots":["#, "a slot table of 1023 slots")]
    #[case::a_queue_too_few(r#""queues":3"#, r#""queues":2"#, "up to queue 2, expected 1024 slots below 2")]
    #[case::not_json("{", "", "cannot read the specification")]
    #[case::back_in_time(r#""generation":2"#, r#""generation":1"#, "generation 1 cannot follow generation 1")]
    fn what_cannot_be_followed_is_refused(#[case] of: &str, #[case] to: &str, #[case] complaint: &str) {
        let text = Spec::first(3).unwrap().planned(4).unwrap().write().replacen(of, to, 1);
        let error = Spec::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }

    #[test]
    fn main_queues_are_routed_by_the_present_layout_then_by_none_then_by_the_next() {
        let present = Spec::first(3).unwrap();
        let planned = present.planned(4).unwrap();
        let routing = |spec: &Spec| spec.routing().map(|layout| layout.generation);
        assert_eq!(routing(&present), Some(1));
        assert_eq!(routing(&planned), None);
        assert_eq!(routing(&planned.quieted()), Some(2));
        assert_eq!(routing(&planned.quieted().completed()), Some(2));
        assert_eq!(planned.withdrawn(), present);
        assert_eq!(present.quieted(), present, "without a change there is nothing to be quiet for");
    }

    #[test]
    fn a_text_too_long_is_not_looked_into() {
        let text = " ".repeat(TEXT_BYTES_MAX + 1);
        assert!(matches!(Spec::read(text.as_bytes()), Err(SpecError::Shape(_))));
    }
}
