//! What everything else talks about: notification, sample, event, receipt, and the values they are made of.
//!
//! Never here: clocks, sockets, files, logging. Everything in this room is plain data or a pure function.

pub mod document;
pub mod envelope;
pub mod event;
pub mod glob;
pub mod grouping;
pub mod json;
pub mod notification;
pub mod number;
pub mod python;
pub mod receipt;
pub mod sample;
pub mod text;
pub mod time;
pub mod value;

pub use document::keys::Keys;
pub use document::nearest::{did_you_mean, nearest};
pub use document::shown;
pub use document::{Complaint, Data, Node, Place, Severity};
pub use event::{Event, RawTrait, Trait, TraitValue};
pub use glob::Glob;
pub use grouping::{event_key, grouping_bytes, grouping_text};
pub use json::OnDemand;
pub use notification::{ContextMembers, Notification, Parts, Priority};
pub use receipt::{Receipt, Verdict};
pub use sample::{Sample, SampleType};
pub use text::Text;
pub use value::{Dict, Value};
