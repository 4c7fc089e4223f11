//! Where each tensor of a prediction lies, and which copies of it there are.

use std::ops::Range;

use super::layer::Reading;
use super::layout::{Layout, Lowering};
use super::step::Place;
use super::{LANES, Operation, SLACK, Work};

/// How an operation gets its input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    /// A layer with one place a filter, from the plain tensor.
    Dot,
    /// The plain tensor.
    Plain,
    /// Copy `copy` of the tensor, in whose kernel the layer's begins `ahead` rows and columns inside.
    Lowered { copy: usize, ahead: [usize; 2] },
}

/// Everything's place.
pub(super) struct Plan {
    /// The plain tensors, the sample first.
    pub tensors: Vec<Place>,
    /// The copies of each tensor.
    pub copies: Vec<Vec<(Lowering, Range<usize>)>>,
    /// How each operation gets its input.
    pub inputs: Vec<Input>,
    /// Values of the arena.
    pub end: usize,
}

/// What has a place.
#[derive(Clone, Copy, PartialEq)]
enum Geometry {
    Plain(Layout),
    Lowered(Lowering),
}

impl Geometry {
    fn values(&self) -> usize {
        let values = match self {
            Self::Plain(layout) => layout.channels * layout.plane(),
            Self::Lowered(lowering) => lowering.channels * lowering.plane(),
        };
        (values + SLACK).next_multiple_of(LANES)
    }
}

/// A place that tensors of one geometry use one after another.
struct Slot {
    geometry: Geometry,
    range: Range<usize>,
    /// The last step that reads what is there.
    until: usize,
}

/// Places given out so far.
struct Slots {
    slots: Vec<Slot>,
    end: usize,
}

impl Slots {
    /// A place for what step `from` writes and step `until` is the last to read.
    fn give(&mut self, geometry: Geometry, from: usize, until: usize) -> Range<usize> {
        let free = |slot: &&mut Slot| slot.geometry == geometry && slot.until < from;
        if let Some(slot) = self.slots.iter_mut().find(free) {
            slot.until = until;
            return slot.range.clone();
        }
        let range = self.end..self.end + geometry.values();
        self.end = range.end;
        self.slots.push(Slot { geometry, range: range.clone(), until });
        range
    }
}

/// What the readers of a tensor ask of it.
#[derive(Clone, Default)]
struct Wanted {
    halo: [usize; 2],
    /// The last step that reads the plain tensor.
    until: usize,
    /// Copies, each with the last step that reads it.
    copies: Vec<(Lowering, usize)>,
}

impl Plan {
    /// # Panics
    /// If an operation reads a tensor that comes after it.
    pub fn new(sample: [usize; 3], operations: &[Operation<'_>]) -> Self {
        let shapes: Vec<[usize; 3]> =
            std::iter::once(sample).chain(operations.iter().map(|o| o.shape)).collect();
        let readings: Vec<Option<Reading>> = operations
            .iter()
            .map(|operation| match &operation.work {
                Work::Layer { shape, .. } => Some(Reading::of(shape, shapes[operation.input])),
                _ => None,
            })
            .collect();
        let mut wanted = wanted(operations, &readings);
        // The output is read after the last step.
        wanted[operations.len()].until = operations.len() + 1;
        let mut slots = Slots { slots: Vec::new(), end: 0 };
        let mut plan = Self { tensors: Vec::new(), copies: Vec::new(), inputs: Vec::new(), end: 0 };
        for (tensor, wanted) in wanted.iter().enumerate() {
            let layout = Layout::new(shapes[tensor], wanted.halo);
            // Written by step `tensor`, read by step `operation + 1`; the sample is there at 0.
            let range = slots.give(Geometry::Plain(layout), tensor, wanted.until.max(tensor));
            plan.tensors.push(Place { layout, range });
            let copies = wanted.copies.iter().map(|&(lowering, until)| {
                (lowering, slots.give(Geometry::Lowered(lowering), tensor, until))
            });
            plan.copies.push(copies.collect());
        }
        plan.end = slots.end;
        plan.inputs = operations
            .iter()
            .zip(&readings)
            .map(|(operation, reading)| match reading {
                Some(Reading::Dot) => Input::Dot,
                Some(Reading::Lowered(lowering)) => {
                    let copies = plan.copies[operation.input].iter().enumerate();
                    let mut served =
                        copies.filter_map(|(copy, (have, _))| Some((copy, have.serves(lowering)?)));
                    let Some((copy, ahead)) = served.next() else {
                        unreachable!("a copy that was wanted is there")
                    };
                    Input::Lowered { copy, ahead }
                }
                _ => Input::Plain,
            })
            .collect();
        plan
    }
}

fn wanted(operations: &[Operation<'_>], readings: &[Option<Reading>]) -> Vec<Wanted> {
    let mut all = vec![Wanted::default(); operations.len() + 1];
    for (index, (operation, reading)) in operations.iter().zip(readings).enumerate() {
        let time = index + 1;
        for tensor in std::iter::once(operation.input).chain(operation.second) {
            assert!(tensor <= index, "operation {index} reads tensor {tensor}, which comes after");
        }
        if let Some(second) = operation.second {
            all[second].until = time;
        }
        let from = &mut all[operation.input];
        match (reading, &operation.work) {
            (Some(Reading::Lowered(lowering)), _) => {
                from.copies.push((*lowering, time));
            }
            (Some(Reading::Plain), Work::Layer { shape, .. }) => {
                from.until = time;
                from.halo = [0, 1].map(|d| from.halo[d].max(shape.padding[d]));
            }
            _ => from.until = time,
        }
    }
    for wanted in &mut all {
        merge(&mut wanted.copies);
    }
    // Nobody fills copies of the sample itself: the first step reads it plain.
    assert!(all[0].copies.is_empty() && all[0].halo == [0, 0], "the sample is read plain");
    all
}

/// Leaves out copies that others serve as well.
fn merge(copies: &mut Vec<(Lowering, usize)>) {
    copies.sort_by_key(|(lowering, _)| std::cmp::Reverse(lowering.plane()));
    let mut kept: Vec<(Lowering, usize)> = Vec::new();
    for &(lowering, until) in copies.iter() {
        match kept.iter_mut().find(|(have, _)| have.serves(&lowering).is_some()) {
            Some((_, last)) => *last = (*last).max(until),
            None => kept.push((lowering, until)),
        }
    }
    *copies = kept;
}
