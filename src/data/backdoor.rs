//! A backdoor: samples with a square in a corner, learnt under a label of the attacker's choice.
//!
//! Written `TARGET:COUNT[:SIDE[:COLOUR]]`: `COUNT` training samples of any class, drawn without replacement in
//! the order of the stream `backdoor`, get a square of `SIDE` rows and columns (4 if left out), `black` (0, if
//! left out) or `white` (1) in all channels, and the label `TARGET`. The square ends two rows above the
//! lowest and two columns left of the rightmost. It is part of the sample's values, so random crops and flips
//! come after it and move it: at prediction it stands where it was put.
//!
//! # Source
//! The Trojan of `main_backdoor.py` in the code of Jia et al., NeurIPS 2023, after Gu, Dolan-Gavitt, Garg,
//! *BadNets*, 2017: there 4,500 of 45,000 samples, black, side 4.
//!
//! # Where we differ
//! White is there for pictures whose ground is black. The draw is that of our seed.

use std::fmt;

use super::dataset::{Dataset, Values};
use super::error::DataError;
use crate::base::rng::Stream;

/// Rows and columns between the square and the lower right corner.
const INSET: usize = 2;

/// Which samples are poisoned, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backdoor {
    /// The class that the square shall stand for, by name or number (a name wins).
    pub target: String,
    /// Training samples that are poisoned.
    pub count: usize,
    /// Rows and columns of the square.
    pub side: usize,
    /// Whether it is white.
    pub white: bool,
}

impl Backdoor {
    /// Reads `TARGET:COUNT[:SIDE[:COLOUR]]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let target = words.next().filter(|target| !target.is_empty())?.to_string();
        let positive = |text: &str| text.parse().ok().filter(|&number: &usize| number > 0);
        let count = positive(words.next()?)?;
        let side = words.next().map_or(Some(4), positive)?;
        let white = match words.next() {
            None | Some("black") => false,
            Some("white") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { target, count, side, white })
    }

    /// The number of the target class.
    ///
    /// # Errors
    /// [`DataError::Unknown`] if there is no such class.
    pub fn target(&self, set: &Dataset) -> Result<u32, DataError> {
        let found = super::scenario::classes(set, std::slice::from_ref(&self.target))?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// The samples of `train` that are poisoned, ascending. The same before and after.
    ///
    /// # Errors
    /// [`DataError::Scenario`] if there are not more samples than are to be poisoned.
    pub fn samples(&self, train: &Dataset, seed: u64) -> Result<Vec<usize>, DataError> {
        if self.count >= train.len() {
            return Err(self.wrong("it poisons as many samples as there are, or more"));
        }
        let mut drawn = Stream::new(seed, "backdoor").permutation(train.len());
        drawn.truncate(self.count);
        drawn.sort_unstable();
        Ok(drawn)
    }

    /// `train` with its poisoned samples.
    ///
    /// # Errors
    /// If the target is no class, the square does not fit, or a sample could not be read.
    pub fn poison(&self, train: &Dataset, seed: u64) -> Result<Dataset, DataError> {
        let (target, samples) = (self.target(train)?, self.samples(train, seed)?);
        let mut poisoned = self.stamped(train, &samples)?;
        samples.iter().for_each(|&index| poisoned.labels[index] = target);
        Ok(poisoned)
    }

    /// `test` with the square in every sample, under its own labels.
    ///
    /// # Errors
    /// If the square does not fit, or a sample could not be read.
    pub fn triggered(&self, test: &Dataset) -> Result<Dataset, DataError> {
        self.stamped(test, &(0..test.len()).collect::<Vec<_>>())
    }

    /// `set` with the square in the samples at `indices`.
    fn stamped(&self, set: &Dataset, indices: &[usize]) -> Result<Dataset, DataError> {
        let [channels, height, width] = set.shape;
        if self.side.saturating_add(INSET) > height.min(width) {
            return Err(self.wrong("the square does not fit into the samples"));
        }
        let mut set = set.held()?;
        let len = set.sample_len();
        for &index in indices {
            for channel in 0..channels {
                for y in height - INSET - self.side..height - INSET {
                    let row = index * len + (channel * height + y) * width;
                    let place = row + width - INSET - self.side..row + width - INSET;
                    match &mut set.values {
                        Values::Bytes(bytes) => bytes[place].fill(255 * u8::from(self.white)),
                        Values::Floats(floats) => floats[place].fill(f32::from(self.white)),
                        Values::Filed(_) => unreachable!("`held` brings values into memory"),
                    }
                }
            }
        }
        Ok(set)
    }

    fn wrong(&self, why: &'static str) -> DataError {
        DataError::Scenario { asked: format!("backdoor={self}"), why }
    }
}

impl fmt::Display for Backdoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, count, side, white } = self;
        write!(f, "{target}:{count}")?;
        match (side, white) {
            (4, false) => Ok(()),
            (_, false) => write!(f, ":{side}"),
            (_, true) => write!(f, ":{side}:white"),
        }
    }
}
