//! What a recording is asked to do.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use crate::sources::cloud::CloudOverrides;
use crate::sources::logs::LogConfig;
use aftertrace_bpf_programs::maps::DATA_MAX_BYTES;

/// What a recording is asked to do. The command line and tests fill it in.
#[derive(Debug, Clone)]
pub struct RecordConfig {
    /// The trace directory: must not exist, or be empty. Without one nothing is written.
    pub output: Option<PathBuf>,
    /// For a live registry, fed with what is recorded.
    pub registry: Option<aftertrace_registry::Config>,
    /// Ends by itself after this time.
    pub duration: Option<Duration>,
    /// What is recorded; empty filters admit everything but the recorder itself.
    pub filter: Filter,
    /// Command to run in a control group of its own; only it is recorded.
    pub command: Vec<OsString>,
    /// Hard cap on the trace's size, bytes.
    pub max_bytes: Option<u64>,
    /// Cap on the age of what is kept.
    pub max_age: Option<Duration>,
    /// Size of each kernel ring for connections, bytes: a power of two, 4 KiB at least. That for processes, files and
    /// control groups, of which there are fewer, has half of it.
    pub ring_bytes: u32,
    /// Most sockets that the kernel side follows at a time.
    pub max_connections: u32,
    /// How often the journal is written and synced: what a crash can lose.
    pub journal_interval: Duration,
    /// What is kept of what applications send and receive.
    pub data: DataConfig,
    /// What is kept of logs.
    pub logs: LogConfig,
    /// What to say of the cloud that the host is rented from, instead of what it says itself.
    pub cloud: CloudOverrides,
    /// How often control groups and the node are measured.
    pub interval: Duration,
    /// How often the counters of open connections are read.
    pub sweep_interval: Duration,
    /// Whether to mount tracefs when it is not.
    pub mount_tracefs: bool,
    /// Whether to switch on the kernel's accounting of block-I/O delays while recording.
    pub set_sysctls: bool,
    /// Whether to send echo requests to the peers of outbound connections, for round-trip times.
    pub ping: bool,
    /// Whether to keep all capabilities, instead of giving up those that are not needed any more.
    pub keep_capabilities: bool,
    /// Whether to switch on the kernel's own accounting of BPF run time while recording.
    pub bpf_statistics: bool,
}

impl RecordConfig {
    /// The defaults, writing to `output`, or nothing.
    pub fn new(output: Option<PathBuf>) -> Self {
        Self {
            output,
            registry: None,
            duration: None,
            filter: Filter::default(),
            command: Vec::new(),
            max_bytes: Some(1 << 30),
            max_age: None,
            ring_bytes: 8 << 20,
            max_connections: 65_536,
            journal_interval: Duration::from_secs(1),
            data: DataConfig::default(),
            logs: LogConfig::default(),
            cloud: CloudOverrides::default(),
            interval: Duration::from_secs(5),
            sweep_interval: Duration::from_secs(10),
            mount_tracefs: false,
            set_sysctls: false,
            ping: true,
            keep_capabilities: false,
            bpf_statistics: false,
        }
    }
}

/// What is kept of what applications send and receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The heads of calls on connections that speak a known protocol.
    Head,
    /// All that a row can hold, on every connection.
    Full,
    /// Sizes and times only.
    None,
    /// Nothing is looked at.
    Off,
}

/// What is kept of what applications send and receive, and how it comes from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataConfig {
    /// What is kept.
    pub payload: Payload,
    /// Of each call, with [`Payload::Head`], bytes; 4,096 at most.
    pub head_bytes: u32,
    /// Size of each kernel ring for data, bytes: a power of two, 4 KiB at least.
    pub ring_bytes: u32,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { payload: Payload::Head, head_bytes: 1024, ring_bytes: 16 << 20 }
    }
}

impl DataConfig {
    /// Of each call on a connection that is kept, bytes.
    pub fn kept_bytes(self) -> u32 {
        match self.payload {
            Payload::Head => self.head_bytes.min(DATA_MAX_BYTES),
            Payload::Full => DATA_MAX_BYTES,
            Payload::None | Payload::Off => 0,
        }
    }
}

/// What is recorded. With several kinds given, a process is recorded when any of them admits it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Control groups with all below them: paths from the root of a hierarchy, or below the cgroup mount.
    pub cgroups: Vec<String>,
    /// Expressions that a container's id must match.
    pub containers: Vec<Regex>,
    /// Processes with all their descendants.
    pub pids: Vec<u32>,
}

impl Filter {
    /// Whether everything is recorded.
    pub fn is_empty(&self) -> bool {
        self.cgroups.is_empty() && self.containers.is_empty() && self.pids.is_empty()
    }
}
