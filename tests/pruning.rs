//! Defends the choice of masks: a budget keeps what it says, magnitude keeps the largest, a draw is
//! the seed's, patterns hold in every group, filters and channels go whole, rounds remove what they
//! say, and rewinding gives the early weights under the mask or refuses.
//!
//! Remembers: rewinding to a network of the same name and another shape panicked, and one that
//! lacked kept positions was filled up with zeros; early weights of another run were taken for the
//! model's own; a model pruned twice was rewound to weights that it never started from.

mod common;

use common::network::{cnn16, described, digest};
use common::program::{done, folder, json, refused};
use unlearn::base::rng::Stream;
use unlearn::model::{Network, file};
use unlearn::prune::{Allocation, Budget, Criterion, Pattern, PruneError, masks, rewind};
use unlearn::sparse::Mask;

const ALLOCATIONS: [Allocation; 3] = [Allocation::Global, Allocation::Uniform, Allocation::Erk];
const SPARSITIES: [f64; 6] = [0.0, 0.3, 0.5, 0.9, 0.95, 0.999];

/// Weights that exist in prunable parameters, and weights there are.
fn prunable(network: &Network, masks: &[Mask]) -> (usize, usize) {
    let both = network.parameters.iter().zip(masks).filter(|(p, _)| p.prunable);
    both.fold((0, 0), |(kept, all), (_, mask)| (kept + mask.existing(), all + mask.len()))
}

#[test]
fn every_budget_keeps_the_number_it_states_and_touches_nothing_else() {
    let network = cnn16(1);
    let tensors = network.parameters.iter().filter(|p| p.prunable).count();
    for allocation in ALLOCATIONS {
        for criterion in [Criterion::Magnitude, Criterion::Random] {
            for sparsity in SPARSITIES {
                let budget = Budget::new(&network, sparsity, allocation).unwrap();
                let masks = masks(&network, sparsity, allocation, criterion, 1).unwrap();
                let (kept, all) = prunable(&network, &masks);
                let what = format!("{allocation:?} {criterion:?} {sparsity}: {kept} of {all}");
                assert_eq!(kept, budget.total, "{what}");
                let exact = (1.0 - sparsity) * all as f64;
                let rounding = if allocation == Allocation::Global { 1 } else { tensors };
                assert!((kept as f64 - exact).abs() <= 0.5 * rounding as f64, "{what}");
                for ((p, mask), each) in network.parameters.iter().zip(&masks).zip(&budget.each) {
                    assert!(p.prunable || mask.positions().is_none(), "{what}: {}", p.name);
                    assert!(each.is_none_or(|each| each == mask.existing()), "{what}: {}", p.name);
                }
            }
        }
    }
}

#[test]
fn uniform_shares_are_equal_and_erk_shares_follow_the_rule_and_never_exceed_one() {
    let network = cnn16(1);
    for sparsity in SPARSITIES {
        let of = |allocation| {
            let budget = Budget::new(&network, sparsity, allocation).unwrap();
            let each = network.parameters.iter().zip(budget.each);
            each.filter_map(|(p, keep)| Some((p.clone(), keep?))).collect::<Vec<_>>()
        };
        for (p, keep) in of(Allocation::Uniform) {
            let exact = (1.0 - sparsity) * p.mask.len() as f64;
            assert!((keep as f64 - exact).abs() <= 0.5, "{}: {keep}, not {exact}", p.name);
        }
        // Densities of tensors that are not full are in proportion to sum / product of dimensions.
        let scales = of(Allocation::Erk).into_iter().filter_map(|(p, keep)| {
            let (sum, len): (usize, _) = (p.shape.iter().sum(), p.mask.len());
            assert!(keep <= len, "{}: {keep} of {len}", p.name);
            // keep = scale * sum, up to rounding.
            (keep < len)
                .then(|| ((keep as f64 - 0.51) / sum as f64, (keep as f64 + 0.51) / sum as f64))
        });
        let (low, high) =
            scales.fold((0.0f64, f64::MAX), |(low, high), (a, b)| (low.max(a), high.min(b)));
        assert!(low <= high, "sparsity {sparsity}: no one scale, {low} to {high}");
    }
}

