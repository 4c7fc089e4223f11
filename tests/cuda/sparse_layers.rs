//! Layers by the kernels that touch the weights that exist only: each pass against a plain loop, its stated order of
//! sums to the bit, the engine against the processor's, and where a pass is chosen to be sparse.

use unlearn::base::rng::Stream;
use unlearn::model::{Device, Mode};
use unlearn::sparse::cuda::{
    Address, Layer, Machine, MaskAt, MaskBits, Precision, SparseBelow, SparseLayer,
};
use unlearn::sparse::{ConvShape, Mask};

use crate::bed::{Bed, both, close, draw};
use crate::emulator::{Emulator, Order};
use crate::engine::{agree_on, device};
use crate::layers::{Case, Sums, WITHIN, case};

/// Few and many weights, whole masks; several chunks of channels, tiles, blocks of written channels, units and parts;
/// strides that meet each place and that skip some; groups, and one channel a group; kernels that cover their input.
const CASES: [Case; 14] = [
    case(1, [1, 5, 7], 3, [[3, 3], [1, 1], [1, 1]], 1, 1.0),
    case(5, [3, 9, 7], 17, [[3, 3], [2, 2], [1, 1]], 1, 0.3),
    case(16, [17, 4, 4], 64, [[1, 1], [2, 2], [0, 0]], 1, 1.0),
    case(5, [64, 5, 3], 70, [[1, 1], [1, 1], [0, 0]], 1, 0.1),
    case(16, [40, 6, 6], 70, [[3, 3], [1, 1], [1, 1]], 1, 0.3),
    case(5, [17, 3, 2], 10, [[3, 2], [1, 1], [0, 0]], 1, 0.5),
    case(3, [6, 8, 7], 9, [[3, 3], [2, 1], [1, 1]], 3, 0.5),
    case(5, [3, 11, 10], 4, [[5, 1], [3, 1], [2, 0]], 1, 1.0),
    case(2, [3, 8, 8], 5, [[2, 2], [3, 3], [0, 0]], 1, 0.7),
    case(5, [200, 1, 1], 130, [[1, 1], [1, 1], [0, 0]], 1, 0.05),
    case(5, [17, 5, 5], 17, [[3, 3], [1, 1], [1, 1]], 17, 0.6),
    case(1, [5, 13, 20], 20, [[7, 7], [1, 1], [3, 3]], 1, 0.05),
    case(2, [33, 4, 4], 40, [[3, 3], [1, 1], [1, 1]], 1, 0.01),
    case(2, [3, 4, 4], 5, [[3, 3], [1, 1], [1, 1]], 1, 0.0),
];

/// A case, and a mask of its own.
struct Masked(Case, Mask);

impl Masked {
    fn values(&self) -> Vec<f32> {
        draw(&mut Stream::new(3, "test/values"), self.1.existing())
    }

    /// The layer with its lists on the device, for batches of up to `samples`, and its values.
    fn layer(&self, bed: &mut Bed, samples: usize) -> (SparseLayer, Address) {
        let Self(case, mask) = self;
        let MaskBits { bits, before } = MaskBits::of(mask);
        let plain = self.plain();
        let mut at = plain;
        if !bits.is_empty() {
            at.mask = MaskAt { bits: bed.words(&bits), before: bed.words(&before) };
        }
        let always = SparseBelow::ALWAYS;
        let mut layer = SparseLayer::of(plain, samples, always, [true; 3]).unwrap();
        assert_eq!(layer.takes(), [true; 3], "{case:?}");
        let lists = bed.scratch(layer.words());
        let words = layer.put(at, mask, lists);
        assert_eq!(words.len(), layer.words(), "{case:?}");
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bed.device.upload(lists, &bytes).unwrap();
        let values = bed.reals(&self.values());
        (layer, values)
    }

    fn plain(&self) -> Layer {
        let Self(case, mask) = self;
        let existing = mask.existing();
        Layer { shape: case.shape, input: case.input, existing, mask: MaskAt::default() }
    }
}

/// All cases, and some with one weight, first, in the middle or last.
fn each(mut check: impl FnMut(&Masked)) {
    for case in CASES {
        check(&Masked(case, case.mask()));
    }
    for (case, at) in [(CASES[1], 0), (CASES[4], 5000), (CASES[6], 161), (CASES[9], 25_999)] {
        let len = case.shape.weights(case.input[0]);
        check(&Masked(case, Mask::from_fn(len, |position| position == at)));
    }
}

