//! DNS by dnsmasq, over UDP and TCP, as its log has it.

use super::{PYTHON, assert_nothing_left_over, beside};
use crate::protocols::{has, record_script, sum, written};
use crate::support::needs_recording;

#[test]
fn questions_to_dnsmasq_are_those_of_its_log() {
    needs_recording!();
    if !has("dnsmasq") || !has("dig") {
        return;
    }
    // The port is 53, on an address of its own: datagrams to other ports are not looked at.
    let script = format!(
        "cd $DIRECTORY
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file --port=53 --bind-interfaces \
    --listen-address=127.0.53.1 --local=/test/ --address=/shop.test/10.1.2.3 --address=/shop.test/fd00::7 \
    --log-queries --log-facility=$DIRECTORY/log --cache-size=0 & server=$!
trap 'kill $server; wait $server || true' EXIT
until (exec 3<> /dev/tcp/127.0.53.1/53) 2> /dev/null; do kill -0 $server; sleep 0.1; done
{PYTHON} {} 127.0.53.1 500
for i in $(seq 10); do dig +short @127.0.53.1 shop.test A shop.test AAAA > /dev/null; dig +tcp @127.0.53.1 missing.test > /dev/null; done",
        beside("questions.py")
    );
    let trace = record_script(&script, &[]);
    let asked = |kind: &str| written(&trace, "log").matches(&format!("query[{kind}]")).count() as f64;
    assert_eq!((asked("A"), asked("AAAA")), (2020.0, 510.0));
    let requests = "container_dns_requests_total";
    let of = |kind: &str, status: &str| sum(&trace, requests, &[("request_type", kind), ("status", status)]);
    assert_eq!(of("TypeA", "ok"), 1010.0);
    assert_eq!(of("TypeAAAA", "ok"), 510.0);
    assert_eq!(of("TypeA", "nxdomain"), 510.0);
    assert_eq!(of("TypeA", "refused"), 500.0);
    assert_eq!(sum(&trace, requests, &[("domain", "shop.test")]), 1520.0);
    for metric in [requests, "container_dns_inbound_requests_total"] {
        assert_eq!(sum(&trace, metric, &[]), 2530.0, "{metric}");
    }
    assert_nothing_left_over(&trace);
}
