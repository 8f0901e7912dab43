//! Prometheus remote write: version 2.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>), and version 1.0
//! for receivers that know no other.
//!
//! In: what has to be pushed. Out: the body of a request, in Snappy's block format.

use std::borrow::Cow;
use std::collections::HashMap;

use aftertrace_registry::metrics::MetricKind;
use aftertrace_registry::metrics::exposition::{BOUND, bound_text};
use prost::Message;
use rustc_hash::FxBuildHasher;

use super::collection::{Pushed, labels};

pub(super) const V2_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
pub(super) const V2_VERSION: &str = "2.0.0";
pub(super) const V1_TYPE: &str = "application/x-protobuf";
pub(super) const V1_VERSION: &str = "0.1.0";
/// A series that is no more ends with this (prometheus/model/value, `StaleNaN`).
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// Every other NaN is written like this, so that none is taken for the one above (`NormalNaN`).
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);
/// Label that a metric's name has in version 1 and 2.
const NAME: &str = "__name__";
/// `MetricType` of both versions.
const COUNTER: i32 = 1;
const GAUGE: i32 = 2;
const HISTOGRAM: i32 = 3;

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    /// Every text once; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub(super) symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) timeseries: Vec<TimeSeries>,
}

/// `io.prometheus.write.v2.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    /// Name, value, name, value ... as places in `symbols`.
    #[prost(uint32, repeated, tag = "1")]
    pub(super) labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, optional, tag = "5")]
    pub(super) metadata: Option<Metadata>,
}

/// `Sample` of both versions.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    /// Unix milliseconds.
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

/// `io.prometheus.write.v2.Metadata`; no metric here has a unit of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct Metadata {
    #[prost(int32, tag = "1")]
    pub(super) r#type: i32,
    #[prost(uint32, tag = "3")]
    pub(super) help_ref: u32,
}

/// `prometheus.WriteRequest` of version 1.0.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) timeseries: Vec<TimeSeriesV1>,
    #[prost(message, repeated, tag = "3")]
    pub(super) metadata: Vec<MetadataV1>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeriesV1 {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// `prometheus.MetricMetadata`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct MetadataV1 {
    #[prost(int32, tag = "1")]
    pub(super) r#type: i32,
    #[prost(string, tag = "2")]
    pub(super) metric_family_name: String,
    #[prost(string, tag = "4")]
    pub(super) help: String,
}

/// A body cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotARequest {
    #[error("not Snappy: {0}")]
    Snappy(#[from] snap::Error),
    #[error("not a request of remote write: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("a text is missing")]
    Symbol,
}

/// Texts, each once.
struct Symbols<'a> {
    places: HashMap<Cow<'a, str>, u32, FxBuildHasher>,
    texts: Vec<String>,
}

impl<'a> Symbols<'a> {
    fn new() -> Self {
        let mut symbols = Self { places: HashMap::default(), texts: Vec::new() };
        symbols.place("".into());
        symbols
    }

    fn place(&mut self, text: Cow<'a, str>) -> u32 {
        let Self { places, texts } = self;
        *places.entry(text).or_insert_with_key(|text| {
            texts.push(text.clone().into_owned());
            // A scrape has far fewer texts than that: `Limits` bounds them.
            u32::try_from(texts.len() - 1).unwrap_or_default()
        })
    }
}

