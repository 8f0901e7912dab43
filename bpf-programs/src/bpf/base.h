// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What a BPF program needs of its compiler and kernel: integer types, map and section macros, CO-RE access,
// and the helper functions in use, by their numbers in the kernel's ABI. Nothing else is included from the system.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define offsetof(type, member) __builtin_offsetof(type, member)

// Hides a value's origin from the compiler, so that it keeps the bounds check which the verifier must see.
#define barrier_var(var) asm volatile("" : "+r"(var))
// Keeps the compiler from moving memory accesses over this point.
#define barrier() asm volatile("" ::: "memory")
// Adds without reading back: the only atomic operation that kernels before 5.12 have.
#define atomic_add(pointer, n) ((void)__sync_fetch_and_add(pointer, n))

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0 };
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { ENOENT = 2, E2BIG = 7 };

struct pt_regs;
struct seq_file;
struct task_struct;
struct tcp_sock;

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*const bpf_seq_write)(struct seq_file *to, const void *data, u32 size) = (void *)127;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static u64 (*const bpf_ringbuf_query)(void *ring, u64 flags) = (void *)134;
static struct tcp_sock *(*const bpf_skc_to_tcp_sock)(void *sk) = (void *)137;
// Since 5.11; not to be called when `typed_current_task` is 0.
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
// Since 5.15; as a task's.
static struct pt_regs *(*const bpf_task_pt_regs)(struct task_struct *task) = (void *)175;

// Whether the kernel has bpf_rdonly_cast(), as those since 6.2 do.
const volatile u32 can_cast = 0;
// Gives an address a type that the verifier knows. Not a helper but a function of the kernel: user space puts the
// kernel's number for it in the place of this one. Not to be called when `can_cast` is 0.
static void *(*const bpf_rdonly_cast)(const void *address, u32 type) = (void *)0x74736163;

// Reads `pointer->field` where the verifier does not know the pointer's type: one load where the kernel can cast,
// otherwise a call. A fault reads as zero either way.
#define READ(pointer, field)                                                                                          \
	({                                                                                                            \
		typeof((pointer)->field) read_value;                                                                  \
		if (can_cast)                                                                                         \
			read_value = ((typeof(pointer))bpf_rdonly_cast(pointer, kernel_type(pointer)))->field;        \
		else                                                                                                  \
			bpf_probe_read_kernel(&read_value, sizeof(read_value), &(pointer)->field);                    \
		read_value;                                                                                           \
	})
// Reads `pointer->field` where it does: one load.
#define LOAD(pointer, field) ((pointer)->field)

#define FIELD_BYTE_OFFSET 0
#define FIELD_BYTE_SIZE 1
#define FIELD_EXISTS 2
#define FIELD_LEFT_SHIFT 4
#define FIELD_RIGHT_SHIFT 5
#define core_field(pointer, field, what) __builtin_preserve_field_info((pointer)->field, what)
#define core_field_exists(pointer, field) core_field(pointer, field, FIELD_EXISTS)
#define core_offset(type, field) __builtin_preserve_field_info(((type *)0)->field, FIELD_BYTE_OFFSET)
// The kernel's number of the type that `pointer` points to.
#define kernel_type(pointer) __builtin_btf_type_id(*(typeof(pointer))0, 1)
#define core_enum_value(type, name) __builtin_preserve_enum_value(*(typeof(type) *)name, 1)

// A field of `type` inside `block`, a copy of the beginning of such a struct on the stack.
#define IN_BLOCK(block, type, field) ((typeof(&((type *)0)->field))((u8 *)(block) + core_offset(type, field)))

// Reads an unsigned bit field wherever this kernel has it.
#define READ_BITS(pointer, field)                                                                                     \
	({                                                                                                            \
		u64 read_bits = 0;                                                                                    \
		u32 read_size = core_field(pointer, field, FIELD_BYTE_SIZE);                                          \
		if (read_size <= 8)                                                                                   \
			bpf_probe_read_kernel(&read_bits, read_size,                                                  \
					      (const u8 *)(pointer) + core_field(pointer, field, FIELD_BYTE_OFFSET)); \
		(read_bits << core_field(pointer, field, FIELD_LEFT_SHIFT)) >>                                        \
			core_field(pointer, field, FIELD_RIGHT_SHIFT);                                                \
	})
