//! Prediction of one sample, vectorised over space.
//!
//! Owns steps over one arena for a single sample: layers with their weights packed in, pools and
//! elementwise steps, their places and their threads. Knows no network: it gets [`Operation`]s.
//!
//! With sixteen samples side by side, one sample would fill one lane of sixteen. Here a vector is
//! sixteen places of a plane, and a weight that exists is still one offset.
//!
//! # Layout
//!
//! Tensors are `[C][H + 2h][W + 2w]`, the halo being as wide as the padding of layers that read whole
//! rows. Where rows are shorter than a vector, or a layer has a stride, the step that writes the
//! tensor also writes copies of it (`Lowering`), moved by one column each, while the plane
//! is in the nearest cache: each tap is then one run over all rows.
//!
//! Tensors whose lives do not meet share places, but only those of one geometry do, so a halo of zeros
//! that was there at the start is there for ever.
//!
//! # Order of sums
//!
//! Each output sums its terms in list order, in interleaved sums whose number depends on shapes and
//! instruction set; a unit owns the planes it writes. Threads change nothing.

mod crew;
mod kernel;
mod layer;
mod layout;
mod memory;
mod places;
mod planes;
mod step;
#[cfg(test)]
mod tests;

use super::LANES;
use super::conv::ConvShape;
use super::lanes::Isa;
use super::mask::Mask;
use kernel::TILE;
use layer::{Layer, Source};
use layout::Layout;
use memory::Arena;
use places::{Input, Plan};
use planes::Planes;
use step::{Place, Step};

/// What a step does to its input.
#[derive(Clone, Debug)]
pub enum Work<'a> {
    /// A convolution or linear layer, of the weights in `mask`, plus `bias`.
    Layer {
        /// Its shape.
        shape: ConvShape,
        /// Which weights exist.
        mask: &'a Mask,
        /// Their values, in mask order.
        values: Vec<f32>,
        /// One a filter.
        bias: Vec<f32>,
    },
    /// `scale[c] * x + shift[c]`.
    Affine {
        /// One a channel.
        scale: Vec<f32>,
        /// One a channel.
        shift: Vec<f32>,
    },
    /// The largest value of each window; what padding adds never wins.
    MaxPool {
        /// Window height and width.
        kernel: [usize; 2],
        /// Step in height and width.
        stride: [usize; 2],
        /// Places added on each side; at most half of the kernel.
        padding: [usize; 2],
    },
    /// The mean of each window.
    AvgPool {
        /// Window height and width.
        kernel: [usize; 2],
        /// Step in height and width.
        stride: [usize; 2],
    },
    /// Every `stride`-th place, with as many zero channels before as behind.
    PadShortcut {
        /// Step in height and width.
        stride: [usize; 2],
    },
}

/// One step. Tensor 0 is the sample; operation `i` gives tensor `i + 1`.
#[derive(Clone, Debug)]
pub struct Operation<'a> {
    /// What it does.
    pub work: Work<'a>,
    /// The tensor it reads.
    pub input: usize,
    /// A tensor of the output's shape that a layer or an affine step adds.
    pub second: Option<usize>,
    /// Whether a layer or an affine step then takes `max(·, 0)`.
    pub relu: bool,
    /// Channels, height and width of what it gives.
    pub shape: [usize; 3],
}

/// Values behind a tensor that a vector which is not all places may read.
const SLACK: usize = LANES;
/// Multiply-accumulates in a unit: enough that claiming one costs nothing beside it.
const UNIT: usize = 1 << 17;
/// The most units of a step.
const UNITS: usize = 32;
/// Multiply-accumulates of a prediction below which calling other threads costs more than it gains.
const ALONE: usize = 1 << 18;

/// A prediction made ready.
#[derive(Clone, Debug)]
pub struct Single {
    isa: Isa,
    steps: Vec<Step>,
    units: Vec<usize>,
    arena: Arena,
    sample: Place,
    output: Place,
    cost: usize,
}

impl Single {
    /// Makes ready `operations` on a sample of `shape`; the last gives the output.
    ///
    /// # Panics
    /// If there is no operation, one reads a tensor that comes after it, or shapes do not fit.
    pub fn new(shape: [usize; 3], operations: Vec<Operation<'_>>, isa: Isa) -> Self {
        assert!(!operations.is_empty(), "at least one operation");
        let plan = Plan::new(shape, &operations);
        let (sample, arena) = (plan.tensors[0].clone(), Arena::new(plan.end));
        let output = plan.tensors[operations.len()].clone();
        let mut cost = 0;
        let mut steps = Vec::with_capacity(operations.len());
        for (index, operation) in operations.into_iter().enumerate() {
            let (step, macs) = step(index, operation, &plan);
            cost += macs;
            steps.push(step.check());
        }
        let units = steps.iter().map(Step::units).collect();
        Self { isa, steps, units, arena, sample, output, cost }
    }

