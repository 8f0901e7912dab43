// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Layout of the records that go to user space. Each struct here has its twin in wire.rs with the same sizes and
// offsets; both sides assert them. Native byte order, except ports, which are turned here. Multiples of 8 bytes.
#pragma once
#include "base.h"

enum record_kind {
	RECORD_PROCESS_START = 1,
	RECORD_PROCESS_EXEC = 2,
	RECORD_PROCESS_EXIT = 3,
	RECORD_OOM_KILL = 4,
	RECORD_CGROUP_CREATED = 5,
	RECORD_CGROUP_REMOVED = 6,
	RECORD_CGROUP_ATTACHED = 7,
	RECORD_FILE_OPEN = 8,
	RECORD_FILE_EXISTING = 9,
	RECORD_LISTEN_OPEN = 10,
	RECORD_LISTEN_EXISTING = 11,
	RECORD_LISTEN_CLOSE = 12,
	RECORD_CONNECT = 13,
	RECORD_CONNECT_ERROR = 14,
	RECORD_ACCEPT = 15,
	RECORD_CONNECTION_EXISTING = 16,
	RECORD_CLOSE = 17,
	RECORD_STATISTICS = 18,
	RECORD_RETRANSMIT = 19,
	RECORD_DATA = 20,
	RECORD_DATAGRAM = 21,
};

// Text was longer than what the record holds.
#define FLAG_TRUNCATED 1
// The arguments of a program could not be read.
#define FLAG_UNREADABLE 2
// The socket takes IPv6 only.
#define FLAG_V6_ONLY 4
// The socket's port was chosen by bind() or by its listening socket, not by connect().
#define FLAG_BOUND 8
// This host's process connected.
#define FLAG_OUTBOUND 16
// The close was found by a sweep: its event did not come.
#define FLAG_INFERRED 32
// The connection is known from its first byte on.
#define FLAG_FROM_START 64
// The bytes were sent; otherwise received.
#define FLAG_SENT 1
// They were read or written inside TLS.
#define FLAG_PLAINTEXT 2

#define FILENAME_MAX_BYTES 512
#define ARGUMENTS_MAX_BYTES 1024
#define CGROUP_PATH_MAX_BYTES 512
#define FILE_PATH_MAX_BYTES 256
#define DATA_MAX_BYTES 4096
#define DATAGRAM_MAX_BYTES 2048

struct record_header {
	u16 kind;
	u16 length; // of the record with this header, bytes
	u16 cpu;
	u16 account; // of the ledger
	u64 time_ns; // boot time
};

struct task_facts {
	u64 start_ns;	       // boot time
	u64 parent_start_ns;   // boot time
	u64 cgroup_ids[3];     // version 2, memory, cpu: ids in their hierarchies
	u32 hierarchy_ids[3];  // 0 is version 2, which also stands for an absent controller of version 1
	u32 pid;
	u32 parent_pid;
	u32 uid;
	u32 namespace_pid;     // in the innermost pid namespace
	u32 pid_namespace;
	u32 network_namespace;
	u32 mount_namespace;
	u32 cgroup_namespace;
	u32 reserved;
	char command[16];
};

struct process_start_record {
	struct record_header header;
	struct task_facts task;
};

struct process_exec_record {
	struct record_header header;
	struct task_facts task;
	u32 arguments_total_bytes; // of all arguments with their terminators
	u16 filename_bytes;
	u16 arguments_bytes; // in this record
	u32 flags;
	u32 reserved;
	// then the file name, then the arguments, each with its NUL
	char text[FILENAME_MAX_BYTES + ARGUMENTS_MAX_BYTES];
};

struct process_exit_record {
	struct record_header header;
	u64 start_ns;
	u32 pid;
	u32 status; // as wait() gives it
};

struct oom_kill_record {
	struct record_header header;
	u32 pid;
	u32 reserved;
};

struct cgroup_record {
	struct record_header header;
	u64 cgroup_id;
	u64 start_ns; // of the process that moved
	u32 hierarchy_id;
	u32 level;
	u32 pid; // that moved
	u16 path_bytes;
	u16 flags;
	char path[CGROUP_PATH_MAX_BYTES];
};

