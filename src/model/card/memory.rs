//! Where everything of an engine lies on a device: one piece of memory whose size is known before it is
//! asked for.

use super::tokens;
use crate::model::network::{Network, Parameter};
use crate::model::plan::{Handing, Mode, Plan, StepPlan, Work};
use crate::sparse::cuda::{Address, CudaError, Layer, MaskAt, Norm, SparseBelow, SparseLayer};

/// Bytes that every part begins at a multiple of.
const ALIGNED: u64 = 256;

/// Where the parts begin, counted from the first byte; and their bytes, by what they are for.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Activations and their gradients.
    pub arena: Address,
    /// Weights that exist.
    pub values: Address,
    /// Their momenta.
    pub momenta: Address,
    /// Their gradients, from the first that learns on.
    pub gradient: Address,
    /// The base's weights, where an l1 term pulls to them.
    pub base: Address,
    /// Running statistics, buffer by buffer.
    pub buffers: Address,
    /// What batch norms keep, slot by slot.
    pub saved: Address,
    /// Masks, layer by layer, then the lists of layers that have sparse passes.
    pub masks: Address,
    /// One layer's weights laid out dense.
    pub scratch: Address,
    /// Parts of sums.
    pub partials: Address,
    /// Samples as they come.
    pub raw: Address,
    pub labels: Address,
    pub losses: Address,
    pub right: Address,
    /// Means of the input's channels, then one over their deviations.
    pub normal: Address,
    /// Weights at the centre.
    pub counter: Address,
    /// What [`crate::sparse::cuda::rates`] gives.
    pub rates: Address,
    /// Bytes in all.
    pub bytes: CardBytes,
}

/// Bytes of device memory that an engine takes, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CardBytes {
    /// Activations and their gradients.
    pub activations: u64,
    /// Weights, masks and running statistics.
    pub weights: u64,
    /// Gradients of weights.
    pub gradient: u64,
    /// Momenta. The weights that an l1 term pulls to come on top, as many bytes again, when they are given.
    pub state: u64,
    /// One layer laid out dense, the lists of those that are not, parts of sums, and what comes in.
    pub scratch: u64,
}

impl CardBytes {
    /// The sum of all.
    pub fn total(&self) -> u64 {
        let Self { activations, weights, gradient, state, scratch } = self;
        activations + weights + gradient + state + scratch
    }
}

/// Gives out places one behind the other.
struct Cursor(u64);

impl Cursor {
    /// A place of `values` `f32`s; its bytes go to `kind`.
    fn take(&mut self, values: usize, kind: &mut u64) -> Address {
        let at = Address(self.0);
        let bytes = (4 * values as u64).next_multiple_of(ALIGNED);
        self.0 += bytes;
        *kind += bytes;
        at
    }
}

impl Places {
    /// The places of `plan`, for engines that learn under `mode`.
    pub fn of(
        network: &Network,
        plan: &Plan,
        mode: Mode,
        (layers, sparse): (&[Option<Layer>], &[Option<SparseLayer>]),
    ) -> Self {
        let learns = mode != Mode::Evaluate;
        // By ranges: weights and masks of a network that a device decodes are not here.
        let weights = network.parameters.last().map_or(0, |parameter| parameter.range.end);
        let state = if learns { weights } else { 0 };
        let mask = |index: usize| mask_words(&network.parameters[index]);
        let masks: usize = plan.convs().map(|(weight, _)| 2 * mask(weight)).sum();
        let all = layers.iter().flatten();
        let expanded = layers.iter().zip(sparse).map(|pair| expanded(pair, learns)).max();
        let lists: usize = sparse.iter().flatten().map(SparseLayer::words).sum();
        let sums = all.map(|layer| if learns { layer.partials(plan.batch) } else { 0 });
        let others = plan.steps.iter().map(|step| {
            let [channels, height, width] = plan.shape(step.inputs[0]);
            let rows = plan.batch * height * width;
            match step.work {
                Work::BatchNorm { .. } => Norm::scratch(rows, channels),
                _ => tokens::scratch(plan, step, learns),
            }
        });
        let gathered = sparse.iter().flatten().map(SparseLayer::partials);
        let sums = sums.chain(others).chain(gathered).max().unwrap_or(0);
        let buffers = network.buffers.iter().map(|buffer| buffer.values.len()).sum();
        let input: usize = network.description.input_shape().iter().product();
        let (mut cursor, mut bytes) = (Cursor(0), CardBytes::default());
        let CardBytes { activations, weights: kept, gradient, state: moving, scratch } = &mut bytes;
        let mut places = Self {
            arena: cursor.take(plan.arena, activations),
            values: cursor.take(weights, kept),
            momenta: cursor.take(state, moving),
            gradient: cursor.take(state.saturating_sub(plan.before), gradient),
            base: Address::default(),
            buffers: cursor.take(buffers, kept),
            saved: cursor.take(2 * plan.slots.iter().sum::<usize>(), kept),
            masks: cursor.take(masks + lists, kept),
            scratch: cursor.take(expanded.unwrap_or(0), scratch),
            partials: cursor.take(sums, scratch),
            raw: cursor.take(plan.batch * input, scratch),
            labels: cursor.take(plan.batch, scratch),
            losses: cursor.take(2 * plan.batch, scratch),
            right: cursor.take(plan.batch, scratch),
            normal: cursor.take(2 * network.description.input_shape()[0], scratch),
            counter: cursor.take(1, scratch),
            rates: cursor.take(3, scratch),
            bytes: CardBytes::default(),
        };
        // They lie behind the masks, and are what sparse passes have instead of a dense layer.
        let lists = 4 * lists as u64;
        (bytes.weights, bytes.scratch) = (bytes.weights - lists, bytes.scratch + lists);
        places.bytes = bytes;
        places
    }

