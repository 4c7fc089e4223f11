//! What would be done: every step, whether it is there, and what it takes in memory.

use std::sync::Arc;

use serde_json::json;

use super::super::fault::Fault;
use super::super::memory::Peak;
use super::super::setting::Out;
use super::super::table::Table;
use super::cell;
use super::graph::{How, Step};
use super::world::{Extra, Made, World};
use crate::base::units::Bytes;
use crate::model::Network;

/// Lists the steps and does nothing.
pub(super) fn tell(world: &World<'_>, out: &Out) -> Result<(), Fault> {
    let mut made: Vec<Arc<Made>> = Vec::new();
    let mut table = Table::new(["step", "", "memory"]);
    let mut list = Vec::new();
    let (mut missing, mut most) = (0, 0);
    for (index, (step, needs)) in world.graph.steps.iter().enumerate() {
        let given: Vec<Arc<Made>> = needs.iter().map(|&need| made[need].clone()).collect();
        let this = match given.iter().any(|given| matches!(**given, Made::Missing)) {
            true => Made::Missing,
            false => world.perform(index, &given)?,
        };
        let (state, peak) = match &this {
            Made::Missing => ("to do", estimate(world, step)?),
            Made::Model { model, .. } => ("there", Some(model.peak)),
            Made::Failed(_) => ("there, failed", None),
            Made::Figures(_) | Made::Choice(_) => ("there", None),
        };
        if state == "to do" {
            missing += 1;
            most = most.max(peak.unwrap_or(0));
        }
        let told = world.told(step);
        table.row(vec![
            told.clone(),
            state.into(),
            peak.map_or("-".into(), |p| Bytes(p).to_string()),
        ]);
        list.push(json!({ "step": told, "state": state, "planned_peak_bytes": peak }));
        made.push(Arc::new(this));
    }
    let text = format!(
        "{table}\n{} cells, {} steps, {missing} to do; the largest takes {}; nothing was done\n",
        world.graph.cells.len(),
        world.graph.steps.len(),
        Bytes(most)
    );
    let value = json!({
        "command": "experiment", "dry_run": true, "name": world.experiment.name,
        "cells": world.graph.cells.len(), "steps": list, "to_do": missing,
        "settings": world.experiment.value(),
    });
    out.result(&text, &value)
}

/// What a step whose model is not there yet will take: that of a network of the same shape under masks
/// of the same density.
fn estimate(world: &World<'_>, step: &Step) -> Result<Option<u64>, Fault> {
    let (pair, seed, mask) = match step {
        Step::Base { pair, seed } => (*pair, *seed, None),
        Step::Mask { pair, seed, mask } => (*pair, *seed, Some(*mask)),
        Step::Forget(trial, _) => (trial.pair, trial.seed, Some(trial.mask)),
        Step::Measure(..) | Step::Choose(..) => return Ok(None),
    };
    let mut network = Network::new(world.pairs[pair].description.clone(), seed);
    let masking = mask.map(|mask| &world.experiment.masks[mask]).filter(|mask| !mask.dense());
    if let Some(masking) = masking {
        let masks = cell::choose(&network, masking, seed)?;
        network.set_masks(masks);
    }
    let settled = match step {
        Step::Forget(trial, how) => {
            // Points of a grid differ in settings that take no memory, as a rule.
            let how = if let How::Chosen(entry) = how { How::Candidate(*entry, 0) } else { *how };
            let Some((method, _)) = world.method(trial, how, None) else { return Ok(None) };
            world.settled(trial, &network, &world.target(trial)?, &method)?
        }
        _ => {
            let samples = world.data(pair).splits.train.len();
            let extra = Extra { checkpoint: true, ..Extra::default() };
            world.settle(&network, &world.training(seed), samples, extra)?
        }
    };
    Ok(settled.peak.as_ref().map(Peak::total))
}
