//! NVIDIA's compiler as a library: asked which architectures it knows, and to compile a text.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use cudarc::nvrtc::sys;
use sys::nvrtcProgram;

use super::compile::{Form, Target, Unit};
use super::error::CudaError;
use super::kernel::OPTIONS;
use super::library::{Library, function, functions, library};
use super::machine::Capability;

functions! {
    Functions of sys as nvrtcResult {
        nvrtcVersion(*mut c_int, *mut c_int);
        nvrtcGetNumSupportedArchs(*mut c_int);
        nvrtcGetSupportedArchs(*mut c_int);
        nvrtcCreateProgram(*mut nvrtcProgram, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char);
        nvrtcCompileProgram(nvrtcProgram, c_int, *const *const c_char);
        nvrtcDestroyProgram(*mut nvrtcProgram);
        nvrtcGetProgramLogSize(nvrtcProgram, *mut usize);
        nvrtcGetProgramLog(nvrtcProgram, *mut c_char);
        nvrtcGetCUBINSize(nvrtcProgram, *mut usize);
        nvrtcGetCUBIN(nvrtcProgram, *mut c_char);
        nvrtcGetPTXSize(nvrtcProgram, *mut usize);
        nvrtcGetPTX(nvrtcProgram, *mut c_char);
    } and {
        nvrtcGetErrorString(u32) -> *const c_char;
    }
}

/// Most architectures that a compiler is believed to know, and most bytes that it is believed to give.
const MOST_ARCHITECTURES: c_int = 1024;
const MOST_BYTES: usize = 1 << 30;
/// Bytes of what it says about an error that are kept: the first lines say it.
const TOLD: usize = 4000;

/// A function that writes a text or a program to where it is told, and one that says how long that is.
type Length = unsafe extern "C" fn(nvrtcProgram, *mut usize) -> u32;
type Content = unsafe extern "C" fn(nvrtcProgram, *mut c_char) -> u32;

/// NVRTC, in one of its versions. It needs no device and no driver.
pub struct Nvrtc {
    name: PathBuf,
    call: Functions,
    version: [u32; 2],
    architectures: Vec<u32>,
    // The functions are its. Never closed: it has threads and handlers of its own.
    _library: ManuallyDrop<Library>,
}

impl Nvrtc {
    /// The library of this name or at this path; `None` if it is not there or is not NVRTC of CUDA 11.4 or later.
    /// At a path, what it needs beside it is loaded too.
    pub fn open(name: &Path) -> Option<Self> {
        let library = ManuallyDrop::new(library(name.as_os_str())?);
        let call = Functions::of(&library).ok()?;
        let mut nvrtc = Self {
            name: name.into(),
            call,
            version: [0; 2],
            architectures: Vec::new(),
            _library: library,
        };
        nvrtc.version = nvrtc.asked_version()?;
        nvrtc.architectures = nvrtc.asked_architectures()?;
        nvrtc.load_builtins();
        Some(nvrtc)
    }

    /// By which name it was found.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Its version: that of its CUDA release.
    pub fn version(&self) -> [u32; 2] {
        self.version
    }

    /// The architectures that it compiles for, in ascending order: 87 is compute capability 8.7.
    pub fn architectures(&self) -> &[u32] {
        &self.architectures
    }

