use aftertrace_schemas::tables::LogFile;

use super::*;

#[test]
fn a_segment_begins_with_how_far_the_logs_of_live_containers_were_read() {
    let mut live = LiveState::new(Limits { log_files: 2, ..Limits::default() });
    let mut apply = |kind: Kind| live.apply(&Observation { seq: 0, time: 0, kind });
    let group = |kind| CgroupEvent {
        kind,
        hierarchy_id: 1,
        cgroup_id: 2,
        path: "/docker/a".to_owned(),
        pid: None,
        process_start_ns: None,
        process_cgroup: None,
    };
    let file = |path: &str, offset| LogFile {
        cgroup: "/docker/a".to_owned(),
        source: "stdout/stderr".to_owned(),
        path: path.to_owned(),
        inode: 7,
        offset,
    };
    apply(Kind::Cgroup(group(CgroupEventKind::Created)));
    for row in [file("/one", 10), file("/one", 30), file("/two", 5), file("/three", 1)] {
        apply(Kind::LogFile(row));
    }
    let files =
        |live: &LiveState| live.snapshot().filter(|row| matches!(row, Kind::LogFile(_))).collect::<Vec<_>>();
    assert_eq!(files(&live), [Kind::LogFile(file("/one", 30)), Kind::LogFile(file("/two", 5))]);
    assert_eq!(live.take_overflow(), BTreeMap::from([("log_files", 1)]));
    assert!(live.take_overflow().is_empty());
    live.apply(&Observation { seq: 0, time: 0, kind: Kind::Cgroup(group(CgroupEventKind::Removed)) });
    assert!(files(&live).is_empty());
}

#[test]
fn namespaces_that_nobody_is_in_any_more_make_room_for_others() {
    let mut live = LiveState::new(Limits { namespaces: 2, ..Limits::default() });
    let mut apply = |kind: Kind| live.apply(&Observation { seq: 0, time: 0, kind });
    let namespace = |network_namespace| {
        Kind::NetworkNamespace(NetworkNamespace { network_namespace, addresses: Vec::new() })
    };
    apply(Kind::ProcessSnapshot(ProcessSnapshot {
        pid: 9,
        process_start_ns: 0,
        parent_pid: 1,
        command: "a".to_owned(),
        executable: None,
        arguments: Vec::new(),
        arguments_bytes: 0,
        cgroup: None,
        uid: 0,
        namespace_pid: 9,
        pid_namespace: None,
        network_namespace: Some(1),
        mount_namespace: None,
    }));
    for inode in 1..=5 {
        apply(namespace(inode));
    }
    assert!(live.namespace(1).is_some() && live.namespace(5).is_some() && live.namespace(4).is_none());
    assert!(live.take_overflow().is_empty());
}
