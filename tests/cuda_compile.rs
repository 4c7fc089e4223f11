//! Defends the kernels' sources and the cache of what is made of them: every kernel compiles for every architecture that
//! we name, with the compilers that `UNLEARN_NVRTC` lists (`.ci/cuda` gets them); what is kept is believed only whole,
//! only for what it was made of, and survives a loss of power. No device is needed.

mod common;

use std::path::{Path, PathBuf};

use common::sim::SimDisk;
use tempfile::TempDir;
use unlearn::base::disk::FileDisk;
use unlearn::sparse::cuda::{
    ARCHITECTURES, CudaError, Form, Kernel, Modules, Nvrtc, OPTIONS, Target, Unit, cache, source,
};

/// The compilers that are given; `None`, loudly, if none are.
fn compilers(test: &str) -> Option<Vec<Nvrtc>> {
    let Some(list) = std::env::var_os("UNLEARN_NVRTC").filter(|list| !list.is_empty()) else {
        eprintln!("\n!!!! UNLEARN_NVRTC names no compiler: {test} is SKIPPED (.ci/cuda runs it)\n");
        return None;
    };
    let open = |path: PathBuf| {
        Nvrtc::open(&path).unwrap_or_else(|| panic!("{} is not NVRTC", path.display()))
    };
    Some(std::env::split_paths(&list).map(open).collect())
}

/// The functions in a cubin: names of symbols of that kind in its ELF file.
fn functions(elf: &[u8]) -> Vec<String> {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte)) as usize
    };
    assert_eq!((&elf[..4], elf[4], elf[5]), (&b"\x7fELF"[..], 2, 1), "64 bits, little-endian");
    let (table, size, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let field = |section: usize, at: usize, bytes| number(table + section * size + at, bytes);
    let mut found = Vec::new();
    for section in (0..count).filter(|&section| field(section, 4, 4) == 2) {
        let (begin, length) = (field(section, 0x18, 8), field(section, 0x20, 8));
        let strings = field(field(section, 0x28, 4), 0x18, 8);
        for symbol in (begin..begin + length).step_by(24) {
            if elf[symbol + 4] & 15 == 2 {
                let name = &elf[strings + number(symbol, 4)..];
                let end = name.iter().position(|&byte| byte == 0).unwrap();
                found.push(String::from_utf8(name[..end].to_vec()).unwrap());
            }
        }
    }
    found
}

fn holds_every_kernel(unit: &Unit) {
    let missing: Vec<&str> = match unit.target.form {
        Form::Cubin => {
            let found = functions(&unit.code);
            let missing = |name: &&str| !found.iter().any(|function| function == name);
            Kernel::ALL.iter().map(|kernel| kernel.name()).filter(missing).collect()
        }
        Form::Ptx => {
            assert_eq!(unit.code.last(), Some(&0));
            let text = String::from_utf8_lossy(&unit.code);
            let missing = |name: &&str| !text.contains(&format!(".entry {name}("));
            Kernel::ALL.iter().map(|kernel| kernel.name()).filter(missing).collect()
        }
    };
    assert!(missing.is_empty(), "{} lacks {missing:?}", unit.target.name());
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let Some(compilers) = compilers("every_kernel_compiles_for_every_architecture") else { return };
    let mut missing = Vec::new();
    for capability in ARCHITECTURES {
        let own = capability[0] * 10 + capability[1];
        let mut covered = false;
        for nvrtc in compilers.iter().filter(|nvrtc| nvrtc.architectures().contains(&own)) {
            let unit = nvrtc.compile(&source(), capability).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((unit.target.architecture, unit.target.form), (own, Form::Cubin));
            holds_every_kernel(&unit);
            let [major, minor] = nvrtc.version();
            println!("{} by CUDA {major}.{minor}: {} bytes", unit.target.name(), unit.code.len());
            covered = true;
        }
        if !covered {
            missing.push(format!("{}.{}", capability[0], capability[1]));
        }
    }
    assert!(missing.is_empty(), "no compiler of UNLEARN_NVRTC compiles for {missing:?}");
}

