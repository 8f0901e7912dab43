//! What is missing to record on this host: capabilities, BTF, tracefs, the host's pid namespace.
//!
//! In: /proc/self and /sys. Out: typed errors, each of which says what is missing and what helps.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::mount::MountFlags;

use super::file::FileReader;
use super::text::{fields, lines};
use super::{Roots, read_namespace};

/// Inode of the first pid namespace, fixed in the kernel (`PROC_PID_INIT_INO`).
const HOST_PID_NAMESPACE: u32 = 0xEFFF_FFFC;
const FILE_LIMIT_BYTES: u64 = 64 << 10;

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Something that recording needs and this host or process does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Capabilities of the process.
    #[error(
        "missing {}: run as root (sudo), or grant them with `setcap {}+ep` on the program",
        names.join(", "),
        names.join(",").to_lowercase()
    )]
    Capabilities {
        /// Their names, such as `CAP_BPF`.
        names: Vec<&'static str>,
    },
    /// The kernel's type information.
    #[error(
        "the kernel gives no type information ({} is missing): it needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, \
         as distributions' kernels are since about 2020",
        path.display()
    )]
    Btf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file system that names the tracepoints.
    #[error(
        "tracefs is mounted neither at /sys/kernel/tracing nor at /sys/kernel/debug/tracing: give --mount-tracefs, \
         or run `mount -t tracefs tracefs /sys/kernel/tracing`"
    )]
    Tracefs,
    /// The host's pid namespace.
    #[error(
        "the recorder runs in a pid namespace of its own, where process ids are not those of the host: run it on the \
         host, or in a container with --pid=host"
    )]
    PidNamespace,
    /// The kernel is locked down.
    #[error(
        "the kernel is locked down in confidentiality mode, which forbids programs that read kernel memory: boot \
         without lockdown=confidentiality"
    )]
    Lockdown,
}

/// Everything that is missing; empty when recording can start.
pub fn missing(roots: &Roots) -> Vec<Missing> {
    let mut all = Vec::new();
    let mut reader = FileReader::default();
    let effective = reader
        .read(&roots.proc_file("self/status"), FILE_LIMIT_BYTES)
        .ok()
        .and_then(parse_effective)
        .unwrap_or_default();
    let names = missing_capabilities(effective);
    if !names.is_empty() {
        all.push(Missing::Capabilities { names });
    }
    let btf = roots.sys.join("kernel/btf/vmlinux");
    if !btf.exists() {
        all.push(Missing::Btf { path: btf });
    }
    if tracefs(roots).is_none() && may_see_tracefs(effective) {
        all.push(Missing::Tracefs);
    }
    // Unreadable links say nothing; then the capabilities are missing as well.
    if read_namespace(&roots.proc_file("self/ns/pid")).is_some_and(|inode| inode != HOST_PID_NAMESPACE) {
        all.push(Missing::PidNamespace);
    }
    let lockdown = fs::read_to_string(roots.sys.join("kernel/security/lockdown"));
    if lockdown.is_ok_and(|text| text.contains("[confidentiality]")) {
        all.push(Missing::Lockdown);
    }
    all
}

/// Where tracefs is mounted.
pub fn tracefs(roots: &Roots) -> Option<PathBuf> {
    ["kernel/tracing", "kernel/debug/tracing"]
        .iter()
        .map(|path| roots.sys.join(path))
        .find(|path| path.join("events").is_dir())
}

/// Mounts tracefs at /sys/kernel/tracing. Only for when the operator said so.
pub fn mount_tracefs(roots: &Roots) -> io::Result<PathBuf> {
    let target = roots.sys.join("kernel/tracing");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tracefs", &target, "tracefs", flags, None)?;
    Ok(target)
}

/// Without these capabilities the directory is closed, and whether it is mounted cannot be told.
fn may_see_tracefs(effective: u64) -> bool {
    // CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH
    effective & ((1 << 1) | (1 << CAP_DAC_READ_SEARCH)) != 0
}

fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    let admin = has(CAP_SYS_ADMIN);
    // CAP_SYS_ADMIN is what CAP_BPF and CAP_PERFMON were until Linux 5.8.
    [
        ("CAP_BPF", has(CAP_BPF) || admin),
        ("CAP_PERFMON", has(CAP_PERFMON) || admin),
        ("CAP_SYS_PTRACE", has(CAP_SYS_PTRACE)),
        ("CAP_DAC_READ_SEARCH", has(CAP_DAC_READ_SEARCH)),
    ]
    .into_iter()
    .filter_map(|(name, present)| (!present).then_some(name))
    .collect()
}

/// The mask after `CapEff:`.
fn parse_effective(text: &[u8]) -> Option<u64> {
    let line = lines(text).find_map(|line| line.strip_prefix(b"CapEff:"))?;
    u64::from_str_radix(std::str::from_utf8(fields(line).next()?).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn host(cap_eff: &str, pid_namespace: u32, files: &[&str]) -> (tempfile::TempDir, Roots) {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::below(directory.path());
        fs::create_dir_all(roots.proc_file("self/ns")).unwrap();
        fs::write(roots.proc_file("self/status"), format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{cap_eff}\n"))
            .unwrap();
        symlink(format!("pid:[{pid_namespace}]"), roots.proc_file("self/ns/pid")).unwrap();
        for file in files {
            let path = roots.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        (directory, roots)
    }

    const ALL: [&str; 2] = ["/sys/kernel/btf/vmlinux", "/sys/kernel/tracing/events/enable"];

    #[test]
    fn nothing_is_missing_for_root_on_a_usual_host() {
        let (_directory, roots) = host("000001ffffffffff", HOST_PID_NAMESPACE, &ALL);
        assert_eq!(missing(&roots), []);
    }

    #[test]
    fn the_right_capabilities_suffice_without_root() {
        let mask = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH].map(|bit| 1_u64 << bit);
        let (_directory, roots) =
            host(&format!("{:016x}", mask.iter().sum::<u64>()), HOST_PID_NAMESPACE, &ALL);
        assert_eq!(missing(&roots), []);
    }

    #[test]
    fn before_linux_5_8_admin_stands_for_bpf_and_perfmon() {
        let mask = [CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH].map(|bit| 1_u64 << bit);
        let (_directory, roots) =
            host(&format!("{:016x}", mask.iter().sum::<u64>()), HOST_PID_NAMESPACE, &ALL);
        assert_eq!(missing(&roots), []);
    }

    #[test]
    fn an_ordinary_user_is_told_which_capabilities_and_what_helps() {
        let (_directory, roots) = host("0000000000000000", HOST_PID_NAMESPACE, &ALL[..1]);
        let all = missing(&roots);
        // Whether tracefs is there cannot be seen, so it is not complained about.
        assert_eq!(all.len(), 1);
        assert_eq!(
            all.first().unwrap().to_string(),
            "missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH: run as root (sudo), or grant them \
             with `setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep` on the program"
        );
    }

    #[test]
    fn everything_else_that_is_missing_is_named_with_its_remedy() {
        let (_directory, roots) = host("000001ffffffffff", 4_026_532_999, &[]);
        fs::create_dir_all(roots.sys.join("kernel/security")).unwrap();
        fs::write(roots.sys.join("kernel/security/lockdown"), "none integrity [confidentiality]\n").unwrap();
        let texts: Vec<String> = missing(&roots).iter().map(ToString::to_string).collect();
        for (text, part) in
            texts.iter().zip(["CONFIG_DEBUG_INFO_BTF", "--mount-tracefs", "--pid=host", "lockdown="])
        {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(texts.len(), 4);
    }

    #[test]
    fn tracefs_is_found_at_either_place() {
        let (_directory, roots) = host("0", 1, &["/sys/kernel/debug/tracing/events/enable"]);
        assert_eq!(tracefs(&roots), Some(roots.sys.join("kernel/debug/tracing")));
        assert_eq!(tracefs(&Roots::below(Path::new("/nonexistent"))), None);
        assert!(mount_tracefs(&Roots::below(Path::new("/nonexistent"))).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), mask: u64) {
            let _ = (parse_effective(&bytes), missing_capabilities(mask));
        }
    }
}
