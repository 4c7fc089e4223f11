//! The difference as a person reads it in a terminal.

use std::fmt::Write as _;

use super::{Compared, Model, dimensions, entry, figure};
use crate::base::units::Bytes;
use crate::cli::table::Table;
use crate::model::diff::{self, Change, ClassChange, Difference, Part, TensorDifference};

/// Names of a list that are told; of the others their number.
const TOLD: usize = 8;

/// The whole difference.
pub(super) fn of(compared: &Compared) -> String {
    let Compared { a, b, difference } = compared;
    let (left, right) = (a.path.display(), b.path.display());
    if difference.same_file {
        return format!("{left} and {right} are equal, byte by byte; id {}\n", a.artifact.id);
    }
    let mut text = format!("A  {}\nB  {}\n\n", told(a), told(b));
    if difference.same_model {
        text += "the same model in other bytes: only spelling or signatures differ\n";
    }
    text += &description(difference);
    text += &classes(&difference.classes, b.artifact.meaning.classes.len());
    text += &changes("features", &difference.features);
    text += &changes("facts", &difference.facts);
    if !difference.sections.is_empty() {
        let _ = writeln!(text, "other sections that differ: {}", listed(&difference.sections));
    }
    text += &tensors(difference);
    text + &moved(difference)
}

fn told(model: &Model) -> String {
    let name = &model.artifact.network.description.name;
    let (path, bytes) = (model.path.display(), Bytes(model.artifact.bytes));
    format!("{path}: {name}, {bytes}, id {}", model.artifact.id)
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(TOLD);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn description(difference: &Difference) -> String {
    let found = &difference.description;
    if found.same_text {
        return "description: the same text\n".into();
    }
    if found.same_structure {
        return "description: another text, the same network\n".into();
    }
    let mut text = "description: another network\n".to_string();
    for (words, names) in [
        ("operations only in A", &found.only_a),
        ("operations only in B", &found.only_b),
        ("operations that differ", &found.changed),
    ] {
        if !names.is_empty() {
            let _ = writeln!(text, "  {words}: {}", listed(names));
        }
    }
    text
}

fn classes(found: &ClassChange, count: usize) -> String {
    if found.is_same() {
        return format!("classes: the same {count}\n");
    }
    let renamed = found.renamed.iter().map(|(a, b)| format!("{a} → {b}")).collect();
    let moved = found.moved.iter().map(|(name, a, b)| format!("{name} (label {a} → {b})"));
    let mut text = "classes:\n".to_string();
    for (word, names) in [
        ("gone", found.gone.clone()),
        ("added", found.added.clone()),
        ("renamed", renamed),
        ("moved", moved.collect()),
    ] {
        if !names.is_empty() {
            let _ = writeln!(text, "  {word}: {}", listed(&names));
        }
    }
    text
}

fn changes(title: &str, found: &[Change]) -> String {
    if found.is_empty() {
        return format!("{title}: the same\n");
    }
    let width = found.iter().map(|change| change.key.chars().count()).max().unwrap_or(0);
    let value = |value: &Option<String>| {
        value.as_deref().map_or_else(|| "–".into(), |value| value.replace('\n', "; "))
    };
    let mut text = format!("{title}:\n");
    for change in found {
        let (a, b) = (value(&change.a), value(&change.b));
        let _ = writeln!(text, "  {:width$}  {a} → {b}", change.key);
    }
    text
}

fn tensors(difference: &Difference) -> String {
    let mut text = String::new();
    let named = |which: &dyn Fn(&TensorDifference) -> bool| -> Vec<String> {
        let tensors = difference.tensors.iter().filter(|tensor| which(tensor));
        tensors.map(|tensor| tensor.name.clone()).collect()
    };
    let shapes = |tensor: &&TensorDifference| {
        let (a, b) = (tensor.a.as_ref()?, tensor.b.as_ref()?);
        let words = |shape| dimensions(shape);
        (a.shape != b.shape)
            .then(|| format!("{} {} → {}", tensor.name, words(&a.shape), words(&b.shape)))
    };
    for (words, names) in [
        ("tensors only in A", named(&|tensor| tensor.b.is_none())),
        ("tensors only in B", named(&|tensor| tensor.a.is_none())),
        (
            "tensors of another shape",
            difference.tensors.iter().filter_map(|t| shapes(&t)).collect(),
        ),
    ] {
        if !names.is_empty() {
            let _ = writeln!(text, "{words} ({}): {}", names.len(), listed(&names));
        }
    }
    text + &table(difference)
}

/// The tensors that differ, and sums over all.
fn table(difference: &Difference) -> String {
    let mut table = Table::new([
        "tensor",
        "shape",
        "in both",
        "left",
        "came",
        "overlap",
        "changed",
        "l2 both",
        "l2 union",
        "relative",
        "cosine",
        "stored as",
    ]);
    let mut same = 0;
    for tensor in &difference.tensors {
        let (Some(a), Some(compared)) = (&tensor.a, &tensor.compared) else { continue };
        if compared.is_same() && tensor.a == tensor.b {
            same += 1;
            continue;
        }
        table.row(row(&tensor.name, &dimensions(&a.shape), compared, &stored(tensor)));
    }
    for (name, total) in [
        ("all parameters", difference.total(TensorDifference::is_parameter)),
        ("prunable ones", difference.total(TensorDifference::is_prunable)),
        ("running statistics", difference.total(|tensor| tensor.part == Part::Buffer)),
        ("momentum", difference.total(|tensor| tensor.part == Part::Momentum)),
    ] {
        if total.union.entries > 0 {
            table.row(row(name, "", &total, ""));
        }
    }
    let same = match same {
        0 => String::new(),
        1 => "1 tensor is equal, bit by bit, and not listed. ".into(),
        n => format!("{n} tensors are equal, bit by bit, and not listed. "),
    };
    format!(
        "\n{table}\n{same}Overlap: entries in both of entries in either.\nl2: length of B - A. Relative \
         (to the length of A) and cosine: over the union, a missing entry being 0.\n"
    )
}

fn row(name: &str, shape: &str, compared: &diff::Compared, stored: &str) -> Vec<String> {
    vec![
        name.into(),
        shape.into(),
        compared.both.entries.to_string(),
        compared.left.to_string(),
        compared.came.to_string(),
        format!("{:.2} %", 100.0 * compared.jaccard()),
        compared.changed().to_string(),
        figure(Some(compared.both.l2())),
        figure(Some(compared.union.l2())),
        figure(compared.union.relative()),
        figure(compared.union.cosine()),
        stored.into(),
    ]
}

/// How both files store a tensor.
fn stored(tensor: &TensorDifference) -> String {
    let forms = [&tensor.a, &tensor.b].map(|form| {
        form.as_ref().map_or_else(String::new, |form| format!("{} {}", form.kind, form.dtype))
    });
    let [a, b] = forms;
    if a == b { a } else { format!("{a} → {b}") }
}

fn moved(difference: &Difference) -> String {
    if difference.moved.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["entry", "A", "B", "B - A"]);
    for moved in &difference.moved {
        table.row(vec![
            difference.name_of(moved),
            entry(moved.a),
            entry(moved.b),
            figure(Some(moved.by())),
        ]);
    }
    let total = difference.total(TensorDifference::is_parameter);
    format!(
        "\nThe {} of {} changed, left or new parameter entries that moved most (–: does not exist, \
         counts as 0)\n\n{table}",
        difference.moved.len(),
        total.changed() + total.left + total.came
    )
}
