//! What takes values one by one, pooling, the loss and the optimiser, against plain loops.

use unlearn::base::rng::Stream;
use unlearn::sparse::cuda::{
    Address, LossAt, Pool, Stepped, UpdateForm, add, copy_or_add, cross_entropy, load,
    pad_shortcut, pad_shortcut_backward, rates, relu, relu_backward, update,
};
use unlearn::sparse::{L1, Step};

use crate::bed::{both, close, draw};

const SHAPES: [(usize, [usize; 3]); 4] =
    [(1, [1, 1, 1]), (5, [3, 5, 7]), (16, [17, 4, 3]), (5, [64, 3, 3])];

fn len((samples, [channels, height, width]): (usize, [usize; 3])) -> usize {
    samples * channels * height * width
}

#[test]
fn samples_are_normalised_and_turned_to_channels_last() {
    for shape in SHAPES {
        let mut stream = Stream::new(2, "test/load");
        let (samples, [channels, height, width]) = shape;
        let from = draw(&mut stream, len(shape));
        let [mean, scale] = [(); 2].map(|()| draw(&mut stream, channels));
        let found = both(|bed| {
            let (from, to) = (bed.reals(&from), bed.tensor(samples, shape.1, None));
            let [mean, scale] = [&mean, &scale].map(|values| bed.reals(values));
            load(&mut bed.device, from, [mean, scale], to).unwrap();
            bed.read(to.at, to.len())
        });
        let Some(found) = found else { return };
        for (at, found) in found.into_iter().enumerate() {
            let (channel, place) = (at % channels, at / channels);
            let (sample, within) = (place / (height * width), place % (height * width));
            let value = from[(sample * channels + channel) * height * width + within];
            assert_eq!(found, (value - mean[channel]) * scale[channel], "{shape:?}: {at}");
        }
    }
}

