//! From what the text of a description claims to a checked [`Description`].

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::attributes::Attributes;
use super::describe::{Description, Node, Op};
use super::fault::{DescribeError, DescribeFault};
use super::shapes::{MAX_CHANNELS, infer};
use super::text::{UncheckedDescription, UncheckedInput, UncheckedOp};

/// The longest description that is read, in bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// The most nodes, the input among them.
pub const MAX_NODES: usize = 4096;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// The name of node 0.
pub const INPUT: &str = "input";

/// A fault and the byte of the text at which it lies.
pub(super) type Located = (usize, DescribeFault);

impl Description {
    /// Reads and checks a description. `source_name` is what errors call the text, `classes` the
    /// number of classes that the data has.
    ///
    /// # Errors
    /// If the text is no description, or describes a network that cannot be.
    pub fn parse(text: &str, source_name: &str, classes: usize) -> Result<Self, DescribeError> {
        check(text, classes).map_err(|(at, fault)| {
            let before = text.as_bytes().iter().take(at);
            let line = 1 + before.filter(|&&byte| byte == b'\n').count();
            DescribeError { file: source_name.into(), line, fault: Box::new(fault) }
        })
    }
}

fn check(text: &str, classes: usize) -> Result<Description, Located> {
    if text.len() > MAX_TEXT {
        return Err((0, DescribeFault::TooLong { bytes: text.len(), limit: MAX_TEXT }));
    }
    let claimed: UncheckedDescription = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, DescribeFault::Unreadable { message: error.message().trim().replace('\n', "; ") })
    })?;
    if claimed.op.len() >= MAX_NODES {
        let fault = DescribeFault::TooManyOps { found: claimed.op.len(), limit: MAX_NODES - 1 };
        return Err((0, fault));
    }
    check_name(&claimed.name)?;
    let mut graph = Graph::starting_with(&claimed.input, classes)?;
    let channels = claimed.input.shape.get_ref()[0];
    for op in &claimed.op {
        graph.push(op.span().start, op.get_ref())?;
    }
    Ok(Description {
        name: claimed.name.get_ref().clone(),
        classes,
        mean: for_all(claimed.input.mean.into_inner(), channels),
        std: for_all(claimed.input.std.into_inner(), channels),
        nodes: graph.finish()?,
        source: text.to_owned(),
    })
}

/// The nodes that were checked so far.
struct Graph {
    nodes: Vec<Node>,
    /// Where in the text each node stands.
    places: Vec<usize>,
    by_name: BTreeMap<String, usize>,
    classes: usize,
}

impl Graph {
    fn starting_with(input: &UncheckedInput, classes: usize) -> Result<Self, Located> {
        check_input(input, classes)?;
        let node = Node {
            name: INPUT.into(),
            op: Op::Input,
            inputs: Vec::new(),
            shape: *input.shape.get_ref(),
            prunable: false,
        };
        let place = input.shape.span().start;
        infer(INPUT, &Op::Input, &[node.shape]).map_err(|fault| (place, fault))?;
        let by_name = BTreeMap::from([(INPUT.to_owned(), 0)]);
        Ok(Self { nodes: vec![node], places: vec![place], by_name, classes })
    }

    fn push(&mut self, place: usize, claimed: &UncheckedOp) -> Result<(), Located> {
        check_name(&claimed.name)?;
        let name = claimed.name.get_ref().clone();
        let index = self.nodes.len();
        if self.by_name.contains_key(&name) {
            return Err((claimed.name.span().start, DescribeFault::DuplicateName { name }));
        }
        let attributes = Attributes::of(claimed, self.classes)?;
        let inputs = self.sources(place, claimed, &attributes.op)?;
        let shapes: Vec<_> = inputs.iter().map(|&input| self.nodes[input].shape).collect();
        let shape = infer(&name, &attributes.op, &shapes).map_err(|fault| (place, fault))?;
        self.by_name.insert(name.clone(), index);
        let Attributes { op, prunable } = attributes;
        self.nodes.push(Node { name, op, inputs, shape, prunable });
        self.places.push(place);
        Ok(())
    }

