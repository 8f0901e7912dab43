//! NATS, RabbitMQ and ZooKeeper, as their clients have it.

use super::{PYTHON, assert_nothing_left_over, assert_requests, beside};
use crate::protocols::{assert_nowhere, has, record_script, sum, written};
use crate::support::{Trace, needs_recording};
use crate::tls::with_certificate;

/// The numbers of the file that the client wrote.
fn counts(trace: &Trace) -> Vec<f64> {
    written(trace, "counts").split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn messages(trace: &Trace, metric: &str, method: &str, status: &str) -> f64 {
    sum(trace, metric, &[("method", method), ("status", status)])
}

fn nats(port: u16, tls: &str) {
    let encrypted = if tls == "tls" { "tls { cert_file: cert.pem, key_file: key.pem }" } else { "" };
    let script = with_certificate(&format!(
        r#"
# In no argument, and not in this text, which is recorded.
password=Planted; password=${{password}}InNats
echo $password > password
cat > nats.conf <<END
listen: 127.0.0.1:{port}
{encrypted}
authorization {{ users = [ {{ user: tester, password: $password, permissions: {{ publish: {{ deny: forbidden }} }} }} ] }}
END
nats-server -c nats.conf > server.log 2>&1 & server=$!
trap 'kill $server; wait $server || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do kill -0 $server; sleep 0.1; done
attached 'libssl.so%'
[ {tls} = plain ] || attached nats-server
{PYTHON} {} {port} {tls} > counts
"#,
        beside("nats.py")
    ));
    let trace = record_script(&script, &[]);
    let [sent, failed, came] = counts(&trace)[..] else { panic!("three numbers") };
    assert!(sent > 2_000.0 && came > 1_800.0, "{sent} {came}");
    let metric = "container_nats_messages_total";
    assert_eq!(messages(&trace, metric, "produce", "ok"), sent - failed);
    assert_eq!(messages(&trace, metric, "produce", "failed"), failed);
    assert_eq!(messages(&trace, metric, "consume", "ok"), came);
    assert_eq!(sum(&trace, metric, &[]), sent + came);
    assert_nothing_left_over(&trace);
    assert_nowhere(&trace, "PlantedInNats");
}

#[test]
fn messages_of_nats_are_those_of_its_clients() {
    needs_recording!();
    if has("nats-server") && has("openssl") {
        nats(21200, "plain");
    }
}

#[test]
fn messages_of_nats_inside_tls_are_those_of_its_clients() {
    needs_recording!();
    if has("nats-server") && has("openssl") {
        nats(21201, "tls");
    }
}

#[test]
fn messages_of_rabbitmq_are_those_of_its_client() {
    needs_recording!();
    if !has("rabbitmq-server") || !has("amqp-publish") || !has("openssl") {
        return;
    }
    let script = with_certificate(&format!(
        r#"
export HOME=$DIRECTORY ERL_EPMD_PORT=21211 RABBITMQ_NODENAME=aftertrace@localhost RABBITMQ_DIST_PORT=21212
export RABBITMQ_MNESIA_BASE=$DIRECTORY/mnesia RABBITMQ_LOG_BASE=$DIRECTORY/log RABBITMQ_CONFIG_FILE=$DIRECTORY/rabbit
export RABBITMQ_ENABLED_PLUGINS_FILE=$DIRECTORY/plugins
echo 'listeners.tcp.1 = 127.0.0.1:21210' > rabbit.conf
echo '[].' > plugins
/usr/lib/rabbitmq/bin/rabbitmq-server > server.log 2>&1 & server=$!
trap 'kill $server; wait $server || true; epmd -kill > /dev/null || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/21210) 2> /dev/null; do kill -0 $server; sleep 0.2; done
{PYTHON} {} 21210 plain > counts
for i in $(seq 20); do amqp-publish -u amqp://127.0.0.1:21210 -r orders -b "text $i"; done
amqp-consume -u amqp://127.0.0.1:21210 -q orders -p 1 -c 20 cat > /dev/null
"#,
        beside("rabbitmq.py")
    ));
    let trace = record_script(&script, &[]);
    let [sent, sure, failed, came] = counts(&trace)[..] else { panic!("four numbers") };
    assert!(
        sent > 900.0 && sure > 1_300.0 && failed > 300.0 && came > 1_900.0,
        "{sent} {sure} {failed} {came}"
    );
    let metric = "container_rabbitmq_messages_total";
    assert_eq!(messages(&trace, metric, "produce", "ok"), sent + sure - failed + 20.0);
    assert_eq!(messages(&trace, metric, "produce", "failed"), failed);
    assert_eq!(messages(&trace, metric, "consume", "ok"), came + 20.0);
    assert_eq!(sum(&trace, metric, &[]), sent + sure + came + 40.0);
    assert_nothing_left_over(&trace);
}

#[test]
fn operations_of_zookeeper_are_those_of_its_client() {
    needs_recording!();
    if !has("java") {
        return;
    }
    let script = format!(
        r#"
cd $DIRECTORY
printf 'tickTime=2000\ndataDir=%s/data\nclientPort=21220\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n' \
    $DIRECTORY > zoo.cfg
java -Xmx128m -cp /etc/zookeeper/conf:/usr/share/java/zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg \
    > server.log 2>&1 & server=$!
trap 'kill $server; wait $server || true' EXIT
polls=0
answer=
# It accepts before it serves. These are requests, too.
until [[ $answer == *Mode:* ]]; do
    kill -0 $server
    sleep 0.2
    answer=$( (exec 3<> /dev/tcp/127.0.0.1/21220; printf srvr >&3; cat <&3) 2> /dev/null || true)
    [ -z "$answer" ] || polls=$((polls + 1))
done
{PYTHON} {} 21220 > counts
echo $polls >> counts
"#,
        beside("zookeeper.py")
    );
    let trace = record_script(&script, &[]);
    let [done, polls] = counts(&trace)[..] else { panic!("two numbers") };
    assert!(done > 7_000.0, "{done}");
    let metrics = ["container_zookeeper_requests_total", "container_zookeeper_inbound_requests_total"];
    assert_requests(&trace, metrics, &[("ok", done + polls)]);
}
