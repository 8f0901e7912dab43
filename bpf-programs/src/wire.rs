//! Layout of the records, the twin of `bpf/wire.h`: same sizes, same offsets, native byte order, asserted on both
//! sides. A record is a multiple of 8 bytes long; text follows the fixed part.

use std::mem::offset_of;

mod record;

pub use record::{ProcessExec, Record, WireError};

/// A value at a fixed place of a record.
trait Field<const SIZE: usize>: Sized {
    fn read(bytes: &[u8; SIZE]) -> Self;
}

/// The field at `offset`, which the layout has asserted to lie inside; the compiler sees that as well.
fn field<T: Field<SIZE>, const SIZE: usize, const RECORD: usize>(bytes: &[u8; RECORD], offset: usize) -> T {
    let mut own = [0; SIZE];
    if let Some(found) = bytes.get(offset..).and_then(|rest| rest.first_chunk()) {
        own = *found;
    }
    T::read(&own)
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Field<{ size_of::<$integer>() }> for $integer {
            fn read(bytes: &[u8; size_of::<$integer>()]) -> Self {
                <$integer>::from_ne_bytes(*bytes)
            }
        }
    )*};
}

integers!(u8, u16, u32, i32, u64);

impl Field<16> for [u8; 16] {
    fn read(bytes: &[u8; 16]) -> Self {
        *bytes
    }
}

impl Field<12> for [u32; 3] {
    fn read(bytes: &[u8; 12]) -> Self {
        let (integers, _) = bytes.as_chunks();
        std::array::from_fn(|place| integers.get(place).copied().map_or(0, u32::from_ne_bytes))
    }
}

impl Field<24> for [u64; 3] {
    fn read(bytes: &[u8; 24]) -> Self {
        let (integers, _) = bytes.as_chunks();
        std::array::from_fn(|place| integers.get(place).copied().map_or(0, u64::from_ne_bytes))
    }
}

/// Defines a struct of the wire and its reader.
macro_rules! wire {
    ($(#[$doc:meta])* pub struct $name:ident: $size:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $offset:literal,)*
    }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*

        impl $name {
            /// Reads it from the beginning of `bytes`; none when they are too few.
            pub fn read(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(Field::read)
            }
        }

        impl Field<$size> for $name {
            fn read(bytes: &[u8; $size]) -> Self {
                Self { $($field: field::<$type, { size_of::<$type>() }, $size>(bytes, $offset),)* }
            }
        }
    };
}

wire! {
    /// Begins every record.
    pub struct RecordHeader: 16 {
        /// One of the numbers in [`kind`].
        kind: u16 = 0,
        /// Of the whole record, bytes.
        length: u16 = 2,
        /// CPU that made it.
        cpu: u16 = 4,
        /// Number of its account in the ledger.
        account: u16 = 6,
        /// Boot time, nanoseconds.
        time_ns: u64 = 8,
    }
}

wire! {
    /// What is known of a process when it starts and when it runs a program.
    pub struct TaskFacts: 104 {
        /// Its start, boot time, nanoseconds.
        start_ns: u64 = 0,
        /// Start of its parent, boot time, nanoseconds.
        parent_start_ns: u64 = 8,
        /// Ids of its control groups: of version 2, and of those that have the memory and the cpu controller in
        /// hierarchies of version 1; 0 when a controller is in none.
        cgroup_ids: [u64; 3] = 16,
        /// Numbers of those hierarchies; 0 is version 2.
        hierarchy_ids: [u32; 3] = 40,
        /// Process id.
        pid: u32 = 52,
        /// Process id of the parent.
        parent_pid: u32 = 56,
        /// Real user id.
        uid: u32 = 60,
        /// Process id in its innermost pid namespace.
        namespace_pid: u32 = 64,
        /// Inode of that namespace.
        pid_namespace: u32 = 68,
        /// Inode of the network namespace.
        network_namespace: u32 = 72,
        /// Inode of the mount namespace.
        mount_namespace: u32 = 76,
        /// Inode of the cgroup namespace.
        cgroup_namespace: u32 = 80,
        /// Nothing.
        reserved: u32 = 84,
        /// Short name, ended by a NUL.
        command: [u8; 16] = 88,
    }
}

wire! {
    /// A process was forked.
    pub struct ProcessStartRecord: 120 {
        /// Header.
        header: RecordHeader = 0,
        /// The process.
        task: TaskFacts = 16,
    }
}

wire! {
    /// A program was started; the file name and the arguments, each with its NUL, follow.
    pub struct ProcessExecRecord: 136 {
        /// Header.
        header: RecordHeader = 0,
        /// The process, with its new name.
        task: TaskFacts = 16,
        /// Of all arguments with their terminators, bytes.
        arguments_total_bytes: u32 = 120,
        /// Of the file name that follows.
        filename_bytes: u16 = 124,
        /// Of the arguments that follow.
        arguments_bytes: u16 = 126,
        /// Of [`flags`].
        flags: u32 = 128,
        /// Nothing.
        reserved: u32 = 132,
    }
}

