//! `--device`: what a command computes on.
//!
//! Owns the words of the option, and the opening of a CUDA device for the rest of the process.

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Once;

use super::fault::Fault;
use super::setting::{self, complain};
use crate::model::{Device, Engine, Mode, Network, Plan};
use crate::sparse::cuda::{
    Capability, Card, CudaError, Modules, Precision, SparseBelow, open, opened,
};
use crate::train::room::{Room, alike};
use crate::train::{Compute, Recipe};

/// What somebody wants to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    #[default]
    Cpu,
    /// The first CUDA device, where there is one that can do it; else the processor.
    Auto,
    Cuda {
        ordinal: u32,
        precision: Option<Precision>,
        sparse: Option<SparseBelow>,
    },
}

/// What helps say about it.
pub(super) const HELP: &str = "cpu|cuda[:N][/PRECISION][/sparse=SHARE]|auto";
/// Before what says which passes are sparse.
const SPARSE: &str = "sparse=";

/// The option, where nothing else belongs to it.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(super) struct DeviceArgs {
    /// What to compute on; PRECISION, of the factors of convolutions and linear layers, is f32, tf32 (where
    /// the device has it, unless told), f16 or bf16. With sparse=0 no pass is sparse, with sparse=inf every
    /// one. Of a CUDA device `unlearn board` tells the number
    #[arg(long, value_name = HELP, default_value_t, value_parser = Wanted::parse, help_heading = "Device")]
    pub device: Wanted,
}

/// Why a command does not compute on a CUDA device.
const STILL: &str = "nothing is learnt here, which is what a CUDA device is for";

/// The option, of commands of a home that learn nothing.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(super) struct StillDeviceArgs {
    /// What to compute on: the processor, by either word. Nothing is learnt here, which is what a CUDA
    /// device is for
    #[arg(long, value_name = "cpu|auto", default_value_t, value_parser = Wanted::of_still, help_heading = "Device")]
    device: Wanted,
}

impl StillDeviceArgs {
    /// Says what `auto` comes to.
    pub(super) fn say(self) {
        if self.device == Wanted::Auto {
            say(&fallen(STILL));
        }
    }
}

/// The option, of commands with which a home learns.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(super) struct HomeDeviceArgs {
    /// What to learn on, in the words of `unlearn train`. What samples leave in a CUDA device's memory is
    /// overwritten when it is given back; after a process was killed, it is left to the driver. Where a
    /// server has the home, `unlearn serve` is told. The packaged service sees no device unless its unit
    /// is opened to one
    #[arg(long, value_name = HELP, default_value_t, value_parser = Wanted::parse, help_heading = "Device")]
    device: Wanted,
}

/// What a home is to learn on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub device: Device,
    /// Whether somebody named a CUDA device.
    named: bool,
}

impl HomeDeviceArgs {
    /// Opens it: before the process closes itself, because what a driver asks of the system when it is opened
    /// is its own affair.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) fn open(self) -> Result<Chosen, Fault> {
        let named = matches!(self.device, Wanted::Cuda { .. });
        Ok(Chosen { device: self.device.choose(Ok)?.0, named })
    }
}

impl Chosen {
    /// Refuses a device that somebody named, where another process has the home and learns on its own.
    ///
    /// # Errors
    /// If one was named.
    pub(super) fn elsewhere(self) -> Result<(), Fault> {
        match self.named {
            true => Err(Fault::Usage(
                "another process has this home, and learns on what it was started with: give --device to `unlearn serve`".into(),
            )),
            false => Ok(()),
        }
    }
}

/// The words by which a process that this one starts gets the same device; none for the processor.
pub(super) fn words(device: Device) -> Vec<String> {
    match device {
        Device::Cpu(_) => Vec::new(),
        Device::Cuda { ordinal, precision, sparse, .. } => {
            let wanted = Wanted::Cuda { ordinal, precision: Some(precision), sparse };
            vec!["--device".into(), wanted.to_string()]
        }
    }
}

/// What else it needs of the environment: which devices there are, where the driver is, and where compiled kernels
/// are kept.
pub(super) fn inherited(device: Device) -> impl Iterator<Item = (&'static str, OsString)> {
    let names: &[&str] = match device {
        Device::Cpu(_) => &[],
        Device::Cuda { .. } => &[
            "CUDA_VISIBLE_DEVICES",
            "CUDA_DEVICE_ORDER",
            "LD_LIBRARY_PATH",
            "XDG_CACHE_HOME",
            "HOME",
        ],
    };
    names.iter().filter_map(|name| std::env::var_os(name).map(|value| (*name, value)))
}

/// What is said where `auto` comes to the processor.
fn fallen(why: &str) -> String {
    format!("--device auto: the processor computed, because: {why}")
}

