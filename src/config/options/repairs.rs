//! `[nephoscope]`: faults of the original that change what is produced. Each stays as it is until it is asked for.

use super::{Opt, one_of};

const OWN: &str = "nephoscope";

const fn repair(name: &'static str, what: &'static str) -> Opt {
    one_of(OWN, name, &["original", "repaired"], "original", what)
}

pub(super) const ROWS: &[Opt] = &[
    repair(
        "user_id_fallback",
        "Whether user and project of a sample are taken from the context where a definition names none; in the \
         original that has found nothing since its 9.0",
    ),
    repair(
        "unparsable_literals",
        "Whether a meter's name or unit that is no path, like % or B/s, is taken as text; the original loses the meter",
    ),
    repair(
        "lookup_constants",
        "Whether a constant volume beside lookup counts for every sample; the original makes none",
    ),
    repair(
        "failed_traits",
        "Whether a trait whose value does not convert is left out of its event; the original loses the event",
    ),
    repair(
        "polled_monotonic_time",
        "Whether polled samples keep their monotonic_time, so that rate_of_change measures by it; the original drops it",
    ),
    repair(
        "renamed_gauge_aggregates",
        "Whether an aggregator gives out gauges under a new name; in the original it fails at every flush, for ever",
    ),
    repair(
        "arithmetic_timestamps",
        "Whether what arithmetic makes has the newest timestamp of its own samples; in the original it has that of the \
         last sample that came by, of whatever meter and resource",
    ),
];
