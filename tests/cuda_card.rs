//! Defends the door to the CUDA driver where there is no device: `tests/cuda/driver.c` stands in for driver and compiler.
//! Bytes and arguments arrive, in order, whatever the caller does with his own meanwhile; recordings run what was
//! recorded; a wrong address never reaches the driver; every error is told; and everything is given back. That a real
//! driver does the same is not shown here.

mod common;

use std::ffi::{CString, c_char, c_int, c_long};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

use libloading::{Library, Symbol};
use tempfile::TempDir;
use unlearn::sparse::cuda::{Address, Arg, Card, CudaError, Grid, Kernel, Machine, Modules, cache};

/// The library that stands in, compiled once, in a folder of its own. Loaded before anybody looks for a driver, it is
/// what is found. `None` if this machine has no C compiler.
fn built() -> Option<&'static (PathBuf, Library)> {
    static BUILT: OnceLock<Option<(PathBuf, Library)>> = OnceLock::new();
    let made = BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_card");
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/driver.c");
        let library = folder.join("libcuda.so.1");
        let mut compile = Command::new("cc");
        compile.args([
            "-std=c11",
            "-O1",
            "-g",
            "-shared",
            "-fPIC",
            "-Wl,-soname,libcuda.so.1",
            "-o",
        ]);
        if !compile.arg(&library).arg(source).status().is_ok_and(|status| status.success()) {
            eprintln!("\n!!!! no C compiler: the tests of the CUDA driver's door are SKIPPED\n");
            return None;
        }
        // SAFETY: it runs nothing when it is loaded.
        let loaded = unsafe { Library::new(&library) }.unwrap();
        Some((library, loaded))
    });
    made.as_ref()
}

/// How often somebody was told that kernels are compiled.
static COMPILED: AtomicUsize = AtomicUsize::new(0);

/// The stand-in, for one test at a time.
struct Fake {
    library: &'static Library,
    path: &'static Path,
    _turn: MutexGuard<'static, ()>,
}

impl Fake {
    fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
        let (path, library) = built()?;
        let fake = Self { library, path, _turn: turn };
        fake.modules(None);
        Some(fake)
    }

    fn modules(&self, cache: Option<&Path>) -> Modules {
        let (cache, compiler) = (cache.map(Path::to_path_buf), Some(self.path.into()));
        Modules {
            embedded: &[],
            cache,
            compiler,
            compiles: Some(|_| _ = COMPILED.fetch_add(1, Relaxed)),
        }
    }

    fn card(&self) -> Card {
        Card::open(0, &self.modules(None)).unwrap()
    }

    fn count(&self, name: &str) -> c_long {
        // SAFETY: the type is that of driver.c.
        let count: Symbol<'_, unsafe extern "C" fn() -> c_long> =
            unsafe { self.library.get(name) }.unwrap();
        // SAFETY: it takes nothing.
        unsafe { count() }
    }

    /// What was made and not given back.
    fn live(&self) -> c_long {
        self.count("fake_live")
    }

    /// Pieces of memory that were given back, and those of them that held anything but zeros then.
    fn returned(&self) -> [c_long; 2] {
        ["fake_returned", "fake_dirty"].map(|name| self.count(name))
    }

    /// How often a function was called; of all functions, for "".
    fn calls(&self, name: &str) -> c_long {
        let name = CString::new(name).unwrap();
        // SAFETY: the type is that of driver.c.
        let calls: Symbol<'_, unsafe extern "C" fn(*const c_char) -> c_long> =
            unsafe { self.library.get("fake_calls") }.unwrap();
        // SAFETY: the name ends in 0.
        unsafe { calls(name.as_ptr()) }
    }

    /// Makes an attribute of every device `value`; -1: one that the driver does not know.
    fn attribute(&self, attribute: c_int, value: c_int) {
        // SAFETY: the type is that of driver.c.
        let set: Symbol<'_, unsafe extern "C" fn(c_int, c_int)> =
            unsafe { self.library.get("fake_attribute") }.unwrap();
        // SAFETY: the attribute is one of the driver's, all of which are below 128.
        unsafe { set(attribute, value) }
    }

    /// Reads of registered memory that were still to be done when it was taken away.
    fn late(&self) -> c_long {
        // SAFETY: the type is that of driver.c.
        let late: Symbol<'_, unsafe extern "C" fn() -> c_long> =
            unsafe { self.library.get("fake_late") }.unwrap();
        // SAFETY: it takes nothing.
        unsafe { late() }
    }

    /// The next call of a function gives `code`.
    fn fail(&self, name: &str, code: c_int) {
        let name = CString::new(name).unwrap();
        // SAFETY: the type is that of driver.c.
        let fail: Symbol<'_, unsafe extern "C" fn(*const c_char, c_int)> =
            unsafe { self.library.get("fake_fail") }.unwrap();
        // SAFETY: the name ends in 0.
        unsafe { fail(name.as_ptr(), code) }
    }
}

