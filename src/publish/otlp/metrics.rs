//! Samples as OTLP metrics.
//!
//! A cumulative sample is a point of a monotonic cumulative sum, a delta one of a delta sum, a gauge one of a gauge. The time
//! at which a sum began is unknown and stays unset, as OTLP has it for that case: "begun just now" would tell of a reset at
//! every point. A delta sum is not monotonic, because a delta may be negative.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::collections::BTreeMap;

use super::attributes::{any, attribute, scope, text};
use crate::model::{Sample, SampleType, Value};
use crate::publish::measure::{self, Number, Point};

/// Most attributes that metadata becomes.
const METADATA_ATTRIBUTES_MAX: usize = 64;
/// The longest of them, in bytes.
const METADATA_BYTES_MAX: usize = 4096;

/// What is told where.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::publish) struct Form {
    /// Where the ids are.
    pub place: Place,
    /// Where the id of a sample is.
    pub sample_id: SampleId,
    /// Which metadata are told.
    pub metadata: Metadata,
}

/// Where the ids of resource, project and user are, their names, the source and the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::publish) enum Place {
    /// In OTLP's resource.
    #[default]
    Resource,
    /// In each data point, for receivers that do not look at resources.
    Point,
}

/// Where the id of a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::publish) enum SampleId {
    /// In an exemplar of the point.
    #[default]
    Exemplar,
    /// In an attribute of the point, which makes a series of each sample.
    Attribute,
    /// Nowhere.
    None,
}

/// Which metadata are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::publish) enum Metadata {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these names; a dot looks into an object.
    Named(Vec<String>),
}

/// The request for these points: one resource for all points of the same attributes, in the order of their first; within it
/// a metric for each name, unit and type.
pub(in crate::publish) fn request(points: &[Point<'_>], form: &Form) -> ExportMetricsServiceRequest {
    let mut resources: Vec<(Resource, Vec<Metric>)> = Vec::new();
    let (mut place_of_resource, mut place_of_metric) = (BTreeMap::new(), BTreeMap::new());
    for point in points {
        let (attributes, dropped) = attributes(point.sample, form);
        let (of_resource, of_point) = match form.place {
            Place::Resource => (attributes, Vec::new()),
            Place::Point => (Vec::new(), attributes),
        };
        let resource = Resource { attributes: of_resource, dropped_attributes_count: dropped, ..Resource::default() };
        let at = *place_of_resource.entry(resource.encode_to_vec()).or_insert_with(|| {
            resources.push((resource, Vec::new()));
            resources.len() - 1
        });
        let metrics = &mut resources[at].1;
        let unit = measure::text(&point.sample.unit).unwrap_or_default();
        let key = (at, point.sample.name.as_str(), unit, point.sample.kind.name());
        let at = *place_of_metric.entry(key).or_insert_with_key(|(_, _, unit, _)| {
            metrics.push(empty_metric(point.sample, unit.clone()));
            metrics.len() - 1
        });
        if let Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) = &mut metrics[at].data {
            data_points.push(data_point(point, of_point, form));
        }
    }
    let resource_metrics = resources.into_iter().map(|(resource, metrics)| ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }],
        schema_url: String::new(),
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

fn empty_metric(sample: &Sample, unit: String) -> Metric {
    let sum = |temporality: AggregationTemporality, is_monotonic| {
        Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality: temporality.into(), is_monotonic })
    };
    let data = match sample.kind {
        SampleType::Gauge => Data::Gauge(Gauge::default()),
        SampleType::Delta => sum(AggregationTemporality::Delta, false),
        SampleType::Cumulative => sum(AggregationTemporality::Cumulative, true),
    };
    Metric { name: sample.name.to_string(), unit, data: Some(data), ..Metric::default() }
}

