//! What the operator can choose about conversion. The defaults are Ceilometer's, save where Ceilometer loses data
//! or loops.

use crate::model::{Dict, Priority, Text};
use std::fmt;
use std::sync::Arc;

/// How notifications are converted.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// `[DEFAULT] sample_source`: the `source` of samples made here.
    pub sample_source: Text,
    /// `[DEFAULT] reserved_metadata_namespace`, `_keys`, `_length`.
    pub reserved_metadata: Reserved,
    /// `[event] drop_unmatched_notifications`: without it, what no definition matches becomes an event of the default
    /// traits.
    pub drop_unmatched_notifications: bool,
    /// `[event] store_raw`: the priorities whose whole notification is kept in `raw`.
    pub store_raw: Vec<Priority>,
    /// `[notification] disable_non_metric_meters`: without it, the classic listeners (Ceilometer reference §1.4) count
    /// instances, networks, ports and so on.
    pub disable_non_metric_meters: bool,
    /// `[nephoscope] verify_signatures`: only polled samples that it vouches for are taken. Without one all are, as in
    /// Ceilometer.
    pub polled_signatures: Option<Verifier>,
    /// Departures from Ceilometer; all off by default.
    pub repairs: Repairs,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        ConvertOptions {
            sample_source: "openstack".into(),
            reserved_metadata: Reserved::default(),
            drop_unmatched_notifications: false,
            store_raw: Vec::new(),
            disable_non_metric_meters: true,
            polled_signatures: None,
            repairs: Repairs::default(),
        }
    }
}

/// Whether a message carries its own signature: handed in, because keys and digests are no business of this room.
#[derive(Clone)]
pub struct Verifier(Arc<dyn Fn(&Dict) -> bool + Send + Sync>);

impl Verifier {
    /// A verifier that asks `verify`, which must take the same time for every wrong signature.
    pub fn new(verify: impl Fn(&Dict) -> bool + Send + Sync + 'static) -> Self {
        Verifier(Arc::new(verify))
    }

    /// Whether the message is signed by whoever has the secret.
    pub fn vouches_for(&self, message: &Dict) -> bool {
        (self.0)(message)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// Which of a user's own metadata keys travel with samples (Ceilometer reference §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Keys with one of these prefixes.
    pub prefixes: Vec<String>,
    /// Keys of exactly these names.
    pub keys: Vec<String>,
    /// String values are cut to this many characters; negative counts from the end, as in Python.
    pub length_chars: i64,
}

impl Default for Reserved {
    fn default() -> Self {
        Reserved { prefixes: vec!["metering.".to_owned()], keys: Vec::new(), length_chars: 256 }
    }
}

/// Known faults of Ceilometer that change what is produced when repaired: each is off until asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each an option of its own")]
pub struct Repairs {
    /// Samples without `user_id` or `project_id` paths take them from the request context. Ceilometer means to, but
    /// its path `ctxt.user_id|ctxt.user` finds nothing in its own dialect (Ceilometer reference §4.1.3).
    pub context_fallback: bool,
    /// A `name` or `unit` that is no path at all (`%`, `B/s`) is taken as text. Ceilometer loses the meter.
    pub unparsable_literals: bool,
    /// In lookup mode a constant (`volume: 1`) is repeated for every sample. Ceilometer fails on every message.
    pub lookup_constants: bool,
    /// A trait whose value does not convert is left out. Ceilometer loses the event.
    pub failed_traits: bool,
    /// Polled samples keep their `monotonic_time`. Ceilometer has it sent and does not read it, so that
    /// `rate_of_change` measures them by their timestamps.
    pub polled_monotonic_time: bool,
}
