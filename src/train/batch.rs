//! The samples of a step: where they lie, and how they are varied.

use crate::data::{Augment, DataError, Dataset};

/// Some samples of one or more sets, as they are seen in one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The sets; their samples are numbered one set after another.
    pub sets: &'a [&'a Dataset],
    /// Which samples.
    pub indices: &'a [usize],
    /// How pictures are varied.
    pub augment: Augment,
    /// Seed of the variation.
    pub seed: u64,
    /// The epoch, from 0: each varies a sample anew.
    pub epoch: usize,
}

impl<'a> Batch<'a> {
    /// Samples of all sets.
    pub fn all(sets: &[&Dataset]) -> usize {
        sets.iter().map(|set| set.len()).sum()
    }

    /// The set that holds sample `index`, and its number there.
    fn place(&self, index: usize) -> (&'a Dataset, usize) {
        let mut within = index;
        for &set in self.sets {
            if within < set.len() {
                return (set, within);
            }
            within -= set.len();
        }
        unreachable!("sample {index} of {}", Self::all(self.sets))
    }

    /// The labels of the samples, in order.
    ///
    /// # Panics
    /// If an index is of no sample.
    pub fn labels(&self) -> Vec<u32> {
        let label = |&index: &usize| {
            let (set, index) = self.place(index);
            set.labels[index]
        };
        self.indices.iter().map(label).collect()
    }

    /// Writes sample `i` of the batch, varied, to `out`.
    ///
    /// # Panics
    /// If there is no such sample, or `out` is not of its size.
    pub fn fill(&self, i: usize, out: &mut [f32]) {
        let (set, index) = self.place(self.indices[i]);
        let draw = self.augment.draw(self.seed, self.epoch, self.indices[i]);
        set.read_augmented(index, draw, out);
    }

    /// Whether every sample that was asked for could be read.
    ///
    /// # Errors
    /// [`DataError::Lost`] if the file behind a large set failed.
    pub fn trouble(&self) -> Result<(), DataError> {
        self.sets.iter().try_for_each(|set| set.trouble())
    }
}
