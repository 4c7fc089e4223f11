//! What is done plane by plane without weights between channels: an affine step with addend and
//! rectifier, pools, the shortcut that pads channels, and the lowering of a plane.

use std::ops::Range;

use super::super::lanes::{Lanes, Task};
use super::layout::{Layout, Lowering, inside};

/// What is done to each plane.
#[derive(Clone, Debug)]
pub(super) enum Planes {
    /// `scale[c] * x + shift[c]`, plus the addend, rectified if asked for.
    Affine { scale: Vec<f32>, shift: Vec<f32>, relu: bool },
    /// The largest value of each window; padding never wins.
    MaxPool { kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2] },
    /// The mean of each window.
    AvgPool { kernel: [usize; 2], stride: [usize; 2] },
    /// Every `stride`-th place, with zero channels before and behind.
    PadShortcut { stride: [usize; 2] },
}

/// Some planes of an output.
pub(super) struct Pass<'a> {
    pub planes: &'a Planes,
    pub channels: Range<usize>,
    pub from: (&'a [f32], Layout),
    /// The planes of `channels`.
    pub to: (&'a mut [f32], Layout),
    pub second: Option<(&'a [f32], Layout)>,
}

impl Task for Pass<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { planes, channels, from: (x, from), to: (y, to), second } = self;
        for (channel, y) in channels.zip(y.chunks_exact_mut(to.plane())) {
            let plane = |channel: usize| &x[channel * from.plane()..][..from.plane()];
            match planes {
                Planes::Affine { scale, shift, relu } => {
                    let factors = (scale[channel], shift[channel], *relu);
                    let second = second
                        .map(|(values, layout)| (&values[channel * layout.plane()..], layout));
                    affine(factors, (plane(channel), from), (y, to), second);
                }
                &Planes::MaxPool { kernel, stride, padding } => {
                    let window = (kernel, stride, padding);
                    pool(window, f32::NEG_INFINITY, larger, (plane(channel), from), (y, to));
                }
                &Planes::AvgPool { kernel, stride } => {
                    let window = (kernel, stride, [0, 0]);
                    pool(window, 0.0, |a, b| a + b, (plane(channel), from), (y, to));
                    let share = 1.0 / (kernel[0] * kernel[1]) as f32;
                    for row in 0..to.height {
                        y[to.interior(row)].iter_mut().for_each(|y| *y *= share);
                    }
                }
                &Planes::PadShortcut { stride } => {
                    let before = (to.channels - from.channels) / 2;
                    let source = channel.wrapping_sub(before);
                    for row in 0..to.height {
                        let y = &mut y[to.interior(row)];
                        if source >= from.channels {
                            y.fill(0.0);
                            continue;
                        }
                        let x = &plane(source)[from.interior(row * stride[0])];
                        for (y, x) in y.iter_mut().zip(x.iter().step_by(stride[1])) {
                            *y = *x;
                        }
                    }
                }
            }
        }
    }
}

/// The larger of two; a NaN stays one, so that it is seen.
#[inline(always)]
fn larger(best: f32, value: f32) -> f32 {
    if value > best || value.is_nan() { value } else { best }
}

#[inline(always)]
fn affine(
    (scale, shift, relu): (f32, f32, bool),
    (x, from): (&[f32], Layout),
    (y, to): (&mut [f32], Layout),
    second: Option<(&[f32], Layout)>,
) {
    for row in 0..to.height {
        let (x, y) = (&x[from.interior(row)], &mut y[to.interior(row)]);
        for (y, x) in y.iter_mut().zip(x) {
            *y = scale * x + shift;
        }
        if let Some((second, layout)) = second {
            for (y, second) in y.iter_mut().zip(&second[layout.interior(row)]) {
                *y += second;
            }
        }
        if relu {
            y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        }
    }
}

/// Folds each window, row by row, from `start` on. The inner loop goes along the output, so that it
/// has vectors.
#[inline(always)]
fn pool(
    (kernel, stride, padding): ([usize; 2], [usize; 2], [usize; 2]),
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    (x, from): (&[f32], Layout),
    (y, to): (&mut [f32], Layout),
) {
    for row in 0..to.height {
        y[to.interior(row)].fill(start);
    }
    for ky in 0..kernel[0] {
        let (rows, first) = inside(ky, stride[0], padding[0], from.height, to.height);
        for (i, row) in rows.enumerate() {
            let x = &x[from.interior(first + i * stride[0])];
            let y = &mut y[to.interior(row)];
            for kx in 0..kernel[1] {
                let (columns, first) = inside(kx, stride[1], padding[1], from.width, to.width);
                let x = x.get(first..).unwrap_or(&[]);
                let y = &mut y[columns];
                match stride[1] {
                    1 => y.iter_mut().zip(x).for_each(|(y, x)| *y = fold(*y, *x)),
                    _ => {
                        let x = x.iter().step_by(stride[1]);
                        y.iter_mut().zip(x).for_each(|(y, x)| *y = fold(*y, *x));
                    }
                }
            }
        }
    }
}

/// Planes to be lowered.
pub(super) struct Spread<'a> {
    pub lowering: Lowering,
    pub from: (&'a [f32], Layout),
    pub to: &'a mut [f32],
}

impl Task for Spread<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { lowering, from: (from, layout), to } = self;
        let planes = from.chunks_exact(layout.plane());
        for (from, to) in planes.zip(to.chunks_exact_mut(lowering.plane())) {
            lowering.spread(layout, from, to);
        }
    }
}
