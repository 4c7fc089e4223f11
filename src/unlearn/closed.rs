//! What methods without epochs share: gradients of single samples, and progress.
//!
//! A closed form looks at gradients at the weights as they are, and moves the weights once. Batch norms take
//! their running statistics as constants and keep them, so that samples do not meet. Samples are read as
//! they are, without crops and flips.

use super::method::{Given, Outcome};
use crate::base::clock::Stopwatch;
use crate::data::Dataset;
use crate::model::{Device, Engine, Network};
use crate::train::{Compute, Control, Progress, Recipe, TrainError, Watch, fits};

/// Why a closed form ended early.
#[derive(Debug)]
pub(super) enum Halt {
    /// Whoever watches stopped it.
    Stopped,
    /// It cannot be done.
    Fault(TrainError),
}

impl From<TrainError> for Halt {
    fn from(fault: TrainError) -> Self {
        Self::Fault(fault)
    }
}

/// A method that moves the weights once.
pub(super) trait Closed {
    /// Refuses numbers that make no sense.
    fn check(&self) -> Result<(), TrainError>;

    /// Passes over samples that it makes, for whoever watches.
    fn passes(&self) -> usize;

    /// The weights after it.
    fn moved(&self, slope: &mut Slope<'_>, given: Given<'_>, seed: u64) -> Result<Vec<f32>, Halt>;
}

/// Makes `network` forget by a closed form. Stopped within, the network is as it was.
pub(super) fn forget(
    method: &dyn Closed,
    network: &Network,
    given: Given<'_>,
    seed: u64,
    (recipe, compute): (&Recipe, Compute),
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    let started = Stopwatch::start();
    method.check()?;
    [Some(given.retain), given.forget].into_iter().flatten().try_for_each(|s| fits(network, s))?;
    let steps = Steps { watch, pass: 0, passes: method.passes(), seen: 0 };
    let batch = compute.piece(recipe.batch);
    let mut slope = Slope::new(network, batch, compute.device, steps);
    let moved = method.moved(&mut slope, given, seed);
    slope.engine.trouble()?;
    let (values, complete) = match moved {
        Ok(values) => (values, true),
        Err(Halt::Stopped) => (network.values.clone(), false),
        Err(Halt::Fault(fault)) => return Err(fault),
    };
    given.retain.trouble()?;
    given.forget.map_or(Ok(()), Dataset::trouble)?;
    let network = Network { values, ..network.clone() };
    if let Some(tensor) = network.first_not_finite() {
        return Err(TrainError::Recipe {
            field: "alpha",
            found: format!("so large that `{tensor}` holds a number that is not finite"),
            expected: "less",
        });
    }
    let (epochs, dropped) = (Vec::new(), 0);
    Ok(Outcome { network, epochs, complete, seconds: started.seconds(), dropped })
}

/// The samples to forget, for a method that reads them.
pub(super) fn to_forget<'a>(given: Given<'a>) -> Result<&'a Dataset, TrainError> {
    given.forget.ok_or_else(|| TrainError::Recipe {
        field: "forget",
        found: "missing".into(),
        expected: "the samples to forget, which this method reads",
    })
}

/// Refuses a number that is not above 0.
pub(super) fn above_zero(field: &'static str, found: f32) -> Result<(), TrainError> {
    match found > 0.0 && found.is_finite() {
        true => Ok(()),
        false => {
            let found = found.to_string();
            Err(TrainError::Recipe { field, found, expected: "a number above 0" })
        }
    }
}

/// Where a closed form stands.
struct Steps<'a> {
    watch: &'a mut dyn Watch,
    pass: usize,
    passes: usize,
    seen: usize,
}

/// Gradients at the weights as they are.
pub(super) struct Slope<'a> {
    /// The network as it was.
    pub network: Network,
    engine: Engine,
    batch: usize,
    steps: Steps<'a>,
}

impl<'a> Slope<'a> {
    fn new(network: &Network, batch: usize, device: Device, steps: Steps<'a>) -> Self {
        let mut engine = Engine::frozen(network, batch, device);
        engine.keep(network);
        Self { network: network.clone(), engine, batch, steps }
    }

