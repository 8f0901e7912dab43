//! `sockets`: the connections and listening sockets that are alive where a segment begins.

use crate::column::{Ip, Timestamp};
use crate::label::labels;

labels! {
    /// What the socket is for.
    pub enum SocketKind {
        /// It listens.
        Listen = "listen",
        /// This host's process connected.
        Outbound = "outbound",
        /// This host's process accepted.
        Inbound = "inbound",
    }
}

table! {
    /// A connection or listening socket that is alive where a segment begins, or that was there before the recording.
    pub struct SocketSnapshot in "sockets" as SocketSnapshot {
        /// What it is for.
        [Dictionary] kind: SocketKind,
        /// Names the socket within the trace; never used for another one.
        [Delta] connection_id: u64,
        /// Process that connected, accepted or listened, or that held it when the recording began.
        [Dictionary] pid: u32,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms.
        [Dictionary] process_start_ns: u64,
        /// Address of this side.
        [Dictionary] local_ip: Ip,
        /// Port of this side.
        [ByteStreamSplit] local_port: u16,
        /// Address of the peer; absent when listening.
        [Dictionary] remote_ip: Option<Ip>,
        /// Port of the peer; absent when listening.
        [ByteStreamSplit] remote_port: Option<u16>,
        /// Inode of the network namespace of the socket.
        [Dictionary] network_namespace: u32,
        /// When it was established, accepted or began to listen; absent when that was before the recording.
        [Delta] opened: Option<Timestamp>,
        /// Payload bytes that the peer acknowledged so far, as last seen.
        [ByteStreamSplit] bytes_sent: u64,
        /// Payload bytes received so far, as last seen.
        [ByteStreamSplit] bytes_received: u64,
        /// Segments sent again so far, as last seen.
        [Dictionary] retransmits: u32,
    }
}
