//! An engine's weights, masks and statistics out of a model file, decoded on the device. The processor has no weight
//! of them, and a mask only where a layer's passes are sparse: it makes their lists of what the device decoded.

use super::memory::mask_words;
use super::{CardEngine, lock};
use crate::format::{Dtype, Kind, ModelFile, Raw};
use crate::model::outline::Outline;
use crate::model::plan::{Plan, Work};
use crate::sparse::Mask;
use crate::sparse::cuda::{
    Address, CudaError, Encoded, FAULT_BYTES, Machine, MaskAt, Precision, Source, SparseBelow,
    Spelling, Tier, Values, broken_rule,
};

/// A tensor on its way: its name, its bytes, and where masks and values go.
type Part<'a> = (&'a str, &'a Raw, MaskAt, Address);

impl CardEngine {
    /// As [`CardEngine::new`], for a plan that only evaluates the network that `outline` is of; says how the device
    /// read `file`, which it does by `first` or the next tier that it can.
    ///
    /// # Errors
    /// As there, or if the device finds the bytes to break a rule.
    pub fn of_file(
        (outline, plan): (&Outline, &Plan),
        (ordinal, how): (u32, (Precision, SparseBelow)),
        from: (&ModelFile, Tier),
    ) -> Result<(Self, Tier), CudaError> {
        let mut engine = Self::bare(&outline.network, plan, ordinal, how)?;
        let machine = engine.machine.clone();
        let mut held = lock(&machine);
        let made = engine.decode(&mut **held, (outline, plan), from);
        // Whoever drops an engine asks for the device again.
        drop(held);
        let tier = made?;
        // They stay what they are: nobody uploads any.
        engine.kept = true;
        Ok((engine, tier))
    }

    fn decode(
        &mut self,
        machine: &mut dyn Machine,
        (outline, plan): (&Outline, &Plan),
        (file, first): (&ModelFile, Tier),
    ) -> Result<Tier, CudaError> {
        // Every mask of an outline looks whole: what is left to upload is how samples are normalised.
        self.upload_masks(machine, &outline.network, plan)?;
        let (masks, lists) = self.place_masks(outline, plan);
        let parts = self.parts(outline, &masks);
        let faults = machine.allocate((FAULT_BYTES * parts.len()) as u64)?;
        let mut said = vec![0; FAULT_BYTES * parts.len()];
        let read = machine.reading(file.payloads(), first, &mut |machine, at| {
            for (part, &(_, raw, mask, values)) in parts.iter().enumerate() {
                let faults = Address(faults.0 + (FAULT_BYTES * part) as u64);
                encoded(raw, at).decode(machine, mask, values, faults)?;
            }
            machine.download(faults, &mut said)
        });
        machine.release(faults);
        let tier = read?;
        for (words, &(tensor, ..)) in said.chunks_exact(FAULT_BYTES).zip(&parts) {
            if let Some(rule) = broken_rule(words) {
                return Err(CudaError::Decode { tensor: tensor.into(), rule });
            }
        }
        let masks = self.listed_masks(machine, outline, plan)?;
        self.upload_lists(machine, (plan, lists), |parameter| &masks[parameter])?;
        Ok(tier)
    }

    /// Gives each masked layer its place. Says where each parameter's mask goes, and what comes behind them.
    fn place_masks(&mut self, outline: &Outline, plan: &Plan) -> (Vec<MaskAt>, Address) {
        let parameters = &outline.network.parameters;
        let mut masks = vec![MaskAt::default(); parameters.len()];
        let mut at = self.places.masks;
        for (layer, step) in self.layers.iter_mut().zip(&plan.steps) {
            let (Some(layer), Work::Conv { weight, .. }) = (layer, &step.work) else { continue };
            let words = mask_words(&parameters[*weight]);
            if words > 0 {
                layer.mask = MaskAt { bits: at, before: at.at(words) };
                masks[*weight] = layer.mask;
                at = at.at(2 * words);
            }
        }
        (masks, at)
    }

    /// The masks of layers with sparse passes, whose lists the processor makes; of others, the outline's.
    fn listed_masks(
        &mut self,
        machine: &mut dyn Machine,
        outline: &Outline,
        plan: &Plan,
    ) -> Result<Vec<Mask>, CudaError> {
        let mut masks = outline.network.masks();
        for ((layer, sparse), step) in self.layers.iter().zip(&self.sparse).zip(&plan.steps) {
            let (Some(layer), Some(_)) = (layer, sparse) else { continue };
            let Work::Conv { weight, .. } = step.work else { continue };
            let mask = &mut masks[weight];
            if layer.mask != MaskAt::default() {
                let words = mask.len().div_ceil(32);
                let bits = self.bytes.take(machine, layer.mask.bits, 4 * words)?;
                *mask = Mask::from_fn(mask.len(), |at| bits[at / 8] >> (at % 8) & 1 == 1);
            }
        }
        Ok(masks)
    }

    /// Every tensor of the network and its places.
    fn parts<'a>(&self, outline: &'a Outline, masks: &[MaskAt]) -> Vec<Part<'a>> {
        let Outline { network, parameters, buffers } = outline;
        let mut parts = Vec::with_capacity(parameters.len() + buffers.len());
        for ((parameter, raw), &mask) in network.parameters.iter().zip(parameters).zip(masks) {
            let values = self.places.values.at(parameter.range.start);
            parts.push((parameter.name.as_str(), raw, mask, values));
        }
        let mut at = self.places.buffers;
        for (buffer, raw) in network.buffers.iter().zip(buffers) {
            parts.push((buffer.name.as_str(), raw, MaskAt::default(), at));
            at = at.at(buffer.values.len());
        }
        parts
    }
}

/// A tensor's bytes in those that the device reads from `at` on.
fn encoded(raw: &Raw, at: Address) -> Encoded {
    let source = |range: &std::ops::Range<usize>| Source {
        at: Address(at.0 + range.start as u64),
        len: range.len(),
    };
    let spelling = match raw.kind {
        Kind::Bitmap => Some(Spelling::Bitmap),
        Kind::Tile256 => Some(Spelling::Tiles),
        Kind::NOfM { n, m } => Some(Spelling::NOfM { n: n.into(), m: m.into() }),
        // A mask of another tensor is told as that one spells it.
        Kind::Dense | Kind::SameAs { .. } | Kind::OfBase => None,
    };
    let values = match raw.dtype {
        Dtype::F32 => Values::F32,
        Dtype::F16 => Values::F16,
        Dtype::Bf16 => Values::Bf16,
        Dtype::Int8 => Values::Int8 { channels: raw.channels },
    };
    Encoded {
        positions: raw.numel,
        existing: raw.nnz,
        mask: spelling.map(|spelling| (spelling, source(&raw.mask))),
        values: (values, source(&raw.values)),
    }
}
