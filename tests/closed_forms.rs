//! Defends what is computed from gradients in closed form: scores that choose masks, and methods of
//! forgetting. Each is held against a slow dense reference in f64 that builds it from its definition.

#[path = "common/dense.rs"]
mod dense;

use std::sync::Arc;

use dense::{CLASSES, Dense, made, off, small};
use unlearn::base::rng::Stream;
use unlearn::data::{Augment, Dataset, Reading, open_source};
use unlearn::evaluate::{Attack, Scores};
use unlearn::exchange::import_safetensors;
use unlearn::model::{Mode, Network, ParamKind};
use unlearn::prune::{Allocation, Choice, Criterion, Samples};
use unlearn::sparse::Isa;
use unlearn::train::{Control, Progress, Quiet, Watch, score};
use unlearn::unlearn::{Fisher, Given, Influence, Labels, Method, Ssd, forget};

/// The scores of a criterion over all of `data`.
fn scores(criterion: Criterion, network: &Network, data: &Dataset) -> Vec<f32> {
    let fill = |i: usize, out: &mut [f32]| data.read(i, out);
    let samples = Some(Samples { labels: &data.labels, fill: &fill });
    let (sparsity, allocation) = (0.5, Allocation::Global);
    let choice = Choice { sparsity, allocation, criterion, seed: 1, samples, isa: Isa::best() };
    choice.scores(network).unwrap()
}

fn all(data: &Dataset) -> Vec<usize> {
    (0..data.len()).collect()
}

#[test]
fn snip_is_weight_times_gradient() {
    for sparse in [false, true] {
        let network = small(1, sparse);
        let data = made(&network, 30, 2);
        let g = Dense::of(&network).loss_gradient(&data, &all(&data), None, 1.0, Mode::Train);
        let expected: Vec<f64> =
            g.iter().zip(&network.values).map(|(g, &w)| (g * f64::from(w)).abs()).collect();
        let found = off(&scores(Criterion::Snip, &network, &data), &expected);
        assert!(found < 1e-4, "{found}");
    }
}

#[test]
fn grasp_is_weight_times_hessian_times_gradient_and_what_raises_the_flow_goes() {
    let network = small(3, true);
    let data = made(&network, 30, 4);
    let values: Vec<f64> = network.values.iter().map(|&v| v.into()).collect();
    let gradient = |values: &[f64]| {
        let dense = Dense::at(&network, values);
        let mut g = dense.loss_gradient(&data, &all(&data), None, 200.0, Mode::Train);
        for p in network.parameters.iter().filter(|p| p.kind != ParamKind::Weight) {
            g[p.range.clone()].fill(0.0);
        }
        g
    };
    let g = gradient(&values);
    // The stated step: rectifiers that change sides within it are part of the score.
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let step = 1e-3 * norm(&values) / norm(&g);
    let moved = |sign: f64| {
        let moved: Vec<f64> = values.iter().zip(&g).map(|(w, g)| w + sign * step * g).collect();
        gradient(&moved)
    };
    let (ahead, behind) = (moved(1.0), moved(-1.0));
    let expected: Vec<f64> =
        (0..g.len()).map(|i| values[i] * (ahead[i] - behind[i]) / (2.0 * step)).collect();
    let found = scores(Criterion::Grasp, &network, &data);
    let weights = network.parameters.iter().filter(|p| p.kind == ParamKind::Weight);
    for p in weights {
        let range = p.range.clone();
        let off = off(&found[range.clone()], &expected[range]);
        assert!(off < 0.02, "{}: {off}", p.name);
    }
    // Of the squared norm of the gradient, to first order: -2 w (H g) comes of removing w.
    let flow = |g: &[f64]| g.iter().map(|g| g * g).sum::<f64>();
    let most = network.parameters.iter().filter(|p| p.prunable).flat_map(|p| p.range.clone());
    let worst = most.min_by(|&a, &b| found[a].total_cmp(&found[b])).unwrap();
    let mut less = values.clone();
    less[worst] *= 0.99;
    assert!(found[worst] < 0.0 && flow(&gradient(&less)) > flow(&g));
}