    /// Samples that may go forth at once.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Begins a pass over a set.
    pub fn pass(&mut self) {
        self.steps.pass += usize::from(self.steps.seen > 0);
        self.steps.seen = 0;
    }

    /// A gradient for [`Slope::back`] to add to.
    pub fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.network.values.len()]
    }

    /// Takes the samples at `indices` forward; says how things go, of `of` samples in this pass. One
    /// [`Slope::back`] may follow: gradients lie where activations lay.
    pub fn forth(&mut self, data: &Dataset, indices: &[usize], of: usize) -> Result<(), Halt> {
        self.again(data, indices);
        let steps = &mut self.steps;
        steps.seen += indices.len();
        let (epoch, epochs, samples) = (steps.pass, steps.passes.max(steps.pass + 1), steps.seen);
        let progress = Progress { epoch, epochs, samples, of: of.max(samples), loss: 0.0 };
        match steps.watch.batch(progress) {
            Control::Continue => Ok(()),
            Control::Stop => Err(Halt::Stopped),
        }
    }

    /// Takes samples forward again, for another [`Slope::back`].
    pub fn again(&mut self, data: &Dataset, indices: &[usize]) {
        let Self { network, engine, .. } = self;
        engine.load(network, indices.len(), |i, out| data.read(indices[i], out));
        engine.forward(network);
    }

    /// Adds the gradient of a function of the logits: `objective(sample, probabilities, out)` writes its
    /// derivative by the logits of each sample that was taken forth.
    pub fn back(
        &mut self,
        gradient: &mut [f32],
        mut objective: impl FnMut(usize, &[f64], &mut [f32]),
    ) {
        let classes = self.network.description.classes;
        let mut shares = vec![0.0; classes];
        self.engine.backward_by(&self.network, gradient, |logits, dlogits| {
            let rows = logits.chunks_exact(classes).zip(dlogits.chunks_exact_mut(classes));
            for (sample, (logits, out)) in rows.enumerate() {
                softmax(logits, &mut shares);
                objective(sample, &shares, out);
            }
        });
    }

    /// The probabilities of the samples that were taken forth, row-major.
    pub fn probabilities(&mut self) -> Vec<f64> {
        let classes = self.network.description.classes;
        let logits = self.engine.logits();
        let mut all = vec![0.0; logits.len()];
        let rows = logits.chunks_exact(classes).zip(all.chunks_exact_mut(classes));
        rows.for_each(|(logits, out)| softmax(logits, out));
        all
    }

    /// Writes the gradient of the loss of one sample, of `of` in this pass.
    pub fn of_one(
        &mut self,
        data: &Dataset,
        index: usize,
        of: usize,
        gradient: &mut [f32],
    ) -> Result<(), Halt> {
        gradient.fill(0.0);
        self.forth(data, &[index], of)?;
        self.back(gradient, |_, p, out| loss_of(data.labels[index], 1.0, p, out));
        Ok(())
    }

    /// Adds `weight` times the gradient of the loss of every sample.
    pub fn add_all(
        &mut self,
        data: &Dataset,
        weight: f64,
        gradient: &mut [f32],
    ) -> Result<(), Halt> {
        let all: Vec<usize> = (0..data.len()).collect();
        for batch in all.chunks(self.batch) {
            self.forth(data, batch, all.len())?;
            self.back(gradient, |i, p, out| loss_of(data.labels[batch[i]], weight, p, out));
        }
        Ok(())
    }
}

/// Writes the derivative of `weight * -ln p(label)` by the logits.
pub(super) fn loss_of(label: u32, weight: f64, p: &[f64], out: &mut [f32]) {
    for (class, (p, out)) in p.iter().zip(out).enumerate() {
        let target = if class == label as usize { 1.0 } else { 0.0 };
        *out = (weight * (p - target)) as f32;
    }
}

fn softmax(logits: &[f32], out: &mut [f64]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    out.iter_mut().zip(logits).for_each(|(out, &l)| *out = f64::from(l - largest).exp());
    let total: f64 = out.iter().sum();
    out.iter_mut().for_each(|share| *share /= total);
}