#[test]
fn outputs_are_sums_of_products_of_weights_that_exist() {
    each(|masked| {
        let Masked(case, mask) = masked;
        let (x, dense) = (case.x(), mask.spread(&masked.values()));
        let bias = draw(&mut Stream::new(3, "test/bias"), case.shape.filters);
        for (biased, relu) in [(true, false), (false, true)] {
            let found = both(|bed| {
                let (layer, values) = masked.layer(bed, case.samples);
                let bias = if biased { bed.reals(&bias) } else { Address::default() };
                let x = bed.tensor(case.samples, case.input, Some(&x));
                let y = bed.tensor(case.samples, case.output(), None);
                let scratch = bed.scratch(layer.scratch());
                let device: &mut dyn Machine = &mut bed.device;
                assert!(layer.forward(device, [values, bias], (x, y), relu, scratch).unwrap());
                bed.read(y.at, y.len())
            });
            let Some(found) = found else { return };
            let mut y = Sums::zeros(found.len());
            for (at, bias) in (0..found.len()).zip(bias.iter().cycle()).filter(|_| biased) {
                y.add(at, f64::from(*bias));
            }
            case.meets(|to, from, weight| {
                y.add(to, f64::from(x[from]) * f64::from(dense[weight]));
            });
            if relu {
                y.sums.iter_mut().for_each(|y| *y = y.max(0.0));
            }
            close(&found, &y.sums, &y.sizes, WITHIN, &format!("{case:?}"));
        }
    });
}

#[test]
fn input_gradients_come_back_through_the_same_weights() {
    each(|masked| {
        let Masked(case, mask) = masked;
        let (dy, dense) = (case.dy(), mask.spread(&masked.values()));
        let start = draw(&mut Stream::new(3, "test/dx"), case.x().len());
        for accumulate in [false, true] {
            let found = both(|bed| {
                let (layer, values) = masked.layer(bed, case.samples);
                let dy = bed.tensor(case.samples, case.output(), Some(&dy));
                let dx = bed.tensor(case.samples, case.input, accumulate.then_some(&start[..]));
                let scratch = bed.scratch(layer.scratch());
                let device: &mut dyn Machine = &mut bed.device;
                assert!(
                    layer.input_gradient(device, values, (dy, dx), accumulate, scratch).unwrap()
                );
                bed.read(dx.at, dx.len())
            });
            let Some(found) = found else { return };
            let mut dx = if accumulate { Sums::of(&start) } else { Sums::zeros(start.len()) };
            case.meets(|from, to, weight| {
                dx.add(to, f64::from(dy[from]) * f64::from(dense[weight]));
            });
            close(&found, &dx.sums, &dx.sizes, WITHIN, &format!("{case:?}"));
        }
    });
}

#[test]
fn gradients_of_weights_that_exist_are_added_and_no_others() {
    each(|masked| {
        let Masked(case, mask) = masked;
        let (x, dy) = (case.x(), case.dy());
        let start = draw(&mut Stream::new(3, "test/gradient"), mask.existing());
        let found = both(|bed| {
            let (layer, _) = masked.layer(bed, case.samples);
            let dy = bed.tensor(case.samples, case.output(), Some(&dy));
            let x = bed.tensor(case.samples, case.input, Some(&x));
            let (gradient, partials) = (bed.reals(&start), bed.scratch(layer.partials()));
            let device: &mut dyn Machine = &mut bed.device;
            assert!(layer.weight_gradient(device, (dy, x), gradient, partials).unwrap());
            bed.read(gradient, start.len())
        });
        let Some(found) = found else { return };
        let mut dense = Sums::of(&mask.spread(&start));
        case.meets(|from, read, weight| {
            dense.add(weight, f64::from(dy[from]) * f64::from(x[read]));
        });
        let pack = |dense: &[f64]| mask.iter().map(|at| dense[at]).collect::<Vec<f64>>();
        close(&found, &pack(&dense.sums), &pack(&dense.sizes), WITHIN, &format!("{case:?}"));
    });
}

/// What the sources promise: one chain of fused additions, in the order of the mask, whatever the tile.
#[test]
fn a_sum_is_one_chain_in_the_order_of_the_mask() {
    for at in [1, 4, 6, 11] {
        let case = CASES[at];
        let masked = Masked(case, case.mask());
        let (x, dense) = (case.x(), case.mask().spread(&masked.values()));
        let mut chain = vec![0.0_f32; case.samples * case.output().iter().product::<usize>()];
        // Each output meets its weights as the mask has them.
        case.meets(|to, from, weight| chain[to] = dense[weight].mul_add(x[from], chain[to]));
        for batch in [case.samples, 64] {
            let found = both(|bed| {
                let (layer, values) = masked.layer(bed, batch);
                let x = bed.tensor(case.samples, case.input, Some(&x));
                let y = bed.tensor(case.samples, case.output(), None);
                let scratch = bed.scratch(layer.scratch());
                let weights = [values, Address::default()];
                layer.forward(&mut bed.device, weights, (x, y), false, scratch).unwrap();
                bed.read(y.at, y.len())
            });
            let Some(found) = found else { return };
            assert_eq!(found, chain, "{case:?} in batches of {batch}");
        }
    }
}

/// In TF32, which rounds, so that a pass on the multipliers would show.
#[test]
fn an_engine_of_sparse_passes_gives_what_the_processor_gives() {
    let always = Some(SparseBelow::ALWAYS);
    for (number, mode) in [(40, Mode::Train), (41, Mode::Frozen)] {
        let Some(card) = device(number, Precision::Tf32, Order::Forward) else { return };
        let Device::Cuda { ordinal, capability, precision, .. } = card else { unreachable!() };
        let card = Device::Cuda { ordinal, capability, precision, sparse: always };
        agree_on(card, Precision::F32, mode, 2e-5);
    }
}