/// The stand-in, or the end of a test that cannot be run.
macro_rules! fake {
    () => {
        match Fake::new() {
            Some(fake) => fake,
            None => return,
        }
    };
}

#[path = "cuda/card_home.rs"]
mod card_home;
#[path = "cuda/lent.rs"]
mod lent;

const ONE: Grid = Grid { blocks: [1, 1, 1], threads: 64 };

/// Adds `value + 6` to the first `n` numbers at `at`.
fn add(card: &mut Card, at: Address, n: u32, value: f32) -> Result<(), CudaError> {
    let args = [Arg::Address(at), Arg::Word(n), Arg::Real(value), Arg::Ints(&[1, 2, 3])];
    card.launch(Kernel::Relu, ONE, &args)
}

fn numbers(card: &mut Card, at: Address, n: usize) -> Vec<f32> {
    let mut bytes = vec![0; 4 * n];
    card.download(at, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + seed * 7 + at / 251) % 256) as u8).collect()
}

#[test]
fn a_device_is_told_and_one_that_is_not_there_or_too_old_is_refused() {
    let fake = fake!();
    assert_eq!(Card::count(), Ok(2));
    let facts = Card::facts_of(0).unwrap();
    assert_eq!(
        (facts.name.as_str(), facts.capability, facts.driver),
        ("Made Orin", [8, 7], [12, 6])
    );
    assert_eq!((facts.memory, facts.multiprocessors), (1 << 30, 14));
    assert!(facts.integrated && facts.unified_addressing && facts.pageable_access);
    assert!(!facts.concurrent_managed_access && !facts.host_page_tables);
    let refused = |ordinal| Card::open(ordinal, &Modules::default()).err().unwrap();
    assert_eq!(refused(2), CudaError::NoSuchDevice { ordinal: 2, found: 2 });
    assert_eq!(refused(u32::MAX), CudaError::NoSuchDevice { ordinal: u32::MAX, found: 2 });
    assert_eq!(refused(1), CudaError::TooOld { name: "Made Nano".into(), found: [5, 3] });
    fake.fail("cuDevicePrimaryCtxRetain", 1);
    assert!(refused(0).to_string().contains("open cuda:0: CUDA_ERROR_INVALID_VALUE (1)"));
    fake.fail("cuStreamCreate", 999);
    assert!(refused(0).to_string().contains("code 999"));
    assert_eq!(fake.live(), 0, "what was opened before an error is closed");
}

