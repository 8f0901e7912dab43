// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The connections and listening sockets that are followed, and what a record says of one. A socket is its
// `struct sock`: so duplicated, inherited and passed descriptors are the same connection.
#pragma once
#include "ledger.h"
#include "rings.h"
#include "task.h"

enum connection_phase { PHASE_CONNECTING, PHASE_OPEN, PHASE_LISTENING };

struct connection {
	u64 id;
	u64 start_ns;  // of the owner
	u64 opened_ns; // when it was established, accepted, or found; SYN sent while it connects
	u32 pid;       // the owner: who connected, accepted, listened, or held it when it was found
	u8 phase;
	u8 flags;
	u16 keep;	// of what calls move, see below
	u32 read_base;	// sequence number of the first byte that was received; 0 when it was not seen
	u32 write_base; // likewise sent
	u64 tls_session; // address of what encrypts it; 0 while that is not known
	u32 tls_read;	 // plaintext
	u32 tls_written; // likewise
	u16 plain_keep;	 // of what is said inside TLS, as keep
	u8 is_encrypted;
	u8 reserved[5];
};

// What is kept of the bytes that calls move on a connection: nothing, sizes and up to keep - KEEP_SIZES bytes of each.
#define KEEP_UNDECIDED 0
#define KEEP_NOTHING 1
#define KEEP_SIZES 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64); // struct sock *
	__type(value, struct connection);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} connection_counters SEC(".maps");

// The low bits tell who numbered it: a CPU, or the scan, which may be preempted and so counts by itself.
#define ID_CPU_BITS 12
#define ID_SCAN 0xfff

// Only in process context with preemption off: nothing else can number on this CPU meanwhile. 0 is no id.
INLINE u64 next_connection_id(void)
{
	u32 zero = 0;
	u64 *counter = bpf_map_lookup_elem(&connection_counters, &zero);

	if (!counter)
		return 0;
	*counter += 1;
	return *counter << ID_CPU_BITS | bpf_get_smp_processor_id();
}

INLINE void map_ipv4(u8 *to, u32 address)
{
	u64 *words = (u64 *)to;

	words[0] = 0; // ::ffff:a.b.c.d
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	words[1] = 0xffff0000ull | (u64)address << 32;
#else
	words[1] = 0xffffull << 32 | address;
#endif
}

INLINE u16 host_order(u16 port)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap16(port);
#else
	return port;
#endif
}

struct addresses {
	u8 local_ip[16];
	u8 remote_ip[16];
	u32 network_namespace;
	u16 local_port;
	u16 remote_port;
};

struct traffic {
	u64 bytes_sent;
	u64 bytes_received;
	u32 retransmits;
	u32 smoothed_rtt_us;
	u32 minimum_rtt_us;
	u16 error;
};

// Payload only: the kernel's counters include the SYN of a connection opened here and the FINs of either side.
#define DEFINE_SOCKET_READERS(GET)                                                                                    \
	INLINE void addresses_##GET(struct addresses *to, struct tcp_sock *tcp)                                       \
	{                                                                                                             \
		struct sock_common *common = &tcp->inet_conn.icsk_inet.sk.__sk_common;                                \
                                                                                                                      \
		if (GET(common, skc_family) == AF_INET6) {                                                            \
			bpf_probe_read_kernel(to->local_ip, 16, &common->skc_v6_rcv_saddr);                           \
			bpf_probe_read_kernel(to->remote_ip, 16, &common->skc_v6_daddr);                              \
		} else {                                                                                              \
			map_ipv4(to->local_ip, GET(common, skc_rcv_saddr));                                           \
			map_ipv4(to->remote_ip, GET(common, skc_daddr));                                              \
		}                                                                                                     \
		to->local_port = host_order(GET(tcp, inet_conn.icsk_inet.inet_sport));                                \
		to->remote_port = host_order(GET(common, skc_dport));                                                 \
		to->network_namespace = GET(GET(common, skc_net.net), ns.inum);                                       \
	}                                                                                                             \
	INLINE void traffic_##GET(struct traffic *to, struct tcp_sock *tcp, u32 state, u8 flags)                      \
	{                                                                                                             \
		u64 sent = GET(tcp, bytes_acked), received = GET(tcp, bytes_received);                                \
		bool closed_here = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||        \
				   state == TCP_LAST_ACK;                                                             \
                                                                                                                      \
		if ((flags & FLAG_OUTBOUND) && sent)                                                                  \
			sent--;                                                                                       \
		if (closed_here && sent && GET(tcp, snd_una) == GET(tcp, write_seq))                                  \
			sent--;                                                                                       \
		if ((GET(tcp, inet_conn.icsk_inet.sk.__sk_common.skc_flags) >> SOCK_DONE_BIT & 1) && received)                     \
			received--;                                                                                   \
		to->bytes_sent = sent;                                                                                \
		to->bytes_received = received;                                                                        \
		to->retransmits = GET(tcp, total_retrans);                                                            \
		to->smoothed_rtt_us = GET(tcp, srtt_us) >> 3;                                                         \
		to->minimum_rtt_us = GET(tcp, rtt_min.s[0].v);                                                        \
		to->error = GET(tcp, inet_conn.icsk_inet.sk.sk_err);                                                  \
	}

