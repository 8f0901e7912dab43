// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What applications send and receive on sockets, as a record: the head of what a system call moved, its size and its
// place in the stream. Who finds the socket and the call is elsewhere.
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
#define MSG_ERRQUEUE 0x2000
// Calls with these take nothing out of the stream.
#define MSG_LOOKS (MSG_PEEK | MSG_ERRQUEUE)
// Parts of a message, and messages of a call, that are looked at.
#define MAX_VECTORS 32
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

// Copies what one vector has, up to so many bytes, to a place in the record. Returns how many, or less than 0.
// A function of numbers alone is verified once, and not for each turn of a loop.
__attribute__((noinline)) int copy_part(u32 at_byte, u32 wanted, u64 at)
{
	struct user_vector vector;
	u64 part, place = at_byte;
	u32 zero = 0;
	char *record = bpf_map_lookup_elem(&data_scratch, &zero);

	if (!record || bpf_probe_read_user(&vector, sizeof(vector), (void *)at))
		return -1;
	part = vector.length < wanted ? vector.length : wanted;
	barrier_var(place);
	barrier_var(part);
	if (place > offsetof(struct data_record, bytes) + DATA_MAX_BYTES || part > DATA_MAX_BYTES)
		return -1;
	// There is as much room again behind what is kept, so that no part goes beyond it.
	if (bpf_probe_read_user(record + place, part, (void *)vector.base))
		return -1;
	return part;
}

// Copies the head of what was moved to a place in the record; at most `keep` bytes. Returns how many.
INLINE u32 copy_head(char *record, u32 place, struct moved *moved, u32 keep)
{
	u64 wanted = moved->size < keep ? moved->size : keep;
	u64 kept = 0;

	if (moved->buffer) {
		barrier_var(wanted);
		if (wanted > DATA_MAX_BYTES)
			wanted = DATA_MAX_BYTES;
		if (wanted && !bpf_probe_read_user(record + place, wanted, (void *)moved->buffer))
			return wanted;
		return 0;
	}
	for (u32 i = 0; i < MAX_VECTORS && i < moved->vector_count && kept < wanted; i++) {
		int more = copy_part(place + kept, wanted - kept, moved->vectors + i * sizeof(struct user_vector));

		if (more < 0)
			break;
		kept += more;
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

// What is wanted of a call on this socket.
struct wanted {
	struct connection *connection;
	struct ledger_row *row;
	u32 keep; // bytes
};

// The connection on which a socket moves bytes; none when it is not followed.
INLINE struct connection *followed(struct sock *sk)
{
	u64 sock = (u64)sk;
	struct connection *connection = bpf_map_lookup_elem(&connections, &sock);

	return connection && connection->phase != PHASE_LISTENING ? connection : NULL;
}

// False when nothing is kept of it. Counts it.
INLINE bool is_wanted(struct wanted *wanted, u64 sock, struct connection *connection, u8 direction)
{
	struct ledger_row *row;
	u32 keep;

	row = account(ACCOUNT_DATA);
	if (!row)
		return false;
	COUNT(row, seen);
	keep = connection->keep;
	if (connection->is_encrypted || (keep == KEEP_UNDECIDED && !(connection->flags & FLAG_FROM_START)))
		encrypted_moved(sock, connection, direction, false);
	// What is said inside TLS is told by the probes that see it.
	if (keep == KEEP_NOTHING || connection->tls_session) {
		COUNT(row, filtered);
		return false;
	}
	wanted->connection = connection;
	wanted->row = row;
	wanted->keep = keep == KEEP_UNDECIDED ? first_kept_bytes : keep - KEEP_SIZES;
	return true;
}

// Positions are those after the call; the caller may have moved on, but not another one's bytes to this place.
INLINE void stream_data(struct sock *sk, struct wanted *wanted, struct moved *moved)
{
	struct connection *connection = wanted->connection;
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct data_record *record;
	u32 zero = 0, end, kept;
	u64 sock = (u64)sk;

	record = bpf_map_lookup_elem(&data_scratch, &zero);
	if (!record) {
		COUNT(wanted->row, filtered);
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
	kept = copy_head((char *)record, offsetof(struct data_record, bytes), moved, wanted->keep);
	// Some protocols turn to TLS after a few words of their own.
	if (!connection->is_encrypted && record->position < TURNS_BYTES &&
	    is_client_hello((const u8 *)record->bytes, kept, record->size, record->position)) {
		connection->is_encrypted = 1;
		encrypted_moved(sock, connection, moved->direction, true);
	}
	ship(wanted->row, record, kept);
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
	kept = copy_head((char *)record, offsetof(struct datagram_record, bytes), moved, DATAGRAM_MAX_BYTES);
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

// A call that moved bytes.
struct call {
	struct moved moved;
	u64 name; // address of the peer's, of datagrams
};

// Where a call has what it moves, by the registers that it was made with. What it moves nowhere stays zero.
INLINE void describe(struct call *call, u8 role, struct pt_regs *registers)
{
	struct user_message message;
	u64 second = LOAD(registers, si), name;

	call->moved.buffer = 0;
	call->moved.vectors = 0;
	call->moved.vector_count = 0;
	call->name = 0;
	switch (role) {
	case ROLE_WRITE:
	case ROLE_READ:
		call->moved.buffer = second;
		break;
	case ROLE_SENDTO:
		call->moved.buffer = second;
		call->name = LOAD(registers, r8);
		break;
	case ROLE_RECEIVE:
		if (!(LOAD(registers, r10) & MSG_TRUNC))
			call->moved.buffer = second;
		call->name = LOAD(registers, r8);
		break;
	case ROLE_WRITEV:
	case ROLE_READV:
		call->moved.vectors = second;
		call->moved.vector_count = LOAD(registers, dx);
		break;
	case ROLE_SENDMSG:
	case ROLE_RECVMSG:
		if (bpf_probe_read_user(&message, sizeof(message), (void *)second))
			break;
		call->moved.vectors = message.vectors;
		call->moved.vector_count = message.vector_count;
		name = message.name;
		// Not one load for a register and for this: the verifier does not take it.
		barrier_var(name);
		call->name = name;
		break;
	}
}

INLINE u8 direction_of(u8 role)
{
	switch (role) {
	case ROLE_WRITE:
	case ROLE_SENDTO:
	case ROLE_WRITEV:
	case ROLE_SENDMSG:
	case ROLE_SENDMMSG:
	case ROLE_SENDFILE:
		return FLAG_SENT;
	}
	return 0;
}

// Whether it is a system call of a 32-bit program: those have other numbers, and are not looked at.
INLINE bool is_compatible_call(struct task_struct *task)
{
	return core_field_exists(task, thread_info.status) && (READ(task, thread_info.status) & TS_COMPAT);
}
