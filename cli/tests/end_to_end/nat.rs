//! Where connections lead behind address translation, compared with conntrack(8).

use serde_json::json;

use crate::support::{needs_recording, record, workload};

#[test]
fn a_translated_connection_has_the_actual_destination_that_conntrack_gives() {
    needs_recording!();
    let mut command = vec!["unshare".to_owned(), "--net".to_owned()];
    command.extend(workload("translated_connections"));
    let trace = record(&[], &command);
    assert!(trace.output.status.success(), "{}", crate::support::describe(&trace.output));
    let said = String::from_utf8(trace.output.stdout.clone()).unwrap();
    let tracked: Vec<&str> = said.lines().filter(|line| line.contains("dst=10.96.0.1 ")).collect();
    assert_eq!(tracked.len(), 3, "{said}");
    // The second address of a line is that of who answers.
    assert!(
        tracked.iter().all(|line| line.contains("src=10.99.1.2 ") && line.contains("sport=28443 ")),
        "{said}"
    );

    let mapped = trace.sql(
        "SELECT destination_ip, destination_port, actual_ip, actual_port, source, count(*) AS n \
         FROM nat_mappings GROUP BY ALL",
    );
    assert_eq!(
        mapped,
        [json!({
            "destination_ip": "10.96.0.1", "destination_port": 20443,
            "actual_ip": "10.99.1.2", "actual_port": 28443, "source": "conntrack", "n": 3
        })]
    );
    let connects = |destination, actual_destination| {
        let labels = [("destination", destination), ("actual_destination", actual_destination)];
        trace.metric("container_net_tcp_successful_connects_total", &labels)
    };
    assert_eq!(connects("10.96.0.1:20443", "10.99.1.2:28443"), Some(3.0));
    assert_eq!(connects("10.99.1.2:28443", "10.99.1.2:28443"), Some(1.0));
    trace.assert_whole();
}
