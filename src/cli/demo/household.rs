//! The second story: a household adapts the base, and one of its members leaves.
//!
//! The base never saw the household. It is adapted on the members' samples together with an anchor
//! set, a small share of what the base was made from, which keeps it from forgetting the rest. When
//! a member leaves, exact replay adapts the base anew without them; l1-sparse goes on from the
//! adapted model, under a penalty on the distance to the base.

use std::path::Path;

use serde_json::json;

use super::super::evaluate::{Judged, Row, judge};
use super::super::fault::Fault;
use super::super::setting::Out;
use super::Chapter;
use super::cast::Cast;
use crate::base::clock::Stopwatch;
use crate::data::{Dataset, Scenario, Splits};
use crate::evaluate::{Attack, Sets};
use crate::format::Dtype;
use crate::model::Network;
use crate::model::file::Artifact;
use crate::train::{EpochReport, L1Form, Recipe, Schedule, State};
use crate::unlearn::{FineTune, L1Sparse, Method};

/// Of each base subject's samples, every how many-th is in the anchor set.
const ANCHOR_EVERY: usize = 6;

/// What is promised of the five models.
const PROMISES: [&str; 5] =
    ["never-learnt", "none: it knows them", "approximate", "approximate", "exact-replay"];

/// How the base is adapted: chosen on h1 and h2.
fn adapting(seed: u64) -> Recipe {
    Recipe {
        epochs: 20,
        batch: 64,
        rate: 0.05,
        schedule: Schedule::Cosine,
        seed,
        ..Recipe::default()
    }
}

/// How a member is forgotten: chosen on h1 and h2.
fn l1(form: L1Form, alpha: f32) -> L1Sparse {
    let tuning = FineTune {
        epochs: 10,
        rate: 0.3,
        schedule: Schedule::Cosine,
        batch: 64,
        ..FineTune::default()
    };
    L1Sparse { tuning, alpha, form, ..L1Sparse::default() }
}

/// Tells the story.
pub(super) fn tell(cast: &Cast, base: &Artifact, out: &Out) -> Result<Chapter, Fault> {
    let data = home(cast);
    let scenario = Scenario::Subject(vec![cast.member.clone()]);
    let sets = Sets::new(&scenario, &data, cast.seed)?;
    let retain = data.train.subset(&sets.retain);
    out.say("a household adapts the base");
    let judge = |artifact: &Artifact, seconds| -> Result<Judged, Fault> {
        judge(artifact, &data, &sets, Attack::paper(cast.seed), seconds, cast.compute)
    };
    let (mut rows, mut learnt) = (Vec::new(), vec![Vec::new()]);
    // Files are named as they lie beside result.json.
    rows.push(Row::new("base", Path::new("base-sparse.esm"), judge(base, None)?));
    let mut add =
        |name: &str, network: &Network, seconds: Option<f64>, told: &str| -> Result<(), Fault> {
            let file = format!("home-{name}.esm");
            let artifact = cast.save(&file, network, Dtype::F16, told)?;
            rows.push(Row::new(name, Path::new(&file), judge(&artifact, seconds)?));
            Ok(())
        };
    let recipe = adapting(cast.seed);
    // What adapting took is no time of forgetting.
    let (adapted, _, epochs) = adapt(cast, "adapt", base, &data.train, &recipe)?;
    add("adapted", &adapted, None, "adapt")?;
    learnt.push(epochs);
    out.say(&format!("{} asks to be forgotten", cast.member));
    let methods = [
        ("l1-sparse", l1(L1Form::Subgradient, 3e-4)),
        ("l1-to-base", l1(L1Form::TowardsBase, 0.01)),
    ];
    for (name, method) in &methods {
        let method = Method::L1Sparse(method.clone());
        let outcome = cast.forget(name, &method, &adapted, Some(&base.network), &retain)?;
        add(
            name,
            &outcome.network,
            Some(outcome.seconds),
            &serde_json::to_string(&method).unwrap_or_default(),
        )?;
        learnt.push(outcome.epochs);
    }
    let (replayed, seconds, epochs) = adapt(cast, "replay", base, &retain, &recipe)?;
    add("replay", &replayed, Some(seconds), "exact replay of adapt")?;
    learnt.push(epochs);
    let how = vec![
        json!("base-sparse.esm, which never saw the household"),
        json!({ "adapting": recipe, "anchor_samples": data.train.len() - cast.household.train.len() }),
        json!(methods[0].1),
        json!(methods[1].1),
        json!({ "adapting": recipe }),
    ];
    let sizes = [sets.forget.len(), sets.retain.len(), sets.test.len()];
    let (who, promises) = (cast.member.clone(), PROMISES.to_vec());
    Ok(Chapter { who, rows, sizes, how, learnt, promises, before: 1 })
}

/// The anchor set with the household, to learn from and to test on.
fn home(cast: &Cast) -> Splits {
    let every = |set: &Dataset| -> Dataset {
        let indices: Vec<usize> =
            (0..set.len()).filter(|i| i % ANCHOR_EVERY == i / 10 % ANCHOR_EVERY).collect();
        set.subset(&indices)
    };
    Splits {
        name: "made-home".into(),
        train: every(&cast.base.train).and(&cast.household.train),
        test: every(&cast.base.test).and(&cast.household.test),
        ..cast.base.clone()
    }
}

/// The base, adapted on `data`, the seconds that took, and its epochs.
fn adapt(
    cast: &Cast,
    what: &str,
    base: &Artifact,
    data: &Dataset,
    recipe: &Recipe,
) -> Result<(Network, f64, Vec<EpochReport>), Fault> {
    let started = Stopwatch::start();
    let mut state = State::new(base.network.clone());
    let epochs = cast.train(what, &mut state, data, recipe)?;
    Ok((state.network, started.seconds(), epochs))
}