/// One round of SynFlow from its definition.
fn synflow(network: &Network) -> Vec<f64> {
    let mut linear = network.clone();
    let mut description = (*network.description).clone();
    description.mean.fill(0.0);
    description.std.fill(1.0);
    linear.description = Arc::new(description);
    linear.values.iter_mut().for_each(|v| *v = v.abs());
    for (i, buffer) in linear.buffers.iter_mut().enumerate() {
        buffer.values.fill((i % 2) as f32);
    }
    let mut ones = made(network, 1, 1);
    ones.values = unlearn::data::Values::Floats(vec![1.0; ones.sample_len()]);
    let dense = Dense::of(&linear);
    let flow = dense.logits(&ones, &[0], Mode::Evaluate).sum_all().unwrap();
    let g = dense.gradient_of(&flow);
    g.iter().zip(&linear.values).map(|(g, &w)| g * f64::from(w)).collect()
}

#[test]
fn synflow_is_the_flow_through_a_weight_at_any_scale() {
    let mut network = small(5, true);
    let data = made(&network, 3, 6);
    // As many decades as a hundred layers have, in the three that are here: beyond f32.
    for growth in [1.0, 1e9, 1e16] {
        let weights = network.parameters.iter().filter(|p| p.kind == ParamKind::Weight);
        let ranges: Vec<_> = weights.map(|p| p.range.clone()).collect();
        let mut grown = network.clone();
        for range in ranges {
            grown.values[range].iter_mut().for_each(|v| *v *= growth);
        }
        let expected = synflow(&grown);
        let found = scores(Criterion::SynFlow, &grown, &data);
        let weights: Vec<usize> = (0..network.parameters.len())
            .filter(|&i| network.parameters[i].kind == ParamKind::Weight)
            .flat_map(|i| network.parameters[i].range.clone())
            .collect();
        // Up to one factor, a power of 2.
        let most = weights.iter().copied().max_by(|&a, &b| expected[a].total_cmp(&expected[b]));
        let factor = f64::from(found[most.unwrap()]) / expected[most.unwrap()];
        let power = factor.log2();
        assert!((power - power.round()).abs() < 1e-4, "2^{power}");
        for &i in &weights {
            let (found, expected) = (f64::from(found[i]), factor * expected[i]);
            assert!((found - expected).abs() <= 1e-4 * expected, "{found} and {expected}");
        }
    }
    // A flow beyond f32 at every scale is told, not scored.
    network.values.iter_mut().for_each(|v| *v *= 1e30);
    let choice = Choice {
        sparsity: 0.5,
        allocation: Allocation::Global,
        criterion: Criterion::SynFlow,
        seed: 1,
        samples: None,
        isa: Isa::best(),
    };
    let error = choice.masks(&network).unwrap_err().to_string();
    assert!(error.contains("small") && error.contains("32-bit"), "{error}");
}

#[test]
fn synflow_removes_by_rounds_and_leaves_every_layer_something() {
    let network = small(7, false);
    let masks = unlearn::prune::masks(&network, 0.97, Allocation::Global, Criterion::SynFlow, 1);
    let masks = masks.unwrap();
    let mut by_hand = network.clone();
    for round in 1..=100 {
        let expected = synflow(&by_hand);
        let left = 0.03f64.powf(f64::from(round) / 100.0);
        let prunable = || (0..masks.len()).filter(|&i| network.parameters[i].prunable);
        let all: usize = prunable().map(|i| masks[i].len()).sum();
        let mut entries: Vec<(usize, usize)> = prunable()
            .flat_map(|i| by_hand.parameters[i].range.clone().map(move |entry| (i, entry)))
            .collect();
        entries.sort_by(|a, b| expected[b.1].total_cmp(&expected[a.1]));
        entries.truncate((left * all as f64).round() as usize);
        let narrowed = (0..masks.len()).map(|i| {
            let range = by_hand.parameters[i].range.clone();
            if !by_hand.parameters[i].prunable {
                return by_hand.parameters[i].mask.clone();
            }
            let mut kept: Vec<usize> =
                entries.iter().filter(|e| e.0 == i).map(|e| e.1 - range.start).collect();
            kept.sort_unstable();
            by_hand.parameters[i].mask.narrow(&kept)
        });
        let narrowed = narrowed.collect();
        by_hand.set_masks(narrowed);
    }
    assert_eq!(masks, by_hand.masks());
    assert!(masks.iter().all(|mask| mask.existing() > 0), "a layer that lost all");
}

