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
#[ignore = "prints a table for the documentation; a minute or two"]
fn a_table_of_left_out_subjects() {
    let splits = Population::default().base();
    let mut net = Net::new(256, 1);
    net.train(&splits.train, 30, 1);
    let each: Vec<f64> = (0..24)
        .map(|subject| net.error(&splits.test, &of(&splits.test, |o| o == subject)))
        .collect();
    println!(
        "all included: {:.3} {each:.2?}",
        net.error(&splits.test, &of(&splits.test, |_| true))
    );
    let household = Population::default().household();
    for part in [&household.train, &household.test] {
        let each: Vec<f64> = (0..4).map(|s| net.error(part, &of(part, |o| o == s))).collect();
        println!("household: {each:.3?}");
    }
    for subject in 0..8 {
        let (known, left_out) = errors_without(&splits, subject, 30);
        println!(
            "without {}: known {known:.3}, left out {left_out:.3}, included {:.3}",
            splits.test.subject_names[subject as usize], each[subject as usize]
        );
    }
}
