//! Every metric: name, kind, help, labels of its own. Names are those of coroot-node-agent, so that its dashboards and
//! alerts work.
//!
//! `labels` names the labels of a series beside those of the host and the container. When a family has too many
//! series, the rest becomes one series in which these labels are `~other`, but for those that `kept` names: few are
//! possible and a sum over them would mean nothing. Counters add up; of a gauge nothing is left unless `folded` says how.

use super::MetricKind;

/// What becomes of series that are beyond the limit of their family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Their sum is shown.
    Sum,
    /// A sum of them would mean nothing.
    Omit,
}

/// Name, kind, help and labels of a metric.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Place in [`ALL`].
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricKind,
    pub(crate) labels: &'static [&'static str],
    /// Those of the labels whose values stay apart in the series of the rest.
    pub(crate) kept: &'static [&'static str],
    pub(crate) fold: Fold,
}

const fn fold_of(kind: MetricKind, said: Option<Fold>) -> Fold {
    match (said, kind) {
        (Some(fold), _) => fold,
        (None, MetricKind::Counter | MetricKind::Histogram) => Fold::Sum,
        (None, MetricKind::Gauge) => Fold::Omit,
    }
}

macro_rules! optional {
    () => {
        None
    };
    ($fold:ident) => {
        Some(Fold::$fold)
    };
}

macro_rules! definitions {
    ($($identifier:ident: $kind:ident $name:literal, $help:literal
        $(labels [$($label:ident)+])? $(kept [$($kept:ident)+])? $(folded $fold:ident)?;)+) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "gives each definition its number")]
        enum Place { $($identifier,)+ }

        $(pub(crate) static $identifier: Definition = Definition {
            index: Place::$identifier as usize,
            name: $name,
            help: $help,
            kind: MetricKind::$kind,
            labels: &[$($(stringify!($label)),+)?],
            kept: &[$($(stringify!($kept)),+)?],
            fold: fold_of(MetricKind::$kind, optional!($($fold)?)),
        };)+

        /// All of them, by index.
        pub(crate) static ALL: &[&Definition] = &[$(&$identifier),+];
    };
}

