//! Every kernel on one thread: `cargo bench --bench kernels`, and with a part of a name behind `--`,
//! like `-- forward.*64@32`, those that it matches.
//!
//! Of a convolution or linear layer an item is one floating-point operation, two for each weight that
//! exists, place and sample: `Gitem/s` reads GFLOP/s of useful work. A dense layer's figure is what
//! density 1 shows. Batch norm is bound by memory, so its figure is bytes that are read and written.
//! Masks are uniformly random, batches are sixteen samples. `.ci/instructions` counts instructions of the same.

use std::error::Error;
use std::fmt::{self, Display};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rayon::ThreadPoolBuilder;
use unlearn::base::rng::Stream;
use unlearn::sparse::{
    BatchNorm, Blocked, ConvPlan, ConvShape, Isa, LANES, Mask, NormGradients, Operands, Running,
    Saved, Target,
};

const DENSITIES: [f64; 5] = [1.0, 0.5, 0.1, 0.05, 0.02];

/// A layer's channels in, filters, side of its input and kernel, stride, and groups.
#[derive(Clone, Copy)]
struct Layer(usize, usize, usize, usize, usize, usize);

/// The convolutions of a ResNet-18 at CIFAR's size, by stage; then those that halve the side, their
/// shortcuts, and the long 1x1 of a bottleneck.
const CONVOLUTIONS: [Layer; 9] = [
    Layer(64, 64, 32, 3, 1, 1),
    Layer(128, 128, 16, 3, 1, 1),
    Layer(256, 256, 8, 3, 1, 1),
    Layer(512, 512, 4, 3, 1, 1),
    Layer(64, 128, 32, 3, 2, 1),
    Layer(256, 512, 8, 3, 2, 1),
    Layer(64, 128, 32, 1, 2, 1),
    Layer(256, 512, 8, 1, 2, 1),
    Layer(256, 64, 32, 1, 1, 1),
];
/// A classifier, and hidden layers.
const LINEAR: [Layer; 3] =
    [Layer(512, 10, 1, 1, 1, 1), Layer(1024, 1024, 1, 1, 1, 1), Layer(512, 512, 7, 7, 1, 1)];
const DEPTHWISE: [Layer; 3] =
    [Layer(64, 64, 32, 3, 1, 64), Layer(64, 64, 32, 3, 2, 64), Layer(512, 512, 4, 3, 1, 512)];

/// A layer with a density.
struct Case(Layer, f64);

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Layer(channels, filters, side, kernel, stride, _), density) = self;
        let percent = 100.0 * density;
        write!(f, "{channels}@{side}-{filters} {kernel}x{kernel}/{stride} {percent:.0} %")
    }
}

fn cases(layers: &[Layer], densities: &[f64]) -> Vec<Case> {
    layers.iter().flat_map(|layer| densities.iter().map(|&share| Case(*layer, share))).collect()
}

fn numbers(len: usize, name: &str) -> Vec<f32> {
    let mut stream = Stream::new(1, name);
    (0..len).map(|_| stream.unit() as f32 - 0.5).collect()
}

/// A layer made ready, with all that its passes read and write.
struct Ready {
    plan: ConvPlan,
    values: Vec<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    dout: Vec<f32>,
    dinput: Vec<f32>,
    gradient: Vec<f32>,
    scratch: Vec<f32>,
}

impl Ready {
    fn new(&Case(Layer(channels, filters, side, kernel, stride, groups), density): &Case) -> Self {
        let padding = if side == kernel { 0 } else { (kernel - 1) / 2 };
        let shape = ConvShape {
            filters,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            groups,
        };
        let size = [channels, side, side];
        let [height, width] = shape.output(size);
        let places = Blocked::new(size, shape.input_halo());
        let dplaces = Blocked::new([filters, height, width], shape.output_halo(size));
        let output = Blocked::new([filters, height, width], [0, 0]);
        let mut stream = Stream::new(1, "bench/mask");
        let mask = Mask::from_fn(shape.weights(channels), |_| stream.unit() < density);
        let dinput = Blocked::new(size, [0, 0]);
        let plan = ConvPlan::new(shape, &mask, places, output, dplaces, Some(dinput));
        let halo_free = |places: Blocked, name| {
            let mut values = numbers(places.block(), name);
            places.clear_halo(&mut values);
            values
        };
        Self {
            values: numbers(plan.existing(), "bench/values"),
            plan,
            input: halo_free(places, "bench/input"),
            output: vec![0.0; output.block()],
            dout: halo_free(dplaces, "bench/dout"),
            dinput: vec![0.0; dinput.block()],
            gradient: vec![0.0; mask.existing()],
            scratch: Vec::new(),
        }
    }

    /// Floating-point operations of a pass.
    fn operations(&self) -> ItemsCount {
        ItemsCount::new(2 * LANES * self.plan.macs())
    }
}

/// What a pass does, again and again, on one layer.
type Pass = fn(Isa, &mut Ready);

const FORWARD: Pass = |isa, ready| {
    let Ready { plan, values, input, output, scratch, .. } = ready;
    plan.forward(isa, values, None, input, output, false, scratch);
};
const INPUT_GRADIENT: Pass = |isa, ready| {
    let Ready { plan, values, dout, dinput, scratch, .. } = ready;
    plan.input_gradient(isa, values, dout, dinput, false, scratch);
};
const WEIGHT_GRADIENT: Pass = |isa, ready| {
    let Ready { plan, input, dout, gradient, .. } = ready;
    plan.weight_gradient(isa, dout, input, gradient);
};