#[test]
fn bytes_go_up_around_and_down_in_order() {
    let fake = fake!();
    let mut card = fake.card();
    assert_eq!(card.free_memory(), Ok(123_456));
    // More than the ring holds, and no multiple of anything.
    let sizes = [1, 64, 100_001, 2 << 20, 13_000_003, 0, 7];
    let whole: usize = sizes.iter().sum();
    let at = card.allocate(whole as u64).unwrap();
    let copy = card.allocate(whole as u64).unwrap();
    assert_eq!((at.0 % 256, copy.0 % 256), (0, 0));
    let mut out = vec![1; whole];
    card.download(at, &mut out).unwrap();
    assert!(out.iter().all(|&byte| byte == 0), "new memory is zeros");
    let (mut expected, mut to) = (Vec::new(), at.0);
    for (seed, &size) in sizes.iter().enumerate() {
        let mut from = bytes(seed, size);
        expected.extend_from_slice(&from);
        card.upload(Address(to), &from).unwrap();
        from.fill(255);
        to += size as u64;
    }
    card.copy(at, copy, whole as u64).unwrap();
    card.clear(at, 100).unwrap();
    card.download(copy, &mut out).unwrap();
    assert!(out == expected, "as it was when it was uploaded");
    card.download(at, &mut out).unwrap();
    assert!(out[..100].iter().all(|&byte| byte == 0) && out[100..] == expected[100..]);
    // The ring is used again, full or not.
    for round in 0..40 {
        let from = bytes(round, 300_000);
        card.upload(at, &from).unwrap();
        if round % 9 == 8 {
            card.download(at, &mut out[..300_000]).unwrap();
            assert!(out[..300_000] == from[..], "round {round}");
        }
    }
    drop(card);
    assert_eq!(fake.live(), 0);
}

#[test]
fn a_copy_that_is_not_waited_for_comes_as_it_was_and_its_place_is_used_again() {
    let Some(fake) = Fake::new() else { return };
    let before = fake.live();
    {
        let mut card = fake.card();
        let at = card.allocate(8000).unwrap();
        let (first, second) = (bytes(3, 8000), bytes(4, 8000));
        card.upload(at, &first).unwrap();
        let waits = fake.calls("cuStreamSynchronize");
        let early = card.fetch(at, 8000).unwrap();
        card.upload(at, &second).unwrap();
        let late = card.fetch(at.at(10), 400).unwrap();
        let mut found = vec![0; 8000];
        // Of another size it is refused, and stays.
        let wrong = card.collect(early, &mut found[..7999]).unwrap_err();
        assert_eq!(wrong, CudaError::NotFetched { number: early.0, bytes: 7999 });
        card.collect(early, &mut found).unwrap();
        assert!(found == first, "what was written later");
        card.collect(late, &mut found[..400]).unwrap();
        assert_eq!(found[..400], second[40..440]);
        assert_eq!(fake.calls("cuStreamSynchronize"), waits, "nothing waits for the whole stream");
        assert!(card.collect(late, &mut found[..400]).is_err(), "it is collected once");
        let pinned = fake.calls("cuMemHostAlloc");
        for _ in 0..5 {
            let again = card.fetch(at, 8000).unwrap();
            card.abandon(again);
            card.abandon(again);
        }
        assert_eq!(fake.calls("cuMemHostAlloc"), pinned);
        assert!(matches!(card.fetch(at, 8001), Err(CudaError::Outside { .. })));
        fake.fail("cuEventRecord", 1);
        assert!(matches!(card.fetch(at, 4), Err(CudaError::Driver { .. })));
        // The device may still write to the place of that copy. Without pinned memory for another it is waited for.
        fake.fail("cuMemHostAlloc", 2);
        let waits = fake.calls("cuStreamSynchronize");
        let waited = card.fetch(at, 8000).unwrap();
        assert_eq!(fake.calls("cuStreamSynchronize"), waits + 1);
        card.collect(waited, &mut found).unwrap();
        assert!(found == second);
        assert!(card.collect(waited, &mut found).is_err(), "it is collected once");
        card.record().unwrap();
        assert!(matches!(card.fetch(at, 4), Err(CudaError::Recording { .. })));
        let _ = card.recorded();
    }
    assert_eq!(fake.live(), before, "something was not given back");
}

