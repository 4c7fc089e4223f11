//! A head for more, or for other, classes, on the network that is there.

use std::sync::Arc;

use super::describe::{Description, Op};
use super::fault::DescribeError;
use super::network::{Network, Parameter, fresh};
use crate::base::rng::Stream;
use crate::sparse::Mask;

/// Why a network cannot tell more classes apart.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GrowError {
    /// Fewer classes than there are: rows would have to go.
    #[error(
        "model `{model}` tells {has} classes apart, {asked} are asked for: a head only grows; train a new one to tell fewer apart"
    )]
    Fewer {
        /// The network's name.
        model: String,
        /// Classes that it tells apart.
        has: usize,
        /// Classes that were asked for.
        asked: usize,
    },
    /// The last layer with weights is not linear, so that no row of it is a class.
    #[error(
        "model `{model}`: the last layer with weights is {layer}, expected a linear layer, of which each class has a row"
    )]
    NoHead {
        /// The network's name.
        model: String,
        /// That layer with what it is, or that there is none.
        layer: String,
    },
    /// Something besides the head has one part a class.
    #[error(
        "model `{model}`: `{tensor}` depends on the number of classes too, expected that of the head `{head}` alone: take a description in which only the head has outputs = \"classes\""
    )]
    NotAlone {
        /// The network's name.
        model: String,
        /// What grows too.
        tensor: String,
        /// The head's name.
        head: String,
    },
    /// The description cannot have that many classes.
    #[error(transparent)]
    Describe(#[from] DescribeError),
}

impl Network {
    /// This network for `classes` classes, of which those that it has come first.
    ///
    /// The head, the last layer with weights, gets a row a new class. Every weight and statistic that
    /// is there keeps its bytes and its place in its tensor, and masks stay; new rows exist in full.
    /// They are drawn as [`Network::new`] draws, each from a stream of its own, `init/<name>/<row>`
    /// with rows counted from 0: growing twice by a seed gives what growing at once gives. With as
    /// many classes as there are, it is this network.
    ///
    /// # Errors
    /// If there are more classes already, the last layer with weights is not linear, something else
    /// depends on the number of classes, or no description has that many.
    pub fn grow_head(&self, classes: usize, seed: u64) -> Result<Self, GrowError> {
        let old = &*self.description;
        let model = || old.name.clone();
        if classes < old.classes {
            return Err(GrowError::Fewer { model: model(), has: old.classes, asked: classes });
        }
        let head = head(old)?;
        let grown = Arc::new(Description::parse(&old.source, &old.name, classes)?);
        let mut network = Self::empty(grown);
        for (index, own) in self.parameters.iter().enumerate() {
            let parameter = &mut network.parameters[index];
            let start = network.values.len();
            network.values.extend_from_slice(self.packed(index));
            if own.shape == parameter.shape {
                parameter.mask = own.mask.clone();
            } else if own.node == head && own.shape[1..] == parameter.shape[1..] {
                network.values.extend(new_rows(parameter, own.shape[0], seed));
                let existing = own.mask.iter().chain(own.mask.len()..parameter.mask.len());
                parameter.mask = existing_at(parameter.mask.len(), existing);
            } else {
                let (tensor, head) = (own.name.clone(), old.nodes[head].name.clone());
                return Err(GrowError::NotAlone { model: model(), tensor, head });
            }
            parameter.range = start..network.values.len();
        }
        network.buffers.clone_from(&self.buffers);
        Ok(network)
    }

    /// This network with a new head for `classes` other classes: what it learnt to see serves another
    /// task.
    ///
    /// Every weight, mask and statistic but the head's keeps its bytes. The head exists in full and is
    /// drawn as [`Network::new`] with `seed` draws it; no row of the old one stays.
    ///
    /// # Errors
    /// If the last layer with weights is not linear, something else depends on the number of classes,
    /// or no description has that many.
    pub fn new_head(&self, classes: usize, seed: u64) -> Result<Self, GrowError> {
        let old = &*self.description;
        let head = head(old)?;
        let description = Arc::new(Description::parse(&old.source, &old.name, classes)?);
        let fresh = Self::new(Arc::clone(&description), seed);
        let mut parts = Vec::with_capacity(self.parameters.len());
        for (index, (own, new)) in self.parameters.iter().zip(&fresh.parameters).enumerate() {
            if own.node == head {
                parts.push((new.mask.clone(), fresh.packed(index).to_vec()));
            } else if own.shape == new.shape {
                parts.push((own.mask.clone(), self.packed(index).to_vec()));
            } else {
                let (model, tensor) = (old.name.clone(), own.name.clone());
                let head = old.nodes[head].name.clone();
                return Err(GrowError::NotAlone { model, tensor, head });
            }
        }
        let buffers = self.buffers.iter().map(|buffer| buffer.values.clone()).collect();
        Ok(Self::of_parts(description, parts, buffers))
    }
}

/// The node of the head.
fn head(description: &Description) -> Result<usize, GrowError> {
    let layer = |op: &Op| matches!(op, Op::Conv { .. } | Op::Linear { .. });
    let last = description.nodes.iter().rposition(|node| layer(&node.op));
    let refused = |layer| GrowError::NoHead { model: description.name.clone(), layer };
    match last {
        Some(last) if matches!(description.nodes[last].op, Op::Linear { .. }) => Ok(last),
        Some(last) => Err(refused(format!("the convolution `{}`", description.nodes[last].name))),
        None => Err(refused("missing".into())),
    }
}

/// The values of a parameter's rows from row `from` on.
fn new_rows(parameter: &Parameter, from: usize, seed: u64) -> impl Iterator<Item = f32> + '_ {
    let row: usize = parameter.shape[1..].iter().product();
    (from..parameter.shape[0]).flat_map(move |class| {
        let mut stream = Stream::new(seed, &format!("init/{}/{class}", parameter.name));
        (0..row).map(move |_| fresh(parameter.kind, parameter.fan_in, &mut stream))
    })
}

/// The mask of these ascending positions.
fn existing_at(len: usize, positions: impl Iterator<Item = usize>) -> Mask {
    let mut positions = positions.peekable();
    Mask::from_fn(len, |at| positions.next_if_eq(&at).is_some())
}
