//! What a series says at one moment: a number, or how observations are distributed.

use std::sync::Arc;

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Number(f64),
    /// A distribution.
    Histogram(Histogram),
}

/// How many observations lie between which bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bounds, inclusive, that grow.
    pub bounds: Arc<[f64]>,
    /// Observations up to each bound and above the one before, then those above the last.
    pub counts: Vec<f64>,
    /// Sum of all observations.
    pub sum: f64,
}

/// A number that a series has in text formats: a histogram has several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Behind the family's name.
    pub suffix: &'static str,
    /// Upper bound of the observations that it counts.
    pub bound: Option<f64>,
    /// The number.
    pub value: f64,
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Histogram> for Value {
    fn from(histogram: Histogram) -> Self {
        Self::Histogram(histogram)
    }
}

impl Histogram {
    /// All observations.
    pub fn count(&self) -> f64 {
        self.counts.iter().sum()
    }

    fn each(&mut self, other: &Self, change: impl Fn(f64, f64) -> f64) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = change(*mine, *theirs);
        }
        self.sum = change(self.sum, other.sum);
    }
}

impl Value {
    /// The number; of a distribution, how many observations it has.
    pub fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Histogram(histogram) => histogram.count(),
        }
    }

    /// The numbers of it in text formats, in their order.
    pub fn samples(&self) -> Vec<Sample> {
        let histogram = match self {
            Self::Number(value) => return vec![Sample { suffix: "", bound: None, value: *value }],
            Self::Histogram(histogram) => histogram,
        };
        let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
        let mut so_far = 0.0;
        let buckets = bounds.zip(&histogram.counts).map(|(bound, count)| {
            so_far += count;
            Sample { suffix: "_bucket", bound: Some(bound), value: so_far }
        });
        let mut samples: Vec<Sample> = buckets.collect();
        samples.push(Sample { suffix: "_sum", bound: None, value: histogram.sum });
        samples.push(Sample { suffix: "_count", bound: None, value: so_far });
        samples
    }

    /// The same with nothing in it.
    pub(crate) fn zero(&self) -> Self {
        self.changed(self, |_, _| 0.0)
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.changed(other, |mine, theirs| mine + theirs)
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.changed(other, |mine, theirs| mine - theirs)
    }

    /// The greater of each number.
    pub(crate) fn at_least(&self, other: &Self) -> Self {
        self.changed(other, f64::max)
    }

    /// Values of one family are alike; a mixture leaves this one as it is.
    fn changed(&self, other: &Self, change: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Number(mine), Self::Number(theirs)) => Self::Number(change(*mine, *theirs)),
            (Self::Histogram(mine), Self::Histogram(theirs)) => {
                let mut changed = mine.clone();
                changed.each(theirs, change);
                Self::Histogram(changed)
            }
            _ => self.clone(),
        }
    }
}