definitions! {
    CONTAINER_INFO: Gauge "container_info", "Meta information about the container" labels [image systemd_triggered_by systemd_type];
    RESTARTS: Counter "container_restarts_total", "Number of times the container has been restarted";
    CPU_LIMIT: Gauge "container_resources_cpu_limit_cores", "CPU limit of the container, in cores";
    CPU_USAGE: Counter "container_resources_cpu_usage_seconds_total", "Total CPU time consumed by the container, in seconds";
    CPU_THROTTLED: Counter "container_resources_cpu_throttled_seconds_total", "Total time the container has been throttled by its CPU limit, in seconds";
    CPU_DELAY: Counter "container_resources_cpu_delay_seconds_total", "Total time that processes of the container could have run and waited for a CPU, in seconds";
    CPU_PRESSURE: Counter "container_resources_cpu_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for a CPU, in seconds" labels [kind] kept [kind];
    MEMORY_LIMIT: Gauge "container_resources_memory_limit_bytes", "Memory limit of the container, in bytes";
    MEMORY_RSS: Gauge "container_resources_memory_rss_bytes", "Memory used by the container without page cache that can be dropped, in bytes: anonymous and mapped file memory" folded Sum;
    MEMORY_CACHE: Gauge "container_resources_memory_cache_bytes", "Page cache of the container, in bytes" folded Sum;
    MEMORY_PRESSURE: Counter "container_resources_memory_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for memory, in seconds" labels [kind] kept [kind];
    IO_PRESSURE: Counter "container_resources_io_pressure_waiting_seconds_total", "Total time in which some of the container's tasks, or all of them at once (full), waited for I/O, in seconds" labels [kind] kept [kind];
    DISK_DELAY: Counter "container_resources_disk_delay_seconds_total", "Total time that processes of the container waited for block I/O, in seconds";
    DISK_SIZE: Gauge "container_resources_disk_size_bytes", "Size of a file system that the container writes to, in bytes" labels [mount_point device volume];
    DISK_USED: Gauge "container_resources_disk_used_bytes", "Used space of the file system, in bytes" labels [mount_point device volume];
    DISK_RESERVED: Gauge "container_resources_disk_reserved_bytes", "Free space of the file system that is kept for the superuser, in bytes" labels [mount_point device volume];
    DISK_READS: Counter "container_resources_disk_reads_total", "Number of reads by the container from the disk that the file system is on" labels [mount_point device volume];
    DISK_WRITES: Counter "container_resources_disk_writes_total", "Number of writes by the container to the disk that the file system is on" labels [mount_point device volume];
    DISK_READ_BYTES: Counter "container_resources_disk_read_bytes_total", "Number of bytes that the container read from the disk that the file system is on" labels [mount_point device volume];
    DISK_WRITTEN_BYTES: Counter "container_resources_disk_written_bytes_total", "Number of bytes that the container wrote to the disk that the file system is on" labels [mount_point device volume];
    OOM_KILLS: Counter "container_oom_kills_total", "Number of processes of the container that the OOM killer ended";
    APPLICATION_TYPE: Gauge "container_application_type", "Type of an application that runs in the container" labels [application_type];
    JVM_INFO: Gauge "container_jvm_info", "Meta information about a Java virtual machine" labels [jvm java_version];
    JVM_HEAP_SIZE: Gauge "container_jvm_heap_size_bytes", "Size of the heap, in bytes" labels [jvm] folded Sum;
    JVM_HEAP_USED: Gauge "container_jvm_heap_used_bytes", "Used part of the heap, in bytes" labels [jvm] folded Sum;
    JVM_HEAP_MAX: Gauge "container_jvm_heap_max_size_bytes", "What the heap may grow to, in bytes" labels [jvm] folded Sum;
    JVM_GC_TIME: Counter "container_jvm_gc_time_seconds", "Time that a garbage collector took, in seconds" labels [jvm gc];
    JVM_SAFEPOINT_TIME: Counter "container_jvm_safepoint_time_seconds", "Time that all threads stood still at safepoints, in seconds" labels [jvm];
    JVM_SAFEPOINT_SYNC_TIME: Counter "container_jvm_safepoint_sync_time_seconds", "Time spent on bringing all threads to safepoints, in seconds" labels [jvm];
    LISTEN_INFO: Gauge "container_net_tcp_listen_info", "Address that the container listens on: 1 while it does, 0 after it stopped" labels [listen_addr proxy];
    CONNECTS: Counter "container_net_tcp_successful_connects_total", "Number of outbound TCP connections that were established" labels [destination actual_destination];
    CONNECTION_TIME: Counter "container_net_tcp_connection_time_seconds_total", "Time spent on establishing outbound TCP connections, in seconds" labels [destination actual_destination];
    FAILED_CONNECTS: Counter "container_net_tcp_failed_connects_total", "Number of outbound TCP connections that could not be established" labels [destination];
    ACTIVE_CONNECTIONS: Gauge "container_net_tcp_active_connections", "Number of outbound TCP connections that are open" labels [destination actual_destination] folded Sum;
    RETRANSMITS: Counter "container_net_tcp_retransmits_total", "Number of TCP segments of outbound connections that were sent again" labels [destination actual_destination];
    BYTES_SENT: Counter "container_net_tcp_bytes_sent_total", "Number of payload bytes that peers of outbound TCP connections acknowledged" labels [destination actual_destination];
    BYTES_RECEIVED: Counter "container_net_tcp_bytes_received_total", "Number of payload bytes received on outbound TCP connections" labels [destination actual_destination];
    NET_LATENCY: Gauge "container_net_latency_seconds", "Round-trip time of the last echo request to a host that the container connects to, in seconds" labels [destination_ip];
    TCP_RTT: Gauge "aftertrace_net_tcp_rtt_seconds", "Smoothed round-trip time of the outbound TCP connection that was last looked at, as the kernel uses it, in seconds" labels [destination actual_destination];

    HTTP_OUT: Counter "container_http_requests_total", "Number of HTTP requests that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    HTTP_OUT_TIME: Histogram "container_http_requests_duration_seconds_total", "Time from the first byte of a HTTP request that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    HTTP_IN: Counter "container_http_inbound_requests_total", "Number of HTTP requests that the container received and answered" labels [status] kept [status];
    HTTP_IN_TIME: Histogram "container_http_inbound_requests_duration_seconds_total", "Time from the first byte of a HTTP request that the container received to the last of its answer, in seconds";
    POSTGRES_OUT: Counter "container_postgres_queries_total", "Number of PostgreSQL queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    POSTGRES_OUT_TIME: Histogram "container_postgres_queries_duration_seconds_total", "Time from the first byte of a PostgreSQL query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    POSTGRES_IN: Counter "container_postgres_inbound_queries_total", "Number of PostgreSQL queries that the container received and answered" labels [status] kept [status];
    POSTGRES_IN_TIME: Histogram "container_postgres_inbound_queries_duration_seconds_total", "Time from the first byte of a PostgreSQL query that the container received to the last of its answer, in seconds";
    REDIS_OUT: Counter "container_redis_queries_total", "Number of Redis queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    REDIS_OUT_TIME: Histogram "container_redis_queries_duration_seconds_total", "Time from the first byte of a Redis query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    REDIS_IN: Counter "container_redis_inbound_queries_total", "Number of Redis queries that the container received and answered" labels [status] kept [status];
    REDIS_IN_TIME: Histogram "container_redis_inbound_queries_duration_seconds_total", "Time from the first byte of a Redis query that the container received to the last of its answer, in seconds";
    MEMCACHED_OUT: Counter "container_memcached_queries_total", "Number of Memcached queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    MEMCACHED_OUT_TIME: Histogram "container_memcached_queries_duration_seconds_total", "Time from the first byte of a Memcached query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    MEMCACHED_IN: Counter "container_memcached_inbound_queries_total", "Number of Memcached queries that the container received and answered" labels [status] kept [status];
    MEMCACHED_IN_TIME: Histogram "container_memcached_inbound_queries_duration_seconds_total", "Time from the first byte of a Memcached query that the container received to the last of its answer, in seconds";
    MYSQL_OUT: Counter "container_mysql_queries_total", "Number of MySQL queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    MYSQL_OUT_TIME: Histogram "container_mysql_queries_duration_seconds_total", "Time from the first byte of a MySQL query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    MYSQL_IN: Counter "container_mysql_inbound_queries_total", "Number of MySQL queries that the container received and answered" labels [status] kept [status];
    MYSQL_IN_TIME: Histogram "container_mysql_inbound_queries_duration_seconds_total", "Time from the first byte of a MySQL query that the container received to the last of its answer, in seconds";
    MONGO_OUT: Counter "container_mongo_queries_total", "Number of MongoDB queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    MONGO_OUT_TIME: Histogram "container_mongo_queries_duration_seconds_total", "Time from the first byte of a MongoDB query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    MONGO_IN: Counter "container_mongo_inbound_queries_total", "Number of MongoDB queries that the container received and answered" labels [status] kept [status];
    MONGO_IN_TIME: Histogram "container_mongo_inbound_queries_duration_seconds_total", "Time from the first byte of a MongoDB query that the container received to the last of its answer, in seconds";
    KAFKA_OUT: Counter "container_kafka_requests_total", "Number of Kafka requests that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    KAFKA_OUT_TIME: Histogram "container_kafka_requests_duration_seconds_total", "Time from the first byte of a Kafka request that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    KAFKA_IN: Counter "container_kafka_inbound_requests_total", "Number of Kafka requests that the container received and answered" labels [status] kept [status];
    KAFKA_IN_TIME: Histogram "container_kafka_inbound_requests_duration_seconds_total", "Time from the first byte of a Kafka request that the container received to the last of its answer, in seconds";
    CASSANDRA_OUT: Counter "container_cassandra_queries_total", "Number of Cassandra queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    CASSANDRA_OUT_TIME: Histogram "container_cassandra_queries_duration_seconds_total", "Time from the first byte of a Cassandra query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    CASSANDRA_IN: Counter "container_cassandra_inbound_queries_total", "Number of Cassandra queries that the container received and answered" labels [status] kept [status];
    CASSANDRA_IN_TIME: Histogram "container_cassandra_inbound_queries_duration_seconds_total", "Time from the first byte of a Cassandra query that the container received to the last of its answer, in seconds";
    DUBBO_OUT: Counter "container_dubbo_requests_total", "Number of Dubbo requests that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    DUBBO_OUT_TIME: Histogram "container_dubbo_requests_duration_seconds_total", "Time from the first byte of a Dubbo request that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    DUBBO_IN: Counter "container_dubbo_inbound_requests_total", "Number of Dubbo requests that the container received and answered" labels [status] kept [status];
    DUBBO_IN_TIME: Histogram "container_dubbo_inbound_requests_duration_seconds_total", "Time from the first byte of a Dubbo request that the container received to the last of its answer, in seconds";
    DNS_OUT: Counter "container_dns_requests_total", "Number of DNS requests that the container sent and that were answered" labels [request_type domain status] kept [request_type status];
    DNS_OUT_TIME: Histogram "container_dns_requests_duration_seconds_total", "Time from a DNS request that the container sent to its answer, in seconds";
    DNS_IN: Counter "container_dns_inbound_requests_total", "Number of DNS requests that the container received and answered" labels [status] kept [status];
    DNS_IN_TIME: Histogram "container_dns_inbound_requests_duration_seconds_total", "Time from the first byte of a DNS request that the container received to the last of its answer, in seconds";
    CLICKHOUSE_OUT: Counter "container_clickhouse_queries_total", "Number of ClickHouse queries that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    CLICKHOUSE_OUT_TIME: Histogram "container_clickhouse_queries_duration_seconds_total", "Time from the first byte of a ClickHouse query that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    CLICKHOUSE_IN: Counter "container_clickhouse_inbound_queries_total", "Number of ClickHouse queries that the container received and answered" labels [status] kept [status];
    CLICKHOUSE_IN_TIME: Histogram "container_clickhouse_inbound_queries_duration_seconds_total", "Time from the first byte of a ClickHouse query that the container received to the last of its answer, in seconds";
    ZOOKEEPER_OUT: Counter "container_zookeeper_requests_total", "Number of ZooKeeper requests that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    ZOOKEEPER_OUT_TIME: Histogram "container_zookeeper_requests_duration_seconds_total", "Time from the first byte of a ZooKeeper request that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    ZOOKEEPER_IN: Counter "container_zookeeper_inbound_requests_total", "Number of ZooKeeper requests that the container received and answered" labels [status] kept [status];
    ZOOKEEPER_IN_TIME: Histogram "container_zookeeper_inbound_requests_duration_seconds_total", "Time from the first byte of a ZooKeeper request that the container received to the last of its answer, in seconds";
    FOUNDATIONDB_OUT: Counter "container_foundationdb_requests_total", "Number of FoundationDB requests that the container sent and that were answered" labels [destination actual_destination status] kept [status];
    FOUNDATIONDB_OUT_TIME: Histogram "container_foundationdb_requests_duration_seconds_total", "Time from the first byte of a FoundationDB request that the container sent to the last of the answer, in seconds" labels [destination actual_destination];
    FOUNDATIONDB_IN: Counter "container_foundationdb_inbound_requests_total", "Number of FoundationDB requests that the container received and answered" labels [status] kept [status];
    FOUNDATIONDB_IN_TIME: Histogram "container_foundationdb_inbound_requests_duration_seconds_total", "Time from the first byte of a FoundationDB request that the container received to the last of its answer, in seconds";
    RABBITMQ_OUT: Counter "container_rabbitmq_messages_total", "Number of RabbitMQ messages that the container produced or consumed" labels [destination actual_destination status method] kept [status method];
    NATS_OUT: Counter "container_nats_messages_total", "Number of NATS messages that the container produced or consumed" labels [destination actual_destination status method] kept [status method];
    IP_TO_FQDN: Gauge "ip_to_fqdn", "Name that an address was found by, of those that containers connect to" labels [ip fqdn];
    UNANSWERED: Counter "aftertrace_unanswered_requests_total", "Number of requests that the container sent and that were not answered before the connection ended (closed) or in all the time that is waited (timed_out)" labels [protocol destination actual_destination ending] kept [protocol ending];
    L7_UNPAIRED: Counter "aftertrace_l7_unpaired_total", "Number of requests and responses whose other half is missing, by why: bytes were lost (gap), it is a response to what was not seen (response), too many waited (limit), its identifier was used again (replaced)" labels [protocol reason];
    L7_GAPS: Counter "aftertrace_l7_gaps_total", "Number of times that the requests or responses of a connection could not be read on, since bytes were lost, or a call moved more than is kept of one; what was said there is in no other metric" labels [protocol];
    L7_CONNECTIONS: Gauge "aftertrace_l7_connections", "Number of open connections whose data is looked at, by the protocol that they speak" labels [protocol];

    NODE_INFO: Gauge "node_info", "Meta information about the node" labels [hostname kernel_version];
    LOG_MESSAGES: Counter "container_log_messages_total", "Number of messages that the container logged, by level and pattern" labels [source level pattern_hash sample] kept [level];
    NODE_CLOUD_INFO: Gauge "node_cloud_info", "What the node is to the cloud that it is rented from" labels [provider account_id instance_id instance_type instance_life_cycle region availability_zone availability_zone_id local_ipv4 public_ipv4];
    NODE_UPTIME: Gauge "node_uptime_seconds", "Time since the node started, in seconds";
    NODE_CPU_USAGE: Counter "node_resources_cpu_usage_seconds_total", "CPU time of the node by mode, in seconds" labels [mode] kept [mode];
    NODE_CPU_CORES: Gauge "node_resources_cpu_logical_cores", "Number of logical CPU cores";
    NODE_MEMORY_TOTAL: Gauge "node_resources_memory_total_bytes", "Memory of the node, in bytes";
    NODE_MEMORY_FREE: Gauge "node_resources_memory_free_bytes", "Unused memory of the node, in bytes";
    NODE_MEMORY_AVAILABLE: Gauge "node_resources_memory_available_bytes", "Memory available to new processes without swapping, in bytes";
    NODE_MEMORY_CACHED: Gauge "node_resources_memory_cached_bytes", "Page cache of the node, in bytes";
    NODE_DISK_READS: Counter "node_resources_disk_reads_total", "Number of reads that the disk completed" labels [device];
    NODE_DISK_WRITES: Counter "node_resources_disk_writes_total", "Number of writes that the disk completed" labels [device];
    NODE_DISK_READ_BYTES: Counter "node_resources_disk_read_bytes_total", "Number of bytes read from the disk" labels [device];
    NODE_DISK_WRITTEN_BYTES: Counter "node_resources_disk_written_bytes_total", "Number of bytes written to the disk" labels [device];
    NODE_DISK_READ_TIME: Counter "node_resources_disk_read_time_seconds_total", "Time that reads took, summed, in seconds" labels [device];
    NODE_DISK_WRITE_TIME: Counter "node_resources_disk_write_time_seconds_total", "Time that writes took, summed, in seconds" labels [device];
    NODE_DISK_IO_TIME: Counter "node_resources_disk_io_time_seconds_total", "Time with at least one request in flight, in seconds" labels [device];
    NODE_NET_RECEIVED_BYTES: Counter "node_net_received_bytes_total", "Number of bytes that the network interface received" labels [interface];
    NODE_NET_TRANSMITTED_BYTES: Counter "node_net_transmitted_bytes_total", "Number of bytes that the network interface sent" labels [interface];
    NODE_NET_RECEIVED_PACKETS: Counter "node_net_received_packets_total", "Number of packets that the network interface received" labels [interface];
    NODE_NET_TRANSMITTED_PACKETS: Counter "node_net_transmitted_packets_total", "Number of packets that the network interface sent" labels [interface];
    NODE_NET_UP: Gauge "node_net_interface_up", "Whether the network interface is up: 1 or 0" labels [interface];
    NODE_NET_IP: Gauge "node_net_interface_ip", "Address of the network interface" labels [interface ip];
    AGENT_INFO: Gauge "node_agent_info", "Version of the recorder" labels [version];

    LOST: Counter "aftertrace_lost_total", "Number of observations that were lost on the way to the registry" labels [source cause];
    REGISTRY_DROPPED: Counter "aftertrace_registry_dropped_total", "Number of things that the registry left out since a limit was reached or their process is unknown" labels [what];
    SERIES: Gauge "aftertrace_series", "Number of series that the family has" labels [family];
    SERIES_DROPPED: Counter "aftertrace_series_dropped_total", "Number of series that went into the family's series ~other, or out of sight where it has none; one that comes back and goes again counts again" labels [family];
    REGISTRY_OBSERVED: Gauge "aftertrace_last_observation_timestamp_seconds", "Time of the latest observation that the metrics rest on, in seconds since 1970";
    REGISTRY_CONTAINERS: Gauge "aftertrace_registry_containers", "Number of containers that the registry holds, those without metrics and those lately gone included";
    REGISTRY_PROCESSES: Gauge "aftertrace_registry_processes", "Number of processes that the registry holds, those lately gone included";
    REGISTRY_SOCKETS: Gauge "aftertrace_registry_sockets", "Number of connections and listening sockets that the registry holds";
    PROBE_UP: Gauge "aftertrace_probe_up", "Whether the probe or source works: 1 or 0; no series for one that is switched off or that the host has not" labels [probe];
    SOURCE_ROUNDS: Counter "aftertrace_source_rounds_total", "Number of times that the source of snapshots was read" labels [source];
    SOURCE_FAILURES: Counter "aftertrace_source_failures_total", "Number of readings of the source that gave nothing since it failed" labels [source];
    SOURCE_SKIPPED: Counter "aftertrace_source_skipped_total", "Number of readings of the source that were left out since the one before had not ended" labels [source];
    SOURCE_DURATION: Counter "aftertrace_source_duration_seconds_total", "Time that readings of the source took, in seconds" labels [source];
    SOURCE_SUCCESS: Gauge "aftertrace_source_last_success_timestamp_seconds", "End of the last reading of the source that did not fail, in seconds since 1970" labels [source];
    PUSH_SAMPLES: Counter "aftertrace_push_samples_total", "Number of pushed samples, or of spans (otlp_traces), that the receiver took" labels [endpoint protocol];
    PUSH_LOST: Counter "aftertrace_push_lost_samples_total", "Number of samples, or of spans (otlp_traces), that the receiver will never have" labels [endpoint protocol cause];
    PUSH_SKIPPED: Counter "aftertrace_push_skipped_collections_total", "Number of times that metrics were not pushed since those before were not written to the queue yet" labels [endpoint protocol];
    PUSH_RETRIES: Counter "aftertrace_push_retries_total", "Number of requests that failed and are repeated" labels [endpoint protocol];
    PUSH_QUEUED_SAMPLES: Gauge "aftertrace_push_queued_samples", "Number of samples that wait for the receiver" labels [endpoint protocol];
    PUSH_QUEUED_BYTES: Gauge "aftertrace_push_queue_bytes", "Size of what waits for the receiver on disk, in bytes" labels [endpoint protocol];
    PUSH_OLDEST: Gauge "aftertrace_push_oldest_timestamp_seconds", "When the oldest samples that wait were collected, in seconds since 1970" labels [endpoint protocol];
    PUSH_SUCCESS: Gauge "aftertrace_push_last_success_timestamp_seconds", "When the receiver last took samples, in seconds since 1970" labels [endpoint protocol];
    BPF_RUNS: Counter "aftertrace_bpf_program_runs_total", "Number of runs of the kernel program; no series while the kernel's statistics are off" labels [program];
    BPF_RUN_TIME: Counter "aftertrace_bpf_program_run_time_seconds_total", "Time that the kernel program took, in seconds; no series while the kernel's statistics are off" labels [program];
    BPF_MISSED: Counter "aftertrace_bpf_program_missed_total", "Number of runs that the kernel left out since the program was running on that CPU already" labels [program];
    BPF_SEEN: Counter "aftertrace_bpf_events_seen_total", "Number of events that the kernel program saw: the sum of those filtered, submitted and dropped" labels [program];
    BPF_FILTERED: Counter "aftertrace_bpf_events_filtered_total", "Number of events that were outside the filter or of no interest" labels [program];
    BPF_SUBMITTED: Counter "aftertrace_bpf_events_submitted_total", "Number of events that the kernel program handed to the recorder" labels [program];
    BPF_DROPPED: Counter "aftertrace_bpf_events_dropped_total", "Number of events that the kernel program could not hand over" labels [program cause];
    BPF_RECEIVED: Counter "aftertrace_bpf_events_received_total", "Number of events that the recorder took from the kernel" labels [program];
    BPF_SET_ASIDE: Counter "aftertrace_bpf_events_set_aside_total", "Number of events taken from the kernel that turned out to be outside the filter" labels [program];
    BPF_RECORDED: Counter "aftertrace_bpf_events_recorded_total", "Number of events taken from the kernel that became observations" labels [program];
    RECORDER_CPU: Counter "aftertrace_recorder_cpu_seconds_total", "CPU time of the recorder by mode, in seconds" labels [mode] kept [mode];
    RECORDER_MEMORY: Gauge "aftertrace_recorder_memory_bytes", "Resident memory of the recorder, in bytes";
    RECORDER_KERNEL_MEMORY: Gauge "aftertrace_recorder_kernel_memory_bytes", "Memory of the kernel programs' maps and rings, in bytes";
    RECORDER_OBSERVATIONS: Counter "aftertrace_recorder_observations_total", "Number of observations";
    RECORDER_TRACE: Gauge "aftertrace_recorder_trace_bytes", "Size of the trace on disk, in bytes";
    RECORDER_BATCHES: Gauge "aftertrace_recorder_queued_batches", "Number of batches of rows that wait for the writer of the trace";
    RECORDER_WAITING: Gauge "aftertrace_recorder_waiting_observations", "Number of observations that wait for their place in the order";
    RECORDER_LAG: Gauge "aftertrace_recorder_apply_lag_seconds", "Longest time lately from when something happened until it was applied, in seconds";
    RECORDER_PROCESSES: Gauge "aftertrace_recorder_processes", "Number of live processes that the recorder follows";
    RECORDER_SOCKETS: Gauge "aftertrace_recorder_sockets", "Number of open sockets that the recorder follows";
    SPANS: Counter "aftertrace_spans_total", "Number of spans that were made, those dropped included; none are made unless they are asked for" labels [protocol kind] kept [kind];
    SPANS_DROPPED: Counter "aftertrace_spans_dropped_total", "Number of spans that were dropped: others of the same second counted more (sampled)" labels [reason] kept [reason];
    SPANS_UNLINKED: Counter "aftertrace_spans_unlinked_total", "Number of spans of servers whose client's span cannot be told for certain, by why: the connection is older than the recording (beginning), another one looks the same (ambiguous), its beginning inside TLS was not seen (encrypted), or where the request begins is not known (place)" labels [reason] kept [reason];
    SCRAPES: Counter "aftertrace_scrapes_total", "Number of times that these metrics were read, this time included";
}
