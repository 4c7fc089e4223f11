//! The l1 term of a run: which form, which weights, and how strong in which epoch.

use crate::model::{Network, ParamKind};
use serde::{Deserialize, Serialize};

/// What the l1 term does to a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L1Form {
    /// `gamma * sign(w)` joins the gradient, as in the paper: weights come near 0, not to it.
    Subgradient,
    /// A soft threshold after each step: weights become exactly 0 and leave the file.
    Proximal,
    /// A soft threshold of the difference to the model before: weights return to it exactly.
    TowardsBase,
}

/// How strong the term is in epoch `e` of `E`, `E0` of which are free of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L1Schedule {
    /// `alpha * (1 - e / (E - E0))`: the paper's.
    Decaying,
    /// `alpha`.
    Constant,
    /// `alpha * (e + 1) / (E - E0)`.
    Growing,
}

/// Which weights the term reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L1Reach {
    /// All of them, biases and batch-norm scales and shifts too, as the released code does.
    All,
    /// Those that pruning may remove.
    Prunable,
}

/// The l1 term of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L1Recipe {
    /// Strength at its strongest; 0 turns the term off.
    pub alpha: f32,
    /// What it does to a weight.
    pub form: L1Form,
    /// Its strength over the epochs.
    pub schedule: L1Schedule,
    /// Which weights it reaches.
    pub reach: L1Reach,
    /// Last epochs without the term (`no_l1_epochs` of the released code).
    pub free_epochs: usize,
}

impl L1Recipe {
    /// No l1 term.
    pub const OFF: Self = Self {
        alpha: 0.0,
        form: L1Form::Subgradient,
        schedule: L1Schedule::Decaying,
        reach: L1Reach::All,
        free_epochs: 0,
    };

    /// The strength in `epoch` (from 0) of `epochs`.
    pub fn gamma(&self, epoch: usize, epochs: usize) -> f32 {
        let active = epochs.saturating_sub(self.free_epochs);
        if epoch >= active {
            return 0.0;
        }
        let share = epoch as f32 / active as f32;
        self.alpha
            * match self.schedule {
                L1Schedule::Decaying => 1.0 - share,
                L1Schedule::Constant => 1.0,
                L1Schedule::Growing => share + 1.0 / active as f32,
            }
    }

    /// Whether the term reaches a parameter.
    pub(super) fn reaches(&self, network: &Network, parameter: usize) -> bool {
        let parameter = &network.parameters[parameter];
        self.reach == L1Reach::All || (parameter.kind == ParamKind::Weight && parameter.prunable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decaying_strength_is_the_papers() {
        let recipe = L1Recipe { alpha: 1.0, ..L1Recipe::OFF };
        let all: Vec<f32> = (0..10).map(|epoch| recipe.gamma(epoch, 10)).collect();
        for (epoch, gamma) in all.iter().enumerate() {
            assert!((gamma - (1.0 - epoch as f32 / 10.0)).abs() < 1e-6);
        }
        let free = L1Recipe { free_epochs: 6, ..recipe };
        assert_eq!([free.gamma(0, 10), free.gamma(3, 10), free.gamma(4, 10)], [1.0, 0.25, 0.0]);
        let growing = L1Recipe { schedule: L1Schedule::Growing, ..recipe };
        assert_eq!([growing.gamma(0, 4), growing.gamma(3, 4)], [0.25, 1.0]);
        let constant = L1Recipe { schedule: L1Schedule::Constant, ..recipe };
        assert_eq!([constant.gamma(0, 4), constant.gamma(3, 4)], [1.0, 1.0]);
    }
}
