//! What makes a weight worth keeping.

use serde::{Deserialize, Serialize};

/// What makes a weight worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// Its size: magnitude pruning, OMP in one go and IMP in several.
    Magnitude,
    /// A draw of the stream `prune/random`.
    Random,
    /// How much the loss depends on whether it exists, `|g * w|` (`prune::snip`).
    Snip,
    /// How much gradient flow would be lost with it, `w * (H g)` (`prune::grasp`).
    Grasp,
    /// How much of what flows from all inputs to all outputs passes it, `|w * dR/dw|`, asked anew in each
    /// of [`super::SYNFLOW_ROUNDS`] rounds.
    #[serde(rename = "synflow")]
    SynFlow,
    /// The l1 norm of the output filter that it is in: filters stay or go as a whole.
    FilterL1,
    /// The l1 norm of the input channel that it is in: channels stay or go as a whole.
    ChannelL1,
}

impl Criterion {
    /// Its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::Random => "random",
            Self::Snip => "snip",
            Self::Grasp => "grasp",
            Self::SynFlow => "synflow",
            Self::FilterL1 => "filter-l1",
            Self::ChannelL1 => "channel-l1",
        }
    }

    /// Whether it is asked of labelled samples.
    pub fn needs_samples(self) -> bool {
        matches!(self, Self::Snip | Self::Grasp)
    }

    /// Whether its authors ask it of weights before any training.
    pub fn before_training(self) -> bool {
        matches!(self, Self::Snip | Self::Grasp | Self::SynFlow)
    }

    /// Whether weights stay or go in whole filters or channels.
    pub fn structured(self) -> bool {
        matches!(self, Self::FilterL1 | Self::ChannelL1)
    }
}
