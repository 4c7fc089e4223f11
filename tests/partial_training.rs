//! Defends training of some layers: what does not learn keeps every byte, what learns ends where it
//! would if all layers had gradients, and memory is planned for no more than is needed.

mod common;

use std::sync::Arc;

use common::network::{cnn16, described, few};
use common::program::{folder, json, refused};
use unlearn::base::rng::Stream;
use unlearn::data::Dataset;
use unlearn::model::{
    Description, Engine, GrowError, Mode, Network, Op, ParamKind, Plan, Predictor, builtin,
};
use unlearn::sparse::{Isa, Mask};
use unlearn::train::memory::{RunBytes, planned};
use unlearn::train::{
    Compute, Control, EpochReport, L1Form, L1Recipe, Quiet, Recipe, State, Stepper, TrainError,
    Trained, Watch, run,
};
use unlearn::unlearn::FineTune;

const PARTS: [Trained; 2] = [Trained::Head, Trained::Last(2)];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Momentum, decay and an l1 term, all strong enough to be seen.
fn recipe(trained: Trained) -> Recipe {
    let l1 = L1Recipe { alpha: 1e-3, ..L1Recipe::OFF };
    Recipe { epochs: 3, batch: 32, decay: 1e-2, l1, trained, ..Recipe::default() }
}

fn trained(network: Network, data: &Dataset, recipe: &Recipe) -> State {
    let base = vec![0.01; network.values.len()];
    let mut state = State::new(network);
    run(&mut state, data, recipe, Some(&base), Isa::best(), &mut Quiet).unwrap();
    state
}

/// A network whose statistics and batch norms are not those that a fresh one has.
fn lived(description: Arc<Description>) -> Network {
    let mut network = Network::new(description, 3);
    let mut stream = Stream::new(5, "life");
    let masks = network.parameters.iter().map(|p| {
        let thin = p.kind == ParamKind::Weight && p.prunable;
        Mask::from_fn(p.mask.len(), |_| !thin || stream.unit() < 0.4)
    });
    let masks = masks.collect();
    network.set_masks(masks);
    for p in network.parameters.clone() {
        if matches!(p.kind, ParamKind::Scale | ParamKind::Shift) {
            network.values[p.range].iter_mut().for_each(|v| *v += 0.3 * stream.normal() as f32);
        }
    }
    for value in network.buffers.iter_mut().flat_map(|buffer| &mut buffer.values) {
        *value += stream.unit() as f32;
    }
    network
}

#[test]
fn what_does_not_learn_keeps_every_byte_and_what_learns_moves() {
    let data = few().train;
    for part in PARTS {
        for form in [L1Form::Subgradient, L1Form::Proximal, L1Form::TowardsBase] {
            let before = lived(described(10));
            let mut recipe = recipe(part);
            recipe.l1.form = form;
            let after = trained(before.clone(), &data, &recipe);
            let learns = part.nodes(&before.description);
            for (index, p) in before.parameters.iter().enumerate() {
                let same = bits(before.packed(index)) == bits(after.network.packed(index));
                assert_eq!(same, !learns[p.node], "{part}, {form:?}: {}", p.name);
                let still = after.momentum[p.range.clone()].iter().all(|m| m.to_bits() == 0);
                assert_eq!(still, !learns[p.node], "{part}, {form:?}: momentum of {}", p.name);
            }
            for (old, new) in before.buffers.iter().zip(&after.network.buffers) {
                let same = bits(&old.values) == bits(&new.values);
                assert_eq!(same, !learns[old.node], "{part}: {}", old.name);
            }
            assert_eq!(before.masks(), after.network.masks());
        }
    }
}

/// Trains with gradients for all layers, and undoes after each step what moved that must not.
fn full_backward(network: &Network, data: &Dataset, recipe: &Recipe, steps: usize) -> State {
    let all = Recipe { trained: Trained::All, ..recipe.clone() };
    stepped(network, data, &all, steps, Some(&recipe.trained.nodes(&network.description)))
}

