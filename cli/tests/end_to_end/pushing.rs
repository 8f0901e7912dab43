//! `serve --remote-write`: a real Prometheus takes what is pushed, and the trace still says what was said.

use std::time::Duration;

use serde_json::json;

use crate::prometheus::Prometheus;
use crate::serve::{flags, units, verify_against};
use crate::serving::Serving;
use crate::support::{describe, needs_recording};

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_real_prometheus_takes_what_is_pushed_and_the_scrapes_between_can_be_proven() {
    needs_recording!();
    let Some(prometheus) = Prometheus::start(None) else { return };
    let unit = units(&["push-prometheus"]);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/api/v1/write", prometheus.address());
    let mut flags = flags(&unit);
    flags.extend(words(&["--interval", "300ms", "--min-container-age", "0s", "--push-interval", "500ms"]));
    flags.extend(words(&["--push-dir", folder.path().to_str().unwrap(), "--remote-write", &url]));
    let serving = Serving::start(&flags, true);
    let mut saved = Vec::new();
    for round in 0..20 {
        unit[0].run("/bin/true; exit 0");
        let file = serving.folder().join(format!("{round}.prom"));
        std::fs::write(&file, serving.get("/metrics", &[]).body).unwrap();
        saved.push(file);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Prometheus 2.42 knows no version but 1.0 of remote write.
    let hostname = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let of = |name: &str| format!("{name}{{job=\"aftertrace\",instance=\"{hostname}\"}}");
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    prometheus.value(&of("node_resources_cpu_logical_cores"), |value| value >= cores);
    let id = format!("container_id=\"{}\"", unit[0].path());
    let last = serving.get("/metrics", &[]).text();
    let mut lines = last.lines().filter(|line| line.starts_with("container_restarts_total{"));
    let scraped = lines.find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{last}"));
    let scraped: f64 = scraped.rsplit(' ').next().unwrap().parse().unwrap();
    prometheus
        .value(&format!("container_restarts_total{{{id}}}"), |value| (value - scraped).abs() < f64::EPSILON);
    // What became of the pushes is itself a metric, which arrives with a later push.
    prometheus.value("sum(aftertrace_push_samples_total)", |value| value > 100.0);
    prometheus.value("sum(aftertrace_push_lost_samples_total)", |value| value == 0.0);
    assert!(serving.get("/", &[]).text().contains(&url));

    let trace = serving.stop();
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
    let formats = trace.sql("SELECT count(*) > 3 AS pushed FROM scrapes WHERE format = 'push'");
    assert_eq!(formats, [json!({"pushed": true})]);
    trace.assert_whole();
}

#[test]
fn what_nobody_took_waits_for_the_next_start_and_is_told_of_without_the_password() {
    needs_recording!();
    let unit = units(&["push-nobody"]);
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://me:hidden@{free}/api/v1/write");
    let mut flags = flags(&unit);
    flags.extend(words(&["--push-dir", folder.path().to_str().unwrap(), "--remote-write", &url]));
    let serving = Serving::start(&flags, true);
    std::thread::sleep(Duration::from_millis(500));
    let trace = serving.stop();
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let said = String::from_utf8_lossy(&trace.output.stderr).into_owned();
    assert!(
        said.contains(&format!("http://{free}/api/v1/write")) && said.contains("wait for the next start"),
        "{said}"
    );
    assert!(!said.contains("hidden"), "{said}");
    let queue = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let batches = std::fs::read_dir(queue).unwrap();
    let batches =
        batches.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "batch"));
    assert_eq!(batches.count(), 1);
}

#[test]
fn a_url_that_nothing_can_be_pushed_to_is_wrong_usage() {
    for (url, words) in [("ftp://host/", "begins with http:// or https://"), ("http://", "no URL such as")] {
        let output = std::process::Command::new(crate::support::AFTERTRACE)
            .args(["serve", "--remote-write", url])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{}", describe(&output));
    }
}
