//! A CUDA device made of the processor: the very sources of the kernels, compiled by the machine's C++
//! compiler, each thread of each block run in turn.
//!
//! What it finds that a card would not tell: arguments that do not fit a kernel's parameters, addresses
//! of no allocation, accesses past the ends of one, indices outside an array (shared ones too), shared
//! memory that is read before it is written (it is NaN), addresses that are not aligned, barriers that not
//! all threads of a block reach, and, by running everything in the opposite [`Order`], results that depend
//! on who comes first. What it cannot find: a loop that never ends, a race that both orders hide, and how
//! a card rounds within its multipliers. It says nothing about speed.
#![allow(dead_code)] // Each test takes in what it needs.

mod compile;
mod library;
mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use unlearn::sparse::cuda::{
    Address, Arg, CardFacts, CudaError, Fetched, Grid, Kernel, Machine, Recording, source,
};

use library::Library;
use memory::Memory;

/// The order in which blocks, and threads between barriers, run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From 0 on.
    Forward,
    /// From the last on.
    Backward,
}

/// Something that was asked of the device and takes its turn.
#[derive(Clone, Debug)]
enum Work {
    Launch { kernel: String, grid: Grid, args: Vec<Owned> },
    Clear { to: Address, bytes: u64 },
    Copy { from: Address, to: Address, bytes: u64 },
}

/// An argument that is kept.
#[derive(Clone, Debug)]
enum Owned {
    Address(Address),
    Word(u32),
    Real(f32),
    Ints(Vec<i32>),
}

impl Owned {
    fn of(arg: &Arg<'_>) -> Self {
        match *arg {
            Arg::Address(address) => Self::Address(address),
            Arg::Word(word) => Self::Word(word),
            Arg::Real(real) => Self::Real(real),
            Arg::Ints(ints) => Self::Ints(ints.to_vec()),
        }
    }

    fn arg(&self) -> Arg<'_> {
        match self {
            Self::Address(address) => Arg::Address(*address),
            Self::Word(word) => Arg::Word(*word),
            Self::Real(real) => Arg::Real(*real),
            Self::Ints(ints) => Arg::Ints(ints),
        }
    }
}

impl Work {
    /// Every address in it.
    fn addresses(&self) -> Vec<Address> {
        let of = |arg: &Owned| match arg {
            Owned::Address(address) => Some(*address),
            _ => None,
        };
        match self {
            Self::Launch { args, .. } => args.iter().filter_map(of).collect(),
            Self::Clear { to, .. } => vec![*to],
            Self::Copy { from, to, .. } => vec![*from, *to],
        }
    }
}

/// A recording under way: its works, what spoilt it, and what is given back when it ends.
#[derive(Default)]
struct Tape {
    works: Vec<Work>,
    spoilt: Option<CudaError>,
    released: Vec<Address>,
}

/// The device.
pub struct Emulator {
    library: Library,
    memory: Memory,
    facts: CardFacts,
    order: Order,
    tape: Option<Tape>,
    recordings: BTreeMap<u32, Vec<Work>>,
    recorded: u32,
    launches: BTreeMap<String, u64>,
    fails: Option<u64>,
    failed: Option<CudaError>,
    fetched: BTreeMap<u32, Vec<u8>>,
    fetches: u32,
    calls: Calls,
}

/// What was asked of a device, call by call, whoever has the device.
pub type Calls = Arc<Mutex<Vec<&'static str>>>;

/// What the driver says when it refuses.
fn refused(what: &str, code: &str) -> CudaError {
    CudaError::Driver { what: what.into(), code: code.into() }
}

/// The names of the engine's kernels.
fn engine() -> Vec<&'static str> {
    Kernel::ALL.iter().map(|kernel| kernel.name()).collect()
}

const CAPTURING: &str = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)";

impl Emulator {
    /// The engine's kernels; `None`, with a line that says so, where there is no C++ compiler.
    ///
    /// # Errors
    /// What the compiler says if it refuses them.
    pub fn new(order: Order) -> Result<Option<Self>, String> {
        Self::made(&source(), &engine(), order, true)
    }

