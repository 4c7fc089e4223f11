use super::*;

#[test]
fn a_curve_is_what_counting_by_hand_gives() {
    // Members 0.9 and 0.4, others 0.4, 0.2 and 0.1: of six pairs five are in order, one is even.
    let scores = [0.9, 0.4, 0.4, 0.2, 0.1];
    let members = [true, true, false, false, false];
    let found = judge(1, &scores, &members, Threshold::Fixed(0.4), 1).unwrap();
    assert_eq!(found.auc.value, 5.5 / 6.0);
    assert_eq!(found.balanced_accuracy.value, 0.5 * (1.0 + 2.0 / 3.0));
    assert_eq!((found.tpr_at_1_percent, found.tpr_at_01_percent), (None, None));
    assert_eq!(found.right_quartiles, [0.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(found.most_exposed[4], Exposed { sample: 2, right: 0.0 });
}

#[test]
fn a_rate_is_told_only_where_there_are_enough_non_members() {
    let truth = |others: usize| (0..others + 50).map(|i| i < 50).collect::<Vec<bool>>();
    // The best other stands above 20 of 50 members, all further ones below all of them.
    let score = |i: usize| {
        if i < 50 {
            50.0 - i as f64
        } else if i == 50 {
            20.5
        } else {
            -(i as f64)
        }
    };
    let judged = |others| {
        let members = truth(others);
        let scores: Vec<f64> = (0..members.len()).map(score).collect();
        judge(1, &scores, &members, Threshold::Fixed(0.0), 1).unwrap()
    };
    assert_eq!(judged(99).tpr_at_1_percent, None);
    let hundred = judged(100);
    assert_eq!(hundred.tpr_at_1_percent.unwrap().value, 1.0);
    assert_eq!(hundred.tpr_at_01_percent, None);
    // One false positive of 1,000 is allowed at 0.1 %, one of 1,999 at 0.05 % would not be.
    assert_eq!(judged(1000).tpr_at_01_percent.unwrap().value, 1.0);
}

#[test]
fn a_wrong_shape_and_what_is_no_number_are_refused() {
    let wrong = Shadows::new(2, 2, vec![0.0; 4], vec![true; 3]).unwrap_err();
    assert!(matches!(wrong, EvaluateError::Matrix { what: "memberships", .. }), "{wrong}");
    let wrong = Shadows::new(1, 2, vec![0.0, f64::NAN], vec![true; 2]).unwrap_err();
    assert!(matches!(wrong, EvaluateError::BadScore { model: 0, sample: 1, .. }), "{wrong}");
    assert!(matches!(Shadows::new(0, 0, vec![], vec![]), Err(EvaluateError::EmptySet { .. })));
    let shadows = Shadows::new(2, 1, vec![1.0, 2.0], vec![true, true]).unwrap();
    let wrong = lira(&[0.0], &shadows, Spread::Pooled).unwrap_err();
    assert!(matches!(wrong, EvaluateError::TooFewShadows { inside: 2, outside: 0, .. }), "{wrong}");
    let wrong = judge(1, &[0.0, 1.0], &[true, true], Threshold::Fixed(0.0), 1).unwrap_err();
    assert!(matches!(wrong, EvaluateError::OneClass { .. }), "{wrong}");
    let wrong = judge(2, &[0.0; 4], &[true, false, false, true], Threshold::Learnt, 1).unwrap_err();
    assert!(matches!(wrong, EvaluateError::ModelCount { models: 2, least: 4 }), "{wrong}");
}

#[test]
fn models_that_are_no_pair_are_refused() {
    let trials = |models: usize, members: Vec<bool>| {
        Trials::new(models, vec![0.0; models], vec![0.5; models], members, vec![0.5; models])
    };
    let paired = vec![true, false, false, true, true, false];
    assert!(trials(6, paired.clone()).is_ok());
    assert!(matches!(trials(5, vec![true; 5]), Err(EvaluateError::ModelCount { models: 5, .. })));
    assert!(matches!(trials(4, paired[..4].to_vec()), Err(EvaluateError::ModelCount { .. })));
    let mut wrong = paired;
    wrong[3] = false;
    let error = trials(6, wrong).unwrap_err();
    assert_eq!(error, EvaluateError::NoPair { first: 2, second: 3, sample: 0 });
}