const SEED: u64 = 9;

fn given<'a>(retain: &'a Dataset, forget: &'a Dataset) -> Given<'a> {
    Given { retain, forget: Some(forget), base: None }
}

fn forgotten(method: &Method, network: &Network, given: Given<'_>) -> Network {
    let augment = Augment::default();
    let outcome = forget(method, network, given, augment, SEED, Isa::best(), &mut Quiet).unwrap();
    assert!(outcome.complete && outcome.epochs.is_empty() && outcome.dropped == 0);
    assert_eq!(outcome.network.masks(), network.masks(), "a mask moved");
    assert_eq!(outcome.network.buffers, network.buffers, "a running statistic moved");
    outcome.network
}

/// The gradient of the loss of one sample as if it had `label`.
fn one(network: &Network, data: &Dataset, index: usize, label: Option<u32>) -> Vec<f64> {
    Dense::of(network).loss_gradient(data, &[index], label, 1.0, Mode::Frozen)
}

/// The probabilities of all samples, row-major.
fn probabilities(network: &Network, data: &Dataset) -> Vec<f64> {
    let logits = Dense::of(network).logits(data, &all(data), Mode::Frozen);
    let rows: Vec<Vec<f64>> = logits.to_vec2().unwrap();
    let shares = rows.iter().flat_map(|row| {
        let total: f64 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(move |logit| logit.exp() / total).collect::<Vec<_>>()
    });
    shares.collect()
}

/// The diagonal of the Fisher information from its definition.
fn information(network: &Network, data: &Dataset, labels: Labels) -> Vec<f64> {
    let p = probabilities(network, data);
    let mut sum = vec![0.0; network.values.len()];
    for index in 0..data.len() {
        let asked: Vec<(Option<u32>, f64)> = match labels {
            Labels::True => vec![(None, 1.0)],
            Labels::Expected => {
                (0..CLASSES).map(|y| (Some(y as u32), p[index * CLASSES + y])).collect()
            }
        };
        for (label, p) in asked {
            let g = one(network, data, index, label);
            sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += p * g * g / data.len() as f64);
        }
    }
    sum
}

/// The deviations of the noise that a method put on `before`, and the draws that it was made of.
fn deviations(before: &[f32], after: &Network) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    for p in &after.parameters {
        let mut stream = Stream::new(SEED, &format!("fisher/{}", p.name));
        for (was, is) in before[p.range.clone()].iter().zip(&after.values[p.range.clone()]) {
            let draw = stream.normal();
            found.push(((f64::from(*is) - f64::from(*was)) / draw, draw));
        }
    }
    found
}

#[test]
fn fisher_noise_has_the_variance_of_the_information_of_single_samples() {
    let network = small(11, true);
    let data = made(&network, 24, 12);
    for labels in [Labels::Expected, Labels::True] {
        let fisher = Fisher { alpha: 1e-2, labels, draws: 0, limit: 1e6, ..Fisher::default() };
        let after = forgotten(&Method::Fisher(fisher), &network, Given::only(&data));
        let expected = information(&network, &data, labels);
        let found = deviations(&network.values, &after);
        for (f, (found, draw)) in expected.iter().zip(found) {
            let expected = (1e-2 * (1.0 / (f + 1e-8)).min(1e6)).sqrt();
            // A small draw is lost in the rounding of the weight.
            let allowed = 1e-3 * expected + 1e-6 / draw.abs();
            assert!((found - expected).abs() < allowed, "{labels:?}: {found}, not {expected}");
        }
    }
}

