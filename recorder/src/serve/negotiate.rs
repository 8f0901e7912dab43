//! Which text format and which encoding an HTTP client wants (RFC 9110, section 12).

use aftertrace_schemas::tables::ScrapeFormat;

/// The format that `Accept` prefers; Prometheus text when it names neither, as exporters do.
pub(super) fn format(accept: &str) -> ScrapeFormat {
    let (mut open_metrics, mut text) = (0.0, 0.0_f32);
    for (range, weight) in ranges(accept) {
        match range {
            "application/openmetrics-text" => open_metrics = weight.max(open_metrics),
            "text/plain" | "text/*" | "*/*" => text = weight.max(text),
            _ => {}
        }
    }
    if open_metrics > 0.0 && open_metrics >= text {
        ScrapeFormat::OpenMetrics
    } else {
        ScrapeFormat::Prometheus
    }
}

/// Whether `Accept-Encoding` takes gzip.
pub(super) fn takes_gzip(accept_encoding: &str) -> bool {
    let mut any = None;
    for (coding, weight) in ranges(accept_encoding) {
        match coding {
            "gzip" | "x-gzip" => return weight > 0.0,
            "*" => any = Some(weight > 0.0),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

/// Items of a list with their weights; the version and other parameters do not matter here.
fn ranges(header: &str) -> impl Iterator<Item = (&str, f32)> {
    header.split(',').filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let range = parts.next().filter(|range| !range.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // A weight that is none counts as the default.
        let weight = weight.and_then(|text| text.trim().parse().ok()).unwrap_or(1.0_f32);
        Some((range, weight.clamp(0.0, 1.0)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prometheus_gets_openmetrics_when_it_prefers_it() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(format(accept), ScrapeFormat::OpenMetrics);
    }

    #[test]
    fn curl_and_browsers_get_plain_text() {
        for accept in ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"] {
            assert_eq!(format(accept), ScrapeFormat::Prometheus, "{accept}");
        }
    }

    #[test]
    fn a_weight_of_nothing_refuses() {
        assert_eq!(format("application/openmetrics-text;q=0, text/plain"), ScrapeFormat::Prometheus);
        assert!(!takes_gzip("gzip;q=0, *"));
        assert!(takes_gzip("br, gzip;q=0.1"));
        assert!(takes_gzip("*"));
        assert!(!takes_gzip("identity"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".{0,200}") {
            let _ = (format(&header), takes_gzip(&header));
        }
    }
}
