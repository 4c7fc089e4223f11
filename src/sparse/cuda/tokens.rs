//! Launchers of what a transformer needs besides attention. The formulas are those of
//! [`crate::sparse::gelu()`], [`crate::sparse::add_position`], [`crate::sparse::Merge`] and
//! [`crate::sparse::LayerNorm`].

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Address, Arg, Grid, Machine};
use super::tensor::{THREADS, Tensor, alike, columns, each, int, most_parts, parts, word};

/// Rows of a block that sums over channels: one for each 32 threads.
pub(super) const LINES: usize = 8;

/// `y = x * P(X <= x)` for a standard normal `X`.
///
/// # Panics
/// If the tensors differ in shape.
///
/// # Errors
/// If the device refuses the launch.
pub fn gelu(machine: &mut dyn Machine, x: Tensor, y: Tensor) -> Result<(), CudaError> {
    alike(&[x, y]);
    let args = [Arg::Address(x.at), Arg::Address(y.at), Arg::Word(word(x.len()))];
    machine.launch(Kernel::Gelu, each(x.len()), &args)
}

/// The gradient of what [`gelu`] read.
///
/// # Panics
/// If the tensors differ in shape.
///
/// # Errors
/// If the device refuses the launch.
pub fn gelu_backward(
    machine: &mut dyn Machine,
    x: Tensor,
    dy: Tensor,
    dx: Tensor,
    accumulate: bool,
) -> Result<(), CudaError> {
    alike(&[x, dy]);
    alike(&[x, dx]);
    let pointers = [x.at, dy.at, dx.at].map(Arg::Address);
    let sizes = [Arg::Word(word(x.len())), Arg::Word(u32::from(accumulate))];
    machine.launch(Kernel::GeluBackward, each(x.len()), &[&pointers[..], &sizes].concat())
}

/// `y = x + added`; `added` is `[C][H][W]`, the same for every sample.
///
/// # Panics
/// If the tensors differ in shape.
///
/// # Errors
/// If the device refuses the launch.
pub fn add_position(
    machine: &mut dyn Machine,
    x: Tensor,
    added: Address,
    y: Tensor,
) -> Result<(), CudaError> {
    alike(&[x, y]);
    let pointers = [x.at, added, y.at].map(Arg::Address);
    let [channels, height, width] = x.shape;
    let sizes = [x.len(), channels, height * width].map(|n| Arg::Word(word(n)));
    machine.launch(Kernel::AddPosition, each(x.len()), &[&pointers[..], &sizes].concat())
}

/// Adds the sum of `dy` over samples, in their order, to `gradient`, `[C][H][W]`.
///
/// # Errors
/// If the device refuses the launch.
pub fn position_gradient(
    machine: &mut dyn Machine,
    dy: Tensor,
    gradient: Address,
) -> Result<(), CudaError> {
    let [channels, height, width] = dy.shape;
    let sizes = [dy.samples, channels, height * width].map(|n| Arg::Word(word(n)));
    let args = [&[Arg::Address(dy.at), Arg::Address(gradient)][..], &sizes].concat();
    machine.launch(Kernel::PositionGradient, each(channels * height * width), &args)
}

fn merge_fields(x: Tensor, y: Tensor, side: usize) -> [i32; 4] {
    let [channels, height, width] = x.shape;
    let merged = [channels * side * side, height / side, width / side];
    assert_eq!((y.samples, y.shape), (x.samples, merged), "squares of {side} as channels");
    [height, width, channels, side].map(int)
}

/// The places of each `side` by `side` square as channels of one place.
///
/// # Panics
/// If the shapes are not those of input and output.
///
/// # Errors
/// If the device refuses the launch.
pub fn merge(
    machine: &mut dyn Machine,
    x: Tensor,
    y: Tensor,
    side: usize,
) -> Result<(), CudaError> {
    let fields = merge_fields(x, y, side);
    let size = Arg::Word(word(y.len()));
    let args = [Arg::Address(x.at), Arg::Address(y.at), size, Arg::Ints(&fields)];
    machine.launch(Kernel::Merge, each(y.len()), &args)
}

