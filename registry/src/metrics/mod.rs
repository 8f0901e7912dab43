//! Metric families: what [`Registry::collect`](crate::Registry::collect) returns and the text formats print.

mod collector;
pub(crate) mod definitions;
pub mod exposition;
mod limiter;
pub mod reference;
mod value;

use std::sync::Arc;

pub(crate) use collector::Collector;
pub(crate) use limiter::Limiter;
pub use value::{Histogram, Sample, Value};

/// Name and value of a label.
pub type Label = (&'static str, Arc<str>);

/// How a family's values move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; starts again at 0 when what it counts is new.
    Counter,
    /// May go up and down.
    Gauge,
    /// Counts observations by size; each count only grows.
    Histogram,
}

/// One time series at one moment; a histogram is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels, sorted by name.
    pub labels: Vec<Label>,
    /// The value, in the unit that the family's name tells.
    pub value: Value,
}

/// A metric with all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name, with the unit in it and `_total` where coroot-node-agent has that.
    pub name: &'static str,
    /// What it is, for people.
    pub help: &'static str,
    /// How its values move.
    pub kind: MetricKind,
    /// Its series, sorted by container and labels; what stands for the rest of all containers at the end.
    pub series: Vec<Series>,
}
