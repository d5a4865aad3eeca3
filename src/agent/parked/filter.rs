//! Which of the parked messages are meant.

use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::time::Duration;

use super::Parked;
use crate::model::Glob;

/// What a message must be to be meant: all that is said. Nothing said: all messages.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One of these ids.
    pub ids: BTreeSet<String>,
    /// The word of the reason, or its sentence, is like this.
    pub reason: Option<Glob>,
    /// The publisher's URL, as it is shown, is like this.
    pub publisher: Option<Glob>,
    /// The event type, or the meter of a sample, is like this.
    pub event_type: Option<Glob>,
    /// Parked longer ago than this. A message without a time, of an earlier version, is older than any.
    pub older_than: Option<Duration>,
    /// Parked since.
    pub newer_than: Option<Duration>,
}

impl Filter {
    /// Whether a message is meant.
    pub fn matches(&self, parked: &Parked, now: DateTime<Utc>) -> bool {
        let label = &parked.label;
        let is_like = |glob: &Option<Glob>, texts: &[&str]| {
            glob.as_ref().is_none_or(|glob| texts.iter().any(|text| glob.matches(text)))
        };
        let age = label.time.map_or(Duration::MAX, |time| (now - time).to_std().unwrap_or_default());
        (self.ids.is_empty() || self.ids.contains(&parked.id))
            && is_like(&self.reason, &[&label.reason, &label.text])
            && is_like(&self.publisher, &[label.whose.publisher.as_deref().unwrap_or_default()])
            && is_like(&self.event_type, &[label.event_type.as_deref().unwrap_or_default()])
            && self.older_than.is_none_or(|older| age > older)
            && self.newer_than.is_none_or(|newer| age <= newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::parked::Label;
    use bytes::Bytes;
    use rstest::rstest;

    const HOUR: u64 = 3_600;

    fn parked(hours: Option<i64>) -> Parked {
        let body = br#"{"name":"disk.read"}"#;
        let mut headers: std::collections::BTreeMap<String, String> = [
            ("x-nephoscope-kind", "refused"),
            ("x-nephoscope-reason", "http://h/a refused it: 400 Bad Request"),
            ("x-nephoscope-origin", "sink"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(hours) = hours {
            let time = now() - chrono::TimeDelta::hours(hours);
            headers.insert("x-nephoscope-time".to_owned(), time.to_rfc3339());
        }
        let (label, id) = (Label::read(&headers, body), "0123456789ab".to_owned());
        Parked { id, label, headers, body: Bytes::from_static(body), returns: 0 }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_360_430, 0).unwrap()
    }

    fn like(pattern: &str) -> Filter {
        Filter { reason: Some(Glob::new(pattern)), ..Filter::default() }
    }

    fn of(publisher: &str) -> Filter {
        Filter { publisher: Some(Glob::new(publisher)), ..Filter::default() }
    }

    fn about(event_type: &str) -> Filter {
        Filter { event_type: Some(Glob::new(event_type)), ..Filter::default() }
    }

    #[rstest]
    #[case::nothing_said(Filter::default(), true)]
    #[case::its_id(Filter { ids: ["0123456789ab".to_owned()].into(), ..Filter::default() }, true)]
    #[case::another_id(Filter { ids: ["ffffffffffff".to_owned()].into(), ..Filter::default() }, false)]
    #[case::the_word(like("refused"), true)]
    #[case::the_sentence(like("*400*"), true)]
    #[case::another_word(like("poison"), false)]
    #[case::its_publisher(of("http://h/*"), true)]
    #[case::another_publisher(of("gnocchi://*"), false)]
    #[case::its_meter(about("disk.*"), true)]
    #[case::another_meter(about("cpu"), false)]
    #[case::old_enough(Filter { older_than: Some(Duration::from_secs(HOUR)), ..Filter::default() }, true)]
    #[case::too_young(Filter { older_than: Some(Duration::from_secs(3 * HOUR)), ..Filter::default() }, false)]
    #[case::young_enough(Filter { newer_than: Some(Duration::from_secs(2 * HOUR)), ..Filter::default() }, true)]
    #[case::too_old(Filter { newer_than: Some(Duration::from_secs(HOUR)), ..Filter::default() }, false)]
    #[case::one_of_two(Filter { reason: like("refused").reason, ..about("cpu") }, false)]
    fn everything_that_is_said_has_to_be_so(#[case] filter: Filter, #[case] meant: bool) {
        assert_eq!(filter.matches(&parked(Some(2)), now()), meant);
    }

    #[test]
    fn a_message_without_a_time_is_older_than_any() {
        let older = Filter { older_than: Some(Duration::from_secs(9_999 * HOUR)), ..Filter::default() };
        let newer = Filter { newer_than: Some(Duration::from_secs(9_999 * HOUR)), ..Filter::default() };
        assert!(older.matches(&parked(None), now()) && !newer.matches(&parked(None), now()));
    }

    #[test]
    fn a_time_that_is_still_to_come_is_now() {
        let newer = Filter { newer_than: Some(Duration::ZERO), ..Filter::default() };
        assert!(newer.matches(&parked(Some(-5)), now()));
    }
}
