//! What a transformer needs, launch by launch, against plain loops in f64.

use unlearn::base::rng::Stream;
use unlearn::sparse::Windows;
use unlearn::sparse::cuda::{
    Address, Attention, AttentionBackward, RowNorm, RowNormBackward, add_position, gelu,
    gelu_backward, merge, merge_backward, position_gradient,
};

use crate::bed::{both, close, draw};

/// Samples and shapes: one value, odd sides, more channels than a block has lanes, many rows.
const SHAPES: [(usize, [usize; 3]); 4] =
    [(1, [1, 1, 1]), (3, [5, 3, 7]), (2, [67, 2, 3]), (5, [33, 15, 9])];

const EPSILON: f32 = 1e-3;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn sizes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs() + 1.0).collect()
}

/// What was there, where it is added to.
fn before(accumulate: bool, dx: &[f32], at: usize) -> f64 {
    if accumulate { f64::from(dx[at]) } else { 0.0 }
}

/// The normal distribution up to `x`: the midpoint rule from 12 deviations below.
fn below(x: f64) -> f64 {
    const STEPS: usize = 4000;
    let width = (x + 12.0) / STEPS as f64;
    (0..STEPS).map(|at| density((at as f64 + 0.5) * width - 12.0) * width).sum()
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn gelu_and_its_gradient_are_those_of_the_normal_distribution() {
    let mut stream = Stream::new(21, "test/gelu");
    for (samples, shape) in [(1, [1, 1, 1]), (3, [5, 3, 7])] {
        let len = samples * shape.iter().product::<usize>();
        let [x, dy, dx] = [8.0, 1.0, 1.0]
            .map(|most| draw(&mut stream, len).iter().map(|v| v * most).collect::<Vec<f32>>());
        for accumulate in [false, true] {
            let found = both(|bed| {
                let from = bed.tensor(samples, shape, Some(&x));
                let y = bed.tensor(samples, shape, None);
                let dy = bed.tensor(samples, shape, Some(&dy));
                let to = bed.tensor(samples, shape, accumulate.then_some(&dx[..]));
                gelu(&mut bed.device, from, y).unwrap();
                gelu_backward(&mut bed.device, from, dy, to, accumulate).unwrap();
                [bed.read(y.at, len), bed.read(to.at, len)].concat()
            });
            let Some(found) = found else { return };
            let x = wide(&x);
            let y = x.iter().map(|&x| x * below(x));
            let slopes = x.iter().map(|&x| below(x) + x * density(x)).enumerate();
            let dx =
                slopes.map(|(at, slope)| f64::from(dy[at]) * slope + before(accumulate, &dx, at));
            let expected: Vec<f64> = y.chain(dx).collect();
            close(&found, &expected, &sizes(&expected), 1e-6, "gelu");
        }
    }
}

#[test]
fn positions_are_added_to_each_sample_and_have_the_sum_of_their_gradients() {
    let mut stream = Stream::new(22, "test/position");
    for (samples, shape) in SHAPES {
        let (own, [channels, ..]) = (shape.iter().product::<usize>(), shape);
        let (len, area) = (samples * own, own / channels);
        let [x, dy] = [(); 2].map(|()| draw(&mut stream, len));
        let [added, gradient] = [(); 2].map(|()| draw(&mut stream, own));
        let found = both(|bed| {
            let from = bed.tensor(samples, shape, Some(&x));
            let y = bed.tensor(samples, shape, None);
            let dy = bed.tensor(samples, shape, Some(&dy));
            let (at, to) = (bed.reals(&added), bed.reals(&gradient));
            add_position(&mut bed.device, from, at, y).unwrap();
            position_gradient(&mut bed.device, dy, to).unwrap();
            [bed.read(y.at, len), bed.read(to, own)].concat()
        });
        let Some(found) = found else { return };
        let (mut expected, mut sums) = (vec![0.0; len], wide(&gradient));
        for at in 0..len {
            let of = at % channels * area + at / channels % area;
            expected[at] = f64::from(x[at]) + f64::from(added[of]);
            sums[of] += f64::from(dy[at]);
        }
        expected.extend(sums);
        close(&found, &expected, &sizes(&expected), 1e-6, "position");
    }
}

#[test]
fn squares_become_channels_and_their_gradients_go_back() {
    let mut stream = Stream::new(23, "test/merge");
    for (samples, [channels, height, width], side) in
        [(1, [1, 1, 1], 1), (3, [5, 4, 6], 2), (2, [3, 3, 9], 3)]
    {
        let shape = [channels, height, width];
        let merged = [channels * side * side, height / side, width / side];
        let len = samples * channels * height * width;
        let [x, dy, dx] = [(); 3].map(|()| draw(&mut stream, len));
        for accumulate in [false, true] {
            let found = both(|bed| {
                let from = bed.tensor(samples, shape, Some(&x));
                let y = bed.tensor(samples, merged, None);
                let dy = bed.tensor(samples, merged, Some(&dy));
                let to = bed.tensor(samples, shape, accumulate.then_some(&dx[..]));
                merge(&mut bed.device, from, y, side).unwrap();
                merge_backward(&mut bed.device, dy, to, side, accumulate).unwrap();
                [bed.read(y.at, len), bed.read(to.at, len)].concat()
            });
            let Some(found) = found else { return };
            let mut expected = vec![f64::NAN; 2 * len];
            for at in 0..len {
                let (channel, place) = (at % channels, at / channels);
                let (column, row) = (place % width, place / width % height);
                let sample = place / width / height;
                let which = side * (column % side) + row % side;
                let place = (sample * merged[1] + row / side) * merged[2] + column / side;
                let to = place * merged[0] + which * channels + channel;
                expected[to] = f64::from(x[at]);
                expected[len + at] = f64::from(dy[to]) + before(accumulate, &dx, at);
            }
            close(&found, &expected, &sizes(&expected), 1e-6, "squares");
        }
    }
}

/// A norm's output, the gradient of its input, and those of scale and shift.
fn row_norm(channels: usize, [x, dy]: [&[f32]; 2], [scale, shift]: [&[f32]; 2]) -> [Vec<f64>; 4] {
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    let (mut dscale, mut dshift) = (vec![0.0; channels], vec![0.0; channels]);
    let (scale, shift) = (wide(scale), wide(shift));
    for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
        let (x, dy, count) = (wide(x), wide(dy), channels as f64);
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let inverse = (variance + f64::from(EPSILON)).sqrt().recip();
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        let slope: Vec<f64> = dy.iter().zip(&scale).map(|(dy, scale)| dy * scale).collect();
        let first = slope.iter().sum::<f64>() / count;
        let second = slope.iter().zip(&normal).map(|(s, n)| s * n).sum::<f64>() / count;
        for channel in 0..channels {
            y.push(normal[channel] * scale[channel] + shift[channel]);
            dx.push((slope[channel] - first - normal[channel] * second) * inverse);
            dscale[channel] += dy[channel] * normal[channel];
            dshift[channel] += dy[channel];
        }
    }
    [y, dx, dscale, dshift]
}

