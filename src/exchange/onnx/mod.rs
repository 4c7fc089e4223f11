//! ONNX, in and out: structure and weights.
//!
//! | file | owns |
//! |---|---|
//! | `wire.rs` | protobuf's fields, read in place and written |
//! | `message.rs`, `tensor.rs` | the messages that are read, and the numbers of tensors |
//! | `graph.rs`, `ops.rs`, `window.rs`, `shape.rs`, `sizes.rs` | from nodes to layers of ours |
//! | `text.rs` | from layers to a network description |
//! | `export.rs` | from a network to a model of opset 17 |
//!
//! # What is read
//!
//! One graph with one input and one output, as PyTorch's two exporters write it. A batch may have
//! any size, every other side is fixed. Constants at the input become the mean and the standard
//! deviation of the description; a last softmax is dropped, and said.

mod export;
mod graph;
mod message;
mod ops;
mod shape;
mod sizes;
mod tensor;
mod text;
mod window;
mod wire;

pub use export::export;
pub use tensor::Beside;

use super::Imported;
use super::error::ExchangeFault;
use super::fit::{self, Choice};
use super::own::Own;
use crate::model::{Description, Network, ParamSpec};
use crate::sparse::Mask;

/// The operations that are read.
pub(super) const SUPPORTED: &str = "Conv (1-D, 2-D), BatchNormalization, Relu, Add, MaxPool, \
    AveragePool, GlobalAveragePool, ReduceMean over all places, Gemm, MatMul, Flatten, Reshape, \
    Squeeze and Unsqueeze that only flatten, Identity, Dropout, Constant, Sub, Div, Mul and Add of \
    constants at the input, Slice and Pad as a parameter-free shortcut, a last Softmax or LogSoftmax";

/// Reads the network in `bytes`, an ONNX file. `beside` reads a file of its folder, in which a model
/// may keep its weights; `name` is what the network is called. Of `choice` only
/// [`Choice::zeros_are_pruned`] is asked: an ONNX file says what it is.
///
/// # Errors
/// If the bytes are damaged, an operation is not supported, or a value is not finite.
pub fn import(
    bytes: &[u8],
    name: &str,
    beside: &Beside<'_>,
    choice: &Choice<'_>,
) -> Result<Imported, ExchangeFault> {
    let model = message::Model::parse(bytes)?;
    let own = Own::read(|key| model.metadata.get(key).copied())?;
    let mut files = tensor::Files::new(beside);
    let mut net = graph::Net::read(&model, &mut files)?;
    let text = text::describe(&net, name, model.producer);
    let description = Description::parse(&text, "the description made of it", net.outputs())?;
    let mut parameters = Vec::new();
    for spec in description.parameters() {
        parameters.push(parameter(&mut net, &spec)?);
    }
    let mut buffers = Vec::new();
    for spec in description.buffers() {
        let word = spec.name.rsplit('.').next().unwrap_or_default();
        buffers.push(values(&mut net, spec.node, word, spec.channels)?);
    }
    let network = Network::of_parts(description.into(), parameters, buffers);
    let mut notes = std::mem::take(&mut net.notes);
    let network = fit::finish(network, choice, &mut notes);
    fit::as_many(own.classes.as_deref(), &network)?;
    let Own { classes, features, facts, dtype, .. } = own;
    // The values of a removed weight are not marked in ONNX, so it is never the same model.
    Ok(Imported { network, classes, features, facts, dtype, id: None, notes })
}

fn parameter(net: &mut graph::Net, spec: &ParamSpec) -> Result<(Mask, Vec<f32>), ExchangeFault> {
    let word = spec.name.rsplit('.').next().unwrap_or_default();
    let values = values(net, spec.node, word, spec.values())?;
    Ok((Mask::full(values.len()), values))
}

/// The values that the layer of `node` holds as `word`, taken out of it.
fn values(
    net: &mut graph::Net,
    node: usize,
    word: &str,
    count: usize,
) -> Result<Vec<f32>, ExchangeFault> {
    let layer = net.layer(node);
    let found = layer.and_then(|layer| layer.tensors.iter_mut().find(|(name, _)| *name == word));
    match found.map(|(_, values)| std::mem::take(values)) {
        Some(values) if values.len() == count => Ok(values),
        found => {
            let have = found.map_or(0, |values| values.len());
            Err(ExchangeFault::Graph {
                what: format!(
                    "has {have} values for `{word}` of layer {node}, which needs {count}"
                ),
            })
        }
    }
}
