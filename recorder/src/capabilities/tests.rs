use std::process::Command;

use super::*;

fn has(capability: CapabilitySet) -> bool {
    capabilities(None).unwrap().permitted.contains(capability)
}

fn raw_socket() -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))
}

#[test]
fn a_thread_has_what_it_needs_and_nothing_else() {
    let wanted = OTHERS_PROCESSES;
    let before = capabilities(None).unwrap().permitted;
    let work = || {
        let sets = capabilities(None).unwrap();
        let held = of_threads().into_iter().find(|held| held.thread == "narrow-test").unwrap();
        (sets, held)
    };
    let (sets, held) = spawn("narrow-test", wanted, work).unwrap().join().unwrap();
    assert_eq!((sets.permitted, sets.effective), (before & wanted, before & wanted));
    assert_eq!(sets.inheritable, CapabilitySet::empty());
    assert_eq!(held.permitted, before & wanted);
    assert!(held.no_new_privileges);
    if before.contains(CapabilitySet::SETPCAP) {
        assert_eq!(held.bounding, before & wanted);
    }
    assert_eq!(capabilities(None).unwrap().permitted, before, "this thread is as it was");
}

#[test]
fn what_was_given_up_is_refused_and_what_was_kept_is_not() {
    if !has(CapabilitySet::NET_RAW) {
        eprintln!("SKIPPED: needs CAP_NET_RAW");
        return;
    }
    let refused = spawn("without", CapabilitySet::empty(), raw_socket).unwrap().join().unwrap();
    assert_eq!(refused.unwrap_err(), rustix::io::Errno::PERM);
    assert!(rehearse(CapabilitySet::NET_RAW, raw_socket).unwrap().is_ok());
}

#[test]
fn no_program_that_is_started_gives_anything_back() {
    let status = || {
        let output = Command::new("cat").arg("/proc/self/status").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // For root, a program has otherwise all that the bounding set allows.
    let status = spawn("exec", CapabilitySet::empty(), status).unwrap().join().unwrap();
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
}

#[test]
fn capabilities_have_the_names_of_the_headers() {
    assert_eq!(names(OTHERS_PROCESSES), ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]);
    assert_eq!(names(CapabilitySet::from_bits_retain(1 << 60)), ["60"]);
}

#[test]
fn a_directory_of_ones_own_takes_nothing_and_a_closed_way_to_it_a_capability() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(to_write_in(folder.path()), CapabilitySet::empty());
    if !has(CapabilitySet::CHOWN | CapabilitySet::DAC_READ_SEARCH) {
        eprintln!("SKIPPED: needs CAP_CHOWN and CAP_DAC_READ_SEARCH");
        return;
    }
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    chown(folder.path(), Some(65534), Some(65534)).unwrap();
    assert_eq!(to_write_in(&own), CapabilitySet::DAC_READ_SEARCH);
    assert_eq!(to_write_in(folder.path()), CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE);
}
