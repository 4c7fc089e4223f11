//! Defends the figures of every membership attack: they are those of scikit-learn and numpy on the same
//! numbers, they are high where membership was planted, and a coin's where there is none.
//!
//! Expected numbers come from `tests/reference/attacks.py`, which names the versions it ran under. Beside
//! them the two measures that are no attacks: how soon a network learns again, and how far weights lie apart.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use unlearn::base::rng::Stream;
use unlearn::data::{Dataset, Population};
use unlearn::evaluate::per_example::{
    Figure, Rmia, Shadows, Spread, Threshold, Trials, judge, lira, rmia,
};
use unlearn::evaluate::{
    Attack, Attacks, EvaluateError, Feature, Halves, Relearning, Scores, Shadow, anamnesis,
    relearn, threshold_attack,
};
use unlearn::model::diff::WeightDistance;
use unlearn::model::{Description, Network, builtin};
use unlearn::sparse::{Isa, Mask};
use unlearn::train::{Quiet, Recipe, State, run};

#[derive(Deserialize)]
struct Reference {
    classifiers: Vec<Classifiers>,
    shadows: Vec<Played>,
}

#[derive(Deserialize)]
struct Classifiers {
    classes: usize,
    sets: BTreeMap<String, Set>,
    efficacy: BTreeMap<String, usize>,
    privacy: BTreeMap<String, [usize; 2]>,
    thresholds: BTreeMap<String, Called>,
}

#[derive(Deserialize)]
struct Set {
    probabilities: Vec<f32>,
    labels: Vec<u32>,
}

#[derive(Deserialize)]
struct Called {
    called: [usize; 3],
    shared: Vec<u32>,
}

#[derive(Deserialize)]
struct Played {
    models: usize,
    samples: usize,
    members: String,
    logits: Vec<f64>,
    confidences: Vec<f64>,
    population: Vec<f64>,
    attacks: BTreeMap<String, Game>,
}

#[derive(Deserialize)]
struct Game {
    scores: Vec<f64>,
    auc: f64,
    tpr_at_1_percent: f64,
    balanced_accuracy_at_0: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/attacks.json")).unwrap()
}

impl Classifiers {
    fn scores(&self, set: &'static str) -> Scores {
        let Set { probabilities, labels } = &self.sets[set];
        Scores::new(set, probabilities.clone(), labels.clone()).unwrap()
    }
}

#[test]
fn efficacy_and_privacy_are_those_of_scikit_learn_by_all_five_features() {
    for case in reference().classifiers {
        let [retain, test, forget] = ["retain", "test", "forget"].map(|set| case.scores(set));
        let halves = Halves::new(Shadow::FirstN, &retain, &test).unwrap();
        assert_eq!(halves.shadow_members.len(), test.len() / 2);
        for feature in Feature::ALL {
            let attack = Attack::released().on(feature);
            let name = feature.name();
            let found = attack.run(&retain, &test, &forget).unwrap();
            assert_eq!(found.non_members, case.efficacy[name], "{} classes, {name}", case.classes);
            let privacy = attack.privacy(&halves).unwrap();
            let hits = [privacy.members[0], privacy.non_members[0]];
            assert_eq!(hits, case.privacy[name], "privacy, {} classes, {name}", case.classes);
            let [low, high] = privacy.interval95;
            assert!((low..=high).contains(&privacy.balanced_accuracy) && high - low < 0.3);
        }
    }
}

#[test]
fn thresholds_are_those_of_trying_every_value() {
    for case in reference().classifiers {
        let [retain, test, forget] = ["retain", "test", "forget"].map(|set| case.scores(set));
        let halves = Halves::new(Shadow::FirstN, &retain, &test).unwrap();
        for feature in &Feature::ALL[..4] {
            let found = threshold_attack(*feature, &halves, &forget).unwrap();
            let expected = &case.thresholds[feature.name()];
            let called = [
                found.members[0],
                found.non_members[1] - found.non_members[0],
                found.forgotten[1] - found.forgotten[0],
            ];
            assert_eq!(called, expected.called, "{} classes, {feature}", case.classes);
            assert_eq!(found.shared, expected.shared, "{} classes, {feature}", case.classes);
        }
        let refused = threshold_attack(Feature::Prob, &halves, &forget).unwrap_err();
        assert!(matches!(refused, EvaluateError::NoThreshold { .. }));
    }
}

