//! Choosing among the points of a grid: the smallest average gap to the retrained model, on the
//! held-out forget set.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::graph::Trial;
use super::world::{Made, World};
use crate::evaluate::Report;

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// Which point of the grid.
    pub point: usize,
    /// In words, what stood in for the forget set.
    pub on: String,
    /// Settings of each point with its average gap, in points; `null` where it failed.
    pub tried: Vec<(Value, Option<f64>)>,
}

impl Choice {
    /// As results tell it.
    pub(super) fn value(&self, seed: u64) -> Value {
        let tried = self.tried.iter();
        let tried =
            tried.map(|(settings, gap)| json!({ "settings": settings, "average_gap": gap }));
        json!({
            "settings": self.tried.get(self.point).map(|(settings, _)| settings),
            "by": "smallest average gap to the retrained model on a held-out forget set",
            "held_out": self.on, "seed": seed, "tried": tried.collect::<Vec<_>>(),
        })
    }
}

impl World<'_> {
    /// Chooses: `given` are the figures of the retrained model, and of each candidate in order. Of
    /// equal gaps the earlier point is taken.
    pub(super) fn choose(
        &self,
        trial: &Trial,
        entry: usize,
        given: &[Arc<Made>],
    ) -> Result<Made, Fault> {
        let [retrained, candidates @ ..] = given else {
            return Ok(Made::Failed("nothing was tried".into()));
        };
        let yardstick = match &**retrained {
            Made::Failed(why) => return Ok(Made::Failed(why.clone())),
            made => report(made),
        };
        let Some(yardstick) = yardstick else {
            return Ok(Made::Failed("the retrained model was not measured".into()));
        };
        let settings = self.entry(entry).candidates.iter().map(|(settings, _)| settings.clone());
        let gap = |made: &Arc<Made>| report(made)?.gap(&yardstick).average;
        let tried: Vec<_> = settings.zip(candidates.iter().map(gap)).collect();
        let mut best: Option<(usize, f64)> = None;
        for (point, (_, gap)) in tried.iter().enumerate() {
            if let Some(gap) = gap.filter(|gap| best.is_none_or(|(_, least)| *gap < least)) {
                best = Some((point, gap));
            }
        }
        let Some((point, _)) = best else {
            return Ok(Made::Failed("every point of the grid failed".into()));
        };
        let on = self.target(trial)?.told;
        Ok(Made::Choice(Choice { point, on, tried }))
    }
}

/// The report within figures.
pub(super) fn report(made: &Made) -> Option<Report> {
    let Made::Figures(figures) = made else { return None };
    serde_json::from_value(figures["report"].clone()).ok()
}
