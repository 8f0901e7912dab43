//! `tcp_events`: what happened to TCP connections and listening sockets, from the kernel.

use crate::column::Ip;
use crate::label::labels;

labels! {
    /// What happened to the socket.
    pub enum TcpEventKind {
        /// It listens.
        ListenOpen = "listen_open",
        /// It no longer listens.
        ListenClose = "listen_close",
        /// An outbound connection was established.
        Connect = "connect",
        /// An outbound connection failed.
        ConnectError = "connect_error",
        /// An inbound connection was accepted by a process.
        Accept = "accept",
        /// The connection reached the state CLOSE.
        Close = "close",
        /// A segment was sent again.
        Retransmit = "retransmit",
        /// The periodic sweep read the socket's counters.
        Statistics = "statistics",
    }
}

labels! {
    /// TCP state, as in RFC 9293 and the kernel's `include/net/tcp_states.h`.
    pub enum TcpState {
        /// Both sides send.
        Established = "established",
        /// Connecting.
        SynSent = "syn_sent",
        /// Handshake of an inbound connection.
        SynReceived = "syn_received",
        /// Closed here, FIN not acknowledged.
        FinWait1 = "fin_wait_1",
        /// Closed here, FIN acknowledged.
        FinWait2 = "fin_wait_2",
        /// Both closed, waiting for stray segments.
        TimeWait = "time_wait",
        /// Closed.
        Close = "close",
        /// Closed by the peer.
        CloseWait = "close_wait",
        /// Closed by the peer, then here.
        LastAck = "last_ack",
        /// Listening.
        Listen = "listen",
        /// Closed on both sides at once.
        Closing = "closing",
    }
}

table! {
    /// What happened to TCP connections and listening sockets, a row an event.
    pub struct TcpEvent in "tcp_events" as Tcp {
        /// What happened.
        [Dictionary] kind: TcpEventKind,
        /// Names the socket within the trace; never used for another one.
        [Delta] connection_id: u64,
        /// Process that connected, accepted or listened; also on its later events.
        [Dictionary] pid: Option<u32>,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms.
        [Dictionary] process_start_ns: Option<u64>,
        /// Address of this side (listen, connect, connect_error, accept).
        [Dictionary] local_ip: Option<Ip>,
        /// Port of this side.
        [ByteStreamSplit] local_port: Option<u16>,
        /// Address of the peer (connect, connect_error, accept).
        [Dictionary] remote_ip: Option<Ip>,
        /// Port of the peer.
        [ByteStreamSplit] remote_port: Option<u16>,
        /// Inode of the network namespace of the socket (listen, connect, connect_error, accept).
        [Dictionary] network_namespace: Option<u32>,
        /// From SYN sent to established or failed, nanoseconds (connect, connect_error).
        [ByteStreamSplit] handshake_ns: Option<u64>,
        /// Error number: why a connect failed, or the socket's pending error at close (0: none).
        [Dictionary] errno: Option<u16>,
        /// State before the event (close, retransmit) or at the sweep (statistics).
        [Dictionary] state: Option<TcpState>,
        /// Payload bytes that the peer acknowledged, in all (close, statistics).
        [ByteStreamSplit] bytes_sent: Option<u64>,
        /// Payload bytes received in order, in all (close, statistics).
        [ByteStreamSplit] bytes_received: Option<u64>,
        /// Segments sent again, in all (close, statistics).
        [Dictionary] retransmits: Option<u32>,
        /// Smoothed round-trip time, microseconds (connect, accept, close, statistics).
        [ByteStreamSplit] smoothed_rtt_us: Option<u32>,
        /// Inferred by the recorder (the socket was gone though no close event came: it was lost), not seen by the kernel program.
        [Dictionary] inferred: bool,
    }
}
