use super::*;

fn scores(correct: usize, samples: usize) -> Scores {
    let rows = (0..samples).flat_map(|i| if i < correct { [0.8f32, 0.2] } else { [0.3, 0.7] });
    Scores::new("made", rows.collect(), vec![0; samples]).unwrap()
}

fn full(wrong: usize) -> Report {
    let forget = scores(10 - wrong, 10);
    Report::new().forget(&forget).retain(&scores(9, 10)).test(&scores(8, 10)).seconds(1.5)
}

#[test]
fn the_interval_is_wilsons() {
    // statsmodels 0.15.0, proportion_confint(hits, samples, method="wilson").
    let close = |found: [f64; 2], expected: [f64; 2]| {
        assert!((found[0] - expected[0]).abs() < 1e-6, "{found:?}");
        assert!((found[1] - expected[1]).abs() < 1e-6, "{found:?}");
    };
    close(wilson95(0, 10), [0.0, 0.277_532_8]);
    close(wilson95(10, 10), [0.722_467_2, 1.0]);
    close(wilson95(252, 900), [0.251_648_5, 0.310_221_6]);
}

#[test]
fn a_report_serialises_under_stable_keys_and_comes_back() {
    let report = full(10);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["ua"]["value"], 100.0);
    assert_eq!(json["ua"]["unit"], "percent");
    assert_eq!(json["ua"]["of"], "forget");
    assert_eq!(json["ua"]["samples"], 10);
    assert_eq!(json["ua"]["interval95"][1], 100.0);
    assert_eq!(json["rte"]["unit"], "seconds");
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ua", "ra", "ta", "rte"], "what was not measured is not printed");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn the_average_gap_needs_all_four_figures() {
    let gap = full(4).gap(&full(1));
    assert!((gap.ua.unwrap() - 30.0).abs() < 1e-12);
    assert_eq!((gap.ra, gap.ta, gap.mia_efficacy, gap.average), (Some(0.0), Some(0.0), None, None));

    let with_mia = |mut report: Report, hits| {
        report.mia_efficacy = Some(Metric::share(hits, 10, "forget", "made"));
        report
    };
    let gap = with_mia(full(4), 7).gap(&with_mia(full(1), 6));
    assert!((gap.average.unwrap() - (30.0 + 0.0 + 0.0 + 10.0) / 4.0).abs() < 1e-12);
}

#[test]
fn a_figure_that_cannot_be_is_refused() {
    assert!(full(1).check().is_ok());
    assert!(matches!(
        full(1).seconds(f64::NAN).check(),
        Err(EvaluateError::BadFigure { metric: "rte", .. })
    ));
    let mut report = full(1);
    report.ra.as_mut().unwrap().value = 100.1;
    assert!(matches!(report.check(), Err(EvaluateError::BadFigure { metric: "ra", .. })));
}
