//! The options that select parked messages; every command of `nephoscope parked` has them.

use std::time::Duration;

use crate::agent::parked::Filter;
use crate::model::Glob;

/// The selection. Patterns are as in pipeline files: `*` stands for anything.
#[derive(clap::Args)]
pub(super) struct Which {
    /// IDs, as `parked list` shows them; without any, all messages
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Select by reason: its word or sentence, e.g. refused or '*400*'
    #[arg(long, value_name = "PATTERN")]
    reason: Option<String>,
    /// Select by the URL of the publisher, e.g. 'gnocchi://*'
    #[arg(long, value_name = "PATTERN")]
    publisher: Option<String>,
    /// Select by event type or meter, e.g. 'compute.instance.*'
    #[arg(long, value_name = "PATTERN")]
    event_type: Option<String>,
    /// Select what was parked longer ago than this: 90s, 15m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Select what was parked within this time: 90s, 15m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    newer_than: Option<Duration>,
    /// Maximum number of messages
    #[arg(long, value_name = "MESSAGES")]
    pub(super) limit: Option<u64>,
}

impl Which {
    /// As a filter of parked messages.
    pub(super) fn filter(&self) -> Filter {
        let glob = |pattern: &Option<String>| pattern.as_deref().map(Glob::new);
        Filter {
            ids: self.ids.iter().cloned().collect(),
            reason: glob(&self.reason),
            publisher: glob(&self.publisher),
            event_type: glob(&self.event_type),
            older_than: self.older_than,
            newer_than: self.newer_than,
        }
    }
}

/// A time that is written as a number with a unit.
pub(in crate::cli) fn age(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number and one of s, m, h, d, e.g. 12h".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| expected())?;
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("90s", Some(90))]
    #[case("15m", Some(900))]
    #[case("12h", Some(43_200))]
    #[case("7d", Some(604_800))]
    #[case("0s", Some(0))]
    #[case("18446744073709551615d", Some(u64::MAX))]
    #[case("", None)]
    #[case("7", None)]
    #[case("d", None)]
    #[case("-1d", None)]
    #[case("1.5h", None)]
    #[case("7é", None)]
    fn an_age_has_a_unit(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(age(text).ok(), seconds.map(Duration::from_secs));
    }
}
