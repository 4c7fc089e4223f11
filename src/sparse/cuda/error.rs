//! What can go wrong on a CUDA device.

use super::machine::Capability;

/// What can go wrong on a CUDA device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CudaError {
    /// The driver's library is not on this machine.
    #[error(
        "no CUDA driver: libcuda was not found (looked for {tried}); install NVIDIA's driver, or use --device cpu"
    )]
    NoDriver {
        /// The names that were tried.
        tried: String,
    },
    /// The driver is there, and sees no device.
    #[error("the CUDA driver finds no device; use --device cpu")]
    NoDevice,
    /// There is no device of this number.
    #[error("there is no cuda:{ordinal}: the driver finds {found} device(s), numbered from 0")]
    NoSuchDevice {
        /// The number asked for.
        ordinal: u32,
        /// How many there are.
        found: u32,
    },
    /// The driver is older than any whose functions are asked for.
    #[error("the CUDA driver is of CUDA {}.{}, and 11.4 or later is needed; install a newer one, or use --device cpu", found[0], found[1])]
    OldDriver {
        /// The version of its CUDA.
        found: [u32; 2],
    },
    /// The device is older than any that kernels are made for.
    #[error("{name} has compute capability {}.{}, and the kernels need 7.2 or later; use --device cpu", found[0], found[1])]
    TooOld {
        /// The device's name.
        name: String,
        /// Its compute capability.
        found: Capability,
    },
    /// A precision that the device's multipliers do not have.
    #[error("{name} (compute capability {}.{}) has no {precision} multipliers, which need {}.{}; use cuda:N/f32", found[0], found[1], needed[0], needed[1])]
    Precision {
        /// The device's name.
        name: String,
        /// The precision asked for.
        precision: &'static str,
        /// The device's compute capability.
        found: Capability,
        /// The least that has it.
        needed: Capability,
    },
    /// There is no compiler for the kernels.
    #[error(
        "the kernels must be compiled for this device, and NVRTC was not found (looked for {tried}); install libnvrtc of CUDA 11.4 or later"
    )]
    NoCompiler {
        /// The names that were tried.
        tried: String,
    },
    /// No compiler that is here compiles for the device.
    #[error("the kernels must be compiled for compute capability {}.{}, which no NVRTC here does ({found}); install libnvrtc of a CUDA release for this device", capability[0], capability[1])]
    NoTarget {
        /// For what they were to be compiled.
        capability: Capability,
        /// The compilers, each with its version and the oldest that it compiles for.
        found: String,
    },
    /// The compiler refused the kernels.
    #[error("the kernels do not compile for compute capability {}.{}: {log}", capability[0], capability[1])]
    Compile {
        /// For what they were compiled.
        capability: Capability,
        /// What the compiler says.
        log: String,
    },
    /// Too little memory.
    #[error(
        "the device has no {needed} bytes more: {free} of {total} are free; use a smaller --batch, or --device cpu"
    )]
    Memory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The driver refused something.
    #[error("the CUDA driver could not {what}: {code}")]
    Driver {
        /// What was asked of it.
        what: String,
        /// Its code and its words.
        code: String,
    },
    /// An earlier error left nothing of the device's memory that could be used.
    #[error(
        "cuda:{ordinal} was lost to an earlier error ({code}), and nothing can be asked of it any more; start the program again"
    )]
    Lost {
        /// The device's number.
        ordinal: u32,
        /// The driver's code and words for that error.
        code: String,
    },
    /// A copy from the device that is not under way.
    #[error("no copy {number} of {bytes} bytes is on its way from the device")]
    NotFetched {
        /// Its number.
        number: u32,
        /// The bytes that were to be collected.
        bytes: usize,
    },
    /// Bytes that nobody allocated, or that were given back.
    #[error(
        "the device cannot {what} at {address:#x}: these {bytes} bytes are in no memory that was allocated on it"
    )]
    Outside {
        /// What was asked for.
        what: String,
        /// Where they begin.
        address: u64,
        /// How many.
        bytes: u64,
    },
    /// Something that cannot be done while launches are recorded.
    #[error("the device cannot {what} while launches are recorded")]
    Recording {
        /// What was asked for.
        what: &'static str,
    },
    /// The device cannot record launches.
    #[error("the device cannot record launches: {code}")]
    NoRecording {
        /// The driver's code and words.
        code: String,
    },
    /// Nobody opened the device.
    #[error("cuda:{ordinal} was not opened")]
    NotOpen {
        /// Its number.
        ordinal: u32,
    },
    /// A size that an index of a kernel cannot hold.
    #[error("`{node}` in batches of {batch} has more than 2^31 values; use a smaller batch")]
    Size {
        /// The operation's name.
        node: String,
        /// Samples in a batch.
        batch: usize,
    },
}
