// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Which connection a TLS session is of. A session is an object in a process, named by its address; it is put together
// with the connection on which its thread moves bytes while one of the session's functions runs, or with the one that
// its thread has read from just before, where the application moves the bytes and the session only turns them.
#pragma once
#include "sockets.h"

enum tls_role {
	TLS_NONE,
	TLS_READ,
	TLS_READ_EX, // the size is written to where the caller says
	TLS_WRITE,
	TLS_WRITE_EX, // likewise
	TLS_HANDSHAKE,
	TLS_WRITTEN, // what it writes was told at its entry
};

#define CONTENT_HANDSHAKE 22
#define CLIENT_HELLO 1
#define RECORD_HEADER_BYTES 5
// A connection that turns to TLS does so within these.
#define TURNS_BYTES 4096

// A thread, or a goroutine.
struct tls_caller {
	u64 who;
	u32 pid;
	u32 reserved;
};

struct tls_call {
	u64 session;
	u64 buffer;
	u64 size_address; // or the size itself, where it is known at the entry
	u64 stack; // what the stack pointer was at the entry
	// The last encrypted connection without a session that the thread read from.
	u64 received_sock;
	u64 received_id;
	u32 role;
	u32 is_hello; // what it read
};

// Calls that are under way, and threads that read. One that is forgotten costs what its call moved, which is counted.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // user space sizes it
	__type(key, struct tls_caller);
	__type(value, struct tls_call);
} tls_calls SEC(".maps");

struct tls_session_key {
	u64 session;
	u32 pid;
	u32 reserved;
};

struct tls_session {
	u64 sock; // 0 while that is not known
	u64 connection_id;
	u64 ended_ns; // when the connection did
	// What the connection had then.
	u32 read;
	u32 written;
	u16 keep;
	u8 flags;
	u8 from_start; // its handshake was seen
	u8 is_elsewhere; // on a socket that is not followed
	u8 reserved[3];
};

// One that is forgotten is put together with its connection again.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // likewise
	__type(key, struct tls_session_key);
	__type(value, struct tls_session);
} tls_sessions SEC(".maps");

INLINE struct connection *connection_of(u64 sock, u64 id)
{
	struct connection *connection = sock ? bpf_map_lookup_elem(&connections, &sock) : NULL;

	return connection && connection->id == id ? connection : NULL;
}

// Puts a session together with a connection, when neither has another one.
INLINE void claim(struct tls_session_key *key, u64 sock, struct connection *connection, bool from_start)
{
	struct tls_session *known = bpf_map_lookup_elem(&tls_sessions, key);
	struct tls_session session = { .sock = sock, .connection_id = connection->id, .from_start = from_start };

	if (known) {
		if (connection_of(known->sock, known->connection_id))
			return;
		session.from_start |= known->from_start;
	}
	if (connection->tls_session && connection->tls_session != key->session)
		return;
	connection->is_encrypted = 1;
	if (!connection->tls_session) {
		connection->tls_session = key->session;
		// 0 is the beginning of what is said, and nothing else is.
		if (!connection->tls_read && !connection->tls_written && !session.from_start)
			connection->tls_read = connection->tls_written = 1;
	}
	bpf_map_update_elem(&tls_sessions, key, &session, BPF_ANY);
}

// A connection ends. What was received of it before may still be decrypted.
INLINE void session_ends(struct connection *connection, u64 now)
{
	struct tls_session_key key = { .session = connection->tls_session, .pid = connection->pid };
	struct tls_session *session = key.session ? bpf_map_lookup_elem(&tls_sessions, &key) : NULL;

	if (!session || session->connection_id != connection->id)
		return;
	session->read = connection->tls_read;
	session->written = connection->tls_written;
	session->keep = connection->plain_keep;
	session->flags = connection->flags;
	session->ended_ns = now;
}

// Bytes moved on a connection that is encrypted, or may be.
INLINE void encrypted_moved(u64 sock, struct connection *connection, u8 direction, bool is_hello)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_caller caller = { .who = (u32)id, .pid = id >> 32 };
	struct tls_call *call = bpf_map_lookup_elem(&tls_calls, &caller);

	if (call && call->role != TLS_NONE) {
		struct tls_session_key key = { .session = call->session, .pid = id >> 32 };

		claim(&key, sock, connection, is_hello);
		if (call->role != TLS_HANDSHAKE)
			return;
		// Its return may not have been seen.
	}
	if ((direction & FLAG_SENT) || connection->tls_session || !connection->is_encrypted)
		return;
	if (call) {
		call->received_sock = sock;
		call->received_id = connection->id;
		call->is_hello = is_hello;
	} else {
		struct tls_call made = { .received_sock = sock, .received_id = connection->id, .is_hello = is_hello };

		bpf_map_update_elem(&tls_calls, &caller, &made, BPF_ANY);
	}
}

// Whether these are the first bytes of a client that turns to TLS. A server may read the header of a record alone.
INLINE bool is_client_hello(const u8 *bytes, u32 kept, u32 size, u32 position)
{
	if (kept < RECORD_HEADER_BYTES || bytes[0] != CONTENT_HANDSHAKE || bytes[1] != 3 || bytes[2] > 4)
		return false;
	return size == RECORD_HEADER_BYTES || position == 0 || bytes[RECORD_HEADER_BYTES] == CLIENT_HELLO;
}
