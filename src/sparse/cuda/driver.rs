//! The driver: whether there is one, what it says of its devices, and what its codes mean.

#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys;
use sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction, CUgraph,
    CUgraphExec, CUjit_option, CUmodule, CUresult, CUstream, CUstreamCaptureMode,
};

use super::error::CudaError;
use super::library::{Library, function, functions, library};
use super::machine::CardFacts;

functions! {
    Functions of sys as CUresult {
        cuInit(c_uint);
        cuDeviceGetCount(*mut c_int);
        cuDeviceGet(*mut CUdevice, c_int);
        cuDeviceGetName(*mut c_char, c_int, CUdevice);
        cuDeviceTotalMem_v2(*mut usize, CUdevice);
        cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice);
        cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
        cuDevicePrimaryCtxRelease_v2(CUdevice);
        cuCtxSetCurrent(CUcontext);
        cuMemGetInfo_v2(*mut usize, *mut usize);
        cuMemAlloc_v2(*mut CUdeviceptr, usize);
        cuMemFree_v2(CUdeviceptr);
        cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
        cuMemFreeHost(*mut c_void);
        cuMemHostRegister_v2(*mut c_void, usize, c_uint);
        cuMemHostUnregister(*mut c_void);
        cuMemHostGetDevicePointer_v2(*mut CUdeviceptr, *mut c_void, c_uint);
        cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream);
        cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream);
        cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, usize, CUstream);
        cuMemsetD8Async(CUdeviceptr, c_uchar, usize, CUstream);
        cuStreamCreate(*mut CUstream, c_uint);
        cuStreamDestroy_v2(CUstream);
        cuStreamSynchronize(CUstream);
        cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode);
        cuStreamEndCapture(CUstream, *mut CUgraph);
        cuEventCreate(*mut CUevent, c_uint);
        cuEventDestroy_v2(CUevent);
        cuEventRecord(CUevent, CUstream);
        cuEventSynchronize(CUevent);
        cuModuleLoadDataEx(*mut CUmodule, *const c_void, c_uint, *mut CUjit_option, *mut *mut c_void);
        cuModuleUnload(CUmodule);
        cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
        cuLaunchKernel(CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void);
        cuGraphInstantiateWithFlags(*mut CUgraphExec, CUgraph, c_ulonglong);
        cuGraphLaunch(CUgraphExec, CUstream);
        cuGraphExecDestroy(CUgraphExec);
        cuGraphDestroy(CUgraph);
    } and {
        cuGetErrorName(u32, *mut *const c_char) -> u32;
        cuGetErrorString(u32, *mut *const c_char) -> u32;
    }
}

/// Names of the driver's library. The first is what a driver installs, the second what its developer's
/// package adds.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// The oldest CUDA whose driver has all of the functions: that of JetPack 5.
const OLDEST: [u32; 2] = [11, 4];

/// After these codes nothing more can be done with the context, or with the process.
const LASTING: [u32; 16] = [
    CUresult::CUDA_ERROR_DEINITIALIZED as u32,
    CUresult::CUDA_ERROR_ECC_UNCORRECTABLE as u32,
    CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE as u32,
    CUresult::CUDA_ERROR_ILLEGAL_ADDRESS as u32,
    CUresult::CUDA_ERROR_LAUNCH_TIMEOUT as u32,
    CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED as u32,
    CUresult::CUDA_ERROR_ASSERT as u32,
    CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR as u32,
    CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION as u32,
    CUresult::CUDA_ERROR_MISALIGNED_ADDRESS as u32,
    CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE as u32,
    CUresult::CUDA_ERROR_INVALID_PC as u32,
    CUresult::CUDA_ERROR_LAUNCH_FAILED as u32,
    CUresult::CUDA_ERROR_EXTERNAL_DEVICE as u32,
    // Of later versions: a memory error that was contained, tensor memory that leaked.
    226,
    721,
];

/// Whether nothing more can be done after this code.
pub(super) fn lasting(code: u32) -> bool {
    LASTING.contains(&code)
}

