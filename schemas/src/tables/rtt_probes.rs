//! `rtt_probes`: echo requests from a container's network namespace to the peers that it connects to.

use crate::column::Ip;

table! {
    /// An echo request (ICMP, ICMPv6) to a peer of outbound connections, and how long its answer took.
    pub struct RttProbe in "rtt_probes" as RttProbe {
        /// Inode of the network namespace that it was sent from.
        [Dictionary] network_namespace: u32,
        /// Address of the peer: behind address translation where that is known.
        [Dictionary] remote_ip: Ip,
        /// From sent to received, nanoseconds, by the kernel's timestamps; absent when no answer came in time.
        [ByteStreamSplit] rtt_ns: Option<u64>,
    }
}
