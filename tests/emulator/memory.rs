//! Memory of the emulated device: allocations between zones that nobody may write.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;

use unlearn::sparse::cuda::{Address, CudaError};

use super::refused;

/// Bytes before and after an allocation.
const ZONE: usize = 4096;
/// What fills them, again and again: read as `f32`, f16 or bf16 it is NaN.
const PATTERN: [u8; 2] = [0xe5, 0xff];
/// A zone as it should be.
const UNTOUCHED: [u8; ZONE] = {
    let mut zone = [PATTERN[0]; ZONE];
    let mut at = 1;
    while at < ZONE {
        zone[at] = PATTERN[1];
        at += 2;
    }
    zone
};

/// What is allocated: address and bytes.
pub struct Memory {
    blocks: BTreeMap<u64, u64>,
    /// Bytes in all.
    pub total: u64,
    used: u64,
}

fn layout(bytes: u64) -> Layout {
    let bytes = usize::try_from(bytes).unwrap().checked_add(2 * ZONE).unwrap();
    Layout::from_size_align(bytes, ZONE).unwrap()
}

impl Memory {
    /// Of `total` bytes, all free.
    pub fn of(total: u64) -> Self {
        Self { blocks: BTreeMap::new(), total, used: 0 }
    }

    /// Bytes that nobody has.
    pub fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// `bytes` bytes of zeros; none have an address too.
    pub fn allocate(&mut self, bytes: u64) -> Result<Address, CudaError> {
        let none = CudaError::Memory { needed: bytes, free: self.free(), total: self.total };
        if bytes > self.free() {
            return Err(none);
        }
        let layout = layout(bytes);
        // SAFETY: the layout is not empty: it has two zones.
        let block = unsafe { alloc_zeroed(layout) };
        if block.is_null() {
            return Err(none);
        }
        let at = block as u64 + ZONE as u64;
        self.blocks.insert(at, bytes);
        self.used += bytes;
        self.zones(at).into_iter().for_each(|zone| zone.copy_from_slice(&UNTOUCHED));
        Ok(Address(at))
    }

    /// The zones before and after the allocation at `base`.
    #[allow(clippy::mut_from_ref)] // Nobody else holds them: they leave this file no further than `overrun`.
    fn zones(&self, base: u64) -> [&mut [u8]; 2] {
        let bytes = self.blocks[&base];
        // SAFETY: the allocation at `base` has a zone before it and one after it, which no slice that
        // `bytes` gives out reaches.
        unsafe {
            [
                std::slice::from_raw_parts_mut((base as usize - ZONE) as *mut u8, ZONE),
                std::slice::from_raw_parts_mut((base + bytes) as usize as *mut u8, ZONE),
            ]
        }
    }

    /// The allocation that `address` lies in, or ends.
    pub fn holder(&self, address: Address) -> Option<u64> {
        let (base, bytes) = self.blocks.range(..=address.0).next_back()?;
        (address.0 - base <= *bytes).then_some(*base)
    }

    /// The bytes from `at` on, for `what`.
    pub fn bytes(&mut self, at: Address, bytes: u64, what: &str) -> Result<&mut [u8], CudaError> {
        let inside = self.holder(at).filter(|base| bytes <= self.blocks[base] - (at.0 - base));
        if inside.is_none() {
            let why =
                format!("CUDA_ERROR_INVALID_VALUE (1): {bytes} bytes that no allocation holds");
            return Err(refused(what, &why));
        }
        // SAFETY: the bytes lie within an allocation, which lives as long as `self` has it, and they
        // are borrowed from `self`.
        Ok(unsafe { std::slice::from_raw_parts_mut(at.0 as usize as *mut u8, bytes as usize) })
    }

    /// What was written into the zones of the allocation at `base`.
    pub fn overrun(&self, base: u64) -> Option<String> {
        let bytes = self.blocks[&base];
        let [before, after] = self.zones(base);
        if *before == UNTOUCHED && *after == UNTOUCHED {
            return None;
        }
        let touched = |(at, byte): (usize, &u8)| *byte != PATTERN[at % 2];
        // Words are counted: a byte of one may happen to be right.
        if let Some(at) = after.iter().enumerate().position(touched) {
            return Some(format!(
                "{} bytes behind the end of {bytes} bytes were written",
                at / 4 * 4
            ));
        }
        let at = before.iter().enumerate().rev().find(|&pair| touched(pair))?.0;
        let at = ZONE - at / 4 * 4;
        Some(format!("{at} bytes before the begin of {bytes} bytes were written"))
    }

    /// The first overrun of any allocation.
    pub fn overruns(&self) -> Option<String> {
        self.blocks.keys().find_map(|base| self.overrun(*base))
    }

    /// Gives back the allocation at `address`, or says why not; none is at 0.
    pub fn release(&mut self, address: Address) -> Option<String> {
        if address.0 == 0 {
            return None;
        }
        if !self.blocks.contains_key(&address.0) {
            return Some("CUDA_ERROR_INVALID_VALUE (1): no allocation begins there".into());
        }
        let overrun = self.overrun(address.0);
        let bytes = self.blocks.remove(&address.0)?;
        self.used -= bytes;
        // SAFETY: it was allocated there with this layout, and is in the list no more.
        unsafe { dealloc((address.0 as usize - ZONE) as *mut u8, layout(bytes)) };
        overrun
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let all: Vec<u64> = self.blocks.keys().copied().collect();
        all.into_iter().for_each(|base| drop(self.release(Address(base))));
    }
}
