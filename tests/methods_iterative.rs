//! Defends the methods that learn in steps: each takes the steps of its formula, computed anew over
//! candle's autograd in f64, holds the masks, and keeps what it promises of the samples to forget.

mod common;

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::log_softmax;
use common::network::{cnn16, digest, few};
use unlearn::base::rng::Stream;
use unlearn::data::{Augment, Dataset, Reading, Scenario, open_source};
use unlearn::evaluate::Sets;
use unlearn::exchange::{Choice, import_safetensors};
use unlearn::model::{Mode, Network, Reference, loss};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::Isa;
use unlearn::train::{
    Control, EpochReport, Progress, Quiet, Recipe, Schedule, State, TrainError, Watch, run, score,
};
use unlearn::unlearn::{
    FineTune, Given, GradientAscent, L1PruneRewind, L1Short, METHODS, Method, NegGradPlus, Outcome,
    PruneWhile, RandomLabels, Retrain, Salun, Scrub, Start, Turns, forget,
};

/// A network at 80 % sparsity that learnt all samples of [`few`] a little, and its two sets without `p01`.
fn stage() -> (Network, Dataset, Dataset) {
    learnt(4, "subject=p01")
}

/// A network at 80 % sparsity that learnt all samples of [`few`], and what a scenario keeps and forgets.
fn learnt(epochs: usize, scenario: &str) -> (Network, Dataset, Dataset) {
    let data = few();
    let mut network = cnn16(1);
    let kept = masks(&network, 0.8, Allocation::Erk, Criterion::Magnitude, 1).unwrap();
    network.set_masks(kept);
    let mut state = State::new(network);
    let recipe = Recipe { epochs, batch: 32, ..Recipe::default() };
    run(&mut state, &data.train, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    let sets = Sets::new(&Scenario::parse(scenario).unwrap(), &data, 1).unwrap();
    let of = |indices: &[usize]| data.train.subset(indices);
    (state.network, of(&sets.retain), of(&sets.forget))
}

fn tuning(epochs: usize, rate: f32) -> FineTune {
    FineTune { epochs, rate, batch: 32, ..FineTune::default() }
}

/// Every method that learns in steps, short.
fn methods() -> Vec<Method> {
    let scrub = Scrub { tuning: tuning(2, 0.01), away: 1, ..Scrub::default() };
    vec![
        Method::GradientAscent(GradientAscent { tuning: tuning(2, 1e-3), alpha: 1e-4 }),
        Method::NegGradPlus(NegGradPlus { tuning: tuning(2, 0.01), beta: 0.9 }),
        Method::RandomLabels(RandomLabels { tuning: tuning(2, 0.01), shuffled: true }),
        Method::Salun(Salun { tuning: tuning(2, 0.01), ..Salun::default() }),
        Method::Scrub(scrub.clone()),
        Method::Scrub(Scrub { turns: Turns::First, ..scrub }),
        Method::PruneWhile(PruneWhile { tuning: tuning(2, 0.01), ..PruneWhile::default() }),
        Method::L1PruneRewind(L1PruneRewind {
            tuning: tuning(2, 0.01),
            l1_epochs: 1,
            ..L1PruneRewind::default()
        }),
        Method::L1Short(L1Short { tuning: tuning(2, 0.01), l1_epochs: 1, ..L1Short::default() }),
        Method::Retrain(Retrain { epochs: 2, batch: 32, sam: 0.5, ..Retrain::default() }),
    ]
}

fn forgotten(method: &Method, network: &Network, retain: &Dataset, gone: &Dataset) -> Outcome {
    watched(method, network, Given { forget: Some(gone), ..Given::only(retain) }, &mut Quiet)
}

fn watched(method: &Method, network: &Network, given: Given, watch: &mut dyn Watch) -> Outcome {
    forget(method, network, given, Augment::default(), 1, Isa::best(), watch).unwrap()
}

/// The share of samples that the network names wrongly, in percent.
fn wrong(network: &Network, set: &Dataset) -> f64 {
    let all: Vec<usize> = (0..set.len()).collect();
    let rows = score(network, set, &all, Isa::best()).unwrap();
    let largest = |row: &[f32]| (1..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
    let rows = rows.chunks(set.classes.len()).zip(&set.labels);
    let wrong = rows.filter(|(row, label)| largest(row) != **label as usize).count();
    100.0 * wrong as f64 / set.len() as f64
}

// ---- Steps by the formula ----

/// A set as candle sees it: samples and labels.
struct Seen(Tensor, Tensor);

impl Seen {
    fn of(set: &Dataset, labels: &[u32]) -> Self {
        let len = set.sample_len();
        let mut samples = vec![0.0; set.len() * len];
        samples.chunks_exact_mut(len).enumerate().for_each(|(i, out)| set.read(i, out));
        let [c, h, w] = set.shape;
        let samples = Tensor::from_vec(samples, (set.len(), c, h, w), &Device::Cpu).unwrap();
        let labels = Tensor::from_vec(labels.to_vec(), set.len(), &Device::Cpu).unwrap();
        Self(samples.to_dtype(DType::F64).unwrap(), labels)
    }

    fn own(set: &Dataset) -> Self {
        Self::of(set, &set.labels)
    }
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

fn f64s(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The logits of `network` in evaluation mode.
fn answers(network: &Network, seen: &Seen) -> Tensor {
    graph(network, |graph| graph.forward(&seen.0, Mode::Evaluate).unwrap().logits.detach())
}

fn graph<T>(network: &Network, with: impl FnOnce(&Reference) -> T) -> T {
    let parameters = network.parameters.iter().enumerate();
    let parameters: BTreeMap<_, _> =
        parameters.map(|(i, p)| (p.name.clone(), tensor(network.dense(i), &p.shape))).collect();
    let buffers = network.buffers.iter();
    let buffers: BTreeMap<_, _> =
        buffers.map(|b| (b.name.clone(), tensor(b.values.clone(), &[b.values.len()]))).collect();
    let masked = network.parameters.iter().filter(|p| p.prunable);
    let masks: BTreeMap<_, _> = masked
        .map(|p| (p.name.clone(), tensor(p.mask.spread(&vec![1.0; p.mask.existing()]), &p.shape)))
        .collect();
    with(&Reference::new(&network.description, &parameters, &buffers, &masks).unwrap())
}

/// The gradient of `of(logits, labels)` by each weight that exists. In [`Mode::Train`], moves the
/// running statistics of `network`.
fn slope(
    network: &mut Network,
    seen: &Seen,
    mode: Mode,
    of: impl Fn(&Tensor, &Tensor) -> Tensor,
) -> Vec<f64> {
    let (found, moved) = graph(network, |graph| {
        let forward = graph.forward(&seen.0, mode).unwrap();
        let by = of(&forward.logits, &seen.1).backward().unwrap();
        let each = network.parameters.iter().flat_map(|p| {
            let dense = by.get(graph.parameter(&p.name).unwrap());
            let dense = dense.map_or(vec![0.0; p.mask.len()], f64s);
            p.mask.iter().map(|at| dense[at]).collect::<Vec<_>>()
        });
        (each.collect(), forward.buffers)
    });
    for buffer in &mut network.buffers {
        buffer.values = f64s(&moved[&buffer.name]).iter().map(|&v| v as f32).collect();
    }
    found
}

fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    loss(logits, labels).unwrap()
}

/// `T^2 KL(softmax(theirs / T) || softmax(own / T))`, the mean over samples.
fn divergence(own: &Tensor, theirs: &Tensor, temperature: f64) -> Tensor {
    let spread = |z: &Tensor| log_softmax(&(z / temperature).unwrap(), D::Minus1).unwrap();
    let (own, theirs) = (spread(own), spread(theirs));
    let apart = (theirs.exp().unwrap() * (&theirs - own).unwrap()).unwrap();
    let sum = apart.sum_all().unwrap();
    (sum * (temperature * temperature / theirs.dims()[0] as f64)).unwrap()
}

/// Weights and momentum on their way by the formula of SGD.
struct Walk {
    network: Network,
    momentum: Vec<f64>,
    rate: f64,
}

impl Walk {
    fn new(network: &Network, rate: f64) -> Self {
        Self { network: network.clone(), momentum: vec![0.0; network.values.len()], rate }
    }

    fn step(&mut self, gradient: &[f64]) {
        let weights = self.network.values.iter_mut().zip(&mut self.momentum);
        for ((w, m), g) in weights.zip(gradient) {
            *m = 0.9 * *m + g + 5e-4 * f64::from(*w);
            *w = (f64::from(*w) - self.rate * *m) as f32;
        }
    }

    /// Holds what came of a method against this: what weights and statistics moved by.
    fn agrees(&self, what: &str, before: &Network, found: &Network) {
        let moved = |from: &[f32], to: &[f32]| -> Vec<f64> {
            from.iter().zip(to).map(|(a, b)| f64::from(*b) - f64::from(*a)).collect()
        };
        let expected = moved(&before.values, &self.network.values);
        let off = moved(&self.network.values, &found.values);
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let share = norm(&off) / norm(&expected);
        // A rectifier so near 0 that it opens in f32 and not in f64 is worth this much; a wrong term is
        // worth the whole.
        assert!(share < 1e-2, "{what}: off by {share:.1e} of the way");
        for (ours, theirs) in self.network.buffers.iter().zip(&found.buffers) {
            for (ours, theirs) in ours.values.iter().zip(&theirs.values) {
                assert!((ours - theirs).abs() < 1e-3 * ours.abs().max(1e-2), "{what}: statistics");
            }
        }
    }
}

const RATE: f32 = 0.01;

/// One batch an epoch, so that the formula needs few steps.
fn whole(epochs: usize) -> FineTune {
    FineTune { epochs, rate: RATE, batch: 1000, ..FineTune::default() }
}

#[test]
fn steps_up_and_down_are_those_of_their_formulas() {
    let (network, retain, gone) = stage();
    let (kept, lost) = (Seen::own(&retain), Seen::own(&gone));

    let mut walk = Walk::new(&network, RATE.into());
    for _ in 0..2 {
        let up =
            slope(&mut walk.network, &lost, Mode::Train, |z, y| cross_entropy(z, y).neg().unwrap());
        let l1 = walk.network.values.iter().map(|w| 1e-3 * f64::from(w.signum()));
        let gradient: Vec<f64> = up.iter().zip(l1).map(|(g, l1)| g + l1).collect();
        walk.step(&gradient);
    }
    let method = Method::GradientAscent(GradientAscent { tuning: whole(2), alpha: 1e-3 });
    let outcome = forgotten(&method, &network, &retain, &gone);
    walk.agrees("gradient ascent", &network, &outcome.network);

    let mut walk = Walk::new(&network, RATE.into());
    let down = slope(&mut walk.network, &kept, Mode::Train, cross_entropy);
    let up = slope(&mut walk.network, &lost, Mode::Train, cross_entropy);
    let both: Vec<f64> = down.iter().zip(&up).map(|(d, u)| 0.8 * d - 0.2 * u).collect();
    walk.step(&both);
    let method = Method::NegGradPlus(NegGradPlus { tuning: whole(1), beta: 0.8 });
    let outcome = forgotten(&method, &network, &retain, &gone);
    walk.agrees("NegGrad+", &network, &outcome.network);

    let mut walk = Walk::new(&network, RATE.into());
    let mut stream = Stream::new(1, "labels/0");
    let drawn: Vec<u32> = (0..gone.len()).map(|_| stream.index(10) as u32).collect();
    assert_ne!(drawn, gone.labels);
    for seen in [&Seen::of(&gone, &drawn), &kept] {
        let down = slope(&mut walk.network, seen, Mode::Train, cross_entropy);
        walk.step(&down);
    }
    let method = Method::RandomLabels(RandomLabels { tuning: whole(1), shuffled: false });
    let outcome = forgotten(&method, &network, &retain, &gone);
    walk.agrees("random labels", &network, &outcome.network);
}

#[test]
fn scrub_leaves_its_teacher_and_stays_with_it_by_the_formula() {
    let (network, retain, gone) = stage();
    let (kept, lost) = (Seen::own(&retain), Seen::own(&gone));
    let [here, there] = [&kept, &lost].map(|seen| answers(&network, seen));
    let (alpha, gamma, temperature) = (0.5, 0.7, 4.0);
    let mut walk = Walk::new(&network, RATE.into());
    let away = slope(&mut walk.network, &lost, Mode::Train, |z, _| {
        divergence(z, &there, temperature).neg().unwrap()
    });
    walk.step(&away);
    let towards = slope(&mut walk.network, &kept, Mode::Train, |z, y| {
        let near = (divergence(z, &here, temperature) * f64::from(alpha)).unwrap();
        (near + (cross_entropy(z, y) * f64::from(gamma)).unwrap()).unwrap()
    });
    walk.step(&towards);
    // The same two passes in one epoch, or in two.
    for (turns, epochs) in [(Turns::Alternating, 1), (Turns::First, 2)] {
        let tuning = whole(epochs);
        let temperature = temperature as f32;
        let scrub = Scrub { tuning, turns, away: 1, forget_batch: 1000, alpha, gamma, temperature };
        let outcome = forgotten(&Method::Scrub(scrub), &network, &retain, &gone);
        walk.agrees(&format!("SCRUB, {turns:?}"), &network, &outcome.network);
    }
}

#[test]
fn retraining_with_smoothing_and_sam_takes_the_steps_of_their_formulas() {
    let (network, retain, gone) = stage();
    let kept = Seen::own(&retain);
    let mut fresh = cnn16(3);
    fresh.set_masks(network.masks());
    let smoothed = |z: &Tensor, y: &Tensor| {
        let all = log_softmax(z, D::Minus1).unwrap().mean_all().unwrap();
        ((cross_entropy(z, y) * 0.9).unwrap() - (all * 0.1).unwrap()).unwrap()
    };
    let method = Retrain {
        epochs: 2,
        batch: 1000,
        rate: RATE,
        schedule: Schedule::Constant,
        start: Start::Seed(3),
        smoothing: 0.1,
        ..Retrain::default()
    };
    let mut walk = Walk::new(&fresh, RATE.into());
    for _ in 0..2 {
        let gradient = slope(&mut walk.network, &kept, Mode::Train, smoothed);
        walk.step(&gradient);
    }
    let outcome = forgotten(&Method::Retrain(method.clone()), &network, &retain, &gone);
    walk.agrees("smoothing", &fresh, &outcome.network);

    let mut walk = Walk::new(&fresh, RATE.into());
    for _ in 0..2 {
        let g = slope(&mut walk.network, &kept, Mode::Train, smoothed);
        let mut nearby = walk.network.clone();
        let each = || walk.network.values.iter().map(|w| f64::from(*w)).zip(&g);
        let norm = each().map(|(w, g)| (w * g) * (w * g)).sum::<f64>().sqrt();
        let way: Vec<f64> = each().map(|(w, g)| 0.5 * w * w * g / norm).collect();
        nearby.values.iter_mut().zip(way).for_each(|(w, e)| *w += e as f32);
        let gradient = slope(&mut nearby, &kept, Mode::Train, smoothed);
        walk.step(&gradient);
    }
    let outcome =
        forgotten(&Method::Retrain(Retrain { sam: 0.5, ..method }), &network, &retain, &gone);
    walk.agrees("SAM", &fresh, &outcome.network);
}

// ---- Promises ----

#[test]
fn no_method_brings_back_a_weight_and_each_heeds_what_it_says_it_reads() {
    let (network, retain, gone) = stage();
    let brighter = |set: &Dataset| {
        let all: Vec<usize> = (0..set.len()).collect();
        common::network::scribbled(set, &all)
    };
    for method in methods() {
        let outcome = forgotten(&method, &network, &retain, &gone);
        for (p, q) in network.parameters.iter().zip(&outcome.network.parameters) {
            let mut exists = vec![false; p.mask.len()];
            p.mask.iter().for_each(|at| exists[at] = true);
            assert!(q.mask.iter().all(|at| exists[at]), "{method:?}: {}", p.name);
            assert!(p.prunable || p.mask == q.mask, "{method:?}: {}", p.name);
        }
        let left = network.values.len() - outcome.network.values.len();
        assert_eq!(left, outcome.dropped, "{method:?}");
        assert!(outcome.complete && outcome.epochs.len() == 2, "{method:?}");
        let info = method.info();
        let other = forgotten(&method, &network, &retain, &brighter(&gone));
        let heeds = digest(&other.network) != digest(&outcome.network);
        assert_eq!(heeds, info.needs_forget, "{}: the samples to forget", info.name);
        let other = forgotten(&method, &network, &brighter(&retain), &gone);
        let heeds = digest(&other.network) != digest(&outcome.network);
        assert_eq!(heeds, info.needs_retain, "{}: the samples that are kept", info.name);
    }
}

#[test]
fn what_is_forgotten_is_named_wrongly_and_what_is_kept_rightly() {
    let (network, retain, gone) = learnt(24, "class=0");
    let before = [wrong(&network, &gone), wrong(&network, &retain)];
    assert!(before[0] < 20.0 && before[1] < 20.0, "nothing was learnt: {before:?}");
    let random = RandomLabels { tuning: tuning(8, 0.05), shuffled: true };
    let salun = Salun { tuning: tuning(8, 0.05), shuffled: true, share: 0.5 };
    let tuned = tuning(8, 0.01);
    let scrub = Scrub { tuning: tuned, away: 3, forget_batch: 16, alpha: 0.1, ..Scrub::default() };
    for (method, keeps) in [
        (Method::GradientAscent(GradientAscent { tuning: tuning(5, 0.02), alpha: 0.0 }), false),
        (Method::NegGradPlus(NegGradPlus { tuning: tuning(8, 0.02), beta: 0.8 }), true),
        (Method::RandomLabels(random), true),
        (Method::Salun(salun), true),
        (Method::Scrub(scrub), true),
    ] {
        let outcome = forgotten(&method, &network, &retain, &gone);
        let after = [wrong(&outcome.network, &gone), wrong(&outcome.network, &retain)];
        let told = format!("{}: wrong on {after:.1?}, {before:.1?} before", method.name());
        eprintln!("{told}");
        assert!(after[0] > before[0] + 20.0, "{told}");
        assert!(!keeps || after[1] < after[0] - 20.0, "{told}");
    }
}

#[test]
fn weights_of_little_saliency_keep_every_byte() {
    let (network, retain, gone) = stage();
    let method = Salun { tuning: tuning(2, 0.02), share: 0.3, ..Salun::default() };
    let outcome = forgotten(&Method::Salun(method), &network, &retain, &gone);
    let pairs = || network.values.iter().zip(&outcome.network.values);
    let learnt: Vec<bool> = pairs().map(|(a, b)| a.to_bits() != b.to_bits()).collect();
    let moved = learnt.iter().filter(|&&learnt| learnt).count();
    let most = (0.3 * network.values.len() as f64) as usize;
    assert!(moved <= most && moved > most * 9 / 10, "{moved} of at most {most} moved");
    // The saliency of whole batches, in evaluation mode, summed up.
    let mut sum = vec![0.0; network.values.len()];
    let all: Vec<usize> = (0..gone.len()).collect();
    for indices in all.chunks(32) {
        let seen = Seen::own(&gone.subset(indices));
        let g = slope(&mut network.clone(), &seen, Mode::Frozen, cross_entropy);
        sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
    }
    let mut sizes: Vec<f64> = sum.iter().map(|g| g.abs()).collect();
    let weakest = sizes.iter().zip(&learnt).filter(|(_, l)| **l).map(|(s, _)| *s);
    let weakest = weakest.fold(f64::MAX, f64::min);
    sizes.sort_by(f64::total_cmp);
    let threshold = sizes[sizes.len() - most];
    assert!(
        weakest > 0.999 * threshold,
        "a weight of saliency {weakest} learnt, {threshold} was needed"
    );
}

/// What each epoch ended with.
#[derive(Default)]
struct Epochs {
    sparsity: Vec<f64>,
    lengths: Vec<[usize; 2]>,
    stop: Option<usize>,
}

impl Watch for Epochs {
    fn batch(&mut self, progress: Progress) -> Control {
        if self.stop == Some(progress.epoch) { Control::Stop } else { Control::Continue }
    }
    fn epoch(&mut self, state: &State, _: &EpochReport) -> Result<Control, TrainError> {
        self.sparsity.push(state.network.sparsity());
        self.lengths.push([state.network.values.len(), state.momentum.len()]);
        Ok(Control::Continue)
    }
}

#[test]
fn pruning_while_unlearning_keeps_its_timetable_and_a_stop_leaves_a_whole_epoch() {
    let (network, retain, _) = stage();
    for criterion in [Criterion::Magnitude, Criterion::Random] {
        let tuning = tuning(5, 0.01);
        let method = PruneWhile { tuning, sparsity: 0.95, criterion, ..PruneWhile::default() };
        let method = Method::PruneWhile(method);
        let mut seen = Epochs::default();
        let outcome = watched(&method, &network, Given::only(&retain), &mut seen);
        // Of 5 epochs, events before the second and the fourth: from 80 % over 90 % to 95 %.
        let expected = [0.8, 0.9, 0.9, 0.95, 0.95];
        for (found, expected) in seen.sparsity.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{criterion:?}: {:?}", seen.sparsity);
        }
        assert!(seen.lengths.iter().all(|[values, momentum]| values == momentum));
        assert_eq!(outcome.dropped, network.values.len() - outcome.network.values.len());
        let mut stopped = Epochs { stop: Some(3), ..Epochs::default() };
        let outcome = watched(&method, &network, Given::only(&retain), &mut stopped);
        assert!(!outcome.complete && outcome.epochs.len() == 3);
        assert!((outcome.network.sparsity() - 0.9).abs() < 1e-3, "the event was not undone");
    }
}

#[test]
fn ascent_with_pruning_is_ascent_between_the_same_events() {
    let (network, retain, gone) = stage();
    let method = |rate| {
        let tuning = tuning(4, rate);
        Method::PruneWhile(PruneWhile { tuning, ascend: true, ..PruneWhile::default() })
    };
    let given = Given { forget: Some(&gone), ..Given::only(&retain) };
    let mut seen = Epochs::default();
    let still = watched(&method(1e-30), &network, given, &mut Quiet);
    let moved = watched(&method(1e-2), &network, given, &mut seen);
    // The mask of the first event is that of the weights as they were.
    for (found, expected) in seen.sparsity.iter().zip([0.9, 0.9, 0.95, 0.95]) {
        assert!((found - expected).abs() < 1e-3, "{:?}", seen.sparsity);
    }
    let loss = |outcome: &Outcome| outcome.epochs.last().unwrap().loss;
    assert!(loss(&moved) > loss(&still), "{} after {}", loss(&moved), loss(&still));
    assert!(method(1e-2).needs_forget() && !Method::named("prune-while").unwrap().needs_forget());
    // Without them there is nothing to go up.
    let refused = forget(
        &method(1e-2),
        &network,
        Given::only(&retain),
        Augment::default(),
        1,
        Isa::best(),
        &mut Quiet,
    );
    assert!(matches!(refused, Err(TrainError::Recipe { field: "forget", .. })), "{refused:?}");
}

#[test]
fn the_first_form_of_l1_sparse_goes_back_to_the_original_weights_under_its_mask() {
    let (network, retain, _) = stage();
    // The second fine-tuning has no rate, so what is left is where it began.
    let schedule = Schedule::MultiStep { milestones: vec![0.5], factor: 1e-30 };
    let tuning = FineTune { schedule, ..tuning(4, 0.05) };
    let method = L1PruneRewind { tuning, alpha: 0.05, l1_epochs: 2, sparsity: 0.9 };
    let outcome =
        watched(&Method::L1PruneRewind(method), &network, Given::only(&retain), &mut Quiet);
    let found = outcome.network;
    assert!((found.sparsity() - 0.9).abs() < 1e-3);
    let mut original = network.clone();
    original.set_masks(found.masks());
    assert_eq!(original.values, found.values);
    let by_size = masks(&network, 0.9, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    assert_ne!(by_size, found.masks(), "the penalty chose nothing");
}

#[test]
fn a_rewound_retraining_goes_on_from_the_early_weights_and_their_place_in_the_schedule() {
    let (network, retain, gone) = stage();
    let early = cnn16(5);
    let method = Retrain { epochs: 3, batch: 32, start: Start::Rewound(2), ..Retrain::default() };
    let method = Method::Retrain(method);
    let given = Given { base: Some(&early), ..Given::only(&retain) };
    let outcome = watched(&method, &network, given, &mut Quiet);
    let shares = Schedule::paper();
    assert_eq!(outcome.epochs.len(), 1);
    assert!((outcome.epochs[0].rate - 0.1 * shares.share(2, 3)).abs() < 1e-9);
    let mut state = State { epoch: 2, ..State::new(early.clone()) };
    state.set_masks(network.masks());
    let recipe = Recipe { epochs: 3, batch: 32, ..Recipe::default() };
    run(&mut state, &retain, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    assert_eq!(digest(&state.network), digest(&outcome.network));
    let bare = forget(
        &method,
        &network,
        Given { forget: Some(&gone), ..Given::only(&retain) },
        Augment::default(),
        1,
        Isa::best(),
        &mut Quiet,
    );
    assert!(bare.unwrap_err().to_string().contains("`base` is missing"));
}

#[test]
fn one_and_three_threads_give_the_same_bytes() {
    let (network, retain, gone) = stage();
    for method in methods() {
        let bytes = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| digest(&forgotten(&method, &network, &retain, &gone).network))
        };
        assert_eq!(bytes(1), bytes(3), "{}", method.name());
    }
}

#[test]
fn what_is_missing_or_makes_no_sense_is_refused_by_name() {
    let (network, retain, gone) = stage();
    let refused = |method: &Method, gone| {
        let given = Given { forget: gone, ..Given::only(&retain) };
        let refused =
            forget(method, &network, given, Augment::default(), 1, Isa::best(), &mut Quiet);
        refused.unwrap_err().to_string()
    };
    for method in methods().iter().filter(|method| method.info().needs_forget) {
        let error = refused(method, None);
        assert!(error.contains("`forget` is missing"), "{}: {error}", method.name());
    }
    let wrong = |name: &str, field: &str, value: serde_json::Value| {
        let mut text = serde_json::to_value(Method::named(name).unwrap()).unwrap();
        text[name][field] = value;
        let error = refused(&serde_json::from_value(text).unwrap(), Some(&gone));
        assert!(error.contains(&format!("`{field}` is ")), "{name}, {field}: {error}");
    };
    wrong("salun", "share", 0.0.into());
    wrong("neg-grad-plus", "beta", 1.5.into());
    wrong("scrub", "away", 4.into());
    wrong("scrub", "temperature", 0.0.into());
    wrong("scrub", "forget_batch", 0.into());
    wrong("prune-while", "sparsity", 0.5.into());
    wrong("l1-prune-rewind", "l1_epochs", 10.into());
    wrong("retrain", "smoothing", 1.0.into());
    wrong("retrain", "sam", (-1.0).into());
    wrong("gradient-ascent", "alpha", (-1.0).into());
    assert!(METHODS.iter().all(|info| Method::named(info.name).is_some() && !info.cost.is_empty()));
}

#[test]
fn a_short_penalty_is_over_after_its_epochs_and_the_rate_falls_on_a_cosine() {
    let method = L1Short::default();
    let recipe = method.recipe(1);
    let gamma: Vec<f32> = (0..6).map(|epoch| recipe.l1.gamma(epoch, recipe.epochs)).collect();
    let alpha = method.alpha;
    assert_eq!(gamma, [alpha, alpha * 0.75, alpha * 0.5, alpha * 0.25, 0.0, 0.0]);
    assert_eq!((recipe.epochs, recipe.schedule), (50, Schedule::Cosine));
}

// ---- Against the reference's own run ----

/// `reference_runs.md`, section 4, reading 1: without a step, batch norm's drift alone gives UA 80.11 and
/// TA 60.56; at a rate of 1e-4, UA is 87.22 and TA 58.39. Minutes long: run with `--ignored`.
#[test]
#[ignore = "minutes; needs UNLEARN_DATA and UNLEARN_REFERENCE"]
fn gradient_ascent_on_the_references_checkpoint_gives_its_figures() {
    let at = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    let (Some(data), Some(reference)) = (at("UNLEARN_DATA"), at("UNLEARN_REFERENCE")) else {
        eprintln!("SKIPPED: UNLEARN_DATA and UNLEARN_REFERENCE are not both set");
        return;
    };
    let data = open_source("cifar10", Some(&data), &Reading::default()).unwrap();
    let bytes = std::fs::read(reference.join("vectors/s1_dense.safetensors")).unwrap();
    let network = import_safetensors(&bytes, &Choice::default()).unwrap().network;
    let text = std::fs::read_to_string(reference.join("vectors/s1_split.json")).unwrap();
    let split: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = split["forget_class0"].as_array().unwrap();
    let gone: Vec<usize> = list.iter().map(|i| i.as_u64().unwrap() as usize).collect();
    let gone = data.train.subset(&gone);
    let others: Vec<usize> = (0..data.test.len()).filter(|&i| data.test.labels[i] != 0).collect();
    let test = data.test.subset(&others);
    // The reference's batches are cropped and mirrored at random.
    let augment = Augment { crop_padding: 4, flip: true };
    for (rate, [ua, ta], off) in [(1e-30, [80.11, 60.56], 2.0), (1e-4, [87.22, 58.39], 3.0)] {
        let tuning = FineTune { epochs: 5, rate, batch: 128, ..FineTune::default() };
        let method = Method::GradientAscent(GradientAscent { tuning, alpha: 0.0 });
        let given = Given { forget: Some(&gone), ..Given::only(&gone) };
        let outcome =
            forget(&method, &network, given, augment, 1, Isa::best(), &mut Quiet).unwrap();
        assert!(rate > 1e-20 || outcome.network.values == network.values);
        let found = [wrong(&outcome.network, &gone), 100.0 - wrong(&outcome.network, &test)];
        eprintln!("rate {rate}: UA {:.2} for {ua}, TA {:.2} for {ta}", found[0], found[1]);
        assert!((found[0] - ua).abs() <= off && (found[1] - ta).abs() <= off, "rate {rate}");
    }
}
