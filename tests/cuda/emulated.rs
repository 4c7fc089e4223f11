//! The emulator: what it computes is right, and what it is there to find it finds.

use unlearn::base::rng::Stream;
use unlearn::sparse::cuda::{Address, Arg, CudaError, Grid, Machine};

use crate::emulator::{Emulator, Order};

const SOURCE: &str = include_str!("emulated.cu");
const NAMES: [&str; 19] = [
    "sum",
    "arguments",
    "counting",
    "race",
    "divergent",
    "two_barriers",
    "write_at",
    "write_before",
    "shared_index",
    "four_at",
    "divide",
    "functions",
    "roundings",
    "multiply_tf32",
    "multiply_f16",
    "multiply_bf16",
    "multiply_some",
    "unwritten",
    "read_at",
];
const BOTH: [Order; 2] = [Order::Forward, Order::Backward];

/// Kernels of this file, unless there is no compiler.
fn emulator(order: Order) -> Option<Emulator> {
    let source = format!("#line 1 \"emulated.cu\"\n{SOURCE}");
    Emulator::of(&source, &NAMES, order).unwrap()
}

fn grid(blocks: u32, threads: u32) -> Grid {
    Grid { blocks: [blocks, 1, 1], threads }
}

fn upload(device: &mut Emulator, words: &[u32]) -> Address {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let address = device.allocate(bytes.len() as u64).unwrap();
    device.upload(address, &bytes).unwrap();
    address
}

fn upload_reals(device: &mut Emulator, reals: &[f32]) -> Address {
    upload(device, &reals.iter().map(|real| real.to_bits()).collect::<Vec<u32>>())
}

fn zeros(device: &mut Emulator, words: usize) -> Address {
    device.allocate(4 * words as u64).unwrap()
}