#[test]
fn shadow_attacks_are_those_of_numpy() {
    for case in reference().shadows {
        let members: Vec<bool> = case.members.bytes().map(|bit| bit == b'1').collect();
        let trials = Trials::new(
            case.models,
            case.logits.clone(),
            case.confidences.clone(),
            members.clone(),
            case.population.clone(),
        );
        let trials = trials.unwrap();
        assert_eq!(trials.samples(), case.samples);
        for (name, expected) in &case.attacks {
            let scores = match &name[..] {
                "per-example" => trials.lira(Spread::PerExample),
                "pooled" => trials.lira(Spread::Pooled),
                "rmia" => trials.rmia(Rmia::default()),
                _ => trials.rmia(Rmia { gamma: 2.0, offline_a: 0.6 }),
            };
            let scores = scores.unwrap();
            for (at, (found, expected)) in scores.iter().zip(&expected.scores).enumerate() {
                let apart = (found - expected).abs() / expected.abs().max(1.0);
                assert!(apart < 1e-5, "{name}, score {at}: {found}, numpy {expected}");
            }
            let found = judge(case.models, &scores, &members, Threshold::Fixed(0.0), 1).unwrap();
            close(found.auc, expected.auc, name);
            close(found.balanced_accuracy, expected.balanced_accuracy_at_0, name);
            match found.tpr_at_1_percent {
                Some(rate) => close(rate, expected.tpr_at_1_percent, name),
                None => assert!(case.samples < 200),
            }
            assert_eq!(found.tpr_at_01_percent, None);
        }
        // With six or eight models, what is chosen by itself is the pooled variance.
        assert_eq!(trials.lira(Spread::Auto), trials.lira(Spread::Pooled));
    }
}

fn close(found: Figure, expected: f64, what: &str) {
    assert!((found.value - expected).abs() < 1e-9, "{what}: {found:?}, reference {expected}");
    let [low, high] = found.interval95;
    assert!(low <= found.value && found.value <= high, "{what}: {found:?}");
}

/// Trials of `models` models in pairs; what a member says of a sample lies `planted` deviations higher.
fn planted(models: usize, samples: usize, planted: f64, seed: u64) -> Trials {
    let mut stream = Stream::new(seed, "planted");
    let ease: Vec<f64> = (0..samples).map(|_| 2.0 * stream.normal()).collect();
    let mut members: Vec<bool> = Vec::new();
    for _ in 0..models / 2 {
        let mut half: Vec<bool> = (0..samples).map(|sample| sample % 2 == 0).collect();
        stream.shuffle(&mut half);
        members.extend(half.iter().map(|member| !member).chain(half.iter().copied()));
    }
    let logit = |(at, &member): (usize, &bool)| {
        ease[at % samples] + stream.normal() + if member { planted } else { 0.0 }
    };
    let logits: Vec<f64> = members.iter().enumerate().map(logit).collect();
    let share = |logit: &f64| 1.0 / (1.0 + (-logit).exp());
    let confidences = logits.iter().map(share).collect();
    let population = (0..models * 50).map(|_| share(&(2.0 * stream.normal()))).collect();
    Trials::new(models, logits, confidences, members, population).unwrap()
}

#[test]
fn what_was_planted_is_found() {
    let trials = planted(16, 2000, 2.0, 1);
    let found =
        |scores: Vec<f64>, threshold| judge(16, &scores, trials.members(), threshold, 1).unwrap();
    let lira = found(trials.lira(Spread::Auto).unwrap(), Threshold::Fixed(0.0));
    // Two normal distributions two deviations apart, known exactly: AUC 0.921, right on 84.1 %.
    assert!((0.88..0.925).contains(&lira.auc.value), "{lira:?}");
    assert!((0.80..0.845).contains(&lira.balanced_accuracy.value), "{lira:?}");
    let rate = lira.tpr_at_01_percent.unwrap();
    assert!(rate.value > 0.05 && rate.interval95[0] > 0.01, "{lira:?}");
    assert!(lira.right_quartiles[4] == 1.0 && lira.most_exposed.len() == 10, "{lira:?}");
    let rmia = found(trials.rmia(Rmia::default()).unwrap(), Threshold::Learnt);
    assert!(
        rmia.auc.interval95[0] > 0.7 && rmia.balanced_accuracy.interval95[0] > 0.65,
        "{rmia:?}"
    );
    // Each sample by itself finds more than one threshold for all.
    let plain: Vec<f64> = (0..16).flat_map(|model| trials.logits_of(model).to_vec()).collect();
    let plain = found(plain, Threshold::Learnt);
    assert!(plain.auc.value < lira.auc.value - 0.1, "{plain:?}");
}

