// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What applications send and receive on sockets: the head of what each system call moved, its size and its place in
// the stream. One program at the exit of every system call: the saved registers still have the arguments, and the
// result tells how much was really moved. The descriptor is walked to its socket each time, which is loads where the
// kernel can cast; so nothing is remembered that a close, dup or exec would make wrong.
#pragma once
#include "sockets.h"
#include "tls.h"

// What a system call does with a socket, by number: user space fills it for its architecture.
enum data_role {
	ROLE_NONE,
	ROLE_WRITE,    // (fd, buffer, ...)
	ROLE_SENDTO,   // (fd, buffer, size, flags, name, ...)
	ROLE_READ,     // (fd, buffer, ...)
	ROLE_RECEIVE,  // (fd, buffer, size, flags, ...)
	ROLE_WRITEV,   // (fd, vectors, count, ...)
	ROLE_READV,    // (fd, vectors, count, ...)
	ROLE_SENDMSG,  // (fd, message, ...)
	ROLE_RECVMSG,  // (fd, message, flags)
	ROLE_SENDMMSG, // (fd, messages, ...): the result counts messages
	ROLE_RECVMMSG, // (fd, messages, count, flags, ...): likewise
	ROLE_SENDFILE, // (to, from, ...)
	ROLE_SPLICE,   // (from, offset, to, ...)
};

#define SYSCALLS 512
const volatile u8 data_roles[SYSCALLS] = {};
// Bytes that are kept of a call while nobody has decided on its connection, and those of datagrams.
const volatile u32 first_kept_bytes = 1024;

#define TS_COMPAT 2
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
// Parts of a message, and messages of a call, that are looked at.
#define MAX_VECTORS 8
#define MAX_MESSAGES 16

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct data_record);
} data_scratch SEC(".maps");

struct user_vector {
	u64 base;
	u64 length;
};

struct user_message {
	u64 name;
	u32 name_bytes;
	u32 reserved;
	u64 vectors;
	u64 vector_count;
	u64 control;
	u64 control_bytes;
	u32 flags;
	u32 reserved2;
};

struct user_messages {
	struct user_message message;
	u32 moved_bytes;
	u32 reserved;
};

// What a call moved: a buffer, or a list of them.
struct moved {
	u64 buffer; // 0: in vectors, or not to be had
	u64 vectors;
	u64 vector_count;
	u32 size;
	u32 behind;   // bytes that the same call moved after these
	u8 direction; // FLAG_SENT or 0
};

// Copies the head of what was moved; at most `keep` bytes. Returns how many.
INLINE u32 copy_head(char *to, struct moved *moved, u32 keep)
{
	u64 wanted = moved->size < keep ? moved->size : keep;
	u64 kept = 0;

	if (moved->buffer) {
		barrier_var(wanted);
		if (wanted > DATA_MAX_BYTES)
			wanted = DATA_MAX_BYTES;
		if (wanted && !bpf_probe_read_user(to, wanted, (void *)moved->buffer))
			return wanted;
		return 0;
	}
	for (u32 i = 0; i < MAX_VECTORS && i < moved->vector_count && kept < wanted; i++) {
		struct user_vector vector;
		u64 part;

		if (bpf_probe_read_user(&vector, sizeof(vector), (void *)(moved->vectors + i * sizeof(vector))))
			break;
		part = wanted - kept;
		if (vector.length < part)
			part = vector.length;
		barrier_var(kept);
		barrier_var(part);
		if (kept >= DATA_MAX_BYTES || part > DATA_MAX_BYTES)
			break;
		// There is as much room again behind what is kept, so that no part goes beyond it.
		if (bpf_probe_read_user(to + kept, part, (void *)vector.base))
			break;
		kept += part;
	}
	return kept < wanted ? kept : wanted;
}

INLINE void ship(struct ledger_row *row, struct data_record *record, u32 kept)
{
	u64 length;

	record->kept_bytes = kept;
	length = (offsetof(struct data_record, bytes) + (u64)kept + 7) & ~7ull;
	barrier_var(length);
	if (length > offsetof(struct data_record, bytes) + DATA_MAX_BYTES)
		length = offsetof(struct data_record, bytes) + DATA_MAX_BYTES;
	record->header.length = length;
	submit_data(row, record, length);
}

