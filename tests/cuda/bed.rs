//! An emulated device with what tests put on it and read from it.

use unlearn::base::rng::Stream;
use unlearn::sparse::cuda::{Address, Machine, Tensor};

use crate::emulator::{Emulator, Order};

/// Both orders.
pub const BOTH: [Order; 2] = [Order::Forward, Order::Backward];

/// A device under test.
pub struct Bed {
    pub device: Emulator,
}

impl Bed {
    /// The engine's kernels, unless there is no compiler.
    pub fn new(order: Order) -> Option<Self> {
        Some(Self { device: Emulator::new(order).unwrap()?.tight() })
    }

    pub fn words(&mut self, words: &[u32]) -> Address {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let address = self.device.allocate(bytes.len() as u64).unwrap();
        self.device.upload(address, &bytes).unwrap();
        address
    }

    pub fn reals(&mut self, reals: &[f32]) -> Address {
        self.words(&reals.iter().map(|real| real.to_bits()).collect::<Vec<u32>>())
    }

    /// A tensor of these values, or of NaN where there are none: whatever is not written shows.
    pub fn tensor(&mut self, samples: usize, shape: [usize; 3], values: Option<&[f32]>) -> Tensor {
        let len = samples * shape.iter().product::<usize>();
        let nan = vec![f32::NAN; len];
        let values = values.unwrap_or(&nan);
        assert_eq!(values.len(), len);
        Tensor { at: self.reals(values), samples, shape }
    }

    /// A scratch whose contents nobody may count on.
    pub fn scratch(&mut self, len: usize) -> Address {
        self.reals(&vec![f32::NAN; len])
    }

    pub fn read_words(&mut self, from: Address, len: usize) -> Vec<u32> {
        let mut bytes = vec![0; 4 * len];
        self.device.download(from, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    pub fn read(&mut self, from: Address, len: usize) -> Vec<f32> {
        self.read_words(from, len).into_iter().map(f32::from_bits).collect()
    }
}

/// What `run` reads from a device, which is byte for byte the same in both orders.
pub fn both(run: impl Fn(&mut Bed) -> Vec<f32>) -> Option<Vec<f32>> {
    let [forward, backward] = BOTH.map(|order| Bed::new(order).map(|mut bed| run(&mut bed)));
    let (forward, backward) = (forward?, backward?);
    let bits = |reals: &[f32]| reals.iter().map(|real| real.to_bits()).collect::<Vec<u32>>();
    assert_eq!(bits(&forward), bits(&backward), "the order of threads shows");
    Some(forward)
}

/// Numbers from -1 to 1.
pub fn draw(stream: &mut Stream, len: usize) -> Vec<f32> {
    (0..len).map(|_| stream.between(-1.0, 1.0) as f32).collect()
}

/// Holds each of `found` to within `within` times the size of its terms.
pub fn close(found: &[f32], expected: &[f64], sizes: &[f64], within: f64, what: &str) {
    assert_eq!((found.len(), found.len()), (expected.len(), sizes.len()), "{what}");
    for (at, ((&found, &expected), &size)) in found.iter().zip(expected).zip(sizes).enumerate() {
        let apart = (f64::from(found) - expected).abs();
        assert!(
            apart <= within * (size + 1e-30),
            "{what}: {at} is {found}, not {expected} ({size})"
        );
    }
}