#[test]
fn where_there_is_nothing_an_attack_is_a_coin() {
    let (mut held, mut sum, rounds) = ([0; 4], [0.0; 4], 60);
    for seed in 0..rounds {
        let trials = planted(6, 60, 0.0, 100 + seed);
        let lira = trials.lira(Spread::PerExample).unwrap();
        let pooled = trials.lira(Spread::Pooled).unwrap();
        let rmia = trials.rmia(Rmia::default()).unwrap();
        let judged = |scores: &[f64], threshold| {
            judge(6, scores, trials.members(), threshold, seed).unwrap()
        };
        let figures = [
            judged(&lira, Threshold::Fixed(0.0)).auc,
            judged(&pooled, Threshold::Fixed(0.0)).balanced_accuracy,
            judged(&rmia, Threshold::Learnt).auc,
            judged(&rmia, Threshold::Learnt).balanced_accuracy,
        ];
        for ((held, sum), Figure { value, interval95: [low, high] }) in
            held.iter_mut().zip(&mut sum).zip(figures)
        {
            *held += usize::from((low..=high).contains(&0.5));
            *sum += value;
        }
    }
    let means = sum.map(|sum| sum / rounds as f64);
    eprintln!("of {rounds} intervals {held:?} hold 0.5; means {means:?}");
    // 95 % of 60 are 57; fewer than 51 have a chance of about 1 in 1,000.
    assert!(held.iter().all(|&held| held >= 51), "{held:?}");
    // A mean of 60 has a deviation of 0.003 to 0.004.
    assert!(means.iter().all(|mean| (mean - 0.5).abs() < 0.015), "{means:?}");
}

#[test]
fn an_attack_on_one_target_needs_models_that_did_not_see_its_samples() {
    let shadows = Shadows::new(2, 1, vec![0.9, 0.8], vec![true, true]).unwrap();
    let refused = rmia(&[0.9], &shadows, &[0.5], &[0.4, 0.6], Rmia::default()).unwrap_err();
    assert!(matches!(refused, EvaluateError::TooFewShadows { outside: 0, .. }), "{refused}");
    let refused = rmia(&[1.5], &shadows, &[0.5], &[0.4, 0.6], Rmia::default()).unwrap_err();
    assert!(matches!(refused, EvaluateError::BadScore { .. }), "{refused}");
    let wrong = Rmia { offline_a: 2.0, ..Rmia::default() };
    let refused = rmia(&[0.9], &shadows, &[0.5], &[0.4, 0.6], wrong).unwrap_err();
    assert!(matches!(refused, EvaluateError::BadSetting { name: "offline_a", .. }), "{refused}");
    let refused = lira(&[0.9, 0.1], &shadows, Spread::Auto).unwrap_err();
    assert!(matches!(refused, EvaluateError::Matrix { .. }), "{refused}");
}

/// Two classes, each sample's true label given a probability between the two shares.
fn spread(set: &'static str, samples: usize, from: f64, to: f64, seed: u64) -> Scores {
    let mut stream = Stream::new(seed, set);
    let labels: Vec<u32> = (0..samples as u32).map(|sample| sample % 2).collect();
    let row = |&label: &u32| {
        let p = stream.between(from, to) as f32;
        if label == 0 { [p, 1.0 - p] } else { [1.0 - p, p] }
    };
    Scores::new(set, labels.iter().flat_map(row).collect(), labels.clone()).unwrap()
}

#[test]
fn all_attacks_of_one_network_see_what_is_there_and_nothing_else() {
    let test = spread("test", 400, 0.2, 1.0, 1);
    let sure = spread("retain", 700, 0.8, 1.0, 2);
    let like = spread("retain", 700, 0.2, 1.0, 3);
    let forgotten = spread("forget", 200, 0.2, 0.7, 4);
    let told = Attacks::run(Attack::paper(1), &sure, &test, &forgotten).unwrap();
    assert_eq!((told.efficacy.len(), told.privacy.len(), told.thresholds.len()), (5, 5, 4));
    assert!(told.efficacy[1].efficacy > 0.95 && told.thresholds[1].efficacy == 1.0, "{told:?}");
    for accuracy in [told.privacy[1].balanced_accuracy, told.thresholds[1].balanced_accuracy] {
        // Three quarters of the test samples lie below every retained one: at best 0.875.
        assert!((0.78..0.94).contains(&accuracy), "{told:?}");
    }
    assert_eq!(told, Attacks::run(Attack::paper(1), &sure, &test, &forgotten).unwrap());
    let coin = Attacks::run(Attack::paper(1), &like, &test, &forgotten).unwrap();
    for privacy in &coin.privacy {
        let [low, high] = privacy.interval95;
        assert!(low < 0.5 && high > 0.5, "{privacy:?}");
    }
    // Half of the shared samples are judged, as many of each class.
    let halves = Halves::new(Shadow::Stratified { seed: 1 }, &like, &test).unwrap();
    let class = |scores: &Scores| scores.labels().iter().filter(|&&label| label == 0).count();
    assert_eq!(halves.target_members.len(), 200);
    assert_eq!([class(&halves.target_members), class(&halves.shadow_non_members)], [100, 100]);
    let one = spread("test", 1, 0.2, 1.0, 1);
    let refused = Halves::new(Shadow::FirstN, &like, &one).unwrap_err();
    assert!(matches!(refused, EvaluateError::TooFewToHalve { test: 1, .. }), "{refused}");
}

