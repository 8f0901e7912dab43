// SPDX-License-Identifier: MIT OR GPL-2.0-only
// TCP as the kernel's state machine tells it: listen, connect, close, retransmit. `connections` has a socket from the
// moment when a recorded process connects, accepts or listens until it closes, and only what is in there is recorded
// further, in whatever context the kernel handles it.
#pragma once
#include "pending.h"
#include "sockets.h"
#include "tls.h"

// Makes the entry of a socket that the current process opens; its bases are the caller's. False when the map is full.
INLINE bool follow(u64 sock, struct connection *connection, u32 pid, u8 phase, u8 flags, u64 time_ns)
{
	connection->id = next_connection_id();
	connection->start_ns = current_start_ns();
	connection->opened_ns = time_ns;
	connection->pid = pid;
	connection->phase = phase;
	connection->flags = flags;
	connection->keep = KEEP_UNDECIDED;
	return bpf_map_update_elem(&connections, &sock, connection, BPF_ANY) == 0;
}

// Sockets whose attempt ended with an error that also a connect() which sends nothing gives: when the application
// fetches it with a second call it is the same failure.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64); // struct sock *
	__type(value, u8);
} told_failures SEC(".maps");

INLINE int connect_begins(struct ledger_row *row, u64 sock, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = id;
	struct connection connection = {};
	struct pending_connect *call;

	if (!is_traced(id >> 32)) {
		COUNT(row, filtered);
		return 0;
	}
	call = pending_connect(thread);
	if (call && call->thread == thread)
		call->sock = sock;
	if (!follow(sock, &connection, id >> 32, PHASE_CONNECTING, FLAG_OUTBOUND, now)) {
		COUNT(row, dropped_map_full);
		return 0;
	}
	// Its row comes when it is known how it ended.
	COUNT(row, filtered);
	return 0;
}

INLINE int connect_succeeded(struct ledger_row *row, u64 sock, struct tcp_sock *tcp, struct connection *connection,
			     u64 now)
{
	struct connection_record record;
	struct addresses addresses;

	addresses_LOAD(&addresses, tcp);
	fill_connection(&record, RECORD_CONNECT, ACCOUNT_INET_SOCK_SET_STATE, connection, &addresses, now);
	record.handshake_ns = now - connection->opened_ns;
	record.smoothed_rtt_us = LOAD(tcp, srtt_us) >> 3;
	record.error = 0;
	record.state = TCP_ESTABLISHED;
	connection->opened_ns = now;
	connection->phase = PHASE_OPEN;
	connection->flags |= FLAG_FROM_START;
	connection->read_base = LOAD(tcp, copied_seq);
	connection->write_base = LOAD(tcp, write_seq);
	// A connection whose beginning was lost is forgotten: the next scan finds it.
	if (!submit_connection(row, &record, sizeof(record)))
		bpf_map_delete_elem(&connections, &sock);
	return 0;
}

INLINE int connect_failed(struct ledger_row *row, u64 sock, struct tcp_sock *tcp, struct connection *connection,
			  u64 now)
{
	u16 error = LOAD(tcp, inet_conn.icsk_inet.sk.sk_err);
	u32 thread = bpf_get_current_pid_tgid();
	struct connection_record record;
	struct addresses addresses;

	if (!error) {
		// Given up by the call itself, which has the reason: its exit tells.
		struct pending_connect *call = pending_connect(thread);

		if (call && call->thread == thread && call->sock == sock) {
			call->sock = 0;
			bpf_map_delete_elem(&connections, &sock);
			COUNT(row, filtered);
			return 0;
		}
	}
	addresses_LOAD(&addresses, tcp);
	fill_connection(&record, RECORD_CONNECT_ERROR, ACCOUNT_INET_SOCK_SET_STATE, connection, &addresses, now);
	record.handshake_ns = now - connection->opened_ns;
	record.smoothed_rtt_us = 0;
	record.error = error;
	record.state = TCP_SYN_SENT;
	if (bpf_map_delete_elem(&connections, &sock)) {
		COUNT(row, filtered);
		return 0;
	}
	if (error == EHOSTUNREACH || error == ENETUNREACH) {
		u8 told = 1;

		bpf_map_update_elem(&told_failures, &sock, &told, BPF_ANY);
	}
	submit_connection(row, &record, sizeof(record));
	return 0;
}

