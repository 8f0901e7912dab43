//! `datagrams`: what applications sent to and received from name services.

use super::Direction;
use crate::column::{Bytes, Ip};

table! {
    /// A UDP datagram to or from port 53. Its time is the end of the call that sent or received it.
    pub struct Datagram in "datagrams" as Datagram {
        /// Process that sent or received it.
        [Dictionary] pid: u32,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms.
        [Dictionary] process_start_ns: u64,
        /// Which way it went.
        [Dictionary] direction: Direction,
        /// Address of this side; unspecified when the socket has none of its own.
        [Dictionary] local_ip: Ip,
        /// Port of this side.
        [ByteStreamSplit] local_port: u16,
        /// Address of the peer.
        [Dictionary] remote_ip: Ip,
        /// Port of the peer.
        [ByteStreamSplit] remote_port: u16,
        /// Inode of the network namespace of the socket.
        [Dictionary] network_namespace: u32,
        /// Bytes of the datagram.
        [Delta] size_bytes: u32,
        /// The head of its bytes.
        [Plain] payload: Bytes,
    }
}