fn download(device: &mut Emulator, from: Address, words: usize) -> Vec<u32> {
    let mut bytes = vec![0; 4 * words];
    device.download(from, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

fn download_reals(device: &mut Emulator, from: Address, words: usize) -> Vec<f32> {
    download(device, from, words).into_iter().map(f32::from_bits).collect()
}

/// The words of the error that waiting gives after a launch that itself was taken.
fn told(device: &mut Emulator, name: &str, grid: Grid, args: &[Arg<'_>]) -> String {
    device.launch_by_name(name, grid, args).unwrap();
    let error = device.wait().unwrap_err();
    assert!(matches!(error, CudaError::Driver { .. }), "{error}");
    // As on a card, nothing works afterwards.
    assert_eq!(device.wait(), Err(error.clone()));
    error.to_string()
}

#[test]
fn a_block_sums_through_shared_memory() {
    for order in BOTH {
        let Some(mut device) = emulator(order) else { return };
        let from: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let (from, to) = (upload_reals(&mut device, &from), zeros(&mut device, 3));
        let args = [Arg::Address(from), Arg::Address(to), Arg::Word(1000)];
        device.launch_by_name("sum", grid(3, 256), &args).unwrap();
        let sums = download_reals(&mut device, to, 3);
        let expected = |block: usize| -> f32 {
            (0..1000).filter(|i| i % 768 / 256 == block).map(|i| i as f32).sum()
        };
        assert_eq!(sums, [expected(0), expected(1), expected(2)]);
    }
}

#[test]
fn every_kind_of_argument_and_every_coordinate_arrives() {
    for order in BOTH {
        let Some(mut device) = emulator(order) else { return };
        let to = zeros(&mut device, 24 * 8);
        let add: Vec<f32> = (0..24).map(|block| 1000.0 * block as f32).collect();
        let add = upload_reals(&mut device, &add);
        let args = [
            Arg::Address(to),
            Arg::Word(8),
            Arg::Real(0.5),
            Arg::Ints(&[3, 4, -6]),
            Arg::Address(add),
        ];
        let grid = Grid { blocks: [2, 3, 4], threads: 5 };
        device.launch_by_name("arguments", grid, &args).unwrap();
        let found = download_reals(&mut device, to, 24 * 8);
        for (at, found) in found.into_iter().enumerate() {
            let (block, thread) = (at / 8, at % 8);
            let value = 0.5 * 334.0 + 1000.0 * block as f32 + thread as f32;
            assert_eq!(found, if thread < 5 { value } else { 0.0 }, "{at}");
        }
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let to = zeros(&mut device, 1);
    let (address, one) = (Arg::Address(to), grid(1, 1));
    let cases: [(&str, &[Arg<'_>]); 6] = [
        ("write_at", &[address]),
        ("write_at", &[address, Arg::Real(0.0)]),
        ("write_at", &[Arg::Word(0), Arg::Word(0)]),
        ("arguments", &[address, Arg::Word(1), Arg::Real(1.0), Arg::Ints(&[1, 2]), address]),
        ("write_at", &[Arg::Address(Address(to.0 + 4096)), Arg::Word(0)]),
        ("nowhere", &[]),
    ];
    for (name, args) in cases {
        let error = device.launch_by_name(name, one, args).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("INVALID_VALUE"), "{error}");
    }
    let args = [address, Arg::Word(0)];
    for (blocks, threads) in [
        ([0, 1, 1], 1),
        ([1, 0, 1], 1),
        ([1, 1, 0], 1),
        ([1 << 31, 1, 1], 1),
        ([1, 65_536, 1], 1),
        ([1, 1, 65_536], 1),
        ([1, 1, 1], 0),
        ([1, 1, 1], 257),
    ] {
        let error = device.launch_by_name("write_at", Grid { blocks, threads }, &args).unwrap_err();
        assert!(error.to_string().contains("INVALID_VALUE"), "{error}");
    }
    device.launch_by_name("write_at", one, &args).unwrap();
    assert_eq!(download_reals(&mut device, to, 1), [1.0]);
}

#[test]
fn the_order_turns_around_and_shows_a_race() {
    let mut races = Vec::new();
    for order in BOTH {
        let Some(mut device) = emulator(order) else { return };
        let (counts, places) = (zeros(&mut device, 2), zeros(&mut device, 4));
        let args = [Arg::Address(counts), Arg::Address(places)];
        device.launch_by_name("counting", grid(3, 7), &args).unwrap();
        // Set bits of 0 to 6: 0, 1, 1, 2, 1, 2, 2.
        assert_eq!(download(&mut device, counts, 2), [21, 3 * 9]);
        let places = download(&mut device, places, 4);
        let expected = if order == Order::Forward { [0, 7, 14] } else { [20, 13, 6] };
        assert_eq!((&places[..3], places[3].cast_signed()), (&expected[..], -21));
        let to = zeros(&mut device, 64);
        device.launch_by_name("race", grid(1, 64), &[Arg::Address(to)]).unwrap();
        races.push(download_reals(&mut device, to, 64));
    }
    assert_ne!(races[0], races[1]);
}

#[test]
fn a_barrier_that_not_all_reach_is_told() {
    for order in BOTH {
        let Some(mut device) = emulator(order) else { return };
        let to = zeros(&mut device, 64);
        let words = told(&mut device, "divergent", grid(2, 64), &[Arg::Address(to)]);
        let block = if order == Order::Forward { 0 } else { 1 };
        let says = format!("block ({block}, 0, 0): thread 0 waits at emulated.cu:45");
        assert!(words.contains("`divergent`") && words.contains(&says), "{words}");
        assert!(words.contains("thread 40 never reaches, which has ended"), "{words}");

        let mut device = emulator(order).unwrap();
        let to = zeros(&mut device, 64);
        let words = told(&mut device, "two_barriers", grid(1, 64), &[Arg::Address(to)]);
        assert!(words.contains("emulated.cu:51") && words.contains("emulated.cu:53"), "{words}");

        let mut device = emulator(order).unwrap();
        let to = zeros(&mut device, 64);
        let words = told(&mut device, "multiply_some", grid(1, 64), &[Arg::Address(to)]);
        assert!(words.contains("its warp's multiplication that thread 5 never"), "{words}");
        // Half a warp cannot multiply at all.
        let mut device = emulator(order).unwrap();
        let to = zeros(&mut device, 64);
        let words = told(&mut device, "multiply_some", grid(1, 48), &[Arg::Address(to)]);
        assert!(words.contains("in a warp of 16 threads"), "{words}");
    }
}

#[test]
fn writing_past_either_end_is_told_with_the_kernel() {
    let past = |name: &str, args: &[Arg<'_>]| {
        let mut device = emulator(Order::Forward)?;
        let to = zeros(&mut device, 100);
        let args: Vec<Arg<'_>> = [&[Arg::Address(to)], args].concat();
        Some(told(&mut device, name, grid(1, 3), &args))
    };
    let Some(words) = past("write_at", &[Arg::Word(98)]) else { return };
    assert!(words.contains("run `write_at`"), "{words}");
    assert!(words.contains("0 bytes behind the end of 400 bytes"), "{words}");
    let words = past("write_at", &[Arg::Word(110)]).unwrap();
    assert!(words.contains("40 bytes behind the end of 400 bytes"), "{words}");
    let words = past("write_before", &[]).unwrap();
    assert!(words.contains("4 bytes before the begin of 400 bytes"), "{words}");
}

#[test]
fn reading_past_the_end_of_tight_memory_is_told_and_of_other_memory_is_nan() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let (from, to) = (zeros(&mut device, 9), zeros(&mut device, 9));
    let args = [Arg::Address(from), Arg::Address(to), Arg::Word(2)];
    device.launch_by_name("read_at", grid(1, 8), &args).unwrap();
    let found = download_reals(&mut device, to, 8);
    assert!(found[..7].iter().all(|x| *x == 0.0) && found[7].is_nan(), "{found:?}");

    let mut device = emulator(Order::Forward).unwrap().tight();
    let (from, to) = (zeros(&mut device, 9), zeros(&mut device, 9));
    let args = [Arg::Address(from), Arg::Address(to), Arg::Word(2)];
    let words = told(&mut device, "read_at", grid(1, 8), &args);
    assert!(words.contains("thread 7: illegal address"), "{words}");
    assert!(words.ends_with(", 0 bytes behind the end of 36 bytes"), "{words}");
}

#[test]
fn bad_indices_alignments_and_addresses_are_told_and_end_no_process() {
    let mut devices = (0..).map_while(|_| emulator(Order::Forward));
    let mut told = |name: &str, args: &[Arg<'_>]| {
        let mut device = devices.next()?;
        let to = Arg::Address(zeros(&mut device, 64));
        Some(told(&mut device, name, grid(1, 32), &[&[to], args].concat()))
    };
    let Some(words) = told("shared_index", &[Arg::Word(40)]) else { return };
    assert!(words.contains("thread 24: at emulated.cu:66 the index 64 is outside"), "{words}");
    let words = told("four_at", &[Arg::Word(1)]).unwrap();
    assert!(words.contains("thread 0: at emulated.cu:70") && words.contains("aligned"), "{words}");
    let words = told("divide", &[Arg::Word(0)]).unwrap();
    assert!(words.contains("thread 0: an integer is divided by 0"), "{words}");
    let words = told("write_at", &[Arg::Word(u32::MAX - 31)]).unwrap();
    assert!(words.contains("thread 0: illegal address 0x"), "{words}");

    // A null pointer may be passed, not used.
    let mut device = emulator(Order::Forward).unwrap();
    let args = [Arg::Address(Address(0)), Arg::Word(0)];
    device.launch_by_name("write_at", grid(1, 32), &args).unwrap();
    let words = device.wait().unwrap_err().to_string();
    assert!(words.contains("illegal address"), "{words}");
}

#[test]
fn shared_memory_begins_as_nan_in_every_block() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let to = zeros(&mut device, 32);
    device.launch_by_name("unwritten", grid(3, 32), &[Arg::Address(to)]).unwrap();
    let found = download_reals(&mut device, to, 32);
    assert!(found.iter().enumerate().all(|(at, x)| if at == 3 { x.is_nan() } else { *x == 1.0 }));
}

#[test]
fn functions_give_what_a_device_gives() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let to = zeros(&mut device, 8);
    device.launch_by_name("functions", grid(1, 1), &[Arg::Address(to)]).unwrap();
    let found = download_reals(&mut device, to, 8);
    assert_eq!(found, [10.0, 0.5, 1.0, 1.0, 2.5, -5.0, 1.0 / 3.0, 3.0]);
}

/// To 10 bits of mantissa, ties away from zero, by arithmetic.
fn tf32(value: f32) -> f32 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let value = f64::from(value);
    let exponent = value.abs().log2().floor().max(-126.0);
    let step = (exponent - 10.0).exp2();
    // `round` takes ties away from zero.
    ((value / step).round() * step) as f32
}

#[test]
fn roundings_are_those_of_the_formats() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let mut draws = Stream::new(1, "test/roundings");
    let mut values: Vec<f32> = (0..4000).map(|_| f32::from_bits(draws.word() as u32)).collect();
    // Of the sizes that halves have, ties among them.
    values.extend((0..4000).map(|_| {
        let bits = draws.word() as u32;
        f32::from_bits(bits & 0x87ff_f000 | 0x3000_0000 | (bits & 1) << 30)
    }));
    values.extend([0.0, -0.0, 1.0, 65504.0, 65519.9, 65520.0, 65536.0, f32::MAX, f32::INFINITY]);
    values.extend([2.0f32.powi(-14), 2.0f32.powi(-24), 2.0f32.powi(-25), 1.5 * 2.0f32.powi(-25)]);
    values.retain(|value| !value.is_nan());
    let from = upload_reals(&mut device, &values);
    let to = zeros(&mut device, 3 * values.len());
    let args = [Arg::Address(from), Arg::Address(to), Arg::Word(values.len() as u32)];
    device.launch_by_name("roundings", grid(1, 256), &args).unwrap();
    let found = download(&mut device, to, 3 * values.len());
    for (value, found) in values.into_iter().zip(found.chunks_exact(3)) {
        let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        let f16 = [value, -value].map(|value| half::f16::from_f32(value).to_bits());
        let bf16 = [value, -value].map(|value| half::bf16::from_f32(value).to_bits());
        assert_eq!(f32::from_bits(found[0]), tf32(value), "{value:e} as tf32");
        assert_eq!(found[1], pair(f16[0], f16[1]), "{value:e} as f16");
        assert_eq!(found[2], pair(bf16[0], bf16[1]), "{value:e} as bf16");
    }
}

