//! Every kernel of a convolution, on every instruction set, against its formula summed in `f64`.

use super::*;

/// Numbers in -0.5..0.5 that look like none in particular.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

/// A convolution without groups over `samples` samples, and its three passes by the formula.
struct Case {
    shape: ConvShape,
    size: [usize; 3],
    samples: usize,
    mask: Mask,
    values: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(shape: ConvShape, size: [usize; 3], samples: usize, density: f32) -> Self {
        let chosen = numbers(shape.weights(size[0]), 1);
        let mask = Mask::from_fn(chosen.len(), |i| chosen[i] + 0.5 < density);
        let [height, width] = shape.output(size);
        let values = numbers(mask.existing(), 2);
        let x = numbers(samples * size.iter().product::<usize>(), 3);
        let dy = numbers(samples * shape.filters * height * width, 4);
        Self { shape, size, samples, mask, values, x, dy }
    }

    /// Output, input gradient, weight gradient.
    fn formula(&self) -> [Vec<f64>; 3] {
        let [channels, height, width] = self.size;
        let [rows, columns] = self.shape.output(self.size);
        let [kh, kw] = self.shape.kernel;
        let mut y = vec![0.0; self.dy.len()];
        let mut dx = vec![0.0; self.x.len()];
        let mut dw = vec![0.0; self.values.len()];
        for (k, position) in self.mask.iter().enumerate() {
            let (kx, ky, plane) = (position % kw, position / kw % kh, position / kw / kh);
            let (channel, filter) = (plane % channels, plane / channels);
            let value = f64::from(self.values[k]);
            for sample in 0..self.samples {
                for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                    let at = |place: usize, d: usize, k: usize, side: usize| {
                        let at =
                            (place * self.shape.stride[d] + k).checked_sub(self.shape.padding[d]);
                        at.filter(|&at| at < side)
                    };
                    let (Some(v), Some(u)) = (at(i, 0, ky, height), at(j, 1, kx, width)) else {
                        continue;
                    };
                    let from = ((sample * channels + channel) * height + v) * width + u;
                    let to = ((sample * self.shape.filters + filter) * rows + i) * columns + j;
                    y[to] += value * f64::from(self.x[from]);
                    dx[from] += value * f64::from(self.dy[to]);
                    dw[k] += f64::from(self.dy[to]) * f64::from(self.x[from]);
                }
            }
        }
        [y, dx, dw]
    }

    fn kernels(&self, isa: Isa) -> [Vec<f32>; 3] {
        let [height, width] = self.shape.output(self.size);
        let out = [self.shape.filters, height, width];
        let input = Blocked::new(self.size, self.shape.input_halo());
        let dout = Blocked::new(out, self.shape.output_halo(self.size));
        let (output, dinput) = (Blocked::new(out, [1, 0]), Blocked::new(self.size, [0, 1]));
        let plan = ConvPlan::new(self.shape, &self.mask, input, output, dout, Some(dinput));
        let x = blocked(&self.x, input, self.samples);
        let dy = blocked(&self.dy, dout, self.samples);
        let blocks = Blocked::blocks(self.samples);
        let mut y = vec![0.0; blocks * output.block()];
        let mut dx = vec![0.0; blocks * dinput.block()];
        let mut dw = vec![0.0; self.values.len()];
        plan.forward(isa, &self.values, None, &x, &mut y, false, &mut Vec::new());
        plan.input_gradient(isa, &self.values, &dy, &mut dx, false, &mut Vec::new());
        plan.weight_gradient(isa, &dy, &x, &mut dw);
        [samples(&y, output, self.samples), samples(&dx, dinput, self.samples), dw]
    }
}

/// Where value `i` of `[samples, C, H, W]` lies.
fn at(places: Blocked, i: usize) -> usize {
    let (x, rest) = (i % places.width, i / places.width);
    let (y, rest) = (rest % places.height, rest / places.height);
    let (channel, sample) = (rest % places.channels, rest / places.channels);
    sample / LANES * places.block() + places.at(channel, y, x) + sample % LANES
}

fn blocked(values: &[f32], places: Blocked, samples: usize) -> Vec<f32> {
    let mut out = vec![0.0; Blocked::blocks(samples) * places.block()];
    values.iter().enumerate().for_each(|(i, &value)| out[at(places, i)] = value);
    out
}

fn samples(values: &[f32], places: Blocked, samples: usize) -> Vec<f32> {
    let len = samples * places.channels * places.height * places.width;
    (0..len).map(|i| values[at(places, i)]).collect()
}

/// Tolerance: `5e-6` of the largest value, in sums of up to four thousand terms, each of which rounds by
/// less than `6e-8` of the sum's size.
fn compare(case: &Case) {
    let expected = case.formula();
    for isa in Isa::available() {
        let found = case.kernels(isa);
        for (pass, (found, expected)) in ["y", "dx", "dw"].iter().zip(found.iter().zip(&expected)) {
            let most = expected.iter().fold(0.0f64, |most, v| most.max(v.abs())).max(1.0);
            for (i, (x, y)) in found.iter().zip(expected).enumerate() {
                let apart = (f64::from(*x) - y).abs();
                assert!(apart <= 5e-6 * most, "{isa:?} {:?}: {pass}[{i}]: {x} {y}", case.shape);
            }
        }
    }
}

fn conv(filters: usize, kernel: usize, stride: usize) -> ConvShape {
    let padding = [kernel / 2; 2];
    ConvShape { filters, kernel: [kernel; 2], stride: [stride; 2], padding, groups: 1 }
}

#[test]
fn convolutions_are_what_their_formula_says() {
    for density in [0.0, 0.1, 0.6, 1.0] {
        for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1)] {
            compare(&Case::new(conv(13, kernel, stride), [6, 7, 11], 18, density));
        }
        // One that covers its input, as linear layers do.
        let linear = ConvShape { padding: [0, 0], ..conv(11, 4, 1) };
        compare(&Case::new(linear, [5, 4, 4], 18, density));
    }
}

#[test]
fn packed_tiles_give_what_the_formula_says() {
    // Many channels, so that packing pays: lists of several chunks; planes that no tile divides, in
    // more tiles than are packed together.
    for stride in [1, 2] {
        compare(&Case::new(conv(20, 3, stride), [160, 3, 18], 17, 0.2));
        compare(&Case::new(conv(70, 3, stride), [66, 5, 37], 17, 0.1));
    }
    compare(&Case::new(conv(70, 1, 2), [66, 5, 7], 3, 0.9));
    // Enough rows and weights that units share them out.
    compare(&Case::new(conv(520, 3, 1), [16, 3, 3], 17, 0.9));
}

#[test]
fn dense_layers_give_it_in_parts_and_bands() {
    // Lists of several parts forward, back and in the gradient; lines longer than a band; rows that leave
    // tiles of four, two and one; two blocks.
    compare(&Case::new(conv(39, 3, 1), [70, 2, 67], 3, 1.0));
    compare(&Case::new(conv(15, 3, 2), [66, 9, 18], 17, 1.0));
    compare(&Case::new(conv(30, 1, 1), [300, 9, 8], 17, 1.0));
}
