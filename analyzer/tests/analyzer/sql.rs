//! SQL on traces.

use std::fs;

use aftertrace_analyzer::Trace;
use aftertrace_analyzer::sql::{Options, RowFormat, Sql, SqlError};
use aftertrace_schemas::tables::{MarkKind, TcpEventKind};
use aftertrace_schemas::{Observation, TableId};
use serde_json::Value;

use crate::support::{Story, killed_shop, shop, trace_of};

fn run(trace: &Trace, format: RowFormat, statements: &str) -> Result<String, SqlError> {
    let options = Options { format, partitions: Some(2), ..Options::default() };
    let mut out = Vec::new();
    Sql::open(trace, &options)?.run(statements, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn table(trace: &Trace, statements: &str) -> String {
    run(trace, RowFormat::Table, statements).unwrap()
}

fn rows(trace: &Trace, statements: &str) -> Vec<Value> {
    let text = run(trace, RowFormat::Json, statements).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_table_is_there_even_without_rows() {
    let trace = trace_of(&[]).open();
    for table in TableId::ALL {
        let rows = rows(&trace, &format!("SELECT count(*) AS n FROM \"{}\"", table.name()));
        assert_eq!(rows[0]["n"], 0, "{table:?}");
    }
}

#[test]
fn rows_of_all_segments_and_of_the_journal_are_one_table() {
    let query = "SELECT kind, count(*) AS n FROM tcp_events GROUP BY kind ORDER BY kind";
    let expected = table(&shop().open(), query);
    insta::assert_snapshot!(expected);
    assert_eq!(table(&killed_shop().open(), query), expected);
}

#[test]
fn addresses_are_text_and_the_host_is_a_column() {
    insta::assert_snapshot!(table(
        &shop().open(),
        "SELECT time, kind, local_ip, remote_ip, remote_port, host FROM tcp_events \
         WHERE kind <> 'close' AND time < '2026-11-23T07:00:02Z' ORDER BY seq"
    ));
}

#[test]
fn connections_join_open_and_close_with_container_and_process() {
    insta::assert_snapshot!(table(
        &shop().open(),
        "SELECT connection_id, container, direction, state, command, remote_ip, remote_port, opened, duration_ns, \
         bytes_sent, bytes_received, retransmits, error FROM connections ORDER BY connection_id"
    ));
}

#[test]
fn containers_say_name_image_and_when_they_were_seen() {
    insta::assert_snapshot!(table(
        &shop().open(),
        "SELECT container, runtime, name, image, first_seen, last_seen, host FROM containers"
    ));
}

#[test]
fn process_lifetimes_gather_what_is_known_of_a_process() {
    insta::assert_snapshot!(table(
        &shop().open(),
        "SELECT pid, command, executable, command_line, container, uid, started, ended, exit_code, signal \
         FROM process_lifetimes ORDER BY pid"
    ));
}

#[test]
fn losses_are_a_view_and_the_stored_rows_are_in_raw() {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    story.at(3000).loss("kernel/sched_process_exec", "ring_full", 4);
    let trace = trace_of(&[story.observations]).open();
    insta::assert_snapshot!(table(&trace, "SELECT * FROM losses; SELECT \"from\", lost FROM raw.losses"));
}

#[test]
fn the_functions_take_addresses_and_control_groups() {
    let trace = shop().open();
    let found = rows(&trace, "SELECT count(*) AS n FROM raw.tcp_events WHERE remote_ip = ip('10.0.0.5')");
    assert_eq!(found[0]["n"], 8);
    let found = rows(
        &trace,
        "SELECT ip_text(ip('::ffff:1.2.3.4')) AS a, ip_text(ip('2001:db8::1')) AS b, error_name(CAST(111 AS SMALLINT UNSIGNED)) AS e",
    );
    assert_eq!(
        (&found[0]["a"], &found[0]["b"], &found[0]["e"]),
        (&"1.2.3.4".into(), &"2001:db8::1".into(), &"ECONNREFUSED".into())
    );
    let error = run(&trace, RowFormat::Table, "SELECT ip('nonsense')").unwrap_err().to_string();
    assert!(error.contains("`nonsense` is no IP address"), "{error}");
}

#[test]
fn lists_and_maps_print_in_every_format() {
    let trace = shop().open();
    let query = "SELECT name, labels, environment, log_path, pid FROM raw.containers ORDER BY seq LIMIT 1";
    let text: Vec<String> = [RowFormat::Table, RowFormat::Csv, RowFormat::Json]
        .map(|format| run(&trace, format, query).unwrap())
        .to_vec();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn csv_quotes_what_needs_it_and_has_a_header_without_rows() {
    let trace = shop().open();
    insta::assert_snapshot!(
        run(
            &trace,
            RowFormat::Csv,
            "SELECT time, path, inode FROM file_events ORDER BY seq LIMIT 1; SELECT pid, path FROM file_events WHERE false"
        )
        .unwrap()
    );
}

#[test]
fn an_answer_can_be_a_parquet_file() {
    let trace = shop().open();
    let options = Options { format: RowFormat::Parquet, ..Options::default() };
    let sql = Sql::open(&trace, &options).unwrap();
    let mut out = Vec::new();
    let answers = sql.run("SELECT * FROM tcp_events", &mut out).unwrap();
    assert_eq!(answers[0].rows, 18);
    let bytes = parquet_bytes(out);
    assert_eq!(bytes, 18);
    assert!(matches!(sql.run("SELECT 1; SELECT 2", &mut Vec::new()), Err(SqlError::SecondAnswer)));
}

fn parquet_bytes(bytes: Vec<u8>) -> usize {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("answer.parquet");
    fs::write(&file, bytes).unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap());
    reader.unwrap().build().unwrap().map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn nothing_can_be_changed_and_no_other_file_be_read() {
    let trace = shop().open();
    for statement in [
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "DROP VIEW connections",
        "DROP TABLE raw.tcp_events",
        "INSERT INTO raw.losses SELECT * FROM raw.losses",
        "DELETE FROM raw.losses",
        "COPY (SELECT 1) TO '/tmp/aftertrace-must-not-exist.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/aftertrace-must-not-exist.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
    ] {
        let error = run(&trace, RowFormat::Table, statement).unwrap_err();
        assert!(matches!(error, SqlError::ReadOnly(_)), "{statement}: {error}");
    }
    assert!(!std::path::Path::new("/tmp/aftertrace-must-not-exist.csv").exists());
    let other = trace.root.join("segments/000001/tcp_events.parquet");
    let error = run(&trace, RowFormat::Table, &format!("SELECT * FROM '{}'", other.display())).unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

#[test]
fn a_wrong_statement_is_explained_and_those_before_it_are_answered() {
    let trace = shop().open();
    let sql = Sql::open(&trace, &Options::default()).unwrap();
    let mut out = Vec::new();
    let error = sql.run("SELECT 1 AS one; SELECT nothing FROM tcp_events", &mut out).unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
    assert_eq!(String::from_utf8(out).unwrap(), " one\n-----\n   1\n(1 row)\n");
}

/// A trace of ten segments, a second each.
fn ten_seconds() -> Vec<Vec<Observation>> {
    let mut story = Story::default();
    (0..10)
        .map(|second| {
            for id in 0..2000 {
                story.at(second * 1000 + id / 2).tcp(
                    TcpEventKind::Connect,
                    (second * 2000 + id) as u64,
                    |_| {},
                );
            }
            std::mem::take(&mut story.observations)
        })
        .collect()
}

#[test]
fn a_time_window_opens_only_its_segment_and_reads_only_its_row_groups() {
    let trace = trace_of(&ten_seconds()).open();
    let plan = table(
        &trace,
        "EXPLAIN ANALYZE SELECT count(*), sum(connection_id) FROM tcp_events \
         WHERE time >= '2026-11-23T07:00:04Z' AND time < '2026-11-23T07:00:04.1Z'",
    );
    let (options, mut out) = (Options { format: RowFormat::Csv, ..Options::default() }, Vec::new());
    Sql::open(&trace, &options)
        .unwrap()
        .run(
            "EXPLAIN ANALYZE SELECT count(*), sum(connection_id) FROM tcp_events \
             WHERE time >= '2026-11-23T07:00:04Z' AND time < '2026-11-23T07:00:04.1Z'",
            &mut out,
        )
        .unwrap();
    let metrics = String::from_utf8(out).unwrap();
    assert!(metrics.contains("000005/tcp_events.parquet"), "{metrics}");
    for other in ["000001", "000004", "000006", "000010"] {
        assert!(!metrics.contains(&format!("{other}/tcp_events.parquet")), "{metrics}");
    }
    assert!(metrics.contains("row_groups_pruned_statistics=2 total → 1 matched"), "{metrics}");
    assert!(!plan.is_empty());
    let found = rows(
        &trace,
        "SELECT count(*) AS n FROM tcp_events WHERE time >= '2026-11-23T07:00:04Z' AND time < '2026-11-23T07:00:04.1Z'",
    );
    assert_eq!(found[0]["n"], 200);
    let found = rows(&trace, "SELECT count(*) AS n FROM connections WHERE opened < '2026-11-23T07:00:00.1Z'");
    assert_eq!(found[0]["n"], 200);
}

#[test]
fn a_file_of_an_older_version_without_a_column_reads_as_nulls() {
    let trace = shop();
    let batch = crate::support::batches(&Story::shop()[0]).remove(&TableId::Tcp).unwrap();
    let kept: Vec<usize> =
        (0..batch.num_columns()).filter(|i| batch.schema().field(*i).name() != "smoothed_rtt_us").collect();
    crate::support::write_parquet(&trace.parquet(1, TableId::Tcp), &batch.project(&kept).unwrap(), 1000);
    let opened = trace.open();
    let found = rows(&opened, "SELECT count(*) AS n, count(smoothed_rtt_us) AS known FROM tcp_events");
    assert_eq!((&found[0]["n"], &found[0]["known"]), (&18.into(), &0.into()));
    assert_eq!(opened.observations().count(), 73);
}

#[test]
fn a_damaged_file_leaves_the_other_segments_to_be_asked() {
    let trace = shop();
    let file = trace.parquet(1, TableId::Tcp);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let found = rows(&trace.open(), "SELECT count(*) AS n FROM tcp_events");
    assert_eq!(found[0]["n"], 9);
}

#[test]
fn flipped_bytes_give_an_error_or_an_answer_but_no_panic() {
    let trace = shop();
    let file = trace.parquet(1, TableId::Process);
    let bytes = fs::read(&file).unwrap();
    for place in (0..bytes.len()).step_by(64) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0xff;
        fs::write(&file, &damaged).unwrap();
        let _ = run(&trace.open(), RowFormat::Csv, "SELECT * FROM process_events");
    }
}

#[test]
fn a_query_beyond_its_memory_ends_with_an_error_that_says_so() {
    let trace = trace_of(&ten_seconds()).open();
    let options = Options { memory_limit_bytes: 10_000, partitions: Some(2), ..Options::default() };
    let sql = Sql::open(&trace, &options).unwrap();
    let error =
        sql.run("SELECT array_agg(connection_id) FROM tcp_events GROUP BY pid", &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("Resources exhausted"), "{error}");
}

#[test]
fn a_query_that_is_cancelled_ends_soon() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let trace = shop().open();
    let sql = Sql::open(&trace, &Options::default()).unwrap();
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            cancelled.store(true, Ordering::Relaxed);
        });
        let begin = std::time::Instant::now();
        let endless = "SELECT count(*) FROM range(0, 100000000) a, range(0, 100000000) b";
        let error = sql
            .run_until(endless, &mut Vec::new(), &cancelled, &mut aftertrace_analyzer::NoProgress)
            .unwrap_err();
        assert!(matches!(error, SqlError::Cancelled), "{error}");
        assert!(begin.elapsed().as_secs() < 10);
    });
    assert_eq!(sql.run("SELECT 1", &mut Vec::new()).unwrap()[0].rows, 1, "the session goes on");
}
