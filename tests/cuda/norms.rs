//! Batch normalisation, forward and backward, against its formula in f64.

use unlearn::base::rng::Stream;
use unlearn::sparse::cuda::{Norm, NormBackward};

use crate::bed::{Bed, both, close, draw};

/// Samples and shapes: one part of rows, several, one row, many channels.
const SHAPES: [(usize, [usize; 3]); 5] =
    [(1, [1, 1, 2]), (5, [3, 5, 7]), (16, [17, 7, 6]), (5, [64, 3, 3]), (16, [3, 17, 9])];

const EPSILON: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// What a normalisation reads.
struct Case {
    samples: usize,
    shape: [usize; 3],
    x: Vec<f32>,
    addend: Vec<f32>,
    dy: Vec<f32>,
    dx: Vec<f32>,
    /// Scale, shift, running mean and variance, gradients of scale and shift as they are before.
    channel: [Vec<f32>; 6],
}

impl Case {
    fn of((samples, shape): (usize, [usize; 3])) -> Self {
        let mut stream = Stream::new(11, "test/norm");
        let (len, channels) = (samples * shape.iter().product::<usize>(), shape[0]);
        // Means far from zero, next to which variances are small.
        let mut x = draw(&mut stream, len);
        x.iter_mut().enumerate().for_each(|(at, x)| *x += 10.0 * (at % channels) as f32);
        let [addend, dy, dx] = [(); 3].map(|()| draw(&mut stream, len));
        let mut channel = [(); 6].map(|()| draw(&mut stream, channels));
        channel[3].iter_mut().for_each(|variance| *variance = variance.abs() + 0.5);
        for (at, mean) in channel[2].iter_mut().enumerate() {
            *mean += 10.0 * at as f32;
        }
        Self { samples, shape, x, addend, dy, dx, channel }
    }

    fn channels(&self) -> usize {
        self.shape[0]
    }

    fn rows(&self) -> usize {
        self.x.len() / self.channels()
    }

    /// The batch's mean and sum of squares around it, of each channel.
    fn moments(&self) -> Vec<[f64; 2]> {
        let of = |channel: usize| {
            let all = || self.x[channel..].iter().step_by(self.channels()).map(|&x| f64::from(x));
            let mean = all().sum::<f64>() / self.rows() as f64;
            [mean, all().map(|x| (x - mean).powi(2)).sum()]
        };
        (0..self.channels()).map(of).collect()
    }

    /// Mean and inverse deviation that are subtracted and multiplied by.
    fn saved(&self, frozen: bool) -> Vec<[f64; 2]> {
        let rows = self.rows() as f64;
        let of = |(at, [mean, spread]): (usize, [f64; 2])| {
            let (mean, variance) = if frozen {
                (f64::from(self.channel[2][at]), f64::from(self.channel[3][at]))
            } else {
                (mean, spread / rows)
            };
            [mean, (variance + f64::from(EPSILON)).sqrt().recip()]
        };
        self.moments().into_iter().enumerate().map(of).collect()
    }

    /// What is written, before any rectifier, and `x` normalised.
    fn normalised(&self, frozen: bool, added: bool) -> (Vec<f64>, Vec<f64>) {
        let saved = self.saved(frozen);
        let of = |at: usize| {
            let channel = at % self.channels();
            let normal = (f64::from(self.x[at]) - saved[channel][0]) * saved[channel][1];
            let line =
                normal * f64::from(self.channel[0][channel]) + f64::from(self.channel[1][channel]);
            (line + if added { f64::from(self.addend[at]) } else { 0.0 }, normal)
        };
        (0..self.x.len()).map(of).unzip()
    }

    fn norm(&self, bed: &mut Bed, relu: bool) -> Norm {
        let [scale, shift, mean, variance] = [0, 1, 2, 3].map(|at| bed.reals(&self.channel[at]));
        Norm {
            scale,
            shift,
            mean,
            variance,
            saved: bed.scratch(2 * self.channels()),
            scratch: bed.scratch(Norm::scratch(self.rows(), self.channels())),
            epsilon: EPSILON,
            momentum: MOMENTUM,
            relu,
        }
    }
}

fn sizes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs() + 1.0).collect()
}

#[test]
fn a_batch_is_normalised_by_its_own_moments_and_moves_the_running_ones() {
    for shape in SHAPES {
        let case = Case::of(shape);
        let channels = case.channels();
        for (added, relu) in [(false, false), (true, true)] {
            let found = both(|bed| {
                let norm = case.norm(bed, relu);
                let x = bed.tensor(case.samples, case.shape, Some(&case.x));
                let addend = bed.tensor(case.samples, case.shape, Some(&case.addend));
                let y = bed.tensor(case.samples, case.shape, None);
                norm.moments(&mut bed.device, x).unwrap();
                norm.forward(&mut bed.device, x, added.then_some(addend), y).unwrap();
                let running = [norm.mean, norm.variance].map(|at| bed.read(at, channels));
                [bed.read(y.at, y.len()), running.concat()].concat()
            });
            let Some(found) = found else { return };
            let (y, running) = found.split_at(case.x.len());
            let mut expected = case.normalised(false, added).0;
            if relu {
                expected.iter_mut().for_each(|y| *y = y.max(0.0));
            }
            // An x of ten and a deviation of a half lose what ten has of rounding.
            close(y, &expected, &sizes(&expected), 1e-4, "y");
            let rows = case.rows() as f64;
            let moved =
                |old: f32, new: f64| f64::from(old) + f64::from(MOMENTUM) * (new - f64::from(old));
            let (means, variances): (Vec<f64>, Vec<f64>) = case
                .moments()
                .into_iter()
                .enumerate()
                .map(|(at, [mean, spread])| {
                    let unbiased = spread / (rows - 1.0).max(1.0);
                    (moved(case.channel[2][at], mean), moved(case.channel[3][at], unbiased))
                })
                .unzip();
            let expected = [means, variances].concat();
            close(running, &expected, &sizes(&expected), 1e-5, "running statistics");
        }
    }
}

