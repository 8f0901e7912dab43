// SPDX-License-Identifier: MIT OR GPL-2.0-only
// TCP: listen, connect, accept, close, retransmit. `connections` has a socket from the moment when a recorded process
// connects, accepts or listens until it closes, and only what is in there is recorded further, in whatever context
// the kernel handles it.
#pragma once
#include "pending.h"
#include "sockets.h"

// Makes the entry of a socket that the current process opens. False when the map is full.
INLINE bool follow(u64 sock, struct connection *connection, u32 pid, u8 phase, u8 flags, u64 time_ns)
{
	connection->id = next_connection_id();
	connection->start_ns = current_start_ns();
	connection->opened_ns = time_ns;
	connection->pid = pid;
	connection->phase = phase;
	connection->flags = flags;
	connection->reserved = 0;
	return bpf_map_update_elem(&connections, &sock, connection, BPF_ANY) == 0;
}

INLINE int connect_begins(struct ledger_row *row, u64 sock, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = id;
	struct connection connection;
	struct pending_call *call;

	if (!is_traced(id >> 32)) {
		COUNT(row, filtered);
		return 0;
	}
	call = bpf_map_lookup_elem(&pending, &thread);
	if (call && call->argument == sock)
		call->reported = 1;
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
		struct pending_call *call = bpf_map_lookup_elem(&pending, &thread);

		if (call && call->argument == sock) {
			call->reported = 0;
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
	submit_connection(row, &record, sizeof(record));
	return 0;
}

INLINE int listen_begins(struct ledger_row *row, u64 sock, struct tcp_sock *tcp, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();
	struct connection connection;
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
	fill_socket(&record, RECORD_RETRANSMIT, ACCOUNT_TCP_RETRANSMIT_SKB, connection, LOAD(sk, __sk_common.skc_state), bpf_ktime_get_boot_ns());
	submit_connection(row, &record, sizeof(record));
	return 0;
}

// Why connect() may end without a word from the kernel's state machine, and without a failed connection: it goes on,
// is done, or the call made no sense.
INLINE bool is_connect_failure(s64 result)
{
	switch (-result) {
	case 0:
	case 4:	  // EINTR
	case 9:	  // EBADF
	case 11:  // EAGAIN
	case 14:  // EFAULT
	case 22:  // EINVAL
	case 88:  // ENOTSOCK
	case 91:  // EPROTOTYPE
	case 95:  // EOPNOTSUPP
	case 97:  // EAFNOSUPPORT
	case 106: // EISCONN
	case 114: // EALREADY
	case 115: // EINPROGRESS
		return false;
	}
	return result > -512 && result < 0; // from 512 on: to be restarted
}

SEC("tracepoint/syscalls/sys_enter_connect") int sys_enter_connect(struct sys_enter_context *context)
{
	u64 id = bpf_get_current_pid_tgid();
	struct ledger_row *row = account(ACCOUNT_CONNECT);
	struct pending_call call = { .user_pointer = context->arguments[1] };
	struct socket *socket = NULL;
	struct sock *sk = NULL;
	struct file *file;
	u32 thread = id;
	u16 family;

	if (!row)
		return 0;
	if (is_traced(id >> 32)) {
		file = current_file(context->arguments[0]);
		socket = file ? file_socket(file) : NULL;
		// A second call for the same attempt only fetches its result.
		if (socket && READ(socket, state) != SS_CONNECTING)
			sk = READ(socket, sk);
	}
	family = sk ? READ(sk, __sk_common.skc_family) : 0;
	if ((family != AF_INET && family != AF_INET6) || READ(sk, sk_protocol) != IPPROTO_TCP) {
		COUNT(row, seen);
		COUNT(row, filtered);
		return 0;
	}
	call.argument = (u64)sk;
	if (bpf_map_update_elem(&pending, &thread, &call, BPF_ANY)) {
		COUNT(row, seen);
		COUNT(row, dropped_map_full);
	}
	return 0;
}

struct socket_address {
	u16 family;
	u16 port;
	union {
		u32 ipv4;
		struct {
			u32 flow;
			u8 ipv6[16];
		};
	};
};

SEC("tracepoint/syscalls/sys_exit_connect") int sys_exit_connect(struct sys_exit_context *context)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = id;
	struct pending_call *pending_call = bpf_map_lookup_elem(&pending, &thread);
	struct connection_record record = {};
	struct socket_address address = {};
	struct pending_call call;
	struct ledger_row *row;
	struct sock *sk;

	if (!pending_call)
		return 0;
	row = account(ACCOUNT_CONNECT);
	if (!row)
		return 0;
	call = *pending_call;
	bpf_map_delete_elem(&pending, &thread);
	COUNT(row, seen);
	if (call.reported || !is_connect_failure(context->result)) {
		COUNT(row, filtered);
		return 0;
	}
	sk = (void *)call.argument;
	// The length of an IPv4 address is less than that of an IPv6 one, and may end a page.
	if (bpf_probe_read_user(&address, 8, (void *)call.user_pointer) ||
	    (address.family == AF_INET6 && bpf_probe_read_user(&address, 24, (void *)call.user_pointer))) {
		COUNT(row, dropped_read_fault);
		return 0;
	}
	if (address.family != AF_INET && address.family != AF_INET6) {
		COUNT(row, filtered);
		return 0;
	}
	fill_header(&record.header, RECORD_CONNECT_ERROR, ACCOUNT_CONNECT, sizeof(record), bpf_ktime_get_boot_ns());
	record.connection_id = next_connection_id();
	record.pid = id >> 32;
	record.start_ns = current_start_ns();
	record.network_namespace = READ(READ(sk, __sk_common.skc_net.net), ns.inum);
	if (address.family == AF_INET6)
		__builtin_memcpy(record.remote_ip, address.ipv6, 16);
	else
		map_ipv4(record.remote_ip, address.ipv4);
	if (READ(sk, __sk_common.skc_family) == AF_INET6)
		bpf_probe_read_kernel(record.local_ip, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		map_ipv4(record.local_ip, READ(sk, __sk_common.skc_rcv_saddr));
	record.local_port = READ(sk, __sk_common.skc_num);
	record.remote_port = host_order(address.port);
	record.error = -context->result;
	record.state = TCP_CLOSE;
	record.flags = FLAG_OUTBOUND;
	submit_connection(row, &record, sizeof(record));
	return 0;
}

INLINE int accepted(s64 fd)
{
	u64 id = bpf_get_current_pid_tgid();
	struct ledger_row *row = account(ACCOUNT_ACCEPT);
	struct connection_record record;
	struct connection connection;
	struct addresses addresses;
	struct tcp_sock *tcp;
	struct file *file;
	struct sock *sk;
	u16 family;
	u64 now, sock;

	if (!row)
		return 0;
	COUNT(row, seen);
	if (fd < 0 || !is_traced(id >> 32)) {
		COUNT(row, filtered);
		return 0;
	}
	file = current_file(fd);
	sk = file ? READ((struct socket *)READ(file, private_data), sk) : NULL;
	if (!sk) {
		// Another thread closed the descriptor already.
		COUNT(row, dropped_read_fault);
		return 0;
	}
	family = READ(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) || READ(sk, sk_protocol) != IPPROTO_TCP) {
		COUNT(row, filtered);
		return 0;
	}
	sock = (u64)sk;
	tcp = (struct tcp_sock *)sk;
	now = bpf_ktime_get_boot_ns();
	addresses_READ(&addresses, tcp);
	if (!follow(sock, &connection, id >> 32, PHASE_OPEN, FLAG_BOUND, now)) {
		COUNT(row, dropped_map_full);
		return 0;
	}
	fill_connection(&record, RECORD_ACCEPT, ACCOUNT_ACCEPT, &connection, &addresses, now);
	record.handshake_ns = 0;
	record.smoothed_rtt_us = READ(tcp, srtt_us) >> 3;
	record.error = 0;
	record.state = READ(sk, __sk_common.skc_state);
	if (!submit_connection(row, &record, sizeof(record))) {
		bpf_map_delete_elem(&connections, &sock);
		return 0;
	}
	// Closed before it was in the map: then nobody else tells of it. Otherwise whoever deletes the entry does.
	if (READ(sk, __sk_common.skc_state) == TCP_CLOSE && !bpf_map_delete_elem(&connections, &sock)) {
		struct traffic_record end;
		struct traffic traffic;

		COUNT(row, seen);
		traffic_READ(&traffic, tcp, TCP_CLOSE, connection.flags);
		fill_traffic(&end, RECORD_CLOSE, ACCOUNT_ACCEPT, &connection, &traffic, TCP_CLOSE, bpf_ktime_get_boot_ns());
		submit_connection(row, &end, sizeof(end));
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept") int sys_exit_accept(struct sys_exit_context *context)
{
	return accepted(context->result);
}

SEC("tracepoint/syscalls/sys_exit_accept4") int sys_exit_accept4(struct sys_exit_context *context)
{
	return accepted(context->result);
}
