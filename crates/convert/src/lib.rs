//! OpenStack notifications in; metering samples and events out, by the definitions of Ceilometer.
//!
//! Reads `meters.d/*.yaml` and `event_definitions.yaml` as Ceilometer's notification agent does (same YAML, same JSONPath
//! dialect, same trait plugins, same quirks), and makes the same samples and events of a notification. Whatever is wrong
//! with a definition is a [`Complaint`](model::Complaint) with its file and line, and costs that definition alone. The agent
//! [nephoscope](https://docs.rs/nephoscope) is built on it; a linter for definitions, or a test of a new meter, needs no
//! broker.
//!
//! ```
//! use nephoscope_convert::{ConvertOptions, Converter, Sources, model::envelope, yaml};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let meters = "metric: [{name: disk, event_type: volume.create.end, type: gauge, unit: GB, volume: $.payload.size, resource_id: $.payload.id}]";
//! let events = "[{event_type: volume.*, traits: {size: {type: int, fields: payload.size}}}]";
//! let sources = Sources { meters: vec![yaml::read("meters.yaml", meters)?], events: yaml::read("events.yaml", events)? };
//! let (converter, complaints) = Converter::build(&sources, ConvertOptions::default());
//! assert!(complaints.is_empty(), "{complaints:?}");
//! let body = br#"{"priority": "INFO", "event_type": "volume.create.end", "publisher_id": "volume.host", "message_id": "m",
//!     "timestamp": "2026-03-01 12:00:00", "payload": {"id": "v1", "size": 20}}"#;
//! let converted = converter.ok_or("no converter")?.convert(&envelope::open(body)?);
//! assert_eq!(converted.samples[0].name, "disk");
//! assert_eq!(converted.events.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Three rooms, each names only those above it: [`model`], what everything talks about; [`yaml`], files as PyYAML reads them;
//! [`convert`], the converter itself. Never here: files, sockets, clocks, logging, a runtime.

#![forbid(unsafe_code)]

pub mod model; // what everything talks about: notification, sample, event, receipt
pub mod yaml; // files as PyYAML reads them, every node with its line
pub mod convert; // notification -> samples, events, complaints

pub use convert::{ConvertOptions, Converted, Converter, Explanation, Repairs, Sources};
