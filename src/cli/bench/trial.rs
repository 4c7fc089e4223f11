//! Layers on which kernels are compared, with all that their passes read and write.

use std::fmt;

use crate::base::clock::Stopwatch;
use crate::base::rng::Stream;
use crate::cli::setting::isa;
use crate::sparse::{Blocked, ConvPlan, ConvShape, KernelTable, Mask};

/// Blocks of sixteen samples that a pass goes over.
const BLOCKS: usize = 2;

/// A layer of stride 1 with a share of its weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Channels in, height and width.
    input: [usize; 3],
    filters: usize,
    /// Height and width.
    kernel: [usize; 2],
    pub density: f64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input: [channels, height, width], filters, kernel: [kh, kw], .. } = self;
        write!(f, "{channels}@{height}x{width} to {filters}, {kh}x{kw}")
    }
}

/// The stages of a ResNet-18 at CIFAR's size, a bottleneck's long 1x1, a first layer's 5x5, and a layer
/// over time.
const LAYERS: [([usize; 3], usize, [usize; 2]); 7] = [
    ([64, 32, 32], 64, [3, 3]),
    ([128, 16, 16], 128, [3, 3]),
    ([256, 8, 8], 256, [3, 3]),
    ([512, 4, 4], 512, [3, 3]),
    ([256, 16, 16], 64, [1, 1]),
    ([32, 28, 28], 64, [5, 5]),
    ([64, 1, 128], 128, [1, 5]),
];
const DENSITIES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4];

/// Every layer at every density.
pub(super) const CASES: [Case; LAYERS.len() * DENSITIES.len()] = {
    let mut cases = [Case { input: [0; 3], filters: 0, kernel: [0; 2], density: 0.0 };
        LAYERS.len() * DENSITIES.len()];
    let mut i = 0;
    while i < cases.len() {
        let (input, filters, kernel) = LAYERS[i / DENSITIES.len()];
        cases[i] = Case { input, filters, kernel, density: DENSITIES[i % DENSITIES.len()] };
        i += 1;
    }
    cases
};

/// A case made ready, with no pass packed and with each that can be.
pub(super) struct Trial {
    ways: [ConvPlan; 2],
    values: Vec<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    dout: Vec<f32>,
    dinput: Vec<f32>,
    gradient: Vec<f32>,
    scratch: Vec<f32>,
}

impl Trial {
    pub(super) fn new(case: &Case) -> Self {
        let &Case { input: size, filters, kernel, density } = case;
        let padding = kernel.map(|side| (side - 1) / 2);
        let shape = ConvShape { filters, kernel, stride: [1, 1], padding, groups: 1 };
        let [height, width] = shape.output(size);
        let mut stream = Stream::new(1, "bench/tune/mask");
        let mask = Mask::from_fn(shape.weights(size[0]), |_| stream.unit() < density);
        let input = Blocked::new(size, shape.input_halo());
        let output = Blocked::new([filters, height, width], [0, 0]);
        let dout = Blocked::new([filters, height, width], shape.output_halo(size));
        let dinput = Blocked::new(size, [0, 0]);
        let ways = [KernelTable::STREAMED, KernelTable::PACKED]
            .map(|table| ConvPlan::by(table, shape, &mask, (input, output, dout, Some(dinput))));
        let mut stream = Stream::new(1, "bench/tune/values");
        let mut numbers =
            |len: usize| (0..len).map(|_| stream.unit() as f32 - 0.5).collect::<Vec<_>>();
        let mut places = |places: Blocked| {
            let mut values = numbers(BLOCKS * places.block());
            values.chunks_exact_mut(places.block()).for_each(|block| places.clear_halo(block));
            values
        };
        Self {
            input: places(input),
            output: places(output),
            dout: places(dout),
            dinput: places(dinput),
            values: numbers(mask.existing()),
            gradient: vec![0.0; mask.existing()],
            scratch: Vec::new(),
            ways,
        }
    }

    /// How often each pass reads what it packs, if it can pack.
    pub(super) fn reuse(&self) -> [Option<f64>; 3] {
        self.ways[1].reuse()
    }

    /// Seconds of a pass (forward, the input's gradient, the weights') streamed or packed.
    pub(super) fn time(&mut self, way: usize, pass: usize) -> f64 {
        let Self { ways, values, input, output, dout, dinput, gradient, scratch } = self;
        let plan = &ways[way];
        let watch = Stopwatch::start();
        match pass {
            0 => plan.forward(isa(), values, None, input, output, false, scratch),
            1 => plan.input_gradient(isa(), values, dout, dinput, false, scratch),
            _ => plan.weight_gradient(isa(), dout, input, gradient),
        }
        watch.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_outputs_and_close_gradients() {
        let case = &CASES[15];
        assert_eq!((case.to_string().as_str(), case.density), ("256@8x8 to 256, 3x3", 0.1));
        let mut trial = Trial::new(case);
        let mut found = [0, 1].map(|way| {
            trial.gradient.fill(0.0);
            (0..3).for_each(|pass| assert!(trial.time(way, pass) > 0.0));
            (trial.output.clone(), trial.dinput.clone(), trial.gradient.clone())
        });
        assert!(trial.reuse().iter().all(Option::is_some), "{:?}", trial.reuse());
        let [streamed, packed] = &mut found;
        // A sum of up to 256 x 9 x 10 % terms below 1/4 each, in another order.
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near(&streamed.0, &packed.0) && near(&streamed.1, &packed.1));
        assert!(near(&streamed.2, &packed.2) && streamed.2.iter().any(|g| *g != 0.0));
    }
}
