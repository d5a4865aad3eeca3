//! The tables that the bench prints.

use crate::measures::{Drain, median};

/// What a loop is compared with, for its CPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Yardstick {
    Bare,
    Relay50,
}

/// A loop and what its rounds showed.
pub(crate) struct Loop {
    pub(crate) name: &'static str,
    pub(crate) yardstick: Yardstick,
    pub(crate) rounds: Vec<Drain>,
}

impl Loop {
    /// The median of one figure over the rounds.
    pub(crate) fn of(&self, figure: impl Fn(&Drain) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// How far the fastest and the slowest round lie from each other, as a share of the median.
    fn spread(&self) -> f64 {
        let rates = || self.rounds.iter().map(|drain| drain.rate);
        (rates().fold(0.0, f64::max) - rates().fold(f64::INFINITY, f64::min)) / self.of(|drain| drain.rate)
    }
}

/// A line for each loop that ran.
pub(crate) fn print(loops: &[Loop]) {
    println!(
        "{:<11} {:>7} {:>7} {:>7} {:>8} {:>9} {:>6} {:>9} {:>6} {:>6} {:>8} {:>8} {:>9}",
        "loop",
        "per s",
        "spread",
        "of bare",
        "of relay",
        "client us",
        "ratio",
        "broker us",
        "ratio",
        "idle",
        "packets",
        "RSS MiB",
        "first ms"
    );
    let named = |name| loops.iter().find(|one| one.name == name && !one.rounds.is_empty());
    for one in loops.iter().filter(|one| !one.rounds.is_empty()) {
        let yardstick = named(if one.yardstick == Yardstick::Bare { "bare" } else { "relay50" });
        let rate = one.of(|drain| drain.rate);
        let share = |name| named(name).map_or(f64::NAN, |other| 100.0 * rate / other.of(|drain| drain.rate));
        let ratio = |figure: fn(&Drain) -> f64| yardstick.map_or(f64::NAN, |other| one.of(figure) / other.of(figure));
        println!(
            "{:<11} {rate:>7.0} {:>6.0}% {:>6.1}% {:>7.1}% {:>9.1} {:>6.2} {:>9.1} {:>6.2} {:>5.0}% {:>8.3} {:>8.1} {:>9.0}",
            one.name,
            100.0 * one.spread(),
            share("bare"),
            share("relay50"),
            one.of(|drain| drain.client_us),
            ratio(|drain| drain.client_us),
            one.of(|drain| drain.broker_us),
            ratio(|drain| drain.broker_us),
            100.0 * one.of(|drain| drain.idle),
            one.of(|drain| drain.packets),
            one.of(|drain| drain.rss_mib),
            one.of(|drain| drain.first_ms),
        );
    }
    let rounds = loops.iter().map(|one| one.rounds.len()).max().unwrap_or(0);
    println!(
        "(medians of {rounds} interleaved rounds; the ratios of CPU are to bare, those of relay50, group and rated to relay50)"
    );
    if let (Some(group), Some(rated)) = (named("group"), named("rated")) {
        let share = 100.0 * rated.of(|drain| drain.rate) / group.of(|drain| drain.rate);
        println!("with a rate of every meter: {share:.0} % of the group without");
    }
    if let (Some(samples), Some(ceilometer)) = (named("samples"), named("ceilometer")) {
        println!(
            "alone, samples only, against Ceilometer: {:.1} times its rate, 1/{:.1} of its CPU",
            samples.of(|drain| drain.rate) / ceilometer.of(|drain| drain.rate),
            ceilometer.of(|drain| drain.client_us) / samples.of(|drain| drain.client_us)
        );
    }
}

/// The head of a table in which each line is one run.
pub(crate) fn print_head(title: &str) {
    println!(
        "\n{title:<26} {:>7} {:>9} {:>9} {:>6} {:>8} {:>8} {:>9}",
        "per s", "client us", "broker us", "idle", "packets", "RSS MiB", "first ms"
    );
}

/// A line of it.
pub(crate) fn print_run(name: &str, drain: &Drain) {
    println!(
        "{name:<26} {:>7.0} {:>9.1} {:>9.1} {:>5.0}% {:>8.3} {:>8.1} {:>9.0}",
        drain.rate,
        drain.client_us,
        drain.broker_us,
        100.0 * drain.idle,
        drain.packets,
        drain.rss_mib,
        drain.first_ms
    );
}
