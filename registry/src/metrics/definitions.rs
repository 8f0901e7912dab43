//! Every metric: name, kind and help. Names are those of coroot-node-agent, so that its dashboards and alerts work.

use super::MetricKind;

/// Name, kind and help of a metric.
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricKind,
}

macro_rules! definitions {
    ($($identifier:ident: $kind:ident $name:literal, $help:literal;)+) => {
        $(pub(crate) static $identifier: Definition =
            Definition { name: $name, help: $help, kind: MetricKind::$kind };)+

        /// All of them.
        #[cfg(test)]
        pub(crate) static ALL: &[&Definition] = &[$(&$identifier),+];
    };
}

definitions! {
    CONTAINER_INFO: Gauge "container_info", "Meta information about the container";
    RESTARTS: Counter "container_restarts_total", "Number of times the container has been restarted";
    CPU_LIMIT: Gauge "container_resources_cpu_limit_cores", "CPU limit of the container, in cores";
    CPU_USAGE: Counter "container_resources_cpu_usage_seconds_total", "Total CPU time consumed by the container, in seconds";
    CPU_THROTTLED: Counter "container_resources_cpu_throttled_seconds_total", "Total time the container has been throttled by its CPU limit, in seconds";
    CPU_DELAY: Counter "container_resources_cpu_delay_seconds_total", "Total time that processes of the container could have run and waited for a CPU, in seconds";
    CPU_PRESSURE: Counter "container_resources_cpu_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for a CPU, in seconds";
    MEMORY_LIMIT: Gauge "container_resources_memory_limit_bytes", "Memory limit of the container, in bytes";
    MEMORY_RSS: Gauge "container_resources_memory_rss_bytes", "Memory used by the container without page cache that can be dropped, in bytes: anonymous and mapped file memory";
    MEMORY_CACHE: Gauge "container_resources_memory_cache_bytes", "Page cache of the container, in bytes";
    MEMORY_PRESSURE: Counter "container_resources_memory_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for memory, in seconds";
    IO_PRESSURE: Counter "container_resources_io_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for I/O, in seconds";
    DISK_DELAY: Counter "container_resources_disk_delay_seconds_total", "Total time that processes of the container waited for block I/O, in seconds";
    DISK_SIZE: Gauge "container_resources_disk_size_bytes", "Size of a file system that the container writes to, in bytes";
    DISK_USED: Gauge "container_resources_disk_used_bytes", "Used space of the file system, in bytes";
    DISK_RESERVED: Gauge "container_resources_disk_reserved_bytes", "Free space of the file system that is kept for the superuser, in bytes";
    DISK_READS: Counter "container_resources_disk_reads_total", "Number of reads by the container from the disk that the file system is on";
    DISK_WRITES: Counter "container_resources_disk_writes_total", "Number of writes by the container to the disk that the file system is on";
    DISK_READ_BYTES: Counter "container_resources_disk_read_bytes_total", "Number of bytes that the container read from the disk that the file system is on";
    DISK_WRITTEN_BYTES: Counter "container_resources_disk_written_bytes_total", "Number of bytes that the container wrote to the disk that the file system is on";
    OOM_KILLS: Counter "container_oom_kills_total", "Number of processes of the container that the OOM killer ended";
    APPLICATION_TYPE: Gauge "container_application_type", "Type of an application that runs in the container";
    LISTEN_INFO: Gauge "container_net_tcp_listen_info", "Address that the container listens on: 1 while it does, 0 after it stopped";
    CONNECTS: Counter "container_net_tcp_successful_connects_total", "Number of outbound TCP connections that were established";
    CONNECTION_TIME: Counter "container_net_tcp_connection_time_seconds_total", "Time spent on establishing outbound TCP connections, in seconds";
    FAILED_CONNECTS: Counter "container_net_tcp_failed_connects_total", "Number of outbound TCP connections that could not be established";
    ACTIVE_CONNECTIONS: Gauge "container_net_tcp_active_connections", "Number of outbound TCP connections that are open";
    RETRANSMITS: Counter "container_net_tcp_retransmits_total", "Number of TCP segments of outbound connections that were sent again";
    BYTES_SENT: Counter "container_net_tcp_bytes_sent_total", "Number of payload bytes that peers of outbound TCP connections acknowledged";
    BYTES_RECEIVED: Counter "container_net_tcp_bytes_received_total", "Number of payload bytes received on outbound TCP connections";
    NET_LATENCY: Gauge "container_net_latency_seconds", "Round-trip time of the last echo request to a host that the container connects to, in seconds";
    TCP_RTT: Gauge "aftertrace_net_tcp_rtt_seconds", "Smoothed round-trip time of the outbound TCP connection that was last looked at, as the kernel uses it, in seconds";

    NODE_INFO: Gauge "node_info", "Meta information about the node";
    NODE_UPTIME: Gauge "node_uptime_seconds", "Time since the node started, in seconds";
    NODE_CPU_USAGE: Counter "node_resources_cpu_usage_seconds_total", "CPU time of the node by mode, in seconds";
    NODE_CPU_CORES: Gauge "node_resources_cpu_logical_cores", "Number of logical CPU cores";
    NODE_MEMORY_TOTAL: Gauge "node_resources_memory_total_bytes", "Memory of the node, in bytes";
    NODE_MEMORY_FREE: Gauge "node_resources_memory_free_bytes", "Unused memory of the node, in bytes";
    NODE_MEMORY_AVAILABLE: Gauge "node_resources_memory_available_bytes", "Memory available to new processes without swapping, in bytes";
    NODE_MEMORY_CACHED: Gauge "node_resources_memory_cached_bytes", "Page cache of the node, in bytes";
    NODE_DISK_READS: Counter "node_resources_disk_reads_total", "Number of reads that the disk completed";
    NODE_DISK_WRITES: Counter "node_resources_disk_writes_total", "Number of writes that the disk completed";
    NODE_DISK_READ_BYTES: Counter "node_resources_disk_read_bytes_total", "Number of bytes read from the disk";
    NODE_DISK_WRITTEN_BYTES: Counter "node_resources_disk_written_bytes_total", "Number of bytes written to the disk";
    NODE_DISK_READ_TIME: Counter "node_resources_disk_read_time_seconds_total", "Time that reads took, summed, in seconds";
    NODE_DISK_WRITE_TIME: Counter "node_resources_disk_write_time_seconds_total", "Time that writes took, summed, in seconds";
    NODE_DISK_IO_TIME: Counter "node_resources_disk_io_time_seconds_total", "Time with at least one request in flight, in seconds";
    NODE_NET_RECEIVED_BYTES: Counter "node_net_received_bytes_total", "Number of bytes that the network interface received";
    NODE_NET_TRANSMITTED_BYTES: Counter "node_net_transmitted_bytes_total", "Number of bytes that the network interface sent";
    NODE_NET_RECEIVED_PACKETS: Counter "node_net_received_packets_total", "Number of packets that the network interface received";
    NODE_NET_TRANSMITTED_PACKETS: Counter "node_net_transmitted_packets_total", "Number of packets that the network interface sent";
    NODE_NET_UP: Gauge "node_net_interface_up", "Whether the network interface is up: 1 or 0";
    NODE_NET_IP: Gauge "node_net_interface_ip", "Address of the network interface";
    AGENT_INFO: Gauge "node_agent_info", "Version of the recorder";

    SCRAPES: Counter "aftertrace_scrapes_total", "Number of times that these metrics were read, this time included";
    LOST: Counter "aftertrace_lost_total", "Number of observations that were lost on the way to the registry";
    REGISTRY_DROPPED: Counter "aftertrace_registry_dropped_total", "Number of things that the registry left out since a limit was reached or their process is unknown";
}
