//! A network to named tensors: dense values under PyTorch's names, and beside each thinned tensor
//! `<name>.mask`, of its shape and type `U8`, 1 where a weight exists. A removed weight is 0.

use super::own;
use super::safetensors::{Values, write};
use crate::format::{Dtype, ModelFile, Role};
use crate::model::file::Artifact;

/// The bytes of a safetensors file with the network of `file`, which `artifact` was read from.
///
/// Values are `f32`. The metadata holds what a state dict does not: description, classes, facts,
/// element type, logical id. So [`super::import_safetensors`] gives the same model back. Equal
/// models give equal bytes.
pub fn safetensors(file: &ModelFile, artifact: &Artifact) -> Vec<u8> {
    let network = &artifact.network;
    let mut tensors = Vec::new();
    for (index, parameter) in network.parameters.iter().enumerate() {
        let (name, shape) = (parameter.name.clone(), parameter.shape.clone());
        tensors.push((name, shape, Values::F32(network.dense(index))));
    }
    for buffer in &network.buffers {
        let shape = vec![buffer.values.len()];
        tensors.push((buffer.name.clone(), shape, Values::F32(buffer.values.clone())));
    }
    // Bytes after the words: values stay aligned to their size.
    for parameter in network.parameters.iter().filter(|p| p.mask.positions().is_some()) {
        let mut mask = vec![0; parameter.mask.len()];
        parameter.mask.iter().for_each(|position| mask[position] = 1);
        let name = format!("{}.mask", parameter.name);
        tensors.push((name, parameter.shape.clone(), Values::U8(mask)));
    }
    let mut metadata = vec![
        ("format", "pt".to_owned()),
        (own::ID, artifact.id.to_string()),
        (own::SPARSITY, network.sparsity().to_string()),
        (own::DTYPE, dtype(file).to_string()),
        (own::DESCRIPTION, network.description.source.clone()),
    ];
    metadata.extend(own::meaning(&artifact.meaning));
    metadata.extend(own::facts(&artifact.facts));
    write(&tensors, &metadata)
}

/// The element type of weights in `file`: that of its first matrix.
fn dtype(file: &ModelFile) -> Dtype {
    let weight =
        file.tensors().find(|tensor| tensor.role() == Role::Parameter && tensor.shape().len() > 1);
    weight.map_or(Dtype::F32, |tensor| tensor.dtype())
}
