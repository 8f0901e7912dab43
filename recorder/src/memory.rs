//! How much the allocator keeps of what the recorder frees: a recorder on a host in trouble gives memory back.

#![allow(unsafe_code, reason = "the C library's allocator is set by calls to it")]

/// From this size on an allocation is a mapping of its own, which goes back to the kernel when it is freed.
#[cfg(target_env = "gnu")]
const MAPPING_BYTES: libc::c_int = 128 << 10;

/// To be called once, before threads are started.
///
/// A fixed threshold: glibc raises its own to the largest mapping that was freed. Then the Parquet writer's buffers,
/// half a megabyte for each column and new with each row group, come from the heap and tear holes into it: in a
/// flood of two million events the process grew by 44 MB, with no end.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes numbers only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPING_BYTES);
    }
}

/// Gives back what is free in the heap. The kernel's types are some 20 MB in many small pieces, in use only while
/// programs are loaded.
pub(crate) fn return_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer.
    unsafe {
        libc::malloc_trim(0);
    }
}
