//! The messages of an ONNX file, borrowed from its bytes. Field numbers are those of `onnx.proto`.
//!
//! Nothing here is trusted but that it decodes and that lists are of bounded length;
//! [`super::graph`] makes a network of it.

use std::collections::BTreeMap;

use super::wire::{Message, push};
use crate::exchange::error::ExchangeFault;

/// Nodes, initializers, inputs and outputs of a graph, and entries of metadata: each at most so
/// many. A network here has 4096 operations.
const MOST: usize = 16_384;
/// Inputs and outputs of a node, and numbers of an attribute.
const MOST_OF_NODE: usize = 256;
/// Attributes of a node.
const MOST_ATTRIBUTES: usize = 32;
/// Dimensions of a tensor.
pub(super) const MAX_RANK: usize = 8;

/// A model.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    pub producer: &'a str,
    /// Version of ONNX's own operations.
    pub opset: Option<i64>,
    pub metadata: BTreeMap<&'a str, &'a str>,
    pub graph: Graph<'a>,
}

/// Its graph.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub name: &'a str,
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<Tensor<'a>>,
    pub inputs: Vec<Input<'a>>,
    pub outputs: Vec<&'a str>,
}

/// A value that is given from outside.
#[derive(Debug, Default)]
pub(super) struct Input<'a> {
    pub name: &'a str,
    /// Type of its elements; 1 is `f32`.
    pub elements: i64,
    /// Its sides; `None` where one is not a fixed number.
    pub sides: Vec<Option<i64>>,
}

/// One operation.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// One attribute of an operation.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub float: f32,
    pub int: i64,
    pub text: &'a [u8],
    pub ints: Vec<i64>,
    pub tensor: Option<Box<Tensor<'a>>>,
    /// Whether it is of a kind that is not read here: a graph, floats, texts.
    pub other: bool,
}

/// A tensor. Of the payloads at most one is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub kind: i64,
    pub raw: Option<Message<'a>>,
    /// All of it again: values that stand in fields are read when they are asked for.
    pub whole: Message<'a>,
    /// Where the values lie, if in another file.
    pub external: BTreeMap<&'a str, &'a str>,
    pub is_external: bool,
}

impl<'a> Model<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ExchangeFault> {
        let mut model = Self::default();
        let mut graphs = 0;
        for field in Message::whole(bytes).fields() {
            let field = field?;
            match field.number {
                2 => model.producer = field.text()?,
                7 => {
                    graphs += 1;
                    model.graph = Graph::parse(field.bytes()?)?;
                }
                8 => {
                    let (domain, version) = opset(field.bytes()?)?;
                    if is_own(domain) {
                        model.opset = Some(version);
                    }
                }
                14 => {
                    let (key, value) = entry(field.bytes()?)?;
                    if model.metadata.len() < MOST {
                        model.metadata.insert(key, value);
                    }
                }
                _ => {}
            }
        }
        match graphs {
            1 => Ok(model),
            0 => Err(ExchangeFault::Wire { offset: 0, what: "there is no graph" }),
            _ => Err(ExchangeFault::Wire { offset: 0, what: "there is more than one graph" }),
        }
    }
}

/// Whether a domain is ONNX's own.
pub(super) fn is_own(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn opset(message: Message<'_>) -> Result<(&str, i64), ExchangeFault> {
    let mut found = ("", 0);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => found.0 = field.text()?,
            2 => found.1 = field.int()?,
            _ => {}
        }
    }
    Ok(found)
}

fn entry(message: Message<'_>) -> Result<(&str, &str), ExchangeFault> {
    let mut found = ("", "");
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => found.0 = field.text()?,
            2 => found.1 = field.text()?,
            _ => {}
        }
    }
    Ok(found)
}

impl<'a> Graph<'a> {
    fn parse(message: Message<'a>) -> Result<Self, ExchangeFault> {
        let mut graph = Self::default();
        for field in message.fields() {
            let field = field?;
            let at = field.offset;
            match field.number {
                1 => push(&mut graph.nodes, Node::parse(field.bytes()?)?, MOST, at)?,
                2 => graph.name = field.text()?,
                5 => push(&mut graph.initializers, Tensor::parse(field.bytes()?)?, MOST, at)?,
                11 => push(&mut graph.inputs, Input::parse(field.bytes()?)?, MOST, at)?,
                12 => push(&mut graph.outputs, Input::parse(field.bytes()?)?.name, MOST, at)?,
                15 => {
                    let what = "a sparse initializer, which is not read: export dense weights";
                    return Err(ExchangeFault::Wire { offset: at, what });
                }
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn parse(message: Message<'a>) -> Result<Self, ExchangeFault> {
        let mut node = Self::default();
        for field in message.fields() {
            let field = field?;
            let at = field.offset;
            match field.number {
                1 => push(&mut node.inputs, field.text()?, MOST_OF_NODE, at)?,
                2 => push(&mut node.outputs, field.text()?, MOST_OF_NODE, at)?,
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                5 => {
                    let attribute = Attribute::parse(field.bytes()?)?;
                    push(&mut node.attributes, attribute, MOST_ATTRIBUTES, at)?;
                }
                7 => node.domain = field.text()?,
                _ => {}
            }
        }
        Ok(node)
    }
}

impl<'a> Attribute<'a> {
    fn parse(message: Message<'a>) -> Result<Self, ExchangeFault> {
        let mut attribute = Self::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => attribute.name = field.text()?,
                2 => attribute.float = field.float()?,
                3 => attribute.int = field.int()?,
                4 => attribute.text = field.bytes()?.bytes,
                5 => attribute.tensor = Some(Box::new(Tensor::parse(field.bytes()?)?)),
                8 => field.ints(&mut attribute.ints, MOST_OF_NODE)?,
                6 | 7 | 9 | 10 | 11 | 14 | 15 | 22 | 23 => attribute.other = true,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> Tensor<'a> {
    fn parse(message: Message<'a>) -> Result<Self, ExchangeFault> {
        let mut tensor = Self { whole: message, ..Self::default() };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => field.ints(&mut tensor.dims, MAX_RANK)?,
                2 => tensor.kind = field.int()?,
                8 => tensor.name = field.text()?,
                9 => tensor.raw = Some(field.bytes()?),
                13 => {
                    let (key, value) = entry(field.bytes()?)?;
                    if ["location", "offset", "length"].contains(&key) {
                        tensor.external.insert(key, value);
                    }
                }
                14 => tensor.is_external = field.int()? == 1,
                _ => {}
            }
        }
        Ok(tensor)
    }
}

impl<'a> Input<'a> {
    fn parse(message: Message<'a>) -> Result<Self, ExchangeFault> {
        let mut input = Self::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => input.name = field.text()?,
                2 => input.read_type(field.bytes()?)?,
                _ => {}
            }
        }
        Ok(input)
    }

    fn read_type(&mut self, message: Message<'a>) -> Result<(), ExchangeFault> {
        for field in message.fields() {
            let field = field?;
            // Anything but a tensor leaves no sides, which no network can take.
            if field.number != 1 {
                continue;
            }
            for field in field.bytes()?.fields() {
                let field = field?;
                match field.number {
                    1 => self.elements = field.int()?,
                    2 => self.read_shape(field.bytes()?)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn read_shape(&mut self, message: Message<'a>) -> Result<(), ExchangeFault> {
        for field in message.fields() {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            let mut side = None;
            for inner in field.bytes()?.fields() {
                let inner = inner?;
                if inner.number == 1 {
                    side = Some(inner.int()?);
                }
            }
            push(&mut self.sides, side, MAX_RANK, field.offset)?;
        }
        Ok(())
    }
}
