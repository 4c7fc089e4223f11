//! Launchers of convolutions and linear layers: the mask on the device, and the three passes.
//!
//! Weights, and their gradient, are packed vectors in mask order. A pass that reads weights lays them out
//! dense in a scratch first, which all layers share; the pass that makes their gradient writes what the
//! mask has and nothing else.

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Address, Arg, Grid, Machine};
use super::mask_bits::MaskAt;
use super::precision::Precision;
use super::product::{COLUMNS, Lattice, Matrix};
use super::tensor::{THREADS, Tensor, columns, each, int, most_parts, parts, word};
use crate::sparse::ConvShape;

/// Filters and columns of a block of `weight_gradient`, and factors of a step. As in the sources.
const SIDE: usize = 64;
const DEPTH: usize = 16;

/// Blocks that a weight gradient is cut into, about: enough for any card, and no function of it.
const BLOCKS: usize = 512;

/// Places that a part of a weight gradient sums, at least.
const LEAST: usize = 256;

/// A convolution or linear layer on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its shape.
    pub shape: ConvShape,
    /// Channels, height and width of its input.
    pub input: [usize; 3],
    /// Weights that exist.
    pub existing: usize,
    /// Which.
    pub mask: MaskAt,
}

impl Layer {
    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.shape.output(self.input)
    }

    pub(super) fn filters_of_group(&self) -> usize {
        self.shape.filters / self.shape.groups
    }

    pub(super) fn depth(&self) -> usize {
        self.input[0] / self.shape.groups
    }

    pub(super) fn area(&self) -> usize {
        self.shape.kernel[0] * self.shape.kernel[1]
    }

    /// Values of the scratch that its weights are laid out in.
    pub fn expanded(&self) -> usize {
        self.shape.weights(self.input[0])
    }

    /// Parts of the weight gradient over `samples` samples, and places in each.
    fn parts(&self, samples: usize) -> (usize, usize) {
        let [height, width] = self.output();
        let all = samples * height * width;
        let columns = self.area() * self.depth();
        let tiles =
            self.filters_of_group().div_ceil(SIDE) * columns.div_ceil(SIDE) * self.shape.groups;
        let wanted = (BLOCKS / tiles).clamp(1, all.div_ceil(LEAST).max(1));
        let per_part = all.div_ceil(wanted).next_multiple_of(DEPTH);
        (all.div_ceil(per_part), per_part)
    }

    /// Values of the scratch that the gradients of weight and bias are summed in, for up to `samples`.
    pub fn partials(&self, samples: usize) -> usize {
        let most = (1..=samples).map(|samples| self.parts(samples).0).max().unwrap_or(1);
        let [height, width] = self.output();
        (most * self.existing).max(most_parts(samples * height * width) * self.shape.filters)
    }

    /// Whether a launch can count what it has to; else the number that is too large.
    pub fn fits(&self, samples: usize) -> bool {
        let [height, width] = self.output();
        let sizes = [
            samples * self.input.iter().product::<usize>(),
            samples * height * width * self.shape.filters,
            self.expanded(),
        ];
        let z = self.parts(samples).0 * self.shape.groups;
        let columns =
            self.input.iter().product::<usize>().max(self.shape.filters).div_ceil(COLUMNS);
        let columns = columns.max((self.area() * self.depth()).div_ceil(SIDE));
        sizes.iter().all(|&size| i32::try_from(size).is_ok()) && z.max(columns) <= 65_535
    }

    /// `y = x * w (+ bias)`, then the rectifier if there is one. `scratch` holds [`Layer::expanded`] values.
    ///
    /// # Panics
    /// If the tensors are not this layer's.
    ///
    /// # Errors
    /// If the device refuses a launch.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        machine: &mut dyn Machine,
        precision: Precision,
        [values, bias]: [Address; 2],
        (x, y): (Tensor, Tensor),
        relu: bool,
        scratch: Address,
    ) -> Result<(), CudaError> {
        self.check(x, y);
        let [kernel, padding] = [self.shape.kernel, self.shape.padding];
        let matrix = Matrix {
            taps: kernel,
            depth: self.depth(),
            width: self.filters_of_group(),
            lows: self.filters_of_group(),
            per_high: 0,
            per_low: self.depth() * self.area(),
            per_depth: self.area(),
            start: [0, 0],
            step: [1, 1],
        };
        let lattice = Lattice {
            places: self.output(),
            out: y.shape,
            out_start: [0, 0],
            out_step: [1, 1],
            input: x.shape,
            in_start: padding.map(|padding| -int(padding)),
            in_step: self.shape.stride,
            tap_step: 1,
        };
        self.expand(machine, values, &matrix, scratch)?;
        let at = [x.at, scratch, bias, y.at];
        self.multiply(machine, precision, at, x.samples, &lattice, &matrix, [relu, false])
    }

    /// `dx = dy * w^T`, or `dx += ...` where `accumulate`. `scratch` holds [`Layer::expanded`] values.
    ///
    /// # Panics
    /// If the tensors are not this layer's.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn input_gradient(
        &self,
        machine: &mut dyn Machine,
        precision: Precision,
        values: Address,
        (dy, dx): (Tensor, Tensor),
        accumulate: bool,
        scratch: Address,
    ) -> Result<(), CudaError> {
        self.check(dx, dy);
        if self.covers() {
            return self.whole_gradient(machine, precision, values, (dy, dx), accumulate, scratch);
        }
        let [rows, columns] = self.shape.stride;
        let phases = (0..rows * columns).map(|phase| [phase / columns, phase % columns]);
        let passes: Vec<_> = phases.filter_map(|phase| self.phase(phase, dy, dx)).collect();
        if passes.len() < rows * columns && !accumulate {
            // Some places are read by no tap.
            machine.clear(dx.at, 4 * dx.len() as u64)?;
        }
        for (lattice, matrix) in passes {
            self.expand(machine, values, &matrix, scratch)?;
            let at = [dy.at, scratch, Address::default(), dx.at];
            let flags = [false, accumulate];
            self.multiply(machine, precision, at, dx.samples, &lattice, &matrix, flags)?;
        }
        Ok(())
    }

    /// The input gradient at the places `phase`, `phase + stride`, ... of both directions; none if there
    /// are no such places, or no tap meets them.
    pub(super) fn phase(
        &self,
        phase: [usize; 2],
        dy: Tensor,
        dx: Tensor,
    ) -> Option<(Lattice, Matrix)> {
        let ConvShape { kernel, stride, padding, .. } = self.shape;
        let first = |d: usize| (phase[d] + padding[d]) % stride[d];
        let taps = |d: usize| kernel[d].saturating_sub(first(d)).div_ceil(stride[d]);
        let places = |d: usize| self.input[1 + d].saturating_sub(phase[d]).div_ceil(stride[d]);
        let (taps, places) = ([taps(0), taps(1)], [places(0), places(1)]);
        if taps.contains(&0) || places.contains(&0) {
            return None;
        }
        let matrix = Matrix {
            taps,
            depth: self.filters_of_group(),
            width: self.depth(),
            lows: self.depth(),
            per_high: 0,
            per_low: self.area(),
            per_depth: self.depth() * self.area(),
            start: [first(0), first(1)],
            step: stride,
        };
        let lattice = Lattice {
            places,
            out: dx.shape,
            out_start: phase,
            out_step: stride,
            input: dy.shape,
            in_start: [0, 1].map(|d| int((phase[d] + padding[d]) / stride[d])),
            in_step: [1, 1],
            tap_step: -1,
        };
        Some((lattice, matrix))
    }

    /// Whether the kernel covers the whole input, so that each weight meets one place only.
    pub(super) fn covers(&self) -> bool {
        let [_, height, width] = self.input;
        self.shape.kernel == [height, width]
            && self.shape.padding == [0, 0]
            && self.shape.groups == 1
    }

    /// The input gradient where the kernel covers the input: one product over all its values.
    fn whole_gradient(
        &self,
        machine: &mut dyn Machine,
        precision: Precision,
        values: Address,
        (dy, dx): (Tensor, Tensor),
        accumulate: bool,
        scratch: Address,
    ) -> Result<(), CudaError> {
        let all: usize = self.input.iter().product();
        let matrix = Matrix {
            taps: [1, 1],
            depth: self.shape.filters,
            width: all,
            lows: self.input[0],
            per_high: 1,
            per_low: self.area(),
            per_depth: all,
            start: [0, 0],
            step: [1, 1],
        };
        let lattice = Lattice {
            places: [1, 1],
            out: [all, 1, 1],
            out_start: [0, 0],
            out_step: [1, 1],
            input: dy.shape,
            in_start: [0, 0],
            in_step: [1, 1],
            tap_step: 1,
        };
        self.expand(machine, values, &matrix, scratch)?;
        let at = [dy.at, scratch, Address::default(), dx.at];
        let flags = [false, accumulate];
        self.multiply(machine, precision, at, dx.samples, &lattice, &matrix, flags)
    }

    /// Adds the gradient of the weights that exist to `gradient`. `partials` holds [`Layer::partials`]
    /// values.
    ///
    /// # Panics
    /// If the tensors are not this layer's.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn weight_gradient(
        &self,
        machine: &mut dyn Machine,
        precision: Precision,
        (dy, x): (Tensor, Tensor),
        gradient: Address,
        partials: Address,
    ) -> Result<(), CudaError> {
        self.check(x, dy);
        if self.existing == 0 {
            return Ok(());
        }
        let (count, per_part) = self.parts(x.samples);
        let ConvShape { kernel, stride, padding, groups, .. } = self.shape;
        let ([channels, height, width], [out_height, out_width]) = (self.input, self.output());
        let fields = [
            x.samples,
            out_height,
            out_width,
            self.shape.filters,
            height,
            width,
            channels,
            kernel[0],
            kernel[1],
            stride[0],
            stride[1],
            padding[0],
            padding[1],
            self.filters_of_group(),
            self.depth(),
            groups,
            per_part,
            self.existing,
        ];
        let tiles = [self.filters_of_group(), self.area() * self.depth()];
        let [down, across] = tiles.map(|side| side.div_ceil(SIDE));
        let blocks = [down, across, count * groups].map(word);
        let grid = Grid { blocks, threads: THREADS as u32 };
        let pointers = [dy.at, x.at, self.mask.bits, self.mask.before, partials].map(Arg::Address);
        let mut args = pointers.to_vec();
        let fields = fields.map(int);
        args.push(Arg::Ints(&fields));
        machine.launch(precision.weight_gradient(), grid, &args)?;
        sum_partials(machine, partials, gradient, self.existing, count)
    }

    /// Adds the gradient of the bias, the sum of `dy` over samples and places, to `gradient`.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn bias_gradient(
        &self,
        machine: &mut dyn Machine,
        dy: Tensor,
        gradient: Address,
        partials: Address,
    ) -> Result<(), CudaError> {
        let (rows, channels) = (dy.rows(), dy.channels());
        let (count, per_part) = parts(rows);
        let [rows, width, per_part] = [rows, channels, per_part].map(|n| Arg::Word(word(n)));
        let args = [Arg::Address(dy.at), Arg::Address(partials), rows, width, per_part];
        machine.launch(Kernel::ColumnSums, columns(channels, count), &args)?;
        sum_partials(machine, partials, gradient, channels, count)
    }

    pub(super) fn check(&self, x: Tensor, y: Tensor) {
        let [height, width] = self.output();
        assert_eq!(x.shape, self.input, "the input of another layer");
        assert_eq!(y.shape, [self.shape.filters, height, width], "the output of another layer");
        assert_eq!(x.samples, y.samples, "input and output of one batch");
        assert!(x.samples > 0, "a batch holds at least one sample");
    }
}

/// Adds `count` vectors of `len`, in order, to `to`.
pub(super) fn sum_partials(
    machine: &mut dyn Machine,
    partials: Address,
    to: Address,
    len: usize,
    count: usize,
) -> Result<(), CudaError> {
    let args =
        [Arg::Address(partials), Arg::Address(to), Arg::Word(word(len)), Arg::Word(word(count))];
    machine.launch(Kernel::SumPartials, each(len), &args)
}