#[test]
fn a_device_between_two_architectures_gets_text_and_a_fault_is_told_by_its_line() {
    let Some(compilers) = compilers("a_device_between_two_architectures_gets_text") else { return };
    for nvrtc in &compilers {
        // No device has a minor number of 7 above 9.0; the text is of 9.0.
        let unit = nvrtc.compile(&source(), [9, 7]).unwrap();
        assert_eq!(unit.target, Target { architecture: 90, form: Form::Ptx });
        holds_every_kernel(&unit);
        let oldest = nvrtc.architectures()[0];
        let too_old = nvrtc.compile("", [oldest / 10 - 1, 0]).unwrap_err();
        assert!(matches!(&too_old, CudaError::NoTarget { found, .. } if found.contains("CUDA 1")));
        let wrong =
            "#line 1 \"conv.cu\"\nextern \"C\" __global__ void f() {\n  return missing;\n}\n";
        let refused = nvrtc.compile(wrong, [9, 0]).unwrap_err().to_string();
        assert!(refused.contains("conv.cu(2)") && refused.contains("missing"), "{refused}");
        let log =
            nvrtc.compile(&"int i = missing;\n".repeat(5000), [9, 0]).unwrap_err().to_string();
        assert!(log.len() < 5000, "a long log is cut");
        assert!(nvrtc.compile("a \0 b", [9, 0]).unwrap_err().to_string().contains("zero"));
    }
}

#[test]
fn what_is_embedded_holds_every_kernel() {
    let embedded = Modules::default().embedded;
    let named = ARCHITECTURES.map(|[major, minor]| 10 * major + minor);
    assert_eq!(embedded.iter().map(|(architecture, _)| *architecture).collect::<Vec<_>>(), named);
    if embedded.iter().all(|(_, code)| code.is_empty()) {
        eprintln!("\n!!!! built without nvcc: what_is_embedded_holds_every_kernel is SKIPPED\n");
    }
    for &(architecture, code) in embedded.iter().filter(|(_, code)| !code.is_empty()) {
        let target = Target { architecture, form: Form::Ptx };
        let text = String::from_utf8_lossy(code);
        assert!(text.contains(&format!(".target sm_{architecture}")), "{}", target.name());
        holds_every_kernel(&Unit { target, code: code.to_vec() });
        println!("{} embedded: {} bytes", target.name(), code.len());
    }
}

#[test]
fn sources_include_nothing_and_name_their_files() {
    let text = source();
    assert!(text.starts_with("#line 1 \"common.cuh\"\n"));
    let includes: Vec<&str> =
        text.lines().filter(|l| l.trim_start().starts_with("#include")).collect();
    assert!(includes.is_empty(), "NVRTC has no headers: {includes:?}");
    assert!(!text.contains('\0'));
    // What a compiler says names a file of these, and its line.
    let lines = text.lines().filter(|line| line.starts_with("#line 1 \""));
    let files: Vec<&str> = lines.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(
        files.len() > 1 && files.iter().all(|file| file.ends_with(".cu") || file.ends_with(".cuh"))
    );
}

fn target() -> Target {
    Target::of([8, 7], &[87]).unwrap()
}

fn unit(byte: u8) -> Unit {
    Unit { target: target(), code: (0..300_u32).map(|at| at as u8 ^ byte).collect() }
}

#[test]
fn a_key_differs_by_each_part() {
    let cubin = target();
    let ptx = Target { form: Form::Ptx, ..cubin };
    let keys = [
        cache::key("a", &OPTIONS, cubin, [12, 6], [12, 6]),
        cache::key("b", &OPTIONS, cubin, [12, 6], [12, 6]),
        cache::key("a", &OPTIONS[1..], cubin, [12, 6], [12, 6]),
        cache::key("a", &[OPTIONS.concat().as_str()], cubin, [12, 6], [12, 6]),
        cache::key("a", &OPTIONS, ptx, [12, 6], [12, 6]),
        cache::key("a", &OPTIONS, Target { architecture: 90, ..cubin }, [12, 6], [12, 6]),
        cache::key("a", &OPTIONS, cubin, [12, 9], [12, 6]),
        cache::key("a", &OPTIONS, cubin, [13, 6], [12, 6]),
        cache::key("a", &OPTIONS, cubin, [12, 6], [12, 9]),
        cache::key("a", &OPTIONS, cubin, [12, 6], [13, 6]),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key), "{at}");
    }
    assert_eq!(keys[0], cache::key("a", &OPTIONS, cubin, [12, 6], [12, 6]));
}

