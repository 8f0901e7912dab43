// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The ledger: per program and CPU, seen = filtered + submitted + dropped_ring_full + dropped_map_full +
// dropped_read_fault at any moment when no program is half-way. Programs that work as a pair (enter and exit of a
// system call) share an account; the pair counts an event when it ends. A run that makes two records (an accept of a
// connection that is already closed) counts as two events seen. One record submitted is one record in a ring.
#pragma once
#include "base.h"

enum account {
	ACCOUNT_TASK_NEWTASK,
	ACCOUNT_SCHED_PROCESS_EXEC,
	ACCOUNT_SCHED_PROCESS_EXIT,
	ACCOUNT_MARK_VICTIM,
	ACCOUNT_CGROUP_MKDIR,
	ACCOUNT_CGROUP_RMDIR,
	ACCOUNT_CGROUP_ATTACH_TASK,
	ACCOUNT_OPEN,
	ACCOUNT_CONNECT,
	ACCOUNT_ACCEPT,
	ACCOUNT_INET_SOCK_SET_STATE,
	ACCOUNT_TCP_RETRANSMIT_SKB,
	ACCOUNT_DATA,
	ACCOUNT_TLS,
	ACCOUNT_SCAN,
	ACCOUNT_SWEEP,
	ACCOUNTS,
};

struct ledger_row {
	u64 seen;
	u64 filtered;
	u64 submitted;
	u64 dropped_ring_full;
	u64 dropped_map_full;
	u64 dropped_read_fault;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ACCOUNTS);
	__type(key, u32);
	__type(value, struct ledger_row);
} ledger SEC(".maps");

INLINE struct ledger_row *account(u32 number)
{
	return bpf_map_lookup_elem(&ledger, &number);
}

// Atomic, since a program in softirq context may interrupt another one on the same CPU.
#define COUNT(row, what) atomic_add(&(row)->what, 1)
