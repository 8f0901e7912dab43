// SPDX-License-Identifier: MIT OR GPL-2.0-only
// All programs, one object. Each concern has a file.
#include "base.h"
#include "process.bpf.h"
#include "cgroup.bpf.h"
#include "file.bpf.h"
#include "tcp.bpf.h"
#include "tcp_calls.bpf.h"
#include "data_exits.bpf.h"
#include "data_sockets.bpf.h"
#include "decide.bpf.h"
#include "tls.bpf.h"
#include "snapshot.bpf.h"

char _license[] SEC("license") = "Dual MIT/GPL";
