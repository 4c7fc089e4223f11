//! How often a backdoor opens: the share of test samples with the trigger that are named as its target.

use super::{MeasureError, Metric};
use crate::data::{Backdoor, DataError, Dataset};
use crate::model::Network;
use crate::train::{Compute, TrainError, score};
use serde::Serialize;

/// How often a backdoor opens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackSuccess {
    /// Over the whole test set, as the paper counts. Samples of the target class are in it: a network
    /// that heeds no trigger names them so too.
    pub all: Metric,
    /// Over the test samples of other classes.
    pub others: Metric,
}

/// Stamps the trigger on every sample of `test` and asks what `network` names them.
///
/// # Errors
/// If the target is no class, the trigger does not fit, the set does not fit the network, or it holds no
/// other class than the target.
pub fn attack_success(
    network: &Network,
    test: &Dataset,
    backdoor: &Backdoor,
    compute: impl Into<Compute>,
) -> Result<AttackSuccess, MeasureError> {
    let of_data = |fault: DataError| MeasureError::Score(TrainError::Data(fault));
    let target = backdoor.target(test).map_err(of_data)? as usize;
    let triggered = backdoor.triggered(test).map_err(of_data)?;
    let indices: Vec<usize> = (0..test.len()).collect();
    let rows = score(network, &triggered, &indices, compute)?;
    let opened: Vec<bool> = rows
        .chunks_exact(network.description.classes)
        .map(|row| super::scores::answer(row) == target)
        .collect();
    let of = |name: &str, counted: &dyn Fn(usize) -> bool| {
        let counted = || indices.iter().filter(|&&index| counted(index));
        let hits = counted().filter(|&&index| opened[index]).count();
        let definition =
            format!("share of the {name} set, with the trigger, that is named as its target");
        match counted().count() {
            0 => Err(super::EvaluateError::EmptySet { set: "triggered test" }),
            samples => Ok(Metric::share(hits, samples, name, &definition)),
        }
    };
    let all = of("test", &|_| true)?;
    let others =
        of("test without the target class", &|index| test.labels[index] as usize != target)?;
    Ok(AttackSuccess { all, others })
}
