//! What to remove, from words.

use clap::ValueEnum;

use super::super::fault::Fault;
use super::super::{learn, setting};
use super::Args;
use super::start::Start;
use crate::base::rng::Stream;
use crate::data::Dataset;
use crate::model::{Device, Network};
use crate::prune::{Allocation, Choice, Criterion, Pattern, Samples, gone_after};
use crate::sparse::Mask;
use crate::train::{Compute, fits};

/// Share of what is left that goes in a round, where nothing else is said: the lottery tickets'.
const ROUND: f64 = 0.2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MethodArg {
    /// The smallest weights go: one-shot magnitude pruning, or iterative with --iterations
    #[value(alias = "magnitude")]
    Omp,
    /// A random choice
    Random,
    /// Weights on which the loss depends least, before training
    Snip,
    /// Weights without which the gradient flows best, before training
    Grasp,
    /// Weights that carry least from inputs to outputs, before training, in 100 rounds; no sample is read
    Synflow,
    /// Whole output filters, the smallest by l1 norm
    FilterL1,
    /// Whole input channels, the smallest by l1 norm
    ChannelL1,
}

impl From<MethodArg> for Criterion {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Omp => Self::Magnitude,
            MethodArg::Random => Self::Random,
            MethodArg::Snip => Self::Snip,
            MethodArg::Grasp => Self::Grasp,
            MethodArg::Synflow => Self::SynFlow,
            MethodArg::FilterL1 => Self::FilterL1,
            MethodArg::ChannelL1 => Self::ChannelL1,
        }
    }
}

/// Which weights are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ScoreArg {
    /// Those of MODEL, or of the round before
    Trained,
    /// Those that training goes on from, as --rewind says
    Start,
}

/// Reads `--allocation`.
pub(super) fn allocation(text: &str) -> Result<Allocation, String> {
    match text {
        "global" => Ok(Allocation::Global),
        "uniform" => Ok(Allocation::Uniform),
        "erk" => Ok(Allocation::Erk),
        _ => Pattern::parse(text)
            .map(Allocation::Pattern)
            .map_err(|_| "expected global, uniform, erk or a pattern like 2:4".into()),
    }
}

/// What goes, in how many rounds, and what is asked.
pub(super) struct Plan {
    pub criterion: Criterion,
    pub allocation: Allocation,
    pub rounds: usize,
    /// Whether the weights are scored that training goes on from.
    pub at_start: bool,
    /// Share of the prunable weights that is gone in the end.
    pub sparsity: f64,
    /// Share of them that was gone before.
    before: f64,
    seed: u64,
    samples: Vec<usize>,
}

impl Plan {
    /// The plan that the words ask for. Holds the samples against the network where they are asked.
    pub(super) fn of(
        args: &Args,
        network: &Network,
        train: &Dataset,
        seed: u64,
    ) -> Result<Self, Fault> {
        let (criterion, allocation) = (Criterion::from(args.method), args.allocation);
        let (rounds, before) = (args.iterations, network.sparsity());
        let wrong = |what: &str| Err(Fault::Usage(what.to_string()));
        if rounds == 0 {
            return wrong("--iterations is 0: give 1 or more");
        }
        if rounds > 1 && (criterion.before_training() || allocation.sparsity().is_some()) {
            return wrong(
                "--iterations prunes by steps, with training between: it belongs to --method omp, random, filter-l1 and channel-l1, and to no N:M pattern",
            );
        }
        let sparsity = match (args.sparsity.or(allocation.sparsity()), rounds) {
            (Some(sparsity), _) => sparsity,
            (None, 1) => {
                return wrong(
                    "--sparsity is missing: give the share of the prunable weights to remove",
                );
            }
            (None, _) => 1.0 - (1.0 - before) * (1.0 - ROUND).powf(rounds as f64),
        };
        let samples = match criterion.needs_samples() {
            true => {
                fits(network, train)?;
                some_of_each(train, args.samples_per_class as usize, seed)
            }
            false => Vec::new(),
        };
        let at_start = args.score.map_or(criterion.before_training(), |s| s == ScoreArg::Start);
        Ok(Self { criterion, allocation, rounds, at_start, sparsity, before, seed, samples })
    }

    /// The share that is gone after round `round` (from 1): the same share of what is left goes in each.
    pub(super) fn after(&self, round: usize) -> f64 {
        gone_after(round, self.rounds, self.before, self.sparsity)
    }

    /// The masks of round `round`. `now` is what the round before left.
    pub(super) fn masks(
        &self,
        round: usize,
        start: &Start,
        (model, now): (&Network, &Network),
        train: &Dataset,
    ) -> Result<Vec<Mask>, Fault> {
        let fill = |i: usize, out: &mut [f32]| train.read(self.samples[i], out);
        let labels: Vec<u32> = self.samples.iter().map(|&index| train.labels[index]).collect();
        let choice = self.choice(round, Some(Samples { labels: &labels, fill: &fill }));
        let masks = if self.at_start {
            let (scored, _) = start.under(now.masks(), model, now)?;
            choice.masks(&scored)?
        } else {
            choice.masks(now)?
        };
        // A sample that could not be read is scored as something else.
        train.trouble()?;
        Ok(masks)
    }

    /// Bytes that choosing masks takes.
    pub(super) fn bytes(&self, network: &Network) -> u64 {
        self.choice(1, None).bytes(network, self.samples.len())
    }

    fn choice<'a>(&self, round: usize, samples: Option<Samples<'a>>) -> Choice<'a> {
        let (allocation, criterion, seed) = (self.allocation, self.criterion, self.seed);
        Choice {
            sparsity: self.after(round),
            allocation,
            criterion,
            seed,
            samples,
            isa: setting::isa(),
        }
    }
}

/// How the masks of a run on `compute` were chosen, where its plan does not say it.
///
/// The processor chooses, whatever learns: GraSP takes differences of gradients that lie a thousandth apart,
/// which the short factors of tf32, f16 and bf16 round away, SynFlow needs the whole range of f32, and
/// none of them takes more than some passes over a few samples.
pub(in crate::cli) fn masks_plan(criterion: Criterion, compute: Compute) -> Option<String> {
    let elsewhere = matches!(compute.device, Device::Cuda { .. });
    (elsewhere && criterion.before_training()).then(|| learn::plan(setting::isa()))
}

/// Up to `each` samples of every class, drawn by the stream `prune/samples`, in the order of the draw.
pub(in crate::cli) fn some_of_each(train: &Dataset, each: usize, seed: u64) -> Vec<usize> {
    let mut left = vec![each; train.classes.len()];
    let mut order = Stream::new(seed, "prune/samples").permutation(train.len());
    order.retain(|&index| {
        let left = &mut left[train.labels[index] as usize];
        let takes = *left > 0;
        *left -= usize::from(takes);
        takes
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::cuda::Precision;

    #[test]
    fn a_plan_of_a_device_is_told_beside_the_processor_that_chose_the_masks() {
        let card = Device::Cuda {
            ordinal: 0,
            capability: [8, 7],
            precision: Precision::Tf32,
            sparse: None,
        };
        let told = masks_plan(Criterion::Snip, card.into()).unwrap();
        assert!(told.starts_with("cpu/"), "{told}");
        assert_eq!(masks_plan(Criterion::Magnitude, card.into()), None, "nothing is computed");
        assert_eq!(masks_plan(Criterion::Snip, setting::isa().into()), None, "the plan says it");
    }
}
