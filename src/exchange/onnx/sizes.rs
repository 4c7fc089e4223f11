//! Whole numbers about shapes, which tracing leaves in a graph: the sides for a `view`, and the
//! padding of a shortcut, which PyTorch tells from the last side on, in pairs.

use super::graph::{Builder, Value, fault};
use super::message::Node;
use crate::exchange::error::ExchangeFault;

type Done = Result<(), ExchangeFault>;
/// A list of whole numbers; `None` is the size of the batch.
type Sizes = Vec<Option<i64>>;

/// The longest list. A shape has no more than eight sides.
const MOST: usize = 64;

impl<'a> Builder<'a, '_, '_> {
    /// Takes in a node that computes whole numbers; any other is refused.
    pub(super) fn whole_numbers(&mut self, node: &'a Node<'a>) -> Done {
        let sizes = match node.op {
            "Shape" => {
                node.only(&[])?;
                let flow = self.flow(node, 0)?;
                let mut sizes = vec![self.batch];
                sizes.extend(flow.dims.iter().map(|&side| i64::try_from(side).ok()));
                sizes
            }
            "Gather" => {
                let from = self.sizes(node, 0)?;
                let index = self.ints(node, 1)?;
                let [index] = index[..] else {
                    return Err(fault(node, "it takes more than one number"));
                };
                let at = if index < 0 { index.saturating_add(from.len() as i64) } else { index };
                let found = usize::try_from(at).ok().and_then(|at| from.get(at));
                vec![*found.ok_or_else(|| fault(node, format!("there is no number {index}")))?]
            }
            "Concat" => {
                let mut sizes = Vec::new();
                for index in 0..node.inputs.len() {
                    sizes.extend(self.sizes(node, index)?);
                }
                sizes
            }
            "ConstantOfShape" => self.zeros(node)?,
            "Cast" => self.sizes(node, 0)?,
            "Transpose" => match self.value(node, 0)? {
                Value::Pairs { pairs, turned } => {
                    return self.set(node, Value::Pairs { pairs, turned: !turned });
                }
                _ => return Err(fault(node, "it is not supported")),
            },
            _ => return Err(fault(node, "it is not supported")),
        };
        match sizes.len() {
            0..=MOST => self.set(node, Value::Sizes(sizes)),
            _ => Err(fault(node, "a list of whole numbers is too long")),
        }
    }

    fn zeros(&self, node: &Node<'a>) -> Result<Sizes, ExchangeFault> {
        let fill = match node.attribute("value").and_then(|value| value.tensor.as_deref()) {
            Some(tensor) => tensor.ints()?,
            None => vec![0],
        };
        match (&self.ints(node, 0)?[..], &fill[..]) {
            (&[count @ 0..=64], &[fill]) => Ok(vec![Some(fill); count as usize]),
            _ => Err(fault(node, "only a short list of whole numbers is made")),
        }
    }

    /// A list taken as pairs, or pairs in a row again.
    pub(super) fn reshape_sizes(&mut self, node: &'a Node<'a>, value: Value<'a>) -> Done {
        let told = self.ints(node, 1)?;
        let value = match (value, &told[..]) {
            (Value::Pairs { pairs, turned: true }, [-1]) => {
                let column = |at: usize| pairs.iter().map(move |pair| pair[at]);
                Value::Sizes(column(0).chain(column(1)).collect())
            }
            (Value::Sizes(_) | Value::Tensor(_), [-1]) => Value::Sizes(self.sizes(node, 0)?),
            (Value::Sizes(_) | Value::Tensor(_), [-1, 2]) => {
                let sizes = self.sizes(node, 0)?;
                let (pairs, rest) = sizes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(fault(node, "an odd number of values makes no pairs"));
                }
                Value::Pairs { pairs: pairs.to_vec(), turned: false }
            }
            _ => return Err(fault(node, "it reshapes a constant in a way that is not supported")),
        };
        self.set(node, value)
    }

    /// A part of a list, or pairs in reverse.
    pub(super) fn slice_sizes(&mut self, node: &'a Node<'a>, value: Value<'a>) -> Done {
        let one = |list: Vec<i64>| if let [one] = list[..] { Some(one) } else { None };
        let told = |builder: &Self, index: usize, default| match node.inputs.get(index) {
            Some(name) if !name.is_empty() => builder.ints(node, index).map(one),
            _ => Ok(Some(default)),
        };
        let (start, end) = (one(self.ints(node, 1)?), one(self.ints(node, 2)?));
        let (axis, step) = (told(self, 3, 0)?, told(self, 4, 1)?);
        match (value, start.zip(end), axis, step) {
            (Value::Pairs { mut pairs, turned: false }, Some((-1, ..=-64)), Some(0), Some(-1)) => {
                pairs.reverse();
                self.set(node, Value::Pairs { pairs, turned: false })
            }
            (Value::Sizes(sizes), Some((start, end)), Some(0), Some(1)) => {
                let len = sizes.len() as i64;
                let at = |place: i64| {
                    let place = if place < 0 { place.saturating_add(len) } else { place };
                    place.clamp(0, len) as usize
                };
                let cut = sizes.get(at(start)..at(end)).unwrap_or_default().to_vec();
                self.set(node, Value::Sizes(cut))
            }
            _ => Err(fault(node, "it cuts a constant in a way that is not supported")),
        }
    }

    /// The whole numbers that `node` reads as its input `index`; `None` among them is the batch.
    pub(super) fn sizes(
        &self,
        node: &Node<'a>,
        index: usize,
    ) -> Result<Vec<Option<i64>>, ExchangeFault> {
        match self.value(node, index)? {
            Value::Sizes(sizes) => Ok(sizes),
            Value::Tensor(tensor) => Ok(tensor.ints()?.into_iter().map(Some).collect()),
            _ => Err(fault(node, format!("its input {index} must be constant whole numbers"))),
        }
    }

    /// As [`Builder::sizes`], none of them the batch.
    pub(super) fn ints(&self, node: &Node<'a>, index: usize) -> Result<Vec<i64>, ExchangeFault> {
        let sizes: Option<Vec<i64>> = self.sizes(node, index)?.into_iter().collect();
        sizes.ok_or_else(|| fault(node, format!("its input {index} depends on the batch")))
    }
}
