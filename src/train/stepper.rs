//! One step of learning: the gradient of a batch, in pieces where memory is short, and the update.
//!
//! Owns the engine, the gradient and how the l1 term is shared out over the arena. Knows neither
//! data sets nor epochs: whoever calls fills in the samples.

use std::ops::{AddAssign, Range};

use super::batch::Batch;
use super::error::TrainError;
use super::l1::L1Form;
use super::memory::RunBytes;
use super::objective::Objective;
use super::recipe::Recipe;
use crate::base::clock::Stopwatch;
use crate::model::{Device, Engine, Mode, Network, Plan};
use crate::sparse::{Isa, L1, Loss, Step, update};

/// How a run computes. Part of its plan: another instruction set or other pieces round otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// What it runs on.
    pub device: Device,
    /// The most samples that go through the network at once; a larger batch goes in pieces whose
    /// gradients are added up, and is one step all the same. `None`: the whole batch.
    ///
    /// The gradient is that of the whole batch up to rounding, with one exception: batch norm uses,
    /// and moves its running statistics by, the statistics of each piece. Frozen batch norm has no
    /// exception, nor has one of a layer that does not learn.
    pub micro_batch: Option<usize>,
    /// Whether what batch norms give is computed again for the backward pass, to take less memory
    /// ([`Plan::recomputing`]). No byte of any result depends on it.
    pub recompute: bool,
}

impl From<Device> for Compute {
    fn from(device: Device) -> Self {
        Self { device, micro_batch: None, recompute: false }
    }
}

impl From<Isa> for Compute {
    fn from(isa: Isa) -> Self {
        Device::Cpu(isa).into()
    }
}

impl Compute {
    /// Samples that go through the network at once, of a batch of `batch`; at least 1.
    pub fn piece(self, batch: usize) -> usize {
        self.micro_batch.unwrap_or(batch).min(batch).max(1)
    }

    /// The plan by which batches of up to `batch` samples of `network` are learnt.
    pub fn plan(self, network: &Network, batch: usize, recipe: &Recipe) -> Plan {
        let mode = if recipe.frozen_norm { Mode::Frozen } else { Mode::Train };
        let trained = recipe.trained.nodes(&network.description);
        let plan = match self.device {
            Device::Cpu(_) => Plan::partial,
            Device::Cuda { .. } => Plan::for_card,
        };
        plan(network, self.piece(batch), mode, self.recompute, &trained)
    }
}

/// The loss of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchLoss {
    /// What it is.
    Known(Loss),
    /// A CUDA device still computes it: [`Stepper::loss`] waits for it.
    Asked(u64),
}

/// Where the seconds of steps went. Of a step that a CUDA device computes while the next batch is laid out,
/// waiting for it counts as backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Phases {
    /// Reading samples, varying them, and laying them out.
    pub load: f64,
    /// Forward.
    pub forward: f64,
    /// The loss and backward.
    pub backward: f64,
    /// The optimiser's step.
    pub update: f64,
}

impl AddAssign for Phases {
    fn add_assign(&mut self, other: Self) {
        self.load += other.load;
        self.forward += other.forward;
        self.backward += other.backward;
        self.update += other.update;
    }
}

/// Weights that a run leaves as they were, one by one.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// For each weight of the network, whether it learns.
    pub learns: &'a [bool],
    /// What the others are.
    pub values: &'a [f32],
}

impl Held<'_> {
    /// Puts the weights that do not learn back, to the byte, and takes their momentum.
    fn hold(&self, values: &mut [f32], momentum: &mut [f32]) {
        for (at, _) in self.learns.iter().enumerate().filter(|(_, learns)| !**learns) {
            values[at] = self.values[at];
            momentum[at] = 0.0;
        }
    }
}

/// What the steps of a run share, allocated once.
pub struct Stepper<'a> {
    recipe: &'a Recipe,
    base: Option<&'a [f32]>,
    isa: Isa,
    piece: usize,
    engine: Engine,
    /// One entry a weight, from the first that learns on.
    gradient: Vec<f32>,
    /// For each node, whether its parameters learn.
    trained: Vec<bool>,
    held: Option<Held<'a>>,
    /// The ticket of the last loss that was asked for.
    ticket: u64,
    at_centre: usize,
    /// Whether weights or gradients are looked at between a batch's gradient and its step.
    exposed: bool,
    phases: Phases,
}

