use super::*;

fn one(row: [f32; 3], label: u32) -> Scores {
    Scores::new("made", row.to_vec(), vec![label]).unwrap()
}

#[test]
fn features_are_what_their_formulas_say() {
    let scores = one([0.7, 0.2, 0.1], 1);
    let value = |feature: Feature| feature.of(&scores).0;
    let close = |feature: Feature, expected: f64| {
        let found = value(feature)[0];
        assert!((found - expected).abs() < 1e-6, "{feature}: {found}, by hand {expected}");
    };
    let ln = |p: f64| p.ln();
    close(Feature::Correctness, 0.0);
    close(Feature::Confidence, 0.2);
    close(Feature::Entropy, -(0.7 * ln(0.7) + 0.2 * ln(0.2) + 0.1 * ln(0.1)));
    close(Feature::MEntropy, -(0.8 * ln(0.2) + 0.7 * ln(0.3) + 0.1 * ln(0.9)));
    // Only class 1 occurs in the set, so only its column is turned.
    close(Feature::MEntropyReleased, -(0.7 * ln(0.7) + 0.8 * ln(0.2) + 0.1 * ln(0.1)));
    assert_eq!(value(Feature::Prob).len(), 3);
}

#[test]
fn certainty_gives_finite_features() {
    for label in 0..3 {
        let scores = one([1.0, 0.0, 0.0], label);
        for feature in Feature::ALL.into_iter().chain([Feature::MEntropyReleased]) {
            let (values, _) = feature.of(&scores);
            assert!(values.iter().all(|value| value.is_finite()), "{feature} {label}: {values:?}");
        }
    }
    let (value, _) = Feature::MEntropy.of(&one([1.0, 0.0, 0.0], 0));
    assert_eq!(value, [0.0]);
}

#[test]
fn an_attack_is_fixed_by_its_seed() {
    let row = |i: usize| [0.5 + 0.4 * ((i * 37 % 101) as f32 / 101.0), 0.0];
    let set = |from: usize, to: usize| {
        let rows = (from..to).flat_map(|i| [row(i)[0], 1.0 - row(i)[0]]).collect();
        Scores::new("made", rows, vec![0; to - from]).unwrap()
    };
    let (retain, test, forget) = (set(0, 300), set(300, 360), set(400, 450));
    let run = |seed| Attack::paper(seed).run(&retain, &test, &forget).unwrap();
    assert_eq!(run(1), run(1));
    let drawn = |seed| Shadow::Stratified { seed }.draw(&retain, &test).unwrap().0;
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn a_failure_names_the_attack() {
    let two = |p: f32| Scores::new("made", vec![p, 1.0 - p], vec![0]).unwrap();
    let attack = Attack { c: -1.0, ..Attack::paper(1) };
    let error = attack.run(&two(0.9), &two(0.1), &two(0.5)).unwrap_err();
    assert_eq!(error.to_string(), "membership attack `confidence`");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "c is -1: expected a finite number above 0");
    let three = one([0.2, 0.3, 0.5], 0);
    let error = Attack::paper(1).run(&two(0.9), &two(0.1), &three).unwrap_err();
    assert!(matches!(error, EvaluateError::ClassesDiffer { set: "retain", .. }));
}