#[test]
fn rows_are_normalised_and_gradients_go_back_through_their_statistics() {
    let mut stream = Stream::new(24, "test/row-norm");
    for (samples, shape) in SHAPES {
        let (channels, len) = (shape[0], samples * shape.iter().product::<usize>());
        let rows = len / channels;
        let [mut x, dy, dx] = [(); 3].map(|()| draw(&mut stream, len));
        // Means far from zero, next to which variances are small.
        x.iter_mut().enumerate().for_each(|(at, x)| *x += 10.0 * (at / channels % 5) as f32);
        let channel = [(); 4].map(|()| draw(&mut stream, channels));
        let right = row_norm(channels, [&x, &dy], [&channel[0], &channel[1]]);
        for (learns, accumulate) in [(true, false), (true, true), (false, true)] {
            let found = both(|bed| {
                let [scale, shift, dscale, dshift] = [0, 1, 2, 3].map(|i| bed.reals(&channel[i]));
                let norm = RowNorm { scale, shift, epsilon: EPSILON };
                let to = RowNormBackward {
                    x: bed.tensor(samples, shape, Some(&x)),
                    dy: bed.tensor(samples, shape, Some(&dy)),
                    dx: bed.tensor(samples, shape, accumulate.then_some(&dx[..])),
                    parameters: learns.then_some([dscale, dshift]),
                    accumulate,
                    scratch: bed.scratch(RowNorm::scratch(rows, channels)),
                };
                let y = bed.tensor(samples, shape, None);
                norm.forward(&mut bed.device, to.x, y).unwrap();
                norm.backward(&mut bed.device, &to).unwrap();
                let parameters = [dscale, dshift].map(|at| bed.read(at, channels)).concat();
                [bed.read(y.at, len), bed.read(to.dx.at, len), parameters].concat()
            });
            let Some(found) = found else { return };
            let [y, mut input, mut dscale, mut dshift] = right.clone();
            input.iter_mut().enumerate().for_each(|(at, g)| *g += before(accumulate, &dx, at));
            for (sums, old) in [(&mut dscale, &channel[2]), (&mut dshift, &channel[3])] {
                let learnt = f64::from(u8::from(learns));
                let both = sums.iter_mut().zip(old);
                both.for_each(|(sum, old)| *sum = *sum * learnt + f64::from(*old));
            }
            let expected = [y, input, dscale, dshift].concat();
            // A row of one channel has no deviation but epsilon's; of few, a small one.
            let what = format!("{samples} of {shape:?}, {learns}, {accumulate}");
            close(&found, &expected, &sizes(&expected), 1e-4, &what);
        }
    }
}

