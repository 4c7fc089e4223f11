//! Named tensors, as PyTorch's `state_dict` has them, to a network.

use std::collections::BTreeMap;

use half::{bf16, f16};

use super::Imported;
use super::error::ExchangeFault;
use super::fit::{self, Choice};
use super::names::Names;
use super::own::Own;
use super::safetensors::{Container, View};
use crate::model::{Description, Network, ParamSpec};
use crate::sparse::Mask;

/// Types that are read.
const KNOWN: &str = "F32, F16, BF16 and F64";
/// How far a normalisation in the file may be from the description's.
const NEAR: f32 = 1e-6;

/// A tensor under our name.
pub(super) struct Tensor<'a> {
    raw: String,
    pub view: View<'a>,
    mask: Option<(String, View<'a>)>,
}

/// All tensors of a file under our names.
pub(super) type State<'a> = BTreeMap<String, Tensor<'a>>;

/// Reads the network in `bytes`, a safetensors file.
///
/// # Errors
/// If the bytes are damaged, no description or several have these tensors, or a value is not finite.
pub fn import(bytes: &[u8], choice: &Choice) -> Result<Imported, ExchangeFault> {
    let container = Container::parse(bytes)?;
    let own = Own::read(|key| container.metadata.get(key).map(String::as_str))?;
    let mut notes = Vec::new();
    let (mut state, normalisation) = rename(container.tensors, choice.names, &mut notes)?;
    let description = fit::choose(choice, &own, &state)?;
    for (word, expected) in [("mean", &description.mean), ("std", &description.std)] {
        if let Some(tensor) = normalisation.get(word) {
            let found = decode(&tensor.raw, &tensor.view)?;
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= NEAR;
            if found.len() != expected.len() || !found.iter().zip(expected).all(near) {
                let (tensor, model) = (tensor.raw.clone(), description.name.clone());
                let expected = expected.clone();
                return Err(ExchangeFault::Normalisation { tensor, found, model, expected });
            }
            notes.push(format!("{} agrees with the description", tensor.raw));
        }
    }
    let network = assemble(description, &mut state)?;
    let network = fit::finish(network, choice, &mut notes);
    fit::as_many(own.classes.as_deref(), &network)?;
    let Own { classes, features, facts, dtype, id, .. } = own;
    Ok(Imported { network, classes, features, facts, dtype, id, notes })
}

/// What a layer that normalises the input holds, by `mean` and `std`.
type Normalisation<'a> = BTreeMap<&'static str, Tensor<'a>>;

/// Gives tensors our names, and joins masks to what they are masks of.
fn rename<'a>(
    tensors: BTreeMap<String, View<'a>>,
    names: Option<&Names>,
    notes: &mut Vec<String>,
) -> Result<(State<'a>, Normalisation<'a>), ExchangeFault> {
    let none = Names::default();
    let names = names.unwrap_or(&none);
    let (mut state, mut normalisation) = (State::new(), Normalisation::new());
    let (mut left_out, mut narrowed) = (0, 0);
    for (raw, view) in tensors {
        let Some(name) = names.ours(&raw) else {
            left_out += 1;
            continue;
        };
        narrowed += usize::from(view.dtype == "F64");
        let tensor = Tensor { raw, view, mask: None };
        match name.strip_prefix("normalize.") {
            Some("mean") => drop(normalisation.insert("mean", tensor)),
            Some("std") => drop(normalisation.insert("std", tensor)),
            _ => put(&mut state, name, tensor)?,
        }
    }
    names.all_used()?;
    if left_out > 0 {
        notes.push(format!("{left_out} tensors that the network does not need were left out"));
    }
    if narrowed > 0 {
        notes.push(format!("{narrowed} tensors were narrowed from F64 to F32"));
    }
    join_masks(&mut state)?;
    Ok((state, normalisation))
}

fn put<'a>(state: &mut State<'a>, name: String, tensor: Tensor<'a>) -> Result<(), ExchangeFault> {
    match state.get(&name) {
        Some(other) => {
            let (first, second) = (other.raw.clone(), tensor.raw);
            Err(ExchangeFault::SameName { first, second, name })
        }
        None => {
            state.insert(name, tensor);
            Ok(())
        }
    }
}