INLINE int listen_begins(struct ledger_row *row, u64 sock, struct tcp_sock *tcp, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();
	struct connection connection = {};
	struct listen_record record;
	struct addresses addresses;

	if (!is_traced(id >> 32)) {
		COUNT(row, filtered);
		return 0;
	}
	if (!follow(sock, &connection, id >> 32, PHASE_LISTENING, 0, now)) {
		COUNT(row, dropped_map_full);
		return 0;
	}
	addresses_LOAD(&addresses, tcp);
	// bind() has set the number, listen() sets the port from it only now.
	addresses.local_port = LOAD(tcp, inet_conn.icsk_inet.sk.__sk_common.skc_num);
	fill_listen(&record, RECORD_LISTEN_OPEN, ACCOUNT_INET_SOCK_SET_STATE, &connection, tcp, &addresses, now);
	if (!submit_lifecycle(row, &record, sizeof(record)))
		bpf_map_delete_elem(&connections, &sock);
	return 0;
}

INLINE int closes(struct ledger_row *row, u64 sock, struct tcp_sock *tcp, struct connection *known, u32 state, u64 now)
{
	struct connection connection = *known;

	// Whoever deletes the entry tells of the end: that may also be an accept or a sweep on another CPU.
	if (bpf_map_delete_elem(&connections, &sock)) {
		COUNT(row, filtered);
		return 0;
	}
	if (connection.phase == PHASE_LISTENING) {
		struct socket_record record;

		fill_socket(&record, RECORD_LISTEN_CLOSE, ACCOUNT_INET_SOCK_SET_STATE, &connection, state, now);
		submit_lifecycle(row, &record, sizeof(record));
	} else {
		struct traffic_record record;
		struct traffic traffic;

		session_ends(&connection, now);
		traffic_LOAD(&traffic, tcp, state, connection.flags);
		fill_traffic(&record, RECORD_CLOSE, ACCOUNT_INET_SOCK_SET_STATE, &connection, &traffic, state, now);
		submit_connection(row, &record, sizeof(record));
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state") int inet_sock_set_state(u64 *context)
{
	struct sock *sk = (void *)context[0];
	u64 sock = context[0];
	s32 before = context[1], after = context[2];
	struct ledger_row *row = account(ACCOUNT_INET_SOCK_SET_STATE);
	struct connection *connection;
	struct tcp_sock *tcp;
	u64 now;

	if (!row)
		return 0;
	COUNT(row, seen);
	if ((after != TCP_SYN_SENT && after != TCP_ESTABLISHED && after != TCP_CLOSE && after != TCP_LISTEN) ||
	    LOAD(sk, sk_protocol) != IPPROTO_TCP) {
		COUNT(row, filtered);
		return 0;
	}
	if (after == TCP_SYN_SENT)
		return connect_begins(row, sock, bpf_ktime_get_boot_ns());
	connection = after == TCP_LISTEN ? NULL : bpf_map_lookup_elem(&connections, &sock);
	if (!connection && after != TCP_LISTEN) {
		COUNT(row, filtered);
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp) {
		COUNT(row, filtered);
		return 0;
	}
	now = bpf_ktime_get_boot_ns();
	if (!connection)
		return listen_begins(row, sock, tcp, now);
	if (after == TCP_ESTABLISHED) {
		if (connection->phase == PHASE_CONNECTING)
			return connect_succeeded(row, sock, tcp, connection, now);
		COUNT(row, filtered);
		return 0;
	}
	if (connection->phase == PHASE_CONNECTING)
		return connect_failed(row, sock, tcp, connection, now);
	return closes(row, sock, tcp, connection, before, now);
}

SEC("tp_btf/tcp_retransmit_skb") int tcp_retransmit_skb(u64 *context)
{
	struct sock *sk = (void *)context[0];
	u64 sock = context[0];
	struct ledger_row *row = account(ACCOUNT_TCP_RETRANSMIT_SKB);
	struct connection *connection;
	struct socket_record record;

	if (!row)
		return 0;
	COUNT(row, seen);
	connection = bpf_map_lookup_elem(&connections, &sock);
	if (!connection || !sk) {
		COUNT(row, filtered);
		return 0;
	}
	fill_socket(&record, RECORD_RETRANSMIT, ACCOUNT_TCP_RETRANSMIT_SKB, connection,
		    LOAD(sk, __sk_common.skc_state), bpf_ktime_get_boot_ns());
	submit_connection(row, &record, sizeof(record));
	return 0;
}
