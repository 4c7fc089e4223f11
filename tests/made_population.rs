//! Defends the made population: its bytes, and that a subject left out of training is visibly
//! harder than a known one, for a plain network of one hidden layer written here by hand.

use unlearn::base::rng::Stream;
use unlearn::data::{Dataset, Order, Population, Splits};

const HIDDEN: usize = 96;
const BATCH: usize = 32;
const CLASSES: usize = 10;

/// 256 values, one hidden layer of ReLU, ten scores; trained by plain momentum.
struct Net {
    weights: [Vec<f32>; 2],
    momentum: [Vec<f32>; 2],
    inputs: usize,
}

impl Net {
    fn new(inputs: usize, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "test/net");
        let mut layer = |from: usize, to: usize| -> Vec<f32> {
            let scale = (2.0 / from as f64).sqrt();
            (0..(from + 1) * to).map(|_| (scale * stream.normal()) as f32).collect()
        };
        let weights = [layer(inputs, HIDDEN), layer(HIDDEN, CLASSES)];
        let momentum = [vec![0.0; weights[0].len()], vec![0.0; weights[1].len()]];
        Self { weights, momentum, inputs }
    }

    /// `[x, 1] * w`, row by row of `w`.
    fn layer(weights: &[f32], x: &[f32], outputs: usize) -> Vec<f32> {
        let (rows, bias) = weights.split_at(x.len() * outputs);
        let mut out = bias.to_vec();
        for (&x, row) in x.iter().zip(rows.chunks(outputs)) {
            out.iter_mut().zip(row).for_each(|(out, w)| *out += x * w);
        }
        out
    }

    fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut hidden = Self::layer(&self.weights[0], x, HIDDEN);
        hidden.iter_mut().for_each(|value| *value = value.max(0.0));
        let scores = Self::layer(&self.weights[1], &hidden, CLASSES);
        (hidden, scores)
    }

    fn gradient(&self, x: &[f32], label: usize, into: &mut [Vec<f32>; 2]) {
        let (hidden, scores) = self.forward(x);
        let most = scores.iter().copied().fold(f32::MIN, f32::max);
        let exps: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f32 = exps.iter().sum();
        let mut delta: Vec<f32> = exps.iter().map(|exp| exp / sum).collect();
        delta[label] -= 1.0;
        let mut below = vec![0.0; HIDDEN];
        for (unit, back) in below.iter_mut().enumerate().filter(|(unit, _)| hidden[*unit] > 0.0) {
            let row = &self.weights[1][unit * CLASSES..][..CLASSES];
            *back = row.iter().zip(&delta).map(|(w, d)| w * d).sum();
        }
        let [first, second] = into;
        for (into, inputs, delta) in [(second, &hidden[..], &delta), (first, x, &below)] {
            let with_one = inputs.iter().chain(&[1.0]);
            for (x, row) in with_one.zip(into.chunks_mut(delta.len())) {
                row.iter_mut().zip(delta).for_each(|(into, d)| *into += x * d);
            }
        }
    }

    fn train(&mut self, set: &Dataset, epochs: usize, seed: u64) {
        let mut x = vec![0.0; self.inputs];
        for epoch in 0..epochs {
            let rate = 0.1 * (1.0 - epoch as f32 / epochs as f32) / BATCH as f32;
            for batch in Order::new(set.len(), seed, epoch).batches(BATCH) {
                let mut sums = [0, 1].map(|layer| vec![0.0; self.weights[layer].len()]);
                for &index in batch {
                    set.read(index, &mut x);
                    self.gradient(&x, set.labels[index] as usize, &mut sums);
                }
                for (layer, sum) in sums.iter().enumerate() {
                    let weights = self.weights[layer].iter_mut().zip(&mut self.momentum[layer]);
                    for ((weight, momentum), gradient) in weights.zip(sum) {
                        *momentum = 0.9 * *momentum + gradient + 5e-4 * BATCH as f32 * *weight;
                        *weight -= rate * *momentum;
                    }
                }
            }
        }
    }

    /// The share of `indices` of `set` that is misread.
    fn error(&self, set: &Dataset, indices: &[usize]) -> f64 {
        let mut x = vec![0.0; self.inputs];
        let wrong = indices.iter().filter(|&&index| {
            set.read(index, &mut x);
            let (_, scores) = self.forward(&x);
            let best = (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            best != Some(set.labels[index] as usize)
        });
        wrong.count() as f64 / indices.len() as f64
    }
}