/// The driver of this machine, ready to be asked.
pub(super) struct Driver {
    /// Its functions.
    pub(super) call: Functions,
    version: [u32; 2],
    devices: u32,
    // The functions are its.
    _library: Library,
}

/// The driver. It is looked for once; the answer holds as long as the process.
///
/// # Errors
/// [`CudaError::NoDriver`], [`CudaError::NoDevice`], or what the driver says.
pub(super) fn driver() -> Result<&'static Driver, CudaError> {
    static DRIVER: OnceLock<Result<Driver, CudaError>> = OnceLock::new();
    DRIVER.get_or_init(Driver::open).as_ref().map_err(Clone::clone)
}

/// 12060 is `[12, 6]`.
fn release(number: c_int) -> [u32; 2] {
    let number = u32::try_from(number).unwrap_or(0);
    [number / 1000, number % 1000 / 10]
}

impl Driver {
    fn open() -> Result<Self, CudaError> {
        let missing = || CudaError::NoDriver { tried: NAMES.join(", ") };
        let found = NAMES.iter().find_map(|name| library(OsStr::new(name))).ok_or_else(missing)?;
        let lacks = |code| CudaError::Driver { what: "be used".into(), code };
        // Before all others: an old driver is to be told by its age, not by what it lacks.
        // SAFETY: the type is that of the manual, and of every driver since the first.
        let ask: unsafe extern "C" fn(*mut c_int) -> u32 =
            unsafe { function(&found, "cuDriverGetVersion") }.map_err(lacks)?;
        let mut number = 0;
        // SAFETY: `number` is a place for one `int`. This function alone needs no initialisation.
        let answered = unsafe { ask(&raw mut number) } == 0;
        if answered && release(number) < OLDEST {
            return Err(CudaError::OldDriver { found: release(number) });
        }
        let call = Functions::of(&found).map_err(lacks)?;
        let mut driver = Self { call, version: release(number), devices: 0, _library: found };
        // SAFETY: it takes a number that must be 0.
        let code = unsafe { (driver.call.cuInit)(0) };
        if code == CUresult::CUDA_ERROR_NO_DEVICE as u32 {
            return Err(CudaError::NoDevice);
        }
        driver.done(code, "be initialised")?;
        let mut count = 0;
        // SAFETY: `count` is a place for one `int`.
        let code = unsafe { (driver.call.cuDeviceGetCount)(&raw mut count) };
        driver.done(code, "count the devices")?;
        driver.devices = u32::try_from(count).unwrap_or(0);
        if driver.devices == 0 { Err(CudaError::NoDevice) } else { Ok(driver) }
    }

    /// The version of its CUDA.
    pub(super) fn version(&self) -> [u32; 2] {
        self.version
    }

    /// How many devices it sees: at least one.
    pub(super) fn devices(&self) -> u32 {
        self.devices
    }

