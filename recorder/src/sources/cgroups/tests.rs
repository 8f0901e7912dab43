#![allow(unsafe_code, reason = "a thread gets a namespace of its own")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use aftertrace_schemas::tables::{CgroupEvent, CgroupEventKind, CgroupIo, CgroupStats};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::source::{Rows, Source, Subjects};
use super::*;

const V1_MOUNTS: &str = "\
25 1 254:0 / / rw - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
34 31 0:37 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
";
const V1_MEMBERSHIPS: &str = "9:memory:/\n4:cpu,cpuacct:/\n1:name=systemd:/user.slice\n0::/\n";
const V2_MOUNTS: &str = "40 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

/// A made-up host: its mounts and memberships, and files below its root.
fn host(mounts: &str, memberships: &str, files: &[(&str, &str)]) -> (TempDir, Hierarchies) {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec![("proc/self/mountinfo", mounts), ("proc/self/cgroup", memberships)];
    all.extend_from_slice(files);
    for (path, text) in all {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let hierarchies = Hierarchies::find(&Roots::below(directory.path()));
    (directory, hierarchies)
}

fn summary(host: &TempDir, hierarchies: &Hierarchies) -> Vec<String> {
    let line = |hierarchy: &Hierarchy| {
        let directory = hierarchy.directory.strip_prefix(host.path()).unwrap();
        format!("{} {} /{}", hierarchy.id, hierarchy.controllers.join(","), directory.display())
    };
    hierarchies.all.iter().map(line).collect()
}

#[test]
fn a_v1_host_has_a_hierarchy_for_each_mount() {
    let (directory, hierarchies) = host(V1_MOUNTS, V1_MEMBERSHIPS, &[]);
    assert_eq!(
        summary(&directory, &hierarchies),
        [
            "1 name=systemd /sys/fs/cgroup/systemd",
            "4 cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct",
            "9 memory /sys/fs/cgroup/memory"
        ]
    );
    assert_eq!(hierarchies.v1("cpuacct").unwrap().id, 4);
    assert!(hierarchies.v2().is_none());
    assert_eq!(hierarchies.warning(), None);
}

#[test]
fn a_v2_host_has_one_hierarchy_with_id_0() {
    let files = [("sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory pids\n")];
    let (directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    assert_eq!(summary(&directory, &hierarchies), ["0 cpuset,cpu,memory,pids /sys/fs/cgroup"]);
}

#[test]
fn a_hybrid_host_has_both() {
    let mounts = format!("{V1_MOUNTS}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let (_directory, hierarchies) = host(&mounts, V1_MEMBERSHIPS, &[]);
    assert_eq!(hierarchies.all.iter().map(|hierarchy| hierarchy.id).collect::<Vec<_>>(), [0, 1, 4, 9]);
}

#[test]
fn a_bind_mount_of_a_part_does_not_hide_the_whole() {
    let mounts = format!("20 1 0:38 /docker/abc /var/x/cgroup ro - cgroup2 cgroup2 rw\n{V2_MOUNTS}");
    let (directory, hierarchies) = host(&mounts, "0::/\n", &[]);
    assert_eq!(summary(&directory, &hierarchies), ["0  /sys/fs/cgroup"]);
}

#[test]
fn a_cgroup_namespace_and_a_host_without_cgroups_are_said() {
    let (directory, _) = host(V2_MOUNTS, "0::/\n", &[("proc/self/ns/x", "")]);
    let link = directory.path().join("proc/self/ns/cgroup");
    symlink("cgroup:[4026532999]", &link).unwrap();
    let warning = Hierarchies::find(&Roots::below(directory.path())).warning().unwrap();
    assert!(warning.contains("cgroup namespace"), "{warning}");
    fs::remove_file(&link).unwrap();
    symlink("cgroup:[4026531835]", &link).unwrap();
    assert_eq!(Hierarchies::find(&Roots::below(directory.path())).warning(), None);

    let warning = Hierarchies::find(&Roots::below(Path::new("/nonexistent"))).warning().unwrap();
    assert!(warning.contains("no control group"), "{warning}");
}

/// A container with a cgroup namespace of its own and `--pid=host`.
fn namespaced(own_mounts: &str, files: &[(&str, &str)]) -> (TempDir, Hierarchies) {
    let mut all = vec![("proc/1/mountinfo", V2_MOUNTS)];
    all.extend_from_slice(files);
    host(own_mounts, "0::/\n", &all)
}

#[test]
fn a_container_that_has_the_hosts_tree_mounted_reads_it_there() {
    let own = "50 40 0:38 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n51 40 0:38 /../../.. /host/cgroup ro - cgroup2 cgroup2 rw\n";
    let files = [
        ("host/cgroup/docker/abc/cpu.stat", "usage_usec 5\n"),
        ("proc/1/root/sys/fs/cgroup/cgroup.procs", ""),
    ];
    // Before the host's namespace is entered, the own part is called `/` too, and comes first.
    let (directory, hierarchies) = namespaced(&own.replace(" / ", " /docker/own "), &files);
    assert_eq!(summary(&directory, &hierarchies), ["0  /host/cgroup"]);
    assert!(CgroupStatsSource::new(hierarchies).read("/docker/abc").is_some());
}

#[test]
fn a_container_without_the_hosts_tree_reads_it_through_the_first_process() {
    let own = "50 40 0:38 /docker/own /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    let files = [("proc/1/root/sys/fs/cgroup/docker/abc/cpu.stat", "usage_usec 5\n")];
    let (directory, hierarchies) = namespaced(own, &files);
    assert_eq!(summary(&directory, &hierarchies), ["0  /proc/1/root/sys/fs/cgroup"]);
    assert!(CgroupStatsSource::new(hierarchies).read("/docker/abc").is_some());
}

#[test]
fn where_only_a_part_of_the_tree_can_be_seen_paths_are_still_those_of_the_host() {
    let own = "50 40 0:38 /docker/own /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    let files = [
        ("sys/fs/cgroup/cpu.stat", "usage_usec 5\n"),
        ("sys/fs/cgroup/inner/cpu.stat", "usage_usec 6\n"),
        ("sys/fs/cgroup/docker/own/cpu.stat", "usage_usec 7\n"),
    ];
    let (directory, hierarchies) = host(own, "0::/\n", &files);
    let paths = |below: &str| {
        let mut paths: Vec<String> =
            hierarchies.scan_below(below).groups.into_iter().map(|group| group.path).collect();
        paths.sort_unstable();
        paths
    };
    assert_eq!(paths("/docker/own/inner"), ["/docker/own/inner"]);
    assert!(paths("/").iter().all(|path| path.starts_with("/docker/own")), "{:?}", paths("/"));
    assert_eq!(paths("/docker/other"), [""; 0]);
    let below_mount = directory.path().join("sys/fs/cgroup/inner");
    assert_eq!(hierarchies.all[0].path_of(&below_mount).as_deref(), Some("/docker/own/inner"));
    let mut source = CgroupStatsSource::new(hierarchies);
    let usage = |row: Option<CgroupStats>| row.and_then(|row| row.cpu_usage_ns);
    assert_eq!(usage(source.read("/docker/own")), Some(5_000));
    assert_eq!(usage(source.read("/docker/own/inner")), Some(6_000));
    assert_eq!(usage(source.read("/docker/other")), None);
}

#[test]
fn a_thread_in_a_cgroup_namespace_of_its_own_finds_back_to_the_hosts() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test as root");
        return;
    }
    // This process takes the place of the first one, into which not every root may look.
    let first = tempfile::tempdir().unwrap();
    let roots = Roots { proc: first.path().to_owned(), ..Roots::default() };
    symlink(format!("/proc/{}", std::process::id()), roots.proc_file("1")).unwrap();
    symlink("/proc/thread-self", roots.proc_file("thread-self")).unwrap();
    let path = || fs::read_to_string("/proc/1/cgroup").unwrap();
    let there = || {
        // SAFETY: the thread shares nothing of what is left: only its own view of control groups changes.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }.unwrap();
        let inside = namespace::own(&roots);
        enter_host_namespace(&roots).unwrap();
        (inside, namespace::own(&roots), path())
    };
    let (inside, after, seen) = std::thread::scope(|scope| scope.spawn(there).join().unwrap());
    let host = crate::sources::read_namespace(Path::new("/proc/self/ns/cgroup"));
    assert!(host.is_some() && inside != host);
    assert_eq!((after, seen), (host, path()));
}

