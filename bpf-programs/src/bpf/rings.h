// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The rings to user space: `lifecycle` for what is rare and must not be lost, `connections_0` to `_3` for what comes
// in floods, `data_0` to `_3` for what applications send and receive. Writers do not wake the reader, which polls, until a ring is a quarter full; then for some of the records.
#pragma once
#include "base.h"
#include "ledger.h"
#include "wire.h"

#define RING(name)                                                                                                    \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                                   \
		__uint(max_entries, 4096);                                                                            \
	} name SEC(".maps")

RING(lifecycle);
RING(connections_0);
RING(connections_1);
RING(connections_2);
RING(connections_3);
RING(data_0);
RING(data_1);
RING(data_2);
RING(data_3);

const volatile u32 lifecycle_ring_bytes = 4096;
const volatile u32 connection_ring_bytes = 4096;
const volatile u32 connection_rings = 1;
const volatile u32 data_ring_bytes = 4096;
const volatile u32 data_rings = 1;

// Every so many records of a program on a CPU it looks how full the ring is.
#define LOOK_EVERY 16

INLINE u64 wakeup(struct ledger_row *row, void *ring, u64 ring_bytes)
{
	if (likely(row->submitted % LOOK_EVERY))
		return BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < ring_bytes / 4 ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
}

INLINE bool ring_full(struct ledger_row *row, long failed)
{
	if (unlikely(failed)) {
		COUNT(row, dropped_ring_full);
		return true;
	}
	COUNT(row, submitted);
	return false;
}

// False when the ring was full. Counts either way.
INLINE bool submit_lifecycle(struct ledger_row *row, void *record, u64 length)
{
	u64 flags = wakeup(row, &lifecycle, lifecycle_ring_bytes);

	return !ring_full(row, bpf_ringbuf_output(&lifecycle, record, length, flags));
}

// As above for what the reader should look at at once.
INLINE bool submit_urgent(struct ledger_row *row, void *record, u64 length)
{
	return !ring_full(row, bpf_ringbuf_output(&lifecycle, record, length, BPF_RB_FORCE_WAKEUP));
}

#define OUTPUT(ring, ring_bytes) bpf_ringbuf_output(&ring, record, length, wakeup(row, &ring, ring_bytes))

// Into the ring of this CPU, of those that `kind` has.
#define DEFINE_SUBMIT(kind, name, rings, ring_bytes)                                                                  \
	INLINE bool submit_##kind(struct ledger_row *row, void *record, u64 length)                                   \
	{                                                                                                             \
		u32 ring = rings > 1 ? ((struct record_header *)record)->cpu % rings : 0;                             \
		long failed;                                                                                          \
                                                                                                                      \
		if (ring == 0)                                                                                        \
			failed = OUTPUT(name##_0, ring_bytes);                                                        \
		else if (ring == 1)                                                                                   \
			failed = OUTPUT(name##_1, ring_bytes);                                                        \
		else if (ring == 2)                                                                                   \
			failed = OUTPUT(name##_2, ring_bytes);                                                        \
		else                                                                                                  \
			failed = OUTPUT(name##_3, ring_bytes);                                                        \
		return !ring_full(row, failed);                                                                       \
	}

DEFINE_SUBMIT(connection, connections, connection_rings, connection_ring_bytes)
DEFINE_SUBMIT(data, data, data_rings, data_ring_bytes)

INLINE void fill_header(struct record_header *header, u16 kind, u16 account, u16 length, u64 time_ns)
{
	header->kind = kind;
	header->length = length;
	header->cpu = bpf_get_smp_processor_id();
	header->account = account;
	header->time_ns = time_ns;
}
