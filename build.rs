//! Compiles the kernels to PTX while the program is built, where there is a CUDA compiler: devices need none then.
//!
//! `UNLEARN_NVCC` is that compiler; empty, nothing is compiled; unset, `nvcc` is looked for on the path and where CUDA
//! installs it. Of a CUDA release as old as the oldest driver that is to be served: drivers load no PTX of a later
//! one, and NVRTC on the device is asked then. What is left is a file for each architecture, empty where there is none.

use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(dead_code)] // It serves the crate too.
#[path = "src/sparse/cuda/kernel.rs"]
mod kernel;

type Outcome<T> = Result<T, Box<dyn Error>>;

const VARIABLE: &str = "UNLEARN_NVCC";

/// A compiler, and whether somebody asked for it.
fn compiler() -> Option<(PathBuf, bool)> {
    if let Some(path) = env::var_os(VARIABLE) {
        return (!path.is_empty()).then(|| (path.into(), true));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/local/cuda/bin")]);
    folders.map(|folder| folder.join("nvcc")).find(|path| path.is_file()).map(|path| (path, false))
}

fn answer(command: &mut Command) -> Outcome<String> {
    let out = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("{command:?} ended with {}: {said}", out.status).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Writes the kernels as text for each architecture that the compiler knows; each ends in a zero.
fn compile(nvcc: &Path, out: &Path) -> Outcome<()> {
    let known = answer(Command::new(nvcc).arg("--list-gpu-arch"))?;
    let source = out.join("unlearn.cu");
    fs::write(&source, kernel::source())?;
    for [major, minor] in kernel::ARCHITECTURES {
        let name = format!("compute_{major}{minor}");
        if !known.lines().any(|line| line.trim() == name) {
            continue;
        }
        let text = text(out, [major, minor]);
        let mut command = Command::new(nvcc);
        command.args(kernel::OPTIONS).arg("--ptx").arg(format!("--gpu-architecture={name}"));
        answer(command.arg("-o").arg(&text).arg(&source))?;
        fs::OpenOptions::new().append(true).open(&text)?.write_all(&[0])?;
    }
    Ok(())
}

/// Where the text of an architecture lies.
fn text(out: &Path, [major, minor]: [u32; 2]) -> PathBuf {
    out.join(format!("{major}{minor}.ptx"))
}

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    println!("cargo:rerun-if-changed=src/sparse/cuda/kernel.rs");
    println!("cargo:rerun-if-changed=src/sparse/cuda/kernels");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for architecture in kernel::ARCHITECTURES {
        fs::write(text(&out, architecture), "")?;
    }
    match compiler() {
        None => Ok(()),
        Some((nvcc, asked)) => match compile(&nvcc, &out) {
            Err(error) if asked => {
                Err(format!("{VARIABLE} names no nvcc that works: {error}").into())
            }
            Err(error) => {
                let why = error.to_string().replace('\n', " ");
                println!("cargo:warning=not all CUDA kernels are embedded: {why}");
                Ok(())
            }
            Ok(()) => Ok(()),
        },
    }
}
