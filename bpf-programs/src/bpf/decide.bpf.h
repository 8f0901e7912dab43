// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What user space decides of what is kept.
#pragma once
#include "sockets.h"

#define DECISION_BATCH 256

// In decisions, beside what is kept: it is about what is said inside TLS; the connection is encrypted.
#define KEEP_OF_PLAINTEXT (1ull << 32)
#define KEEP_ENCRYPTED (1ull << 33)

struct decision {
	u64 sock;
	u64 connection_id;
	u64 keep;
};

struct decisions {
	struct decision entries[DECISION_BATCH];
	u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct decisions);
} decisions_in SEC(".maps");

// Run by user space: sets what is kept of connections from now on. In the kernel, since the entries are its own to write.
SEC("raw_tp/decide") int decide(void *context)
{
	u32 zero = 0;
	struct decisions *input = bpf_map_lookup_elem(&decisions_in, &zero);

	if (!input)
		return 0;
	for (u32 i = 0; i < DECISION_BATCH; i++) {
		struct connection *connection;

		if (i >= input->count)
			break;
		connection = bpf_map_lookup_elem(&connections, &input->entries[i].sock);
		if (!connection || connection->id != input->entries[i].connection_id)
			continue;
		if (input->entries[i].keep & KEEP_OF_PLAINTEXT)
			connection->plain_keep = input->entries[i].keep;
		else
			connection->keep = input->entries[i].keep;
		if (input->entries[i].keep & KEEP_ENCRYPTED)
			connection->is_encrypted = 1;
	}
	return 0;
}