#[test]
fn frozen_statistics_are_the_running_ones_and_stay() {
    for shape in SHAPES {
        let case = Case::of(shape);
        let channels = case.channels();
        let found = both(|bed| {
            let norm = case.norm(bed, false);
            let x = bed.tensor(case.samples, case.shape, Some(&case.x));
            let y = bed.tensor(case.samples, case.shape, None);
            norm.frozen(&mut bed.device, channels).unwrap();
            norm.forward(&mut bed.device, x, None, y).unwrap();
            let running = [norm.mean, norm.variance].map(|at| bed.read(at, channels));
            assert_eq!(running, [case.channel[2].clone(), case.channel[3].clone()]);
            bed.read(y.at, y.len())
        });
        let Some(found) = found else { return };
        let expected = case.normalised(true, false).0;
        close(&found, &expected, &sizes(&expected), 1e-4, "y");
    }
}

/// How a backward pass stands in its network.
#[derive(Clone, Copy, Debug)]
struct Stands {
    frozen: bool,
    relu: bool,
    added: bool,
    learns: bool,
    accumulate: bool,
}

impl Case {
    /// The gradients of x, scale and shift, and dy as it is left.
    fn backward(&self, stands: Stands) -> [Vec<f64>; 4] {
        let Stands { frozen, relu, added, learns, accumulate } = stands;
        let (y, normal) = self.normalised(frozen, added);
        let open = |at: usize| !relu || y[at] > 0.0;
        let dy = |at: usize| if open(at) { f64::from(self.dy[at]) } else { 0.0 };
        let (channels, rows) = (self.channels(), self.rows() as f64);
        let mut sums = vec![[0.0; 2]; channels];
        for at in 0..self.x.len() {
            sums[at % channels][0] += dy(at);
            sums[at % channels][1] += dy(at) * normal[at];
        }
        let saved = self.saved(frozen);
        let dx = |at: usize| {
            let channel = at % channels;
            let mean = |sum: f64| if frozen { 0.0 } else { sum / rows };
            let slope = saved[channel][1] * f64::from(self.channel[0][channel]);
            let through = dy(at) - mean(sums[channel][0]) - normal[at] * mean(sums[channel][1]);
            slope * through + if accumulate { f64::from(self.dx[at]) } else { 0.0 }
        };
        let parameter = |channel: usize, of: usize| {
            let before = f64::from(self.channel[4 + of][channel]);
            before + if learns { sums[channel][1 - of] } else { 0.0 }
        };
        let left = |at: usize| if added && relu { dy(at) } else { f64::from(self.dy[at]) };
        [
            (0..self.x.len()).map(dx).collect(),
            (0..channels).map(|at| parameter(at, 0)).collect(),
            (0..channels).map(|at| parameter(at, 1)).collect(),
            (0..self.x.len()).map(left).collect(),
        ]
    }
}

#[test]
fn gradients_go_back_through_a_batch_or_through_constants() {
    let stand = |bits: u32| {
        let bit = |at: u32| bits >> at & 1 == 1;
        let [frozen, relu, added, learns, accumulate] = [0, 1, 2, 3, 4].map(bit);
        Stands { frozen, relu, added, learns, accumulate }
    };
    // Every combination of statistics, rectifier and addition; the flags of the gradients in turn.
    let stands = (0..8).map(|bits| stand(bits | (bits % 3 + 1) << 3));
    for (shape, stands) in SHAPES.into_iter().flat_map(|s| stands.clone().map(move |t| (s, t))) {
        let case = Case::of(shape);
        let (len, channels) = (case.x.len(), case.channels());
        let Stands { frozen, relu, added, learns, accumulate } = stands;
        let found = both(|bed| {
            let norm = case.norm(bed, relu);
            let x = bed.tensor(case.samples, case.shape, Some(&case.x));
            let addend = bed.tensor(case.samples, case.shape, Some(&case.addend));
            let y = bed.tensor(case.samples, case.shape, None);
            let dy = bed.tensor(case.samples, case.shape, Some(&case.dy));
            let dx = bed.tensor(case.samples, case.shape, accumulate.then_some(&case.dx[..]));
            let [dscale, dshift] = [4, 5].map(|at| bed.reals(&case.channel[at]));
            if frozen {
                norm.frozen(&mut bed.device, channels).unwrap();
            } else {
                norm.moments(&mut bed.device, x).unwrap();
            }
            norm.forward(&mut bed.device, x, added.then_some(addend), y).unwrap();
            let to = NormBackward {
                x,
                y: added.then_some(y),
                dy,
                dx,
                parameters: learns.then_some([dscale, dshift]),
                frozen,
                accumulate,
            };
            norm.backward(&mut bed.device, &to).unwrap();
            let parameters = [dscale, dshift].map(|at| bed.read(at, channels)).concat();
            [bed.read(dx.at, len), parameters, bed.read(dy.at, len)].concat()
        });
        let Some(found) = found else { return };
        let expected = case.backward(stands).concat();
        // Of a channel of two rows the deviation may be tiny, and what it divides large.
        let within = if case.rows() < 3 { 2e-2 } else { 3e-4 };
        let what = format!("{shape:?} {stands:?}");
        close(&found, &expected, &sizes(&expected), within, &what);
    }
}
