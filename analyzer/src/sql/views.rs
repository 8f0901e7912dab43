//! The views: every table with addresses as text and the host's name, and the ones that join what belongs together.

use aftertrace_schemas::TableId;
use aftertrace_schemas::column::{Column, Ip};

use crate::Trace;

/// Tables whose name is taken by a view that gathers more.
const GATHERED: [TableId; 2] = [TableId::Container, TableId::Loss];

/// The statements that define all views, in the order in which they need each other.
pub(super) fn definitions(trace: &Trace) -> Vec<String> {
    let host = literal(trace.hostname());
    let tables = TableId::ALL.iter().copied().filter(|table| !GATHERED.contains(table));
    let mut views: Vec<String> = tables.map(|table| table_view(table, &host)).collect();
    views.push(LOSSES.replace("{host}", &host));
    views.push(CONTAINERS.replace("{host}", &host));
    views.push(PROCESS_LIFETIMES.replace("{host}", &host));
    // The sockets that were open where the trace begins are in its first segment; later snapshots repeat them.
    let first = trace.segments.first().and_then(|segment| segment.seqs()).map_or(u64::MAX, |(_, last)| last);
    views.push(CONNECTIONS.replace("{host}", &host).replace("{first_segment_end}", &first.to_string()));
    views
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn table_view(table: TableId, host: &str) -> String {
    let columns: Vec<String> = table
        .columns()
        .iter()
        .map(|column| match &column.data_type {
            ip if *ip == Ip::data_type() => format!("ip_text(\"{0}\") AS \"{0}\"", column.name),
            _ => format!("\"{}\"", column.name),
        })
        .collect();
    let name = table.name();
    format!("CREATE VIEW \"{name}\" AS SELECT {}, {host} AS host FROM raw.\"{name}\"", columns.join(", "))
}

/// What was lost, where, when and why.
const LOSSES: &str = r#"
CREATE VIEW losses AS
SELECT seq, time, source, cause, subject, lost, "from" AS not_before, "to" AS not_after, {host} AS host
FROM raw.losses"#;

/// A container a row: what its runtime said and when it was seen.
const CONTAINERS: &str = r#"
CREATE VIEW containers AS
SELECT container,
       last_value(cgroup ORDER BY seq) AS cgroup,
       last_value(runtime ORDER BY seq) FILTER (WHERE runtime IS NOT NULL) AS runtime,
       last_value(name ORDER BY seq) FILTER (WHERE name IS NOT NULL) AS name,
       last_value(image ORDER BY seq) FILTER (WHERE image IS NOT NULL) AS image,
       min(time) AS first_seen,
       max(time) AS last_seen,
       {host} AS host
FROM (
    SELECT seq, time, cgroup, container_id(cgroup) AS container, runtime, name, image FROM raw.containers
    UNION ALL
    SELECT seq, time, cgroup, container_id(cgroup), NULL, NULL, NULL FROM raw.cgroup_stats
    UNION ALL
    SELECT seq, time, cgroup, container_id(cgroup), NULL, NULL, NULL FROM raw.processes WHERE cgroup IS NOT NULL
    UNION ALL
    SELECT seq, time, cgroup, container_id(cgroup), NULL, NULL, NULL FROM raw.process_events WHERE cgroup IS NOT NULL
    UNION ALL
    SELECT seq, time, process_cgroup, container_id(process_cgroup), NULL, NULL, NULL
    FROM raw.cgroup_events WHERE process_cgroup IS NOT NULL
)
WHERE container IS NOT NULL
GROUP BY container"#;

/// A process a row, from all that is known of it.
const PROCESS_LIFETIMES: &str = r#"
CREATE VIEW process_lifetimes AS
SELECT pid, process_start_ns,
       last_value(parent_pid ORDER BY seq) FILTER (WHERE parent_pid IS NOT NULL) AS parent_pid,
       last_value(command ORDER BY seq) FILTER (WHERE command IS NOT NULL) AS command,
       last_value(executable ORDER BY seq) FILTER (WHERE executable IS NOT NULL) AS executable,
       array_to_string(last_value(arguments ORDER BY seq) FILTER (WHERE arguments IS NOT NULL), ' ') AS command_line,
       last_value(cgroup ORDER BY seq) FILTER (WHERE cgroup IS NOT NULL) AS cgroup,
       container_id(last_value(cgroup ORDER BY seq) FILTER (WHERE cgroup IS NOT NULL)) AS container,
       last_value(uid ORDER BY seq) FILTER (WHERE uid IS NOT NULL) AS uid,
       min(time) FILTER (WHERE kind = 'start') AS started,
       max(time) FILTER (WHERE kind = 'exit') AS ended,
       max(exit_code) AS exit_code,
       max(signal) AS signal,
       {host} AS host
FROM (
    SELECT seq, time, kind, pid, process_start_ns, parent_pid, command, executable, arguments, cgroup, uid, exit_code, signal
    FROM raw.process_events WHERE process_start_ns IS NOT NULL
    UNION ALL
    SELECT seq, time, 'existing', pid, process_start_ns, parent_pid, command, executable, arguments, cgroup, uid, NULL, NULL
    FROM raw.processes
    UNION ALL
    SELECT seq, time, 'moved', pid, process_start_ns, NULL, NULL, NULL, NULL, process_cgroup, NULL, NULL, NULL
    FROM raw.cgroup_events WHERE kind = 'attached' AND process_start_ns IS NOT NULL
)
GROUP BY pid, process_start_ns"#;

/// A connection a row: how it began and how it ended, or what was last read of it. The opening side keeps its own
/// filters (`opened`, `remote_port`, ...), so that a time window prunes it.
const CONNECTIONS: &str = r#"
CREATE VIEW connections AS
WITH opens AS (
    SELECT connection_id, time AS opened, CASE kind WHEN 'accept' THEN 'inbound' ELSE 'outbound' END AS direction,
           kind = 'connect_error' AS failed, pid, process_start_ns, local_ip, local_port, remote_ip, remote_port,
           network_namespace, handshake_ns, errno
    FROM raw.tcp_events WHERE kind IN ('connect', 'connect_error', 'accept')
    UNION ALL
    SELECT connection_id, opened, kind, false, pid, process_start_ns, local_ip, local_port, remote_ip, remote_port,
           network_namespace, NULL, NULL
    FROM raw.sockets WHERE kind IN ('inbound', 'outbound') AND seq <= {first_segment_end}
),
ends AS (
    SELECT connection_id,
           max(time) FILTER (WHERE kind = 'close') AS closed,
           max(bytes_sent) AS bytes_sent,
           max(bytes_received) AS bytes_received,
           max(retransmits) AS retransmits,
           count(*) FILTER (WHERE kind = 'retransmit') AS retransmit_events,
           last_value(smoothed_rtt_us ORDER BY seq) FILTER (WHERE smoothed_rtt_us IS NOT NULL) AS smoothed_rtt_us,
           max(errno) FILTER (WHERE kind = 'close') AS errno
    FROM raw.tcp_events WHERE kind IN ('close', 'statistics', 'retransmit')
    GROUP BY connection_id
)
SELECT o.connection_id,
       p.container,
       o.direction,
       CASE WHEN o.failed THEN 'failed' WHEN e.closed IS NULL THEN 'open' ELSE 'closed' END AS state,
       o.pid, o.process_start_ns, p.command,
       ip_text(o.local_ip) AS local_ip, o.local_port,
       ip_text(o.remote_ip) AS remote_ip, o.remote_port,
       o.network_namespace,
       o.opened,
       CASE WHEN o.failed THEN o.opened ELSE e.closed END AS closed,
       CAST(e.closed AS BIGINT) - CAST(o.opened AS BIGINT) AS duration_ns,
       o.handshake_ns,
       e.bytes_sent, e.bytes_received,
       greatest(coalesce(CAST(e.retransmits AS BIGINT), 0), coalesce(e.retransmit_events, 0)) AS retransmits,
       e.smoothed_rtt_us,
       error_name(coalesce(o.errno, e.errno)) AS error,
       {host} AS host
FROM opens o
LEFT JOIN ends e ON e.connection_id = o.connection_id
LEFT JOIN process_lifetimes p ON p.pid = o.pid AND p.process_start_ns = o.process_start_ns"#;
