//! systemd: its answers about units, by its bus.

use aftertrace_schemas::tables::SystemdUnit;
use aftertrace_workload::systemd::{Systemd, missing};

use super::*;

const WEB: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/sleep 600\n";
const TASK: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/usr/bin/true\n";
const TIMER: &str = "[Unit]\nDefaultDependencies=no\n[Timer]\nOnActiveSec=3600\n";
const ECHO: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=exec\nExecStart=/usr/bin/sleep 600\n";
const SOCKET: &str = "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/echo.sock\n";

fn unit(source: &RuntimeSource, name: &str) -> SystemdUnit {
    source.request(request(&format!("/system.slice/{name}"), name));
    loop {
        match next_answer(source) {
            Answer::Unit(row) if row.metadata == MetadataStatus::Unreachable => {}
            Answer::Unit(row) => return *row,
            Answer::Container(row) => panic!("{row:?}"),
        }
    }
}

#[test]
fn systemd_tells_the_type_of_a_unit_and_what_starts_it() {
    if skipped(missing()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let units = [
        (r"my\x2dweb.service", WEB),
        ("task.service", TASK),
        ("task.timer", TIMER),
        ("echo.service", ECHO),
        ("echo.socket", SOCKET),
    ];
    let systemd = Systemd::start(directory.path(), &units).unwrap();
    let source = source(Runtime::Systemd, systemd.bus());
    let said = |name: &str| {
        let row = unit(&source, name);
        assert_eq!((row.name.as_str(), row.cgroup.as_str()), (name, &*format!("/system.slice/{name}")));
        (row.metadata, row.unit_type, row.triggered_by)
    };
    let says = |unit_type: &str, triggered_by: &[&str]| {
        let triggered_by: Vec<String> = triggered_by.iter().map(|unit| (*unit).to_owned()).collect();
        (MetadataStatus::Found, Some(unit_type.to_owned()), triggered_by)
    };
    assert_eq!(said(r"my\x2dweb.service"), says("simple", &[]));
    assert_eq!(said("echo.service"), says("exec", &["echo.socket"]));
    assert_eq!(said("task.service"), says("oneshot", &["task.timer"]));
    assert_eq!(said("dbus.service"), says("notify", &["dbus.socket"]));
    assert_eq!(said("system.slice"), (MetadataStatus::Found, None, Vec::new()));
    assert_eq!(said("nothing.service"), (MetadataStatus::NotFound, None, Vec::new()));

    // It ends: only metadata is missing from then on.
    drop(systemd);
    source.request(request("/system.slice/x.service", "x.service"));
    assert_eq!(next_answer(&source).metadata(), MetadataStatus::Unreachable);
}
