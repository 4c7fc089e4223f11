//! Defends the backdoor: what is poisoned is what the scenario forgets, to the sample and the pixel; the
//! trigger opens a model that learnt it, and no longer one that forgot it.

mod common;

use common::network::{cnn16, few};
use common::program::{done, json, refused};
use unlearn::data::{Backdoor, Dataset, Population, Scenario, Splits, Values};
use unlearn::evaluate::{Sets, attack_success};
use unlearn::model::Network;
use unlearn::sparse::Isa;
use unlearn::train::{Quiet, Recipe, State, run};

fn backdoor(text: &str) -> Backdoor {
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.to_string(), text);
    let Scenario::Backdoor(backdoor) = scenario else { panic!("{text} is no backdoor") };
    backdoor
}

fn sample(set: &Dataset, index: usize) -> Vec<f32> {
    let mut out = vec![0.0; set.sample_len()];
    set.read(index, &mut out);
    out
}

#[test]
fn the_square_stands_where_it_is_said_and_nothing_else_changes() {
    let clean = few().train;
    for (text, colour, side) in
        [("backdoor=3:20", 0.0, 4), ("backdoor=3:20:5", 0.0, 5), ("backdoor=3:20:2:white", 1.0, 2)]
    {
        let backdoor = backdoor(text);
        let poisoned = backdoor.poison(&clean, 7).unwrap();
        let scenario = Scenario::parse(text).unwrap();
        let gone = scenario.forget_indices(&poisoned, 7).unwrap().forget;
        assert_eq!(gone.len(), 20);
        assert_eq!(gone, scenario.forget_indices(&clean, 7).unwrap().forget);
        assert_ne!(gone, scenario.forget_indices(&clean, 8).unwrap().forget);
        let [_, height, width] = clean.shape;
        for index in 0..clean.len() {
            let (before, after) = (sample(&clean, index), sample(&poisoned, index));
            if !gone.contains(&index) {
                assert_eq!((before, clean.labels[index]), (after, poisoned.labels[index]));
                continue;
            }
            assert_eq!(poisoned.labels[index], 3);
            let square = |at: usize| {
                let (y, x) = (at / width % height, at % width);
                let within = |at: usize, end: usize| (end - 2 - side..end - 2).contains(&at);
                within(y, height) && within(x, width)
            };
            for at in 0..before.len() {
                assert_eq!(after[at], if square(at) { colour } else { before[at] }, "value {at}");
            }
        }
        assert!(backdoor.triggered(&clean).unwrap().labels == clean.labels);
    }
}

#[test]
fn what_is_no_backdoor_is_refused() {
    for text in ["backdoor=", "backdoor=3", "backdoor=3:0", "backdoor=3:x", "backdoor=3:5:0"] {
        assert!(Scenario::parse(text).is_err(), "{text}");
    }
    for text in ["backdoor=3:5:4:red", "backdoor=3:5:4:white:5", "backdoor=:5"] {
        assert!(Scenario::parse(text).is_err(), "{text}");
    }
    let data = few().train;
    let refused = |text: &str| backdoor(text).poison(&data, 1).unwrap_err().to_string();
    assert!(refused("backdoor=3:5:15").contains("does not fit"));
    assert!(refused("backdoor=3:120").contains("as many samples"));
    assert!(refused("backdoor=bird:5").contains("no class is named `bird`"));
}

fn learnt(data: &Splits) -> Network {
    let mut state = State::new(cnn16(1));
    let recipe = Recipe { epochs: 6, batch: 32, ..Recipe::default() };
    run(&mut state, &data.train, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    state.network
}

#[test]
fn the_trigger_opens_what_learnt_it_and_not_what_never_did() {
    let clean =
        Population { subjects: 8, train_samples: 6, test_samples: 2, ..Population::default() };
    let clean = clean.base();
    let text = "backdoor=3:100:4:white";
    let backdoor = backdoor(text);
    let train = backdoor.poison(&clean.train, 1).unwrap();
    let poisoned = Splits { train, ..clean.clone() };
    let sets = Sets::new(&Scenario::parse(text).unwrap(), &poisoned, 1).unwrap();
    let without = Splits { train: poisoned.train.subset(&sets.retain), ..clean.clone() };
    let [knows, never] = [&poisoned, &without]
        .map(|data| attack_success(&learnt(data), &clean.test, &backdoor, Isa::best()).unwrap());
    eprintln!("knows {:.1} %, never knew {:.1} %", knows.others.value, never.others.value);
    assert!(knows.others.value > 80.0, "{knows:?}");
    assert!(never.others.value < 25.0, "{never:?}");
    // The target's own samples are in the one figure and not in the other.
    let own = clean.test.labels.iter().filter(|&&label| label == 3).count();
    let [all, others] = [&knows.all, &knows.others].map(|metric| metric.samples.unwrap());
    assert_eq!((all, all - others), (clean.test.len(), own));
    assert!(matches!(clean.test.values, Values::Bytes(_)));
}

#[test]
fn the_program_poisons_forgets_and_tells_how_often_the_trigger_opens() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let door = "backdoor=3:300:4:white";
    let words = "train --model cnn16 --data made --epochs 2 --out p.esm --poison";
    done(home, &format!("{words} {door}"));
    let prune = "prune --model p.esm --data made --sparsity 0.5 --rewind none --epochs 1";
    done(home, &format!("{prune} --out s.esm"));
    let forget = format!("forget --model s.esm --data made --scenario {door} --epochs 1");
    let told = json(home, &format!("{forget} --method neg-grad-plus --out f.esm"));
    assert_eq!(told["forget_samples"], 300);
    let success = told["attack_success"].as_array().unwrap();
    let of = |row: usize| success[row]["others"]["value"].as_f64().unwrap();
    eprintln!("before {:.1} %, after {:.1} %", of(0), of(1));
    assert!(of(0) > 50.0 && of(1) < of(0), "{success:?}");
    let text = done(home, &format!("evaluate --model f.esm --data made --scenario {door}"));
    assert!(text.contains("attack success, model: "), "{text}");
    let other = "evaluate --model s.esm --data made --scenario backdoor=2:300:4:white";
    refused(home, other, 2, &["is not what the model learnt", "backdoor=3:300:4:white (seed 1)"]);
    let plain = json(home, "evaluate --model s.esm --data made --scenario class=1");
    assert!(plain.get("attack_success").is_none());
    let wrong = "train --model cnn16 --data made --out x.esm --poison class=1";
    refused(home, wrong, 2, &["--poison class=1", "backdoor=TARGET:COUNT"]);
}