#[test]
fn rectifiers_sums_and_copies_are_exact() {
    for shape in SHAPES {
        let mut stream = Stream::new(2, "test/values");
        let [mut a, b, c] = [(); 3].map(|()| draw(&mut stream, len(shape)));
        a[0] = 0.0;
        let run = |bed: &mut crate::bed::Bed| {
            let [ta, tb] = [&a, &b].map(|values| bed.tensor(shape.0, shape.1, Some(values)));
            let mut read = Vec::new();
            let fresh = |bed: &mut crate::bed::Bed| bed.tensor(shape.0, shape.1, Some(&c));
            for which in 0..6 {
                let to = fresh(bed);
                let device = &mut bed.device;
                match which {
                    0 => relu(device, ta, to),
                    1 => relu_backward(device, ta, to),
                    2 => add(device, [ta, tb], to, false),
                    3 => add(device, [ta, tb], to, true),
                    4 => copy_or_add(device, ta, to, false),
                    _ => copy_or_add(device, ta, to, true),
                }
                .unwrap();
                read.extend(bed.read(to.at, to.len()));
            }
            read
        };
        let Some(found) = both(run) else { return };
        let expected = |which: usize, at: usize| match which {
            0 => a[at].max(0.0),
            1 if a[at] > 0.0 => c[at],
            1 => 0.0,
            2 => a[at] + b[at],
            3 => (a[at] + b[at]).max(0.0),
            4 => a[at],
            _ => c[at] + a[at],
        };
        for (at, found) in found.into_iter().enumerate() {
            let (which, at) = (at / a.len(), at % a.len());
            assert_eq!(found, expected(which, at), "{shape:?}: {at} of {which}");
        }
    }
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_softmax() {
    // More classes than a block has threads, and fewer.
    for (samples, classes, of) in [(1, 1, 1), (5, 3, 16), (16, 10, 16), (5, 300, 5), (3, 257, 7)] {
        let mut stream = Stream::new(2, "test/loss");
        let mut logits = draw(&mut stream, samples * classes);
        logits.iter_mut().for_each(|logit| *logit *= 20.0);
        let labels: Vec<u32> = (0..samples).map(|_| stream.index(classes) as u32).collect();
        // Of equal logits the first counts: the last class is as large as the largest.
        for row in logits.chunks_exact_mut(classes) {
            row[classes - 1] = row.iter().copied().fold(f32::MIN, f32::max);
        }
        let found = both(|bed| {
            let rows = bed.tensor(samples, [classes, 1, 1], Some(&logits));
            let gradient = bed.tensor(samples, [classes, 1, 1], None);
            let labels = bed.words(&labels);
            let (losses, right) = (bed.scratch(2 * samples), bed.words(&vec![7; samples]));
            let at = LossAt { labels, losses, right };
            cross_entropy(&mut bed.device, rows, gradient, at, 1.0 / of as f32).unwrap();
            let losses = bed.read_words(losses, 2 * samples);
            let losses = losses.chunks_exact(2).map(|halves| {
                f64::from_bits(u64::from(halves[0]) | u64::from(halves[1]) << 32) as f32
            });
            let right = bed.read_words(right, samples).into_iter().map(|right| right as f32);
            let read: Vec<f32> = losses.chain(right).collect();
            [bed.read(gradient.at, gradient.len()), read].concat()
        });
        let Some(found) = found else { return };
        let (gradient, rest) = found.split_at(samples * classes);
        let (losses, right) = rest.split_at(samples);
        for sample in 0..samples {
            let row: Vec<f64> =
                logits[sample * classes..][..classes].iter().map(|&x| f64::from(x)).collect();
            let label = labels[sample] as usize;
            let top = row.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = row.iter().map(|x| (x - top).exp()).sum();
            let expected: Vec<f64> = (row.iter().enumerate())
                .map(|(class, x)| {
                    let p = (x - top).exp() / total;
                    (p - f64::from(u8::from(class == label))) / of as f64
                })
                .collect();
            let found = &gradient[sample * classes..][..classes];
            close(found, &expected, &vec![1.0; classes], 1e-6, "gradient");
            let loss = total.ln() - (row[label] - top);
            close(&losses[sample..][..1], &[loss], &[loss + 1.0], 1e-6, "loss");
            let best = row.iter().position(|x| *x == top).unwrap();
            assert_eq!(right[sample], f32::from(u8::from(best == label)));
        }
    }
}

/// One step of one weight, as `sparse::update` writes it down.
fn stepped(step: Step<'_>, w: f32, m: f32, g: f32, base: f32) -> (f32, f32) {
    let mut g = g + step.decay * w;
    let mut centre = 0.0;
    let mut threshold = 0.0;
    match step.l1 {
        L1::Off => {}
        L1::Subgradient { gamma } if w != 0.0 => g += gamma * w.signum(),
        L1::Subgradient { .. } => {}
        L1::Proximal { gamma } => threshold = step.rate / (1.0 - step.momentum) * gamma,
        L1::TowardsBase { gamma, .. } => {
            threshold = step.rate / (1.0 - step.momentum) * gamma;
            centre = base;
        }
    }
    let m = step.momentum * m + g;
    let away = w - step.rate * m - centre;
    let size = (away.abs() - threshold).max(0.0);
    (if size == 0.0 { centre } else { centre + size.copysign(away) }, m)
}

#[test]
fn a_step_moves_weights_that_learn_and_counts_those_at_the_centre() {
    let gamma = 0.3;
    for (len, form) in [1, 255, 1000].into_iter().flat_map(|len| (0..4).map(move |f| (len, f))) {
        let mut stream = Stream::new(2, "test/step");
        let [mut values, momenta, gradient, base] = [(); 4].map(|()| draw(&mut stream, len));
        values[len / 2] = 0.0;
        let learns: Vec<u32> = (0..len).map(|_| u32::from(stream.unit() < 0.7)).collect();
        let l1 = match form {
            0 => L1::Off,
            1 => L1::Subgradient { gamma },
            2 => L1::Proximal { gamma },
            _ => L1::TowardsBase { gamma, base: &base },
        };
        let step = Step { rate: 0.1, momentum: 0.9, decay: 0.01, l1 };
        for (held, counted) in [(false, true), (true, true), (false, false)] {
            let found = both(|bed| {
                let [values, momenta, gradient, base] =
                    [&values, &momenta, &gradient, &base].map(|reals| bed.reals(reals));
                let counter = bed.words(&[5]);
                let on = Stepped {
                    values,
                    momenta,
                    gradient,
                    base: if form == 3 { base } else { Address::default() },
                    learns: if held { bed.words(&learns) } else { Address::default() },
                    at_centre: if counted { counter } else { Address::default() },
                    rates: bed.reals(&rates(step)),
                    len,
                };
                update(&mut bed.device, UpdateForm::of(step), on).unwrap();
                let count = bed.read_words(counter, 1)[0] as f32;
                [bed.read(values, len), bed.read(momenta, len), vec![count]].concat()
            });
            let Some(found) = found else { return };
            let mut count = 0;
            for at in 0..len {
                let [w, m, g, b] = [values[at], momenta[at], gradient[at], base[at]];
                let stays = held && learns[at] == 0;
                let (next, momentum) = if stays { (w, 0.0) } else { stepped(step, w, m, g, b) };
                let expected = [f64::from(next), f64::from(momentum)];
                close(&[found[at], found[len + at]], &expected, &[1.0; 2], 1e-6, "step");
                let centre = if form == 3 { b } else { 0.0 };
                count += u32::from(found[at] == centre);
                assert_eq!(found[at] == centre, next == centre, "form {form}: {at}");
            }
            let counted = if counted { 5 + count } else { 5 };
            assert_eq!(found[2 * len], counted as f32, "form {form} of {len}");
        }
    }
}

/// Samples and input, kernel, stride, padding: windows that overlap, that leave places out, that are cut.
const POOLS: [(usize, [usize; 3], [[usize; 2]; 3]); 8] = [
    (1, [1, 2, 2], [[2, 2], [2, 2], [0, 0]]),
    (5, [3, 7, 9], [[3, 3], [2, 2], [1, 1]]),
    (16, [17, 5, 4], [[2, 2], [1, 1], [0, 0]]),
    (5, [64, 3, 3], [[3, 3], [1, 1], [0, 0]]),
    (2, [3, 8, 7], [[2, 3], [3, 2], [0, 1]]),
    (5, [3, 8, 7], [[2, 3], [2, 2], [0, 0]]),
    (2, [3, 9, 8], [[2, 2], [3, 3], [0, 0]]),
    (2, [2, 9, 5], [[4, 2], [2, 5], [2, 1]]),
];

fn places(input: [usize; 3], [kernel, stride, padding]: [[usize; 2]; 3]) -> [usize; 3] {
    let side = |d: usize| (input[1 + d] + 2 * padding[d] - kernel[d]) / stride[d] + 1;
    [input[0], side(0), side(1)]
}

/// For each place of the output, the places of the input in its window, row by row.
fn windows(
    samples: usize,
    input: [usize; 3],
    geometry @ [kernel, stride, padding]: [[usize; 2]; 3],
) -> Vec<Vec<usize>> {
    let ([channels, height, width], [_, oh, ow]) = (input, places(input, geometry));
    let of = |at: usize| {
        let (channel, place) = (at % channels, at / channels);
        let (ox, oy, sample) = (place % ow, place / ow % oh, place / ow / oh);
        let rows = (oy * stride[0]..oy * stride[0] + kernel[0])
            .filter(|y| *y >= padding[0] && y - padding[0] < height);
        rows.flat_map(|y| {
            (ox * stride[1]..ox * stride[1] + kernel[1])
                .filter(|x| *x >= padding[1] && x - padding[1] < width)
                .map(move |x| {
                    let (y, x) = (y - padding[0], x - padding[1]);
                    ((sample * height + y) * width + x) * channels + channel
                })
        })
        .collect()
    };
    (0..samples * oh * ow * channels).map(of).collect()
}

#[test]
fn pools_take_the_largest_or_the_mean_and_hand_gradients_back() {
    for (samples, input, geometry) in POOLS {
        let [kernel, stride, padding] = geometry;
        let pool = Pool { kernel, stride, padding };
        let output = places(input, geometry);
        let windows = windows(samples, input, geometry);
        let mut stream = Stream::new(2, "test/pool");
        // Few different values: many windows have more than one largest.
        let x: Vec<f32> = (0..samples * input.iter().product::<usize>())
            .map(|_| stream.below(4) as f32 - 2.0)
            .collect();
        let dy = draw(&mut stream, windows.len());
        let start = draw(&mut stream, x.len());
        let winner = |window: &Vec<usize>| {
            window.iter().fold(window[0], |best, &at| if x[at] > x[best] { at } else { best })
        };
        let means = padding == [0, 0];
        for accumulate in [false, true] {
            let found = both(|bed| {
                let x = bed.tensor(samples, input, Some(&x));
                let dy = bed.tensor(samples, output, Some(&dy));
                let mut read = Vec::new();
                for mean in [false, true].into_iter().filter(|mean| means || !mean) {
                    let y = bed.tensor(samples, output, None);
                    let dx = bed.tensor(samples, input, accumulate.then_some(&start[..]));
                    let device = &mut bed.device;
                    if mean {
                        pool.mean(device, x, y).unwrap();
                        pool.mean_backward(device, dy, dx, accumulate).unwrap();
                    } else {
                        pool.max(device, x, y).unwrap();
                        pool.max_backward(device, x, dy, dx, accumulate).unwrap();
                    }
                    read.extend(bed.read(y.at, y.len()));
                    read.extend(bed.read(dx.at, dx.len()));
                }
                read
            });
            let Some(found) = found else { return };
            let mut expected = Vec::new();
            for mean in [false, true].into_iter().filter(|mean| means || !mean) {
                let area = (kernel[0] * kernel[1]) as f64;
                expected.extend(windows.iter().map(|window| match mean {
                    true => window.iter().map(|&at| f64::from(x[at])).sum::<f64>() / area,
                    false => f64::from(x[winner(window)]),
                }));
                let before = |start: &f32| if accumulate { f64::from(*start) } else { 0.0 };
                let mut dx: Vec<f64> = start.iter().map(before).collect();
                for (window, dy) in windows.iter().zip(&dy) {
                    match mean {
                        true => window.iter().for_each(|&at| dx[at] += f64::from(*dy) / area),
                        false => dx[winner(window)] += f64::from(*dy),
                    }
                }
                expected.extend(dx);
            }
            let sizes = vec![4.0; expected.len()];
            close(&found, &expected, &sizes, 1e-6, &format!("{samples} {input:?} {geometry:?}"));
        }
    }
}

/// Samples, input, output channels and stride: channels added on both sides, an odd one behind, none;
/// sizes that the step does not divide.
const SHORTCUTS: [(usize, [usize; 3], usize, [usize; 2]); 5] = [
    (1, [1, 1, 1], 3, [1, 1]),
    (5, [3, 7, 6], 8, [2, 2]),
    (16, [17, 4, 5], 17, [1, 2]),
    (2, [16, 4, 4], 32, [2, 2]),
    (2, [2, 7, 8], 5, [3, 3]),
];

#[test]
fn shortcuts_take_every_other_place_and_pad_channels() {
    for (samples, input, channels, stride) in SHORTCUTS {
        let output = [channels, input[1].div_ceil(stride[0]), input[2].div_ceil(stride[1])];
        let mut stream = Stream::new(2, "test/shortcut");
        let x = draw(&mut stream, samples * input.iter().product::<usize>());
        let dy = draw(&mut stream, samples * output.iter().product::<usize>());
        let start = draw(&mut stream, x.len());
        for accumulate in [false, true] {
            let found = both(|bed| {
                let x = bed.tensor(samples, input, Some(&x));
                let dy = bed.tensor(samples, output, Some(&dy));
                let y = bed.tensor(samples, output, None);
                let dx = bed.tensor(samples, input, accumulate.then_some(&start[..]));
                pad_shortcut(&mut bed.device, x, y, stride).unwrap();
                pad_shortcut_backward(&mut bed.device, dy, dx, stride, accumulate).unwrap();
                [bed.read(y.at, y.len()), bed.read(dx.at, dx.len())].concat()
            });
            let Some(found) = found else { return };
            let mut y = vec![0.0; dy.len()];
            let mut dx = if accumulate { start.clone() } else { vec![0.0; x.len()] };
            let before = (channels - input[0]) / 2;
            for (at, y) in y.iter_mut().enumerate() {
                let (channel, place) = (at % channels, at / channels);
                let (ox, row) = (place % output[2], place / output[2]);
                let (oy, sample) = (row % output[1], row / output[1]);
                if channel >= before && channel < before + input[0] {
                    let row = sample * input[1] + oy * stride[0];
                    let from = (row * input[2] + ox * stride[1]) * input[0] + channel - before;
                    *y = x[from];
                    dx[from] += dy[at];
                }
            }
            assert_eq!(found, [y, dx].concat(), "{samples} {input:?} {channels} {stride:?}");
        }
    }
}
