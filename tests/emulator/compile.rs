//! From sources to a library.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

const DEVICE: &str = include_str!("device.hpp");
const RUNTIME: &str = include_str!("runtime.cpp");
/// Stands before and behind the kernels when they are linked: what lies between is their shared memory.
const EDGE: &str = "alignas(64) __attribute__((visibility(\"hidden\"))) char EDGE[64];\n";

/// Checks that the compiler puts into kernels; runtime.cpp has what they call.
const CHECKS: &str = "-fsanitize=bounds,alignment";

/// Libraries of this process, by their key.
static COMPILED: Mutex<BTreeMap<String, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// The library of the kernels `names` of `source`, with [`CHECKS`] or without. `None` if there is no
/// compiler.
pub fn library(source: &str, names: &[&str], checked: bool) -> Result<Option<Arc<[u8]>>, String> {
    static FOUND: LazyLock<Option<(Compiler, String)>> = LazyLock::new(find);
    let Some((compiler, version)) = &*FOUND else { return Ok(None) };
    let (unit, checks) = (unit(source, names), if checked { CHECKS } else { "-w" });
    let key = [&unit, DEVICE, RUNTIME, EDGE, version, &compiler.flags.join(" "), checks].join("\0");
    let key = blake3::hash(key.as_bytes()).to_hex()[..24].to_string();
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = compiled.get(&key) {
        return Ok(Some(library.clone()));
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{key}.so"));
    let library: Arc<[u8]> = match std::fs::read(&kept) {
        Ok(library) => library.into(),
        Err(_) => compiler.build(&unit, checks, &kept)?.into(),
    };
    compiled.insert(key, library.clone());
    Ok(Some(library))
}

/// The compiler and what it says of itself, or none and a line that says so.
fn find() -> Option<(Compiler, String)> {
    let named = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut words = named.split_whitespace().map(String::from);
    let program = words.next().unwrap_or_else(|| "c++".into());
    let Ok(version) = Command::new(&program).arg("--version").output() else {
        // Not by `eprintln`, which the test harness keeps to itself.
        let line = format!("SKIPPED: no C++ compiler `{program}` to run CUDA kernels with\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return None;
    };
    let flags = words.chain(flags()).collect();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    Some((Compiler { program, flags }, version))
}

/// Everything as one unit: what the words mean, the kernels, and their table.
fn unit(source: &str, names: &[&str]) -> String {
    let entries: String = names.iter().map(|name| format!("EMULATOR_ENTRY({name}),\n")).collect();
    format!(
        "#include \"device.hpp\"\n{source}\n#line 1 \"table\"\n\
         extern \"C\" __attribute__((visibility(\"default\"))) const emulator::Entry \
         emulator_entries[] = {{\n{entries}}};\n"
    )
}

/// How everything is compiled. No sum is contracted behind the kernels' back, and memory may be read as
/// another type, as the device's compiler allows.
fn flags() -> Vec<String> {
    let mut flags = vec![
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-w",
        "-fno-strict-aliasing",
        "-ffp-contract=off",
        "-fno-exceptions",
        "-fvisibility=hidden",
        "-fvisibility-inlines-hidden",
        // A jump from fiber to fiber looks like one to a frame that is gone.
        "-U_FORTIFY_SOURCE",
        "-D_FORTIFY_SOURCE=0",
    ];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx2") {
        flags.extend(["-mfma", "-mavx2"]);
    }
    flags.into_iter().map(String::from).collect()
}

struct Compiler {
    program: String,
    flags: Vec<String>,
}

impl Compiler {
    /// Compiles `unit`, with `checks`, and the runtime, and keeps the library at `kept` for other
    /// processes.
    fn build(&self, unit: &str, checks: &str, kept: &Path) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder: {error}"))?;
        let place = |name: &str| folder.path().join(name);
        let texts = [
            ("device.hpp", DEVICE),
            ("runtime.cpp", RUNTIME),
            ("kernels.cpp", unit),
            ("edge.cpp", EDGE),
        ];
        for (name, text) in texts {
            std::fs::write(place(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        let objects = ["first.o", "kernels.o", "last.o", "runtime.o"].map(place);
        let compile = |from: &str, flag: &str, to: &PathBuf| {
            self.run(&[flag, "-c"], &[place(from), "-o".into(), to.clone()])
        };
        compile("edge.cpp", "-DEDGE=emulator_first", &objects[0])?;
        compile("kernels.cpp", checks, &objects[1])?;
        compile("edge.cpp", "-DEDGE=emulator_last", &objects[2])?;
        compile("runtime.cpp", "-w", &objects[3])?;
        let library = place("kernels.so");
        let rest = [&objects[..], &["-o".into(), library.clone(), "-lm".into()]].concat();
        self.run(&["-shared"], &rest)?;
        let library = std::fs::read(library).map_err(|error| format!("the library: {error}"))?;
        // Whoever else looks for it finds all of it or nothing.
        let keep = || -> std::io::Result<()> {
            let folder = kept.parent().unwrap_or(kept);
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&library)?;
            file.persist(kept)?;
            Ok(())
        };
        // Where nothing can be kept, it is compiled again.
        let _ = keep();
        Ok(library)
    }

    fn run(&self, flags: &[&str], rest: &[PathBuf]) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        let output = command.args(&self.flags).args(flags).args(rest).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{command:?}:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
