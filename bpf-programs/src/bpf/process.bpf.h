// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Processes: start, program, end, choice by the OOM killer.
#pragma once
#include "ledger.h"
#include "rings.h"
#include "task.h"

// Decides whether a new process is recorded: like its parent, or by the control groups that it is in.
INLINE bool admit_child(struct task_struct *child, u32 tgid, u32 parent_tgid)
{
	struct css_set *groups = LOAD(child, cgroups);
	struct traced_value *inherited = bpf_map_lookup_elem(&traced, &parent_tgid);
	struct traced_value value = {};
	struct cgroup *cgroup = READ(groups, dfl_cgrp);

	if (inherited)
		value = *inherited;
	// clone() can put a child into another group of version 2 than its parent's.
	if (in_traced_cgroup(cgroup, 0))
		value.hierarchies |= hierarchy_bit(0);
	else
		value.hierarchies &= ~hierarchy_bit(0);
	if (!inherited) {
		u64 controllers[] = { core_enum_value(enum cgroup_subsys_id, memory_cgrp_id),
				      core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id) };

		for (int i = 0; i < 2; i++) {
			u32 hierarchy_id;

			cgroup = controller_cgroup(groups, controllers[i]);
			hierarchy_id = cgroup ? hierarchy_of(cgroup) : 0;
			if (hierarchy_id && in_traced_cgroup(cgroup, hierarchy_id))
				value.hierarchies |= hierarchy_bit(hierarchy_id);
		}
	}
	if (!value.by_pid && !value.hierarchies) {
		// A process of this number may have ended unseen.
		bpf_map_delete_elem(&traced, &tgid);
		return false;
	}
	bpf_map_update_elem(&traced, &tgid, &value, BPF_ANY);
	return true;
}

SEC("tp_btf/task_newtask") int task_newtask(u64 *context)
{
	struct task_struct *task = (void *)context[0];
	u64 clone_flags = context[1];
	struct process_start_record record = {};
	struct ledger_row *row;
	u32 parent_tgid, tgid;

	row = account(ACCOUNT_TASK_NEWTASK);
	if (!row)
		return 0;
	COUNT(row, seen);
	if (clone_flags & CLONE_THREAD) {
		COUNT(row, filtered);
		return 0;
	}
	tgid = LOAD(task, tgid);
	parent_tgid = bpf_get_current_pid_tgid() >> 32;
	if (filter_enabled && !admit_child(task, tgid, parent_tgid)) {
		COUNT(row, filtered);
		return 0;
	}
	fill_header(&record.header, RECORD_PROCESS_START, ACCOUNT_TASK_NEWTASK, sizeof(record), bpf_ktime_get_boot_ns());
	fill_task(&record.task, task);
	submit_lifecycle(row, &record, sizeof(record));
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct process_exec_record);
} exec_scratch SEC(".maps");

