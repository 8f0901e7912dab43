//! Every metric in a table, for `docs/metrics.md`.

use std::fmt::Write;

use super::MetricKind;
use super::definitions::{self, Definition, Fold};
use crate::SeriesLimits;

/// The text of `docs/metrics.md`.
pub fn markdown() -> String {
    let SeriesLimits { per_family, per_container } = SeriesLimits::default();
    let mut text = format!(
        "# Metrics\n\nWritten by a test from the definitions in `registry/src/metrics/definitions.rs`: \
         `UPDATE_SHAPE=1 cargo test -p aftertrace-registry --test metrics_page`.\n\n\
         Every series has the labels `machine_id` and `system_uuid`; those of containers have `container_id` and `app_id` \
         too.\n\n\
         A metric has at most {per_family} series, {per_container} of one container. Those with the highest values are shown \
         (of destinations, those with the most connections); the others are one series in which the labels that tell them \
         apart are `~other`. Counters add up there, gauges do so or are left out, as the column \"rest\" says. \
         `aftertrace_series_dropped_total` counts them. \
         [Decision 0005](decisions/0005-too-many-series.md) has the details.\n",
    );
    section(&mut text, "Containers", |name| name.starts_with("container_"));
    section(&mut text, "Node", |name| name.starts_with("node_"));
    section(&mut text, "The recording itself", |name| name.starts_with("aftertrace_"));
    let is_other =
        |name: &str| !["container_", "node_", "aftertrace_"].iter().any(|prefix| name.starts_with(prefix));
    section(&mut text, "Others", is_other);
    text
}

fn section(text: &mut String, title: &str, is_in: impl Fn(&str) -> bool) {
    let mut rows: Vec<&Definition> = definitions::ALL.iter().copied().filter(|row| is_in(row.name)).collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_unstable_by_key(|row| row.name);
    // Writing to a String cannot fail; so everywhere in this file.
    let _ = write!(
        text,
        "\n## {title}\n\n| name | type | own labels | rest | what it is |\n|---|---|---|---|---|\n"
    );
    for row in rows {
        let kind = match row.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let kept: Vec<String> = row.kept.iter().map(|label| format!("`{label}`")).collect();
        let rest = match (row.fold, kept.is_empty()) {
            _ if row.labels.is_empty() && !row.name.starts_with("container_") => String::new(),
            (Fold::Omit, _) => "left out".to_owned(),
            (Fold::Sum, true) => "sum".to_owned(),
            (Fold::Sum, false) => format!("sum by {}", kept.join(", ")),
        };
        let _ = writeln!(text, "| `{}` | {kind} | {} | {rest} | {} |", row.name, labels.join(", "), row.help);
    }
}
