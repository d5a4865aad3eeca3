//! One option of a publisher's URL, and those that every URL may have.

/// One option of a URL, as `docs/publishers` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::publish) struct Row {
    /// Its name.
    pub name: &'static str,
    /// What is expected, with the unit.
    pub expected: &'static str,
    /// What holds without it; empty: nothing.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What holds where it is written several times.
    pub repeats: Repeats,
}

/// Which value of an option holds where it is written several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::publish) enum Repeats {
    /// All of them.
    All,
    /// The first that is not empty.
    First,
    /// The last.
    Last,
}

impl Row {
    /// A row.
    pub(in crate::publish) const fn new(
        name: &'static str,
        expected: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Row { name, expected, default, meaning, repeats: Repeats::Last }
    }

    /// The same, for an option that may be written several times.
    pub(in crate::publish) const fn repeatable(self) -> Self {
        Row { repeats: Repeats::All, ..self }
    }

    /// The same, for an option of which the first counts.
    pub(in crate::publish) const fn first_counts(self) -> Self {
        Row { repeats: Repeats::First, ..self }
    }

    /// Whether addresses of the link may be used: metadata services of clouds are there.
    pub(in crate::publish) const LINK_LOCAL: Row =
        Row::new("link_local", "true or false", "false", "use of link-local addresses (169.254.0.0/16, fe80::/10)");
    /// See [`Options::non_finite`](super::Options::non_finite).
    pub(in crate::publish) const NAN: Row = Row::new(
        "nan",
        "null or python",
        "null",
        "form of numbers that are not finite: `null`, which every reader of JSON understands, or `NaN`, `Infinity`, `-Infinity` as Ceilometer does",
    );
}

/// What every publisher has beside its own options: see [`pace`](crate::publish::pace).
pub(in crate::publish) const COMMON: &[Row] = &[
    Row::new(
        "concurrency",
        "requests, 1 to 64",
        "1",
        "parts of a batch that are published at the same time; what is of one resource stays in one part, and in order",
    ),
    Row::new(
        "rate",
        "records a second",
        "",
        "in no second more than this, rounded up to a whole number; without it as fast as it is taken",
    ),
    Row::new(
        "breaker_failures",
        "number",
        "5",
        "after so many failures in a row the destination is left alone for a while, and then tried with a few records; 0: never",
    ),
    Row::new(
        "breaker_pause",
        "seconds, 0.1 to 30",
        "1",
        "how long it is left alone for the first time; twice as long each further time, up to 30 seconds",
    ),
    Row::new(
        "overflow_queue",
        "1 to 100 of a-z A-Z 0-9 . _ -",
        "",
        "the end of the name of its overflow queue, which is else made of the URL; a URL that takes the place of another gets by it \
         what waits for the other",
    ),
];