    /// The same, from `first` on.
    pub fn from(mut self, first: Address) -> Self {
        let all = [
            &mut self.arena,
            &mut self.values,
            &mut self.momenta,
            &mut self.gradient,
            &mut self.buffers,
            &mut self.saved,
            &mut self.masks,
            &mut self.scratch,
            &mut self.partials,
            &mut self.raw,
            &mut self.labels,
            &mut self.losses,
            &mut self.right,
            &mut self.normal,
            &mut self.counter,
            &mut self.rates,
        ];
        for place in all {
            place.0 += first.0;
        }
        self
    }
}

/// Words of a parameter's [`crate::sparse::cuda::MaskBits::bits`]: none if all of its weights exist.
pub(super) fn mask_words(parameter: &Parameter) -> usize {
    let len = parameter.mask.len();
    if parameter.range.len() < len { len.div_ceil(32) } else { 0 }
}

/// Values of the scratch that a layer's weights are laid out in: all where a pass is dense.
fn expanded((layer, sparse): (&Option<Layer>, &Option<SparseLayer>), learns: bool) -> usize {
    let Some(layer) = layer else { return 0 };
    match sparse {
        Some(sparse) if sparse.takes()[0] && (sparse.takes()[1] || !learns) => sparse.scratch(),
        Some(sparse) => layer.expanded().max(sparse.scratch()),
        None => layer.expanded(),
    }
}

/// What of the layers is sparse, step by step.
pub(super) fn sparse(
    plan: &Plan,
    layers: &[Option<Layer>],
    below: SparseBelow,
) -> Vec<Option<SparseLayer>> {
    let of = |(layer, step): (&Option<Layer>, &StepPlan)| {
        let Work::Conv { learns, .. } = step.work else { return None };
        let hands = step.gradients.first().is_some_and(|handing| *handing != Handing::Nothing);
        let learns = learns && !step.gradients.is_empty();
        SparseLayer::of((*layer)?, plan.batch, below, [true, hands, learns])
    };
    layers.iter().zip(&plan.steps).map(of).collect()
}

/// The layers of a plan, step by step, without masks.
///
/// # Errors
/// [`CudaError::Size`] if an index of a kernel could not count one.
pub(super) fn layers(network: &Network, plan: &Plan) -> Result<Vec<Option<Layer>>, CudaError> {
    let mut layers = vec![None; plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        let Work::Conv { shape, weight, .. } = &step.work else {
            if !tokens::fits(plan, step) {
                let node = network.description.nodes[plan.nodes[step.output]].name.clone();
                return Err(CudaError::Size { node, batch: plan.batch });
            }
            continue;
        };
        let parameter = &network.parameters[*weight];
        let layer = Layer {
            shape: *shape,
            input: plan.shape(step.inputs[0]),
            existing: parameter.range.len(),
            mask: MaskAt::default(),
        };
        if !layer.fits(plan.batch) {
            let node = network.description.nodes[parameter.node].name.clone();
            return Err(CudaError::Size { node, batch: plan.batch });
        }
        layers[at] = Some(layer);
    }
    Ok(layers)
}
