//! What is known of a board before any of its sensors is asked: one file of `boards/`.

use std::collections::BTreeMap;
use std::fmt;

use super::error::BoardError;

/// How far what a profile says was held against a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The benchmarks ran on the board itself.
    Hardware,
    /// Detection and sensors are tested on files captured from one, or made after its documentation.
    Fixture,
    /// From documentation alone.
    Spec,
}

/// What a sum of power covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The module: processor, memory, regulators.
    Module,
    /// The module with the carrier board and what hangs on it.
    Board,
}

/// A CUDA compute capability, such as 8.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability {
    /// Before the dot.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Which rails make up the power of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Total {
    /// One rail that carries all.
    Rail(String),
    /// Several that together do.
    Sum(Vec<String>),
    /// None is known: rails are told singly and no total is given.
    Unknown,
}

/// The processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Cores.
    pub cores: Option<u32>,
    /// What the cores are called.
    pub model: Option<String>,
}

/// The GPU of a board that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// What its generation is called.
    pub architecture: String,
    /// Its compute capability.
    pub capability: Capability,
    /// CUDA cores.
    pub cores: u32,
    /// Tensor cores; 0 before Volta.
    pub tensor_cores: u32,
    /// Whether the last CUDA release for the board is one that the program can use.
    pub usable: bool,
}

/// Memory that CPU and GPU share.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Bytes as built, before firmware and kernel take theirs: the least with which the modules are sold.
    pub bytes: u64,
    /// Further sizes with which they are sold, ascending.
    pub also: Vec<u64>,
    /// Bandwidth in GB/s (10^9 bytes), by the data sheet.
    pub bandwidth: f64,
}

impl Memory {
    /// Bytes as built of a machine whose kernel counts `total` of them: the least size that is not below.
    /// A machine that counts more than any size has the largest.
    pub fn built(&self, total: u64) -> u64 {
        let sizes = || std::iter::once(self.bytes).chain(self.also.iter().copied());
        sizes().find(|size| *size >= total).or_else(|| sizes().last()).unwrap_or(self.bytes)
    }
}

/// Rails and modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// Which rails make up the whole.
    pub total: Total,
    /// What that covers.
    pub scope: Scope,
    /// Power modes by name; their numbers differ from release to release.
    pub modes: Vec<String>,
    /// The mode in which figures of this board are to be told.
    pub bench_mode: Option<String>,
}

/// Where the module keeps files.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What is soldered on; `none` where there is nothing.
    pub internal: Option<String>,
}

/// What can keep a device key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Whether there is replay-protected memory.
    pub rpmb: Option<bool>,
    /// Whether the firmware brings a TPM.
    pub ftpm: Option<bool>,
    /// The highest evidence level that an erasure can reach on the board as sold: 1, 2 or 3.
    pub evidence: Option<u8>,
}

/// Releases of the system that the maker gives for the board.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Major numbers of Jetson Linux, oldest to newest.
    #[serde(default)]
    pub l4t: Vec<u32>,
    /// The newest CUDA release.
    pub cuda: Option<String>,
    /// The C library of the oldest release.
    pub glibc: Option<String>,
}

/// What a run on this board keeps to unless it is told otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory that adapting, forgetting and erasing may take.
    pub memory: Option<u64>,
    /// Degrees Celsius at the hottest zone at which work pauses.
    pub celsius: Option<f64>,
    /// Types of thermal zones that say nothing of heat: they hold one number for ever.
    pub ignore_zones: Vec<String>,
}

/// A board, as its file in `boards/` says it and as it was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name among files: small letters, digits, `-`.
    pub slug: String,
    /// Its name among people.
    pub name: String,
    /// How far it was tried.
    pub tier: Tier,
    /// Modules that it is, such as `p3767-0005`; none for a profile that detection cannot give.
    pub modules: Vec<String>,
    /// Its system on a chip, such as `tegra234`.
    pub soc: Option<String>,
    /// The processor.
    pub cpu: Cpu,
    /// The GPU.
    pub gpu: Option<Gpu>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Power.
    pub power: Power,
    /// Files.
    pub storage: Storage,
    /// Keys.
    pub keys: Keys,
    /// Releases.
    pub software: Software,
    /// Limits.
    pub limits: Limits,
    /// Where each figure comes from, by field.
    pub sources: BTreeMap<String, String>,
}

impl Profile {
    /// Reads and checks the text of a `board.toml`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`BoardError::Syntax`] for what is no profile, [`BoardError::Field`] for a value that makes no sense.
    pub fn parse(text: &str, name: &str) -> Result<Self, BoardError> {
        super::claimed::parse(text, name)
    }
}
