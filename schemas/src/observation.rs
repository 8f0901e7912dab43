use arrow::array::{PrimitiveArray, PrimitiveBuilder, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampNanosecondType, UInt64Type};

use crate::column::{Column, Timestamp};
use crate::table::{ColumnDefinition, Table, find};
use crate::tables::*;
use crate::{SchemaError, UnixNanos};

/// One fact in the one order of the trace: what the registry applies, live and in replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Given once, by the sequencer: the order in which observations are applied.
    pub seq: u64,
    /// When it happened, Unix nanoseconds.
    pub time: UnixNanos,
    /// What it says.
    pub kind: Kind,
}

/// Rows of one table with their places in the order.
struct Rows<T: Table> {
    seq: PrimitiveBuilder<UInt64Type>,
    time: PrimitiveBuilder<TimestampNanosecondType>,
    own: T::Builders,
    len: usize,
}

impl<T: Table> Rows<T> {
    fn new(rows: usize) -> Self {
        Self { seq: u64::builder(rows), time: Timestamp::builder(rows), own: T::builders(rows), len: 0 }
    }

    fn append(&mut self, seq: u64, time: UnixNanos, row: &T) {
        self.seq.append_value(seq);
        self.time.append_value(time);
        row.append(&mut self.own);
        self.len += 1;
    }

    fn finish(&mut self) -> Result<RecordBatch, SchemaError> {
        self.len = 0;
        let mut arrays = vec![u64::finish(&mut self.seq), Timestamp::finish(&mut self.time)];
        arrays.extend(T::finish(&mut self.own));
        Ok(RecordBatch::try_new(T::schema(), arrays)?)
    }
}

/// The typed arrays of a batch of one table.
struct Columns<T: Table> {
    seq: PrimitiveArray<UInt64Type>,
    time: PrimitiveArray<TimestampNanosecondType>,
    own: T::Readers,
}

impl<T: Table> Columns<T> {
    fn new(batch: &RecordBatch) -> Result<Self, SchemaError> {
        Ok(Self {
            seq: find::<u64>(batch, T::NAME, "seq")?,
            time: find::<Timestamp>(batch, T::NAME, "time")?,
            own: T::readers(batch)?,
        })
    }

    fn observation(&self, row: usize) -> Observation {
        Observation {
            seq: self.seq.value(row),
            time: self.time.value(row),
            kind: T::read(&self.own, row).into_kind(),
        }
    }
}

macro_rules! observation_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident($row:ident),)+) => {
        /// What an observation says; a variant a table.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind($row),)+
        }

        /// The tables of a trace.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TableId {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl TableId {
            /// Every table, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// Name in SQL and of the files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => <$row as Table>::NAME,)+ }
            }
            /// What a row is.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$kind => <$row as Table>::DOC,)+ }
            }
            /// All columns, `seq` and `time` first.
            pub fn columns(self) -> Vec<ColumnDefinition> {
                match self { $(Self::$kind => <$row as Table>::columns(),)+ }
            }
            /// The Arrow schema.
            pub fn schema(self) -> SchemaRef {
                match self { $(Self::$kind => <$row as Table>::schema(),)+ }
            }
            /// The table of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|table| table.name() == name)
            }
        }

        impl Kind {
            /// The table that keeps such a row.
            pub fn table(&self) -> TableId {
                match self { $(Self::$kind(_) => TableId::$kind,)+ }
            }
        }

        $(impl From<$row> for Kind {
            fn from(row: $row) -> Self {
                Self::$kind(row)
            }
        })+

        /// Collects rows of one table into batches.
        pub struct Builders(BuildersOf);

        enum BuildersOf {
            $($kind(Box<Rows<$row>>),)+
        }

        impl Builders {
            /// Empty builders with room for `rows`.
            pub fn new(table: TableId, rows: usize) -> Self {
                Self(match table { $(TableId::$kind => BuildersOf::$kind(Box::new(Rows::new(rows))),)+ })
            }
            /// Adds the observation as the next row. Returns false, and adds nothing, when it is of another table.
            pub fn append(&mut self, observation: &Observation) -> bool {
                match (&mut self.0, &observation.kind) {
                    $((BuildersOf::$kind(rows), Kind::$kind(row)) => {
                        rows.append(observation.seq, observation.time, row);
                        true
                    })+
                    _ => false,
                }
            }
            /// Rows added since the last batch.
            pub fn len(&self) -> usize {
                match &self.0 { $(BuildersOf::$kind(rows) => rows.len,)+ }
            }
            /// Whether there is no row.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
            /// The batch of all rows added; the builders are empty afterwards.
            pub fn finish(&mut self) -> Result<RecordBatch, SchemaError> {
                match &mut self.0 { $(BuildersOf::$kind(rows) => rows.finish(),)+ }
            }
        }

        enum BatchOf {
            $($kind(Box<Columns<$row>>),)+
        }

        impl BatchOf {
            fn new(table: TableId, batch: &RecordBatch) -> Result<Self, SchemaError> {
                Ok(match table { $(TableId::$kind => Self::$kind(Box::new(Columns::new(batch)?)),)+ })
            }
            fn observation(&self, row: usize) -> Observation {
                match self { $(Self::$kind(columns) => columns.observation(row),)+ }
            }
            fn seq(&self, row: usize) -> u64 {
                match self { $(Self::$kind(columns) => columns.seq.value(row),)+ }
            }
        }
    };
}