/// Says it, the first time that this process comes to it.
fn say(fallen: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| complain(&format!("{NOTE}{fallen}")));
}

/// Before what is said.
const NOTE: &str = "note: ";

/// Says what a process that this one started said of it.
pub(super) fn pass_on(said: &str) {
    if let Some(fallen) = said.trim_end().strip_prefix(NOTE) {
        say(fallen);
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Cuda { ordinal, precision, sparse } => {
                write!(f, "cuda:{ordinal}")?;
                precision.map_or(Ok(()), |precision| write!(f, "/{}", precision.name()))?;
                sparse.map_or(Ok(()), |below| write!(f, "/{SPARSE}{below}"))
            }
        }
    }
}

impl Wanted {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected cpu, auto, or cuda, cuda:N (a number of `unlearn board`), cuda:N/f32, /tf32, /f16 or /bf16, and behind it /sparse=SHARE (0: no pass is sparse, inf: every one)".to_string()
        };
        match text {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let (text, sparse) = match text.rsplit_once('/') {
            Some((text, last)) if last.starts_with(SPARSE) => {
                let share = SparseBelow::named(&last[SPARSE.len()..]);
                (text, Some(share.ok_or_else(expected)?))
            }
            _ => (text, None),
        };
        let (device, precision) = match text.split_once('/') {
            Some((device, name)) => (device, Some(Precision::named(name).ok_or_else(expected)?)),
            None => (text, None),
        };
        let ordinal = match device.strip_prefix("cuda").ok_or_else(expected)? {
            "" => 0,
            number => {
                let number = number.strip_prefix(':').ok_or_else(expected)?;
                number.parse().map_err(|_| expected())?
            }
        };
        Ok(Self::Cuda { ordinal, precision, sparse })
    }

    /// Reads what a command that learns nothing may compute on.
    fn of_still(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            wanted @ (Self::Cpu | Self::Auto) => Ok(wanted),
            Self::Cuda { .. } => Err(format!("{STILL}; use --device cpu")),
        }
    }

    /// The device, for a command that learns nothing, and why it is not the one that `auto` looks for.
    ///
    /// # Errors
    /// If it cannot be had, or `network` is larger than its kernels can count.
    pub(super) fn open(self, network: &Network) -> Result<(Device, Option<String>), Fault> {
        self.choose(|device| match device {
            Device::Cpu(_) => Ok(device),
            Device::Cuda { .. } => {
                let all = vec![true; network.description.nodes.len()];
                Engine::card_bytes(
                    network,
                    &Plan::for_card(network, 1, Mode::Evaluate, false, &all),
                    device,
                )?;
                Ok(device)
            }
        })
    }

    /// How batches of `batch` samples are learnt there, whole or in the largest pieces that the device's
    /// free memory has room for, and why it is not the one that `auto` looks for.
    ///
    /// # Errors
    /// If it cannot be had, `network` is larger than its kernels can count, or memory is too little.
    pub(super) fn learning(
        self,
        network: &Network,
        batch: usize,
        recipe: &Recipe,
    ) -> Result<(Compute, Option<String>), Fault> {
        self.learning_each(network, &[(batch, recipe)])
    }

    /// As [`Wanted::learning`], of several runs that are computed alike: in the smallest pieces that one of
    /// them needs.
    ///
    /// # Errors
    /// As [`Wanted::learning`].
    pub(super) fn learning_each(
        self,
        network: &Network,
        runs: &[(usize, &Recipe)],
    ) -> Result<(Compute, Option<String>), Fault> {
        self.choose(|device| match device {
            Device::Cpu(_) => Ok(device.into()),
            Device::Cuda { .. } => runs.iter().try_fold(device.into(), |all, run| {
                let Some(room) = Room::of(device)? else { return Ok(all) };
                Ok(alike(all, room.fit(network, run.0, run.1, |_| true)?))
            }),
        })
    }

    fn choose<T>(
        self,
        make: impl Fn(Device) -> Result<T, CudaError>,
    ) -> Result<(T, Option<String>), Fault> {
        let cpu = || make(setting::isa().into());
        match self {
            Self::Cpu => Ok((cpu()?, None)),
            Self::Cuda { ordinal, precision, sparse } => {
                Ok((device(ordinal, precision, sparse).and_then(&make)?, None))
            }
            Self::Auto => match device(0, None, None).and_then(&make) {
                Ok(made) => Ok((made, None)),
                Err(why) => {
                    let why = fallen(&why.to_string());
                    say(&why);
                    Ok((cpu()?, Some(why)))
                }
            },
        }
    }
}

