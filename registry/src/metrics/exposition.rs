//! The two text formats of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write;

use super::{Family, Label, MetricKind, Value};

/// Prometheus text format 0.0.4, content type `text/plain; version=0.0.4`.
pub fn prometheus_text(families: &[Family]) -> String {
    let mut text = with_room(families);
    for family in families {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        // Writing to a String cannot fail; so everywhere in this file.
        let _ = write!(text, "# HELP {} ", family.name);
        escape(&mut text, family.help, false);
        let _ = writeln!(text, "\n# TYPE {} {kind}", family.name);
        samples(&mut text, family, false);
    }
    text
}

/// OpenMetrics 1.0, content type `application/openmetrics-text; version=1.0.0`.
///
/// There a counter `x` has samples `x_total`, so the suffix leaves the family's name; a counter whose name has no such
/// suffix cannot be one and is `unknown`.
pub fn openmetrics_text(families: &[Family]) -> String {
    let mut text = with_room(families);
    for family in families {
        let (name, kind) = match (family.kind, family.name.strip_suffix("_total")) {
            (MetricKind::Counter, Some(stem)) => (stem, "counter"),
            (MetricKind::Counter, None) => (family.name, "unknown"),
            (MetricKind::Gauge, _) => (family.name, "gauge"),
            (MetricKind::Histogram, _) => (family.name, "histogram"),
        };
        let _ = write!(text, "# TYPE {name} {kind}\n# HELP {name} ");
        escape(&mut text, family.help, true);
        text.push('\n');
        samples(&mut text, family, true);
    }
    text.push_str("# EOF\n");
    text
}

/// Room for about the whole text: it is some megabytes, which would else be copied again and again as it grows.
fn with_room(families: &[Family]) -> String {
    let bytes = |family: &Family| {
        let first = family.series.first().map_or(&[][..], |series| &series.labels);
        let labels = first.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        family.help.len() + 4 * family.name.len() + family.series.len() * (family.name.len() + labels + 16)
    };
    String::with_capacity(families.iter().map(bytes).sum())
}

fn samples(text: &mut String, family: &Family, is_openmetrics: bool) {
    for one in &family.series {
        match &one.value {
            Value::Number(value) => {
                text.push_str(family.name);
                labels(text, &one.labels, None);
                text.push(' ');
                number(text, *value);
                text.push('\n');
            }
            value @ Value::Histogram(_) => {
                for sample in value.samples() {
                    text.push_str(family.name);
                    text.push_str(sample.suffix);
                    labels(
                        text,
                        &one.labels,
                        sample.bound.map(|bound| bound_text(bound, is_openmetrics)).as_deref(),
                    );
                    text.push(' ');
                    number(text, sample.value);
                    text.push('\n');
                }
            }
        }
    }
}

fn labels(text: &mut String, labels: &[Label], bound: Option<&str>) {
    let all = labels.iter().map(|(name, value)| (*name, &**value)).chain(bound.map(|bound| (BOUND, bound)));
    let mut is_first = true;
    for (label, value) in all {
        text.push(if is_first { '{' } else { ',' });
        is_first = false;
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value, true);
        text.push('"');
    }
    if !is_first {
        text.push('}');
    }
}

/// The label of a histogram's bounds.
pub const BOUND: &str = "le";

/// A bound as the value of its label: OpenMetrics wants whole numbers with a point.
pub fn bound_text(bound: f64, is_openmetrics: bool) -> String {
    let mut text = String::new();
    number(&mut text, bound);
    if is_openmetrics && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.push_str(".0");
    }
    text
}

/// Backslash and line feed everywhere, the double quote in label values and in OpenMetrics' help.
fn escape(text: &mut String, value: &str, quotes: bool) {
    let mut rest = value;
    let is_special = |byte: u8| byte == b'\\' || byte == b'\n' || (byte == b'"' && quotes);
    while let Some((before, from)) =
        rest.bytes().position(is_special).and_then(|position| rest.split_at_checked(position))
    {
        text.push_str(before);
        text.push_str(match from.as_bytes().first() {
            Some(b'\n') => "\\n",
            Some(b'"') => "\\\"",
            _ => "\\\\",
        });
        // All of them are one byte.
        rest = from.get(1..).unwrap_or_default();
    }
    text.push_str(rest);
}

/// Integers up to here are printed as they are, and by the shorter way.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// As Go's client prints it: the shortest digits that read back as the same value, with an exponent far from 1.
fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value.abs() <= EXACT && value.fract() == 0.0 && (value != 0.0 || value.is_sign_positive()) {
        let _ = write!(text, "{}", value as i64);
    } else if value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
        let _ = write!(text, "{value}");
    } else {
        // Rust writes 1e-7 where Go writes 1e-07.
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        let _ = write!(text, "{digits}e{sign}{exponent:0>2}");
    }
}

#[cfg(test)]
mod tests;
