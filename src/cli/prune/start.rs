//! The weights that training goes on from, after each choice of masks.

use std::path::PathBuf;

use super::super::fault::Fault;
use super::super::setting;
use super::Args;
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::{Criterion, rewind};
use crate::sparse::Mask;

/// The weights that training goes on from.
pub(super) enum Start {
    /// Those of an early state, dense or with what the masks keep: its network, and its epoch.
    Early(Box<Network>, usize),
    /// Those of the model, in every round.
    Last,
    /// Those that the round before left.
    Keep,
}

impl Start {
    /// What `--rewind` asks for, every file of it opened.
    pub(super) fn of(args: &Args, model: &Artifact, criterion: Criterion) -> Result<Self, Fault> {
        let unsaid = criterion.before_training().then_some("init");
        match args.rewind.as_deref().or(unsaid) {
            Some("none") => Ok(Self::Keep),
            Some("last") => Ok(Self::Last),
            Some("init") => initial(args, model),
            Some("early") => early(args, model, None),
            file => early(args, model, file),
        }
    }

    /// What it is, in results.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Early(_, 0) => "its initial weights".into(),
            Self::Early(_, epoch) => format!("epoch {epoch}"),
            Self::Last => "the weights before pruning".into(),
            Self::Keep => "nothing".into(),
        }
    }

    /// Bytes that it takes besides the model.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Early(network, _) => crate::train::memory::network_bytes(network),
            Self::Last | Self::Keep => 0,
        }
    }

    /// The network under `masks`, and the epoch that it stands at. `now` is what the round before left.
    pub(super) fn under(
        &self,
        masks: Vec<Mask>,
        model: &Network,
        now: &Network,
    ) -> Result<(Network, usize), Fault> {
        let kept = |network: &Network, masks| {
            let mut network = network.clone();
            network.set_masks(masks);
            network
        };
        match self {
            Self::Early(early, epoch) => {
                Ok((rewind(early, masks, &model.description.name)?, *epoch))
            }
            Self::Last => Ok((kept(model, masks), 0)),
            Self::Keep => Ok((kept(now, masks), 0)),
        }
    }
}

fn initial(args: &Args, model: &Artifact) -> Result<Start, Fault> {
    let seed = model.facts.get("init_seed").or(model.facts.get("seed"));
    let Some(seed) = seed.and_then(|seed| seed.parse().ok()) else {
        return Err(Fault::Usage(format!(
            "{} does not state its seed: it cannot be rewound to its start; give --rewind none or FILE",
            args.model.display()
        )));
    };
    Ok(Start::Early(Box::new(Network::new(model.network.description.clone(), seed)), 0))
}

fn early(args: &Args, model: &Artifact, file: Option<&str>) -> Result<Start, Fault> {
    let path = file.map_or_else(|| setting::beside(&args.model, "rewind"), PathBuf::from);
    if !path.exists() {
        return Err(Fault::Usage(format!(
            "{} does not exist: `unlearn train` writes the weights of an early epoch there; give --rewind FILE, init or none",
            path.display()
        )));
    }
    let early = setting::open_model(&path)?;
    let other =
        ["recipe", "data_digest"].iter().any(|fact| early.facts.get(fact) != model.facts.get(fact));
    if file.is_none() && other {
        return Err(Fault::Usage(format!(
            "{} is of another run than {}: give --rewind FILE, init or none",
            path.display(),
            args.model.display()
        )));
    }
    let epoch = early.facts.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Start::Early(Box::new(early.network), epoch))
}
