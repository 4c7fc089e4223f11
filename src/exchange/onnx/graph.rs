//! From the nodes of a graph to layers of ours.
//!
//! Nodes stand after what they read, so one pass is enough. A value on the way is a flow (what a
//! layer gives), a tensor, or whole numbers such as sides of a shape.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Attribute, Input, Model, Node, Tensor};
use super::tensor::Files;
use crate::exchange::error::ExchangeFault;
use crate::model::{INPUT, MAX_NAME, MAX_VALUES, Op, Shape};

/// Oldest version of ONNX's operations whose meaning is known here.
const OLDEST: i64 = 9;
/// Newest.
const NEWEST: i64 = 27;
/// Types of an input that are floating-point: FLOAT, FLOAT16, DOUBLE, BFLOAT16.
const FLOATING: [i64; 4] = [1, 10, 11, 16];

/// One operation of ours with its values.
#[derive(Debug)]
pub(super) struct Layer {
    pub name: String,
    pub op: Op,
    /// The layers it reads, 0 being the input.
    pub from: Vec<usize>,
    pub shape: Shape,
    /// Values by the last word of their parameter's or buffer's name.
    pub tensors: Vec<(&'static str, Vec<f32>)>,
}

/// A graph in our terms.
#[derive(Debug)]
pub(super) struct Net {
    pub layers: Vec<Layer>,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub notes: Vec<String>,
}

impl Net {
    /// Reads the graph of `model`.
    pub(super) fn read(model: &Model<'_>, files: &mut Files<'_>) -> Result<Self, ExchangeFault> {
        match model.opset {
            Some(OLDEST..=NEWEST) => {}
            found => {
                let found = found.map_or("none".into(), |version| version.to_string());
                return Err(graph_fault(format!(
                    "is of opset {found}: known are {OLDEST} to {NEWEST}, export it again with one of them"
                )));
            }
        }
        let graph = &model.graph;
        let [output] = graph.outputs[..] else {
            let count = graph.outputs.len();
            return Err(graph_fault(format!(
                "has {count} outputs ({}), exactly one is needed",
                graph.outputs.join(", ")
            )));
        };
        let mut builder = Builder::new(model, files, output)?;
        for node in &graph.nodes {
            if node.outputs.iter().any(|name| builder.uses.contains_key(name)) {
                builder.node(node)?;
            }
        }
        builder.finish(output)
    }

    /// The layer that is node `index` of the description.
    pub(super) fn layer(&mut self, index: usize) -> Option<&mut Layer> {
        self.layers.get_mut(index)
    }

    /// Outputs of the last layer.
    pub(super) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.shape.iter().product())
    }
}

/// A fault of the graph as a whole.
pub(super) fn graph_fault(what: String) -> ExchangeFault {
    ExchangeFault::Graph { what }
}

/// A fault at `node`.
pub(super) fn fault(node: &Node<'_>, what: impl Into<String>) -> ExchangeFault {
    let name = if node.name.is_empty() { node.outputs.first().copied() } else { Some(node.name) };
    let domain = if node.domain.is_empty() { "ai.onnx" } else { node.domain };
    ExchangeFault::Node {
        node: name.unwrap_or_default().to_owned(),
        op: node.op.to_owned(),
        domain: domain.to_owned(),
        what: what.into(),
    }
}

/// What a layer gives, as ONNX sees it: its sides without the batch. They differ from the layer's
/// shape once it was flattened.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub layer: usize,
    pub dims: Vec<usize>,
    /// Steps of a slice that waits for its padding.
    pub steps: [usize; 2],
    /// How often the input was normalised before.
    pub stage: usize,
}

/// A value on the way.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Flow(Flow),
    Tensor(&'a Tensor<'a>),
    /// Whole numbers; `None` is the size of the batch.
    Sizes(Vec<Option<i64>>),
    /// The same in rows of two, or, turned, in two rows.
    Pairs {
        pairs: Vec<[Option<i64>; 2]>,
        turned: bool,
    },
    Number(f32),
}

/// A graph on its way.
pub(super) struct Builder<'a, 'f, 'b> {
    pub files: &'f mut Files<'b>,
    pub layers: Vec<Layer>,
    pub values: BTreeMap<&'a str, Value<'a>>,
    /// How many readers each needed value has.
    pub uses: BTreeMap<&'a str, usize>,
    pub output: &'a str,
    /// Size of the batch, if it is fixed.
    pub batch: Option<i64>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    /// How often the input was normalised.
    pub stage: usize,
    names: BTreeSet<String>,
    pub notes: BTreeSet<String>,
}

