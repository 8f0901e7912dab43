//! Round-trip times and address translation between network namespaces of their own, compared with what `ping` and
//! `conntrack` say. Root only; nothing but these namespaces is asked or changed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::clock::{Clock, SystemClock};
use aftertrace_recorder::sources::nat::{NatLosses, NatRequest, NatSource};
use aftertrace_recorder::sources::ping::PingSource;
use aftertrace_recorder::sources::source::{Rows, Source, Subjects, Upstream};
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{NatMapping, ProbeState, RttProbe};

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

/// Does something in a network namespace, in a thread of its own.
fn inside<T: Send + 'static>(namespace: &Namespace, work: impl FnOnce() -> T + Send + 'static) -> T {
    let file = std::fs::File::open(format!("/proc/{}/ns/net", namespace.pid())).unwrap();
    let thread = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .unwrap();
        work()
    });
    thread.join().unwrap()
}

/// A host's /proc in which process 1 is in this namespace; the other processes are those of this machine.
fn host_of(namespace: &Namespace, others: &[&Namespace]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let proc = root.path().join("proc");
    std::fs::create_dir(&proc).unwrap();
    let link = |name: &str, to: String| std::os::unix::fs::symlink(to, proc.join(name)).unwrap();
    link("1", format!("/proc/{}", namespace.pid()));
    link("sys", "/proc/sys".to_owned());
    for other in others {
        link(&other.pid().to_string(), format!("/proc/{}", other.pid()));
    }
    root
}

fn nat_request(namespace: &Namespace, pid: u32, connection: &TcpStream, destination: &str) -> NatRequest {
    NatRequest {
        connection_id: 7,
        boot_ns: SystemClock.boot_ns(),
        pid,
        network_namespace: namespace.inode(),
        local: connection.local_addr().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn ask(source: &mut NatSource, request: NatRequest) -> Vec<NatMapping> {
    source.want(Some(request));
    source.ask();
    let rows = source.settle(Duration::from_secs(10)).into_iter();
    rows.filter_map(|(_, kind)| if let Kind::NatMapping(row) = kind { Some(row) } else { None }).collect()
}

/// Where conntrack(8) says that the answers to `destination` come from.
fn conntrack_says(namespace: &Namespace, destination: &str, family: &str) -> (IpAddr, u16) {
    let destination: std::net::SocketAddr = destination.parse().unwrap();
    let text = namespace.run(&format!("conntrack -L -p tcp -f {family}"));
    let line = text.lines().find(|line| {
        line.contains(&format!("dst={} ", destination.ip()))
            && line.contains(&format!("dport={} ", destination.port()))
    });
    // The first src= and sport= are those of who asks, the second those of who answers.
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("{text}")).split_whitespace().collect();
    let second = |key: &str| words.iter().filter_map(|word| word.strip_prefix(key)).nth(1).unwrap();
    (second("src=").parse().unwrap(), second("sport=").parse().unwrap())
}

#[test]
fn connections_through_their_own_namespaces_translation_are_found_where_conntrack_says() {
    if !is_root() {
        return;
    }
    let (here, there) = cable();
    for (family, tool, service, server) in [
        ("ip", "ipv4", "10.96.0.1:443", "10.99.1.2:8443"),
        ("ip6", "ipv6", "[fd96::1]:443", "[fd99::2]:8443"),
    ] {
        let (ip, via) = (service.rsplit_once(':').unwrap().0.trim_matches(['[', ']']), server);
        here.run(&format!("nft add table {family} nat"));
        here.run(&format!("nft add chain {family} nat output {{ type nat hook output priority -100 ; }}"));
        here.run(&format!(
            "nft add rule {family} nat output {family} daddr {ip} tcp dport 443 dnat to {via}"
        ));
        here.run(&format!("ip route add {ip} dev eth0"));
        let listener = inside(&there, move || TcpListener::bind(server).unwrap());
        let connection = inside(&here, move || TcpStream::connect(service).unwrap());
        let mut source = NatSource::start(Roots::default()).unwrap();
        let request = nat_request(&here, here.pid(), &connection, service);
        let mapping = ask(&mut source, request).pop().unwrap();
        assert_eq!((mapping.actual_ip.address(), mapping.actual_port), conntrack_says(&here, service, tool));
        assert_eq!(mapping.connection_id, 7);

        // Whoever connected is gone; another process is in the namespace.
        let mut source = NatSource::start(Roots::default()).unwrap();
        assert_eq!(ask(&mut source, NatRequest { pid: u32::MAX - 1, ..request }).len(), 1);
        assert_eq!(source.take_losses(), NatLosses::default());

        // What is not translated has no row.
        let straight = inside(&here, move || TcpStream::connect(server).unwrap());
        assert_eq!(ask(&mut source, nat_request(&here, here.pid(), &straight, server)), []);
        drop(listener);
    }
}

/// The BPF file system of a host on which Cilium runs: maps of its names, pinned by bpftool(8). A stand-in: Cilium
/// itself is not packaged for Debian, and its images cannot be had where these tests run.
struct Maps {
    root: tempfile::TempDir,
    pins: std::path::PathBuf,
}

impl Maps {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mounted = root.path().join("sys/fs/bpf");
        std::fs::create_dir_all(&mounted).unwrap();
        run(&format!("mount -t bpf bpf {}", mounted.display()));
        let pins = mounted.join("tc/globals");
        std::fs::create_dir_all(&pins).unwrap();
        Self { root, pins }
    }

    fn create(&self, name: &str, kind: &str, key: usize, value: usize) {
        let pin = self.pins.join(name);
        run(&format!(
            "bpftool map create {} type {kind} key {key} value {value} entries 64 name {}",
            pin.display(),
            &name[..15]
        ));
    }

    fn put(&self, name: &str, key: &[u8], value: &[u8]) {
        let words = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        let pin = self.pins.join(name);
        run(&format!(
            "bpftool map update pinned {} key {} value {}",
            pin.display(),
            words(key),
            words(value)
        ));
    }
}