#[test]
fn what_is_kept_is_believed_only_whole_and_only_for_its_key() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let key = |source| cache::key(source, &OPTIONS, target(), [12, 6], [12, 6]);
    let load = |key| cache::load(folder, target(), &key).unwrap();
    assert_eq!(load(key("a")), None);
    cache::store(&mut FileDisk, folder, &key("a"), &unit(1)).unwrap();
    assert_eq!((load(key("a")), load(key("b"))), (Some(unit(1)), None));
    let file = cache::path(folder, target());
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(whole.len(), 80 + 300);
    // Each byte of the header, and some of the code, in each bit.
    for at in (0..80).chain([80, 81, 200, whole.len() - 1]) {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&file, &damaged).unwrap();
            assert_eq!(load(key("a")), None, "byte {at}, bit {bit}");
        }
    }
    for len in (0..90).chain([whole.len() - 1]) {
        std::fs::write(&file, &whole[..len]).unwrap();
        assert_eq!(load(key("a")), None, "cut to {len}");
    }
    std::fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(load(key("a")), None, "longer than it says");
    // A file of another key under this name, and one that is longer than any.
    cache::store(&mut FileDisk, folder, &key("b"), &unit(2)).unwrap();
    assert_eq!((load(key("a")), load(key("b"))), (None, Some(unit(2))));
    std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(load(key("b")), None);
    cache::store(&mut FileDisk, folder, &key("a"), &unit(3)).unwrap();
    assert_eq!(load(key("a")), Some(unit(3)), "replaced");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(cache::load(folder, target(), &key("a")).is_err(), "a folder is no file");
}

#[test]
fn a_loss_of_power_leaves_the_old_unit_the_new_one_or_none() {
    let place = Path::new("kernels");
    let (old, new) = ((unit(1), "old"), (unit(2), "new"));
    let key = |source: &str| cache::key(source, &OPTIONS, target(), [12, 6], [12, 6]);
    let file = cache::path(place, target());
    let name = file.to_str().unwrap();
    let held = TempDir::new().unwrap();
    let begun = |kept: bool| {
        let mut disk = SimDisk::with_folders(&["kernels"]);
        if kept {
            cache::store(&mut disk, place, &key(old.1), &old.0).unwrap();
        }
        SimDisk::from(&disk.live())
    };
    for kept in [false, true] {
        let mut disk = begun(kept);
        cache::store(&mut disk, place, &key(new.1), &new.0).unwrap();
        let operations = disk.operations();
        assert!(operations >= 5, "written, synced, read back, renamed, synced");
        let mut news = 0;
        for dies_at in 0..operations {
            let mut disk = begun(kept).dying_at(dies_at);
            cache::store(&mut disk, place, &key(new.1), &new.0).unwrap_err();
            for image in disk.images(0, 10_000) {
                let path = cache::path(held.path(), target());
                let _ = std::fs::remove_file(&path);
                if let Some(bytes) = image.get(name) {
                    std::fs::write(&path, bytes).unwrap();
                }
                let load = |key| cache::load(held.path(), target(), &key).unwrap();
                let found = (load(key(old.1)), load(key(new.1)));
                let whole = [(kept.then(|| old.0.clone()), None), (None, Some(new.0.clone()))];
                assert!(whole.contains(&found), "at operation {dies_at}");
                news += u32::from(found.1.is_some());
            }
        }
        assert!(news > 0, "some crash leaves the new one");
    }
}