/// A layer of ResNet-18 of which this share of weights exists.
fn of_resnet(channels: usize, side: usize, share: f64) -> Layer {
    let shape =
        ConvShape { filters: channels, kernel: [3, 3], stride: [1, 1], padding: [1, 1], groups: 1 };
    let existing = (shape.weights(channels) as f64 * share) as usize;
    Layer { shape, input: [channels, side, side], existing, mask: MaskAt::default() }
}

#[test]
fn passes_are_sparse_where_that_is_predicted_to_be_faster() {
    let takes = |layer: Layer, batch, precision, capability| {
        let below = SparseBelow::predicted(precision, capability);
        SparseLayer::of(layer, batch, below, [true; 3]).map_or([false; 3], |found| found.takes())
    };
    let (f32, tf32, f16) = (Precision::F32, Precision::Tf32, Precision::F16);
    for (channels, side) in [(128, 16), (256, 8), (512, 4)] {
        let layer = |share| of_resnet(channels, side, share);
        let forward = |share, precision, capability| {
            let [forward, input, _] = takes(layer(share), 64, precision, capability);
            assert_eq!(forward, input, "{channels} {share} {precision:?} {capability:?}");
            forward
        };
        assert!(forward(0.05, tf32, [8, 7]) && !forward(0.12, tf32, [8, 7]));
        assert!(forward(0.03, f16, [8, 7]) && !forward(0.06, f16, [8, 7]));
        assert!(forward(0.4, f32, [7, 2]) && !forward(0.7, f32, [7, 2]));
        assert!(forward(0.2, f32, [8, 7]) && !forward(0.4, f32, [8, 7]));
        for capability in [[9, 0], [11, 0]] {
            assert!(!forward(0.001, tf32, capability) && !forward(0.001, f16, capability));
        }
    }
    // One sample of one place fills a lane of 32, and a channel a group nothing of a block.
    assert_eq!(takes(of_resnet(512, 1, 0.05), 1, f32, [8, 7]), [false; 3]);
    let depthwise = ConvShape { groups: 128, ..of_resnet(128, 16, 1.0).shape };
    let depthwise = Layer { shape: depthwise, existing: 57, ..of_resnet(128, 16, 1.0) };
    assert_eq!(takes(depthwise, 64, tf32, [8, 7]), [false; 3]);
    // What nobody asks for is not made.
    let only =
        SparseLayer::of(of_resnet(128, 16, 0.5), 64, SparseBelow::ALWAYS, [false, true, false]);
    assert_eq!(only.map(|found| found.takes()), Some([false, true, false]));
    assert!(SparseLayer::of(of_resnet(128, 16, 0.0), 64, SparseBelow::NEVER, [true; 3]).is_none());
}

/// On a device of a test.
fn launched(launch: impl FnOnce(&mut Bed, SparseLayer, Address)) {
    let Some(device) = Emulator::new(Order::Forward).unwrap() else {
        panic!("no compiler: skipped as 5 samples of 4, the mask of another layer");
    };
    let mut bed = Bed { device };
    let masked = Masked(CASES[1], CASES[1].mask());
    let (layer, values) = masked.layer(&mut bed, 4);
    launch(&mut bed, layer, values);
}

#[test]
#[should_panic(expected = "5 samples of 4")]
fn more_samples_than_lists_are_for_are_refused() {
    launched(|bed, layer, values| {
        let x = bed.tensor(5, CASES[1].input, None);
        let y = bed.tensor(5, CASES[1].output(), None);
        let weights = [values, Address::default()];
        let _ = layer.forward(&mut bed.device, weights, (x, y), false, Address::default());
    });
}

#[test]
#[should_panic(expected = "the mask of another layer")]
fn lists_of_another_mask_are_refused() {
    launched(|bed, mut layer, _| {
        let masked = Masked(CASES[1], CASES[1].mask());
        let other = Mask::full(CASES[1].mask().len());
        let at = bed.scratch(1);
        layer.put(Layer { mask: MaskAt::default(), ..masked.plain() }, &other, at);
    });
}

#[test]
#[should_panic(expected = "the output of another layer")]
fn tensors_of_another_layer_are_refused() {
    let layer = SparseLayer::of(of_resnet(8, 4, 0.5), 1, SparseBelow::ALWAYS, [true; 3]).unwrap();
    let Some(device) = Emulator::new(Order::Forward).unwrap() else {
        panic!("no compiler: skipped as the output of another layer");
    };
    let mut bed = Bed { device };
    let (dy, x) = (bed.tensor(1, [8, 4, 5], None), bed.tensor(1, [8, 4, 4], None));
    let nowhere = Address::default();
    let _ = layer.weight_gradient(&mut bed.device, (dy, x), nowhere, nowhere);
}
