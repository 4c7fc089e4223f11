//! The difference as a script reads it. Keys are stable.

use std::path::Path;

use serde_json::{Value, json};

use super::{Compared, Model, dimensions};
use crate::cli::setting;
use crate::model::diff::{self, Change, Difference, Distance, Form, Moved, Part, TensorDifference};

/// The whole difference. `plot` is where the page was written.
pub(super) fn of(compared: &Compared, plot: Option<&Path>) -> Value {
    let Compared { a, b, difference } = compared;
    let change = |c: &Change| json!({ "key": c.key, "a": c.a, "b": c.b });
    let changes = |list: &[Change]| list.iter().map(change).collect::<Vec<_>>();
    let description = &difference.description;
    json!({
        "command": "diff", "a": model(a), "b": model(b),
        "same_file": difference.same_file, "same_model": difference.same_model,
        "description": { "same_text": description.same_text,
            "same_structure": description.same_structure, "only_a": description.only_a,
            "only_b": description.only_b, "changed": description.changed },
        "classes": classes(difference),
        "features": changes(&difference.features), "facts": changes(&difference.facts),
        "sections": difference.sections,
        "tensors": difference.tensors.iter().map(|t| tensor(difference, t)).collect::<Vec<_>>(),
        "totals": {
            "parameters": sums(difference, &difference.total(TensorDifference::is_parameter)),
            "prunable": sums(difference, &difference.total(TensorDifference::is_prunable)),
            "buffers": sums(difference, &difference.total(|t| t.part == Part::Buffer)),
            "momentum": sums(difference, &difference.total(|t| t.part == Part::Momentum)) },
        "moved": difference.moved.iter().map(|m| moved(difference, m)).collect::<Vec<_>>(),
        "plot": plot.map(setting::told),
    })
}

fn model(model: &Model) -> Value {
    json!({ "file": setting::told(&model.path), "id": model.artifact.id.to_string(),
        "model": model.artifact.network.description.name, "file_bytes": model.artifact.bytes })
}

fn classes(difference: &Difference) -> Value {
    let classes = &difference.classes;
    let renamed = |(a, b): &(String, String)| json!({ "a": a, "b": b });
    let moved =
        |(name, a, b): &(String, usize, usize)| json!({ "name": name, "label_a": a, "label_b": b });
    json!({ "same": classes.is_same(), "gone": classes.gone, "added": classes.added,
        "renamed": classes.renamed.iter().map(renamed).collect::<Vec<_>>(),
        "moved": classes.moved.iter().map(moved).collect::<Vec<_>>() })
}

fn tensor(difference: &Difference, tensor: &TensorDifference) -> Value {
    let form = |form: &Form| json!({ "shape": dimensions(&form.shape), "weights": form.existing, "dtype": form.dtype.to_string(), "kind": form.kind.to_string() });
    json!({ "name": tensor.name, "part": part(tensor), "prunable": tensor.is_prunable(),
        "a": tensor.a.as_ref().map(form), "b": tensor.b.as_ref().map(form),
        "compared": tensor.compared.as_ref().map(|c| sums(difference, c)) })
}

fn part(tensor: &TensorDifference) -> &'static str {
    match tensor.part {
        Part::Parameter { .. } => "parameter",
        Part::Buffer => "buffer",
        Part::Momentum => "momentum",
    }
}

fn sums(difference: &Difference, compared: &diff::Compared) -> Value {
    let distance = |d: &Distance| {
        let [a, b] = d.norms();
        json!({ "entries": d.entries, "l2": d.l2(), "l1": d.l1, "norm_a": a, "norm_b": b,
            "relative_l2": d.relative(), "cosine": d.cosine(),
            "largest": d.largest.map(|m| moved(difference, &m)) })
    };
    json!({ "in_both": compared.both.entries, "left": compared.left, "came": compared.came,
        "jaccard": compared.jaccard(), "equal": compared.equal, "changed": compared.changed(),
        "both": distance(&compared.both), "union": distance(&compared.union) })
}

fn moved(difference: &Difference, moved: &Moved) -> Value {
    // By way of its text, so that an `f32` of 0.1 is told as 0.1.
    json!({ "entry": difference.name_of(moved), "a": setting::plain(&moved.a),
        "b": setting::plain(&moved.b), "difference": moved.by() })
}