#[test]
fn signs_give_the_same_information_on_average() {
    let network = small(13, false);
    let data = made(&network, 40, 14);
    for labels in [Labels::Expected, Labels::True] {
        let noisy = |draws| {
            let fisher = Fisher { alpha: 1.0, labels, draws, limit: 1e6, ..Fisher::default() };
            deviations(
                &network.values,
                &forgotten(&Method::Fisher(fisher), &network, Given::only(&data)),
            )
        };
        let (exact, signs) = (noisy(0), noisy(300));
        let ratios: Vec<f64> =
            exact.iter().zip(&signs).map(|((e, _), (s, _))| (s / e).powi(2)).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "{labels:?}: {mean} of the exact variance");
        assert!(ratios.iter().all(|ratio| (0.6..1.7).contains(ratio)), "{labels:?}");
    }
}

#[test]
fn a_class_of_which_nothing_is_kept_is_drawn_anew_in_the_head_alone() {
    let network = small(15, false);
    let data = made(&network, 30, 16);
    let kept: Vec<usize> = all(&data).into_iter().filter(|&i| data.labels[i] != 1).collect();
    let retain = data.subset(&kept);
    let fisher = Fisher { alpha: 1e-12, draws: 1, ..Fisher::default() };
    let after = forgotten(&Method::Fisher(fisher), &network, Given::only(&retain));
    for (index, p) in network.parameters.iter().enumerate() {
        let head = ["fc.weight", "fc.bias"].contains(&p.name.as_str());
        let row = p.mask.len() / p.shape[0];
        let mut stream = Stream::new(SEED, &format!("fisher/{}", p.name));
        let both = network.packed(index).iter().zip(after.packed(index)).enumerate();
        for (place, (was, is)) in both {
            let draw = stream.normal();
            if head && place / row == 1 {
                assert_eq!(*is, (1e-2 * draw) as f32, "{}", p.name);
            } else {
                assert!((was - is).abs() < 1e-3, "{}: {was} became {is}", p.name);
            }
        }
    }
}

#[test]
fn the_released_fisher_forms_have_their_constants() {
    let network = small(17, false);
    let data = made(&network, 30, 18);
    // One batch: squares of its mean gradient for each label, by the label's mean probability.
    let p = probabilities(&network, &data);
    let mut batched = vec![0.0; network.values.len()];
    for label in 0..CLASSES {
        let share = (0..30).map(|i| p[i * CLASSES + label]).sum::<f64>() / 30.0;
        let dense = Dense::of(&network);
        let g = dense.loss_gradient(&data, &all(&data), Some(label as u32), 1.0, Mode::Frozen);
        batched.iter_mut().zip(g).for_each(|(sum, g)| *sum += share * g * g);
    }
    let single = information(&network, &data, Labels::True);
    for (labels, alpha) in [(Labels::Expected, 1e-3f64), (Labels::True, 1e-8)] {
        let fisher = Fisher { alpha: alpha as f32, labels, compat: true, ..Fisher::default() };
        let after = forgotten(&Method::Fisher(fisher), &network, Given::only(&data));
        let found = deviations(&network.values, &after);
        for p in &network.parameters {
            let head = p.name.starts_with("fc.");
            let expected: Vec<f64> = match labels {
                Labels::Expected => {
                    let most = if head { 1e2 } else { 1e3 };
                    let f = &batched[p.range.clone()];
                    let mut all: Vec<f64> =
                        f.iter().map(|f| alpha * (1.0 / (f + 1e-8)).min(most)).collect();
                    if p.shape.len() > 1 {
                        let inner: usize = p.shape[2..].iter().product();
                        let of = |o: usize, i: usize, k: usize| (o * p.shape[1] + i) * inner + k;
                        let means: Vec<f64> = (0..all.len())
                            .map(|at| {
                                let (o, k) = (at / inner / p.shape[1], at % inner);
                                (0..p.shape[1]).map(|i| all[of(o, i, k)]).sum::<f64>()
                                    / p.shape[1] as f64
                            })
                            .collect();
                        all = means;
                    }
                    let factor = if head || p.shape.len() == 1 { 10.0 } else { 1.0 };
                    all.iter().map(|variance| (factor * variance).sqrt()).collect()
                }
                Labels::True => {
                    let factor = if *p.shape.last().unwrap() == CLASSES { 10.0 } else { 1.0 };
                    let f = &single[p.range.clone()];
                    f.iter().map(|f| factor * (alpha / f).sqrt().min(1e-3)).collect()
                }
            };
            for ((found, draw), expected) in found[p.range.clone()].iter().zip(expected) {
                let allowed = 2e-3 * expected + 3e-7 / draw.abs();
                assert!((found - expected).abs() < allowed, "{}: {found}, not {expected}", p.name);
            }
        }
    }
}

