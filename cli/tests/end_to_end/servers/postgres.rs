//! PostgreSQL, as its log has it.

use super::{PYTHON, assert_requests, beside};
use crate::protocols::{assert_nowhere, has, record_script, sum, written};
use crate::support::{Trace, needs_recording};
use crate::tls::with_certificate;

const METRICS: [&str; 2] = ["container_postgres_queries_total", "container_postgres_inbound_queries_total"];

/// A server on this port, asked by psql, by pgbench in its three ways, and by pipelines of psycopg. The log has a line
/// for each statement that was carried out, and for each error.
fn recorded(port: u16, ssl_mode: &str) -> Trace {
    let pipelines = beside("postgres.py");
    let script = with_certificate(&format!(
        r#"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
port={port}
# The server does not run as root, and runuser(1) would stay in between.
as_postgres() {{ exec setpriv --reuid postgres --regid postgres --init-groups "$@"; }}
chmod 711 $DIRECTORY
install -d -o postgres -m 700 pg
# In no argument, and not in this text, which is recorded.
password=Planted; password=${{password}}InLogins
echo $password > pg/password
install -o postgres -m 600 key.pem pg/key.pem
chown postgres pg/password
(as_postgres $bin/initdb -D $DIRECTORY/pg/data -A scram-sha-256 --pwfile=$DIRECTORY/pg/password) > initdb.log
as_postgres $bin/postgres -D $DIRECTORY/pg/data -p $port -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c fsync=off -c autovacuum=off -c max_parallel_workers_per_gather=0 -c ssl=on \
    -c ssl_cert_file=$DIRECTORY/cert.pem -c ssl_key_file=$DIRECTORY/pg/key.pem \
    -c log_min_duration_statement=0 -c log_line_prefix='%e ' > server.log 2>&1 & server=$!
trap 'kill -INT $server; wait $server || true' EXIT
export PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres PGDATABASE=postgres PGPASSWORD=$password PGSSLMODE={ssl_mode}
until $bin/pg_isready -q; do kill -0 $server; sleep 0.1; done
$bin/pgbench -i -q -s 1 2> pgbench.log
for mode in simple extended prepared; do
    $bin/pgbench -M $mode -S -n -c 4 -t 600 >> pgbench.log
    $bin/pgbench -M $mode -c 2 -t 50 >> pgbench.log 2>&1
done
(echo "ALTER ROLE postgres PASSWORD '$password';"
 for i in $(seq 300); do echo "SELECT $i; SELECT 1 / 0; nonsense; SELECT * FROM missing WHERE id = $i;"; done
 echo 'COPY pgbench_accounts TO STDOUT; SELECT * FROM pgbench_accounts ORDER BY aid;'
 echo 'CREATE TABLE copied (LIKE pgbench_accounts);') | psql -q > psql.log 2>&1
psql -qAtc 'COPY pgbench_accounts TO STDOUT' > rows
psql -qc 'COPY copied FROM STDIN' < rows
(head -5000 rows; echo not a row; tail -5000 rows) | psql -qc 'COPY copied FROM STDIN' 2>> psql.log || true
psql -qc 'SELECT 1; SELECT 2' > /dev/null
{PYTHON} {pipelines} 100 > pipelines
"#
    ));
    record_script(&script, &[])
}

fn assert_as_the_log_has_it(trace: &Trace) {
    let log = written(trace, "server.log");
    let count = |what: fn(&str) -> bool| log.lines().filter(|line| what(line)).count() as f64;
    let statements = count(|line| line.contains("ms  statement: ") || line.contains("ms  execute "));
    // pgbench and psycopg prepare by a batch of its own, under a name.
    let prepared = count(|line| line.contains("ms  parse ") && !line.contains("<unnamed>"));
    let errors = count(|line| line.contains(" ERROR:  "));
    // Behind an error, the server carries out no more of a batch.
    let skipped: f64 = written(trace, "pipelines").trim().parse().unwrap();
    let counts = [statements, prepared, errors, skipped];
    assert!(statements > 10_000.0 && counts.iter().all(|count| *count > 1.0), "{counts:?}");
    assert_requests(trace, METRICS, &[("ok", statements + prepared), ("failed", errors + skipped)]);
    let durations = "container_postgres_queries_duration_seconds_total_count";
    assert_eq!(sum(trace, durations, &[]), statements + prepared + errors + skipped);
    assert_nowhere(trace, "PlantedInLogins");
}

#[test]
fn statements_of_postgres_are_those_of_its_log() {
    needs_recording!();
    if !has("psql") || !has("openssl") {
        return;
    }
    assert_as_the_log_has_it(&recorded(21000, "disable"));
}

#[test]
fn statements_of_postgres_inside_tls_are_those_of_its_log() {
    needs_recording!();
    if !has("psql") || !has("openssl") {
        return;
    }
    let trace = recorded(21001, "require");
    assert_as_the_log_has_it(&trace);
    assert!(trace.number("SELECT count(*) FROM socket_data WHERE tls") > 40_000);
}