impl<'a> Stepper<'a> {
    /// Makes ready for batches of up to `batch` samples of `network`, under the masks of now.
    /// `base` holds the weights that [`L1Form::TowardsBase`] pulls to, as many as the network's.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn new(
        network: &Network,
        batch: usize,
        recipe: &'a Recipe,
        base: Option<&'a [f32]>,
        compute: Compute,
    ) -> Self {
        let piece = compute.piece(batch);
        let plan = compute.plan(network, batch, recipe);
        let engine = Engine::on(network, plan, compute.device);
        let gradient = vec![0.0; network.values.len() - engine.plan().untrained()];
        let trained = recipe.trained.nodes(&network.description);
        let (isa, phases) = (compute.device.isa(), Phases::default());
        let (held, exposed, ticket, at_centre) = (None, false, 0, 0);
        #[rustfmt::skip]
        let made = Self {
            recipe, base, isa, piece, engine, gradient, trained, held, ticket, at_centre, exposed, phases,
        };
        made
    }

    /// The same, for who looks at weights or gradients within an epoch, or changes them: on a CUDA device,
    /// they come back with every batch.
    pub fn exposing(self) -> Self {
        Self { exposed: true, ..self }
    }

    /// Before steps without a look at weights, statistics, momenta or gradients between them: a CUDA
    /// device takes them over, until [`Stepper::end`]. The processor needs nothing.
    pub fn begin(&mut self, network: &Network, momentum: &[f32]) {
        if !self.exposed && self.held.is_none() {
            let base = self.base.filter(|_| self.recipe.l1.form == L1Form::TowardsBase);
            self.engine.settle(network, momentum, base);
        }
    }

    /// Gives back what [`Stepper::begin`] took.
    pub fn end(&mut self, network: &mut Network, momentum: &mut [f32]) {
        if self.engine.settled() {
            self.engine.fetch(network, momentum);
        }
    }

    /// Whether the device did all that it was asked.
    ///
    /// # Errors
    /// [`TrainError::Device`] with what failed first; gradients and losses since then are no numbers.
    pub fn trouble(&self) -> Result<(), TrainError> {
        Ok(self.engine.trouble()?)
    }

    /// The same, with steps that leave some weights as they are: neither gradient, momentum, decay nor
    /// l1 term reaches them.
    ///
    /// # Panics
    /// In [`Stepper::update`], if there are not as many as the network has.
    pub fn holding(self, held: Option<Held<'a>>) -> Self {
        Self { held, ..self }
    }

    /// Bytes that a run over this stepper takes.
    pub fn bytes(&self, network: &Network) -> RunBytes {
        RunBytes::of(network, self.engine.plan())
    }

    /// Computes the gradient of the batch's mean loss with respect to what learns; `fill(i, out)`
    /// writes sample `i`, of which there are as many as `labels`. Under a training batch norm, moves
    /// running statistics.
    ///
    /// # Panics
    /// If there is no label.
    pub fn learn(
        &mut self,
        network: &mut Network,
        labels: &[u32],
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> BatchLoss {
        self.clear();
        self.add(network, labels, Objective::PLAIN, fill)
    }

    /// Forgets the gradient: the next batch is the first of a step.
    pub fn clear(&mut self) {
        match self.engine.settled() {
            true => self.engine.clear(),
            false => self.gradient.fill(0.0),
        }
    }

    /// Adds the gradient of the batch's mean `objective` to what was added since [`Stepper::clear`];
    /// otherwise as [`Stepper::learn`]. Returns the plain cross-entropy with `labels`. Between
    /// [`Stepper::begin`] and [`Stepper::end`] a CUDA device begins, and the caller goes on, where the
    /// objective is a multiple of that.
    ///
    /// # Panics
    /// If there is no label, or a teacher did not answer each sample.
    pub fn add(
        &mut self,
        network: &mut Network,
        labels: &[u32],
        objective: Objective<'_>,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> BatchLoss {
        assert!(!labels.is_empty(), "a batch holds at least one sample");
        let (classes, of) = (network.description.classes, labels.len());
        let multiple = objective.multiple().filter(|_| self.engine.settled());
        self.ticket += 1;
        let mut loss = Loss::default();
        for (piece, part) in labels.chunks(self.piece).enumerate() {
            let first = piece * self.piece;
            let watch = Stopwatch::start();
            self.engine.load(network, part.len(), |i, out| fill(first + i, out));
            let loaded = watch.seconds();
            if let Some(weight) = multiple {
                self.engine.learn(network, part, (of, weight), self.ticket);
                self.phases.load += loaded;
                self.phases.backward += watch.seconds() - loaded;
                continue;
            }
            self.engine.forward(network);
            let forth = watch.seconds();
            let this = if objective == Objective::PLAIN {
                self.engine.backward_of(network, part, of, &mut self.gradient)
            } else {
                let own = objective.from(first, classes);
                let derive = |z: &[f32], dz: &mut [f32]| own.derive(z, part, of, dz);
                self.engine.backward_by(network, &mut self.gradient, derive)
            };
            self.phases.load += loaded;
            self.phases.forward += forth - loaded;
            self.phases.backward += watch.seconds() - forth;
            loss.sum += this.sum;
            loss.correct += this.correct;
        }
        multiple.map_or(BatchLoss::Known(loss), |_| BatchLoss::Asked(self.ticket))
    }

    /// What a batch's loss is. Of those that are asked for, one batch behind is soon enough to keep the
    /// device at work: it is told of the last 64 batches, and of none before one that was told.
    pub fn loss(&mut self, network: &Network, loss: BatchLoss) -> Loss {
        let watch = Stopwatch::start();
        let loss = match loss {
            BatchLoss::Known(loss) => return loss,
            BatchLoss::Asked(ticket) => self.engine.loss(network, ticket),
        };
        self.phases.backward += watch.seconds();
        loss
    }

    /// [`Stepper::add`] of the samples of `batch` under `labels`, its own or others.
    ///
    /// # Errors
    /// [`TrainError::Data`] if a sample could not be read, [`TrainError::Device`] if the device failed.
    pub fn add_batch(
        &mut self,
        network: &mut Network,
        batch: &Batch<'_>,
        labels: &[u32],
        objective: Objective<'_>,
    ) -> Result<BatchLoss, TrainError> {
        let loss = self.add(network, labels, objective, |i, out| batch.fill(i, out));
        batch.trouble()?;
        self.trouble()?;
        Ok(loss)
    }

    /// The gradient so far: one entry a weight, from the first that learns on ([`Plan::untrained`]).
    /// Entries of parameters that do not learn mean nothing, nor do any between [`Stepper::begin`] and
    /// [`Stepper::end`] on a CUDA device.
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// One optimiser step along the gradient of the last [`Stepper::learn`], of parameters that
    /// learn; neighbours under the same l1 term go in one pass.
    ///
    /// # Panics
    /// If the network has other weights than the one this was made for, or `momentum` does not fit.
    pub fn update(&mut self, network: &mut Network, momentum: &mut [f32], rate: f32, gamma: f32) {
        let watch = Stopwatch::start();
        let before = self.engine.plan().untrained();
        let mut on_device = Vec::new();
        self.at_centre = 0;
        for (range, reached) in self.stretches(network) {
            let l1 = match self.recipe.l1.form {
                _ if !reached || gamma == 0.0 => L1::Off,
                L1Form::Subgradient => L1::Subgradient { gamma },
                L1Form::Proximal => L1::Proximal { gamma },
                L1Form::TowardsBase => match self.base {
                    Some(base) => L1::TowardsBase { gamma, base: &base[range.clone()] },
                    None => L1::Off,
                },
            };
            let step = Step { rate, momentum: self.recipe.momentum, decay: self.recipe.decay, l1 };
            if self.engine.settled() {
                on_device.push((range, step, reached));
                continue;
            }
            let values = &mut network.values[range.clone()];
            let gradient = &self.gradient[range.start - before..range.end - before];
            let seen = update(self.isa, step, values, &mut momentum[range], gradient);
            self.at_centre += if reached { seen.at_centre } else { 0 };
        }
        if self.engine.settled() {
            self.engine.update(network, &on_device);
        }
        if let Some(held) = self.held {
            held.hold(&mut network.values, momentum);
        }
        self.phases.update += watch.seconds();
    }

    /// How many weights under the l1 term were exactly at its centre after the last step; waits for it.
    pub fn at_centre(&mut self) -> usize {
        if self.engine.settled() { self.engine.at_centre() } else { self.at_centre }
    }

    /// Where the seconds went since this was asked last.
    pub fn take_phases(&mut self) -> Phases {
        std::mem::take(&mut self.phases)
    }

    /// What of the arena learns, in stretches of parameters that the l1 term does, or does not,
    /// reach.
    fn stretches(&self, network: &Network) -> Vec<(Range<usize>, bool)> {
        let mut stretches: Vec<(Range<usize>, bool)> = Vec::new();
        for (index, parameter) in network.parameters.iter().enumerate() {
            if !self.trained[parameter.node] {
                continue;
            }
            let reached = self.recipe.l1.alpha > 0.0 && self.recipe.l1.reaches(network, index);
            match stretches.last_mut() {
                Some((range, before))
                    if *before == reached && range.end == parameter.range.start =>
                {
                    range.end = parameter.range.end;
                }
                _ => stretches.push((parameter.range.clone(), reached)),
            }
        }
        stretches
    }
}