/// Solves `matrix x = right` by elimination.
fn solved(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let count = right.len();
    for column in 0..count {
        let size = |row: &usize| matrix[*row][column].abs();
        let pivot = (column..count).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap();
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..count {
            let factor = matrix[row][column] / matrix[column][column];
            let above = matrix[column].clone();
            matrix[row].iter_mut().zip(above).for_each(|(a, b)| *a -= factor * b);
            right[row] -= factor * right[column];
        }
    }
    for row in (0..count).rev() {
        let sum: f64 = (row + 1..count).map(|k| matrix[row][k] * right[k]).sum();
        right[row] = (right[row] - sum) / matrix[row][row];
    }
    right
}

/// `v` of influence unlearning from its definition.
fn direction(network: &Network, retain: &Dataset, gone: &Dataset) -> Vec<f64> {
    let mean = |data: &Dataset| {
        Dense::of(network).loss_gradient(data, &all(data), None, 1.0, Mode::Frozen)
    };
    let (forget, kept) = (mean(gone), mean(retain));
    let share = gone.len() as f64 / (gone.len() + retain.len()) as f64;
    forget.iter().zip(kept).map(|(f, r)| share * (f - r)).collect()
}

/// The step of a method, as it can be told from weights that it made large.
fn step(method: Influence, network: &Network, retain: &Dataset, gone: &Dataset) -> Vec<f32> {
    let alpha = f64::from(method.alpha);
    let after = forgotten(&Method::Influence(method), network, given(retain, gone));
    let both = network.values.iter().zip(&after.values);
    both.map(|(was, is)| ((f64::from(*is) - f64::from(*was)) / alpha) as f32).collect()
}

#[test]
fn influence_is_the_damped_inverse_curvature_times_the_direction() {
    let network = small(19, true);
    let (retain, gone) = (made(&network, 20, 20), made(&network, 7, 21));
    let v = direction(&network, &retain, &gone);
    for damping in [1.0, 0.01] {
        let mut curvature = vec![vec![0.0; v.len()]; v.len()];
        for index in 0..retain.len() {
            let g = one(&network, &retain, index, None);
            for (row, a) in curvature.iter_mut().zip(&g) {
                row.iter_mut().zip(&g).for_each(|(sum, b)| *sum += a * b / 20.0);
            }
        }
        (0..v.len()).for_each(|i| curvature[i][i] += damping);
        let expected = solved(curvature, v.clone());
        // As many samples as there are, with room for all columns and for one at a time.
        let damping = damping as f32;
        let method = Influence { alpha: 1e4, damping, samples: 99, ..Influence::default() };
        let found = step(method.clone(), &network, &retain, &gone);
        assert!(off(&found, &expected) < 1e-4, "{damping}: {}", off(&found, &expected));
        if damping == 1.0 {
            let tight = Influence { store_mib: 0, ..method };
            let again = step(tight, &network, &retain, &gone);
            assert!(off(&again, &expected) < 1e-4, "{}", off(&again, &expected));
        }
    }
}

