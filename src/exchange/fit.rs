//! Which network these tensors are of.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ExchangeFault, Misfit};
use super::names::Names;
use super::own::{CLASSES, Own};
use super::state::State;
use crate::model::{DescribeError, Description, Network, builtin, builtin_names};

/// Numbers of classes that are tried: a network has one head, a file few matrices.
const MOST_HEADS: usize = 16;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The description: what errors call it, and its text. Without it, the file's own is taken, or
    /// the one that comes with the program and has these tensors.
    pub model: Option<(&'a str, &'a str)>,
    /// How names are mapped.
    pub names: Option<&'a Names>,
    /// Whether a prunable weight that is exactly 0 does not exist.
    pub zeros_are_pruned: bool,
}

/// The description whose parameters and buffers are those of `state`, every shape equal.
pub(super) fn choose(
    choice: &Choice<'_>,
    own: &Own,
    state: &State<'_>,
) -> Result<Description, ExchangeFault> {
    let shapes = shapes(state);
    if let Some((name, text)) = choice.model {
        return asked(name, text, &heads(&shapes, own), &shapes);
    }
    if let Some(text) = &own.description {
        let classes = own.classes.as_ref().map_or_else(|| heads(&shapes, own), |c| vec![c.len()]);
        return asked("its own description", text, &classes, &shapes);
    }
    let mut tried = Vec::new();
    for name in builtin_names() {
        let text = builtin(name).unwrap_or_default();
        // Those that come with the program are valid for every number of classes.
        if let Ok((description, misfit)) = nearest(name, text, &heads(&shapes, own), &shapes) {
            tried.push((misfit, description));
        }
    }
    tried.sort_by_key(|(misfit, _)| misfit.count());
    let fitting = tried.iter().filter(|(misfit, _)| misfit.count() == 0);
    let models: Vec<String> = fitting.map(|(_, description)| description.name.clone()).collect();
    if models.len() > 1 {
        return Err(ExchangeFault::Ambiguous { models });
    }
    match tried.into_iter().next() {
        Some((misfit, description)) if misfit.count() == 0 => Ok(description),
        Some((misfit, description)) => {
            Err(ExchangeFault::NoFit { model: description.name, misfit })
        }
        None => Err(ExchangeFault::NoFit { model: String::new(), misfit: Misfit::default() }),
    }
}

/// The network with what `choice` asks for besides, told in `notes`.
pub(super) fn finish(
    mut network: Network,
    choice: &Choice<'_>,
    notes: &mut Vec<String>,
) -> Network {
    if choice.zeros_are_pruned {
        let gone = network.drop_zeros();
        notes.push(format!("{gone} prunable weights were exactly 0 and left"));
    }
    network
}

fn asked(
    name: &str,
    text: &str,
    classes: &[usize],
    shapes: &Shapes,
) -> Result<Description, ExchangeFault> {
    let (description, misfit) = nearest(name, text, classes, shapes)?;
    match misfit.count() {
        0 => Ok(description),
        _ => Err(ExchangeFault::Misfit { model: name.to_owned(), misfit }),
    }
}

type Shapes = BTreeMap<String, Vec<usize>>;

fn shapes(state: &State<'_>) -> Shapes {
    state.iter().map(|(name, tensor)| (name.clone(), tensor.view.shape.clone())).collect()
}

/// How many classes the head may have: the outputs of each matrix.
fn heads(shapes: &Shapes, own: &Own) -> Vec<usize> {
    let matrices = shapes.values().filter(|shape| shape.len() == 2).map(|shape| shape[0]);
    let told = own.classes.as_ref().map(Vec::len);
    let distinct: BTreeSet<usize> = matrices.chain(told).collect();
    if distinct.is_empty() { vec![10] } else { distinct.into_iter().take(MOST_HEADS).collect() }
}

/// What `text` describes for the number of classes with which it fits best.
fn nearest(
    name: &str,
    text: &str,
    classes: &[usize],
    shapes: &Shapes,
) -> Result<(Description, Misfit), DescribeError> {
    let mut best: Option<(Description, Misfit)> = None;
    let mut failed = None;
    for &classes in classes {
        match Description::parse(text, name, classes) {
            Ok(description) => {
                let misfit = misfit(&description, shapes);
                if best.as_ref().is_none_or(|(_, least)| misfit.count() < least.count()) {
                    best = Some((description, misfit));
                }
            }
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    match (best, failed) {
        (Some(best), _) => Ok(best),
        (None, Some(error)) => Err(error),
        // There is always a number to try; one class more is no other error than one less.
        (None, None) => Description::parse(text, name, 1).map(|found| (found, Misfit::default())),
    }
}

/// How `shapes` differ from what `description` asks for.
fn misfit(description: &Description, shapes: &Shapes) -> Misfit {
    let parameters = description.parameters().into_iter().map(|spec| (spec.name, spec.shape));
    let buffers = description.buffers().into_iter().map(|spec| (spec.name, vec![spec.channels]));
    let asked: Shapes = parameters.chain(buffers).collect();
    let mut misfit = Misfit::default();
    for (name, expected) in &asked {
        match shapes.get(name) {
            None => misfit.missing.push(name.clone()),
            Some(found) if !same(found, expected) => {
                misfit.shapes.push((name.clone(), found.clone(), expected.clone()));
            }
            Some(_) => {}
        }
    }
    misfit.strange = shapes.keys().filter(|name| !asked.contains_key(*name)).cloned().collect();
    misfit
}

/// Whether two shapes are the same. A convolution over one dimension has three sides in PyTorch and
/// a kernel of height 1 here.
fn same(found: &[usize], expected: &[usize]) -> bool {
    match (found, expected) {
        ([a, b, c], [d, e, 1, f]) => (a, b, c) == (d, e, f),
        _ => found == expected,
    }
}

/// Refuses class names that are not as many as the head has outputs.
pub(super) fn as_many(classes: Option<&[String]>, network: &Network) -> Result<(), ExchangeFault> {
    let outputs = network.description.classes;
    match classes {
        Some(names) if names.len() != outputs => Err(ExchangeFault::Metadata {
            key: CLASSES,
            what: format!("{} names for {outputs} outputs", names.len()),
        }),
        _ => Ok(()),
    }
}