#[test]
fn magnitude_keeps_the_largest_and_of_equal_ones_the_earlier() {
    let mut network = cnn16(1);
    // Few different sizes, so that many are equal.
    network.values.iter_mut().for_each(|v| *v = (*v * 20.0).round() / 20.0);
    for (allocation, sparsity) in ALLOCATIONS.into_iter().flat_map(|a| [(a, 0.5), (a, 0.95)]) {
        let masks = masks(&network, sparsity, allocation, Criterion::Magnitude, 1).unwrap();
        let groups: Vec<Vec<usize>> = match allocation {
            Allocation::Global => vec![(0..masks.len()).collect()],
            _ => (0..masks.len()).map(|i| vec![i]).collect(),
        };
        for group in groups {
            let mut all = Vec::new();
            for i in group.into_iter().filter(|&i| network.parameters[i].prunable) {
                let dense = network.dense(i);
                let mut exists = vec![false; dense.len()];
                masks[i].iter().for_each(|p| exists[p] = true);
                all.extend(dense.into_iter().map(f32::abs).zip(exists));
            }
            let kept = all.iter().filter(|(_, exists)| *exists).count();
            // A stable sort, by size alone.
            all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            assert!(all[..kept].iter().all(|(_, exists)| *exists), "{allocation:?} {sparsity}");
        }
    }
}

#[test]
fn a_random_choice_is_the_seeds_and_heeds_no_size() {
    let network = cnn16(1);
    for allocation in ALLOCATIONS {
        let draw = |network: &Network, seed| {
            masks(network, 0.8, allocation, Criterion::Random, seed).unwrap()
        };
        assert_eq!(draw(&network, 7), draw(&network, 7));
        assert_ne!(draw(&network, 7), draw(&network, 8));
        assert_eq!(draw(&network, 7), draw(&cnn16(2), 7), "a draw that looks at weights");
    }
}

#[test]
fn pruning_further_never_brings_a_weight_back() {
    let mut network = cnn16(1);
    for (sparsity, allocation) in
        [(0.5, ALLOCATIONS[1]), (0.8, ALLOCATIONS[0]), (0.9, ALLOCATIONS[2])]
    {
        let before = network.masks();
        let masks = masks(&network, sparsity, allocation, Criterion::Magnitude, 1).unwrap();
        for (after, before) in masks.iter().zip(&before) {
            let mut exists = vec![false; before.len()];
            before.iter().for_each(|p| exists[p] = true);
            assert!(after.iter().all(|p| exists[p]), "{allocation:?} {sparsity}");
        }
        network.set_masks(masks);
    }
}