#[test]
fn what_is_given_back_was_overwritten() {
    let fake = fake!();
    let before = fake.returned();
    let since = || [0, 1].map(|at| fake.returned()[at] - before[at]);
    let filled = |card: &mut Card, len: usize| {
        let at = card.allocate(len as u64).unwrap();
        card.upload(at, &vec![7; len]).unwrap();
        at
    };
    let mut card = fake.card();
    let (first, kept) = (filled(&mut card, 100_001), filled(&mut card, 3_000_000));
    let fetched = card.fetch(first, 5000).unwrap();
    card.collect(fetched, &mut [0; 5000]).unwrap();
    let under_way = card.fetch(first, 5000).unwrap();
    card.release(first);
    assert_eq!(since(), [1, 0], "one that is released");
    // What a recording held back goes when it has ended.
    let recorded = filled(&mut card, 64);
    card.record().unwrap();
    card.release(recorded);
    let _ = card.recorded();
    assert_eq!(since(), [2, 0]);
    // Four buffers of uploads, one place of what was fetched and never collected, and what is still held.
    let _ = (kept, under_way);
    drop(card);
    assert_eq!((since(), fake.live()), ([8, 0], 0));
    // A driver that refuses gets it back as it is.
    let mut card = fake.card();
    let at = filled(&mut card, 40);
    fake.fail("cuMemsetD8Async", 1);
    card.release(at);
    assert_eq!(since(), [9, 1]);
    // So it does where the context is lost: of what is left only pinned memory is overwritten.
    filled(&mut card, 40);
    fake.fail("cuStreamSynchronize", 700);
    assert!(card.wait().is_err());
    fake.fail("cuMemsetD8Async", 700);
    drop(card);
    assert_eq!((since(), fake.live()), ([14, 2], 0));
}

#[test]
fn without_pinned_memory_uploads_wait() {
    let fake = fake!();
    for failing in ["cuMemHostAlloc", "cuEventCreate"] {
        let mut card = fake.card();
        fake.fail(failing, 2);
        let at = card.allocate(3_000_000).unwrap();
        let (mut out, from) = (vec![0; 3_000_000], bytes(3, 3_000_000));
        card.upload(at, &from).unwrap();
        card.upload(at, &[]).unwrap();
        card.download(at, &mut out).unwrap();
        assert!(out == from);
        drop(card);
        assert_eq!(fake.live(), 0, "{failing}");
    }
}

#[test]
fn a_launch_gets_its_arguments_and_goes_from_thread_to_thread() {
    let fake = fake!();
    let compiled = fake.calls("nvrtcCompileProgram");
    let mut card = fake.card();
    let at = card.allocate(4 * 100).unwrap();
    assert_eq!(fake.calls("nvrtcCompileProgram"), compiled, "nothing is compiled before a launch");
    add(&mut card, at, 10, 0.5).unwrap();
    let mut card = std::thread::spawn(move || {
        add(&mut card, at.at(2), 1000, 1.0).unwrap();
        card
    })
    .join()
    .unwrap();
    let expected: Vec<f32> = (0..100)
        .map(|i| match i {
            0 | 1 => 6.5,
            2..10 => 13.5,
            10..66 => 7.0,
            _ => 0.0,
        })
        .collect();
    assert_eq!(numbers(&mut card, at, 100), expected);
    assert_eq!(fake.calls("nvrtcCompileProgram"), compiled + 1);
    let nothing = Grid { blocks: [0, 1, 1], threads: 64 };
    assert_eq!(card.launch(Kernel::Relu, nothing, &[]), Ok(()), "no blocks, no threads, no work");
    let refused = card.launch(Kernel::SumPartials, ONE, &[]).unwrap_err();
    assert!(refused.to_string().contains("find the kernel sum_partials"), "{refused}");
    let wide = Grid { blocks: [3, 2, 1], threads: 2000 };
    let args = [Arg::Address(at), Arg::Word(1), Arg::Real(0.0), Arg::Ints(&[0; 3])];
    let refused = card.launch(Kernel::Relu, wide, &args).unwrap_err();
    assert!(refused.to_string().contains("launch relu with 3 x 2 x 1 blocks of 2000"), "{refused}");
    let refused = card.launch(Kernel::Relu, ONE, &[Arg::Word(0); 65]).unwrap_err();
    assert!(refused.to_string().contains("65 arguments"), "{refused}");
    fake.fail("nvrtcCompileProgram", 6);
    let refused = add(&mut fake.card(), at, 1, 0.0).unwrap_err();
    let log = "NVRTC_ERROR_COMPILATION (6)\nconv.cu(3): error: made".into();
    assert_eq!(refused, CudaError::Compile { capability: [8, 7], log });
    drop(card);
    assert_eq!(fake.live(), 0);
}

