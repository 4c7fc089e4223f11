//! Memory of the processor's that a card reads, by each way that there is: part of `tests/cuda_card.rs`.

use std::ffi::c_int;
use std::sync::Arc;

use tempfile::TempDir;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, ModelFile};
use unlearn::model::{Description, Network, Parameter, builtin, file};
use unlearn::sparse::Mask;
use unlearn::sparse::cuda::{
    Address, Arg, Card, CudaError, Encoded, FAULT_BYTES, Kernel, Machine, MaskAt, Source, Tier,
    Values,
};

use crate::{Fake, ONE, common, numbers};

/// Numbers of attributes: whether a device reads through the processor's page tables, whether it reads what is
/// registered, and whether that may be memory that nobody writes.
const HOST_PAGE_TABLES: c_int = 100;
const REGISTERS: [c_int; 2] = [99, 113];

/// Values in memory that begins at a multiple of 64 bytes, as a section of a mapped file does, or not.
struct Lent {
    bytes: Vec<u8>,
    begin: usize,
}

impl Lent {
    const COUNT: usize = 1000;

    fn new(odd: usize) -> Self {
        let mut bytes = vec![0; 4 * Self::COUNT + 128];
        let begin = bytes.as_ptr().align_offset(64) + odd;
        for (at, value) in bytes[begin..].chunks_exact_mut(4).take(Self::COUNT).enumerate() {
            value.copy_from_slice(&(at as f32 + 0.25).to_le_bytes());
        }
        Self { bytes, begin }
    }

    fn values(&self) -> &[u8] {
        &self.bytes[self.begin..][..4 * Self::COUNT]
    }

    /// Has a card decode the values, and overwrites them at once; whether they arrived.
    fn decode(mut self, card: &mut Card, first: Tier) -> Result<Tier, CudaError> {
        let to = card.allocate(4 * Self::COUNT as u64).unwrap();
        let faults = card.allocate(FAULT_BYTES as u64).unwrap();
        let read = card.reading(self.values(), first, &mut |machine, at| {
            let source = Source { at, len: 4 * Self::COUNT };
            let values = (Values::F32, source);
            let (positions, existing) = (Self::COUNT, Self::COUNT);
            Encoded { positions, existing, mask: None, values }.decode(
                machine,
                MaskAt::default(),
                to,
                faults,
            )
        });
        self.bytes.fill(255);
        let expected: Vec<f32> = (0..Self::COUNT).map(|at| at as f32 + 0.25).collect();
        if read.is_ok() {
            assert_eq!(numbers(card, to, Self::COUNT), expected, "as it was while it was lent");
        }
        card.release(to);
        card.release(faults);
        read
    }
}

