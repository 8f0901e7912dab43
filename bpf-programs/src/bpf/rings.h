// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The rings to user space: `lifecycle` for what is rare and must not be lost, `connections_0` to `_3` for what comes
// in floods. Writers do not wake the reader, which polls, until a ring is a quarter full; then for some of the records.
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

const volatile u32 lifecycle_ring_bytes = 4096;
const volatile u32 connection_ring_bytes = 4096;
const volatile u32 connection_rings = 1;

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

#define OUTPUT(ring) bpf_ringbuf_output(&ring, record, length, wakeup(row, &ring, connection_ring_bytes))

// As above into the ring of this CPU.
INLINE bool submit_connection(struct ledger_row *row, void *record, u64 length)
{
	u32 ring = connection_rings > 1 ? ((struct record_header *)record)->cpu % connection_rings : 0;
	long failed;

	if (ring == 0)
		failed = OUTPUT(connections_0);
	else if (ring == 1)
		failed = OUTPUT(connections_1);
	else if (ring == 2)
		failed = OUTPUT(connections_2);
	else
		failed = OUTPUT(connections_3);
	return !ring_full(row, failed);
}

INLINE void fill_header(struct record_header *header, u16 kind, u16 account, u16 length, u64 time_ns)
{
	header->kind = kind;
	header->length = length;
	header->cpu = bpf_get_smp_processor_id();
	header->account = account;
	header->time_ns = time_ns;
}
