//! Round-trip times and address translation between network namespaces of their own, compared with what `ping` and
//! `conntrack` say. Root only; nothing but these namespaces is asked or changed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::ping::PingSource;
use aftertrace_recorder::sources::source::{Rows, Source, Subjects, Upstream};
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::RttProbe;

fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "in CI these tests must run");
    println!("skipped: not root");
    false
}

fn run(words: &str) -> String {
    let mut all = words.split_whitespace();
    let output = Command::new(all.next().unwrap()).args(all).output().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A network namespace: that of a process that does nothing.
struct Namespace {
    process: Child,
}

impl Namespace {
    fn new() -> Self {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let process =
            Command::new("unshare").args(["--net", "sleep", "600"]).stdout(Stdio::null()).spawn().unwrap();
        let namespace = Self { process };
        let until = Instant::now() + Duration::from_secs(10);
        while std::fs::read_link(format!("/proc/{}/ns/net", namespace.pid())).unwrap() == own {
            assert!(Instant::now() < until, "unshare does not come to it");
            std::thread::sleep(Duration::from_millis(2));
        }
        namespace.run("ip link set lo up");
        namespace
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn inode(&self) -> u32 {
        let link = std::fs::read_link(format!("/proc/{}/ns/net", self.pid())).unwrap();
        let text = link.to_str().unwrap();
        text.trim_start_matches("net:[").trim_end_matches(']').parse().unwrap()
    }

    fn run(&self, words: &str) -> String {
        run(&format!("nsenter --net=/proc/{}/ns/net {words}", self.pid()))
    }

    fn upstream(&self, ip: &str) -> Upstream {
        Upstream { network_namespace: self.inode(), ip: ip.parse().unwrap(), pid: self.pid() }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two namespaces with a cable: 10.99.1.1 and fd99::1 here, 10.99.1.2 and fd99::2 there.
fn cable() -> (Namespace, Namespace) {
    let (here, there) = (Namespace::new(), Namespace::new());
    here.run(&format!("ip link add eth0 type veth peer name eth0 netns {}", there.pid()));
    for (namespace, last) in [(&here, 1), (&there, 2)] {
        namespace.run(&format!("ip address add 10.99.1.{last}/24 dev eth0"));
        namespace.run(&format!("ip address add fd99::{last}/64 dev eth0 nodad"));
        namespace.run("ip link set eth0 up");
    }
    (here, there)
}

fn probe(source: &mut PingSource, upstreams: &[Upstream]) -> Vec<RttProbe> {
    let subjects = Subjects { upstreams: upstreams.iter().copied().collect(), ..Subjects::default() };
    let mut rows = Rows::default();
    source.measure(&subjects, &mut rows).unwrap();
    let rows = rows.into_inner().into_iter();
    rows.map(|(_, kind)| if let Kind::RttProbe(row) = kind { row } else { panic!("{kind:?}") }).collect()
}

fn rtt(rows: &[RttProbe], ip: &str) -> Option<u64> {
    let ip: IpAddr = ip.parse().unwrap();
    rows.iter().find(|row| row.remote_ip.address() == ip).unwrap().rtt_ns
}

/// The least and the greatest of ten round-trip times, nanoseconds, by ping(8).
fn ping(namespace: &Namespace, ip: &str) -> (f64, f64) {
    let text = namespace.run(&format!("ping -n -c 10 -i 0.05 -s 56 {ip}"));
    let figures = text.lines().find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = ")).unwrap();
    let milliseconds: Vec<f64> =
        figures.trim_end_matches(" ms").split('/').map(|number| number.parse().unwrap()).collect();
    (milliseconds[0] * 1e6, milliseconds[2] * 1e6)
}

#[test]
fn round_trip_times_of_both_families_are_about_those_that_ping_finds() {
    if !is_root() {
        return;
    }
    let (here, there) = cable();
    let mut source = PingSource::new(Roots::default());
    for ip in ["10.99.1.2", "fd99::2"] {
        // An IPv6 address is not used before the kernel knows that nobody else has it.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while rtt(&probe(&mut source, &[here.upstream(ip)]), ip).is_none() {
            assert!(std::time::Instant::now() < until, "{ip} does not answer");
        }
        let mut least = u64::MAX;
        for _ in 0..10 {
            let rows = probe(&mut source, &[here.upstream(ip), there.upstream("10.99.1.1")]);
            assert!(rows.iter().any(|row| row.network_namespace == there.inode() && row.rtt_ns.is_some()));
            least = least.min(rtt(&rows, ip).unwrap());
        }
        let (fastest, slowest) = ping(&here, ip);
        println!("{ip}: {least} ns here, {fastest} to {slowest} ns by ping");
        // ping adds its own way through the kernel; on a busy machine any of them may wait.
        assert!(least > 500 && (least as f64) < slowest.max(fastest * 10.0), "{least} ns");
    }
}

#[test]
fn who_does_not_answer_is_told_of_without_a_time_and_holds_up_nobody() {
    if !is_root() {
        return;
    }
    let (here, _there) = cable();
    let mut source = PingSource::new(Roots::default());
    // Nobody has the second address; to the third there is no way.
    let all = ["10.99.1.2", "10.99.1.77", "192.0.2.1", "fd99::77", "2001:db8::1"];
    let rows = probe(&mut source, &all.map(|ip| here.upstream(ip)));
    assert!(rtt(&rows, "10.99.1.2").is_some());
    for ip in &all[1..] {
        assert_eq!(rtt(&rows, ip), None, "{ip}");
    }
}

#[test]
fn a_peer_whose_firewall_drops_echoes_has_no_time() {
    if !is_root() {
        return;
    }
    let (here, there) = cable();
    there.run("sysctl -q -w net.ipv4.icmp_echo_ignore_all=1");
    let mut source = PingSource::new(Roots::default());
    assert_eq!(rtt(&probe(&mut source, &[here.upstream("10.99.1.2")]), "10.99.1.2"), None);
    there.run("sysctl -q -w net.ipv4.icmp_echo_ignore_all=0");
    assert!(rtt(&probe(&mut source, &[here.upstream("10.99.1.2")]), "10.99.1.2").is_some());
}

#[test]
fn a_namespace_that_vanishes_is_told_of_once_and_is_not_held() {
    if !is_root() {
        return;
    }
    let (here, there) = cable();
    let upstream = here.upstream("10.99.1.2");
    let mut source = PingSource::new(Roots::default());
    assert!(rtt(&probe(&mut source, &[upstream]), "10.99.1.2").is_some());
    drop(here);
    assert_eq!(rtt(&probe(&mut source, &[upstream]), "10.99.1.2"), None);
    assert_eq!(probe(&mut source, &[upstream]), []);
    // With its namespace the cable is gone, also its other end.
    let until = Instant::now() + Duration::from_secs(10);
    while there.run("ip -o link").contains("eth0") {
        assert!(Instant::now() < until, "something holds the namespace");
        std::thread::sleep(Duration::from_millis(20));
    }
}
