//! From a network to an ONNX model of opset 17, which every engine in use reads.
//!
//! Weights are dense, as engines want them: a removed weight is 0. The input is what our networks
//! take, before they normalise it, so the first two nodes subtract the mean and divide by the
//! standard deviation. Equal models give equal bytes.

use super::wire::Writer;
use crate::exchange::error::ExchangeFault;
use crate::exchange::own;
use crate::model::file::Artifact;
use crate::model::{Description, Network, Node, Op, ParamKind};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const FLOAT: i64 = 1;
const INT64: i64 = 7;
/// A cut that ends here takes all there is.
const END: i64 = i64::MAX;
/// Behind a node's name, the name of what it gives.
const OUT: &str = ".out";

/// The bytes of an ONNX model of the network that `artifact` holds. Its input is `input`,
/// `[batch, C, H, W]`, its output `logits`, `[batch, classes]`.
///
/// # Errors
/// [`ExchangeFault::NotOnnx`] where the network has an operation of a transformer: none of them is written.
pub fn export(artifact: &Artifact) -> Result<Vec<u8>, ExchangeFault> {
    let network = &artifact.network;
    let description = &*network.description;
    if let Some(node) = description.nodes.iter().find(|node| !is_written(&node.op)) {
        return Err(ExchangeFault::NotOnnx { node: node.name.clone(), kind: node.op.kind() });
    }
    let [channels, height, width] = description.input_shape();
    let doc = format!(
        "Input: [batch, {channels}, {height}, {width}], values as the data has them (bytes of pictures divided by \
         255, so 0 to 1); the first two nodes normalise them. Output: logits, without softmax."
    );
    let mut meta =
        vec![(own::ID, artifact.id.to_string()), (own::SPARSITY, network.sparsity().to_string())];
    meta.extend(own::meaning(&artifact.meaning));
    // Whose data it learnt from, and what it has forgotten, must outlive the journey.
    meta.extend(own::facts(&artifact.facts));
    let mut model = Writer::default()
        .int(1, IR_VERSION)
        .put(2, "unlearn")
        .put(3, env!("CARGO_PKG_VERSION"))
        .put(6, doc)
        .put(7, Graph::of(network))
        .put(8, Writer::default().put(1, "").int(2, OPSET));
    for (key, value) in meta {
        model = model.put(14, Writer::default().put(1, key).put(2, value));
    }
    Ok(model.bytes)
}

/// Whether an operation has its like in the graph.
fn is_written(op: &Op) -> bool {
    match op {
        Op::Input | Op::Conv { .. } | Op::Linear { .. } | Op::BatchNorm { .. } | Op::Relu => true,
        Op::Add | Op::MaxPool { .. } | Op::AvgPool { .. } | Op::GlobalAvgPool => true,
        Op::PadShortcut { .. } => true,
        Op::LayerNorm { .. } | Op::Gelu | Op::Position => false,
        Op::Attention { .. } | Op::SpaceToDepth { .. } => false,
    }
}

/// What a node of the description is called in the graph, and how many sides it has there.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    /// Whether it has a batch and features only.
    flat: bool,
}

/// A graph on its way.
struct Graph<'a> {
    network: &'a Network,
    nodes: Writer,
    initializers: Writer,
    made: Vec<Made>,
}

impl<'a> Graph<'a> {
    fn of(network: &'a Network) -> Writer {
        let description = &*network.description;
        let empty = Writer::default;
        let mut graph = Graph { network, nodes: empty(), initializers: empty(), made: Vec::new() };
        graph.parameters();
        for (index, node) in description.nodes.iter().enumerate() {
            let made = graph.node(index, node);
            graph.made.push(made);
        }
        let last = graph.made.len() - 1;
        let logits = graph.flat(last);
        graph.emit("Identity", "logits", &[&logits], Writer::default());
        let [channels, height, width] = description.input_shape().map(|side| side as i64);
        let classes = description.classes as i64;
        let mut whole = graph.nodes.put(2, &description.name);
        whole.bytes.extend(graph.initializers.bytes);
        whole
            .put(11, value("input", &[channels, height, width]))
            .put(12, value("logits", &[classes]))
    }