#[test]
fn the_released_influence_never_leaves_the_direction_of_the_first_sample() {
    let network = small(23, true);
    let (retain, gone) = (made(&network, 20, 24), made(&network, 7, 25));
    let v = direction(&network, &retain, &gone);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let first = one(&network, &retain, 0, None);
    // The recursion reads two samples more than it counts.
    for (samples, read) in [(5usize, 7), (1000, 20)] {
        let (mut k, mut o) = (v.clone(), first.clone());
        for index in 1..read {
            let g = one(&network, &retain, index, None);
            let (along, share) = (dot(&o, &g), dot(&k, &g));
            let (n, old) = (samples as f64, o.clone());
            k.iter_mut().zip(&old).for_each(|(k, o)| *k -= share / (n + along) * o);
            o.iter_mut().zip(&old).for_each(|(new, o)| *new -= along / (n + along) * o);
        }
        let method = Influence { alpha: 1e4, samples, compat: true, ..Influence::default() };
        let found = step(method, &network, &retain, &gone);
        assert!(off(&found, &k) < 1e-5, "{}", off(&found, &k));
        let rest: Vec<f64> = v.iter().zip(&found).map(|(v, &k)| v - f64::from(k)).collect();
        let cosine = dot(&rest, &first) / (dot(&rest, &rest) * dot(&first, &first)).sqrt();
        assert!(cosine.abs() > 0.99, "{cosine}");
    }
}

#[test]
fn ssd_damps_what_matters_to_the_forgotten_and_leaves_every_other_bit() {
    let network = small(27, true);
    let data = made(&network, 45, 28);
    let part = |of: &dyn Fn(u32) -> bool| {
        let kept: Vec<usize> = all(&data).into_iter().filter(|&i| of(data.labels[i])).collect();
        data.subset(&kept)
    };
    let (gone, retain) = (part(&|label| label == 2), part(&|label| label != 2));
    let ssd = Ssd { select: 1.3, damp: 0.9, draws: 0 };
    let after = forgotten(&Method::Ssd(ssd), &network, given(&retain, &gone));
    let (forget, kept) =
        (information(&network, &gone, Labels::True), information(&network, &retain, Labels::True));
    let mut chosen = 0;
    for (i, (was, is)) in network.values.iter().zip(&after.values).enumerate() {
        let of_all = (forget[i] + 2.0 * kept[i]) / 3.0;
        let times = forget[i] / of_all;
        if (times - 1.3).abs() < 1e-3 {
            continue;
        }
        if times > 1.3 {
            chosen += 1;
            let expected = f64::from(*was) * (0.9 / times).min(1.0);
            assert!((f64::from(*is) - expected).abs() <= 1e-3 * expected.abs(), "{is}, {expected}");
        } else {
            assert_eq!(was.to_bits(), is.to_bits(), "weight {i}");
        }
    }
    assert!((5..network.values.len() / 2).contains(&chosen), "{chosen} chosen");
}

fn closed_forms() -> [Method; 6] {
    let compat = Influence { compat: true, ..Influence::default() };
    [
        Method::Fisher(Fisher::default()),
        Method::Fisher(Fisher { compat: true, ..Fisher::default() }),
        Method::Influence(Influence::default()),
        Method::Influence(compat),
        Method::Ssd(Ssd { select: 1.5, ..Ssd::default() }),
        Method::Ssd(Ssd { select: 1.5, draws: 0, ..Ssd::default() }),
    ]
}

#[test]
fn closed_forms_give_the_same_bytes_for_any_number_of_threads_and_stop_when_told() {
    struct Impatient;
    impl Watch for Impatient {
        fn batch(&mut self, _: Progress) -> Control {
            Control::Stop
        }
    }
    let network = small(29, true);
    let (retain, gone) = (made(&network, 40, 30), made(&network, 9, 31));
    for method in closed_forms() {
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| forgotten(&method, &network, given(&retain, &gone)).digest())
        };
        assert_eq!(of(1), of(3), "{method:?}");
        assert_ne!(of(1), network.digest(), "{method:?} changed nothing");
        let (given, augment) = (given(&retain, &gone), Augment::default());
        let stopped =
            forget(&method, &network, given, augment, SEED, Isa::best(), &mut Impatient).unwrap();
        assert!(!stopped.complete && stopped.network == network, "{method:?}");
    }
}

