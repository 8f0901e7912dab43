//! The tools, and the Debian packages that they come in.

use super::Purpose;

/// Something that must be installed.
pub(super) struct Tool {
    /// Any one of these files will do: programs, or whole paths.
    pub(super) files: &'static [&'static str],
    pub(super) package: &'static str,
    pub(super) why: &'static str,
    pub(super) purpose: Purpose,
}

const fn to_build(files: &'static [&'static str], package: &'static str, why: &'static str) -> Tool {
    Tool { files, package, why, purpose: Purpose::Build }
}

const fn to_test(files: &'static [&'static str], package: &'static str, why: &'static str) -> Tool {
    Tool { files, package, why, purpose: Purpose::Test }
}

const fn to_bench(files: &'static [&'static str], package: &'static str, why: &'static str) -> Tool {
    Tool { files, package, why, purpose: Purpose::Bench }
}

/// Any clang from 14 on compiles the kernel programs; 19 is what Debian 12 and 13 both have.
const CLANGS: &[&str] = &[
    "clang-19", "clang-20", "clang-21", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14", "clang",
];

/// In the order in which they are installed.
pub(super) const TOOLS: &[Tool] = &[
    to_build(CLANGS, "clang-19", "compiles the eBPF programs"),
    to_build(&["cc"], "gcc", "links, and compiles zstd"),
    to_test(&["ip"], "iproute2", "network namespaces in tests"),
    to_test(&["dockerd"], "docker.io", "containers in tests"),
    to_test(&["containerd"], "containerd", "containers in tests"),
    to_test(&["podman"], "podman", "containers in tests"),
    to_test(&["systemctl"], "systemd", "units in tests"),
    to_test(&["dbus-daemon"], "dbus", "carries what those units say"),
    to_test(&["busybox"], "busybox-static", "the root file system of those containers"),
    to_test(&["journalctl"], "systemd", "reads journals, in tests and while recording"),
    to_test(
        &["/usr/lib/systemd/systemd-journal-remote"],
        "systemd-journal-remote",
        "writes journals in tests",
    ),
    to_test(&["nginx"], "nginx-light", "a server in a sample trace"),
    to_test(&["redis-server"], "redis-server", "a server in a sample trace"),
    to_test(&["qemu-system-x86_64"], "qemu-system-x86", "boots other kernels"),
    to_test(&["script"], "bsdutils", "gives tests a terminal"),
    to_test(&["curl"], "curl", "asks the live mode"),
    to_test(&["openssl"], "openssl", "makes certificates"),
    to_test(&["bindfs"], "bindfs", "a file system that tests can make hang"),
    to_test(
        &["jcmd"],
        "default-jdk-headless",
        "Java virtual machines in tests, and what they say of themselves",
    ),
    to_test(&["pgrep"], "procps", "finds processes in tests"),
    to_test(&["ping"], "iputils-ping", "is compared with"),
    to_test(&["nft"], "nftables", "translates addresses in tests' namespaces"),
    to_test(&["conntrack"], "conntrack", "is compared with"),
    to_test(&["bpftool"], "bpftool", "pins maps as other programs do"),
    to_test(&["promtool"], "prometheus", "checks metrics"),
    to_test(&["objdump"], "binutils", "is compared with"),
    to_test(&["go"], "golang-go", "builds programs for tests"),
    to_test(&["node"], "nodejs", "a program with TLS"),
    to_test(&["python3"], "python3", "a program with TLS"),
    to_test(&["gnutls-cli"], "gnutls-bin", "a program with TLS"),
    to_test(&["/usr/lib/x86_64-linux-gnu/libssl.a"], "libssl-dev", "is linked into programs for tests"),
    to_test(
        &["/usr/lib/x86_64-linux-gnu/android/libssl.so.0"],
        "android-libboringssl",
        "a BoringSSL for tests",
    ),
    to_test(
        &["/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/17/bin/postgres"],
        "postgresql",
        "a server in tests",
    ),
    to_test(&["mariadbd"], "mariadb-server", "a server in tests"),
    to_test(&["memcached"], "memcached", "a server in tests"),
    to_test(&["rabbitmq-server"], "rabbitmq-server", "a server in tests"),
    to_test(&["nats-server"], "nats-server", "a server in tests"),
    to_test(&["/usr/share/zookeeper/bin/zkServer.sh"], "zookeeper", "a server in tests"),
    to_test(&["dnsmasq"], "dnsmasq-base", "a server in tests"),
    to_test(&["nghttpd"], "nghttp2-server", "a server in tests"),
    to_test(&["h2load"], "nghttp2-client", "a client in tests"),
    to_test(&["dig"], "bind9-dnsutils", "a client in tests"),
    to_test(&["amqp-publish"], "amqp-tools", "a client in tests"),
    to_test(&["/usr/lib/python3/dist-packages/psycopg/__init__.py"], "python3-psycopg", "a client in tests"),
    to_test(
        &[
            "/usr/lib/x86_64-linux-gnu/perl5/5.36/DBD/MariaDB.pm",
            "/usr/lib/x86_64-linux-gnu/perl5/5.40/DBD/MariaDB.pm",
        ],
        "libdbd-mariadb-perl",
        "a client in tests",
    ),
    to_test(&["/usr/lib/python3/dist-packages/pymysql/__init__.py"], "python3-pymysql", "a client in tests"),
    to_test(
        &["/usr/lib/python3/dist-packages/pymemcache/__init__.py"],
        "python3-pymemcache",
        "a client in tests",
    ),
    to_test(&["/usr/lib/python3/dist-packages/pika/__init__.py"], "python3-pika", "a client in tests"),
    to_test(&["/usr/lib/python3/dist-packages/kazoo/__init__.py"], "python3-kazoo", "a client in tests"),
    to_test(&["/usr/lib/python3/dist-packages/redis/__init__.py"], "python3-redis", "a client in tests"),
    to_test(&["/usr/lib/python3/dist-packages/dns/__init__.py"], "python3-dnspython", "a client in tests"),
    to_test(&["/usr/lib/python3/dist-packages/grpc/__init__.py"], "python3-grpcio", "a client in tests"),
    to_bench(&["wrk"], "wrk", "presses a server"),
    to_bench(&["perf"], "linux-perf", "is measured beside"),
    to_bench(&["bpftrace"], "bpftrace", "is measured beside"),
];
