use super::*;

fn told(trained: (&[f64], &[f64]), held: (&[f64], &[f64])) -> Evidence {
    let (trained, held) = (pairs(trained.0, trained.1), pairs(held.0, held.1));
    Equivalence::default().of_confidences(trained, held).unwrap()
}

fn pairs<'a>(candidate: &'a [f64], ancestor: &'a [f64]) -> Pairs<'a, f64> {
    Pairs { candidate, ancestor }
}

#[test]
fn the_normal_distribution_is_the_normal_distribution() {
    // scipy 1.17.1, norm.cdf.
    for (x, expected) in [
        (0.0, 0.5),
        (0.5, 0.691_462_461_274_013_1),
        (1.0, 0.841_344_746_068_542_9),
        (-1.5, 0.066_807_201_268_858_07),
        (2.5, 0.993_790_334_674_223_8),
        (-4.0, 3.167_124_183_311_986e-5),
        (9.0, 1.0),
    ] {
        assert!((normal_cdf(x) - expected).abs() < 1e-14, "{x}: {}", normal_cdf(x));
    }
}

#[test]
fn models_that_answer_alike_pass_where_there_are_enough_samples() {
    let same = vec![0.9; 200];
    let evidence = told((&same, &same), (&same[..50], &same[..50]));
    assert_eq!((evidence.verdict, evidence.doubt), (Verdict::Passed, None));
    assert_eq!((evidence.estimate, evidence.power), (Some(0.0), Some(1.0)));
    let [low, high] = evidence.interval.unwrap();
    // 1 - 0.05^(1/50) and 1 - 0.05^(1/200), as the legs of a right angle.
    assert!((high - 0.060_0).abs() < 1e-3 && (low + high).abs() < 1e-8, "{low} to {high}");
}

#[test]
fn a_few_samples_never_pass_and_say_so() {
    let same = vec![0.9; 20];
    let evidence = told((&same, &same), (&same[..5], &same[..5]));
    assert_eq!((evidence.verdict, evidence.power), (Verdict::Inconclusive, Some(0.0)));
    let doubt = evidence.doubt.unwrap();
    assert!(matches!(doubt, Doubt::CannotPass { .. }), "{doubt}");
    assert!(doubt.to_string().contains("0.472"), "{doubt}");

    let evidence = told((&same, &same), (&same[..1], &same[..1]));
    assert_eq!(evidence.doubt, Some(Doubt::TooFew { trained: 20, held: 1, least: 2 }));
    assert_eq!((evidence.estimate, evidence.power), (None, None));
    let json = serde_json::to_value(evidence).unwrap();
    assert_eq!(
        (&json["verdict"], &json["doubt"]["kind"]),
        (&"inconclusive".into(), &"too-few".into())
    );
    assert_eq!(json.get("estimate"), None, "what was not measured is not printed");
    assert_eq!(serde_json::from_value::<Evidence>(json).unwrap(), evidence);
}

#[test]
fn a_leak_fails_in_either_direction_and_a_shift_of_all_samples_is_none() {
    let (low, high) = (vec![0.5; 100], vec![0.9; 100]);
    let known = told((&high, &low), (&low, &low));
    assert_eq!(known.verdict, Verdict::Failed);
    let shunned = told((&low, &high), (&high, &high));
    assert_eq!(shunned.verdict, Verdict::Failed);
    assert!((known.estimate.unwrap() - 0.4).abs() < 1e-12);
    assert!((shunned.estimate.unwrap() + 0.4).abs() < 1e-12);
    assert_eq!(told((&high, &low), (&high, &low)).verdict, Verdict::Passed);
}

#[test]
fn what_is_no_probability_or_no_pair_is_refused() {
    let test = Equivalence::default();
    let fine = [0.5, 0.5];
    let refused = test.of_confidences(pairs(&fine, &[0.5]), pairs(&fine, &fine));
    let expected = EvaluateError::Unpaired { set: "trained", first: 2, second: 1 };
    assert_eq!(refused.unwrap_err(), expected);
    for value in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        let wrong = [0.5, value];
        let refused = test.of_confidences(pairs(&fine, &fine), pairs(&wrong, &fine));
        assert!(matches!(refused, Err(EvaluateError::NoShare { set: "held-out", sample: 1, .. })));
    }
    for (margin, alpha) in [(0.0, 0.05), (1.0, 0.05), (0.1, 0.0), (0.1, 0.5), (f64::NAN, 0.05)] {
        let refused =
            Equivalence { margin, alpha }.of_confidences(pairs(&fine, &fine), pairs(&fine, &fine));
        assert!(matches!(refused, Err(EvaluateError::BadSetting { .. })), "{margin}, {alpha}");
    }
    // A softmax in `f32` may round to a little above 1.
    assert!(test.of_confidences(pairs(&[1.000_000_1, 0.5], &fine), pairs(&fine, &fine)).is_ok());
}

#[test]
fn wrong_answers_are_tested_by_the_same_rule() {
    let wrong = |wrong: usize, of: usize| (0..of).map(|i| i < wrong).collect::<Vec<bool>>();
    let (few, many, held) = (wrong(2, 100), wrong(60, 100), wrong(50, 100));
    let test = |candidate: &[bool], ancestor: &[bool]| {
        let trained = Pairs { candidate, ancestor };
        Equivalence::default().of_errors(trained, Pairs { candidate: &held, ancestor: &held })
    };
    let leak = test(&few, &many).unwrap();
    assert_eq!((leak.candidate.value, leak.ancestor.value), (2.0, 60.0));
    assert!(leak.candidate.interval95.unwrap()[0] > 0.0);
    assert_eq!(leak.difference.verdict, Verdict::Failed);
    assert!((leak.difference.estimate.unwrap() + 0.58).abs() < 1e-12);
    assert_eq!(test(&many, &many).unwrap().difference.verdict, Verdict::Passed);
}

#[test]
fn what_was_recorded_at_once_counts_once() {
    let means = group_means("trained", &[0.2, 1.0, 0.4, 0.5], &[7, 3, 7, 3]).unwrap();
    assert!((means[0] - 0.75).abs() < 1e-12 && (means[1] - 0.3).abs() < 1e-12, "{means:?}");
    assert!(group_means("trained", &[0.2], &[]).is_err());
}
