//! Memory that the device reads by itself: what is uploaded is copied there first, so that the caller has
//! his own back at once; or the caller's own, for as long as it is registered.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::null_mut;

use cudarc::driver::sys::{
    CU_MEMHOSTREGISTER_DEVICEMAP, CU_MEMHOSTREGISTER_READ_ONLY, CUevent, CUevent_flags, CUstream,
};

use super::driver::Driver;
use crate::base::scrub;

/// Buffers, and bytes of each.
const BUFFERS: usize = 4;
const BYTES: usize = 2 << 20;
/// Each copy begins at a multiple of this.
const STEP: usize = 64;

/// A buffer of pinned memory, and the event behind the last copy out of it.
struct Buffer {
    bytes: *mut u8,
    copied: CUevent,
    /// Whether the event was recorded and not waited for.
    busy: bool,
}

/// A ring of buffers, filled one after the other. A buffer is written anew only after the device has read it.
#[derive(Default)]
pub(super) struct Staging {
    buffers: Vec<Buffer>,
    /// Which is being filled, and how far.
    at: usize,
    used: usize,
    /// The system gave no pinned memory; it is not asked again.
    refused: bool,
}

impl Staging {
    /// Makes the ring, if it is not there yet. `false` if there is no pinned memory for it.
    ///
    /// # Safety
    /// The context is current.
    pub(super) unsafe fn ready(&mut self, driver: &Driver) -> bool {
        while !self.refused && self.buffers.len() < BUFFERS {
            let (mut bytes, mut copied) = (null_mut::<c_void>(), null_mut());
            let flags = CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
            // SAFETY: both are places for one pointer.
            let made = unsafe {
                (driver.call.cuMemHostAlloc)(&raw mut bytes, BYTES, 0) == 0
                    && (driver.call.cuEventCreate)(&raw mut copied, flags) == 0
            };
            if made && !bytes.is_null() {
                self.buffers.push(Buffer { bytes: bytes.cast(), copied, busy: false });
            } else {
                if !bytes.is_null() {
                    // SAFETY: it was allocated above, and nobody has it.
                    let _ = unsafe { (driver.call.cuMemFreeHost)(bytes) };
                }
                // SAFETY: nothing was copied out of them yet.
                unsafe { self.free(driver) };
                self.refused = true;
            }
        }
        !self.refused
    }

    /// Copies bytes to the device, behind all that was asked before. The ring must be ready.
    ///
    /// # Errors
    /// The driver's code.
    ///
    /// # Safety
    /// The context is current, and [`Staging::ready`] said `true` in it. `from.len()` bytes at `to` are memory of the
    /// device.
    pub(super) unsafe fn upload(
        &mut self,
        driver: &Driver,
        stream: CUstream,
        to: u64,
        from: &[u8],
    ) -> Result<(), u32> {
        let mut done = 0;
        while done < from.len() {
            if self.used == BYTES {
                // SAFETY: the context is current.
                unsafe { self.turn(driver, stream) }?;
            }
            let part = &from[done..from.len().min(done + BYTES - self.used)];
            let buffer = self.buffers[self.at].bytes;
            // SAFETY: the buffer has `BYTES` bytes, and `part` is no longer than what is left of them. The device
            // reads none of those: they were not written since the buffer was waited for. Nobody else has the
            // buffer, so the two do not overlap.
            let code = unsafe {
                let place = buffer.add(self.used);
                std::ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
                let target = to + done as u64;
                (driver.call.cuMemcpyHtoDAsync_v2)(target, place.cast(), part.len(), stream)
            };
            // Even if it failed: what the driver did with the bytes is then not known.
            self.used = (self.used + part.len()).next_multiple_of(STEP).min(BYTES);
            if code != 0 {
                return Err(code);
            }
            done += part.len();
        }
        Ok(())
    }

    /// Goes on to the next buffer, once the device has read it.
    ///
    /// # Safety
    /// The context is current.
    unsafe fn turn(&mut self, driver: &Driver, stream: CUstream) -> Result<(), u32> {
        let full = &mut self.buffers[self.at];
        // SAFETY: event and stream are of the current context, and live.
        ok(unsafe { (driver.call.cuEventRecord)(full.copied, stream) })?;
        full.busy = true;
        let next = (self.at + 1) % BUFFERS;
        if self.buffers[next].busy {
            // SAFETY: as above.
            ok(unsafe { (driver.call.cuEventSynchronize)(self.buffers[next].copied) })?;
            self.buffers[next].busy = false;
        }
        (self.at, self.used) = (next, 0);
        Ok(())
    }

    /// Everything that was asked of the stream is done, so nothing of the ring is being read.
    pub(super) fn settled(&mut self) {
        self.buffers.iter_mut().for_each(|buffer| buffer.busy = false);
        self.used = 0;
    }

    /// Overwrites what was uploaded.
    ///
    /// # Safety
    /// Nothing of the ring is being read.
    pub(super) unsafe fn scrub(&mut self) {
        for buffer in &self.buffers {
            // SAFETY: a buffer has as many bytes, and nobody else has them.
            unsafe { scrub::place(buffer.bytes, BYTES) };
        }
    }

    /// Gives the memory back, overwritten.
    ///
    /// # Safety
    /// The context is current, and nothing of the ring is being read.
    pub(super) unsafe fn free(&mut self, driver: &Driver) {
        // SAFETY: the caller's promise.
        unsafe { self.scrub() };
        for buffer in self.buffers.drain(..) {
            // SAFETY: both were made by `ready`, and nobody else has them.
            unsafe {
                let _ = (driver.call.cuEventDestroy_v2)(buffer.copied);
                let _ = (driver.call.cuMemFreeHost)(buffer.bytes.cast());
            }
        }
        (self.at, self.used) = (0, 0);
    }
}

/// Memory of the processor's that the driver keeps in place for devices to read, until this is dropped.
pub(super) struct Registered<'a> {
    driver: &'a Driver,
    bytes: &'a [u8],
    /// Where it begins for the device.
    pub(super) at: u64,
}

impl<'a> Registered<'a> {
    /// `None` if the driver refuses: it may have no more such memory, or not know this kind.
    pub(super) fn of(driver: &'a Driver, bytes: &'a [u8]) -> Option<Self> {
        let from: *mut c_void = bytes.as_ptr().cast_mut().cast();
        let flags = CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;
        // SAFETY: the bytes are memory of the process, are borrowed for as long as they are registered, and the
        // driver is told that nobody writes to them. Without a context it refuses.
        let code = unsafe { (driver.call.cuMemHostRegister_v2)(from, bytes.len(), flags) };
        if code != 0 {
            return None;
        }
        // From here on they are given back.
        let mut registered = Self { driver, bytes, at: 0 };
        let at = &raw mut registered.at;
        // SAFETY: `at` is a place for one address, and the bytes were registered above.
        let code = unsafe { (driver.call.cuMemHostGetDevicePointer_v2)(at, from, 0) };
        (code == 0 && registered.at != 0).then_some(registered)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        // SAFETY: they were registered by `of`. Whoever had launches read there has waited for them; a context that is
        // lost refuses, and runs nothing.
        let _ = unsafe {
            (self.driver.call.cuMemHostUnregister)(self.bytes.as_ptr().cast_mut().cast())
        };
    }
}

fn ok(code: u32) -> Result<(), u32> {
    if code == 0 { Ok(()) } else { Err(code) }
}
