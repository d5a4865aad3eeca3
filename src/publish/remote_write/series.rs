//! Samples as time series of Prometheus, and these as requests of either version.
//!
//! A series has its labels sorted by name and its samples by time, as receivers want them.

use prost::Message;
use std::collections::BTreeMap;

use super::messages::{MetricType, Sample, v1, v2};
use super::options::Names;
use crate::model::SampleType;
use crate::publish::measure::{self, Point};

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// A series, with the samples of one request.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    /// By name.
    labels: Vec<(&'static str, String)>,
    kind: MetricType,
    unit: String,
    samples: Vec<Sample>,
}

/// The series of these points.
pub(super) fn series(points: &[Point<'_>], names: Names) -> Vec<Series> {
    let mut by_labels: BTreeMap<Vec<(&'static str, String)>, Series> = BTreeMap::new();
    for point in points {
        let sample = point.sample;
        let ids =
            [("project_id", &sample.project_id), ("resource_id", &sample.resource_id), ("user_id", &sample.user_id)];
        let mut labels = vec![("__name__", metric_name(&sample.name, names))];
        labels.extend(ids.iter().filter_map(|(name, value)| Some((*name, measure::text(value)?))));
        // A label without a value is no label.
        labels.retain(|(_, value)| !value.is_empty());
        let one = by_labels.entry(labels).or_insert_with_key(|labels| Series {
            labels: labels.clone(),
            kind: match sample.kind {
                SampleType::Cumulative => MetricType::Counter,
                SampleType::Gauge => MetricType::Gauge,
                // A change since the last sample is neither.
                SampleType::Delta => MetricType::Unknown,
            },
            unit: measure::text(&sample.unit).unwrap_or_default(),
            samples: Vec::new(),
        });
        let value = point.number.as_f64();
        // One of the NaNs would end the series.
        let value = if value.is_nan() { f64::NAN } else { value };
        one.samples.push(Sample { value, timestamp: (point.nanoseconds / MILLISECOND).cast_signed() });
    }
    let mut all: Vec<Series> = by_labels.into_values().collect();
    all.iter_mut().for_each(|series| series.samples.sort_by_key(|sample| sample.timestamp));
    all
}

/// A meter's name: whatever Prometheus has no room for in the names of old becomes `_`.
fn metric_name(name: &str, names: Names) -> String {
    if names == Names::Utf8 && !name.is_empty() {
        return name.to_owned();
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let escaped: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if escaped.starts_with(|c: char| c.is_ascii_digit()) || escaped.is_empty() {
        return format!("_{escaped}");
    }
    escaped
}

/// A request of version 1.0, not yet compressed.
pub(super) fn first_version(series: &[Series]) -> Vec<u8> {
    let label = |(name, value): &(&str, String)| v1::Label { name: (*name).to_owned(), value: value.clone() };
    let timeseries = series
        .iter()
        .map(|one| v1::TimeSeries { labels: one.labels.iter().map(label).collect(), samples: one.samples.clone() });
    let mut metadata: BTreeMap<&str, v1::MetricMetadata> = BTreeMap::new();
    for one in series {
        let name = one.labels[0].1.as_str();
        metadata.entry(name).or_insert_with(|| v1::MetricMetadata {
            r#type: one.kind as i32,
            metric_family_name: name.to_owned(),
            unit: one.unit.clone(),
        });
    }
    let metadata = metadata.into_values().collect();
    v1::WriteRequest { timeseries: timeseries.collect(), metadata }.encode_to_vec()
}

/// A request of version 2.0, not yet compressed.
pub(super) fn second_version(series: &[Series]) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.place("");
    let timeseries = series
        .iter()
        .map(|one| v2::TimeSeries {
            labels_refs: one
                .labels
                .iter()
                .flat_map(|(name, value)| [symbols.place(name), symbols.place(value)])
                .collect(),
            samples: one.samples.clone(),
            metadata: Some(v2::Metadata { r#type: one.kind as i32, unit_ref: symbols.place(&one.unit) }),
        })
        .collect();
    v2::Request { symbols: symbols.texts, timeseries }.encode_to_vec()
}

/// Every text once.
#[derive(Default)]
struct Symbols {
    texts: Vec<String>,
    places: BTreeMap<String, u32>,
}

impl Symbols {
    fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        // A request has at most a few thousand texts.
        let place = u32::try_from(self.texts.len()).unwrap_or_default();
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::publish::measure::points;
    use crate::publish::record::tests::sample;
    use rstest::rstest;

    #[rstest]
    #[case("disk.device.read-bytes", "disk_device_read_bytes")]
    #[case("2é", "_2_")]
    #[case("", "_")]
    fn names_of_old(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(metric_name(name, Names::Escaped), expected);
    }

    /// Two series; the first has two samples that arrive the wrong way round.
    fn two() -> Vec<Series> {
        let mut samples: Vec<_> = ["1", "2", "3"].iter().map(|id| sample("cpu.ü", id)).collect();
        samples[0].timestamp = "2020-01-01T00:00:10.5".into();
        samples[1].volume = Value::Int(7);
        samples[2].name = "x".into();
        samples[2].kind = SampleType::Gauge;
        samples[2].user_id = Value::Null;
        samples[2].unit = "".into();
        series(&points(&samples).0, Names::Utf8)
    }

    #[test]
    fn version_1_is_read_by_a_decoder() {
        let sent = v1::WriteRequest::decode(first_version(&two()).as_slice()).unwrap();
        let label = |name: &str, value: &str| v1::Label { name: name.to_owned(), value: value.to_owned() };
        let ids = [label("project_id", "p"), label("resource_id", "r"), label("user_id", "u")];
        let samples = vec![
            Sample { value: 7.0, timestamp: 1_577_836_800_000 },
            Sample { value: 1.5, timestamp: 1_577_836_810_500 },
        ];
        let first = v1::TimeSeries { labels: [&[label("__name__", "cpu.ü")], &ids[..]].concat(), samples };
        let second = v1::TimeSeries {
            labels: [&[label("__name__", "x")], &ids[..2]].concat(),
            samples: vec![Sample { value: 1.5, timestamp: 1_577_836_800_000 }],
        };
        assert_eq!(sent.timeseries, [first, second]);
        let told = |name: &str, kind: MetricType, unit: &str| v1::MetricMetadata {
            r#type: kind as i32,
            metric_family_name: name.to_owned(),
            unit: unit.to_owned(),
        };
        assert_eq!(sent.metadata, [told("cpu.ü", MetricType::Counter, "ns"), told("x", MetricType::Gauge, "")]);
    }

    #[test]
    fn version_2_has_every_text_once() {
        let sent = v2::Request::decode(second_version(&two()).as_slice()).unwrap();
        let symbols = ["", "__name__", "cpu.ü", "project_id", "p", "resource_id", "r", "user_id", "u", "ns", "x"];
        assert_eq!(sent.symbols, symbols);
        assert_eq!(sent.timeseries[0].labels_refs, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(sent.timeseries[1].labels_refs, [1, 10, 3, 4, 5, 6]);
        let metadata = |kind: MetricType, unit_ref| Some(v2::Metadata { r#type: kind as i32, unit_ref });
        assert_eq!(sent.timeseries[0].metadata, metadata(MetricType::Counter, 9));
        assert_eq!(sent.timeseries[1].metadata, metadata(MetricType::Gauge, 0));
        assert_eq!(sent.timeseries[0].samples.len(), 2);
    }

    #[test]
    fn no_volume_is_the_mark_that_ends_a_series() {
        let mut one = sample("cpu", "1");
        one.volume = Value::Float(f64::from_bits(0x7ff0_0000_0000_0002));
        let series = series(&points(&[one]).0, Names::Escaped);
        assert_eq!(series[0].samples[0].value.to_bits(), f64::NAN.to_bits());
    }
}