impl Drop for Maps {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.root.path().join("sys/fs/bpf")).status();
    }
}

fn mapping(source: &mut NatSource, local: &str, destination: &str) -> Option<(IpAddr, u16, String)> {
    let rows = ask(
        source,
        NatRequest {
            connection_id: 1,
            boot_ns: SystemClock.boot_ns(),
            pid: 1,
            network_namespace: 1,
            local: local.parse().unwrap(),
            destination: destination.parse().unwrap(),
        },
    );
    rows.first().map(|row| (row.actual_ip.address(), row.actual_port, row.source.to_string()))
}

#[test]
fn the_backend_that_cilium_chose_is_read_from_its_pinned_maps() {
    if !is_root() {
        return;
    }
    let maps = Maps::new();
    maps.create("cilium_ct4_global", "lru_hash", 14, 56);
    maps.create("cilium_lb4_backends_v2", "hash", 4, 8);
    let mut entry = [0; 56];
    entry[8..16].copy_from_slice(&9_u64.to_ne_bytes());
    // Service, client, the client's port, the service's port, TCP, "to a service".
    maps.put("cilium_ct4_global", &[10, 96, 0, 1, 10, 0, 1, 2, 0x9c, 0x40, 0x01, 0xbb, 6, 4], &entry);
    maps.put("cilium_lb4_backends_v2", &9_u32.to_ne_bytes(), &[10, 0, 3, 7, 0x19, 0x2b, 6, 0]);
    maps.create("cilium_ct6_global", "lru_hash", 38, 56);
    maps.create("cilium_lb6_backends_v3", "hash", 4, 24);
    let addresses =
        ["fd96::1", "fd00::2"].map(|ip| ip.parse::<std::net::Ipv6Addr>().unwrap().octets()).concat();
    maps.put("cilium_ct6_global", &[&addresses[..], &[0x9c, 0x40, 0x01, 0xbb, 6, 4]].concat(), &entry);
    let backend = "fd03::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
    maps.put(
        "cilium_lb6_backends_v3",
        &9_u32.to_ne_bytes(),
        &[&backend[..], &[0x19, 0x2b, 6, 0, 0, 0, 0, 0]].concat(),
    );

    let mut source = NatSource::start(Roots::below(maps.root.path())).unwrap();
    assert_eq!(
        mapping(&mut source, "10.0.1.2:40000", "10.96.0.1:443"),
        Some(("10.0.3.7".parse().unwrap(), 6443, "cilium".to_owned()))
    );
    assert_eq!(
        mapping(&mut source, "[fd00::2]:40000", "[fd96::1]:443"),
        Some(("fd03::7".parse().unwrap(), 6443, "cilium".to_owned()))
    );
    // Another port of the client: another connection, which was to no service.
    assert_eq!(mapping(&mut source, "10.0.1.2:40001", "10.96.0.1:443"), None);

    // An upgrade brings other maps, which are found when it is next looked.
    maps.create("cilium_lb4_backends_v3", "hash", 4, 12);
    maps.put("cilium_lb4_backends_v3", &9_u32.to_ne_bytes(), &[10, 0, 3, 8, 0x19, 0x2b, 6, 0, 0, 0, 0, 0]);
    let until = Instant::now() + Duration::from_secs(20);
    while mapping(&mut source, "10.0.1.2:40000", "10.96.0.1:443").unwrap().0 != IpAddr::from([10, 0, 3, 8]) {
        assert!(Instant::now() < until, "the new map is not read");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn maps_of_cilium_with_another_layout_are_told_of() {
    if !is_root() {
        return;
    }
    let maps = Maps::new();
    maps.create("cilium_ct4_global", "lru_hash", 14, 64);
    maps.create("cilium_lb4_backends_v3", "hash", 4, 12);
    let mut source = NatSource::start(Roots::below(maps.root.path())).unwrap();
    let told = source.take_rows().into_iter().find_map(|(_, kind)| match kind {
        Kind::Probe(row) if row.probe == "nat_cilium" => Some((row.state, row.reason.unwrap())),
        _ => None,
    });
    let (state, reason) = told.unwrap();
    assert_eq!(state, ProbeState::Failed);
    assert!(reason.contains("cilium_ct4_global") && reason.contains("64"), "{reason}");
}

#[test]
fn a_connection_out_of_a_container_is_followed_through_the_hosts_translation() {
    if !is_root() {
        return;
    }
    // pod - host - server; what the host translates is what kube-proxy would have it translate.
    let (pod, host, server) = (Namespace::new(), Namespace::new(), Namespace::new());
    for (end, subnet) in [(&pod, "10.99.2"), (&server, "10.99.3")] {
        let name = format!("to{}", end.pid());
        host.run(&format!("ip link add {name} type veth peer name eth0 netns {}", end.pid()));
        host.run(&format!("ip address add {subnet}.1/24 dev {name}"));
        host.run(&format!("ip link set {name} up"));
        end.run(&format!("ip address add {subnet}.2/24 dev eth0"));
        end.run("ip link set eth0 up");
        end.run(&format!("ip route add default via {subnet}.1"));
    }
    host.run("sysctl -q -w net.ipv4.ip_forward=1");
    host.run("nft add table ip nat");
    host.run("nft add chain ip nat prerouting { type nat hook prerouting priority -100 ; }");
    host.run("nft add rule ip nat prerouting ip daddr 10.96.0.9 tcp dport 80 dnat to 10.99.3.2:8080");
    let listener = inside(&server, || TcpListener::bind("10.99.3.2:8080").unwrap());
    let connection = inside(&pod, || TcpStream::connect("10.96.0.9:80").unwrap());

    let root = host_of(&host, &[&pod]);
    let mut source = NatSource::start(Roots::below(root.path())).unwrap();
    let mapping = ask(&mut source, nat_request(&pod, pod.pid(), &connection, "10.96.0.9:80")).pop().unwrap();
    let actual = (mapping.actual_ip.address(), mapping.actual_port);
    assert_eq!(actual, conntrack_says(&host, "10.96.0.9:80", "ipv4"));
    assert_eq!(actual, ("10.99.3.2".parse().unwrap(), 8080));

    // The host still knows, when nobody is left in the pod: as it was dialled the connection came to the host.
    let gone = |connection: &TcpStream, destination: &str| NatRequest {
        network_namespace: 1,
        ..nat_request(&pod, u32::MAX - 1, connection, destination)
    };
    let mut source = NatSource::start(Roots::below(root.path())).unwrap();
    assert_eq!(ask(&mut source, gone(&connection, "10.96.0.9:80")).len(), 1);
    assert_eq!(source.take_losses(), NatLosses::default());
    // Of another one it knows nothing, so the pod may have sent it elsewhere.
    assert_eq!(ask(&mut source, gone(&connection, "10.96.0.9:81")), []);
    assert_eq!(source.take_losses(), NatLosses { namespace_gone: 1, ..NatLosses::default() });
    drop(listener);
}