fn data_point(point: &Point<'_>, mut attributes: Vec<KeyValue>, form: &Form) -> NumberDataPoint {
    let id = || text("sample_id", point.sample.id.to_string());
    let exemplars = match form.sample_id {
        SampleId::Exemplar => vec![Exemplar {
            filtered_attributes: vec![id()],
            time_unix_nano: point.nanoseconds,
            value: Some(match point.number {
                Number::Int(int) => exemplar::Value::AsInt(int),
                Number::Float(float) => exemplar::Value::AsDouble(float),
            }),
            ..Exemplar::default()
        }],
        SampleId::Attribute => {
            attributes.push(id());
            Vec::new()
        }
        SampleId::None => Vec::new(),
    };
    NumberDataPoint {
        attributes,
        time_unix_nano: point.nanoseconds,
        exemplars,
        value: Some(match point.number {
            Number::Int(int) => PointValue::AsInt(int),
            Number::Float(float) => PointValue::AsDouble(float),
        }),
        ..NumberDataPoint::default()
    }
}

/// The attributes of a sample, and how many of its metadata are left out for their number or size.
fn attributes(sample: &Sample, form: &Form) -> (Vec<KeyValue>, u32) {
    let ids = [
        ("resource_id", &sample.resource_id),
        ("project_id", &sample.project_id),
        ("project_name", &sample.project_name),
        ("user_id", &sample.user_id),
        ("user_name", &sample.user_name),
    ];
    let mut attributes: Vec<KeyValue> =
        ids.iter().filter_map(|(key, value)| Some(text(key, measure::text(value)?))).collect();
    attributes.push(text("source", sample.source.to_string()));
    let mut dropped = 0;
    let room = attributes.len() + METADATA_ATTRIBUTES_MAX;
    let mut tell = |name: &str, value: &Value| {
        let told = attribute(&format!("metadata.{name}"), any(value));
        if attributes.len() < room && told.encoded_len() <= METADATA_BYTES_MAX {
            attributes.push(told);
        } else {
            dropped += 1;
        }
    };
    match &form.metadata {
        Metadata::None => {}
        Metadata::All => sample.resource_metadata.iter().for_each(|(name, value)| tell(name, value)),
        Metadata::Named(names) => {
            let found = names.iter().filter_map(|name| Some((name, look_up(sample, name)?)));
            found.for_each(|(name, value)| tell(name, value));
        }
    }
    (attributes, dropped)
}

