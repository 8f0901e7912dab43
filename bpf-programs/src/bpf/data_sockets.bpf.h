// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Calls on sockets where the kernel tells of them itself (since 6.3), at the end of every send and receive: there is no
// descriptor to walk, and no program at calls that are none of sockets.
#pragma once
#include "data.h"

#define PF_KTHREAD 0x00200000

// What the call is that runs now and moves something in this direction.
INLINE u8 role_at_socket(struct task_struct *task, struct pt_regs *registers, u8 direction)
{
	u64 number = LOAD(registers, orig_ax);
	u8 role = number < SYSCALLS && !(LOAD(task, flags) & PF_KTHREAD) ? data_roles[number] : ROLE_NONE;

	if (role == ROLE_SENDMMSG || role == ROLE_RECVMMSG || role == ROLE_SPLICE)
		return role;
	// What moves on behalf of another call, such as a ring's, has its size, and bytes that are not to be had.
	return direction_of(role) != direction || is_compatible_call(task) ? ROLE_NONE : role;
}

INLINE void at_connection(struct sock *sk, struct connection *connection, struct call *call, u8 role,
			  struct pt_regs *registers)
{
	struct wanted wanted;

	if (!is_wanted(&wanted, (u64)sk, connection, call->moved.direction))
		return;
	describe(call, wanted.keep ? role : ROLE_NONE, registers);
	stream_data(sk, &wanted, &call->moved);
}

INLINE void at_datagrams(struct sock *sk, struct call *call, u8 role, struct pt_regs *registers)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (!is_traced(pid))
		return;
	describe(call, role, registers);
	// The name of a sender comes after this.
	if (call->moved.direction || !call->name)
		datagram(sk, &call->moved, call->name, pid);
}

INLINE bool is_datagrams(struct sock *sk)
{
	u16 family = READ(sk, __sk_common.skc_family);

	return READ(sk, sk_protocol) == IPPROTO_UDP && (family == AF_INET || family == AF_INET6);
}

INLINE int at_socket(struct sock *sk, s32 result, u8 direction)
{
	struct connection *connection;
	struct task_struct *task;
	struct pt_regs *registers;
	struct call call;
	u8 role;

	if (result <= 0)
		return 0;
	// First of all: most sockets of a host may be of nobody that is recorded.
	connection = followed(sk);
	if (!connection && !is_datagrams(sk))
		return 0;
	task = bpf_get_current_task_btf();
	registers = bpf_task_pt_regs(task);
	role = role_at_socket(task, registers, direction);
	// These are told at their exits.
	if (role == ROLE_SENDMMSG || role == ROLE_RECVMMSG || role == ROLE_SPLICE)
		return 0;
	call.moved.size = result;
	call.moved.behind = 0;
	call.moved.direction = direction;
	if (connection)
		at_connection(sk, connection, &call, role, registers);
	else
		at_datagrams(sk, &call, role, registers);
	return 0;
}

SEC("tp_btf/sock_send_length") int sock_send_length(u64 *context)
{
	return at_socket((struct sock *)context[0], context[1], FLAG_SENT);
}

SEC("tp_btf/sock_recv_length") int sock_recv_length(u64 *context)
{
	if (context[2] & MSG_LOOKS)
		return 0;
	return at_socket((struct sock *)context[0], context[1], 0);
}
