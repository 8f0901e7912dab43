//! What needs no kernel; the rest is in `recorder/tests/sources_cgroup.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use super::*;

fn hierarchy(root: &Path, id: u32, controllers: &[&str]) -> Hierarchy {
    let directory = root.join(format!("h{id}"));
    fs::create_dir_all(&directory).unwrap();
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    Hierarchy { id, controllers, directory, root: "/".to_owned() }
}

fn hybrid(root: &Path) -> Hierarchies {
    let all = vec![
        hierarchy(root, 0, &[]),
        hierarchy(root, 2, &["cpu", "cpuacct"]),
        hierarchy(root, 3, &["memory"]),
        hierarchy(root, 4, &["name=systemd"]),
    ];
    Hierarchies { all, namespaced: false }
}

#[test]
fn each_hierarchy_that_is_measured_is_chosen_once() {
    let root = tempfile::tempdir().unwrap();
    let hierarchies = hybrid(root.path());
    assert_eq!(choose(&hierarchies).iter().map(|hierarchy| hierarchy.id).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn a_group_that_cannot_be_made_is_an_error_with_each_hierarchys_reason_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    // An ordinary file system makes no cgroup.procs.
    let error = CommandCgroup::create(&hybrid(root.path()), Path::new("sh")).unwrap_err().to_string();
    for part in ["h0: No such file", "h2: No such file", "h3: No such file"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!root.path().join("h0").join(PARENT).exists());
    let error = CommandCgroup::create(&Hierarchies::default(), Path::new("sh")).unwrap_err().to_string();
    assert!(error.contains("no control group hierarchy"), "{error}");
}

#[test]
fn groups_of_recorders_that_are_gone_are_removed() {
    let parent = tempfile::tempdir().unwrap();
    let own = std::process::id();
    let stay = [format!("sh.{own}"), format!("my.prog.{own}-1"), "sh".to_owned(), "sh.x".to_owned()];
    // No process has an id as great.
    let go = ["sh.4194305", "my.prog.4194305-3"].map(str::to_owned);
    for name in stay.iter().chain(&go) {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    remove_abandoned(parent.path());
    assert!(stay.iter().all(|name| parent.path().join(name).exists()));
    assert!(go.iter().all(|name| !parent.path().join(name).exists()));
}

#[test]
fn v2_controllers_are_enabled_where_they_are_not_and_a_refusal_is_a_warning() {
    let root = tempfile::tempdir().unwrap();
    let v2 = hierarchy(root.path(), 0, &["cpu", "io", "memory"]);
    let parent = v2.directory.join(PARENT);
    fs::create_dir(&parent).unwrap();
    fs::write(v2.directory.join("cgroup.subtree_control"), "cpu\n").unwrap();
    // The file is missing in the parent group, which stands for a kernel that refuses.
    let warnings = enable_controllers(&v2, &parent);
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].starts_with("cannot enable cpu in"), "{warnings:?}");
    // An ordinary file keeps the last write over those before it.
    let written = fs::read_to_string(root.path().join("h0/cgroup.subtree_control")).unwrap();
    assert!(written.starts_with("+io"), "{written}");
}

#[test]
fn any_program_gives_a_name_that_is_one_path_component() {
    for (program, name) in
        [("/", "command"), ("a b/c\nd", "c_d"), ("..", "command"), ("/usr/bin/my prog", "my_prog")]
    {
        assert_eq!(group_name(Path::new(program)), name);
    }
    assert_eq!(group_name(Path::new(&"x".repeat(300))).len(), NAME_LIMIT_CHARACTERS);
}