#[test]
fn a_scan_gives_every_group_with_the_inode_of_its_directory() {
    let files = [
        ("sys/fs/cgroup/docker/abc/init/cgroup.procs", ""),
        ("sys/fs/cgroup/docker/abc/memory.max", "max\n"),
        ("sys/fs/cgroup/system.slice/a.service/cgroup.procs", ""),
    ];
    let (directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let scan = hierarchies.scan();
    let mut paths: Vec<&str> = scan.groups.iter().map(|group| group.path.as_str()).collect();
    let position = |path| paths.iter().position(|known| *known == path).unwrap();
    assert!(position("/docker") < position("/docker/abc"));
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["/", "/docker", "/docker/abc", "/docker/abc/init", "/system.slice", "/system.slice/a.service"]
    );
    for group in &scan.groups {
        let inode = fs::metadata(hierarchies.all[0].directory_of(&group.path).unwrap()).unwrap().ino();
        assert_eq!((group.hierarchy_id, group.cgroup_id, group.kind), (0, inode, CgroupEventKind::Existing));
    }
    assert_eq!((scan.skipped, scan.truncated), (0, false));
    assert_eq!(hierarchies.scan_below("/docker/abc").groups.len(), 2);
    assert_eq!(hierarchies.scan_below("/docker/../..").groups.len(), 0);
    drop(directory);
}

