#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap();
    let mut bytes = Vec::new();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(3u16.to_ne_bytes());
    bytes.extend(1u16.to_ne_bytes());
    bytes.extend(77u64.to_ne_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn the_end_of_a_process_is_read_field_by_field() {
    let mut body = Vec::new();
    body.extend(5u64.to_ne_bytes());
    body.extend(42u32.to_ne_bytes());
    body.extend(256u32.to_ne_bytes());
    let bytes = record(kind::PROCESS_EXIT, &body);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!((record.header().time_ns, record.header().cpu), (77, 3));
    assert_eq!(record.account(), "sched:sched_process_exec");
    let Record::ProcessExit(exit) = record else { panic!("no exit") };
    assert_eq!((exit.pid, exit.start_ns, exit.status), (42, 5, 256));
}

#[test]
fn groups_of_a_task_are_read_in_order() {
    let mut body = vec![0; 104];
    for (place, id) in [(16, 7u64), (24, 8), (32, 9)] {
        body[place..place + 8].copy_from_slice(&id.to_ne_bytes());
    }
    for (place, id) in [(40, 0u32), (44, 4), (48, 5)] {
        body[place..place + 4].copy_from_slice(&id.to_ne_bytes());
    }
    let bytes = record(kind::PROCESS_START, &body);
    let Record::ProcessStart(start) = Record::parse(&bytes).unwrap() else { panic!("no start") };
    assert_eq!((start.task.cgroup_ids, start.task.hierarchy_ids), ([7, 8, 9], [0, 4, 5]));
}

#[test]
fn file_name_and_arguments_of_a_program_are_told_apart() {
    let mut body = vec![0; 104];
    body.extend(9u32.to_ne_bytes());
    body.extend(4u16.to_ne_bytes());
    body.extend(6u16.to_ne_bytes());
    body.extend(u32::from(flags::TRUNCATED).to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body.extend(b"/binls\0-l\0\0\0\0\0\0\0");
    let bytes = record(kind::PROCESS_EXEC, &body);
    let Record::ProcessExec(exec) = Record::parse(&bytes).unwrap() else { panic!("no exec") };
    assert_eq!((exec.filename, exec.arguments), (b"/bin".as_slice(), b"ls\0-l\0".as_slice()));
    assert_eq!((exec.arguments_total_bytes, exec.truncated, exec.unreadable), (9, true, false));
}

#[test]
fn a_text_that_reaches_over_the_end_of_its_record_is_an_error() {
    let mut body = vec![0; 32];
    body[28..30].copy_from_slice(&9u16.to_ne_bytes());
    body.extend(b"/a\0\0\0\0\0\0");
    let bytes = record(kind::CGROUP_CREATED, &body);
    assert_eq!(
        Record::parse(&bytes),
        Err(WireError::Cut { kind: kind::CGROUP_CREATED, available: bytes.len() })
    );
}

#[test]
fn an_unknown_kind_is_an_error() {
    assert_eq!(Record::parse(&record(999, &[])), Err(WireError::UnknownKind(999)));
}

#[test]
fn the_object_is_an_aligned_elf_file_of_bpf_code() {
    assert_eq!(&crate::OBJECT[..4], b"\x7fELF");
    assert_eq!(crate::OBJECT[18], 247);
    assert_eq!(crate::OBJECT.as_ptr().addr() % 8, 0);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Record::parse(&bytes);
    }

    #[test]
    fn no_body_of_a_known_kind_makes_the_parser_panic(
        kind in 0u16..24,
        length in 0u16..500,
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = record(kind, &body);
        let _ = Record::parse(&bytes);
        bytes[2..4].copy_from_slice(&length.to_ne_bytes());
        if let Ok(record) = Record::parse(&bytes) {
            let _ = record.account();
        }
    }
}
