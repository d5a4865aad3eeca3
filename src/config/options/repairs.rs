//! `[nephoscope]`: faults of Ceilometer that change what is produced. The agent has each fault until an option repairs it.

use super::{Opt, one_of};

const OWN: &str = "nephoscope";

const fn repair(name: &'static str, what: &'static str) -> Opt {
    one_of(OWN, name, &["original", "repaired"], "original", what)
}

pub(super) const ROWS: &[Opt] = &[
    repair(
        "user_id_fallback",
        "User and project of a sample from the context, if a definition names none; in Ceilometer 9.0 and later this lookup \
         never succeeds",
    ),
    repair(
        "unparsable_literals",
        "Name or unit of a meter as text, if it is no path (%, B/s); Ceilometer loses the meter",
    ),
    repair("lookup_constants", "Constant volume beside lookup for every sample; Ceilometer makes no sample"),
    repair("failed_traits", "Omission of a trait whose value does not convert; Ceilometer loses the whole event"),
    repair(
        "polled_monotonic_time",
        "monotonic_time of polled samples, by which rate_of_change measures; Ceilometer drops it",
    ),
    repair(
        "renamed_gauge_aggregates",
        "Aggregates of gauges under a new name; in Ceilometer the aggregator fails at every flush",
    ),
    repair(
        "arithmetic_timestamps",
        "Timestamp of a result of arithmetic: the newest of its own samples; in Ceilometer it is that of the last sample of \
         any meter and resource",
    ),
];