/// An attention: samples, its output's shape, heads, side and shift of its windows, and the scores that a
/// launch takes on.
#[derive(Clone, Copy, Debug)]
struct Attends {
    samples: usize,
    output: [usize; 3],
    heads: usize,
    windows: Option<[usize; 2]>,
    at_once: usize,
}

/// All places; more than a block has rows and channels; windows, moved or not; the whole plane as one
/// moved window; one place. Some in several launches, the last of them smaller.
const ATTENTIONS: [Attends; 6] = [
    Attends { samples: 2, output: [6, 3, 5], heads: 3, windows: None, at_once: 1 << 20 },
    Attends { samples: 1, output: [70, 6, 11], heads: 2, windows: None, at_once: 1 },
    Attends { samples: 3, output: [4, 6, 9], heads: 2, windows: Some([3, 0]), at_once: 1 << 20 },
    Attends { samples: 3, output: [4, 6, 9], heads: 2, windows: Some([3, 1]), at_once: 700 },
    Attends { samples: 2, output: [5, 4, 4], heads: 1, windows: Some([4, 2]), at_once: 1 << 20 },
    Attends { samples: 1, output: [2, 1, 1], heads: 2, windows: None, at_once: 1 << 20 },
];

impl Attends {
    fn sides(&self) -> [usize; 2] {
        self.windows.map_or([self.output[1], self.output[2]], |[side, _]| [side; 2])
    }

    fn relations(&self) -> usize {
        let [rows, columns] = self.sides();
        (2 * rows - 1) * (2 * columns - 1)
    }

    /// For places `a` and `b` of a plane, the entry of a table of relative positions, if they attend to
    /// each other.
    fn relation(&self, a: [usize; 2], b: [usize; 2]) -> Option<usize> {
        let (sides, size) = (self.sides(), [self.output[1], self.output[2]]);
        let shift = self.windows.map_or(0, |[_, shift]| shift);
        let mut away = [0; 2];
        for d in 0..2 {
            // Where a place is in the plane whose windows are not moved, and whether it came round.
            let [from, to] = [a[d], b[d]].map(|at| (at + size[d] - shift) % size[d]);
            let came = [a[d] < shift, b[d] < shift];
            if from / sides[d] != to / sides[d] || came[0] != came[1] {
                return None;
            }
            away[d] = from % sides[d] + sides[d] - 1 - to % sides[d];
        }
        Some(away[0] * (2 * sides[1] - 1) + away[1])
    }

