// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Calls on sockets at the exit of system calls: the saved registers still have the arguments, and the result tells how
// much was really moved. Of all calls where the kernel has no tracepoint at the socket (before 6.3); elsewhere of those
// that such a tracepoint does not tell enough of. The descriptor is walked to its socket each time, which is loads where
// the kernel can cast; so nothing is remembered that a close, dup or exec would make wrong.
#pragma once
#include "data.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call);
} call_scratch SEC(".maps");

// Takes the call of this CPU to its socket. A function that the verifier looks at by itself, once: it is long, and called
// from several places and in a loop.
__attribute__((noinline)) int on_socket(u32 fd, u32 pid, bool only_datagrams)
{
	u32 zero = 0;
	struct call *call = bpf_map_lookup_elem(&call_scratch, &zero);
	struct file *file = current_file(fd);
	struct socket *socket = file ? file_socket(file) : NULL;
	struct sock *sk = socket ? READ(socket, sk) : NULL;
	struct connection *connection;
	struct wanted wanted;
	u16 family, protocol;

	if (!sk || !call)
		return 0;
	family = READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	protocol = READ(sk, sk_protocol);
	if (protocol == IPPROTO_UDP)
		datagram(sk, &call->moved, call->name, pid);
	if (protocol != IPPROTO_TCP || only_datagrams)
		return 0;
	connection = followed(sk);
	if (connection && is_wanted(&wanted, (u64)sk, connection, call->moved.direction))
		stream_data(sk, &wanted, &call->moved);
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
		on_socket(fd, pid, false);
	}
}

// A call that has moved something. Only datagrams with the name of their sender, when `only_datagrams`.
INLINE int exited(struct pt_regs *registers, s64 result, u8 role, bool only_datagrams)
{
	u64 flags = LOAD(registers, r10);
	struct call *call;
	u32 fd, pid, zero = 0;

	pid = bpf_get_current_pid_tgid() >> 32;
	if (!is_traced(pid) || is_compatible_call((struct task_struct *)bpf_get_current_task()))
		return 0;
	call = bpf_map_lookup_elem(&call_scratch, &zero);
	if (!call)
		return 0;
	fd = LOAD(registers, di);
	if (((role == ROLE_RECEIVE || role == ROLE_RECVMMSG) && (flags & MSG_LOOKS)) ||
	    (role == ROLE_RECVMSG && (LOAD(registers, dx) & MSG_LOOKS)))
		return 0;
	describe(call, role, registers);
	call->moved.size = result;
	call->moved.behind = 0;
	call->moved.direction = direction_of(role);
	if (only_datagrams && !call->name)
		return 0;
	if (role == ROLE_SENDMMSG || role == ROLE_RECVMMSG) {
		messages(call, fd, LOAD(registers, si), result, call->moved.direction, pid);
		return 0;
	}
	on_socket(fd, pid, only_datagrams);
	if (role == ROLE_SPLICE) {
		call->moved.direction = FLAG_SENT;
		on_socket(LOAD(registers, dx), pid, false);
	}
	return 0;
}

SEC("tp_btf/sys_exit") int sys_exit(u64 *context)
{
	struct pt_regs *registers = (void *)context[0];
	u64 number = LOAD(registers, orig_ax);
	s64 result = context[1];
	u8 role;

	if (result <= 0 || number >= SYSCALLS)
		return 0;
	role = data_roles[number];
	if (likely(role == ROLE_NONE))
		return 0;
	return exited(registers, result, role, false);
}

// Where there are tracepoints at sockets, so are typed tasks.
#define DEFINE_EXIT(name, role, is_wanted)                                                                            \
	SEC("tracepoint/syscalls/sys_exit_" #name) int sys_exit_##name(struct sys_exit_context *context)               \
	{                                                                                                             \
		struct pt_regs *registers = bpf_task_pt_regs(bpf_get_current_task_btf());                             \
                                                                                                                      \
		if (context->result <= 0 || !(is_wanted))                                                             \
			return 0;                                                                                     \
		return exited(registers, context->result, role, role == ROLE_RECEIVE || role == ROLE_RECVMSG);        \
	}

// At the socket it is not known which of the messages it is, and that nothing is copied by a splice.
DEFINE_EXIT(sendmmsg, ROLE_SENDMMSG, true)
DEFINE_EXIT(recvmmsg, ROLE_RECVMMSG, true)
DEFINE_EXIT(splice, ROLE_SPLICE, true)
// Nor was the name of the sender handed over, which streams do not ask for.
DEFINE_EXIT(recvfrom, ROLE_RECEIVE, LOAD(registers, r8))
DEFINE_EXIT(recvmsg, ROLE_RECVMSG, true)
