//! A card: a device behind the driver.
//!
//! One primary context, one stream that waits for no other. Every call makes the context current first, so that a card
//! may go from thread to thread. Memory is checked before the driver is asked: an address that nobody allocated is an
//! error here, where the driver might write to memory of the process. After an error that breaks the context
//! every call says so.
//!
//! Whatever is given back is overwritten first: device memory by the device, pinned memory here, and the pinned memory
//! of uploads also when the last allocation goes. Of a context that is lost only pinned memory is: the device's memory
//! is then what the driver makes of it, as is that of a process that was killed.

#![allow(unsafe_code)]

mod kernels;
mod reading;
mod recording;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ptr::null_mut;

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUfunction, CUmodule, CUresult, CUstream, CUstream_flags,
};

use super::arguments::Arguments;
use super::compile::Modules;
use super::driver::{Driver, driver, lasting};
use super::error::CudaError;
use super::fetching::Fetching;
use super::kernel::{ARCHITECTURES, Kernel};
use super::machine::{Address, Arg, CardFacts, Fetched, Grid, Machine, Reads, Recording, Tier};
use super::staging::Staging;
use crate::base::disk::DiskError;
use recording::{Capture, Graph};

/// Numbers of copies from here on are of those that were waited for.
const WAITED: u32 = 1 << 31;

/// A CUDA device.
pub struct Card {
    driver: &'static Driver,
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
    facts: CardFacts,
    modules: Modules,
    /// Null until the first launch.
    module: CUmodule,
    /// By kernel; null until its first launch.
    functions: Vec<CUfunction>,
    arguments: Arguments,
    staging: Staging,
    fetching: Fetching,
    /// What was fetched where there is no pinned memory, with its numbers: those above the places'.
    waited: BTreeMap<u32, Vec<u8>>,
    /// Bytes of each allocation, by its address.
    held: BTreeMap<u64, u64>,
    /// Memory of the processor's that launches may read at this moment: where it begins, and bytes.
    lent: Vec<(u64, u64)>,
    /// Whether it reads memory that was registered.
    registers: bool,
    graphs: BTreeMap<u32, Graph>,
    /// The number of the next recording.
    next: u32,
    capture: Option<Capture>,
    /// The driver's words for what broke the context.
    lost: OnceCell<String>,
    fault: Option<DiskError>,
}

// SAFETY: the driver's handles are good in every thread that has made their context current, which every call does
// first. Pinned memory and argument buffers are the card's own. Nothing of it is shared: it is not `Sync`.
unsafe impl Send for Card {}

impl Card {
    /// How many devices there are: at least one.
    ///
    /// # Errors
    /// [`CudaError::NoDriver`], [`CudaError::NoDevice`], or what the driver says.
    pub fn count() -> Result<u32, CudaError> {
        driver().map(Driver::devices)
    }

    /// What a device says of itself. Opens and compiles nothing.
    ///
    /// # Errors
    /// If there is none, or it does not answer.
    pub fn facts_of(ordinal: u32) -> Result<CardFacts, CudaError> {
        driver()?.facts(ordinal)
    }

    /// Opens a device. Kernels come from `modules` at the first launch.
    ///
    /// # Errors
    /// If there is none, it is too old, or the driver gives no context.
    pub fn open(ordinal: u32, modules: &Modules) -> Result<Self, CudaError> {
        let driver = driver()?;
        let facts = driver.facts(ordinal)?;
        if facts.capability < ARCHITECTURES[0] {
            return Err(CudaError::TooOld { name: facts.name, found: facts.capability });
        }
        let device = driver.device(ordinal)?;
        let mut context = null_mut();
        // SAFETY: `context` is a place for one handle; the device is the driver's own.
        let code = unsafe { (driver.call.cuDevicePrimaryCtxRetain)(&raw mut context, device) };
        driver.done(code, &format!("open cuda:{ordinal}"))?;
        let mut card = Self {
            driver,
            device,
            context,
            stream: null_mut(),
            facts,
            modules: modules.clone(),
            module: null_mut(),
            functions: vec![null_mut(); Kernel::ALL.len()],
            arguments: Arguments::default(),
            staging: Staging::default(),
            fetching: Fetching::default(),
            waited: BTreeMap::new(),
            held: BTreeMap::new(),
            lent: Vec::new(),
            registers: driver.registers(device),
            graphs: BTreeMap::new(),
            next: 0,
            capture: None,
            lost: OnceCell::new(),
            fault: None,
        };
        card.bind()?;
        let flags = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: `stream` is a place for one handle; the context is current.
        let code = unsafe { (driver.call.cuStreamCreate)(&raw mut card.stream, flags) };
        card.done(code, "make a stream")?;
        Ok(card)
    }