impl<'a, 'f, 'b> Builder<'a, 'f, 'b> {
    fn new(
        model: &'a Model<'a>,
        files: &'f mut Files<'b>,
        output: &'a str,
    ) -> Result<Self, ExchangeFault> {
        let graph = &model.graph;
        let mut uses = BTreeMap::from([(output, 1)]);
        for node in graph.nodes.iter().rev() {
            if node.outputs.iter().any(|name| uses.contains_key(name)) {
                for &name in node.inputs.iter().filter(|name| !name.is_empty()) {
                    *uses.entry(name).or_insert(0) += 1;
                }
            }
        }
        let mut values = BTreeMap::new();
        for tensor in &graph.initializers {
            if values.insert(tensor.name, Value::Tensor(tensor)).is_some() {
                return Err(graph_fault(format!("has two initializers `{}`", tensor.name)));
            }
        }
        // Old files list their initializers among the inputs.
        let given: Vec<&Input<'_>> =
            graph.inputs.iter().filter(|input| !values.contains_key(input.name)).collect();
        let [input] = given[..] else {
            let names: Vec<&str> = given.iter().map(|input| input.name).collect();
            let count = given.len();
            return Err(graph_fault(format!(
                "has {count} inputs ({}), exactly one is needed",
                names.join(", ")
            )));
        };
        let (batch, dims) = sides(input)?;
        let shape = shape_of(&dims).ok_or_else(|| {
            graph_fault(format!("has an input of {} sides, 2 to 4 are read", dims.len() + 1))
        })?;
        let flow = Flow { layer: 0, dims, steps: [1; 2], stage: 0 };
        values.insert(input.name, Value::Flow(flow));
        let (name, op, from, tensors) = (INPUT.to_owned(), Op::Input, Vec::new(), Vec::new());
        Ok(Self {
            files,
            layers: vec![Layer { name, op, from, shape, tensors }],
            values,
            uses,
            output,
            batch,
            mean: vec![0.0; shape[0]],
            std: vec![1.0; shape[0]],
            stage: 0,
            names: BTreeSet::from([INPUT.to_owned()]),
            notes: BTreeSet::new(),
        })
    }

    fn finish(mut self, output: &str) -> Result<Net, ExchangeFault> {
        let Some(Value::Flow(flow)) = self.values.get(output) else {
            return Err(graph_fault(format!("never makes its output `{output}`")));
        };
        let last = self.layers.len() - 1;
        let shape = self.layers[last].shape;
        if flow.layer != last || last == 0 || shape[1..] != [1, 1] || flow.steps != [1; 2] {
            return Err(graph_fault(format!(
                "ends in `{output}` of sides {:?} (without the batch): its last operation must give one number a class",
                flow.dims
            )));
        }
        // A sample of which every value has a mean of its own is not normalised a channel.
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let (mean, std) = (narrow(&self.mean), narrow(&self.std));
        let notes = std::mem::take(&mut self.notes).into_iter().collect();
        Ok(Net { layers: self.layers, mean, std, notes })
    }

