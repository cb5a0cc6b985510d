//! Host memory for the CPU device: page-aligned blocks, and blocks that end at a guard page.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Alignment of every block.
pub const PAGE: usize = 4096;
/// Blocks of at least this size are aligned to it and ask for huge pages: streaming a large
/// matrix through 4 KiB pages costs a fifth of the bandwidth.
const HUGE: usize = 2 << 20;

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), if bytes >= HUGE { HUGE } else { PAGE }).ok()
}

/// Zeroed memory, or `None` where there is none.
pub fn allocate(bytes: usize) -> Option<u64> {
    let layout = layout(bytes)?;
    // SAFETY: the layout's size is at least 1.
    let pointer = unsafe { alloc_zeroed(layout) };
    if pointer.is_null() {
        return None;
    }
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // SAFETY: whole pages of the block just allocated; advice does not change its contents.
        // A kernel without huge pages refuses, and ordinary ones are used.
        unsafe { libc::madvise(pointer.cast(), bytes / HUGE * HUGE, libc::MADV_HUGEPAGE) };
    }
    Some(pointer as u64)
}

/// Frees what [`allocate`] returned for the same size.
pub fn free(address: u64, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        // SAFETY: the pool frees each block once, with the size it was allocated at.
        unsafe { dealloc(address as *mut u8, layout) }
    }
}

/// Gives freed memory that the allocator keeps back to the system. Where threads allocate side by
/// side it keeps gigabytes.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: touches only memory that the allocator holds free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Memory whose last byte is followed by a page that cannot be touched.
pub struct Fenced {
    base: usize,
    mapped: usize,
    /// Where the usable bytes start.
    pub address: u64,
}

impl Fenced {
    /// `bytes` usable bytes that end at the guard page, or `None` where the platform cannot.
    #[cfg(unix)]
    pub fn new(bytes: usize) -> Option<Fenced> {
        let body = bytes.checked_next_multiple_of(PAGE)?.max(PAGE);
        let mapped = body.checked_add(PAGE)?;
        // SAFETY: a fresh anonymous private mapping; no existing memory is affected.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = base as usize;
        let fenced = Fenced { base, mapped, address: (base + body - bytes) as u64 };
        // SAFETY: the last page lies inside the mapping made above.
        let protected = unsafe { libc::mprotect((base + body) as *mut libc::c_void, PAGE, libc::PROT_NONE) };
        (protected == 0).then_some(fenced)
    }

    #[cfg(not(unix))]
    pub fn new(_bytes: usize) -> Option<Fenced> {
        None
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: unmaps exactly the mapping made in `new`; the buffer that used it is gone.
        unsafe {
            libc::munmap(self.base as *mut libc::c_void, self.mapped);
        }
        #[cfg(not(unix))]
        let _ = (self.base, self.mapped);
    }
}