    /// Every parameter and buffer under its name, and the normalisation of the input.
    fn parameters(&mut self) {
        let description = &*self.network.description;
        for (index, parameter) in self.network.parameters.iter().enumerate() {
            let shape: Vec<i64> = parameter.shape.iter().map(|&side| side as i64).collect();
            self.floats(&parameter.name, &shape, &self.network.dense(index));
        }
        for buffer in &self.network.buffers {
            self.floats(&buffer.name, &[buffer.values.len() as i64], &buffer.values);
        }
        let channels = description.mean.len() as i64;
        self.floats("input.mean", &[1, channels, 1, 1], &description.mean);
        self.floats("input.std", &[1, channels, 1, 1], &description.std);
    }

    fn node(&mut self, index: usize, node: &Node) -> Made {
        let out = format!("{}{OUT}", node.name);
        let name = out.as_str();
        let flat = match &node.op {
            Op::Input => return self.input(),
            Op::Linear { .. } => {
                let from = self.flat(node.inputs[0]);
                let inputs = self.with_parameters(index, from);
                let attributes = Writer::default().put(5, int("transB", 1));
                self.emit("Gemm", name, &borrowed(&inputs), attributes);
                true
            }
            Op::BatchNorm { epsilon, momentum } => {
                self.batch_norm(index, node, *epsilon, *momentum)
            }
            Op::Relu => {
                let from = self.made[node.inputs[0]].clone();
                self.emit("Relu", name, &[&from.name], Writer::default());
                from.flat
            }
            Op::Add => {
                let [left, right] = [0, 1].map(|side| node.inputs[side]);
                let flat = self.made[left].flat || self.made[right].flat;
                let both = [left, right]
                    .map(|from| if flat { self.flat(from) } else { self.places(from) });
                self.emit("Add", name, &[&both[0], &both[1]], Writer::default());
                flat
            }
            _ => {
                self.over_places(index, node, name);
                false
            }
        };
        Made { name: name.to_owned(), flat }
    }

    /// Operations that read channels over places, and give such.
    fn over_places(&mut self, index: usize, node: &Node, name: &str) {
        let from = self.places(node.inputs[0]);
        match &node.op {
            Op::Conv { kernel, stride, padding, groups, .. } => {
                let attributes =
                    window(kernel, stride, padding).put(5, int("group", *groups as i64));
                let inputs = self.with_parameters(index, from);
                self.emit("Conv", name, &borrowed(&inputs), attributes);
            }
            Op::MaxPool { kernel, stride, padding } => {
                self.emit("MaxPool", name, &[&from], window(kernel, stride, padding));
            }
            Op::AvgPool { kernel, stride } => {
                self.emit("AveragePool", name, &[&from], window(kernel, stride, &[0; 2]));
            }
            Op::PadShortcut { stride, channels } => {
                self.shortcut(node, &from, stride, *channels);
            }
            Op::GlobalAvgPool => {
                self.emit("GlobalAveragePool", name, &[&from], Writer::default());
            }
            Op::Input | Op::Linear { .. } | Op::BatchNorm { .. } | Op::Relu | Op::Add => {}
            // `export` gives none of these to a graph.
            Op::LayerNorm { .. } | Op::Gelu | Op::Position => {}
            Op::Attention { .. } | Op::SpaceToDepth { .. } => {}
        }
    }

    fn input(&mut self) -> Made {
        let name = "input.normalised";
        self.emit("Sub", "input.centred", &["input", "input.mean"], Writer::default());
        self.emit("Div", name, &["input.centred", "input.std"], Writer::default());
        Made { name: name.into(), flat: false }
    }

    /// Says whether what it reads, and so what it gives, is flat.
    fn batch_norm(&mut self, index: usize, node: &Node, epsilon: f32, momentum: f32) -> bool {
        let from = self.made[node.inputs[0]].clone();
        // By way of the decimal text, so that 0.1 becomes 0.9.
        let share: f64 = momentum.to_string().parse().unwrap_or(0.1);
        let attributes = Writer::default()
            .put(5, float("epsilon", epsilon))
            .put(5, float("momentum", (1.0 - share) as f32));
        let mut inputs = self.with_parameters(index, from.name);
        inputs.extend(["running_mean", "running_var"].map(|word| format!("{}.{word}", node.name)));
        let name = format!("{}{OUT}", node.name);
        self.emit("BatchNormalization", &name, &borrowed(&inputs), attributes);
        from.flat
    }

