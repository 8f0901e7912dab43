//! OpenTelemetry's protocol (OTLP/HTTP, <https://opentelemetry.io/docs/specs/otlp/>) for metrics.
//!
//! In: what has to be pushed. Out: the body of a request, gzip; and what an answer says was refused.

use std::io::{self, Write};

use aftertrace_registry::metrics::{MetricKind, Series, Value};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::collection::Pushed;

pub(super) const TYPE: &str = "application/x-protobuf";
const NS_PER_MS: u64 = 1_000_000;

/// The body of a request. Counters count from `began_ms`.
pub(super) fn encode(
    pushed: &[Pushed<'_>],
    collected_ms: i64,
    began_ms: i64,
    instance: &str,
) -> io::Result<Vec<u8>> {
    let time_unix_nano = nanoseconds(collected_ms);
    let metrics = pushed.iter().map(|family| {
        let start_time_unix_nano = match family.family.kind {
            MetricKind::Counter | MetricKind::Histogram => nanoseconds(began_ms),
            MetricKind::Gauge => 0,
        };
        let flags = |value: Option<&Value>| match value {
            Some(_) => 0,
            None => DataPointFlags::NoRecordedValueMask as u32,
        };
        let number = |(series, value): (&Series, Option<&Value>)| NumberDataPoint {
            attributes: attributes(series),
            start_time_unix_nano,
            time_unix_nano,
            flags: flags(value),
            value: value.map(|value| number_data_point::Value::AsDouble(value.number())),
            ..NumberDataPoint::default()
        };
        let distribution = |(series, value): (&Series, Option<&Value>)| {
            let histogram = match value {
                Some(Value::Histogram(histogram)) => Some(histogram),
                _ => None,
            };
            HistogramDataPoint {
                attributes: attributes(series),
                start_time_unix_nano,
                time_unix_nano,
                flags: flags(value),
                // Counts are whole, and far from where a number with a fraction would not hold them.
                count: histogram.map_or(0, |histogram| histogram.count() as u64),
                sum: histogram.map(|histogram| histogram.sum),
                bucket_counts: histogram
                    .map(|histogram| histogram.counts.iter().map(|count| *count as u64).collect())
                    .unwrap_or_default(),
                explicit_bounds: histogram.map(|histogram| histogram.bounds.to_vec()).unwrap_or_default(),
                ..HistogramDataPoint::default()
            }
        };
        Metric {
            name: family.family.name.to_owned(),
            description: family.family.help.to_owned(),
            data: Some(match family.family.kind {
                MetricKind::Counter => metric::Data::Sum(Sum {
                    data_points: family.samples().map(number).collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                }),
                MetricKind::Gauge => {
                    metric::Data::Gauge(Gauge { data_points: family.samples().map(number).collect() })
                }
                MetricKind::Histogram => metric::Data::Histogram(Histogram {
                    data_points: family.samples().map(distribution).collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                }),
            }),
            ..Metric::default()
        }
    });
    let scope = InstrumentationScope {
        name: "aftertrace".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let of_resource =
        [("service.name", "aftertrace"), ("service.instance.id", instance), ("host.name", instance)];
    let resource = Resource {
        attributes: of_resource.map(|(name, value)| attribute(name, value)).to_vec(),
        ..Resource::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&request.encode_to_vec())?;
    gzip.finish()
}

fn nanoseconds(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or_default().saturating_mul(NS_PER_MS)
}

/// The labels of a series.
fn attributes(series: &Series) -> Vec<KeyValue> {
    let labels = series.labels.iter().filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

/// How many data points a receiver says that it refused, and why; an answer that says nothing refused none.
pub(super) fn refused(answer: &[u8]) -> (u64, String) {
    let partial = ExportMetricsServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    let refused = partial.map(|partial| (u64::try_from(partial.rejected_data_points), partial.error_message));
    refused.map_or((0, String::new()), |(count, why)| (count.unwrap_or_default(), why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::io::Read;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
    use proptest::prelude::*;

    use super::super::collection::compare;
    use super::super::collection::tests::two_moments;
    use super::*;

    #[test]
    fn a_request_has_counters_as_cumulative_sums_and_marks_what_is_gone() {
        let [first, second] = two_moments();
        let body = encode(&compare(Some(&first), &second), second.collected_ms, 1_000, "web-1").unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        let request = ExportMetricsServiceRequest::decode(&*plain).unwrap();
        insta::assert_debug_snapshot!(
            request.resource_metrics.first().unwrap().scope_metrics.first().unwrap().metrics
        );
    }

    #[test]
    fn an_answer_says_how_many_points_were_refused_and_why() {
        let partial_success = Some(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".to_owned(),
        });
        let answer = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
        assert_eq!(refused(&answer), (3, "too old".to_owned()));
        assert_eq!(refused(b""), (0, String::new()));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = refused(&bytes);
        }
    }
}