fn time(bencher: Bencher<'_, '_>, case: &Case, pass: Pass) {
    let mut ready = Ready::new(case);
    bencher.counter(ready.operations()).bench_local(|| pass(Isa::best(), &mut ready));
}

/// The three passes over some layers.
macro_rules! passes {
    ($name:ident, $layers:expr, $densities:expr) => {
        mod $name {
            use super::*;

            #[divan::bench(args = cases(&$layers, &$densities), sample_count = 15, max_time = 1)]
            fn forward(bencher: Bencher<'_, '_>, case: &Case) {
                time(bencher, case, FORWARD);
            }

            #[divan::bench(args = cases(&$layers, &$densities), sample_count = 15, max_time = 1)]
            fn input_gradient(bencher: Bencher<'_, '_>, case: &Case) {
                time(bencher, case, INPUT_GRADIENT);
            }

            #[divan::bench(args = cases(&$layers, &$densities), sample_count = 15, max_time = 1)]
            fn weight_gradient(bencher: Bencher<'_, '_>, case: &Case) {
                time(bencher, case, WEIGHT_GRADIENT);
            }
        }
    };
}

passes!(convolution, CONVOLUTIONS, DENSITIES);
passes!(linear, LINEAR, DENSITIES);
passes!(depthwise, DEPTHWISE, [1.0, 0.5]);

mod batch_norm {
    //! With its rectifier, as networks have it, in training.
    use super::*;

    /// Channels and side.
    const PLANES: [[usize; 2]; 4] = [[64, 32], [128, 16], [256, 8], [512, 4]];

    struct Norm {
        norm: BatchNorm,
        x: Vec<f32>,
        dy: Vec<f32>,
        out: Vec<f32>,
        saved: Vec<Saved>,
        learnt: [Vec<f32>; 2],
        moved: [Vec<f32>; 2],
    }

    impl Norm {
        fn new([channels, side]: [usize; 2]) -> Self {
            let places = Blocked::new([channels, side, side], [1, 1]);
            let norm = BatchNorm { input: places, epsilon: 1e-5, relu: true };
            let all = |name| numbers(places.block(), name);
            Self {
                norm,
                x: all("bench/x"),
                dy: all("bench/dy"),
                out: all("bench/out"),
                saved: vec![Saved { mean: 0.0, inverse: 1.0 }; channels],
                learnt: [vec![1.0; channels], vec![0.1; channels]],
                moved: [vec![0.0; channels], vec![1.0; channels]],
            }
        }

        /// Bytes of the interior, read or written `times` times.
        fn bytes(&self, times: usize) -> BytesCount {
            let Blocked { channels, height, width, .. } = self.norm.input;
            BytesCount::new(times * size_of::<f32>() * LANES * channels * height * width)
        }
    }

    /// Reads x for its statistics and again to write y.
    #[divan::bench(args = PLANES, max_time = 1)]
    fn forward(bencher: Bencher<'_, '_>, planes: [usize; 2]) {
        let mut all = Norm::new(planes);
        bencher.counter(all.bytes(3)).bench_local(|| {
            let Norm {
                norm, x, out, saved, learnt: [scale, shift], moved: [mean, variance], ..
            } = &mut all;
            let of = Operands { x, scale, shift };
            let running = Running { mean, variance, momentum: 0.1 };
            let to = Target { values: out, places: norm.input, clear: false };
            norm.train(Isa::best(), of, None, LANES, saved, running, to);
        });
    }

    /// Reads x and dy for their sums and again to write dx.
    #[divan::bench(args = PLANES, max_time = 1)]
    fn backward(bencher: Bencher<'_, '_>, planes: [usize; 2]) {
        let mut all = Norm::new(planes);
        bencher.counter(all.bytes(5)).bench_local(|| {
            let Norm { norm, x, dy, out, saved, learnt: [scale, shift], moved: [one, two] } =
                &mut all;
            let to = NormGradients {
                dy: (dy, norm.input),
                y: None,
                dscale: one,
                dshift: two,
                dx: Target { values: out, places: norm.input, clear: false },
                accumulate: false,
            };
            norm.backward(Isa::best(), Operands { x, scale, shift }, LANES, saved, false, to);
        });
    }
}

/// Runs a pass as often as told and prints its operations: PASS, the six numbers of a layer, its
/// density and REPETITIONS. Whoever counts instructions takes the difference of two repetitions.
fn repeat(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [pass, layer @ .., density, repetitions] = words else {
        return Err("--repeat takes PASS, a layer's six numbers, DENSITY, REPETITIONS".into());
    };
    let pass = match pass.as_str() {
        "forward" => FORWARD,
        "input-gradient" => INPUT_GRADIENT,
        "weight-gradient" => WEIGHT_GRADIENT,
        _ => return Err(format!("no pass `{pass}`").into()),
    };
    let numbers: Vec<usize> = layer.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[channels, filters, side, kernel, stride, groups] = &numbers[..] else {
        return Err("a layer is CHANNELS FILTERS SIDE KERNEL STRIDE GROUPS".into());
    };
    let layer = Layer(channels, filters, side, kernel, stride, groups);
    let mut ready = Ready::new(&Case(layer, density.parse()?));
    for _ in 0..repetitions.parse()? {
        pass(Isa::best(), &mut ready);
    }
    println!("{}", 2 * LANES * ready.plan.macs());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // Kernels are measured, not the handing over of work: this thread is the pool.
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.split_first() {
        Some((first, rest)) if first == "--repeat" => repeat(rest)?,
        _ => divan::main(),
    }
    Ok(())
}