wire! {
    /// A process ended.
    pub struct ProcessExitRecord: 32 {
        /// Header.
        header: RecordHeader = 0,
        /// Start of the process, boot time, nanoseconds.
        start_ns: u64 = 16,
        /// Process id.
        pid: u32 = 24,
        /// As wait() gives it.
        status: u32 = 28,
    }
}

wire! {
    /// The OOM killer chose a process.
    pub struct OomKillRecord: 24 {
        /// Header.
        header: RecordHeader = 0,
        /// Task that was chosen.
        pid: u32 = 16,
        /// Nothing.
        reserved: u32 = 20,
    }
}

wire! {
    /// A control group was made, removed or entered; its path follows.
    pub struct CgroupRecord: 48 {
        /// Header.
        header: RecordHeader = 0,
        /// Id in its hierarchy.
        cgroup_id: u64 = 16,
        /// Start of the process that entered, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// Number of the hierarchy; 0 is version 2.
        hierarchy_id: u32 = 32,
        /// Depth; 0 is the root.
        level: u32 = 36,
        /// Process that entered.
        pid: u32 = 40,
        /// Of the path that follows.
        path_bytes: u16 = 44,
        /// Of [`flags`].
        flags: u16 = 46,
    }
}

wire! {
    /// A regular file is open for writing; its path follows.
    pub struct FileRecord: 64 {
        /// Header.
        header: RecordHeader = 0,
        /// Start of the process, boot time, nanoseconds.
        start_ns: u64 = 16,
        /// Inode number.
        inode: u64 = 24,
        /// Process id.
        pid: u32 = 32,
        /// Descriptor.
        fd: i32 = 36,
        /// Flags of open(2).
        open_flags: u32 = 40,
        /// Major number of the device.
        device_major: u32 = 44,
        /// Minor number of the device.
        device_minor: u32 = 48,
        /// As in /proc/PID/mountinfo.
        mount_id: i32 = 52,
        /// Of the path that follows.
        path_bytes: u16 = 56,
        /// Of [`flags`].
        flags: u16 = 58,
        /// Nothing.
        reserved: u32 = 60,
    }
}

wire! {
    /// A socket listens.
    pub struct ListenRecord: 64 {
        /// Header.
        header: RecordHeader = 0,
        /// Names the socket.
        connection_id: u64 = 16,
        /// Start of the owner, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// Address, IPv4 mapped.
        local_ip: [u8; 16] = 32,
        /// The owner.
        pid: u32 = 48,
        /// Inode of the network namespace.
        network_namespace: u32 = 52,
        /// Port.
        local_port: u16 = 56,
        /// Of [`flags`].
        flags: u16 = 58,
        /// Nothing.
        reserved: u32 = 60,
    }
}

wire! {
    /// A socket stopped listening, or sent a segment again.
    pub struct SocketRecord: 40 {
        /// Header.
        header: RecordHeader = 0,
        /// Names the socket.
        connection_id: u64 = 16,
        /// Start of the owner, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// The owner.
        pid: u32 = 32,
        /// TCP state.
        state: u16 = 36,
        /// Of [`flags`].
        flags: u16 = 38,
    }
}

wire! {
    /// A connection began, failed to begin, or was found.
    pub struct ConnectionRecord: 96 {
        /// Header.
        header: RecordHeader = 0,
        /// Names the connection.
        connection_id: u64 = 16,
        /// Start of the owner, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// From SYN sent to the end of the attempt, nanoseconds.
        handshake_ns: u64 = 32,
        /// Address of this side, IPv4 mapped.
        local_ip: [u8; 16] = 40,
        /// Address of the peer, IPv4 mapped.
        remote_ip: [u8; 16] = 56,
        /// The owner.
        pid: u32 = 72,
        /// Inode of the network namespace.
        network_namespace: u32 = 76,
        /// Smoothed round-trip time, microseconds.
        smoothed_rtt_us: u32 = 80,
        /// Port of this side.
        local_port: u16 = 84,
        /// Port of the peer.
        remote_port: u16 = 86,
        /// Error number.
        error: u16 = 88,
        /// TCP state.
        state: u8 = 90,
        /// Of [`flags`].
        flags: u8 = 91,
        /// Nothing.
        reserved: u32 = 92,
    }
}