    /// The indices that `from` names; without it, the node above.
    fn sources(&self, place: usize, claimed: &UncheckedOp, op: &Op) -> Result<Vec<usize>, Located> {
        let (place, inputs) = match &claimed.from {
            None => (place, vec![self.nodes.len() - 1]),
            Some(from) => {
                let find = |name: &String| {
                    self.by_name.get(name).copied().ok_or_else(|| DescribeFault::UnknownSource {
                        op: claimed.name.get_ref().clone(),
                        from: name.clone(),
                    })
                };
                let place = from.span().start;
                let found: Result<Vec<usize>, _> =
                    from.get_ref().names().iter().map(find).collect();
                (place, found.map_err(|fault| (place, fault))?)
            }
        };
        let distinct = inputs.iter().collect::<BTreeSet<_>>().len();
        let (fits, expected) = match op {
            Op::Add => (inputs.len() == 2 && distinct == 2, "two different operations"),
            _ => (inputs.len() == 1, "one operation"),
        };
        if fits {
            return Ok(inputs);
        }
        let fault = DescribeFault::WrongSources {
            op: claimed.name.get_ref().clone(),
            kind: claimed.kind.get_ref().clone(),
            expected,
            found: inputs.len(),
        };
        Err((place, fault))
    }

    /// The nodes, if each is read and the last gives the logits.
    fn finish(self) -> Result<Vec<Node>, Located> {
        let mut unread: BTreeSet<usize> = (0..self.nodes.len() - 1).collect();
        for input in self.nodes.iter().flat_map(|node| &node.inputs) {
            unread.remove(input);
        }
        if let Some(&node) = unread.first() {
            let op = self.nodes[node].name.clone();
            return Err((self.places[node], DescribeFault::Unused { op }));
        }
        let last = self.nodes.len() - 1;
        let (node, shape) = (&self.nodes[last], self.nodes[last].shape);
        if last == 0 || shape != [self.classes, 1, 1] {
            let (op, classes) = (node.name.clone(), self.classes);
            return Err((self.places[last], DescribeFault::WrongHead { op, shape, classes }));
        }
        Ok(self.nodes)
    }
}

/// One value a channel, of one that counts for all or one a channel.
fn for_all(values: Vec<f32>, channels: usize) -> Vec<f32> {
    if let [value] = values[..] { vec![value; channels] } else { values }
}

fn check_name(name: &Spanned<String>) -> Result<(), Located> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    let text = name.get_ref();
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    let shown = text.chars().take(MAX_NAME).collect();
    Err((name.span().start, DescribeFault::BadName { name: shown, limit: MAX_NAME }))
}

fn check_input(input: &UncheckedInput, classes: usize) -> Result<(), Located> {
    let bad = |place: usize, key, found: String, expected: String| {
        Err((place, DescribeFault::BadValue { op: INPUT.into(), key, found, expected }))
    };
    let (shape, place) = (*input.shape.get_ref(), input.shape.span().start);
    if !shape.iter().all(|side| (1..=MAX_CHANNELS).contains(side)) {
        let expected = format!("three sides of 1 to {MAX_CHANNELS}");
        return bad(place, "shape", format!("{shape:?}"), expected);
    }
    if !(1..=MAX_CHANNELS).contains(&classes) {
        let expected = format!("1 to {MAX_CHANNELS} classes in the data");
        return bad(place, "classes", classes.to_string(), expected);
    }
    let (mean, std) = (input.mean.get_ref(), input.std.get_ref());
    let count = |values: &[f32]| [1, shape[0]].contains(&values.len());
    if !count(mean) || !mean.iter().all(|value| value.is_finite()) {
        let expected = format!("{} finite numbers, one a channel, or one for all", shape[0]);
        return bad(input.mean.span().start, "mean", format!("{mean:?}"), expected);
    }
    if !count(std) || !std.iter().all(|value| value.is_finite() && *value > 0.0) {
        let expected =
            format!("{} finite numbers above 0, one a channel, or one for all", shape[0]);
        return bad(input.std.span().start, "std", format!("{std:?}"), expected);
    }
    Ok(())
}
