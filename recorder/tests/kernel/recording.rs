//! A recording of this process, as lists of what was seen.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aftertrace_bpf_programs::wire::{
    CgroupRecord, ConnectionRecord, DataRecord, DatagramRecord, FileRecord, ListenRecord, ProcessExitRecord,
    Record, SocketRecord, TaskFacts, TrafficRecord,
};
use aftertrace_recorder::kernel::{Kernel, KernelConfig, missing_capabilities};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Everything seen so far, by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) starts: Vec<TaskFacts>,
    pub(crate) execs: Vec<(TaskFacts, String, Vec<String>)>,
    pub(crate) exits: Vec<ProcessExitRecord>,
    pub(crate) attached: Vec<(CgroupRecord, String)>,
    pub(crate) created: Vec<(CgroupRecord, String)>,
    pub(crate) removed: Vec<(CgroupRecord, String)>,
    pub(crate) files: Vec<(FileRecord, String)>,
    pub(crate) existing_files: Vec<(FileRecord, String)>,
    pub(crate) listens: Vec<ListenRecord>,
    pub(crate) existing_listens: Vec<ListenRecord>,
    pub(crate) listen_closes: Vec<SocketRecord>,
    pub(crate) connects: Vec<ConnectionRecord>,
    pub(crate) connect_errors: Vec<ConnectionRecord>,
    pub(crate) accepts: Vec<ConnectionRecord>,
    pub(crate) existing_connections: Vec<ConnectionRecord>,
    pub(crate) closes: Vec<TrafficRecord>,
    pub(crate) statistics: Vec<TrafficRecord>,
    pub(crate) data: Vec<(DataRecord, Vec<u8>)>,
    pub(crate) datagrams: Vec<(DatagramRecord, Vec<u8>)>,
    pub(crate) accounts: std::collections::BTreeMap<(&'static str, u32), u64>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Seen {
    pub(crate) fn add(&mut self, record: Record<'_>) {
        *self.accounts.entry((record.account(), u32::from(record.header().cpu))).or_default() += 1;
        match record {
            Record::ProcessStart(start) => self.starts.push(start.task),
            Record::ProcessExec(exec) => {
                let arguments = exec.arguments.split_inclusive(|byte| *byte == 0);
                let arguments = arguments.map(|word| text(word).trim_end_matches('\0').to_owned()).collect();
                self.execs.push((exec.task, text(exec.filename), arguments));
            }
            Record::ProcessExit(exit) => self.exits.push(exit),
            Record::CgroupCreated(record, path) => self.created.push((record, text(path))),
            Record::CgroupRemoved(record, path) => self.removed.push((record, text(path))),
            Record::CgroupAttached(record, path) => self.attached.push((record, text(path))),
            Record::FileOpen(record, path) => self.files.push((record, text(path))),
            Record::FileExisting(record, path) => self.existing_files.push((record, text(path))),
            Record::ListenOpen(record) => self.listens.push(record),
            Record::ListenExisting(record) => self.existing_listens.push(record),
            Record::ListenClose(record) => self.listen_closes.push(record),
            Record::Connect(record) => self.connects.push(record),
            Record::ConnectError(record) => self.connect_errors.push(record),
            Record::Accept(record) => self.accepts.push(record),
            Record::ConnectionExisting(record) => self.existing_connections.push(record),
            Record::Close(record) => self.closes.push(record),
            Record::Statistics(record) => self.statistics.push(record),
            Record::Data(record, bytes) => self.data.push((record, bytes.to_vec())),
            Record::Datagram(record, bytes) => self.datagrams.push((record, bytes.to_vec())),
            Record::OomKill(_) | Record::Retransmit(_) => {}
        }
    }

    /// The end of a connection: exactly one.
    pub(crate) fn close_of(&self, connection: &ConnectionRecord) -> TrafficRecord {
        let mut closes = self.closes.iter().filter(|close| close.connection_id == connection.connection_id);
        let close = *closes.next().expect("a close");
        assert!(closes.next().is_none(), "two closes of {connection:?}");
        close
    }
}

/// A recording that goes on.
pub(crate) struct Recording {
    pub(crate) kernel: Kernel,
    pub(crate) seen: Seen,
    _alone: MutexGuard<'static, ()>,
}

/// Small rings, this process included.
pub(crate) fn config() -> KernelConfig {
    KernelConfig {
        filter_enabled: true,
        excluded_pid: None,
        lifecycle_ring_bytes: 1 << 20,
        connection_ring_bytes: 1 << 20,
        data_ring_bytes: Some(1 << 20),
        max_connections: 4096,
        max_traced: 4096,
        ..KernelConfig::default()
    }
}

impl Recording {
    /// Begins to record this process; none when that needs rights which are missing.
    pub(crate) fn begin() -> Option<Self> {
        Self::begin_with(&config())
    }

    pub(crate) fn begin_with(config: &KernelConfig) -> Option<Self> {
        let mut recording = Self::load(config)?;
        recording.kernel.trace_pid(std::process::id()).unwrap();
        for status in recording.kernel.attach() {
            assert!(status.attached || status.is_off(), "{status:?}");
        }
        Some(recording)
    }

    /// Loaded, but neither attached nor filtered.
    pub(crate) fn load(config: &KernelConfig) -> Option<Self> {
        let missing = missing_capabilities();
        if !missing.is_empty() {
            assert!(std::env::var_os("CI").is_none(), "in CI these tests must run; missing: {missing:?}");
            eprintln!("skipped: missing capabilities {missing:?}");
            return None;
        }
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { kernel: Kernel::load(config).unwrap(), seen: Seen::default(), _alone: alone })
    }

    /// Takes what is there.
    pub(crate) fn drain(&mut self) {
        while self.kernel.has_records() {
            let stats = self.kernel.drain(|record| self.seen.add(record));
            assert_eq!(stats.invalid, 0);
        }
    }

    /// Takes records until `enough` are seen, or two seconds are over.
    pub(crate) fn wait_for(&mut self, enough: impl Fn(&Seen) -> bool) {
        for _ in 0..200 {
            self.drain();
            if enough(&self.seen) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Detaches, takes the rest, and checks that the accounts balance and match what was taken.
    pub(crate) fn end(mut self) -> Seen {
        self.kernel.detach();
        self.drain();
        self.check_accounts();
        self.seen
    }

    pub(crate) fn check_accounts(&self) {
        for row in self.kernel.ledger() {
            let dropped = row.dropped_ring_full + row.dropped_map_full + row.dropped_read_fault;
            assert_eq!(row.seen, row.filtered + row.submitted + dropped, "{row:?}");
            let taken = self.seen.accounts.get(&(row.program, row.cpu)).copied().unwrap_or_default();
            assert_eq!(row.submitted, taken, "{row:?}");
        }
    }
}
