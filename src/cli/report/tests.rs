use super::*;
use crate::base::rng::Stream;

/// A page with one of everything.
fn sample() -> Page {
    Page::new("What forgetting Ana cost")
        .lead(
            "A sparse network that had learnt 40 people was made to forget one of them. It now \
             answers her samples as a network does that never saw her.",
        )
        .facts(&[
            Fact::new("Unlearning accuracy", "41.7 %", "retrained: 40.2 %"),
            Fact::new("Test accuracy", "93.6 %", "before: 94.1 %"),
            Fact::new("Time", "8.4 s", "retraining: 96 s"),
            Fact::new("File", "212.4 kB", "dense: 4.1 MB"),
        ])
        .section("Against a network trained anew")
        .text("The closest to a retrained network is the best, not the largest number.")
        .table(&table())
        .bars(&bars())
        .section("While forgetting")
        .lines(&lines())
        .histogram(&histogram())
        .decades(&decades())
        .rows(&rows())
        .sketches(&sketches())
        .scatter(&scatter(Across::Names(vec!["dense".into(), "95 %".into()])))
        .scatter(&scatter(Across::Powers))
        .radars(&radars())
        .section("What is left")
        .layers(&layers())
        .pictures(&pictures())
        .gallery(&gallery())
        .code("unlearn demo --out DIR")
        .terms([("UA", "100 minus the accuracy on the forget set")])
        .footer("unlearn 0.1.0, seed 7, data made by the program")
}

fn table() -> Table {
    let row = |name: &str, cells: [&str; 5], look| {
        let mut row: Vec<Cell> = vec![name.into()];
        row.extend(cells[..4].iter().map(|&text| Cell::from(text)));
        row.push(Cell::new(cells[4], look));
        row
    };
    Table {
        title: "Four figures and their average gap".into(),
        note: "Percent. Forget 900, retain 8 100, test 2 000 samples.".into(),
        columns: ["method", "UA", "RA", "TA", "MIA", "average gap"].map(String::from).to_vec(),
        rows: vec![
            row("Retrain", ["33.6", "72.1", "66.7", "37.8", "0.0"], Look::Strong),
            row("Fine-tune", ["25.4", "78.3", "70.6", "23.7", "8.1"], Look::Bad),
            row("l1-sparse", ["25.7", "76.8", "69.3", "24.6", "7.1"], Look::Mark),
            row("Influence", ["26.9", "72.6", "68.2", "30.2", "4.0"], Look::Good),
        ],
    }
}

fn bars() -> Bars {
    let series = |name: &str, values: [f64; 4]| BarSeries {
        name: name.into(),
        bars: values
            .map(|value| Some(Bar { value, interval: Some([value - 3.1, value + 2.9]) }))
            .to_vec(),
    };
    Bars {
        title: "Four figures, method by method".into(),
        note: "Whiskers: 95 % intervals over the choice of samples.".into(),
        axis: "percent".into(),
        groups: ["Retrain", "Fine-tune", "l1-sparse, alpha 5e-4", "Influence unlearning"]
            .map(String::from)
            .to_vec(),
        series: vec![
            series("UA", [33.6, 25.4, 25.7, 26.9]),
            series("RA", [72.1, 78.3, 76.8, 72.6]),
            series("TA", [66.7, 70.6, 69.3, 68.2]),
            series("MIA-efficacy", [37.8, 23.7, 24.6, 30.2]),
        ],
    }
}

fn lines() -> Lines {
    let line = |name: &str, start: f64, end: f64, rate: f64| Line {
        name: name.into(),
        points: (0..=10)
            .map(|epoch| (f64::from(epoch), end + (start - end) * (-rate * f64::from(epoch)).exp()))
            .collect(),
    };
    Lines {
        title: "Accuracy, epoch by epoch".into(),
        note: "l1-sparse fine-tuning, the penalty falling to zero.".into(),
        x: "epoch".into(),
        y: "accuracy, %".into(),
        series: vec![
            line("forget", 99.0, 58.0, 0.5),
            line("retain", 94.0, 98.2, 0.3),
            line("test", 92.0, 93.6, 0.4),
        ],
    }
}

fn histogram() -> Histogram {
    let mut stream = Stream::new(5, "page");
    let mut group = |name: &str, power: f64, samples: usize| Group {
        name: name.into(),
        values: (0..samples).map(|_| 1.0 - stream.unit().powf(power)).collect(),
    };
    Histogram {
        title: "How sure the network is of the true label".into(),
        note: "An attacker sees who was a member where these differ.".into(),
        x: "probability of the true label".into(),
        range: [0.0, 1.0],
        bins: 25,
        groups: vec![group("members", 3.0, 12_000), group("non-members", 1.6, 2_000)],
    }
}

