//! Launchers of attention. The formulas are those of [`crate::sparse::Attention`].
//!
//! Scores of as many windows as [`Attention::at_once`] allows lie in a scratch at a time; how many that are depends on
//! shapes alone, and so does the order of every sum. The backward pass makes probabilities again.

use super::error::CudaError;
use super::kernel::Kernel;
use super::layer::sum_partials;
use super::machine::{Address, Arg, Grid, Machine};
use super::tensor::{THREADS, Tensor, int, word};
use super::tokens::lines;
use crate::sparse::Windows;

/// Scores of a launch: tiles enough for any card.
const SCORES: usize = 1 << 22;

/// Rows, and columns, of a block of scores; channels of a block of sums. As in the sources.
const SIDE: usize = 64;
const CHANNELS: usize = 32;

/// Parts that a bias gradient is cut into, at most.
const PARTS: usize = 64;

/// An attention on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Heads, a divisor of the output's channels.
    pub heads: usize,
    /// Channels, height and width of the output.
    pub output: [usize; 3],
    /// Rows and columns of a window.
    pub sides: [usize; 2],
    /// How far windows are moved down and right, round the edge.
    pub shift: usize,
    /// Scores that a launch takes on, unless one window of all heads has more.
    pub at_once: usize,
    /// One summand a head and relative position; [`Address::default`] if there are none.
    pub bias: Address,
    /// A scratch of [`Attention::scratch`] values that nobody else uses meanwhile.
    pub scratch: Address,
}

/// Gradients that an attention reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBackward {
    /// What it read: queries, keys and values.
    pub x: Tensor,
    /// The gradient of its output.
    pub dy: Tensor,
    /// The gradient of `x`.
    pub dx: Tensor,
    /// The gradient of the bias, which is added to; none where it does not learn.
    pub dbias: Option<Address>,
    /// Whether the gradient of `x` is added to what is there.
    pub accumulate: bool,
}

/// Some windows, whose scores are made together.
struct Run {
    first: usize,
    count: usize,
}

/// A head's channels of a tensor's places.
#[derive(Clone, Copy)]
struct Rows {
    of: Tensor,
    start: usize,
}

impl Rows {
    fn args(self) -> [Arg<'static>; 3] {
        let sizes = [self.of.channels(), self.start].map(|n| Arg::Word(word(n)));
        [Arg::Address(self.of.at), sizes[0], sizes[1]]
    }
}

impl Attention {
    /// An attention with `heads` heads in `windows`, without a place for bias and scratch.
    pub fn new(heads: usize, output: [usize; 3], windows: &Windows) -> Self {
        let (sides, shift) = (windows.sides(), windows.shift());
        let [bias, scratch] = [Address::default(); 2];
        Self { heads, output, sides, shift, at_once: SCORES, bias, scratch }
    }

    fn depth(&self) -> usize {
        self.output[0] / self.heads
    }

    fn tokens(&self) -> usize {
        self.sides[0] * self.sides[1]
    }

    /// Windows of a row, and of a sample.
    fn windows(&self) -> [usize; 2] {
        let [_, height, width] = self.output;
        let across = width / self.sides[1];
        [across, height / self.sides[0] * across]
    }

    fn relations(&self) -> usize {
        (2 * self.sides[0] - 1) * (2 * self.sides[1] - 1)
    }

    /// Scores of one window.
    fn scores(&self) -> usize {
        self.heads * self.tokens() * self.tokens()
    }

    /// Windows of a run, of `samples` samples.
    fn per_run(&self, samples: usize) -> usize {
        (self.at_once / self.scores()).clamp(1, samples * self.windows()[1])
    }

    fn runs(&self, samples: usize) -> impl Iterator<Item = Run> + use<> {
        let (all, per_run) = (samples * self.windows()[1], self.per_run(samples));
        let run = move |first| Run { first, count: per_run.min(all - first) };
        (0..all).step_by(per_run).map(run)
    }

