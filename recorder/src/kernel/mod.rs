//! The kernel side as the recorder sees it: loads the eBPF programs, attaches each by itself, keeps their filters,
//! takes their records, and reads their accounts.
//!
//! In: a [`KernelConfig`], then pids and control groups to follow. Out: [`Record`]s, [`ProbeStatus`], [`LedgerRow`]s.
//! Order of use: [`Kernel::load`], [`Kernel::attach`], filters, [`Kernel::scan`], then [`Kernel::wait`],
//! [`Kernel::drain`] and now and then [`Kernel::sweep`]; at the end [`Kernel::detach`] and a last drain.

mod accounts;
mod attach;
mod data;
mod error;
mod filter;
mod preflight;
mod probes;
mod rehearsal;
mod rings;
mod snapshot;
mod syscall;
mod uprobes;

use std::os::fd::{AsFd, OwnedFd};

use crate::memory;
use aftertrace_bpf_programs::maps::{
    CgroupKey, DATA_MAX_BYTES, Decisions, LedgerValue, SweepInput, TracedValue,
};
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use aya::sys::{Stats, enable_stats};
use aya::{Btf, Ebpf, EbpfLoader};
use aya_obj::btf::BtfKind;

pub use accounts::{LedgerRow, ProgramCost};
pub use aftertrace_bpf_programs::wire::Record;
pub use attach::ProbeStatus;
pub use data::{Decision, Keep};
pub use error::KernelError;
pub use preflight::missing_capabilities;
pub use rings::DrainStats;
pub use uprobes::{TlsPrograms, Uprobes, unsupported};

/// The least size of a ring, bytes: what rings not in use have.
pub const SMALLEST_RING_BYTES: u32 = 4096;
/// Rings for what applications send and receive, that the programs know.
const DATA_RINGS: [&str; 4] = ["data_0", "data_1", "data_2", "data_3"];
/// Rings for connections that the programs know.
const CONNECTION_RINGS: [&str; 4] = ["connections_0", "connections_1", "connections_2", "connections_3"];
const LIFECYCLE_RING: &str = "lifecycle";

/// How the programs are set up. All of it is fixed once they are loaded.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Whether only processes named by [`Kernel::trace_pid`] and [`Kernel::trace_cgroup`] are recorded.
    pub filter_enabled: bool,
    /// The process that is never recorded: the recorder itself, unless a test says otherwise.
    pub excluded_pid: Option<u32>,
    /// Size of the ring for processes, files, control groups and listens, bytes: a power of two, 4,096 at least.
    pub lifecycle_ring_bytes: u32,
    /// Size of each ring for connections, bytes: a power of two, 4,096 at least.
    pub connection_ring_bytes: u32,
    /// Rings for connections, 1 to 4: several when there are many CPUs. As many are for their data.
    pub connection_rings: u32,
    /// Size of each ring for what applications send and receive, bytes: a power of two, 4,096 at least. None when that
    /// is not to be looked at.
    pub data_ring_bytes: Option<u32>,
    /// Whether that is looked at when system calls end, also where the kernel tells of it at sockets.
    pub data_at_exits: bool,
    /// What is kept of a call's bytes as long as nobody has decided on its connection, 4,096 at most.
    pub first_kept_bytes: u32,
    /// Most sockets that are followed at a time.
    pub max_connections: u32,
    /// Most processes that a filter admits at a time.
    pub max_traced: u32,
    /// Whether the kernel measures the run time of BPF programs (all on this host) as long as these are loaded.
    pub measure_costs: bool,
}

impl Default for KernelConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            filter_enabled: false,
            excluded_pid: Some(std::process::id()),
            lifecycle_ring_bytes: 4 << 20,
            connection_ring_bytes: 8 << 20,
            connection_rings: u32::try_from(cpus.div_ceil(16)).unwrap_or(1).clamp(1, 4),
            data_ring_bytes: Some(16 << 20),
            data_at_exits: false,
            first_kept_bytes: 1024,
            max_connections: 65_536,
            max_traced: 65_536,
            measure_costs: false,
        }
    }
}

impl KernelConfig {
    fn check(&self) -> Result<(), KernelError> {
        let rings = [self.lifecycle_ring_bytes, self.connection_ring_bytes];
        for bytes in rings.into_iter().chain(self.data_ring_bytes) {
            if !bytes.is_power_of_two() || bytes < SMALLEST_RING_BYTES {
                return Err(KernelError::RingSize(bytes));
            }
        }
        if !(1..=4).contains(&self.connection_rings) {
            return Err(KernelError::RingCount(self.connection_rings));
        }
        Ok(())
    }
}

/// Threads and goroutines that are in calls of TLS libraries at a time, at most.
const MAX_TLS_CALLS: u32 = 16_384;
/// TLS sessions at a time, at most.
const MAX_TLS_SESSIONS: u32 = 32_768;