#[test]
fn rewinding_gives_the_early_weights_under_the_mask() {
    let (early, mut trained) = (cnn16(1), cnn16(1));
    let mut stream = Stream::new(1, "training");
    trained.values.iter_mut().for_each(|v| *v += stream.normal() as f32);
    let masks = masks(&trained, 0.9, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    let rewound = rewind(&early, masks.clone(), "cnn16").unwrap();
    assert_eq!((rewound.masks(), &rewound.buffers), (masks.clone(), &early.buffers));
    for (i, mask) in masks.iter().enumerate() {
        assert_eq!(rewound.packed(i), mask.pack(&early.dense(i)), "{}", early.parameters[i].name);
    }
    // A sparse early network is good where it has what the mask keeps.
    let again = rewind(&rewound, masks, "cnn16").unwrap();
    assert_eq!(digest(&again), digest(&rewound));
}

#[test]
fn rewinding_to_another_network_is_refused() {
    let network = cnn16(1);
    let draw = |network: &Network, seed| {
        masks(network, 0.5, Allocation::Uniform, Criterion::Random, seed).unwrap()
    };
    let other = rewind(&network, draw(&network, 1), "cnn28").unwrap_err();
    assert!(matches!(other, PruneError::OtherNetwork { .. }), "{other}");
    let five = Network::new(described(5), 1);
    let other = rewind(&five, draw(&network, 1), "cnn16").unwrap_err();
    assert!(
        matches!(&other, PruneError::OtherShape { tensor, .. } if tensor == "fc.weight"),
        "{other}"
    );
    // As many weights as the mask keeps, but elsewhere.
    let mut sparse = network.clone();
    sparse.set_masks(draw(&network, 2));
    let other = rewind(&sparse, draw(&network, 1), "cnn16").unwrap_err();
    assert!(matches!(other, PruneError::RewindSparse { .. }), "{other}");
}

#[test]
fn a_sparsity_that_is_no_share_is_refused_with_its_value() {
    for sparsity in [1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let error =
            masks(&cnn16(1), sparsity, Allocation::Global, Criterion::Random, 1).unwrap_err();
        assert!(matches!(error, PruneError::Sparsity { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{sparsity}")), "{error}");
    }
}

#[test]
fn the_early_weights_of_another_run_are_not_taken_for_the_models_own() {
    let home = folder();
    let at = |name: &str| home.path().join(name);
    let train = "train --model cnn16 --data made --epochs 1 --seed 2 --out new.esm";
    done(home.path(), train);
    std::fs::copy(at("base.rewind.esm"), at("new.rewind.esm")).unwrap();
    let prune = "prune --model new.esm --data made --sparsity 0.5 --out out.esm";
    refused(home.path(), prune, 2, &["new.rewind.esm is of another run than new.esm", "--rewind"]);
    done(home.path(), &format!("{prune} --rewind new.rewind.esm --epochs 2"));
}

#[test]
fn rewinding_to_the_start_finds_the_start_through_any_number_of_prunings() {
    let home = folder();
    let prune = |model: &str, words: &str| {
        let words = format!("prune --model {model} --data made --rewind init {words}");
        done(home.path(), &words);
    };
    prune("base.esm", "--sparsity 0.5 --seed 9 --epochs 1 --out once.esm");
    prune("once.esm", "--sparsity 0.8 --epochs 0 --dtype f32 --out twice.esm");
    let twice = file::open(&home.path().join("twice.esm")).unwrap().network;
    let start = rewind(&cnn16(1), twice.masks(), "cnn16").unwrap();
    assert_eq!(twice.values, start.values);
}

#[test]
fn a_pattern_holds_in_every_group_and_keeps_the_largest_of_each() {
    let network = cnn16(1);
    for (n, m) in [(2u8, 4u8), (1, 4), (1, 2), (3, 8), (4, 16)] {
        let pattern = Pattern::new(n, m).unwrap();
        let allocation = Allocation::Pattern(pattern);
        let sparsity = allocation.sparsity().unwrap();
        let masks = masks(&network, sparsity, allocation, Criterion::Magnitude, 1).unwrap();
        let budget = Budget::new(&network, sparsity, allocation).unwrap();
        assert_eq!(prunable(&network, &masks).0, budget.total, "{pattern}");
        let mut cut = 0;
        for (index, (p, mask)) in network.parameters.iter().zip(&masks).enumerate() {
            if !(p.prunable && p.shape[1].is_multiple_of(m.into())) {
                assert_eq!(mask.positions(), None, "{}", p.name);
                continue;
            }
            cut += 1;
            let (dense, inner) = (network.dense(index), p.shape[2..].iter().product::<usize>());
            let mut exists = vec![false; dense.len()];
            mask.iter().for_each(|position| exists[position] = true);
            // Of m neighbours along the input dimension, at one output and one place of the kernel.
            for first in (0..p.shape[0]).flat_map(|o| {
                (0..p.shape[1] / m as usize).flat_map(move |g| {
                    (0..inner).map(move |k| (o * p.shape[1] + g * m as usize) * inner + k)
                })
            }) {
                let group: Vec<usize> = (0..m as usize).map(|i| first + i * inner).collect();
                let kept = group.iter().filter(|&&at| exists[at]).count();
                assert_eq!(kept, usize::from(n), "{pattern} {} at {first}", p.name);
                let (stays, goes): (Vec<usize>, Vec<usize>) =
                    group.iter().partition(|&&at| exists[at]);
                let least = stays.iter().map(|&at| dense[at].abs()).fold(f32::MAX, f32::min);
                assert!(goes.iter().all(|&at| dense[at].abs() <= least), "{pattern} {}", p.name);
            }
        }
        assert!(cut > 0, "{pattern} fits nothing");
    }
    for text in ["2:3", "4:4", "0:4", "2", "a:b", "1:32"] {
        assert!(matches!(Pattern::parse(text), Err(PruneError::Pattern { .. })), "{text}");
    }
    let pattern = Allocation::Pattern(Pattern::new(2, 4).unwrap());
    let error = masks(&network, 0.9, pattern, Criterion::Magnitude, 1).unwrap_err();
    assert!(matches!(error, PruneError::PatternSparsity { .. }), "{error}");
    for criterion in [Criterion::SynFlow, Criterion::FilterL1] {
        let error = masks(&network, 0.5, pattern, criterion, 1).unwrap_err();
        assert!(matches!(error, PruneError::Together { .. }), "{error}");
    }
    let error = masks(&network, 0.5, ALLOCATIONS[0], Criterion::Snip, 1).unwrap_err();
    assert!(matches!(error, PruneError::NoSamples { .. }), "{error}");
}

#[test]
fn filters_and_channels_go_whole_and_the_largest_stay() {
    let network = cnn16(1);
    for (criterion, dimension) in [(Criterion::FilterL1, 0), (Criterion::ChannelL1, 1)] {
        for (allocation, sparsity) in ALLOCATIONS.into_iter().flat_map(|a| [(a, 0.5), (a, 0.95)]) {
            let masks = masks(&network, sparsity, allocation, criterion, 1).unwrap();
            for (index, (p, mask)) in network.parameters.iter().zip(&masks).enumerate() {
                if !p.prunable {
                    assert_eq!(mask.positions(), None, "{}", p.name);
                    continue;
                }
                let (sides, inner) = (p.shape[dimension], p.shape[2..].iter().product::<usize>());
                let side = |at: usize| match dimension {
                    0 => at / inner / p.shape[1],
                    _ => at / inner % p.shape[1],
                };
                let mut norms = vec![(0.0f64, 0usize); sides];
                for (at, value) in network.dense(index).into_iter().enumerate() {
                    norms[side(at)].0 += f64::from(value.abs());
                }
                mask.iter().for_each(|at| norms[side(at)].1 += 1);
                let size = p.mask.len() / sides;
                let what = format!("{criterion:?} {allocation:?} {sparsity} {}", p.name);
                assert!(norms.iter().all(|(_, kept)| *kept == 0 || *kept == size), "{what}");
                let kept = norms.iter().filter(|(_, kept)| *kept > 0).count();
                assert!(kept > 0, "{what}: nothing is left");
                if allocation == Allocation::Uniform {
                    let exact = ((1.0 - sparsity) * sides as f64).max(1.0);
                    assert!((kept as f64 - exact).abs() <= 0.51, "{what}: {kept} of {sides}");
                }
                norms.sort_by(|a, b| b.0.total_cmp(&a.0));
                assert!(norms[..kept].iter().all(|(_, kept)| *kept > 0), "{what}");
            }
            let (kept, all) = prunable(&network, &masks);
            if allocation == Allocation::Global && sparsity == 0.5 {
                assert!(kept as f64 <= 0.5 * all as f64 && kept as f64 > 0.4 * all as f64);
            }
        }
    }
}

#[test]
fn rounds_remove_a_fifth_of_what_is_left_and_go_back_to_the_weights_that_were_asked_for() {
    let home = folder();
    let base = file::open(&home.path().join("base.esm")).unwrap().network;
    let prune = |words: &str| {
        let words = format!("prune --model base.esm --data made --dtype f32 {words} --out p.esm");
        let told = json(home.path(), &words);
        (told, file::open(&home.path().join("p.esm")).unwrap().network)
    };
    // Untrained between, rounds from the model's own weights are one choice.
    let (told, network) = prune("--iterations 3 --rewind last --epochs 0");
    let sparsity = 1.0 - 0.8f64.powi(3);
    assert!((told["sparsity_percent"].as_f64().unwrap() - 100.0 * sparsity).abs() < 0.01, "{told}");
    assert_eq!((&told["iterations"], &told["criterion"]), (&3.into(), &"magnitude".into()));
    let once = masks(&base, sparsity, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    assert_eq!(network.masks(), once);
    assert_eq!(network.values, rewind(&base, once, "cnn16").unwrap().values);
    // Trained between: every round ends, and each but the last is scored as it ended.
    let (told, network) = prune("--iterations 2 --rewind early --sparsity 0.75 --epochs 2");
    assert_eq!(told["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(told["rewind"], "epoch 1");
    assert!((network.sparsity() - 0.75).abs() < 1e-3);
    let first = masks(&base, 0.5, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    assert!(network.masks().iter().zip(&first).all(|(late, early)| {
        let early: Vec<usize> = early.iter().collect();
        late.iter().all(|position| early.binary_search(&position).is_ok())
    }));
}

#[test]
fn criteria_of_the_start_score_and_train_the_initial_weights() {
    let home = folder();
    let start = cnn16(1);
    let prune = |words: &str| {
        let words = format!("prune --model base.esm --data made --dtype f32 --epochs 0 {words}");
        json(home.path(), &format!("{words} --out p.esm"));
        file::open(&home.path().join("p.esm")).unwrap()
    };
    for method in ["snip", "grasp", "synflow"] {
        let file = prune(&format!("--method {method} --sparsity 0.9"));
        assert_eq!(file.facts.get("criterion"), Some(method));
        assert_eq!(file.facts.get("rewind"), Some("its initial weights"));
        let network = file.network;
        assert!((network.sparsity() - 0.9).abs() < 1e-3, "{method}");
        assert_eq!(network.values, rewind(&start, network.masks(), "cnn16").unwrap().values);
        if method == "synflow" {
            let expected = masks(&start, 0.9, Allocation::Global, Criterion::SynFlow, 1).unwrap();
            assert_eq!(network.masks(), expected);
        }
    }
    // Magnitude at the start, and a pattern that needs no share.
    let file = prune("--method magnitude --score start --rewind init --allocation 2:4");
    let pattern = Allocation::Pattern(Pattern::new(2, 4).unwrap());
    let expected = masks(&start, 0.5, pattern, Criterion::Magnitude, 1).unwrap();
    assert_eq!(file.network.masks(), expected);
    for (words, phrases) in [
        ("--method omp", &["--sparsity is missing"][..]),
        ("--method snip --iterations 2 --sparsity 0.5", &["--iterations"]),
        ("--iterations 0 --sparsity 0.5", &["--iterations is 0"]),
        ("--allocation 3:3", &["global, uniform, erk", "2:4"]),
        ("--allocation 2:4 --sparsity 0.9", &["2:4", "0.5", "leave the sparsity out"]),
        ("--allocation 2:4 --method filter-l1", &["filter-l1", "2:4"]),
    ] {
        let words = format!("prune --model base.esm --data made {words} --out out.esm");
        refused(home.path(), &words, 2, phrases);
    }
}
