// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What applications say inside TLS: probes at the entries and return instructions of the functions that take and give
// plaintext. Not at returns by the kernel's way, which exchanges the return address on the stack. User space finds the
// places, and attaches; the arguments are where x86-64 has them, and for Go where Go has them.
#pragma once
#include "data.h"
#include "tls.h"

// As the kernel keeps the registers of an interrupted program.
struct registers {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

// Programs at probes can be preempted, so they have no memory of a CPU: they write into the ring itself, a place of one
// of these sizes.
#define SMALL_RECORD 256
#define MIDDLE_RECORD 1088
#define LARGE_RECORD (offsetof(struct data_record, bytes) + DATA_MAX_BYTES)

#define SHIP_PLAIN(RECORD_BYTES)                                                                                      \
	({                                                                                                            \
		struct data_record *record = bpf_ringbuf_reserve(&data_0, RECORD_BYTES, 0);                           \
                                                                                                                      \
		if (!record) {                                                                                        \
			COUNT(row, dropped_ring_full);                                                                \
			return;                                                                                       \
		}                                                                                                     \
		barrier_var(wanted);                                                                                  \
		if (wanted > RECORD_BYTES - offsetof(struct data_record, bytes))                                      \
			wanted = RECORD_BYTES - offsetof(struct data_record, bytes);                                  \
		if (!wanted || bpf_probe_read_user(record->bytes, wanted, (void *)buffer))                            \
			wanted = 0;                                                                                   \
		record->connection_id = connection->id;                                                               \
		record->sock = sock;                                                                                  \
		record->position = position;                                                                          \
		record->size = size;                                                                                  \
		record->kept_bytes = wanted;                                                                          \
		record->flags = direction | FLAG_PLAINTEXT | (connection->flags & FLAG_FROM_START);                   \
		record->reserved_byte = 0;                                                                            \
		record->reserved = 0;                                                                                 \
		fill_header(&record->header, RECORD_DATA, ACCOUNT_TLS,                                                \
			    (offsetof(struct data_record, bytes) + wanted + 7) & ~7ull, now);                         \
		COUNT(row, submitted);                                                                                \
		bpf_ringbuf_submit(record, wakeup(row, &data_0, data_ring_bytes));                                    \
	})

INLINE void plaintext(struct ledger_row *row, struct connection *connection, u64 sock, u64 buffer, u32 size,
		      u8 direction, u64 now)
{
	u32 keep = connection->plain_keep, position;
	u64 wanted;

	if (direction & FLAG_SENT) {
		position = connection->tls_written;
		connection->tls_written = position + size;
	} else {
		position = connection->tls_read;
		connection->tls_read = position + size;
	}
	if (keep == KEEP_NOTHING) {
		COUNT(row, filtered);
		return;
	}
	keep = keep == KEEP_UNDECIDED ? first_kept_bytes : keep - KEEP_SIZES;
	wanted = size < keep ? size : keep;
	if (wanted <= SMALL_RECORD - offsetof(struct data_record, bytes))
		SHIP_PLAIN(SMALL_RECORD);
	else if (wanted <= MIDDLE_RECORD - offsetof(struct data_record, bytes))
		SHIP_PLAIN(MIDDLE_RECORD);
	else
		SHIP_PLAIN(LARGE_RECORD);
}

// The connection of a descriptor of the current process.
INLINE void claim_fd(struct tls_session_key *key, u32 fd, bool from_start)
{
	struct file *file = current_file(fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	u64 sock = socket ? (u64)READ(socket, sk) : 0;
	struct connection *connection = sock ? bpf_map_lookup_elem(&connections, &sock) : NULL;

	if (connection && connection->phase != PHASE_LISTENING)
		claim(key, sock, connection, from_start);
}

// Whether a descriptor of the current process is a socket of this host alone, of which nothing is recorded.
INLINE bool is_local(u32 fd)
{
	struct file *file = current_file(fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct sock *sk = socket ? READ(socket, sk) : NULL;

	return sk && READ(sk, __sk_common.skc_family) == AF_UNIX;
}

// A session that begins: what it says is known from its first byte on. Returns whether it was not known yet.
INLINE bool announce(struct tls_session_key *key)
{
	struct tls_session session = { .from_start = 1 };

	return !bpf_map_update_elem(&tls_sessions, key, &session, BPF_NOEXIST);
}

// Likewise, where the application may move the bytes.
INLINE void begin(struct tls_session_key *key)
{
	struct tls_caller caller = { .who = (u32)bpf_get_current_pid_tgid(), .pid = key->pid };
	struct tls_call *call = announce(key) ? bpf_map_lookup_elem(&tls_calls, &caller) : NULL;

	// What was read before a session is there is its own when that greets a server, and else another's.
	if (call && !call->is_hello)
		call->received_sock = 0;
}

INLINE void claim_received(struct tls_session_key *key, struct tls_call *call)
{
	struct connection *connection = connection_of(call->received_sock, call->received_id);

	if (connection && !connection->tls_session)
		claim(key, call->received_sock, connection, call->is_hello);
	call->received_sock = 0;
}

INLINE void enter(struct tls_caller *caller, u64 session, u64 buffer, u64 size_address, u64 stack, u32 role)
{
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, caller);

	if (!call) {
		struct tls_call made = { .session = session, .buffer = buffer, .size_address = size_address,
					 .stack = stack, .role = role };

		bpf_map_update_elem(&tls_calls, caller, &made, BPF_ANY);
		return;
	}
	// A handshake that a function does which reads or writes.
	if (role == TLS_HANDSHAKE && call->role != TLS_NONE && call->role != TLS_HANDSHAKE && call->session == session)
		return;
	call->session = session;
	call->buffer = buffer;
	call->size_address = size_address;
	call->stack = stack;
	call->role = role;
	if (role == TLS_HANDSHAKE) {
		struct tls_session_key key = { .session = session, .pid = caller->pid };

		claim_received(&key, call);
	}
}

// What is told later than that of a connection that has ended would come behind its end.
#define DECRYPTED_WITHIN_NS 20000000

INLINE void leave(struct tls_caller *caller, struct tls_call *call, s64 result)
{
	struct tls_session_key key = { .session = call->session, .pid = caller->pid };
	struct connection *connection = NULL, ended = {};
	u64 size = result, now = bpf_ktime_get_boot_ns();
	struct tls_session *session;
	struct ledger_row *row;
	u32 role = call->role;
	u8 direction;

	call->role = TLS_NONE;
	if (role == TLS_HANDSHAKE || role == TLS_WRITTEN)
		return;
	// Where the application moves the bytes, calls that give it nothing yet may do the handshake.
	if (call->received_sock)
		claim_received(&key, call);
	if (role == TLS_READ_EX || role == TLS_WRITE_EX) {
		if (result != 1 || bpf_probe_read_user(&size, sizeof(size), (void *)call->size_address))
			return;
	} else if (result <= 0) {
		return;
	}
	row = account(ACCOUNT_TLS);
	if (!row || !size)
		return;
	COUNT(row, seen);
	session = bpf_map_lookup_elem(&tls_sessions, &key);
	if (!session) {
		COUNT(row, dropped_read_fault);
		return;
	}
	direction = role == TLS_WRITE || role == TLS_WRITE_EX ? FLAG_SENT : 0;
	connection = connection_of(session->sock, session->connection_id);
	if (!connection) {
		if (session->is_elsewhere) {
			COUNT(row, filtered);
			return;
		}
		// The other side has reset the connection after its answer: what was received until then is read from it.
		if (direction || !session->ended_ns || now - session->ended_ns > DECRYPTED_WITHIN_NS) {
			COUNT(row, dropped_read_fault);
			return;
		}
		ended.id = session->connection_id;
		ended.flags = session->flags;
		ended.plain_keep = session->keep;
		ended.tls_read = session->read;
		ended.tls_written = session->written;
		session->read += size;
		connection = &ended;
		now = session->ended_ns - 1;
	}
	plaintext(row, connection, session->sock, call->buffer, size, direction, now);
}

INLINE int enter_c(struct registers *registers, u32 role, u64 size_address)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_caller caller = { .who = (u32)id, .pid = id >> 32 };

	if (is_traced(caller.pid))
		enter(&caller, registers->di, registers->si, size_address, registers->sp, role);
	return 0;
}

SEC("uprobe/tls_read") int tls_read(struct registers *registers)
{
	return enter_c(registers, TLS_READ, 0);
}

SEC("uprobe/tls_read_ex") int tls_read_ex(struct registers *registers)
{
	return enter_c(registers, TLS_READ_EX, registers->cx);
}

SEC("uprobe/tls_write") int tls_write(struct registers *registers)
{
	return enter_c(registers, TLS_WRITE, 0);
}

SEC("uprobe/tls_write_ex") int tls_write_ex(struct registers *registers)
{
	return enter_c(registers, TLS_WRITE_EX, registers->cx);
}

SEC("uprobe/tls_write_ex2") int tls_write_ex2(struct registers *registers)
{
	return enter_c(registers, TLS_WRITE_EX, registers->r8);
}

SEC("uprobe/tls_handshake") int tls_handshake(struct registers *registers)
{
	struct tls_session_key key = { .session = registers->di, .pid = bpf_get_current_pid_tgid() >> 32 };

	if (is_traced(key.pid))
		begin(&key);
	return enter_c(registers, TLS_HANDSHAKE, 0);
}

SEC("uprobe/tls_begin") int tls_begin(struct registers *registers)
{
	struct tls_session_key key = { .session = registers->di, .pid = bpf_get_current_pid_tgid() >> 32 };

	if (is_traced(key.pid))
		begin(&key);
	return 0;
}

SEC("uprobe/tls_set_fd") int tls_set_fd(struct registers *registers)
{
	struct tls_session_key key = { .session = registers->di, .pid = bpf_get_current_pid_tgid() >> 32 };

	if (is_traced(key.pid)) {
		struct tls_session *session;

		announce(&key);
		claim_fd(&key, registers->si, true);
		session = bpf_map_lookup_elem(&tls_sessions, &key);
		if (session)
			session->is_elsewhere = is_local(registers->si);
	}
	return 0;
}

SEC("uprobe/tls_free") int tls_free(struct registers *registers)
{
	struct tls_session_key key = { .session = registers->di, .pid = bpf_get_current_pid_tgid() >> 32 };
	struct tls_session *session = bpf_map_lookup_elem(&tls_sessions, &key);
	struct connection *connection = session ? connection_of(session->sock, session->connection_id) : NULL;

	if (connection)
		connection->tls_session = 0;
	bpf_map_delete_elem(&tls_sessions, &key);
	return 0;
}

SEC("uprobe/tls_leave") int tls_leave(struct registers *registers)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_caller caller = { .who = (u32)id, .pid = id >> 32 };
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, &caller);

	// Somebody else may reach the same instruction, and so may what the call calls.
	if (call && call->role != TLS_NONE && call->stack == registers->sp)
		leave(&caller, call, (s32)registers->ax);
	return 0;
}

