#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use aftertrace_schemas::tables::{FileEvent, FileEventKind, Mark, MarkKind, ProcessEvent, ProcessEventKind};
use aftertrace_schemas::{Builders, Kind, Observation};

use super::*;

const ROWS: u64 = 10;

fn kind(table: TableId) -> Kind {
    match table {
        TableId::File => Kind::File(FileEvent {
            kind: FileEventKind::Open,
            pid: 1,
            process_start_ns: 0,
            fd: 3,
            path: "/x".to_owned(),
            flags: 0,
            device_major: 0,
            device_minor: 0,
            inode: 0,
            mount_id: 0,
        }),
        TableId::Process => Kind::Process(ProcessEvent {
            kind: ProcessEventKind::Exit,
            pid: 1,
            process_start_ns: None,
            parent_pid: None,
            command: None,
            executable: None,
            arguments: None,
            arguments_bytes: None,
            cgroup: None,
            uid: None,
            namespace_pid: None,
            pid_namespace: None,
            network_namespace: None,
            mount_namespace: None,
            exit_code: None,
            signal: None,
            inferred: false,
        }),
        TableId::Mark => Kind::Mark(Mark { kind: MarkKind::Start, segment: 1, detail: None }),
        other => panic!("{other:?}"),
    }
}

/// Ten rows that begin at `first`, both in order and in time.
fn batch(table: TableId, first: u64) -> Batch {
    let mut builders = Builders::new(table, 16);
    for seq in first..first + ROWS {
        assert!(builders.append(&Observation { seq, time: seq as i64, kind: kind(table) }));
    }
    Batch::new(table, builders.finish().unwrap())
}

fn waiting(queue: &Queue) -> Vec<TableId> {
    let state = queue.state();
    let tables = state.messages.iter().map(|message| match message {
        Message::Batch(batch) => batch.table,
        other => panic!("{other:?}"),
    });
    tables.collect()
}

/// A queue that has room for `count` batches of files.
fn queue_for(count: usize) -> Queue {
    Queue::new(batch(TableId::File, 1).memory_bytes * count + 1)
}

#[test]
fn a_batch_knows_its_span() {
    assert_eq!(batch(TableId::File, 5).span, Span { first_seq: 5, last_seq: 14, from: 5, to: 14 });
}

#[test]
fn what_does_not_fit_is_shed_and_recorded_with_its_time() {
    let queue = queue_for(2);
    for first in [1, 11, 21, 31] {
        queue.push(batch(TableId::File, first));
    }
    assert_eq!(waiting(&queue), [TableId::File, TableId::File]);
    let losses = queue.take_losses();
    assert_eq!(losses.len(), 1, "joined: {losses:?}");
    assert_eq!((losses[0].source.as_str(), losses[0].cause.as_str()), ("writer/file_events", "queue_full"));
    assert_eq!((losses[0].lost, losses[0].from, losses[0].to), (20, Timestamp(21), Timestamp(40)));
    assert_eq!(queue.stats().lost, 20);
    assert!(queue.take_losses().is_empty());
}

#[test]
fn the_more_important_takes_the_room_of_the_less() {
    let queue = queue_for(4);
    for first in [1, 11, 21, 31] {
        queue.push(batch(TableId::File, first));
    }
    queue.push(batch(TableId::Process, 41));
    let left = waiting(&queue);
    assert_eq!(left.last(), Some(&TableId::Process));
    assert!(left.len() < 5, "{left:?}");
    let losses = queue.take_losses();
    assert_eq!(losses[0].source, "writer/file_events");
    assert_eq!(losses[0].to, Timestamp(40), "the newest goes: what is lost is one piece");
}

#[test]
fn kept_tables_use_the_reserve_then_wait_and_only_then_are_shed() {
    let mark = batch(TableId::Mark, 1).memory_bytes;
    let queue = Queue::new(mark * 2);
    for first in 1..=4 {
        queue.push(batch(TableId::Mark, first * ROWS));
    }
    assert_eq!((waiting(&queue).len(), queue.stats().lost), (4, 0), "twice the limit");
    let before = Instant::now();
    queue.push(batch(TableId::Mark, 50));
    assert!(before.elapsed() >= LONGEST_WAIT);
    assert_eq!((waiting(&queue).len(), queue.stats().lost), (4, ROWS));
    let before = Instant::now();
    queue.push(batch(TableId::Mark, 60));
    assert!(before.elapsed() < LONGEST_WAIT, "only the first waits");
    assert_eq!(queue.stats().lost, 2 * ROWS);
}

#[test]
fn a_kept_table_goes_on_when_there_is_room_again() {
    let queue = std::sync::Arc::new(Queue::new(batch(TableId::Mark, 1).memory_bytes / 2));
    queue.push(batch(TableId::Mark, 1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            queue.pop(Instant::now())
        });
        queue.push(batch(TableId::Mark, 11));
    });
    assert_eq!((waiting(&queue).len(), queue.stats().lost), (1, 0));
}

#[test]
fn one_batch_larger_than_the_queue_still_passes() {
    let queue = Queue::new(1);
    queue.push(batch(TableId::File, 1));
    assert_eq!((waiting(&queue).len(), queue.stats().lost), (1, 0));
}

#[test]
fn after_a_failure_nothing_waits_and_all_is_counted() {
    let queue = queue_for(2);
    queue.push(batch(TableId::File, 1));
    queue.fail(TraceError::Stopped { reason: "first".to_owned() });
    queue.fail(TraceError::Stopped { reason: "second".to_owned() });
    queue.push(batch(TableId::File, 11));
    assert!(waiting(&queue).is_empty() && queue.has_failed());
    assert_eq!(queue.facts().losses["writer/file_events/disk"], 20);
    assert!(queue.take_error().unwrap().to_string().contains("first"));
    assert!(queue.take_error().is_none());
}
