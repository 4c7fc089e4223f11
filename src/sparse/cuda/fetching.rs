//! Copies from a device that are not waited for: each comes to a piece of pinned memory, and an event tells when.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::null_mut;

use cudarc::driver::sys::{CUevent, CUevent_flags, CUstream};

use super::driver::Driver;
use crate::base::scrub;

/// A piece of memory, and the event behind the copy to it.
struct Place {
    bytes: *mut u8,
    /// How many fit.
    room: usize,
    copied: CUevent,
    /// Bytes under way, or here and not collected.
    holds: Option<usize>,
}

/// Places, made when they are needed and used again: in the steady state none is.
#[derive(Default)]
pub(super) struct Fetching {
    places: Vec<Place>,
}

/// A place is made this large at least.
const LEAST: usize = 4096;

impl Fetching {
    /// Copies `bytes` bytes from the device, behind all that was asked before. The number of the place that they
    /// come to; `None` if there is no pinned memory for one.
    ///
    /// # Errors
    /// The driver's code.
    ///
    /// # Safety
    /// The context is current. `bytes` bytes at `from` are memory of the device.
    pub(super) unsafe fn fetch(
        &mut self,
        driver: &Driver,
        stream: CUstream,
        from: u64,
        bytes: usize,
    ) -> Result<Option<u32>, u32> {
        let fits = |place: &Place| place.holds.is_none() && place.room >= bytes;
        let at = match self.places.iter().position(fits) {
            Some(at) => at,
            // SAFETY: the context is current.
            None => match unsafe { place(driver, bytes.max(LEAST)) } {
                Some(place) => {
                    self.places.push(place);
                    self.places.len() - 1
                }
                None => return Ok(None),
            },
        };
        let place = &mut self.places[at];
        // SAFETY: the place has room for the bytes and nothing else is on its way there; the bytes are the device's;
        // event and stream are of the current context, and live.
        unsafe {
            if bytes > 0 {
                let to = place.bytes.cast();
                ok((driver.call.cuMemcpyDtoHAsync_v2)(to, from, bytes, stream))?;
            }
            // From here on the device may write there until the event has come.
            place.holds = Some(bytes);
            ok((driver.call.cuEventRecord)(place.copied, stream))?;
        }
        Ok(u32::try_from(at).ok())
    }

    /// Bytes that a place holds.
    pub(super) fn holds(&self, number: u32) -> Option<usize> {
        self.places.get(number as usize)?.holds
    }

    /// Waits for what comes to a place, and copies it to `to`, as much as fits. The place is overwritten.
    ///
    /// # Errors
    /// The driver's code.
    ///
    /// # Safety
    /// The context is current.
    pub(super) unsafe fn collect(
        &mut self,
        driver: &Driver,
        number: u32,
        to: &mut [u8],
    ) -> Result<(), u32> {
        let Some(place) = self.places.get_mut(number as usize) else { return Ok(()) };
        let Some(bytes) = place.holds else { return Ok(()) };
        // SAFETY: the event is of the current context, and lives.
        ok(unsafe { (driver.call.cuEventSynchronize)(place.copied) })?;
        place.holds = None;
        // SAFETY: the place has as many bytes, which the device has written, and nobody else has them.
        unsafe {
            std::ptr::copy_nonoverlapping(place.bytes, to.as_mut_ptr(), bytes.min(to.len()));
            scrub::place(place.bytes, bytes);
        }
        Ok(())
    }

    /// Gives the memory back, overwritten.
    ///
    /// # Safety
    /// The context is current, and nothing is on its way.
    pub(super) unsafe fn free(&mut self, driver: &Driver) {
        for place in self.places.drain(..) {
            // SAFETY: both were made by `place`, and nobody else has them.
            unsafe {
                scrub::place(place.bytes, place.room);
                let _ = (driver.call.cuEventDestroy_v2)(place.copied);
                let _ = (driver.call.cuMemFreeHost)(place.bytes.cast());
            }
        }
    }
}

/// A new place.
///
/// # Safety
/// The context is current.
unsafe fn place(driver: &Driver, room: usize) -> Option<Place> {
    let (mut bytes, mut copied) = (null_mut::<c_void>(), null_mut());
    let flags = CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
    // SAFETY: both are places for one pointer; what was made is given back if the other was not.
    unsafe {
        if (driver.call.cuMemHostAlloc)(&raw mut bytes, room, 0) != 0 || bytes.is_null() {
            return None;
        }
        if (driver.call.cuEventCreate)(&raw mut copied, flags) != 0 {
            let _ = (driver.call.cuMemFreeHost)(bytes);
            return None;
        }
    }
    Some(Place { bytes: bytes.cast(), room, copied, holds: None })
}

fn ok(code: u32) -> Result<(), u32> {
    if code == 0 { Ok(()) } else { Err(code) }
}
