//! From bytes to a record. Text is borrowed; anything that is not a whole, known record is an error.

use thiserror::Error;

use super::{
    CgroupRecord, ConnectionRecord, DataRecord, DatagramRecord, FileRecord, ListenRecord, OomKillRecord,
    ProcessExecRecord, ProcessExitRecord, ProcessStartRecord, RecordHeader, SocketRecord, TaskFacts,
    TrafficRecord, flags, kind,
};
use crate::maps::ACCOUNTS;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// Fewer bytes than the record says or needs.
    #[error("a record of kind {kind} is cut: {available} bytes of it are there")]
    Cut {
        /// Its kind; 0 when even the header is cut.
        kind: u16,
        /// Bytes there.
        available: usize,
    },
    /// A kind that this version does not know.
    #[error("a record has the unknown kind {0}")]
    UnknownKind(u16),
}

/// A process runs another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessExec<'bytes> {
    /// Header.
    pub header: RecordHeader,
    /// The process, with its new name.
    pub task: TaskFacts,
    /// Program file as given to execve.
    pub filename: &'bytes [u8],
    /// The first arguments, each with its NUL; the last may be cut.
    pub arguments: &'bytes [u8],
    /// Of all arguments with their terminators.
    pub arguments_total_bytes: u32,
    /// Whether file name or arguments are cut.
    pub truncated: bool,
    /// Whether the arguments could not be read.
    pub unreadable: bool,
}