    /// Predicts: `fill` writes the sample as `[C, H, W]`. Gives the output, `[C, H, W]` where it has no
    /// halo. Allocates nothing.
    pub fn run(&mut self, fill: impl FnOnce(&mut [f32])) -> &[f32] {
        let layout = self.sample.layout;
        let values = layout.channels * layout.plane();
        fill(&mut self.arena.values()[self.sample.range.clone()][..values]);
        let threads = if self.cost < ALONE { 1 } else { rayon::current_num_threads() };
        let (steps, isa, memory) = (&self.steps, self.isa, self.arena.share());
        crew::run(threads, &self.units, |step, unit| steps[step].run(unit, isa, memory));
        let layout = self.output.layout;
        &self.arena.values()[self.output.range.clone()][..layout.channels * layout.plane()]
    }

    /// Bytes of all tensors of a sample.
    pub fn arena_bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Bytes of weights and of where they lie.
    pub fn weight_bytes(&self) -> usize {
        let layers = self.steps.iter().map(|step| match &step.work {
            step::Work::Layer { layer, .. } => layer.bytes(),
            step::Work::Planes(Planes::Affine { scale, shift, .. }) => {
                size_of_val(scale.as_slice()) + size_of_val(shift.as_slice())
            }
            step::Work::Planes(_) => 0,
        });
        layers.sum()
    }
}

/// The step of operation `index`, and its multiply-accumulates.
fn step(index: usize, operation: Operation<'_>, plan: &Plan) -> (Step, usize) {
    let Operation { work, input, second, relu, shape } = operation;
    let to = plan.tensors[index + 1].clone();
    let second = second.map(|tensor| plan.tensors[tensor].clone());
    let mut from = plan.tensors[input].clone();
    let as_output = |place: &Place| size(place.layout) == shape;
    assert!(second.as_ref().is_none_or(as_output), "an addend has the output's shape");
    let of_planes = |planes: Planes, taps: usize| {
        let places = shape.iter().product::<usize>();
        (step::Work::Planes(planes), taps * places)
    };
    let carries = matches!(work, Work::Layer { .. } | Work::Affine { .. });
    assert!(carries || (second.is_none() && !relu), "only layers and affine steps add or rectify");
    let (work, cost) = match work {
        Work::Layer { shape, mask, values, bias } => {
            let source = match plan.inputs[index] {
                Input::Dot => Source::Dot(from.layout),
                Input::Plain => Source::Plain(from.layout),
                Input::Lowered { copy, ahead } => {
                    let (lowering, range) = &plan.copies[input][copy];
                    from.range = range.clone();
                    Source::Lowered(*lowering, ahead)
                }
            };
            let addend = second.as_ref().map(|place| place.layout);
            let cost = values.len() * to.layout.height * to.layout.width;
            let output = (to.layout, share(shape.filters, cost));
            let layer = Layer::new(shape, (mask, &values), bias, source, output, addend);
            (step::Work::Layer { layer: Box::new(layer), relu }, cost)
        }
        Work::Affine { scale, shift } => of_planes(Planes::Affine { scale, shift, relu }, 4),
        Work::MaxPool { kernel, stride, padding } => {
            of_planes(Planes::MaxPool { kernel, stride, padding }, 4 * kernel[0] * kernel[1])
        }
        Work::AvgPool { kernel, stride } => {
            of_planes(Planes::AvgPool { kernel, stride }, 4 * kernel[0] * kernel[1])
        }
        Work::PadShortcut { stride } => of_planes(Planes::PadShortcut { stride }, 4),
    };
    let (share, copies) = (share(shape[0], cost), plan.copies[index + 1].clone());
    (Step { work, from, second, to, copies, share }, cost)
}

/// Planes in a unit, of `channels` that cost `cost` together.
fn share(channels: usize, cost: usize) -> usize {
    let units = (cost / UNIT).clamp(1, UNITS);
    channels.div_ceil(units).next_multiple_of(TILE)
}

fn size(layout: Layout) -> [usize; 3] {
    [layout.channels, layout.height, layout.width]
}