    /// Values of the scratch for up to `samples` samples: one run's probabilities, and, where it `learns`,
    /// their gradients and parts of the sums that become the gradient of the bias.
    pub fn scratch(&self, samples: usize, learns: bool) -> usize {
        let scores = self.per_run(samples) * self.scores();
        let sums = self.per_run(samples).min(PARTS) * self.heads * self.relations();
        if learns { 2 * scores + sums } else { scores }
    }

    /// Whether launches can count what they have to.
    pub fn fits(&self, samples: usize) -> bool {
        let area = self.output[1].checked_mul(self.output[2]);
        let values = area.and_then(|area| area.checked_mul(3 * self.output[0]));
        let scores = self.tokens().checked_mul(self.tokens());
        let all = [
            values.and_then(|values| values.checked_mul(samples)),
            scores.and_then(|scores| scores.checked_mul(self.heads)),
            self.heads.checked_mul(self.relations()),
        ];
        all.iter().all(|size| size.is_some_and(|size| i32::try_from(size).is_ok()))
    }

    fn fields(&self, run: &Run) -> [i32; 11] {
        let [_, height, width] = self.output;
        let [across, windows] = self.windows();
        [
            run.first,
            self.heads,
            self.depth(),
            height,
            width,
            self.sides[0],
            self.sides[1],
            self.shift,
            across,
            windows,
            self.tokens(),
        ]
        .map(int)
    }

    fn grid(&self, run: &Run, rows: usize, columns: usize) -> Grid {
        let blocks = [run.count * self.heads, rows, columns].map(word);
        Grid { blocks, threads: THREADS as u32 }
    }

    /// `to = scale * a . b` for each pair of tokens; with bias and regions where `whole`.
    fn products(
        &self,
        machine: &mut dyn Machine,
        run: &Run,
        [a, b]: [Rows; 2],
        (to, scale, whole): (Address, f32, bool),
    ) -> Result<(), CudaError> {
        let bias = if whole { self.bias } else { Address::default() };
        let masked = u32::from(whole && self.shift > 0);
        let fields = self.fields(run);
        let behind = [Arg::Address(bias), Arg::Address(to), Arg::Real(scale), Arg::Word(masked)];
        let args = [&a.args()[..], &b.args(), &behind, &[Arg::Ints(&fields)]].concat();
        let tiles = self.tokens().div_ceil(SIDE);
        machine.launch(Kernel::AttentionScores, self.grid(run, tiles, tiles), &args)
    }

    /// `to[t] = scale * sum over u of weights[t, u] * from[u]`; of `weights[u, t]` where `across`.
    fn sums(
        &self,
        machine: &mut dyn Machine,
        run: &Run,
        (weights, across): (Address, bool),
        [from, to]: [Rows; 2],
        (scale, accumulate): (f32, bool),
    ) -> Result<(), CudaError> {
        let fields = self.fields(run);
        let flags = [Arg::Word(u32::from(across)), Arg::Word(u32::from(accumulate))];
        let args = [
            &[Arg::Address(weights)][..],
            &from.args(),
            &to.args(),
            &[Arg::Real(scale)],
            &flags,
            &[Arg::Ints(&fields)],
        ]
        .concat();
        let (rows, columns) = (self.tokens().div_ceil(SIDE), self.depth().div_ceil(CHANNELS));
        machine.launch(Kernel::AttentionSums, self.grid(run, rows, columns), &args)
    }

    /// What products of queries and keys are multiplied by.
    fn scale(&self) -> f32 {
        (1.0 / (self.depth() as f64).sqrt()) as f32
    }

    /// Queries, keys and values of `x`.
    fn parts_of(&self, x: Tensor) -> [Rows; 3] {
        [0, 1, 2].map(|part| Rows { of: x, start: part * self.output[0] })
    }

