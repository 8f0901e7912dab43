// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Control groups of both versions: made, removed, entered by a process. The first two are state that explains later
// events, so no filter applies to them.
#pragma once
#include "ledger.h"
#include "rings.h"
#include "task.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cgroup_record);
} cgroup_scratch SEC(".maps");

INLINE void submit_cgroup(struct ledger_row *row, u16 kind, u16 account, struct cgroup *cgroup, const char *path,
			  struct task_struct *task)
{
	u32 zero = 0;
	struct cgroup_record *record = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	u64 path_bytes, length;
	long written;

	if (!record) {
		COUNT(row, filtered);
		return;
	}
	record->cgroup_id = READ(READ(cgroup, kn), id);
	record->hierarchy_id = hierarchy_of(cgroup);
	record->level = READ(cgroup, level);
	record->start_ns = task ? READ(READ(task, group_leader), start_boottime) : 0;
	record->pid = task ? READ(task, tgid) : 0;
	record->flags = 0;
	written = bpf_probe_read_kernel_str(record->path, CGROUP_PATH_MAX_BYTES, path);
	if (written < 0) {
		COUNT(row, dropped_read_fault);
		return;
	}
	path_bytes = written > 0 ? written - 1 : 0;
	barrier_var(path_bytes);
	if (path_bytes >= CGROUP_PATH_MAX_BYTES)
		path_bytes = 0;
	if (path_bytes == CGROUP_PATH_MAX_BYTES - 1)
		record->flags |= FLAG_TRUNCATED;
	record->path_bytes = path_bytes;
	length = (offsetof(struct cgroup_record, path) + path_bytes + 7) & ~7ull;
	barrier_var(length);
	if (length > sizeof(*record))
		length = sizeof(*record);
	fill_header(&record->header, kind, account, length, bpf_ktime_get_boot_ns());
	submit_urgent(row, record, length);
}

SEC("tp_btf/cgroup_mkdir") int cgroup_mkdir(u64 *context)
{
	struct ledger_row *row = account(ACCOUNT_CGROUP_MKDIR);

	if (!row)
		return 0;
	COUNT(row, seen);
	submit_cgroup(row, RECORD_CGROUP_CREATED, ACCOUNT_CGROUP_MKDIR, (void *)context[0], (void *)context[1], NULL);
	return 0;
}

SEC("tp_btf/cgroup_rmdir") int cgroup_rmdir(u64 *context)
{
	struct ledger_row *row = account(ACCOUNT_CGROUP_RMDIR);

	if (!row)
		return 0;
	COUNT(row, seen);
	submit_cgroup(row, RECORD_CGROUP_REMOVED, ACCOUNT_CGROUP_RMDIR, (void *)context[0], (void *)context[1], NULL);
	return 0;
}

// Keeps `traced` right for a process that entered a group; whether it is recorded from now on.
INLINE bool admit_moved(struct cgroup *cgroup, u32 tgid)
{
	u32 hierarchy_id = hierarchy_of(cgroup);
	struct traced_value *known = bpf_map_lookup_elem(&traced, &tgid);
	struct traced_value value = {};

	if (known)
		value = *known;
	if (in_traced_cgroup(cgroup, hierarchy_id))
		value.hierarchies |= hierarchy_bit(hierarchy_id);
	else
		value.hierarchies &= ~hierarchy_bit(hierarchy_id);
	if (!value.by_pid && !value.hierarchies) {
		if (known)
			bpf_map_delete_elem(&traced, &tgid);
		return false;
	}
	return bpf_map_update_elem(&traced, &tgid, &value, BPF_ANY) == 0;
}

SEC("tp_btf/cgroup_attach_task") int cgroup_attach_task(u64 *context)
{
	struct cgroup *cgroup = (void *)context[0];
	struct task_struct *task = (void *)context[2];
	struct ledger_row *row = account(ACCOUNT_CGROUP_ATTACH_TASK);
	u32 tgid = LOAD(task, tgid);

	if (!row)
		return 0;
	COUNT(row, seen);
	// Moves of single threads do not move the process.
	if (LOAD(task, pid) != tgid || tgid == self_tgid || (filter_enabled && !admit_moved(cgroup, tgid))) {
		COUNT(row, filtered);
		return 0;
	}
	submit_cgroup(row, RECORD_CGROUP_ATTACHED, ACCOUNT_CGROUP_ATTACH_TASK, cgroup, (void *)context[1], task);
	return 0;
}