    /// The same, for tests that compute much: indices within arrays and alignment go unchecked, and
    /// convolutions in f32 take a fifth of the time.
    ///
    /// # Errors
    /// As [`Emulator::new`].
    pub fn fast(order: Order) -> Result<Option<Self>, String> {
        Self::made(&source(), &engine(), order, false)
    }

    /// The kernels `names` of `source`. They are compiled once for all test programs of a build
    /// folder; each emulator loads a copy of its own, since a block's shared memory lies in it.
    ///
    /// # Errors
    /// As [`Emulator::new`].
    pub fn of(source: &str, names: &[&str], order: Order) -> Result<Option<Self>, String> {
        Self::made(source, names, order, true)
    }

    fn made(
        source: &str,
        names: &[&str],
        order: Order,
        checked: bool,
    ) -> Result<Option<Self>, String> {
        let Some(library) = compile::library(source, names, checked)? else { return Ok(None) };
        let facts = CardFacts {
            ordinal: 0,
            name: "emulated".into(),
            capability: [9, 0],
            driver: [0, 0],
            memory: 8 << 30,
            multiprocessors: 1,
            integrated: false,
            unified_addressing: false,
            concurrent_managed_access: false,
            pageable_access: false,
            host_page_tables: false,
        };
        let library = Library::load(&library, names)?;
        Ok(Some(Self {
            memory: Memory::of(facts.memory, library.pages),
            library,
            facts,
            order,
            tape: None,
            recordings: BTreeMap::new(),
            recorded: 0,
            launches: BTreeMap::new(),
            fails: None,
            failed: None,
            fetched: BTreeMap::new(),
            fetches: 0,
            calls: Calls::default(),
        }))
    }

