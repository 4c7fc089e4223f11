//! The operations that compute nothing: they change sides, make constants, or are the parts of a
//! shortcut without parameters.

use super::graph::{Builder, Flow, Value, fault, shape_of};
use super::message::Node;
use crate::exchange::error::ExchangeFault;
use crate::model::Op;

type Done = Result<(), ExchangeFault>;

impl<'a> Builder<'a, '_, '_> {
    /// Takes in a node that computes nothing; any other is refused.
    pub(super) fn shaping(&mut self, node: &'a Node<'a>) -> Done {
        match node.op {
            "Constant" => self.constant_node(node),
            "Flatten" => {
                let flow = self.flow(node, 0)?;
                let rank = flow.dims.len() as i64 + 1;
                let axis = node.int("axis", 1);
                if axis != 1 && axis.checked_add(rank) != Some(1) {
                    return Err(fault(node, "only all sides behind the batch are flattened"));
                }
                let all = flow.dims.iter().product();
                self.reshape(node, flow, vec![all])
            }
            "Reshape" => {
                let flow = match self.value(node, 0)? {
                    Value::Flow(flow) => flow,
                    value => return self.reshape_sizes(node, value),
                };
                let told = self.sizes(node, 1)?;
                if node.int("allowzero", 0) != 0 && told.contains(&Some(0)) {
                    return Err(fault(node, "it makes a side of 0"));
                }
                let dims = self.resolved(node, &flow, &told)?;
                self.reshape(node, flow, dims)
            }
            "Squeeze" | "Unsqueeze" => self.squeeze(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            _ => self.whole_numbers(node),
        }
    }

    fn constant_node(&mut self, node: &'a Node<'a>) -> Done {
        let Some(told) = node.attributes.first() else {
            return Err(fault(node, "it has no value"));
        };
        let value = match (told.name, &told.tensor) {
            ("value", Some(tensor)) => Value::Tensor(tensor),
            ("value_int", _) => Value::Sizes(vec![Some(told.int)]),
            ("value_ints", _) => Value::Sizes(told.ints.iter().copied().map(Some).collect()),
            ("value_float", _) if told.float.is_finite() => Value::Number(told.float),
            _ => {
                return Err(fault(
                    node,
                    format!("a constant of kind `{}` is not supported", told.name),
                ));
            }
        };
        self.set(node, value)
    }

    /// The axes of `node`: an attribute in old files, its second input in new ones.
    pub(super) fn axes(&self, node: &Node<'a>) -> Result<Vec<i64>, ExchangeFault> {
        match node.attribute("axes") {
            Some(axes) => Ok(axes.ints.clone()),
            None if node.inputs.len() > 1 => self.ints(node, 1),
            None => Ok(Vec::new()),
        }
    }

    /// Gives `flow` other sides, which must be as many values: as they were, or all in a row.
    fn reshape(&mut self, node: &Node<'a>, flow: Flow, dims: Vec<usize>) -> Done {
        let count =
            |dims: &[usize]| dims.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
        let from = &flow.dims;
        let Some(shape) = shape_of(&dims).filter(|_| count(&dims) == count(from)) else {
            return Err(fault(
                node,
                format!(
                    "it makes {dims:?} of {from:?} (without the batch): only flattening is supported"
                ),
            ));
        };
        if flow.layer == 0
            && !self.sealed()
            && flow.stage == 0
            && shape[0] != self.layers[0].shape[0]
        {
            // Nothing was read yet: the network takes its input in these sides.
            self.layers[0].shape = shape;
            (self.mean, self.std) = (vec![0.0; shape[0]], vec![1.0; shape[0]]);
        } else if dims.len() > 1 && shape != self.layers[flow.layer].shape {
            return Err(fault(
                node,
                format!(
                    "it makes {dims:?} of {from:?} (without the batch): only flattening is supported"
                ),
            ));
        }
        self.set(node, Value::Flow(Flow { dims, ..flow }))
    }

    /// The sides without the batch that `told`, the second input of a Reshape, means for `flow`.
    fn resolved(
        &self,
        node: &Node<'a>,
        flow: &Flow,
        told: &[Option<i64>],
    ) -> Result<Vec<usize>, ExchangeFault> {
        let wrong = || {
            fault(
                node,
                format!("its sides {told:?} are not the batch and as many values as it reads"),
            )
        };
        let (Some(batch), Some(rest)) = (told.first(), told.get(1..)) else { return Err(wrong()) };
        let keeps = match batch {
            None | Some(0) => true,
            // The rest then says all of a sample.
            Some(-1) => !rest.contains(&Some(-1)),
            Some(fixed) => self.batch == Some(*fixed),
        };
        let all: usize = flow.dims.iter().product();
        let mut dims = Vec::new();
        let mut open = None;
        for (index, side) in rest.iter().enumerate() {
            match side {
                Some(-1) if open.is_none() => {
                    open = Some(index);
                    dims.push(1);
                }
                Some(0) => dims.push(*flow.dims.get(index).ok_or_else(wrong)?),
                Some(side) => dims.push(usize::try_from(*side).map_err(|_| wrong())?),
                None => return Err(wrong()),
            }
        }
        if let Some(open) = open {
            let others = dims.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
            let others = others.filter(|&count| count > 0 && all.is_multiple_of(count));
            dims[open] = all / others.ok_or_else(wrong)?;
        }
        if keeps { Ok(dims) } else { Err(wrong()) }
    }

    /// Takes out sides of 1, or puts some in.
    fn squeeze(&mut self, node: &'a Node<'a>) -> Done {
        let axes = self.axes(node)?;
        let value = self.value(node, 0)?;
        let Value::Flow(flow) = value else { return self.set(node, value) };
        let adds = node.op == "Unsqueeze";
        let mut sides: Vec<Option<usize>> = vec![None];
        sides.extend(flow.dims.iter().map(|&side| Some(side)));
        let rank = (sides.len() + if adds { axes.len() } else { 0 }) as i64;
        let wrong = || {
            fault(node, format!("its axes {axes:?} do not fit {:?} (without the batch)", flow.dims))
        };
        let mut places = Vec::new();
        for &axis in &axes {
            let axis = if axis < 0 { axis + rank } else { axis };
            // The batch stays where it is.
            places.push(
                usize::try_from(axis)
                    .ok()
                    .filter(|at| (1..rank as usize).contains(at))
                    .ok_or_else(wrong)?,
            );
        }
        places.sort_unstable();
        places.dedup();
        if adds {
            places.iter().for_each(|&at| sides.insert(at.min(sides.len()), Some(1)));
        } else {
            let listed = |at: usize| if axes.is_empty() { at > 0 } else { places.contains(&at) };
            if places.iter().any(|&at| sides[at] != Some(1)) {
                return Err(wrong());
            }
            let mut at = 0..;
            sides.retain(|side| at.next().is_some_and(|at| *side != Some(1) || !listed(at)));
        }
        let dims: Vec<usize> = sides.into_iter().flatten().collect();
        self.reshape(node, flow, dims)
    }

    /// Every `step`-th row and column, from the first on: half of a shortcut without parameters.
    fn slice(&mut self, node: &'a Node<'a>) -> Done {
        let flow = match self.value(node, 0)? {
            Value::Flow(flow) => flow,
            value => return self.slice_sizes(node, value),
        };
        let (starts, ends) = (self.ints(node, 1)?, self.ints(node, 2)?);
        let axes = match node.inputs.get(3) {
            Some(name) if !name.is_empty() => self.ints(node, 3)?,
            _ => (0..starts.len() as i64).collect(),
        };
        let steps = match node.inputs.get(4) {
            Some(name) if !name.is_empty() => self.ints(node, 4)?,
            _ => vec![1; starts.len()],
        };
        let rank = flow.dims.len() as i64 + 1;
        let mut cut = flow;
        for (index, &axis) in axes.iter().enumerate() {
            let axis = if axis < 0 { axis + rank } else { axis };
            let at = |list: &[i64]| list.get(index).copied();
            let (start, end, step) = (at(&starts), at(&ends), at(&steps));
            let side = usize::try_from(axis - 1).ok().and_then(|at| cut.dims.get(at)).copied();
            let whole = start == Some(0)
                && side.is_none_or(|side| {
                    end.is_some_and(|end| end >= 0 && end as u64 >= side as u64)
                });
            match (axis, step) {
                (0 | 1, Some(1)) if whole => {}
                (2 | 3, Some(step @ 1..=1024)) if whole && rank == 4 => {
                    let direction = axis as usize - 2;
                    cut.steps[direction] = cut.steps[direction].saturating_mul(step as usize);
                    let side = &mut cut.dims[axis as usize - 1];
                    *side = side.div_ceil(step as usize);
                }
                _ => {
                    return Err(fault(
                        node,
                        "only every n-th row and column from the first on is taken, for a shortcut without parameters",
                    ));
                }
            }
        }
        self.set(node, Value::Flow(cut))
    }

    /// Zero channels before and behind: the other half of the shortcut.
    fn pad(&mut self, node: &'a Node<'a>) -> Done {
        let flow = self.flow(node, 0)?;
        let mode = node.attribute("mode").map_or(&b"constant"[..], |attribute| attribute.text);
        let pads = match node.attribute("pads") {
            Some(pads) => pads.ints.clone(),
            None => self.ints(node, 1)?,
        };
        let zero = match node.inputs.get(2) {
            Some(name) if !name.is_empty() => match self.value(node, 2)? {
                Value::Tensor(tensor) => {
                    tensor.floats(self.files)?.iter().all(|value| *value == 0.0)
                }
                Value::Number(number) => number == 0.0,
                _ => false,
            },
            _ => node.attribute("value").is_none_or(|attribute| attribute.float == 0.0),
        };
        let by_axes = node.inputs.get(3).is_some_and(|name| !name.is_empty());
        let [0, before, 0, 0, 0, behind, 0, 0] = pads[..] else {
            return Err(fault(
                node,
                format!(
                    "it pads by {pads:?}: only channels of a shortcut without parameters are padded"
                ),
            ));
        };
        let more = usize::try_from(before).ok().filter(|more| *more <= 65_536);
        let Some(more) = more.filter(|_| {
            before == behind && zero && mode == b"constant" && !by_axes && flow.dims.len() == 3
        }) else {
            return Err(fault(node, "only as many channels of zeros before as behind are added"));
        };
        let mut dims = flow.dims.clone();
        dims[0] += 2 * more;
        let op = Op::PadShortcut { stride: flow.steps, channels: dims[0] };
        let whole = Flow { steps: [1; 2], ..flow };
        let padded = self.push(node, "", op, &[&whole], dims, Vec::new())?;
        self.set(node, Value::Flow(padded))
    }
}
