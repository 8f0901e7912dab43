// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What a thread is doing in a system call, from its enter to its exit.
#pragma once
#include "base.h"

struct pending_call {
	u64 user_pointer; // path or address
	u64 argument;	  // open: flags; connect: the struct sock
	u32 reported;	  // connect: a state change already told what became of it
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32); // thread id
	__type(value, struct pending_call);
} pending SEC(".maps");