/// The loaded programs. Dropping it detaches and unloads them.
pub struct Kernel {
    ebpf: Ebpf,
    links: Vec<attach::Link>,
    statuses: Vec<ProbeStatus>,
    rings: rings::Rings,
    ledger: PerCpuArray<MapData, LedgerValue>,
    traced: HashMap<MapData, u32, TracedValue>,
    traced_cgroups: HashMap<MapData, CgroupKey, u32>,
    connections: MapData,
    sweep_in: Array<MapData, SweepInput>,
    sweep_out: MapData,
    decisions_in: Array<MapData, Decisions>,
    map_bytes: u64,
    // Switches the measuring off when it is closed.
    _costs: Option<OwnedFd>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kernel").field("statuses", &self.statuses).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Makes the maps and hands the programs to the kernel, each by itself: one that is rejected does not stop the
    /// others, and [`Kernel::attach`] says why.
    ///
    /// # Errors
    /// When nothing can work: no BTF, no tracefs, missing capabilities, or no memory for the maps.
    pub fn load(config: &KernelConfig) -> Result<Self, KernelError> {
        config.check()?;
        preflight::check()?;
        let btf = Btf::from_sys_fs().map_err(|error| KernelError::NoBtf { reason: error.to_string() })?;
        let mut ebpf = create_maps(config, &btf)?;
        let costs = if config.measure_costs { enable_stats(Stats::RunTime).ok() } else { None };
        let map_bytes = ebpf.maps().map(|(_, map)| accounts::map_bytes(map)).sum();
        let used_rings = CONNECTION_RINGS.iter().take(config.connection_rings as usize);
        let data_rings = config.data_ring_bytes.map_or(0, |_| config.connection_rings as usize);
        let used_rings = used_rings.chain(DATA_RINGS.iter().take(data_rings));
        let rings = rings::Rings::open(&mut ebpf, std::iter::once(&LIFECYCLE_RING).chain(used_rings))?;
        let mut kernel = Self {
            rings,
            ledger: typed_map(&mut ebpf, "ledger")?,
            traced: typed_map(&mut ebpf, "traced")?,
            traced_cgroups: typed_map(&mut ebpf, "traced_cgroups")?,
            connections: map_data(&mut ebpf, "connections")?,
            sweep_in: typed_map(&mut ebpf, "sweep_in")?,
            sweep_out: map_data(&mut ebpf, "sweep_out")?,
            decisions_in: typed_map(&mut ebpf, "decisions_in")?,
            ebpf,
            links: Vec::new(),
            statuses: Vec::new(),
            map_bytes,
            _costs: costs,
        };
        kernel.load_programs(&btf, config.data_ring_bytes.is_some(), config.data_at_exits);
        drop(btf);
        memory::return_freed();
        Ok(kernel)
    }

    /// Kernel memory of the maps and rings, bytes, as the kernel accounts for it.
    pub fn memory_bytes(&self) -> u64 {
        self.map_bytes
    }
}

fn create_maps(config: &KernelConfig, btf: &Btf) -> Result<Ebpf, KernelError> {
    preflight::raise_memory_limit();
    let mut loader = EbpfLoader::new();
    loader.btf(Some(btf));
    let filter_enabled = u32::from(config.filter_enabled);
    let excluded = config.excluded_pid.unwrap_or(0);
    let typed_current_task = u32::from(preflight::kernel_has_name("bpf_get_current_task_btf"));
    let cast_function = btf.id_by_type_name_kind("bpf_rdonly_cast", BtfKind::Func).ok();
    let can_cast = u32::from(cast_function.is_some());
    loader.override_global("can_cast", &can_cast, true);
    loader.override_global("typed_current_task", &typed_current_task, true);
    loader.override_global("filter_enabled", &filter_enabled, true);
    loader.override_global("self_tgid", &excluded, true);
    loader.override_global("lifecycle_ring_bytes", &config.lifecycle_ring_bytes, true);
    loader.override_global("connection_ring_bytes", &config.connection_ring_bytes, true);
    loader.override_global("connection_rings", &config.connection_rings, true);
    let data_ring_bytes = config.data_ring_bytes.unwrap_or(SMALLEST_RING_BYTES);
    let roles = data::roles();
    let first_kept_bytes = config.first_kept_bytes.min(DATA_MAX_BYTES);
    loader.override_global("data_ring_bytes", &data_ring_bytes, true);
    loader.override_global("data_rings", &config.connection_rings, true);
    loader.override_global("data_roles", roles.as_slice(), true);
    loader.override_global("first_kept_bytes", &first_kept_bytes, true);
    loader.map_max_entries(LIFECYCLE_RING, config.lifecycle_ring_bytes);
    let of_data = DATA_RINGS.into_iter().zip(0..).map(|ring| (ring, data_ring_bytes));
    let of_connections = CONNECTION_RINGS.into_iter().zip(0..);
    for ((ring, number), bytes) in
        of_connections.map(|ring| (ring, config.connection_ring_bytes)).chain(of_data)
    {
        let used = number < config.connection_rings;
        loader.map_max_entries(ring, if used { bytes } else { SMALLEST_RING_BYTES });
    }
    loader.map_max_entries("connections", config.max_connections);
    let has_tls = config.data_ring_bytes.is_some();
    loader.map_max_entries("tls_calls", if has_tls { MAX_TLS_CALLS } else { 1 });
    loader.map_max_entries(
        "tls_sessions",
        if has_tls { config.max_connections.min(MAX_TLS_SESSIONS) } else { 1 },
    );
    loader.map_max_entries("traced", if config.filter_enabled { config.max_traced } else { 1 });
    let object = aftertrace_bpf_programs::object(cast_function);
    loader.load(&object).map_err(|error| KernelError::Object { reason: error::chain(&error) })
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, KernelError> {
    ebpf.take_map(name).ok_or(KernelError::Map { name, reason: "the object has no such map".to_owned() })
}

fn typed_map<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    T::try_from(take_map(ebpf, name)?)
        .map_err(|error| KernelError::Map { name, reason: error::chain(&error) })
}

/// A map for which the library has no calls that are needed.
fn map_data(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, KernelError> {
    use aya::maps::Map;
    match take_map(ebpf, name)? {
        Map::HashMap(data) | Map::Array(data) => Ok(data),
        _ => Err(KernelError::Map { name, reason: "it is of an unexpected type".to_owned() }),
    }
}

fn map_fd(map: &MapData) -> std::os::fd::BorrowedFd<'_> {
    map.fd().as_fd()
}
