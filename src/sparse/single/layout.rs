//! Where the values of one sample lie: plain planes with a halo, and lowered ones without.
//!
//! Owns the geometry of both and the copying from the first to the second. Knows no kernel.

use std::ops::Range;

use super::super::conv::ConvShape;

/// A tensor of one sample, `[C][H + 2h][W + 2w]`, the halo being zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub halo: [usize; 2],
}

impl Layout {
    pub fn new([channels, height, width]: [usize; 3], halo: [usize; 2]) -> Self {
        Self { channels, height, width, halo }
    }

    /// Values from one row to the next.
    pub fn row(&self) -> usize {
        self.width + 2 * self.halo[1]
    }

    /// Values of one channel.
    pub fn plane(&self) -> usize {
        (self.height + 2 * self.halo[0]) * self.row()
    }

    /// Where an interior place lies inside its plane.
    pub fn at(&self, y: usize, x: usize) -> usize {
        (y + self.halo[0]) * self.row() + x + self.halo[1]
    }

    /// The interior of row `y`, inside its plane.
    pub fn interior(&self, y: usize) -> Range<usize> {
        let start = self.at(y, 0);
        start..start + self.width
    }
}

/// The outputs, along one direction, whose tap `k` lies inside the input, for a window of `stride`
/// and `padding`; and the place that the first of them reads.
pub(super) fn inside(
    k: usize,
    stride: usize,
    padding: usize,
    size: usize,
    outputs: usize,
) -> (Range<usize>, usize) {
    let first = padding.saturating_sub(k).div_ceil(stride);
    let end = (size + padding).saturating_sub(k).div_ceil(stride).min(outputs);
    (first..end.max(first), (first * stride + k).saturating_sub(padding))
}

/// A tensor as a convolution of few columns, or of a stride, likes to read it: for each phase of the
/// vertical stride and each column of the kernel a copy as wide as the output,
/// `[C][phase][kw][OH + (kh - 1) / stride][OW]`.
///
/// Each tap is then one run of `OH * OW` values, whatever the stride, so every vector is full. The
/// places that padding covers are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lowering {
    pub channels: usize,
    size: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Lowering {
    /// What `shape` reads of an input.
    pub fn of(shape: &ConvShape, input: [usize; 3]) -> Self {
        let ConvShape { kernel, stride, padding, .. } = *shape;
        let [channels, height, width] = input;
        Self {
            channels,
            size: [height, width],
            output: shape.output(input),
            kernel,
            stride,
            padding,
        }
    }

    fn rows(&self) -> usize {
        self.output[0] + (self.kernel[0] - 1) / self.stride[0]
    }

    fn copy(&self, phase: usize, column: usize) -> usize {
        (phase * self.kernel[1] + column) * self.rows() * self.output[1]
    }

    /// Values of one channel.
    pub fn plane(&self) -> usize {
        self.copy(self.stride[0].min(self.kernel[0]), 0)
    }

    /// Where, inside its channel, the run of tap `(y, x)` begins.
    pub fn at(&self, y: usize, x: usize) -> usize {
        self.copy(y % self.stride[0], x) + y / self.stride[0] * self.output[1]
    }

    /// How far `other` lies inside this one, in rows and columns of the kernel, if all its taps are
    /// among this one's.
    pub fn serves(&self, other: &Self) -> Option<[usize; 2]> {
        let same = (self.channels, self.size, self.output, self.stride)
            == (other.channels, other.size, other.output, other.stride);
        let ahead = |d: usize| {
            let ahead = self.padding[d].checked_sub(other.padding[d])?;
            (ahead + other.kernel[d] <= self.kernel[d]).then_some(ahead)
        };
        if same { Some([ahead(0)?, ahead(1)?]) } else { None }
    }

    /// Copies one channel. What padding covers is left as it is: zero.
    #[inline(always)]
    pub fn spread(&self, layout: Layout, from: &[f32], to: &mut [f32]) {
        let flat = self.stride == [1, 1] && self.output[1] == self.size[1] && layout.halo[1] == 0;
        let copy = self.rows() * self.output[1];
        for phase in 0..self.stride[0].min(self.kernel[0]) {
            for column in 0..self.kernel[1] {
                let to = &mut to[self.copy(phase, column)..][..copy];
                if flat {
                    self.shift(column, &from[layout.at(0, 0)..], to);
                } else {
                    self.pick(layout, [phase, column], from, to);
                }
            }
        }
    }

    /// The copy of kernel column `column`, where rows keep their length: all rows at once, moved by
    /// whole columns; what that brought over from the neighbouring rows is padding.
    #[inline(always)]
    fn shift(&self, column: usize, from: &[f32], to: &mut [f32]) {
        let [height, width] = self.size;
        let top = self.padding[0].min(self.rows());
        let rows = height.min(self.rows() - top);
        let to = &mut to[top * width..][..rows * width];
        let (left, right) =
            (self.padding[1].saturating_sub(column), column.saturating_sub(self.padding[1]));
        if left.max(right) >= width {
            return;
        }
        let len = to.len() - left - right;
        to[left..left + len].copy_from_slice(&from[right..right + len]);
        for row in to.chunks_exact_mut(width) {
            row[..left].fill(0.0);
            row[width - right..].fill(0.0);
        }
    }

    #[inline(always)]
    fn pick(&self, layout: Layout, [phase, column]: [usize; 2], from: &[f32], to: &mut [f32]) {
        let [stride_y, stride] = self.stride;
        let width = self.output[1];
        let (rows, first) = inside(phase, stride_y, self.padding[0], self.size[0], self.rows());
        let (columns, x) = inside(column, stride, self.padding[1], self.size[1], width);
        if columns.is_empty() {
            return;
        }
        for (i, row) in rows.enumerate() {
            let to = &mut to[row * width..][columns.clone()];
            let from = &from[layout.at(first + i * stride_y, x)..];
            match stride {
                1 => to.copy_from_slice(&from[..to.len()]),
                2 => {
                    // The last pair may be cut off: it is taken by itself.
                    let (last, most) = (to.len() - 1, from.as_chunks::<2>().0);
                    for (to, pair) in to[..last].iter_mut().zip(most) {
                        *to = pair[0];
                    }
                    to[last] = from[2 * last];
                }
                _ => {
                    for (i, to) in to.iter_mut().enumerate() {
                        *to = from[i * stride];
                    }
                }
            }
        }
    }
}
