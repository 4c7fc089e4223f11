//! Convolutions and linear layers: each pass against one plain loop over all that meets.

use unlearn::base::rng::Stream;
use unlearn::sparse::cuda::{Address, Layer, Machine, MaskAt, MaskBits, Precision, Tensor};
use unlearn::sparse::{ConvShape, Mask};

use crate::bed::{Bed, both, close, draw};
use crate::emulator::{Emulator, Order};

/// A layer, a batch, and the share of its weights that exist (1: a whole mask).
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub samples: usize,
    pub input: [usize; 3],
    pub shape: ConvShape,
    pub share: f64,
}

pub const fn case(
    samples: usize,
    input: [usize; 3],
    filters: usize,
    [kernel, stride, padding]: [[usize; 2]; 3],
    groups: usize,
    share: f64,
) -> Case {
    let shape = ConvShape { filters, kernel, stride, padding, groups };
    Case { samples, input, shape, share }
}

/// Steps of 16 factors within one tap (depth 16, 32, 64) and across taps; more rows and columns than a
/// block has, and fewer; phases that no tap meets; groups; linear layers; parts of the weight gradient.
const CASES: [Case; 12] = [
    case(1, [1, 5, 7], 3, [[3, 3], [1, 1], [1, 1]], 1, 1.0),
    case(5, [3, 9, 6], 17, [[3, 3], [2, 2], [1, 1]], 1, 0.3),
    case(16, [17, 4, 4], 64, [[1, 1], [2, 2], [0, 0]], 1, 1.0),
    case(2, [64, 5, 3], 70, [[3, 3], [1, 1], [1, 1]], 1, 0.1),
    case(16, [17, 3, 2], 10, [[3, 2], [1, 1], [0, 0]], 1, 0.5),
    case(3, [6, 8, 7], 9, [[3, 3], [2, 1], [1, 1]], 3, 0.5),
    case(2, [32, 6, 5], 32, [[3, 3], [1, 1], [1, 1]], 2, 0.5),
    case(5, [3, 11, 10], 4, [[5, 1], [3, 1], [2, 0]], 1, 1.0),
    case(2, [3, 8, 8], 5, [[2, 2], [3, 3], [0, 0]], 1, 0.7),
    case(16, [64, 1, 1], 130, [[1, 1], [1, 1], [0, 0]], 1, 0.2),
    case(5, [17, 5, 5], 17, [[3, 3], [1, 1], [1, 1]], 17, 0.6),
    case(16, [1, 9, 8], 16, [[7, 5], [1, 1], [3, 2]], 1, 0.9),
];

/// Those that the other precisions see: both kinds of steps, halves at odd sizes, groups, a linear layer.
const ROUNDED: [usize; 5] = [1, 3, 4, 6, 8];

impl Case {
    pub fn output(&self) -> [usize; 3] {
        let [height, width] = self.shape.output(self.input);
        [self.shape.filters, height, width]
    }

    pub fn mask(&self) -> Mask {
        let len = self.shape.weights(self.input[0]);
        if self.share == 1.0 {
            return Mask::full(len);
        }
        let mut stream = Stream::new(3, "test/mask");
        Mask::from_fn(len, |_| stream.unit() < self.share)
    }

    pub fn x(&self) -> Vec<f32> {
        let len = self.samples * self.input.iter().product::<usize>();
        draw(&mut Stream::new(3, "test/x"), len)
    }

    pub fn dy(&self) -> Vec<f32> {
        let len = self.samples * self.output().iter().product::<usize>();
        draw(&mut Stream::new(3, "test/dy"), len)
    }

    fn values(&self) -> Vec<f32> {
        draw(&mut Stream::new(3, "test/values"), self.mask().existing())
    }

    /// Calls `meet(y, x, w)` for each product: places in output, input and dense weights.
    pub fn meets(&self, mut meet: impl FnMut(usize, usize, usize)) {
        let ConvShape { kernel, stride, padding, groups, .. } = self.shape;
        let ([channels, height, width], [filters, oh, ow]) = (self.input, self.output());
        let (depth, per_group) = (channels / groups, filters / groups);
        for at in 0..self.samples * oh * ow * filters * depth * kernel[0] * kernel[1] {
            let (kx, rest) = (at % kernel[1], at / kernel[1]);
            let (ky, rest) = (rest % kernel[0], rest / kernel[0]);
            let (channel, rest) = (rest % depth, rest / depth);
            let (filter, place) = (rest % filters, rest / filters);
            let (ox, oy, sample) = (place % ow, place / ow % oh, place / ow / oh);
            let (iy, ix) = (oy * stride[0] + ky, ox * stride[1] + kx);
            let inside =
                |at: usize, d: usize, side: usize| at >= padding[d] && at - padding[d] < side;
            if inside(iy, 0, height) && inside(ix, 1, width) {
                let (iy, ix) = (iy - padding[0], ix - padding[1]);
                let read = filter / per_group * depth + channel;
                meet(
                    place * filters + filter,
                    ((sample * height + iy) * width + ix) * channels + read,
                    ((filter * depth + channel) * kernel[0] + ky) * kernel[1] + kx,
                );
            }
        }
    }

