//! Defends: a short file cannot make a reader allocate much, whatever its counts claim. A test
//! binary of its own, because it counts every allocation of the process.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::liar::*;
use common::model::*;
use unlearn::format::*;

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it came; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What opening, verifying and reading these bytes allocates in all, frees not counted.
fn cost(bytes: Vec<u8>) -> usize {
    assert!(bytes.len() < 1024, "{} bytes", bytes.len());
    let before = ALLOCATED.load(Ordering::Relaxed);
    let _ = read_all(bytes);
    ALLOCATED.load(Ordering::Relaxed) - before
}

fn small() -> Parts {
    let tensors = [tensors().swap_remove(1)];
    Parts::of(&draft("d", &tensors).encode().unwrap())
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn a_lying_file_of_less_than_a_kilobyte_allocates_less_than_64_kib() {
    let mut worst = cost(small().join());
    for (section, _, bytes) in &small().0 {
        for at in 0..bytes.len() {
            for lie in [&[0xff][..], &[0xff; 4], &[0xff, 0xff, 0xff, 0x7f], &[0xfe, 0xff, 0x03]] {
                let mut parts = small();
                let section = parts.section(SectionKind(*section));
                let end = section.len().min(at + lie.len());
                section[at..end].copy_from_slice(&lie[..end - at]);
                worst = worst.max(cost(parts.join()));
            }
        }
    }
    for kind in [SectionKind::CLASSES, SectionKind::FACTS] {
        for first in [0u8, 1, 2] {
            let mut parts = small();
            let filling = [vec![first, 0xff, 0x03], vec![1; 250]].concat();
            *parts.section(kind) = filling;
            worst = worst.max(cost(parts.join()));
        }
    }
    assert!(worst < 64 * 1024, "{worst} bytes were allocated");
    println!("at most {worst} bytes allocated");
}