    /// The output, the gradient of the input, and that of the bias.
    fn right(&self, x: &[f32], dy: &[f32], bias: &[f32]) -> [Vec<f64>; 3] {
        let [channels, height, width] = self.output;
        let (area, depth) = (height * width, channels / self.heads);
        let (x, dy) = (wide(x), wide(dy));
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        let mut dbias = vec![0.0; self.heads * self.relations()];
        let scale = 1.0 / (depth as f64).sqrt();
        let place = |at: usize| [at / width, at % width];
        for (sample, head) in
            (0..self.samples).flat_map(|s| (0..self.heads).map(move |head| (s, head)))
        {
            let own = |part: usize, at: usize| {
                (sample * area + at) * 3 * channels + part * channels + head * depth
            };
            let out = |at: usize| (sample * area + at) * channels + head * depth;
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let rows = |from: usize| from..from + depth;
            for t in 0..area {
                let keys: Vec<(usize, usize)> = (0..area)
                    .filter_map(|u| {
                        let entry = self.relation(place(t), place(u))?;
                        Some((u, head * self.relations() + entry))
                    })
                    .collect();
                let score = |&(u, entry): &(usize, usize)| {
                    let added = bias.get(entry).map_or(0.0, |&bias| f64::from(bias));
                    (scale * dot(&x[rows(own(0, t))], &x[rows(own(1, u))]) + added).exp()
                };
                let total: f64 = keys.iter().map(score).sum();
                let p: Vec<f64> = keys.iter().map(|key| score(key) / total).collect();
                let dp: Vec<f64> = keys
                    .iter()
                    .map(|&(u, _)| dot(&dy[rows(out(t))], &x[rows(own(2, u))]))
                    .collect();
                let along = dot(&p, &dp);
                for (&(u, entry), (p, dp)) in keys.iter().zip(p.iter().zip(&dp)) {
                    let ds = p * (dp - along);
                    dbias[entry] += ds;
                    for c in 0..depth {
                        y[out(t) + c] += p * x[own(2, u) + c];
                        dx[own(0, t) + c] += scale * ds * x[own(1, u) + c];
                        dx[own(1, u) + c] += scale * ds * x[own(0, t) + c];
                        dx[own(2, u) + c] += p * dy[out(t) + c];
                    }
                }
            }
        }
        [y, dx, dbias]
    }
}

#[test]
fn places_attend_to_those_of_their_window_and_gradients_go_back() {
    let mut stream = Stream::new(25, "test/attention");
    for case in ATTENTIONS {
        let [channels, height, width] = case.output;
        let (len, relations) = (case.samples * channels * height * width, case.relations());
        let input = [3 * channels, height, width];
        let mut x = draw(&mut stream, 3 * len);
        x.iter_mut().for_each(|x| *x *= 2.0);
        let [dy, dx] = [len, 3 * len].map(|len| draw(&mut stream, len));
        let [bias, dbias] = [(); 2].map(|()| draw(&mut stream, case.heads * relations));
        let windows = match case.windows {
            Some([side, shift]) => Windows::cut([height, width], side, shift),
            None => Windows::whole(height, width),
        };
        for (biased, accumulate) in [(true, false), (false, true)] {
            let found = both(|bed| {
                let mut of = Attention::new(case.heads, case.output, &windows);
                of.at_once = case.at_once;
                of.bias = if biased { bed.reals(&bias) } else { Address::default() };
                of.scratch = bed.scratch(of.scratch(case.samples, false));
                let to = AttentionBackward {
                    x: bed.tensor(case.samples, input, Some(&x)),
                    dy: bed.tensor(case.samples, case.output, Some(&dy)),
                    dx: bed.tensor(case.samples, input, accumulate.then_some(&dx[..])),
                    dbias: biased.then_some(bed.reals(&dbias)),
                    accumulate,
                };
                let y = bed.tensor(case.samples, case.output, None);
                of.forward(&mut bed.device, to.x, y).unwrap();
                of.scratch = bed.scratch(of.scratch(case.samples, true));
                of.backward(&mut bed.device, &to).unwrap();
                let dbias = to.dbias.map(|at| bed.read(at, dbias.len())).unwrap_or_default();
                [bed.read(y.at, len), bed.read(to.dx.at, 3 * len), dbias].concat()
            });
            let Some(found) = found else { return };
            let used = if biased { &bias[..] } else { &[] };
            let [y, mut slopes, mut sums] = case.right(&x, &dy, used);
            slopes.iter_mut().enumerate().for_each(|(at, g)| *g += before(accumulate, &dx, at));
            sums.iter_mut().zip(&dbias).for_each(|(sum, old)| *sum += f64::from(*old));
            let mut expected = [y, slopes].concat();
            if biased {
                expected.extend(sums);
            }
            close(&found, &expected, &sizes(&expected), 2e-5, &format!("{case:?}, {biased}"));
        }
    }
}