/// PyTorch's pruning keeps `X_orig` and `X_mask` in the place of `X`; this program exports `X.mask`
/// beside `X`.
fn join_masks(state: &mut State<'_>) -> Result<(), ExchangeFault> {
    let pruned: Vec<String> =
        state.keys().filter_map(|name| name.strip_suffix("_orig").map(str::to_owned)).collect();
    for base in pruned {
        if let Some(tensor) = state.remove(&format!("{base}_orig")) {
            put(state, base, tensor)?;
        }
    }
    let masks: Vec<(String, String)> = state
        .keys()
        .filter_map(|name| {
            let base = name.strip_suffix(".mask").or_else(|| name.strip_suffix("_mask"))?;
            state.contains_key(base).then(|| (name.clone(), base.to_owned()))
        })
        .collect();
    for (name, base) in masks {
        let Some(mask) = state.remove(&name) else { continue };
        let Some(tensor) = state.get_mut(&base) else { continue };
        if mask.view.shape != tensor.view.shape {
            let rule = format!(
                "has shape {:?}, its tensor {:?}: they must be equal",
                mask.view.shape, tensor.view.shape
            );
            return Err(ExchangeFault::Mask { mask: mask.raw, rule });
        }
        if let Some((first, _)) = tensor.mask.replace((mask.raw, mask.view)) {
            let (name, second) = (format!("the mask of {base}"), name);
            return Err(ExchangeFault::SameName { first, second, name });
        }
    }
    Ok(())
}

/// The network of `description` with the values of `state`, which [`fit::choose`] held against it.
fn assemble(description: Description, state: &mut State<'_>) -> Result<Network, ExchangeFault> {
    let mut take = |name: &str| state.remove(name);
    let mut parameters = Vec::new();
    for spec in description.parameters() {
        let Some(tensor) = take(&spec.name) else { continue };
        parameters.push(parameter(&spec, &tensor, &description.name)?);
    }
    let mut buffers = Vec::new();
    for spec in description.buffers() {
        let Some(tensor) = take(&spec.name) else { continue };
        buffers.push(decode(&tensor.raw, &tensor.view)?);
    }
    Ok(Network::of_parts(description.into(), parameters, buffers))
}

/// Mask and existing values of one parameter.
fn parameter(
    spec: &ParamSpec,
    tensor: &Tensor<'_>,
    model: &str,
) -> Result<(Mask, Vec<f32>), ExchangeFault> {
    let values = decode(&tensor.raw, &tensor.view)?;
    let Some((raw, view)) = &tensor.mask else {
        return Ok((Mask::full(values.len()), values));
    };
    let told = numbers(raw, view)?;
    let neither = |value: &f32| *value != 0.0 && *value != 1.0;
    if let Some(index) = told.iter().position(neither) {
        let (tensor, value) = (raw.clone(), told[index]);
        return Err(ExchangeFault::MaskValue { tensor, index, value });
    }
    let mask = Mask::from_fn(values.len(), |position| told[position] == 1.0);
    if mask.positions().is_some() && !spec.prunable {
        let (tensor, model) = (tensor.raw.clone(), model.to_owned());
        return Err(ExchangeFault::NotPrunable { tensor, model });
    }
    let packed = mask.pack(&values);
    Ok((mask, packed))
}

/// The values of a tensor, all finite.
fn decode(raw: &str, view: &View<'_>) -> Result<Vec<f32>, ExchangeFault> {
    if !["F32", "F16", "BF16", "F64"].contains(&view.dtype.as_str()) {
        let (tensor, found) = (raw.to_owned(), view.dtype.clone());
        return Err(ExchangeFault::Dtype { tensor, found, known: KNOWN });
    }
    finite(raw, numbers(raw, view)?)
}

/// `values`, if all are finite numbers.
pub(super) fn finite(tensor: &str, values: Vec<f32>) -> Result<Vec<f32>, ExchangeFault> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let (tensor, value) = (tensor.to_owned(), values[index]);
            Err(ExchangeFault::NotFinite { tensor, index, value })
        }
        None => Ok(values),
    }
}

/// The numbers of a tensor, of a type that is known here. What is beyond `f32` becomes infinite.
fn numbers(raw: &str, view: &View<'_>) -> Result<Vec<f32>, ExchangeFault> {
    Ok(match view.dtype.as_str() {
        "F32" => each(view.bytes, f32::from_le_bytes),
        "F64" => each(view.bytes, |b| f64::from_le_bytes(b) as f32),
        "F16" => each(view.bytes, |b| f16::from_le_bytes(b).to_f32()),
        "BF16" => each(view.bytes, |b| bf16::from_le_bytes(b).to_f32()),
        "U8" | "BOOL" => each(view.bytes, |[b]| f32::from(b)),
        _ => {
            let (tensor, found) = (raw.to_owned(), view.dtype.clone());
            return Err(ExchangeFault::Dtype { tensor, found, known: KNOWN });
        }
    })
}

/// The numbers of `N` bytes each in `bytes`, whose length was held against shape and type.
pub(super) fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
}
