use std::path::PathBuf;

use serde_json::json;

use super::super::super::evaluate::{Judged, Row};
use super::*;
use crate::data::Population;
use crate::evaluate::{Feature, Measured, Membership, Metric, Report};
use crate::sparse::Isa;
use crate::train::{EpochReport, Phases};

/// What a person of bad intent calls themselves.
const EVIL: &str = "<script>alert(1)</script>\" onload='x";

/// A model with its four figures, in hits of 80, and the seconds that it took.
fn row(name: &str, hits: [usize; 4], seconds: f64) -> Row {
    let metric = |hits| Some(Metric::share(hits, 80, "some", "a share"));
    let membership = Membership {
        feature: Feature::Confidence,
        efficacy: hits[3] as f64 / 80.0,
        interval95: [0.0, 1.0],
        non_members: hits[3],
        samples: 80,
        shadow_members: 80,
        shadow_non_members: 80,
        shadow_accuracy: 0.55,
    };
    let report = Report {
        ua: metric(hits[0]),
        ra: metric(hits[1]),
        ta: metric(hits[2]),
        va: None,
        mia_efficacy: metric(hits[3]),
        rte: None,
    };
    let confidences = vec![0.5; 80];
    let measured = Measured {
        report: report.seconds(seconds),
        membership,
        forget_confidences: confidences.clone(),
        test_confidences: confidences,
    };
    let judged = Judged { measured, bytes: 13_000, sparsity: 0.95, id: "0123456789abcdef".into() };
    Row::new(name, &PathBuf::from(format!("/somewhere/private/{name}.esm")), judged)
}

fn chapter(who: &str, rows: Vec<Row>) -> Chapter {
    let epoch = EpochReport {
        epoch: 1,
        loss: 0.5,
        accuracy: 80.0,
        rate: 0.1,
        gamma: 0.0,
        at_centre: 0,
        seconds: 0.1,
        phase_seconds: Phases::default(),
    };
    Chapter {
        who: who.into(),
        sizes: [80, 80, 80],
        how: vec![json!({ "rate": 0.3f32, "l1": { "alpha": 0.0 } }); rows.len()],
        learnt: vec![vec![epoch]; rows.len()],
        promises: vec!["approximate"; rows.len()],
        before: 0,
        rows,
    }
}

/// A story in which the second way of forgetting is as near as `hits` says.
fn rows(hits: [usize; 4], seconds: f64) -> Vec<Row> {
    vec![
        row("knows", [0, 80, 76, 2], 1.0),
        row("fine-tune", [18, 80, 76, 28], 0.5),
        row("l1-sparse", hits, seconds),
        row("retrain", [24, 80, 76, 34], 2.0),
    ]
}

fn html(first: &Chapter, second: &Chapter) -> String {
    let small = Population { subjects: 2, household: 2, train_samples: 1, ..Population::default() };
    let (mut base, household) = (small.base(), small.household());
    base.train.subject_names[0] = first.who.clone();
    let description = setting::describe("cnn16", base.train.classes.len()).unwrap();
    let network = Network::new(description.clone(), 1);
    let cast = Cast {
        base,
        household,
        description,
        folder: PathBuf::from("/somewhere/private"),
        person: first.who.clone(),
        member: second.who.clone(),
        seed: 1,
        compute: Isa::best().into(),
        fallen: None,
    };
    let (base, bytes) = (&network, [138_600, 13_000]);
    Told { cast: &cast, first, second, base, bytes, seconds: 9.0 }.page().html()
}

#[test]
fn the_page_holds_both_stories_and_nothing_from_elsewhere() {
    let first = chapter(EVIL, rows([25, 80, 76, 34], 0.6));
    let second = chapter("h1", rows([25, 80, 76, 34], 0.6));
    let html = html(&first, &second);
    for outside in ["http:", "https:", "<script", "<link", "@import", "url(", "onload='"] {
        assert!(!html.contains(outside), "the page holds `{outside}`");
    }
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert_eq!(html.matches("<b>What is left of").count(), 3, "two tables and the layers");
    assert_eq!(html.matches("(the yardstick)").count(), 2);
    assert!(!html.contains("/somewhere"), "a mailed page tells nothing of the machine");
    assert!(!html.contains("NaN") && !html.contains("inf "));
    assert!(html.contains("rate 0.3") && !html.contains("l1 (alpha"));
}

#[test]
fn the_verdict_follows_the_figures() {
    let told = |rows| Reading::new(&chapter("p1", rows)).verdict();
    let wins = told(rows([25, 80, 76, 34], 0.6));
    assert!(wins.contains("Nearest to retrain is l1-sparse"), "{wins}");
    assert!(
        wins.contains("Fastest: fine-tune with") && wins.contains("4.0 times as long"),
        "{wins}"
    );

    let close = told(rows([25, 80, 76, 34], 0.52));
    assert!(close.contains("Fastest: fine-tune and l1-sparse with"), "{close}");

    let loses = told(rows([2, 80, 76, 4], 0.6));
    assert!(loses.contains("Nearest to retrain is fine-tune"), "{loses}");
    assert!(
        loses.contains("l1-sparse, the method that this program is built around, does not win")
    );

    let mut slow = rows([25, 80, 76, 34], 3.0);
    slow.remove(1);
    assert!(told(slow).contains("The yardstick itself was fastest"));

    let mut kept = rows([0, 80, 76, 2], 0.6);
    kept.remove(1);
    assert!(told(kept).contains("nothing was forgotten"));

    let mut half = rows([6, 80, 76, 8], 0.6);
    half.remove(1);
    assert!(told(half).contains("not forgetting yet"));
}

#[test]
fn a_figure_that_was_not_measured_is_not_told() {
    let mut rows = rows([25, 80, 76, 34], 0.6);
    for row in &mut rows {
        row.judged.measured.report.mia_efficacy = None;
        row.judged.measured.report.rte = None;
    }
    let first = chapter("p1", rows);
    assert!(Reading::new(&first).nearest().is_none());
    assert!(!html(&first, &first).contains("NaN"));
}

#[test]
fn people_on_whom_the_settings_were_chosen_are_named() {
    let page = |who| {
        let first = chapter(who, rows([25, 80, 76, 34], 0.6));
        html(&first, &chapter("h3", rows([25, 80, 76, 34], 0.6)))
    };
    assert!(page("p11").contains("other people than those shown"));
    assert!(page("p03").contains("Among them: p03"));
}