fn stepped(
    network: &Network,
    data: &Dataset,
    recipe: &Recipe,
    steps: usize,
    discard: Option<&[bool]>,
) -> State {
    let mut state = State::new(network.clone());
    let mut stepper = Stepper::new(network, 32, recipe, None, Isa::best().into());
    for step in 0..steps {
        let samples = |i: usize| (step * 32 + i) % data.len();
        let labels: Vec<u32> = (0..32).map(|i| data.labels[samples(i)]).collect();
        stepper.learn(&mut state.network, &labels, |i, out| data.read(samples(i), out));
        stepper.update(&mut state.network, &mut state.momentum, 0.1, 1e-3);
        let frozen = |p: &&unlearn::model::Parameter| discard.is_some_and(|all| !all[p.node]);
        for p in network.parameters.iter().filter(frozen) {
            let at = p.range.clone();
            state.network.values[at.clone()].copy_from_slice(&network.values[at.clone()]);
            state.momentum[at].fill(0.0);
        }
    }
    state
}

#[test]
fn steps_end_where_a_full_backward_pass_with_discarded_updates_ends() {
    let data = few().train;
    let network = lived(described(10));
    for part in [Trained::Head, Trained::Last(1), Trained::Last(2), Trained::Last(4)] {
        for form in [L1Form::Subgradient, L1Form::Proximal] {
            let mut recipe = Recipe { frozen_norm: true, ..recipe(part) };
            recipe.l1.form = form;
            let full = full_backward(&network, &data, &recipe, 6);
            let found = stepped(&network, &data, &recipe, 6, None);
            assert_eq!(bits(&found.network.values), bits(&full.network.values), "{part}");
            assert_eq!(bits(&found.momentum), bits(&full.momentum), "{part}");
            assert_eq!(found.network.digest(), full.network.digest(), "{part}");
            assert_ne!(found.network.digest(), network.digest(), "{part} learnt nothing");
        }
    }
}

/// Gradient, from the first weight on, and what became of the network.
fn gradient(network: &Network, plan: Plan) -> (Vec<f32>, Network) {
    let mut network = network.clone();
    let before = plan.untrained();
    let mut engine = Engine::of(plan, Isa::best());
    let mut gradient = vec![0.0; network.values.len() - before];
    let mut stream = Stream::new(11, "batch");
    let description = network.description.clone();
    let len: usize = description.nodes[0].shape.iter().product();
    // Twice, the second time with fewer samples: nothing of the first may be left.
    for samples in [40, 21] {
        let values: Vec<f32> = (0..samples * len).map(|_| stream.unit() as f32).collect();
        let labels: Vec<u32> =
            (0..samples).map(|_| stream.below(description.classes as u64) as u32).collect();
        let fill = |i: usize, out: &mut [f32]| out.copy_from_slice(&values[i * len..][..len]);
        engine.load(&network, samples, fill);
        engine.forward(&mut network);
        gradient.fill(0.0);
        engine.backward(&network, &labels, &mut gradient);
    }
    (vec![0.0; before].into_iter().chain(gradient).collect(), network)
}

/// Holds every number of last layers against gradients for all layers, to the bit.
fn assert_partial(description: &Arc<Description>) {
    let network = lived(description.clone());
    let nodes = &description.nodes;
    let layers = nodes.iter().filter(|n| matches!(n.op, Op::Conv { .. } | Op::Linear { .. }));
    let lasts = (1..=layers.count()).map(Trained::Last);
    for part in lasts.chain([Trained::Head]) {
        let learns = part.nodes(description);
        for mode in [Mode::Train, Mode::Frozen] {
            // All layers have gradients; batch norms take the same statistics.
            let all: Vec<bool> = (0..nodes.len())
                .map(|i| learns[i] || !matches!(nodes[i].op, Op::BatchNorm { .. }))
                .collect();
            let (full, moved) = gradient(&network, Plan::partial(&network, 40, mode, false, &all));
            for again in [false, true] {
                let plan = Plan::partial(&network, 40, mode, again, &learns);
                let (found, same) = gradient(&network, plan);
                for p in network.parameters.iter().filter(|p| learns[p.node]) {
                    let at = p.range.clone();
                    let told =
                        format!("{}, {part}, {mode:?}, {again}: {}", description.name, p.name);
                    assert!(bits(&found[at.clone()]) == bits(&full[at.clone()]), "{told}");
                    assert!(p.range.is_empty() || found[at].iter().any(|&g| g != 0.0), "{told}");
                }
                assert!(same.digest() == moved.digest(), "{part}: other statistics");
            }
        }
    }
}

#[test]
fn gradients_of_what_learns_are_those_of_a_full_backward_pass() {
    for name in ["cnn16", "mlp", "kws-cnn", "kws-dscnn"] {
        assert_partial(&Arc::new(Description::parse(builtin(name).unwrap(), name, 10).unwrap()));
    }
}