    /// What went wrong with the cache of compiled kernels, which stops nothing; to be told to whoever gave it.
    #[must_use]
    pub fn cache_fault(&self) -> Option<&DiskError> {
        self.fault.as_ref()
    }

    /// Makes the context current in this thread.
    fn bind(&self) -> Result<(), CudaError> {
        if let Some(code) = self.lost.get() {
            return Err(CudaError::Lost { ordinal: self.facts.ordinal, code: code.clone() });
        }
        // SAFETY: the context was retained, and is released when the card is dropped.
        let code = unsafe { (self.driver.call.cuCtxSetCurrent)(self.context) };
        self.done(code, "make its context current")
    }

    /// As [`Card::bind`], for what cannot be done while launches are recorded.
    fn apart(&self, what: &'static str) -> Result<(), CudaError> {
        self.bind()?;
        if self.capture.is_some() { Err(CudaError::Recording { what }) } else { Ok(()) }
    }

    /// An error if `code` is one, remembered if it lasts. `what` is spelt out only then.
    fn done(&self, code: u32, what: impl fmt::Display) -> Result<(), CudaError> {
        if code == 0 {
            return Ok(());
        }
        let said = self.driver.said(code);
        if lasting(code) {
            // The first is the one to tell.
            let _ = self.lost.set(said.clone());
        }
        Err(CudaError::Driver { what: what.to_string(), code: said })
    }

    /// Waits for all that was asked.
    fn settle(&mut self) -> Result<(), CudaError> {
        // SAFETY: the stream is the card's, and its context current.
        let code = unsafe { (self.driver.call.cuStreamSynchronize)(self.stream) };
        self.done(code, "finish what was asked of it")?;
        self.staging.settled();
        Ok(())
    }

    /// The allocation that holds these bytes; remembered, if launches are being recorded.
    fn holder(
        &mut self,
        at: Address,
        bytes: u64,
        what: impl fmt::Display,
    ) -> Result<(), CudaError> {
        let before = self.held.range(..=at.0).next_back();
        let end = at.0.checked_add(bytes);
        match (before, end) {
            (Some((&base, &length)), Some(end)) if end <= base + length => {
                self.capture.as_mut().map(|capture| capture.uses.insert(base));
                Ok(())
            }
            _ => Err(CudaError::Outside { what: what.to_string(), address: at.0, bytes }),
        }
    }
}

impl Machine for Card {
    fn facts(&self) -> &CardFacts {
        &self.facts
    }