/// Hands each gradient back to the place it came from.
///
/// # Panics
/// If the shapes are not those of output and input.
///
/// # Errors
/// If the device refuses the launch.
pub fn merge_backward(
    machine: &mut dyn Machine,
    dy: Tensor,
    dx: Tensor,
    side: usize,
    accumulate: bool,
) -> Result<(), CudaError> {
    let fields = merge_fields(dx, dy, side);
    let sizes = [Arg::Word(word(dx.len())), Arg::Word(u32::from(accumulate))];
    let pointers = [Arg::Address(dy.at), Arg::Address(dx.at)];
    let args = [&pointers[..], &sizes, &[Arg::Ints(&fields)]].concat();
    machine.launch(Kernel::MergeBackward, each(dx.len()), &args)
}

/// A norm over the channels of each place, on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNorm {
    /// One factor a channel.
    pub scale: Address,
    /// One summand a channel.
    pub shift: Address,
    /// Added to the variance.
    pub epsilon: f32,
}

/// What its backward pass reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct RowNormBackward {
    /// What was normalised.
    pub x: Tensor,
    /// The gradient of what was written.
    pub dy: Tensor,
    /// The gradient of `x`.
    pub dx: Tensor,
    /// The gradients of scale and shift, which are added to; none where they do not learn.
    pub parameters: Option<[Address; 2]>,
    /// Whether the gradient of `x` is added to what is there.
    pub accumulate: bool,
    /// [`RowNorm::scratch`] values that nobody else uses meanwhile.
    pub scratch: Address,
}

impl RowNorm {
    /// Values of the backward pass's scratch for `rows` rows of `channels`: the statistics of each row,
    /// parts of sums, and their means.
    pub fn scratch(rows: usize, channels: usize) -> usize {
        2 * rows + 2 * channels * (most_parts(rows) + 1)
    }

    /// `y = normalised(x) * scale + shift`.
    ///
    /// # Panics
    /// If the tensors differ in shape.
    ///
    /// # Errors
    /// If the device refuses the launch.
    pub fn forward(
        &self,
        machine: &mut dyn Machine,
        x: Tensor,
        y: Tensor,
    ) -> Result<(), CudaError> {
        alike(&[x, y]);
        let pointers = [x.at, y.at, self.scale, self.shift].map(Arg::Address);
        let sizes = [x.rows(), x.channels()].map(|n| Arg::Word(word(n)));
        let args = [&pointers[..], &sizes, &[Arg::Real(self.epsilon)]].concat();
        machine.launch(Kernel::LayerNorm, lines(x.rows()), &args)
    }

    /// Gradients of `x`, scale and shift. Statistics are made again from `x`; sums over rows are made in
    /// parts, and the parts added in order.
    ///
    /// # Panics
    /// If the tensors differ in shape.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn backward(
        &self,
        machine: &mut dyn Machine,
        to: &RowNormBackward,
    ) -> Result<(), CudaError> {
        let &RowNormBackward { x, dy, dx, parameters, accumulate, scratch } = to;
        alike(&[x, dy]);
        alike(&[x, dx]);
        let (rows, channels) = (x.rows(), x.channels());
        let word = |n: usize| Arg::Word(word(n));
        let pointers = [x.at, self.scale, dy.at, dx.at, scratch].map(Arg::Address);
        let flags = [Arg::Real(self.epsilon), Arg::Word(u32::from(accumulate))];
        let args = [&pointers[..], &[word(rows), word(channels)], &flags].concat();
        machine.launch(Kernel::LayerNormInputGradient, lines(rows), &args)?;

        let Some([dscale, dshift]) = parameters else { return Ok(()) };
        let (count, per_part) = parts(rows);
        let partials = scratch.at(2 * rows);
        let pointers = [x.at, dy.at, scratch, partials].map(Arg::Address);
        let args = [&pointers[..], &[rows, channels, per_part].map(word)].concat();
        machine.launch(Kernel::LayerNormProducts, columns(channels, count), &args)?;
        // The means that this writes besides are of no use here.
        let means = partials.at(2 * channels * most_parts(rows));
        let pointers = [partials, dscale, dshift, means].map(Arg::Address);
        let args = [&pointers[..], &[rows, channels, count, 0].map(word)].concat();
        machine.launch(Kernel::NormProductsFinish, each(channels), &args)
    }
}

/// Blocks for sums along each of `rows` rows.
pub(super) fn lines(rows: usize) -> Grid {
    Grid { blocks: [word(rows.div_ceil(LINES)), 1, 1], threads: THREADS as u32 }
}