observation_kinds! {
    /// A process started, ran a program, ended, or was chosen by the OOM killer.
    Process(ProcessEvent),
    /// A process that is alive.
    ProcessSnapshot(ProcessSnapshot),
    /// What the program of a process was built with.
    Executable(Executable),
    /// Heap and safepoints of a Java virtual machine.
    JvmStats(JvmStats),
    /// A garbage collector of a Java virtual machine.
    JvmGcStats(JvmGcStats),
    /// A file was opened for writing.
    File(FileEvent),
    /// A line that a container or unit logged.
    LogLine(LogLine),
    /// Messages that a container or unit logged, counted by pattern.
    LogPattern(LogPattern),
    /// A log file that is followed, and how far it was read.
    LogFile(LogFile),
    /// A TCP connection or listening socket changed.
    Tcp(TcpEvent),
    /// A TCP connection or listening socket that is alive.
    SocketSnapshot(SocketSnapshot),
    /// A system call moved bytes on a connection.
    SocketData(SocketData),
    /// A datagram to or from a name service.
    Datagram(Datagram),
    /// The destination of an outbound connection was translated.
    NatMapping(NatMapping),
    /// An echo request to a peer of outbound connections.
    RttProbe(RttProbe),
    /// A control group was made or removed, or a process moved into it.
    Cgroup(CgroupEvent),
    /// What a container runtime says of a container.
    Container(ContainerSnapshot),
    /// What systemd says of a unit.
    SystemdUnit(SystemdUnit),
    /// CPU, memory and pressure of a control group.
    CgroupStats(CgroupStats),
    /// Block I/O of a control group on a device.
    CgroupIo(CgroupIo),
    /// How long a process waited.
    TaskDelays(TaskDelays),
    /// A mount that a container writes to.
    Mount(MountSnapshot),
    /// Size and use of a file system that a container writes to.
    FilesystemStats(FilesystemStats),
    /// CPU, memory and uptime of the host.
    NodeStats(NodeStats),
    /// Counters of a block device.
    DiskStats(DiskStats),
    /// Counters and addresses of a network interface.
    NetworkStats(NetworkStats),
    /// Addresses of a network namespace.
    NetworkNamespace(NetworkNamespace),
    /// Names and versions of the host.
    Host(HostSnapshot),
    /// What the host is to its cloud.
    CloudInstance(CloudInstance),
    /// Wall clock against boot clock.
    ClockSync(ClockSync),
    /// Whether a probe or source works, and why not.
    Probe(ProbeStatus),
    /// Observations that were lost.
    Loss(Loss),
    /// The kernel programs' accounts.
    Ledger(LedgerEntry),
    /// What a kernel program cost.
    BpfProgram(BpfProgramStats),
    /// What the recorder itself uses.
    Recorder(RecorderStats),
    /// What a source of snapshots did.
    Source(SourceStats),
    /// What became of pushed metrics.
    Push(PushStats),
    /// The live metrics were read.
    Scrape(Scrape),
    /// Beginning, segment, end.
    Mark(Mark),
}

/// A batch of one table, read back row by row.
pub struct Batch {
    columns: BatchOf,
    len: usize,
}

impl Batch {
    /// The typed view of a batch that was read from `table`.
    pub fn new(table: TableId, batch: &RecordBatch) -> Result<Self, SchemaError> {
        Ok(Self { columns: BatchOf::new(table, batch)?, len: batch.num_rows() })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of a row in the order of the trace, or `None` past the end.
    pub fn seq(&self, row: usize) -> Option<u64> {
        (row < self.len).then(|| self.columns.seq(row))
    }

    /// A row as an observation, or `None` past the end.
    pub fn observation(&self, row: usize) -> Option<Observation> {
        (row < self.len).then(|| self.columns.observation(row))
    }
}
