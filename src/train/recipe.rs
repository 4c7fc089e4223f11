//! Everything a run depends on besides network and data.

use super::error::TrainError;
use super::l1::{L1Form, L1Recipe};
use super::trained::Trained;
use crate::data::Augment;
use serde::{Deserialize, Serialize};

/// The learning rate over the epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same in every epoch.
    Constant,
    /// Times `factor` after each of the milestones, given as shares of the epochs.
    MultiStep {
        /// Shares of the epochs, ascending.
        milestones: Vec<f64>,
        /// What the rate is multiplied by at each.
        factor: f32,
    },
    /// Half a cosine from the rate down to 0 after the last epoch.
    Cosine,
}

impl Schedule {
    /// Times 0.1 after 50 % and 75 % of the epochs, as the paper says.
    pub fn paper() -> Self {
        Self::MultiStep { milestones: vec![0.5, 0.75], factor: 0.1 }
    }

    /// What the rate is multiplied by in `epoch` (from 0) of `epochs`.
    pub fn share(&self, epoch: usize, epochs: usize) -> f32 {
        let done = epoch as f64 / epochs.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::MultiStep { milestones, factor } => {
                let passed = milestones.iter().filter(|&&milestone| done >= milestone).count();
                factor.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
            Self::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * done).cos())) as f32,
        }
    }
}

/// How a network learns.
///
/// Defaults are the paper's training, shortened to 20 epochs and without crops and flips.
///
/// # Where we differ
/// Milestones are shares, so that they fit any number of epochs; of 182 epochs, 50 % and 75 % are 91
/// and 137 where the released code has 91 and 136.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the set.
    pub epochs: usize,
    /// Samples in a step; the paper's code has 256, its table 128.
    pub batch: usize,
    /// Learning rate at its highest.
    pub rate: f32,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay, on every weight, as in the released code.
    pub decay: f32,
    /// The rate over the epochs.
    pub schedule: Schedule,
    /// Random crops and flips.
    pub augment: Augment,
    /// The l1 term.
    pub l1: L1Recipe,
    /// Whether batch norm keeps its running statistics.
    pub frozen_norm: bool,
    /// Which layers learn. A text without it says all, and that all learn is written by leaving it
    /// out: recipes from before there was a choice read, and compare, as they did.
    #[serde(default, skip_serializing_if = "Trained::is_all")]
    pub trained: Trained,
    /// Seed of order and augmentation.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 128,
            rate: 0.1,
            momentum: 0.9,
            decay: 5e-4,
            schedule: Schedule::paper(),
            augment: Augment::default(),
            l1: L1Recipe::OFF,
            frozen_norm: false,
            trained: Trained::All,
            seed: 1,
        }
    }
}

impl Recipe {
    /// Refuses numbers that make no sense.
    pub fn check(&self) -> Result<(), TrainError> {
        let wrong =
            |field, found: String, expected| Err(TrainError::Recipe { field, found, expected });
        if self.batch == 0 || self.batch > 65_536 {
            return wrong("batch", self.batch.to_string(), "1 to 65536");
        }
        if self.epochs > 100_000 {
            return wrong("epochs", self.epochs.to_string(), "at most 100000");
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return wrong("rate", self.rate.to_string(), "a number above 0");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return wrong("momentum", self.momentum.to_string(), "0 or more, below 1");
        }
        if !(0.0..=1.0).contains(&self.decay) {
            return wrong("decay", self.decay.to_string(), "between 0 and 1");
        }
        if !(0.0..=1e6).contains(&self.l1.alpha) {
            return wrong("alpha", self.l1.alpha.to_string(), "0 or more");
        }
        if self.l1.free_epochs > 0 && self.l1.alpha > 0.0 && self.l1.form != L1Form::Subgradient {
            // What a soft threshold made exact, an epoch without it would move again.
            let expected = "0 under the proximal and towards-base forms";
            return wrong("free_epochs", self.l1.free_epochs.to_string(), expected);
        }
        self.trained.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_schedule_drops_at_half_and_three_quarters() {
        let shares: Vec<f32> = (0..8).map(|epoch| Schedule::paper().share(epoch, 8)).collect();
        assert_eq!(shares[..4], [1.0; 4]);
        assert!(shares[4..6].iter().all(|share| (share - 0.1).abs() < 1e-7));
        assert!(shares[6..].iter().all(|share| (share - 0.01).abs() < 1e-7));
        assert!((Schedule::Cosine.share(4, 8) - 0.5).abs() < 1e-6);
    }

    /// What checkpoints hold that were written before layers could be frozen.
    const OLD: &str = r#"{"epochs":20,"batch":128,"rate":0.1,"momentum":0.9,"decay":0.0005,"schedule":{"multi-step":{"milestones":[0.5,0.75],"factor":0.1}},"augment":{"crop_padding":0,"flip":false},"l1":{"alpha":0.0,"form":"subgradient","schedule":"decaying","reach":"all","free_epochs":0},"frozen_norm":false,"seed":1}"#;

    #[test]
    fn a_recipe_of_old_is_read_and_written_as_it_was() {
        let recipe: Recipe = serde_json::from_str(OLD).unwrap();
        assert_eq!(recipe, Recipe::default());
        // A run is resumed if its recipe's text is the same.
        assert_eq!(serde_json::to_string(&recipe).unwrap(), OLD);
    }

    #[test]
    fn layers_that_learn_are_written_and_read() {
        for (trained, text) in
            [(Trained::Head, r#""trained":"head""#), (Trained::Last(2), r#""trained":{"last":2}"#)]
        {
            let recipe = Recipe { trained, ..Recipe::default() };
            let written = serde_json::to_string(&recipe).unwrap();
            assert!(written.contains(text), "{written}");
            assert_eq!(serde_json::from_str::<Recipe>(&written).unwrap(), recipe);
        }
        let none = Recipe { trained: Trained::Last(0), ..Recipe::default() };
        let error = none.check().unwrap_err().to_string();
        assert!(error.contains("`trained` is last=0"), "{error}");
    }
}