    fn shortcut(&mut self, node: &Node, from: &str, stride: &[usize; 2], channels: usize) {
        let name = node.name.as_str();
        let out = format!("{name}{OUT}");
        let more = (channels - self.network.description.nodes[node.inputs[0]].shape[0]) / 2;
        let [starts, ends, axes, steps, pads, cut] =
            ["starts", "ends", "axes", "steps", "pads", "cut"].map(|word| format!("{name}.{word}"));
        self.ints(&starts, &[0, 0]);
        self.ints(&ends, &[END, END]);
        self.ints(&axes, &[2, 3]);
        self.ints(&steps, &stride.map(|step| step as i64));
        self.ints(&pads, &[0, more as i64, 0, 0, 0, more as i64, 0, 0]);
        self.emit("Slice", &cut, &[from, &starts, &ends, &axes, &steps], Writer::default());
        self.emit("Pad", &out, &[&cut, &pads], Writer::default());
    }

    /// `first`, and the parameters of node `index`.
    fn with_parameters(&self, index: usize, first: String) -> Vec<String> {
        let own = self.network.parameters.iter().filter(|parameter| parameter.node == index);
        debug_assert!(
            own.clone().is_sorted_by_key(|p| matches!(p.kind, ParamKind::Bias | ParamKind::Shift))
        );
        std::iter::once(first).chain(own.map(|parameter| parameter.name.clone())).collect()
    }

    /// What node `index` gives, as batch and features.
    fn flat(&mut self, index: usize) -> String {
        let made = self.made[index].clone();
        if made.flat {
            return made.name;
        }
        let name = format!("{}.flat.{}", made.name, self.nodes.bytes.len());
        self.emit("Flatten", &name, &[&made.name], Writer::default().put(5, int("axis", 1)));
        name
    }

    /// What node `index` gives, as batch, channels, height and width.
    fn places(&mut self, index: usize) -> String {
        let made = self.made[index].clone();
        if !made.flat {
            return made.name;
        }
        let description: &Description = &self.network.description;
        let [channels, height, width] = description.nodes[index].shape.map(|side| side as i64);
        let name = format!("{}.places.{}", made.name, self.nodes.bytes.len());
        let sides = format!("{name}.sides");
        self.ints(&sides, &[-1, channels, height, width]);
        self.emit("Reshape", &name, &[&made.name, &sides], Writer::default());
        name
    }

    /// Adds a node that makes the value `name`. `attributes` are fields of the node already.
    ///
    /// What a node of the description gives is called `<node>.out`, so that no node, whatever it is
    /// called, takes the name of a parameter.
    fn emit(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Writer) {
        let node_name = name.strip_suffix(OUT).unwrap_or(name);
        let node = inputs.iter().fold(Writer::default(), |node, input| node.put(1, input));
        let mut node = node.put(2, name).put(3, node_name).put(4, op);
        node.bytes.extend(attributes.bytes);
        self.nodes = std::mem::take(&mut self.nodes).put(1, node);
    }

    fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, dims, FLOAT, &raw);
    }

    fn ints(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, &[values.len() as i64], INT64, &raw);
    }

    fn tensor(&mut self, name: &str, dims: &[i64], kind: i64, raw: &[u8]) {
        let tensor = Writer::default().each(1, dims).int(2, kind).put(8, name).put(9, raw);
        self.initializers = std::mem::take(&mut self.initializers).put(5, tensor);
    }
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A value of the graph's interface: a batch of any size, and `dims`.
fn value(name: &str, dims: &[i64]) -> Writer {
    let batch = Writer::default().put(2, "batch");
    let shape = dims.iter().fold(Writer::default().put(1, batch), |shape, &side| {
        shape.put(1, Writer::default().int(1, side))
    });
    let tensor = Writer::default().int(1, FLOAT).put(2, shape);
    Writer::default().put(1, name).put(2, Writer::default().put(1, tensor))
}

/// Attributes of a window that slides.
fn window(kernel: &[usize; 2], stride: &[usize; 2], padding: &[usize; 2]) -> Writer {
    let both = |pair: &[usize; 2]| pair.map(|side| side as i64);
    let [top, left] = both(padding);
    Writer::default()
        .put(5, ints("kernel_shape", &both(kernel)))
        .put(5, ints("strides", &both(stride)))
        .put(5, ints("pads", &[top, left, top, left]))
}

fn int(name: &str, value: i64) -> Writer {
    Writer::default().put(1, name).int(3, value).int(20, 2)
}

fn float(name: &str, value: f32) -> Writer {
    Writer::default().put(1, name).float(2, value).int(20, 1)
}

fn ints(name: &str, values: &[i64]) -> Writer {
    Writer::default().put(1, name).each(8, values).int(20, 7)
}