#[test]
fn v1_values_come_from_each_controllers_hierarchy() {
    let files = [
        ("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpuacct.usage", "12345678\n"),
        (
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.stat",
            "nr_periods 5\nnr_throttled 1\nthrottled_time 777\n",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "67108864\n"),
        (
            "sys/fs/cgroup/memory/docker/abc/memory.stat",
            "cache 1\nrss 2\nmapped_file 3\ntotal_cache 100\ntotal_rss 200\ntotal_mapped_file 30\n",
        ),
    ];
    let (_directory, hierarchies) = host(V1_MOUNTS, V1_MEMBERSHIPS, &files);
    assert_eq!(
        CgroupStatsSource::new(hierarchies).read("/docker/abc").unwrap(),
        CgroupStats {
            cpu_usage_ns: Some(12_345_678),
            cpu_throttled_ns: Some(777),
            cpu_limit_cores: Some(1.5),
            memory_limit_bytes: Some(67_108_864),
            memory_anonymous_bytes: Some(200),
            memory_mapped_file_bytes: Some(30),
            memory_cache_bytes: Some(100),
            ..CgroupStats::new("/docker/abc")
        }
    );
}

#[test]
fn no_limit_is_absent_on_v1_and_on_v2() {
    let files = [
        ("sys/fs/cgroup/cpu,cpuacct/a/cpuacct.usage", "1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    let (_v1, hierarchies) = host(V1_MOUNTS, V1_MEMBERSHIPS, &files);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!((row.cpu_limit_cores, row.memory_limit_bytes), (None, None));

    let files = [
        ("sys/fs/cgroup/a/cpu.stat", "usage_usec 5\n"),
        ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/a/memory.max", "max\n"),
    ];
    let (_v2, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!((row.cpu_limit_cores, row.memory_limit_bytes), (None, None));
}

#[test]
fn v2_values_come_from_the_one_hierarchy() {
    let files = [
        ("sys/fs/cgroup/a/cpu.stat", "usage_usec 5\nuser_usec 3\nthrottled_usec 7\n"),
        ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
        ("sys/fs/cgroup/a/memory.max", "1048576\n"),
        ("sys/fs/cgroup/a/memory.stat", "anon 11\nfile 22\nkernel 1\nfile_mapped 33\n"),
    ];
    let (_directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!(
        (row.cpu_usage_ns, row.cpu_throttled_ns, row.cpu_limit_cores),
        (Some(5_000), Some(7_000), Some(0.5))
    );
    assert_eq!(row.memory_limit_bytes, Some(1_048_576));
    assert_eq!(
        (row.memory_anonymous_bytes, row.memory_mapped_file_bytes, row.memory_cache_bytes),
        (Some(11), Some(33), Some(22))
    );
}

#[test]
fn on_a_hybrid_host_each_value_comes_from_the_hierarchy_that_has_it() {
    let mounts = format!("{V1_MOUNTS}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096\n"),
        ("sys/fs/cgroup/unified/a/cpu.stat", "usage_usec 5\n"),
        ("sys/fs/cgroup/unified/a/memory.max", "1\n"),
    ];
    let (_directory, hierarchies) = host(&mounts, V1_MEMBERSHIPS, &files);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!((row.cpu_usage_ns, row.memory_limit_bytes), (Some(5_000), Some(4_096)));
}

fn io(cgroup: &str, device: (u32, u32), counters: [u64; 4]) -> CgroupIo {
    let [reads, writes, read_bytes, written_bytes] = counters;
    let (device_major, device_minor) = device;
    CgroupIo {
        cgroup: cgroup.to_owned(),
        device_major,
        device_minor,
        reads,
        writes,
        read_bytes,
        written_bytes,
    }
}

const BLKIO_MOUNT: &str = "35 31 0:33 / /sys/fs/cgroup/blkio rw,nosuid - cgroup cgroup rw,blkio\n";
const BLKIO_MEMBERSHIP: &str = "7:blkio:/system.slice\n";
const THROTTLE: &str = "sys/fs/cgroup/blkio/a/blkio.throttle.io";

#[test]
fn v1_block_io_is_that_of_the_group_with_those_below_it_where_the_kernel_sums_them() {
    let (serviced, bytes) = (format!("{THROTTLE}_serviced"), format!("{THROTTLE}_service_bytes"));
    let recursive = format!("{THROTTLE}_serviced_recursive");
    let mut files = vec![
        (serviced.as_str(), "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Total 3\n253:0 Read 0\nTotal 3\n"),
        (bytes.as_str(), "8:0 Read 4096\n8:0 Write 8192\n8:0 Discard 0\n8:0 Total 12288\nTotal 12288\n"),
    ];
    let mounts = format!("{V1_MOUNTS}{BLKIO_MOUNT}");
    let memberships = format!("{V1_MEMBERSHIPS}{BLKIO_MEMBERSHIP}");
    let (_old_kernel, hierarchies) = host(&mounts, &memberships, &files);
    let expected = [io("/a", (8, 0), [1, 2, 4096, 8192]), io("/a", (253, 0), [0; 4])];
    assert_eq!(CgroupIoSource::new(hierarchies).read("/a"), expected);

    files.push((recursive.as_str(), "8:0 Read 5\n8:0 Write 6\nTotal 11\n"));
    let (_new_kernel, hierarchies) = host(&mounts, &memberships, &files);
    let expected = [io("/a", (8, 0), [5, 6, 4096, 8192])];
    assert_eq!(CgroupIoSource::new(hierarchies).read("/a"), expected);
}

#[test]
fn v2_block_io_is_that_of_io_stat() {
    let files = [(
        "sys/fs/cgroup/a/io.stat",
        "259:0 rbytes=90112 wbytes=4096 rios=11 wios=1 dbytes=0 dios=0\n7:0 \n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n",
    )];
    let (_directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let expected = [io("/a", (8, 16), [3, 4, 1, 2]), io("/a", (259, 0), [11, 1, 90112, 4096])];
    let mut source = CgroupIoSource::new(hierarchies);
    assert_eq!(source.read("/a"), expected);
    assert_eq!(source.read("/gone"), []);
}

#[test]
fn on_a_hybrid_host_block_io_comes_from_the_hierarchy_that_has_the_controller() {
    let unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let serviced = format!("{THROTTLE}_serviced");
    let files = [
        (serviced.as_str(), "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
        ("sys/fs/cgroup/unified/a/cpu.pressure", PRESSURE),
    ];
    let mounts = format!("{V1_MOUNTS}{BLKIO_MOUNT}{unified}");
    let (_in_v1, hierarchies) = host(&mounts, &format!("{V1_MEMBERSHIPS}{BLKIO_MEMBERSHIP}"), &files);
    assert_eq!(CgroupIoSource::new(hierarchies.clone()).read("/a"), [io("/a", (8, 0), [1, 2, 0, 0])]);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!(row.cpu_pressure_some_ns, Some(7_408_023_000));

    let files = [("sys/fs/cgroup/unified/a/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n")];
    let (_in_v2, hierarchies) = host(&format!("{V1_MOUNTS}{unified}"), V1_MEMBERSHIPS, &files);
    assert_eq!(CgroupIoSource::new(hierarchies).read("/a"), [io("/a", (8, 0), [3, 4, 1, 2])]);
}

#[test]
fn a_v1_kernel_that_counts_nothing_on_any_disk_is_said() {
    let root = "sys/fs/cgroup/blkio/blkio.throttle.io_serviced";
    let mounts = format!("{V1_MOUNTS}{BLKIO_MOUNT}");
    let memberships = format!("{V1_MEMBERSHIPS}{BLKIO_MEMBERSHIP}");
    let subjects = Subjects { cgroups: ["/a".to_owned()].into(), ..Subjects::default() };
    for (text, is_said) in [("Total 0\n", true), ("8:0 Read 1\nTotal 1\n", false)] {
        let (_host, hierarchies) = host(&mounts, &memberships, &[(root, text)]);
        let outcome = CgroupIoSource::new(hierarchies).measure(&subjects, &mut Rows::default());
        assert_eq!(outcome.is_err_and(|said| said.reason.contains("6.10")), is_said);
    }
}

const PRESSURE: &str = "\
some avg10=1.50 avg60=0.23 avg300=2.00 total=7408023
full avg10=0.00 avg60=0.00 avg300=0.00 total=12
";

#[test]
fn pressure_is_the_total_of_each_resource_and_kind_as_far_as_there_are_files() {
    let files = [
        ("sys/fs/cgroup/a/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
        ("sys/fs/cgroup/a/memory.pressure", PRESSURE),
    ];
    let (_directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let row = CgroupStatsSource::new(hierarchies).read("/a").unwrap();
    assert_eq!((row.cpu_pressure_some_ns, row.cpu_pressure_full_ns), (Some(5_000), None));
    assert_eq!(
        (row.memory_pressure_some_ns, row.memory_pressure_full_ns),
        (Some(7_408_023_000), Some(12_000))
    );
    assert_eq!((row.io_pressure_some_ns, row.io_pressure_full_ns), (None, None));
}

#[test]
fn a_group_that_is_gone_or_outside_gives_no_row() {
    let files = [("sys/fs/cgroup/a/cpu.stat", "usage_usec 5\n"), ("sys/fs/cpu.stat", "usage_usec 5\n")];
    let (_directory, hierarchies) = host(V2_MOUNTS, "0::/\n", &files);
    let mut source = CgroupStatsSource::new(hierarchies);
    assert_eq!(source.read("/gone"), None);
    assert_eq!(source.read("/.."), None);
    assert_eq!(source.read("/a/../../"), None);
}

fn event(kind: CgroupEventKind, id: u64, path: &str) -> CgroupEvent {
    CgroupEvent {
        kind,
        hierarchy_id: 4,
        cgroup_id: id,
        path: path.to_owned(),
        pid: None,
        process_start_ns: None,
        process_cgroup: None,
    }
}

#[test]
fn the_index_knows_a_removed_group_a_little_longer_and_stays_within_its_bound() {
    let mut index = CgroupPathIndex::new(2);
    index.apply(&event(CgroupEventKind::Existing, 1, "/a"));
    index.apply(&event(CgroupEventKind::Created, 2, "/b"));
    index.apply(&event(CgroupEventKind::Created, 3, "/c"));
    assert_eq!(index.path(4, 3), None);
    assert_eq!(index.take_overflow(), 1);
    index.apply(&event(CgroupEventKind::Removed, 1, "/a"));
    assert_eq!(index.path(4, 1), Some("/a"));
    index.apply(&event(CgroupEventKind::Created, 3, "/c"));
    assert_eq!((index.path(4, 1), index.path(4, 3), index.path(0, 3)), (None, Some("/c"), None));
    assert_eq!((index.len(), index.take_overflow()), (2, 0));
}

#[test]
fn the_hierarchies_of_this_machine_are_found_and_their_root_has_a_row() {
    let hierarchies = Hierarchies::find(&Roots::default());
    if hierarchies.all.is_empty() {
        // A build sandbox without cgroups: there is nothing to compare with.
        return;
    }
    let scan = hierarchies.scan();
    for hierarchy in &hierarchies.all {
        assert!(hierarchy.directory.is_dir());
        assert!(scan.groups.iter().any(|group| group.hierarchy_id == hierarchy.id && group.path == "/"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = (parse_mounts(&bytes).count(), parse_memberships(&bytes), parse_mount(&bytes));
    }

    #[test]
    fn no_path_leads_out_of_a_hierarchy(path in "[a./]{0,20}") {
        let (directory, root) = (PathBuf::from("/cg"), "/".to_owned());
        let hierarchy = Hierarchy { id: 0, controllers: Vec::new(), directory, root };
        if let Some(directory) = hierarchy.directory_of(&path) {
            prop_assert!(directory.starts_with("/cg") && !directory.to_string_lossy().contains("/../"));
        }
    }

    #[test]
    fn the_index_never_exceeds_its_bound(events in proptest::collection::vec((0_u64..50, any::<bool>()), 0..300)) {
        let mut index = CgroupPathIndex::new(10);
        for (id, created) in events {
            let kind = if created { CgroupEventKind::Created } else { CgroupEventKind::Removed };
            index.apply(&event(kind, id, "/x"));
            prop_assert!(index.len() <= 10);
        }
    }
}
