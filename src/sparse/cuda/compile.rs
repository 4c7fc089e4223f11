//! From the kernels' sources to what the driver loads.
//!
//! All sources are one unit. Where a CUDA compiler was at hand when the program was built, it holds them as PTX, and the
//! driver does the rest (`build.rs`). Else, or where the driver does not take that, they are compiled at
//! the first launch for the device that is there, and kept where the caller says. Nothing is needed to
//! build the program but the program's own compiler.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::cache;
use super::error::CudaError;
use super::kernel::{OPTIONS, source};
use super::machine::Capability;
use super::nvrtc::{NAMES, Nvrtc};
use crate::base::disk::{Disk, DiskError, FileDisk, Lock};
use crate::base::hash::Digest;

/// What a compiled unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Machine code of one architecture, in an ELF file.
    Cubin,
    /// Text that the driver compiles for any later architecture. Ends in a zero.
    Ptx,
}

/// For what a unit is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// 87 is compute capability 8.7.
    pub architecture: u32,
    /// To what.
    pub form: Form,
}

impl Target {
    /// What a compiler that knows these `architectures` should compile to for a device: its own machine code, or PTX of
    /// the newest that is not above it. `None` if all are.
    #[must_use]
    pub fn of(capability: Capability, architectures: &[u32]) -> Option<Self> {
        let own = capability[0].checked_mul(10)?.checked_add(capability[1])?;
        let newest = architectures.iter().copied().filter(|known| *known <= own).max()?;
        let form = if newest == own { Form::Cubin } else { Form::Ptx };
        Some(Self { architecture: newest, form })
    }

    /// Its name, as the compiler spells it.
    #[must_use]
    pub fn name(self) -> String {
        match self.form {
            Form::Cubin => format!("sm_{}", self.architecture),
            Form::Ptx => format!("compute_{}", self.architecture),
        }
    }

    pub(super) fn option(self) -> String {
        format!("--gpu-architecture={}", self.name())
    }
}

/// A compiled unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// For what it was compiled.
    pub target: Target,
    /// What the driver loads.
    pub code: Vec<u8>,
}

/// PTX by its architecture, in ascending order; each text ends in a zero. What does not is passed over.
pub type Embedded = &'static [(u32, &'static [u8])];

macro_rules! left_by_build_script {
    ($($architecture:literal),*) => {
        &[$(($architecture, include_bytes!(concat!(env!("OUT_DIR"), "/", $architecture, ".ptx")))),*]
    };
}

/// What the program holds: one of each of [`super::ARCHITECTURES`].
const EMBEDDED: Embedded = left_by_build_script!(72, 87, 90, 110);

/// Where compiled kernels come from.
#[derive(Clone, Debug)]
pub struct Modules {
    /// Those of the program itself.
    pub embedded: Embedded,
    /// A folder in which compiled kernels are kept; its parent must exist. Whoever can write to it decides what runs on
    /// the device. `None` compiles anew in every process.
    pub cache: Option<PathBuf>,
    /// The compiler, by name or path; `None` looks for one.
    pub compiler: Option<PathBuf>,
    /// Told that the kernels are compiled now, for a device of this capability: it takes a while.
    pub compiles: Option<fn(Capability)>,
}

impl Default for Modules {
    fn default() -> Self {
        Self { embedded: EMBEDDED, cache: None, compiler: None, compiles: None }
    }
}

/// A unit, whence it comes, and what went wrong with the cache.
pub(super) struct Found {
    pub unit: Unit,
    /// Whether it was kept from before.
    pub kept: bool,
    /// Why it could not be kept, or what was kept not be read.
    pub fault: Option<DiskError>,
}

impl Modules {
    /// The kernels for a device of this capability under a driver of this version, kept or compiled. With `anew`, what
    /// is kept is not looked at.
    ///
    /// # Errors
    /// If there is no compiler, or it refuses. A fault of the cache is no error.
    pub(super) fn kernels(
        &self,
        capability: Capability,
        driver: [u32; 2],
        anew: bool,
    ) -> Result<Found, CudaError> {
        let nvrtc = self.compiler(capability, driver)?;
        let text = source();
        let found = nvrtc.told();
        let target = Target::of(capability, nvrtc.architectures())
            .ok_or(CudaError::NoTarget { capability, found })?;
        let key = cache::key(&text, &OPTIONS, target, nvrtc.version(), driver);
        let mut fault = None;
        if let Some(folder) = self.cache.as_deref().filter(|_| !anew) {
            match cache::load(folder, target, &key) {
                Ok(Some(unit)) => return Ok(Found { unit, kept: true, fault: None }),
                Ok(None) => {}
                Err(error) => fault = Some(error),
            }
        }
        if let Some(compiles) = self.compiles {
            compiles(capability);
        }
        let unit = nvrtc.compile(&text, capability)?;
        if let Some(folder) = &self.cache {
            fault = keep(folder, &key, &unit).err().or(fault);
        }
        Ok(Found { unit, kept: false, fault })
    }

