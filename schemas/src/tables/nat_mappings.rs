//! `nat_mappings`: where outbound connections really go.

use crate::column::Ip;
use crate::label::labels;

labels! {
    /// Who told of an address translation.
    pub enum NatSource {
        /// The kernel's connection tracking.
        Conntrack = "conntrack",
        /// The maps of Cilium's programs.
        Cilium = "cilium",
    }
}

table! {
    /// The destination of an outbound connection was translated: what was dialled, and what was reached.
    pub struct NatMapping in "nat_mappings" as NatMapping {
        /// The connection.
        [Delta] connection_id: u64,
        /// Inode of the network namespace of its socket.
        [Dictionary] network_namespace: u32,
        /// Address of this side.
        [Dictionary] local_ip: Ip,
        /// Port of this side.
        [ByteStreamSplit] local_port: u16,
        /// Address that was dialled.
        [Dictionary] destination_ip: Ip,
        /// Port that was dialled.
        [ByteStreamSplit] destination_port: u16,
        /// Address that was reached.
        [Dictionary] actual_ip: Ip,
        /// Port that was reached.
        [ByteStreamSplit] actual_port: u16,
        /// Who told.
        [Dictionary] source: NatSource,
    }
}