/// The body of a request of version 2.0.
pub(super) fn encode(
    pushed: &[Pushed<'_>],
    collected_ms: i64,
    instance: &str,
) -> Result<Vec<u8>, snap::Error> {
    let mut symbols = Symbols::new();
    let mut timeseries = Vec::with_capacity(pushed.iter().map(Pushed::len).sum());
    for family in pushed {
        let kind = match family.family.kind {
            MetricKind::Counter => COUNTER,
            MetricKind::Gauge => GAUGE,
            MetricKind::Histogram => HISTOGRAM,
        };
        let metadata = Metadata { r#type: kind, help_ref: symbols.place(family.family.help.into()) };
        for (series, value) in family.samples() {
            let own = labels(series, instance);
            for part in series.value.samples() {
                let mut all: Vec<(&str, Cow<'_, str>)> =
                    own.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
                if let Some(bound) = part.bound {
                    all.push((BOUND, bound_text(bound, false).into()));
                    all.sort_unstable();
                }
                let name = match part.suffix {
                    "" => Cow::Borrowed(family.family.name),
                    suffix => Cow::Owned(format!("{}{suffix}", family.family.name)),
                };
                // "__name__" comes before any label of ours: none begins with '_', and capitals are not used.
                let mut labels_refs = vec![symbols.place(NAME.into()), symbols.place(name)];
                for (name, value) in all {
                    labels_refs.extend([symbols.place(name.into()), symbols.place(value)]);
                }
                let value = match value {
                    None => STALE,
                    Some(_) if part.value.is_nan() => NAN,
                    Some(_) => part.value,
                };
                let samples = vec![Sample { value, timestamp: collected_ms }];
                timeseries.push(TimeSeries { labels_refs, samples, metadata: Some(metadata) });
            }
        }
    }
    compressed(&Request { symbols: symbols.texts, timeseries })
}

/// The same in version 1.0.
pub(super) fn downgrade(body: &[u8]) -> Result<Vec<u8>, NotARequest> {
    let request = decode::<Request>(body)?;
    let text = |place: u32| {
        let place = usize::try_from(place).map_err(|_| NotARequest::Symbol)?;
        request.symbols.get(place).cloned().ok_or(NotARequest::Symbol)
    };
    let mut converted = WriteRequest::default();
    for series in &request.timeseries {
        let pairs = series.labels_refs.as_chunks().0.iter();
        let labels = pairs.map(|[name, value]| Ok(Label { name: text(*name)?, value: text(*value)? }));
        let labels: Vec<Label> = labels.collect::<Result<_, NotARequest>>()?;
        let name = labels.iter().find(|label| label.name == NAME).map(|label| &label.value);
        let name = name.zip(series.metadata).map(|(name, metadata)| match metadata.r#type {
            HISTOGRAM => (family_of(name), metadata),
            _ => (name.as_str(), metadata),
        });
        if let Some((name, metadata)) = name
            && converted.metadata.last().is_none_or(|last| last.metric_family_name != name)
        {
            converted.metadata.push(MetadataV1 {
                r#type: metadata.r#type,
                metric_family_name: name.to_owned(),
                help: text(metadata.help_ref)?,
            });
        }
        converted.timeseries.push(TimeSeriesV1 { labels, samples: series.samples.clone() });
    }
    Ok(compressed(&converted)?)
}

/// The family of a histogram's series.
fn family_of(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn compressed(message: &impl Message) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec())
}

/// The message in a body.
pub(super) fn decode<T: Message + Default>(body: &[u8]) -> Result<T, NotARequest> {
    Ok(T::decode(&*snap::raw::Decoder::new().decompress_vec(body)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::super::collection::tests::{series, two_moments};
    use super::super::collection::{Collection, compare};
    use super::*;

    fn words(request: &Request) -> Vec<String> {
        let text = |place: &u32| request.symbols[*place as usize].as_str();
        let of = |series: &TimeSeries| {
            let labels: Vec<_> = series
                .labels_refs
                .chunks(2)
                .map(|pair| format!("{}={}", text(&pair[0]), text(&pair[1])))
                .collect();
            let metadata = series.metadata.unwrap();
            let sample = series.samples[0];
            let value = if sample.value.to_bits() == STALE.to_bits() {
                "stale".to_owned()
            } else {
                sample.value.to_string()
            };
            format!(
                "{} {value} @{} type {} {:?}",
                labels.join(","),
                sample.timestamp,
                metadata.r#type,
                text(&metadata.help_ref)
            )
        };
        request.timeseries.iter().map(of).collect()
    }

    #[test]
    fn a_request_of_version_2_has_each_text_once_and_marks_what_is_gone() {
        let [first, second] = two_moments();
        let body = encode(&compare(Some(&first), &second), second.collected_ms, "web-1").unwrap();
        let request: Request = decode(&body).unwrap();
        assert_eq!(request.symbols[0], "");
        let mut once = request.symbols.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), request.symbols.len());
        insta::assert_debug_snapshot!(words(&request));
    }

    #[test]
    fn a_request_of_version_1_says_the_same() {
        let [first, second] = two_moments();
        let body = encode(&compare(Some(&first), &second), second.collected_ms, "web-1").unwrap();
        let converted: WriteRequest = decode(&downgrade(&body).unwrap()).unwrap();
        assert_eq!(converted.metadata.len(), 2);
        assert_eq!(converted.timeseries[2].samples[0].value.to_bits(), STALE.to_bits());
        insta::assert_debug_snapshot!(converted.timeseries[0]);
    }

    #[test]
    fn a_nan_of_a_metric_is_not_taken_for_the_end_of_its_series() {
        let [mut collection, _] = two_moments();
        collection.families[0].series = vec![series(&[], f64::from_bits(STALE.to_bits()))];
        let body = encode(&compare(None, &collection), 1, "web-1").unwrap();
        let request: Request = decode(&body).unwrap();
        assert_eq!(request.timeseries[0].samples[0].value.to_bits(), NAN.to_bits());
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(values in proptest::collection::vec((any::<f64>(), ".{0,20}"), 0..30)) {
            let [mut collection, _] = two_moments();
            collection.families.truncate(1);
            collection.families[0].series =
                values.iter().map(|(value, text)| series(&[("a_label", text)], *value)).collect();
            let body = encode(&compare(None, &collection), 7, "web-1").unwrap();
            let converted: WriteRequest = decode(&downgrade(&body).unwrap()).unwrap();
            prop_assert_eq!(converted.timeseries.len(), values.len());
            for (series, (value, text)) in converted.timeseries.iter().zip(&values) {
                let label = series.labels.iter().find(|label| label.name == "a_label");
                prop_assert_eq!(label.map_or("", |label| &label.value), text);
                let same = series.samples[0].value == *value || value.is_nan() && series.samples[0].value.is_nan();
                prop_assert!(same);
            }
        }

        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = downgrade(&bytes);
            let _ = downgrade(&snap::raw::Encoder::new().compress_vec(&bytes).unwrap());
        }
    }

    #[test]
    fn nothing_to_push_is_an_empty_request() {
        let nothing = Collection { collected_ms: 1, families: Vec::new() };
        let request: Request = decode(&encode(&compare(None, &nothing), 1, "web-1").unwrap()).unwrap();
        assert_eq!(request, Request { symbols: vec![String::new()], timeseries: Vec::new() });
    }
}
