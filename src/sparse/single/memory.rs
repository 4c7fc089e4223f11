//! The arena of a prediction, shared by the threads of one.
//!
//! `unsafe` is allowed here: units of one step write to one arena at a time. Every range is held
//! against the arena; that units keep apart is what callers vouch for.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use super::super::LANES;

/// Values that begin on a cache line.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    values: Vec<f32>,
    len: usize,
}

impl Arena {
    pub fn new(len: usize) -> Self {
        Self { values: vec![0.0; len + LANES], len }
    }

    fn start(&self) -> usize {
        self.values.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES)
    }

    pub fn bytes(&self) -> usize {
        size_of::<f32>() * self.values.len()
    }

    pub fn values(&mut self) -> &mut [f32] {
        let (start, len) = (self.start(), self.len);
        &mut self.values[start..start + len]
    }

    pub fn share(&mut self) -> Memory<'_> {
        let values = self.values();
        Memory { start: values.as_mut_ptr(), len: values.len(), arena: PhantomData }
    }
}

/// An arena that several threads read and write.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    start: *mut f32,
    len: usize,
    arena: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is the exclusive borrow of a slice of `f32`; `read` and `write` say what their callers
// vouch for when they use it from several threads.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    fn pointer(&self, range: &Range<usize>) -> *mut f32 {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: the range lies inside the arena.
        unsafe { self.start.add(range.start) }
    }

    /// The values at `range`.
    ///
    /// # Safety
    /// While the slice lives, nobody writes to these values.
    pub unsafe fn read(&self, range: Range<usize>) -> &'a [f32] {
        // SAFETY: `pointer` holds the range against the arena, and the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(self.pointer(&range), range.len()) }
    }

    /// The values at `range`, to write.
    ///
    /// # Safety
    /// While the slice lives, nobody else reads or writes these values.
    pub unsafe fn write(&self, range: Range<usize>) -> &'a mut [f32] {
        // SAFETY: `pointer` holds the range against the arena, and the caller keeps others away.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(&range), range.len()) }
    }
}
