//! The classifier behind membership inference gives scikit-learn's answers.
//!
//! Defends the comparability of every MIA figure we print with the paper's. The expected numbers
//! come from `tests/reference/svc.py`, which names the versions it ran under.

use serde::Deserialize;
use unlearn::evaluate::svc::{Params, Svc};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    dims: usize,
    features: Vec<f64>,
    labels: String,
    fits: Vec<Fit>,
}

#[derive(Deserialize)]
struct Fit {
    c: f64,
    gamma: f64,
    support: usize,
    spread: f64,
    decision: Vec<f64>,
    predicted: String,
}

fn bools(bits: &str) -> Vec<bool> {
    bits.bytes().map(|bit| bit == b'1').collect()
}

#[test]
fn every_prediction_equals_that_of_scikit_learn() {
    let reference: Reference =
        serde_json::from_str(include_str!("reference/svc.json")).expect("svc.json is ours");
    let mut compared = 0;
    for case in &reference.cases {
        for fit in &case.fits {
            compare(case, fit);
            compared += fit.decision.len();
        }
    }
    assert!(compared > 2_000, "only {compared} points were compared");
}

fn compare(case: &Case, fit: &Fit) {
    let params = Params { c: fit.c, gamma: fit.gamma, tolerance: 1e-3 };
    let place = format!("{}, C {}, gamma {}", case.name, fit.c, fit.gamma);
    let svc = Svc::fit(&case.features, case.dims, &bools(&case.labels), params).expect(&place);
    let mut furthest = 0f64;
    let expected = fit.decision.iter().zip(bools(&fit.predicted));
    for (sample, (&decision, predicted)) in case.features.chunks(case.dims).zip(expected) {
        furthest = furthest.max((svc.decision(sample) - decision).abs());
        // With and without shrinking, scikit-learn itself may disagree about a sample this near.
        let clear = decision.abs() > fit.spread.max(1e-5);
        assert!(
            svc.predict(sample) == predicted || !clear,
            "{place}: a clear answer, {decision}, came out wrong"
        );
    }
    eprintln!("{place}: furthest {furthest:.1e}, scikit-learn from itself {:.1e}", fit.spread);
    // The JSON holds seven digits; decision values here stay below 10.
    assert!(furthest < 1e-5, "{place}: decision values differ by {furthest}");
    assert!(fit.spread < 2e-2, "{place}: the expected numbers themselves are in doubt");
    assert_eq!(svc.support(), fit.support, "{place}");
}
