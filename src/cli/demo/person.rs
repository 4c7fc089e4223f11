//! The first story: a person leaves a base that was made from many.

use std::path::Path;

use serde_json::json;

use super::super::evaluate::{Judged, Row, judge};
use super::super::fault::Fault;
use super::super::setting::Out;
use super::super::watch::{Bar, Early};
use super::Chapter;
use super::cast::Cast;
use crate::data::Scenario;
use crate::evaluate::{Attack, Sets};
use crate::format::Dtype;
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::{Allocation, Criterion, masks, rewind};
use crate::train::{EpochReport, Recipe, Schedule, State, run};
use crate::unlearn::{FineTune, L1Sparse, Method, Retrain, Start};

/// Share of the convolution weights that pruning removes.
const SPARSITY: f64 = 0.95;
/// Epoch whose weights pruning returns to.
const REWIND: usize = 2;

/// What is promised of the four models.
///
/// The retrained model's weights never saw the person, but its mask was chosen on weights that did.
const PROMISES: [&str; 4] =
    ["none: it knows them", "approximate", "approximate", "approximate, by its mask"];

/// How base and retrained models are trained.
fn training(seed: u64) -> Recipe {
    Recipe {
        epochs: 20,
        batch: 64,
        rate: 0.1,
        schedule: Schedule::paper(),
        seed,
        ..Recipe::default()
    }
}

/// How the person is forgotten: chosen on p01 to p05.
fn tuning() -> FineTune {
    FineTune { epochs: 10, rate: 0.3, schedule: Schedule::Cosine, batch: 64, ..FineTune::default() }
}

/// The l1 penalty: chosen on p01 to p05.
fn l1_sparse() -> L1Sparse {
    L1Sparse { tuning: tuning(), alpha: 3e-4, ..L1Sparse::default() }
}

/// Tells the story. Also gives the sparse base, for the household.
pub(super) fn tell(cast: &Cast, out: &Out) -> Result<(Chapter, Artifact), Fault> {
    let (sparse, learnt) = sparse_base(cast, out)?;
    let mut learnt = vec![learnt];
    let scenario = Scenario::Subject(vec![cast.person.clone()]);
    let sets = Sets::new(&scenario, &cast.base, cast.seed)?;
    let retain = cast.base.train.subset(&sets.retain);
    out.say(&format!("{} asks to be forgotten", cast.person));

    let recipe = training(cast.seed);
    let retrain = Method::Retrain(Retrain::like(&recipe, Start::Seed(cast.seed)));
    let fine_tune = Method::FineTune(tuning());
    let l1_sparse = Method::L1Sparse(l1_sparse());
    let judge = |artifact: &Artifact, seconds| -> Result<Judged, Fault> {
        judge(artifact, &cast.base, &sets, Attack::paper(cast.seed), seconds, cast.compute)
    };
    // Files are named as they lie beside result.json.
    let mut rows = vec![Row::new("knows", Path::new("base-sparse.esm"), judge(&sparse, None)?)];
    let mut how = vec![json!({ "training": recipe, "sparsity": SPARSITY, "rewind_epoch": REWIND })];
    for (name, method) in [("fine-tune", fine_tune), ("l1-sparse", l1_sparse), ("retrain", retrain)]
    {
        let outcome = cast.forget(name, &method, &sparse.network, None, &retain)?;
        let file = format!("person-{name}.esm");
        let told = serde_json::to_string(&method).unwrap_or_default();
        let artifact = cast.save(&file, &outcome.network, Dtype::F16, &told)?;
        rows.push(Row::new(name, Path::new(&file), judge(&artifact, Some(outcome.seconds))?));
        how.push(json!(method));
        learnt.push(outcome.epochs);
    }
    let sizes = [sets.forget.len(), sets.retain.len(), sets.test.len()];
    let who = cast.person.clone();
    let promises = PROMISES.to_vec();
    Ok((Chapter { who, rows, sizes, how, learnt, promises, before: 0 }, sparse))
}

/// The base that everybody is in: trained dense, pruned by magnitude, rewound, trained again.
fn sparse_base(cast: &Cast, out: &Out) -> Result<(Artifact, Vec<EpochReport>), Fault> {
    let recipe = training(cast.seed);
    let mut state = State::new(Network::new(cast.description.clone(), cast.seed));
    let early = train_keeping_early(cast, &mut state, &recipe)?;
    cast.save("base-dense.esm", &state.network, Dtype::F32, "train")?;
    let masks =
        masks(&state.network, SPARSITY, Allocation::Global, Criterion::Magnitude, cast.seed)?;
    let network = rewind(&early, masks, &cast.description.name)?;
    let mut state = State { momentum: vec![0.0; network.values.len()], network, epoch: REWIND };
    let learnt = cast.train("prune", &mut state, &cast.base.train, &recipe)?;
    out.say("the base is trained, and pruned to 95 %");
    Ok((cast.save("base-sparse.esm", &state.network, Dtype::F16, "train, prune")?, learnt))
}

/// Trains the base, and gives its network as it was after the early epoch.
fn train_keeping_early(cast: &Cast, state: &mut State, recipe: &Recipe) -> Result<Network, Fault> {
    let mut bar = Bar::new("train", None);
    let mut watch = Early { bar: &mut bar, at: REWIND, kept: None };
    let data = &cast.base.train;
    let reports = run(state, data, recipe, None, cast.compute, &mut watch);
    let kept = watch.kept;
    bar.finish();
    reports?;
    match kept.filter(|_| state.epoch == recipe.epochs) {
        Some(early) => Ok(early),
        None => Err(Fault::Interrupted("stopped: the story was not told".into())),
    }
}