// GnuTLS returns sizes of 64 bits.
SEC("uprobe/tls_leave_wide") int tls_leave_wide(struct registers *registers)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_caller caller = { .who = (u32)id, .pid = id >> 32 };
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, &caller);

	if (call && call->role != TLS_NONE && call->stack == registers->sp)
		leave(&caller, call, registers->ax);
	return 0;
}

// Tells goroutines, which are addresses, from threads.
#define GOROUTINE (1ull << 63)
// crypto/tls.Conn begins with an interface, of which the second word leads to the value; net.TCPConn is a pointer to a
// net.netFD, which begins with a poll.FD: a lock of 16 bytes, then the descriptor. What is no such thing leads to no
// connection.
#define GO_DESCRIPTOR_OFFSET 16

INLINE struct tls_caller goroutine(struct registers *registers)
{
	struct tls_caller caller = { .who = registers->r14 | GOROUTINE, .pid = bpf_get_current_pid_tgid() >> 32 };

	return caller;
}

INLINE void go_claim(struct tls_session_key *key)
{
	struct tls_session *session = bpf_map_lookup_elem(&tls_sessions, key);
	u64 value = 0;
	u64 fd = 0;

	if (session && connection_of(session->sock, session->connection_id))
		return;
	if (bpf_probe_read_user(&value, sizeof(value), (void *)(key->session + 8)) ||
	    bpf_probe_read_user(&value, sizeof(value), (void *)value) ||
	    bpf_probe_read_user(&fd, sizeof(fd), (void *)(value + GO_DESCRIPTOR_OFFSET)))
		return;
	claim_fd(key, fd, false);
}

