// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Calls on sockets where the kernel tells of them itself (since 6.3), at the end of every send and receive: there is no
// descriptor to walk, and no program at calls that are none of sockets.
#pragma once
#include "data.h"

#define PF_KTHREAD 0x00200000

INLINE int at_socket(struct sock *sk, s32 result, u8 direction)
{
	u16 family, protocol = READ(sk, sk_protocol);
	struct task_struct *task;
	struct pt_regs *registers;
	struct wanted wanted;
	struct call call;
	u8 role = ROLE_NONE;
	u64 number;

	if (result <= 0 || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 0;
	family = READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	task = bpf_get_current_task_btf();
	registers = bpf_task_pt_regs(task);
	number = LOAD(registers, orig_ax);
	if (number < SYSCALLS && !(LOAD(task, flags) & PF_KTHREAD))
		role = data_roles[number];
	// These are told at their exits.
	if (role == ROLE_SENDMMSG || role == ROLE_RECVMMSG || role == ROLE_SPLICE)
		return 0;
	// What moves on behalf of another call, such as a ring's, has its size, and bytes that are not to be had.
	if (direction_of(role) != direction || is_compatible_call(task))
		role = ROLE_NONE;
	call.moved.size = result;
	call.moved.behind = 0;
	call.moved.direction = direction;
	if (protocol == IPPROTO_TCP) {
		if (is_wanted(&wanted, sk, direction)) {
			describe(&call, role, registers);
			stream_data(sk, &wanted, &call.moved);
		}
	} else {
		u32 pid = bpf_get_current_pid_tgid() >> 32;

		if (!is_traced(pid))
			return 0;
		describe(&call, role, registers);
		// The name of a sender comes after this.
		if (direction || !call.name)
			datagram(sk, &call.moved, call.name, pid);
	}
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
