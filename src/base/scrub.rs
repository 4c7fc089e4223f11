//! Memory that is given back is overwritten first, so that a key or a person's sample that was used is not
//! found in a process that goes on.
//!
//! A program installs [`Scrubbing`] as its allocator and calls [`begin`] before it meets people's data.
//! Until then nothing is overwritten, and nothing is slower. [`stack`] does the same for a thread's stack.
//! Neither reaches registers, or what the system swapped out.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

static ACTIVE: AtomicBool = AtomicBool::new(false);

/// From now on, for as long as the process lives.
pub fn begin() {
    ACTIVE.store(true, Ordering::Relaxed);
}

/// Overwrites what calls that returned left on this thread's stack, as far as a quarter of a mebibyte goes.
/// What a function moved by value lies there until something else does, and may be copied along with the
/// padding of what is made next.
#[inline(never)]
pub fn stack() {
    let mut room = [0u8; 256 << 10];
    // Someone might look at it, as above.
    black_box(&mut room);
}

/// Overwrites memory that no allocator of ours gave, such as a driver's, before it is given back.
///
/// # Safety
/// `len` bytes at `at` may be written, and nobody else has them.
pub unsafe fn place(at: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { at.write_bytes(0, len) };
    // Someone might look at it, as above.
    black_box(at);
}

/// The system's allocator, and overwriting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scrubbing;

// SAFETY: every block comes from `System` and goes back to it with the layout it was made with.
unsafe impl GlobalAlloc for Scrubbing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ACTIVE.load(Ordering::Relaxed) {
            // SAFETY: the block is the caller's, of this size, until it is given back below.
            unsafe { block.write_bytes(0, layout.size()) };
            // Someone might look at it: so the compiler may not leave the writing out.
            black_box(block);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !ACTIVE.load(Ordering::Relaxed) {
            // SAFETY: as above.
            return unsafe { System.realloc(block, layout, size) };
        }
        // The system may move a block and leave its bytes behind: it is moved here.
        // SAFETY: the caller promises that `size` is not 0 and fits the alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least that long, and are not the same.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(size)) };
            // SAFETY: the old block is not used any more.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}
