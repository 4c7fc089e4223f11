//! What a CUDA device can do for the engine: memory, copies, launches, recorded graphs.
//!
//! Behind it stands a card ([`super::Card`]), or, in tests, the kernels compiled for the processor and
//! run thread by thread: what launches them cannot tell.

use super::error::CudaError;
use super::kernel::Kernel;

/// An address in a device's memory, in bytes. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The address of the `f32` (or `u32`) at `index` from here.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        Self(self.0 + 4 * index as u64)
    }
}

/// Blocks of threads, and threads in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block, all in x.
    pub threads: u32,
}

/// One argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    /// A pointer.
    Address(Address),
    /// An `unsigned int`.
    Word(u32),
    /// A `float`.
    Real(f32),
    /// A structure whose fields are all `int`, by value.
    Ints(&'a [i32]),
}

/// A compute capability: 8.7 is `[8, 7]`.
pub type Capability = [u32; 2];

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFacts {
    /// Its place among the devices, from 0.
    pub ordinal: u32,
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: Capability,
    /// Version of the driver's CUDA: 12.6 is `[12, 6]`.
    pub driver: [u32; 2],
    /// Bytes of memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Whether it shares the processor's memory.
    pub integrated: bool,
    /// Whether pointers mean the same to both.
    pub unified_addressing: bool,
    /// Whether both may touch managed memory at once.
    pub concurrent_managed_access: bool,
    /// Whether it reads memory that nobody registered, such as a mapped file.
    pub pageable_access: bool,
    /// Whether it does so through the processor's page tables.
    pub host_page_tables: bool,
}

/// How a device reads memory of the processor's, the way with the fewest copies first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// In place, through the processor's page tables.
    Mapped,
    /// In place, once the driver has registered it: it then stays in memory.
    Registered,
    /// A copy, uploaded first.
    Staged,
}

impl Tier {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Registered => "registered",
            Self::Staged => "staged",
        }
    }
}

/// What is asked of a device while it reads memory of the processor's that begins, for it, at an address.
pub type Reads<'a> = dyn FnMut(&mut dyn Machine, Address) -> Result<(), CudaError> + 'a;

/// A recorded sequence of launches, by number; it belongs to the machine that recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording(pub u32);

/// A copy from a device that is under way, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched(pub u32);

/// A device with one stream: whatever is asked of it happens in the order asked.
///
/// Launches return before they have run; [`Machine::download`] and [`Machine::wait`] wait for all before
/// them. What fails within a kernel is told by the next call that waits.
pub trait Machine: Send {
    /// What it says of itself.
    fn facts(&self) -> &CardFacts;

    /// Bytes of its memory that nobody has.
    ///
    /// # Errors
    /// If the device does not answer.
    fn free_memory(&self) -> Result<u64, CudaError>;

    /// `bytes` bytes of zeros, at a multiple of 256.
    ///
    /// # Errors
    /// [`CudaError::Memory`] if there are not as many.
    fn allocate(&mut self, bytes: u64) -> Result<Address, CudaError>;

    /// Gives back what [`Machine::allocate`] gave, overwritten with zeros. Waits for what is under way.
    ///
    /// A device that refuses to overwrite gets it back as it is: nothing else can be done with it.
    fn release(&mut self, address: Address);

    /// Copies bytes to the device. `from` may be changed as soon as this returns.
    ///
    /// # Errors
    /// If the copy fails.
    fn upload(&mut self, to: Address, from: &[u8]) -> Result<(), CudaError>;

    /// Copies bytes from the device, after all that was asked before.
    ///
    /// # Errors
    /// If the copy, or anything before it, fails.
    fn download(&mut self, from: Address, to: &mut [u8]) -> Result<(), CudaError>;

    /// Copies bytes from the device after all that was asked before, and does not wait for it:
    /// [`Machine::collect`] does.
    ///
    /// # Errors
    /// If the device refuses.
    fn fetch(&mut self, from: Address, bytes: usize) -> Result<Fetched, CudaError>;

    /// Waits until a copy has come, and gives it; later work goes on meanwhile.
    ///
    /// # Errors
    /// If the copy, or anything before it, fails; [`CudaError::NotFetched`] if it was collected before, or has
    /// other bytes.
    fn collect(&mut self, fetched: Fetched, to: &mut [u8]) -> Result<(), CudaError>;

    /// Forgets a copy that nobody will collect.
    fn abandon(&mut self, fetched: Fetched);

    /// Lets the device read `bytes` while `work` runs: by `first`, or by the next tier that the device can and
    /// the driver grants; says which. Only launches that `work` asks for may be given the address, and their kernels
    /// write nothing there; it is of no use to copies and recordings.
    ///
    /// All that was asked is waited for before this returns, whatever `work` gives, so that `bytes` may go then.
    ///
    /// # Errors
    /// What `work` gives, or if there is no memory for a copy, or something that was asked failed.
    fn reading(
        &mut self,
        bytes: &[u8],
        first: Tier,
        work: &mut Reads<'_>,
    ) -> Result<Tier, CudaError>;

    /// Zeroes bytes.
    ///
    /// # Errors
    /// If the device refuses.
    fn clear(&mut self, to: Address, bytes: u64) -> Result<(), CudaError>;

    /// Copies bytes within the device.
    ///
    /// # Errors
    /// If the device refuses.
    fn copy(&mut self, from: Address, to: Address, bytes: u64) -> Result<(), CudaError>;

    /// Launches a kernel. Its arguments were checked by the launcher that calls this.
    ///
    /// # Errors
    /// If the kernel cannot be compiled, loaded or launched.
    fn launch(&mut self, kernel: Kernel, grid: Grid, args: &[Arg<'_>]) -> Result<(), CudaError>;

    /// From now on launches, clears and copies within the device are recorded and not run.
    /// Only kernels that were launched before may be, and no upload, download or allocation.
    ///
    /// # Errors
    /// [`CudaError::NoRecording`] if the device cannot.
    fn record(&mut self) -> Result<(), CudaError>;

    /// Ends the recording.
    ///
    /// # Errors
    /// If something of it cannot be recorded; then nothing is kept.
    fn recorded(&mut self) -> Result<Recording, CudaError>;

    /// Runs what was recorded.
    ///
    /// # Errors
    /// If the device refuses.
    fn replay(&mut self, recording: Recording) -> Result<(), CudaError>;

    /// Forgets a recording.
    fn forget(&mut self, recording: Recording);

    /// Waits for all that was asked.
    ///
    /// # Errors
    /// If any of it failed.
    fn wait(&mut self) -> Result<(), CudaError>;
}