/// Indices of the samples of the subjects that `wanted` accepts.
fn of(set: &Dataset, wanted: impl Fn(u32) -> bool) -> Vec<usize> {
    (0..set.len()).filter(|&index| wanted(set.subjects[index])).collect()
}

/// Trains without `subject`: errors on the known subjects' test samples, and on the subject's.
fn errors_without(splits: &Splits, subject: u32, epochs: usize) -> (f64, f64) {
    let train = splits.train.subset(&of(&splits.train, |other| other != subject));
    let mut net = Net::new(train.sample_len(), 1);
    net.train(&train, epochs, 1);
    let known = net.error(&splits.test, &of(&splits.test, |other| other != subject));
    let left_out = net.error(&splits.test, &of(&splits.test, |other| other == subject));
    (known, left_out)
}

#[test]
fn a_subject_left_out_is_misread_far_more_often_than_a_known_one() {
    let splits = Population::default().base();
    let (mut known, mut left_out) = (0.0, 0.0);
    for subject in [0, 5] {
        let (known_error, left_out_error) = errors_without(&splits, subject, 20);
        known += known_error / 2.0;
        left_out += left_out_error / 2.0;
    }
    assert!(known < 0.08, "{known:.3} of the known subjects' test samples misread");
    assert!(left_out > known + 0.07, "left out {left_out:.3}, known {known:.3}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_every_machine() {
    let golden = [
        ("base train", Population::default().base().train, "b646b64846e708ea"),
        ("base test", Population::default().base().test, "ff45cf7b651c748f"),
        ("household train", Population::default().household().train, "fbdf0283c7033083"),
    ];
    // A change here changes every result that was ever measured on the made population.
    for (what, set, digest) in &golden {
        set.check().unwrap();
        assert_eq!(set.digest().short(), *digest, "{what}");
    }
    let [base, test, household] = golden.map(|(_, set, _)| set);
    assert_eq!((base.len(), test.len(), household.len()), (1920, 960, 320));
    assert_eq!(base.subject_names[23], "p24");
    assert_eq!(household.subject_names, ["h1", "h2", "h3", "h4"]);
    let other = Population { seed: 2, ..Population::default() };
    assert_ne!(other.base().train.digest(), base.digest());
}

#[test]
fn a_larger_population_holds_the_smaller_one() {
    let small = Population { subjects: 2, train_samples: 3, ..Population::default() }.base().train;
    let large = Population::default().base().train;
    let kept = |&index: &usize| large.subjects[index] < 2 && index / 10 % 8 < 3;
    let same: Vec<usize> = (0..large.len()).filter(kept).collect();
    assert_eq!(large.subset(&same).values, small.values);
}

#[test]
#[ignore = "prints the table that src/data/made tells; run it with --nocapture"]
fn the_table_of_left_out_subjects() {
    let splits = Population::default().base();
    let household = Population::default().household();
    let (all, household) = (&splits.test, &household.test);
    let mut net = Net::new(all.sample_len(), 1);
    net.train(&splits.train, 30, 1);
    println!("all included: {:.3}", net.error(all, &of(all, |_| true)));
    for subject in 0..4 {
        let error = net.error(household, &of(household, |other| other == subject));
        println!("household {}: {error:.3}", household.subject_names[subject as usize]);
    }
    for subject in 0..24 {
        let included = net.error(all, &of(all, |other| other == subject));
        let (known, left_out) = errors_without(&splits, subject, 30);
        let name = &all.subject_names[subject as usize];
        println!("{name}: included {included:.3}, left out {left_out:.3}, others {known:.3}");
    }
}
