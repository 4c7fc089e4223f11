//! Memory of the emulated device: each allocation ends at, or just before, a page that nobody may touch.
//!
//! What a kernel reads or writes there ends its launch. Between the allocation and that page, and before
//! it from the page's begin on, lie bytes of a pattern, in which what was written shows.

use std::collections::BTreeMap;

use unlearn::sparse::cuda::{Address, CudaError};

use super::library::Pages;
use super::refused;

/// What fills the rest of an allocation's pages: read as `f32`, f16 or bf16 it is NaN.
const PATTERN: [u8; 2] = [0xe5, 0xff];

/// Memory of a device.
pub struct Memory {
    pages: Pages,
    /// What is allocated: address and bytes.
    blocks: BTreeMap<u64, u64>,
    /// Bytes in all.
    pub total: u64,
    /// Whether allocations end where their last page does, at the cost of beginning at odd places.
    pub tight: bool,
    used: u64,
}

impl Memory {
    /// Of `total` bytes, all free.
    pub fn of(total: u64, pages: Pages) -> Self {
        Self { pages, blocks: BTreeMap::new(), total, tight: false, used: 0 }
    }

    /// Where the pages of an allocation begin, and how many bytes they are, if it ends at `end`.
    fn span(&self, at: u64, bytes: u64) -> (usize, usize) {
        let page = self.pages.page;
        let begin = at as usize / page * page;
        let end = (at + bytes.max(1)) as usize;
        (begin, end.next_multiple_of(page) - begin)
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
        let Ok(held) = usize::try_from(bytes.max(1)) else { return Err(none) };
        // As a card does it, or as much as float4 needs and the size allows.
        let step = if self.tight { (1 << held.trailing_zeros()).clamp(4, 16) } else { 256 };
        let held = held.next_multiple_of(step);
        let length = held.next_multiple_of(self.pages.page);
        let begin = self.pages.map(length);
        if begin == 0 {
            return Err(none);
        }
        let at = (begin + length - held) as u64;
        self.blocks.insert(at, bytes);
        self.used += bytes;
        for zone in self.zones(at) {
            zone.iter_mut().enumerate().for_each(|(at, byte)| *byte = PATTERN[at % 2]);
        }
        Ok(Address(at))
    }

    /// What lies before and after the allocation at `base` on its pages.
    #[allow(clippy::mut_from_ref)] // They go no further than `allocate` and `overrun`.
    fn zones(&self, base: u64) -> [&mut [u8]; 2] {
        let bytes = self.blocks[&base];
        let (begin, length) = self.span(base, bytes);
        let (start, end) = (base as usize, (base + bytes) as usize);
        // SAFETY: the pages of the allocation at `base` were mapped for it alone, and no slice that
        // `bytes` gives out reaches beyond the allocation.
        unsafe {
            [
                std::slice::from_raw_parts_mut(begin as *mut u8, start - begin),
                std::slice::from_raw_parts_mut(end as *mut u8, begin + length - end),
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
        let touched = |(at, byte): (usize, &u8)| *byte != PATTERN[at % 2];
        // Words are counted: a byte of one may happen to be right.
        if let Some(at) = after.iter().enumerate().position(touched) {
            return Some(format!(
                "{} bytes behind the end of {bytes} bytes were written",
                at / 4 * 4
            ));
        }
        let at = before.iter().enumerate().rev().find(|&pair| touched(pair))?.0;
        let at = before.len() - at / 4 * 4;
        Some(format!("{at} bytes before the begin of {bytes} bytes were written"))
    }

    /// How `address`, which no allocation holds, lies to the nearest.
    pub fn nearest(&self, address: u64) -> Option<String> {
        let behind = self.blocks.range(..=address).next_back().map(|(base, bytes)| {
            let by = address.saturating_sub(base + bytes);
            (by, format!("{by} bytes behind the end of {bytes} bytes"))
        });
        let before = self.blocks.range(address..).next().map(|(base, bytes)| {
            (base - address, format!("{} bytes before the begin of {bytes} bytes", base - address))
        });
        let near = behind.into_iter().chain(before).min()?;
        (near.0 <= 2 * self.pages.page as u64).then_some(near.1)
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
        let (begin, length) = self.span(address.0, bytes);
        // SAFETY: they are the pages that were mapped for it, and it is in the list no more.
        unsafe { self.pages.unmap(begin, length) };
        overrun
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let all: Vec<u64> = self.blocks.keys().copied().collect();
        all.into_iter().for_each(|base| drop(self.release(Address(base))));
    }
}
