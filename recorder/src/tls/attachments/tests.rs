#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;
use crate::tls::points::Stack;

fn process(pid: u32) -> Process {
    Process { pid, start_ns: u64::from(pid) }
}

fn file(inode: u64) -> (FileKey, PathBuf) {
    (FileKey { device: 1, inode, bytes: 0, changed_ns: 0 }, PathBuf::from(format!("/lib/{inode}")))
}

fn key(inode: u64) -> FileKey {
    file(inode).0
}

fn openssl() -> Vec<Points> {
    vec![Points {
        stack: Stack::OpenSsl,
        version: Some("OpenSSL 3.0.1".to_owned()),
        functions: Vec::new(),
        skipped: Vec::new(),
    }]
}

fn limits() -> Limits {
    Limits { scan_delays_ns: vec![SECOND_NS], ..Limits::default() }
}

/// A process that executes these files from second 1 on, read in second 2.
fn started(attachments: &mut Attachments, pid: u32, files: &[u64]) {
    attachments.process_started(process(pid), 0);
    assert!(attachments.commands(SECOND_NS).contains(&Command::Scan(process(pid))));
    let files: Vec<_> = files.iter().map(|inode| file(*inode)).collect();
    attachments.scanned(process(pid), &files, SECOND_NS);
}

fn attach(file: u64, pid: u32) -> Command {
    Command::Attach(key(file), process(pid), Arc::new(openssl()))
}

#[test]
fn a_library_gets_probes_with_its_first_user_and_loses_them_with_its_last() {
    let mut all = Attachments::new(limits());
    started(&mut all, 1, &[10]);
    assert_eq!(all.commands(SECOND_NS), [Command::Analyse(key(10), process(1))]);
    all.analysed(key(10), Ok(openssl()));
    assert_eq!(all.commands(SECOND_NS), [attach(10, 1)]);
    started(&mut all, 2, &[10]);
    all.process_exited(process(1));
    assert_eq!(all.commands(SECOND_NS), []);
    all.process_exited(process(2));
    assert_eq!(all.commands(SECOND_NS), [Command::Detach(key(10))]);
    let outcome = Outcome::Attached(vec!["OpenSSL 3.0.1".to_owned()]);
    assert_eq!(all.statuses(), [Status { file: key(10), path: "/lib/10".into(), outcome }]);
    assert_eq!(all.attached_files(), 0);
}

#[test]
fn a_process_that_is_gone_before_its_time_costs_nothing() {
    let mut all = Attachments::new(limits());
    for pid in 0..1000 {
        all.process_started(process(pid), 0);
        all.process_exited(process(pid));
    }
    assert_eq!(all.commands(10 * SECOND_NS), []);
    assert_eq!(all.next_due_ns(), None);
}

#[test]
fn a_file_that_fails_is_reported_once_however_many_execute_it() {
    let mut all = Attachments::new(limits());
    started(&mut all, 1, &[10, 11]);
    assert_eq!(all.commands(SECOND_NS).len(), 2);
    all.analysed(key(10), Err(NoPoints::Stripped(Stack::OpenSsl)));
    all.analysed(key(11), Err(NoPoints::NotTls));
    for pid in 2..50 {
        started(&mut all, pid, &[10, 11]);
    }
    assert_eq!(all.commands(2 * SECOND_NS), []);
    let statuses = all.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].outcome, Outcome::Failed("OpenSSL without symbols of its functions".to_owned()));
}

#[test]
fn probes_that_the_kernel_refuses_are_reported_and_not_taken_out() {
    let mut all = Attachments::new(limits());
    started(&mut all, 1, &[10]);
    all.commands(SECOND_NS);
    all.analysed(key(10), Ok(openssl()));
    all.commands(SECOND_NS);
    all.attach_failed(key(10), "EPERM");
    all.process_exited(process(1));
    assert_eq!(all.commands(SECOND_NS), []);
    assert_eq!(all.statuses().pop().unwrap().outcome, Outcome::Failed("EPERM".to_owned()));
}