    fn asked_version(&self) -> Option<[u32; 2]> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are places for one `int`.
        let code = unsafe { (self.call.nvrtcVersion)(&raw mut major, &raw mut minor) };
        (code == 0).then_some(())?;
        Some([u32::try_from(major).ok()?, u32::try_from(minor).ok()?])
    }

    fn asked_architectures(&self) -> Option<Vec<u32>> {
        let mut count = 0;
        // SAFETY: `count` is a place for one `int`.
        let code = unsafe { (self.call.nvrtcGetNumSupportedArchs)(&raw mut count) };
        (code == 0 && (1..=MOST_ARCHITECTURES).contains(&count)).then_some(())?;
        let mut known = vec![0; usize::try_from(count).ok()?];
        // SAFETY: `known` has room for as many numbers as it said there are.
        let code = unsafe { (self.call.nvrtcGetSupportedArchs)(known.as_mut_ptr()) };
        (code == 0).then_some(())?;
        let mut known: Vec<u32> = known.into_iter().filter_map(|n| u32::try_from(n).ok()).collect();
        known.sort_unstable();
        Some(known)
    }

    /// NVRTC loads its second half by name when it compiles, and some of its releases do not look beside
    /// themselves. One that is loaded already is found.
    fn load_builtins(&self) {
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            let [major, minor] = self.version;
            let path = folder.join(format!("libnvrtc-builtins.so.{major}.{minor}"));
            // Whether it is missed shows when something is compiled.
            let _open = library(path.as_os_str()).map(ManuallyDrop::new);
        }
    }

    /// Compiles a text for a device of this capability: for its architecture, or, if that is not known, to
    /// PTX of the newest before it.
    ///
    /// # Errors
    /// [`CudaError::NoTarget`] if none is as old as the device; [`CudaError::Compile`] with what the compiler says.
    pub fn compile(&self, source: &str, capability: Capability) -> Result<Unit, CudaError> {
        let target = Target::of(capability, &self.architectures)
            .ok_or_else(|| CudaError::NoTarget { capability, found: self.told() })?;
        let code = self.compiled(source, target);
        let code = code.map_err(|log| CudaError::Compile { capability, log })?;
        Ok(Unit { target, code })
    }

    /// It, its version, and the oldest architecture that it knows, for an error.
    pub(super) fn told(&self) -> String {
        let [major, minor] = self.version;
        let oldest = self.architectures.first().map_or(0, |oldest| *oldest);
        let (name, from) = (self.name.display(), [oldest / 10, oldest % 10]);
        format!("{name} of CUDA {major}.{minor} compiles for {}.{} and later", from[0], from[1])
    }

    fn compiled(&self, source: &str, target: Target) -> Result<Vec<u8>, String> {
        let text = |text: &str| CString::new(text).map_err(|_| "a zero in the text".to_string());
        let source = text(source)?;
        let architecture = target.option();
        let options = OPTIONS.iter().copied().chain([architecture.as_str()]);
        let options: Vec<CString> = options.map(text).collect::<Result<_, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = Program { nvrtc: self, handle: null_mut() };
        let name = c"unlearn.cu";
        // SAFETY: `handle` is a place for one handle; text and name end in 0 and live longer than the
        // program, which may refer to them; there are no headers.
        let code = unsafe {
            let handle = &raw mut program.handle;
            (self.call.nvrtcCreateProgram)(
                handle,
                source.as_ptr(),
                name.as_ptr(),
                0,
                null(),
                null(),
            )
        };
        self.done(code, "take the text")?;
        let count = options.len() as c_int;
        // SAFETY: the handle is that of a program; there are `count` options, each ends in 0.
        let code =
            unsafe { (self.call.nvrtcCompileProgram)(program.handle, count, options.as_ptr()) };
        if code != 0 {
            return Err(format!("{}\n{}", self.said(code), program.log()).trim().to_string());
        }
        let (length, content): (Length, Content) = match target.form {
            Form::Cubin => (self.call.nvrtcGetCUBINSize, self.call.nvrtcGetCUBIN),
            Form::Ptx => (self.call.nvrtcGetPTXSize, self.call.nvrtcGetPTX),
        };
        // SAFETY: the two belong together.
        let mut compiled = unsafe { program.get(length, content) }?;
        if target.form == Form::Ptx && compiled.last() != Some(&0) {
            compiled.push(0);
        }
        Ok(compiled)
    }

    fn done(&self, code: u32, what: &str) -> Result<(), String> {
        if code == 0 { Ok(()) } else { Err(format!("NVRTC could not {what}: {}", self.said(code))) }
    }

    /// A code in its own words.
    fn said(&self, code: u32) -> String {
        // SAFETY: it takes any number, and gives null or a string that ends in 0 and is never freed.
        let words = unsafe {
            let words = (self.call.nvrtcGetErrorString)(code);
            (!words.is_null()).then(|| CStr::from_ptr(words).to_string_lossy().into_owned())
        };
        words.map_or_else(|| format!("code {code}"), |words| format!("{words} ({code})"))
    }
}

/// A text that is being compiled.
struct Program<'a> {
    nvrtc: &'a Nvrtc,
    handle: nvrtcProgram,
}

impl Program<'_> {
    /// What the compiler says, or that it says nothing.
    fn log(&self) -> String {
        let call = &self.nvrtc.call;
        // SAFETY: the two belong together.
        let log = unsafe { self.get(call.nvrtcGetProgramLogSize, call.nvrtcGetProgramLog) };
        let log = log.unwrap_or_default();
        let log = log.split(|&byte| byte == 0).next().unwrap_or_default();
        let whole = String::from_utf8_lossy(log);
        let end = whole.char_indices().map(|(at, _)| at).find(|&at| at > TOLD);
        end.map_or_else(|| whole.to_string(), |end| format!("{} ...", &whole[..end]))
    }

    /// Bytes that the compiler has for the program.
    ///
    /// # Safety
    /// `content` writes as many bytes as `length` says.
    unsafe fn get(&self, length: Length, content: Content) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the handle is that of a program; `bytes` is a place for one `size_t`.
        let code = unsafe { length(self.handle, &raw mut bytes) };
        self.nvrtc.done(code, "say how long its answer is")?;
        if bytes == 0 || bytes > MOST_BYTES {
            return Err(format!("NVRTC's answer has {bytes} bytes"));
        }
        let mut out = vec![0_u8; bytes];
        // SAFETY: `out` has as many bytes as are written.
        let code = unsafe { content(self.handle, out.as_mut_ptr().cast()) };
        self.nvrtc.done(code, "give its answer")?;
        Ok(out)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is that of a program, which nobody uses afterwards.
            let _ = unsafe { (self.nvrtc.call.nvrtcDestroyProgram)(&raw mut self.handle) };
        }
    }
}

/// Names under which NVRTC is looked for: by release, as its packages install it, and where a toolkit lies that nobody
/// told the linker of.
pub(super) const NAMES: [&str; 5] = [
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11.2",
    "libnvrtc.so",
    "/usr/local/cuda/lib64/libnvrtc.so",
];
