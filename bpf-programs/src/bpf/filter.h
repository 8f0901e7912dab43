// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Which processes are recorded. Without a filter: all but the recorder. With one: those in `traced`, which user space
// fills by pid or control group, and which the programs keep current as processes fork, move and end.
#pragma once
#include "base.h"
#include "kernel_types.h"

const volatile u32 filter_enabled = 0;
const volatile u32 self_tgid = 0;

struct traced_value {
	u32 by_pid;	 // 1: itself or an ancestor was named by pid; it stays whatever control group it moves to
	u32 hierarchies; // bit hierarchy % 32: it is in a control group that was named
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct traced_value);
} traced SEC(".maps");

struct cgroup_key {
	u64 cgroup_id;
	u32 hierarchy_id;
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct cgroup_key);
	__type(value, u32);
} traced_cgroups SEC(".maps");

INLINE bool is_traced(u32 tgid)
{
	if (tgid == self_tgid)
		return false;
	if (!filter_enabled)
		return true;
	return bpf_map_lookup_elem(&traced, &tgid) != NULL;
}

// Deeper groups than this count as outside.
#define MAX_CGROUP_DEPTH 16

// Whether the group or one above it was named.
INLINE bool in_traced_cgroup(struct cgroup *cgroup, u32 hierarchy_id)
{
	struct cgroup_key key = { .hierarchy_id = hierarchy_id };

	for (int depth = 0; depth < MAX_CGROUP_DEPTH && cgroup; depth++) {
		struct cgroup_subsys_state *parent;

		key.cgroup_id = READ(READ(cgroup, kn), id);
		if (bpf_map_lookup_elem(&traced_cgroups, &key))
			return true;
		parent = READ(cgroup, self.parent);
		cgroup = parent ? READ(parent, cgroup) : NULL;
	}
	return false;
}

INLINE u32 hierarchy_bit(u32 hierarchy_id)
{
	return 1u << (hierarchy_id & 31);
}
