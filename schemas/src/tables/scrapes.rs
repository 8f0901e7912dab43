//! `scrapes`: the places in the order of the trace at which the live metrics were read.

use crate::label::labels;

labels! {
    /// In which text format a scrape was answered.
    pub enum ScrapeFormat {
        /// Prometheus text format 0.0.4.
        Prometheus = "prometheus",
        /// OpenMetrics 1.0 text.
        OpenMetrics = "openmetrics",
        /// None: the metrics were pushed, by remote write or OTLP.
        Push = "push",
    }
}

table! {
    /// The live metrics were read here: what was said then is what a replay up to this row says.
    pub struct Scrape in "scrapes" as Scrape {
        /// Number of the scrape, from 1.
        [Delta] number: u64,
        /// How it was answered.
        [Dictionary] format: ScrapeFormat,
    }
}