/// For lane and register, the places of the values that the PTX ISA names in "Matrix Fragments for
/// mma.m16n8k8 with .tf32" and "mma.m16n8k16 with .f16 and .bf16", value by value as it does.
mod fragments {
    /// Row and k of `a_i`.
    pub fn a(halves: bool, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane >> 2, lane % 4);
        if halves {
            let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
            return (row, thread * 2 + (i & 1) + if i < 4 { 0 } else { 8 });
        }
        let row = if i == 0 || i == 2 { group } else { group + 8 };
        (row, if i < 2 { thread } else { thread + 4 })
    }

    /// k and column of `b_i`.
    pub fn b(halves: bool, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane >> 2, lane % 4);
        if halves {
            return (thread * 2 + (i & 1) + if i < 2 { 0 } else { 8 }, group);
        }
        (if i == 0 { thread } else { thread + 4 }, group)
    }

    /// Row and column of `c_i` and `d_i`.
    pub fn d(lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane >> 2, lane % 4);
        (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1))
    }
}

/// One product of matrices by a warp for each of `warps`, filled by the documented maps.
fn multiply(order: Order, name: &str, halves: bool, round: fn(f32) -> u32) -> Option<()> {
    let mut device = emulator(order)?;
    let (warps, depth, values) = (6, if halves { 16 } else { 8 }, if halves { 2 } else { 1 });
    let mut draws = Stream::new(7, "test/multiply");
    // Numbers that every format has exactly, so that only the last rounding is free.
    let mut draw = || draws.below(33) as f32 / 16.0 - 1.0;
    let a: Vec<f32> = (0..warps * 16 * depth).map(|_| draw()).collect();
    let b: Vec<f32> = (0..warps * depth * 8).map(|_| draw()).collect();
    let c: Vec<f32> = (0..warps * 16 * 8).map(|_| draw()).collect();
    let fill = |registers: usize, place: &dyn Fn(usize, usize, usize) -> f32| {
        let mut words = vec![0; warps * 32 * registers];
        for (at, word) in words.iter_mut().enumerate() {
            let (lane, register) = (at / registers, at % registers);
            for value in 0..values {
                let real = place(lane / 32, lane % 32, register * values + value);
                *word |= round(real) << (16 * value);
            }
        }
        words
    };
    let left = fill(4, &|warp, lane, i| {
        let (row, k) = fragments::a(halves, lane, i);
        a[(warp * 16 + row) * depth + k]
    });
    let right = fill(2, &|warp, lane, i| {
        let (k, column) = fragments::b(halves, lane, i);
        b[(warp * depth + k) * 8 + column]
    });
    let place = |at: usize| {
        let (row, column) = fragments::d(at / 4 % 32, at % 4);
        (at / 128 * 16 + row) * 8 + column
    };
    let sums: Vec<f32> = (0..warps * 128).map(|at| c[place(at)]).collect();
    let (left, right) = (upload(&mut device, &left), upload(&mut device, &right));
    let sums = upload_reals(&mut device, &sums);
    let args = [Arg::Address(left), Arg::Address(right), Arg::Address(sums), Arg::Word(3)];
    device.launch_by_name(name, grid(2, 96), &args).unwrap();
    let found = download_reals(&mut device, sums, warps * 128);
    for (at, found) in found.into_iter().enumerate() {
        let (row, column) = (place(at) / 8, place(at) % 8);
        let products =
            (0..depth).map(|k| a[row * depth + k] * b[(row / 16 * depth + k) * 8 + column]);
        let expected = c[place(at)] + 3.0 * products.sum::<f32>();
        assert_eq!(found, expected, "{name} {order:?}: row {row}, column {column}");
    }
    Some(())
}