// On a followed connection. Positions are those after the call; the caller may have moved on, but not another one's bytes
// to this place.
INLINE void stream_data(struct sock *sk, struct moved *moved)
{
	u64 sock = (u64)sk;
	struct connection *connection = bpf_map_lookup_elem(&connections, &sock);
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct data_record *record;
	struct ledger_row *row;
	u32 zero = 0, end, keep, kept;

	if (!connection || connection->phase == PHASE_LISTENING)
		return;
	row = account(ACCOUNT_DATA);
	if (!row)
		return;
	COUNT(row, seen);
	keep = connection->keep;
	if (connection->is_encrypted || (keep == KEEP_UNDECIDED && !(connection->flags & FLAG_FROM_START)))
		encrypted_moved(sock, connection, moved->direction, false);
	// What is said inside TLS is told by the probes that see it.
	if (keep == KEEP_NOTHING || connection->tls_session) {
		COUNT(row, filtered);
		return;
	}
	keep = keep == KEEP_UNDECIDED ? first_kept_bytes : keep - KEEP_SIZES;
	record = bpf_map_lookup_elem(&data_scratch, &zero);
	if (!record) {
		COUNT(row, filtered);
		return;
	}
	if (moved->direction & FLAG_SENT) {
		end = READ(tcp, write_seq) - connection->write_base;
	} else {
		end = READ(tcp, copied_seq);
		// The FIN counts as a byte, and may be read with the last of them.
		if ((READ(sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1) && end == READ(tcp, rcv_nxt))
			end--;
		end -= connection->read_base;
	}
	record->connection_id = connection->id;
	record->sock = sock;
	record->position = end - moved->behind - moved->size;
	record->size = moved->size;
	record->flags = moved->direction | (connection->flags & FLAG_FROM_START);
	record->reserved = 0;
	fill_header(&record->header, RECORD_DATA, ACCOUNT_DATA, 0, bpf_ktime_get_boot_ns());
	kept = copy_head(record->bytes, moved, keep);
	// Some protocols turn to TLS after a few words of their own.
	if (!connection->is_encrypted && record->position < TURNS_BYTES &&
	    is_client_hello((const u8 *)record->bytes, kept, record->size, record->position)) {
		connection->is_encrypted = 1;
		encrypted_moved(sock, connection, moved->direction, true);
	}
	ship(row, record, kept);
}

// Ports of name services: only their datagrams are looked at.
#define PORT_DNS 53

struct socket_name {
	u16 family;
	u16 port;
};

INLINE void datagram(struct sock *sk, struct moved *moved, u64 name, u32 pid)
{
	struct datagram_record *record;
	struct ledger_row *row;
	u16 local = READ(sk, __sk_common.skc_num), remote = host_order(READ(sk, __sk_common.skc_dport));
	u16 family = READ(sk, __sk_common.skc_family);
	struct {
		u16 family;
		u16 port;
		u32 address; // IPv4, or the flow of IPv6
		u8 ipv6[16];
	} peer = {};
	u32 zero = 0;
	u64 length;
	u32 kept;

	if (name && !bpf_probe_read_user(&peer, 8, (void *)name)) {
		remote = host_order(peer.port);
		if (peer.family == AF_INET6)
			bpf_probe_read_user(&peer, sizeof(peer), (void *)name);
	}
	if (local != PORT_DNS && remote != PORT_DNS)
		return;
	row = account(ACCOUNT_DATA);
	record = bpf_map_lookup_elem(&data_scratch, &zero);
	if (!row || !record)
		return;
	COUNT(row, seen);
	kept = copy_head(record->bytes, moved, DATAGRAM_MAX_BYTES);
	record->sock = (u64)sk;
	record->start_ns = current_start_ns();
	record->pid = pid;
	record->network_namespace = READ(READ(sk, __sk_common.skc_net.net), ns.inum);
	record->local_port = local;
	record->remote_port = remote;
	record->size = moved->size;
	record->kept_bytes = kept;
	record->flags = moved->direction;
	record->reserved = 0;
	if (family == AF_INET6)
		bpf_probe_read_kernel(record->local_ip, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		map_ipv4(record->local_ip, READ(sk, __sk_common.skc_rcv_saddr));
	if (peer.family == AF_INET6)
		__builtin_memcpy(record->remote_ip, peer.ipv6, 16);
	else if (peer.family == AF_INET)
		map_ipv4(record->remote_ip, peer.address);
	else if (family == AF_INET6)
		bpf_probe_read_kernel(record->remote_ip, 16, &sk->__sk_common.skc_v6_daddr);
	else
		map_ipv4(record->remote_ip, READ(sk, __sk_common.skc_daddr));
	length = (offsetof(struct datagram_record, bytes) + (u64)kept + 7) & ~7ull;
	barrier_var(length);
	if (length > sizeof(*record))
		length = sizeof(*record);
	fill_header(&record->header, RECORD_DATAGRAM, ACCOUNT_DATA, length, bpf_ktime_get_boot_ns());
	submit_data(row, record, length);
}

// A call that moved bytes, for `on_socket`: it has few arguments.
struct call {
	struct moved moved;
	u64 name; // address of the peer's, of datagrams
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call);
} call_scratch SEC(".maps");

// Takes the call of this CPU to its socket. A function that the verifier looks at by itself, once: it is long, and called
// from several places and in a loop.
__attribute__((noinline)) int on_socket(u32 fd, u32 pid)
{
	u32 zero = 0;
	struct call *call = bpf_map_lookup_elem(&call_scratch, &zero);
	struct file *file = current_file(fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct sock *sk = socket ? READ(socket, sk) : NULL;
	u16 family, protocol;

	if (!sk || !call)
		return 0;
	family = READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	protocol = READ(sk, sk_protocol);
	if (protocol == IPPROTO_TCP)
		stream_data(sk, &call->moved);
	else if (protocol == IPPROTO_UDP)
		datagram(sk, &call->moved, call->name, pid);
	return 0;
}

INLINE void messages(struct call *call, u32 fd, u64 list, s64 count, u8 direction, u32 pid)
{
	u32 behind = 0;

	if (count > MAX_MESSAGES)
		return; // which leaves a gap in the stream
	for (u32 i = 0; i < MAX_MESSAGES && i < count; i++) {
		u32 size = 0;

		bpf_probe_read_user(&size, sizeof(size),
				    (void *)(list + i * sizeof(struct user_messages) +
					     offsetof(struct user_messages, moved_bytes)));
		behind += size;
	}
	for (u32 i = 0; i < MAX_MESSAGES && i < count; i++) {
		struct user_messages one;

		if (bpf_probe_read_user(&one, sizeof(one), (void *)(list + i * sizeof(one))))
			return;
		behind -= one.moved_bytes;
		call->moved.buffer = 0;
		call->moved.vectors = one.message.vectors;
		call->moved.vector_count = one.message.vector_count;
		call->moved.size = one.moved_bytes;
		call->moved.behind = behind;
		call->moved.direction = direction;
		call->name = one.message.name;
		on_socket(fd, pid);
	}
}

// Whether it is a system call of a 32-bit program: those have other numbers, and are not looked at.
INLINE bool is_compatible_call(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return core_field_exists(task, thread_info.status) && (READ(task, thread_info.status) & TS_COMPAT);
}

SEC("tp_btf/sys_exit") int sys_exit(u64 *context)
{
	struct pt_regs *registers = (void *)context[0];
	u64 number = LOAD(registers, orig_ax), second, third, flags;
	s64 result = context[1];
	struct user_message message;
	struct call *call;
	u32 fd, pid, zero = 0;
	u8 role;

	if (result <= 0 || number >= SYSCALLS)
		return 0;
	role = data_roles[number];
	if (likely(role == ROLE_NONE))
		return 0;
	pid = bpf_get_current_pid_tgid() >> 32;
	if (!is_traced(pid) || is_compatible_call())
		return 0;
	call = bpf_map_lookup_elem(&call_scratch, &zero);
	if (!call)
		return 0;
	fd = LOAD(registers, di);
	second = LOAD(registers, si);
	third = LOAD(registers, dx);
	flags = LOAD(registers, r10);
	call->moved.buffer = second;
	call->moved.vectors = 0;
	call->moved.vector_count = 0;
	call->moved.size = result;
	call->moved.behind = 0;
	call->moved.direction = 0;
	call->name = 0;
	switch (role) {
	case ROLE_WRITE:
	case ROLE_SENDTO:
		call->moved.direction = FLAG_SENT;
		if (role == ROLE_SENDTO)
			call->name = LOAD(registers, r8);
		break;
	case ROLE_RECEIVE:
		if (flags & MSG_PEEK)
			return 0;
		if (flags & MSG_TRUNC)
			call->moved.buffer = 0;
		call->name = LOAD(registers, r8);
		break;
	case ROLE_READ:
		break;
	case ROLE_WRITEV:
	case ROLE_READV:
		call->moved.direction = role == ROLE_WRITEV ? FLAG_SENT : 0;
		call->moved.buffer = 0;
		call->moved.vectors = second;
		call->moved.vector_count = third;
		break;
	case ROLE_SENDMSG:
	case ROLE_RECVMSG:
		if (role == ROLE_RECVMSG && (third & MSG_PEEK))
			return 0;
		if (bpf_probe_read_user(&message, sizeof(message), (void *)second))
			return 0;
		call->moved.direction = role == ROLE_SENDMSG ? FLAG_SENT : 0;
		call->moved.buffer = 0;
		call->moved.vectors = message.vectors;
		call->moved.vector_count = message.vector_count;
		call->name = message.name;
		break;
	case ROLE_SENDMMSG:
		messages(call, fd, second, result, FLAG_SENT, pid);
		return 0;
	case ROLE_RECVMMSG:
		if (!(flags & MSG_PEEK))
			messages(call, fd, second, result, 0, pid);
		return 0;
	case ROLE_SENDFILE:
		call->moved.direction = FLAG_SENT;
		call->moved.buffer = 0;
		break;
	case ROLE_SPLICE:
		call->moved.buffer = 0;
		on_socket(fd, pid);
		call->moved.direction = FLAG_SENT;
		fd = third;
		break;
	default:
		return 0;
	}
	on_socket(fd, pid);
	return 0;
}

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
