//! `network_stats`: counters and addresses of network interfaces.

table! {
    /// Counters and addresses of a network interface of the host.
    pub struct NetworkStats in "network_stats" as NetworkStats {
        /// Interface name.
        [Dictionary] interface: String,
        /// Whether it is operational (RFC 2863 operstate "up").
        [Dictionary] up: bool,
        /// Its addresses, without link-local and multicast ones.
        [Dictionary] addresses: Vec<String>,
        /// Bytes received.
        [Delta] received_bytes: u64,
        /// Bytes sent.
        [Delta] transmitted_bytes: u64,
        /// Packets received.
        [Delta] received_packets: u64,
        /// Packets sent.
        [Delta] transmitted_packets: u64,
    }
}
