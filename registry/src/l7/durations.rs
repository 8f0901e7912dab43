//! Durations counted by size.

use std::sync::Arc;

use crate::metrics::Histogram;

/// Durations between the bounds of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Durations {
    /// By bound, and above the last; empty until the first.
    counts: Vec<u64>,
    sum_ns: u64,
}

impl Durations {
    /// Counts one; `bounds_ns` are upper bounds that grow, the same at every call.
    pub(super) fn add(&mut self, duration_ns: u64, bounds_ns: &[u64]) {
        if self.counts.is_empty() {
            self.counts = vec![0; bounds_ns.len() + 1];
        }
        let place = bounds_ns.partition_point(|bound| *bound < duration_ns);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(duration_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// As a metric; none when nothing was counted.
    pub(super) fn histogram(&self, bounds_seconds: &Arc<[f64]>) -> Option<Histogram> {
        (!self.counts.is_empty()).then(|| Histogram {
            bounds: bounds_seconds.clone(),
            counts: self.counts.iter().map(|count| *count as f64).collect(),
            sum: self.sum_ns as f64 / 1e9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut durations = Durations::default();
        for duration_ns in [5, 10, 11, 21] {
            durations.add(duration_ns, &[10, 20]);
        }
        let histogram = durations.histogram(&Arc::from([10e-9, 20e-9]));
        assert_eq!(histogram.map(|histogram| histogram.counts), Some(vec![2.0, 1.0, 1.0]));
    }
}