/// Opens a device, unless it is open.
fn device(
    ordinal: u32,
    precision: Option<Precision>,
    sparse: Option<SparseBelow>,
) -> Result<Device, CudaError> {
    let shared = match opened(ordinal) {
        Ok(shared) => shared,
        Err(_) => {
            let modules =
                Modules { cache: cache(), compiles: Some(compiling), ..Modules::default() };
            open(Box::new(Card::open(ordinal, &modules)?))
        }
    };
    let machine = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let facts = machine.facts();
    let precision = precision.unwrap_or(Precision::of_device(facts));
    precision.fits(facts)?;
    Ok(Device::Cuda { ordinal, capability: facts.capability, precision, sparse })
}

/// Tells a person that the first launch takes its time.
fn compiling([major, minor]: Capability) {
    if std::io::stderr().is_terminal() {
        complain(&format!("compiling the kernels for compute capability {major}.{minor} ..."));
    }
}

/// `compute` as a file names it, if its device is here.
pub(super) fn again(compute: Compute) -> Option<Compute> {
    exactly(compute).ok()
}

/// The same, with its device opened.
///
/// # Errors
/// If the device of this number cannot be had, or is another.
pub(super) fn exactly(compute: Compute) -> Result<Compute, Fault> {
    let Device::Cuda { ordinal, precision, sparse, .. } = compute.device else {
        return Ok(compute);
    };
    let there = device(ordinal, Some(precision), sparse)?;
    match there == compute.device {
        true => Ok(compute),
        false => Err(Fault::Usage(format!(
            "{} is not to be had: cuda:{ordinal} is {} here",
            compute.device.name(),
            there.name()
        ))),
    }
}

/// A device without what its plan says besides: `cpu`, `cuda:0`.
pub(super) fn short(device: Device) -> String {
    match device {
        Device::Cpu(_) => "cpu".into(),
        Device::Cuda { ordinal, .. } => format!("cuda:{ordinal}"),
    }
}

/// Where compiled kernels are kept for the next process: below the folder that the environment names for
/// such things, if there is one.
fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    folder
        .is_absolute()
        .then_some(folder)
        .filter(|folder| folder.is_dir())
        .map(|folder| folder.join("unlearn-cuda"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_option_are_read_and_no_others() {
        let sparse = |ordinal, precision, sparse| Ok(Wanted::Cuda { ordinal, precision, sparse });
        let cuda = |ordinal, precision| sparse(ordinal, precision, None);
        assert_eq!(Wanted::parse("cpu"), Ok(Wanted::Cpu));
        assert_eq!(Wanted::parse("auto"), Ok(Wanted::Auto));
        assert_eq!(Wanted::parse("cuda"), cuda(0, None));
        assert_eq!(Wanted::parse("cuda:1"), cuda(1, None));
        assert_eq!(Wanted::parse("cuda:1/bf16"), cuda(1, Some(Precision::Bf16)));
        assert_eq!(Wanted::parse("cuda/f32"), cuda(0, Some(Precision::F32)));
        let share = Some(SparseBelow::NEVER);
        assert_eq!(Wanted::parse("cuda/sparse=0"), sparse(0, None, share));
        assert_eq!(Wanted::parse("cuda:1/tf32/sparse=0"), sparse(1, Some(Precision::Tf32), share));
        for wrong in ["cuda/sparse=x", "cuda/sparse=0/tf32", "cpu/sparse=0", "sparse=0"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "gpu", "cuda1", "cuda:", "cuda:-1", "cuda:x", "cuda:0/fp8", "cpu/f32"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
        for text in ["cpu", "auto", "cuda:2", "cuda:0/tf32", "cuda:1/f32/sparse=0.5,0,inf"] {
            assert_eq!(Wanted::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_learns_nothing_is_given_no_cuda_device() {
        assert_eq!(Wanted::of_still("cpu"), Ok(Wanted::Cpu));
        assert_eq!(Wanted::of_still("auto"), Ok(Wanted::Auto));
        for cuda in ["cuda", "cuda:1", "cuda:0/f32"] {
            let refused = Wanted::of_still(cuda).unwrap_err();
            assert!(refused.contains("nothing is learnt here"), "{refused}");
            assert!(refused.contains("--device cpu"), "{refused}");
        }
        assert!(Wanted::of_still("gpu").unwrap_err().contains("expected cpu, auto"));
    }

    #[test]
    fn a_worker_is_told_the_very_device() {
        assert!(words(setting::isa().into()).is_empty());
        assert_eq!(inherited(setting::isa().into()).count(), 0);
        let share = Some(SparseBelow::NEVER);
        for sparse in [None, share] {
            let (capability, precision) = ([8, 7], Precision::F32);
            let device = Device::Cuda { ordinal: 1, capability, precision, sparse };
            let [option, word] = <[String; 2]>::try_from(words(device)).unwrap();
            assert_eq!(option, "--device");
            let wanted = Wanted::Cuda { ordinal: 1, precision: Some(precision), sparse };
            assert_eq!(Wanted::parse(&word), Ok(wanted));
        }
    }
}