fn cnn16(seed: u64) -> Network {
    let description = Description::parse(builtin("cnn16").unwrap(), "cnn16", 10).unwrap();
    Network::new(Arc::new(description), seed)
}

fn learnt(set: &Dataset) -> Network {
    let mut state = State::new(cnn16(1));
    let recipe = Recipe { epochs: 8, batch: 32, rate: 0.05, ..Recipe::default() };
    run(&mut state, set, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    state.network
}

#[test]
fn what_was_hidden_is_learnt_again_sooner_than_what_was_never_known() {
    let data = Population { subjects: 6, ..Population::default() }.base();
    let whose = |own: bool| -> Vec<usize> {
        (0..data.train.len()).filter(|&i| (data.train.subjects[i] == 0) == own).collect()
    };
    let (forget, retain) = (data.train.subset(&whose(true)), data.train.subset(&whose(false)));
    let (original, retrained) = (learnt(&data.train), learnt(&retain));
    // Hidden by turning the head's weights half way to those of the retrained network.
    let mut hidden = original.clone();
    for p in hidden.parameters.iter().filter(|p| p.name.starts_with("fc")) {
        let range = p.range.clone();
        let (own, other) = (&mut hidden.values[range.clone()], &retrained.values[range]);
        own.iter_mut().zip(other).for_each(|(own, other)| *own = 0.5 * (*own + other));
    }
    let settings = Relearning { rate: 0.002, margin: 1.0, orders: 2, ..Relearning::default() };
    let again = |network| {
        relearn(network, &original, &forget, &settings, Isa::best().into(), &|| false).unwrap()
    };
    let [known, hidden, never] = [&original, &hidden, &retrained].map(again);
    assert_eq!((known.mean_steps, known.range), (Some(0.0), Some([0, 0])));
    let (soon, late) = (hidden.mean_steps.unwrap(), never.mean_steps.unwrap());
    assert!(soon < late && late > 2.0 && never.start < never.goal, "{hidden:?} {never:?}");
    assert_eq!(never.runs.len(), 2);
    assert!(never.runs.iter().all(|run| run.after < run.steps.unwrap()), "{never:?}");
    assert_eq!(anamnesis(&hidden, &never), Some(soon / late));
    let one = Relearning { orders: 1, ..settings };
    let one = relearn(&retrained, &original, &forget, &one, Isa::best().into(), &|| false);
    assert_eq!(one.unwrap().runs[..], never.runs[..1]);
    let stopped = relearn(&retrained, &original, &forget, &settings, Isa::best().into(), &|| true);
    assert!(stopped.is_err());
    let short = Relearning { most_steps: 1, ..settings };
    let short = relearn(&retrained, &original, &forget, &short, Isa::best().into(), &|| false);
    assert_eq!(short.unwrap().mean_steps, None);

    let from = WeightDistance::between(&retrained, &original).unwrap();
    let near = WeightDistance::between(&retrained, &retrained).unwrap();
    assert!(near.total.l2() == 0.0 && from.total.l2() > 0.1);
}

#[test]
fn the_distance_of_weights_is_that_of_the_vectors_with_zeros_for_what_was_removed() {
    let (a, mut b) = (cnn16(1), cnn16(2));
    let mut masks = b.masks();
    masks[0] = Mask::from_fn(masks[0].len(), |at| at % 3 > 0);
    b.set_masks(masks);
    let dense = |network: &Network| -> Vec<f64> {
        let mut all = Vec::new();
        for p in &network.parameters {
            let mut values = vec![0.0; p.mask.len()];
            let own = p.mask.iter().zip(&network.values[p.range.clone()]);
            own.for_each(|(at, &value)| values[at] = f64::from(value));
            all.extend(values);
        }
        all
    };
    let (left, right) = (dense(&a), dense(&b));
    let squares = |of: &mut dyn Iterator<Item = f64>| of.map(|v| v * v).sum::<f64>().sqrt();
    let expected = squares(&mut left.iter().zip(&right).map(|(a, b)| a - b));
    let found = WeightDistance::between(&a, &b).unwrap();
    assert!((found.total.l2() - expected).abs() < 1e-9 * expected, "{}", found.total.l2());
    let relative = expected / squares(&mut left.iter().copied());
    assert!((found.total.relative().unwrap() - relative).abs() < 1e-9);
    let layers: f64 = found.layers.iter().map(|layer| layer.distance.l2().powi(2)).sum();
    assert!((layers.sqrt() - expected).abs() < 1e-9 * expected);
    assert_eq!(found.layers[0].layer, "conv1");
    let wider = Description::parse(builtin("cnn28").unwrap(), "cnn28", 10).unwrap();
    assert_eq!(WeightDistance::between(&a, &Network::new(Arc::new(wider), 1)), None);
}
