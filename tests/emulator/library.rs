//! The compiled kernels, loaded.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io::Write;
use std::mem::ManuallyDrop;

use unlearn::sparse::cuda::{Arg, Grid};

use super::Order;

/// `emulator::Entry` of device.hpp.
#[repr(C)]
struct Entry {
    name: *const c_char,
    kinds: *const c_char,
    sizes: *const c_uint,
    call: Option<unsafe extern "C" fn(*mut *mut c_void)>,
}

type Run = unsafe extern "C" fn(
    *const Entry,
    *mut *mut c_void,
    *const c_uint,
    c_uint,
    c_int,
    *mut c_char,
    usize,
) -> c_int;

/// What a kernel takes: for each parameter a letter as in device.hpp, and bytes.
struct Signature {
    entry: usize,
    parameters: Vec<(u8, usize)>,
}

/// Pages between two that nobody may touch: runtime.cpp's functions.
#[derive(Clone, Copy)]
pub struct Pages {
    /// Bytes of a page.
    pub page: usize,
    map: unsafe extern "C" fn(usize) -> *mut c_void,
    unmap: unsafe extern "C" fn(*mut c_void, usize),
}

impl Pages {
    /// `bytes` bytes of zeros, a multiple of a page; 0 if there are none.
    pub fn map(self, bytes: usize) -> usize {
        // SAFETY: it may be called with any number.
        unsafe { (self.map)(bytes) as usize }
    }

    /// Gives back what [`Pages::map`] gave.
    ///
    /// # Safety
    /// `at` and `bytes` are those of one call of it, given back once, and nobody reads there any more.
    pub unsafe fn unmap(self, at: usize, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { (self.unmap)(at as *mut c_void, bytes) }
    }
}

/// A loaded copy.
pub struct Library {
    /// Its pages.
    pub pages: Pages,
    /// Where its table of entries is.
    entries: usize,
    kernels: BTreeMap<String, Signature>,
    run: Run,
    close: unsafe extern "C" fn(),
    /// Stays loaded for ever: its signal handler may be in the middle of a chain of them.
    _library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads a copy of the library `bytes`, whose table holds `names`.
    pub fn load(bytes: &[u8], names: &[&str]) -> Result<Self, String> {
        let mut file = tempfile::Builder::new()
            .prefix("emulator-")
            .suffix(".so")
            .tempfile()
            .map_err(|error| format!("no file for a library: {error}"))?;
        file.write_all(bytes).map_err(|error| format!("no file for a library: {error}"))?;
        // The loader takes two names of one file for one library: each copy is a file of its own. It
        // stays mapped when its name goes.
        // SAFETY: the library was compiled from our own sources and runs nothing when it is loaded.
        let library = unsafe { libloading::Library::new(file.path()) }
            .map_err(|error| format!("the emulator does not load: {error}"))?;
        // SAFETY: device.hpp, runtime.cpp and the generated table define these with these types, and
        // the library stays loaded.
        let (entries, run, close, pages) = unsafe {
            let lacks = |error: libloading::Error| format!("the emulator lacks something: {error}");
            let page =
                *library.get::<unsafe extern "C" fn() -> usize>(b"emulator_page").map_err(lacks)?;
            let pages = Pages {
                page: page(),
                map: *library.get(b"emulator_map").map_err(lacks)?,
                unmap: *library.get(b"emulator_unmap").map_err(lacks)?,
            };
            (
                *library.get::<*const Entry>(b"emulator_entries").map_err(lacks)? as usize,
                *library.get::<Run>(b"emulator_run").map_err(lacks)?,
                *library.get(b"emulator_close").map_err(lacks)?,
                pages,
            )
        };
        let _library = ManuallyDrop::new(library);
        let kernels = (0..names.len()).map(|entry| signature(entries, entry)).collect();
        Ok(Self { pages, entries, kernels, run, close, _library })
    }

    /// Says why `args` cannot be those of the kernel `name`.
    pub fn accepts(&self, name: &str, args: &[Arg<'_>]) -> Result<(), String> {
        let Some(kernel) = self.kernels.get(name) else {
            return Err("there is no such kernel".into());
        };
        if kernel.parameters.len() != args.len() {
            return Err(format!("{} arguments for {}", args.len(), kernel.parameters.len()));
        }
        for (at, (arg, &(letter, bytes))) in args.iter().zip(&kernel.parameters).enumerate() {
            let fits = match arg {
                Arg::Address(_) => letter == b'p',
                Arg::Word(_) => letter == b'w',
                Arg::Real(_) => letter == b'f',
                Arg::Ints(ints) => letter == b's' && bytes == 4 * ints.len(),
            };
            if !fits {
                let letter = char::from(letter);
                return Err(format!("argument {at} is {arg:?}, not {letter} of {bytes} bytes"));
            }
        }
        Ok(())
    }

    /// Runs a grid of the kernel `name`; [`Library::accepts`] has seen `args`.
    pub fn run(
        &mut self,
        name: &str,
        grid: Grid,
        args: &[Arg<'_>],
        order: Order,
    ) -> Result<(), String> {
        self.accepts(name, args)?;
        let mut kept: Vec<Vec<u32>> = args.iter().map(words).collect();
        let mut pointers: Vec<*mut c_void> =
            kept.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
        let mut text = [0u8; 600];
        let entry = (self.entries as *const Entry).wrapping_add(self.kernels[name].entry);
        // SAFETY: the entry is one of the table's; its arguments are as many and as long as it takes,
        // and aligned, for `words` sees to both. Pointers among them were held against the
        // allocations. The text is as long as said.
        let failed = unsafe {
            (self.run)(
                entry,
                pointers.as_mut_ptr(),
                grid.blocks.as_ptr(),
                grid.threads,
                c_int::from(order == Order::Backward),
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        if failed == 0 {
            return Ok(());
        }
        let text = CStr::from_bytes_until_nul(&text).map_or("".into(), CStr::to_string_lossy);
        Err(text.into_owned())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: nothing runs: `run` takes `self` mutably.
        unsafe { (self.close)() }
    }
}

/// Name and signature of an entry of the table at `entries`.
fn signature(entries: usize, entry: usize) -> (String, Signature) {
    // SAFETY: the table was generated with as many entries as there are names; names and kinds end in
    // 0, and there are as many sizes as kinds.
    unsafe {
        let at = &*(entries as *const Entry).wrapping_add(entry);
        let kinds = CStr::from_ptr(at.kinds).to_bytes();
        let sizes = std::slice::from_raw_parts(at.sizes, kinds.len());
        let parameters = kinds.iter().zip(sizes).map(|(kind, size)| (*kind, *size as usize));
        let name = CStr::from_ptr(at.name).to_string_lossy().into_owned();
        (name, Signature { entry, parameters: parameters.collect() })
    }
}

/// An argument's bytes, at an address that is a multiple of 8 if it is a pointer's.
fn words(arg: &Arg<'_>) -> Vec<u32> {
    match *arg {
        Arg::Address(address) => {
            let halves = address.0.to_ne_bytes();
            let (low, high) = halves.split_at(4);
            [low, high].iter().map(|half| u32::from_ne_bytes((*half).try_into().unwrap())).collect()
        }
        Arg::Word(word) => vec![word],
        Arg::Real(real) => vec![real.to_bits()],
        Arg::Ints(ints) => ints.iter().map(|int| int.cast_unsigned()).collect(),
    }
}
