//! Kernels of a card: loaded at their first launch, and launched.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::null_mut;

use cudarc::driver::sys::{CUfunction, CUjit_option, CUmodule};

use super::Card;
use crate::sparse::cuda::error::CudaError;
use crate::sparse::cuda::kernel::Kernel;
use crate::sparse::cuda::machine::{Arg, Grid};

/// Bytes for what the driver says about code that it does not load.
const LOG: usize = 8192;

impl Card {
    /// The kernels: the program's own, else kept from before, else compiled.
    fn load(&mut self) -> Result<(), CudaError> {
        let (capability, version) = (self.facts.capability, self.driver.version());
        let own = self.modules.embedded(capability).map(|unit| self.loaded(&unit.code));
        let refused = match own {
            Some(Ok(module)) => {
                self.module = module;
                return Ok(());
            }
            Some(Err(error)) if self.lost.get().is_some() => return Err(error),
            Some(Err(error)) => Some(error),
            None => None,
        };
        // Why the driver refused code that is there says more than that there is no compiler.
        let mut found =
            self.modules.kernels(capability, version, false).map_err(|e| refused.unwrap_or(e))?;
        let mut loaded = self.loaded(&found.unit.code);
        // Whole, but not to this driver's taste: compiled anew it may be.
        if found.kept && loaded.is_err() && self.lost.get().is_none() {
            found = self.modules.kernels(capability, version, true)?;
            loaded = self.loaded(&found.unit.code);
        }
        self.module = loaded?;
        self.fault = found.fault;
        Ok(())
    }

    fn loaded(&self, code: &[u8]) -> Result<CUmodule, CudaError> {
        let mut log = vec![0_u8; LOG];
        let mut options = [
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        // The second value is a number in the place of a pointer.
        let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG - 1)];
        let mut module = null_mut();
        let count = options.len() as u32;
        // SAFETY: `code` is a cubin, which says its own length, or text that ends in 0; it is part of the program, was
        // made by NVRTC, or held against a digest. There are as many values as options; `log` has the bytes that it is
        // said to have.
        let answer = unsafe {
            (self.driver.call.cuModuleLoadDataEx)(
                &raw mut module,
                code.as_ptr().cast(),
                count,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        let log = log.split(|&byte| byte == 0).next().unwrap_or_default();
        let log = String::from_utf8_lossy(log);
        self.done(answer, format_args!("load the kernels {}", log.trim()).to_string().trim_end())?;
        Ok(module)
    }

    /// The function of a kernel; loads it at its first launch.
    fn function(&mut self, kernel: Kernel) -> Result<CUfunction, CudaError> {
        // Kernels are numbered in the order of `Kernel::ALL`.
        let known = self.functions[kernel as usize];
        if !known.is_null() {
            return Ok(known);
        }
        let name = kernel.name();
        if self.capture.is_some() {
            let code = format!("{name} was not launched before");
            return Err(CudaError::NoRecording { code });
        }
        if self.module.is_null() {
            self.load()?;
        }
        let spelt = CString::new(name).unwrap_or_default();
        let mut function = null_mut();
        // SAFETY: `function` is a place for one handle; the module is loaded; the name ends in 0.
        let code = unsafe {
            (self.driver.call.cuModuleGetFunction)(&raw mut function, self.module, spelt.as_ptr())
        };
        self.done(code, format_args!("find the kernel {name}"))?;
        self.functions[kernel as usize] = function;
        Ok(function)
    }

    /// Launches at least one thread.
    pub(super) fn start(
        &mut self,
        kernel: Kernel,
        grid: Grid,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        self.bind()?;
        let function = self.function(kernel)?;
        let name = kernel.name();
        for arg in args {
            match arg {
                // Behind the last byte is no memory, and a kernel that is given none of it may be given that.
                Arg::Address(at) if at.0 != 0 && !self.lends(*at) => {
                    self.holder(*at, 0, format_args!("launch {name} on what begins"))?;
                }
                _ => {}
            }
        }
        let Some(params) = self.arguments.pack(args) else {
            let code = format!("{} arguments", args.len());
            return Err(CudaError::Driver { what: format!("launch {name}"), code });
        };
        let ([x, y, z], threads) = (grid.blocks, grid.threads);
        // SAFETY: function and stream are of the current context. For each parameter that the kernel declares there is
        // a pointer to as many bytes as it declares (see `Arguments::pack`), which the driver copies before it
        // returns. That the kernel keeps to the memory it is given is the launcher's promise.
        let code = unsafe {
            (self.driver.call.cuLaunchKernel)(
                function,
                x,
                y,
                z,
                threads,
                1,
                1,
                0,
                self.stream,
                params.as_mut_ptr(),
                null_mut(),
            )
        };
        self.done(code, format_args!("launch {name} with {x} x {y} x {z} blocks of {threads}"))
    }
}