SEC("tp_btf/sched_process_exec") int sched_process_exec(u64 *context)
{
	struct task_struct *task = (void *)context[0];
	struct linux_binprm *program = (void *)context[2];
	struct process_exec_record *record;
	struct ledger_row *row = account(ACCOUNT_SCHED_PROCESS_EXEC);
	struct mm_struct *memory;
	u64 begin, total, filename_bytes, arguments_bytes, length;
	long written;
	u32 zero = 0;

	if (!row)
		return 0;
	COUNT(row, seen);
	record = bpf_map_lookup_elem(&exec_scratch, &zero);
	if (!record || !is_traced(LOAD(task, tgid))) {
		COUNT(row, filtered);
		return 0;
	}
	fill_task(&record->task, task);
	record->flags = 0;

	written = bpf_probe_read_kernel_str(record->text, FILENAME_MAX_BYTES, LOAD(program, filename));
	filename_bytes = written > 0 ? written - 1 : 0;
	barrier_var(filename_bytes);
	if (filename_bytes >= FILENAME_MAX_BYTES)
		filename_bytes = 0;
	if (filename_bytes == FILENAME_MAX_BYTES - 1)
		record->flags |= FLAG_TRUNCATED;

	memory = LOAD(task, mm);
	begin = READ(memory, arg_start);
	total = READ(memory, arg_end) - begin;
	arguments_bytes = total < ARGUMENTS_MAX_BYTES ? total : ARGUMENTS_MAX_BYTES;
	barrier_var(arguments_bytes);
	if (arguments_bytes > ARGUMENTS_MAX_BYTES)
		arguments_bytes = ARGUMENTS_MAX_BYTES;
	if (bpf_probe_read_user(record->text + filename_bytes, arguments_bytes, (void *)begin)) {
		// The start of a program is worth a row also when the page of its arguments is not in memory.
		record->flags |= FLAG_UNREADABLE;
		arguments_bytes = 0;
	} else if (total > arguments_bytes) {
		record->flags |= FLAG_TRUNCATED;
	}
	record->arguments_total_bytes = total;
	record->filename_bytes = filename_bytes;
	record->arguments_bytes = arguments_bytes;
	length = (offsetof(struct process_exec_record, text) + filename_bytes + arguments_bytes + 7) & ~7ull;
	barrier_var(length);
	if (length > sizeof(*record))
		length = sizeof(*record);
	fill_header(&record->header, RECORD_PROCESS_EXEC, ACCOUNT_SCHED_PROCESS_EXEC, length, bpf_ktime_get_boot_ns());
	submit_lifecycle(row, record, length);
	return 0;
}

struct process_key {
	u64 start_ns;
	u64 tgid;
};

// Processes of several threads whose end was seen: their last threads may pass the tracepoint side by side.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, u8);
} ended SEC(".maps");

SEC("tp_btf/sched_process_exit") int sched_process_exit(u64 *context)
{
	struct task_struct *task = (void *)context[0];
	struct task_struct *leader = LOAD(task, group_leader);
	struct signal_struct *signal = LOAD(task, signal);
	struct ledger_row *row = account(ACCOUNT_SCHED_PROCESS_EXIT);
	u32 tgid = LOAD(task, tgid);
	struct process_key key = { .start_ns = LOAD(leader, start_boottime), .tgid = tgid };
	struct process_exit_record record = { .start_ns = key.start_ns, .pid = tgid };
	u8 mark = 1;

	if (!row)
		return 0;
	COUNT(row, seen);
	if (LOAD(signal, live.counter) || !is_traced(tgid)) {
		COUNT(row, filtered);
		return 0;
	}
	// Every thread that finds `live` at zero while others are not released yet leaves a mark, and the first wins;
	// one that is alone may be the second.
	if (LOAD(signal, nr_threads) > 1 ? bpf_map_update_elem(&ended, &key, &mark, BPF_NOEXIST) != 0 :
					   bpf_map_lookup_elem(&ended, &key) != NULL) {
		COUNT(row, filtered);
		return 0;
	}
	if (filter_enabled)
		bpf_map_delete_elem(&traced, &tgid);
	// What wait() returns is the leader's, unless the group was ended as a whole.
	if (LOAD(signal, flags) & SIGNAL_GROUP_EXIT)
		record.status = LOAD(signal, group_exit_code);
	else
		record.status = LOAD(leader, exit_code);
	fill_header(&record.header, RECORD_PROCESS_EXIT, ACCOUNT_SCHED_PROCESS_EXIT, sizeof(record), bpf_ktime_get_boot_ns());
	submit_lifecycle(row, &record, sizeof(record));
	return 0;
}

SEC("tracepoint/oom/mark_victim") int mark_victim(struct mark_victim_context *context)
{
	struct ledger_row *row = account(ACCOUNT_MARK_VICTIM);
	struct oom_kill_record record = { .pid = context->pid };

	if (!row)
		return 0;
	COUNT(row, seen);
	if (!is_traced(record.pid)) {
		COUNT(row, filtered);
		return 0;
	}
	fill_header(&record.header, RECORD_OOM_KILL, ACCOUNT_MARK_VICTIM, sizeof(record), bpf_ktime_get_boot_ns());
	submit_urgent(row, &record, sizeof(record));
	return 0;
}
