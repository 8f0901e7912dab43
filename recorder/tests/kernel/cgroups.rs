use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use aftertrace_recorder::kernel::KernelConfig;

use crate::recording::{Recording, config};

/// A control group of version 2 of this test's own, removed at its end.
struct Group(PathBuf);

impl Group {
    fn make(name: &str) -> Self {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .find(|root| Path::new(root).join("cgroup.procs").exists())
            .expect("version 2 is mounted");
        let path = Path::new(root).join(format!("aftertrace-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn child(&self, name: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    fn enter(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A shell that runs a program for each line it is given.
fn shell() -> Child {
    Command::new("/bin/sh").arg("-s").stdin(std::process::Stdio::piped()).spawn().unwrap()
}

fn order(shell: &mut Child, line: &str) {
    use std::io::Write;
    shell.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
}

#[test]
fn who_enters_a_traced_group_or_one_below_is_recorded_until_it_leaves() {
    let Some(mut recording) = Recording::load(&config()) else { return };
    let group = Group::make("entered");
    let inner = group.child("inner");
    let outside = Group::make("outside");
    recording.kernel.trace_cgroup(0, group.id()).unwrap();
    recording.kernel.attach();
    let mut shell = shell();
    order(&mut shell, "/bin/true outside\n");
    inner.enter(shell.id());
    order(&mut shell, "/bin/true inside\n");
    recording.wait_for(|seen| !seen.exits.is_empty());
    assert!(recording.kernel.is_traced(shell.id()));
    outside.enter(shell.id());
    assert!(!recording.kernel.is_traced(shell.id()));
    order(&mut shell, "/bin/true left; exit\n");
    shell.wait().unwrap();
    let seen = recording.end();
    let execs: Vec<_> = seen.execs.iter().map(|(_, _, arguments)| arguments.join(" ")).collect();
    assert_eq!(execs, ["/bin/true inside"]);
    assert_eq!((seen.starts.len(), seen.exits.len()), (1, 1));
    assert_eq!(seen.starts[0].cgroup_ids[0], inner.id());
    let (attached, path) = &seen.attached[0];
    assert_eq!((attached.pid, attached.cgroup_id, attached.hierarchy_id), (shell.id(), inner.id(), 0));
    assert!(inner.0.to_str().unwrap().ends_with(path.as_str()), "{path}");
    assert_eq!(attached.level, 2);
    assert_eq!(seen.attached.len(), 1);
}

#[test]
fn a_process_named_by_pid_is_recorded_wherever_it_moves() {
    let Some(mut recording) = Recording::begin() else { return };
    let group = Group::make("moved");
    let mut shell = shell();
    group.enter(shell.id());
    order(&mut shell, "/bin/true; exit\n");
    shell.wait().unwrap();
    recording.wait_for(|seen| seen.exits.len() == 2);
    let seen = recording.end();
    assert_eq!((seen.starts.len(), seen.execs.len(), seen.exits.len()), (2, 2, 2));
    assert_eq!(seen.attached.len(), 1);
}

#[test]
fn groups_that_are_made_and_removed_are_told_of_with_their_path_and_whatever_the_filter() {
    let Some(mut recording) = Recording::load(&KernelConfig { filter_enabled: true, ..config() }) else {
        return;
    };
    recording.kernel.attach();
    let group = Group::make("made");
    let (id, path) = (group.id(), group.0.clone());
    drop(group);
    let seen = recording.end();
    for list in [&seen.created, &seen.removed] {
        let (record, told) = list.iter().find(|(record, _)| record.cgroup_id == id).unwrap();
        assert_eq!((record.hierarchy_id, record.level), (0, 1));
        assert!(path.to_str().unwrap().ends_with(told.as_str()));
    }
}