#[test]
fn memory_that_is_not_there_never_reaches_the_driver() {
    let fake = fake!();
    let mut card = fake.card();
    let at = card.allocate(100).unwrap();
    let gone = card.allocate(100).unwrap();
    card.release(gone);
    card.release(gone);
    card.release(Address(5));
    add(&mut card, at, 1, 0.0).unwrap();
    let far = Address(u64::MAX - 3);
    let before: Vec<c_long> = OPERATIONS.iter().map(|name| fake.calls(name)).collect();
    for (address, len) in [(at, 101), (gone, 1), (Address(at.0 + 99), 2), (far, 8), (Address(0), 1)]
    {
        let mut some = vec![0; len];
        let outside = |result: Result<(), CudaError>| {
            assert!(matches!(result, Err(CudaError::Outside { .. })), "{result:?}");
        };
        outside(card.upload(address, &some));
        outside(card.download(address, &mut some));
        outside(card.clear(address, len as u64));
        outside(card.copy(address, at, len as u64));
        outside(card.copy(at, address, len as u64));
        if address != at && address.0 != at.0 + 99 && address.0 != 0 {
            outside(add(&mut card, address, 0, 0.0));
        }
    }
    assert_eq!(OPERATIONS.map(|name| fake.calls(name)).to_vec(), before);
    let most = card.allocate(1 << 40).unwrap_err();
    assert_eq!(most, CudaError::Memory { needed: 1 << 40, free: 123_456, total: 1 << 30 });
    let none = card.allocate(0).unwrap();
    card.upload(none, &[]).unwrap();
    fake.fail("cuMemsetD8Async", 1);
    assert!(card.allocate(8).is_err());
    drop(card);
    assert_eq!(fake.live(), 0);
}

const OPERATIONS: [&str; 5] = [
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuLaunchKernel",
];

#[test]
fn a_recording_runs_what_was_recorded_and_nothing_before() {
    let fake = fake!();
    let mut card = fake.card();
    let (at, other) = (card.allocate(40).unwrap(), card.allocate(40).unwrap());
    let refused = |result: Result<(), CudaError>| {
        assert!(matches!(result, Err(CudaError::Recording { .. })), "{result:?}");
    };
    let spoilt = card.recorded().unwrap_err();
    assert!(matches!(&spoilt, CudaError::NoRecording { code } if code.contains("begun")));
    // A kernel that was not launched before.
    card.record().unwrap();
    assert!(add(&mut card, at, 10, 1.0).unwrap_err().to_string().contains("relu was not launched"));
    assert!(card.recorded().unwrap_err().to_string().contains("relu was not launched"));
    add(&mut card, at, 10, -6.0).unwrap();
    card.record().unwrap();
    refused(card.record());
    refused(card.upload(at, &[0; 4]));
    refused(card.download(at, &mut [0; 4]));
    refused(card.allocate(1).map(drop));
    refused(card.wait());
    add(&mut card, at, 10, 1.0).unwrap();
    card.copy(at, other, 40).unwrap();
    card.clear(at, 4).unwrap();
    let recording = card.recorded().unwrap();
    assert_eq!(numbers(&mut card, at, 10), [0.0; 10], "recorded, not run");
    for _ in 0..3 {
        card.replay(recording).unwrap();
    }
    let tail = [0.0].into_iter().chain([21.0; 9]).collect::<Vec<_>>();
    assert_eq!(numbers(&mut card, at, 10), tail);
    assert_eq!(numbers(&mut card, other, 10)[..2], [7.0, 21.0]);
    // What is given back or forgotten meanwhile goes when the recording has ended.
    let gone = card.allocate(4).unwrap();
    card.record().unwrap();
    card.clear(at, 4).unwrap();
    card.release(gone);
    card.forget(recording);
    let second = card.recorded().unwrap();
    assert!(card.upload(gone, &[0; 4]).is_err());
    assert!(card.replay(recording).unwrap_err().to_string().contains("forgotten"));
    card.replay(second).unwrap();
    card.release(other);
    card.replay(second).unwrap();
    card.release(at);
    assert!(card.replay(second).unwrap_err().to_string().contains("given back"));
    drop(card);
    assert_eq!(fake.live(), 0);
}