/// A record. What comes in rings and what a scan or sweep answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'bytes> {
    /// A process was forked.
    ProcessStart(ProcessStartRecord),
    /// A process runs another program.
    ProcessExec(ProcessExec<'bytes>),
    /// The last thread of a process ended.
    ProcessExit(ProcessExitRecord),
    /// The OOM killer chose a task.
    OomKill(OomKillRecord),
    /// A control group was made: its path from the root of the hierarchy.
    CgroupCreated(CgroupRecord, &'bytes [u8]),
    /// A control group was removed.
    CgroupRemoved(CgroupRecord, &'bytes [u8]),
    /// A process moved into a control group.
    CgroupAttached(CgroupRecord, &'bytes [u8]),
    /// A regular file was opened for writing: its path as the application gave it.
    FileOpen(FileRecord, &'bytes [u8]),
    /// A regular file is open for writing: its path as /proc/PID/fd shows it; empty when that cannot be read.
    FileExisting(FileRecord, &'bytes [u8]),
    /// A socket began to listen.
    ListenOpen(ListenRecord),
    /// A socket listens.
    ListenExisting(ListenRecord),
    /// A socket no longer listens.
    ListenClose(SocketRecord),
    /// A process of this host connected.
    Connect(ConnectionRecord),
    /// A process of this host tried to. No close follows.
    ConnectError(ConnectionRecord),
    /// A process of this host accepted a connection.
    Accept(ConnectionRecord),
    /// A connection is there.
    ConnectionExisting(ConnectionRecord),
    /// A connection ended.
    Close(TrafficRecord),
    /// Counters of a connection.
    Statistics(TrafficRecord),
    /// A segment was sent again.
    Retransmit(SocketRecord),
    /// A system call moved bytes on a connection: the head of them.
    Data(DataRecord, &'bytes [u8]),
    /// A datagram of a name service.
    Datagram(DatagramRecord, &'bytes [u8]),
}

impl<'bytes> Record<'bytes> {
    /// Reads the record at the beginning of `bytes`.
    ///
    /// # Errors
    /// When it is cut or of an unknown kind.
    pub fn parse(bytes: &'bytes [u8]) -> Result<Self, WireError> {
        let header = RecordHeader::read(bytes).ok_or(WireError::Cut { kind: 0, available: bytes.len() })?;
        let cut = WireError::Cut { kind: header.kind, available: bytes.len() };
        let bytes = bytes.get(..usize::from(header.length)).ok_or(cut)?;
        let record = match header.kind {
            kind::PROCESS_START => ProcessStartRecord::read(bytes).map(Self::ProcessStart),
            kind::PROCESS_EXEC => exec(bytes).map(Self::ProcessExec),
            kind::PROCESS_EXIT => ProcessExitRecord::read(bytes).map(Self::ProcessExit),
            kind::OOM_KILL => OomKillRecord::read(bytes).map(Self::OomKill),
            kind::CGROUP_CREATED => cgroup(bytes).map(|(record, path)| Self::CgroupCreated(record, path)),
            kind::CGROUP_REMOVED => cgroup(bytes).map(|(record, path)| Self::CgroupRemoved(record, path)),
            kind::CGROUP_ATTACHED => cgroup(bytes).map(|(record, path)| Self::CgroupAttached(record, path)),
            kind::FILE_OPEN => file(bytes).map(|(record, path)| Self::FileOpen(record, path)),
            kind::FILE_EXISTING => file(bytes).map(|(record, path)| Self::FileExisting(record, path)),
            kind::LISTEN_OPEN => ListenRecord::read(bytes).map(Self::ListenOpen),
            kind::LISTEN_EXISTING => ListenRecord::read(bytes).map(Self::ListenExisting),
            kind::LISTEN_CLOSE => SocketRecord::read(bytes).map(Self::ListenClose),
            kind::CONNECT => ConnectionRecord::read(bytes).map(Self::Connect),
            kind::CONNECT_ERROR => ConnectionRecord::read(bytes).map(Self::ConnectError),
            kind::ACCEPT => ConnectionRecord::read(bytes).map(Self::Accept),
            kind::CONNECTION_EXISTING => ConnectionRecord::read(bytes).map(Self::ConnectionExisting),
            kind::CLOSE => TrafficRecord::read(bytes).map(Self::Close),
            kind::STATISTICS => TrafficRecord::read(bytes).map(Self::Statistics),
            kind::RETRANSMIT => SocketRecord::read(bytes).map(Self::Retransmit),
            kind::DATA => DataRecord::read(bytes).and_then(|record| {
                Some(Self::Data(record, text(bytes, size_of::<DataRecord>(), record.kept_bytes)?))
            }),
            kind::DATAGRAM => DatagramRecord::read(bytes).and_then(|record| {
                Some(Self::Datagram(record, text(bytes, size_of::<DatagramRecord>(), record.kept_bytes)?))
            }),
            unknown => return Err(WireError::UnknownKind(unknown)),
        };
        record.ok_or(cut)
    }

    /// Its header.
    pub fn header(&self) -> RecordHeader {
        match self {
            Self::ProcessStart(record) => record.header,
            Self::ProcessExec(record) => record.header,
            Self::ProcessExit(record) => record.header,
            Self::OomKill(record) => record.header,
            Self::CgroupCreated(record, _)
            | Self::CgroupRemoved(record, _)
            | Self::CgroupAttached(record, _) => record.header,
            Self::FileOpen(record, _) | Self::FileExisting(record, _) => record.header,
            Self::ListenOpen(record) | Self::ListenExisting(record) => record.header,
            Self::ListenClose(record) | Self::Retransmit(record) => record.header,
            Self::Connect(record)
            | Self::ConnectError(record)
            | Self::Accept(record)
            | Self::ConnectionExisting(record) => record.header,
            Self::Close(record) | Self::Statistics(record) => record.header,
            Self::Data(record, _) => record.header,
            Self::Datagram(record, _) => record.header,
        }
    }

    /// The account in the ledger that it was submitted on, by name; empty for a number that this version does not know.
    pub fn account(&self) -> &'static str {
        ACCOUNTS.get(usize::from(self.header().account)).copied().unwrap_or_default()
    }
}

impl ConnectionRecord {
    /// Whether the port of this side was chosen by bind() or by a listening socket, and not by connect(). For a
    /// connection that the scan found this says: probably inbound.
    pub fn is_bound(&self) -> bool {
        u16::from(self.flags) & flags::BOUND != 0
    }
}

fn exec(bytes: &[u8]) -> Option<ProcessExec<'_>> {
    let record = ProcessExecRecord::read(bytes)?;
    let text = bytes.get(size_of::<ProcessExecRecord>()..)?;
    let (filename, text) = text.split_at_checked(usize::from(record.filename_bytes))?;
    Some(ProcessExec {
        header: record.header,
        task: record.task,
        filename,
        arguments: text.get(..usize::from(record.arguments_bytes))?,
        arguments_total_bytes: record.arguments_total_bytes,
        truncated: record.flags & u32::from(flags::TRUNCATED) != 0,
        unreadable: record.flags & u32::from(flags::UNREADABLE) != 0,
    })
}

fn cgroup(bytes: &[u8]) -> Option<(CgroupRecord, &[u8])> {
    let record = CgroupRecord::read(bytes)?;
    Some((record, text(bytes, size_of::<CgroupRecord>(), record.path_bytes)?))
}

fn file(bytes: &[u8]) -> Option<(FileRecord, &[u8])> {
    let record = FileRecord::read(bytes)?;
    Some((record, text(bytes, size_of::<FileRecord>(), record.path_bytes)?))
}

fn text(bytes: &[u8], begin: usize, length: u16) -> Option<&[u8]> {
    bytes.get(begin..)?.get(..usize::from(length))
}

#[cfg(test)]
mod tests;