// A function begins again when its stack had to grow first.
INLINE bool is_begun_again(struct tls_caller *caller, struct registers *registers)
{
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, caller);

	return call && call->role == TLS_WRITTEN && call->session == registers->ax &&
	       call->size_address == registers->cx;
}

// Another goroutine may read the answer before the one that writes returns. So what is written is told before that, unless
// the handshake is still to come, which may be done by the call itself.
INLINE bool go_write_at_once(struct tls_session_key *key, struct registers *registers)
{
	struct tls_session *session = bpf_map_lookup_elem(&tls_sessions, key);
	struct connection *connection = session ? connection_of(session->sock, session->connection_id) : NULL;
	struct ledger_row *row;
	u32 size = registers->cx;

	if (!connection || (!session->from_start && connection->tls_read <= 1 && connection->tls_written <= 1))
		return false;
	row = account(ACCOUNT_TLS);
	if (row && size) {
		COUNT(row, seen);
		plaintext(row, connection, session->sock, registers->bx, size, FLAG_SENT,
			  bpf_ktime_get_boot_ns());
	}
	return true;
}

INLINE int enter_go(struct registers *registers, u32 role)
{
	struct tls_caller caller = goroutine(registers);
	struct tls_session_key key = { .session = registers->ax, .pid = caller.pid };

	if (is_traced(caller.pid)) {
		if (role == TLS_HANDSHAKE)
			announce(&key);
		go_claim(&key);
		if (role == TLS_HANDSHAKE || is_begun_again(&caller, registers))
			return 0;
		if (role == TLS_WRITE && go_write_at_once(&key, registers))
			role = TLS_WRITTEN;
		enter(&caller, registers->ax, registers->bx, registers->cx, 0, role);
	}
	return 0;
}

SEC("uprobe/go_read") int go_read(struct registers *registers)
{
	return enter_go(registers, TLS_READ);
}

SEC("uprobe/go_write") int go_write(struct registers *registers)
{
	return enter_go(registers, TLS_WRITE);
}

SEC("uprobe/go_handshake") int go_handshake(struct registers *registers)
{
	return enter_go(registers, TLS_HANDSHAKE);
}

SEC("uprobe/go_leave") int go_leave(struct registers *registers)
{
	struct tls_caller caller = goroutine(registers);
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, &caller);

	if (call && call->role != TLS_NONE)
		leave(&caller, call, registers->ax);
	return 0;
}
