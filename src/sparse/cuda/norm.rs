//! Launchers of batch normalisation. The formulas are those of [`crate::sparse::BatchNorm`]; sums are made
//! in parts of rows, and the parts added in order.

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Address, Arg, Machine};
use super::tensor::{Tensor, alike, columns, each, most_parts, parts, word};

/// A batch normalisation on a device: where its parameters, its statistics and what it keeps lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// One factor a channel.
    pub scale: Address,
    /// One summand a channel.
    pub shift: Address,
    /// Running means, one a channel.
    pub mean: Address,
    /// Running variances, one a channel.
    pub variance: Address,
    /// Mean and one over the deviation of each channel, kept for the backward pass.
    pub saved: Address,
    /// A scratch of [`Norm::scratch`] values.
    pub scratch: Address,
    /// Added to the variance.
    pub epsilon: f32,
    /// The weight of a batch in the running statistics.
    pub momentum: f32,
    /// Whether `max(y, 0)` is written.
    pub relu: bool,
}

/// What a normalisation's backward pass reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct NormBackward {
    /// What was normalised.
    pub x: Tensor,
    /// What was written, where a rectifier stands behind an addition.
    pub y: Option<Tensor>,
    /// The gradient of what was written; closed in place where `y` is given.
    pub dy: Tensor,
    /// The gradient of `x`.
    pub dx: Tensor,
    /// The gradients of scale and shift, which are added to; none where they do not learn.
    pub parameters: Option<[Address; 2]>,
    /// Whether the statistics were constants.
    pub frozen: bool,
    /// Whether the gradient of `x` is added to what is there.
    pub accumulate: bool,
}

impl Norm {
    /// Values of the scratch for `rows` rows of `channels`.
    pub fn scratch(rows: usize, channels: usize) -> usize {
        2 * channels * (most_parts(rows) + 1)
    }

    /// Makes `saved` from the batch in `x`, and moves the running statistics.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn moments(&self, machine: &mut dyn Machine, x: Tensor) -> Result<(), CudaError> {
        let (rows, channels) = (x.rows(), x.channels());
        let (count, per_part) = parts(rows);
        let sizes = [rows, channels, per_part].map(|n| Arg::Word(word(n)));
        let args = [Arg::Address(x.at), Arg::Address(self.scratch), sizes[0], sizes[1], sizes[2]];
        machine.launch(Kernel::Moments, columns(channels, count), &args)?;
        let pointers = [self.scratch, self.saved, self.mean, self.variance].map(Arg::Address);
        let args =
            [&pointers[..], &sizes, &[Arg::Real(self.epsilon), Arg::Real(self.momentum)]].concat();
        machine.launch(Kernel::MomentsFinish, each(channels), &args)
    }

    /// Makes `saved` from the running statistics.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn frozen(&self, machine: &mut dyn Machine, channels: usize) -> Result<(), CudaError> {
        let pointers = [self.mean, self.variance, self.saved].map(Arg::Address);
        let args = [&pointers[..], &[Arg::Word(word(channels)), Arg::Real(self.epsilon)]].concat();
        machine.launch(Kernel::NormFrozen, each(channels), &args)
    }

    /// Writes `y`, by `saved`.
    ///
    /// # Panics
    /// If the tensors differ in shape.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn forward(
        &self,
        machine: &mut dyn Machine,
        x: Tensor,
        addend: Option<Tensor>,
        y: Tensor,
    ) -> Result<(), CudaError> {
        alike(&[Some(x), addend, Some(y)].into_iter().flatten().collect::<Vec<_>>());
        let addend = addend.map_or(Address::default(), |addend| addend.at);
        let pointers = [x.at, addend, y.at, self.saved, self.scale, self.shift].map(Arg::Address);
        let sizes = [x.len(), x.channels(), usize::from(self.relu)].map(|n| Arg::Word(word(n)));
        machine.launch(Kernel::Normalise, each(x.len()), &[&pointers[..], &sizes].concat())
    }

    /// Gradients of scale, shift and `x`.
    ///
    /// # Panics
    /// If the tensors differ in shape.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn backward(&self, machine: &mut dyn Machine, to: &NormBackward) -> Result<(), CudaError> {
        let &NormBackward { x, y, dy, dx, parameters, frozen, accumulate } = to;
        alike(&[Some(x), y, Some(dy), Some(dx)].into_iter().flatten().collect::<Vec<_>>());
        let (rows, channels) = (x.rows(), x.channels());
        let (count, per_part) = parts(rows);
        let word = |n: usize| Arg::Word(word(n));
        let asked = y.map_or(Address::default(), |y| y.at);
        let own = [self.saved, self.scale, self.shift].map(Arg::Address);
        let read = [x.at, asked, dy.at].map(Arg::Address);
        let partials = Arg::Address(self.scratch);
        let means = self.scratch.at(2 * channels * most_parts(rows));
        let sizes = [rows, channels, per_part, usize::from(self.relu)].map(word);
        let args = [&read[..], &own, &[partials], &sizes].concat();
        machine.launch(Kernel::NormProducts, columns(channels, count), &args)?;

        let [dscale, dshift] = parameters.unwrap_or_default();
        let pointers = [self.scratch, dscale, dshift, means].map(Arg::Address);
        let sizes = [rows, channels, count, usize::from(frozen)].map(word);
        let args = [&pointers[..], &sizes].concat();
        machine.launch(Kernel::NormProductsFinish, each(channels), &args)?;

        let closes = self.relu && y.is_none();
        let read = [x.at, dy.at, dx.at].map(Arg::Address);
        let flags = [x.len(), channels, usize::from(closes), usize::from(accumulate)].map(word);
        let args = [&read[..], &own, &[Arg::Address(means)], &flags].concat();
        machine.launch(Kernel::NormInputGradient, each(x.len()), &args)
    }
}