#[test]
fn a_recording_that_fails_is_not_kept() {
    let fake = fake!();
    let mut card = fake.card();
    let at = card.allocate(40).unwrap();
    add(&mut card, at, 1, 0.0).unwrap();
    for failing in ["cuLaunchKernel", "cuGraphInstantiateWithFlags", "cuMemsetD8Async"] {
        card.record().unwrap();
        fake.fail(failing, 1);
        let launched = add(&mut card, at, 1, 0.0);
        assert_eq!(launched.is_err(), failing == "cuLaunchKernel");
        let cleared = card.clear(at, 4);
        assert_eq!(cleared.is_err(), failing == "cuMemsetD8Async");
        let failed = card.recorded().unwrap_err();
        assert!(
            matches!(&failed, CudaError::NoRecording { code } if code.contains("INVALID_VALUE"))
        );
        add(&mut card, at, 1, 0.0).unwrap();
    }
    fake.fail("cuStreamBeginCapture_v2", 900);
    assert!(matches!(card.record(), Err(CudaError::NoRecording { .. })));
    card.wait().unwrap();
    card.record().unwrap();
    drop(card);
    assert_eq!(fake.live(), 0, "in the middle of a recording too");
}

#[test]
fn after_an_illegal_address_every_call_says_so() {
    let fake = fake!();
    let mut card = fake.card();
    let at = card.allocate(40).unwrap();
    add(&mut card, at, 1, 0.0).unwrap();
    fake.fail("cuStreamSynchronize", 700);
    let words = "CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered";
    let first = card.wait().unwrap_err();
    assert!(first.to_string().ends_with(words), "{first}");
    let before = fake.calls("");
    let lost = CudaError::Lost { ordinal: 0, code: words.into() };
    assert_eq!(card.wait(), Err(lost.clone()));
    assert_eq!(card.allocate(4), Err(lost.clone()));
    assert_eq!(card.upload(at, &[0; 4]), Err(lost.clone()));
    assert_eq!(card.download(at, &mut [0; 4]), Err(lost.clone()));
    assert_eq!((card.clear(at, 4), card.copy(at, at, 4)), (Err(lost.clone()), Err(lost.clone())));
    assert_eq!(add(&mut card, at, 1, 0.0), Err(lost.clone()));
    assert_eq!((card.record(), card.free_memory()), (Err(lost.clone()), Err(lost.clone())));
    assert_eq!(card.recorded(), Err(lost));
    card.release(at);
    assert_eq!(fake.calls(""), before, "the driver is not asked again");
    drop(card);
    assert_eq!(fake.live(), 0);
    let mut again = fake.card();
    assert!(again.wait().is_ok());
    drop(again);
}