#[test]
fn memory_of_the_processor_is_read_in_place_where_it_can_be_and_else_from_a_copy() {
    let fake = fake!();
    let calls = |name: &str| fake.calls(name);
    let opened = |maps, registers: [c_int; 2]| {
        fake.attribute(HOST_PAGE_TABLES, maps);
        REGISTERS.iter().zip(registers).for_each(|(at, value)| fake.attribute(*at, value));
        fake.card()
    };
    let all = [Tier::Mapped, Tier::Registered, Tier::Staged];
    let tiers = |card: &mut Card, odd| all.map(|first| Lent::new(odd).decode(card, first).unwrap());
    // A device that can do everything takes what is asked for.
    let mut card = opened(1, [1, 1]);
    let (uploads, asked) = (calls("cuMemcpyHtoDAsync_v2"), calls("cuMemHostRegister_v2"));
    assert_eq!(tiers(&mut card, 0), all);
    assert_eq!(calls("cuMemcpyHtoDAsync_v2") - uploads, 1, "the copy alone");
    assert_eq!(calls("cuMemHostRegister_v2") - asked, 1);
    assert_eq!(calls("cuMemHostUnregister"), calls("cuMemHostRegister_v2"), "given back");
    // Kernels read words: what begins elsewhere is copied to where they can.
    assert_eq!(tiers(&mut card, 1), [Tier::Staged; 3]);
    let empty = card.reading(&[], Tier::Mapped, &mut |_, _| Ok(()));
    assert_eq!(empty, Ok(Tier::Staged), "nothing cannot be registered");
    drop(card);
    // One that registers, and one that does not, or not what nobody writes, or knows no such attribute.
    let mut card = opened(0, [1, 1]);
    assert_eq!(tiers(&mut card, 0), [Tier::Registered, Tier::Registered, Tier::Staged]);
    // What the driver refuses is copied, once.
    for (name, given_back) in [("cuMemHostRegister_v2", 0), ("cuMemHostGetDevicePointer_v2", 1)] {
        let before = calls("cuMemHostUnregister");
        fake.fail(name, 801);
        assert_eq!(Lent::new(0).decode(&mut card, Tier::Mapped), Ok(Tier::Staged), "{name}");
        assert_eq!(calls("cuMemHostUnregister") - before, given_back, "{name}");
        assert_eq!(Lent::new(0).decode(&mut card, Tier::Mapped), Ok(Tier::Registered));
    }
    drop(card);
    let asked = calls("cuMemHostRegister_v2");
    for registers in [[0, 1], [1, 0], [1, -1], [-1, -1]] {
        let mut card = opened(0, registers);
        assert_eq!(tiers(&mut card, 0), [Tier::Staged; 3], "{registers:?}");
    }
    assert_eq!(
        calls("cuMemHostRegister_v2"),
        asked,
        "nobody asks what a device says that it cannot"
    );
    assert_eq!((fake.live(), fake.late()), (0, 0));
    fake.attribute(HOST_PAGE_TABLES, 0);
}

#[test]
fn what_was_lent_is_given_back_whatever_becomes_of_the_work() {
    let fake = fake!();
    fake.attribute(HOST_PAGE_TABLES, 0);
    REGISTERS.iter().for_each(|at| fake.attribute(*at, 1));
    let mut card = fake.card();
    let unregistered = || fake.calls("cuMemHostUnregister");
    let lent = Lent::new(0);
    let to = card.allocate(4).unwrap();
    let read_one = |machine: &mut dyn Machine, at| {
        let at = [at, to, to].map(Arg::Address);
        let args = [&at[..], &[Arg::Word(1), Arg::Word(0)]].concat();
        machine.launch(Kernel::DecodeReals, ONE, &args)
    };
    // The work fails after it has asked.
    let before = unregistered();
    let no = CudaError::NotOpen { ordinal: 7 };
    let failed = card.reading(lent.values(), Tier::Registered, &mut |machine, at| {
        read_one(machine, at)?;
        Err(no.clone())
    });
    assert_eq!(failed, Err(no));
    // It panics.
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        card.reading(lent.values(), Tier::Registered, &mut |machine, at| {
            read_one(machine, at)?;
            panic!("within")
        })
    }));
    assert!(panics.is_err());
    // It leaves a recording open. None may be given the address, nor a copy; both may use the card's own.
    let left = card.reading(lent.values(), Tier::Registered, &mut |machine, at| {
        read_one(machine, at)?;
        assert!(matches!(machine.copy(at, to, 4), Err(CudaError::Outside { .. })));
        assert!(matches!(machine.upload(at, &[0; 4]), Err(CudaError::Outside { .. })));
        machine.record()?;
        assert!(matches!(read_one(machine, at), Err(CudaError::Outside { .. })));
        machine.clear(to, 4)
    });
    assert_eq!(left, Ok(Tier::Registered));
    card.record().unwrap();
    card.clear(to, 4).unwrap();
    card.recorded().unwrap();
    // What goes wrong on the device is told.
    fake.fail("cuStreamSynchronize", 1);
    let failed =
        card.reading(lent.values(), Tier::Registered, &mut |machine, at| read_one(machine, at));
    assert!(failed.unwrap_err().to_string().contains("INVALID_VALUE"));
    card.wait().unwrap();
    assert_eq!(unregistered() - before, 4);
    // Afterwards the address is nobody's; and nothing is lent while launches are recorded.
    let mut kept = Address::default();
    card.reading(lent.values(), Tier::Registered, &mut |_, at| {
        kept = at;
        Ok(())
    })
    .unwrap();
    assert!(matches!(read_one(&mut card, kept), Err(CudaError::Outside { .. })));
    card.record().unwrap();
    let refused = card.reading(lent.values(), Tier::Mapped, &mut |_, _| Ok(()));
    assert!(matches!(refused, Err(CudaError::Recording { .. })));
    assert!(card.recorded().is_ok());
    drop(card);
    assert_eq!(fake.live(), 0);
}

