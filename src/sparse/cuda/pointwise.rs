//! Launchers of what takes values one by one, of pooling, of the loss and of the optimiser.

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Address, Arg, Grid, Machine};
use super::tensor::{THREADS, Tensor, alike, each, int, word};
use crate::sparse::{L1, Step};

/// Normalises samples as they come, `[N][C][H][W]` at `from`: `to = (from - mean) * scale`.
///
/// # Errors
/// If the device refuses the launch.
pub fn load(
    machine: &mut dyn Machine,
    from: Address,
    [mean, scale]: [Address; 2],
    to: Tensor,
) -> Result<(), CudaError> {
    let pointers = [from, to.at, mean, scale].map(Arg::Address);
    let area = to.shape[1] * to.shape[2];
    let sizes = [to.len(), to.channels(), area].map(|n| Arg::Word(word(n)));
    machine.launch(Kernel::LoadInput, each(to.len()), &[&pointers[..], &sizes].concat())
}

/// `y = max(x, 0)`.
///
/// # Errors
/// If the device refuses the launch.
pub fn relu(machine: &mut dyn Machine, x: Tensor, y: Tensor) -> Result<(), CudaError> {
    alike(&[x, y]);
    let args = [Arg::Address(x.at), Arg::Address(y.at), Arg::Word(word(x.len()))];
    machine.launch(Kernel::Relu, each(x.len()), &args)
}

/// `dy = 0` where `y` is not above 0.
///
/// # Errors
/// If the device refuses the launch.
pub fn relu_backward(machine: &mut dyn Machine, y: Tensor, dy: Tensor) -> Result<(), CudaError> {
    alike(&[y, dy]);
    let args = [Arg::Address(y.at), Arg::Address(dy.at), Arg::Word(word(y.len()))];
    machine.launch(Kernel::ReluBackward, each(y.len()), &args)
}

/// `y = a + b`, then the rectifier if there is one.
///
/// # Errors
/// If the device refuses the launch.
pub fn add(
    machine: &mut dyn Machine,
    [a, b]: [Tensor; 2],
    y: Tensor,
    relu: bool,
) -> Result<(), CudaError> {
    alike(&[a, y]);
    alike(&[b, y]);
    let pointers = [a.at, b.at, y.at].map(Arg::Address);
    let sizes = [Arg::Word(word(y.len())), Arg::Word(u32::from(relu))];
    machine.launch(Kernel::Add, each(y.len()), &[&pointers[..], &sizes].concat())
}

/// `to = from`, or `to += from` where `accumulate`.
///
/// # Errors
/// If the device refuses the launch.
pub fn copy_or_add(
    machine: &mut dyn Machine,
    from: Tensor,
    to: Tensor,
    accumulate: bool,
) -> Result<(), CudaError> {
    alike(&[from, to]);
    let args = [
        Arg::Address(from.at),
        Arg::Address(to.at),
        Arg::Word(word(to.len())),
        Arg::Word(u32::from(accumulate)),
    ];
    machine.launch(Kernel::CopyOrAdd, each(to.len()), &args)
}

/// The places of the loss on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossAt {
    /// One label a sample.
    pub labels: Address,
    /// One loss a sample, `f64`.
    pub losses: Address,
    /// 1 for each sample that was named rightly, `u32`.
    pub right: Address,
}

/// The gradient of the sum of cross-entropies, `share` times, and each sample's own cross-entropy. Labels are below the number of classes: whoever uploads them checks.
///
/// # Errors
/// If the device refuses the launch.
pub fn cross_entropy(
    machine: &mut dyn Machine,
    logits: Tensor,
    dlogits: Tensor,
    loss: LossAt,
    share: f32,
) -> Result<(), CudaError> {
    alike(&[logits, dlogits]);
    let LossAt { labels, losses, right } = loss;
    let pointers = [logits.at, labels, dlogits.at, losses, right].map(Arg::Address);
    let sizes = [Arg::Word(word(logits.channels())), Arg::Real(share)];
    let grid = Grid { blocks: [word(logits.samples), 1, 1], threads: THREADS as u32 };
    machine.launch(Kernel::CrossEntropy, grid, &[&pointers[..], &sizes].concat())
}