    /// A code in the driver's words.
    pub(super) fn said(&self, code: u32) -> String {
        let word = |ask: unsafe extern "C" fn(u32, *mut *const c_char) -> u32| {
            let mut text: *const c_char = std::ptr::null();
            // SAFETY: `text` is a place for one pointer.
            let known = unsafe { ask(code, &raw mut text) } == 0 && !text.is_null();
            // SAFETY: for a code that the driver knows it is a string that ends in 0 and is never freed.
            known.then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        match (word(self.call.cuGetErrorName), word(self.call.cuGetErrorString)) {
            (Some(name), Some(words)) => format!("{name} ({code}): {words}"),
            (Some(name), None) => format!("{name} ({code})"),
            (None, _) => format!("code {code}, which this driver has no words for"),
        }
    }

    /// An error if `code` is one.
    pub(super) fn done(&self, code: u32, what: &str) -> Result<(), CudaError> {
        match code {
            0 => Ok(()),
            _ => Err(CudaError::Driver { what: what.into(), code: self.said(code) }),
        }
    }

    /// The driver's handle of a device.
    ///
    /// # Errors
    /// If there is no such device.
    pub(super) fn device(&self, ordinal: u32) -> Result<CUdevice, CudaError> {
        let none = || CudaError::NoSuchDevice { ordinal, found: self.devices };
        let number = c_int::try_from(ordinal).ok().filter(|_| ordinal < self.devices);
        let mut device = 0;
        // SAFETY: `device` is a place for one handle.
        let code = unsafe { (self.call.cuDeviceGet)(&raw mut device, number.ok_or_else(none)?) };
        self.done(code, &format!("find cuda:{ordinal}"))?;
        Ok(device)
    }

    /// Whether a device reads memory that is registered as read-only, such as a mapped file. One that does not know
    /// the question does not.
    pub(super) fn registers(&self, device: CUdevice) -> bool {
        [
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED,
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED,
        ]
        .into_iter()
        .all(|attribute| {
            let mut value = 0;
            // SAFETY: `value` is a place for one `int`.
            let code =
                unsafe { (self.call.cuDeviceGetAttribute)(&raw mut value, attribute, device) };
            code == 0 && value != 0
        })
    }

    /// What a device says of itself. Makes no context.
    ///
    /// # Errors
    /// If there is no such device, or it does not answer.
    pub(super) fn facts(&self, ordinal: u32) -> Result<CardFacts, CudaError> {
        use CUdevice_attribute as Attribute;
        let device = self.device(ordinal)?;
        let mut name = [0_u8; 256];
        let room = name.len() as c_int;
        // SAFETY: `name` has room for as many bytes as it is told.
        let code = unsafe { (self.call.cuDeviceGetName)(name.as_mut_ptr().cast(), room, device) };
        self.done(code, &format!("name cuda:{ordinal}"))?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        let mut memory = 0;
        // SAFETY: `memory` is a place for one `size_t`.
        let code = unsafe { (self.call.cuDeviceTotalMem_v2)(&raw mut memory, device) };
        self.done(code, &format!("count the memory of cuda:{ordinal}"))?;
        let number = |attribute: Attribute| {
            let mut value = 0;
            // SAFETY: `value` is a place for one `int`.
            let code =
                unsafe { (self.call.cuDeviceGetAttribute)(&raw mut value, attribute, device) };
            self.done(code, &format!("tell an attribute of cuda:{ordinal}"))?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let whether = |attribute| number(attribute).map(|value| value != 0);
        Ok(CardFacts {
            ordinal,
            name: name.to_string_lossy().into_owned(),
            capability: [
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ],
            driver: self.version,
            memory: memory as u64,
            multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            integrated: whether(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)?,
            unified_addressing: whether(Attribute::CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)?,
            concurrent_managed_access: whether(
                Attribute::CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS,
            )?,
            pageable_access: whether(Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS)?,
            host_page_tables: whether(
                Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_the_driver_writes_them() {
        let read = [11040, 12060, 13000, 13020, 0, -1].map(release);
        assert_eq!(read, [[11, 4], [12, 6], [13, 0], [13, 2], [0, 0], [0, 0]]);
    }

    #[test]
    fn what_breaks_a_context_lasts_and_what_a_caller_did_does_not() {
        assert!([700, 710, 716, 719, 226].into_iter().all(lasting));
        assert!(![0, 1, 2, 200, 209, 600, 701, 720, 900, 901].into_iter().any(lasting));
    }

    #[test]
    fn a_machine_says_whether_it_has_a_driver() {
        match driver() {
            Ok(driver) => assert!(driver.devices() > 0 && driver.version() >= OLDEST),
            Err(CudaError::NoDriver { tried }) => assert_eq!(tried, "libcuda.so.1, libcuda.so"),
            Err(CudaError::NoDevice) => {}
            // A driver that cannot be used says why.
            Err(other) => assert!(other.to_string().starts_with("the CUDA driver"), "{other}"),
        }
        assert_eq!(driver().err(), driver().err(), "asked once");
    }
}
