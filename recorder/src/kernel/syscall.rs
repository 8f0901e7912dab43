//! The calls to the kernel for which the library has no function: reading maps in batches, running a program once,
//! what a program cost, waiting until no program runs, attaching to an instruction.

#![allow(
    unsafe_code,
    reason = "bpf(2) and perf_event_open(2) take pointers; each call owns the memory that it passes"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// What a program cost.
pub(super) struct ProgramInfo {
    pub(super) run_time_ns: u64,
    pub(super) run_count: u64,
    pub(super) missed: u64,
}

/// What reading a part of a map gave.
pub(super) struct Batch {
    /// Entries read.
    pub(super) count: usize,
    /// Where to go on; none at the end.
    pub(super) next: Option<u64>,
}

/// Calls bpf(2) with one member of `union bpf_attr`.
///
/// # Safety
/// Every pointer in `attributes` must be valid for what the command does with it.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the kernel reads and writes `size_of::<T>()` bytes of `attributes`; the caller vouches for the pointers.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn fd_number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn address<T: ?Sized>(of: &mut T) -> u64 {
    std::ptr::from_mut(of).cast::<u8>().addr() as u64
}

/// Reads entries of a hash map with keys of 8 bytes and values of `8 * WORDS` bytes, as many as fit, from `cursor` on.
/// `keys` and `values` must be the map's sizes.
pub(super) fn read_map<const WORDS: usize>(
    map: BorrowedFd<'_>,
    cursor: Option<u64>,
    keys: &mut [u64],
    values: &mut [[u64; WORDS]],
) -> io::Result<Batch> {
    #[repr(C)]
    struct Attributes {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    let mut from = cursor.unwrap_or(0);
    let mut next = 0u64;
    let mut attributes = Attributes {
        in_batch: if cursor.is_some() { address(&mut from) } else { 0 },
        out_batch: address(&mut next),
        keys: address(keys),
        values: address(values),
        count: u32::try_from(keys.len().min(values.len())).unwrap_or(u32::MAX),
        map_fd: fd_number(map),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel writes at most `count` keys and values into slices of that length, and a cursor of 4 bytes
    // into 8.
    match unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attributes) } {
        Ok(()) => Ok(Batch { count: attributes.count as usize, next: Some(next) }),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(Batch { count: attributes.count as usize, next: None })
        }
        Err(error) => Err(error),
    }
}

/// Reads the value of an array map's element into `value`, which must have the map's value size.
pub(super) fn read_element(map: BorrowedFd<'_>, mut key: u32, value: &mut [u8]) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map_fd: u32,
        reserved: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let mut attributes = Attributes {
        map_fd: fd_number(map),
        reserved: 0,
        key: address(&mut key),
        value: address(value),
        flags: 0,
    };
    // SAFETY: key and value live through the call and have the sizes of the map.
    unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes) }
}

/// Runs a raw tracepoint program once, on this CPU, with no arguments.
pub(super) fn run_program(program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }
    let mut attributes = Attributes { prog_fd: fd_number(program), ..Attributes::default() };
    // SAFETY: no pointers are passed.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }
}

/// What a program cost so far.
pub(super) fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    #[repr(C)]
    struct Attributes {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    // `struct bpf_prog_info` up to `recursion_misses`, in words; a kernel without the last fields leaves them zero.
    let mut info = [0u64; 27];
    let mut attributes = Attributes {
        bpf_fd: fd_number(program),
        info_len: size_of_val(&info) as u32,
        info: address(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes to `info`; all pointers inside are zero with zero lengths.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    let [.., run_time_ns, run_count, missed] = info;
    Ok(ProgramInfo { run_time_ns, run_count, missed })
}

/// Returns when every program that was running at the call has ended.
pub(super) fn wait_for_running_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: no pointers are passed.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 {
        // Refused (nohz_full): programs run for microseconds, this is ample.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Attaches a program to an instruction of a file, in every process that executes it. It is detached when what is
/// returned is closed.
pub(super) fn attach_uprobe(
    program: BorrowedFd<'_>,
    event_type: u32,
    path: &CStr,
    offset: u64,
) -> io::Result<OwnedFd> {
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
    const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
    const ANY_PROCESS: libc::c_int = -1;
    const NO_GROUP: libc::c_int = -1;
    /// `struct perf_event_attr` of its first version with a second configuration.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        event_type: u32,
        size: u32,
        unused: [u64; 6],
        path: u64,
        offset: u64,
    }
    let attributes = Attributes {
        event_type,
        size: size_of::<Attributes>() as u32,
        path: path.as_ptr().addr() as u64,
        offset,
        ..Attributes::default()
    };
    // The program runs on whichever CPU the process is; an event needs to be of one all the same.
    let cpu: libc::c_int = 0;
    // SAFETY: the kernel reads `size` bytes of the attributes, and the path up to its NUL.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attributes),
            ANY_PROCESS,
            cpu,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has given a new descriptor, which is nobody else's.
    let event = unsafe { OwnedFd::from_raw_fd(event as libc::c_int) };
    for (request, argument) in [(PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()), (PERF_EVENT_IOC_ENABLE, 0)] {
        // SAFETY: these requests take numbers.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}