#[test]
fn a_warp_multiplies_matrices_that_lie_as_documented() {
    for order in BOTH {
        multiply(order, "multiply_tf32", false, f32::to_bits);
        multiply(order, "multiply_f16", true, |x| half::f16::from_f32(x).to_bits().into());
        multiply(order, "multiply_bf16", true, |x| half::bf16::from_f32(x).to_bits().into());
    }
}

#[test]
fn memory_is_zeroed_bounded_and_given_back() {
    let Some(device) = emulator(Order::Forward) else { return };
    let mut device = device.with(|facts| facts.memory = 1000);
    let first = device.allocate(600).unwrap();
    assert_eq!(first.0 % 256, 0);
    assert_eq!(download(&mut device, first, 150), vec![0; 150]);
    let refused = Err(CudaError::Memory { needed: 401, free: 400, total: 1000 });
    assert_eq!(device.allocate(401), refused);
    device.release(first);
    device.release(Address(0));
    let nothing = device.allocate(0).unwrap();
    device.upload(nothing, &[]).unwrap();
    assert_eq!(device.free_memory(), Ok(1000));
    // Neither copies nor launches reach what was given back, nor past an end.
    let second = device.allocate(500).unwrap();
    device.upload(second, &[1; 500]).unwrap();
    device.upload(second.at(1), &[1; 500]).unwrap_err();
    device.download(Address(second.0 - 1), &mut [0; 2]).unwrap_err();
    device.clear(second.at(100), 101).unwrap_err();
    device.clear(second.at(100), 96).unwrap();
    device.copy(second.at(100), second, 100).unwrap();
    assert_eq!(download(&mut device, second, 25)[..24], [0; 24]);
    device.release(second);
    device
        .launch_by_name("write_at", grid(1, 1), &[Arg::Address(second), Arg::Word(0)])
        .unwrap_err();
    device.release(second);
    assert!(device.wait().unwrap_err().to_string().contains("no allocation begins there"));
}

