/* Counts calls at their entries and return instructions: what the probe points are for, in the smallest form. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define UINT(name, value) int (*name)[value]
#define TYPE(name, value) __typeof__(value) *name

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static u64 (*const pid_tgid)(void) = (void *)14;
static long (*const read_user)(void *to, u32 size, const void *from) = (void *)112;
static u64 (*const attach_cookie)(void *context) = (void *)174;

struct registers {
    u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* Cookies: the slot, and these. */
#define SLOT 0xff
#define GO 0x100
#define EX 0x200
#define RUST 0x400
/* It returns nothing; its second argument is the size. */
#define CONSUME 0x800

struct key {
    u64 who;
    u64 slot;
};

struct call {
    u64 sp;
    u64 out;
};

struct count {
    u64 entries;
    u64 returns;
    /* Return instructions that were reached by somebody else, or from within. */
    u64 others;
    u64 bytes;
};

struct {
    UINT(type, 1);
    UINT(max_entries, 4096);
    TYPE(key, struct key);
    TYPE(value, struct call);
} calls SECTION(".maps");

struct {
    UINT(type, 2);
    UINT(max_entries, 16);
    TYPE(key, u32);
    TYPE(value, struct count);
} counts SECTION(".maps");

static struct count *count_of(u64 cookie) {
    u32 slot = cookie & SLOT;
    return map_lookup(&counts, &slot);
}

static struct key key_of(struct registers *registers, u64 cookie) {
    struct key key = {};
    /* Go keeps the goroutine in r14; it can go on in another thread. */
    key.who = cookie & GO ? registers->r14 : pid_tgid();
    key.slot = cookie & SLOT;
    return key;
}

SECTION("uprobe/enter")
int enter(struct registers *registers) {
    u64 cookie = attach_cookie(registers);
    struct count *count = count_of(cookie);
    if (!count)
        return 0;
    if (cookie & CONSUME) {
        __sync_fetch_and_add(&count->bytes, registers->si);
        return 0;
    }
    struct key key = key_of(registers, cookie);
    struct call call = {.sp = registers->sp, .out = registers->cx};
    /* Go begins a call again after its stack has grown. */
    if (!(cookie & GO) || !map_lookup(&calls, &key))
        __sync_fetch_and_add(&count->entries, 1);
    map_update(&calls, &key, &call, 0);
    return 0;
}

SECTION("uprobe/leave")
int leave(struct registers *registers) {
    u64 cookie = attach_cookie(registers);
    struct count *count = count_of(cookie);
    if (!count)
        return 0;
    struct key key = key_of(registers, cookie);
    struct call *call = map_lookup(&calls, &key);
    if (!call || (!(cookie & GO) && call->sp != registers->sp)) {
        __sync_fetch_and_add(&count->others, 1);
        return 0;
    }
    long long size = (int)registers->ax;
    if (cookie & RUST)
        size = registers->ax ? 0 : (int)registers->dx;
    if (cookie & EX) {
        if (size == 1)
            read_user(&size, sizeof(size), (void *)call->out);
        else
            size = 0;
    }
    if (size > 0)
        __sync_fetch_and_add(&count->bytes, size);
    __sync_fetch_and_add(&count->returns, 1);
    map_delete(&calls, &key);
    return 0;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
