// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Asked for by user space. The scan goes over all open files once the tracepoints are attached and finds what was
// there before them; what it has entered in `connections` is told once, whoever comes first. The sweep reads the
// counters of the connections that user space names, and finds those whose close event never came.
#pragma once
#include "file.bpf.h"
#include "sockets.h"

u64 scan_counter SEC(".data.scan") = 0;

INLINE u64 next_scan_id(void)
{
	scan_counter += 1;
	return scan_counter << ID_CPU_BITS | ID_SCAN;
}

// When the kernel's page for the iterator is full it discards what this run wrote, and runs it again later.
INLINE void written(struct ledger_row *row, long failed)
{
	if (failed)
		return;
	COUNT(row, seen);
	COUNT(row, submitted);
}

// Whether connect() chose the port: then the connection is outbound, and its SYN was counted. The kernel marks a port
// that only connect() has used with -1; one that bind() took, and that accepted sockets share, with 0 or 1.
INLINE bool port_from_connect(struct tcp_sock *tcp)
{
	struct inet_bind_bucket *port = READ(tcp, inet_conn.icsk_bind_hash);

	return port && READ(port, fastreuse) < 0;
}

INLINE void scan_socket(struct ledger_row *row, struct seq_file *to, struct task_struct *task, struct socket *socket)
{
	struct sock *sk = READ(socket, sk);
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u64 sock = (u64)sk;
	struct connection connection = {};
	struct addresses addresses;
	u16 family;
	u32 state;
	long failed;

	if (!sk)
		return;
	family = READ(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) || READ(sk, sk_protocol) != IPPROTO_TCP)
		return;
	state = READ(sk, __sk_common.skc_state);
	if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return;
	if (bpf_map_lookup_elem(&connections, &sock))
		return;
	connection.id = next_scan_id();
	connection.start_ns = LOAD(LOAD(task, group_leader), start_boottime);
	connection.opened_ns = bpf_ktime_get_boot_ns();
	connection.pid = LOAD(task, tgid);
	connection.phase = state == TCP_LISTEN ? PHASE_LISTENING : PHASE_OPEN;
	if (state != TCP_LISTEN)
		connection.flags = port_from_connect(tcp) ? FLAG_OUTBOUND : FLAG_BOUND;
	failed = bpf_map_update_elem(&connections, &sock, &connection, BPF_NOEXIST);
	if (failed) {
		if (failed == -E2BIG) {
			COUNT(row, seen);
			COUNT(row, dropped_map_full);
		}
		return;
	}
	// Closed meanwhile, maybe before the entry was there: then there is nothing to tell.
	if (READ(sk, __sk_common.skc_state) == TCP_CLOSE && !bpf_map_delete_elem(&connections, &sock))
		return;
	addresses_READ(&addresses, tcp);
	if (state == TCP_LISTEN) {
		struct listen_record record;

		fill_listen(&record, RECORD_LISTEN_EXISTING, ACCOUNT_SCAN, &connection, tcp, &addresses, connection.opened_ns);
		failed = bpf_seq_write(to, &record, sizeof(record));
	} else {
		struct connection_record record;

		fill_connection(&record, RECORD_CONNECTION_EXISTING, ACCOUNT_SCAN, &connection, &addresses, connection.opened_ns);
		record.handshake_ns = 0;
		record.smoothed_rtt_us = READ(tcp, srtt_us) >> 3;
		record.error = 0;
		record.state = state;
		failed = bpf_seq_write(to, &record, sizeof(record));
	}
	if (failed)
		bpf_map_delete_elem(&connections, &sock);
	written(row, failed);
}

INLINE void scan_file(struct ledger_row *row, struct seq_file *to, struct task_struct *task, u32 fd, struct file *file)
{
	struct {
		struct record_header header;
		u8 rest[offsetof(struct file_record, path) - sizeof(struct record_header)];
	} space = {};
	struct file_record *record = (void *)&space;

	if (!(LOAD(file, f_mode) & FMODE_WRITE) || !fill_file(record, file))
		return;
	record->pid = LOAD(task, tgid);
	record->start_ns = LOAD(LOAD(task, group_leader), start_boottime);
	record->fd = fd;
	record->open_flags = LOAD(file, f_flags);
	fill_header(&record->header, RECORD_FILE_EXISTING, ACCOUNT_SCAN, sizeof(space), bpf_ktime_get_boot_ns());
	written(row, bpf_seq_write(to, &space, sizeof(space)));
}

