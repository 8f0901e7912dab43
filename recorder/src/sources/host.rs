//! Names and versions of the host: uname, machine id, boot id in, the `HostSnapshot` row out.

use aftertrace_schemas::tables::HostSnapshot;
use rustix::thread::LinkNameSpaceType;

use super::file::first_line;
use super::host_namespace::in_namespace_of_host;
use super::{Roots, read_namespace};

/// The host.
pub fn read(roots: &Roots) -> HostSnapshot {
    // In a container the recorder has a name of its own.
    let uname =
        in_namespace_of_host(roots, LinkNameSpaceType::HostNameAndNISDomainName, rustix::system::uname)
            .unwrap_or_else(rustix::system::uname);
    let system_uuid = first_line(&roots.sys.join("devices/virtual/dmi/id/product_uuid")).unwrap_or_default();
    // Likewise a file system of its own; process 1 has the host's.
    let of_host = |path: &str| roots.proc_file("1/root").join(path.trim_start_matches('/'));
    let machine_id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|path| first_line(&of_host(path)).or_else(|| first_line(&roots.path(path))))
        .unwrap_or_else(|| system_uuid.clone());
    HostSnapshot {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        kernel_version: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        machine_id: machine_id.replace('-', ""),
        system_uuid,
        boot_id: first_line(&roots.proc_file("sys/kernel/random/boot_id")).unwrap_or_default(),
        network_namespace: read_namespace(&roots.proc_file("1/ns/net")),
        recorder_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_machine_id_comes_from_the_first_place_that_has_one() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        assert_eq!(read(&roots).machine_id, "");
        let write = |path: &str, text: &str| {
            let path = roots.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("/sys/devices/virtual/dmi/id/product_uuid", "4C4C4544-0042\n");
        assert_eq!(
            (read(&roots).machine_id.as_str(), read(&roots).system_uuid.as_str()),
            ("4C4C45440042", "4C4C4544-0042")
        );
        write("/var/lib/dbus/machine-id", "bbb\n");
        assert_eq!(read(&roots).machine_id, "bbb");
        // Images ship the file empty, to be filled at first boot.
        write("/etc/machine-id", "\n");
        assert_eq!(read(&roots).machine_id, "bbb");
        write("/etc/machine-id", "aaa\n");
        // In a container with the host's processes, what process 1 sees is the host's.
        write("/proc/1/root/etc/machine-id", "hhh\n");
        assert_eq!(read(&roots).machine_id, "hhh");
        fs::remove_dir_all(roots.proc_file("1/root")).unwrap();
        write("/proc/sys/kernel/random/boot_id", "1-2-3\n");
        write("/proc/1/ns/x", "");
        symlink("net:[4026531833]", roots.proc_file("1/ns/net")).unwrap();
        let row = read(&roots);
        assert_eq!((row.machine_id.as_str(), row.boot_id.as_str()), ("aaa", "1-2-3"));
        assert_eq!(row.network_namespace, Some(4026531833));
    }

    #[test]
    fn this_machine_has_a_name_and_a_kernel() {
        let row = read(&Roots::default());
        assert!(!row.hostname.is_empty() && row.kernel_version.contains('.') && !row.architecture.is_empty());
        assert_eq!(row.boot_id.len(), 36);
    }
}