#[test]
fn a_recording_replays_launches_with_the_arguments_it_was_given() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let to = zeros(&mut device, 4);
    let write = |device: &mut Emulator, at: u32| {
        device.launch_by_name("write_at", grid(1, 1), &[Arg::Address(to), Arg::Word(at)])
    };
    // What was never launched cannot be recorded, and spoils the recording.
    device.record().unwrap();
    write(&mut device, 0).unwrap_err();
    device.recorded().unwrap_err();
    write(&mut device, 0).unwrap();
    // Nor can what has no place.
    device.record().unwrap();
    device.clear(to, 17).unwrap_err();
    device.recorded().unwrap_err();
    device.record().unwrap();
    device.clear(to, 4).unwrap();
    write(&mut device, 1).unwrap();
    device.copy(to.at(1), to.at(2), 4).unwrap();
    let recording = device.recorded().unwrap();
    assert_eq!(download_reals(&mut device, to, 4), [1.0, 0.0, 0.0, 0.0]);
    device.replay(recording).unwrap();
    assert_eq!(download_reals(&mut device, to, 4), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(device.launches()["write_at"], 2);
    device.forget(recording);
    device.replay(recording).unwrap_err();
    // Whatever waits or allocates is refused meanwhile; what is given back goes when it has ended, and
    // takes along what was recorded of it.
    let gone = zeros(&mut device, 1);
    device.record().unwrap();
    device.allocate(4).unwrap_err();
    device.upload(to, &[0; 4]).unwrap_err();
    device.download(to, &mut [0; 4]).unwrap_err();
    device.wait().unwrap_err();
    device.record().unwrap_err();
    device.copy(gone, to, 4).unwrap();
    let recording = device.recorded().unwrap();
    device.replay(recording).unwrap();
    assert_eq!(download_reals(&mut device, to, 4), [0.0, 1.0, 1.0, 0.0]);
    device.record().unwrap();
    device.release(gone);
    device.recorded().unwrap();
    device.upload(gone, &[0; 4]).unwrap_err();
    let error = device.replay(recording).unwrap_err();
    assert!(matches!(error, CudaError::NoRecording { .. }), "{error}");
    device.recorded().unwrap_err();
}

#[test]
fn the_launch_that_is_told_to_fail_fails_and_no_other() {
    let Some(mut device) = emulator(Order::Forward) else { return };
    let to = zeros(&mut device, 4);
    let args = [Arg::Address(to), Arg::Word(0)];
    device.fail_after(2);
    let launched = [(); 4].map(|()| device.launch_by_name("write_at", grid(1, 1), &args).is_ok());
    assert_eq!(launched, [true, true, false, true]);
    assert_eq!(device.launches()["write_at"], 3);
}