struct file_record {
	struct record_header header;
	u64 start_ns;
	u64 inode;
	u32 pid;
	s32 fd;
	u32 open_flags;
	u32 device_major;
	u32 device_minor;
	s32 mount_id;
	u16 path_bytes;
	u16 flags;
	u32 reserved;
	char path[FILE_PATH_MAX_BYTES];
};

struct listen_record {
	struct record_header header;
	u64 connection_id;
	u64 start_ns;
	u8 local_ip[16];
	u32 pid;
	u32 network_namespace;
	u16 local_port;
	u16 flags;
	u32 reserved;
};

struct socket_record { // listen_close, retransmit
	struct record_header header;
	u64 connection_id;
	u64 start_ns;
	u32 pid;
	u16 state;
	u16 flags;
};

struct connection_record { // connect, connect_error, accept, connection_existing
	struct record_header header;
	u64 connection_id;
	u64 start_ns;
	u64 handshake_ns;
	u8 local_ip[16];
	u8 remote_ip[16];
	u32 pid;
	u32 network_namespace;
	u32 smoothed_rtt_us;
	u16 local_port;
	u16 remote_port;
	u16 error;
	u8 state;
	u8 flags;
	u32 reserved;
};

struct traffic_record { // close, statistics
	struct record_header header;
	u64 connection_id;
	u64 start_ns;
	u64 bytes_sent;
	u64 bytes_received;
	u64 lifetime_ns;
	u32 pid;
	u32 retransmits;
	u32 smoothed_rtt_us;
	u32 minimum_rtt_us;
	u16 error;
	u8 state;
	u8 flags;
	u32 reserved;
};

struct data_record {
	struct record_header header;
	u64 connection_id;
	u64 sock;     // tells the kernel's connections apart when user space decides on one
	u32 position; // in the stream, of its first byte: since the beginning where that was seen, modulo 2^32
	u32 size;     // that the call moved
	u16 kept_bytes;
	u8 flags;
	u8 reserved_byte;
	u32 reserved;
	char bytes[2 * DATA_MAX_BYTES]; // only half of it is used: the other half is where the verifier fears writes
};

struct datagram_record {
	struct record_header header;
	u64 sock;
	u64 start_ns;
	u8 local_ip[16];
	u8 remote_ip[16];
	u32 pid;
	u32 network_namespace;
	u16 local_port;
	u16 remote_port;
	u32 size;
	u16 kept_bytes;
	u8 flags;
	u8 reserved_byte;
	u32 reserved;
	char bytes[2 * DATAGRAM_MAX_BYTES]; // likewise
};

_Static_assert(sizeof(struct record_header) == 16, "header");
_Static_assert(sizeof(struct task_facts) == 104, "task");
_Static_assert(offsetof(struct task_facts, hierarchy_ids) == 40, "task.hierarchy_ids");
_Static_assert(offsetof(struct task_facts, command) == 88, "task.command");
_Static_assert(sizeof(struct process_start_record) == 120, "process_start");
_Static_assert(offsetof(struct process_exec_record, text) == 136, "process_exec.text");
_Static_assert(sizeof(struct process_exit_record) == 32, "process_exit");
_Static_assert(sizeof(struct oom_kill_record) == 24, "oom_kill");
_Static_assert(offsetof(struct cgroup_record, path) == 48, "cgroup.path");
_Static_assert(offsetof(struct file_record, path) == 64, "file.path");
_Static_assert(sizeof(struct listen_record) == 64, "listen");
_Static_assert(sizeof(struct socket_record) == 40, "socket");
_Static_assert(sizeof(struct connection_record) == 96, "connection");
_Static_assert(sizeof(struct traffic_record) == 80, "traffic");
_Static_assert(offsetof(struct data_record, bytes) == 48, "data.bytes");
_Static_assert(offsetof(struct datagram_record, bytes) == 88, "datagram.bytes");
