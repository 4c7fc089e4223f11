//! The operations that become layers of ours.

use super::graph::{Builder, Flow, Value, fault};
use super::message::{Node, is_own};
use super::window::Window;
use crate::exchange::error::ExchangeFault;
use crate::model::Op;

type Done = Result<(), ExchangeFault>;

impl<'a> Builder<'a, '_, '_> {
    /// Takes one node in.
    pub(super) fn node(&mut self, node: &'a Node<'a>) -> Done {
        if !is_own(node.domain) {
            return Err(fault(node, "operations of other domains are not supported"));
        }
        match node.op {
            "Conv" => self.conv(node),
            "BatchNormalization" => self.batch_norm(node),
            "Relu" => {
                node.only(&[])?;
                let flow = self.flow(node, 0)?;
                let dims = flow.dims.clone();
                self.layer(node, "", Op::Relu, &[&flow], dims, Vec::new())
            }
            "Add" => self.add(node),
            "Sub" | "Div" | "Mul" => self.scale(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "GlobalAveragePool" => {
                let flow = self.flow(node, 0)?;
                let mut dims = vec![1; flow.dims.len()];
                dims[0] = flow.dims[0];
                self.average(node, flow, dims)
            }
            "ReduceMean" => self.reduce_mean(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.mat_mul(node),
            "Softmax" | "LogSoftmax" if node.outputs.first() == Some(&self.output) => {
                self.notes
                    .insert(format!("the last {} was dropped: networks here give logits", node.op));
                self.alias(node)
            }
            "Identity" => self.alias(node),
            "Dropout" => {
                self.notes.insert("dropout was left out: networks here do without".into());
                self.alias(node)
            }
            _ => self.shaping(node),
        }
    }

    /// The value that `node` reads as its input `index`.
    pub(super) fn value(&self, node: &Node<'a>, index: usize) -> Result<Value<'a>, ExchangeFault> {
        let name = node.inputs.get(index).copied().unwrap_or_default();
        self.values.get(name).cloned().ok_or_else(|| {
            fault(node, format!("its input {index}, `{name}`, is made by no node above it"))
        })
    }

    /// The flow that `node` reads as its input `index`.
    pub(super) fn flow(&self, node: &Node<'a>, index: usize) -> Result<Flow, ExchangeFault> {
        match self.value(node, index)? {
            Value::Flow(flow) => Ok(flow),
            _ => Err(fault(
                node,
                format!("its input {index} is a constant, not what the network computes"),
            )),
        }
    }

    /// Shape and values of the constant that `node` reads as its input `index`, and its name.
    fn constant(
        &mut self,
        node: &Node<'a>,
        index: usize,
    ) -> Result<(&'a str, Vec<usize>, Vec<f32>), ExchangeFault> {
        match self.value(node, index)? {
            Value::Tensor(tensor) => Ok((tensor.name, tensor.shape()?, tensor.floats(self.files)?)),
            Value::Number(number) => Ok(("", Vec::new(), vec![number])),
            _ => Err(fault(node, format!("its input {index} must be a constant"))),
        }
    }

    /// The constant of `node`'s input `index`, if it has that input, in the shape that it needs.
    fn vector(
        &mut self,
        node: &Node<'a>,
        index: usize,
        len: usize,
    ) -> Result<Vec<f32>, ExchangeFault> {
        let (_, shape, values) = self.constant(node, index)?;
        match values.len() == len && shape.iter().filter(|side| **side != 1).count() <= 1 {
            true => Ok(values),
            false => Err(fault(
                node,
                format!("its input {index} has sides {shape:?}, {len} values in a row are needed"),
            )),
        }
    }

    /// Says that the first output of `node` is `value`.
    pub(super) fn set(&mut self, node: &Node<'a>, value: Value<'a>) -> Done {
        let Some(&name) = node.outputs.first() else {
            return Err(fault(node, "it has no output"));
        };
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(fault(node, format!("`{name}` is made twice"))),
        }
    }

    fn alias(&mut self, node: &Node<'a>) -> Done {
        let value = self.value(node, 0)?;
        self.set(node, value)
    }

    fn layer(
        &mut self,
        node: &Node<'a>,
        hint: &str,
        op: Op,
        from: &[&Flow],
        dims: Vec<usize>,
        tensors: Vec<(&'static str, Vec<f32>)>,
    ) -> Done {
        let flow = self.push(node, hint, op, from, dims, tensors)?;
        self.set(node, Value::Flow(flow))
    }

    fn conv(&mut self, node: &Node<'a>) -> Done {
        node.only(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
        let flow = self.flow(node, 0)?;
        let (name, shape, weight) = self.constant(node, 1)?;
        let places = flow.dims.len().saturating_sub(1);
        if !(1..=2).contains(&places) || shape.len() != places + 2 {
            return Err(fault(
                node,
                format!(
                    "it slides weights of sides {shape:?} over an input of {} sides: 1-D and 2-D are supported",
                    flow.dims.len() + 1
                ),
            ));
        }
        let window = Window::of(node, &shape[2..])?;
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let filters = shape[0];
        if groups == 0 || shape[1].checked_mul(groups) != Some(flow.dims[0]) {
            return Err(fault(
                node,
                format!(
                    "weights of sides {shape:?} in {groups} groups do not read {} channels",
                    flow.dims[0]
                ),
            ));
        }
        let mut dims = vec![filters];
        dims.extend(window.slide(node, &flow.dims[1..])?);
        let bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let mut tensors = vec![("weight", weight)];
        if bias {
            tensors.push(("bias", self.vector(node, 2, filters)?));
        }
        let Window { kernel, stride, padding } = window;
        let op = Op::Conv { filters, kernel, stride, padding, groups, bias };
        self.layer(node, name, op, &[&flow], dims, tensors)
    }

    fn batch_norm(&mut self, node: &Node<'a>) -> Done {
        node.only(&["epsilon", "momentum", "spatial", "training_mode"])?;
        node.needs("spatial", 1)?;
        let flow = self.flow(node, 0)?;
        let channels = flow.dims[0];
        let (name, ..) = self.constant(node, 1)?;
        let mut tensors = Vec::new();
        for (index, word) in [(1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")] {
            tensors.push((word, self.vector(node, index, channels)?));
        }
        let float = |name, default| node.attribute(name).map_or(default, |a| a.float);
        // ONNX keeps the share of the old statistics, PyTorch and we that of the new batch. By way
        // of the decimal text, so that 0.9 becomes 0.1.
        let kept: f64 = float("momentum", 0.9).to_string().parse().unwrap_or(0.9);
        let momentum = (1.0 - kept) as f32;
        let usable = momentum > 0.0 && momentum <= 1.0;
        if !usable {
            self.notes.insert("batch norms whose momentum is out of range got 0.1".into());
        }
        let op = Op::BatchNorm {
            epsilon: float("epsilon", 1e-5),
            momentum: if usable { momentum } else { 0.1 },
        };
        let dims = flow.dims.clone();
        self.layer(node, name, op, &[&flow], dims, tensors)
    }

    fn pool(&mut self, node: &Node<'a>) -> Done {
        let largest = node.op == "MaxPool";
        let (known, other): (&[&str], _) = match largest {
            true => (
                &[
                    "auto_pad",
                    "ceil_mode",
                    "dilations",
                    "kernel_shape",
                    "pads",
                    "strides",
                    "storage_order",
                ],
                "storage_order",
            ),
            false => (
                &[
                    "auto_pad",
                    "ceil_mode",
                    "count_include_pad",
                    "dilations",
                    "kernel_shape",
                    "pads",
                    "strides",
                ],
                "ceil_mode",
            ),
        };
        node.only(known)?;
        node.needs("ceil_mode", 0)?;
        node.needs(other, 0)?;
        let flow = self.flow(node, 0)?;
        let Some(kernel) = node.attribute("kernel_shape") else {
            return Err(fault(node, "it has no kernel_shape"));
        };
        let kernel: Vec<usize> =
            kernel.ints.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        let places = &flow.dims[1..];
        if kernel.len() != places.len() || !(1..=2).contains(&kernel.len()) {
            return Err(fault(
                node,
                format!("its window {kernel:?} does not fit {places:?} places"),
            ));
        }
        let window = Window::of(node, &kernel)?;
        let mut dims = vec![flow.dims[0]];
        dims.extend(window.slide(node, places)?);
        let Window { kernel: sides, stride, padding } = window;
        if largest {
            let op = Op::MaxPool { kernel: sides, stride, padding };
            return self.layer(node, "", op, &[&flow], dims, Vec::new());
        }
        if padding != [0; 2] {
            return Err(fault(node, "an average over padding is not supported"));
        }
        if kernel == places {
            return self.average(node, flow, dims);
        }
        let op = Op::AvgPool { kernel: sides, stride };
        self.layer(node, "", op, &[&flow], dims, Vec::new())
    }

    fn average(&mut self, node: &Node<'a>, flow: Flow, dims: Vec<usize>) -> Done {
        self.layer(node, "", Op::GlobalAvgPool, &[&flow], dims, Vec::new())
    }

    fn reduce_mean(&mut self, node: &Node<'a>) -> Done {
        node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
        let flow = self.flow(node, 0)?;
        let rank = flow.dims.len() as i64 + 1;
        let mut axes: Vec<i64> = self
            .axes(node)?
            .into_iter()
            .map(|axis| if axis < 0 { axis + rank } else { axis })
            .collect();
        axes.sort_unstable();
        if rank < 3 || axes != (2..rank).collect::<Vec<_>>() {
            return Err(fault(
                node,
                format!(
                    "it averages over axes {axes:?}: only over all places, behind batch and channels, is supported"
                ),
            ));
        }
        let mut dims = vec![flow.dims[0]];
        if node.int("keepdims", 1) != 0 {
            dims.resize(flow.dims.len(), 1);
        }
        self.average(node, flow, dims)
    }

    fn gemm(&mut self, node: &Node<'a>) -> Done {
        node.only(&["alpha", "beta", "transA", "transB"])?;
        node.needs("transA", 0)?;
        for name in ["alpha", "beta"] {
            if node.attribute(name).is_some_and(|attribute| attribute.float != 1.0) {
                return Err(fault(node, format!("`{name}` must be 1")));
            }
        }
        let bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        self.linear(node, node.int("transB", 0) != 0, bias)
    }

    fn mat_mul(&mut self, node: &Node<'a>) -> Done {
        node.only(&[])?;
        self.linear(node, false, false)
    }

    fn linear(&mut self, node: &Node<'a>, rows_are_outputs: bool, bias: bool) -> Done {
        let flow = self.flow(node, 0)?;
        let (name, shape, values) = self.constant(node, 1)?;
        let (outputs, inputs) = match shape[..] {
            [outputs, inputs] if rows_are_outputs => (outputs, inputs),
            [inputs, outputs] => (outputs, inputs),
            _ => (0, 0),
        };
        if flow.dims != [inputs] || outputs == 0 {
            return Err(fault(
                node,
                format!(
                    "it multiplies sides {:?} (without the batch) by {shape:?}: a flat input by a matrix is supported",
                    flow.dims
                ),
            ));
        }
        let weight = match rows_are_outputs {
            true => values,
            false => {
                let at = |i: usize| values[i % inputs * outputs + i / inputs];
                (0..values.len()).map(at).collect()
            }
        };
        let mut tensors = vec![("weight", weight)];
        if bias {
            tensors.push(("bias", self.vector(node, 2, outputs)?));
        }
        let op = Op::Linear { outputs, bias };
        self.layer(node, name, op, &[&flow], vec![outputs], tensors)
    }

    fn add(&mut self, node: &Node<'a>) -> Done {
        node.only(&[])?;
        match (self.value(node, 0)?, self.value(node, 1)?) {
            (Value::Flow(left), Value::Flow(right)) => {
                let shape = |flow: &Flow| self.layers[flow.layer].shape;
                if left.dims != right.dims || shape(&left) != shape(&right) {
                    return Err(fault(
                        node,
                        format!(
                            "it adds sides {:?} and {:?}: they must be equal",
                            left.dims, right.dims
                        ),
                    ));
                }
                let dims = left.dims.clone();
                self.layer(node, "", Op::Add, &[&left, &right], dims, Vec::new())
            }
            (Value::Flow(flow), _) if flow.layer > 0 => self.bias(node, 0, flow),
            (_, Value::Flow(flow)) if flow.layer > 0 => self.bias(node, 1, flow),
            _ => self.scale(node),
        }
    }

    /// A constant that is added to what a layer of weights gives, and to nothing else's, is its bias.
    fn bias(&mut self, node: &Node<'a>, at: usize, flow: Flow) -> Done {
        let read_once = self.uses.get(node.inputs[at]) == Some(&1);
        let outputs = self.layers[flow.layer].shape[0];
        let (_, shape, values) = self.constant(node, 1 - at)?;
        let fits = values.len() == outputs && along_channels(&shape, &flow.dims);
        let layer = &mut self.layers[flow.layer];
        match &mut layer.op {
            Op::Linear { bias, .. } | Op::Conv { bias, .. } if !*bias && fits && read_once => {
                *bias = true;
            }
            _ => {
                return Err(fault(
                    node,
                    "it adds a constant that is not the bias of a Conv, a Gemm or a MatMul before it",
                ));
            }
        }
        layer.tensors.push(("bias", values));
        self.set(node, Value::Flow(flow))
    }

    /// Arithmetic with constants before the first layer: the normalisation of the input.
    fn scale(&mut self, node: &Node<'a>) -> Done {
        node.only(&[])?;
        let turned = matches!(node.op, "Mul" | "Add");
        let (at, flow) = match (self.value(node, 0)?, self.value(node, 1)?) {
            (Value::Flow(flow), Value::Tensor(_) | Value::Number(_)) => (1, flow),
            (Value::Tensor(_) | Value::Number(_), Value::Flow(flow)) if turned => (0, flow),
            _ => return Err(fault(node, "it must combine the input and a constant")),
        };
        let (_, shape, values) = self.constant(node, at)?;
        if flow.layer > 0 || self.sealed() || flow.stage != self.stage {
            return Err(fault(
                node,
                "constants are subtracted or divided by at the input only, before the first layer",
            ));
        }
        let channels = self.mean.len();
        if values.len() != 1 && !(values.len() == channels && along_channels(&shape, &flow.dims)) {
            return Err(fault(
                node,
                format!("a constant of sides {shape:?} is not one number a channel"),
            ));
        }
        for channel in 0..channels {
            let value = f64::from(values[if values.len() == 1 { 0 } else { channel }]);
            let (mean, deviation) = (&mut self.mean[channel], &mut self.std[channel]);
            match node.op {
                "Sub" => *mean += value * *deviation,
                "Add" => *mean -= value * *deviation,
                "Div" => *deviation *= value,
                _ => *deviation /= value,
            }
            let fine = (*mean as f32).is_finite()
                && (*deviation as f32).is_finite()
                && *deviation as f32 > 0.0;
            if !fine {
                return Err(fault(
                    node,
                    format!(
                        "mean {mean} and deviation {deviation} of channel {channel} normalise nothing"
                    ),
                ));
            }
        }
        self.stage += 1;
        self.set(node, Value::Flow(Flow { stage: self.stage, ..flow }))
    }
}

/// Whether a constant of `shape` has one number a channel of `dims`, so that it is the same at every
/// place: its channels stand where those of `dims` do, and every other side is 1.
fn along_channels(shape: &[usize], dims: &[usize]) -> bool {
    let Some(at) = shape.len().checked_sub(dims.len()) else { return false };
    at <= 1
        && shape[at] == dims[0]
        && shape[..at].iter().chain(&shape[at + 1..]).all(|&side| side == 1)
}