    fn free_memory(&self) -> Result<u64, CudaError> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both are places for one `size_t`; the context is current.
        let code = unsafe { (self.driver.call.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.done(code, "count its free memory")?;
        Ok(free as u64)
    }

    fn allocate(&mut self, bytes: u64) -> Result<Address, CudaError> {
        self.apart("allocate memory")?;
        let total = self.facts.memory;
        let none = |free| CudaError::Memory { needed: bytes, free, total };
        // An allocation of nothing has an address too.
        let Ok(size) = usize::try_from(bytes.max(1)) else { return Err(none(0)) };
        let mut address = 0;
        // SAFETY: `address` is a place for one address; the context is current.
        let code = unsafe { (self.driver.call.cuMemAlloc_v2)(&raw mut address, size) };
        if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY as u32 {
            return Err(none(self.free_memory().unwrap_or(0)));
        }
        self.done(code, format_args!("allocate {bytes} bytes"))?;
        self.held.insert(address, bytes);
        let address = Address(address);
        if let Err(error) = self.clear(address, bytes) {
            self.release(address);
            return Err(error);
        }
        Ok(address)
    }

    fn release(&mut self, address: Address) {
        if let Some(capture) = &mut self.capture {
            capture.released.push(address);
            return;
        }
        // Of a context that is lost nothing can be given back singly.
        if !self.held.contains_key(&address.0) || self.bind().is_err() {
            return;
        }
        // A recording that works on it must not run again.
        let stale = |(number, graph): (&u32, &Graph)| {
            graph.uses.contains(&address.0).then_some(Recording(*number))
        };
        let stale: Vec<Recording> = self.graphs.iter().filter_map(stale).collect();
        stale.into_iter().for_each(|recording| self.forget(recording));
        // What somebody's samples left there is overwritten. If the driver refuses, it is given back all the same.
        let bytes = self.held.get(&address.0).copied().unwrap_or(0);
        let _ = self.clear(address, bytes);
        if self.settle().is_ok() {
            self.held.remove(&address.0);
            // SAFETY: it was allocated, is not in the list any more, and nothing that was asked uses it.
            let _ = unsafe { (self.driver.call.cuMemFree_v2)(address.0) };
            if self.held.is_empty() {
                // SAFETY: everything that was asked is done.
                unsafe { self.staging.scrub() };
            }
        }
    }

    fn upload(&mut self, to: Address, from: &[u8]) -> Result<(), CudaError> {
        self.apart("take bytes")?;
        let bytes = from.len() as u64;
        self.holder(to, bytes, "take bytes")?;
        // SAFETY: the context is current.
        if unsafe { self.staging.ready(self.driver) } {
            // SAFETY: the context is current, the ring ready, and the bytes lie within an allocation.
            let copied = unsafe { self.staging.upload(self.driver, self.stream, to.0, from) };
            return self.done(copied.err().unwrap_or(0), format_args!("take {bytes} bytes"));
        }
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: the bytes lie within an allocation. `from` is not changed before the copy has ended, because it is
        // waited for.
        let code = unsafe {
            let from = from.as_ptr().cast();
            (self.driver.call.cuMemcpyHtoDAsync_v2)(to.0, from, bytes as usize, self.stream)
        };
        self.done(code, format_args!("take {bytes} bytes"))?;
        self.settle()
    }

    fn download(&mut self, from: Address, to: &mut [u8]) -> Result<(), CudaError> {
        self.apart("give bytes")?;
        let bytes = to.len() as u64;
        self.holder(from, bytes, "give bytes")?;
        if to.is_empty() {
            return self.settle();
        }
        // SAFETY: the bytes lie within an allocation, and `to` has as many; the copy is waited for.
        let code = unsafe {
            let to = to.as_mut_ptr().cast();
            (self.driver.call.cuMemcpyDtoHAsync_v2)(to, from.0, bytes as usize, self.stream)
        };
        self.done(code, format_args!("give {bytes} bytes"))?;
        self.settle()
    }

    fn reading(
        &mut self,
        bytes: &[u8],
        first: Tier,
        work: &mut Reads<'_>,
    ) -> Result<Tier, CudaError> {
        self.read_by(bytes, first, work)
    }

    fn fetch(&mut self, from: Address, bytes: usize) -> Result<Fetched, CudaError> {
        self.apart("give bytes")?;
        self.holder(from, bytes as u64, "give bytes")?;
        // SAFETY: the context is current, and the bytes lie within an allocation.
        let begun = unsafe { self.fetching.fetch(self.driver, self.stream, from.0, bytes) };
        match begun {
            Ok(Some(number)) => Ok(Fetched(number)),
            Ok(None) => {
                let mut here = vec![0; bytes];
                self.download(from, &mut here)?;
                let number = self.waited.last_key_value().map_or(WAITED, |(last, _)| last + 1);
                self.waited.insert(number, here);
                Ok(Fetched(number))
            }
            Err(code) => {
                self.done(code, format_args!("give {bytes} bytes"))?;
                Err(CudaError::NotFetched { number: WAITED, bytes })
            }
        }
    }

    fn collect(&mut self, fetched: Fetched, to: &mut [u8]) -> Result<(), CudaError> {
        self.apart("give bytes")?;
        let none = CudaError::NotFetched { number: fetched.0, bytes: to.len() };
        if let Some(here) = self.waited.remove(&fetched.0) {
            if here.len() != to.len() {
                return Err(none);
            }
            to.copy_from_slice(&here);
            return Ok(());
        }
        if self.fetching.holds(fetched.0) != Some(to.len()) {
            return Err(none);
        }
        // SAFETY: the context is current.
        let code = unsafe { self.fetching.collect(self.driver, fetched.0, to) };
        self.done(code.err().unwrap_or(0), "finish a copy that was asked of it")
    }

    fn abandon(&mut self, fetched: Fetched) {
        if self.waited.remove(&fetched.0).is_none() && self.bind().is_ok() {
            // SAFETY: the context is current. What the driver says changes nothing: the place is then not used again.
            let _ = unsafe { self.fetching.collect(self.driver, fetched.0, &mut []) };
        }
    }

    fn clear(&mut self, to: Address, bytes: u64) -> Result<(), CudaError> {
        let cleared = self.bind().and_then(|()| self.holder(to, bytes, "clear bytes"));
        let cleared = cleared.and_then(|()| {
            if bytes == 0 {
                return Ok(());
            }
            // SAFETY: the bytes lie within an allocation; the context is current.
            let code =
                unsafe { (self.driver.call.cuMemsetD8Async)(to.0, 0, bytes as usize, self.stream) };
            self.done(code, format_args!("clear {bytes} bytes"))
        });
        self.noted(cleared)
    }

    fn copy(&mut self, from: Address, to: Address, bytes: u64) -> Result<(), CudaError> {
        let copied = self
            .bind()
            .and_then(|()| self.holder(from, bytes, "copy bytes from what begins"))
            .and_then(|()| self.holder(to, bytes, "copy bytes to what begins"));
        let copied = copied.and_then(|()| {
            if bytes == 0 {
                return Ok(());
            }
            // SAFETY: both lie within allocations; the context is current.
            let code = unsafe {
                let length = bytes as usize;
                (self.driver.call.cuMemcpyDtoDAsync_v2)(to.0, from.0, length, self.stream)
            };
            self.done(code, format_args!("copy {bytes} bytes"))
        });
        self.noted(copied)
    }

    fn launch(&mut self, kernel: Kernel, grid: Grid, args: &[Arg<'_>]) -> Result<(), CudaError> {
        // The driver refuses a launch of nothing.
        if grid.blocks.contains(&0) || grid.threads == 0 {
            return self.bind();
        }
        let launched = self.start(kernel, grid, args);
        self.noted(launched)
    }

    fn record(&mut self) -> Result<(), CudaError> {
        self.begin()
    }

    fn recorded(&mut self) -> Result<Recording, CudaError> {
        self.end()
    }

    fn replay(&mut self, recording: Recording) -> Result<(), CudaError> {
        self.run(recording)
    }

    fn forget(&mut self, recording: Recording) {
        self.drop_recording(recording);
    }

    fn wait(&mut self) -> Result<(), CudaError> {
        self.apart("wait")?;
        self.settle()
    }
}

impl Drop for Card {
    /// Gives everything back, overwritten. What the driver says to it changes nothing.
    fn drop(&mut self) {
        let call = &self.driver.call;
        // SAFETY: all handles are the card's own, and nobody has them after this; the stream was waited for, or is lost
        // together with all that was asked of it. A context that is lost refuses, which does no harm.
        unsafe {
            let _ = (call.cuCtxSetCurrent)(self.context);
            if self.capture.take().is_some() {
                let mut unfinished = null_mut();
                let _ = (call.cuStreamEndCapture)(self.stream, &raw mut unfinished);
                if !unfinished.is_null() {
                    let _ = (call.cuGraphDestroy)(unfinished);
                }
            }
            if !self.stream.is_null() {
                let _ = (call.cuStreamSynchronize)(self.stream);
            }
            for graph in std::mem::take(&mut self.graphs).into_values() {
                let _ = (call.cuGraphExecDestroy)(graph.ready);
            }
            self.staging.free(self.driver);
            self.fetching.free(self.driver);
            let held = std::mem::take(&mut self.held);
            for (&address, &bytes) in held.iter().filter(|(_, bytes)| **bytes > 0) {
                let _ = (call.cuMemsetD8Async)(address, 0, bytes as usize, self.stream);
            }
            if !held.is_empty() {
                let _ = (call.cuStreamSynchronize)(self.stream);
            }
            for address in held.into_keys() {
                let _ = (call.cuMemFree_v2)(address);
            }
            if !self.module.is_null() {
                let _ = (call.cuModuleUnload)(self.module);
            }
            if !self.stream.is_null() {
                let _ = (call.cuStreamDestroy_v2)(self.stream);
            }
            let _ = (call.cuCtxSetCurrent)(null_mut());
            let _ = (call.cuDevicePrimaryCtxRelease_v2)(self.device);
        }
    }
}