    /// The layer, its mask and its values on the device.
    fn layer(&self, bed: &mut Bed) -> (Layer, Address) {
        let mask = self.mask();
        let MaskBits { bits, before } = MaskBits::of(&mask);
        let mask_at = if bits.is_empty() {
            MaskAt::default()
        } else {
            MaskAt { bits: bed.words(&bits), before: bed.words(&before) }
        };
        let existing = mask.existing();
        let layer = Layer { shape: self.shape, input: self.input, existing, mask: mask_at };
        let values = bed.reals(&self.values());
        (layer, values)
    }
}

/// Factors as a precision sees them.
fn rounded(precision: Precision, values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(round(precision, value))).collect()
}

fn round(precision: Precision, value: f32) -> f32 {
    match precision {
        Precision::F32 => value,
        // To 10 bits of mantissa, ties away from zero.
        Precision::Tf32 => f32::from_bits((value.to_bits() + 0x1000) & 0xffff_e000),
        Precision::F16 => half::f16::from_f32(value).to_f32(),
        Precision::Bf16 => half::bf16::from_f32(value).to_f32(),
    }
}

/// Sums and the sizes of their terms.
pub struct Sums {
    pub sums: Vec<f64>,
    pub sizes: Vec<f64>,
}

impl Sums {
    /// What is there before anything is added.
    pub fn of(start: &[f32]) -> Self {
        let sums: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        Self { sizes: sums.iter().map(|x| x.abs()).collect(), sums }
    }

    pub fn zeros(len: usize) -> Self {
        Self { sums: vec![0.0; len], sizes: vec![0.0; len] }
    }

    pub fn add(&mut self, at: usize, term: f64) {
        self.sums[at] += term;
        self.sizes[at] += term.abs();
    }
}

fn each(mut check: impl FnMut(Case, Precision)) {
    for (at, case) in CASES.into_iter().enumerate() {
        for precision in Precision::ALL {
            if precision == Precision::F32 || ROUNDED.contains(&at) {
                check(case, precision);
            }
        }
    }
}

/// How far a sum of a few hundred rounded products may be off, by the size of its terms.
pub const WITHIN: f64 = 3e-6;

#[test]
fn outputs_are_sums_of_products_of_weights_that_exist() {
    each(|case, precision| {
        let what = format!("{case:?} {precision:?}");
        let (x, dense) = (case.x(), case.mask().spread(&case.values()));
        let bias = draw(&mut Stream::new(3, "test/bias"), case.shape.filters);
        for (biased, relu) in [(true, false), (false, true)] {
            let found = both(|bed| {
                let (layer, values) = case.layer(bed);
                let bias = if biased { bed.reals(&bias) } else { Address::default() };
                let x = bed.tensor(case.samples, case.input, Some(&x));
                let y = bed.tensor(case.samples, case.output(), None);
                let scratch = bed.scratch(layer.expanded());
                let device: &mut dyn Machine = &mut bed.device;
                layer.forward(device, precision, [values, bias], (x, y), relu, scratch).unwrap();
                bed.read(y.at, y.len())
            });
            let Some(found) = found else { return };
            let [x, dense] = [&x, &dense].map(|factors| rounded(precision, factors));
            let mut y = Sums::zeros(found.len());
            for (at, bias) in (0..found.len()).zip(bias.iter().cycle()).filter(|_| biased) {
                y.add(at, f64::from(*bias));
            }
            case.meets(|to, from, weight| {
                y.add(to, x[from] * dense[weight]);
            });
            if relu {
                y.sums.iter_mut().for_each(|y| *y = y.max(0.0));
            }
            close(&found, &y.sums, &y.sizes, WITHIN, &what);
        }
    });
}

#[test]
fn input_gradients_come_back_through_the_same_weights() {
    each(|case, precision| {
        let what = format!("{case:?} {precision:?}");
        let (dy, dense) = (case.dy(), case.mask().spread(&case.values()));
        let start = draw(&mut Stream::new(3, "test/dx"), case.x().len());
        for accumulate in [false, true] {
            let found = both(|bed| {
                let (layer, values) = case.layer(bed);
                let dy = bed.tensor(case.samples, case.output(), Some(&dy));
                let dx = bed.tensor(case.samples, case.input, accumulate.then_some(&start[..]));
                let scratch = bed.scratch(layer.expanded());
                let device: &mut dyn Machine = &mut bed.device;
                let tensors = (dy, dx);
                layer
                    .input_gradient(device, precision, values, tensors, accumulate, scratch)
                    .unwrap();
                bed.read(dx.at, dx.len())
            });
            let Some(found) = found else { return };
            let [dy, dense] = [&dy, &dense].map(|factors| rounded(precision, factors));
            let mut dx = if accumulate { Sums::of(&start) } else { Sums::zeros(start.len()) };
            case.meets(|from, to, weight| {
                dx.add(to, dy[from] * dense[weight]);
            });
            close(&found, &dx.sums, &dx.sizes, WITHIN, &what);
        }
    });
}

