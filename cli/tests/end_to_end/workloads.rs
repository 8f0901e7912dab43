//! The workloads: each is run in a process of its own, under the recorder, and does a known number of things.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Listens on a port below the ephemeral ones: the metrics leave connections to those out.
fn listen(host: &str) -> TcpListener {
    let first = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap();
    (first..first + 1_000).find_map(|port| TcpListener::bind(format!("{host}:{port}")).ok()).unwrap()
}

/// Forks and runs `true` ten times, `false` three times, and kills one `sleep`.
#[test]
#[ignore = "a workload for a recording"]
fn processes() {
    for _ in 0..10 {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    for _ in 0..3 {
        assert_eq!(Command::new("/bin/false").status().unwrap().code(), Some(1));
    }
    let mut sleeper = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    // A process that is killed within execve has run no program.
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).unwrap();
    while !state().contains("(sleep) S") {
        std::thread::sleep(Duration::from_millis(5));
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Opens a listener, and over it five connections: 1,000 bytes there and 2,000 back on each; then one that is refused.
#[test]
#[ignore = "a workload for a recording"]
fn connections() {
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    for _ in 0..5 {
        exchange(&listener, address);
    }
    drop(listener);
    assert!(TcpStream::connect(address).is_err());
}

/// Connects to 5,000 addresses at which nobody listens.
#[test]
#[ignore = "a workload for a recording"]
fn refused_by_5000() {
    // A port that was free a moment ago.
    let port = listen("127.0.0.1").local_addr().unwrap().port();
    for place in 1..=5_000_u32 {
        let address = std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(127, 9, 0, 0)) + place);
        assert!(TcpStream::connect((address, port)).is_err());
    }
}

/// In a network namespace of its own: three connections to a service's address that lead to its server, and one
/// straight to the server; all are open until the kernel's connection tracking was listed.
#[test]
#[ignore = "a workload for a recording"]
fn translated_connections() {
    let run = |words: &str| {
        let mut words = words.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("ip link set lo up");
    run("ip address add 10.99.1.2/32 dev lo");
    run("ip route add 10.96.0.1/32 dev lo");
    run("nft add table ip nat");
    run("nft add chain ip nat output { type nat hook output priority -100 ; }");
    run("nft add rule ip nat output ip daddr 10.96.0.1 tcp dport 20443 dnat to 10.99.1.2:28443");
    let listener = TcpListener::bind("10.99.1.2:28443").unwrap();
    let open: Vec<_> = ["10.96.0.1:20443", "10.96.0.1:20443", "10.96.0.1:20443", "10.99.1.2:28443"]
        .into_iter()
        .map(|address| (TcpStream::connect(address).unwrap(), listener.accept().unwrap()))
        .collect();
    print!("{}", run("conntrack -L -p tcp --orig-dst 10.96.0.1"));
    // The recorder asks for the translation when it has read the event, and the kernel forgets closed connections.
    std::thread::sleep(Duration::from_secs(1));
    drop(open);
}

/// The same over IPv6, and over a v4-mapped address.
#[test]
#[ignore = "a workload for a recording"]
fn connections_ipv6() {
    let listener = listen("[::]");
    let port = listener.local_addr().unwrap().port();
    exchange(&listener, format!("[::1]:{port}").parse().unwrap());
    exchange(&listener, format!("[::ffff:127.0.0.1]:{port}").parse().unwrap());
}

fn exchange(listener: &TcpListener, address: SocketAddr) {
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[1; 1_000]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 2_000);
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 1_000];
    stream.read_exact(&mut request).unwrap();
    stream.write_all(&[2; 2_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // The client closes when it has seen the end; its FIN ends this read.
    let _ = stream.read_to_end(&mut Vec::new());
    client.join().unwrap();
}

/// A child accepts on the listener that its parent opened; the parent connects.
#[test]
#[ignore = "a workload for a recording"]
fn accept_in_forked_worker() {
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    // The worker inherits the listening socket as its standard input.
    let inherited = as_stdio(&listener);
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "workloads::worker_that_accepts"])
        .stdin(inherited)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(worker.wait().unwrap().success());
}

