//! Files opened for writing.

use serde_json::json;
use tempfile::TempDir;

use crate::support::{describe, needs_recording, record_with, workload};

#[test]
fn files_opened_for_writing_are_recorded_and_no_others() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    let folder_name = folder.path().to_str().unwrap();
    let trace = record_with(&[], &workload("files"), &[("WORKLOAD_FOLDER", folder_name)]);
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let rows = trace.sql(&format!(
        "SELECT path, count(*) AS n FROM file_events WHERE path LIKE '{folder_name}/%' GROUP BY path"
    ));
    assert_eq!(rows, [json!({"path": format!("{folder_name}/created"), "n": 2})]);
    assert_eq!(trace.number("SELECT count(*) FROM file_events WHERE path LIKE '/dev/%'"), 0);
    trace.assert_whole();
}
