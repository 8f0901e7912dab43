//! `socket_data`: what applications sent and received on connections, call by call.

use crate::column::Bytes;
use crate::label::labels;

labels! {
    /// Which way bytes went.
    pub enum Direction {
        /// The process of this host sent them.
        Sent = "sent",
        /// It received them.
        Received = "received",
    }
}

table! {
    /// What one system call moved on a connection: its size, and the head of its bytes with credentials blanked. Its time is the end of the call.
    pub struct SocketData in "socket_data" as SocketData {
        /// The connection, as in `tcp_events` and `sockets`.
        [Dictionary] connection_id: u64,
        /// Which way the bytes went.
        [Dictionary] direction: Direction,
        /// Place of the first byte in its direction's stream: from 0 when the connection is known from its beginning, else from anything. A jump is what was not seen.
        [Delta] position: u64,
        /// Bytes that the call moved.
        [Delta] size_bytes: u32,
        /// Whether it is the plaintext of a TLS connection, whose stream has positions of its own.
        [Dictionary] tls: bool,
        /// The head of the bytes.
        [Plain] payload: Bytes,
    }
}
