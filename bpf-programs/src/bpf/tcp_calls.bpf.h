// SPDX-License-Identifier: MIT OR GPL-2.0-only
// TCP as system calls tell it: who accepted a connection, and a connect() that failed before anything was sent, which
// no state change shows.
#pragma once
#include "tcp.bpf.h"

// Whether connect() failed before anything was sent. Otherwise it goes on, is done, made no sense, or hands over the
// error of an attempt that a state change has told of.
INLINE bool is_immediate_failure(s64 result)
{
	switch (-result) {
	case 4:	  // EINTR
	case 9:	  // EBADF
	case 11:  // EAGAIN
	case 14:  // EFAULT
	case 22:  // EINVAL
	case 88:  // ENOTSOCK
	case 91:  // EPROTOTYPE
	case 95:  // EOPNOTSUPP
	case 97:  // EAFNOSUPPORT
	case 103: // ECONNABORTED
	case 104: // ECONNRESET
	case 106: // EISCONN
	case 110: // ETIMEDOUT
	case 111: // ECONNREFUSED
	case 114: // EALREADY
	case 115: // EINPROGRESS
		return false;
	}
	return result > -512 && result < 0; // from 512 on: to be restarted
}

SEC("tracepoint/syscalls/sys_enter_connect") int sys_enter_connect(struct sys_enter_context *context)
{
	u32 thread = bpf_get_current_pid_tgid();
	struct pending_connect *call = pending_connect(thread);

	if (!call)
		return 0;
	call->address = context->arguments[1];
	call->sock = 0;
	call->thread = thread;
	call->fd = context->arguments[0];
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

INLINE int connect_refused_at_once(struct ledger_row *row, struct pending_connect *call, u32 pid, u16 error)
{
	struct file *file = current_file(call->fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct sock *sk = socket ? READ(socket, sk) : NULL;
	const void *user_address = (void *)call->address;
	u16 family = sk ? READ(sk, __sk_common.skc_family) : 0;
	struct connection_record record = {};
	struct socket_address address = {};
	u64 sock = (u64)sk;

	if ((family != AF_INET && family != AF_INET6) || READ(sk, sk_protocol) != IPPROTO_TCP ||
	    bpf_map_delete_elem(&told_failures, &sock) == 0) {
		COUNT(row, filtered);
		return 0;
	}
	// The length of an IPv4 address is less than that of an IPv6 one, and may end a page.
	if (bpf_probe_read_user(&address, 8, user_address) ||
	    (address.family == AF_INET6 && bpf_probe_read_user(&address, 24, user_address))) {
		COUNT(row, dropped_read_fault);
		return 0;
	}
	if (address.family != AF_INET && address.family != AF_INET6) {
		COUNT(row, filtered);
		return 0;
	}
	fill_header(&record.header, RECORD_CONNECT_ERROR, ACCOUNT_CONNECT, sizeof(record), bpf_ktime_get_boot_ns());
	record.connection_id = next_connection_id();
	record.pid = pid;
	record.start_ns = current_start_ns();
	record.network_namespace = READ(READ(sk, __sk_common.skc_net.net), ns.inum);
	if (address.family == AF_INET6)
		__builtin_memcpy(record.remote_ip, address.ipv6, 16);
	else
		map_ipv4(record.remote_ip, address.ipv4);
	if (family == AF_INET6)
		bpf_probe_read_kernel(record.local_ip, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		map_ipv4(record.local_ip, READ(sk, __sk_common.skc_rcv_saddr));
	record.local_port = READ(sk, __sk_common.skc_num);
	record.remote_port = host_order(address.port);
	record.error = error;
	record.state = TCP_CLOSE;
	record.flags = FLAG_OUTBOUND;
	submit_connection(row, &record, sizeof(record));
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_connect") int sys_exit_connect(struct sys_exit_context *context)
{
	struct ledger_row *row = account(ACCOUNT_CONNECT);
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = id;
	struct pending_connect *call = pending_connect(thread);
	struct pending_connect own;

	if (!row || !call)
		return 0;
	own = *call;
	if (own.thread == thread)
		call->thread = 0;
	COUNT(row, seen);
	if (likely(!is_immediate_failure(context->result)) || !is_traced(id >> 32)) {
		COUNT(row, filtered);
		return 0;
	}
	if (own.thread != thread) {
		COUNT(row, dropped_map_full);
		return 0;
	}
	if (own.sock) {
		COUNT(row, filtered);
		return 0;
	}
	return connect_refused_at_once(row, &own, id >> 32, -context->result);
}

// The beginning of a struct sock with all that tells its addresses, in one read.
#define COMMON_BYTES 128

struct common_block {
	u64 words[COMMON_BYTES / 8];
};

#define COMMON(block, field) (*IN_BLOCK(block, struct sock_common, field))

INLINE void addresses_from_block(struct addresses *to, struct common_block *block)
{
	if (COMMON(block, skc_family) == AF_INET6) {
		__builtin_memcpy(to->local_ip, IN_BLOCK(block, struct sock_common, skc_v6_rcv_saddr), 16);
		__builtin_memcpy(to->remote_ip, IN_BLOCK(block, struct sock_common, skc_v6_daddr), 16);
	} else {
		map_ipv4(to->local_ip, COMMON(block, skc_rcv_saddr));
		map_ipv4(to->remote_ip, COMMON(block, skc_daddr));
	}
	to->local_port = COMMON(block, skc_num);
	to->remote_port = host_order(COMMON(block, skc_dport));
	to->network_namespace = READ(COMMON(block, skc_net.net), ns.inum);
}

INLINE int accepted(s64 fd)
{
	u64 id = bpf_get_current_pid_tgid();
	struct ledger_row *row = account(ACCOUNT_ACCEPT);
	struct connection_record record;
	struct connection connection;
	struct common_block block;
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
	if (!sk || bpf_probe_read_kernel(&block, sizeof(block), sk)) {
		// Another thread closed the descriptor already.
		COUNT(row, dropped_read_fault);
		return 0;
	}
	family = COMMON(&block, skc_family);
	if ((family != AF_INET && family != AF_INET6) || READ(sk, sk_protocol) != IPPROTO_TCP) {
		COUNT(row, filtered);
		return 0;
	}
	sock = (u64)sk;
	tcp = (struct tcp_sock *)sk;
	now = bpf_ktime_get_boot_ns();
	addresses_from_block(&addresses, &block);
	// Nobody has read or written before accept() is over.
	connection.read_base = READ(tcp, copied_seq);
	connection.write_base = READ(tcp, write_seq);
	if (!follow(sock, &connection, id >> 32, PHASE_OPEN, FLAG_BOUND | FLAG_FROM_START, now)) {
		COUNT(row, dropped_map_full);
		return 0;
	}
	fill_connection(&record, RECORD_ACCEPT, ACCOUNT_ACCEPT, &connection, &addresses, now);
	record.handshake_ns = 0;
	record.smoothed_rtt_us = READ(tcp, srtt_us) >> 3;
	record.error = 0;
	record.state = COMMON(&block, skc_state);
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
		fill_traffic(&end, RECORD_CLOSE, ACCOUNT_ACCEPT, &connection, &traffic, TCP_CLOSE,
			     bpf_ktime_get_boot_ns());
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