#[test]
fn a_process_that_replaces_its_program_gives_up_what_it_had_and_is_looked_at_again() {
    let mut all = Attachments::new(limits());
    started(&mut all, 1, &[10]);
    all.commands(SECOND_NS);
    all.analysed(key(10), Ok(openssl()));
    all.commands(SECOND_NS);
    all.process_executed(process(1), 5 * SECOND_NS);
    assert_eq!(all.commands(5 * SECOND_NS), [Command::Detach(key(10))]);
    assert_eq!(all.next_due_ns(), Some(6 * SECOND_NS));
    assert_eq!(all.commands(6 * SECOND_NS), [Command::Scan(process(1))]);
}

#[test]
fn a_library_that_is_loaded_late_is_found_at_a_later_look_or_when_it_is_mapped() {
    let mut all = Attachments::new(Limits { scan_delays_ns: vec![SECOND_NS, 4 * SECOND_NS], ..limits() });
    started(&mut all, 1, &[]);
    assert_eq!(all.next_due_ns(), Some(5 * SECOND_NS));
    assert_eq!(all.commands(5 * SECOND_NS), [Command::Scan(process(1))]);
    all.scanned(process(1), &[], 5 * SECOND_NS);
    assert_eq!(all.next_due_ns(), None);
    // However often it maps, it is looked at once, and not later for it.
    for part in 0..10 {
        all.process_mapped(process(1), 9 * SECOND_NS + part);
    }
    assert_eq!(all.next_due_ns(), Some(10 * SECOND_NS));
    assert_eq!(all.commands(10 * SECOND_NS), [Command::Scan(process(1))]);
    all.scanned(process(1), &[file(10)], 10 * SECOND_NS);
    assert_eq!(all.commands(10 * SECOND_NS), [Command::Analyse(key(10), process(1))]);
    // And one that is unloaded is given up.
    all.analysed(key(10), Ok(openssl()));
    all.scanned(process(1), &[], 11 * SECOND_NS);
    assert_eq!(all.commands(11 * SECOND_NS), [attach(10, 1), Command::Detach(key(10))]);
}

#[test]
fn bursts_of_processes_and_files_are_spread_over_time() {
    let mut all = Attachments::new(Limits { scans_per_second: 10, files_per_second: 2, ..limits() });
    for pid in 0..25 {
        all.process_started(process(pid), 0);
    }
    assert_eq!(all.commands(SECOND_NS).len(), 10);
    assert_eq!(all.commands(SECOND_NS).len(), 0);
    assert_eq!(all.next_due_ns(), Some(SECOND_NS + SECOND_NS / 10));
    assert_eq!(all.commands(2 * SECOND_NS).len(), 10);
    assert_eq!(all.commands(3 * SECOND_NS).len(), 5);
    all.scanned(process(0), &[1, 2, 3, 4, 5].map(file), 3 * SECOND_NS);
    assert_eq!(all.commands(3 * SECOND_NS).len(), 2);
    assert_eq!(all.next_due_ns(), Some(3 * SECOND_NS + SECOND_NS / 2));
    assert_eq!(all.commands(100 * SECOND_NS).len(), 2);
    assert_eq!(all.commands(101 * SECOND_NS).len(), 1);
}

#[test]
fn a_file_beyond_the_limit_waits_until_another_has_no_user() {
    let mut all = Attachments::new(Limits { attached_files: 1, ..limits() });
    started(&mut all, 1, &[10]);
    started(&mut all, 2, &[11]);
    all.commands(SECOND_NS);
    all.analysed(key(10), Ok(openssl()));
    all.analysed(key(11), Ok(openssl()));
    assert_eq!(all.commands(SECOND_NS), [attach(10, 1)]);
    assert_eq!(all.statuses().pop().unwrap().outcome, Outcome::Waits);
    all.process_exited(process(1));
    assert_eq!(all.commands(SECOND_NS), [Command::Detach(key(10)), attach(11, 2)]);
}

#[test]
fn files_beyond_what_may_be_known_are_counted_and_told_once() {
    let mut all = Attachments::new(Limits { known_files: 1, processes: 1, ..limits() });
    started(&mut all, 1, &[10, 11, 12]);
    all.process_started(process(2), SECOND_NS);
    assert_eq!(all.unknown(), (2, 1));
    assert_eq!(all.statuses().len(), 1);
    all.process_exited(process(1));
    assert_eq!(all.commands(SECOND_NS), []);
}