fn as_stdio(listener: &TcpListener) -> Stdio {
    Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()))
}

/// Part of `accept_in_forked_worker`.
#[test]
#[ignore = "a workload for a recording"]
fn worker_that_accepts() {
    let stdin = std::io::stdin();
    let listener = TcpListener::from(std::os::fd::AsFd::as_fd(&stdin).try_clone_to_owned().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    stream.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"hello");
}

/// A child connects and is killed with SIGKILL while connected; the parent holds the other end until then.
#[test]
#[ignore = "a workload for a recording"]
fn killed_while_connected() {
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    let mut child = Command::new("/bin/bash")
        .arg("-c")
        .arg(format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo x >&3; exec sleep 60", address.port()))
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut byte = [0; 2];
    stream.read_exact(&mut byte).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stream.read(&mut byte).unwrap(), 0, "the kernel closes a killed process's connection");
    // A second connection stays open until the end of this process, so that one is active at the end.
}

/// Connects without blocking, in one thread, uses the connection in another, and through a duplicate.
#[test]
#[ignore = "a workload for a recording"]
fn nonblocking_and_duplicated() {
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    let stream = std::thread::spawn(move || {
        use rustix::net::{AddressFamily, SocketFlags, SocketType};
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)
                .unwrap();
        let result = rustix::net::connect(&socket, &address);
        assert!(matches!(result, Ok(()) | Err(rustix::io::Errno::INPROGRESS)), "{result:?}");
        TcpStream::from(socket)
    })
    .join()
    .unwrap();
    let (mut server, _) = listener.accept().unwrap();
    stream.set_nonblocking(false).unwrap();
    let duplicate = stream.try_clone().unwrap();
    drop(stream);
    std::thread::spawn(move || (&duplicate).write_all(&[3; 300]).unwrap()).join().unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), 300);
}

/// Connects to an address without a route, which fails before any packet.
#[test]
#[ignore = "a workload for a recording"]
fn unreachable() {
    let error =
        TcpStream::connect_timeout(&"[2001:db8::1]:9".parse().unwrap(), Duration::from_secs(1)).unwrap_err();
    eprintln!("{error}");
}

/// Keeps a listener and two connections open until it is told to end by its standard input closing.
#[test]
#[ignore = "a workload for a recording"]
fn held_open() {
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let servers: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
    let path = std::env::var("WORKLOAD_FILE").unwrap();
    let mut file = File::create(&path).unwrap();
    file.write_all(b"ready").unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop((clients, servers, file));
}

/// Opens files: two for writing, one for reading, one that may not be opened.
#[test]
#[ignore = "a workload for a recording"]
fn files() {
    let folder = std::env::var("WORKLOAD_FOLDER").unwrap();
    File::create(format!("{folder}/created")).unwrap();
    OpenOptions::new().append(true).open(format!("{folder}/created")).unwrap();
    File::open(format!("{folder}/created")).unwrap();
    assert!(OpenOptions::new().write(true).open(format!("{folder}/absent")).is_err());
    OpenOptions::new().write(true).open("/dev/null").unwrap();
}

/// Makes connections as fast as it can: as many as `WORKLOAD_COUNT` says.
#[test]
#[ignore = "a workload for a recording"]
fn storm() {
    let count: usize = std::env::var("WORKLOAD_COUNT").unwrap().parse().unwrap();
    let listener = listen("127.0.0.1");
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..count {
            drop(listener.accept().unwrap());
        }
    });
    for _ in 0..count {
        let stream = TcpStream::connect(address).unwrap();
        // A reset instead of a FIN leaves no port in TIME_WAIT.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    server.join().unwrap();
}

/// Takes memory until the kernel ends it; in a memory-limited control group.
#[test]
#[ignore = "a workload for a recording"]
fn memory_hog() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

/// Ends with code 7.
#[test]
#[ignore = "a workload for a recording"]
fn ends_with_seven() {
    std::process::exit(7);
}