/// What the device answers here is no answer: its kernels do nothing.
#[test]
fn bench_load_tells_each_way_that_the_device_takes_beside_the_one_through_the_processor() {
    let fake = fake!();
    let home = TempDir::new().unwrap();
    let text = builtin("cnn16").unwrap();
    let description = Description::parse(text, "cnn16", 10).unwrap();
    let mut network = Network::new(Arc::new(description), 1);
    let kept = |p: &Parameter| Mask::from_fn(p.mask.len(), |at| !p.prunable || at % 3 == 0);
    network.set_masks(network.parameters.iter().map(kept).collect());
    let classes = (0..10).map(|class| format!("class {class}")).collect();
    let meaning = ClassesAndFeatures { classes, ..Default::default() };
    let facts = Facts::default();
    let bytes = file::encode(&network, &meaning, &facts, Dtype::F16, None, None).unwrap();
    std::fs::write(home.path().join("model.esm"), &bytes).unwrap();
    let payloads = ModelFile::from_bytes(bytes.clone()).unwrap().payloads().len();
    // The stand-in is a compiler too, if it is found by that name.
    let folder = TempDir::new().unwrap();
    for name in ["libcuda.so.1", "libnvrtc.so.13"] {
        std::fs::copy(fake.path, folder.path().join(name)).unwrap();
    }
    let say = |words: &str| {
        let words = format!("bench load --model model.esm --device cuda --repetitions 2 {words}");
        let mut command = common::program::command(home.path(), &words);
        command.env("LD_LIBRARY_PATH", folder.path()).env("HOME", home.path());
        let out = command.env_remove("XDG_CACHE_HOME").output().unwrap();
        assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let told: serde_json::Value = serde_json::from_str(&say("--json")).unwrap();
    assert_eq!((&told["device"], &told["file_bytes"]), (&"cuda:0".into(), &bytes.len().into()));
    let ways = told["ways"].as_array().unwrap();
    let words =
        |way: &serde_json::Value| format!("{} {}", way["way"], way["tier"]).replace('"', "");
    let all: Vec<String> = ways.iter().map(words).collect();
    assert_eq!(all, ["sections registered", "sections staged", "processor null"]);
    for way in ways {
        let phases = way["phase_seconds"].as_object().unwrap();
        let keys: Vec<&str> = phases.keys().map(String::as_str).collect();
        assert_eq!(keys, ["open", "verify", "ready", "first_prediction"]);
        let [least, most] = ["seconds_min", "seconds_max"].map(|key| way[key].as_f64().unwrap());
        let middle = way["seconds"].as_f64().unwrap();
        assert!(0.0 < least && least <= middle && middle <= most, "{way}");
    }
    let bytes: Vec<u64> = ways.iter().map(|way| way["bytes_to_device"].as_u64().unwrap()).collect();
    assert_eq!(bytes[..2], [payloads as u64; 2]);
    assert!(
        2 * bytes[2] > 3 * bytes[0],
        "halves and a bit a weight, singles and two words: {bytes:?}"
    );
    let page = say("");
    let begins = ["sections, registered ", "sections, staged ", "through the processor "];
    assert!(begins.iter().all(|begin| page.lines().any(|line| line.starts_with(begin))), "{page}");
}