    /// The same, with other facts.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut CardFacts)) -> Self {
        change(&mut self.facts);
        self.memory.total = self.facts.memory;
        self
    }

    /// From now on whatever is read or written right behind an allocation ends the launch; addresses
    /// are multiples of 16 only, and only where the size is.
    #[must_use]
    pub fn tight(mut self) -> Self {
        self.memory.tight = true;
        self
    }

    /// Makes the launch after `launches` more fail with a driver's error, replayed ones counted.
    pub fn fail_after(&mut self, launches: u64) {
        self.fails = Some(launches);
    }

    /// What is asked of it from now on, and was before.
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    fn called(&self, what: &'static str) {
        self.calls.lock().unwrap().push(what);
    }

    /// How often each kernel ran.
    pub fn launches(&self) -> &BTreeMap<String, u64> {
        &self.launches
    }

    /// Launches the kernel called `name`: [`Machine::launch`] for kernels of a test's own.
    ///
    /// # Errors
    /// As there.
    pub fn launch_by_name(
        &mut self,
        name: &str,
        grid: Grid,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        let launch = format!("launch `{name}`");
        let invalid =
            |why: String| refused(&launch, &format!("CUDA_ERROR_INVALID_VALUE (1): {why}"));
        let [x, y, z] = grid.blocks;
        if x == 0 || y == 0 || z == 0 || x > i32::MAX as u32 || y.max(z) > 65_535 {
            return self.spoil(invalid(format!("{:?} blocks", grid.blocks)));
        }
        if !(1..=256).contains(&grid.threads) {
            return self.spoil(invalid(format!("{} threads", grid.threads)));
        }
        if let Err(why) = self.library.accepts(name, args) {
            return self.spoil(invalid(why));
        }
        if self.tape.is_some() && !self.launches.contains_key(name) {
            let why = format!("{CAPTURING}: it was not launched, and so not loaded, before");
            return self.spoil(refused(&launch, &why));
        }
        let args = args.iter().map(Owned::of).collect();
        self.ask(Work::Launch { kernel: name.into(), grid, args })
    }

    /// Returns `error`, which ends a recording badly.
    fn spoil<T>(&mut self, error: CudaError) -> Result<T, CudaError> {
        if let Some(tape) = &mut self.tape {
            tape.spoilt.get_or_insert(error.clone());
        }
        Err(error)
    }

    /// Refuses what cannot be done while recording, and everything after a kernel has failed.
    fn ready(&self, what: &str) -> Result<(), CudaError> {
        if self.tape.is_some() {
            return Err(refused(what, CAPTURING));
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Does it, or records it.
    fn ask(&mut self, work: Work) -> Result<(), CudaError> {
        if let Err(error) = self.fits(&work) {
            return self.spoil(error);
        }
        if let Some(tape) = &mut self.tape {
            tape.works.push(work);
            return Ok(());
        }
        self.failed.clone().map_or(Ok(()), Err)?;
        self.work(&work)
    }

    /// Refuses addresses of nothing.
    fn fits(&mut self, work: &Work) -> Result<(), CudaError> {
        match work {
            Work::Clear { to, bytes } => {
                self.memory.bytes(*to, *bytes, "clear memory").map(drop)?
            }
            Work::Copy { from, to, bytes } => {
                self.memory.bytes(*from, *bytes, "copy from memory")?;
                self.memory.bytes(*to, *bytes, "copy to memory")?;
            }
            Work::Launch { kernel, .. } => {
                let nothing = |at: &Address| at.0 != 0 && self.memory.holder(*at).is_none();
                if work.addresses().iter().any(nothing) {
                    let code = "CUDA_ERROR_INVALID_VALUE (1): an address of nothing";
                    return Err(refused(&format!("launch `{kernel}`"), code));
                }
            }
        }
        Ok(())
    }

    fn work(&mut self, work: &Work) -> Result<(), CudaError> {
        match work {
            Work::Clear { to, bytes } => {
                self.memory.bytes(*to, *bytes, "clear memory")?.fill(0);
                Ok(())
            }
            Work::Copy { from, to, bytes } => {
                let from = self.memory.bytes(*from, *bytes, "copy from memory")?.to_vec();
                self.memory.bytes(*to, *bytes, "copy to memory")?.copy_from_slice(&from);
                Ok(())
            }
            Work::Launch { kernel, grid, args } => self.run(kernel, *grid, args),
        }
    }

    fn run(&mut self, name: &str, grid: Grid, args: &[Owned]) -> Result<(), CudaError> {
        let launch = format!("launch `{name}`");
        match &mut self.fails {
            Some(0) => {
                self.fails = None;
                return Err(refused(&launch, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701): as asked"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let args: Vec<Arg<'_>> = args.iter().map(Owned::arg).collect();
        *self.launches.entry(name.into()).or_default() += 1;
        let ran = self.library.run(name, grid, &args, self.order);
        let addresses = args.iter().filter_map(|arg| match arg {
            Arg::Address(address) => self.memory.holder(*address),
            _ => None,
        });
        // Told by whatever waits next, as on a card.
        if let Err(mut why) = ran {
            let hex = why
                .split_once("illegal address 0x")
                .and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok());
            if let Some(near) = hex.and_then(|address| self.memory.nearest(address)) {
                why += &format!(", {near}");
            }
            let code = format!("CUDA_ERROR_LAUNCH_FAILED (719): {why}");
            self.failed = Some(refused(&format!("run `{name}`"), &code));
        } else if let Some(why) = addresses.filter_map(|base| self.memory.overrun(base)).next() {
            let code = format!("CUDA_ERROR_ILLEGAL_ADDRESS (700): {why}");
            self.failed = Some(refused(&format!("run `{name}`"), &code));
        }
        Ok(())
    }
}

impl Machine for Emulator {
    fn facts(&self) -> &CardFacts {
        &self.facts
    }

    fn free_memory(&self) -> Result<u64, CudaError> {
        Ok(self.memory.free())
    }

    fn allocate(&mut self, bytes: u64) -> Result<Address, CudaError> {
        self.called("allocate");
        self.ready("allocate memory")?;
        self.memory.allocate(bytes)
    }

    fn release(&mut self, address: Address) {
        if let Some(tape) = &mut self.tape {
            tape.released.push(address);
            return;
        }
        // What was recorded and works on it is forgotten.
        if let Some(gone) = self.memory.holder(address) {
            let of_it = |address: Address| self.memory.holder(address) == Some(gone);
            let works = |work: &Work| work.addresses().into_iter().any(of_it);
            self.recordings.retain(|_, all| !all.iter().any(works));
        }
        if let Some(why) = self.memory.release(address) {
            self.failed.get_or_insert(refused("release memory", &why));
        }
    }

    fn upload(&mut self, to: Address, from: &[u8]) -> Result<(), CudaError> {
        self.called("upload");
        self.ready("copy to memory")?;
        self.memory.bytes(to, from.len() as u64, "copy to memory")?.copy_from_slice(from);
        Ok(())
    }

    fn download(&mut self, from: Address, to: &mut [u8]) -> Result<(), CudaError> {
        self.called("download");
        self.settle()?;
        to.copy_from_slice(self.memory.bytes(from, to.len() as u64, "copy from memory")?);
        Ok(())
    }

    fn fetch(&mut self, from: Address, bytes: usize) -> Result<Fetched, CudaError> {
        self.called("fetch");
        self.ready("copy from memory")?;
        let bytes = self.memory.bytes(from, bytes as u64, "copy from memory")?.to_vec();
        self.fetches += 1;
        self.fetched.insert(self.fetches, bytes);
        Ok(Fetched(self.fetches))
    }

    fn collect(&mut self, fetched: Fetched, to: &mut [u8]) -> Result<(), CudaError> {
        self.called("collect");
        self.settle()?;
        let none = CudaError::NotFetched { number: fetched.0, bytes: to.len() };
        let here = self.fetched.remove(&fetched.0).filter(|here| here.len() == to.len());
        to.copy_from_slice(&here.ok_or(none)?);
        Ok(())
    }

    fn abandon(&mut self, fetched: Fetched) {
        self.fetched.remove(&fetched.0);
    }

    fn clear(&mut self, to: Address, bytes: u64) -> Result<(), CudaError> {
        self.called("clear");
        self.ask(Work::Clear { to, bytes })
    }

    fn copy(&mut self, from: Address, to: Address, bytes: u64) -> Result<(), CudaError> {
        self.called("copy");
        self.ask(Work::Copy { from, to, bytes })
    }

    fn launch(&mut self, kernel: Kernel, grid: Grid, args: &[Arg<'_>]) -> Result<(), CudaError> {
        self.called("launch");
        self.launch_by_name(kernel.name(), grid, args)
    }

    fn record(&mut self) -> Result<(), CudaError> {
        self.called("record");
        self.ready("record")?;
        self.tape = Some(Tape::default());
        Ok(())
    }

    fn recorded(&mut self) -> Result<Recording, CudaError> {
        let none = |code: &str| CudaError::NoRecording { code: code.into() };
        let tape = self.tape.take().ok_or_else(|| none("no recording was begun"))?;
        self.recorded += 1;
        if tape.spoilt.is_none() {
            self.recordings.insert(self.recorded, tape.works);
        }
        tape.released.into_iter().for_each(|address| self.release(address));
        tape.spoilt.map_or(Ok(Recording(self.recorded)), |why| Err(none(&why.to_string())))
    }

    fn replay(&mut self, recording: Recording) -> Result<(), CudaError> {
        self.called("replay");
        self.ready("replay")?;
        let code = "it was forgotten, or memory that it works on was given back";
        let unknown = || CudaError::NoRecording { code: code.into() };
        let works = self.recordings.get(&recording.0).ok_or_else(unknown)?.clone();
        works.into_iter().try_for_each(|work| self.ask(work))
    }

    fn forget(&mut self, recording: Recording) {
        self.recordings.remove(&recording.0);
    }

    fn wait(&mut self) -> Result<(), CudaError> {
        self.called("wait");
        self.settle()
    }
}

impl Emulator {
    /// What is told by whatever waits.
    fn settle(&mut self) -> Result<(), CudaError> {
        self.ready("wait")?;
        if let Some(why) = self.memory.overruns() {
            let code = format!("CUDA_ERROR_ILLEGAL_ADDRESS (700): {why}");
            let error = refused("run what was asked", &code);
            self.failed = Some(error.clone());
            return Err(error);
        }
        Ok(())
    }
}