    /// A run's probabilities, at the start of the scratch.
    fn probabilities(
        &self,
        machine: &mut dyn Machine,
        run: &Run,
        [q, k]: [Rows; 2],
    ) -> Result<(), CudaError> {
        self.products(machine, run, [q, k], (self.scratch, self.scale(), true))?;
        let rows = run.count * self.heads * self.tokens();
        let sizes = [rows, self.tokens()].map(|n| Arg::Word(word(n)));
        let args = [Arg::Address(self.scratch), sizes[0], sizes[1]];
        machine.launch(Kernel::AttentionSoftmax, lines(rows), &args)
    }

    /// `y = attention(x)`.
    ///
    /// # Panics
    /// If the tensors are not this attention's.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn forward(
        &self,
        machine: &mut dyn Machine,
        x: Tensor,
        y: Tensor,
    ) -> Result<(), CudaError> {
        self.check(x, y);
        let [q, k, v] = self.parts_of(x);
        let to = Rows { of: y, start: 0 };
        for run in self.runs(x.samples) {
            self.probabilities(machine, &run, [q, k])?;
            self.sums(machine, &run, (self.scratch, false), [v, to], (1.0, false))?;
        }
        Ok(())
    }

    /// The gradients of `x` and of the bias.
    ///
    /// # Panics
    /// If the tensors are not this attention's.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn backward(
        &self,
        machine: &mut dyn Machine,
        to: &AttentionBackward,
    ) -> Result<(), CudaError> {
        let &AttentionBackward { x, dy, dx, dbias, accumulate } = to;
        self.check(x, dy);
        self.check(dx, dy);
        let ([q, k, v], [dq, dk, dv]) = (self.parts_of(x), self.parts_of(dx));
        let dy = Rows { of: dy, start: 0 };
        let (p, scale) = (self.scratch, self.scale());
        let ds = p.at(self.per_run(x.samples) * self.scores());
        for run in self.runs(x.samples) {
            self.probabilities(machine, &run, [q, k])?;
            self.sums(machine, &run, (p, true), [dy, dv], (1.0, accumulate))?;
            self.products(machine, &run, [dy, v], (ds, 1.0, false))?;
            let rows = run.count * self.heads * self.tokens();
            let sizes = [rows, self.tokens()].map(|n| Arg::Word(word(n)));
            let args = [Arg::Address(p), Arg::Address(ds), sizes[0], sizes[1]];
            machine.launch(Kernel::AttentionDescend, lines(rows), &args)?;
            self.sums(machine, &run, (ds, false), [k, dq], (scale, accumulate))?;
            self.sums(machine, &run, (ds, true), [q, dk], (scale, accumulate))?;
            if let Some(dbias) = dbias {
                let partials = ds.at(self.per_run(x.samples) * self.scores());
                self.bias_gradient(machine, &run, ds, [partials, dbias])?;
            }
        }
        Ok(())
    }

    /// Adds a run's gradients of scores, by relation.
    fn bias_gradient(
        &self,
        machine: &mut dyn Machine,
        run: &Run,
        ds: Address,
        [partials, dbias]: [Address; 2],
    ) -> Result<(), CudaError> {
        let per_part = run.count.div_ceil(PARTS);
        let (parts, len) = (run.count.div_ceil(per_part), self.heads * self.relations());
        let fields = self.fields(run);
        let sizes = [run.count, per_part].map(|n| Arg::Word(word(n)));
        let pointers = [Arg::Address(ds), Arg::Address(partials)];
        let args = [&pointers[..], &sizes, &[Arg::Ints(&fields)]].concat();
        let blocks = [len.div_ceil(THREADS), parts, 1].map(word);
        let grid = Grid { blocks, threads: THREADS as u32 };
        machine.launch(Kernel::AttentionBiasSums, grid, &args)?;
        sum_partials(machine, partials, dbias, len, parts)
    }

    fn check(&self, x: Tensor, y: Tensor) {
        let [channels, height, width] = self.output;
        assert_eq!(x.shape, [3 * channels, height, width], "queries, keys and values");
        assert_eq!((y.shape, y.samples), (self.output, x.samples), "the output of one batch");
    }
}
