//! One step of a prediction, and its units: some planes of its output, and their copies.
//!
//! `unsafe` is allowed here: units take their parts of the arena. A step reads the places of its input
//! and its addend and writes those of its output and its copies, which [`Step::check`] holds apart;
//! units write different planes of these; steps follow one another. So nobody reads or writes what a
//! unit is writing.
#![allow(unsafe_code)]

use std::ops::Range;

use super::super::lanes::Isa;
use super::kernel;
use super::layer::Layer;
use super::layout::{Layout, Lowering};
use super::memory::Memory;
use super::planes::{Pass, Planes, Spread};

/// A plain tensor's place in the arena, the slack behind it included.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub layout: Layout,
    pub range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Work {
    Layer { layer: Box<Layer>, relu: bool },
    Planes(Planes),
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub work: Work,
    /// The input, or its copies. The layout is the plain one's.
    pub from: Place,
    pub second: Option<Place>,
    pub to: Place,
    /// Copies of the output that later steps read.
    pub copies: Vec<(Lowering, Range<usize>)>,
    /// Planes of the output in a unit.
    pub share: usize,
}

impl Step {
    /// How many units there are.
    pub fn units(&self) -> usize {
        self.to.layout.channels.div_ceil(self.share)
    }

    /// Holds that what is written lies apart from what is read, and from what else is written.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(self) -> Self {
        let written =
            || std::iter::once(&self.to.range).chain(self.copies.iter().map(|(_, range)| range));
        let read = || {
            std::iter::once(&self.from.range).chain(self.second.iter().map(|place| &place.range))
        };
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        for (i, a) in written().enumerate() {
            let others = written().skip(i + 1).chain(read());
            assert!(others.into_iter().all(|b| !meet(a, b)), "a step writes what it reads");
        }
        let planes = |range: &Range<usize>, plane: usize| {
            assert!(self.to.layout.channels * plane <= range.len(), "a place is too small");
        };
        planes(&self.to.range, self.to.layout.plane());
        self.copies.iter().for_each(|(lowering, range)| planes(range, lowering.plane()));
        self
    }

    /// Does unit `unit`.
    pub fn run(&self, unit: usize, isa: Isa, memory: Memory<'_>) {
        let layout = self.to.layout;
        let channels = unit * self.share..((unit + 1) * self.share).min(layout.channels);
        let part = |range: &Range<usize>, plane: usize| {
            range.start + channels.start * plane..range.start + channels.end * plane
        };
        // SAFETY: nobody writes the inputs of a step while it runs (module doc).
        let from = unsafe { memory.read(self.from.range.clone()) };
        // SAFETY: as above.
        let read = |place: &Place| unsafe { memory.read(place.range.clone()) };
        let second = self.second.as_ref().map(|place| (read(place), place.layout));
        // SAFETY: these planes are this unit's (module doc).
        let to = unsafe { memory.write(part(&self.to.range, layout.plane())) };
        match &self.work {
            Work::Layer { layer, relu } => isa.run(kernel::Unit {
                weights: &layer.weights,
                bias: &layer.bias,
                spots: &layer.spots,
                lanes: layer.lanes,
                filters: channels.clone(),
                from,
                to: &mut *to,
                plane: layout.plane(),
                second: second.map(|(values, layout)| {
                    (&values[channels.start * layout.plane()..], layout.plane())
                }),
                relu: *relu,
            }),
            Work::Planes(planes) => isa.run(Pass {
                planes,
                channels: channels.clone(),
                from: (from, self.from.layout),
                to: (&mut *to, layout),
                second,
            }),
        }
        for (lowering, range) in &self.copies {
            // SAFETY: these copies are this unit's (module doc).
            let copies = unsafe { memory.write(part(range, lowering.plane())) };
            isa.run(Spread { lowering: *lowering, from: (&*to, layout), to: copies });
        }
    }
}
