//! How far the weights of two networks lie apart.
//!
//! # Source
//! The distance to a retrained network as a measure of forgetting, "verification error": Thudi, Deza,
//! Chandrasekaran, Papernot, *Unrolling SGD*, EuroS&P 2022, and the history of the code of Jia et al. It
//! says little of what a network knows: two networks of other initial weights lie far apart and
//! answer alike. Compare networks that started alike.

use super::tensors::walk;
use super::{Distance, Moved};
use crate::model::Network;

/// The distance of one layer's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerDistance {
    /// The layer: what its parameters' names begin with.
    pub layer: String,
    /// Over all its parameters, an entry that a mask removed being 0.
    pub distance: Distance,
}

/// The distance between the weights of two networks.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightDistance {
    /// Over all parameters: [`Distance::l2`] is `||b - a||`, [`Distance::relative`] that over `||a||`.
    pub total: Distance,
    /// Layer by layer, in the order of the description. [`Distance::largest`] counts tensors by the
    /// order of A's parameters.
    pub layers: Vec<LayerDistance>,
}

impl WeightDistance {
    /// From `a` to `b`, over all parameters; running statistics are none. Sums in `f64`, in ascending
    /// position, parameter after parameter. `None` if the two have other parameters.
    pub fn between(a: &Network, b: &Network) -> Option<Self> {
        let mut layers: Vec<LayerDistance> = Vec::new();
        if a.parameters.len() != b.parameters.len() {
            return None;
        }
        for (tensor, (left, right)) in a.parameters.iter().zip(&b.parameters).enumerate() {
            if left.name != right.name || left.shape != right.shape {
                return None;
            }
            let mut distance = Distance::default();
            let sides = [
                (&left.mask, &a.values[left.range.clone()]),
                (&right.mask, &b.values[right.range.clone()]),
            ];
            walk(sides, |position, a, b| distance.add(Moved { tensor, position, a, b }));
            let layer = left.name.rsplit_once('.').map_or(&*left.name, |(layer, _)| layer);
            match layers.last_mut().filter(|last| last.layer == layer) {
                Some(last) => last.distance = std::mem::take(&mut last.distance).and(&distance),
                None => layers.push(LayerDistance { layer: layer.into(), distance }),
            }
        }
        let all = layers.iter().map(|layer| &layer.distance);
        Some(Self { total: all.fold(Distance::default(), Distance::and), layers })
    }
}