#[test]
fn compiled_kernels_are_kept_and_what_is_damaged_is_made_anew() {
    let fake = fake!();
    let before = fake.live();
    let folder = TempDir::new().unwrap();
    let kept = folder.path().join("kernels");
    let launch = |expected: c_long| {
        let compiled = fake.calls("nvrtcCompileProgram");
        let told = COMPILED.load(Relaxed);
        let mut card = Card::open(0, &fake.modules(Some(&kept))).unwrap();
        let at = card.allocate(4).unwrap();
        add(&mut card, at, 1, 1.0).unwrap();
        assert_eq!(numbers(&mut card, at, 1), [7.0]);
        assert_eq!(fake.calls("nvrtcCompileProgram") - compiled, expected);
        assert_eq!(
            COMPILED.load(Relaxed) - told,
            expected as usize,
            "a wait that nobody was told of"
        );
        card.cache_fault().map(ToString::to_string)
    };
    assert_eq!(launch(1), None);
    assert_eq!(launch(0), None, "the second process finds it");
    let target = unlearn::sparse::cuda::Target::of([8, 7], &[87]).unwrap();
    let file = cache::path(&kept, target);
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, damaged).unwrap();
    assert_eq!(launch(1), None);
    assert_eq!(std::fs::read(&file).unwrap(), whole, "replaced");
    // Whole, and the driver refuses it all the same.
    fake.fail("cuModuleLoadDataEx", 209);
    assert_eq!(launch(1), None);
    // A cache that cannot be written stops nothing, and is told.
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::write(&kept, "a file").unwrap();
    assert!(launch(1).unwrap().contains("kernels"));
    assert_eq!(fake.live(), before);
}

#[test]
fn what_the_program_holds_comes_first_and_the_compiler_where_the_driver_refuses_it() {
    let fake = fake!();
    // The stand-in knows what it compiled by its first bytes, whatever it is called.
    const TAKEN: &[u8] = b"\x7fELF made for --gpu-architecture=sm_87\0";
    let launched = |embedded, compiler: &Path| {
        let compiled = fake.calls("nvrtcCompileProgram");
        let modules = Modules { embedded, compiler: Some(compiler.into()), ..Modules::default() };
        let mut card = Card::open(0, &modules).unwrap();
        let at = card.allocate(4).unwrap();
        let done = add(&mut card, at, 1, 1.0).map(|()| numbers(&mut card, at, 1));
        (done, fake.calls("nvrtcCompileProgram") - compiled)
    };
    let (nowhere, there) = (Path::new("/nowhere/libnvrtc.so"), fake.path);
    assert_eq!(launched(&[(72, TAKEN)], nowhere), (Ok(vec![7.0]), 0));
    assert_eq!(launched(&[(72, b"of a later release\0"), (90, TAKEN)], there), (Ok(vec![7.0]), 1));
    assert_eq!(launched(&[(90, TAKEN)], there), (Ok(vec![7.0]), 1), "none is old enough");
    let (refused, _) = launched(&[(72, b"of a later release\0")], nowhere);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("load the kernels no code for this device"), "{refused}");
    let none = launched(&[], nowhere).0.unwrap_err();
    assert!(matches!(none, CudaError::NoCompiler { .. }), "{none}");
}

#[test]
fn board_tells_the_devices() {
    let fake = fake!();
    let home = TempDir::new().unwrap();
    let say = |words: &str| {
        let mut command = common::program::command(home.path(), words);
        command.env("LD_LIBRARY_PATH", fake.path.parent().unwrap());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let told: serde_json::Value = serde_json::from_str(&say("board --json")).unwrap();
    assert_eq!(told["cuda"]["why"], serde_json::Value::Null);
    let devices = told["cuda"]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0]["name"], "Made Orin");
    assert_eq!(devices[0]["compute_capability"], "8.7");
    assert_eq!(devices[0]["driver"], "12.6");
    assert_eq!(devices[1]["usable"], false);
    let page = say("board");
    assert!(page.contains("\ncuda:0        Made Orin, compute capability 8.7"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
}