    /// The newest text that is not above a device.
    pub(super) fn embedded(&self, capability: Capability) -> Option<Unit> {
        // The driver reads on to a zero.
        let there = self.embedded.iter().filter(|(_, code)| code.last() == Some(&0));
        let known: Vec<u32> = there.map(|(architecture, _)| *architecture).collect();
        let Target { architecture, .. } = Target::of(capability, &known)?;
        let (_, code) = self.embedded.iter().find(|(known, _)| *known == architecture)?;
        let target = Target { architecture, form: Form::Ptx };
        Some(Unit { target, code: code.to_vec() })
    }

    /// The compiler that fits best: one that knows the device's architecture, and is not of a later release than the
    /// driver, which may not load what that compiles.
    fn compiler(&self, capability: Capability, driver: [u32; 2]) -> Result<Nvrtc, CudaError> {
        let names: Vec<&Path> = match &self.compiler {
            Some(path) => vec![path],
            None => NAMES.iter().map(Path::new).collect(),
        };
        let mut best: Option<(u8, Nvrtc)> = None;
        let mut unfit = Vec::new();
        for nvrtc in names.iter().filter_map(|name| Nvrtc::open(name)) {
            let Some(target) = Target::of(capability, nvrtc.architectures()) else {
                unfit.push(nvrtc.told());
                continue;
            };
            let later = nvrtc.version()[0] > driver[0];
            let badness = 2 * u8::from(later) + u8::from(target.form == Form::Ptx);
            if best.as_ref().is_none_or(|(least, _)| badness < *least) {
                best = Some((badness, nvrtc));
            }
            if badness == 0 {
                break;
            }
        }
        match best {
            Some((_, nvrtc)) => Ok(nvrtc),
            None if unfit.is_empty() => {
                let names: Vec<_> =
                    names.iter().map(|name| name.as_os_str()).map(OsStr::to_string_lossy).collect();
                Err(CudaError::NoCompiler { tried: names.join(", ") })
            }
            None => Err(CudaError::NoTarget { capability, found: unfit.join("; ") }),
        }
    }
}

/// Keeps a unit for the next process.
fn keep(folder: &Path, key: &Digest, unit: &Unit) -> Result<(), DiskError> {
    let mut disk = FileDisk;
    disk.make_folder(folder)?;
    // Who holds it keeps the same.
    let Some(_lock) = Lock::take(&folder.join("lock"))? else { return Ok(()) };
    cache::store(&mut disk, folder, key, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_own_code_or_the_newest_text_before_it() {
        let known = [75, 80, 86, 87, 90, 100];
        let of = |capability| Target::of(capability, &known).map(Target::name);
        assert_eq!(of([8, 7]).as_deref(), Some("sm_87"));
        assert_eq!(of([8, 9]).as_deref(), Some("compute_87"));
        assert_eq!(of([11, 0]).as_deref(), Some("compute_100"));
        assert_eq!((of([7, 2]), of([u32::MAX, 0])), (None, None));
        assert_eq!(Target::of([8, 7], &[]), None);
    }

    #[test]
    fn what_is_embedded_serves_devices_from_its_architecture_on() {
        let modules = Modules {
            embedded: &[(72, b"old\0"), (87, b"no end"), (90, b"new\0"), (110, b"")],
            ..Modules::default()
        };
        let of = |capability| modules.embedded(capability).map(|unit| unit.target.name());
        assert_eq!(of([8, 7]).as_deref(), Some("compute_72"));
        assert_eq!(of([9, 0]).as_deref(), Some("compute_90"));
        assert_eq!((of([11, 0]).as_deref(), of([7, 0])), (Some("compute_90"), None));
        assert_eq!(modules.embedded([9, 0]).unwrap().code, b"new\0");
    }

    #[test]
    fn without_a_compiler_the_error_says_what_was_looked_for() {
        let compiler = Some("/nowhere/libnvrtc.so".into());
        let modules = Modules { embedded: &[], compiler, ..Modules::default() };
        let error = modules.kernels([8, 7], [12, 6], false).err();
        assert_eq!(error, Some(CudaError::NoCompiler { tried: "/nowhere/libnvrtc.so".into() }));
    }
}
