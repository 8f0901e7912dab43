//! `cargo xtask setup`: the Debian packages that building, testing and measuring need, and tracefs.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::host;

const HELP: &str = "\
Every other task does this by itself for what it needs. As root, missing packages are installed and tracefs is
mounted, each with a line that says so; without root, the command to run is printed and nothing is changed.

Examples:
  cargo xtask setup
  cargo xtask setup --for bench";

/// What to install for.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// What the tools are for; each includes those before it.
    #[arg(long = "for", value_enum, default_value = "test")]
    purpose: Purpose,
}

/// What tools are for, in the order of how many that is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// Building everything.
    Build,
    /// Running all tests.
    Test,
    /// Comparing with other recorders.
    Bench,
}

struct Tool {
    /// Any one of these programs will do.
    programs: &'static [&'static str],
    package: &'static str,
    why: &'static str,
    purpose: Purpose,
}

/// Any clang from 14 on compiles the kernel programs; 19 is what Debian 12 and 13 both have.
const CLANGS: &[&str] = &[
    "clang-19", "clang-20", "clang-21", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14", "clang",
];

const TOOLS: &[Tool] = &[
    Tool {
        programs: CLANGS,
        package: "clang-19",
        why: "compiles the eBPF programs",
        purpose: Purpose::Build,
    },
    Tool { programs: &["cc"], package: "gcc", why: "links, and compiles zstd", purpose: Purpose::Build },
    Tool {
        programs: &["ip"],
        package: "iproute2",
        why: "network namespaces in tests",
        purpose: Purpose::Test,
    },
    Tool { programs: &["dockerd"], package: "docker.io", why: "containers in tests", purpose: Purpose::Test },
    Tool {
        programs: &["containerd"],
        package: "containerd",
        why: "containers in tests",
        purpose: Purpose::Test,
    },
    Tool { programs: &["podman"], package: "podman", why: "containers in tests", purpose: Purpose::Test },
    Tool { programs: &["systemctl"], package: "systemd", why: "units in tests", purpose: Purpose::Test },
    Tool {
        programs: &["dbus-daemon"],
        package: "dbus",
        why: "carries what those units say",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["busybox"],
        package: "busybox-static",
        why: "the root file system of those containers",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["journalctl"],
        package: "systemd",
        why: "reads journals, in tests and while recording",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["/usr/lib/systemd/systemd-journal-remote"],
        package: "systemd-journal-remote",
        why: "writes journals in tests",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["nginx"],
        package: "nginx-light",
        why: "a server in a sample trace",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["redis-server"],
        package: "redis-server",
        why: "a server in a sample trace",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["qemu-system-x86_64"],
        package: "qemu-system-x86",
        why: "boots other kernels",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["script"],
        package: "bsdutils",
        why: "gives tests a terminal",
        purpose: Purpose::Test,
    },
    Tool { programs: &["curl"], package: "curl", why: "asks the live mode", purpose: Purpose::Test },
    Tool { programs: &["openssl"], package: "openssl", why: "makes certificates", purpose: Purpose::Test },
    Tool {
        programs: &["bindfs"],
        package: "bindfs",
        why: "a file system that tests can make hang",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["jcmd"],
        package: "default-jdk-headless",
        why: "Java virtual machines in tests, and what they say of themselves",
        purpose: Purpose::Test,
    },
    Tool { programs: &["pgrep"], package: "procps", why: "finds processes in tests", purpose: Purpose::Test },
    Tool { programs: &["ping"], package: "iputils-ping", why: "is compared with", purpose: Purpose::Test },
    Tool {
        programs: &["nft"],
        package: "nftables",
        why: "translates addresses in tests' namespaces",
        purpose: Purpose::Test,
    },
    Tool { programs: &["conntrack"], package: "conntrack", why: "is compared with", purpose: Purpose::Test },
    Tool {
        programs: &["bpftool"],
        package: "bpftool",
        why: "pins maps as other programs do",
        purpose: Purpose::Test,
    },
    Tool { programs: &["promtool"], package: "prometheus", why: "checks metrics", purpose: Purpose::Test },
    Tool { programs: &["objdump"], package: "binutils", why: "is compared with", purpose: Purpose::Test },
    Tool {
        programs: &["go"],
        package: "golang-go",
        why: "builds programs for tests",
        purpose: Purpose::Test,
    },
    Tool { programs: &["node"], package: "nodejs", why: "a program with TLS", purpose: Purpose::Test },
    Tool { programs: &["python3"], package: "python3", why: "a program with TLS", purpose: Purpose::Test },
    Tool {
        programs: &["gnutls-cli"],
        package: "gnutls-bin",
        why: "a program with TLS",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["/usr/lib/x86_64-linux-gnu/libssl.a"],
        package: "libssl-dev",
        why: "is linked into programs for tests",
        purpose: Purpose::Test,
    },
    Tool {
        programs: &["/usr/lib/x86_64-linux-gnu/android/libssl.so.0"],
        package: "android-libboringssl",
        why: "a BoringSSL for tests",
        purpose: Purpose::Test,
    },
    Tool { programs: &["perf"], package: "linux-perf", why: "is measured beside", purpose: Purpose::Bench },
    Tool { programs: &["bpftrace"], package: "bpftrace", why: "is measured beside", purpose: Purpose::Bench },
];

/// The subcommand.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure(options.purpose)
}

/// Installs what is missing for `purpose`, and as root mounts tracefs, saying what it does.
///
/// # Errors
/// When something is missing and this is not root (the message has the command to run), or apt fails.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    let missing: Vec<&Tool> = TOOLS
        .iter()
        .filter(|tool| tool.purpose <= purpose && host::find_program(tool.programs).is_none())
        .collect();
    if missing.is_empty() {
        println!("setup: all tools are there");
    } else {
        install(&missing)?;
    }
    if host::is_root() { mount_tracefs() } else { Ok(()) }
}

fn install(missing: &[&Tool]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    for tool in missing {
        println!("setup: {} is missing ({})", tool.package, tool.why);
    }
    if host::find_program(&["apt-get"]).is_none() {
        bail!("there is no apt-get here; install what Debian has as: {}", packages.join(" "));
    }
    if !host::is_root() {
        bail!("installing needs root; run:\n  sudo apt-get update && sudo {command}");
    }
    println!("setup: apt-get update && {command}");
    apt_get(&["update", "-qq"])?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(&packages);
    apt_get(&words)?;
    for tool in missing {
        if host::find_program(tool.programs).is_none() {
            bail!("{} is installed, but none of {:?} is there", tool.package, tool.programs);
        }
    }
    Ok(())
}

fn apt_get(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    // What unpacking says is of no interest unless it fails, and then `text` shows the errors.
    host::text(&mut command).map(drop)
}

fn mount_tracefs() -> Result<()> {
    const TRACING: &str = "/sys/kernel/tracing";
    if Path::new(TRACING).join("events").exists() {
        return Ok(());
    }
    println!("setup: mount -t tracefs tracefs {TRACING}");
    host::run(Command::new("mount").args(["-t", "tracefs", "tracefs", TRACING]))
}