fn op(name: &str, kind: &str, from: &str, more: &str) -> String {
    let from = from.replace(' ', "\", \"");
    format!("[[op]]\nname = \"{name}\"\nkind = \"{kind}\"\nfrom = [\"{from}\"]\n{more}\n")
}

fn graph(name: &str, ops: &[String]) -> Arc<Description> {
    let head = format!(
        "name = \"{name}\"\nsummary = \"a graph\"\n[input]\nshape = [3, 8, 6]\nmean = [0.5]\n\
         std = [0.25]\n"
    );
    let text = format!("{head}{}", ops.concat());
    Arc::new(Description::parse(&text, name, 5).unwrap())
}

#[test]
fn gradients_flow_around_what_does_not_learn() {
    let conv = "filters = 4\nkernel = 3\npadding = 1";
    let classes = "outputs = \"classes\"";
    let norm = |name: &str, from: &str| op(name, "batch-norm", from, "");
    // A branch that does not learn joins one that does: with a batch norm in the addition, and bare.
    let joined = [
        op("c1", "conv", "input", conv),
        norm("n1", "c1"),
        op("c2", "conv", "input", conv),
        op("s1", "add", "n1 c2", ""),
        op("r1", "relu", "s1", ""),
        op("c3", "conv", "input", conv),
        op("p3", "max-pool", "c3", "kernel = 3\nstride = 1\npadding = 1"),
        op("s2", "add", "p3 r1", ""),
        op("r2", "relu", "s2", ""),
        op("fc", "linear", "r2", classes),
    ];
    // The other way round, with two batch norms, and readers before and behind.
    let twofold = [
        op("c1", "conv", "input", conv),
        op("r1", "relu", "c1", ""),
        op("c2", "conv", "r1", conv),
        norm("n2", "c2"),
        op("c3", "conv", "r1", conv),
        norm("n3", "c3"),
        op("s1", "add", "n2 n3", ""),
        op("r3", "relu", "s1", ""),
        norm("n4", "r3"),
        op("s2", "add", "n4 r1", ""),
        op("c5", "conv", "s2", conv),
        norm("n5", "c5"),
        op("r5", "relu", "n5", ""),
        op("p5", "max-pool", "r5", "kernel = 2"),
        op("fc", "linear", "p5", classes),
    ];
    // Behind the head, layers that do not learn hand the gradient on.
    let behind = [
        op("c1", "conv", "input", conv),
        norm("n1", "c1"),
        op("r1", "relu", "n1", ""),
        op("fc", "linear", "r1", "outputs = 6\nbias = true"),
        norm("n2", "fc"),
        op("r2", "relu", "n2", ""),
        op("c2", "conv", "r2", "filters = 7\nkernel = 1\nbias = true"),
        norm("n3", "c2"),
        op("r3", "relu", "n3", ""),
        op("c3", "conv", "r3", "filters = 5\nkernel = 1"),
    ];
    for (name, ops) in [("joined", &joined[..]), ("twofold", &twofold), ("behind", &behind)] {
        assert_partial(&graph(name, ops));
    }
}

/// Bytes of a kind.
type Kind = fn(&RunBytes) -> u64;

#[test]
fn fewer_layers_take_less_memory() {
    for name in ["cnn28", "resnet20"] {
        let description = Description::parse(builtin(name).unwrap(), name, 10).unwrap();
        let network = Network::new(Arc::new(description), 1);
        for recompute in [false, true] {
            let compute = Compute { recompute, ..Isa::best().into() };
            let bytes = |trained| {
                let recipe = Recipe { trained, ..Recipe::default() };
                planned(&network, 64, &recipe, compute)
            };
            let [head, two, all] = [Trained::Head, Trained::Last(2), Trained::All].map(bytes);
            let kinds: [(&str, Kind); 4] = [
                ("activations", |run| run.activations),
                ("indices", |run| run.indices),
                ("gradient", |run| run.gradient),
                ("all", RunBytes::total),
            ];
            for (kind, of) in kinds {
                let told = [of(&head), of(&two), of(&all)];
                // A deep network's forward pass, in which tensors die young, is fuller than the
                // backward pass of its last two layers.
                let forward = kind == "activations" && name == "resnet20" && told[0] == told[1];
                let rises = (told[0] < told[1] || forward) && told[1] < told[2];
                assert!(rises, "{name}: {kind} {told:?}");
            }
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let data = few().train;
    for part in PARTS {
        let digest = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trained(lived(described(10)), &data, &recipe(part)).network.digest())
        };
        assert_eq!(digest(1), digest(2), "{part}");
    }
}