/// What an optimiser's step reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// Weights.
    pub values: Address,
    /// Their momenta.
    pub momenta: Address,
    /// Their gradients.
    pub gradient: Address,
    /// The base's weights, where the l1 term pulls to them.
    pub base: Address,
    /// For each weight 0 if it stays as it is, `u32`; [`Address::default`] if all learn.
    pub learns: Address,
    /// A counter, `u32`, that weights at the centre are added to; [`Address::default`] if nobody asks.
    pub at_centre: Address,
    /// What [`rates`] gives.
    pub rates: Address,
    /// How many.
    pub len: usize,
}

/// What of an optimiser's step stays the same from step to step, and may be recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateForm {
    /// 0: no l1 term; 1: subgradient; 2: proximal; 3: proximal towards the base.
    l1: u32,
    momentum: f32,
    decay: f32,
}

impl UpdateForm {
    /// That of a step.
    pub fn of(step: Step<'_>) -> Self {
        let l1 = match step.l1 {
            L1::Off => 0,
            L1::Subgradient { .. } => 1,
            L1::Proximal { .. } => 2,
            L1::TowardsBase { .. } => 3,
        };
        Self { l1, momentum: step.momentum, decay: step.decay }
    }
}

/// What of an optimiser's step changes: rate, strength, and the threshold that they make.
pub fn rates(step: Step<'_>) -> [f32; 3] {
    let gamma = match step.l1 {
        L1::Off => 0.0,
        L1::Subgradient { gamma } | L1::Proximal { gamma } | L1::TowardsBase { gamma, .. } => gamma,
    };
    [step.rate, gamma, step.rate / (1.0 - step.momentum) * gamma]
}

/// Steps `on.len` weights as [`crate::sparse::update`] does. The base's weights lie at `on.base`.
///
/// # Errors
/// If the device refuses the launch.
pub fn update(machine: &mut dyn Machine, form: UpdateForm, on: Stepped) -> Result<(), CudaError> {
    if on.len == 0 {
        return Ok(());
    }
    let Stepped { values, momenta, gradient, base, learns, at_centre, rates, len } = on;
    let pointers = [values, momenta, gradient, base, learns, at_centre, rates].map(Arg::Address);
    let numbers = [Arg::Word(word(len)), Arg::Word(form.l1)];
    let shares = [form.momentum, form.decay].map(Arg::Real);
    machine.launch(Kernel::Update, each(len), &[&pointers[..], &numbers, &shares].concat())
}

/// Pooling over windows, as [`crate::sparse::MaxPool`] and [`crate::sparse::AvgPool`], which has no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
    /// Places added on each side.
    pub padding: [usize; 2],
}

impl Pool {
    fn fields(&self, x: Tensor, y: Tensor) -> [i32; 12] {
        assert_eq!((x.samples, x.channels()), (y.samples, y.channels()), "channels of one batch");
        let ([channels, in_height, in_width], [_, height, width]) = (x.shape, y.shape);
        let Self { kernel, stride, padding } = self;
        [
            x.samples, channels, in_height, in_width, height, width, kernel[0], kernel[1],
            stride[0], stride[1], padding[0], padding[1],
        ]
        .map(int)
    }

    fn forward(
        &self,
        machine: &mut dyn Machine,
        kernel: Kernel,
        x: Tensor,
        y: Tensor,
    ) -> Result<(), CudaError> {
        let fields = self.fields(x, y);
        let size = Arg::Word(word(y.len()));
        let args = [Arg::Address(x.at), Arg::Address(y.at), size, Arg::Ints(&fields)];
        machine.launch(kernel, each(y.len()), &args)
    }

