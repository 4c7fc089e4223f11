//! What `unlearn evaluate` tells beyond the paper's four figures, where it is asked for.

use serde_json::{Map, Value, json};

use super::super::device::Wanted;
use super::super::fault::Fault;
use super::super::table::Table;
use super::super::{setting, watch};
use crate::data::Dataset;
use crate::evaluate::{
    Answers, Attack, Attacks, MeasureError, Relearning, Relearnt, anamnesis, relearn,
};
use crate::model::Network;
use crate::model::diff::WeightDistance;

/// Text and JSON of what was asked for.
#[derive(Default)]
pub(super) struct More {
    pub text: String,
    pub values: Map<String, Value>,
}

impl More {
    /// Every attack on one network.
    pub(super) fn attack(
        &mut self,
        name: &str,
        attack: Attack,
        answers: &Answers,
    ) -> Result<(), Fault> {
        let found = Attacks::run(attack, &answers.retain, &answers.test, &answers.forget)?;
        self.text += &format!("\n{}", table(name, &found));
        let list = self.values.entry("attacks").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({
                "name": name, "efficacy": found.efficacy, "privacy": found.privacy,
                "thresholds": found.thresholds,
            }));
        }
        Ok(())
    }

    /// How far the weights lie from a retrained network's.
    pub(super) fn distance(&mut self, retrained: &Network, network: &Network) {
        let told = WeightDistance::between(retrained, network).map(|found| {
            let relative = found.total.relative();
            self.text += &format!(
                "\nThe weights lie {:.3} from the retrained model's{}.\n",
                found.total.l2(),
                relative.map_or(String::new(), |r| format!(", {:.1} % of its norm", 100.0 * r))
            );
            let layers = found.layers.iter().map(|layer| {
                let (l2, relative) = (layer.distance.l2(), layer.distance.relative());
                json!({ "layer": layer.layer, "l2": l2, "relative": relative })
            });
            json!({
                "l2": found.total.l2(), "relative": relative, "cosine": found.total.cosine(),
                "layers": layers.collect::<Vec<_>>(),
            })
        });
        self.values.insert("weight_distance_to_retrained".into(), told.unwrap_or_default());
    }

    /// How soon networks know the forgotten samples as `original` does, and why it was not computed on the
    /// device that `auto` looks for.
    pub(super) fn relearn<'a>(
        &mut self,
        networks: impl Iterator<Item = (&'static str, &'a Network)>,
        original: &Network,
        forget: &Dataset,
        seed: u64,
        device: Wanted,
    ) -> Result<Option<String>, Fault> {
        let settings = Relearning { seed, ..Relearning::default() };
        let batch = settings.batch.min(forget.len());
        let (compute, fallen) = device.learning(original, batch, &settings.recipe(seed))?;
        let mut found: Vec<(&str, Relearnt)> = Vec::new();
        for (name, network) in networks {
            let relearnt = relearn(network, original, forget, &settings, compute, &watch::stopped);
            found.push((name, relearnt.map_err(stopped)?));
        }
        let mut table = Table::new(["", "knows %", "goal %", "steps to it", "fewest-most"]);
        for (name, relearnt) in &found {
            let most = settings.most_steps;
            table.row(vec![
                (*name).into(),
                format!("{:.1}", relearnt.start),
                format!("{:.1}", relearnt.goal),
                relearnt.mean_steps.map_or(format!("> {most}"), |steps| format!("{steps:.1}")),
                relearnt.range.map_or("-".into(), |[low, high]| format!("{low}-{high}")),
            ]);
        }
        let index = match &found[..] {
            [(_, model), (_, retrained)] => anamnesis(model, retrained),
            _ => None,
        };
        self.text += &format!(
            "\n{table}Steps of {} samples until the forgotten samples are known again, mean of {} orders{}.\n",
            settings.batch,
            settings.orders,
            index.map_or(String::new(), |index| format!(
                "; over the retrained model's: {index:.2} (1: as if never known)"
            ))
        );
        let models: Vec<Value> =
            found.iter().map(|(name, r)| json!({ "name": name, "relearnt": r })).collect();
        self.values.insert(
            "relearning".into(),
            json!({ "settings": setting::plain(&settings), "models": models, "anamnesis_index": index }),
        );
        Ok(fallen)
    }
}

fn stopped(error: MeasureError) -> Fault {
    match error {
        MeasureError::Stopped => {
            Fault::Interrupted("stopped before everything was measured".into())
        }
        other => other.into(),
    }
}

/// A line for each attack: what it says of forgotten samples, and of those that are kept.
fn table(name: &str, found: &Attacks) -> Table {
    let mut table = Table::new([
        &format!("attacks on {name}")[..],
        "forgotten taken for unseen %",
        "kept told from unseen %",
    ]);
    let percent = |value: f64, [low, high]: [f64; 2]| {
        format!("{:.1} ({:.1}-{:.1})", 100.0 * value, 100.0 * low, 100.0 * high)
    };
    for (efficacy, privacy) in found.efficacy.iter().zip(&found.privacy) {
        table.row(vec![
            format!("classifier, {}", efficacy.feature),
            percent(efficacy.efficacy, efficacy.interval95),
            percent(privacy.balanced_accuracy, privacy.interval95),
        ]);
    }
    for threshold in &found.thresholds {
        table.row(vec![
            format!("threshold, {}", threshold.feature),
            percent(threshold.efficacy, threshold.efficacy_interval95),
            percent(threshold.balanced_accuracy, threshold.interval95),
        ]);
    }
    table
}