fn decades() -> Decades {
    Decades {
        title: "How far entries moved".into(),
        note: "Entries of parameters.".into(),
        x: "|difference|, logarithmic".into(),
        y: "entries".into(),
        first: -4,
        bins: 2,
        groups: vec![
            ("changed".into(), vec![0, 0, 40, 900, 1300, 200, 10, 0]),
            ("left".into(), vec![0, 0, 0, 10, 200, 30, 0, 0]),
        ],
    }
}

fn rows() -> Rows {
    let row = |name: &str, parts: [f64; 2]| Row {
        name: name.into(),
        parts: parts.to_vec(),
        said: "12 of 20".into(),
    };
    Rows {
        title: "Masks, layer by layer".into(),
        note: "Of the entries that exist in either.".into(),
        axis: "share of the entries, %".into(),
        parts: vec!["in both".into(), "left".into()],
        rows: vec![row("conv1.weight", [90.0, 10.0]), row("conv2.weight", [99.9, 0.1])],
    }
}

fn sketches() -> Sketches {
    let sketch = |phase: f64| Sketch {
        caption: "sample 7".into(),
        curves: (0..3)
            .map(|curve| {
                (0..60).map(|t| (f64::from(t) / 9.0 + phase + f64::from(curve)).sin()).collect()
            })
            .collect(),
    };
    let row =
        |name: &str| SketchRow { name: name.into(), sketches: vec![sketch(0.0), sketch(1.0)] };
    Sketches {
        title: "Some samples".into(),
        note: "Across: time, steps. Up: value.".into(),
        curves: ["x", "y", "z"].map(String::from).to_vec(),
        range: [-1.0, 1.0],
        span: [0.0, 59.0],
        bars: false,
        rows: vec![row("walking"), row("sitting")],
    }
}

fn scatter(across: Across) -> Scatter {
    let cloud = |name: &str, first: f64| Cloud {
        name: name.into(),
        points: vec![(0.0, first), (0.0, first + 2.0), (1.0, first / 2.0), (1.0, f64::NAN)],
        middles: vec![(0.0, first + 1.0), (1.0, first / 2.0)],
    };
    Scatter {
        title: "Average gap against sparsity".into(),
        note: "Filled: mean over seeds.".into(),
        x: "sparsity".into(),
        y: "average gap, points".into(),
        across,
        clouds: (0..7).map(|at| cloud(&format!("method {at}"), 3.0 + f64::from(at))).collect(),
    }
}

fn radars() -> Radars {
    let radar = |name: &str, colour, ua| Radar {
        name: name.into(),
        colour,
        values: vec![ua, 99.0, 92.0, 40.0, 95.0],
        yardstick: vec![33.6, 98.0, 93.0, 37.8, 0.0],
    };
    Radars {
        title: "Each method beside retrain".into(),
        note: String::new(),
        spokes: ["UA %", "RA %", "TA %", "MIA %", "time saved %"].map(String::from).to_vec(),
        yardstick: "retrain".into(),
        radars: vec![radar("Fine-tune", 1, 20.0), radar("l1-sparse", 2, f64::NAN)],
    }
}

fn layers() -> Layers {
    let layer = |name: &str, kept, all| Layer { name: name.into(), kept, all };
    Layers {
        title: "Density, layer by layer".into(),
        note: "Weights that exist, of those that a dense layer of the same shape has.".into(),
        layers: vec![
            layer("conv1.weight", 276, 432),
            layer("layer1.0.conv1.weight", 645, 2_304),
            layer("layer2.0.conv1.weight", 1_112, 4_608),
            layer("layer3.2.conv2.weight", 389, 36_864),
            layer("fc.weight", 650, 650),
        ],
    }
}

fn pictures() -> Pictures {
    let picture = |tilt: usize, channels: usize| Picture {
        caption: format!("sample {tilt}"),
        shape: [channels, 24, 24],
        pixels: (0..channels * 576)
            .map(|at| ((at % 24 * tilt + at / 24 * (9 - tilt) + at / 576 * 80) % 256) as u8)
            .collect(),
    };
    Pictures {
        title: "Samples that were forgotten".into(),
        note: "The first of 900.".into(),
        pictures: (1..8).map(|tilt| picture(tilt, if tilt % 2 == 0 { 3 } else { 1 })).collect(),
    }
}

