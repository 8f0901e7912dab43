// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What a thread is doing in a system call, from its enter to its exit.
#pragma once
#include "base.h"

struct pending_open {
	u64 path; // in user memory
	u64 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); // thread id
	__type(value, struct pending_open);
} pending_opens SEC(".maps");

struct pending_connect {
	u64 address; // in user memory
	u64 sock;    // whose attempt a state change has told of; 0 before
	u32 thread;
	u32 fd;
};

// Cheaper than a hash. Two threads in connect() whose numbers share their low bits get into each other's way; then a
// connect that fails before anything is sent is counted as lost.
#define PENDING_CONNECTS 16384

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PENDING_CONNECTS);
	__type(key, u32);
	__type(value, struct pending_connect);
} pending_connects SEC(".maps");

// The place of a thread; it may be another one's.
INLINE struct pending_connect *pending_connect(u32 thread)
{
	u32 place = thread % PENDING_CONNECTS;

	return bpf_map_lookup_elem(&pending_connects, &place);
}