/// Stops a run after an epoch.
struct After(usize);

impl Watch for After {
    fn epoch(&mut self, _: &State, report: &EpochReport) -> Result<Control, TrainError> {
        Ok(if report.epoch == self.0 { Control::Stop } else { Control::Continue })
    }
}

#[test]
fn a_run_resumed_after_any_epoch_gives_the_same_bytes() {
    let data = few().train;
    for part in PARTS {
        let recipe = recipe(part);
        let whole = trained(cnn16(1), &data, &recipe);
        for epoch in 1..recipe.epochs {
            let mut state = State::new(cnn16(1));
            run(&mut state, &data, &recipe, None, Isa::best(), &mut After(epoch)).unwrap();
            assert_eq!(state.epoch, epoch);
            run(&mut state, &data, &recipe, None, Isa::best(), &mut Quiet).unwrap();
            assert!(state == whole, "{part}, resumed after epoch {epoch}");
        }
    }
}

#[test]
fn a_method_that_goes_on_from_a_model_can_leave_layers_alone() {
    let method: FineTune = serde_json::from_str(r#"{"trained":"head","epochs":1}"#).unwrap();
    assert_eq!(method.recipe(1).trained, Trained::Head);
    assert!(!serde_json::to_string(&FineTune::default()).unwrap().contains("trained"));
}

#[test]
fn a_grown_head_answers_as_before_for_the_classes_it_had() {
    for name in ["cnn16", "resnet20", "mlp"] {
        let description = Description::parse(builtin(name).unwrap(), name, 10).unwrap();
        let network = lived(Arc::new(description));
        let grown = network.grow_head(13, 7).unwrap();
        assert_eq!((grown.description.classes, network.description.classes), (13, 10));
        assert_eq!(grown.buffers, network.buffers);
        for (index, old) in network.parameters.iter().enumerate() {
            let (own, new) = (network.packed(index), grown.packed(index));
            assert_eq!(bits(own), bits(&new[..own.len()]), "{name}: {}", old.name);
        }
        // In one step or in two.
        let twice = network.grow_head(11, 7).unwrap().grow_head(13, 7).unwrap();
        assert_eq!(twice.digest(), grown.digest());
        assert_eq!(network.grow_head(10, 7).unwrap(), network);
        assert_ne!(network.grow_head(13, 8).unwrap().digest(), grown.digest());
        assert_answers(&network, &grown);
    }
}

fn assert_answers(network: &Network, grown: &Network) {
    let (old, new) = (network.description.classes, grown.description.classes);
    let shape = network.description.input_shape();
    let len: usize = shape.iter().product();
    let mut stream = Stream::new(2, "samples");
    let values: Vec<f32> = (0..20 * len).map(|_| stream.unit() as f32).collect();
    let fill = |i: usize, out: &mut [f32]| out.copy_from_slice(&values[i * len..][..len]);
    for isa in Isa::available() {
        let logits = |network: &Network| {
            let mut network = network.clone();
            let mut engine = Engine::new(&network, 20, Mode::Evaluate, isa);
            engine.load(&network, 20, fill);
            engine.forward(&mut network);
            engine.logits()
        };
        let (before, after) = (logits(network), logits(grown));
        let mut predictors = [network, grown].map(|network| Predictor::new(network, isa));
        for i in 0..20 {
            let (before, after) = (&before[i * old..][..old], &after[i * new..][..new]);
            assert_eq!(bits(before), bits(&after[..old]), "{}", isa.name());
            let [before, after] =
                predictors.each_mut().map(|one| bits(one.logits(|out| fill(i, out))));
            assert_eq!(before, after[..old], "{}", isa.name());
        }
    }
}

#[test]
fn new_rows_of_a_head_exist_and_are_drawn_as_a_fresh_networks() {
    let text = builtin("mlp")
        .unwrap()
        .replace("outputs = \"classes\"", "outputs = \"classes\"\nprunable = true");
    let description = Description::parse(&text, "mlp", 10).unwrap();
    let network = lived(Arc::new(description));
    let grown = network.grow_head(500, 7).unwrap();
    for p in &grown.parameters {
        let old = network.parameters.iter().find(|old| old.name == p.name).unwrap();
        let existing = p.mask.len() - old.mask.len() + old.mask.existing();
        assert_eq!(p.mask.existing(), existing, "{}", p.name);
        let kept: Vec<usize> = p.mask.iter().take_while(|&at| at < old.mask.len()).collect();
        assert_eq!(kept, old.mask.iter().collect::<Vec<_>>(), "{}", p.name);
    }
    let index = grown.parameters.iter().position(|p| p.name == "fc3.weight").unwrap();
    let new = &grown.packed(index)[network.packed(index).len()..];
    assert_eq!(new.len(), 490 * 128);
    let variance = new.iter().map(|w| f64::from(w * w)).sum::<f64>() / new.len() as f64;
    let expected = 2.0 / 128.0;
    assert!((variance / expected - 1.0).abs() < 0.05, "variance {variance}, expected {expected}");
    let bias = &grown.packed(index + 1)[10..];
    let most = 1.0 / 128f32.sqrt();
    assert!(bias.iter().all(|b| b.abs() <= most) && bias.iter().any(|b| b.abs() > 0.9 * most));
}

#[test]
fn a_head_that_cannot_grow_is_refused_and_told_why() {
    let network = cnn16(1);
    let refused = |network: &Network, classes| network.grow_head(classes, 1).unwrap_err();
    let error = refused(&network, 9);
    assert!(matches!(error, GrowError::Fewer { has: 10, asked: 9, .. }), "{error}");
    let error = refused(&network, usize::MAX);
    assert!(matches!(error, GrowError::Describe(_)), "{error}");
    let made = |ops: &[String]| Network::new(graph("odd", ops), 1);
    let convolution = made(&[
        op("fc", "linear", "input", "outputs = 4"),
        op("c", "conv", "fc", "filters = 5\nkernel = 1"),
    ]);
    let error = refused(&convolution, 6);
    assert!(matches!(error, GrowError::NoHead { .. }), "{error}");
    assert!(error.to_string().contains("the convolution `c`"), "{error}");
    // A head of a fixed size, and a description in which more than the head is counted in classes.
    let fixed = made(&[op("fc", "linear", "input", "outputs = 5")]);
    let error = refused(&fixed, 6).to_string();
    assert!(error.contains("outputs = \"classes\""), "{error}");
    let classes = "outputs = \"classes\"";
    for ops in [
        [op("a", "linear", "input", classes), op("fc", "linear", "a", classes)],
        [op("fc", "linear", "input", classes), op("n", "batch-norm", "fc", "")],
    ] {
        let error = refused(&made(&ops), 6);
        assert!(matches!(error, GrowError::NotAlone { .. }), "{error}");
    }
}

#[test]
fn a_run_that_would_train_nothing_is_refused() {
    let bare = graph(
        "bare",
        &[op("c", "conv", "input", "filters = 5\nkernel = 1"), op("p", "global-avg-pool", "c", "")],
    );
    let mut state = State::new(Network::new(bare, 1));
    let recipe = recipe(Trained::Head);
    let error = run(&mut state, &few().train, &recipe, None, Isa::best(), &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("without a linear layer"), "{error}");
    // A plan for it computes a loss and no gradient.
    let nodes = vec![false; state.network.description.nodes.len()];
    let plan = Plan::partial(&state.network, 40, Mode::Train, true, &nodes);
    assert_eq!(plan.untrained(), state.network.values.len());
    assert!(gradient(&state.network, plan).0.iter().all(|&g| g == 0.0));
}

#[test]
fn words_choose_what_learns_and_results_tell() {
    let home = folder();
    let home = home.path();
    let words = "train --model cnn16 --data made --epochs 1 --rewind-epoch 9 --out new.esm";
    let all = json(home, &format!("{words} --dry-run"));
    let head = json(home, &format!("{words} --dry-run --train head"));
    let bytes = |told: &serde_json::Value| told["learning"]["activations"].as_u64().unwrap();
    assert!(bytes(&head) < bytes(&all), "{head} {all}");
    for wrong in ["tail", "last=0", "last=x"] {
        refused(home, &format!("{words} --train {wrong}"), 2, &[wrong, "last=K"]);
    }
    let told = json(home, &format!("{words} --train last=2"));
    assert_eq!(told["recipe"]["trained"]["last"], 2, "{told}");
    let forget = "forget --model base.esm --data made --scenario class=1 --epochs 1 --out f.esm";
    let told = json(home, &format!("{forget} --train head --method fine-tune"));
    assert!(told.to_string().contains(r#""trained":"head""#), "{told}");
    let retrain = format!("{forget} --train head --method retrain");
    refused(home, &retrain, 2, &["--train", "every layer must learn"]);
}
