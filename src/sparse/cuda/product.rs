//! The product that the forward pass and each phase of an input gradient are: gathered input times laid out
//! weights. Which place reads what is an affine map, told by a [`Lattice`]; where the weights lie in the mask
//! by a [`Matrix`].

use super::error::CudaError;
use super::kernel::Kernel;
use super::layer::Layer;
use super::machine::{Address, Arg, Grid, Machine};
use super::precision::Precision;
use super::tensor::{THREADS, each, int, word};

/// Rows (places) and columns (filters) of a block. As in the sources.
const ROWS: usize = 128;
pub(super) const COLUMNS: usize = 64;

/// Weights of a pass, as [`Kernel::Expand`] lays them out; fields are those of `Expand` in `kernels/packed.cu`.
pub(super) struct Matrix {
    pub taps: [usize; 2],
    pub depth: usize,
    pub width: usize,
    pub lows: usize,
    pub per_high: usize,
    pub per_low: usize,
    pub per_depth: usize,
    pub start: [usize; 2],
    pub step: [usize; 2],
}

/// What a pass of [`Kernel::ConvF32`] and its like reads and writes, along height and width; fields are those of
/// `Conv` in `kernels/conv.cu`.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    pub places: [usize; 2],
    pub out: [usize; 3],
    pub out_start: [usize; 2],
    pub out_step: [usize; 2],
    pub input: [usize; 3],
    pub in_start: [i32; 2],
    pub in_step: [usize; 2],
    pub tap_step: i32,
}

impl Layer {
    /// Lays the weights of a pass out dense.
    pub(super) fn expand(
        &self,
        machine: &mut dyn Machine,
        values: Address,
        matrix: &Matrix,
        to: Address,
    ) -> Result<(), CudaError> {
        let groups = self.shape.groups;
        let all = groups * matrix.taps[0] * matrix.taps[1] * matrix.depth * matrix.width;
        let per_group = self.filters_of_group() * self.depth() * self.area();
        let fields = [
            groups,
            matrix.taps[0],
            matrix.taps[1],
            matrix.depth,
            matrix.width,
            matrix.lows,
            per_group,
            matrix.per_high,
            matrix.per_low,
            matrix.per_depth,
            matrix.start[0],
            matrix.start[1],
            matrix.step[0],
            matrix.step[1],
            self.shape.kernel[1],
        ];
        let [bits, before] = [self.mask.bits, self.mask.before].map(Arg::Address);
        let args =
            [Arg::Address(values), bits, before, Arg::Address(to), Arg::Ints(&fields.map(int))];
        machine.launch(Kernel::Expand, each(all), &args)
    }

    /// Multiplies gathered input by laid out weights: `at` is input, weights, bias and output.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn multiply(
        &self,
        machine: &mut dyn Machine,
        precision: Precision,
        [from, weights, bias, to]: [Address; 4],
        samples: usize,
        lattice: &Lattice,
        matrix: &Matrix,
        [relu, accumulate]: [bool; 2],
    ) -> Result<(), CudaError> {
        let [out_channels, out_height, out_width] = lattice.out.map(int);
        let [in_channels, in_height, in_width] = lattice.input.map(int);
        let [out_y, out_x] = lattice.out_start.map(int);
        let [out_step_y, out_step_x] = lattice.out_step.map(int);
        let [in_step_y, in_step_x] = lattice.in_step.map(int);
        let fields = [
            int(samples),
            int(lattice.places[0]),
            int(lattice.places[1]),
            out_height,
            out_width,
            out_channels,
            out_y,
            out_x,
            out_step_y,
            out_step_x,
            in_height,
            in_width,
            in_channels,
            lattice.in_start[0],
            lattice.in_start[1],
            in_step_y,
            in_step_x,
            int(matrix.taps[0]),
            int(matrix.taps[1]),
            lattice.tap_step,
            lattice.tap_step,
            int(matrix.depth),
            int(matrix.width),
            i32::from(relu),
            i32::from(accumulate),
        ];
        let rows = samples * lattice.places[0] * lattice.places[1];
        let blocks = [rows.div_ceil(ROWS), matrix.width.div_ceil(COLUMNS), self.shape.groups];
        let grid = Grid { blocks: blocks.map(word), threads: THREADS as u32 };
        let pointers = [from, weights, bias, to].map(Arg::Address);
        let args = [pointers[0], pointers[1], pointers[2], pointers[3], Arg::Ints(&fields)];
        machine.launch(precision.conv(), grid, &args)
    }
}