#[test]
fn gradients_of_weights_that_exist_are_added_and_no_others() {
    each(|case, precision| {
        let what = format!("{case:?} {precision:?}");
        let (x, dy, mask) = (case.x(), case.dy(), case.mask());
        let start = draw(&mut Stream::new(3, "test/gradient"), mask.existing());
        let found = both(|bed| {
            let (layer, _) = case.layer(bed);
            let dy = bed.tensor(case.samples, case.output(), Some(&dy));
            let x = bed.tensor(case.samples, case.input, Some(&x));
            let gradient = bed.reals(&start);
            let partials = bed.scratch(layer.partials(case.samples));
            let device: &mut dyn Machine = &mut bed.device;
            layer.weight_gradient(device, precision, (dy, x), gradient, partials).unwrap();
            bed.read(gradient, start.len())
        });
        let Some(found) = found else { return };
        let [dy, x] = [&dy, &x].map(|factors| rounded(precision, factors));
        let mut dense = Sums::of(&mask.spread(&start));
        case.meets(|from, read, weight| {
            dense.add(weight, dy[from] * x[read]);
        });
        let pack = |dense: &[f64]| mask.iter().map(|at| dense[at]).collect::<Vec<f64>>();
        close(&found, &pack(&dense.sums), &pack(&dense.sizes), WITHIN, &what);
    });
}

#[test]
fn without_the_compilers_checks_the_same_bytes_come_out() {
    let case = CASES[6];
    let outputs = |mut bed: Bed| {
        let (layer, values) = case.layer(&mut bed);
        let x = bed.tensor(case.samples, case.input, Some(&case.x()));
        let scratch = bed.scratch(layer.expanded());
        let pass = |precision| {
            let y = bed.tensor(case.samples, case.output(), None);
            let device: &mut dyn Machine = &mut bed.device;
            let at = [values, Address::default()];
            layer.forward(device, precision, at, (x, y), false, scratch).unwrap();
            bed.read(y.at, y.len())
        };
        Precision::ALL.map(pass)
    };
    let Some(checked) = Bed::new(Order::Forward) else { return };
    let device = Emulator::fast(Order::Forward).unwrap().unwrap();
    assert_eq!(outputs(checked), outputs(Bed { device }));
}

#[test]
fn a_layer_without_weights_gives_its_bias_and_no_gradient() {
    let case = case(2, [3, 4, 4], 5, [[3, 3], [1, 1], [1, 1]], 1, 0.0);
    let found = both(|bed| {
        let (layer, values) = case.layer(bed);
        let bias = bed.reals(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let x = bed.tensor(case.samples, case.input, Some(&case.x()));
        let y = bed.tensor(case.samples, case.output(), None);
        let dx = bed.tensor(case.samples, case.input, None);
        let scratch = bed.scratch(layer.expanded());
        let partials = bed.scratch(layer.partials(case.samples));
        let device: &mut dyn Machine = &mut bed.device;
        let f32 = Precision::F32;
        layer.forward(device, f32, [values, bias], (x, y), false, scratch).unwrap();
        layer.input_gradient(device, f32, values, (y, dx), false, scratch).unwrap();
        layer.weight_gradient(device, f32, (y, x), Address::default(), partials).unwrap();
        [bed.read(y.at, y.len()), bed.read(dx.at, dx.len())].concat()
    });
    let Some(found) = found else { return };
    let (y, dx) = found.split_at(2 * 5 * 16);
    assert!(y.chunks(5).all(|place| place == [1.0, 2.0, 3.0, 4.0, 5.0]));
    assert!(dx.iter().all(|dx| *dx == 0.0));
}

#[test]
fn the_gradient_of_a_bias_is_the_sum_over_samples_and_places() {
    // One part of rows, and several with a short last one.
    for (samples, shape) in [(1, [1, 1, 1]), (5, [17, 3, 7]), (16, [64, 9, 8]), (16, [3, 10, 9])] {
        let mut stream = Stream::new(5, "test/bias");
        let len = samples * shape.iter().product::<usize>();
        let (dy, start) = (draw(&mut stream, len), draw(&mut stream, shape[0]));
        let kernel = ConvShape {
            filters: shape[0],
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            groups: 1,
        };
        let mask = MaskAt::default();
        let input = [1, shape[1], shape[2]];
        let layer = Layer { shape: kernel, input, existing: shape[0], mask };
        let found = both(|bed| {
            let at: Tensor = bed.tensor(samples, shape, Some(&dy));
            let gradient = bed.reals(&start);
            let partials = bed.scratch(layer.partials(samples));
            layer.bias_gradient(&mut bed.device, at, gradient, partials).unwrap();
            bed.read(gradient, shape[0])
        });
        let Some(found) = found else { return };
        let mut sums = Sums::of(&start);
        dy.iter().enumerate().for_each(|(at, dy)| sums.add(at % shape[0], f64::from(*dy)));
        close(&found, &sums.sums, &sums.sizes, WITHIN, &format!("{samples} {shape:?}"));
    }
}
