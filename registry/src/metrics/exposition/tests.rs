#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use crate::metrics::{Histogram, Series};
use proptest::prelude::*;

use super::*;

fn family(kind: MetricKind, name: &'static str, label: &str, value: f64) -> Family {
    let series = vec![Series { labels: vec![("l", label.into())], value: value.into() }];
    Family { name, help: "back\\slash, \"quote\"\nand line", kind, series }
}

fn printed(value: f64) -> String {
    let mut text = String::new();
    number(&mut text, value);
    text
}

#[test]
fn help_and_labels_are_escaped_as_each_format_says() {
    let families = [family(MetricKind::Counter, "x_total", "a\\b\"c\nd", 1.0)];
    let prometheus = [
        r#"# HELP x_total back\\slash, "quote"\nand line"#,
        "# TYPE x_total counter",
        r#"x_total{l="a\\b\"c\nd"} 1"#,
    ];
    assert_eq!(prometheus_text(&families).lines().collect::<Vec<_>>(), prometheus);
    let openmetrics = [
        "# TYPE x counter",
        r#"# HELP x back\\slash, \"quote\"\nand line"#,
        r#"x_total{l="a\\b\"c\nd"} 1"#,
        "# EOF",
    ];
    assert_eq!(openmetrics_text(&families).lines().collect::<Vec<_>>(), openmetrics);
}

#[test]
fn openmetrics_knows_no_counter_without_total() {
    let text = openmetrics_text(&[family(MetricKind::Counter, "container_jvm_gc_time_seconds", "", 1.0)]);
    assert!(text.starts_with("# TYPE container_jvm_gc_time_seconds unknown\n"), "{text}");
    assert!(text.contains("\ncontainer_jvm_gc_time_seconds{l=\"\"} 1\n"), "{text}");
}

#[test]
fn numbers_are_printed_as_gos_client_prints_them() {
    for (value, expected) in [
        (0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (123_456_789_012.0, "123456789012"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.25e100, "1.25e+100"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(printed(value), expected);
    }
}

/// What a reader of the format makes of an escaped label value.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().unwrap() {
                'n' => plain.push('\n'),
                other => plain.push(other),
            },
            other => plain.push(other),
        }
    }
    plain
}

proptest! {
    #[test]
    fn any_label_value_reads_back(value in any::<String>()) {
        let text = prometheus_text(&[family(MetricKind::Gauge, "x", &value, 1.0)]);
        let line = text.split('\n').find(|line| line.starts_with("x{")).unwrap();
        let escaped = line.strip_prefix("x{l=\"").unwrap().strip_suffix("\"} 1").unwrap();
        prop_assert_eq!(unescape(escaped), value);
    }

    #[test]
    fn any_number_reads_back(value in any::<f64>()) {
        let read: f64 = printed(value).replace("Inf", "inf").parse().unwrap();
        prop_assert!(read == value || read.is_nan() && value.is_nan());
    }
}

#[test]
fn a_histogram_has_buckets_that_add_up_a_sum_and_a_count() {
    let histogram = Histogram { bounds: [0.5, 1.0].into(), counts: vec![2.0, 1.0, 1.0], sum: 4.25 };
    let series = vec![Series { labels: vec![("l", "x".into())], value: histogram.into() }];
    let family = Family { name: "d_seconds_total", help: "", kind: MetricKind::Histogram, series };
    assert_eq!(
        prometheus_text(std::slice::from_ref(&family)),
        "# HELP d_seconds_total \n# TYPE d_seconds_total histogram\n\
         d_seconds_total_bucket{l=\"x\",le=\"0.5\"} 2\n\
         d_seconds_total_bucket{l=\"x\",le=\"1\"} 3\n\
         d_seconds_total_bucket{l=\"x\",le=\"+Inf\"} 4\n\
         d_seconds_total_sum{l=\"x\"} 4.25\n\
         d_seconds_total_count{l=\"x\"} 4\n"
    );
    assert!(openmetrics_text(&[family]).contains("le=\"1.0\"} 3\n"));
}
