// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Regular files opened for writing. The enter of the call keeps the path's address and the flags; its exit has the
// descriptor, and through it the file.
#pragma once
#include "ledger.h"
#include "pending.h"
#include "rings.h"
#include "task.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_record);
} file_scratch SEC(".maps");

// File systems that only show the kernel's state.
INLINE bool is_pseudo(unsigned long magic)
{
	switch (magic) {
	case 0x9fa0:	 // proc
	case 0x62656572: // sysfs
	case 0x27e0eb:	 // cgroup
	case 0x63677270: // cgroup2
	case 0x74726163: // tracefs
	case 0x64626720: // debugfs
	case 0xcafe4a11: // bpf
		return true;
	}
	return false;
}

// False when it is no regular file of a real file system.
INLINE bool fill_file(struct file_record *record, struct file *file)
{
	struct inode *inode = READ(file, f_inode);
	struct super_block *file_system;
	struct vfsmount *mounted;
	u32 device;

	if ((READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return false;
	file_system = READ(inode, i_sb);
	if (is_pseudo(READ(file_system, s_magic)))
		return false;
	device = READ(file_system, s_dev);
	record->device_major = device >> 20;
	record->device_minor = device & 0xfffff;
	record->inode = READ(inode, i_ino);
	mounted = READ(file, f_path.mnt);
	record->mount_id = READ((struct mount *)((u8 *)mounted - core_offset(struct mount, mnt)), mnt_id);
	record->reserved = 0;
	return true;
}

INLINE int open_begins(const void *path, u64 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	struct pending_open call = { .path = (u64)path, .flags = flags };
	u32 thread = id, access = flags & O_ACCMODE;
	struct ledger_row *row = account(ACCOUNT_OPEN);

	if (!row)
		return 0;
	if ((access != O_WRONLY && access != O_RDWR) || (flags & O_PATH) || !is_traced(id >> 32)) {
		COUNT(row, seen);
		COUNT(row, filtered);
		return 0;
	}
	if (bpf_map_update_elem(&pending_opens, &thread, &call, BPF_ANY)) {
		COUNT(row, seen);
		COUNT(row, dropped_map_full);
	}
	return 0;
}

INLINE int open_ends(s64 fd)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = id, zero = 0;
	struct pending_open *call = bpf_map_lookup_elem(&pending_opens, &thread);
	struct file_record *record;
	struct ledger_row *row;
	struct file *file;
	u64 path_bytes, length;
	const void *path;
	long written;

	if (!call)
		return 0;
	path = (void *)call->path;
	record = bpf_map_lookup_elem(&file_scratch, &zero);
	row = account(ACCOUNT_OPEN);
	if (!record || !row)
		return 0;
	record->open_flags = call->flags;
	bpf_map_delete_elem(&pending_opens, &thread);
	COUNT(row, seen);
	file = fd >= 0 ? current_file(fd) : NULL;
	if (!file || !fill_file(record, file)) {
		COUNT(row, filtered);
		return 0;
	}
	record->flags = 0;
	written = bpf_probe_read_user_str(record->path, FILE_PATH_MAX_BYTES, path);
	if (written < 0) {
		COUNT(row, dropped_read_fault);
		return 0;
	}
	path_bytes = written > 0 ? written - 1 : 0;
	barrier_var(path_bytes);
	if (path_bytes >= FILE_PATH_MAX_BYTES)
		path_bytes = 0;
	if (path_bytes == FILE_PATH_MAX_BYTES - 1)
		record->flags |= FLAG_TRUNCATED;
	record->path_bytes = path_bytes;
	record->pid = id >> 32;
	record->start_ns = current_start_ns();
	record->fd = fd;
	length = (offsetof(struct file_record, path) + path_bytes + 7) & ~7ull;
	barrier_var(length);
	if (length > sizeof(*record))
		length = sizeof(*record);
	fill_header(&record->header, RECORD_FILE_OPEN, ACCOUNT_OPEN, length, bpf_ktime_get_boot_ns());
	submit_lifecycle(row, record, length);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_open") int sys_enter_open(struct sys_enter_context *context)
{
	return open_begins((void *)context->arguments[0], context->arguments[1]);
}

SEC("tracepoint/syscalls/sys_enter_creat") int sys_enter_creat(struct sys_enter_context *context)
{
	return open_begins((void *)context->arguments[0], O_WRONLY | 01100 /* O_CREAT | O_TRUNC */);
}

SEC("tracepoint/syscalls/sys_enter_openat") int sys_enter_openat(struct sys_enter_context *context)
{
	return open_begins((void *)context->arguments[1], context->arguments[2]);
}

SEC("tracepoint/syscalls/sys_enter_openat2") int sys_enter_openat2(struct sys_enter_context *context)
{
	u64 flags = 0; // the first member of struct open_how

	bpf_probe_read_user(&flags, sizeof(flags), (void *)context->arguments[2]);
	return open_begins((void *)context->arguments[1], flags);
}

SEC("tracepoint/syscalls/sys_exit_open") int sys_exit_open(struct sys_exit_context *context)
{
	return open_ends(context->result);
}

SEC("tracepoint/syscalls/sys_exit_creat") int sys_exit_creat(struct sys_exit_context *context)
{
	return open_ends(context->result);
}

SEC("tracepoint/syscalls/sys_exit_openat") int sys_exit_openat(struct sys_exit_context *context)
{
	return open_ends(context->result);
}

SEC("tracepoint/syscalls/sys_exit_openat2") int sys_exit_openat2(struct sys_exit_context *context)
{
	return open_ends(context->result);
}