fn gallery() -> Gallery {
    let row = |name: &str, marked| GalleryRow {
        name: name.into(),
        marked,
        pictures: pictures().pictures,
    };
    Gallery {
        title: "What two people write".into(),
        note: String::new(),
        columns: (1..8).map(|column| column.to_string()).collect(),
        rows: vec![row("Ana", true), row("Ben", false)],
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let html = sample().html();
    for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!html.contains(outside), "the page holds `{outside}`");
    }
    // For looking at: `UNLEARN_PAGE=page.html cargo test --lib report`.
    if let Some(path) = std::env::var_os("UNLEARN_PAGE") {
        std::fs::write(path, &html).unwrap();
    }
}

#[test]
fn every_tag_is_closed() {
    let html = sample().html();
    let after = &html[html.find("<body>").unwrap()..];
    for tag in ["main", "figure", "svg", "g", "table", "tr", "td", "div", "ul", "li", "text", "dl"]
    {
        let open =
            after.matches(&format!("<{tag} ")).count() + after.matches(&format!("<{tag}>")).count();
        assert_eq!(open, after.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn text_from_outside_stays_text() {
    let evil = "<script>alert(1)</script>\" onload='x' &\u{0}";
    let row = vec![Cell::from(evil)];
    let table = Table { columns: vec![evil.into()], rows: vec![row], ..table() };
    let mut bars = bars();
    (bars.title, bars.groups[0], bars.series[0].name) = (evil.into(), evil.into(), evil.into());
    let mut lines = lines();
    (lines.title, lines.x, lines.series[0].name) = (evil.into(), evil.into(), evil.into());
    let mut layers = layers();
    layers.layers[0].name = evil.into();
    let mut pictures = pictures();
    pictures.pictures[0].caption = evil.into();
    let mut gallery = gallery();
    (gallery.columns[0], gallery.rows[0].name) = (evil.into(), evil.into());
    gallery.rows[0].pictures[0].caption = evil.into();
    let mut histogram = histogram();
    histogram.groups[0].name = evil.into();
    let (mut decades, mut rows) = (decades(), rows());
    (decades.x, decades.groups[0].0) = (evil.into(), evil.into());
    (rows.axis, rows.parts[0]) = (evil.into(), evil.into());
    (rows.rows[0].name, rows.rows[0].said) = (evil.into(), evil.into());
    let page = Page::new(evil).lead(evil).section(evil).text(evil).footer(evil);
    let page = page.facts(&[Fact::new(evil, evil, evil)]).table(&table).bars(&bars).lines(&lines);
    let page = page.gallery(&gallery).code(evil).terms([(evil, evil)]);
    let mut sketches = sketches();
    (sketches.curves[0], sketches.rows[0].name) = (evil.into(), evil.into());
    sketches.rows[0].sketches[0].caption = evil.into();
    let page = page.decades(&decades).rows(&rows).sketches(&sketches);
    let names = Across::Names(vec![evil.into()]);
    let (mut scatter, mut radars) = (scatter(names), radars());
    (scatter.title, scatter.x, scatter.clouds[0].name) = (evil.into(), evil.into(), evil.into());
    (radars.spokes[0], radars.radars[0].name) = (evil.into(), evil.into());
    radars.yardstick = evil.into();
    let page = page.scatter(&scatter).radars(&radars);
    let html = page.histogram(&histogram).layers(&layers).pictures(&pictures).html();
    assert!(!html.contains("<script") && !html.contains("onload='") && !html.contains('\u{0}'));
    assert!(!html.contains("\" onload"));
}

#[test]
fn what_was_not_measured_leaves_a_gap_and_no_nan() {
    let mut bars = bars();
    bars.series[0].bars[1] = None;
    bars.series[1].bars[0] = Some(Bar { value: f64::NAN, interval: None });
    let mut lines = lines();
    lines.series[0].points[3].1 = f64::NAN;
    let nothing = Page::new("").bars(&Bars::default()).lines(&Lines::default());
    let nothing = nothing.histogram(&Histogram::default()).layers(&Layers::default());
    let nothing = nothing.decades(&Decades::default()).rows(&Rows::default());
    let nothing = nothing.sketches(&Sketches::default()).scatter(&Scatter::default());
    let nothing = nothing.radars(&Radars::default());
    let some = Page::new("").bars(&bars).lines(&lines).scatter(&scatter(Across::Powers));
    for html in [some.radars(&radars()).html(), nothing.html()] {
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}

#[test]
fn numbers_read_well() {
    let told = [number(1234.0, 0), number(12_345.678, 1), number(-0.04, 1), number(-2.5, 1)];
    assert_eq!(told, ["1234", "12\u{202f}345.7", "0.0", "−2.5"]);
    assert_eq!(number(f64::NAN, 2), "–");
}