DEFINE_SOCKET_READERS(LOAD)
DEFINE_SOCKET_READERS(READ)

INLINE void fill_connection(struct connection_record *record, u16 kind, u16 account, struct connection *connection,
			    struct addresses *addresses, u64 time_ns)
{
	fill_header(&record->header, kind, account, sizeof(*record), time_ns);
	record->connection_id = connection->id;
	record->start_ns = connection->start_ns;
	record->pid = connection->pid;
	record->flags = connection->flags;
	__builtin_memcpy(record->local_ip, addresses->local_ip, 16);
	__builtin_memcpy(record->remote_ip, addresses->remote_ip, 16);
	record->network_namespace = addresses->network_namespace;
	record->local_port = addresses->local_port;
	record->remote_port = addresses->remote_port;
	record->reserved = 0;
}

INLINE void fill_listen(struct listen_record *record, u16 kind, u16 account, struct connection *connection,
			struct tcp_sock *tcp, struct addresses *addresses, u64 time_ns)
{
	fill_header(&record->header, kind, account, sizeof(*record), time_ns);
	record->connection_id = connection->id;
	record->start_ns = connection->start_ns;
	record->pid = connection->pid;
	__builtin_memcpy(record->local_ip, addresses->local_ip, 16);
	record->network_namespace = addresses->network_namespace;
	record->local_port = addresses->local_port;
	record->flags = READ_BITS(&tcp->inet_conn.icsk_inet.sk.__sk_common, skc_ipv6only) ? FLAG_V6_ONLY : 0;
	record->reserved = 0;
}

INLINE void fill_traffic(struct traffic_record *record, u16 kind, u16 account, struct connection *connection,
			 struct traffic *traffic, u32 state, u64 time_ns)
{
	fill_header(&record->header, kind, account, sizeof(*record), time_ns);
	record->connection_id = connection->id;
	record->start_ns = connection->start_ns;
	record->pid = connection->pid;
	record->bytes_sent = traffic->bytes_sent;
	record->bytes_received = traffic->bytes_received;
	record->lifetime_ns = time_ns - connection->opened_ns;
	record->retransmits = traffic->retransmits;
	record->smoothed_rtt_us = traffic->smoothed_rtt_us;
	record->minimum_rtt_us = traffic->minimum_rtt_us;
	record->error = traffic->error;
	record->state = state;
	record->flags = connection->flags;
	record->reserved = 0;
}

INLINE void fill_socket(struct socket_record *record, u16 kind, u16 account, struct connection *connection,
			u32 state, u64 time_ns)
{
	fill_header(&record->header, kind, account, sizeof(*record), time_ns);
	record->connection_id = connection->id;
	record->start_ns = connection->start_ns;
	record->pid = connection->pid;
	record->state = state;
	record->flags = connection->flags;
}
