// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What the records say of a task, and how a file descriptor leads to a file.
#pragma once
#include "filter.h"
#include "kernel_types.h"
#include "wire.h"

// Which group the task is in, in the hierarchy that has this controller; zeros when that is version 2.
INLINE struct cgroup *controller_cgroup(struct css_set *groups, u64 controller)
{
	struct cgroup_subsys_state **states = (void *)((u8 *)groups + core_offset(struct css_set, subsys));
	struct cgroup_subsys_state *state = NULL;

	bpf_probe_read_kernel(&state, sizeof(state), states + controller);
	return state ? READ(state, cgroup) : NULL;
}

INLINE u32 hierarchy_of(struct cgroup *cgroup)
{
	return READ(READ(cgroup, root), hierarchy_id);
}

INLINE void fill_cgroup(struct task_facts *facts, int place, struct cgroup *cgroup)
{
	u32 hierarchy_id = cgroup ? hierarchy_of(cgroup) : 0;

	// A controller that is not in a hierarchy of its own is in version 2, whose group is known already.
	facts->hierarchy_ids[place] = hierarchy_id;
	facts->cgroup_ids[place] = hierarchy_id ? READ(READ(cgroup, kn), id) : 0;
}

// `task` is one whose type the verifier knows.
INLINE void fill_task(struct task_facts *facts, struct task_struct *task)
{
	struct task_struct *leader = LOAD(task, group_leader);
	struct task_struct *parent = LOAD(task, real_parent);
	struct css_set *groups = LOAD(task, cgroups);
	struct nsproxy *namespaces = LOAD(task, nsproxy);
	struct pid *pid = LOAD(leader, thread_pid);
	struct upid innermost = {};
	u32 level = READ(pid, level);

	facts->start_ns = LOAD(leader, start_boottime);
	facts->pid = LOAD(task, tgid);
	facts->parent_pid = READ(parent, tgid);
	facts->parent_start_ns = READ(READ(parent, group_leader), start_boottime);
	facts->uid = READ(READ(task, cred), uid.val);
	bpf_probe_read_kernel(&facts->command, sizeof(facts->command), &task->comm);

	facts->cgroup_ids[0] = READ(READ(READ(groups, dfl_cgrp), kn), id);
	facts->hierarchy_ids[0] = 0;
	fill_cgroup(facts, 1, controller_cgroup(groups, core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)));
	fill_cgroup(facts, 2, controller_cgroup(groups, core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id)));

	// `numbers` has an element a level; the innermost is the last.
	bpf_probe_read_kernel(&innermost, sizeof(innermost),
			      (u8 *)pid + core_offset(struct pid, numbers) + level * sizeof(struct upid));
	facts->namespace_pid = innermost.nr;
	facts->pid_namespace = innermost.ns ? READ(innermost.ns, ns.inum) : 0;
	facts->network_namespace = READ(READ(namespaces, net_ns), ns.inum);
	facts->mount_namespace = READ(READ(namespaces, mnt_ns), ns.inum);
	facts->cgroup_namespace = READ(READ(namespaces, cgroup_ns), ns.inum);
	facts->reserved = 0;
}

// Whether the kernel gives the current task as a pointer whose type the verifier knows: then its fields are loads,
// not calls.
const volatile u32 typed_current_task = 0;

INLINE u64 current_start_ns(void)
{
	if (typed_current_task)
		return LOAD(LOAD(bpf_get_current_task_btf(), group_leader), start_boottime);
	return READ(READ((struct task_struct *)bpf_get_current_task(), group_leader), start_boottime);
}

// The file behind a descriptor of the current process; NULL when there is none.
INLINE struct file *current_file(u32 fd)
{
	struct file **files, *file = NULL;
	u32 max_fds;

	if (typed_current_task) {
		struct fdtable *table = LOAD(LOAD(bpf_get_current_task_btf(), files), fdt);

		max_fds = LOAD(table, max_fds);
		files = LOAD(table, fd);
	} else {
		struct fdtable *table = READ(READ((struct task_struct *)bpf_get_current_task(), files), fdt);

		max_fds = READ(table, max_fds);
		files = READ(table, fd);
	}
	// For the sake of one that has a type: a struct that is just a pointer.
	if (fd < max_fds)
		file = (struct file *)READ((struct hlist_head *)(files + fd), first);
	return file;
}

// The socket of a file; NULL when it is another kind of file.
INLINE struct socket *file_socket(struct file *file)
{
	struct inode *inode = READ(file, f_inode);

	if (!inode || (READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	return READ(file, private_data);
}
