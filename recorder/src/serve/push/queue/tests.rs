#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;

/// Three batches of a hundred bytes fit.
const LIMIT_BYTES: u64 = 3 * (HEADER_BYTES as u64 + 100);

fn open(folder: &Path) -> Queue {
    Queue::open(folder, LIMIT_BYTES).unwrap()
}

fn ids(queue: &Queue) -> Vec<u64> {
    queue.batches().iter().map(|batch| batch.id).collect()
}

#[test]
fn batches_come_out_in_order_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = open(folder.path());
    queue.push(1_000, 7, b"one");
    queue.push(2_000, 8, b"two");
    let (first, body) = queue.take(None).unwrap();
    assert_eq!((first.samples, first.collected_ms, &body[..]), (7, 1_000, &b"one"[..]));
    queue.remove(first.id);
    drop(queue);

    let mut queue = open(folder.path());
    assert_eq!(ids(&queue), [1]);
    let (second, body) = queue.take(None).unwrap();
    assert_eq!((second.samples, &body[..]), (8, &b"two"[..]));
    queue.remove(second.id);
    assert!(queue.batches().is_empty());
    assert_eq!(queue.bytes(), 0);
    // A number is not given twice: an older file could be taken for a newer one.
    queue.push(3_000, 1, b"three");
    assert_eq!(ids(&queue), [2]);
}

#[test]
fn when_it_is_full_the_oldest_are_lost_and_counted_but_not_the_one_that_is_being_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = open(folder.path());
    for samples in [1, 10, 100] {
        queue.push(0, samples, &[0; 100]);
    }
    let (sending, _) = queue.take(None).unwrap();
    queue.push(0, 1_000, &[0; 100]);
    assert_eq!(ids(&queue), [0, 2, 3]);
    assert_eq!(queue.losses.full, 10);
    queue.remove(sending.id);
    queue.push(0, 1, &[0; 100]);
    queue.push(0, 1, &[0; 100]);
    assert_eq!(ids(&queue), [3, 4, 5]);
    assert_eq!(queue.losses.full, 110);
    assert!(queue.bytes() <= LIMIT_BYTES);
    // What could never fit is lost without pushing others out.
    queue.push(0, 5, &[0; 1_000]);
    assert_eq!(ids(&queue), [3, 4, 5]);
    assert_eq!(queue.losses, QueueLosses { full: 115, ..QueueLosses::default() });
}

#[test]
fn a_smaller_limit_after_a_restart_holds_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = open(folder.path());
    for _ in 0..3 {
        queue.push(0, 1, &[0; 100]);
    }
    drop(queue);
    let queue = Queue::open(folder.path(), LIMIT_BYTES / 3).unwrap();
    assert_eq!(ids(&queue), [2]);
    assert_eq!(queue.losses.full, 2);
}

#[test]
fn two_processes_do_not_share_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path());
    let error = Queue::open(folder.path(), LIMIT_BYTES).unwrap_err();
    assert!(matches!(error, QueueError::InUse(_)), "{error}");
    drop(queue);
    open(folder.path());
}

#[test]
fn what_a_dying_process_left_unfinished_goes_and_what_is_no_batch_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("00000000000000000005.unfinished"), "half").unwrap();
    fs::write(folder.path().join("notes.txt"), "of the operator").unwrap();
    let queue = open(folder.path());
    assert!(queue.batches().is_empty());
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["lock", "notes.txt"]);
}

#[test]
fn a_batch_whose_bytes_changed_is_lost_and_the_next_one_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = open(folder.path());
    queue.push(0, 7, b"one");
    queue.push(0, 8, b"two");
    let first = queue.path(0, BATCH);
    let mut bytes = fs::read(&first).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(first, bytes).unwrap();
    let (batch, body) = queue.take(None).unwrap();
    assert_eq!((batch.id, &body[..]), (1, &b"two"[..]));
    assert_eq!(queue.losses.damaged, 7);
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = open(&folder.path().join("gone"));
    fs::remove_dir_all(folder.path().join("gone")).unwrap();
    queue.push(0, 7, b"one");
    assert_eq!(queue.losses, QueueLosses { unwritten: 7, ..QueueLosses::default() });
    assert!(queue.batches().is_empty());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic_or_lets_garbage_through(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..60) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00000000000000000001.batch"), &bytes).unwrap();
        let mut queue = open(folder.path());
        prop_assert!(queue.take(None).is_none());
        queue.push(0, 3, b"a body");
        let path = queue.path(queue.batches()[0].id, BATCH);
        drop(queue);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..cut.min(whole.len() - 1)]).unwrap();
        prop_assert!(open(folder.path()).take(None).is_none());
    }
}
