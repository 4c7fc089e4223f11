//! Poisoned data: what a model was poisoned with stands in its file, and every command that opens the
//! model's data poisons it again, so that all of them see what it learnt from.

use serde_json::{Value, json};

use super::fault::Fault;
use super::learn;
use super::setting;
use crate::data::{Backdoor, Scenario, Splits};
use crate::evaluate::attack_success;
use crate::format::Facts;
use crate::model::file::Artifact;
use crate::train::Compute;

/// The fact that says how: `SEED SCENARIO`.
const POISON: &str = "poison";

/// How training data was poisoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Poison {
    seed: u64,
    backdoor: Backdoor,
}

impl Poison {
    /// Reads what `--poison` says.
    pub(super) fn parse(text: &str, seed: u64) -> Result<Self, Fault> {
        match setting::scenario(text)? {
            Scenario::Backdoor(backdoor) => Ok(Self { seed, backdoor }),
            _ => Err(Fault::Usage(format!(
                "--poison {text}: expected backdoor=TARGET:COUNT[:SIDE[:black|white]]"
            ))),
        }
    }

    /// What a file states.
    pub(super) fn of(facts: &Facts) -> Result<Option<Self>, Fault> {
        let Some(text) = facts.get(POISON) else { return Ok(None) };
        let stated = text.split_once(' ').and_then(|(seed, text)| Some((seed.parse().ok()?, text)));
        let Some((seed, text)) = stated else {
            return Err(Fault::Usage(format!("`{text}` in the model's file says no poison")));
        };
        Self::parse(text, seed).map(Some)
    }

    /// `facts`, stating it.
    pub(super) fn state(&self, facts: Facts) -> Facts {
        facts.with(POISON, format!("{} backdoor={}", self.seed, self.backdoor))
    }

    /// Poisons the training part.
    pub(super) fn apply(&self, data: &mut Splits) -> Result<(), Fault> {
        data.train = self.backdoor.poison(&data.train, self.seed)?;
        Ok(())
    }
}

/// Refuses to cleanse `model` of a backdoor that it does not have.
pub(super) fn fits(scenario: &Scenario, seed: u64, model: &Artifact) -> Result<(), Fault> {
    let Scenario::Backdoor(backdoor) = scenario else { return Ok(()) };
    let stated = Poison::of(&model.facts)?;
    if stated.as_ref() == Some(&Poison { seed, backdoor: backdoor.clone() }) {
        return Ok(());
    }
    let is = stated.map_or("it was not poisoned".into(), |poison| {
        format!("it was poisoned with backdoor={} (seed {})", poison.backdoor, poison.seed)
    });
    Err(Fault::Usage(format!(
        "--scenario backdoor={backdoor} (seed {seed}) is not what the model learnt: {is}; train with --poison, and forget the same with the same --seed"
    )))
}

/// How often the backdoor of `scenario` opens in each model, as text and JSON; nothing for other
/// scenarios.
pub(super) fn success(
    scenario: &Scenario,
    models: &[(&str, &Artifact)],
    data: &Splits,
    compute: impl Into<Compute>,
) -> Result<(String, Value), Fault> {
    let Scenario::Backdoor(backdoor) = scenario else { return Ok((String::new(), Value::Null)) };
    let (mut text, mut list, compute) = (String::new(), Vec::new(), compute.into());
    for (name, artifact) in models {
        let found = attack_success(&artifact.network, &data.test, backdoor, compute)?;
        text += &format!(
            "attack success, {name}: {}; {} without the target's own samples\n",
            learn::told(&found.all),
            learn::told(&found.others)
        );
        list.push(json!({ "name": name, "all": found.all, "others": found.others }));
    }
    Ok((text, json!(list)))
}

/// Adds what [`success`] found to a result; nothing where it looked for nothing.
pub(super) fn tell(value: &mut Value, success: Value) {
    if !success.is_null() {
        value["attack_success"] = success;
    }
}