#[test]
fn a_file_that_is_out_of_reach_through_one_process_is_tried_through_the_next() {
    let mut all = Attachments::new(limits());
    started(&mut all, 1, &[10]);
    assert_eq!(all.commands(SECOND_NS), [Command::Analyse(key(10), process(1))]);
    started(&mut all, 2, &[10]);
    all.unreachable(key(10), process(1));
    assert_eq!(all.commands(SECOND_NS), [Command::Analyse(key(10), process(2))]);
    all.unreachable(key(10), process(2));
    assert_eq!(all.commands(SECOND_NS), []);
    all.analysed(key(10), Ok(openssl()));
    assert_eq!(all.commands(SECOND_NS), [], "nobody has it any more");
}

#[derive(Debug, Clone)]
enum Step {
    Start(u32),
    Execute(u32),
    Map(u32),
    Exit(u32),
    Refuse(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8_u32).prop_map(Step::Start),
        (0..8_u32).prop_map(Step::Execute),
        (0..8_u32).prop_map(Step::Map),
        (0..8_u32).prop_map(Step::Exit),
        (0..6_u64).prop_map(Step::Refuse),
        (0..3_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn probes_are_put_in_and_taken_out_in_turns_and_only_of_files_that_somebody_executes(
        steps in proptest::collection::vec(step(), 1..120),
        answers in proptest::collection::vec(any::<u8>(), 64),
    ) {
        let mut all = Attachments::new(Limits { attached_files: 3, known_files: 5, ..limits() });
        let mut attached = BTreeSet::new();
        let mut alive = BTreeSet::new();
        let mut now_ns = 0;
        let mut answers = answers.into_iter().cycle();
        for step in steps {
            match step {
                Step::Start(pid) | Step::Execute(pid) => {
                    alive.insert(pid);
                    if matches!(step, Step::Start(_)) {
                        all.process_started(process(pid), now_ns);
                    } else {
                        all.process_executed(process(pid), now_ns);
                    }
                }
                Step::Map(pid) => all.process_mapped(process(pid), now_ns),
                Step::Exit(pid) => {
                    alive.remove(&pid);
                    all.process_exited(process(pid));
                }
                Step::Refuse(inode) => {
                    // Only what was asked for can be refused; commands are carried out at once here.
                    if attached.remove(&key(inode)) {
                        all.attach_failed(key(inode), "refused");
                    }
                }
                Step::Wait(seconds) => now_ns += seconds * SECOND_NS,
            }
            loop {
                let commands = all.commands(now_ns);
                if commands.is_empty() {
                    break;
                }
                for command in commands {
                    let answer = answers.next().unwrap();
                    match command {
                        Command::Scan(process) => {
                            let files: Vec<_> = (0..6).filter(|bit| answer & 1 << bit != 0).map(file).collect();
                            all.scanned(process, &files, now_ns);
                        }
                        Command::Analyse(file, _) if answer < 100 => all.analysed(file, Ok(openssl())),
                        Command::Analyse(file, process) if answer < 150 => all.unreachable(file, process),
                        Command::Analyse(file, _) => all.analysed(file, Err(NoPoints::NotTls)),
                        Command::Attach(file, process, _) => {
                            prop_assert!(attached.insert(file), "attached twice");
                            prop_assert!(alive.contains(&process.pid), "of a process that is gone");
                        }
                        Command::Detach(file) => prop_assert!(attached.remove(&file), "not attached"),
                    }
                }
            }
            prop_assert!(attached.len() <= 3);
            prop_assert_eq!(attached.len(), all.attached_files());
        }
        for pid in alive {
            all.process_exited(process(pid));
        }
        for command in all.commands(now_ns) {
            if let Command::Detach(file) = command {
                attached.remove(&file);
            }
        }
        prop_assert!(attached.is_empty(), "left: {attached:?}");
        prop_assert!(all.files.is_empty() && all.unread.is_empty() && all.waiting.is_empty());
    }
}
