use super::*;

/// Answers of two models: right in both, in the first alone, in the second alone, in neither.
fn answers([both, lost, gained, neither]: [usize; 4]) -> (Vec<bool>, Vec<bool>) {
    let all =
        [(true, true, both), (true, false, lost), (false, true, gained), (false, false, neither)];
    all.into_iter().flat_map(|(b, a, count)| std::iter::repeat_n((b, a), count)).unzip()
}

#[test]
fn the_paired_interval_is_newcombes() {
    let close = |table, expected: [f64; 2]| {
        let found = paired95(table);
        let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        assert!(off < 5e-5, "{table:?}: {found:?}");
    };
    // The R package contingencytables, Newcombe_square_and_add_CI_paired_2x2.
    close([59, 6, 16, 80], [-0.1186, -0.0046]);
    // Newcombe 1998, example with 50 pairs.
    close([36, 12, 2, 0], [0.0569, 0.3404]);
    // No cell of disagreement: what 54 samples can say.
    let [low, high] = paired95([54, 0, 0, 0]);
    assert!(low < 0.0 && high > 0.0 && (low + high).abs() < 1e-12);
}

#[test]
fn a_drop_within_the_limit_passes_and_says_what_changed() {
    let (before, after) = answers([80, 6, 4, 10]);
    let verdict = retained(&before, &after, 2.0).unwrap();
    assert!(verdict.passed, "exactly the limit: {verdict:?}");
    let drop = verdict.drop;
    assert_eq!((drop.samples, drop.right_before, drop.lost, drop.gained), (100, 86, 6, 4));
    assert!((drop.points - 2.0).abs() < 1e-12);
    assert!(drop.interval95[0] < 0.0 && drop.interval95[1] > 2.0, "{drop:?}");
    assert!(!retained(&before, &after, 1.9).unwrap().passed);
    assert!(retained(&after, &before, 0.0).unwrap().passed, "a rise is no drop");
}

#[test]
fn the_worst_off_subject_comes_first() {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for (subject, table) in
        [(4, [9, 1, 0, 0]), (2, [5, 5, 0, 0]), (9, [0, 1, 0, 1]), (3, [2, 2, 0, 0])]
    {
        let (before, after) = answers(table);
        all.2.extend(vec![subject; before.len()]);
        all.0.extend(before);
        all.1.extend(after);
    }
    let drops = retained_by_subject(&all.0, &all.1, &all.2).unwrap();
    let order: Vec<(u32, usize, usize)> =
        drops.iter().map(|d| (d.subject, d.drop.lost, d.drop.samples)).collect();
    assert_eq!(order, [(2, 5, 10), (3, 2, 4), (9, 1, 2), (4, 1, 10)]);
}

#[test]
fn answers_that_do_not_belong_together_are_refused() {
    assert_eq!(retained(&[], &[], 1.0), Err(EvaluateError::EmptySet { set: "retain" }));
    let unpaired = Err(EvaluateError::Unpaired { set: "retain", first: 1, second: 2 });
    assert_eq!(retained(&[true], &[true, true], 1.0), unpaired);
    assert!(retained_by_subject(&[true], &[true], &[]).is_err());
    assert!(retained_by_subject(&[true], &[], &[1]).is_err());
    for limit in [-0.1, 100.1, f64::NAN] {
        let refused = retained(&[true], &[true], limit);
        assert!(matches!(refused, Err(EvaluateError::BadSetting { name: "limit", .. })));
    }
}
