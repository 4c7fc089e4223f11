use super::super::settings::{Experiment, Rewind};
use super::*;
use crate::prune::Criterion;
use crate::train::Schedule;
use crate::unlearn::{FineTune, L1Sparse};

const SHORT: &str = r#"
data = "made"
model = "cnn16"
scenarios = ["class=0", "random=0.1"]
masks = ["dense", 0.95, { sparsity = 0.5, criterion = "random", rewind = "init", label = "half" }]
methods = ["fine-tune", { name = "l1-sparse", alpha = 1e-3, epochs = 4, schedule = "multistep" }]

[mask]
rewind = 3
train = { epochs = 9 }

[train]
epochs = 6
schedule = "cosine"
crop = 4
"#;

fn read(text: &str) -> Experiment {
    parse(text, "stem").unwrap_or_else(|(_, why)| panic!("{why}"))
}

#[test]
fn a_short_file_says_what_it_means() {
    let experiment = read(SHORT);
    assert_eq!((experiment.name.as_str(), &experiment.seeds[..]), ("stem", &[1][..]));
    assert_eq!((experiment.data, experiment.models), (vec!["made".into()], vec!["cnn16".into()]));
    let train = &experiment.train;
    assert_eq!((train.epochs, train.batch, train.augment.crop_padding), (6, 128, 4));
    assert_eq!(train.schedule, Schedule::Cosine);
    let labels: Vec<&str> = experiment.masks.iter().map(|mask| mask.label.as_str()).collect();
    assert_eq!(labels, ["dense", "95 %", "half"]);
    let [dense, sparse, half] = &experiment.masks[..] else { panic!() };
    assert!(dense.dense() && dense.recipe == *train);
    assert_eq!((sparse.rewind, sparse.recipe.epochs), (Rewind::Epoch(3), 9));
    assert_eq!(sparse.recipe.augment.crop_padding, 4);
    assert_eq!((half.rewind, half.criterion), (Rewind::Init, Criterion::Random));
    assert_eq!(experiment.methods[0].method, Method::FineTune(FineTune::default()));
    let Method::L1Sparse(L1Sparse { tuning, alpha, .. }) = &experiment.methods[1].method else {
        panic!()
    };
    assert_eq!((tuning.epochs, *alpha), (4, 1e-3));
    assert_eq!(tuning.schedule, Schedule::paper());
}

#[test]
fn what_is_written_out_reads_as_the_same() {
    let grid = SHORT.replace("epochs = 4", "grid = { rate = [0.1, 0.01], alpha = [1e-4] }");
    for text in [SHORT, &grid, &format!("{SHORT}\n[retrain]\nepochs = 2\n")] {
        let experiment = read(text);
        assert_eq!(read(&experiment.text()), experiment, "{}", experiment.text());
    }
}

#[test]
fn a_grid_gives_a_method_for_each_of_its_points() {
    let text = SHORT.replace("epochs = 4", "grid = { rate = [0.1, 0.01], alpha = [1e-4, 1e-5] }");
    let entry = &read(&text).methods[1];
    let told: Vec<String> = entry.candidates.iter().map(|(what, _)| what.to_string()).collect();
    assert_eq!(told[0], r#"{"alpha":0.0001,"rate":0.1}"#);
    assert_eq!(told.len(), 4);
    let Method::L1Sparse(last) = &entry.candidates[3].1 else { panic!() };
    assert_eq!((last.tuning.rate, last.alpha), (0.01, 1e-5));
}

#[test]
fn what_is_not_understood_is_told_where_it_stands() {
    let cases = [
        ("seed = 3\n", "seed", 1, 1),
        ("[train]\nepoch = 3\n", "epoch", 2, 1),
        ("[train]\nepochs = 0\n", "epochs is 0", 1, 1),
        ("seeds = [1, 1]\n", "twice", 1, 9),
        ("masks = [0.5, 1.5]\n", "sparsity is 1.5", 1, 15),
        ("masks = [{ sparsity = 0.5, criterio = \"omp\" }]\n", "criterio", 1, 28),
        ("masks = [{ sparsity = 0.5, rewind = 90 }]\n", "nothing is left to train", 1, 10),
        ("masks = [0.5, 0.5]\n", "two entries are the mask `50 %`", 0, 0),
        ("jobs = 0\n", "`jobs` is 0", 1, 8),
        ("memory = \"5 apples\"\n", "not a size", 1, 10),
    ];
    for (more, phrase, line, column) in cases {
        let base = "data = \"made\"\nmodel = \"cnn16\"\nscenarios = [\"class=0\"]\nmethods = []\n";
        // Tables end the top level: what is of it comes first.
        let (text, shift) = match more.starts_with('[') {
            true => (format!("{base}{more}"), 4),
            false => (format!("{more}{base}"), 0),
        };
        let (span, why) = parse(&text, "stem").unwrap_err();
        assert!(why.contains(phrase), "{more}: {why}");
        if let Some(span) = span.filter(|_| line > 0) {
            let told = format!("line {}, column {column}", line + shift);
            assert_eq!(place(&text, span.start), told, "{more}: {why}");
        }
    }
}

#[test]
fn a_wrong_method_is_told_where_it_stands() {
    let cases = [
        ("\"fine-tun\"", "fine-tun", 12),
        ("{ name = \"l1-sparse\", alhpa = 1e-4 }", "alhpa", 34),
        ("{ name = \"fine-tune\", epochs = 0 }", "epochs is 0", 12),
        ("{ name = \"fine-tune\", grid = { rte = [1] } }", "rte", 43),
        ("{ name = \"fine-tune\", grid = { rate = 1 } }", "table of lists", 50),
        ("{ name = \"retrain\" }", "[retrain]", 21),
        ("{ label = \"x\" }", "a method is a name", 12),
        ("{ name = \"fine-tune\", scenarios = \"class=7\" }", "does not list", 0),
        ("\"fine-tune\", \"fine-tune\"", "two entries are the method", 0),
    ];
    for (method, phrase, column) in cases {
        let text = format!(
            "methods = [{method}]\ndata = \"made\"\nmodel = \"cnn16\"\nscenarios = [\"class=0\"]\n"
        );
        let (span, why) = parse(&text, "stem").unwrap_err();
        assert!(why.contains(phrase), "{method}: {why}");
        match span {
            Some(span) if column > 0 => {
                assert_eq!(place(&text, span.start), format!("line 1, column {column}"), "{why}");
            }
            _ => assert_eq!(column, 0, "{method}: {why}"),
        }
    }
}

#[test]
fn the_papers_word_is_the_papers_schedule() {
    let value = DeValue::parse(MULTISTEP).unwrap();
    let schedule = Schedule::deserialize(ValueDeserializer::from(value)).unwrap();
    assert_eq!(schedule, Schedule::paper());
}