/// A value of the metadata: under the whole name, else with each dot into an object.
fn look_up<'s>(sample: &'s Sample, name: &str) -> Option<&'s Value> {
    sample.resource_metadata.get(name).or_else(|| {
        let mut names = name.split('.');
        let first = sample.resource_metadata.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_dict()?.get(name))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::Dict;
    use crate::publish::measure::points;
    use crate::publish::record::tests::sample;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use rstest::rstest;

    /// The data points of a request, each with its metric.
    pub(in crate::publish::otlp) fn data_points(
        request: &ExportMetricsServiceRequest,
    ) -> impl Iterator<Item = (&Metric, &NumberDataPoint)> {
        let metrics = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
        metrics.flat_map(|metric| {
            let points = match metric.data.as_ref().unwrap() {
                Data::Gauge(gauge) => &gauge.data_points,
                Data::Sum(sum) => &sum.data_points,
                other => panic!("{other:?}"),
            };
            points.iter().map(move |point| (metric, point))
        })
    }

    fn string(one: &KeyValue) -> String {
        match one.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(text)) => text.clone(),
            other => format!("{other:?}"),
        }
    }

    fn pairs(attributes: &[KeyValue]) -> Vec<String> {
        attributes.iter().map(|one| format!("{}={}", one.key, string(one))).collect()
    }

    /// The ids of the samples in a request, as the exemplars have them.
    pub(in crate::publish::otlp) fn ids(request: &ExportMetricsServiceRequest) -> Vec<String> {
        data_points(request).map(|(_, point)| string(&point.exemplars[0].filtered_attributes[0])).collect()
    }

    fn sent(samples: &[Sample], form: &Form) -> ExportMetricsServiceRequest {
        let (points, refused) = points(samples);
        assert_eq!(refused, []);
        let bytes = request(&points, form).encode_to_vec();
        ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap()
    }

    #[rstest]
    #[case(SampleType::Cumulative, Some((AggregationTemporality::Cumulative, true)))]
    #[case(SampleType::Delta, Some((AggregationTemporality::Delta, false)))]
    #[case(SampleType::Gauge, None)]
    fn the_type_of_a_meter_is_the_kind_of_its_metric(
        #[case] kind: SampleType,
        #[case] sum: Option<(AggregationTemporality, bool)>,
    ) {
        let mut one = sample("cpu", "1");
        (one.kind, one.volume) = (kind, Value::Int(i64::MAX));
        let sent = sent(&[one], &Form::default());
        let (metric, point) = data_points(&sent).next().unwrap();
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("cpu", "ns"));
        match metric.data.as_ref().unwrap() {
            Data::Gauge(_) => assert_eq!(sum, None),
            Data::Sum(of) => assert_eq!(Some((of.aggregation_temporality(), of.is_monotonic)), sum),
            other => panic!("{other:?}"),
        }
        assert_eq!(point.value, Some(PointValue::AsInt(i64::MAX)), "no digit is lost");
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, 1_577_836_800_000_000_000));
    }

    #[test]
    fn a_resource_has_all_its_metrics_and_a_metric_all_its_points() {
        let mut samples: Vec<Sample> = ["1", "2", "3", "4", "5"].iter().map(|id| sample("cpu", id)).collect();
        samples[1].resource_id = "other".into();
        samples[2].name = "memory".into();
        samples[3].unit = "s".into();
        let sent = sent(&samples, &Form::default());
        let shape: Vec<(Vec<String>, Vec<usize>)> = sent
            .resource_metrics
            .iter()
            .map(|of| {
                let metrics = &of.scope_metrics[0].metrics;
                let points = |metric: &Metric| match metric.data.as_ref().unwrap() {
                    Data::Sum(sum) => sum.data_points.len(),
                    other => panic!("{other:?}"),
                };
                (pairs(&of.resource.as_ref().unwrap().attributes), metrics.iter().map(points).collect())
            })
            .collect();
        let of = |id: &str| {
            ["resource_id=".to_owned() + id, "project_id=p".into(), "user_id=u".into(), "source=openstack".into()]
                .to_vec()
        };
        assert_eq!(shape, [(of("r"), vec![2, 1, 1]), (of("other"), vec![1])]);
    }

    #[test]
    fn ids_and_metadata_go_where_they_are_wanted() {
        let mut one = sample("cpu", "i");
        one.resource_metadata =
            Dict::from_iter([("a.b", Value::from("x")), ("a", Dict::from_iter([("c", 1)]).into()), ("d", Value::Null)])
                .into();
        let metadata = Metadata::Named(["a.b", "a.c", "a.e", "nothing"].map(str::to_owned).to_vec());
        let form = Form { place: Place::Point, sample_id: SampleId::Attribute, metadata };
        let sent = sent(&[one], &form);
        assert_eq!(sent.resource_metrics[0].resource.as_ref().unwrap().attributes, []);
        let (_, point) = data_points(&sent).next().unwrap();
        assert_eq!(point.exemplars, []);
        assert_eq!(
            pairs(&point.attributes)[3..],
            ["source=openstack", "metadata.a.b=x", "metadata.a.c=Some(IntValue(1))", "sample_id=i"]
        );
    }

    #[test]
    fn metadata_have_bounds_and_what_is_left_out_is_counted() {
        let mut one = sample("cpu", "i");
        one.resource_metadata = (0..100).map(|n| (format!("k{n}"), Value::Int(n))).collect();
        one.resource_metadata.insert("k3", "x".repeat(METADATA_BYTES_MAX));
        let sent = sent(&[one], &Form { metadata: Metadata::All, ..Form::default() });
        let resource = sent.resource_metrics[0].resource.as_ref().unwrap();
        assert_eq!((resource.attributes.len(), resource.dropped_attributes_count), (4 + 64, 36));
        assert_eq!(resource.attributes[4 + 3].key, "metadata.k4");
    }

    #[rstest]
    #[case(f64::NAN)]
    #[case(f64::NEG_INFINITY)]
    fn a_volume_without_a_finite_value_is_told(#[case] volume: f64) {
        let mut one = sample("cpu", "1");
        one.volume = volume.into();
        let sent = sent(&[one], &Form::default());
        let (_, point) = data_points(&sent).next().unwrap();
        let Some(PointValue::AsDouble(told)) = point.value else { panic!() };
        assert_eq!(told.to_bits(), volume.to_bits());
    }
}
