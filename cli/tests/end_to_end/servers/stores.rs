//! Memcached and Redis, as their clients and they themselves have it.

use super::{PYTHON, assert_requests, beside};
use crate::protocols::{assert_nowhere, has, record_script, written};
use crate::support::needs_recording;
use crate::tls::with_certificate;

/// The numbers of a file that the script wrote.
fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn commands_of_memcached_are_those_of_its_clients_in_text_and_in_binary() {
    needs_recording!();
    if !has("memcached") {
        return;
    }
    let script = format!(
        "cd $DIRECTORY
memcached -u root -l 127.0.0.1 -p 21400 -U 0 & server=$!
trap 'kill $server; wait $server || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/21400) 2> /dev/null; do kill -0 $server; sleep 0.1; done
{PYTHON} {} 21400 > counts
exec 3<> /dev/tcp/127.0.0.1/21400
printf 'stats\\r\\nquit\\r\\n' >&3
cat <&3 > stats",
        beside("memcached.py")
    );
    let trace = record_script(&script, &[]);
    let counts = numbers(&written(&trace, "counts"));
    assert!(counts[0] > 7_000.0, "{counts:?}");
    let metrics = ["container_memcached_queries_total", "container_memcached_inbound_queries_total"];
    // What nobody answers may have failed; `quit` is of that kind.
    let by_status = [("ok", counts[0] + 1.0), ("failed", counts[1]), ("unknown", counts[2] + 1.0)];
    assert_requests(&trace, metrics, &by_status);
}

#[test]
fn commands_of_redis_inside_tls_are_counted_as_the_server_counts_them() {
    needs_recording!();
    if !has("redis-server") || !has("openssl") {
        return;
    }
    let script = with_certificate(&format!(
        "# In no argument, and not in this text, which is recorded.
password=Planted; password=${{password}}InRedis
echo $password > password
printf 'port 0\\ntls-port 21401\\ntls-cert-file cert.pem\\ntls-key-file key.pem\\ntls-auth-clients no\\nsave \"\"\\n' > redis.conf
printf 'tls-ca-cert-file cert.pem\\nrequirepass %s\\n' $password >> redis.conf
redis-server redis.conf > redis.log & server=$!
trap 'kill $server; wait $server || true' EXIT
ask() {{ REDISCLI_AUTH=$password redis-cli --no-auth-warning -p 21401 --tls --cacert cert.pem \"$@\"; }}
until ask ping > /dev/null 2>&1; do kill -0 $server; sleep 0.1; done
attached 'libssl.so%'
ask config resetstat > /dev/null
{PYTHON} {} 21401 > counts
(yes 'INCR text' | head -500; yes 'NOSUCH' | head -500; echo SET text abc; echo INCR text) | ask > answers
(for i in $(seq 200); do echo \"HSET hash field$i $i\"; echo HGETALL hash; echo NOSUCH; done) | ask -3 > answers
ask info commandstats > commands
ask info errorstats > errors",
        beside("redis_tls.py")
    ));
    let trace = record_script(&script, &[]);
    let field = |line: &str, name: &str| -> f64 {
        let part = line.split([',', ':']).find_map(|part| part.strip_prefix(name));
        part.map_or(0.0, |number| number.trim().parse().unwrap())
    };
    let commands = written(&trace, "commands");
    let calls: f64 =
        commands.lines().map(|line| field(line, "calls=") + field(line, "rejected_calls=")).sum();
    let errors: f64 = written(&trace, "errors").lines().map(|line| field(line, "count=")).sum();
    assert!(calls > 10_000.0 && errors > 500.0, "{commands} {errors}");
    // Not counted by the server, or forgotten since: PING and `config resetstat`'s AUTH, `info commandstats` itself and all of
    // `info errorstats`, each AUTH being a command; unknown commands. An error inside the answer to EXEC fails no command.
    let metrics = ["container_redis_queries_total", "container_redis_inbound_queries_total"];
    let (all, failed) = (calls + 6.0 + 700.0, errors - 250.0);
    assert_requests(&trace, metrics, &[("ok", all - failed), ("failed", failed)]);
    assert_nowhere(&trace, "PlantedInRedis");
}