SEC("iter/task_file") int scan(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct seq_file *to = context->meta->seq;
	struct ledger_row *row = account(ACCOUNT_SCAN);
	struct socket *socket;

	if (!task || !file || !row)
		return 0;
	// Threads share their files, but for rare exceptions.
	if (LOAD(task, pid) != LOAD(task, tgid) || !is_traced(LOAD(task, tgid)))
		return 0;
	socket = file_socket(file);
	if (socket)
		scan_socket(row, to, task, socket);
	else
		scan_file(row, to, task, context->fd, file);
	return 0;
}

#define SWEEP_BATCH 128

struct sweep_input {
	u64 socks[SWEEP_BATCH];
	u64 count;
};

struct sweep_output {
	struct traffic_record records[SWEEP_BATCH]; // kind 0: the connection is gone
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sweep_input);
} sweep_in SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sweep_output);
} sweep_out SEC(".maps");

// The entry of a socket that connects or listens is made just before the state leaves CLOSE; one that is still there
// after this time is stale. That of an open connection is made later, so that CLOSE says at once that its end was missed:
// a reset in the moment of an accept, which is announced before there is an entry and set after it was looked for.
#define STALE_NS 1000000000ull

INLINE void sweep_one(struct ledger_row *row, u64 sock, struct traffic_record *record)
{
	struct connection *known = bpf_map_lookup_elem(&connections, &sock);
	struct tcp_sock *tcp = (struct tcp_sock *)sock;
	struct connection connection;
	struct traffic traffic;
	bool stale;
	u32 state;
	u64 now;

	record->header.kind = 0;
	if (!known)
		return;
	connection = *known;
	state = READ(tcp, inet_conn.icsk_inet.sk.__sk_common.skc_state);
	traffic_READ(&traffic, tcp, state, connection.flags);
	// The socket may have been closed, and its memory used again, while it was read.
	known = bpf_map_lookup_elem(&connections, &sock);
	if (!known || known->id != connection.id)
		return;
	now = bpf_ktime_get_boot_ns();
	stale = (connection.phase == PHASE_OPEN && state == TCP_CLOSE) ||
		(now - connection.opened_ns > STALE_NS &&
		 (state == TCP_CLOSE || (connection.phase == PHASE_CONNECTING && state != TCP_SYN_SENT) ||
		  (connection.phase == PHASE_LISTENING) != (state == TCP_LISTEN)));
	if (stale) {
		if (bpf_map_delete_elem(&connections, &sock) || connection.phase == PHASE_CONNECTING)
			return;
		connection.flags |= FLAG_INFERRED;
		if (connection.phase == PHASE_LISTENING)
			fill_socket((struct socket_record *)record, RECORD_LISTEN_CLOSE, ACCOUNT_SWEEP, &connection, state, now);
		else
			fill_traffic(record, RECORD_CLOSE, ACCOUNT_SWEEP, &connection, &traffic, state, now);
	} else if (connection.phase == PHASE_OPEN && state != TCP_CLOSE) {
		fill_traffic(record, RECORD_STATISTICS, ACCOUNT_SWEEP, &connection, &traffic, state, now);
	} else {
		return;
	}
	COUNT(row, seen);
	COUNT(row, submitted);
}

SEC("raw_tp/sweep") int sweep(void *context)
{
	u32 zero = 0;
	struct sweep_input *input = bpf_map_lookup_elem(&sweep_in, &zero);
	struct sweep_output *output = bpf_map_lookup_elem(&sweep_out, &zero);
	struct ledger_row *row = account(ACCOUNT_SWEEP);

	if (!input || !output || !row)
		return 0;
	for (u32 i = 0; i < SWEEP_BATCH; i++) {
		if (i >= input->count)
			break;
		sweep_one(row, input->socks[i], &output->records[i]);
	}
	return 0;
}