    /// The largest value of each window.
    ///
    /// # Errors
    /// If the device refuses the launch.
    pub fn max(&self, machine: &mut dyn Machine, x: Tensor, y: Tensor) -> Result<(), CudaError> {
        self.forward(machine, Kernel::MaxPool, x, y)
    }

    /// Hands the gradient of each window to its largest value.
    ///
    /// # Errors
    /// If the device refuses the launch.
    pub fn max_backward(
        &self,
        machine: &mut dyn Machine,
        x: Tensor,
        dy: Tensor,
        dx: Tensor,
        accumulate: bool,
    ) -> Result<(), CudaError> {
        alike(&[x, dx]);
        let fields = self.fields(dx, dy);
        let pointers = [x.at, dy.at, dx.at].map(Arg::Address);
        let sizes = [Arg::Word(word(dx.len())), Arg::Word(u32::from(accumulate))];
        let args = [&pointers[..], &sizes, &[Arg::Ints(&fields)]].concat();
        machine.launch(Kernel::MaxPoolBackward, each(dx.len()), &args)
    }

    /// The mean of each window.
    ///
    /// # Errors
    /// If the device refuses the launch.
    pub fn mean(&self, machine: &mut dyn Machine, x: Tensor, y: Tensor) -> Result<(), CudaError> {
        self.forward(machine, Kernel::AvgPool, x, y)
    }

    /// Hands each place of a window its share of the window's gradient.
    ///
    /// # Errors
    /// If the device refuses the launch.
    pub fn mean_backward(
        &self,
        machine: &mut dyn Machine,
        dy: Tensor,
        dx: Tensor,
        accumulate: bool,
    ) -> Result<(), CudaError> {
        let fields = self.fields(dx, dy);
        let sizes = [Arg::Word(word(dx.len())), Arg::Word(u32::from(accumulate))];
        let pointers = [Arg::Address(dy.at), Arg::Address(dx.at)];
        let args = [&pointers[..], &sizes, &[Arg::Ints(&fields)]].concat();
        machine.launch(Kernel::AvgPoolBackward, each(dx.len()), &args)
    }
}

fn shortcut_fields(x: Tensor, y: Tensor, stride: [usize; 2]) -> [i32; 9] {
    assert_eq!(x.samples, y.samples, "input and output of one batch");
    let ([channels, height, width], [out_channels, out_height, out_width]) = (x.shape, y.shape);
    [x.samples, height, width, channels, out_height, out_width, out_channels, stride[0], stride[1]]
        .map(int)
}

/// Every `stride`-th place, with zero channels before and behind.
///
/// # Errors
/// If the device refuses the launch.
pub fn pad_shortcut(
    machine: &mut dyn Machine,
    x: Tensor,
    y: Tensor,
    stride: [usize; 2],
) -> Result<(), CudaError> {
    let fields = shortcut_fields(x, y, stride);
    let size = Arg::Word(word(y.len()));
    let args = [Arg::Address(x.at), Arg::Address(y.at), size, Arg::Ints(&fields)];
    machine.launch(Kernel::PadShortcut, each(y.len()), &args)
}

/// Hands the gradient back to the places that were taken.
///
/// # Errors
/// If the device refuses the launch.
pub fn pad_shortcut_backward(
    machine: &mut dyn Machine,
    dy: Tensor,
    dx: Tensor,
    stride: [usize; 2],
    accumulate: bool,
) -> Result<(), CudaError> {
    let fields = shortcut_fields(dx, dy, stride);
    let sizes = [Arg::Word(word(dx.len())), Arg::Word(u32::from(accumulate))];
    let pointers = [Arg::Address(dy.at), Arg::Address(dx.at)];
    let args = [&pointers[..], &sizes, &[Arg::Ints(&fields)]].concat();
    machine.launch(Kernel::PadShortcutBackward, each(dx.len()), &args)
}