wire! {
    /// The counters of a connection, at its end or on the way.
    pub struct TrafficRecord: 80 {
        /// Header.
        header: RecordHeader = 0,
        /// Names the connection.
        connection_id: u64 = 16,
        /// Start of the owner, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// Payload that the peer acknowledged.
        bytes_sent: u64 = 32,
        /// Payload received in order.
        bytes_received: u64 = 40,
        /// Since it was established, accepted or found, nanoseconds.
        lifetime_ns: u64 = 48,
        /// The owner.
        pid: u32 = 56,
        /// Segments sent again.
        retransmits: u32 = 60,
        /// Smoothed round-trip time, microseconds.
        smoothed_rtt_us: u32 = 64,
        /// Least round-trip time in the kernel's window, microseconds.
        minimum_rtt_us: u32 = 68,
        /// Pending error number.
        error: u16 = 72,
        /// TCP state, before the close.
        state: u8 = 74,
        /// Of [`flags`].
        flags: u8 = 75,
        /// Nothing.
        reserved: u32 = 76,
    }
}

wire! {
    /// What a system call moved on a connection; the head of its bytes follows.
    pub struct DataRecord: 48 {
        /// Header.
        header: RecordHeader = 0,
        /// Names the connection.
        connection_id: u64 = 16,
        /// Tells the kernel's connections apart when it is decided what is kept of this one.
        sock: u64 = 24,
        /// Of its first byte in the stream, modulo 2^32: since the beginning of the connection when
        /// [`flags::FROM_START`] is set, else since anything.
        position: u32 = 32,
        /// That the call moved, bytes.
        size: u32 = 36,
        /// Of the bytes that follow.
        kept_bytes: u16 = 40,
        /// Of [`flags`].
        flags: u8 = 42,
        /// Nothing.
        reserved_byte: u8 = 43,
        /// Nothing.
        reserved: u32 = 44,
    }
}

wire! {
    /// A datagram of a name service; its bytes follow.
    pub struct DatagramRecord: 88 {
        /// Header.
        header: RecordHeader = 0,
        /// Tells sockets that are open at the same time apart.
        sock: u64 = 16,
        /// Start of the process, boot time, nanoseconds.
        start_ns: u64 = 24,
        /// Address of this side, IPv4 mapped; zeros when the socket has none of its own.
        local_ip: [u8; 16] = 32,
        /// Address of the peer, IPv4 mapped.
        remote_ip: [u8; 16] = 48,
        /// The process that sent or received.
        pid: u32 = 64,
        /// Inode of the network namespace.
        network_namespace: u32 = 68,
        /// Port of this side.
        local_port: u16 = 72,
        /// Port of the peer.
        remote_port: u16 = 74,
        /// Of the datagram, bytes.
        size: u32 = 76,
        /// Of the bytes that follow.
        kept_bytes: u16 = 80,
        /// Of [`flags`].
        flags: u8 = 82,
        /// Nothing.
        reserved_byte: u8 = 83,
        /// Nothing.
        reserved: u32 = 84,
    }
}

/// Kinds of records.
pub mod kind {
    #![allow(missing_docs, reason = "the names are the documentation")]
    pub const PROCESS_START: u16 = 1;
    pub const PROCESS_EXEC: u16 = 2;
    pub const PROCESS_EXIT: u16 = 3;
    pub const OOM_KILL: u16 = 4;
    pub const CGROUP_CREATED: u16 = 5;
    pub const CGROUP_REMOVED: u16 = 6;
    pub const CGROUP_ATTACHED: u16 = 7;
    pub const FILE_OPEN: u16 = 8;
    pub const FILE_EXISTING: u16 = 9;
    pub const LISTEN_OPEN: u16 = 10;
    pub const LISTEN_EXISTING: u16 = 11;
    pub const LISTEN_CLOSE: u16 = 12;
    pub const CONNECT: u16 = 13;
    pub const CONNECT_ERROR: u16 = 14;
    pub const ACCEPT: u16 = 15;
    pub const CONNECTION_EXISTING: u16 = 16;
    pub const CLOSE: u16 = 17;
    pub const STATISTICS: u16 = 18;
    pub const RETRANSMIT: u16 = 19;
    pub const DATA: u16 = 20;
    pub const DATAGRAM: u16 = 21;
}

/// Flags of records.
pub mod flags {
    /// Text was longer than what the record holds.
    pub const TRUNCATED: u16 = 1;
    /// The arguments could not be read.
    pub const UNREADABLE: u16 = 2;
    /// The socket takes IPv6 only.
    pub const V6_ONLY: u16 = 4;
    /// The port was chosen by bind() or by the listening socket.
    pub const BOUND: u16 = 8;
    /// This host's process connected.
    pub const OUTBOUND: u16 = 16;
    /// Found by a sweep: the close event did not come.
    pub const INFERRED: u16 = 32;
    /// The connection is known from its first byte on.
    pub const FROM_START: u16 = 64;
    /// The bytes were sent.
    pub const SENT: u16 = 1;
    /// They were read or written inside TLS: the position is that in the plaintext, and 0 only at its beginning.
    pub const PLAINTEXT: u16 = 2;
}