#[test]
fn what_a_closed_form_cannot_do_is_refused() {
    let network = small(33, false);
    let (data, other) = (made(&network, 6, 34), made(&network, 6, 35));
    let refused = |method: Method, given: Given<'_>| {
        let augment = Augment::default();
        let error = forget(&method, &network, given, augment, 1, Isa::best(), &mut Quiet);
        error.unwrap_err().to_string()
    };
    for name in ["influence", "ssd"] {
        let error = refused(Method::named(name).unwrap(), Given::only(&data));
        assert!(error.contains("`forget` is missing"), "{error}");
    }
    let wrong = |method, word: &str| {
        let error = refused(method, given(&data, &other));
        assert!(error.contains(word), "{error}");
    };
    wrong(Method::Fisher(Fisher { alpha: -1.0, ..Fisher::default() }), "`alpha` is -1");
    wrong(Method::Influence(Influence { samples: 0, ..Influence::default() }), "`samples` is 0");
    wrong(Method::Influence(Influence { damping: 0.0, ..Influence::default() }), "`damping`");
    let far = Influence { alpha: 3e38, damping: 1e-6, ..Influence::default() };
    wrong(Method::Influence(far), "not finite");
    wrong(Method::Ssd(Ssd { damp: f32::NAN, ..Ssd::default() }), "`damp` is NaN");
}

/// The reference's trained network under its own figures of IU: minutes, and data that is not here.
/// `UNLEARN_REFERENCE=... UNLEARN_DATA=... cargo test --test closed_forms -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes, and needs UNLEARN_REFERENCE and UNLEARN_DATA"]
fn influence_from_the_references_checkpoint_gives_the_references_figures() {
    let folder = |name: &str| std::path::PathBuf::from(std::env::var_os(name).unwrap());
    let vectors = folder("UNLEARN_REFERENCE").join("vectors");
    let data = folder("UNLEARN_DATA");
    let data = open_source("cifar10", Some(&data), &Reading::default()).unwrap();
    let bytes = std::fs::read(vectors.join("s1_dense.safetensors")).unwrap();
    let network = import_safetensors(&bytes, &Default::default()).unwrap().network;
    let text = std::fs::read_to_string(vectors.join("s1_split.json")).unwrap();
    let split: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |name: &str| -> Vec<usize> {
        split[name].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect()
    };
    let (gone, validation) = (list("forget_class0"), list("val"));
    let kept: Vec<usize> = (0..data.train.len())
        .filter(|index| !gone.contains(index) && !validation.contains(index))
        .collect();
    let tested: Vec<usize> = (0..data.test.len()).filter(|&i| data.test.labels[i] != 0).collect();
    let (retain, forget) = (data.train.subset(&kept), data.train.subset(&gone));
    let told = |network: &Network| {
        let isa = Isa::best();
        let scores = |name, set: &Dataset, indices: &[usize]| {
            let rows = score(network, set, indices, isa).unwrap();
            let labels = indices.iter().map(|&index| set.labels[index]).collect();
            Scores::new(name, rows, labels).unwrap()
        };
        let (gone, test) =
            (scores("forget", &forget, &all(&forget)), scores("test", &data.test, &tested));
        let retain = scores("retain", &retain, &all(&retain));
        let mia = Attack::released().run(&retain, &test, &gone).unwrap();
        let right = |scores: &Scores| 100.0 * scores.correct() as f64 / scores.len() as f64;
        [100.0 - right(&gone), right(&retain), right(&test), 100.0 * mia.efficacy]
    };
    // UA, TA and MIA-E of the table, and how far off each may be: a few samples.
    for (alpha, [ua, ta, mia]) in [(0.02, [38.67, 69.39, 43.22]), (0.1, [87.67, 61.89, 82.00])] {
        let method = Influence { alpha, compat: true, ..Influence::default() };
        let after = forgotten(&Method::Influence(method), &network, given(&retain, &forget));
        let found = told(&after);
        eprintln!(
            "alpha {alpha}: UA, RA, TA, MIA-E {found:.2?}, reference UA {ua}, TA {ta}, MIA-E {mia}"
        );
        assert!((found[0] - ua).abs() < 0.5 && (found[2] - ta).abs() < 0.3, "{found:?}");
        assert!((found[3] - mia).abs() < 1.0, "{found:?}");
    }
}
