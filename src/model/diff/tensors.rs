//! Pairs the tensors of two models, and walks through their entries side by side.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Compared, Form, Magnitudes, Moved, Part, Side, TensorDifference};
use crate::model::file::MOMENTUM;
use crate::sparse::Mask;

/// One tensor of a side: what it is, which entries exist, and their values in mask order.
struct View<'a> {
    name: String,
    part: Part,
    form: Form,
    mask: Cow<'a, Mask>,
    values: &'a [f32],
}

/// What the tensors of two models come to.
pub(super) struct Tensors {
    pub tensors: Vec<TensorDifference>,
    pub moved: Vec<Moved>,
    pub magnitudes: Magnitudes,
}

/// Compares every tensor, and keeps the `most` entries of parameters that moved most.
pub(super) fn compare(a: Side<'_>, b: Side<'_>, most: usize) -> Tensors {
    let (left, right) = (views(a), views(b));
    let mut furthest = Furthest { most, found: Vec::new() };
    let mut done = Tensors { tensors: vec![], moved: vec![], magnitudes: Magnitudes::default() };
    let [in_a, in_b] = [&left, &right].map(|views| {
        views.iter().map(|view| (view.name.as_str(), view)).collect::<BTreeMap<_, _>>()
    });
    for view in &left {
        let other = in_b.get(view.name.as_str());
        let tensor = done.tensors.len();
        let compared = other.filter(|other| other.form.shape == view.form.shape).map(|other| {
            let mut sums = Compared::default();
            let sides = [view, other].map(|view| (&*view.mask, view.values));
            walk(sides, |position, a, b| {
                let entry = Moved { tensor, position, a, b };
                sums.add(entry);
                if matches!(view.part, Part::Parameter { .. }) {
                    done.magnitudes.add(&entry);
                    furthest.add(entry);
                }
            });
            sums
        });
        done.tensors.push(TensorDifference {
            name: view.name.clone(),
            part: either(view.part, other.map(|other| other.part)),
            a: Some(view.form.clone()),
            b: other.map(|other| other.form.clone()),
            compared,
        });
    }
    for View { name, part, form, .. } in &right {
        if !in_a.contains_key(name.as_str()) {
            let (name, b) = (name.clone(), Some(form.clone()));
            done.tensors.push(TensorDifference { name, part: *part, a: None, b, compared: None });
        }
    }
    done.moved = furthest.into_sorted();
    done
}

/// What a tensor is, where the two descriptions may not agree on what can be pruned.
fn either(a: Part, b: Option<Part>) -> Part {
    match (a, b) {
        (Part::Parameter { kind, prunable }, Some(Part::Parameter { prunable: other, .. })) => {
            Part::Parameter { kind, prunable: prunable || other }
        }
        _ => a,
    }
}

fn views(side: Side<'_>) -> Vec<View<'_>> {
    let network = &side.artifact.network;
    let mut views = Vec::new();
    for p in &network.parameters {
        let part = Part::Parameter { kind: p.kind, prunable: p.prunable };
        let (mask, values) = (Cow::Borrowed(&p.mask), &network.values[p.range.clone()]);
        views.extend(view(side, p.name.clone(), part, &p.shape, mask, values));
    }
    for buffer in &network.buffers {
        let mask = Cow::Owned(Mask::full(buffer.values.len()));
        let shape = [buffer.values.len()];
        views.extend(view(side, buffer.name.clone(), Part::Buffer, &shape, mask, &buffer.values));
    }
    for p in &network.parameters {
        let Some(momentum) = &side.artifact.momentum else { break };
        let name = format!("{MOMENTUM}{}", p.name);
        let (mask, values) = (Cow::Borrowed(&p.mask), &momentum[p.range.clone()]);
        views.extend(view(side, name, Part::Momentum, &p.shape, mask, values));
    }
    views
}

/// One tensor of `side`. Never `None`: reading the network found each of its tensors in the file.
fn view<'a>(
    side: Side<'a>,
    name: String,
    part: Part,
    shape: &[usize],
    mask: Cow<'a, Mask>,
    values: &'a [f32],
) -> Option<View<'a>> {
    let tensor = side.file.tensor(&name)?;
    let (dtype, kind, existing) = (tensor.dtype(), tensor.kind(), mask.existing());
    let form = Form { shape: shape.to_vec(), existing, dtype, kind };
    Some(View { name, part, form, mask, values })
}

/// Calls `each` with position and values of every entry that exists in either of two tensors, each given
/// as its mask and its values in mask order; ascending.
pub(super) fn walk(
    [a, b]: [(&Mask, &[f32]); 2],
    mut each: impl FnMut(usize, Option<f32>, Option<f32>),
) {
    let mut left = a.0.iter().zip(a.1.iter().copied()).peekable();
    let mut right = b.0.iter().zip(b.1.iter().copied()).peekable();
    loop {
        let position = match (left.peek(), right.peek()) {
            (Some((l, _)), Some((r, _))) => *l.min(r),
            (Some((l, _)), None) => *l,
            (None, Some((r, _))) => *r,
            (None, None) => return,
        };
        let mine = left.next_if(|entry| entry.0 == position).map(|entry| entry.1);
        let other = right.next_if(|entry| entry.0 == position).map(|entry| entry.1);
        each(position, mine, other);
    }
}

/// The entries that moved most so far, among some others.
struct Furthest {
    most: usize,
    found: Vec<Moved>,
}

impl Furthest {
    fn add(&mut self, entry: Moved) {
        if self.most == 0 || entry.by() == 0.0 {
            return;
        }
        self.found.push(entry);
        // Sorted now and then instead of at every entry: the cost stays that of one sort.
        if self.found.len() >= self.most.saturating_mul(2).max(4096) {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        // The sort is stable and entries come in order, so the first of equal ones stays first.
        self.found.sort_by(|a, b| b.by().abs().total_cmp(&a.by().abs()));
        self.found.truncate(self.most);
    }

    fn into_sorted(mut self) -> Vec<Moved> {
        self.shorten();
        self.found
    }
}
