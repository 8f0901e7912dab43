//! `network_namespaces`: the addresses of a network namespace.

table! {
    /// The addresses of a network namespace, when first seen, when they changed and where a segment begins.
    pub struct NetworkNamespace in "network_namespaces" as NetworkNamespace {
        /// Inode of the namespace.
        [Dictionary] network_namespace: u32,
        /// Its local addresses, without link-local and multicast ones; loopback included.
        [Dictionary] addresses: Vec<String>,
    }
}