    /// Adds a layer that reads `from`, and gives its flow.
    pub(super) fn push(
        &mut self,
        node: &Node<'_>,
        hint: &str,
        op: Op,
        from: &[&Flow],
        dims: Vec<usize>,
        tensors: Vec<(&'static str, Vec<f32>)>,
    ) -> Result<Flow, ExchangeFault> {
        for flow in from {
            if flow.steps != [1; 2] {
                return Err(fault(node, "it reads a Slice, which only a Pad may read here"));
            }
            if flow.layer == 0 && flow.stage != self.stage {
                return Err(fault(
                    node,
                    "it reads the input before it is normalised, others after",
                ));
            }
        }
        let shape = shape_of(&dims).ok_or_else(|| {
            fault(node, format!("it gives {} sides, at most 4 are read", dims.len() + 1))
        })?;
        if !countable(&dims) {
            return Err(fault(
                node,
                format!("it gives {dims:?} values a sample, at most {MAX_VALUES} are allowed"),
            ));
        }
        let name = self.name(hint, node);
        let from = from.iter().map(|flow| flow.layer).collect();
        self.layers.push(Layer { name, op, from, shape, tensors });
        Ok(Flow { layer: self.layers.len() - 1, dims, steps: [1; 2], stage: self.stage })
    }

    /// Whether a layer reads the input already.
    pub(super) fn sealed(&self) -> bool {
        self.layers.len() > 1
    }

    /// A name for a new layer that no other has: from that of its weight, else from its node's.
    fn name(&mut self, hint: &str, node: &Node<'_>) -> String {
        let weight = hint.strip_suffix(".weight").filter(|name| !name.contains("::"));
        let raw = weight.unwrap_or(node.name).trim_matches('/');
        let raw = raw.strip_suffix(node.op).unwrap_or(raw);
        let fitted = fitted(raw);
        let base = if fitted.is_empty() { fitted_op(node.op) } else { fitted };
        let mut name = base.clone();
        let mut count = 1;
        while !self.names.insert(name.clone()) {
            count += 1;
            let behind = format!("-{count}");
            let room = base.len().min(MAX_NAME - behind.len());
            name = format!("{}{behind}", &base[..room]);
        }
        name
    }
}

/// `raw` with the characters that a name may have; the end of it, where it is too long.
fn fitted(raw: &str) -> String {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        '/' => '.',
        _ => '-',
    };
    let all: String = raw.chars().map(fit).collect();
    let all = all.trim_matches(['.', '-', '_']);
    all[all.len().saturating_sub(MAX_NAME)..].trim_start_matches(['.', '-', '_']).to_owned()
}

fn fitted_op(op: &str) -> String {
    let fitted = fitted(op);
    if fitted.is_empty() { "op".into() } else { fitted }
}

/// The batch, if fixed, and the other sides of an input.
fn sides(input: &Input<'_>) -> Result<(Option<i64>, Vec<usize>), ExchangeFault> {
    let name = input.name;
    if !FLOATING.contains(&input.elements) {
        let found = input.elements;
        return Err(graph_fault(format!(
            "takes `{name}` of element type {found}: only floating-point inputs are read"
        )));
    }
    let [batch, ref rest @ ..] = input.sides[..] else {
        return Err(graph_fault(format!("takes `{name}` without a shape: export it with one")));
    };
    let side = |side: &Option<i64>| {
        side.and_then(|side| usize::try_from(side).ok()).filter(|side| *side > 0)
    };
    let dims: Option<Vec<usize>> = rest.iter().map(side).collect();
    let dims = dims.ok_or_else(|| {
        graph_fault(format!(
            "takes `{name}` with a side that is not fixed: only the batch, its first, may be"
        ))
    })?;
    if !countable(&dims) {
        return Err(graph_fault(format!(
            "takes `{name}` of {dims:?} values a sample, at most {MAX_VALUES} are allowed"
        )));
    }
    Ok((batch.filter(|batch| *batch > 0), dims))
}

/// Whether sides make at least one value and at most as many as an operation may give.
fn countable(dims: &[usize]) -> bool {
    let count = dims.iter().try_fold(1u64, |count, &side| count.checked_mul(side as u64));
    count.is_some_and(|count| (1..=MAX_VALUES).contains(&count))
}

/// Our shape of sides without the batch: features, or channels by places in one or two directions.
pub(super) fn shape_of(dims: &[usize]) -> Option<Shape> {
    match *dims {
        [features] => Some([features, 1, 1]),
        [channels, places] => Some([channels, 1, places]),
        [channels, height, width] => Some([channels, height, width]),
        _ => None,
    }
}

impl<'a> Node<'a> {
    /// Refuses attributes that are not in `known`: what they change is not known here.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ExchangeFault> {
        let strange = |a: &&Attribute<'_>| a.other || !known.contains(&a.name);
        match self.attributes.iter().find(strange) {
            Some(attribute) => {
                Err(fault(self, format!("its attribute `{}` is not supported", attribute.name)))
            }
            None => Ok(()),
        }
    }

    /// The attribute called `name`.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The whole number of an attribute, or what it is if left out.
    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.int)
    }

    /// Refuses an attribute that is another whole number than `needed`, which it is if left out.
    pub(super) fn needs(&self, name: &str, needed: i64) -> Result<(), ExchangeFault> {
        match self.int(name, needed) {
            found if found == needed => Ok(()),
            found => Err(fault(self, format!("`{name}` is {found}, only {needed} is supported"))),
        }
    }
}
